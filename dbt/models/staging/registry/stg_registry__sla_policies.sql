{# One row is one SLA policy of the user's own of the registry as it stands now. #}
with current_rows as (
    {{ current_registry_rows('sla_policy', ['policy_id']) }}
)

select
    policy_id,
    version,
    name,
    source,
    grain,
    aggregate,
    window_type,
    window_months,
    window_step,
    base_type,
    base_minutes,
    threshold_ratio,
    threshold_op,
    status_map_available,
    status_map_occupied,
    status_map_charging,
    status_map_suspended_ev,
    status_map_suspended_evse,
    status_map_reserved,
    status_map_unavailable,
    status_map_faulted,
    status_map_blocked,
    status_map_unknown,
    offline_treat,
    offline_grace_s,
    offline_backdate_to_last_message,
    offline_proof_of_life,
    warnings_with_operative_status,
    fault_codes_not_down,
    incident_merge_gap_s,
    incident_min_duration_s,
    exclusions,
    scope_min_power_kw,
    scope_funded_only,
    scope_dc_only,
    path,
    line_number
from current_rows
