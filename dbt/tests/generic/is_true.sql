{# Rows returned are those for which `expression` is not true; a null expression counts as not true. #}
{% test is_true(model, expression, column_name=none) %}
select *
from {{ model }}
where not coalesce({{ expression }}, false)
{% endtest %}
