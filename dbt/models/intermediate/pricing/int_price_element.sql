{# One row is one element of a price list with its restrictions, and its place in the look-up of each kind of price. #}
with components as (
    select * from {{ ref('int_price_component') }}
)

-- Restrictions belong to the element, so they are tested once for all its components.
select
    price_list_number,
    element_number,
    min(case reservation when 'RESERVATION' then 1 when 'RESERVATION_EXPIRES' then 2 else 0 end) as reservation_code,
    min(case when price_kind = 'ENERGY' then lookup_rank end) as energy_rank,
    min(case when price_kind = 'TIME' then lookup_rank end) as time_rank,
    min(case when price_kind = 'PARKING_TIME' then lookup_rank end) as parking_rank,
    min(case when price_kind = 'FLAT' then lookup_rank end) as flat_rank,
    min(case when price_kind = 'RESERVATION_TIME' then lookup_rank end) as reservation_time_rank,
    min(case when price_kind = 'RESERVATION_FLAT' then lookup_rank end) as reservation_flat_rank,
    min(window_from_s) as window_from_s,
    min(window_length_s) as window_length_s,
    min(first_day_number) as first_day_number,
    min(end_day_number) as end_day_number,
    min(day_mask) as day_mask,
    min(min_kwh) as min_kwh,
    min(max_kwh) as max_kwh,
    min(min_duration_s) as min_duration_s,
    min(max_duration_s) as max_duration_s,
    min(min_current_a) as min_current_a,
    min(max_current_a) as max_current_a,
    min(min_power_kw) as min_power_kw,
    min(max_power_kw) as max_power_kw
from components
group by price_list_number, element_number
