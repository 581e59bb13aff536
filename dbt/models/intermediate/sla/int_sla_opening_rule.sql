{# One row is one rule of a site's opening hours (the parts between semicolons), and whether it is understood. #}
{# Understood is the common part of OpenStreetMap's opening_hours: days (`Mo-Fr`, `Mo,We`), times (`08:00-18:00`, several by
   a comma, past midnight as `22:00-06:00` or `22:00-30:00`), `off`, `closed`, `24/7`. Holidays (PH, SH) are not known here:
   rules about them alone are left out, and the others are taken without them. A site with a rule that is not understood
   counts as open all the time; qc_opening_hours tells. #}
{% set day = '(?:mo|tu|we|th|fr|sa|su)' %}
{% set days = day ~ '(?:-' ~ day ~ ')?(?:,' ~ day ~ '(?:-' ~ day ~ ')?)*' %}
{% set span = '(?:[01][0-9]|2[0-4]):[0-5][0-9]-[0-4][0-9]:[0-5][0-9]' %}
with sites as (
    select *
    from {{ ref('dim_site') }}
    where opening_hours is not null
),

numbers as (
    {{ numbers_to(12) }}
),

split as (
    select
        sites.site_id,
        sites.opening_hours,
        numbers.number as rule_number,
        -- one spelling: lower case, no space around commas and dashes, one space between days and times
        {{ replace_all(
            replace_all("trim(lower(split_part(sites.opening_hours, ';', numbers.number)))", "'\\s*([,-])\\s*'", "'\\1'"),
            "'\\s+'",
            "' '",
        ) }} as rule
    from sites
    cross join numbers
),

without_holidays as (
    select
        site_id,
        opening_hours,
        rule_number,
        rule,
        {{ matches('rule', "'^(ph|sh)(,(ph|sh))*( .*)?$'") }} as is_holiday_only,
        regexp_replace({{ replace_all('rule', "',(ph|sh)'", "''") }}, '^((ph|sh),)+', '') as plain_rule
    from split
    where rule <> '' or rule_number > 11
),

parsed as (
    select
        site_id,
        opening_hours,
        rule_number,
        rule,
        is_holiday_only,
        regexp_extract(plain_rule, '^({{ days }})( |$)', 1) as days,
        trim(regexp_replace(plain_rule, '^({{ days }})( |$)', '')) as times
    from without_holidays
    where rule <> ''
)

select
    site_id,
    opening_hours,
    rule_number,
    rule,
    case when days = '' then 'mo-su' else days end as days,
    -- days without times are open all day
    case
        when times in ('24/7', '', 'open') then '00:00-24:00'
        when times in ('off', 'closed') then 'off'
        else times
    end as times,
    is_holiday_only,
    rule_number <= 11
    and (
        is_holiday_only
        or (times in ('24/7', 'open', 'off', 'closed') or (times = '' and days <> ''))
        or {{ matches('times', "'^" ~ span ~ "(," ~ span ~ "){0,5}$'") }}
    ) as is_understood
from parsed
