{# One row is the latest version of one Location (owning party or peer, and location id). #}
with delivered as (
    select *
    from {{ source('ocpi', 'location') }}
),

kept as (
    {{ ocpi_latest('delivered', 'location_key', ['lower(location_id)']) }}
)

select
    kept.location_key,
    kept.version_count,
    delivered.source_id,
    delivered.line_number,
    delivered.record_number,
    delivered.record_hash,
    delivered.peer,
    delivered.ocpi_version,
    delivered.country_code,
    delivered.party_id,
    delivered.location_id,
    delivered.name,
    delivered.address,
    delivered.city,
    delivered.postal_code,
    delivered.country,
    delivered.latitude,
    delivered.longitude,
    delivered.time_zone,
    delivered.owner_name,
    delivered.operator_name,
    delivered.last_updated_at,
    delivered.raw
from delivered
inner join kept
    on delivered.source_id = kept.source_id and delivered.record_number = kept.record_number
