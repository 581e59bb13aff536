{# One row is one priced quantity of one charging period of a CDR, or what a price limit of the tariff added or took. #}
with lines as (
    select * from {{ ref('int_price_line') }}
),

totals as (
    select * from {{ ref('int_price_cdr_total') }}
),

cdrs as (
    select * from {{ ref('int_price_cdr') }}
),

price_lists as (
    select * from {{ ref('int_price_list') }}
),

limits as (
    select
        totals.cdr_number,
        'MIN_PRICE' as price_kind,
        totals.price_list_number,
        price_lists.min_price_net as unit_price,
        totals.min_price_net as amount_net,
        totals.min_price_gross as amount_gross
    from totals
    inner join price_lists on totals.price_list_number = price_lists.price_list_number
    where totals.min_price_net <> 0 or totals.min_price_gross <> 0
    union all
    select
        totals.cdr_number,
        'MAX_PRICE' as price_kind,
        totals.price_list_number,
        price_lists.max_price_net as unit_price,
        totals.max_price_net as amount_net,
        totals.max_price_gross as amount_gross
    from totals
    inner join price_lists on totals.price_list_number = price_lists.price_list_number
    where totals.max_price_net <> 0 or totals.max_price_gross <> 0
),

all_lines as (
    select
        cdr_number,
        period_number,
        price_kind,
        price_list_number,
        element_number,
        component_number,
        quantity,
        billed_quantity,
        unit_price,
        {{ from_nano('net_nano') }} as amount_net,
        {{ from_nano('gross_nano') }} as amount_gross,
        cast(vat_ratio as decimal(9, 6)) as vat_ratio,
        restriction_unverifiable,
        period_spans_price_change
    from lines
    union all
    select
        cdr_number,
        0 as period_number,
        price_kind,
        price_list_number,
        cast(null as integer) as element_number,
        cast(null as integer) as component_number,
        cast(1 as decimal(18, 6)) as quantity,
        cast(1 as decimal(18, 6)) as billed_quantity,
        unit_price,
        amount_net,
        amount_gross,
        cast(null as decimal(9, 6)) as vat_ratio,
        false as restriction_unverifiable,
        false as period_spans_price_change
    from limits
)

select
    cdrs.cdr_key,
    cdrs.cdr_id,
    cdrs.peer,
    cast(all_lines.period_number as integer) as period_number,
    all_lines.price_kind as dimension,
    price_lists.tariff_version_id,
    price_lists.tariff_id,
    cast(all_lines.element_number as integer) as element_number,
    cast(all_lines.component_number as integer) as component_number,
    all_lines.quantity,
    all_lines.billed_quantity,
    case
        when all_lines.price_kind = 'ENERGY' then 'kWh'
        when all_lines.price_kind in ('TIME', 'PARKING_TIME', 'RESERVATION_TIME') then 'h'
        else 'session'
    end as unit,
    all_lines.unit_price,
    all_lines.amount_net,
    all_lines.amount_gross,
    all_lines.vat_ratio,
    cdrs.currency,
    price_lists.price_basis,
    all_lines.restriction_unverifiable,
    all_lines.period_spans_price_change,
    cdrs.time_zone_source
from all_lines
inner join cdrs on all_lines.cdr_number = cdrs.cdr_number
inner join price_lists on all_lines.price_list_number = price_lists.price_list_number
