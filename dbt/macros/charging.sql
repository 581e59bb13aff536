{# How OCPP messages become sessions: rules that several models share, each written once. #}

{# True where a message carries the time at which it arrived: at most 120 s earlier (it was sent as it happened, over a slow
   link or by a clock that lags a little) and at most 60 s later (a clock that is a little fast). #}
{% macro is_live(event_at, received_at) -%}
    ({{ event_at }} >= {{ received_at }} - interval '120' second
    and {{ event_at }} <= {{ received_at }} + interval '60' second)
{%- endmacro %}

{# The actions whose messages carry a time of the charger. #}
{% macro clock_actions() -%}
    {{ return(['StatusNotification', 'NotifyEvent', 'StartTransaction', 'StopTransaction', 'TransactionEvent', 'MeterValues']) }}
{%- endmacro %}

{# The action of a transaction event of the lake. #}
{% macro transaction_action(event_type, seq_no, protocol) -%}
    case
        when not coalesce({{ protocol }} = 'ocpp1.6', {{ seq_no }} is null) then 'TransactionEvent'
        when {{ event_type }} = 'Started' then 'StartTransaction'
        else 'StopTransaction'
    end
{%- endmacro %}

{# The condition on which `clock`, a row of int_station_clock, tells how wrong the time of a message is. #}
{% macro clock_tells(clock, events, event_at, action) -%}
    {{ events }}.station_id = {{ clock }}.station_id
    and {{ events }}.received_at >= {{ clock }}.from_at
    and {{ events }}.received_at < {{ clock }}.to_at
    and case
        when {{ events }}.{{ event_at }} < {{ instant("'2010-01-01 00:00:00+00:00'") }}
            then {{ clock }}.clock_year = cast(extract(year from {{ events }}.{{ event_at }}) as varchar)
        else {{ clock }}.clock_year is null and {{ clock }}.action = {{ action }}
    end
{%- endmacro %}

{# When something happened. A charger can report late (it queues transaction messages while offline), never early: a time
   more than 60 s after the frame was received is a wrong clock. Before 2010 there is no OCPP 1.6 charger: such times are
   clocks that restarted. Both are put right by the correction that int_station_clock knows, else the arrival counts. #}
{% macro charger_time(event_at, received_at, correction_s='null') -%}
case
    when {{ event_at }} is null then {{ received_at }}
    when {{ received_at }} is null or {{ is_live(event_at, received_at) }} then {{ event_at }}
    when {{ event_at }} + {{ correction_s }} * interval '1' second <= {{ received_at }} + interval '60' second
        then {{ event_at }} + {{ correction_s }} * interval '1' second
    when {{ event_at }} < {{ instant("'2010-01-01 00:00:00+00:00'") }}
        or {{ event_at }} > {{ received_at }} + interval '60' second
        then {{ received_at }}
    else {{ event_at }}
end
{%- endmacro %}

{# The charger's own time, put right where its clock is known to be wrong and the message did not arrive at that time;
   not judged any further. #}
{% macro corrected_time(event_at, received_at, correction_s) -%}
case
    when {{ received_at }} is null or {{ is_live(event_at, received_at) }} then {{ event_at }}
    when {{ event_at }} + {{ correction_s }} * interval '1' second <= {{ received_at }} + interval '60' second
        then {{ event_at }} + {{ correction_s }} * interval '1' second
    else {{ event_at }}
end
{%- endmacro %}

{# How charger_time came to its time: as_sent, late (the charger's own time, more than five minutes before the arrival),
   offset_corrected, boot_corrected, received_used. #}
{% macro charger_time_quality(event_at, received_at, correction_s, clock_reason) -%}
case
    when {{ event_at }} is null then 'received_used'
    when {{ received_at }} is null or {{ is_live(event_at, received_at) }} then 'as_sent'
    when {{ event_at }} + {{ correction_s }} * interval '1' second <= {{ received_at }} + interval '60' second
        then case {{ clock_reason }} when 'boot_relative' then 'boot_corrected' else 'offset_corrected' end
    when {{ event_at }} < {{ instant("'2010-01-01 00:00:00+00:00'") }}
        or {{ event_at }} > {{ received_at }} + interval '60' second
        then 'received_used'
    when {{ event_at }} < {{ received_at }} - interval '300' second then 'late'
    else 'as_sent'
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

{# The energy in Wh that a power in kW gives in some seconds and a tenth more, at most what a session can take at all. #}
{% macro most_wh(power_kw, seconds) -%}
    least({{ power_kw }} * 1100.0 * ({{ seconds }}) / 3600, {{ var('session_max_energy_kwh') }} * 1000.0)
{%- endmacro %}

{# A value of a kept payload by its path, as text. #}
{% macro payload_text(json, path) -%}{{ adapter.dispatch('payload_text', 'chargehouse')(json, path) }}{%- endmacro %}
{% macro duckdb__payload_text(json, path) -%}json_extract_string({{ json }}, '$.{{ path }}'){%- endmacro %}
{% macro spark__payload_text(json, path) -%}get_json_object({{ json }}, '$.{{ path }}'){%- endmacro %}

{# The first minimum required error code (CX001 to CX026) in a text that may hold several; null if there is none. #}
{% macro required_error_code(text) -%}
    nullif(regexp_extract({{ text }}, 'CX[0-9][0-9][0-9]', 0), '')
{%- endmacro %}
