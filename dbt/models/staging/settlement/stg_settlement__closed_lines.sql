{# One row is one line of a statement as it stood when its month was closed. #}
with lines as (
    select * from {{ source('settlement', 'closed_line') }}
),

months as (
    select * from {{ ref('stg_settlement__closed_months') }}
)

-- Lines are written before the month that makes them count: those of a run that died in between count for nothing.
select
    lines.statement_id,
    lines.owner_id,
    lines.contract_id,
    lines.site_id,
    lines.local_month,
    lines.line_type,
    lines.amount_net,
    lines.currency,
    lines.cdr_key,
    lines.cdr_id,
    lines.billed_gross,
    lines.quantity,
    lines.unit,
    lines.description,
    lines.adjusted_month,
    lines.adjusted_line_type,
    lines.adjustment_reason
from lines
inner join months
    on
        lines.run_id = months.run_id
        and lines.contract_id = months.contract_id
        and lines.local_month = months.local_month
