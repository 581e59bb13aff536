{# One row is one price component of one element of one tariff version, with the element's restrictions. A version
   that many CDRs embed has its components once. #}
{# A table: read by several models; de-duplicated once. #}
{{ config(materialized='table') }}
with delivered as (
    select
        *,
        {{ ocpi_key(["lower(coalesce(tariff_id, ''))", 'record_hash']) }} as tariff_version_id
    from {{ source('ocpi', 'tariff_component') }}
),

tariffs as (
    select *
    from {{ ref('stg_ocpi__tariffs') }}
),

kept as (
    select distinct tariff_version_id
    from tariffs
),

components as (
    select distinct
        tariff_version_id,
        tariff_id,
        element_number,
        component_number,
        dimension,
        price,
        vat_percent,
        step_size,
        start_time,
        end_time,
        start_date,
        end_date,
        min_kwh,
        max_kwh,
        min_current_a,
        max_current_a,
        min_power_kw,
        max_power_kw,
        min_duration_s,
        max_duration_s,
        day_of_week,
        reservation
    from delivered
)

select
    components.tariff_version_id,
    components.tariff_id,
    components.element_number,
    components.component_number,
    components.dimension,
    components.price,
    components.vat_percent,
    components.step_size,
    components.start_time,
    components.end_time,
    components.start_date,
    components.end_date,
    components.min_kwh,
    components.max_kwh,
    components.min_current_a,
    components.max_current_a,
    components.min_power_kw,
    components.max_power_kw,
    components.min_duration_s,
    components.max_duration_s,
    components.day_of_week,
    components.reservation
from components
inner join kept
    on components.tariff_version_id = kept.tariff_version_id
