{# One row is one priced CDR with its total under every way of rounding, in thousand-millionths of its currency. #}
with totals as (
    select * from {{ ref('int_price_cdr_total') }}
),

lines as (
    select * from {{ ref('int_price_line') }}
),

currencies as (
    select * from {{ ref('currencies') }}
),

-- The smallest amount that can be paid: 0.01 is 10,000,000 thousand-millionths. Of a currency nobody knows, a cent.
priced as (
    select
        totals.cdr_number,
        totals.cdr_key,
        totals.peer,
        coalesce(totals.repriced_net <> totals.lines_net, false)
        or coalesce(totals.repriced_gross <> totals.lines_gross, false) as is_limited,
        {{ to_nano('totals.repriced_net') }} as net,
        {{ to_nano('totals.repriced_gross') }} as gross,
        {{ to_nano('totals.energy_net') }} as energy_net,
        {{ to_nano('totals.time_net') }} as time_net,
        {{ to_nano('totals.parking_net') }} as parking_net,
        {{ to_nano('totals.reservation_net') }} as reservation_net,
        {{ to_nano('totals.flat_net') }} as flat_net,
        case coalesce(currencies.minor_digits, 2)
            when 0 then 1000000000
            when 2 then 10000000
            when 3 then 1000000
            else 100000
        end as unit
    from totals
    left join currencies on totals.currency = currencies.currency
    where totals.status = 'priced' and (totals.repriced_net is not null or totals.repriced_gross is not null)
),

periods as (
    select
        lines.cdr_number,
        lines.period_rank,
        min(priced.unit) as unit,
        count(*) as line_count,
        count(lines.vat_ratio) as taxed_line_count,
        min(lines.vat_ratio) as lowest_vat_ratio,
        max(lines.vat_ratio) as highest_vat_ratio,
        try_cast(sum(lines.net_nano) as bigint) as net,
        try_cast(sum(lines.gross_nano) as bigint) as gross,
        try_cast(sum({{ rounded_nano('lines.net_nano', 'priced.unit') }}) as bigint) as line_net,
        try_cast(sum({{ rounded_nano('lines.gross_nano', 'priced.unit') }}) as bigint) as line_gross,
        -- What the same prices make of the quantities as they are, without rounding them up to whole steps.
        sum(case
            when lines.billed_quantity = lines.quantity or lines.billed_quantity = 0 then lines.net_nano
            else cast(lines.net_nano as double) * cast(lines.quantity as double) / cast(lines.billed_quantity as double)
        end) as stepless_net
    from lines
    inner join priced on lines.cdr_number = priced.cdr_number
    group by lines.cdr_number, lines.period_rank
),

summed as (
    select
        cdr_number,
        try_cast(sum({{ rounded_nano('net', 'unit') }}) as bigint) as period_net,
        try_cast(sum({{ rounded_nano('gross', 'unit') }}) as bigint) as period_gross,
        try_cast(sum(line_net) as bigint) as line_net,
        try_cast(sum(line_gross) as bigint) as line_gross,
        try_cast(round(sum(stepless_net), 0) as bigint) as stepless_net,
        -- One rate for all: taxes of a rounded total are then exact, and half a cent stays half a cent.
        case
            when sum(line_count) = sum(taxed_line_count) and min(lowest_vat_ratio) = max(highest_vat_ratio)
                then min(lowest_vat_ratio)
        end as vat_ratio
    from periods
    group by cdr_number
)

select
    priced.cdr_number,
    priced.cdr_key,
    priced.peer,
    priced.unit,
    priced.is_limited,
    priced.net,
    priced.gross,
    cast(summed.vat_ratio * 1000000 as bigint) as vat_millionths,
    case
        when priced.is_limited or summed.cdr_number is null then priced.net
        else
            {{ rounded_nano('priced.energy_net', 'priced.unit') }}
            + {{ rounded_nano('priced.time_net', 'priced.unit') }}
            + {{ rounded_nano('priced.parking_net', 'priced.unit') }}
            + {{ rounded_nano('priced.reservation_net', 'priced.unit') }}
            + {{ rounded_nano('priced.flat_net', 'priced.unit') }}
    end as dimension_net,
    case
        when priced.is_limited or summed.cdr_number is null then priced.net
        else
            {{ rounded_nano('priced.energy_net', '100000') }}
            + {{ rounded_nano('priced.time_net', '100000') }}
            + {{ rounded_nano('priced.parking_net', '100000') }}
            + {{ rounded_nano('priced.reservation_net', '100000') }}
            + {{ rounded_nano('priced.flat_net', '100000') }}
    end as dimension_4_net,
    case when priced.is_limited or summed.cdr_number is null then priced.net else summed.period_net end as period_net,
    case when priced.is_limited or summed.cdr_number is null then priced.gross else summed.period_gross end
        as period_gross,
    case when priced.is_limited or summed.cdr_number is null then priced.net else summed.line_net end as line_net,
    case when priced.is_limited or summed.cdr_number is null then priced.gross else summed.line_gross end as line_gross,
    case when not priced.is_limited then summed.stepless_net end as stepless_net
from priced
left join summed on priced.cdr_number = summed.cdr_number
