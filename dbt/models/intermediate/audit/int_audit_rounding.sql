{# One row is one CPO of an OCPI peer with the way it rounds totals: declared by the user, else the one that explains most of its
   CDRs to the last decimal. #}
with costs as (
    select * from {{ ref('int_audit_cost') }}
),

cdrs as (
    select
        *,
        {{ ocpi_party() }} as party
    from {{ ref('stg_ocpi__cdrs') }}
),

policies as (
    select * from {{ ref('rounding_policies') }}
),

declared as (
    {{ declared_roundings() }}
),

-- Some thousand CDRs show a habit as well as millions; keys are hashes, so the first are a fair choice.
sampled as (
    select
        costs.*,
        cdrs.party,
        {{ to_nano('cdrs.total_cost_net') }} as billed_net,
        {{ to_nano('cdrs.total_cost_gross') }} as billed_gross
    from costs
    inner join cdrs on costs.cdr_key = cdrs.cdr_key
    qualify row_number() over (partition by costs.peer, cdrs.party order by costs.cdr_key) <= 2000
),

netted as (
    select
        costs.*,
        policies.rounding_id,
        policies.rank_number,
        policies.rounded,
        policies.tax_of,
        {{ policy_net('costs', 'policies') }} as policy_net
    from sampled as costs
    cross join policies
),

tried as (
    select
        costs.peer,
        costs.party,
        costs.rounding_id,
        costs.rank_number,
        coalesce(abs(costs.billed_net - costs.policy_net) < 100000, true)
        and coalesce(abs(costs.billed_gross - {{ policy_gross('costs', 'costs', 'costs.policy_net') }}) < 100000, true)
            as is_explained
    from netted as costs
),

scored as (
    select
        peer,
        party,
        rounding_id,
        rank_number,
        count(*) as sampled_cdr_count,
        sum(case when is_explained then 1 else 0 end) as explained_cdr_count
    from tried
    group by peer, party, rounding_id, rank_number
),

inferred as (
    select *
    from scored
    qualify row_number() over (partition by peer, party order by explained_cdr_count desc, rank_number asc) = 1
)

select
    inferred.peer,
    inferred.party,
    coalesce(policies.rounding_id, inferred.rounding_id) as rounding_id,
    case when policies.rounding_id is null then 'inferred' else 'declared' end as rounding_source,
    inferred.sampled_cdr_count,
    coalesce(scored.explained_cdr_count, inferred.explained_cdr_count) as explained_cdr_count
from inferred
left join declared on lower(inferred.peer) = declared.peer_key
left join policies on declared.rounding_id = policies.rounding_id
left join scored
    on
        inferred.peer = scored.peer
        and inferred.party = scored.party
        and policies.rounding_id = scored.rounding_id
