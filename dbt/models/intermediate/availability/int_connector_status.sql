{# One row is one connector of a port in one state, from the whole second in which it changed to the next change. #}
with statuses as (
    select *
    from {{ ref('int_status_timed') }}
    where subject <> 'station'
),

port_connectors as (
    select *
    from {{ ref('int_port_connectors') }}
),

connectors as (
    select
        port_id,
        station_id,
        evse_id,
        nullif(connector_id, 0) as connector_id,
        count(nullif(connector_id, 0)) over (partition by station_id, evse_id) as named_connector_count
    from port_connectors
),

-- Which connectors a status is about. One that names only the EVSE is about all its connectors; an EVSE whose
-- connectors were never named is its own connector.
subjects as (
    select
        port_id,
        station_id,
        evse_id,
        connector_id,
        coalesce(connector_id, 0) as told_connector_id
    from connectors
    where connector_id is not null or named_connector_count = 0
    union all
    select
        port_id,
        station_id,
        evse_id,
        connector_id,
        0 as told_connector_id
    from connectors
    where connector_id is not null and evse_id is not null
),

told as (
    select
        subjects.port_id,
        subjects.station_id,
        subjects.evse_id,
        subjects.connector_id,
        statuses.status,
        statuses.state,
        statuses.error_codes,
        statuses.changed_at,
        statuses.status_at,
        statuses.received_at,
        statuses.frame_id
    from statuses
    inner join subjects
        on
            statuses.station_id = subjects.station_id
            and coalesce(statuses.evse_id, -1) = coalesce(subjects.evse_id, -1)
            and coalesce(statuses.connector_id, 0) = subjects.told_connector_id
),

last_of_second as (
    select
        port_id,
        station_id,
        evse_id,
        connector_id,
        state,
        error_codes,
        changed_at,
        frame_id
    from told
    qualify row_number() over (
        partition by port_id, station_id, evse_id, connector_id, changed_at
        order by status_at desc, received_at desc nulls last, frame_id desc, status desc, error_codes desc
    ) = 1
),

neighbours as (
    select
        port_id,
        station_id,
        evse_id,
        connector_id,
        state,
        error_codes,
        changed_at,
        frame_id,
        lag(state) over (partition by port_id, station_id, evse_id, connector_id order by changed_at) as state_before,
        lag(error_codes)
            over (partition by port_id, station_id, evse_id, connector_id order by changed_at)
            as error_codes_before
    from last_of_second
)

select
    port_id,
    station_id,
    evse_id,
    connector_id,
    state,
    error_codes,
    changed_at as started_at,
    lead(changed_at) over (partition by port_id, station_id, evse_id, connector_id order by changed_at) as ended_at,
    frame_id
from neighbours
-- a repeated status is no change
where
    state_before is null
    or state <> state_before
    or error_codes <> error_codes_before
