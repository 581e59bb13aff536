{# How OCPP evidence becomes port state: the rules that several models share, each written once. #}

{# Keeps one copy of a record that was delivered in several files. The copy is chosen by content (a source_id is a hash of
   the file), never by the order of delivery, so that the marts do not depend on it either. #}
{% macro first_delivery(key_columns) -%}
qualify row_number() over (
    partition by {{ key_columns | join(', ') }}
    order by log_source, source_id, line_number
) = 1
{%- endmacro %}

{# Seconds since 1970, cut down. #}
{% macro epoch_second(instant) -%}{{ adapter.dispatch('epoch_second', 'chargehouse')(instant) }}{%- endmacro %}
{% macro duckdb__epoch_second(instant) -%}(epoch_us({{ instant }}) // 1000000){%- endmacro %}
{% macro spark__epoch_second(instant) -%}unix_seconds({{ instant }}){%- endmacro %}

{# The instant cut down to its whole second. #}
{% macro whole_second(instant) -%}{{ adapter.dispatch('whole_second', 'chargehouse')(instant) }}{%- endmacro %}
{% macro duckdb__whole_second(instant) -%}
    make_timestamptz(epoch_us({{ instant }}) // 1000000 * 1000000)
{%- endmacro %}
{% macro spark__whole_second(instant) -%}date_trunc('second', {{ instant }}){%- endmacro %}

{# An instant some whole seconds later; `seconds` may be an expression. #}
{% macro plus_seconds(instant, seconds) -%}({{ instant }} + ({{ seconds }}) * interval '1' second){%- endmacro %}

{# Silence that makes a station offline, in seconds: twice the heartbeat interval granted to it and half a minute, at
   least ten minutes. OCPP grants no interval to a station that never booted in the log; five minutes is usual. #}
{% macro silence_threshold_s(granted_interval_s) -%}
    greatest(2 * coalesce({{ granted_interval_s }}, 300) + 30, 600)
{%- endmacro %}

{# The time that counts for a message: the charger's own where it is plausible (at most 60 s ahead of its arrival, at most
   120 s before it) or where the message was delivered late with good reason, else its arrival. Chargers restart with
   1970, send local time as UTC, and repeat days-old times; the arrival is never wrong by more than the delivery. #}
{% macro message_time(event_at, received_at, is_late_delivery) -%}
    case
        when {{ received_at }} is null then {{ event_at }}
        when {{ event_at }} is null then {{ received_at }}
        when
            {{ event_at }} <= {{ plus_seconds(received_at, 60) }}
            and ({{ event_at }} >= {{ plus_seconds(received_at, -120) }} or {{ is_late_delivery }})
            then {{ event_at }}
        else {{ received_at }}
    end
{%- endmacro %}

{# A query for the messages of `events` (frame_id, station_id, event_at, received_at) that were delivered late: they
   arrived within 300 s after a silence of their station had ended, and their own time lies inside that silence.
   Both sides are cut into blocks of 300 s, so that the join is on equality. #}
{% macro late_deliveries(events, event_at='event_at') -%}
    select distinct
        events.frame_id,
        events.{{ event_at }} as event_at
    from {{ events }} as events
    inner join (
        select
            station_id,
            started_at,
            ended_at,
            cast(floor({{ epoch_second('ended_at') }} / 300) as bigint) + later_block as block
        from {{ ref('int_station_gap') }}
        cross join (select 0 as later_block union all select 1 as later_block) as blocks
        where ended_at is not null
    ) as gaps
        on
            events.station_id = gaps.station_id
            and cast(floor({{ epoch_second('events.received_at') }} / 300) as bigint) = gaps.block
    where
        events.{{ event_at }} < {{ plus_seconds('events.received_at', -120) }}
        and events.received_at >= gaps.ended_at
        and events.received_at <= {{ plus_seconds('gaps.ended_at', 300) }}
        and events.{{ event_at }} >= gaps.started_at
        and events.{{ event_at }} < gaps.ended_at
{%- endmacro %}
