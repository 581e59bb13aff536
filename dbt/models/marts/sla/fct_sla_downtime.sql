{# One row is one part of a port's time that is down, excluded or unknown under one policy, with who answers for it. #}
{# These are the minutes behind every figure of fct_sla: cut where the evidence, an exclusion, a cap or the local month
   changes. A part is wholly excused or not at all. What a policy counts as up is not here, nor is time out of its scope. #}
with downtime as (
    select *
    from {{ ref('int_sla_downtime') }}
    where counts_as in ('down', 'excluded', 'unknown')
),

outages as (
    select *
    from {{ ref('fct_outage') }}
),

responsibility as (
    select *
    from {{ ref('outage_responsibility') }}
    where subject = 'exclusion_reason'
),

ports as (
    select *
    from {{ ref('int_sla_port') }}
),

port_contracts as (
    select *
    from {{ ref('int_sla_port_contract') }}
)

select
    downtime.policy_id,
    downtime.port_id,
    ports.site_id,
    ports.owner_id,
    ports.operator_id,
    downtime.local_month,
    downtime.started_at,
    downtime.ended_at,
    downtime.duration_s,
    downtime.counts_as,
    downtime.state,
    downtime.error_code,
    downtime.vendor_error_code,
    downtime.outage_id,
    outages.attribution,
    downtime.gap_class,
    downtime.incident_id,
    downtime.reason,
    downtime.exclusion_id,
    downtime.is_over_cap,
    downtime.is_proven,
    case
        when downtime.counts_as = 'unknown' then null
        when downtime.counts_as = 'excluded'
            then {{ party_under_contract('responsibility.party', 'port_contracts.contract_id') }}
        else coalesce(
            outages.responsible_party,
            {{ party_under_contract("'operator'", 'port_contracts.contract_id') }}
        )
    end as responsible_party,
    port_contracts.contract_id
from downtime
inner join ports on downtime.port_id = ports.port_id
left join outages on downtime.outage_id = outages.outage_id
left join responsibility on downtime.reason = responsibility.value
left join port_contracts
    on
        downtime.port_id = port_contracts.port_id
        and downtime.started_at >= port_contracts.valid_from_at
        and downtime.started_at < coalesce(port_contracts.valid_to_at, {{ instant("'9999-01-01 00:00:00+00:00'") }})
