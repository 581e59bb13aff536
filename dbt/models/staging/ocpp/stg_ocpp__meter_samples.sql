{# One row is one sampled meter value, delivered any number of times. #}
with delivered as (
    select *
    from {{ source('ocpp', 'meter_sample') }}
)

select
    frame_id,
    log_source,
    station_id,
    received_at,
    sample_number,
    action,
    transaction_id,
    evse_id,
    connector_id,
    sampled_at,
    measurand,
    phase,
    location,
    context,
    unit,
    value,
    raw_value
from delivered
{{ first_delivery(['frame_id', 'sample_number']) }}
