{# One row is one version of one tariff: one distinct content, whoever carried it. #}
with price_lists as (
    select * from {{ ref('int_price_list') }}
),

components as (
    select * from {{ ref('stg_ocpi__tariff_components') }}
),

summarised as (
    select
        price_lists.price_list_number,
        count(distinct components.element_number) as element_count,
        count(distinct components.element_number * 1000 + components.component_number) as component_count,
        min(case when upper(components.dimension) = 'ENERGY' then components.price end) as lowest_price_per_kwh,
        max(case when upper(components.dimension) = 'ENERGY' then components.price end) as highest_price_per_kwh,
        min(case when upper(components.dimension) = 'TIME' and components.reservation is null then components.price end)
            as lowest_price_per_hour,
        max(case when upper(components.dimension) = 'TIME' and components.reservation is null then components.price end)
            as highest_price_per_hour,
        min(case when upper(components.dimension) = 'PARKING_TIME' then components.price end)
            as lowest_parking_price_per_hour,
        max(case when upper(components.dimension) = 'PARKING_TIME' then components.price end)
            as highest_parking_price_per_hour,
        min(case when upper(components.dimension) = 'FLAT' and components.reservation is null then components.price end)
            as lowest_flat_price,
        max(case when upper(components.dimension) = 'FLAT' and components.reservation is null then components.price end)
            as highest_flat_price,
        max(case when components.reservation is not null then 1 else 0 end) = 1 as has_reservation_price,
        max(case
            when coalesce(
                components.start_time, components.end_time, components.day_of_week,
                cast(components.start_date as varchar), cast(components.end_date as varchar)
            ) is not null then 1
            else 0
        end) = 1 as has_time_of_use_price
    from components
    inner join price_lists on components.tariff_version_id = price_lists.tariff_version_id
    group by price_lists.price_list_number
)

select
    price_lists.tariff_version_id,
    price_lists.tariff_id,
    price_lists.peer,
    price_lists.country_code,
    price_lists.party_id,
    price_lists.ocpi_version,
    price_lists.currency,
    price_lists.tariff_type,
    price_lists.price_basis,
    price_lists.valid_from_at,
    price_lists.valid_to_at,
    price_lists.min_price_net,
    price_lists.min_price_gross,
    price_lists.max_price_net,
    price_lists.max_price_gross,
    price_lists.alt_text,
    price_lists.last_updated_at,
    price_lists.is_from_tariffs_module,
    price_lists.embedded_copy_count,
    cast(coalesce(summarised.element_count, 0) as integer) as element_count,
    cast(coalesce(summarised.component_count, 0) as integer) as component_count,
    summarised.lowest_price_per_kwh,
    summarised.highest_price_per_kwh,
    summarised.lowest_price_per_hour,
    summarised.highest_price_per_hour,
    summarised.lowest_parking_price_per_hour,
    summarised.highest_parking_price_per_hour,
    summarised.lowest_flat_price,
    summarised.highest_flat_price,
    coalesce(summarised.has_reservation_price, false) as has_reservation_price,
    coalesce(summarised.has_time_of_use_price, false) as has_time_of_use_price
from price_lists
left join summarised on price_lists.price_list_number = summarised.price_list_number
