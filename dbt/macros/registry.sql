{# How registry files become rows: rules that the registry's models share, each written once. #}

{# The IANA zone of what names none, as a SQL literal: the setting CHARGEHOUSE_DEFAULT_TIME_ZONE. #}
{% macro default_time_zone() -%}
    '{{ var("default_time_zone", env_var("CHARGEHOUSE_DEFAULT_TIME_ZONE", "UTC")) }}'
{%- endmacro %}

{# The body of a CTE: the rows of a registry table in files that are current, with the path of their file. Two current
   files with the same key: the row of the last path in alphabetical order is kept, so that the order of delivery changes
   nothing; qc_registry_conflict tells. #}
{% macro current_registry_rows(table, key_columns) -%}
    select
        delivered.*,
        landed.path
    from {{ source('registry', table) }} as delivered
    inner join {{ source('meta', 'landed_file') }} as landed
        on delivered.source_id = landed.source_id and landed.is_current and landed.kind = 'registry'
    qualify row_number() over (
        partition by {% for column in key_columns %}delivered.{{ column }}{{ ', ' if not loop.last }}{% endfor %}
        order by landed.path desc, delivered.line_number desc
    ) = 1
{%- endmacro %}

{# The instant at which a clock on the wall in an IANA zone shows a local time. A time that the clock skips is read with the
   offset before the change, one that it shows twice as the first or second as the engine has it. #}
{% macro instant_on_clock(local_time, time_zone) -%}{{ adapter.dispatch('instant_on_clock', 'chargehouse')(local_time, time_zone) }}{%- endmacro %}
{% macro duckdb__instant_on_clock(local_time, time_zone) -%}
    timezone({{ time_zone }}, {{ local_time }})
{%- endmacro %}
{% macro spark__instant_on_clock(local_time, time_zone) -%}
    to_utc_timestamp({{ local_time }}, {{ time_zone }})
{%- endmacro %}

{# The parts of a text between single spaces, one row each: use as a lateral column. #}
{% macro words_of(text) -%}{{ adapter.dispatch('words_of', 'chargehouse')(text) }}{%- endmacro %}
{% macro duckdb__words_of(text) -%}
    unnest(string_split({{ text }}, ' '))
{%- endmacro %}
{% macro spark__words_of(text) -%}
    explode(split({{ text }}, ' '))
{%- endmacro %}

{# The zone, if the engine knows it; null for anything else, which would stop every conversion. #}
{% macro known_time_zone(time_zone) -%}{{ adapter.dispatch('known_time_zone', 'chargehouse')(time_zone) }}{%- endmacro %}
{% macro duckdb__known_time_zone(time_zone) -%}
    case when {{ time_zone }} in (select zones.name from pg_timezone_names() as zones) then {{ time_zone }} end
{%- endmacro %}
{% macro spark__known_time_zone(time_zone) -%}
    case when try_to_timestamp('2000-01-01 00:00:00 ' || {{ time_zone }}) is not null then {{ time_zone }} end
{%- endmacro %}

{# The distinct values of a group in order, joined by one space. #}
{% macro joined_words(expression) -%}{{ adapter.dispatch('joined_words', 'chargehouse')(expression) }}{%- endmacro %}
{% macro duckdb__joined_words(expression) -%}
    nullif(array_to_string(list_sort(list_distinct(list({{ expression }}))), ' '), '')
{%- endmacro %}
{% macro spark__joined_words(expression) -%}
    nullif(array_join(array_sort(collect_set({{ expression }})), ' '), '')
{%- endmacro %}
