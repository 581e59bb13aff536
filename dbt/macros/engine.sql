{# Where DuckDB and Spark spell the same thing differently. Models call these; engine differences live nowhere else. #}

{# Whole seconds from one instant to a later one. Both sides are cut to the second first, so that seconds of adjacent
   intervals add up exactly. #}
{% macro seconds_between(start_at, end_at) -%}{{ adapter.dispatch('seconds_between', 'chargehouse')(start_at, end_at) }}{%- endmacro %}
{% macro duckdb__seconds_between(start_at, end_at) -%}
    (epoch_us({{ end_at }}) // 1000000 - epoch_us({{ start_at }}) // 1000000)
{%- endmacro %}
{% macro spark__seconds_between(start_at, end_at) -%}
    (unix_seconds({{ end_at }}) - unix_seconds({{ start_at }}))
{%- endmacro %}

{# The date on the wall at an instant in an IANA zone. #}
{% macro local_date(instant, time_zone) -%}{{ adapter.dispatch('local_date', 'chargehouse')(instant, time_zone) }}{%- endmacro %}
{% macro duckdb__local_date(instant, time_zone) -%}
    cast(timezone({{ time_zone }}, {{ instant }}) as date)
{%- endmacro %}
{% macro spark__local_date(instant, time_zone) -%}
    cast(from_utc_timestamp({{ instant }}, {{ time_zone }}) as date)
{%- endmacro %}

{# The instant at which a local date begins in an IANA zone. #}
{% macro local_midnight(local_date, time_zone) -%}{{ adapter.dispatch('local_midnight', 'chargehouse')(local_date, time_zone) }}{%- endmacro %}
{% macro duckdb__local_midnight(local_date, time_zone) -%}
    timezone({{ time_zone }}, cast({{ local_date }} as timestamp))
{%- endmacro %}
{% macro spark__local_midnight(local_date, time_zone) -%}
    to_utc_timestamp(cast({{ local_date }} as timestamp), {{ time_zone }})
{%- endmacro %}

{# Rows of dates from one date to another, both included: use as a lateral column, one row per date. #}
{% macro dates_between(first_date, last_date) -%}{{ adapter.dispatch('dates_between', 'chargehouse')(first_date, last_date) }}{%- endmacro %}
{% macro duckdb__dates_between(first_date, last_date) -%}
    unnest(generate_series(cast({{ first_date }} as timestamp), cast({{ last_date }} as timestamp), interval '1' day))
{%- endmacro %}
{% macro spark__dates_between(first_date, last_date) -%}
    explode(sequence({{ first_date }}, {{ last_date }}, interval 1 day))
{%- endmacro %}

{# The last value that is not null in a window. `over` is the text inside the parentheses. #}
{% macro last_known(expression, over) -%}{{ adapter.dispatch('last_known', 'chargehouse')(expression, over) }}{%- endmacro %}
{% macro duckdb__last_known(expression, over) -%}
    last_value({{ expression }} ignore nulls) over ({{ over }})
{%- endmacro %}
{% macro spark__last_known(expression, over) -%}
    last_value({{ expression }}) ignore nulls over ({{ over }})
{%- endmacro %}
