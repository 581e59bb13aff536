{# One row is one incident of a port under one policy: its down time, with interruptions shorter than the policy's merge gap
   left in. #}
{# Seconds are those of the down time alone, so that incidents add up to fct_sla. is_counted tells whether the incident is
   long enough to be one by the policy; shorter ones stay, because their seconds count. #}
with downtime as (
    select *
    from {{ ref('fct_sla_downtime') }}
    where counts_as in ('down', 'excluded')
),

policies as (
    select *
    from {{ ref('dim_sla_policy') }}
),

ports as (
    select *
    from {{ ref('int_sla_port') }}
),

states as (
    select
        policy_id,
        port_id,
        incident_id,
        state,
        sum(duration_s) as duration_s,
        min(started_at) as started_at
    from downtime
    group by policy_id, port_id, incident_id, state
),

causes as (
    select
        policy_id,
        port_id,
        incident_id,
        state as cause
    from states
    qualify row_number() over (
        partition by policy_id, port_id, incident_id
        order by duration_s desc, started_at asc
    ) = 1
),

incidents as (
    select
        policy_id,
        port_id,
        incident_id,
        min(site_id) as site_id,
        min(owner_id) as owner_id,
        min(operator_id) as operator_id,
        min(started_at) as started_at,
        max(ended_at) as ended_at,
        sum(duration_s) as down_s,
        sum(case when counts_as = 'excluded' then duration_s else 0 end) as excluded_s,
        {{ joined_words("case when counts_as = 'excluded' then reason end") }} as reasons,
        {{ joined_words('responsible_party') }} as responsible_parties,
        max_by(error_code, duration_s) as error_code,
        max_by(vendor_error_code, duration_s) as vendor_error_code,
        min_by(outage_id, started_at) as first_outage_id
    from downtime
    group by policy_id, port_id, incident_id
)

select
    incidents.incident_id,
    incidents.policy_id,
    incidents.port_id,
    incidents.site_id,
    incidents.owner_id,
    incidents.operator_id,
    incidents.started_at,
    incidents.ended_at,
    cast(incidents.down_s as bigint) as down_s,
    cast(incidents.excluded_s as bigint) as excluded_s,
    causes.cause,
    incidents.error_code,
    incidents.vendor_error_code,
    incidents.reasons,
    incidents.responsible_parties,
    incidents.first_outage_id,
    incidents.down_s >= policies.incident_min_duration_s as is_counted,
    incidents.ended_at = ports.in_service_until_at and ports.in_service_until_at = ports.horizon_at as is_open
from incidents
inner join causes
    on
        incidents.policy_id = causes.policy_id
        and incidents.port_id = causes.port_id
        and incidents.incident_id = causes.incident_id
inner join policies on incidents.policy_id = policies.policy_id
inner join ports on incidents.port_id = ports.port_id
