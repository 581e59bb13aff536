{# One row is one piece of maintenance on a port: preventive work that was announced, or an outage that was (or is being)
   repaired. #}
{# Preventive: a record of scheduled maintenance; the downtime in it is what the port lost by it. Corrective: an outage caused by
   a fault, or by a silence that no connection explains; the repair lasts as long as the outage. A repair repeats an
   earlier one if the same code, or without a code the same cause, comes back on the port within 30 days after its end. #}
{% set firmware_order = 'partition by station_id order by point_at, place' %}
with outages as (
    select *
    from {{ ref('fct_outage') }}
),

exclusions as (
    select *
    from {{ ref('int_sla_exclusion') }}
    where reason = 'scheduled_maintenance'
),

ports as (
    select *
    from {{ ref('int_sla_port') }}
),

stations as (
    select *
    from {{ ref('dim_station') }}
),

boots as (
    select *
    from {{ ref('stg_ocpp__boots') }}
),

planned_downtime as (
    select
        exclusions.exclusion_id,
        exclusions.port_id,
        sum({{ shared_seconds(
            'exclusions.started_at', 'exclusions.ended_at', 'outages.started_at', 'outages.known_until_at'
        ) }}) as down_s
    from exclusions
    inner join outages
        on
            exclusions.port_id = outages.port_id
            and outages.started_at < exclusions.ended_at
            and outages.known_until_at > exclusions.started_at
    group by exclusions.exclusion_id, exclusions.port_id
),

corrective as (
    select
        outages.outage_id,
        outages.port_id,
        outages.station_id,
        outages.started_at,
        outages.ended_at,
        outages.duration_s,
        outages.cause,
        outages.error_code,
        outages.vendor_error_code,
        outages.attribution,
        outages.responsible_party,
        coalesce(outages.leading_code, outages.gap_class, outages.cause) as fault_key,
        outages.leading_code
    from outages
    where
        coalesce(outages.exclusion_reason, '') <> 'scheduled_maintenance'
        and (
            outages.cause = 'faulted'
            or (outages.cause = 'offline' and outages.gap_class in ('reboot', 'station_dead', 'never_seen'))
        )
),

repeated as (
    select
        outage_id,
        lag(outage_id) over (partition by port_id, fault_key order by started_at) as previous_outage_id,
        lag(ended_at) over (partition by port_id, fault_key order by started_at) as previous_ended_at
    from corrective
),

-- the firmware that the last boot before the fault told
stream as (
    select station_id, received_at as point_at, 0 as place, firmware_version, cast(null as varchar) as outage_id
    from boots
    where firmware_version is not null and received_at is not null
    union all
    select station_id, started_at as point_at, 1 as place, cast(null as varchar) as firmware_version, outage_id
    from corrective
),

firmware as (
    select
        outage_id,
        {{ last_known('firmware_version', firmware_order) }} as firmware_version
    from stream
    qualify outage_id is not null
)

select
    'corrective' as kind,
    corrective.outage_id as maintenance_id,
    corrective.port_id,
    corrective.station_id,
    ports.site_id,
    ports.owner_id,
    ports.operator_id,
    stations.vendor,
    stations.model,
    coalesce(firmware.firmware_version, stations.firmware_version) as firmware_version,
    corrective.started_at,
    corrective.ended_at,
    corrective.duration_s as down_s,
    corrective.cause,
    corrective.leading_code,
    corrective.attribution,
    corrective.responsible_party,
    cast(null as varchar) as evidence,
    case
        when corrective.started_at <= {{ plus_seconds('repeated.previous_ended_at', 2592000) }}
            then repeated.previous_outage_id
    end as repeats_outage_id,
    coalesce(corrective.started_at <= {{ plus_seconds('repeated.previous_ended_at', 2592000) }}, false) as is_repeat,
    corrective.ended_at is null as is_open
from corrective
inner join ports on corrective.port_id = ports.port_id
left join stations on corrective.station_id = stations.station_id
left join repeated on corrective.outage_id = repeated.outage_id
left join firmware on corrective.outage_id = firmware.outage_id
union all
select
    'preventive' as kind,
    md5(exclusions.exclusion_id || '|' || exclusions.port_id) as maintenance_id,
    exclusions.port_id,
    ports.station_id,
    ports.site_id,
    ports.owner_id,
    ports.operator_id,
    stations.vendor,
    stations.model,
    stations.firmware_version,
    exclusions.started_at,
    exclusions.ended_at,
    cast(coalesce(planned_downtime.down_s, 0) as bigint) as down_s,
    cast(null as varchar) as cause,
    cast(null as varchar) as leading_code,
    cast(null as varchar) as attribution,
    'operator' as responsible_party,
    exclusions.evidence,
    cast(null as varchar) as repeats_outage_id,
    false as is_repeat,
    exclusions.ended_at > ports.horizon_at as is_open
from exclusions
inner join ports on exclusions.port_id = ports.port_id
left join stations on ports.station_id = stations.station_id
left join planned_downtime
    on exclusions.exclusion_id = planned_downtime.exclusion_id and exclusions.port_id = planned_downtime.port_id
where exclusions.started_at < ports.horizon_at
