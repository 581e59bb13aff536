-- What the sessions cost is what the site's quarter hours cost, and no session's energy is lost; months hold it all.
with parts as (
    select
        site_id,
        sum(energy_kwh) as energy_kwh,
        sum(energy_cost_net) as energy_cost_net
    from {{ ref('fct_energy_cost') }}
    where charge_source = 'session'
    group by site_id
),

wholes as (
    select
        loads.site_id,
        sum(loads.energy_kwh) as energy_kwh,
        sum(coalesce({{ exact_product('loads.energy_kwh', 'prices.price_per_kwh') }}, 0)) as energy_cost_net
    from {{ ref('fct_load_15min') }} as loads
    left join {{ ref('int_energy_price') }} as prices
        on
            loads.site_id = prices.site_id
            and loads.interval_start_at = prices.interval_start_at
    group by loads.site_id
),

charged as (
    select
        site_id,
        local_month,
        currency,
        round(sum(energy_cost_net), 6) as energy_cost_net
    from {{ ref('fct_energy_cost') }}
    group by site_id, local_month, currency
),

attributed as (
    select
        site_id,
        local_month,
        currency,
        sum(demand_charge_net) as demand_charge_net
    from {{ ref('fct_demand_peak_session') }}
    group by site_id, local_month, currency
)

select
    coalesce(parts.site_id, wholes.site_id) as site_id,
    'quarter hours' as what
from parts
full outer join wholes on parts.site_id = wholes.site_id
where
    coalesce(parts.energy_kwh, 0) <> coalesce(wholes.energy_kwh, 0)
    or coalesce(parts.energy_cost_net, 0) <> coalesce(wholes.energy_cost_net, 0)
union all
select
    charged.site_id,
    'months' as what
from charged
left join {{ ref('fct_site_month') }} as months
    on
        charged.site_id = months.site_id
        and charged.local_month = months.local_month
        and charged.currency = months.currency
where coalesce(charged.energy_cost_net <> months.energy_cost_net - months.energy_fixed_fee_net, true)
union all
select
    attributed.site_id,
    'demand' as what
from attributed
inner join {{ ref('fct_demand_charge') }} as charges
    on
        attributed.site_id = charges.site_id
        and attributed.local_month = charges.local_month
        and attributed.currency = charges.currency
where attributed.demand_charge_net <> charges.demand_charge_net
