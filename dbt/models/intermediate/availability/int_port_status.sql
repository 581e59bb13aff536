{# One row is one change of the best state among the connectors of a port. #}
{# A view: most ports have one connector, whose statuses need no other row of this model to be read once more. #}
{{ config(materialized='view') }}
with connector_status as (
    select *
    from {{ ref('int_connector_status') }}
),

port_states as (
    select *
    from {{ ref('port_states') }}
),

connectors as (
    select
        port_id,
        station_id,
        evse_id,
        connector_id,
        row_number() over (partition by port_id order by station_id, evse_id, connector_id) as place,
        count(*) over (partition by port_id) as connector_count
    from connector_status
    group by port_id, station_id, evse_id, connector_id
),

single_ports as (
    select port_id
    from connectors
    where connector_count = 1
),

placed as (
    select
        connector_status.port_id,
        connectors.place,
        connector_status.started_at as changed_at,
        connector_status.state,
        connector_status.error_codes,
        port_states.best_rank
    from connector_status
    inner join connectors
        on
            connectors.connector_count > 1
            and connector_status.port_id = connectors.port_id
            and connector_status.station_id = connectors.station_id
            and coalesce(connector_status.evse_id, -1) = coalesce(connectors.evse_id, -1)
            and coalesce(connector_status.connector_id, -1) = coalesce(connectors.connector_id, -1)
    inner join port_states on connector_status.state = port_states.port_state
),

-- ports with several connectors: every connector at every change of any of them
changes as (
    select distinct
        port_id,
        changed_at
    from placed
),

grid as (
    select
        changes.port_id,
        changes.changed_at,
        connectors.place,
        -- best rank first; of equal connectors the first one, so that its codes are the port's
        placed.best_rank * 1000 + placed.place as rank_key,
        placed.state,
        placed.error_codes
    from changes
    inner join connectors on changes.port_id = connectors.port_id and connectors.connector_count > 1
    left join placed
        on
            changes.port_id = placed.port_id
            and changes.changed_at = placed.changed_at
            and connectors.place = placed.place
),

carried as (
    select
        port_id,
        changed_at,
        {{ last_known('rank_key', 'partition by port_id, place order by changed_at') }} as rank_key,
        {{ last_known('state', 'partition by port_id, place order by changed_at') }} as state,
        {{ last_known('error_codes', 'partition by port_id, place order by changed_at') }} as error_codes
    from grid
)

select
    connector_status.port_id,
    connector_status.started_at as changed_at,
    connector_status.state,
    connector_status.error_codes
from connector_status
inner join single_ports on connector_status.port_id = single_ports.port_id
union all
select
    port_id,
    changed_at,
    min_by(state, rank_key) as state,
    min_by(error_codes, rank_key) as error_codes
from carried
where rank_key is not null
group by port_id, changed_at
