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
   version_count). The same object in several files counts once; of several versions the one updated last is kept, and
   of versions updated at the same instant the one with the greater hash, so that the order of delivery changes
   nothing. #}
{% macro ocpi_latest(relation, key_name, id_expressions) %}
    select
        source_id,
        record_number,
        {{ key_name }},
        version_count
    from (
        select
            source_id,
            record_number,
            {{ key_name }},
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
                {{ ocpi_key(id_expressions) }} as {{ key_name }}
            from {{ relation }}
            qualify row_number() over (
                partition by record_hash
                order by case when peer = '' then 1 else 0 end, peer, source_id, record_number
            ) = 1
        ) as objects
    ) as versions
    where version_rank = 1
{% endmacro %}
