{# One row is one line of a statement: of a closed month as it was closed, of an open one as it stands. #}
{# Closed months are never edited. What would change them stands as adjustments in the next open month of the contract:
   the difference between what is known today and all that was booked for the closed month before. #}
with due as (
    select * from {{ ref('int_settlement_line') }}
),

closed_lines as (
    select * from {{ ref('stg_settlement__closed_lines') }}
),

closed_months as (
    select * from {{ ref('stg_settlement__closed_months') }}
),

calendar as (
    select * from {{ ref('int_site_calendar') }}
),

cdrs as (
    select * from {{ ref('int_settlement_cdr') }}
),

-- What is due today and what was booked, as one list: the sum per line is what is still missing.
booked as (
    select
        due.owner_id,
        due.contract_id,
        due.site_id,
        due.local_month,
        due.currency,
        due.line_type,
        due.cdr_key,
        due.cdr_id,
        due.amount_net,
        due.billed_gross,
        1 as due_count,
        0 as booked_count
    from due
    inner join closed_months
        on
            due.contract_id = closed_months.contract_id
            and due.local_month = closed_months.local_month
    union all
    select
        owner_id,
        contract_id,
        site_id,
        coalesce(adjusted_month, local_month) as local_month,
        currency,
        coalesce(adjusted_line_type, line_type) as line_type,
        cdr_key,
        cdr_id,
        -amount_net as amount_net,
        -billed_gross as billed_gross,
        0 as due_count,
        1 as booked_count
    from closed_lines
),

missing as (
    select
        owner_id,
        contract_id,
        site_id,
        local_month,
        currency,
        line_type,
        cdr_key,
        min(cdr_id) as cdr_id,
        sum(amount_net) as amount_net,
        sum(billed_gross) as billed_gross,
        sum(due_count) > 0 as is_due,
        sum(booked_count) > 0 as is_booked
    from booked
    group by owner_id, contract_id, site_id, local_month, currency, line_type, cdr_key
    having sum(amount_net) <> 0
),

explained as (
    select
        missing.*,
        case
            when missing.cdr_key is null and max(missing.cdr_key) over (
                partition by missing.contract_id, missing.local_month
            ) is not null then 'follows_cdr'
            when missing.cdr_key is null then 'changed_input'
            when missing.is_due and missing.is_booked then 'changed_cdr'
            when missing.is_booked then 'removed_cdr'
            when cdrs.is_credit then 'credit_cdr'
            else 'late_cdr'
        end as reason
    from missing
    left join cdrs on missing.cdr_key = cdrs.cdr_key
),

-- The next open month is the one after the last that was closed for the site: when it falls due itself, it is closed with
-- the adjustments in it.
last_closed as (
    select
        site_id,
        max(local_month) as local_month
    from closed_months
    group by site_id
),

adjustments as (
    select
        explained.owner_id,
        explained.contract_id,
        explained.site_id,
        {{ month_after('last_closed.local_month') }} as local_month,
        explained.currency,
        'adjustment' as line_type,
        explained.amount_net,
        explained.cdr_key,
        explained.cdr_id,
        explained.billed_gross,
        cast(null as decimal(18, 6)) as quantity,
        cast(null as varchar) as unit,
        {{ month_text('explained.local_month') }} || ', ' || replace(explained.line_type, '_', ' ') || ': '
        || replace(explained.reason, '_cdr', ' CDR') || coalesce(' ' || explained.cdr_id, '') as description,
        explained.local_month as adjusted_month,
        explained.line_type as adjusted_line_type,
        explained.reason as adjustment_reason,
        coalesce(calendar.is_due, false) as is_closed
    from explained
    inner join last_closed on explained.site_id = last_closed.site_id
    left join calendar
        on
            explained.site_id = calendar.site_id
            and {{ month_after('last_closed.local_month') }} = calendar.local_month
),

lines as (
    select
        statement_id,
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
        description,
        adjusted_month,
        adjusted_line_type,
        adjustment_reason,
        true as is_closed
    from closed_lines
    union all
    select
        due.statement_id,
        due.owner_id,
        due.contract_id,
        due.site_id,
        due.local_month,
        due.line_type,
        due.amount_net,
        due.currency,
        due.cdr_key,
        due.cdr_id,
        due.billed_gross,
        due.quantity,
        due.unit,
        due.description,
        cast(null as date) as adjusted_month,
        cast(null as varchar) as adjusted_line_type,
        cast(null as varchar) as adjustment_reason,
        coalesce(calendar.is_due, false) as is_closed
    from due
    left join closed_months
        on
            due.contract_id = closed_months.contract_id
            and due.local_month = closed_months.local_month
    left join calendar
        on
            due.site_id = calendar.site_id
            and due.local_month = calendar.local_month
    where closed_months.contract_id is null
    union all
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
        description,
        adjusted_month,
        adjusted_line_type,
        adjustment_reason,
        is_closed
    from adjustments
)

select
    md5(concat_ws(
        '|', statement_id, line_type, coalesce(cdr_key, ''), coalesce(cast(adjusted_month as varchar), ''),
        coalesce(adjusted_line_type, '')
    )) as line_id,
    statement_id,
    owner_id,
    contract_id,
    site_id,
    local_month,
    line_type,
    cast(amount_net as decimal(18, 6)) as amount_net,
    currency,
    cdr_key,
    cdr_id,
    cast(billed_gross as decimal(18, 6)) as billed_gross,
    cast(quantity as decimal(18, 6)) as quantity,
    unit,
    description,
    adjusted_month,
    adjusted_line_type,
    adjustment_reason,
    is_closed
from lines
