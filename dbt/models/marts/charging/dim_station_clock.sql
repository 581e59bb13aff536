{# One row is one kind of message of one station: how its clock compares with the arrival of the messages. #}
with statuses as (
    select * from {{ ref('int_status_timed') }}
),

events as (
    select * from {{ ref('int_transaction_events') }}
),

readings as (
    select * from {{ ref('int_meter_readings') }}
),

clocks as (
    select * from {{ ref('int_station_clock') }}
),

stations as (
    select * from {{ ref('dim_station') }}
),

messages as (
    select
        station_id,
        reported_by as action,
        received_at,
        event_at,
        status_at_quality as event_at_quality
    from statuses
    union all
    select
        station_id,
        {{ transaction_action('event_type', 'seq_no', 'protocol') }} as action,
        received_at,
        event_at,
        event_at_quality
    from events
    union all
    -- the newest reading of a message tells when it was sent
    select
        station_id,
        action,
        received_at,
        max(event_at) as event_at,
        max_by(event_at_quality, event_at) as event_at_quality
    from readings
    where action = 'MeterValues'
    group by station_id, action, frame_id, received_at
),

counted as (
    select
        station_id,
        action,
        min(received_at) as first_received_at,
        max(received_at) as last_received_at,
        count(*) as message_count,
        sum(case when event_at is null then 1 else 0 end) as no_time_count,
        sum(case when event_at_quality = 'late' then 1 else 0 end) as late_count,
        sum(case when event_at_quality in ('offset_corrected', 'boot_corrected') then 1 else 0 end)
            as corrected_count,
        sum(case when event_at_quality = 'received_used' and event_at is not null then 1 else 0 end)
            as implausible_count,
        percentile_cont(0.5) within group (order by {{ seconds_between('event_at', 'received_at') }}) as typical_delay
    from messages
    group by station_id, action
),

-- the offset that was in force last
offsets as (
    select
        station_id,
        action,
        max_by(correction_s, from_at) as correction_s,
        count(*) as span_count
    from clocks
    where reason = 'local_time'
    group by station_id, action
),

restarts as (
    select
        station_id,
        count(*) as span_count
    from clocks
    where reason = 'boot_relative'
    group by station_id
)

select
    counted.station_id,
    coalesce(stations.site_id, 'unmapped') as site_id,
    coalesce(stations.owner_id, 'unmapped') as owner_id,
    counted.action,
    counted.first_received_at,
    counted.last_received_at,
    cast(counted.message_count as bigint) as message_count,
    cast(counted.no_time_count as bigint) as no_time_count,
    cast(counted.late_count as bigint) as late_count,
    cast(counted.corrected_count as bigint) as corrected_count,
    cast(counted.implausible_count as bigint) as implausible_count,
    cast(round(counted.typical_delay) as bigint) as typical_delay_s,
    cast(-offsets.correction_s as bigint) as clock_offset_s,
    cast(coalesce(offsets.span_count, 0) as bigint) as offset_span_count,
    cast(coalesce(restarts.span_count, 0) as bigint) as clock_restart_count
from counted
left join stations on counted.station_id = stations.station_id
left join offsets on counted.station_id = offsets.station_id and counted.action = offsets.action
left join restarts on counted.station_id = restarts.station_id
