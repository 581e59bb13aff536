{# How settlement and cost of energy count: rules that several models share, each written once. #}

{# The day that counts as today in a zone, when months are closed: the setting, else the day that data speak up to. #}
{% macro settlement_day(as_of_at, time_zone) -%}
    {%- set today = var('today', env_var('CHARGEHOUSE_TODAY', '')) -%}
    {%- if today -%}
        cast('{{ today }}' as date)
    {%- else -%}
        {{ local_date(as_of_at, time_zone) }}
    {%- endif -%}
{%- endmacro %}

{# Days after the end of a month on which its statements are closed. #}
{% macro close_after_days() -%}
    {{ var('settlement_close_after_days', env_var('CHARGEHOUSE_SETTLEMENT_CLOSE_AFTER_DAYS', '14')) | int }}
{%- endmacro %}

{# The first day of a date's month. #}
{% macro month_of(day) -%}cast(date_trunc('month', {{ day }}) as date){%- endmacro %}

{# The first day of the month after the one that begins on `month`. #}
{% macro month_after(month) -%}cast({{ month }} + interval '1' month as date){%- endmacro %}

{# Rows of first days of months from one to another, both included: use as a lateral column, one row per month. #}
{% macro months_between(first_month, last_month) -%}{{ adapter.dispatch('months_between', 'chargehouse')(first_month, last_month) }}{%- endmacro %}
{% macro duckdb__months_between(first_month, last_month) -%}
    unnest(generate_series(cast({{ first_month }} as timestamp), cast({{ last_month }} as timestamp), interval '1' month))
{%- endmacro %}
{% macro spark__months_between(first_month, last_month) -%}
    explode(sequence({{ first_month }}, {{ last_month }}, interval 1 month))
{%- endmacro %}

{# Days from one date to a later one; 0 where it is not later. #}
{% macro days_from_to(from_on, to_on) -%}
    greatest({{ day_number(to_on) }} - {{ day_number(from_on) }}, 0)
{%- endmacro %}

{# What the clock on the wall shows at an instant in an IANA zone. #}
{% macro wall_clock(instant, time_zone) -%}{{ adapter.dispatch('wall_clock', 'chargehouse')(instant, time_zone) }}{%- endmacro %}
{% macro duckdb__wall_clock(instant, time_zone) -%}timezone({{ time_zone }}, {{ instant }}){%- endmacro %}
{% macro spark__wall_clock(instant, time_zone) -%}from_utc_timestamp({{ instant }}, {{ time_zone }}){%- endmacro %}

{# ISO weekday of a date or wall clock, 1 (Monday) to 7. #}
{% macro iso_weekday(day) -%}{{ adapter.dispatch('iso_weekday', 'chargehouse')(day) }}{%- endmacro %}
{% macro duckdb__iso_weekday(day) -%}isodow({{ day }}){%- endmacro %}
{% macro spark__iso_weekday(day) -%}(weekday({{ day }}) + 1){%- endmacro %}

{# Seconds after midnight of a time of day or wall clock. #}
{% macro second_of_day(clock) -%}
    (extract(hour from {{ clock }}) * 3600 + extract(minute from {{ clock }}) * 60 + cast(extract(second from {{ clock }}) as integer))
{%- endmacro %}

{# amount * part / whole as DECIMAL(18,6), rounded half away from zero; `part` and `whole` are whole numbers. #}
{% macro prorated(amount, part, whole) -%}
    {{ from_millionths(wide_rounded_product(
        'cast(cast(' ~ amount ~ ' as decimal(38, 6)) * 1000000 as bigint)', part, 'nullif(' ~ whole ~ ', 0)'
    )) }}
{%- endmacro %}

{# An amount in the currency's smallest unit (ISO 4217: two decimals for most, none for JPY, three for KWD), rounded half
   away from zero. #}
{% macro in_minor_units(amount, minor_digits) -%}
    case coalesce({{ minor_digits }}, 2)
        when 0 then cast(round({{ amount }}, 0) as decimal(18, 6))
        when 3 then cast(round({{ amount }}, 3) as decimal(18, 6))
        when 4 then cast(round({{ amount }}, 4) as decimal(18, 6))
        else cast(round({{ amount }}, 2) as decimal(18, 6))
    end
{%- endmacro %}

{# Year and month of a date as text, 2026-03. #}
{% macro month_text(month) -%}substr(cast({{ month }} as varchar), 1, 7){%- endmacro %}

{# Name of the statement of an owner and contract in a month and currency. #}
{% macro statement_key(owner_id, contract_id, month, currency) -%}
    {{ owner_id }} || '/' || {{ contract_id }} || '/' || {{ month_text(month) }} || '/' || {{ currency }}
{%- endmacro %}

{# Product of two DECIMAL(18,6), exact to its twelve decimals. #}
{% macro exact_product(a, b) -%}(cast({{ a }} as decimal(38, 6)) * cast({{ b }} as decimal(18, 6))){%- endmacro %}
