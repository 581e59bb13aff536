{# One row is one port under one policy for one time that is down, excused, unknown or out of scope, or up although the port
   did not plainly work. #}
{# A policy maps states, silence and codes to up, down and unknown; incidents are made of the down time; a reason of an
   exclusion excuses parts of it, as far as its caps go. Where several reasons apply, one without a cap is taken first, then
   by name; each second has one reason. A cap per incident, then per local calendar year, is used up in order of time. #}
with segments as (
    select *
    from {{ ref('int_sla_segment') }}
),

ports as (
    select *
    from {{ ref('int_sla_port') }}
),

policies as (
    select *
    from {{ ref('dim_sla_policy') }}
),

policy_states as (
    select *
    from {{ ref('int_sla_policy_state') }}
),

fault_codes as (
    select *
    from {{ ref('int_sla_fault_code') }}
),

rules as (
    select *
    from {{ ref('dim_sla_policy_exclusion') }}
),

exclusions as (
    select *
    from {{ ref('int_sla_exclusion') }}
),

attributions as (
    select *
    from {{ ref('int_sla_code_attribution') }}
),

applied as (
    select
        policies.policy_id,
        policies.base_type,
        policies.offline_treat,
        policies.offline_proof_of_life,
        policies.warnings_with_operative_status,
        policies.status_map_blocked,
        policies.incident_merge_gap_s,
        segments.port_id,
        segments.local_month,
        segments.started_at,
        segments.ended_at,
        segments.state,
        segments.is_working,
        segments.error_code,
        segments.vendor_error_code,
        segments.carried_state,
        segments.carried_error_code,
        segments.carried_vendor_error_code,
        segments.outage_id,
        segments.gap_class,
        segments.is_proven,
        segments.is_blocked,
        segments.is_removed,
        segments.is_closed,
        -- when silence begins to count: after the grace, from the last frame if the policy says so
        case
            when segments.state <> 'offline' or segments.gap_class = 'never_seen' then segments.started_at
            when segments.state_s <= policies.offline_grace_s then segments.ended_at
            when policies.offline_backdate_to_last_message then segments.started_at
            else {{ plus_seconds('segments.state_started_at', 'policies.offline_grace_s') }}
        end as counts_from_at
    from segments
    inner join ports on segments.port_id = ports.port_id
    inner join policies
        on {{ in_scope('policies', 'ports') }}
),

parts as (
    select
        *,
        true as is_grace,
        started_at as part_started_at,
        least(ended_at, counts_from_at) as part_ended_at
    from applied
    where counts_from_at > started_at
    union all
    select
        *,
        false as is_grace,
        greatest(started_at, counts_from_at) as part_started_at,
        ended_at as part_ended_at
    from applied
    where counts_from_at < ended_at
),

mapped as (
    select
        parts.*,
        case
            when parts.state = 'working' then 'up'
            -- no policy can call up what nobody recorded
            when parts.state = 'unrecorded' then 'exclude'
            when parts.state = 'faulted' and own_codes.policy_id is not null then 'up'
            when
                parts.is_working
                and parts.warnings_with_operative_status = 'down'
                and (parts.error_code is not null or parts.vendor_error_code is not null)
                then 'down'
            else own_states.treatment
        end as own_treatment,
        case
            when parts.carried_state is null then 'up'
            when parts.carried_state = 'faulted' and carried_codes.policy_id is not null then 'up'
            when
                parts.carried_state not in ('unavailable', 'faulted')
                and parts.warnings_with_operative_status = 'down'
                and (parts.carried_error_code is not null or parts.carried_vendor_error_code is not null)
                then 'down'
            else carried_states.treatment
        end as carried_treatment
    from parts
    left join policy_states as own_states on parts.policy_id = own_states.policy_id and parts.state = own_states.state
    left join policy_states as carried_states
        on parts.policy_id = carried_states.policy_id and parts.carried_state = carried_states.state
    left join fault_codes as own_codes
        on
            parts.policy_id = own_codes.policy_id
            and coalesce(parts.error_code, '') = coalesce(own_codes.error_code, '')
            and coalesce(parts.vendor_error_code, '') = coalesce(own_codes.vendor_error_code, '')
    left join fault_codes as carried_codes
        on
            parts.policy_id = carried_codes.policy_id
            and coalesce(parts.carried_error_code, '') = coalesce(carried_codes.error_code, '')
            and coalesce(parts.carried_vendor_error_code, '') = coalesce(carried_codes.vendor_error_code, '')
),

treated as (
    select
        *,
        case
            when is_removed then 'out_of_scope'
            when is_closed and base_type = 'open_hours' then 'closed'
            when state <> 'offline' then own_treatment
            when is_grace then carried_treatment
            when is_proven and offline_proof_of_life = 'up' then 'up'
            when offline_treat = 'carry' then carried_treatment
            else offline_treat
        end as treatment
    from mapped
),

classed as (
    select
        policy_id,
        port_id,
        local_month,
        part_started_at as started_at,
        part_ended_at as ended_at,
        {{ seconds_between('part_started_at', 'part_ended_at') }} as duration_s,
        case
            when treatment = 'up' and is_blocked then replace(status_map_blocked, 'exclude', 'unknown')
            else replace(treatment, 'exclude', 'unknown')
        end as counts_as,
        state,
        is_grace,
        is_proven,
        is_blocked,
        is_closed,
        error_code,
        vendor_error_code,
        outage_id,
        gap_class,
        incident_merge_gap_s
    from treated
),

down as (
    select
        *,
        lag(ended_at) over (partition by policy_id, port_id order by started_at) as down_until_at
    from classed
    where counts_as = 'down'
),

numbered as (
    select
        *,
        cast(sum(
            case
                when
                    down_until_at = started_at
                    or {{ seconds_between('down_until_at', 'started_at') }} < incident_merge_gap_s
                    then 0
                else 1
            end
        ) over (
            partition by policy_id, port_id
            order by started_at
            rows between unbounded preceding and current row
        ) as bigint) as incident_number
    from down
),

-- an incident is known by its start, so that one that comes to light later renames no other
incidents as (
    select
        *,
        {{ outage_key("policy_id || '|' || port_id", 'min(started_at) over (partition by policy_id, port_id, incident_number)') }}
            as incident_id
    from numbered
),

grounds as (
    select
        incidents.policy_id,
        incidents.port_id,
        incidents.started_at,
        rules.reason,
        exclusions.exclusion_id,
        rules.cap_per_incident_s,
        rules.cap_per_year_s
    from incidents
    inner join exclusions
        on
            incidents.port_id = exclusions.port_id
            and incidents.started_at >= exclusions.started_at
            and incidents.started_at < exclusions.ended_at
    inner join rules
        on
            incidents.policy_id = rules.policy_id
            and exclusions.reason = rules.reason
            and (exclusions.has_evidence or not rules.is_evidence_required)
    union all
    -- reasons that a policy takes from the facts themselves
    select
        incidents.policy_id,
        incidents.port_id,
        incidents.started_at,
        rules.reason,
        cast(null as varchar) as exclusion_id,
        rules.cap_per_incident_s,
        rules.cap_per_year_s
    from incidents
    inner join rules on incidents.policy_id = rules.policy_id and rules.is_automatic
    left join attributions
        on
            coalesce(incidents.error_code, '') = coalesce(attributions.error_code, '')
            and coalesce(incidents.vendor_error_code, '') = coalesce(attributions.vendor_error_code, '')
    where
        (rules.reason = 'outside_open_hours' and incidents.is_closed)
        or (rules.reason = 'vehicle_fault' and incidents.state = 'faulted' and attributions.attribution = 'vehicle')
        or (rules.reason = 'vandalism' and incidents.state = 'faulted' and attributions.attribution = 'vandalism')
        or (
            rules.reason = 'utility_interruption'
            and (
                (incidents.state = 'faulted' and attributions.attribution = 'grid')
                or incidents.gap_class = 'power_loss'
            )
        )
        or (rules.reason = 'telecom' and incidents.gap_class = 'telecom')
),

chosen as (
    select
        policy_id,
        port_id,
        started_at,
        reason,
        exclusion_id,
        cap_per_incident_s,
        cap_per_year_s
    from grounds
    qualify row_number() over (
        partition by policy_id, port_id, started_at
        order by
            case when cap_per_incident_s is null and cap_per_year_s is null then 0 else 1 end,
            reason,
            exclusion_id nulls last
    ) = 1
),

excusable as (
    select
        incidents.policy_id,
        incidents.port_id,
        incidents.local_month,
        incidents.started_at,
        incidents.ended_at,
        incidents.duration_s,
        incidents.state,
        incidents.is_grace,
        incidents.is_proven,
        incidents.is_blocked,
        incidents.is_closed,
        incidents.error_code,
        incidents.vendor_error_code,
        incidents.outage_id,
        incidents.gap_class,
        incidents.incident_number,
        incidents.incident_id,
        chosen.reason,
        chosen.exclusion_id,
        chosen.cap_per_year_s,
        case
            when chosen.reason is null then 0
            when chosen.cap_per_incident_s is null then incidents.duration_s
            else greatest(0, least(
                incidents.duration_s,
                chosen.cap_per_incident_s - coalesce(sum(incidents.duration_s) over (
                    partition by incidents.policy_id, incidents.port_id, incidents.incident_number, chosen.reason
                    order by incidents.started_at
                    rows between unbounded preceding and 1 preceding
                ), 0)
            ))
        end as incident_excused_s
    from incidents
    left join chosen
        on
            incidents.policy_id = chosen.policy_id
            and incidents.port_id = chosen.port_id
            and incidents.started_at = chosen.started_at
),

capped as (
    select
        *,
        case
            when cap_per_year_s is null then incident_excused_s
            else greatest(0, least(
                incident_excused_s,
                cap_per_year_s - coalesce(sum(incident_excused_s) over (
                    partition by policy_id, port_id, reason, date_trunc('year', local_month)
                    order by started_at
                    rows between unbounded preceding and 1 preceding
                ), 0)
            ))
        end as excused_s
    from excusable
)

select
    policy_id,
    port_id,
    local_month,
    started_at,
    {{ plus_seconds('started_at', 'excused_s') }} as ended_at,
    cast(excused_s as bigint) as duration_s,
    'excluded' as counts_as,
    state,
    is_grace,
    is_proven,
    is_blocked,
    is_closed,
    error_code,
    vendor_error_code,
    outage_id,
    gap_class,
    incident_id,
    reason,
    exclusion_id,
    false as is_over_cap
from capped
where excused_s > 0
union all
select
    policy_id,
    port_id,
    local_month,
    {{ plus_seconds('started_at', 'excused_s') }} as started_at,
    ended_at,
    cast(duration_s - excused_s as bigint) as duration_s,
    'down' as counts_as,
    state,
    is_grace,
    is_proven,
    is_blocked,
    is_closed,
    error_code,
    vendor_error_code,
    outage_id,
    gap_class,
    incident_id,
    reason,
    exclusion_id,
    reason is not null as is_over_cap
from capped
where excused_s < duration_s
union all
select
    policy_id,
    port_id,
    local_month,
    started_at,
    ended_at,
    cast(duration_s as bigint) as duration_s,
    counts_as,
    state,
    is_grace,
    is_proven,
    is_blocked,
    is_closed,
    error_code,
    vendor_error_code,
    outage_id,
    gap_class,
    cast(null as varchar) as incident_id,
    cast(null as varchar) as reason,
    cast(null as varchar) as exclusion_id,
    false as is_over_cap
from classed
where counts_as in ('up', 'unknown', 'out_of_scope')
