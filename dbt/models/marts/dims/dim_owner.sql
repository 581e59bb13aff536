{# One row is one owner: of the registry, or one that a site or contract names; `unmapped` owns what nobody claims. #}
with owners as (
    select *
    from {{ ref('stg_registry__owners') }}
),

sites as (
    select *
    from {{ ref('dim_site') }}
),

contracts as (
    select *
    from {{ ref('stg_registry__contracts') }}
),

named as (
    select owner_id from owners
    union
    select owner_id from sites
    union
    select owner_id from contracts
)

select
    named.owner_id,
    case
        when owners.owner_id is not null then owners.name
        when named.owner_id = 'unmapped' then 'Unmapped'
        else named.owner_id
    end as name,
    owners.country_code,
    owners.currency,
    owners.email,
    owners.owner_id is not null as is_registered
from named
left join owners
    on named.owner_id = owners.owner_id
