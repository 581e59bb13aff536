{# One row is one price component that a quantity of a charging period asks, in the order of asking, and what kept it from
   applying. No model of a run: `chargehouse price` asks it of the models it has built. #}
with cdrs as (
    select * from {{ ref('int_price_cdr') }}
),

periods as (
    select * from {{ ref('int_price_period') }}
),

choices as (
    select * from {{ ref('int_price_choice') }}
),

components as (
    select * from {{ ref('int_price_component') }}
),

lines as (
    select * from {{ ref('int_price_line') }}
),

quantities as (
    select cdr_number, period_rank, 'ENERGY' as price_kind, energy_kwh as quantity from periods where energy_kwh <> 0
    union all
    select cdr_number, period_rank, 'TIME' as price_kind, time_h as quantity from periods where time_h <> 0
    union all
    select cdr_number, period_rank, 'PARKING_TIME' as price_kind, parking_h as quantity from periods where parking_h <> 0
    union all
    select cdr_number, period_rank, 'FLAT' as price_kind, 1 as quantity from periods where is_session
    union all
    select cdr_number, period_rank, 'RESERVATION_TIME' as price_kind, reservation_h as quantity
    from periods
    where reservation_h <> 0
    union all
    select cdr_number, period_rank, 'RESERVATION_FLAT' as price_kind, 1 as quantity from periods where is_reservation
)

select
    cdrs.cdr_key,
    periods.period_number,
    periods.period_rank,
    periods.started_s,
    periods.start_clock_s,
    periods.start_day_number,
    periods.energy_before_kwh,
    periods.elapsed_s,
    quantities.price_kind,
    quantities.quantity,
    components.lookup_rank,
    components.element_number,
    components.unit_price,
    components.step_size,
    components.vat_percent,
    components.window_from_s,
    components.window_length_s,
    components.first_day_number,
    components.end_day_number,
    components.day_mask,
    components.min_kwh,
    components.max_kwh,
    components.min_duration_s,
    components.max_duration_s,
    components.min_current_a,
    components.max_current_a,
    components.min_power_kw,
    components.max_power_kw,
    case when periods.has_current then periods.lowest_current_a end as lowest_current_a,
    case when periods.has_current then periods.highest_current_a end as highest_current_a,
    case when periods.has_power then periods.lowest_power_kw end as lowest_power_kw,
    case when periods.has_power then periods.highest_power_kw end as highest_power_kw,
    {{ restriction_holds('clock', 'periods', 'components', 'start') }} as does_clock_hold,
    {{ restriction_holds('week', 'periods', 'components', 'start') }} as does_week_hold,
    {{ restriction_holds('date', 'periods', 'components', 'start') }} as does_date_hold,
    {{ restriction_holds('energy', 'periods', 'components', 'start') }} as does_energy_hold,
    {{ restriction_holds('duration', 'periods', 'components', 'start') }} as does_duration_hold,
    {{ restriction_holds('current', 'periods', 'components', 'start') }} as does_current_hold,
    {{ restriction_holds('power', 'periods', 'components', 'start') }} as does_power_hold,
    lines.element_number is not null as is_chosen,
    lines.billed_quantity,
    {{ from_nano('lines.amount_nano') }} as amount,
    {{ from_nano('lines.net_nano') }} as amount_net,
    {{ from_nano('lines.gross_nano') }} as amount_gross,
    lines.restriction_unverifiable,
    lines.period_spans_price_change,
    sum(case when lines.element_number is not null then quantities.quantity end) over session as session_quantity,
    sum(lines.billed_quantity) over session as session_billed_quantity
from quantities
inner join cdrs on quantities.cdr_number = cdrs.cdr_number and cdrs.status = 'priced'
inner join periods on quantities.cdr_number = periods.cdr_number and quantities.period_rank = periods.period_rank
inner join choices on periods.cdr_number = choices.cdr_number and periods.tariff_id_key = choices.tariff_id_key
left join components
    on
        choices.price_list_number = components.price_list_number
        and quantities.price_kind = components.price_kind
        and (coalesce(components.reservation, '') <> 'RESERVATION_EXPIRES' or cdrs.is_unused_reservation)
left join lines
    on
        quantities.cdr_number = lines.cdr_number
        and quantities.period_rank = lines.period_rank
        and components.price_kind = lines.price_kind
        and components.element_number = lines.element_number
window session as (partition by quantities.cdr_number, quantities.price_kind)
order by cdrs.cdr_key, periods.period_rank, quantities.price_kind, components.lookup_rank
