{# One row is one operating cost of the registry that falls due in one local month of its site. #}
{# A recurring cost falls due on the day of the month it began on, on the last day of shorter months, until ends_on, which
   counts. Months of which nothing is known of the site are left out; of the month in progress, what fell due so far. #}
with costs as (
    select * from {{ ref('stg_registry__costs') }}
    where kind = 'opex'
),

calendar as (
    select * from {{ ref('int_site_calendar') }}
),

dated as (
    select
        costs.cost_id,
        costs.site_id,
        calendar.local_month,
        calendar.accrued_until,
        costs.category,
        costs.amount,
        upper(costs.currency) as currency,
        costs.ends_on,
        costs.recurs,
        costs.incurred_on,
        cast(least(
            calendar.local_month + (extract(day from costs.incurred_on) - 1) * interval '1' day,
            calendar.next_month - interval '1' day
        ) as date) as due_on
    from costs
    inner join calendar
        on
            costs.site_id = calendar.site_id
            and calendar.next_month > costs.incurred_on
            and (
                costs.recurs = 'monthly'
                or (
                    costs.recurs = 'yearly'
                    and extract(month from calendar.local_month) = extract(month from costs.incurred_on)
                )
                or calendar.local_month = {{ month_of('costs.incurred_on') }}
            )
)

select
    cost_id,
    site_id,
    local_month,
    due_on,
    category,
    cast(amount as decimal(18, 6)) as amount_net,
    currency
from dated
where
    due_on < accrued_until
    and (ends_on is null or due_on <= ends_on)
