{# One row is one statement: what one owner gets for one local month under one contract, in one currency. #}
with lines as (
    select * from {{ ref('fct_settlement_line') }}
),

months as (
    select * from {{ ref('int_contract_month') }}
),

contracts as (
    select * from {{ ref('dim_contract') }}
),

closed_months as (
    select * from {{ ref('stg_settlement__closed_months') }}
),

calendar as (
    select * from {{ ref('int_site_calendar') }}
),

summed as (
    select
        statement_id,
        owner_id,
        contract_id,
        site_id,
        local_month,
        currency,
        sum(amount_net) as payout_net,
        sum(case when line_type in ('revenue', 'rounding') then amount_net else 0 end) as revenue_net,
        sum(case when line_type = 'revenue' then billed_gross end) as revenue_gross,
        sum(case when line_type = 'revenue' and billed_gross is null then 1 else 0 end) as untaxed_cdr_count,
        sum(case when line_type = 'revenue' then 1 else 0 end) as cdr_count,
        sum(case when line_type in ('energy_cost', 'energy_fixed_fee', 'demand_charge') then -amount_net else 0 end)
            as energy_net,
        sum(case when line_type = 'roaming_fee' then -amount_net else 0 end) as roaming_fee_net,
        sum(case when line_type like 'operator_fee_%' then -amount_net else 0 end) as operator_fee_net,
        sum(case when line_type in ('operator_share', 'operator_bears_loss') then -amount_net else 0 end)
            as operator_share_net,
        sum(case when line_type = 'minimum_guarantee' then amount_net else 0 end) as minimum_guarantee_net,
        sum(case when line_type = 'adjustment' then amount_net else 0 end) as adjustment_net,
        count(*) as line_count
    from lines
    group by statement_id, owner_id, contract_id, site_id, local_month, currency
),

-- A contract that holds has a statement, even of nothing.
empty as (
    select
        {{ statement_key(
            'contracts.owner_id', 'contracts.contract_id', 'months.local_month', 'upper(contracts.currency)'
        ) }} as statement_id,
        contracts.owner_id,
        contracts.contract_id,
        contracts.site_id,
        months.local_month,
        upper(contracts.currency) as currency
    from months
    inner join contracts on months.contract_id = contracts.contract_id
    left join summed
        on
            months.contract_id = summed.contract_id
            and months.local_month = summed.local_month
            and upper(contracts.currency) = summed.currency
    where summed.statement_id is null
),

statements as (
    select
        statement_id,
        owner_id,
        contract_id,
        site_id,
        local_month,
        currency
    from summed
    union
    select
        statement_id,
        owner_id,
        contract_id,
        site_id,
        local_month,
        currency
    from empty
)

select
    statements.statement_id,
    statements.owner_id,
    statements.contract_id,
    statements.site_id,
    coalesce(contracts.operator_id, 'unmapped') as operator_id,
    statements.local_month,
    statements.currency,
    cast(coalesce(summed.payout_net, 0) as decimal(18, 6)) as payout_net,
    cast(coalesce(summed.revenue_net, 0) as decimal(18, 6)) as revenue_net,
    cast(summed.revenue_gross as decimal(18, 6)) as revenue_gross,
    cast(coalesce(summed.energy_net, 0) as decimal(18, 6)) as energy_net,
    cast(coalesce(summed.roaming_fee_net, 0) as decimal(18, 6)) as roaming_fee_net,
    cast(coalesce(summed.operator_fee_net, 0) as decimal(18, 6)) as operator_fee_net,
    cast(coalesce(summed.operator_share_net, 0) as decimal(18, 6)) as operator_share_net,
    cast(coalesce(summed.minimum_guarantee_net, 0) as decimal(18, 6)) as minimum_guarantee_net,
    cast(coalesce(summed.adjustment_net, 0) as decimal(18, 6)) as adjustment_net,
    cast(coalesce(summed.cdr_count, 0) as bigint) as cdr_count,
    cast(coalesce(summed.untaxed_cdr_count, 0) as bigint) as untaxed_cdr_count,
    cast(coalesce(summed.line_count, 0) as bigint) as line_count,
    closed_months.contract_id is not null or coalesce(calendar.is_due, false) as is_closed
from statements
left join summed on statements.statement_id = summed.statement_id
left join contracts on statements.contract_id = contracts.contract_id
left join closed_months
    on
        statements.contract_id = closed_months.contract_id
        and statements.local_month = closed_months.local_month
left join calendar
    on
        statements.site_id = calendar.site_id
        and statements.local_month = calendar.local_month
