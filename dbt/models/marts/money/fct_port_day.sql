{# One row is one port on one local date: the seconds in each state, the charging and the revenue. #}
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

charging as (
    select
        port_id,
        local_date,
        min(site_id) as site_id,
        count(*) as session_count,
        sum(energy_kwh) as energy_kwh,
        max(peak_power_kw) as peak_power_kw
    from charges
    where port_id is not null
    group by port_id, local_date
),

-- Amounts in another currency than the site's are not added; they are told by number, and stand in fct_site_month.
billing as (
    select
        cdrs.port_id,
        cdrs.local_date,
        min(cdrs.site_id) as site_id,
        sum(case when cdrs.currency = currencies.currency then cdrs.billed_net end) as revenue_net,
        sum(case when cdrs.currency = currencies.currency then 1 else 0 end) as cdr_count,
        sum(case when cdrs.currency = currencies.currency then 0 else 1 end) as other_currency_cdr_count
    from cdrs
    inner join currencies on cdrs.site_id = currencies.site_id
    where
        cdrs.port_id is not null
        and not cdrs.is_home_charging_compensation
    group by cdrs.port_id, cdrs.local_date
),

days as (
    select
        port_id,
        local_date
    from states
    union
    select
        port_id,
        local_date
    from charging
    union
    select
        port_id,
        local_date
    from billing
),

placed as (
    select
        days.port_id,
        days.local_date,
        coalesce(ports.site_id, charging.site_id, billing.site_id, 'unmapped') as site_id,
        coalesce(states.period_s, 0) as period_s,
        coalesce(states.available_s, 0) as available_s,
        coalesce(states.reserved_s, 0) as reserved_s,
        coalesce(states.occupied_s, 0) as occupied_s,
        coalesce(states.suspended_ev_s, 0) as suspended_ev_s,
        coalesce(states.suspended_evse_s, 0) as suspended_evse_s,
        coalesce(states.charging_s, 0) as charging_s,
        coalesce(states.faulted_s, 0) as faulted_s,
        coalesce(states.unavailable_s, 0) as unavailable_s,
        coalesce(states.offline_s, 0) as offline_s,
        coalesce(states.unknown_s, 0) as unknown_s,
        coalesce(charging.session_count, 0) as session_count,
        coalesce(charging.energy_kwh, 0) as energy_kwh,
        charging.peak_power_kw,
        coalesce(billing.revenue_net, 0) as revenue_net,
        coalesce(billing.cdr_count, 0) as cdr_count,
        coalesce(billing.other_currency_cdr_count, 0) as other_currency_cdr_count
    from days
    left join states
        on
            days.port_id = states.port_id
            and days.local_date = states.local_date
    left join charging
        on
            days.port_id = charging.port_id
            and days.local_date = charging.local_date
    left join billing
        on
            days.port_id = billing.port_id
            and days.local_date = billing.local_date
    left join ports on days.port_id = ports.port_id
)

select
    placed.port_id,
    placed.site_id,
    coalesce(sites.owner_id, 'unmapped') as owner_id,
    coalesce(sites.operator_id, 'unmapped') as operator_id,
    placed.local_date,
    cast(placed.period_s as bigint) as period_s,
    cast(placed.available_s as bigint) as available_s,
    cast(placed.reserved_s as bigint) as reserved_s,
    cast(placed.occupied_s as bigint) as occupied_s,
    cast(placed.suspended_ev_s as bigint) as suspended_ev_s,
    cast(placed.suspended_evse_s as bigint) as suspended_evse_s,
    cast(placed.charging_s as bigint) as charging_s,
    cast(placed.faulted_s as bigint) as faulted_s,
    cast(placed.unavailable_s as bigint) as unavailable_s,
    cast(placed.offline_s as bigint) as offline_s,
    cast(placed.unknown_s as bigint) as unknown_s,
    cast(placed.session_count as bigint) as session_count,
    cast(placed.energy_kwh as decimal(18, 6)) as energy_kwh,
    placed.peak_power_kw,
    cast(placed.revenue_net as decimal(18, 6)) as revenue_net,
    currencies.currency,
    cast(placed.cdr_count as bigint) as cdr_count,
    cast(placed.other_currency_cdr_count as bigint) as other_currency_cdr_count
from placed
left join sites on placed.site_id = sites.site_id
left join currencies on placed.site_id = currencies.site_id
