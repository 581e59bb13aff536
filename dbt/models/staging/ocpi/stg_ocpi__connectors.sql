{# One row is one connector of one EVSE of the kept version of a Location; an EVSE without connectors is one row
   with connector_id null. #}
with delivered as (
    select *
    from {{ source('ocpi', 'connector') }}
),

kept as (
    select *
    from {{ ref('stg_ocpi__locations') }}
)

select
    kept.location_key,
    delivered.source_id,
    delivered.line_number,
    delivered.record_number,
    delivered.record_hash,
    delivered.peer,
    delivered.ocpi_version,
    delivered.country_code,
    delivered.party_id,
    delivered.location_id,
    delivered.evse_uid,
    delivered.evse_id,
    delivered.evse_status,
    delivered.connector_id,
    delivered.standard,
    delivered.format,
    delivered.power_type,
    delivered.max_voltage_v,
    delivered.max_amperage_a,
    delivered.max_electric_power_w,
    delivered.tariff_ids,
    delivered.evse_last_updated_at
from delivered
inner join kept
    on delivered.source_id = kept.source_id and delivered.record_number = kept.record_number
