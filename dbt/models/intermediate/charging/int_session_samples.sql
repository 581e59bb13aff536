{# One row is one instant at which a session was metered: the energy register, the active power and the charge then. #}
{# Samples find their session by the transaction id. Of a session that has none with its id, those without an id count
   that its connector (1.6) or EVSE (2.x) sent between start and stop, or before the connector was free again. #}
{% set of_outlet = 'partition by station_id, outlet order by point_at, place' %}
with readings as (
    select * from {{ ref('int_meter_readings') }}
),

windows as (
    select * from {{ ref('int_session_windows') }}
),

sessions as (
    select * from {{ ref('int_sessions') }}
),

statuses as (
    select * from {{ ref('int_connector_status') }}
),

named as (
    select
        sessions.session_id,
        readings.sampled_at,
        readings.register_wh,
        readings.begin_wh,
        readings.end_wh,
        readings.power_w,
        readings.soc_percent,
        readings.is_outlet
    from readings
    inner join windows
        on
            readings.station_id = windows.station_id
            and readings.transaction_id = windows.transaction_id
            and readings.sampled_at < windows.to_at
            and (readings.sampled_at >= windows.from_at or readings.received_at >= windows.or_received_from)
            and not coalesce(readings.received_at >= windows.received_before, false)
    inner join sessions
        on windows.session_id = sessions.session_id
        -- Some stations keep the id of a stopped transaction on later samples; they belong to no session.
        and readings.sampled_at <= coalesce(sessions.stopped_at + interval '60' second, readings.sampled_at)
),

metered_by_name as (
    select distinct session_id
    from named
    where coalesce(register_wh, power_w) is not null
),

nameless as (
    select
        station_id,
        coalesce(evse_id, connector_id) as outlet,
        sampled_at,
        register_wh,
        begin_wh,
        end_wh,
        power_w,
        soc_percent,
        is_outlet
    from readings
    where transaction_id is null and action = 'MeterValues' and coalesce(evse_id, connector_id) > 0
),

-- Where nobody sends samples without an id, there is nothing to walk along.
outlets as (
    select distinct
        station_id,
        outlet
    from nameless
),

points as (
    select
        statuses.station_id,
        coalesce(statuses.evse_id, statuses.connector_id) as outlet,
        statuses.started_at as point_at,
        0 as place,
        '' as session_id,
        {{ no_instant() }} as stopped_at,
        cast(null as decimal(18, 4)) as register_wh,
        cast(null as decimal(18, 4)) as begin_wh,
        cast(null as decimal(18, 4)) as end_wh,
        cast(null as decimal(18, 4)) as power_w,
        cast(null as decimal(18, 4)) as soc_percent,
        cast(null as boolean) as is_outlet
    from statuses
    inner join outlets
        on
            statuses.station_id = outlets.station_id
            and coalesce(statuses.evse_id, statuses.connector_id) = outlets.outlet
    where statuses.state in ('available', 'unavailable')
    union all
    select
        sessions.station_id,
        coalesce(sessions.evse_id, sessions.connector_id) as outlet,
        sessions.started_at as point_at,
        1 as place,
        sessions.session_id,
        coalesce(sessions.stopped_at, {{ instant("'9999-12-31 00:00:00+00:00'") }}) as stopped_at,
        null as register_wh,
        null as begin_wh,
        null as end_wh,
        null as power_w,
        null as soc_percent,
        null as is_outlet
    from sessions
    inner join outlets
        on
            sessions.station_id = outlets.station_id
            and coalesce(sessions.evse_id, sessions.connector_id) = outlets.outlet
    where sessions.has_start
    union all
    select
        station_id,
        outlet,
        sampled_at as point_at,
        2 as place,
        null as session_id,
        null as stopped_at,
        register_wh,
        begin_wh,
        end_wh,
        power_w,
        soc_percent,
        is_outlet
    from nameless
),

walked as (
    select
        point_at as sampled_at,
        place,
        {{ last_known('session_id', of_outlet) }} as session_id,
        {{ last_known('stopped_at', of_outlet) }} as stopped_at,
        register_wh,
        begin_wh,
        end_wh,
        power_w,
        soc_percent,
        is_outlet
    from points
),

found as (
    select
        session_id,
        sampled_at,
        register_wh,
        begin_wh,
        end_wh,
        power_w,
        soc_percent,
        is_outlet
    from named
    union all
    select
        walked.session_id,
        walked.sampled_at,
        walked.register_wh,
        walked.begin_wh,
        walked.end_wh,
        walked.power_w,
        walked.soc_percent,
        walked.is_outlet
    from walked
    left join metered_by_name on walked.session_id = metered_by_name.session_id
    where
        walked.place = 2
        and walked.session_id <> ''
        and walked.sampled_at <= walked.stopped_at
        and metered_by_name.session_id is null
)

-- A stop or an Ended often tells the whole series again: an instant counts once.
select
    session_id,
    sampled_at,
    max(register_wh) as register_wh,
    max(begin_wh) as begin_wh,
    max(end_wh) as end_wh,
    max(power_w) as power_w,
    max(soc_percent) as soc_percent
from found
where is_outlet or soc_percent is not null
group by session_id, sampled_at
