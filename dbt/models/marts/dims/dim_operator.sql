{# One row is one operator (CPO): of the registry, or one that a site or contract names; `unmapped` runs what nobody
   claims. #}
with operators as (
    select *
    from {{ ref('stg_registry__operators') }}
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
    select operator_id from operators
    union
    select operator_id from sites
    union
    select operator_id from contracts
)

select
    named.operator_id,
    case
        when operators.operator_id is not null then operators.name
        when named.operator_id = 'unmapped' then 'Unmapped'
        else named.operator_id
    end as name,
    operators.ocpi_party,
    operators.operator_id is not null as is_registered
from named
left join operators
    on named.operator_id = operators.operator_id
