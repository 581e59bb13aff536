{# One row is one site in one local month and one currency with what its energy supply costs whatever it draws: the fixed
   fee, and the price of a kW of demand. #}
{# Each day has the fee that is valid on it, of several the one valid from later (rows for other hours of the day repeat
   it); the month has the mean of its days. Of the month in progress the days so far have a fixed fee. #}
with calendar as (
    select * from {{ ref('int_site_calendar') }}
),

prices as (
    select * from {{ ref('stg_registry__energy_prices') }}
),

terms as (
    select
        site_id,
        'fixed' as kind,
        fixed_fee_per_month as amount,
        cast(0 as decimal(18, 6)) as ratchet_ratio,
        valid_from,
        valid_to,
        upper(currency) as currency
    from prices
    where fixed_fee_per_month is not null
    union all
    select
        site_id,
        'demand' as kind,
        demand_charge_per_kw_month as amount,
        coalesce(demand_ratchet_ratio, 0) as ratchet_ratio,
        valid_from,
        valid_to,
        upper(currency) as currency
    from prices
    where demand_charge_per_kw_month is not null
),

days as (
    select
        calendar.site_id,
        calendar.local_month,
        calendar.accrued_until,
        calendar.day_count,
        cast({{ dates_between('calendar.local_month', "calendar.next_month - interval '1' day") }} as date) as local_date
    from calendar
    where calendar.site_id in (select terms.site_id from terms)
),

valid as (
    select
        days.site_id,
        days.local_month,
        days.day_count,
        days.local_date < days.accrued_until as is_accrued,
        terms.kind,
        terms.amount,
        terms.ratchet_ratio,
        terms.currency
    from days
    inner join terms
        on
            days.site_id = terms.site_id
            and days.local_date >= terms.valid_from
            and (terms.valid_to is null or days.local_date < terms.valid_to)
    qualify row_number() over (
        partition by days.site_id, days.local_date, terms.kind
        order by terms.valid_from desc, terms.amount desc, terms.currency asc
    ) = 1
),

summed as (
    select
        site_id,
        local_month,
        currency,
        day_count,
        cast(sum(case when kind = 'fixed' and is_accrued then amount else 0 end) as decimal(18, 6)) as fixed_fee_days,
        cast(sum(case when kind = 'demand' then amount else 0 end) as decimal(18, 6)) as demand_price_days,
        max(ratchet_ratio) as ratchet_ratio
    from valid
    group by site_id, local_month, currency, day_count
)

select
    site_id,
    local_month,
    currency,
    {{ prorated('fixed_fee_days', '1', 'day_count') }} as fixed_fee_net,
    {{ prorated('demand_price_days', '1', 'day_count') }} as demand_price_per_kw_month,
    ratchet_ratio
from summed
