{# One row is one station, the log source it is watched through, and how far that log reaches. #}
{# Read from the lake as delivered: a repeated frame changes no first and no last time. #}
with frames as (
    select *
    from {{ source('ocpp', 'frame') }}
),

connection_events as (
    select *
    from {{ source('ocpp', 'connection_event') }}
),

status_events as (
    select *
    from {{ source('ocpp', 'status_event') }}
),

transaction_events as (
    select *
    from {{ source('ocpp', 'transaction_event') }}
),

lines as (
    select
        station_id,
        log_source,
        received_at,
        coalesce(direction, 'unknown') <> 'to_station' as is_life
    from frames
    union all
    select
        station_id,
        log_source,
        received_at,
        event = 'connect' as is_life
    from connection_events
),

per_source as (
    select
        station_id,
        log_source,
        count(*) as line_count,
        min(case when is_life then received_at end) as first_life_at,
        max(received_at) as last_line_at
    from lines
    group by station_id, log_source
),

-- a log reaches as far as its last line, whichever station it is about
reaching as (
    select
        station_id,
        log_source,
        line_count,
        first_life_at,
        max(last_line_at) over (partition by log_source) as last_line_at
    from per_source
),

stations as (
    select
        station_id,
        min(first_life_at) over (partition by station_id) as first_life_at,
        max(last_line_at) over (partition by station_id) as last_line_at,
        log_source
    from reaching
    -- a station seen in several logs belongs to the one that has most of it, of equal ones to the first by name
    qualify row_number() over (partition by station_id order by line_count desc, log_source asc) = 1
),

own_events as (
    select
        station_id,
        event_at
    from status_events
    union all
    select
        station_id,
        event_at
    from transaction_events
),

-- a log without any time of its own reaches as far as the charger's clock says
own_times as (
    select
        stations.station_id,
        max(own_events.event_at) as last_event_at
    from stations
    inner join own_events on stations.station_id = own_events.station_id
    where stations.last_line_at is null
    group by stations.station_id
)

select
    stations.station_id,
    stations.log_source,
    stations.first_life_at,
    coalesce(stations.last_line_at, own_times.last_event_at) as known_until_at
from stations
left join own_times on stations.station_id = own_times.station_id
