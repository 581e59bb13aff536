{# One row is one finding on one tariff version: prices that never apply, contradict each other or cannot be used. #}
with price_lists as (
    select * from {{ ref('int_price_list') }}
),

delivered as (
    select * from {{ ref('stg_ocpi__tariff_components') }}
),

reachable as (
    select * from {{ ref('int_price_component') }}
),

currencies as (
    select * from {{ ref('currencies') }}
),

defects as (
    select * from {{ ref('cdr_defects') }}
),

components as (
    select
        price_lists.price_list_number,
        delivered.element_number,
        delivered.component_number,
        upper(delivered.dimension) as dimension,
        upper(nullif(delivered.reservation, '')) as reservation,
        delivered.price,
        delivered.vat_percent,
        delivered.step_size,
        delivered.start_time,
        delivered.end_time,
        delivered.start_date,
        delivered.end_date,
        delivered.min_kwh,
        delivered.max_kwh,
        delivered.min_current_a,
        delivered.max_current_a,
        delivered.min_power_kw,
        delivered.max_power_kw,
        delivered.min_duration_s,
        delivered.max_duration_s,
        price_lists.price_basis,
        upper(delivered.dimension) in ('ENERGY', 'TIME', 'PARKING_TIME', 'FLAT')
        and upper(coalesce(nullif(delivered.reservation, ''), 'RESERVATION')) in ('RESERVATION', 'RESERVATION_EXPIRES')
        and (nullif(delivered.reservation, '') is null or upper(delivered.dimension) in ('TIME', 'FLAT')) as is_known,
        row_number() over (
            partition by delivered.tariff_version_id, delivered.element_number, upper(delivered.dimension)
            order by delivered.component_number
        ) as copy_number,
        -- Elements whose every bound leaves no room.
        coalesce(delivered.min_kwh >= delivered.max_kwh, false)
        or coalesce(delivered.min_current_a >= delivered.max_current_a, false)
        or coalesce(delivered.min_power_kw >= delivered.max_power_kw, false)
        or coalesce(delivered.min_duration_s >= delivered.max_duration_s, false)
        or coalesce(delivered.start_date >= delivered.end_date, false)
        or coalesce(delivered.max_kwh <= 0, false)
        or coalesce(delivered.max_duration_s <= 0, false)
        or coalesce(delivered.start_date > cast(price_lists.valid_to_at as date) + interval '1' day, false)
        or coalesce(delivered.end_date < cast(price_lists.valid_from_at as date), false)
        or coalesce(delivered.day_of_week <> '' and upper(delivered.day_of_week) not like '%DAY%', false) as is_impossible
    from delivered
    inner join price_lists on delivered.tariff_version_id = price_lists.tariff_version_id
),

priced_kinds as (
    select
        price_list_number,
        price_kind,
        reservation,
        count(*) as element_count,
        sum(case when is_restricted then 0 else 1 end) as unrestricted_count,
        -- Elements that differ by the clock alone, without a gap, need no catch-all.
        sum(window_length_s) as window_length_s,
        max(case
            when
                first_day_number > -1000000
                or end_day_number < 10000000
                or day_mask <> 127
                or min_kwh > -999999999999
                or max_kwh < 999999999999
                or min_duration_s > 0
                or max_duration_s < 9000000000000000
                or has_current_restriction
                or has_power_restriction
                then 1
            else 0
        end) = 1 as has_other_restriction,
        -- Steps of energy or time that begin at nothing and end at nothing, each where another ends.
        max(case when min_kwh <= 0 and max_kwh < 999999999999 then 1 else 0 end) = 1
        and max(case when min_kwh > 0 and max_kwh >= 999999999999 then 1 else 0 end) = 1 as has_energy_steps,
        max(case when min_duration_s <= 0 and max_duration_s < 9000000000000000 then 1 else 0 end) = 1
        and max(case when min_duration_s > 0 and max_duration_s >= 9000000000000000 then 1 else 0 end) = 1
            as has_time_steps
    from reachable
    group by price_list_number, price_kind, reservation
),

overlapping as (
    select
        earlier.price_list_number,
        earlier.price_kind,
        later.element_number,
        min(earlier.element_number) as earlier_element_number
    from reachable as earlier
    inner join reachable as later
        on
            earlier.price_list_number = later.price_list_number
            and earlier.price_kind = later.price_kind
            and coalesce(earlier.reservation, '') = coalesce(later.reservation, '')
            and earlier.element_number < later.element_number
    where
        earlier.is_restricted
        and later.is_restricted
        and earlier.unit_price <> later.unit_price
        and (earlier.day_mask & later.day_mask) <> 0
        and earlier.first_day_number < later.end_day_number
        and later.first_day_number < earlier.end_day_number
        and earlier.min_kwh < later.max_kwh
        and later.min_kwh < earlier.max_kwh
        and earlier.min_duration_s < later.max_duration_s
        and later.min_duration_s < earlier.max_duration_s
        and earlier.min_current_a < later.max_current_a
        and later.min_current_a < earlier.max_current_a
        and earlier.min_power_kw < later.max_power_kw
        and later.min_power_kw < earlier.max_power_kw
        and (
            (later.window_from_s - earlier.window_from_s + 86400) % 86400 < earlier.window_length_s
            or (earlier.window_from_s - later.window_from_s + 86400) % 86400 < later.window_length_s
        )
    group by earlier.price_list_number, earlier.price_kind, later.element_number
),

found as (
    select
        price_lists.price_list_number,
        cast(null as integer) as element_number,
        cast(null as varchar) as dimension,
        'tariff_without_elements' as defect_id,
        'no price component' as found_text
    from price_lists
    left join components on price_lists.price_list_number = components.price_list_number
    where components.price_list_number is null
    union all
    select
        price_lists.price_list_number,
        cast(null as integer) as element_number,
        cast(null as varchar) as dimension,
        'tariff_currency_unknown' as defect_id,
        coalesce(price_lists.currency, 'none') as found_text
    from price_lists
    left join currencies on price_lists.currency = currencies.currency
    where currencies.currency is null
    union all
    select
        price_list_number,
        cast(null as integer) as element_number,
        cast(null as varchar) as dimension,
        'validity_is_empty' as defect_id,
        cast(valid_from_at as varchar) || ' to ' || cast(valid_to_at as varchar) as found_text
    from price_lists
    where valid_to_at <= valid_from_at
    union all
    select
        price_list_number,
        cast(null as integer) as element_number,
        cast(null as varchar) as dimension,
        'price_limits_contradict' as defect_id,
        cast(min_price_net as varchar) || ' to ' || cast(max_price_net as varchar) as found_text
    from price_lists
    where max_price_net < min_price_net or max_price_gross < min_price_gross
    union all
    select distinct
        price_list_number,
        element_number,
        cast(null as varchar) as dimension,
        'element_never_applies' as defect_id,
        'restrictions that no instant meets' as found_text
    from components
    where is_impossible
    union all
    select
        components.price_list_number,
        components.element_number,
        components.dimension,
        'element_out_of_reach' as defect_id,
        'behind an element without restrictions' as found_text
    from components
    left join reachable
        on
            components.price_list_number = reachable.price_list_number
            and components.element_number = reachable.element_number
            and components.component_number = reachable.component_number
    where reachable.price_list_number is null and components.is_known and components.copy_number = 1
    union all
    select
        price_list_number,
        element_number,
        dimension,
        'component_ignored' as defect_id,
        'component ' || cast(min(component_number) as varchar) as found_text
    from components
    where copy_number > 1 and is_known
    group by price_list_number, element_number, dimension
    union all
    select distinct
        price_list_number,
        element_number,
        dimension,
        'component_unknown' as defect_id,
        dimension || coalesce(' under ' || reservation, '') as found_text
    from components
    where not is_known
    union all
    select
        price_list_number,
        element_number,
        dimension,
        'negative_step_size' as defect_id,
        cast(min(step_size) as varchar) as found_text
    from components
    where step_size < 0
    group by price_list_number, element_number, dimension
    union all
    select
        price_list_number,
        element_number,
        dimension,
        'negative_price' as defect_id,
        cast(min(price) as varchar) as found_text
    from components
    where price < 0
    group by price_list_number, element_number, dimension
    union all
    select distinct
        price_list_number,
        element_number,
        dimension,
        'vat_unknown' as defect_id,
        'tax_included without vat' as found_text
    from components
    where price_basis = 'gross' and vat_percent is null
    union all
    select
        price_list_number,
        element_number,
        price_kind as dimension,
        'overlapping_restrictions' as defect_id,
        'holds together with element ' || cast(earlier_element_number as varchar) as found_text
    from overlapping
    union all
    select
        price_list_number,
        cast(null as integer) as element_number,
        price_kind as dimension,
        'no_catch_all' as defect_id,
        cast(element_count as varchar) || ' elements, all restricted' as found_text
    from priced_kinds
    where
        reservation is null
        and unrestricted_count = 0
        and (has_other_restriction or window_length_s < 86400)
        and not has_energy_steps
        and not has_time_steps
)

select
    md5(concat_ws(
        '|',
        price_lists.tariff_version_id,
        found.defect_id,
        coalesce(cast(found.element_number as varchar), ''),
        coalesce(found.dimension, '')
    )) as finding_key,
    price_lists.tariff_version_id,
    price_lists.tariff_id,
    price_lists.peer,
    price_lists.country_code,
    price_lists.party_id,
    found.defect_id,
    defects.severity,
    cast(found.element_number as integer) as element_number,
    found.dimension,
    found.found_text,
    price_lists.embedded_copy_count as cdr_count
from found
inner join price_lists on found.price_list_number = price_lists.price_list_number
inner join defects on found.defect_id = defects.defect_id
