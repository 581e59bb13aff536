{# One row is one port in one state for one interval; the intervals of a port follow each other without gap or
   overlap. #}
{# Every layer of evidence is a series of changes. All changes of a port go into one stream, each layer's value is
   carried on, and the strongest layer decides: hole, silence, station, transaction, connectors. #}
with port_status as (
    select *
    from {{ ref('int_port_status') }}
),

charging_state as (
    select *
    from {{ ref('int_port_charging_state') }}
),

station_override as (
    select *
    from {{ ref('int_station_override') }}
),

silence as (
    select *
    from {{ ref('int_station_silence') }}
),

port_connectors as (
    select *
    from {{ ref('int_port_connectors') }}
),

port_states as (
    select *
    from {{ ref('port_states') }}
),

watch as (
    select *
    from {{ ref('int_station_watch') }}
),

ports as (
    select *
    from {{ ref('dim_port') }}
),

stations_of_ports as (
    select distinct
        port_id,
        station_id
    from port_connectors
),

-- What is true of the whole station: nothing was heard of it, or it called itself faulted or unavailable. There is little of
-- it, so it is made into one layer before it meets the statuses: `-` before what covers every state, `!` before what
-- covers working ones only.
station_changes as (
    select
        station_id,
        changed_at,
        coalesce(state || '|' || error_codes, 'none') as station_told,
        0 as offline,
        0 as hole
    from station_override
    {%- for edge, sign in [('started_at', 1), ('ended_at', -1)] %}
    union all
    select
        station_id,
        {{ whole_second(edge) }} as changed_at,
        cast(null as varchar) as station_told,
        case when kind = 'offline' then {{ sign }} else 0 end as offline,
        case when kind = 'hole' then {{ sign }} else 0 end as hole
    from silence
    where {{ edge }} is not null
    {%- endfor %}
),

station_instants as (
    select
        stations_of_ports.port_id,
        station_changes.changed_at,
        max(station_changes.station_told) as station_told,
        sum(station_changes.offline) as offline,
        sum(station_changes.hole) as hole
    from station_changes
    inner join stations_of_ports on station_changes.station_id = stations_of_ports.station_id
    group by stations_of_ports.port_id, station_changes.changed_at
),

station_running as (
    select
        port_id,
        changed_at,
        {{ last_known('station_told', 'partition by port_id order by changed_at') }} as station_told,
        sum(offline) over (partition by port_id order by changed_at) as offline,
        sum(hole) over (partition by port_id order by changed_at) as hole
    from station_instants
),

-- One column a layer; 'none' stands for "no longer", null for "no news". State and codes travel as one text, with + before a
-- state in which the port works. A layer has at most one change of a port in a second.
changes as (
    select
        port_status.port_id,
        port_status.changed_at,
        case when port_states.is_working then '+' else '-' end || port_status.state || '|' || port_status.error_codes as told,
        cast(null as varchar) as charging_state,
        cast(null as varchar) as station_told
    from port_status
    inner join port_states on port_status.state = port_states.port_state
    union all
    select
        port_id,
        changed_at,
        cast(null as varchar) as told,
        coalesce(state, 'none') as charging_state,
        cast(null as varchar) as station_told
    from charging_state
    union all
    select
        port_id,
        changed_at,
        cast(null as varchar) as told,
        cast(null as varchar) as charging_state,
        case
            when hole > 0 then '-unknown|'
            when offline > 0 then '-offline|'
            when station_told <> 'none' then '!' || station_told
            else 'none'
        end as station_told
    from station_running
),

-- a window in order of the second sees all changes of that second; the last row of each stands for it
carried as (
    select
        port_id,
        changed_at,
        {{ last_known('told', 'partition by port_id order by changed_at') }} as told,
        {{ last_known('charging_state', 'partition by port_id order by changed_at') }} as charging_state,
        {{ last_known('station_told', 'partition by port_id order by changed_at') }} as station_told,
        lead(changed_at) over (partition by port_id order by changed_at) as next_changed_at
    from changes
),

decided as (
    select
        port_id,
        changed_at,
        case
            when station_told like '-%' then station_told
            when station_told like '!%' and told like '+%' then '-' || substring(station_told, 2)
            when charging_state <> 'none' and told like '+occupied|%' then '+' || charging_state || substring(told, 10)
            else told
        end as told
    from carried
    where
        -- leaves out what precedes the first status, and ports that never said anything
        told is not null
        and (next_changed_at is null or next_changed_at > changed_at)
),

neighbours as (
    select
        port_id,
        changed_at,
        told,
        lag(told) over (partition by port_id order by changed_at) as told_before
    from decided
),

intervals as (
    select
        port_id,
        substring(split_part(told, '|', 1), 2) as state,
        substring(told, length(split_part(told, '|', 1)) + 2) as error_codes,
        changed_at as started_at,
        lead(changed_at) over (partition by port_id order by changed_at) as ended_at
    from neighbours
    where told_before is null or told <> told_before
),

-- a port with connectors on two stations is watched as long as either is
horizons as (
    select
        stations_of_ports.port_id,
        min(stations_of_ports.station_id) as station_id,
        max({{ whole_second('watch.known_until_at') }}) as known_until_at
    from stations_of_ports
    inner join watch on stations_of_ports.station_id = watch.station_id
    group by stations_of_ports.port_id
)

select
    intervals.port_id,
    horizons.station_id,
    coalesce(ports.site_id, 'unmapped') as site_id,
    intervals.state,
    intervals.started_at,
    intervals.ended_at,
    coalesce(intervals.ended_at, horizons.known_until_at) as known_until_at,
    cast(
        {{ seconds_between('intervals.started_at', 'coalesce(intervals.ended_at, horizons.known_until_at)') }} as bigint
    )
        as duration_s,
    nullif(split_part(intervals.error_codes, '|', 1), '') as error_code,
    nullif(substring(intervals.error_codes, length(split_part(intervals.error_codes, '|', 1)) + 2), '')
        as vendor_error_code,
    intervals.ended_at is null as is_open
from intervals
inner join horizons on intervals.port_id = horizons.port_id
left join ports on intervals.port_id = ports.port_id
