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

-- One pass tells the last of several statuses in one second, and leaves out what repeats the status of an earlier second.
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
        lead(changed_at) over told_order as next_told_at,
        lag(changed_at) over told_order as told_before_at,
        lag(state || '|' || error_codes) over told_order as status_before
    from told
    window told_order as (
        partition by port_id, station_id, evse_id, connector_id
        order by changed_at, status_at, received_at nulls first, frame_id, status, error_codes
    )
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
where
    (next_told_at is null or next_told_at > changed_at)
    and (
        told_before_at is null
        or state || '|' || error_codes <> status_before
        -- the status before it in the same second hides the one it follows: it is kept, even if it repeats that one
        or told_before_at = changed_at
    )
