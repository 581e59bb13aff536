{# One row is one station in one hole of its log source: a time when the log says nothing of any station. #}
{# With at least two stations known by then, all of them are silent together for longer than the largest threshold
   among them. A single station's silence is a hole only if it is longer than a day and lies between two files. #}
with silences as (
    select *
    from {{ ref('int_station_gap') }}
    where is_silence
),

connectivity as (
    select *
    from {{ ref('int_source_connectivity') }}
),

-- where heartbeats are not logged, all being silent together is a quiet hour
gaps as (
    select silences.*
    from silences
    inner join connectivity on silences.log_source = connectivity.log_source
    where connectivity.is_connectivity_measurable
),

watch as (
    select *
    from {{ ref('int_station_watch') }}
),

frames as (
    select *
    from {{ source('ocpp', 'frame') }}
),

connection_events as (
    select *
    from {{ source('ocpp', 'connection_event') }}
),

points as (
    select
        log_source,
        started_at as point_at,
        1 as silent,
        0 as known
    from gaps
    union all
    select
        log_source,
        ended_at as point_at,
        -1 as silent,
        0 as known
    from gaps
    where ended_at is not null
    union all
    select
        log_source,
        first_life_at as point_at,
        0 as silent,
        1 as known
    from watch
    where first_life_at is not null
),

instants as (
    select
        log_source,
        point_at,
        sum(silent) as silent,
        sum(known) as known
    from points
    group by log_source, point_at
),

-- Every point is a sign of life of some station, so time between two points in which all are silent is one hole,
-- and two such times in a row are two.
counted as (
    select
        log_source,
        point_at as started_at,
        lead(point_at) over (partition by log_source order by point_at) as ended_at,
        sum(silent) over (partition by log_source order by point_at) as silent_count,
        sum(known) over (partition by log_source order by point_at) as known_count
    from instants
),

source_ends as (
    select
        log_source,
        max(known_until_at) as known_until_at
    from watch
    group by log_source
),

candidates as (
    select
        counted.log_source,
        counted.started_at,
        counted.ended_at,
        coalesce(counted.ended_at, source_ends.known_until_at) as watched_until_at,
        counted.known_count
    from counted
    inner join source_ends on counted.log_source = source_ends.log_source
    where
        counted.silent_count = counted.known_count
        and coalesce(counted.ended_at, source_ends.known_until_at) > {{ plus_seconds('counted.started_at', 600) }}
),

-- every station is inside a gap of its own; the threshold of that gap is carried to the candidate
thresholds as (
    select
        station_id,
        log_source,
        started_at as point_at,
        threshold_s,
        false as is_candidate
    from gaps
    union all
    select
        watch.station_id,
        watch.log_source,
        candidates.started_at as point_at,
        cast(null as bigint) as threshold_s,
        true as is_candidate
    from candidates
    inner join watch on candidates.log_source = watch.log_source
    where watch.first_life_at <= candidates.started_at
),

carried as (
    select
        station_id,
        log_source,
        point_at,
        is_candidate,
        {{ last_known('threshold_s', 'partition by station_id order by point_at, is_candidate') }} as threshold_s
    from thresholds
),

members as (
    select
        station_id,
        log_source,
        point_at as started_at,
        max(threshold_s) over (partition by log_source, point_at) as threshold_s
    from carried
    where is_candidate
),

files as (
    select
        log_source,
        source_id,
        min(received_at) as first_at,
        max(received_at) as last_at
    from (
        select
            log_source,
            source_id,
            received_at
        from frames
        union all
        select
            log_source,
            source_id,
            received_at
        from connection_events
    ) as lines
    group by log_source, source_id
),

days_alone as (
    select
        log_source,
        started_at,
        ended_at
    from candidates
    where known_count = 1 and ended_at > {{ plus_seconds('started_at', 86400) }}
),

spanned as (
    select distinct
        days_alone.log_source,
        days_alone.started_at
    from days_alone
    inner join files on days_alone.log_source = files.log_source
    where files.first_at <= days_alone.started_at and files.last_at >= days_alone.ended_at
),

between_files as (
    select
        days_alone.log_source,
        days_alone.started_at
    from days_alone
    left join spanned on days_alone.log_source = spanned.log_source and days_alone.started_at = spanned.started_at
    where spanned.log_source is null
)

select
    members.station_id,
    candidates.log_source,
    candidates.started_at,
    candidates.ended_at,
    candidates.watched_until_at,
    case when candidates.known_count > 1 then 'all_silent' else 'no_file' end as reason
from candidates
inner join members on candidates.log_source = members.log_source and candidates.started_at = members.started_at
left join between_files
    on candidates.log_source = between_files.log_source and candidates.started_at = between_files.started_at
where
    candidates.watched_until_at > {{ plus_seconds('candidates.started_at', 'members.threshold_s') }}
    and (candidates.known_count > 1 or between_files.log_source is not null)
