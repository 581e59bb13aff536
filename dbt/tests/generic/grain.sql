{# Rows returned break what one row is: a key that occurs more than once (nulls count as equal), or a column that must
   be filled and is not. One test a model instead of one a column: each test costs a run some 0.1 s. #}
{% test grain(model, key, never_null=[]) %}
select 'the key occurs more than once' as problem, {{ key | join(', ') }}
from {{ model }}
group by {{ key | join(', ') }}
having count(*) > 1
{% if never_null %}
union all
select 'a required column is empty' as problem, {{ key | join(', ') }}
from {{ model }}
where {{ never_null | join(' is null or ') }} is null
{% endif %}
{% endtest %}
