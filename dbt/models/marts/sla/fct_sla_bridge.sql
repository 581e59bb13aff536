{# One row is one step on the way from the raw reading of a subject and window to a policy's, in order. #}
{# Step 0 is the raw reading (every minute not working or silent, nothing excused), the last one the policy's; the changes in
   between add up to the difference to the second. Two policies are compared by their ways from the same raw reading.
   Policies that do not sum seconds (means of ports, weights, sites as a whole) have a way only where they do: at ports. #}
with steps as (
    select *
    from {{ ref('int_sla_step_month') }}
),

periods as (
    select *
    from {{ ref('int_sla_period') }}
),

ports as (
    select *
    from {{ ref('int_sla_port') }}
),

figures as (
    select *
    from {{ ref('fct_sla') }}
),

units as (
    select *
    from {{ ref('int_sla_unit_period') }}
    where policy_id = 'raw' and port_id is not null
),

in_scope as (
    select distinct
        policy_id,
        port_id
    from {{ ref('int_sla_port_month') }}
    where is_in_scope
),

policies as (
    select *
    from {{ ref('dim_sla_policy') }}
),

grains as (
    select 'port' as grain
    union all
    select 'site' as grain
    union all
    select 'owner' as grain
    union all
    select 'operator' as grain
    union all
    select 'network' as grain
),

wanted as (
    select
        figures.policy_id,
        figures.grain,
        figures.subject_id,
        figures.period_kind,
        figures.period_start,
        figures.period_end,
        figures.net_down_s,
        figures.base_s,
        figures.uptime_ratio
    from figures
    inner join policies on figures.policy_id = policies.policy_id
    where
        figures.port_count > 0
        and (
            figures.grain = 'port'
            or (policies.aggregate = 'minute_weighted' and policies.grain not in ('site_any', 'site_all'))
        )
),

-- the raw reading of every subject and window, ports outside the policy's scope included
raw_members as (
    select
        grains.grain,
        case grains.grain
            when 'port' then units.port_id
            when 'site' then units.site_id
            when 'owner' then units.owner_id
            when 'operator' then units.operator_id
            else 'network'
        end as subject_id,
        units.port_id,
        units.period_kind,
        units.period_start,
        units.down_s,
        units.base_s
    from units
    cross join grains
),

starts as (
    select
        wanted.policy_id,
        wanted.grain,
        wanted.subject_id,
        wanted.period_kind,
        wanted.period_start,
        sum(raw_members.down_s) as down_s,
        sum(raw_members.base_s) as base_s,
        sum(case when in_scope.port_id is null then raw_members.down_s else 0 end) as out_of_scope_down_s,
        sum(case when in_scope.port_id is null then raw_members.base_s else 0 end) as out_of_scope_base_s
    from wanted
    inner join raw_members
        on
            wanted.grain = raw_members.grain
            and wanted.subject_id = raw_members.subject_id
            and wanted.period_kind = raw_members.period_kind
            and wanted.period_start = raw_members.period_start
    left join in_scope on wanted.policy_id = in_scope.policy_id and raw_members.port_id = in_scope.port_id
    group by wanted.policy_id, wanted.grain, wanted.subject_id, wanted.period_kind, wanted.period_start
),

subject_steps as (
    select
        steps.policy_id,
        grains.grain,
        case grains.grain
            when 'port' then ports.port_id
            when 'site' then ports.site_id
            when 'owner' then ports.owner_id
            when 'operator' then ports.operator_id
            else 'network'
        end as subject_id,
        periods.period_kind,
        periods.period_start,
        steps.step,
        steps.down_change_s,
        steps.base_change_s
    from steps
    inner join ports on steps.port_id = ports.port_id
    inner join periods on steps.local_month = periods.local_month
    cross join grains
),

step_members as (
    select
        policy_id,
        grain,
        subject_id,
        period_kind,
        period_start,
        step,
        sum(down_change_s) as down_change_s,
        sum(base_change_s) as base_change_s
    from subject_steps
    group by policy_id, grain, subject_id, period_kind, period_start, step
),

changes as (
    select policy_id, grain, subject_id, period_kind, period_start, 'raw' as step, down_s as down_change_s, base_s as base_change_s
    from starts
    union all
    select
        policy_id,
        grain,
        subject_id,
        period_kind,
        period_start,
        'scope' as step,
        -out_of_scope_down_s as down_change_s,
        -out_of_scope_base_s as base_change_s
    from starts
    where out_of_scope_base_s <> 0 or out_of_scope_down_s <> 0
    union all
    select
        step_members.policy_id,
        step_members.grain,
        step_members.subject_id,
        step_members.period_kind,
        step_members.period_start,
        step_members.step,
        step_members.down_change_s,
        step_members.base_change_s
    from step_members
    inner join wanted
        on
            step_members.policy_id = wanted.policy_id
            and step_members.grain = wanted.grain
            and step_members.subject_id = wanted.subject_id
            and step_members.period_kind = wanted.period_kind
            and step_members.period_start = wanted.period_start
),

summed as (
    select
        policy_id,
        grain,
        subject_id,
        period_kind,
        period_start,
        sum(base_change_s) as base_s
    from changes
    group by policy_id, grain, subject_id, period_kind, period_start
),

-- what is left of the base: a fixed one, or excused minutes that leave it
with_base as (
    select policy_id, grain, subject_id, period_kind, period_start, step, down_change_s, base_change_s
    from changes
    union all
    select
        wanted.policy_id,
        wanted.grain,
        wanted.subject_id,
        wanted.period_kind,
        wanted.period_start,
        'base' as step,
        0 as down_change_s,
        wanted.base_s - summed.base_s as base_change_s
    from wanted
    inner join summed
        on
            wanted.policy_id = summed.policy_id
            and wanted.grain = summed.grain
            and wanted.subject_id = summed.subject_id
            and wanted.period_kind = summed.period_kind
            and wanted.period_start = summed.period_start
    where wanted.base_s <> summed.base_s
),

ordered as (
    select
        policy_id,
        grain,
        subject_id,
        period_kind,
        period_start,
        step,
        row_number() over (
            partition by policy_id, grain, subject_id, period_kind, period_start
            order by
                case step
                    when 'raw' then 0 when 'scope' then 1 when 'opening_hours' then 2 when 'silence' then 3 when 'unknown' then 4
                    when 'unavailable' then 5 when 'faulted' then 6 when 'blocked' then 7 when 'working_states' then 8
                    when 'caps' then 10 when 'base' then 11 else 9
                end,
                step
        ) - 1 as step_number,
        down_change_s,
        base_change_s
    from with_base
),

running as (
    select
        policy_id,
        grain,
        subject_id,
        period_kind,
        period_start,
        step_number,
        step,
        down_change_s,
        base_change_s,
        sum(down_change_s) over (
            partition by policy_id, grain, subject_id, period_kind, period_start
            order by step_number
        ) as net_down_s,
        sum(base_change_s) over (
            partition by policy_id, grain, subject_id, period_kind, period_start
            order by step_number
        ) as base_s
    from ordered
)

select
    running.policy_id,
    running.grain,
    running.subject_id,
    running.period_kind,
    running.period_start,
    cast(running.step_number as integer) as step_number,
    running.step,
    cast(running.down_change_s as bigint) as down_change_s,
    cast(running.base_change_s as bigint) as base_change_s,
    cast(running.net_down_s as bigint) as net_down_s,
    cast(running.base_s as bigint) as base_s,
    case when running.base_s > 0 then {{ uptime('running.net_down_s', 'running.base_s') }} end as uptime_ratio
from running
