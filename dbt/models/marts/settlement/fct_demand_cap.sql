{# One row is one site in one local month (and currency) under a cap on its power: what demand would have cost less. #}
{# The caps are 90, 80, 70, 60 and 50 % of the month's peak. What is above a cap is charged later in the same stay, which
   nobody minds: the saving leaves out drivers who would not wait, and ratchets of later months. #}
with charges as (
    select * from {{ ref('fct_demand_charge') }}
    where peak_power_kw > 0
),

loads as (
    select * from {{ ref('fct_load_15min') }}
),

intervals as (
    select * from {{ ref('int_energy_price') }}
),

caps as (
    select 90 as cap_percent
    union all
    select 80 as cap_percent
    union all
    select 70 as cap_percent
    union all
    select 60 as cap_percent
    union all
    select 50 as cap_percent
),

capped as (
    select
        charges.site_id,
        charges.owner_id,
        charges.operator_id,
        charges.local_month,
        charges.currency,
        caps.cap_percent,
        cast(charges.peak_power_kw * caps.cap_percent / 100 as decimal(18, 3)) as cap_power_kw,
        charges.charged_power_kw,
        charges.ratchet_power_kw,
        charges.demand_price_per_kw_month
    from charges
    cross join caps
),

-- Only quarter hours above half the peak can lie above a cap.
high as (
    select
        charges.site_id,
        charges.local_month,
        charges.currency,
        loads.energy_kwh
    from charges
    inner join intervals
        on
            charges.site_id = intervals.site_id
            and charges.local_month = intervals.local_month
    inner join loads
        on
            intervals.site_id = loads.site_id
            and intervals.interval_start_at = loads.interval_start_at
            and loads.average_power_kw > charges.peak_power_kw * 0.5 - 0.001
),

above as (
    select
        capped.site_id,
        capped.local_month,
        capped.currency,
        capped.cap_percent,
        sum(greatest(high.energy_kwh - capped.cap_power_kw * 0.25, 0)) as shifted_energy_kwh,
        sum(case when high.energy_kwh > capped.cap_power_kw * 0.25 then 1 else 0 end) as capped_interval_count
    from capped
    inner join high
        on
            capped.site_id = high.site_id
            and capped.local_month = high.local_month
            and capped.currency = high.currency
    group by capped.site_id, capped.local_month, capped.currency, capped.cap_percent
)

select
    capped.site_id,
    capped.owner_id,
    capped.operator_id,
    capped.local_month,
    capped.currency,
    cast(capped.cap_percent as integer) as cap_percent,
    capped.cap_power_kw,
    cast(coalesce(above.shifted_energy_kwh, 0) as decimal(18, 6)) as shifted_energy_kwh,
    cast(coalesce(above.capped_interval_count, 0) as bigint) as capped_interval_count,
    cast(round({{ exact_product(
        'capped.charged_power_kw - greatest(capped.cap_power_kw, capped.ratchet_power_kw)',
        'capped.demand_price_per_kw_month'
    ) }}, 6) as decimal(18, 6)) as saved_net
from capped
left join above
    on
        capped.site_id = above.site_id
        and capped.local_month = above.local_month
        and capped.currency = above.currency
        and capped.cap_percent = above.cap_percent
