{# How facts become uptime: rules that the SLA models share, each written once. #}

{# Whole seconds that two intervals share. Bounds may be expressions, none of them null. #}
{% macro shared_seconds(start_a, end_a, start_b, end_b) -%}
    greatest(
        0,
        {{ seconds_between('greatest(' ~ start_a ~ ', ' ~ start_b ~ ')', 'least(' ~ end_a ~ ', ' ~ end_b ~ ')') }}
    )
{%- endmacro %}

{# The first day of the month of a date. #}
{% macro month_start(date) -%}cast(date_trunc('month', {{ date }}) as date){%- endmacro %}

{# A date some whole months later (or earlier); `months` may be an expression. #}
{% macro plus_months(date, months) -%}{{ adapter.dispatch('plus_months', 'chargehouse')(date, months) }}{%- endmacro %}
{% macro duckdb__plus_months(date, months) -%}
    cast({{ date }} + to_months(cast({{ months }} as integer)) as date)
{%- endmacro %}
{% macro spark__plus_months(date, months) -%}add_months({{ date }}, {{ months }}){%- endmacro %}

{# Rows of first days of months from one to another, both included: use as a lateral column. #}
{% macro months_between_dates(first_month, last_month) -%}{{ adapter.dispatch('months_between_dates', 'chargehouse')(first_month, last_month) }}{%- endmacro %}
{% macro duckdb__months_between_dates(first_month, last_month) -%}
    unnest(generate_series(cast({{ first_month }} as timestamp), cast({{ last_month }} as timestamp), interval '1' month))
{%- endmacro %}
{% macro spark__months_between_dates(first_month, last_month) -%}
    explode(sequence(cast({{ first_month }} as date), cast({{ last_month }} as date), interval 1 month))
{%- endmacro %}

{# The states of fct_port_state that a policy maps one by one; `offline` has rules of its own. #}
{% macro mapped_states() -%}
    {{ return([
        'available', 'occupied', 'charging', 'suspended_ev', 'suspended_evse', 'reserved', 'unavailable', 'faulted',
        'unknown',
    ]) }}
{%- endmacro %}

{# The numbers 1 to `last`, one a row: to take a text apart with split_part where its parts are few. #}
{% macro numbers_to(last) -%}
    {%- for number in range(1, last + 1) %}
    select {{ number }} as number{% if not loop.last %}
    union all{% endif %}
    {%- endfor %}
{%- endmacro %}

{# The codes inside error_code or vendor_error_code, split where chargers put several: semicolon, comma, bar, space. #}
{% macro single_codes(text) -%}
    trim({{ replace_all(text, "'[;,|\\s]+'", "' '") }})
{%- endmacro %}

{# The share of `base_s` that is not `down_s`, 0 to 1; null without a base. A year of 366 days has more minutes than a
   fixed base of 525,600, so the quotient is kept from falling below 0. #}
{% macro uptime(down_s, base_s) -%}
    greatest(0.0, least(1.0, 1 - cast({{ down_s }} as double) / nullif({{ base_s }}, 0)))
{%- endmacro %}

{# Whether downtime meets a target, in exact arithmetic: a quotient of doubles would decide 97.000 % by its last bit. #}
{% macro meets(down_s, base_s, target_ratio, operator) -%}
    case
        when {{ operator }} = '>' then
            cast({{ base_s }} as decimal(20, 0)) - {{ down_s }} > cast({{ base_s }} as decimal(20, 0)) * {{ target_ratio }}
        else
            cast({{ base_s }} as decimal(20, 0)) - {{ down_s }} >= cast({{ base_s }} as decimal(20, 0)) * {{ target_ratio }}
    end
{%- endmacro %}

{# Monday 1 to Sunday 7. #}
{% macro monday_first(date) -%}{{ adapter.dispatch('monday_first', 'chargehouse')(date) }}{%- endmacro %}
{% macro duckdb__monday_first(date) -%}isodow({{ date }}){%- endmacro %}
{% macro spark__monday_first(date) -%}(weekday({{ date }}) + 1){%- endmacro %}

{# Whether a policy is about a port: its rated power, its kind of current and its funding. A port whose power nobody knows is
   not of the rated power that a policy asks for. #}
{% macro in_scope(policies, ports) -%}
    (
        ({{ policies }}.scope_min_power_kw is null or coalesce({{ ports }}.max_power_kw, 0) >= {{ policies }}.scope_min_power_kw)
        and (not {{ policies }}.scope_funded_only or {{ ports }}.funding is not null)
        and (not {{ policies }}.scope_dc_only or coalesce({{ ports }}.power_type, '') = 'DC')
    )
{%- endmacro %}

{# The kind of window that a policy itself is stated for, of columns of dim_sla_policy. #}
{% macro own_period_kind(policies) -%}
    case {{ policies }}.window_type
        when 'rolling_months' then 'rolling_' || cast({{ policies }}.window_months as varchar) || '_months'
        when 'calendar_year' then 'year'
        else {{ policies }}.window_type
    end
{%- endmacro %}

{# Days until a budget is used up if downtime goes on as it did since the window began. #}
{% macro days_to_breach(figures) -%}
    (
        cast({{ figures }}.allowed_down_s - {{ figures }}.net_down_s as double)
        / nullif({{ figures }}.net_down_s, 0)
        * (cast({{ figures }}.window_s as double) / {{ figures }}.unit_count)
        / 86400
    )
{%- endmacro %}

{# Identity of an outage: its port and the second it began. #}
{% macro outage_key(port_id, started_at) -%}
    md5({{ port_id }} || '|' || {{ instant_text(started_at) }})
{%- endmacro %}

{# Who answers, given the party that the rules name: an operator only where a contract engages one, else the owner. #}
{% macro party_under_contract(party, contract_id) -%}
    case when {{ party }} = 'operator' and {{ contract_id }} is null then 'owner' else {{ party }} end
{%- endmacro %}

{# Money due for an uptime below the target, of columns of fct_sla_contract: points below it times the credit per point.
   From the seconds, in exact arithmetic up to the last division, and to a millionth of the currency. #}
{% macro sla_credit(figures) -%}
    cast(
        greatest(
            0,
            ({{ figures }}.target_ratio * 100 - 100.0 * ({{ figures }}.base_s - {{ figures }}.net_down_s) / nullif({{ figures }}.base_s, 0))
        ) * {{ figures }}.sla_credit_per_percent_point
        as decimal(18, 6)
    )
{%- endmacro %}

{# The text with every match of a pattern replaced. #}
{% macro replace_all(text, pattern, replacement) -%}{{ adapter.dispatch('replace_all', 'chargehouse')(text, pattern, replacement) }}{%- endmacro %}
{% macro duckdb__replace_all(text, pattern, replacement) -%}
    regexp_replace({{ text }}, {{ pattern }}, {{ replacement }}, 'g')
{%- endmacro %}
{% macro spark__replace_all(text, pattern, replacement) -%}
    regexp_replace({{ text }}, {{ pattern }}, {{ replacement }})
{%- endmacro %}

{# Whether a pattern is found in a text. #}
{% macro matches(text, pattern) -%}{{ adapter.dispatch('matches', 'chargehouse')(text, pattern) }}{%- endmacro %}
{% macro duckdb__matches(text, pattern) -%}regexp_matches({{ text }}, {{ pattern }}){%- endmacro %}
{% macro spark__matches(text, pattern) -%}({{ text }} rlike {{ pattern }}){%- endmacro %}
