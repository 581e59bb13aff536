{# One row is one policy, one window and one unit that the policy counts by (a port; a site where the policy judges sites
   as a whole), with its seconds and its base. #}
{# A fixed base belongs to the policy's own window: a month held against the minutes of a year would say nothing, so other
   windows are held against the time elapsed. #}
with port_months as (
    select *
    from {{ ref('int_sla_port_month') }}
),

site_months as (
    select *
    from {{ ref('int_sla_site_month') }}
),

ports as (
    select *
    from {{ ref('int_sla_port') }}
),

periods as (
    select *
    from {{ ref('int_sla_period') }}
),

policies as (
    select *
    from {{ ref('dim_sla_policy') }}
),

sites as (
    select
        site_id,
        min(owner_id) as owner_id,
        min(operator_id) as operator_id
    from ports
    group by site_id
),

site_windows as (
    select
        port_months.policy_id,
        ports.site_id,
        port_months.local_month,
        sum(case when port_months.is_in_scope then 1 else 0 end) as port_count,
        max(case when port_months.is_in_scope then ports.max_power_kw end) as max_power_kw,
        max(port_months.full_s) as full_s,
        max(port_months.window_s) as window_s,
        max(port_months.planned_s) - max(port_months.in_scope_s) as remaining_s
    from port_months
    inner join ports on port_months.port_id = ports.port_id
    inner join policies on port_months.policy_id = policies.policy_id and policies.grain in ('site_any', 'site_all')
    group by port_months.policy_id, ports.site_id, port_months.local_month
),

unit_months as (
    select
        port_months.policy_id,
        port_months.port_id,
        ports.site_id,
        ports.owner_id,
        ports.operator_id,
        port_months.local_month,
        case when port_months.is_in_scope then 1 else 0 end as port_count,
        ports.max_power_kw,
        port_months.full_s,
        port_months.window_s,
        port_months.in_scope_s,
        port_months.planned_s,
        port_months.down_s,
        port_months.excluded_s,
        port_months.over_cap_s,
        port_months.unknown_s,
        port_months.silent_s
    from port_months
    inner join ports on port_months.port_id = ports.port_id
    union all
    select
        site_windows.policy_id,
        cast(null as varchar) as port_id,
        site_windows.site_id,
        sites.owner_id,
        sites.operator_id,
        site_windows.local_month,
        site_windows.port_count,
        site_windows.max_power_kw,
        site_windows.full_s,
        site_windows.window_s,
        coalesce(site_months.in_scope_s, 0) as in_scope_s,
        coalesce(site_months.in_scope_s, 0) + site_windows.remaining_s as planned_s,
        coalesce(site_months.down_s, 0) as down_s,
        coalesce(site_months.excluded_s, 0) as excluded_s,
        0 as over_cap_s,
        coalesce(site_months.unknown_s, 0) as unknown_s,
        cast(null as bigint) as silent_s
    from site_windows
    inner join sites on site_windows.site_id = sites.site_id
    left join site_months
        on
            site_windows.policy_id = site_months.policy_id
            and site_windows.site_id = site_months.site_id
            and site_windows.local_month = site_months.local_month
),

summed as (
    select
        unit_months.policy_id,
        unit_months.port_id,
        unit_months.site_id,
        unit_months.owner_id,
        unit_months.operator_id,
        periods.period_kind,
        periods.period_start,
        periods.period_end,
        max(unit_months.port_count) as port_count,
        max(unit_months.max_power_kw) as max_power_kw,
        sum(unit_months.full_s) as full_s,
        sum(unit_months.window_s) as window_s,
        sum(unit_months.in_scope_s) as in_scope_s,
        sum(unit_months.planned_s) as planned_s,
        sum(unit_months.down_s) as down_s,
        sum(unit_months.excluded_s) as excluded_s,
        sum(unit_months.over_cap_s) as over_cap_s,
        sum(unit_months.unknown_s) as unknown_s,
        sum(unit_months.silent_s) as silent_s
    from unit_months
    inner join periods on unit_months.local_month = periods.local_month
    group by
        unit_months.policy_id,
        unit_months.port_id,
        unit_months.site_id,
        unit_months.owner_id,
        unit_months.operator_id,
        periods.period_kind,
        periods.period_start,
        periods.period_end
),

based as (
    select
        summed.policy_id,
        summed.port_id,
        summed.site_id,
        summed.owner_id,
        summed.operator_id,
        summed.period_kind,
        summed.period_start,
        summed.period_end,
        summed.period_kind = {{ own_period_kind('policies') }}
        -- a rolling window that is taken once a quarter ends with one
        and (coalesce(policies.window_step, '') <> 'quarter' or extract(month from summed.period_end) in (1, 4, 7, 10))
            as is_own_window,
        summed.port_count,
        summed.max_power_kw,
        summed.full_s,
        summed.window_s,
        summed.in_scope_s,
        summed.planned_s,
        summed.down_s,
        summed.excluded_s,
        summed.over_cap_s,
        summed.unknown_s,
        summed.silent_s,
        summed.in_scope_s - summed.unknown_s as elapsed_base_s,
        case
            when
                policies.base_type = 'fixed_minutes'
                and summed.period_kind = {{ own_period_kind('policies') }}
                and summed.port_count > 0
                then cast(policies.base_minutes as bigint) * 60
        end as fixed_base_s,
        case when policies.base_type = 'elapsed_minus_excluded' then summed.excluded_s else 0 end as base_excluded_s
    from summed
    inner join policies on summed.policy_id = policies.policy_id
)

select
    policy_id,
    port_id,
    site_id,
    owner_id,
    operator_id,
    period_kind,
    period_start,
    period_end,
    is_own_window,
    port_count,
    max_power_kw,
    full_s,
    window_s,
    in_scope_s,
    down_s,
    excluded_s,
    over_cap_s,
    unknown_s,
    silent_s,
    elapsed_base_s,
    coalesce(fixed_base_s, elapsed_base_s - base_excluded_s) as base_s,
    -- the denominator of the figure without exclusions: nothing excused leaves it
    coalesce(fixed_base_s, elapsed_base_s) as gross_base_s,
    -- the base when the window is over, if nothing else happens
    coalesce(fixed_base_s, planned_s - unknown_s - base_excluded_s) as planned_base_s,
    -- what no record covers: unknown, still to come, or short of the fixed base
    unknown_s + (planned_s - in_scope_s) + greatest(0, coalesce(fixed_base_s, 0) - planned_s) as lacking_s,
    coalesce(fixed_base_s, planned_s - base_excluded_s) as certain_base_s
from based
