{# One row is one connector (2.x: EVSE and connector) that a station named in a status, a transaction or a meter
   value. #}
{# Read from the lake as delivered: a record delivered twice changes neither the list nor its first and last sight. #}
with statuses as (
    select *
    from {{ source('ocpp', 'status_event') }}
),

transactions as (
    select *
    from {{ source('ocpp', 'transaction_event') }}
),

samples as (
    select *
    from {{ source('ocpp', 'meter_sample') }}
),

sightings as (
    select
        station_id,
        protocol,
        evse_id,
        connector_id,
        coalesce(received_at, event_at) as seen_at
    from statuses
    union all
    select
        station_id,
        protocol,
        evse_id,
        connector_id,
        coalesce(received_at, event_at) as seen_at
    from transactions
    union all
    -- a sample does not tell its protocol
    select
        station_id,
        cast(null as varchar) as protocol,
        evse_id,
        connector_id,
        coalesce(received_at, sampled_at) as seen_at
    from samples
)

select
    station_id,
    max(protocol) as protocol,
    evse_id,
    -- connector 0 of an EVSE is the EVSE itself
    nullif(connector_id, 0) as connector_id,
    min(seen_at) as first_seen_at,
    max(seen_at) as last_seen_at
from sightings
-- 0 is the whole station, and so is a message that names neither EVSE nor connector
where coalesce(evse_id, connector_id, 0) > 0
group by station_id, evse_id, nullif(connector_id, 0)
