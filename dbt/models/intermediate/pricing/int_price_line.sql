{# One row is one kind of quantity of one charging period with its price: steps on session totals, FLAT once, VAT. #}
with matches as (
    select * from {{ ref('int_price_match') }}
),

components as (
    select * from {{ ref('int_price_component') }}
),

price_lists as (
    select * from {{ ref('int_price_list') }}
),

-- Steps and flat prices look at the whole session. Only priced quantities count: free parking after the window of a
-- tariff leaves the rounding with the last parking that was paid for.
session_totals as (
    select
        cdr_number,
        min(case when flat_rank is not null then period_rank end) as first_flat_period,
        min(case when reservation_flat_rank is not null then period_rank end) as first_reservation_flat_period,
        max(case when energy_rank is not null and energy_kwh is not null then period_rank end) as last_energy_period,
        max(case when time_rank is not null and time_h is not null then period_rank end) as last_time_period,
        max(case when parking_rank is not null and parking_h is not null then period_rank end) as last_parking_period,
        max(case when reservation_time_rank is not null and reservation_h is not null then period_rank end)
            as last_reservation_period,
        -- Millionths of a kWh.
        cast(sum(case when energy_rank is not null then {{ millionths('energy_kwh') }} end) as bigint)
            as energy_millionths,
        -- Ten-thousandths of a second: the hours as sent, exactly.
        cast(sum(case when time_rank is not null then {{ millionths('time_h') }} * 36 end) as bigint) as time_exact,
        cast(sum(case when parking_rank is not null then {{ millionths('parking_h') }} * 36 end) as bigint)
            as parking_exact,
        cast(sum(case when reservation_time_rank is not null then {{ millionths('reservation_h') }} * 36 end) as bigint)
            as reservation_exact,
        -- Whole seconds. OCPI numbers carry four decimals, 0.36 s of an hour: the nearest second of each period is what
        -- was meant, else 40 minutes sent as 0.6667 would be 2401 seconds and a block too many.
        cast(sum(case when time_rank is not null then {{ nearest_second('time_h') }} end) as bigint) as time_s,
        cast(sum(case when parking_rank is not null then {{ nearest_second('parking_h') }} end) as bigint)
            as parking_s,
        cast(sum(case when reservation_time_rank is not null then {{ nearest_second('reservation_h') }} end) as bigint)
            as reservation_s
    from matches
    group by cdr_number
),

quantities as (
    select
        cdr_number,
        period_rank,
        period_number,
        price_list_number,
        'ENERGY' as price_kind,
        energy_rank as lookup_rank,
        energy_kwh as quantity,
        has_current,
        has_power,
        does_energy_price_change as period_spans_price_change
    from matches
    where energy_rank is not null and energy_kwh is not null
    union all
    select
        cdr_number,
        period_rank,
        period_number,
        price_list_number,
        'TIME' as price_kind,
        time_rank as lookup_rank,
        time_h as quantity,
        has_current,
        has_power,
        does_time_price_change as period_spans_price_change
    from matches
    where time_rank is not null and time_h is not null
    union all
    select
        cdr_number,
        period_rank,
        period_number,
        price_list_number,
        'PARKING_TIME' as price_kind,
        parking_rank as lookup_rank,
        parking_h as quantity,
        has_current,
        has_power,
        does_parking_price_change as period_spans_price_change
    from matches
    where parking_rank is not null and parking_h is not null
    union all
    select
        cdr_number,
        period_rank,
        period_number,
        price_list_number,
        'RESERVATION_TIME' as price_kind,
        reservation_time_rank as lookup_rank,
        reservation_h as quantity,
        has_current,
        has_power,
        does_reservation_price_change as period_spans_price_change
    from matches
    where reservation_time_rank is not null and reservation_h is not null
    union all
    select
        matches.cdr_number,
        matches.period_rank,
        matches.period_number,
        matches.price_list_number,
        'FLAT' as price_kind,
        matches.flat_rank as lookup_rank,
        cast(1 as decimal(18, 6)) as quantity,
        matches.has_current,
        matches.has_power,
        false as period_spans_price_change
    from matches
    inner join session_totals
        on
            matches.cdr_number = session_totals.cdr_number
            and matches.period_rank = session_totals.first_flat_period
    union all
    select
        matches.cdr_number,
        matches.period_rank,
        matches.period_number,
        matches.price_list_number,
        'RESERVATION_FLAT' as price_kind,
        matches.reservation_flat_rank as lookup_rank,
        cast(1 as decimal(18, 6)) as quantity,
        matches.has_current,
        matches.has_power,
        false as period_spans_price_change
    from matches
    inner join session_totals
        on
            matches.cdr_number = session_totals.cdr_number
            and matches.period_rank = session_totals.first_reservation_flat_period
),

stepped as (
    select
        quantities.cdr_number,
        quantities.period_rank,
        quantities.period_number,
        quantities.price_list_number,
        quantities.price_kind,
        quantities.quantity,
        {{ millionths('quantities.quantity') }} as quantity_millionths,
        quantities.period_spans_price_change,
        components.element_number,
        components.component_number,
        components.unit_price,
        components.price_millionths,
        components.vat_percent,
        components.vat_millionths,
        components.has_current_restriction and not quantities.has_current
        or components.has_power_restriction and not quantities.has_power as restriction_unverifiable,
        price_lists.price_basis,
        price_lists.ocpi_version,
        -- What rounding up to whole steps adds, all of it at the last priced component; null where nothing is rounded.
        case
            when
                quantities.price_kind = 'ENERGY'
                and components.step_size is not null
                and quantities.period_rank = session_totals.last_energy_period
                and session_totals.energy_millionths > 0
                then
                    {{ whole_steps('session_totals.energy_millionths', '(components.step_size * 1000)') }}
                    - session_totals.energy_millionths
        end as energy_surplus,
        case
            when components.step_size is null then null
            -- Time and parking are rounded once between them: where parking is paid for, it alone.
            when
                quantities.price_kind = 'TIME'
                and quantities.period_rank = session_totals.last_time_period
                and session_totals.last_parking_period is null
                and session_totals.time_s > 0
                then
                    {{ whole_steps('session_totals.time_s', 'components.step_size') }} * 10000
                    - session_totals.time_exact
            when
                quantities.price_kind = 'PARKING_TIME'
                and quantities.period_rank = session_totals.last_parking_period
                and session_totals.parking_s > 0
                then
                    {{ whole_steps('session_totals.parking_s', 'components.step_size') }} * 10000
                    - session_totals.parking_exact
            when
                quantities.price_kind = 'RESERVATION_TIME'
                and quantities.period_rank = session_totals.last_reservation_period
                and session_totals.reservation_s > 0
                then
                    {{ whole_steps('session_totals.reservation_s', 'components.step_size') }} * 10000
                    - session_totals.reservation_exact
        end as time_surplus
    from quantities
    inner join components
        on
            quantities.price_list_number = components.price_list_number
            and quantities.price_kind = components.price_kind
            and quantities.lookup_rank = components.lookup_rank
    inner join price_lists on quantities.price_list_number = price_lists.price_list_number
    inner join session_totals on quantities.cdr_number = session_totals.cdr_number
),

billed as (
    select
        *,
        case
            when energy_surplus is not null then {{ from_millionths('quantity_millionths + energy_surplus') }}
            when time_surplus is not null
                then {{ from_millionths(whole_quotient('quantity_millionths * 36 + time_surplus + 18', 36)) }}
            else quantity
        end as billed_quantity,
        case
            when time_surplus is not null
                -- Price per hour in millionths x ten-thousandths of a second: 36,000 to a thousand-millionth.
                then {{ rounded_product(
                    'price_millionths', '(quantity_millionths * 36 + time_surplus)', 36000, 2900000000, 2900000000
                ) }}
            else {{ rounded_product(
                'price_millionths', '(quantity_millionths + coalesce(energy_surplus, 0))', 1000, 2900000000, 2900000000
            ) }}
        end as amount_nano
    from stepped
)

select
    cdr_number,
    period_rank,
    period_number,
    price_list_number,
    price_kind,
    element_number,
    component_number,
    quantity,
    billed_quantity,
    unit_price,
    case when price_basis <> 'untaxed' then {{ from_millionths('vat_millionths') }} end as vat_ratio,
    amount_nano,
    case
        when price_basis <> 'gross' then amount_nano
        -- Without the rate the tax in the price is not known.
        when vat_millionths > -1000000
            then {{ rounded_product('amount_nano', '1000000', '(1000000 + vat_millionths)', 9000000000000, 1000001) }}
    end as net_nano,
    case
        when price_basis = 'net' and vat_millionths is not null
            then amount_nano + {{ rounded_product('amount_nano', 'vat_millionths', 1000000, 10000000000000, 900000) }}
        -- OCPI 2.1.1 knows no tax: what comes on top is not known.
        when price_basis = 'net' and ocpi_version = '2.1.1' then null
        else amount_nano
    end as gross_nano,
    restriction_unverifiable,
    period_spans_price_change
from billed
