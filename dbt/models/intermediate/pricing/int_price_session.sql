{# One row is one CDR with what all its periods share: identity, a narrow key, the zone of its wall clock. #}
with cdrs as (
    select * from {{ ref('stg_ocpi__cdrs') }}
),

locations as (
    select * from {{ ref('stg_ocpi__locations') }}
),

location_sites as (
    select * from {{ ref('int_location_sites') }}
),

sites as (
    select * from {{ ref('stg_registry__sites') }}
),

known_zones as (
    select zones.time_zone from {{ known_time_zones() }} as zones
),

-- Engines compare zone names differently; the spelling of the list is the one they all know.
zone_names as (
    select
        lower(time_zone) as zone_key,
        min(time_zone) as time_zone
    from known_zones
    group by lower(time_zone)
),

site_zones as (
    select
        location_sites.location_key,
        sites.time_zone
    from location_sites
    inner join sites on location_sites.site_id = sites.site_id
    where location_sites.is_registered
),

-- A CDR and its Location may come by different versions of OCPI, of which the older names no party: the peer's id of
-- the location serves where the party's does not.
peer_location_zones as (
    select
        peer,
        lower(location_id) as location_id_key,
        min(time_zone) as time_zone
    from locations
    where time_zone is not null
    group by peer, lower(location_id)
    having count(distinct time_zone) = 1
),

keyed as (
    select
        *,
        {{ ocpi_party() }} as party,
        {{ ocpi_key(["lower(location_id)"]) }} as location_key
    from cdrs
),

zoned as (
    select
        cdrs.cdr_key,
        cdrs.cdr_id,
        cdrs.peer,
        cdrs.ocpi_version,
        cdrs.party,
        cdrs.location_key,
        upper(cdrs.currency) as currency,
        cdrs.evse_uid,
        cdrs.connector_id,
        cdrs.started_at,
        cdrs.ended_at,
        coalesce(cdrs.is_credit, false) as is_credit,
        case when upper(cdrs.token_type) = 'AD_HOC_USER' then 'AD_HOC_PAYMENT' else 'REGULAR' end
            as preferred_tariff_type,
        coalesce(
            site_zones.time_zone,
            cdrs.location_time_zone,
            locations.time_zone,
            peer_location_zones.time_zone,
            '{{ env_var("CHARGEHOUSE_DEFAULT_TIME_ZONE", "UTC") }}'
        ) as named_time_zone,
        case
            when site_zones.time_zone is not null then 'registry'
            when cdrs.location_time_zone is not null then 'cdr'
            when coalesce(locations.time_zone, peer_location_zones.time_zone) is not null then 'location'
            else 'fallback'
        end as time_zone_source
    from keyed as cdrs
    left join site_zones on cdrs.location_key = site_zones.location_key
    left join locations on cdrs.location_key = locations.location_key
    left join peer_location_zones
        on
            cdrs.peer = peer_location_zones.peer
            and lower(cdrs.location_id) = peer_location_zones.location_id_key
),

named as (
    select
        zoned.*,
        zone_names.time_zone,
        cast(zoned.started_at as date) as start_date,
        cast(zoned.ended_at as date) as end_date
    from zoned
    left join zone_names on lower(zoned.named_time_zone) = zone_names.zone_key
),

-- The offset from UTC is asked once per zone and UTC day, not once per period; days with a change of the clock, and
-- their neighbours, have none here and are asked instant by instant where they are needed.
zone_days as (
    select
        time_zone,
        start_date as utc_date
    from named
    union distinct
    select
        time_zone,
        end_date as utc_date
    from named
),

zone_offsets as (
    select
        time_zone,
        utc_date,
        {{ utc_offset_seconds(instant_of_epoch('(' ~ day_number('utc_date') ~ ' - 1) * 86400'), 'time_zone') }}
            as offset_before_s,
        {{ utc_offset_seconds(instant_of_epoch('(' ~ day_number('utc_date') ~ ' + 2) * 86400'), 'time_zone') }}
            as offset_after_s
    from zone_days
    where time_zone is not null and utc_date is not null
),

steady_offsets as (
    select
        time_zone,
        utc_date,
        offset_before_s as offset_s
    from zone_offsets
    where offset_before_s = offset_after_s
)

select
    {{ row_identity() }} as cdr_number,
    named.cdr_key,
    named.cdr_id,
    named.peer,
    named.ocpi_version,
    named.party,
    named.currency,
    named.location_key,
    lower(named.evse_uid) as evse_uid_key,
    lower(named.connector_id) as connector_id_key,
    named.started_at,
    named.ended_at,
    named.is_credit,
    named.preferred_tariff_type,
    named.named_time_zone,
    named.time_zone,
    named.time_zone_source,
    case
        when
            start_offsets.offset_s = end_offsets.offset_s
            -- Within three weeks the clock cannot have changed there and back (Morocco's Ramadan time lasts longer).
            and named.ended_at < named.started_at + interval '21' day
            then start_offsets.offset_s
    end as utc_offset_s
from named
left join steady_offsets as start_offsets
    on named.time_zone = start_offsets.time_zone and named.start_date = start_offsets.utc_date
left join steady_offsets as end_offsets
    on named.time_zone = end_offsets.time_zone and named.end_date = end_offsets.utc_date
