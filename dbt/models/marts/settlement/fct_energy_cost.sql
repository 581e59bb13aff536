{# One row is one charge and currency: what the energy it took cost at the prices of the hours it took it in. #}
with charges as (
    select * from {{ ref('int_charges') }}
),

session_loads as (
    select * from {{ ref('int_session_load') }}
),

cdr_loads as (
    select * from {{ ref('int_cdr_load') }}
),

energy as (
    select * from {{ ref('int_session_energy') }}
),

samples as (
    select * from {{ ref('int_session_samples') }}
),

prices as (
    select * from {{ ref('int_energy_price') }}
),

currencies as (
    select * from {{ ref('int_site_currency') }}
),

registers as (
    select
        session_id,
        min(register_wh) as lowest_wh,
        max(register_wh) as highest_wh
    from samples
    where register_wh is not null
    group by session_id
),

-- A session is spread by its samples where they tell a rise, between themselves or from its start or to its stop.
metered as (
    select distinct registers.session_id
    from registers
    inner join energy on registers.session_id = energy.session_id
    where
        registers.highest_wh > registers.lowest_wh
        or (
            energy.is_counted_from_start
            and energy.meter_start_wh <= registers.lowest_wh
            and coalesce(energy.meter_stop_wh >= registers.highest_wh, true)
            and (registers.lowest_wh > energy.meter_start_wh or energy.meter_stop_wh > registers.highest_wh)
        )
),

loads as (
    select
        session_loads.session_id as charge_id,
        session_loads.interval_start_at,
        session_loads.energy_kwh,
        case when metered.session_id is null then 'even' else 'samples' end as cost_method
    from session_loads
    left join metered on session_loads.session_id = metered.session_id
    union all
    select
        charge_id,
        interval_start_at,
        energy_kwh,
        cost_method
    from cdr_loads
),

priced as (
    select
        loads.charge_id,
        coalesce(prices.currency, currencies.currency) as currency,
        min(loads.cost_method) as cost_method,
        sum(loads.energy_kwh) as energy_kwh,
        sum(case when prices.price_per_kwh is null then loads.energy_kwh else 0 end) as unpriced_energy_kwh,
        sum(coalesce({{ exact_product('loads.energy_kwh', 'prices.price_per_kwh') }}, 0)) as energy_cost_net
    from loads
    inner join charges on loads.charge_id = charges.charge_id
    inner join currencies on charges.site_id = currencies.site_id
    left join prices
        on
            charges.site_id = prices.site_id
            and loads.interval_start_at = prices.interval_start_at
    group by loads.charge_id, coalesce(prices.currency, currencies.currency)
)

select
    priced.charge_id,
    priced.currency,
    charges.charge_source,
    charges.site_id,
    charges.port_id,
    charges.local_date,
    charges.local_month,
    priced.cost_method,
    cast(priced.energy_kwh as decimal(18, 6)) as energy_kwh,
    cast(priced.unpriced_energy_kwh as decimal(18, 6)) as unpriced_energy_kwh,
    cast(priced.energy_cost_net as decimal(38, 12)) as energy_cost_net
from priced
inner join charges on priced.charge_id = charges.charge_id
