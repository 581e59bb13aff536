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

-- one column a layer; 'none' and '|' stand for "no longer", null for "no news"
changes as (
    select
        port_id,
        changed_at,
        {{ port_layers({'state': 'state', 'error_codes': 'error_codes'}) }}
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
            'station_state': "coalesce(station_override.state, 'none')",
            'station_error_codes': "coalesce(station_override.error_codes, '|')",
        }) }}
    from station_override
    inner join stations_of_ports on station_override.station_id = stations_of_ports.station_id
    union all
    select
        stations_of_ports.port_id,
        silence_changes.changed_at,
        {{ port_layers({
            'is_offline': "case when silence_changes.kind = 'offline' then silence_changes.is_on end",
            'is_hole': "case when silence_changes.kind = 'hole' then silence_changes.is_on end",
        }) }}
    from silence_changes
    inner join stations_of_ports on silence_changes.station_id = stations_of_ports.station_id
),

instants as (
    select
        port_id,
        changed_at,
        max(state) as state,
        max(error_codes) as error_codes,
        max(charging_state) as charging_state,
        max(station_state) as station_state,
        max(station_error_codes) as station_error_codes,
        max(is_offline) as is_offline,
        max(is_hole) as is_hole
    from changes
    group by port_id, changed_at
),

carried as (
    select
        port_id,
        changed_at,
        {{ last_known('state', 'partition by port_id order by changed_at') }} as state,
        {{ last_known('error_codes', 'partition by port_id order by changed_at') }} as error_codes,
        {{ last_known('charging_state', 'partition by port_id order by changed_at') }} as charging_state,
        {{ last_known('station_state', 'partition by port_id order by changed_at') }} as station_state,
        {{ last_known('station_error_codes', 'partition by port_id order by changed_at') }} as station_error_codes,
        {{ last_known('is_offline', 'partition by port_id order by changed_at') }} as is_offline,
        {{ last_known('is_hole', 'partition by port_id order by changed_at') }} as is_hole
    from instants
),

decided as (
    select
        carried.port_id,
        carried.changed_at,
        case
            when carried.is_hole = 1 then 'unknown'
            when carried.is_offline = 1 then 'offline'
            when carried.station_state <> 'none' and port_states.is_working then carried.station_state
            when carried.state = 'occupied' and carried.charging_state <> 'none' then carried.charging_state
            else carried.state
        end as state,
        case
            when carried.is_hole = 1 or carried.is_offline = 1 then '|'
            when carried.station_state <> 'none' and port_states.is_working then carried.station_error_codes
            else carried.error_codes
        end as error_codes
    from carried
    -- leaves out what precedes the first status
    inner join port_states on carried.state = port_states.port_state
),

neighbours as (
    select
        port_id,
        changed_at,
        state,
        error_codes,
        lag(state) over (partition by port_id order by changed_at) as state_before,
        lag(error_codes) over (partition by port_id order by changed_at) as error_codes_before
    from decided
),

intervals as (
    select
        port_id,
        state,
        error_codes,
        changed_at as started_at,
        lead(changed_at) over (partition by port_id order by changed_at) as ended_at
    from neighbours
    where
        state_before is null
        or state <> state_before
        or error_codes <> error_codes_before
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
