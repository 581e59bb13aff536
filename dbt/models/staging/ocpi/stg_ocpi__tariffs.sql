{# One row is one version of one tariff: once as the Tariffs module delivered it, and once for each CDR that embeds
   it. #}
{# A table: read by several models; de-duplicated once. #}
{{ config(materialized='table') }}
with delivered as (
    select
        *,
        {{ ocpi_key(["lower(coalesce(tariff_id, ''))"]) }} as tariff_key,
        {{ ocpi_key(["lower(coalesce(tariff_id, ''))", 'record_hash']) }} as tariff_version_id
    from {{ source('ocpi', 'tariff') }}
),

cdrs as (
    select *
    from {{ ref('stg_ocpi__cdrs') }}
),

from_module as (
    select
        *,
        cast(null as varchar) as embedded_in_cdr_key
    from delivered
    where embedded_in_cdr_id is null
    qualify row_number() over (
        partition by record_hash
        order by case when peer = '' then 1 else 0 end, peer, source_id, record_number
    ) = 1
),

-- The module gives current tariffs only; a version holds until the next one was made.
module_versions as (
    select
        *,
        lead(last_updated_at) over (
            partition by tariff_key
            order by last_updated_at, record_hash
        ) as superseded_at
    from from_module
),

embedded as (
    select
        delivered.*,
        cdrs.cdr_key as embedded_in_cdr_key,
        cast(null as timestamptz) as superseded_at
    from delivered
    inner join cdrs
        on delivered.source_id = cdrs.source_id and delivered.record_number = cdrs.record_number
    where delivered.embedded_in_cdr_id is not null
    qualify row_number() over (
        partition by cdrs.cdr_key, delivered.tariff_version_id
        order by delivered.source_id, delivered.record_number
    ) = 1
),

versions as (
    select *
    from module_versions
    union all
    select *
    from embedded
)

select
    tariff_version_id,
    tariff_key,
    embedded_in_cdr_key,
    superseded_at,
    source_id,
    line_number,
    record_number,
    record_hash,
    peer,
    ocpi_version,
    country_code,
    party_id,
    tariff_id,
    embedded_in_cdr_id,
    currency,
    tariff_type,
    tax_included,
    valid_from_at,
    valid_to_at,
    min_price_net,
    min_price_gross,
    max_price_net,
    max_price_gross,
    alt_text,
    last_updated_at,
    raw
from versions
