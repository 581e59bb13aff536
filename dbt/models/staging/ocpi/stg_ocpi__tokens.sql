{# One row is the latest version of one Token (issuing party or peer, pseudonym of its uid, and type). #}
with delivered as (
    select *
    from {{ source('ocpi', 'token') }}
),

kept as (
    {{ ocpi_latest('delivered', 'token_key', ['token_hash', "coalesce(token_type, '')"]) }}
)

select
    kept.token_key,
    kept.version_count,
    delivered.source_id,
    delivered.line_number,
    delivered.record_number,
    delivered.record_hash,
    delivered.peer,
    delivered.ocpi_version,
    delivered.country_code,
    delivered.party_id,
    delivered.token_hash,
    delivered.token_type,
    delivered.contract_hash,
    delivered.issuer,
    delivered.is_valid,
    delivered.whitelist,
    delivered.last_updated_at,
    delivered.raw
from delivered
inner join kept
    on delivered.source_id = kept.source_id and delivered.record_number = kept.record_number
