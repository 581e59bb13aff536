{# One row is the latest version of one OCPI Session (owning party or peer, and session id). #}
with delivered as (
    select *
    from {{ source('ocpi', 'session') }}
),

kept as (
    {{ ocpi_latest('delivered', 'session_key', ['lower(ocpi_session_id)']) }}
)

select
    kept.session_key,
    kept.version_count,
    delivered.source_id,
    delivered.line_number,
    delivered.record_number,
    delivered.record_hash,
    delivered.peer,
    delivered.ocpi_version,
    delivered.country_code,
    delivered.party_id,
    delivered.ocpi_session_id,
    delivered.started_at,
    delivered.ended_at,
    delivered.energy_kwh,
    delivered.token_hash,
    delivered.token_type,
    delivered.token_country_code,
    delivered.token_party_id,
    delivered.contract_hash,
    delivered.auth_method,
    delivered.authorization_reference,
    delivered.location_id,
    delivered.evse_uid,
    delivered.connector_id,
    delivered.currency,
    delivered.status,
    delivered.total_cost_net,
    delivered.total_cost_gross,
    delivered.last_updated_at,
    delivered.raw
from delivered
inner join kept
    on delivered.source_id = kept.source_id and delivered.record_number = kept.record_number
