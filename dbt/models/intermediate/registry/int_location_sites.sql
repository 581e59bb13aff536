{# One row is one OCPI Location, delivered or only named by a CDR or session, and the site it is. #}
{# The registry's ocpi_location_id tells; where it is empty, a site_id of the same text, else an EVSE that the registry
   names. An operator with an ocpi_party owns that party's locations only: ids are unique per party. A location of no
   registered site is a site of its own, named by its location id, with the party in front where that id is taken. #}
with locations as (
    select *
    from {{ ref('stg_ocpi__locations') }}
),

connectors as (
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

sites as (
    select *
    from {{ ref('stg_registry__sites') }}
),

operators as (
    select *
    from {{ ref('stg_registry__operators') }}
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
        {{ ocpi_party() }} as party,
        location_id,
        time_zone
    from locations
    union all
    select
        {{ ocpi_key(['lower(location_id)']) }} as location_key,
        {{ ocpi_party() }} as party,
        location_id,
        location_time_zone as time_zone
    from cdrs
    where location_id is not null
    union all
    select
        {{ ocpi_key(['lower(location_id)']) }} as location_key,
        {{ ocpi_party() }} as party,
        location_id,
        cast(null as varchar) as time_zone
    from sessions
    where location_id is not null
),

seen as (
    select
        location_key,
        min(party) as party,
        min(location_id) as location_id,
        max(time_zone) as time_zone
    from sightings
    group by location_key
),

registered_sites as (
    select
        sites.site_id,
        sites.ocpi_location_id,
        upper(operators.ocpi_party) as party
    from sites
    left join operators
        on sites.operator_id = operators.operator_id
),

candidates as (
    select seen.location_key, registered_sites.site_id, 1 as match_rank
    from seen
    inner join registered_sites
        on
            lower(seen.location_id) = lower(registered_sites.ocpi_location_id)
            and (registered_sites.party is null or registered_sites.party = seen.party or seen.party like 'peer %')
    union all
    select seen.location_key, registered_sites.site_id, 2 as match_rank
    from seen
    inner join registered_sites
        on
            lower(seen.location_id) = lower(registered_sites.site_id)
            and registered_sites.ocpi_location_id is null
            and (registered_sites.party is null or registered_sites.party = seen.party or seen.party like 'peer %')
    union all
    select seen.location_key, registered_sites.site_id, 3 as match_rank
    from seen
    inner join connectors
        on seen.location_key = connectors.location_key
    inner join ports
        on lower(connectors.evse_uid) = lower(ports.ocpi_evse_uid)
    inner join stations
        on ports.station_id = stations.station_id
    inner join registered_sites
        on
            stations.site_id = registered_sites.site_id
            and registered_sites.ocpi_location_id is null
            and (registered_sites.party is null or registered_sites.party = seen.party or seen.party like 'peer %')
),

matched as (
    select
        location_key,
        site_id
    from candidates
    qualify row_number() over (partition by location_key order by match_rank, site_id) = 1
),

unmatched as (
    select
        seen.location_key,
        seen.party,
        seen.location_id,
        count(*) over (partition by lower(seen.location_id)) as namesake_count
    from seen
    left join matched
        on seen.location_key = matched.location_key
    where matched.location_key is null
),

own_sites as (
    select
        unmatched.location_key,
        case
            when unmatched.namesake_count > 1 or sites.site_id is not null or lower(unmatched.location_id) = 'unmapped'
                then unmatched.party || '/' || unmatched.location_id
            else unmatched.location_id
        end as site_id
    from unmatched
    left join sites
        on lower(unmatched.location_id) = lower(sites.site_id)
    qualify row_number() over (partition by unmatched.location_key order by sites.site_id) = 1
)

select
    seen.location_key,
    seen.location_id,
    seen.party,
    coalesce(matched.site_id, own_sites.site_id) as site_id,
    matched.site_id is not null as is_registered,
    seen.time_zone
from seen
left join matched
    on seen.location_key = matched.location_key
left join own_sites
    on seen.location_key = own_sites.location_key
