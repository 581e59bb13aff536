{# One row is one dimension of one charging period of the kept version of a CDR; a period without dimensions is one
   row with dimension null. #}
with delivered as (
    select *
    from {{ source('ocpi', 'cdr_dimension') }}
),

kept as (
    select *
    from {{ ref('stg_ocpi__cdrs') }}
)

select
    kept.cdr_key,
    delivered.source_id,
    delivered.line_number,
    delivered.record_number,
    delivered.record_hash,
    delivered.peer,
    delivered.ocpi_version,
    delivered.country_code,
    delivered.party_id,
    delivered.cdr_id,
    delivered.period_number,
    delivered.period_started_at,
    delivered.tariff_id,
    delivered.dimension,
    delivered.volume
from delivered
inner join kept
    on delivered.source_id = kept.source_id and delivered.record_number = kept.record_number
