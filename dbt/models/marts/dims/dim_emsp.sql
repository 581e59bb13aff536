{# One row is one e-mobility service provider of the registry; `unmapped` stands for those of CDRs that it does not
   name. #}
with emsps as (
    select *
    from {{ ref('stg_registry__emsps') }}
),

cdrs as (
    select *
    from {{ ref('stg_ocpi__cdrs') }}
),

strangers as (
    select count(*) as cdr_count
    from cdrs
    left join emsps
        on upper(emsps.ocpi_party) = upper(cdrs.token_country_code) || '*' || upper(cdrs.token_party_id)
    where emsps.emsp_id is null
)

select
    emsp_id,
    name,
    ocpi_party,
    roaming_fee_per_kwh,
    roaming_fee_per_session,
    currency,
    true as is_registered
from emsps
union all
select
    'unmapped' as emsp_id,
    'Unmapped' as name,
    cast(null as varchar) as ocpi_party,
    cast(null as decimal(18, 6)) as roaming_fee_per_kwh,
    cast(null as decimal(18, 6)) as roaming_fee_per_session,
    cast(null as varchar) as currency,
    false as is_registered
from strangers
where
    strangers.cdr_count > 0
    and 'unmapped' not in (select emsps.emsp_id from emsps)
