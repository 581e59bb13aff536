{# Fails on every interval that does not begin where the one before it in its partition ended, and on every open
   interval that is not the last one. #}
{% test follows_without_gap(model, partition, started_at, ended_at) %}
select *
from (
    select
        {{ partition }},
        {{ started_at }},
        {{ ended_at }},
        lead({{ started_at }}) over (partition by {{ partition }} order by {{ started_at }}) as next_started_at
    from {{ model }}
) as intervals
where {{ ended_at }} is distinct from next_started_at
{% endtest %}
