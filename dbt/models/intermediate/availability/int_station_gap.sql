{# One row is one gap between two signs of life of a station that is long enough, or has a disconnect in it, to make
   the station silent. #}
{# A sign of life is a frame from the station (or of unknown direction) or a connect. Read from the lake as delivered:
   a repeated frame opens a gap of no length. #}
{% set in_order = 'partition by station_id order by received_at, place, connection_id nulls first' %}
with frames as (
    select *
    from {{ source('ocpp', 'frame') }}
),

connection_events as (
    select *
    from {{ source('ocpp', 'connection_event') }}
),

call_results as (
    select *
    from {{ ref('int_ocpp_call_results') }}
),

watch as (
    select *
    from {{ ref('int_station_watch') }}
),

-- in a log with whole seconds a frame comes before the disconnect of its second, and a connect after it
signs as (
    select
        station_id,
        received_at,
        connection_id,
        true as is_life,
        1 as place
    from frames
    where received_at is not null and coalesce(direction, 'unknown') <> 'to_station'
    union all
    select
        station_id,
        received_at,
        connection_id,
        event = 'connect' as is_life,
        case event when 'connect' then 3 else 2 end as place
    from connection_events
    where received_at is not null
),

followed as (
    select
        station_id,
        received_at,
        connection_id,
        is_life,
        -- one number a sign of life: the sign itself and the disconnects that follow it
        sum(case when is_life then 1 else 0 end) over ({{ in_order }} rows between unbounded preceding and current row)
            as life_number,
        {{ last_known('case when is_life then connection_id end', in_order) }} as life_connection_id,
        lead(received_at) over ({{ in_order }}) as next_at,
        lead(is_life) over ({{ in_order }}) as next_is_life
    from signs
),

gaps as (
    select
        station_id,
        min(case when is_life then received_at end) as started_at,
        max(case when next_is_life then next_at end) as ended_at,
        -- the end of an older connection says nothing about a station that has spoken through a newer one
        min(
            case
                when not is_life and coalesce(connection_id = life_connection_id, true) then received_at
            end
        ) as disconnected_at
    from followed
    where
        life_number > 0
        and (
            not is_life
            or next_at is null
            or not next_is_life
            or next_at > {{ plus_seconds('received_at', 600) }}
        )
    group by station_id, life_number
),

grants as (
    select
        station_id,
        started_at as granted_at,
        cast(null as bigint) as interval_s,
        {{ no_instant() }} as answered_at,
        true as is_gap,
        ended_at,
        disconnected_at
    from gaps
    where coalesce(ended_at > started_at, true)
    union all
    select
        station_id,
        called_at as granted_at,
        result_interval_s as interval_s,
        answered_at,
        false as is_gap,
        null as ended_at,
        null as disconnected_at
    from call_results
    where
        action = 'BootNotification'
        and result_status = 'Accepted'
        and called_at is not null
        and result_interval_s is not null
),

granted as (
    select
        station_id,
        granted_at as started_at,
        ended_at,
        disconnected_at,
        is_gap,
        -- the boot that is itself the last sign of life counts: its answer is what the station lives by from there on
        {{ last_known('interval_s', 'partition by station_id order by granted_at, is_gap, answered_at, interval_s') }}
            as interval_s
    from grants
),

measured as (
    select
        granted.station_id,
        watch.log_source,
        granted.started_at,
        granted.ended_at,
        coalesce(granted.ended_at, watch.known_until_at) as watched_until_at,
        {{ silence_threshold_s('granted.interval_s') }} as threshold_s,
        granted.disconnected_at
    from granted
    inner join watch on granted.station_id = watch.station_id
    where granted.is_gap
)

select
    station_id,
    log_source,
    started_at,
    ended_at,
    watched_until_at,
    threshold_s,
    disconnected_at,
    watched_until_at > {{ plus_seconds('started_at', 'threshold_s') }} as is_silence
from measured
where
    watched_until_at > {{ plus_seconds('started_at', 'threshold_s') }}
    or watched_until_at > {{ plus_seconds('disconnected_at', 60) }}
