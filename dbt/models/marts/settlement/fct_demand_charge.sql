{# One row is one site in one local month (and currency): the highest quarter hour, and what demand costs for it. #}
{# With a ratchet a month is charged for at least a share of the highest peak of the eleven months before. #}
with calendar as (
    select * from {{ ref('int_site_calendar') }}
),

loads as (
    select * from {{ ref('fct_load_15min') }}
),

intervals as (
    select * from {{ ref('int_energy_price') }}
),

fees as (
    select * from {{ ref('int_site_month_fee') }}
),

sites as (
    select * from {{ ref('dim_site') }}
),

currencies as (
    select * from {{ ref('int_site_currency') }}
),

-- Of quarter hours with the same power the first one is the peak.
peaks as (
    select
        loads.site_id,
        intervals.local_month,
        loads.interval_start_at as peak_at,
        loads.average_power_kw as peak_power_kw
    from loads
    inner join intervals
        on
            loads.site_id = intervals.site_id
            and loads.interval_start_at = intervals.interval_start_at
    qualify row_number() over (
        partition by loads.site_id, intervals.local_month
        order by loads.average_power_kw desc, loads.interval_start_at asc
    ) = 1
),

months as (
    select
        calendar.site_id,
        calendar.local_month,
        peaks.peak_at,
        coalesce(peaks.peak_power_kw, 0) as peak_power_kw
    from calendar
    left join peaks
        on
            calendar.site_id = peaks.site_id
            and calendar.local_month = peaks.local_month
),

-- The calendar has no gaps, so eleven rows are eleven months.
looked_back as (
    select
        *,
        coalesce(max(peak_power_kw) over (
            partition by site_id order by local_month rows between 11 preceding and 1 preceding
        ), 0) as earlier_power_kw
    from months
),

charged as (
    select
        looked_back.site_id,
        looked_back.local_month,
        coalesce(fees.currency, currencies.currency) as currency,
        looked_back.peak_at,
        looked_back.peak_power_kw,
        coalesce(fees.demand_price_per_kw_month, 0) as demand_price_per_kw_month,
        cast(round(looked_back.earlier_power_kw * coalesce(fees.ratchet_ratio, 0), 3) as decimal(18, 3))
            as ratchet_power_kw
    from looked_back
    inner join currencies on looked_back.site_id = currencies.site_id
    left join fees
        on
            looked_back.site_id = fees.site_id
            and looked_back.local_month = fees.local_month
    where looked_back.peak_at is not null or fees.demand_price_per_kw_month > 0
)

select
    charged.site_id,
    coalesce(sites.owner_id, 'unmapped') as owner_id,
    coalesce(sites.operator_id, 'unmapped') as operator_id,
    charged.local_month,
    charged.currency,
    charged.peak_at,
    cast(charged.peak_power_kw as decimal(18, 3)) as peak_power_kw,
    charged.ratchet_power_kw,
    cast(greatest(charged.peak_power_kw, charged.ratchet_power_kw) as decimal(18, 3)) as charged_power_kw,
    cast(charged.demand_price_per_kw_month as decimal(18, 6)) as demand_price_per_kw_month,
    cast(round({{ exact_product(
        'greatest(charged.peak_power_kw, charged.ratchet_power_kw)', 'charged.demand_price_per_kw_month'
    ) }}, 6) as decimal(18, 6)) as demand_charge_net
from charged
left join sites on charged.site_id = sites.site_id
