{# One row is one charging period of a priced CDR with the element that prices each of its kinds of quantity. #}
with cdrs as (
    select * from {{ ref('int_price_cdr') }}
),

periods as (
    select * from {{ ref('int_price_period') }}
),

choices as (
    select * from {{ ref('int_price_choice') }}
),

elements as (
    select * from {{ ref('int_price_element') }}
),

priced as (
    select
        periods.*,
        choices.price_list_number,
        cdrs.is_unused_reservation
    from periods
    inner join cdrs on periods.cdr_number = cdrs.cdr_number
    inner join choices
        on periods.cdr_number = choices.cdr_number and periods.tariff_id_key = choices.tariff_id_key
    where cdrs.status = 'priced'
),

-- Every element that could speak for the period, and whether its restrictions hold at the period's start and one second
-- before its end. Those holding at neither drop out before anything is grouped.
tested as (
    select
        priced.cdr_number,
        priced.period_rank,
        elements.energy_rank,
        elements.time_rank,
        elements.parking_rank,
        elements.flat_rank,
        elements.reservation_time_rank,
        elements.reservation_flat_rank,
        {{ restrictions_hold(['clock', 'week', 'date', 'energy', 'duration'], 'priced', 'elements', 'start') }}
            as holds_at_start,
        {{ restrictions_hold(['clock', 'week', 'date', 'energy', 'duration'], 'priced', 'elements', 'last') }}
            as holds_at_end
    from priced
    inner join elements
        on
            priced.price_list_number = elements.price_list_number
            and {{ restrictions_hold(['current', 'power'], 'priced', 'elements', 'start') }}
            and (
                elements.reservation_code = 0 and priced.is_session
                or elements.reservation_code = 1 and priced.is_reservation
                or elements.reservation_code = 2 and priced.is_reservation and priced.is_unused_reservation
            )
),

looked_up as (
    select
        cdr_number,
        period_rank,
        min(case when holds_at_start then energy_rank end) as energy_rank,
        min(case when holds_at_start then time_rank end) as time_rank,
        min(case when holds_at_start then parking_rank end) as parking_rank,
        min(case when holds_at_start then flat_rank end) as flat_rank,
        min(case when holds_at_start then reservation_time_rank end) as reservation_time_rank,
        min(case when holds_at_start then reservation_flat_rank end) as reservation_flat_rank,
        min(case when holds_at_end then energy_rank end) as last_energy_rank,
        min(case when holds_at_end then time_rank end) as last_time_rank,
        min(case when holds_at_end then parking_rank end) as last_parking_rank,
        min(case when holds_at_end then reservation_time_rank end) as last_reservation_time_rank
    from tested
    where holds_at_start or holds_at_end
    group by cdr_number, period_rank
)

select
    priced.cdr_number,
    priced.period_rank,
    priced.period_number,
    priced.price_list_number,
    priced.has_current,
    priced.has_power,
    case when priced.energy_kwh <> 0 then priced.energy_kwh end as energy_kwh,
    case when priced.time_h <> 0 then priced.time_h end as time_h,
    case when priced.parking_h <> 0 then priced.parking_h end as parking_h,
    case when priced.reservation_h <> 0 then priced.reservation_h end as reservation_h,
    looked_up.energy_rank,
    looked_up.time_rank,
    looked_up.parking_rank,
    looked_up.flat_rank,
    looked_up.reservation_time_rank,
    looked_up.reservation_flat_rank,
    priced.last_clock_s is not null and coalesce(looked_up.energy_rank, 0) <> coalesce(looked_up.last_energy_rank, 0)
        as does_energy_price_change,
    priced.last_clock_s is not null and coalesce(looked_up.time_rank, 0) <> coalesce(looked_up.last_time_rank, 0)
        as does_time_price_change,
    priced.last_clock_s is not null and coalesce(looked_up.parking_rank, 0) <> coalesce(looked_up.last_parking_rank, 0)
        as does_parking_price_change,
    priced.last_clock_s is not null
    and coalesce(looked_up.reservation_time_rank, 0) <> coalesce(looked_up.last_reservation_time_rank, 0)
        as does_reservation_price_change
from priced
inner join looked_up
    on priced.cdr_number = looked_up.cdr_number and priced.period_rank = looked_up.period_rank
