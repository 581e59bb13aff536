{# One row is one contract and one window, with the uptime of its ports under its own policy and target, the downtime budget,
   and the credit due. #}
{# Windows are the months and the policy's own. Seconds of all ports under the contract are summed, also where the policy
   averages otherwise; a target in the contract replaces the policy's. The credit is due for the policy's own window, once it
   is over: percentage points below the target, fractions of them too, times the credit per point. #}
with months as (
    select *
    from {{ ref('int_sla_contract_month') }}
),

periods as (
    select *
    from {{ ref('int_sla_period') }}
),

contracts as (
    select *
    from {{ ref('dim_contract') }}
),

policies as (
    select *
    from {{ ref('dim_sla_policy') }}
),

ports as (
    select *
    from {{ ref('int_sla_port') }}
),

horizon as (
    select max({{ local_date('horizon_at', 'time_zone') }}) as horizon_on
    from ports
),

port_periods as (
    select
        months.contract_id,
        months.policy_id,
        months.port_id,
        periods.period_kind,
        periods.period_start,
        periods.period_end,
        sum(months.full_s) as full_s,
        sum(months.window_s) as window_s,
        sum(months.in_scope_s) as in_scope_s,
        sum(months.planned_s) as planned_s,
        sum(months.down_s) as down_s,
        sum(months.excluded_s) as excluded_s,
        sum(months.unknown_s) as unknown_s
    from months
    inner join periods on months.local_month = periods.local_month
    group by
        months.contract_id,
        months.policy_id,
        months.port_id,
        periods.period_kind,
        periods.period_start,
        periods.period_end
),

based as (
    select
        port_periods.contract_id,
        port_periods.policy_id,
        port_periods.period_kind,
        port_periods.period_start,
        port_periods.period_end,
        port_periods.period_kind = {{ own_period_kind('policies') }} as is_own_window,
        port_periods.full_s,
        port_periods.window_s,
        port_periods.in_scope_s,
        port_periods.planned_s,
        port_periods.down_s,
        port_periods.excluded_s,
        port_periods.unknown_s,
        case
            when policies.base_type = 'fixed_minutes' and port_periods.period_kind = {{ own_period_kind('policies') }}
                then cast(policies.base_minutes as bigint) * 60
        end as fixed_base_s,
        case when policies.base_type = 'elapsed_minus_excluded' then port_periods.excluded_s else 0 end as base_excluded_s
    from port_periods
    inner join policies on port_periods.policy_id = policies.policy_id
    where port_periods.period_kind = 'month' or port_periods.period_kind = {{ own_period_kind('policies') }}
),

summed as (
    select
        contract_id,
        policy_id,
        period_kind,
        period_start,
        period_end,
        max(case when is_own_window then 1 else 0 end) = 1 as is_own_window,
        count(*) as port_count,
        cast(sum(full_s) as bigint) as full_s,
        cast(sum(window_s) as bigint) as window_s,
        cast(sum(down_s) as bigint) as down_s,
        cast(sum(excluded_s) as bigint) as excluded_s,
        cast(sum(down_s - excluded_s) as bigint) as net_down_s,
        cast(sum(unknown_s) as bigint) as unknown_s,
        cast(sum(coalesce(fixed_base_s, in_scope_s - unknown_s - base_excluded_s)) as bigint) as base_s,
        cast(sum(coalesce(fixed_base_s, planned_s - unknown_s - base_excluded_s)) as bigint) as planned_base_s,
        cast(sum(coalesce(fixed_base_s, planned_s - base_excluded_s)) as bigint) as certain_base_s,
        cast(sum(
            unknown_s + (planned_s - in_scope_s) + greatest(0, coalesce(fixed_base_s, 0) - planned_s)
        ) as bigint) as lacking_s
    from based
    group by contract_id, policy_id, period_kind, period_start, period_end
),

judged as (
    select
        summed.contract_id,
        contracts.site_id,
        contracts.station_id,
        contracts.owner_id,
        contracts.operator_id,
        summed.policy_id,
        summed.period_kind,
        summed.period_start,
        summed.period_end,
        summed.is_own_window,
        summed.port_count,
        summed.port_count as unit_count,
        summed.full_s,
        summed.window_s,
        summed.down_s,
        summed.excluded_s,
        summed.net_down_s,
        summed.unknown_s,
        summed.base_s,
        summed.planned_base_s,
        summed.certain_base_s,
        summed.lacking_s,
        case when summed.base_s > 0 then {{ uptime('summed.net_down_s', 'summed.base_s') }} end as uptime_ratio,
        coalesce(contracts.sla_target_ratio, policies.threshold_ratio) as target_ratio,
        coalesce(policies.threshold_op, '>=') as target_operator,
        contracts.sla_credit_per_percent_point,
        contracts.currency,
        cast(
            floor(summed.planned_base_s * (1 - coalesce(contracts.sla_target_ratio, policies.threshold_ratio))) as bigint
        ) as allowed_down_s
    from summed
    inner join contracts on summed.contract_id = contracts.contract_id
    inner join policies on summed.policy_id = policies.policy_id
)

select
    judged.contract_id,
    judged.site_id,
    judged.station_id,
    judged.owner_id,
    judged.operator_id,
    judged.policy_id,
    judged.period_kind,
    judged.period_start,
    judged.period_end,
    judged.is_own_window,
    judged.window_s < judged.full_s as is_partial,
    cast(judged.port_count as bigint) as port_count,
    judged.base_s,
    judged.down_s,
    judged.excluded_s,
    judged.net_down_s,
    judged.unknown_s,
    judged.uptime_ratio,
    judged.target_ratio,
    case
        when judged.target_ratio is null or judged.base_s <= 0 then null
        else {{ meets('judged.net_down_s', 'judged.base_s', 'judged.target_ratio', 'judged.target_operator') }}
    end as is_met,
    case
        when judged.target_ratio is null then 'not_applicable'
        when judged.base_s <= 0 then 'not_assessable'
        when not {{ meets('judged.net_down_s', 'judged.certain_base_s', 'judged.target_ratio', 'judged.target_operator') }}
            then 'not_met'
        when {{ meets(
            '(judged.net_down_s + judged.lacking_s)', 'judged.certain_base_s', 'judged.target_ratio', 'judged.target_operator'
        ) }}
            then 'met'
        else 'not_assessable'
    end as verdict,
    judged.allowed_down_s,
    judged.allowed_down_s - judged.net_down_s as budget_left_s,
    cast(judged.net_down_s as double) / nullif(judged.allowed_down_s, 0) as budget_used_ratio,
    (cast(judged.net_down_s as double) / nullif(judged.allowed_down_s, 0))
    / nullif(cast(judged.base_s as double) / nullif(judged.planned_base_s, 0), 0) as burn_rate_ratio,
    case
        when
            judged.window_s < judged.full_s
            and judged.net_down_s > 0
            and judged.allowed_down_s >= judged.net_down_s
            and {{ days_to_breach('judged') }} < (judged.period_end - horizon.horizon_on)
            then horizon.horizon_on + cast(floor({{ days_to_breach('judged') }}) as integer)
    end as projected_breach_on,
    judged.sla_credit_per_percent_point,
    case
        when judged.is_own_window and judged.window_s = judged.full_s and judged.base_s > 0
            then {{ sla_credit('judged') }}
    end as sla_credit_net,
    -- what would be due if the window ended now; no claim before it does
    case
        when judged.is_own_window and judged.window_s < judged.full_s and judged.base_s > 0
            then {{ sla_credit('judged') }}
    end as sla_credit_accrued_net,
    judged.currency
from judged
cross join horizon
