-- Seconds of the ports of a site add up to its months. (Sessions and CDRs without a port are in the months only.)
with days as (
    select
        site_id,
        cast(date_trunc('month', local_date) as date) as local_month,
        sum(period_s) as period_s,
        sum(faulted_s + unavailable_s + offline_s) as downtime_s,
        sum(occupied_s + charging_s) as in_use_s,
        sum(session_count) as session_count,
        sum(energy_kwh) as energy_kwh
    from {{ ref('fct_port_day') }}
    group by site_id, cast(date_trunc('month', local_date) as date)
),

months as (
    select
        site_id,
        local_month,
        sum(period_s) as period_s,
        sum(downtime_s) as downtime_s,
        sum(in_use_s) as in_use_s,
        sum(session_count) as session_count,
        sum(energy_kwh) as energy_kwh
    from {{ ref('fct_site_month') }}
    group by site_id, local_month
),

without_port as (
    select
        site_id,
        local_month,
        count(*) as session_count,
        sum(coalesce(energy_kwh, 0)) as energy_kwh
    from {{ ref('int_charges') }}
    where port_id is null
    group by site_id, local_month
)

select
    coalesce(days.site_id, months.site_id) as site_id,
    coalesce(days.local_month, months.local_month) as local_month
from days
full outer join months
    on
        days.site_id = months.site_id
        and days.local_month = months.local_month
left join without_port
    on
        months.site_id = without_port.site_id
        and months.local_month = without_port.local_month
where
    coalesce(days.period_s, 0) <> coalesce(months.period_s, 0)
    or coalesce(days.downtime_s, 0) <> coalesce(months.downtime_s, 0)
    or coalesce(days.in_use_s, 0) <> coalesce(months.in_use_s, 0)
    or coalesce(days.session_count, 0) + coalesce(without_port.session_count, 0) <> coalesce(months.session_count, 0)
    or coalesce(days.energy_kwh, 0) + coalesce(without_port.energy_kwh, 0) <> coalesce(months.energy_kwh, 0)
