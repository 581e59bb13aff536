{# One row is one line of a statement as the contracts, CDRs and costs known today ask for it, whether or not the month is
   closed. #}
{# A statement is of one contract, month and currency. It begins with what drivers paid and ends with what the owner gets:
     share of gross revenue: share x (revenue - energy compensation) + compensation - operator's fees
     share of net margin: share x (revenue - compensation, else energy and demand - roaming - operator's fees)
       + compensation, the share never below zero
     neither: revenue - operator's fees
   and at least the minimum guarantee. Fees and guarantee stand in the statement in the contract's currency. #}
{% set no_cdr = 'cast(null as varchar) as cdr_key, cast(null as varchar) as cdr_id, cast(null as decimal(18, 6)) as '
    ~ 'billed_gross' %}
{% set wholes = [
    ('rounding', 'total_revenue_net - revenue_net', 'billed_net', 'currency', 'true',
        "'Cents lost or won where CDRs have fractions of a cent'"),
    ('energy_cost', '-energy_net', 'bought_energy_kwh', "'kWh'", 'is_energy_deducted', "'Energy bought'"),
    ('energy_fixed_fee', '-fixed_net', 'cast(share_part as decimal(18, 6)) / share_whole', "'share'",
        'is_energy_deducted', "'Fixed fee of the energy supply'"),
    ('demand_charge', '-demand_net', 'charged_power_kw', "'kW'", 'is_energy_deducted',
        "'Demand charge on the highest quarter hour'"),
    ('roaming_fee', '-roaming_net', 'cast(null as decimal(18, 6))', 'cast(null as varchar)', 'is_margin',
        "'Roaming fees'"),
    ('operator_fee_energy', '-fee_energy_net', 'energy_kwh', "'kWh'", 'is_contract_currency',
        "'Operator fee per kWh at ' || cast(operator_fee_per_kwh as varchar)"),
    ('operator_fee_session', '-fee_session_net', 'session_count', "'session'", 'is_contract_currency',
        "'Operator fee per session at ' || cast(operator_fee_per_session as varchar)"),
    ('operator_fee_port_month', '-fee_port_net', 'cast(port_days as decimal(18, 6)) / day_count', "'port-month'",
        'is_contract_currency',
        "'Operator fee per port and month at ' || cast(operator_fee_per_port_month as varchar)"),
    ('energy_set_aside', '-compensation_net', 'energy_kwh', "'kWh'", 'is_contract_currency',
        "'Set aside for energy before the split'"),
    ('operator_share', 'owner_part_net - base_net', '1 - owner_share_ratio', "'share'", 'not is_loss',
        "'Share of the operator in ' || cast(cast(base_net as decimal(18, 2)) as varchar)"),
    ('operator_bears_loss', '-base_net', 'cast(null as decimal(18, 6))', 'cast(null as varchar)', 'is_loss',
        "'Loss that the operator bears: a share is never below zero'"),
    ('energy_compensation', 'compensation_net', 'energy_kwh', "'kWh'", 'is_contract_currency',
        "'Energy compensation at ' || cast(energy_compensation_per_kwh as varchar)"),
    ('minimum_guarantee', 'guarantee_net - payout_net', 'contract_days', "'day'",
        'is_contract_currency and guarantee_net > payout_net and guarantee_net > 0',
        "'Up to the minimum guarantee of ' || cast(cast(guarantee_net as decimal(18, 2)) as varchar)"),
] %}
with cdrs as (
    select * from {{ ref('int_settlement_cdr') }}
    where exclusion_reason is null
),

months as (
    select * from {{ ref('int_contract_month') }}
),

contracts as (
    select * from {{ ref('dim_contract') }}
),

charges as (
    select * from {{ ref('fct_energy_cost') }}
),

ports as (
    select * from {{ ref('dim_port') }}
),

stations as (
    select * from {{ ref('dim_station') }}
),

spans as (
    select * from {{ ref('int_contract_span') }}
),

fees as (
    select * from {{ ref('int_site_month_fee') }}
),

demand as (
    select * from {{ ref('fct_demand_charge') }}
),

currencies as (
    select * from {{ ref('currencies') }}
),

terms as (
    select
        contract_id,
        site_id,
        owner_id,
        upper(currency) as currency,
        coalesce(share_basis, 'gross_revenue') = 'net_margin' as is_margin,
        coalesce(owner_share_ratio, 1) as owner_share_ratio,
        energy_compensation_per_kwh,
        coalesce(operator_fee_per_kwh, 0) as operator_fee_per_kwh,
        coalesce(operator_fee_per_session, 0) as operator_fee_per_session,
        coalesce(operator_fee_per_port_month, 0) as operator_fee_per_port_month,
        coalesce(minimum_guarantee_per_month, 0) as minimum_guarantee_per_month
    from contracts
),

statements as (
    select
        months.contract_id,
        months.local_month,
        terms.currency
    from months
    inner join terms on months.contract_id = terms.contract_id
    union
    select
        contract_id,
        local_month,
        currency
    from cdrs
),

revenue as (
    select
        contract_id,
        local_month,
        currency,
        sum(billed_net) as billed_net,
        sum(amount_net) as amount_net
    from cdrs
    group by contract_id, local_month, currency
),

counted as (
    select
        contract_id,
        local_month,
        sum(energy_kwh) as energy_kwh,
        count(*) as session_count
    from cdrs
    where is_counted
    group by contract_id, local_month
),

roaming as (
    select
        contract_id,
        local_month,
        roaming_fee_currency as currency,
        sum(roaming_fee_net) as roaming_fee_net
    from cdrs
    group by contract_id, local_month, roaming_fee_currency
),

energy as (
    select
        spans.contract_id,
        charges.local_month,
        charges.currency,
        sum(charges.energy_kwh) as energy_kwh,
        sum(charges.energy_cost_net) as energy_cost_net
    from charges
    left join ports on charges.port_id = ports.port_id
    left join stations
        on
            ports.station_id = stations.station_id
            and charges.site_id = stations.site_id
    inner join spans
        on
            charges.site_id = spans.site_id
            and coalesce(stations.station_id, '') = coalesce(spans.station_id, '')
            and charges.local_date >= spans.from_on
            and (spans.to_on is null or charges.local_date < spans.to_on)
    group by spans.contract_id, charges.local_month, charges.currency
),

gathered as (
    select
        statements.contract_id,
        statements.local_month,
        statements.currency,
        terms.site_id,
        terms.owner_id,
        terms.is_margin,
        terms.owner_share_ratio,
        terms.energy_compensation_per_kwh,
        terms.operator_fee_per_kwh,
        terms.operator_fee_per_session,
        terms.operator_fee_per_port_month,
        terms.minimum_guarantee_per_month,
        currencies.minor_digits,
        statements.currency = terms.currency as is_contract_currency,
        coalesce(revenue.billed_net, 0) as billed_net,
        coalesce(revenue.amount_net, 0) as revenue_net,
        coalesce(counted.energy_kwh, 0) as energy_kwh,
        coalesce(counted.session_count, 0) as session_count,
        coalesce(roaming.roaming_fee_net, 0) as roaming_fee_net,
        coalesce(energy.energy_kwh, 0) as bought_energy_kwh,
        coalesce(energy.energy_cost_net, 0) as energy_cost_net,
        coalesce(fees.fixed_fee_net, 0) as fixed_fee_net,
        coalesce(demand.demand_charge_net, 0) as demand_charge_net,
        coalesce(demand.charged_power_kw, 0) as charged_power_kw,
        coalesce(months.day_count, 1) as day_count,
        coalesce(months.contract_days, 0) as contract_days,
        coalesce(months.port_days, 0) as port_days,
        coalesce(months.share_part, 0) as share_part,
        coalesce(months.share_whole, 1) as share_whole
    from statements
    inner join terms on statements.contract_id = terms.contract_id
    left join months
        on
            statements.contract_id = months.contract_id
            and statements.local_month = months.local_month
    left join revenue
        on
            statements.contract_id = revenue.contract_id
            and statements.local_month = revenue.local_month
            and statements.currency = revenue.currency
    left join counted
        on
            statements.contract_id = counted.contract_id
            and statements.local_month = counted.local_month
            and statements.currency = terms.currency
    left join roaming
        on
            statements.contract_id = roaming.contract_id
            and statements.local_month = roaming.local_month
            and statements.currency = roaming.currency
    left join energy
        on
            statements.contract_id = energy.contract_id
            and statements.local_month = energy.local_month
            and statements.currency = energy.currency
    left join fees
        on
            terms.site_id = fees.site_id
            and statements.local_month = fees.local_month
            and statements.currency = fees.currency
    left join demand
        on
            terms.site_id = demand.site_id
            and statements.local_month = demand.local_month
            and statements.currency = demand.currency
    left join currencies on statements.currency = currencies.currency
),

-- Every amount in the currency's smallest unit from here on, so that lines add up without a remainder.
due as (
    select
        *,
        {{ in_minor_units('billed_net', 'minor_digits') }} as total_revenue_net,
        {{ in_minor_units(exact_product('energy_kwh', 'coalesce(energy_compensation_per_kwh, 0)'), 'minor_digits') }}
            as compensation_net,
        {{ in_minor_units(exact_product('energy_kwh', 'operator_fee_per_kwh'), 'minor_digits') }} as fee_energy_net,
        {{ in_minor_units(exact_product('session_count', 'operator_fee_per_session'), 'minor_digits') }}
            as fee_session_net,
        {{ in_minor_units(prorated('operator_fee_per_port_month', 'port_days', 'day_count'), 'minor_digits') }}
            as fee_port_net,
        {{ in_minor_units('roaming_fee_net', 'minor_digits') }} as roaming_net,
        {{ in_minor_units('energy_cost_net', 'minor_digits') }} as energy_net,
        {{ in_minor_units(prorated('fixed_fee_net', 'share_part', 'share_whole'), 'minor_digits') }} as fixed_net,
        {{ in_minor_units(prorated('demand_charge_net', 'share_part', 'share_whole'), 'minor_digits') }} as demand_net,
        {{ in_minor_units(prorated('minimum_guarantee_per_month', 'contract_days', 'day_count'), 'minor_digits') }}
            as guarantee_net
    from gathered
),

charged as (
    select
        *,
        case when is_contract_currency then fee_energy_net + fee_session_net + fee_port_net else 0 end as operator_fees_net,
        is_margin and energy_compensation_per_kwh is null as is_energy_deducted
    from due
),

split as (
    select
        *,
        total_revenue_net - compensation_net
        - case when is_margin then roaming_net + operator_fees_net else 0 end
        - case when is_energy_deducted then energy_net + fixed_net + demand_net else 0 end as base_net
    from charged
),

shared as (
    select
        *,
        base_net < 0 and (is_margin or compensation_net > 0) as is_loss,
        {{ in_minor_units(exact_product('base_net', 'owner_share_ratio'), 'minor_digits') }} as owner_part_net
    from split
),

paid as (
    select
        *,
        case when is_loss then 0 else owner_part_net end + compensation_net
        - case when is_margin then 0 else operator_fees_net end as payout_net
    from shared
),

lines as (
    select
        contract_id,
        owner_id,
        site_id,
        local_month,
        currency,
        'revenue' as line_type,
        amount_net,
        cdr_key,
        cdr_id,
        billed_gross,
        energy_kwh as quantity,
        'kWh' as unit,
        case when is_credit then 'Credit ' else 'CDR ' end || cdr_id as description
    from cdrs
    {%- for line_type, amount, quantity, unit, condition, description in wholes %}
    union all
    select
        contract_id,
        owner_id,
        site_id,
        local_month,
        currency,
        '{{ line_type }}' as line_type,
        cast({{ amount }} as decimal(18, 6)) as amount_net,
        {{ no_cdr }},
        cast({{ quantity }} as decimal(18, 6)) as quantity,
        {{ unit }} as unit,
        {{ description }} as description
    from paid
    where {{ condition }} and {{ amount }} <> 0
    {%- endfor %}
)

select
    {{ statement_key('owner_id', 'contract_id', 'local_month', 'currency') }} as statement_id,
    owner_id,
    contract_id,
    site_id,
    local_month,
    line_type,
    amount_net,
    currency,
    cdr_key,
    cdr_id,
    billed_gross,
    quantity,
    unit,
    description
from lines
