{# One row is one time in which nothing was heard of a station: it was offline, or its log source has a hole. #}
{# The rows of a station do not overlap. A silence is cut where a hole begins and ends, and what is left on either
   side is offline only if it is long enough by itself: silence counts only while somebody was listening. #}
with gaps as (
    select *
    from {{ ref('int_station_gap') }}
),

holes as (
    select *
    from {{ ref('int_source_hole') }}
),

connectivity as (
    select *
    from {{ ref('int_source_connectivity') }}
),

points as (
    select
        station_id,
        started_at as point_at,
        started_at as gap_started_at,
        1 as in_gap,
        cast(null as integer) as in_hole
    from gaps
    union all
    select
        station_id,
        ended_at as point_at,
        {{ no_instant() }} as gap_started_at,
        0 as in_gap,
        cast(null as integer) as in_hole
    from gaps
    where ended_at is not null
    union all
    select
        station_id,
        started_at as point_at,
        {{ no_instant() }} as gap_started_at,
        cast(null as integer) as in_gap,
        1 as in_hole
    from holes
    union all
    select
        station_id,
        ended_at as point_at,
        {{ no_instant() }} as gap_started_at,
        cast(null as integer) as in_gap,
        0 as in_hole
    from holes
    where ended_at is not null
),

-- where one gap (or hole) ends and the next begins at the same frame, the beginning counts
instants as (
    select
        station_id,
        point_at,
        max(gap_started_at) as gap_started_at,
        max(in_gap) as in_gap,
        max(in_hole) as in_hole
    from points
    group by station_id, point_at
),

pieces as (
    select
        station_id,
        point_at as started_at,
        lead(point_at) over (partition by station_id order by point_at) as ended_at,
        {{ last_known('gap_started_at', 'partition by station_id order by point_at') }} as gap_started_at,
        {{ last_known('in_gap', 'partition by station_id order by point_at') }} as in_gap,
        {{ last_known('in_hole', 'partition by station_id order by point_at') }} as in_hole
    from instants
),

heard_nothing as (
    select
        pieces.station_id,
        pieces.started_at,
        pieces.ended_at,
        coalesce(pieces.ended_at, gaps.watched_until_at) as watched_until_at,
        gaps.threshold_s,
        connectivity.is_connectivity_measurable,
        -- of the time after the disconnect only this piece was watched
        case when gaps.disconnected_at is not null then greatest(gaps.disconnected_at, pieces.started_at) end
            as disconnected_at
    from pieces
    inner join gaps on pieces.station_id = gaps.station_id and pieces.gap_started_at = gaps.started_at
    inner join connectivity on gaps.log_source = connectivity.log_source
    where pieces.in_gap = 1 and coalesce(pieces.in_hole, 0) = 0
),

offline as (
    select
        station_id,
        started_at,
        ended_at,
        watched_until_at,
        watched_until_at > {{ plus_seconds('disconnected_at', 60) }} as is_disconnected,
        -- a log that leaves heartbeats out is silent whenever nothing happens: only its disconnects tell anything
        is_connectivity_measurable
        and watched_until_at > {{ plus_seconds('started_at', 'threshold_s') }} as is_silent
    from heard_nothing
)

select
    station_id,
    'offline' as kind,
    case when is_disconnected then 'disconnect' else 'silence' end as reason,
    started_at,
    ended_at,
    watched_until_at
from offline
where is_disconnected or is_silent
union all
select
    station_id,
    'hole' as kind,
    reason,
    started_at,
    ended_at,
    watched_until_at
from holes
