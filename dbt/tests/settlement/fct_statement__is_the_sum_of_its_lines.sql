-- A statement pays the sum of its lines, and its parts are all of it.
with lines as (
    select
        statement_id,
        sum(amount_net) as amount_net
    from {{ ref('fct_settlement_line') }}
    group by statement_id
)

select coalesce(statements.statement_id, lines.statement_id) as statement_id
from {{ ref('fct_statement') }} as statements
full outer join lines on statements.statement_id = lines.statement_id
where
    coalesce(statements.payout_net <> coalesce(lines.amount_net, 0), true)
    or statements.payout_net
    <> statements.revenue_net - statements.energy_net - statements.roaming_fee_net - statements.operator_fee_net
    - statements.operator_share_net + statements.minimum_guarantee_net + statements.adjustment_net
