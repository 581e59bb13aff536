{# One row is the latest version of one CDR (owning party or peer, and CDR id), delivered any number of times. #}
{# A table: read by a dozen models, each of which would de-duplicate anew. #}
{{ config(materialized='table') }}
with delivered as (
    select *
    from {{ source('ocpi', 'cdr') }}
),

kept as (
    {{ ocpi_latest('delivered', 'cdr_key', ['lower(cdr_id)']) }}
)

select
    kept.cdr_key,
    kept.version_count,
    kept.delivery_count,
    delivered.source_id,
    delivered.line_number,
    delivered.record_number,
    delivered.record_hash,
    delivered.peer,
    delivered.ocpi_version,
    delivered.country_code,
    delivered.party_id,
    delivered.cdr_id,
    delivered.started_at,
    delivered.ended_at,
    delivered.ocpi_session_id,
    delivered.token_hash,
    delivered.token_type,
    delivered.token_country_code,
    delivered.token_party_id,
    delivered.contract_hash,
    delivered.auth_method,
    delivered.authorization_reference,
    delivered.location_id,
    delivered.location_name,
    delivered.location_country,
    delivered.location_time_zone,
    delivered.evse_uid,
    delivered.evse_id,
    delivered.connector_id,
    delivered.connector_standard,
    delivered.connector_power_type,
    delivered.meter_id,
    delivered.currency,
    delivered.total_energy_kwh,
    delivered.total_time_h,
    delivered.total_parking_time_h,
    delivered.total_cost_net,
    delivered.total_cost_gross,
    delivered.total_fixed_cost_net,
    delivered.total_fixed_cost_gross,
    delivered.total_energy_cost_net,
    delivered.total_energy_cost_gross,
    delivered.total_time_cost_net,
    delivered.total_time_cost_gross,
    delivered.total_parking_cost_net,
    delivered.total_parking_cost_gross,
    delivered.total_reservation_cost_net,
    delivered.total_reservation_cost_gross,
    delivered.remark,
    delivered.invoice_reference_id,
    delivered.is_credit,
    delivered.credit_reference_id,
    delivered.is_home_charging_compensation,
    delivered.last_updated_at,
    delivered.defects,
    delivered.raw
from delivered
inner join kept
    on delivered.source_id = kept.source_id and delivered.record_number = kept.record_number
