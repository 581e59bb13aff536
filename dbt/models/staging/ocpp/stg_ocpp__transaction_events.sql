{# One row is one StartTransaction, StopTransaction or TransactionEvent call, delivered any number of times. #}
with delivered as (
    select *
    from {{ source('ocpp', 'transaction_event') }}
)

select
    frame_id,
    log_source,
    station_id,
    received_at,
    connection_id,
    message_id,
    protocol,
    event_at,
    event_type,
    transaction_id,
    evse_id,
    connector_id,
    id_token_hash,
    meter_wh,
    reason,
    seq_no,
    is_offline,
    charging_state,
    trigger_reason,
    remote_start_id,
    reservation_id
from delivered
{{ first_delivery(['frame_id']) }}
