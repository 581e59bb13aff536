{# One row is one transaction of an OCPP 2.x station, made of its TransactionEvents. #}
with events as (
    select * from {{ ref('int_ocpp2_events') }}
),

-- The EVSE, the connector and the token are sent once, with whichever event learns them first.
transactions as (
    select
        station_id,
        transaction_id,
        max(protocol) as protocol,
        min(event_at) as started_at,
        max(event_at) as last_event_at,
        min(case when event_type = 'Ended' then event_at end) as stopped_at,
        min_by(evse_id, event_number) filter (where evse_id is not null) as evse_id,
        min_by(connector_id, event_number) filter (where connector_id is not null) as connector_id,
        min_by(id_token_hash, event_number) filter (where id_token_hash is not null) as id_token_hash,
        min_by(reason, event_number) filter (where event_type = 'Ended' and reason is not null) as reason,
        max(case when event_type = 'Started' then 1 else 0 end) = 1 as has_start,
        min_by(frame_id, event_number) filter (where event_type = 'Started') as start_frame_id,
        min_by(frame_id, event_number) filter (where event_type = 'Ended') as stop_frame_id
    from events
    group by station_id, transaction_id
)

select
    {{ session_key('station_id', 'evse_id', 'transaction_id', 'started_at') }} as session_id,
    station_id,
    protocol,
    evse_id,
    connector_id,
    transaction_id,
    started_at,
    stopped_at,
    id_token_hash,
    reason,
    has_start,
    start_frame_id,
    stop_frame_id,
    last_event_at
from transactions
