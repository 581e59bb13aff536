{# One row is one BootNotification call, delivered any number of times. #}
with delivered as (
    select *
    from {{ source('ocpp', 'boot') }}
)

select
    frame_id,
    log_source,
    station_id,
    received_at,
    connection_id,
    message_id,
    protocol,
    vendor,
    model,
    serial_number,
    firmware_version,
    reason
from delivered
{{ first_delivery(['frame_id']) }}
