{# One row is one port (EVSE): of the registry, or made from a connector or an OCPI EVSE that no registry row names. #}
{# The registry wins; OCPI connectors fill what it leaves empty. A port without dates of its own has its station's. #}
with ports as (
    select *
    from {{ ref('stg_registry__ports') }}
),

port_connectors as (
    select *
    from {{ ref('int_port_connectors') }}
),

evse_ports as (
    select *
    from {{ ref('int_evse_ports') }}
),

connectors as (
    select *
    from {{ ref('stg_ocpi__connectors') }}
),

stations as (
    select *
    from {{ ref('dim_station') }}
),

sites as (
    select *
    from {{ ref('dim_site') }}
),

unmapped_connectors as (
    select
        port_id,
        min(station_id) as station_id,
        {{ joined_words("case
            when evse_id is null then cast(connector_id as varchar)
            when connector_id is null then cast(evse_id as varchar)
            else cast(evse_id as varchar) || '/' || cast(connector_id as varchar)
        end") }} as ocpp_connector_ids
    from port_connectors
    where not is_registered
    group by port_id
),

evses as (
    select
        port_id,
        min(site_id) as site_id,
        min(evse_uid) as evse_uid,
        min(location_key) as location_key,
        min(evse_key) as evse_key
    from evse_ports
    group by port_id
),

-- volts are between phase and neutral (OCPI 2.2.1, 8.4.4), so three phases give three times the power of one
evse_power as (
    select
        evses.port_id,
        max(case when connectors.power_type = 'DC' then 'DC' when connectors.power_type like 'AC%' then 'AC' end)
            as power_type,
        cast(max(coalesce(
            connectors.max_electric_power_w,
            connectors.max_voltage_v * connectors.max_amperage_a
            * case connectors.power_type when 'AC_3_PHASE' then 3 when 'AC_2_PHASE' then 2 else 1 end
        )) / 1000 as decimal(18, 3)) as max_power_kw,
        {{ joined_words('connectors.standard') }} as connector_standards
    from evses
    inner join connectors
        on evses.location_key = connectors.location_key and evses.evse_key = lower(connectors.evse_uid)
    group by evses.port_id
),

named as (
    select port_id, station_id, cast(null as varchar) as site_id, 1 as source_rank
    from ports
    union all
    select port_id, station_id, cast(null as varchar) as site_id, 2 as source_rank
    from unmapped_connectors
    union all
    select port_id, 'unmapped' as station_id, site_id, 3 as source_rank
    from evses
),

kept as (
    select
        port_id,
        station_id,
        site_id
    from named
    qualify row_number() over (partition by port_id order by source_rank) = 1
)

select
    kept.port_id,
    kept.station_id,
    sites.site_id,
    sites.owner_id,
    sites.operator_id,
    coalesce(ports.ocpp_connector_ids, unmapped_connectors.ocpp_connector_ids) as ocpp_connector_ids,
    coalesce(ports.ocpi_evse_uid, evses.evse_uid) as ocpi_evse_uid,
    coalesce(ports.power_type, evse_power.power_type) as power_type,
    coalesce(ports.max_power_kw, evse_power.max_power_kw) as max_power_kw,
    coalesce(ports.connector_standards, evse_power.connector_standards) as connector_standards,
    coalesce(ports.commissioned_at, {{ local_midnight('stations.commissioned_on', 'sites.time_zone') }}) as commissioned_at,
    coalesce(ports.decommissioned_at, {{ local_midnight('stations.decommissioned_on', 'sites.time_zone') }})
        as decommissioned_at,
    ports.funding,
    sites.time_zone,
    sites.currency,
    ports.port_id is not null as is_registered
from kept
inner join stations
    on kept.station_id = stations.station_id
inner join sites
    on coalesce(kept.site_id, stations.site_id) = sites.site_id
left join ports
    on kept.port_id = ports.port_id
left join unmapped_connectors
    on kept.port_id = unmapped_connectors.port_id
left join evses
    on kept.port_id = evses.port_id
left join evse_power
    on kept.port_id = evse_power.port_id
