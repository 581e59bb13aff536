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

-- only ports that ever said something have a state
seen_ports as (
    select distinct port_id
    from port_status
),

stations_of_ports as (
    select distinct
        port_connectors.port_id,
        port_connectors.station_id
    from port_connectors
    inner join seen_ports on port_connectors.port_id = seen_ports.port_id
),

silence_changes as (
    select
        station_id,
        kind,
        {{ whole_second('started_at') }} as changed_at,
        1 as is_on
    from silence
    union all
    select
        station_id,
        kind,
        {{ whole_second('ended_at') }} as changed_at,
        0 as is_on
    from silence
    where ended_at is not null
),

-- One column a layer; 'none' stands for "no longer", null for "no news". State and codes travel as one text. A layer has at
-- most one change of a port in a second: of two silences, or of two stations, the one that begins counts.
changes as (
    select
        port_id,
        changed_at,
        {{ port_layers({'told': "state || '|' || error_codes"}) }}
    from port_status
    union all
    select
        port_id,
        changed_at,
        {{ port_layers({'charging_state': "coalesce(state, 'none')"}) }}
    from charging_state
    union all
    select
        stations_of_ports.port_id,
        station_override.changed_at,
        {{ port_layers({
            'station_told': "max(coalesce(station_override.state || '|' || station_override.error_codes, 'none'))",
        }) }}
    from station_override
    inner join stations_of_ports on station_override.station_id = stations_of_ports.station_id
    group by stations_of_ports.port_id, station_override.changed_at
    union all
    select
        stations_of_ports.port_id,
        silence_changes.changed_at,
        {{ port_layers({
            'is_offline': "max(case when silence_changes.kind = 'offline' then silence_changes.is_on end)",
            'is_hole': "max(case when silence_changes.kind = 'hole' then silence_changes.is_on end)",
        }) }}
    from silence_changes
    inner join stations_of_ports on silence_changes.station_id = stations_of_ports.station_id
    group by stations_of_ports.port_id, silence_changes.changed_at
),

-- a window in order of the second sees all changes of that second; the last row of each stands for it
carried as (
    select
        port_id,
        changed_at,
        {{ last_known('told', 'partition by port_id order by changed_at') }} as told,
        {{ last_known('charging_state', 'partition by port_id order by changed_at') }} as charging_state,
        {{ last_known('station_told', 'partition by port_id order by changed_at') }} as station_told,
        {{ last_known('is_offline', 'partition by port_id order by changed_at') }} as is_offline,
        {{ last_known('is_hole', 'partition by port_id order by changed_at') }} as is_hole,
        lead(changed_at) over (partition by port_id order by changed_at) as next_changed_at
    from changes
),

decided as (
    select
        carried.port_id,
        carried.changed_at,
        case
            when carried.is_hole = 1 then 'unknown|'
            when carried.is_offline = 1 then 'offline|'
            when carried.station_told <> 'none' and port_states.is_working then carried.station_told
            when port_states.port_state = 'occupied' and carried.charging_state <> 'none'
                then carried.charging_state || substring(carried.told, 9)
            else carried.told
        end as told
    from carried
    -- leaves out what precedes the first status
    inner join port_states on split_part(carried.told, '|', 1) = port_states.port_state
    where carried.next_changed_at is null or carried.next_changed_at > carried.changed_at
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
        split_part(told, '|', 1) as state,
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
