-- Whatever was closed, adjusted and left open: under each contract and currency, all that was booked is all that is due today,
-- revenue and rounding are what the CDRs billed, to the cent of each month, and so owners add up to the network.
with booked as (
    select
        contract_id,
        currency,
        sum(amount_net) as amount_net,
        sum(case
            when coalesce(adjusted_line_type, line_type) in ('revenue', 'rounding') then amount_net else 0
        end) as revenue_net
    from {{ ref('fct_settlement_line') }}
    group by contract_id, currency
),

due as (
    select
        contract_id,
        currency,
        sum(amount_net) as amount_net
    from {{ ref('int_settlement_line') }}
    group by contract_id, currency
),

months as (
    select
        cdrs.contract_id,
        cdrs.currency,
        {{ in_minor_units('sum(cdrs.billed_net)', 'min(currencies.minor_digits)') }} as revenue_net
    from {{ ref('int_settlement_cdr') }} as cdrs
    left join {{ ref('currencies') }} as currencies on cdrs.currency = currencies.currency
    where cdrs.exclusion_reason is null
    group by cdrs.contract_id, cdrs.local_month, cdrs.currency
),

billed as (
    select
        contract_id,
        currency,
        sum(revenue_net) as revenue_net
    from months
    group by contract_id, currency
)

select
    coalesce(booked.contract_id, due.contract_id) as contract_id,
    coalesce(booked.currency, due.currency) as currency
from booked
full outer join due
    on
        booked.contract_id = due.contract_id
        and booked.currency = due.currency
left join billed
    on
        coalesce(booked.contract_id, due.contract_id) = billed.contract_id
        and coalesce(booked.currency, due.currency) = billed.currency
where
    coalesce(booked.amount_net, 0) <> coalesce(due.amount_net, 0)
    or coalesce(booked.revenue_net, 0) <> coalesce(billed.revenue_net, 0)
