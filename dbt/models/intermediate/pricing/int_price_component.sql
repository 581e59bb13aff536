{# One row is one price component that can apply: first of its kind in its element, behind none that always applies. #}
with price_lists as (
    select * from {{ ref('int_price_list') }}
),

components as (
    select * from {{ ref('stg_ocpi__tariff_components') }}
),

-- Null bounds become bounds that always hold, so that the join over periods is comparisons only, and of 64 bits: a
-- wider decimal takes ten times as long.
bounded as (
    select
        price_lists.price_list_number,
        components.element_number,
        components.component_number,
        upper(nullif(components.reservation, '')) as reservation,
        upper(components.dimension) as dimension,
        components.price as unit_price,
        -- A thousand million per unit is no price; null makes the total unknown instead of the run fail.
        case
            when abs(components.price) < 1000000000
                then cast(cast(components.price as decimal(38, 6)) * 1000000 as bigint)
        end as price_millionths,
        components.vat_percent,
        -- Ten-thousandths of a percent: 1,000,000 is the whole.
        cast(components.vat_percent * 10000 as bigint) as vat_millionths,
        -- Absent, 0 and negative steps (seen in the field) mean no rounding; so does a step beyond any session.
        case when components.step_size between 1 and 1000000000 then components.step_size end as step_size,
        coalesce({{ clock_seconds('components.start_time') }}, 0) % 86400 as window_from_s,
        coalesce({{ clock_seconds('components.end_time') }}, 0) % 86400 as window_to_s,
        cast(coalesce({{ day_number('components.start_date') }}, -1000000) as integer) as first_day_number,
        cast(coalesce({{ day_number('components.end_date') }}, 10000000) as integer) as end_day_number,
        case
            when coalesce(components.day_of_week, '') = '' then 127
            else
                case when upper(components.day_of_week) like '%MON%' then 1 else 0 end
                + case when upper(components.day_of_week) like '%TUE%' then 2 else 0 end
                + case when upper(components.day_of_week) like '%WED%' then 4 else 0 end
                + case when upper(components.day_of_week) like '%THU%' then 8 else 0 end
                + case when upper(components.day_of_week) like '%FRI%' then 16 else 0 end
                + case when upper(components.day_of_week) like '%SAT%' then 32 else 0 end
                + case when upper(components.day_of_week) like '%SUN%' then 64 else 0 end
        end as day_mask,
        coalesce(components.min_kwh, cast(-999999999999 as decimal(18, 6))) as min_kwh,
        coalesce(components.max_kwh, cast(999999999999 as decimal(18, 6))) as max_kwh,
        coalesce(components.min_duration_s, -1) as min_duration_s,
        coalesce(components.max_duration_s, 9000000000000000) as max_duration_s,
        coalesce(components.min_current_a, cast(-999999999999 as decimal(18, 6))) as min_current_a,
        coalesce(components.max_current_a, cast(999999999999 as decimal(18, 6))) as max_current_a,
        coalesce(components.min_power_kw, cast(-999999999999 as decimal(18, 6))) as min_power_kw,
        coalesce(components.max_power_kw, cast(999999999999 as decimal(18, 6))) as max_power_kw,
        components.min_current_a is not null or components.max_current_a is not null as has_current_restriction,
        components.min_power_kw is not null or components.max_power_kw is not null as has_power_restriction
    from components
    inner join price_lists on components.tariff_version_id = price_lists.tariff_version_id
),

windowed as (
    select
        *,
        -- From == to is the whole day; a window over midnight has a length like any other.
        case when window_from_s = window_to_s then 86400 else (window_to_s - window_from_s + 86400) % 86400 end
            as window_length_s,
        -- Only TIME and FLAT price a reservation; TIME there means the time reserved.
        case
            when reservation is null then dimension
            when dimension = 'TIME' then 'RESERVATION_TIME'
            when dimension = 'FLAT' then 'RESERVATION_FLAT'
        end as price_kind,
        -- An expired reservation asks the RESERVATION_EXPIRES elements first, then the RESERVATION ones.
        element_number + case when reservation = 'RESERVATION' then 1000000 else 0 end as lookup_rank
    from bounded
    where
        reservation is null
        or reservation in ('RESERVATION', 'RESERVATION_EXPIRES')
),

marked as (
    select
        *,
        window_length_s < 86400
        or first_day_number > -1000000
        or end_day_number < 10000000
        or day_mask <> 127
        or min_kwh > -999999999999
        or max_kwh < 999999999999
        or min_duration_s > 0
        or max_duration_s < 9000000000000000
        or has_current_restriction
        or has_power_restriction as is_restricted
    from windowed
    where price_kind in ('ENERGY', 'TIME', 'PARKING_TIME', 'FLAT', 'RESERVATION_TIME', 'RESERVATION_FLAT')
),

first_of_kind as (
    select *
    from marked
    qualify row_number() over (partition by price_list_number, price_kind, element_number order by component_number) = 1
),

reachable as (
    select
        *,
        min(case when not is_restricted then element_number end) over (
            partition by price_list_number, price_kind, reservation
        ) as first_unrestricted_element
    from first_of_kind
)

select
    price_list_number,
    price_kind,
    element_number,
    component_number,
    lookup_rank,
    reservation,
    unit_price,
    price_millionths,
    vat_percent,
    vat_millionths,
    step_size,
    is_restricted,
    window_from_s,
    window_length_s,
    first_day_number,
    end_day_number,
    day_mask,
    min_kwh,
    max_kwh,
    min_duration_s,
    max_duration_s,
    min_current_a,
    max_current_a,
    min_power_kw,
    max_power_kw,
    has_current_restriction,
    has_power_restriction
from reachable
where element_number <= coalesce(first_unrestricted_element, element_number)
