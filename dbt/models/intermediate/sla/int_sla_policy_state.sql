{# One row is one policy and one port state, with what the policy counts that state as. #}
with policies as (
    select *
    from {{ ref('dim_sla_policy') }}
)

{% for state in mapped_states() -%}
select
    policy_id,
    '{{ state }}' as state,
    status_map_{{ state }} as treatment
from policies
{% if not loop.last %}union all
{% endif %}
{%- endfor %}
