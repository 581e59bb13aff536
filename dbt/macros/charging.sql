{# How OCPP messages become sessions: rules that several models share, each written once. #}

{# When something happened, by the charger's clock where it can be believed, else by the logger's.
   A charger can report late (it queues transaction messages while offline), never early: a time more than 60 s after the
   frame was received is a wrong clock or local time marked as UTC. Before 2010 there is no OCPP 1.6 charger: such times
   are clocks that restarted (1970, 2000). #}
{% macro charger_time(event_at, received_at) -%}
case
    when {{ event_at }} is null
        or {{ event_at }} < {{ instant("'2010-01-01 00:00:00+00:00'") }}
        or {{ event_at }} > {{ received_at }} + interval '60' second
        then coalesce({{ received_at }}, {{ event_at }})
    else {{ event_at }}
end
{%- endmacro %}

{# True for rows of stg_ocpp__transaction_events that a 1.6 station sent; only 2.x events are numbered. #}
{% macro is_ocpp16(events) -%}
coalesce({{ events }}.protocol = 'ocpp1.6', {{ events }}.seq_no is null)
{%- endmacro %}

{# An instant as text in microseconds since 1970, the same on every engine: for keys made by hashing. #}
{% macro instant_text(instant) -%}{{ adapter.dispatch('instant_text', 'chargehouse')(instant) }}{%- endmacro %}
{% macro duckdb__instant_text(instant) -%}
    coalesce(cast(epoch_us({{ instant }}) as varchar), '')
{%- endmacro %}
{% macro spark__instant_text(instant) -%}
    coalesce(cast(unix_micros({{ instant }}) as string), '')
{%- endmacro %}

{# Identity of a session: the parts of its natural key, hashed. #}
{% macro session_key(station_id, connector, transaction_id, started_at) -%}
md5(concat_ws(
    '|',
    {{ station_id }},
    coalesce(cast({{ connector }} as string), ''),
    coalesce({{ transaction_id }}, ''),
    {{ instant_text(started_at) }}
))
{%- endmacro %}

{# The start of the quarter hour (UTC) that holds an instant. #}
{% macro quarter_hour(instant) -%}
time_bucket(interval '15' minute, {{ instant }})
{%- endmacro %}

{# Rows of quarter hours from the one that holds `start_at` to the one that holds `end_at`: a lateral column. #}
{% macro quarter_hours_between(start_at, end_at) -%}{{ adapter.dispatch('quarter_hours_between', 'chargehouse')(start_at, end_at) }}{%- endmacro %}
{% macro duckdb__quarter_hours_between(start_at, end_at) -%}
    unnest(generate_series({{ quarter_hour(start_at) }}, {{ quarter_hour(end_at) }}, interval '15' minute))
{%- endmacro %}
{% macro spark__quarter_hours_between(start_at, end_at) -%}
    explode(sequence({{ quarter_hour(start_at) }}, {{ quarter_hour(end_at) }}, interval 15 minute))
{%- endmacro %}

{# An instant written out: a quoted text with its offset. #}
{% macro instant(literal) -%}{{ adapter.dispatch('instant', 'chargehouse')(literal) }}{%- endmacro %}
{% macro duckdb__instant(literal) -%}timestamptz {{ literal }}{%- endmacro %}
{% macro spark__instant(literal) -%}timestamp {{ literal }}{%- endmacro %}

{# A null of the type of instants. #}
{% macro no_instant() -%}{{ adapter.dispatch('no_instant', 'chargehouse')() }}{%- endmacro %}
{% macro duckdb__no_instant() -%}cast(null as timestamptz){%- endmacro %}
{% macro spark__no_instant() -%}cast(null as timestamp){%- endmacro %}
