{# One row is one status of one connector, EVSE or station, delivered any number of times. #}
with delivered as (
    select *
    from {{ source('ocpp', 'status_event') }}
)

select
    frame_id,
    log_source,
    station_id,
    received_at,
    protocol,
    event_at,
    evse_id,
    connector_id,
    status,
    error_code,
    vendor_error_code,
    info,
    reported_by
from delivered
{{ first_delivery(['frame_id', 'evse_id', 'connector_id', 'event_at', 'status', 'error_code']) }}
