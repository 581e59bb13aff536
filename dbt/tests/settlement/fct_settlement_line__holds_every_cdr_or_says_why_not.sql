-- Every CDR stands in statements with its amount to the cent, adjustments included, or among the exclusions; never in both.
with cdrs as (
    select
        cdr_key,
        exclusion_reason,
        amount_net
    from {{ ref('int_settlement_cdr') }}
),

lines as (
    select
        cdr_key,
        sum(amount_net) as amount_net,
        count(*) as line_count
    from {{ ref('fct_settlement_line') }}
    where cdr_key is not null
    group by cdr_key
),

excluded as (
    select cdr_key
    from {{ ref('fct_settlement_exclusion') }}
),

billed as (
    select cdr_key
    from {{ ref('fct_cdr') }}
)

select coalesce(billed.cdr_key, lines.cdr_key) as cdr_key
from billed
left join cdrs on billed.cdr_key = cdrs.cdr_key
full outer join lines on billed.cdr_key = lines.cdr_key
left join excluded on billed.cdr_key = excluded.cdr_key
where
    coalesce(lines.amount_net, 0)
    <> case when cdrs.cdr_key is null or excluded.cdr_key is not null then 0 else cdrs.amount_net end
    or (excluded.cdr_key is null and lines.cdr_key is null)
