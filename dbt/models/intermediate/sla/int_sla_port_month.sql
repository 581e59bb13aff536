{# One row is one port under one policy in one local month, with its seconds up, down, excused, unknown and out of
   scope. #}
with downtime as (
    select *
    from {{ ref('int_sla_downtime') }}
),

calendar as (
    select *
    from {{ ref('int_sla_calendar') }}
),

ports as (
    select *
    from {{ ref('int_sla_port') }}
),

policies as (
    select *
    from {{ ref('dim_sla_policy') }}
),

counted as (
    select
        downtime.policy_id,
        downtime.port_id,
        downtime.local_month,
        sum(case when downtime.counts_as in ('down', 'excluded') then downtime.duration_s else 0 end) as down_s,
        sum(case when downtime.counts_as = 'excluded' then downtime.duration_s else 0 end) as excluded_s,
        sum(case when downtime.is_over_cap then downtime.duration_s else 0 end) as over_cap_s,
        sum(case when downtime.counts_as = 'unknown' then downtime.duration_s else 0 end) as unknown_s,
        sum(case
            when downtime.counts_as = 'out_of_scope' and not (downtime.is_closed and policies.base_type = 'open_hours')
                then downtime.duration_s
            else 0
        end) as removed_s,
        -- silence is told beside every figure, whatever the policy makes of it
        sum(case
            when downtime.state in ('offline', 'unknown') and downtime.counts_as <> 'out_of_scope' then downtime.duration_s
            else 0
        end) as silent_s
    from downtime
    inner join policies on downtime.policy_id = policies.policy_id
    group by downtime.policy_id, downtime.port_id, downtime.local_month
)

select
    policies.policy_id,
    calendar.port_id,
    calendar.local_month,
    {{ in_scope('policies', 'ports') }} as is_in_scope,
    calendar.full_s,
    calendar.window_s,
    cast(
        case
            when not {{ in_scope('policies', 'ports') }} then 0
            when policies.base_type = 'open_hours' then calendar.open_s - coalesce(counted.removed_s, 0)
            else calendar.in_service_s - coalesce(counted.removed_s, 0)
        end as bigint
    ) as in_scope_s,
    cast(
        case
            when not {{ in_scope('policies', 'ports') }} then 0
            when policies.base_type = 'open_hours' then calendar.planned_open_s - coalesce(counted.removed_s, 0)
            else calendar.planned_s - coalesce(counted.removed_s, 0)
        end as bigint
    ) as planned_s,
    cast(coalesce(counted.down_s, 0) as bigint) as down_s,
    cast(coalesce(counted.excluded_s, 0) as bigint) as excluded_s,
    cast(coalesce(counted.over_cap_s, 0) as bigint) as over_cap_s,
    cast(coalesce(counted.unknown_s, 0) as bigint) as unknown_s,
    cast(coalesce(counted.silent_s, 0) as bigint) as silent_s
from calendar
inner join ports on calendar.port_id = ports.port_id
cross join policies
left join counted
    on
        policies.policy_id = counted.policy_id
        and calendar.port_id = counted.port_id
        and calendar.local_month = counted.local_month
