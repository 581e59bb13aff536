{# One row is one site: of the registry, named by a registered station only, or an OCPI Location of no registered site. #}
{# The registry wins; OCPI Locations fill what it leaves empty. #}
with sites as (
    select *
    from {{ ref('stg_registry__sites') }}
),

stations as (
    select *
    from {{ ref('int_stations') }}
),

location_sites as (
    select *
    from {{ ref('int_location_sites') }}
),

locations as (
    select *
    from {{ ref('stg_ocpi__locations') }}
),

evse_ports as (
    select *
    from {{ ref('int_evse_ports') }}
),

operators as (
    select *
    from {{ ref('stg_registry__operators') }}
),

named as (
    select site_id from sites
    union
    select site_id from stations
    union
    select site_id from location_sites
    union
    -- the station of EVSEs that only OCPI tells about stands nowhere
    select 'unmapped' as site_id
    from evse_ports
    where not is_registered
),

-- several Locations may be one site: the first that says something speaks
told as (
    select
        location_sites.site_id,
        location_sites.location_id,
        location_sites.party,
        locations.name,
        locations.latitude,
        locations.longitude,
        locations.address,
        locations.city,
        locations.postal_code,
        {{ known_time_zone('coalesce(locations.time_zone, location_sites.time_zone)') }} as time_zone
    from location_sites
    left join locations
        on location_sites.location_key = locations.location_key
    qualify row_number() over (
        partition by location_sites.site_id
        order by
            case when locations.location_key is null then 1 else 0 end,
            location_sites.party,
            location_sites.location_key
    ) = 1
),

party_operators as (
    select
        upper(ocpi_party) as party,
        min(operator_id) as operator_id
    from operators
    where ocpi_party is not null
    group by upper(ocpi_party)
)

select
    named.site_id,
    case
        when named.site_id = 'unmapped' and sites.site_id is null then 'Unmapped'
        else coalesce(sites.name, told.name, named.site_id)
    end as name,
    coalesce(sites.owner_id, 'unmapped') as owner_id,
    coalesce(sites.operator_id, party_operators.operator_id, 'unmapped') as operator_id,
    coalesce(sites.time_zone, told.time_zone, {{ default_time_zone() }}) as time_zone,
    case
        when sites.time_zone is not null then 'registry'
        when told.time_zone is not null then 'ocpi'
        else 'default'
    end as time_zone_source,
    sites.country_code,
    sites.currency,
    coalesce(sites.latitude, told.latitude) as latitude,
    coalesce(sites.longitude, told.longitude) as longitude,
    coalesce(sites.address, told.address) as address,
    coalesce(sites.city, told.city) as city,
    coalesce(sites.postal_code, told.postal_code) as postal_code,
    sites.opening_hours,
    sites.grid_connection_kw,
    coalesce(sites.ocpi_location_id, told.location_id) as ocpi_location_id,
    sites.site_id is not null as is_registered
from named
left join sites
    on named.site_id = sites.site_id
left join told
    on named.site_id = told.site_id
left join party_operators
    on told.party = party_operators.party
