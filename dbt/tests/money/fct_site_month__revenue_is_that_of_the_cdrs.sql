-- Every billed amount of a CDR is in exactly one row of fct_site_month; compensations for home charging are no revenue.
with months as (
    select
        site_id,
        local_month,
        currency,
        sum(revenue_net) as revenue_net,
        sum(cdr_count) as cdr_count
    from {{ ref('fct_site_month') }}
    group by site_id, local_month, currency
),

cdrs as (
    select
        site_id,
        local_month,
        currency,
        sum(billed_net) as revenue_net,
        count(*) as cdr_count
    from {{ ref('fct_cdr') }}
    where not is_home_charging_compensation
    group by site_id, local_month, currency
)

select
    coalesce(months.site_id, cdrs.site_id) as site_id,
    coalesce(months.local_month, cdrs.local_month) as local_month,
    coalesce(months.currency, cdrs.currency) as currency,
    months.revenue_net as month_revenue_net,
    cdrs.revenue_net as cdr_revenue_net
from months
full outer join cdrs
    on
        months.site_id = cdrs.site_id
        and months.local_month = cdrs.local_month
        and months.currency = cdrs.currency
where
    coalesce(months.revenue_net, 0) <> coalesce(cdrs.revenue_net, 0)
    or coalesce(months.cdr_count, 0) <> coalesce(cdrs.cdr_count, 0)
