{# One row is one port in one local month and one step from the raw reading to a policy's: the seconds of downtime and of base
   that the step changes. #}
{# A second belongs to one step, by what it was: outside opening hours, silence, unavailable, faulted, blocked, unknown, working;
   then what exclusions excuse by reason, and what their caps take back. Steps that change nothing have no row. #}
with downtime as (
    select *
    from {{ ref('int_sla_downtime') }}
    where counts_as in ('down', 'excluded', 'unknown')
),

policies as (
    select *
    from {{ ref('dim_sla_policy') }}
),

calendar as (
    select *
    from {{ ref('int_sla_calendar') }}
),

months as (
    select *
    from {{ ref('int_sla_port_month') }}
),

natures as (
    select
        policy_id,
        port_id,
        local_month,
        is_closed,
        case
            when state = 'offline' then 'silence'
            when state in ('unknown', 'unrecorded') then 'unknown'
            when state = 'working' then 'blocked'
            when state in ('unavailable', 'faulted') then state
            else 'working_states'
        end as nature,
        sum(case when counts_as in ('down', 'excluded') then duration_s else 0 end) as down_s,
        sum(case when counts_as = 'unknown' then duration_s else 0 end) as unknown_s
    from downtime
    group by
        policy_id,
        port_id,
        local_month,
        is_closed,
        case
            when state = 'offline' then 'silence'
            when state in ('unknown', 'unrecorded') then 'unknown'
            when state = 'working' then 'blocked'
            when state in ('unavailable', 'faulted') then state
            else 'working_states'
        end
),

raw_natures as (
    select
        port_id,
        local_month,
        is_closed,
        nature,
        down_s,
        unknown_s
    from natures
    where policy_id = 'raw'
),

-- the policy's seconds less those of the raw reading, each under the step that explains it
differences as (
    select
        natures.policy_id,
        natures.port_id,
        natures.local_month,
        natures.nature as step,
        natures.down_s as down_change_s,
        -natures.unknown_s as base_change_s
    from natures
    union all
    select
        policies.policy_id,
        raw_natures.port_id,
        raw_natures.local_month,
        case when policies.base_type = 'open_hours' and raw_natures.is_closed then 'opening_hours' else raw_natures.nature end
            as step,
        -raw_natures.down_s as down_change_s,
        raw_natures.unknown_s as base_change_s
    from raw_natures
    cross join policies
    union all
    -- closed hours leave the base
    select
        policies.policy_id,
        calendar.port_id,
        calendar.local_month,
        'opening_hours' as step,
        0 as down_change_s,
        calendar.open_s - calendar.in_service_s as base_change_s
    from calendar
    cross join policies
    where policies.base_type = 'open_hours' and calendar.open_s <> calendar.in_service_s
    union all
    select
        policy_id,
        port_id,
        local_month,
        'exclusion_' || reason as step,
        -duration_s as down_change_s,
        0 as base_change_s
    from downtime
    where reason is not null
    union all
    select
        policy_id,
        port_id,
        local_month,
        'caps' as step,
        duration_s as down_change_s,
        0 as base_change_s
    from downtime
    where is_over_cap
),

-- time that OCPI calls planned or removed is out of both readings, but of a closed hour only once
removed as (
    select
        months.policy_id,
        months.port_id,
        months.local_month,
        'opening_hours' as step,
        0 as down_change_s,
        (months.in_scope_s - calendar.open_s) - (raw_months.in_scope_s - calendar.in_service_s) as base_change_s
    from months
    inner join policies on months.policy_id = policies.policy_id and policies.base_type = 'open_hours'
    inner join months as raw_months
        on
            raw_months.policy_id = 'raw'
            and months.port_id = raw_months.port_id
            and months.local_month = raw_months.local_month
    inner join calendar on months.port_id = calendar.port_id and months.local_month = calendar.local_month
    where months.is_in_scope
),

all_steps as (
    select policy_id, port_id, local_month, step, down_change_s, base_change_s
    from differences
    union all
    select policy_id, port_id, local_month, step, down_change_s, base_change_s
    from removed
),

in_scope as (
    select distinct
        policy_id,
        port_id
    from months
    where is_in_scope
)

select
    all_steps.policy_id,
    all_steps.port_id,
    all_steps.local_month,
    all_steps.step,
    cast(sum(all_steps.down_change_s) as bigint) as down_change_s,
    cast(sum(all_steps.base_change_s) as bigint) as base_change_s
from all_steps
inner join in_scope on all_steps.policy_id = in_scope.policy_id and all_steps.port_id = in_scope.port_id
group by all_steps.policy_id, all_steps.port_id, all_steps.local_month, all_steps.step
having sum(all_steps.down_change_s) <> 0 or sum(all_steps.base_change_s) <> 0
