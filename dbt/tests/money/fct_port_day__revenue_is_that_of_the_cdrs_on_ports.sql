-- Every CDR with a port is in exactly one port-day, its amount too where it is in the site's currency.
with days as (
    select
        port_id,
        local_date,
        revenue_net,
        currency,
        cdr_count + other_currency_cdr_count as cdr_count
    from {{ ref('fct_port_day') }}
),

cdrs as (
    select
        fct_cdr.port_id,
        fct_cdr.local_date,
        sum(case when fct_cdr.currency = currencies.currency then fct_cdr.billed_net else 0 end) as revenue_net,
        count(*) as cdr_count
    from {{ ref('fct_cdr') }} as fct_cdr
    inner join {{ ref('int_site_currency') }} as currencies on fct_cdr.site_id = currencies.site_id
    where
        fct_cdr.port_id is not null
        and not fct_cdr.is_home_charging_compensation
    group by fct_cdr.port_id, fct_cdr.local_date
)

select
    coalesce(days.port_id, cdrs.port_id) as port_id,
    coalesce(days.local_date, cdrs.local_date) as local_date
from days
full outer join cdrs
    on
        days.port_id = cdrs.port_id
        and days.local_date = cdrs.local_date
where
    coalesce(days.revenue_net, 0) <> coalesce(cdrs.revenue_net, 0)
    or coalesce(days.cdr_count, 0) <> coalesce(cdrs.cdr_count, 0)
