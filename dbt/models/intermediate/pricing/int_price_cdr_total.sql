{# One row is one CDR with its re-priced total, the parts it is made of, or the reason why there is none. #}
with cdrs as (
    select * from {{ ref('int_price_cdr') }}
),

lines as (
    select * from {{ ref('int_price_line') }}
),

price_lists as (
    select * from {{ ref('int_price_list') }}
),

summed as (
    select
        cdr_number,
        count(*) as line_count,
        -- One amount that is not known makes the sum unknown.
        case when count(net_nano) = count(*) then try_cast(sum(net_nano) as bigint) end as net_nano,
        case when count(gross_nano) = count(*) then try_cast(sum(gross_nano) as bigint) end as gross_nano,
        max(case when amount_nano is null then 1 else 0 end) = 1 as has_unusable_amount,
        try_cast(sum(case when price_kind = 'ENERGY' then net_nano end) as bigint) as energy_nano,
        try_cast(sum(case when price_kind = 'TIME' then net_nano end) as bigint) as time_nano,
        try_cast(sum(case when price_kind = 'PARKING_TIME' then net_nano end) as bigint) as parking_nano,
        try_cast(sum(case when price_kind in ('RESERVATION_TIME', 'RESERVATION_FLAT') then net_nano end) as bigint)
            as reservation_nano,
        try_cast(sum(case when price_kind = 'FLAT' then net_nano end) as bigint) as flat_nano,
        max(case when restriction_unverifiable then 1 else 0 end) = 1 as has_unverifiable_restriction,
        max(case when period_spans_price_change then 1 else 0 end) = 1 as has_period_spanning_price_change
    from lines
    group by cdr_number
),

-- The limits of the tariff at session start hold once for the session, net and gross each for itself.
limited as (
    select
        cdrs.cdr_number,
        cdrs.cdr_key,
        cdrs.cdr_id,
        cdrs.peer,
        cdrs.currency,
        cdrs.status,
        cdrs.reason,
        cdrs.price_list_number,
        price_lists.min_price_net_nano as min_price_net,
        price_lists.min_price_gross_nano as min_price_gross,
        price_lists.max_price_net_nano as max_price_net,
        price_lists.max_price_gross_nano as max_price_gross,
        coalesce(summed.line_count, 0) as line_count,
        coalesce(summed.has_unusable_amount, false) as has_unusable_amount,
        coalesce(summed.has_unverifiable_restriction, false) as has_unverifiable_restriction,
        coalesce(summed.has_period_spanning_price_change, false) as has_period_spanning_price_change,
        case
            when cdrs.status = 'not_auditable' then null
            when summed.cdr_number is null then 0
            else summed.net_nano
        end as lines_net,
        case
            when cdrs.status = 'not_auditable' then null
            when summed.cdr_number is null and price_lists.ocpi_version = '2.1.1' then null
            when summed.cdr_number is null then 0
            else summed.gross_nano
        end as lines_gross,
        summed.energy_nano,
        summed.time_nano,
        summed.parking_nano,
        summed.reservation_nano,
        summed.flat_nano
    from cdrs
    left join summed on cdrs.cdr_number = summed.cdr_number
    left join price_lists on cdrs.price_list_number = price_lists.price_list_number
),

floored_net as (
    select
        *,
        case when lines_net < min_price_net then min_price_net else lines_net end as floored_net
    from limited
),

floored as (
    select
        *,
        {{ limited_gross('lines_gross', 'lines_net', 'floored_net', 'min_price_gross', '<') }} as floored_gross
    from floored_net
),

capped_net as (
    select
        *,
        case when floored_net > max_price_net then max_price_net else floored_net end
            as capped_net
    from floored
),

capped as (
    select
        *,
        {{ limited_gross('floored_gross', 'floored_net', 'capped_net', 'max_price_gross', '>') }} as capped_gross
    from capped_net
)

select
    cdr_number,
    cdr_key,
    cdr_id,
    peer,
    currency,
    status,
    price_list_number,
    cast(line_count as integer) as line_count,
    {{ from_nano('lines_net') }} as lines_net,
    {{ from_nano('lines_gross') }} as lines_gross,
    {{ from_nano('(floored_net - lines_net)') }} as min_price_net,
    {{ from_nano('(floored_gross - lines_gross)') }} as min_price_gross,
    {{ from_nano('(capped_net - floored_net)') }} as max_price_net,
    {{ from_nano('(capped_gross - floored_gross)') }} as max_price_gross,
    {{ from_nano('capped_net') }} as repriced_net,
    {{ from_nano('capped_gross') }} as repriced_gross,
    case
        when reason is not null then reason
        when has_unusable_amount then 'unusable_amount'
        when lines_net is null then 'net_unknown_without_vat'
    end as reason,
    {{ from_nano('coalesce(energy_nano, 0)') }} as energy_net,
    {{ from_nano('coalesce(time_nano, 0)') }} as time_net,
    {{ from_nano('coalesce(parking_nano, 0)') }} as parking_net,
    {{ from_nano('coalesce(reservation_nano, 0)') }} as reservation_net,
    {{ from_nano('coalesce(flat_nano, 0)') }} as flat_net,
    has_unverifiable_restriction,
    has_period_spanning_price_change
from capped
