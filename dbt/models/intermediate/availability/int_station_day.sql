{# One row is one station on one local day: what was heard of it, and how long nothing was. #}
{# Frames are counted by quarter hour first: every local day begins on one, and only the quarter hours need their local
   date looked up. Read from the lake as delivered, each frame once. #}
{% set zone = 'coalesce(stations.time_zone, ' ~ default_time_zone() ~ ')' %}
with frames as (
    select *
    from {{ source('ocpp', 'frame') }}
),

connection_events as (
    select * from {{ ref('stg_ocpp__connection_events') }}
),

silences as (
    select * from {{ ref('int_station_silence') }}
),

watch as (
    select * from {{ ref('int_station_watch') }}
),

stations as (
    select * from {{ ref('dim_station') }}
),

heard as (
    select
        frame_id,
        station_id,
        min(received_at) as received_at,
        coalesce(max(direction), 'unknown') <> 'to_station' as is_life,
        max(message_type) as message_type,
        max(action) as action
    from frames
    where received_at is not null
    group by frame_id, station_id
),

signs as (
    select
        station_id,
        received_at
    from heard
    where is_life
    union all
    select
        station_id,
        received_at
    from connection_events
    where event = 'connect' and received_at is not null
),

gaps as (
    select
        signs.station_id,
        signs.received_at as from_at,
        coalesce(
            lead(signs.received_at) over (partition by signs.station_id order by signs.received_at),
            greatest(watch.known_until_at, signs.received_at)
        ) as to_at
    from signs
    inner join watch on signs.station_id = watch.station_id
),

-- A gap inside a quarter hour is known by its length; of one that goes over its end, the ends are kept.
short_gaps as (
    select
        station_id,
        {{ quarter_hour('from_at') }} as quarter_at,
        max({{ seconds_between('from_at', 'to_at') }}) as gap_s
    from gaps
    where {{ quarter_hour('from_at') }} = {{ quarter_hour('to_at') }}
    group by station_id, {{ quarter_hour('from_at') }}
),

-- in a log with whole seconds a disconnect comes before the connect of its second
connections as (
    select
        station_id,
        received_at,
        event,
        lead(event) over (
            partition by station_id order by received_at, case event when 'disconnect' then 0 else 1 end, frame_id
        ) as next_event,
        lead(received_at) over (
            partition by station_id order by received_at, case event when 'disconnect' then 0 else 1 end, frame_id
        ) as next_at
    from connection_events
    where received_at is not null
),

quarters as (
    select
        station_id,
        {{ quarter_hour('received_at') }} as quarter_at,
        count(*) as frame_count,
        sum(case when is_life then 1 else 0 end) as frame_from_station_count,
        sum(case when action = 'Heartbeat' then 1 else 0 end) as heartbeat_count,
        sum(case when action = 'BootNotification' then 1 else 0 end) as boot_count,
        sum(case when message_type in (4, 5) then 1 else 0 end) as error_count,
        0 as connect_count,
        0 as disconnect_count,
        0 as flap_count,
        0 as ping_count,
        0 as gap_s
    from heard
    group by station_id, {{ quarter_hour('received_at') }}
    union all
    select
        station_id,
        quarter_at,
        0 as frame_count,
        0 as frame_from_station_count,
        0 as heartbeat_count,
        0 as boot_count,
        0 as error_count,
        0 as connect_count,
        0 as disconnect_count,
        0 as flap_count,
        0 as ping_count,
        gap_s
    from short_gaps
    union all
    select
        station_id,
        {{ quarter_hour('received_at') }} as quarter_at,
        0 as frame_count,
        0 as frame_from_station_count,
        0 as heartbeat_count,
        0 as boot_count,
        0 as error_count,
        sum(case when event = 'connect' then 1 else 0 end) as connect_count,
        sum(case when event = 'disconnect' then 1 else 0 end) as disconnect_count,
        sum(
            case
                when
                    event = 'disconnect' and next_event = 'connect'
                    and {{ seconds_between('received_at', 'next_at') }} <= 60
                    then 1
                else 0
            end
        ) as flap_count,
        sum(case when event in ('ping', 'pong') then 1 else 0 end) as ping_count,
        0 as gap_s
    from connections
    group by station_id, {{ quarter_hour('received_at') }}
),

summed as (
    select
        station_id,
        quarter_at,
        sum(frame_count) as frame_count,
        sum(frame_from_station_count) as frame_from_station_count,
        sum(heartbeat_count) as heartbeat_count,
        sum(boot_count) as boot_count,
        sum(error_count) as error_count,
        sum(connect_count) as connect_count,
        sum(disconnect_count) as disconnect_count,
        sum(flap_count) as flap_count,
        sum(ping_count) as ping_count,
        max(gap_s) as gap_s
    from quarters
    group by station_id, quarter_at
),

dated as (
    select
        summed.*,
        {{ local_date('summed.quarter_at', zone) }} as local_date
    from summed
    left join stations on summed.station_id = stations.station_id
),

spans as (
    select
        station_id,
        'gap' as kind,
        from_at,
        to_at
    from gaps
    where {{ quarter_hour('from_at') }} <> {{ quarter_hour('to_at') }}
    union all
    select
        station_id,
        kind,
        started_at as from_at,
        watched_until_at as to_at
    from silences
),

-- Cut at local midnights, like days of ports.
placed as (
    select
        spans.station_id,
        spans.kind,
        spans.from_at,
        spans.to_at,
        {{ zone }} as time_zone,
        {{ local_date('spans.from_at', zone) }} as first_date,
        {{ local_date('spans.to_at', zone) }} as last_date
    from spans
    left join stations on spans.station_id = stations.station_id
),

split as (
    select
        *,
        {{ dates_between('first_date', 'last_date') }} as day
    from placed
),

cut as (
    select
        station_id,
        kind,
        cast(day as date) as local_date,
        {{ seconds_between(
            "case when cast(day as date) = first_date then from_at else " ~ local_midnight('day', 'time_zone') ~ " end",
            "case when cast(day as date) = last_date then to_at else "
            ~ local_midnight("day + interval '1' day", 'time_zone') ~ " end"
        ) }} as span_s
    from split
),

all_parts as (
    select
        station_id,
        local_date,
        frame_count,
        frame_from_station_count,
        heartbeat_count,
        boot_count,
        error_count,
        connect_count,
        disconnect_count,
        flap_count,
        ping_count,
        gap_s,
        0 as offline_s,
        0 as hole_s
    from dated
    union all
    select
        station_id,
        local_date,
        0 as frame_count,
        0 as frame_from_station_count,
        0 as heartbeat_count,
        0 as boot_count,
        0 as error_count,
        0 as connect_count,
        0 as disconnect_count,
        0 as flap_count,
        0 as ping_count,
        case when kind = 'gap' then span_s end as gap_s,
        case when kind = 'offline' then span_s else 0 end as offline_s,
        case when kind = 'hole' then span_s else 0 end as hole_s
    from cut
)

select
    station_id,
    local_date,
    cast(sum(frame_count) as bigint) as frame_count,
    cast(sum(frame_from_station_count) as bigint) as frame_from_station_count,
    cast(sum(heartbeat_count) as bigint) as heartbeat_count,
    cast(sum(boot_count) as bigint) as boot_count,
    cast(sum(error_count) as bigint) as error_count,
    cast(sum(connect_count) as bigint) as connect_count,
    cast(sum(disconnect_count) as bigint) as disconnect_count,
    cast(sum(flap_count) as bigint) as flap_count,
    cast(sum(ping_count) as bigint) as ping_count,
    cast(coalesce(max(gap_s), 0) as bigint) as longest_silence_s,
    cast(sum(offline_s) as bigint) as offline_s,
    cast(sum(hole_s) as bigint) as unknown_s
from all_parts
group by station_id, local_date
