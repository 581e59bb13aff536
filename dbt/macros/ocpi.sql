{# How delivered OCPI objects are told apart: rules that the OCPI staging models share, each written once. #}

{# The party that owns an object, in capitals since OCPI compares ids without regard to case: `CC*PID`, and where
   the object names none (2.1.1) the peer it came from. #}
{% macro ocpi_party() -%}
    coalesce(upper(country_code) || '*' || upper(party_id), 'peer ' || lower(peer))
{%- endmacro %}

{# A key from the owning party and the object's own id (an expression in lower case, or several). #}
{% macro ocpi_key(id_expressions) -%}
    md5(concat_ws('|', {{ ocpi_party() }}, {{ id_expressions | join(', ') }}))
{%- endmacro %}

{# The body of a CTE: the latest version of each object of `relation`, as (source_id, record_number, <key_name>,
   version_count, delivery_count). The same object in several files counts once; of several versions the one updated last is kept, and
   of versions updated at the same instant the one with the greater hash, so that the order of delivery changes
   nothing. #}
{% macro ocpi_latest(relation, key_name, id_expressions) %}
    select
        source_id,
        record_number,
        {{ key_name }},
        version_count,
        delivery_count
    from (
        select
            source_id,
            record_number,
            {{ key_name }},
            delivery_count,
            row_number() over (
                partition by {{ key_name }}
                order by last_updated_at desc nulls last, record_hash desc
            ) as version_rank,
            count(*) over (partition by {{ key_name }}) as version_count
        from (
            select
                source_id,
                record_number,
                record_hash,
                last_updated_at,
                {{ ocpi_key(id_expressions) }} as {{ key_name }},
                count(*) over (partition by record_hash) as delivery_count
            from {{ relation }}
            qualify row_number() over (
                partition by record_hash
                order by case when peer = '' then 1 else 0 end, peer, source_id, record_number
            ) = 1
        ) as objects
    ) as versions
    where version_rank = 1
{% endmacro %}

{# The values of a group in order as the text of a JSON array. #}
{% macro json_array_of(expression) -%}{{ adapter.dispatch('json_array_of', 'chargehouse')(expression) }}{%- endmacro %}
{% macro duckdb__json_array_of(expression) -%}
    cast(to_json(list_sort(list({{ expression }}))) as varchar)
{%- endmacro %}
{% macro spark__json_array_of(expression) -%}
    to_json(array_sort(collect_list({{ expression }})))
{%- endmacro %}

{# A scalar as it stands in JSON: a text in quotes, escaped. #}
{% macro json_quoted(expression) -%}{{ adapter.dispatch('json_quoted', 'chargehouse')(expression) }}{%- endmacro %}
{% macro duckdb__json_quoted(expression) -%}
    cast(to_json({{ expression }}) as varchar)
{%- endmacro %}
{% macro spark__json_quoted(expression) -%}
    substr(to_json(array({{ expression }})), 2, length(to_json(array({{ expression }}))) - 2)
{%- endmacro %}

{# A field at the top of a JSON text; null where the text is no JSON. #}
{% macro json_field(text, name) -%}{{ adapter.dispatch('json_field', 'chargehouse')(text, name) }}{%- endmacro %}
{% macro duckdb__json_field(text, name) -%}
    case when json_valid({{ text }}) then json_extract_string({{ text }}, '$.{{ name }}') end
{%- endmacro %}
{% macro spark__json_field(text, name) -%}
    get_json_object({{ text }}, '$.{{ name }}')
{%- endmacro %}

{# Whole days from one instant to a later one. #}
{% macro whole_days(start_at, end_at) -%}
    cast({{ whole_quotient(seconds_between(start_at, end_at), 86400) }} as integer)
{%- endmacro %}

{# An instant as OCPI writes it, UTC in whole seconds. #}
{% macro ocpi_time(instant) -%}{{ adapter.dispatch('ocpi_time', 'chargehouse')(instant) }}{%- endmacro %}
{% macro duckdb__ocpi_time(instant) -%}
    strftime(timezone('UTC', {{ instant }}), '%Y-%m-%dT%H:%M:%SZ')
{%- endmacro %}
{% macro spark__ocpi_time(instant) -%}
    date_format({{ instant }}, "yyyy-MM-dd'T'HH:mm:ss'Z'")
{%- endmacro %}
