{# One row is one version of one tariff, however many CDRs embed it: prices are read once per distinct content. #}
with tariffs as (
    select * from {{ ref('stg_ocpi__tariffs') }}
),

-- A version's id is made of its content, so the copies agree in every column but those of their delivery.
versions as (
    select
        tariff_version_id,
        min(tariff_key) as tariff_key,
        min(peer) as peer,
        min(country_code) as country_code,
        min(party_id) as party_id,
        min(tariff_id) as tariff_id,
        min(ocpi_version) as ocpi_version,
        min(upper(currency)) as currency,
        min(upper(tariff_type)) as tariff_type,
        min(upper(tax_included)) as tax_included,
        min(valid_from_at) as valid_from_at,
        min(valid_to_at) as valid_to_at,
        min(min_price_net) as min_price_net,
        min(min_price_gross) as min_price_gross,
        min(max_price_net) as max_price_net,
        min(max_price_gross) as max_price_gross,
        min(alt_text) as alt_text,
        min(last_updated_at) as last_updated_at,
        max(case when embedded_in_cdr_key is null then 1 else 0 end) = 1 as is_from_tariffs_module,
        count(embedded_in_cdr_key) as embedded_copy_count
    from tariffs
    group by tariff_version_id
)

select
    -- Narrow, for the joins over millions of periods.
    cast(row_number() over (order by tariff_version_id) as integer) as price_list_number,
    tariff_version_id,
    tariff_key,
    {{ ocpi_party() }} as party,
    peer,
    country_code,
    party_id,
    tariff_id,
    lower(tariff_id) as tariff_id_key,
    ocpi_version,
    currency,
    tariff_type,
    case tax_included when 'YES' then 'gross' when 'N/A' then 'untaxed' else 'net' end as price_basis,
    valid_from_at,
    valid_to_at,
    min_price_net,
    {{ to_nano('min_price_net') }} as min_price_net_nano,
    min_price_gross,
    {{ to_nano('min_price_gross') }} as min_price_gross_nano,
    max_price_net,
    {{ to_nano('max_price_net') }} as max_price_net_nano,
    max_price_gross,
    {{ to_nano('max_price_gross') }} as max_price_gross_nano,
    alt_text,
    last_updated_at,
    is_from_tariffs_module,
    cast(embedded_copy_count as bigint) as embedded_copy_count
from versions
