{# One row is one OCPP frame, delivered any number of times; without its payload. #}
with delivered as (
    select *
    from {{ source('ocpp', 'frame') }}
)

select
    frame_id,
    log_source,
    station_id,
    received_at,
    log_format,
    received_at_quality,
    connection_id,
    direction,
    protocol,
    message_type,
    message_id,
    action,
    error_code,
    error_description,
    result_status,
    result_interval_s,
    result_transaction_id,
    result_current_at
from delivered
{{ first_delivery(['frame_id']) }}
