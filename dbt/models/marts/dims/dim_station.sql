{# One row is one station: of the registry, or seen in a log. #}
{# Vendor, model and serial number are the registry's, else those of the latest BootNotification. #}
with stations as (
    select *
    from {{ ref('int_stations') }}
),

registered as (
    select *
    from {{ ref('stg_registry__stations') }}
),

boots as (
    select *
    from {{ ref('stg_ocpp__boots') }}
),

sites as (
    select *
    from {{ ref('dim_site') }}
),

evse_ports as (
    select *
    from {{ ref('int_evse_ports') }}
),

-- EVSEs that only OCPI tells about stand on a station that nobody names
named as (
    select station_id, site_id, is_registered
    from stations
    union all
    select 'unmapped' as station_id, 'unmapped' as site_id, false as is_registered
    where
        exists (select 1 from evse_ports where not is_registered)
        and not exists (select 1 from stations where station_id = 'unmapped')
),

latest_boots as (
    select
        station_id,
        vendor,
        model,
        serial_number,
        firmware_version
    from boots
    qualify row_number() over (partition by station_id order by received_at desc nulls last, frame_id asc) = 1
)

select
    named.station_id,
    named.site_id,
    coalesce(sites.owner_id, 'unmapped') as owner_id,
    coalesce(sites.operator_id, 'unmapped') as operator_id,
    coalesce(registered.vendor, latest_boots.vendor) as vendor,
    coalesce(registered.model, latest_boots.model) as model,
    coalesce(registered.serial_number, latest_boots.serial_number) as serial_number,
    latest_boots.firmware_version,
    registered.commissioned_on,
    registered.decommissioned_on,
    registered.warranty_until,
    coalesce(sites.time_zone, {{ default_time_zone() }}) as time_zone,
    sites.currency,
    named.is_registered
from named
left join registered
    on named.station_id = registered.station_id
left join latest_boots
    on named.station_id = latest_boots.station_id
left join sites
    on named.site_id = sites.site_id
