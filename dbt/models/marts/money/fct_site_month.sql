{# One row is one site in one local month and one currency: charging, revenue and lost time. #}
with states as (
    select * from {{ ref('int_port_state_day') }}
),

charges as (
    select * from {{ ref('int_charges') }}
),

cdrs as (
    select * from {{ ref('fct_cdr') }}
),

currencies as (
    select * from {{ ref('int_site_currency') }}
),

ports as (
    select * from {{ ref('dim_port') }}
),

sites as (
    select * from {{ ref('dim_site') }}
),

watched as (
    select
        coalesce(ports.site_id, 'unmapped') as site_id,
        cast(date_trunc('month', states.local_date) as date) as local_month,
        sum(states.period_s) as period_s,
        sum(states.occupied_s + states.charging_s) as in_use_s,
        sum(states.faulted_s + states.unavailable_s + states.offline_s) as downtime_s
    from states
    left join ports on states.port_id = ports.port_id
    group by coalesce(ports.site_id, 'unmapped'), cast(date_trunc('month', states.local_date) as date)
),

charging as (
    select
        site_id,
        local_month,
        count(*) as session_count,
        sum(energy_kwh) as energy_kwh
    from charges
    group by site_id, local_month
),

billing as (
    select
        site_id,
        local_month,
        currency,
        sum(billed_net) as revenue_net,
        count(*) as cdr_count
    from cdrs
    where not is_home_charging_compensation
    group by site_id, local_month, currency
),

-- Charging and time have no currency: they stand on the row of the site's own currency, once. Money in another currency
-- makes a row of its own.
site_months as (
    select
        watched.site_id,
        watched.local_month,
        currencies.currency
    from watched
    inner join currencies on watched.site_id = currencies.site_id
    union
    select
        charging.site_id,
        charging.local_month,
        currencies.currency
    from charging
    inner join currencies on charging.site_id = currencies.site_id
    union
    select
        site_id,
        local_month,
        currency
    from billing
),

marked as (
    select
        site_months.site_id,
        site_months.local_month,
        site_months.currency,
        site_months.currency = currencies.currency as is_site_currency
    from site_months
    inner join currencies on site_months.site_id = currencies.site_id
)

select
    marked.site_id,
    coalesce(sites.owner_id, 'unmapped') as owner_id,
    coalesce(sites.operator_id, 'unmapped') as operator_id,
    marked.local_month,
    marked.currency,
    marked.is_site_currency,
    cast(coalesce(charging.session_count, 0) as bigint) as session_count,
    cast(coalesce(charging.energy_kwh, 0) as decimal(18, 6)) as energy_kwh,
    cast(coalesce(billing.cdr_count, 0) as bigint) as cdr_count,
    cast(coalesce(billing.revenue_net, 0) as decimal(18, 6)) as revenue_net,
    cast(coalesce(watched.downtime_s, 0) as bigint) as downtime_s,
    cast(coalesce(watched.in_use_s, 0) as bigint) as in_use_s,
    cast(coalesce(watched.period_s, 0) as bigint) as period_s,
    cast(watched.in_use_s as double) / nullif(watched.period_s, 0) as utilisation_ratio
from marked
left join sites on marked.site_id = sites.site_id
left join watched
    on
        marked.site_id = watched.site_id
        and marked.local_month = watched.local_month
        and marked.is_site_currency
left join charging
    on
        marked.site_id = charging.site_id
        and marked.local_month = charging.local_month
        and marked.is_site_currency
left join billing
    on
        marked.site_id = billing.site_id
        and marked.local_month = billing.local_month
        and marked.currency = billing.currency
