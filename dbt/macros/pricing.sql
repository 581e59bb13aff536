{# Arithmetic of the tariff engine that DuckDB and Spark spell differently. Dividing DECIMALs gives DOUBLE in DuckDB,
   and a product of DECIMALs up to 18 digits wide fails beyond them, so the engine counts in whole numbers: quantities and
   prices in millionths, amounts in thousand-millionths. #}

{# Whole seconds since 1970-01-01 UTC. #}
{% macro epoch_seconds(instant) -%}{{ adapter.dispatch('epoch_seconds', 'chargehouse')(instant) }}{%- endmacro %}
{% macro duckdb__epoch_seconds(instant) -%}(epoch_us({{ instant }}) // 1000000){%- endmacro %}
{% macro spark__epoch_seconds(instant) -%}unix_seconds({{ instant }}){%- endmacro %}

{# The instant of whole seconds since 1970-01-01 UTC. #}
{% macro instant_of_epoch(seconds) -%}{{ adapter.dispatch('instant_of_epoch', 'chargehouse')(seconds) }}{%- endmacro %}
{% macro duckdb__instant_of_epoch(seconds) -%}to_timestamp({{ seconds }}){%- endmacro %}
{% macro spark__instant_of_epoch(seconds) -%}timestamp_seconds({{ seconds }}){%- endmacro %}

{# Seconds that the wall clock of an IANA zone is ahead of UTC at an instant. About 3 microseconds a row on DuckDB:
   call it on distinct days, not on every period. #}
{% macro utc_offset_seconds(instant, time_zone) -%}{{ adapter.dispatch('utc_offset_seconds', 'chargehouse')(instant, time_zone) }}{%- endmacro %}
{% macro duckdb__utc_offset_seconds(instant, time_zone) -%}
    cast(epoch_us(timezone({{ time_zone }}, {{ instant }})) // 1000000 - epoch_us({{ instant }}) // 1000000 as integer)
{%- endmacro %}
{% macro spark__utc_offset_seconds(instant, time_zone) -%}
    cast(unix_seconds(from_utc_timestamp({{ instant }}, {{ time_zone }})) - unix_seconds({{ instant }}) as int)
{%- endmacro %}

{# What stands behind `from`: one column, time_zone: the IANA zones whose rules the engine knows. Asking for another one fails the
   query, so zones are looked up here first. Spark has no list; it is given those of the time zone database's names. #}
{% macro known_time_zones() -%}{{ adapter.dispatch('known_time_zones', 'chargehouse')() }}{%- endmacro %}
{% macro duckdb__known_time_zones() -%}
    (select distinct name as time_zone from pg_timezone_names())
{%- endmacro %}
{% macro spark__known_time_zones() -%}
    (select explode(array(
        {%- for zone in modules.pytz.all_timezones %}'{{ zone }}'{{ ", " if not loop.last }}{% endfor -%}
    )) as time_zone)
{%- endmacro %}

{# Quotient of two whole numbers, cut towards zero. #}
{% macro whole_quotient(numerator, denominator) -%}{{ adapter.dispatch('whole_quotient', 'chargehouse')(numerator, denominator) }}{%- endmacro %}
{% macro duckdb__whole_quotient(numerator, denominator) -%}(({{ numerator }}) // ({{ denominator }})){%- endmacro %}
{% macro spark__whole_quotient(numerator, denominator) -%}(({{ numerator }}) div ({{ denominator }})){%- endmacro %}

{# The smallest whole multiple of `step` that is not below `total`; both whole numbers, total above 0. Integers, because
   ceil(0.58333... * 3600 / 60) must be 35 blocks and floating point makes it 36. #}
{% macro whole_steps(total, step) -%}
    ({{ whole_quotient(total ~ ' + ' ~ step ~ ' - 1', step) }} * {{ step }})
{%- endmacro %}

{# a * b / divisor of whole numbers, rounded half away from zero, as BIGINT; null where it does not fit. `divisor` is even
   and above 0. Products that fit 64 bits are taken there: on DuckDB that is 50 times as fast as 128 bits, and prices and
   quantities of the real world always fit. #}
{% macro rounded_product(a, b, divisor, a_below, b_below) -%}
    case
        when abs({{ a }}) < {{ a_below }} and abs({{ b }}) < {{ b_below }}
            then {{ whole_quotient(a ~ ' * ' ~ b ~ ' + sign(' ~ a ~ ') * sign(' ~ b ~ ') * ' ~ whole_quotient(divisor, 2), divisor) }}
        else
            {{ wide_rounded_product(a, b, divisor) }}
    end
{%- endmacro %}

{% macro wide_rounded_product(a, b, divisor) -%}{{ adapter.dispatch('wide_rounded_product', 'chargehouse')(a, b, divisor) }}{%- endmacro %}
{% macro duckdb__wide_rounded_product(a, b, divisor) -%}
    try_cast(
        (cast({{ a }} as hugeint) * {{ b }} + sign({{ a }}) * sign({{ b }}) * (({{ divisor }}) // 2)) // ({{ divisor }})
    as bigint)
{%- endmacro %}
{% macro spark__wide_rounded_product(a, b, divisor) -%}
    try_cast(
        round(cast({{ a }} as decimal(19, 0)) * cast({{ b }} as decimal(19, 0)) / cast({{ divisor }} as decimal(19, 0)), 0)
    as bigint)
{%- endmacro %}

{# A whole number of millionths as DECIMAL(18,6). #}
{% macro from_millionths(value) -%}
    cast(cast({{ value }} as decimal(18, 0)) * 0.000001 as decimal(18, 6))
{%- endmacro %}

{# An amount of money as the engine keeps it: thousand-millionths (1e-9) of the currency's unit in a BIGINT, up to nine
   thousand million units; null beyond. Nine decimals leave a rounding error of half a thousand-millionth per line, far
   below the cent and below the six decimals shown. #}
{% macro to_nano(amount) -%}try_cast(cast({{ amount }} as decimal(38, 6)) * 1000000000 as bigint){%- endmacro %}

{# The amount of `nano` thousand-millionths as DECIMAL(18,6), rounded half away from zero. #}
{% macro from_nano(nano) -%}
    {{ from_millionths(whole_quotient(nano ~ ' + sign(' ~ nano ~ ') * 500', 1000)) }}
{%- endmacro %}

{# Days from 1970-01-01 to a date. #}
{% macro day_number(date) -%}{{ adapter.dispatch('day_number', 'chargehouse')(date) }}{%- endmacro %}
{% macro duckdb__day_number(date) -%}date_diff('day', date '1970-01-01', {{ date }}){%- endmacro %}
{% macro spark__day_number(date) -%}datediff({{ date }}, date '1970-01-01'){%- endmacro %}

{# Seconds after midnight of a wall-clock text HH:MM or HH:MM:SS; null where it is none. #}
{% macro clock_seconds(text) -%}
    try_cast(substr({{ text }}, 1, 2) as integer) * 3600 + try_cast(substr({{ text }}, 4, 2) as integer) * 60
    + coalesce(try_cast(nullif(substr({{ text }}, 7, 2), '') as integer), 0)
{%- endmacro %}

{# The bit that a local day (days since 1970-01-01, a Thursday) has in a week mask: Monday 1, Tuesday 2, ... Sunday 64. #}
{% macro day_bit(day_number) -%}
    cast(power(2, ({{ day_number }} + 3) % 7) as integer)
{%- endmacro %}

{# A DECIMAL(18,6) below a million as a whole number of millionths. #}
{% macro millionths(value) -%}cast({{ value }} * 1000000 as bigint){%- endmacro %}

{# Hours (DECIMAL(18,6)) as the nearest whole second. #}
{% macro nearest_second(hours) -%}{{ whole_quotient(millionths(hours) ~ ' * 36 + 5000', 10000) }}{%- endmacro %}

{# The amount after tax when a price limit has moved the net amount from `net_before` to `net_after`. A limit stated after
   tax decides by itself; without one the tax moves in proportion to the net amount. All in thousand-millionths. #}
{% macro limited_gross(gross, net_before, net_after, gross_limit, comparison) -%}
    case
        when {{ gross_limit }} is not null
            then case when {{ gross }} {{ comparison }} {{ gross_limit }} then {{ gross_limit }} else {{ gross }} end
        when {{ net_after }} = {{ net_before }} or {{ net_after }} is null or {{ gross }} is null then {{ gross }}
        when {{ net_before }} = 0 then {{ net_after }}
        else {{ wide_rounded_product(gross, net_after, net_before) }}
    end
{%- endmacro %}

{# An amount in thousand-millionths rounded half away from zero to whole multiples of `unit`, an even number. #}
{% macro rounded_nano(nano, unit) -%}
    ({{ whole_quotient(nano ~ ' + sign(' ~ nano ~ ') * ' ~ whole_quotient(unit, 2), unit) }} * {{ unit }})
{%- endmacro %}

{# The total before taxes of a row of int_audit_cost under a row of rounding_policies, in thousand-millionths. #}
{% macro policy_net(cost, policy) -%}
    case
        when {{ cost }}.net is null then null
        else case {{ policy }}.rounded
            when 'none' then {{ rounded_nano(cost ~ '.net', '100000') }}
            when 'dimension' then {{ rounded_nano(cost ~ '.dimension_net', cost ~ '.unit') }}
            when 'dimension_4' then {{ rounded_nano(cost ~ '.dimension_4_net', cost ~ '.unit') }}
            when 'period' then {{ rounded_nano(cost ~ '.period_net', cost ~ '.unit') }}
            when 'line' then {{ rounded_nano(cost ~ '.line_net', cost ~ '.unit') }}
            when 'cut' then {{ whole_quotient(cost ~ '.net', cost ~ '.unit') }} * {{ cost }}.unit
            else {{ rounded_nano(cost ~ '.net', cost ~ '.unit') }}
        end
    end
{%- endmacro %}

{# The same after taxes; `net` is the total before taxes that policy_net gave. Where that one is 0 or unknown there is no
   rate to take, and the exact amount is rounded. #}
{% macro policy_gross(cost, policy, net) -%}
    case
        when {{ cost }}.gross is null then null
        when {{ policy }}.tax_of = 'rounded_net' and {{ cost }}.vat_millionths is not null
            then {{ rounded_nano(
                '(' ~ net ~ ' + ' ~ wide_rounded_product(net, cost ~ '.vat_millionths', 1000000) ~ ')', cost ~ '.unit'
            ) }}
        when {{ policy }}.tax_of = 'rounded_net' and {{ cost }}.net > 0 and {{ net }} > 0
            then {{ rounded_nano(
                wide_rounded_product(cost ~ '.gross', net, cost ~ '.net'), cost ~ '.unit'
            ) }}
        when {{ policy }}.tax_of = 'same' and {{ policy }}.rounded = 'period'
            then {{ rounded_nano(cost ~ '.period_gross', cost ~ '.unit') }}
        when {{ policy }}.tax_of = 'same' and {{ policy }}.rounded = 'line'
            then {{ rounded_nano(cost ~ '.line_gross', cost ~ '.unit') }}
        when {{ policy }}.rounded = 'none' then {{ rounded_nano(cost ~ '.gross', '100000') }}
        when {{ policy }}.rounded = 'cut'
            then {{ whole_quotient(cost ~ '.gross', cost ~ '.unit') }} * {{ cost }}.unit
        else {{ rounded_nano(cost ~ '.gross', cost ~ '.unit') }}
    end
{%- endmacro %}

{# Ways of rounding that the user declared for peers, as rows of a CTE: (peer_key, rounding_id). The pipeline hands them
   over from peers.toml as `peer=rounding_id` joined by semicolons. #}
{% macro declared_roundings() %}
    {%- set ns = namespace(rows=[]) -%}
    {%- for pair in env_var('CHARGEHOUSE_PEER_ROUNDING', '').split(';') if '=' in pair -%}
        {%- set ns.rows = ns.rows + [pair.split('=')] -%}
    {%- endfor -%}
    {%- for row in ns.rows %}
    select lower('{{ row[0] | replace("'", "''") }}') as peer_key, '{{ row[1] | replace("'", "''") }}' as rounding_id
    {{ 'union all' if not loop.last }}
    {%- else %}
    select cast(null as varchar) as peer_key, cast(null as varchar) as rounding_id where false
    {%- endfor %}
{% endmacro %}

{# The condition that restrictions of an element hold in a charging period (a row of int_price_period): `kinds` of clock,
   week, date, energy, duration, current, power; `moment` is start, or last for one second before the period's end. Current
   and power are the period's, whatever the moment. #}
{% macro restrictions_hold(kinds, period, element, moment) -%}
    {%- for kind in kinds %}
    {{- ' and ' if not loop.first }}{{ restriction_holds(kind, period, element, moment) }}
    {%- endfor %}
{%- endmacro %}

{% macro restriction_holds(kind, period, element, moment) -%}
    {%- if kind == 'clock' -%}
        {%- set clock = period ~ '.' ~ moment ~ '_clock_s' -%}
        {%- set until = element ~ '.window_from_s + ' ~ element ~ '.window_length_s' -%}
        ({{ clock }} >= {{ element }}.window_from_s and {{ clock }} < {{ until }} or {{ clock }} + 86400 < {{ until }})
    {%- elif kind == 'week' -%}
        ({{ element }}.day_mask & {{ period }}.{{ moment }}_day_bit) <> 0
    {%- elif kind == 'date' -%}
        {{ period }}.{{ moment }}_day_number >= {{ element }}.first_day_number
        and {{ period }}.{{ moment }}_day_number < {{ element }}.end_day_number
    {%- elif kind == 'energy' -%}
        {%- set state = period ~ ('.energy_before_kwh' if moment == 'start' else '.last_energy_kwh') -%}
        {{ state }} >= {{ element }}.min_kwh and {{ state }} < {{ element }}.max_kwh
    {%- elif kind == 'duration' -%}
        {%- set state = period ~ ('.elapsed_s' if moment == 'start' else '.last_elapsed_s') -%}
        {{ state }} >= {{ element }}.min_duration_s and {{ state }} < {{ element }}.max_duration_s
    {%- elif kind == 'current' -%}
        {{ period }}.highest_current_a >= {{ element }}.min_current_a
        and {{ period }}.lowest_current_a < {{ element }}.max_current_a
    {%- elif kind == 'power' -%}
        {{ period }}.highest_power_kw >= {{ element }}.min_power_kw
        and {{ period }}.lowest_power_kw < {{ element }}.max_power_kw
    {%- endif -%}
{%- endmacro %}

{# A number for each row, in no order that means anything. #}
{% macro row_identity() -%}{{ adapter.dispatch('row_identity', 'chargehouse')() }}{%- endmacro %}
{% macro duckdb__row_identity() -%}row_number() over (){%- endmacro %}
{% macro spark__row_identity() -%}monotonically_increasing_id(){%- endmacro %}
