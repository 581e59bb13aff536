{# One row is one cost, grant or credit of the registry in one calendar year: how often it fell due and what that makes. #}
{# Recurring ones fall due on the day of the month they began on (the last day of shorter months) until ends_on, which
   counts. A year is told up to the last year that port states are known of. #}
with costs as (
    select *
    from {{ ref('stg_registry__costs') }}
),

states as (
    select *
    from {{ ref('int_port_state_day') }}
),

sites as (
    select *
    from {{ ref('dim_site') }}
),

cost_days as (
    select
        min(incurred_on) as first_on,
        max(incurred_on) as last_on
    from costs
),

state_days as (
    select max(local_date) as last_on
    from states
),

horizon as (
    select
        cost_days.first_on,
        greatest(cost_days.last_on, coalesce(state_days.last_on, cost_days.last_on)) as last_on
    from cost_days
    cross join state_days
),

days as (
    select {{ dates_between('first_on', 'last_on') }} as day
    from horizon
),

years as (
    select distinct cast(extract(year from day) as integer) as year_number
    from days
),

dated as (
    select
        *,
        -- months counted from year 0; the month of an end before the day it would fall due has no payment
        extract(year from incurred_on) * 12 + extract(month from incurred_on) - 1 as first_month,
        case
            when ends_on is null then null
            when
                extract(day from ends_on) >= least(extract(day from incurred_on), extract(day from last_day(ends_on)))
                then extract(year from ends_on) * 12 + extract(month from ends_on) - 1
            else extract(year from ends_on) * 12 + extract(month from ends_on) - 2
        end as last_month
    from costs
),

-- the months of the year in which it may fall due
bounded as (
    select
        dated.*,
        years.year_number,
        greatest(dated.first_month, years.year_number * 12) as from_month,
        least(coalesce(dated.last_month, years.year_number * 12 + 11), years.year_number * 12 + 11) as to_month,
        years.year_number * 12 + extract(month from dated.incurred_on) - 1 as anniversary_month
    from dated
    inner join years
        on years.year_number >= extract(year from dated.incurred_on)
),

counted as (
    select
        *,
        cast(case
            when recurs = 'monthly' then greatest(to_month - from_month + 1, 0)
            when recurs = 'yearly' and anniversary_month <= to_month then 1
            when recurs = 'once' and extract(year from incurred_on) = year_number then 1
            else 0
        end as bigint) as due_count
    from bounded
)

select
    counted.cost_id,
    cast(cast(counted.year_number as varchar) || '-01-01' as date) as local_year,
    counted.site_id,
    coalesce(sites.owner_id, 'unmapped') as owner_id,
    coalesce(sites.operator_id, 'unmapped') as operator_id,
    counted.station_id,
    counted.kind,
    counted.category,
    counted.incurred_on,
    counted.due_count,
    cast(counted.amount * counted.due_count as decimal(18, 6)) as amount_net,
    counted.currency
from counted
left join sites on counted.site_id = sites.site_id
where counted.due_count > 0
