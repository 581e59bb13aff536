{# One row is one port in one local month or year, with how often it failed, how long that took, and how much it was used. #}
{# Failures are the incidents of the raw reading (every minute not working or silent, nothing excused), an incident counts in
   the window in which it began. Hours are those in service and open. #}
with months as (
    select *
    from {{ ref('int_sla_port_month') }}
    where policy_id = 'raw'
),

calendar as (
    select *
    from {{ ref('int_sla_calendar') }}
),

periods as (
    select *
    from {{ ref('int_sla_period') }}
    where period_kind in ('month', 'year')
),

incidents as (
    select *
    from {{ ref('fct_sla_incident') }}
    where policy_id = 'raw' and is_counted
),

outages as (
    select *
    from {{ ref('fct_outage') }}
),

port_days as (
    select *
    from {{ ref('fct_port_day') }}
),

visits as (
    select *
    from {{ ref('fct_visit') }}
    where is_first_time_success is not null and first_port_id is not null
),

ports as (
    select *
    from {{ ref('int_sla_port') }}
),

visit_months as (
    select
        first_port_id as port_id,
        local_month,
        count(*) as visit_count,
        sum(case when is_first_time_success then 1 else 0 end) as first_success_count
    from visits
    group by first_port_id, local_month
),

incident_months as (
    select
        incidents.port_id,
        {{ month_start(local_date('incidents.started_at', 'ports.time_zone')) }} as local_month,
        count(*) as incident_count,
        sum(case when incidents.is_open then 1 else 0 end) as open_incident_count
    from incidents
    inner join ports on incidents.port_id = ports.port_id
    group by incidents.port_id, {{ month_start(local_date('incidents.started_at', 'ports.time_zone')) }}
),

repeated as (
    select
        outages.port_id,
        outages.started_at,
        outages.known_until_at,
        outages.duration_s,
        outages.faulted_s,
        -- the third outage of one code within 30 days makes the port a repeat offender
        outages.leading_code is not null
        and outages.started_at <= {{ plus_seconds(
            'lag(outages.started_at, 2) over (partition by outages.port_id, outages.leading_code order by outages.started_at)',
            2592000
        ) }} as is_third
    from outages
),

outage_months as (
    select
        repeated.port_id,
        {{ month_start(local_date('repeated.started_at', 'ports.time_zone')) }} as local_month,
        sum(case when repeated.faulted_s > 0 then 1 else 0 end) as fault_count,
        max(case when repeated.is_third then 1 else 0 end) as is_repeat_offender
    from repeated
    inner join ports on repeated.port_id = ports.port_id
    group by repeated.port_id, {{ month_start(local_date('repeated.started_at', 'ports.time_zone')) }}
),

long_outages as (
    select
        repeated.port_id,
        {{ month_start(local_date(plus_seconds('repeated.started_at', 604800), 'ports.time_zone')) }} as local_month,
        count(*) as long_outage_count
    from repeated
    inner join ports on repeated.port_id = ports.port_id
    where repeated.duration_s > 604800
    group by
        repeated.port_id,
        {{ month_start(local_date(plus_seconds('repeated.started_at', 604800), 'ports.time_zone')) }}
),

day_months as (
    select
        port_id,
        {{ month_start('local_date') }} as local_month,
        sum(occupied_s + charging_s) as plugged_in_s,
        sum(charging_s) as charging_s,
        sum(session_count) as session_count,
        sum(energy_kwh) as energy_kwh,
        count(*) as day_count,
        sum(case when session_count > 0 then 1 else 0 end) as in_use_day_count
    from port_days
    group by port_id, {{ month_start('local_date') }}
),

summed as (
    select
        months.port_id,
        periods.period_kind,
        periods.period_start,
        periods.period_end,
        sum(months.window_s) as window_s,
        sum(months.full_s) as full_s,
        sum(months.in_scope_s - months.down_s - months.unknown_s) as up_s,
        sum(months.down_s) as down_s,
        sum(months.unknown_s) as unknown_s,
        sum(calendar.open_s) as open_s,
        coalesce(sum(incident_months.incident_count), 0) as incident_count,
        coalesce(sum(outage_months.fault_count), 0) as fault_count,
        coalesce(max(outage_months.is_repeat_offender), 0) = 1 as is_repeat_offender,
        coalesce(sum(long_outages.long_outage_count), 0) as long_outage_count,
        coalesce(sum(day_months.session_count), 0) as session_count,
        coalesce(sum(day_months.energy_kwh), 0) as energy_kwh,
        coalesce(sum(day_months.plugged_in_s), 0) as plugged_in_s,
        coalesce(sum(day_months.charging_s), 0) as charging_s,
        coalesce(sum(day_months.in_use_day_count), 0) as in_use_day_count,
        coalesce(sum(visit_months.visit_count), 0) as visit_count,
        coalesce(sum(visit_months.first_success_count), 0) as first_success_count
    from months
    inner join periods on months.local_month = periods.local_month
    inner join calendar on months.port_id = calendar.port_id and months.local_month = calendar.local_month
    left join incident_months
        on months.port_id = incident_months.port_id and months.local_month = incident_months.local_month
    left join outage_months on months.port_id = outage_months.port_id and months.local_month = outage_months.local_month
    left join long_outages on months.port_id = long_outages.port_id and months.local_month = long_outages.local_month
    left join day_months on months.port_id = day_months.port_id and months.local_month = day_months.local_month
    left join visit_months on months.port_id = visit_months.port_id and months.local_month = visit_months.local_month
    group by months.port_id, periods.period_kind, periods.period_start, periods.period_end
)

select
    summed.port_id,
    ports.site_id,
    ports.owner_id,
    ports.operator_id,
    summed.period_kind,
    summed.period_start,
    summed.period_end,
    summed.window_s < summed.full_s as is_partial,
    cast(summed.up_s as bigint) as up_s,
    cast(summed.down_s as bigint) as down_s,
    cast(summed.unknown_s as bigint) as unknown_s,
    cast(summed.open_s as bigint) as open_s,
    cast(summed.incident_count as bigint) as incident_count,
    cast(summed.up_s as double) / nullif(summed.incident_count, 0) / 3600 as mtbf_h,
    cast(summed.down_s as double) / nullif(summed.incident_count, 0) / 3600 as mttr_h,
    cast(summed.up_s as double) / nullif(summed.up_s + summed.down_s, 0) as availability_ratio,
    cast(summed.fault_count as bigint) as fault_count,
    1000 * cast(summed.fault_count as double) / nullif(summed.session_count, 0) as faults_per_1000_sessions_count,
    summed.is_repeat_offender,
    cast(summed.long_outage_count as bigint) as long_outage_count,
    cast(summed.session_count as bigint) as session_count,
    cast(summed.energy_kwh as decimal(18, 6)) as energy_kwh,
    cast(summed.plugged_in_s as bigint) as plugged_in_s,
    cast(summed.charging_s as bigint) as charging_s,
    cast(summed.in_use_day_count as bigint) as in_use_day_count,
    cast(summed.plugged_in_s as double) / nullif(cast(summed.open_s as double), 0) as occupied_ratio,
    cast(summed.charging_s as double) / nullif(cast(summed.open_s as double), 0) as charging_ratio,
    cast(summed.plugged_in_s - summed.charging_s as double) / nullif(cast(summed.open_s as double), 0) as idle_ratio,
    cast(summed.charging_s as double) / nullif(cast(summed.open_s - summed.down_s as double), 0) as charging_available_ratio,
    cast(summed.energy_kwh as double) / nullif(cast(ports.max_power_kw as double) * summed.open_s / 3600, 0)
        as load_factor_ratio,
    cast(summed.session_count as double) / nullif(cast(summed.open_s as double) / 86400, 0) as sessions_per_day_count,
    cast(summed.energy_kwh as double) / nullif(cast(summed.open_s as double) / 86400, 0) as energy_per_day_kwh,
    cast(summed.energy_kwh as double) / nullif(cast(summed.charging_s as double) / 3600, 0) as mean_power_kw,
    cast(summed.visit_count as bigint) as visit_count,
    cast(summed.first_success_count as bigint) as first_success_count,
    cast(summed.first_success_count as double) / nullif(summed.visit_count, 0) as first_success_ratio,
    -- up 97 % of the time, and yet more than every fifth of at least ten visits fails at first
    summed.visit_count >= 10
    and summed.up_s >= 0.97 * (summed.up_s + summed.down_s)
    and summed.first_success_count < 0.8 * summed.visit_count as is_zombie
from summed
inner join ports on summed.port_id = ports.port_id
where summed.window_s > 0
