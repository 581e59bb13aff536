{# One row is one charging session: one OCPP transaction, complete or not. #}
{% set zone = 'coalesce(sites.time_zone, ' ~ default_time_zone() ~ ')' %}
with sessions as (
    select * from {{ ref('int_sessions') }}
),

energy as (
    select * from {{ ref('int_session_energy') }}
),

ends as (
    select * from {{ ref('int_session_ends') }}
),

charging as (
    select * from {{ ref('int_session_charging') }}
),

sites as (
    select * from {{ ref('dim_site') }}
),

closed as (
    select
        sessions.*,
        energy.energy_kwh,
        energy.energy_method,
        energy.peak_power_kw,
        energy.is_power_implausible,
        energy.first_soc_percent,
        energy.last_soc_percent,
        energy.meter_start_wh as known_meter_start_wh,
        energy.meter_stop_wh as known_meter_stop_wh,
        ends.last_seen_at,
        ends.ended_at,
        ends.end_source
    from sessions
    inner join energy on sessions.session_id = energy.session_id
    inner join ends on sessions.session_id = ends.session_id
)

select
    closed.session_id,
    closed.station_id,
    closed.port_id,
    closed.site_id,
    coalesce(sites.owner_id, 'unmapped') as owner_id,
    coalesce(sites.operator_id, 'unmapped') as operator_id,
    closed.protocol,
    closed.evse_id,
    closed.connector_id,
    closed.transaction_id,
    closed.started_at,
    case when closed.has_start then closed.started_at_quality end as started_at_quality,
    closed.ended_at,
    case when closed.stopped_at is not null then closed.stopped_at_quality end as ended_at_quality,
    closed.last_seen_at,
    {{ seconds_between('closed.started_at', 'coalesce(closed.ended_at, closed.last_seen_at)') }} as duration_s,
    charging.charging_s,
    charging.suspended_ev_s,
    charging.suspended_evse_s,
    {{ seconds_between('closed.started_at', 'coalesce(closed.ended_at, closed.last_seen_at)') }}
    - charging.charging_s as idle_s,
    charging.charging_method,
    charging.started_power_at,
    closed.energy_kwh,
    closed.energy_method,
    closed.peak_power_kw,
    closed.is_power_implausible,
    cast(closed.known_meter_start_wh as decimal(18, 3)) as meter_start_wh,
    cast(closed.known_meter_stop_wh as decimal(18, 3)) as meter_stop_wh,
    cast(closed.first_soc_percent as decimal(18, 4)) as start_soc_percent,
    cast(closed.last_soc_percent as decimal(18, 4)) as end_soc_percent,
    closed.id_token_hash,
    closed.start_status,
    case when closed.stopped_at is not null then coalesce(closed.reason, 'Local') end as stop_reason,
    closed.has_start and closed.stopped_at is not null and closed.energy_kwh is not null as is_complete,
    closed.end_source = 'open' as is_open,
    closed.end_source,
    closed.has_offline_events,
    closed.missing_event_count,
    {{ local_date('coalesce(closed.ended_at, closed.last_seen_at)', zone) }} as local_date,
    cast(date_trunc(
        'month',
        {{ local_date('coalesce(closed.ended_at, closed.last_seen_at)', zone) }}
    ) as date) as local_month,
    closed.start_frame_id,
    closed.stop_frame_id
from closed
left join sites on closed.site_id = sites.site_id
left join charging on closed.session_id = charging.session_id
