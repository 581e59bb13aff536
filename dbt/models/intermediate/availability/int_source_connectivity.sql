{# One row is one log source and whether silence in it means anything. #}
{# Log levels exist that leave heartbeats out. Such a source was told an interval (a boot was granted one), shows not a single
   heartbeat, and yet stations come back from silences as if nothing had happened: with a message that is neither a boot nor
   the first of a new connection. Once may be an outage of the network; from the second time on the silence of a station
   proves nothing there, and the rule of silence is switched off. #}
with gaps as (
    select *
    from {{ ref('int_station_gap') }}
),

watch as (
    select *
    from {{ ref('int_station_watch') }}
),

frames as (
    select *
    from {{ source('ocpp', 'frame') }}
),

boots as (
    select *
    from {{ source('ocpp', 'boot') }}
),

connection_events as (
    select *
    from {{ source('ocpp', 'connection_event') }}
),

call_results as (
    select *
    from {{ ref('int_ocpp_call_results') }}
),

heartbeats as (
    select
        log_source,
        count(*) as heartbeat_count
    from frames
    where action = 'Heartbeat'
    group by log_source
),

grants as (
    select
        watch.log_source,
        count(*) as grant_count
    from call_results
    inner join watch on call_results.station_id = watch.station_id
    where
        call_results.action = 'BootNotification'
        and call_results.result_status = 'Accepted'
        and call_results.result_interval_s > 0
    group by watch.log_source
),

returns as (
    select
        station_id,
        received_at
    from boots
    union
    select
        station_id,
        received_at
    from connection_events
    where event = 'connect'
),

-- silences that end as if there had been none
unexplained as (
    select
        gaps.log_source,
        count(*) as unexplained_silence_count
    from gaps
    left join returns on gaps.station_id = returns.station_id and gaps.ended_at = returns.received_at
    where
        gaps.is_silence
        and gaps.ended_at is not null
        and gaps.disconnected_at is null
        and returns.station_id is null
    group by gaps.log_source
),

sources as (
    select distinct log_source
    from watch
)

select
    sources.log_source,
    cast(coalesce(heartbeats.heartbeat_count, 0) as bigint) as heartbeat_count,
    cast(coalesce(grants.grant_count, 0) as bigint) as grant_count,
    cast(coalesce(unexplained.unexplained_silence_count, 0) as bigint) as unexplained_silence_count,
    heartbeats.heartbeat_count is not null
    or grants.grant_count is null
    or coalesce(unexplained.unexplained_silence_count, 0) < 2 as is_connectivity_measurable
from sources
left join heartbeats on sources.log_source = heartbeats.log_source
left join grants on sources.log_source = grants.log_source
left join unexplained on sources.log_source = unexplained.log_source
