{# One row is one outage: the longest unbroken time in which a port did not work, whatever any policy says. #}
{# Cause is the state that lasted longest, of equal ones the one that came first; the code is that of the longest fault.
   Attribution: an exclusion record that covers part of the outage tells (the one that covers most), else the code of a
   fault, else the class of a silence. #}
with parts as (
    select *
    from {{ ref('int_outage_part') }}
),

proofs as (
    select *
    from {{ ref('int_sla_proof') }}
),

exclusions as (
    select *
    from {{ ref('int_sla_exclusion') }}
),

codes as (
    select *
    from {{ ref('int_sla_code_attribution') }}
),

responsibility as (
    select *
    from {{ ref('outage_responsibility') }}
),

port_contracts as (
    select *
    from {{ ref('int_sla_port_contract') }}
),

ports as (
    select *
    from {{ ref('dim_port') }}
),

stations as (
    select *
    from {{ ref('dim_station') }}
),

states as (
    select
        outage_id,
        state,
        sum(duration_s) as duration_s,
        min(started_at) as started_at
    from parts
    group by outage_id, state
),

causes as (
    select
        outage_id,
        state as cause
    from states
    qualify row_number() over (partition by outage_id order by duration_s desc, started_at asc) = 1
),

faults as (
    select
        outage_id,
        error_code,
        vendor_error_code
    from parts
    where state = 'faulted'
    qualify row_number() over (partition by outage_id order by duration_s desc, started_at asc) = 1
),

silences as (
    select
        outage_id,
        gap_class
    from parts
    where state = 'offline'
    qualify row_number() over (partition by outage_id order by duration_s desc, started_at asc) = 1
),

outages as (
    select
        outage_id,
        min(port_id) as port_id,
        min(station_id) as station_id,
        min(started_at) as started_at,
        max(known_until_at) as known_until_at,
        max(case when ended_at is null then 1 else 0 end) = 1 as is_open,
        sum(duration_s) as duration_s,
        sum(case when state = 'faulted' then duration_s else 0 end) as faulted_s,
        sum(case when state = 'unavailable' then duration_s else 0 end) as unavailable_s,
        sum(case when state = 'offline' then duration_s else 0 end) as offline_s
    from parts
    group by outage_id
),

-- sessions may overlap, so a proven second is counted once
proven_parts as (
    select
        parts.outage_id,
        greatest(proofs.started_at, parts.started_at) as started_at,
        least(proofs.ended_at, parts.known_until_at) as ended_at,
        max(least(proofs.ended_at, parts.known_until_at)) over (
            partition by parts.outage_id
            order by greatest(proofs.started_at, parts.started_at), proofs.ended_at
            rows between unbounded preceding and 1 preceding
        ) as proven_until_at
    from proofs
    inner join parts
        on
            proofs.port_id = parts.port_id
            and parts.state = 'offline'
            and proofs.started_at < parts.known_until_at
            and proofs.ended_at > parts.started_at
),

proven as (
    select
        outage_id,
        sum(greatest(0, {{ seconds_between('greatest(started_at, coalesce(proven_until_at, started_at))', 'ended_at') }}))
            as proven_s
    from proven_parts
    group by outage_id
),

excused as (
    select
        outages.outage_id,
        exclusions.exclusion_id,
        exclusions.reason
    from outages
    inner join exclusions
        on
            outages.port_id = exclusions.port_id
            and exclusions.started_at < outages.known_until_at
            and exclusions.ended_at > outages.started_at
    qualify row_number() over (
        partition by outages.outage_id
        order by
            {{ shared_seconds(
                'outages.started_at', 'outages.known_until_at', 'exclusions.started_at', 'exclusions.ended_at'
            ) }} desc,
            exclusions.exclusion_id
    ) = 1
),

attributed as (
    select
        outages.outage_id,
        outages.port_id,
        outages.station_id,
        outages.started_at,
        outages.known_until_at,
        outages.is_open,
        outages.duration_s,
        outages.faulted_s,
        outages.unavailable_s,
        outages.offline_s,
        coalesce(proven.proven_s, 0) as proven_s,
        causes.cause,
        faults.error_code,
        faults.vendor_error_code,
        coalesce(codes.code, faults.vendor_error_code, faults.error_code) as leading_code,
        silences.gap_class,
        excused.exclusion_id,
        excused.reason as exclusion_reason,
        case
            when by_reason.attribution <> 'unknown' then by_reason.attribution
            when causes.cause = 'faulted' then coalesce(codes.attribution, 'unknown')
            when causes.cause = 'offline' and silences.gap_class = 'power_loss' then 'grid'
            when causes.cause = 'offline' and silences.gap_class = 'telecom' then 'comms'
            when causes.cause = 'offline' and silences.gap_class in ('reboot', 'station_dead', 'never_seen') then 'evse'
            else 'unknown'
        end as attribution,
        case when by_reason.attribution <> 'unknown' then by_reason.party end as party_of_reason
    from outages
    inner join causes on outages.outage_id = causes.outage_id
    left join faults on outages.outage_id = faults.outage_id
    left join silences on outages.outage_id = silences.outage_id
    left join proven on outages.outage_id = proven.outage_id
    left join excused on outages.outage_id = excused.outage_id
    left join responsibility as by_reason
        on by_reason.subject = 'exclusion_reason' and excused.reason = by_reason.value
    left join codes
        on
            faults.outage_id is not null
            and coalesce(faults.error_code, '') = coalesce(codes.error_code, '')
            and coalesce(faults.vendor_error_code, '') = coalesce(codes.vendor_error_code, '')
)

select
    attributed.outage_id,
    attributed.port_id,
    attributed.station_id,
    coalesce(ports.site_id, 'unmapped') as site_id,
    coalesce(ports.owner_id, 'unmapped') as owner_id,
    coalesce(ports.operator_id, 'unmapped') as operator_id,
    attributed.started_at,
    case when not attributed.is_open then attributed.known_until_at end as ended_at,
    attributed.known_until_at,
    cast(attributed.duration_s as bigint) as duration_s,
    attributed.cause,
    attributed.error_code,
    attributed.vendor_error_code,
    attributed.leading_code,
    attributed.attribution,
    {{ party_under_contract(
        "coalesce(
            attributed.party_of_reason,
            case
                when stations.warranty_until >= " ~ local_date('attributed.started_at', 'stations.time_zone') ~ "
                    then by_attribution.party_under_warranty
                else by_attribution.party
            end
        )",
        'port_contracts.contract_id',
    ) }} as responsible_party,
    port_contracts.contract_id,
    attributed.gap_class,
    attributed.exclusion_id,
    attributed.exclusion_reason,
    cast(attributed.faulted_s as bigint) as faulted_s,
    cast(attributed.unavailable_s as bigint) as unavailable_s,
    cast(attributed.offline_s as bigint) as offline_s,
    cast(attributed.proven_s as bigint) as proven_s,
    attributed.is_open
from attributed
inner join responsibility as by_attribution
    on by_attribution.subject = 'attribution' and attributed.attribution = by_attribution.value
left join ports on attributed.port_id = ports.port_id
left join stations on attributed.station_id = stations.station_id
left join port_contracts
    on
        attributed.port_id = port_contracts.port_id
        and attributed.started_at >= port_contracts.valid_from_at
        and attributed.started_at < coalesce(port_contracts.valid_to_at, {{ instant("'9999-01-01 00:00:00+00:00'") }})
