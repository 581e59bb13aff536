{# One row is one opening of a site on one weekday, in minutes after that day's midnight. #}
{# Only sites whose rules are all understood, and not always open, have rows. A later rule replaces an earlier one on the
   weekdays it names. #}
{% set weekdays = ['mo', 'tu', 'we', 'th', 'fr', 'sa', 'su'] %}
with rules as (
    select *
    from {{ ref('int_sla_opening_rule') }}
),

numbers as (
    {{ numbers_to(7) }}
),

weekdays as (
    {%- for name in weekdays %}
    select {{ loop.index }} as weekday_number, '{{ name }}' as weekday{% if not loop.last %}
    union all{% endif %}
    {%- endfor %}
),

understood as (
    select site_id
    from rules
    group by site_id
    having min(case when is_understood then 1 else 0 end) = 1
),

day_parts as (
    select
        rules.site_id,
        rules.rule_number,
        rules.times,
        split_part(rules.days, ',', numbers.number) as day_part
    from rules
    inner join understood on rules.site_id = understood.site_id
    cross join numbers
    where not rules.is_holiday_only and split_part(rules.days, ',', numbers.number) <> ''
),

spans as (
    select
        day_parts.site_id,
        day_parts.rule_number,
        day_parts.times,
        first_days.weekday_number as first_number,
        last_days.weekday_number as last_number
    from day_parts
    inner join weekdays as first_days on split_part(day_parts.day_part, '-', 1) = first_days.weekday
    inner join weekdays as last_days
        on coalesce(nullif(split_part(day_parts.day_part, '-', 2), ''), day_parts.day_part) = last_days.weekday
),

ruled as (
    select distinct
        spans.site_id,
        spans.rule_number,
        spans.times,
        weekdays.weekday_number,
        max(spans.rule_number) over (partition by spans.site_id, weekdays.weekday_number) as last_rule_number
    from spans
    inner join weekdays
        on
            (
                spans.first_number <= spans.last_number
                and weekdays.weekday_number between spans.first_number and spans.last_number
            )
            -- Fr-Mo goes over the weekend
            or (
                spans.first_number > spans.last_number
                and (weekdays.weekday_number >= spans.first_number or weekdays.weekday_number <= spans.last_number)
            )
),

time_parts as (
    select
        ruled.site_id,
        ruled.weekday_number,
        split_part(ruled.times, ',', numbers.number) as time_part
    from ruled
    cross join numbers
    where ruled.rule_number = ruled.last_rule_number and split_part(ruled.times, ',', numbers.number) <> ''
),

minutes as (
    select
        site_id,
        weekday_number,
        time_part = 'off' as is_off,
        cast(nullif(substring(time_part, 1, 2), 'of') as integer) * 60
        + cast(nullif(substring(time_part, 4, 2), '') as integer) as opens_min,
        cast(nullif(substring(time_part, 7, 2), '') as integer) * 60
        + cast(nullif(substring(time_part, 10, 2), '') as integer) as closes_min
    from time_parts
),

-- a site that is open every minute of the week has no closing time
always_open as (
    select site_id
    from minutes
    group by site_id
    having count(distinct case when opens_min = 0 and closes_min = 1440 then weekday_number end) = 7
)

select
    minutes.site_id,
    minutes.weekday_number,
    case when minutes.is_off then 0 else minutes.opens_min end as opens_min,
    case
        when minutes.is_off then 0
        -- 22:00-06:00 closes on the next day
        when minutes.closes_min <= minutes.opens_min then minutes.closes_min + 1440
        else minutes.closes_min
    end as closes_min
from minutes
left join always_open on minutes.site_id = always_open.site_id
where always_open.site_id is null
