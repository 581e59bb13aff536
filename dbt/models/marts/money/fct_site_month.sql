{# One row is one site in one local month and one currency: charging, revenue, costs, margin and lost time. #}
with states as (
    select * from {{ ref('int_port_state_day') }}
),

charges as (
    select * from {{ ref('int_charges') }}
),

cdrs as (
    select * from {{ ref('fct_cdr') }}
),

settled_cdrs as (
    select * from {{ ref('int_settlement_cdr') }}
),

settlement_lines as (
    select * from {{ ref('int_settlement_line') }}
),

energy as (
    select * from {{ ref('fct_energy_cost') }}
),

fees as (
    select * from {{ ref('int_site_month_fee') }}
),

demand as (
    select * from {{ ref('fct_demand_charge') }}
),

opex as (
    select * from {{ ref('int_site_opex') }}
),

currencies as (
    select * from {{ ref('int_site_currency') }}
),

ports as (
    select * from {{ ref('dim_port') }}
),

sites as (
    select * from {{ ref('dim_site') }}
),

watched as (
    select
        coalesce(ports.site_id, 'unmapped') as site_id,
        cast(date_trunc('month', states.local_date) as date) as local_month,
        sum(states.period_s) as period_s,
        sum(states.occupied_s + states.charging_s) as in_use_s,
        sum(states.faulted_s + states.unavailable_s + states.offline_s) as downtime_s
    from states
    left join ports on states.port_id = ports.port_id
    group by coalesce(ports.site_id, 'unmapped'), cast(date_trunc('month', states.local_date) as date)
),

charging as (
    select
        site_id,
        local_month,
        count(*) as session_count,
        sum(energy_kwh) as energy_kwh
    from charges
    group by site_id, local_month
),

-- Every amount as one list, each kind in its own column.
amounts as (
    select
        site_id,
        local_month,
        currency,
        billed_net as revenue_net,
        1 as cdr_count,
        cast(0 as decimal(38, 12)) as energy_cost_net,
        0 as fixed_fee_net,
        0 as demand_charge_net,
        0 as roaming_fee_net,
        0 as operator_fee_net,
        0 as opex_net
    from cdrs
    where not is_home_charging_compensation
    union all
    select
        site_id,
        local_month,
        currency,
        0 as revenue_net,
        0 as cdr_count,
        energy_cost_net,
        0 as fixed_fee_net,
        0 as demand_charge_net,
        0 as roaming_fee_net,
        0 as operator_fee_net,
        0 as opex_net
    from energy
    where energy_cost_net <> 0
    union all
    select
        site_id,
        local_month,
        currency,
        0 as revenue_net,
        0 as cdr_count,
        0 as energy_cost_net,
        fixed_fee_net,
        0 as demand_charge_net,
        0 as roaming_fee_net,
        0 as operator_fee_net,
        0 as opex_net
    from fees
    where fixed_fee_net <> 0
    union all
    select
        site_id,
        local_month,
        currency,
        0 as revenue_net,
        0 as cdr_count,
        0 as energy_cost_net,
        0 as fixed_fee_net,
        demand_charge_net,
        0 as roaming_fee_net,
        0 as operator_fee_net,
        0 as opex_net
    from demand
    where demand_charge_net <> 0
    union all
    select
        site_id,
        local_month,
        roaming_fee_currency as currency,
        0 as revenue_net,
        0 as cdr_count,
        0 as energy_cost_net,
        0 as fixed_fee_net,
        0 as demand_charge_net,
        roaming_fee_net,
        0 as operator_fee_net,
        0 as opex_net
    from settled_cdrs
    where roaming_fee_net <> 0
    union all
    select
        site_id,
        local_month,
        currency,
        0 as revenue_net,
        0 as cdr_count,
        0 as energy_cost_net,
        0 as fixed_fee_net,
        0 as demand_charge_net,
        0 as roaming_fee_net,
        -amount_net as operator_fee_net,
        0 as opex_net
    from settlement_lines
    where line_type like 'operator_fee_%'
    union all
    select
        site_id,
        local_month,
        currency,
        0 as revenue_net,
        0 as cdr_count,
        0 as energy_cost_net,
        0 as fixed_fee_net,
        0 as demand_charge_net,
        0 as roaming_fee_net,
        0 as operator_fee_net,
        amount_net as opex_net
    from opex
),

money as (
    select
        site_id,
        local_month,
        currency,
        cast(sum(revenue_net) as decimal(18, 6)) as revenue_net,
        sum(cdr_count) as cdr_count,
        cast(round(sum(energy_cost_net), 6) as decimal(18, 6)) as energy_use_cost_net,
        cast(sum(fixed_fee_net) as decimal(18, 6)) as energy_fixed_fee_net,
        cast(sum(demand_charge_net) as decimal(18, 6)) as demand_charge_net,
        cast(sum(roaming_fee_net) as decimal(18, 6)) as roaming_fee_net,
        cast(sum(operator_fee_net) as decimal(18, 6)) as operator_fee_net,
        cast(sum(opex_net) as decimal(18, 6)) as opex_net
    from amounts
    group by site_id, local_month, currency
),

-- Charging and time have no currency: they stand on the row of the site's own currency, once. Money in another currency
-- makes a row of its own.
site_months as (
    select
        watched.site_id,
        watched.local_month,
        currencies.currency
    from watched
    inner join currencies on watched.site_id = currencies.site_id
    union
    select
        charging.site_id,
        charging.local_month,
        currencies.currency
    from charging
    inner join currencies on charging.site_id = currencies.site_id
    union
    select
        site_id,
        local_month,
        currency
    from money
),

marked as (
    select
        site_months.site_id,
        site_months.local_month,
        site_months.currency,
        site_months.currency = currencies.currency as is_site_currency
    from site_months
    inner join currencies on site_months.site_id = currencies.site_id
)

select
    marked.site_id,
    coalesce(sites.owner_id, 'unmapped') as owner_id,
    coalesce(sites.operator_id, 'unmapped') as operator_id,
    marked.local_month,
    marked.currency,
    marked.is_site_currency,
    cast(coalesce(charging.session_count, 0) as bigint) as session_count,
    cast(coalesce(charging.energy_kwh, 0) as decimal(18, 6)) as energy_kwh,
    cast(coalesce(money.cdr_count, 0) as bigint) as cdr_count,
    cast(coalesce(money.revenue_net, 0) as decimal(18, 6)) as revenue_net,
    cast(coalesce(money.energy_use_cost_net + money.energy_fixed_fee_net, 0) as decimal(18, 6)) as energy_cost_net,
    cast(coalesce(money.energy_fixed_fee_net, 0) as decimal(18, 6)) as energy_fixed_fee_net,
    cast(coalesce(money.demand_charge_net, 0) as decimal(18, 6)) as demand_charge_net,
    cast(coalesce(money.roaming_fee_net, 0) as decimal(18, 6)) as roaming_fee_net,
    cast(coalesce(money.operator_fee_net, 0) as decimal(18, 6)) as operator_fee_net,
    cast(coalesce(money.opex_net, 0) as decimal(18, 6)) as opex_net,
    cast(coalesce(
        money.revenue_net - money.energy_use_cost_net - money.energy_fixed_fee_net - money.demand_charge_net
        - money.roaming_fee_net - money.operator_fee_net - money.opex_net, 0
    ) as decimal(18, 6)) as margin_net,
    cast(coalesce(watched.downtime_s, 0) as bigint) as downtime_s,
    cast(coalesce(watched.in_use_s, 0) as bigint) as in_use_s,
    cast(coalesce(watched.period_s, 0) as bigint) as period_s,
    cast(watched.in_use_s as double) / nullif(watched.period_s, 0) as utilisation_ratio
from marked
left join sites on marked.site_id = sites.site_id
left join watched
    on
        marked.site_id = watched.site_id
        and marked.local_month = watched.local_month
        and marked.is_site_currency
left join charging
    on
        marked.site_id = charging.site_id
        and marked.local_month = charging.local_month
        and marked.is_site_currency
left join money
    on
        marked.site_id = money.site_id
        and marked.local_month = money.local_month
        and marked.currency = money.currency
