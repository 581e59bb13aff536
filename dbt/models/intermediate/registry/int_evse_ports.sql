{# One row is one EVSE of an OCPI Location, delivered or only named by a CDR or session, and the port it is. #}
{# The registry's ocpi_evse_uid tells, on the site that the location is. An EVSE that the registry does not name is a port
   of its own, `<site>/<evse uid>`. #}
with connectors as (
    select *
    from {{ ref('stg_ocpi__connectors') }}
),

cdrs as (
    select *
    from {{ ref('stg_ocpi__cdrs') }}
),

sessions as (
    select *
    from {{ ref('stg_ocpi__sessions') }}
),

location_sites as (
    select *
    from {{ ref('int_location_sites') }}
),

stations as (
    select *
    from {{ ref('stg_registry__stations') }}
),

ports as (
    select *
    from {{ ref('stg_registry__ports') }}
),

sightings as (
    select
        {{ ocpi_key(['lower(location_id)']) }} as location_key,
        evse_uid
    from connectors
    where evse_uid is not null
    union all
    select
        {{ ocpi_key(['lower(location_id)']) }} as location_key,
        evse_uid
    from cdrs
    where location_id is not null and evse_uid is not null
    union all
    select
        {{ ocpi_key(['lower(location_id)']) }} as location_key,
        evse_uid
    from sessions
    where location_id is not null and evse_uid is not null
),

seen as (
    select
        location_key,
        lower(evse_uid) as evse_key,
        min(evse_uid) as evse_uid
    from sightings
    group by location_key, lower(evse_uid)
),

registered as (
    select
        stations.site_id,
        lower(ports.ocpi_evse_uid) as evse_key,
        min(ports.port_id) as port_id
    from ports
    inner join stations
        on ports.station_id = stations.station_id
    where ports.ocpi_evse_uid is not null
    group by stations.site_id, lower(ports.ocpi_evse_uid)
)

select
    seen.location_key,
    seen.evse_key,
    seen.evse_uid,
    location_sites.site_id,
    coalesce(registered.port_id, location_sites.site_id || '/' || seen.evse_uid) as port_id,
    registered.port_id is not null as is_registered
from seen
inner join location_sites
    on seen.location_key = location_sites.location_key
left join registered
    on location_sites.site_id = registered.site_id and seen.evse_key = registered.evse_key
