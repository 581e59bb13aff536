{# One row is one websocket connection opened or closed, delivered any number of times. #}
with delivered as (
    select *
    from {{ source('ocpp', 'connection_event') }}
)

select
    frame_id,
    log_source,
    station_id,
    received_at,
    log_format,
    received_at_quality,
    connection_id,
    event,
    close_code,
    protocol
from delivered
{{ first_delivery(['frame_id']) }}
