{# One row is one reason that excuses downtime under one SLA policy, with its conditions and caps. #}
with policies as (
    select *
    from {{ ref('dim_sla_policy') }}
),

rules as (
    select
        policy_id,
        {{ words_of('exclusions') }} as rule
    from policies
    where exclusions is not null
)

select
    policy_id,
    split_part(rule, ':', 1) as reason,
    rule like '%:evidence%' as is_evidence_required,
    rule like '%:automatic%' as is_automatic,
    cast(nullif(regexp_extract(rule, 'incident=([0-9]+)', 1), '') as bigint) * 60 as cap_per_incident_s,
    cast(nullif(regexp_extract(rule, 'year=([0-9]+)', 1), '') as bigint) * 60 as cap_per_year_s
from rules
