{# One row is one policy's figure for one subject (port, site, owner, operator, network) and one window. #}
with units as (
    select *
    from {{ ref('int_sla_unit_period') }}
),

policies as (
    select *
    from {{ ref('dim_sla_policy') }}
),

ports as (
    select *
    from {{ ref('int_sla_port') }}
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

horizon as (
    select max({{ local_date('horizon_at', 'time_zone') }}) as horizon_on
    from ports
),

members as (
    select
        units.policy_id,
        grains.grain,
        case grains.grain
            when 'port' then units.port_id
            when 'site' then units.site_id
            when 'owner' then units.owner_id
            when 'operator' then units.operator_id
            else 'network'
        end as subject_id,
        units.period_kind,
        units.period_start,
        units.period_end,
        units.is_own_window,
        units.port_count,
        case when units.port_id is null then 0 else 1 end as is_port_unit,
        units.max_power_kw,
        units.full_s,
        units.window_s,
        units.in_scope_s,
        units.down_s,
        units.excluded_s,
        units.over_cap_s,
        units.unknown_s,
        units.silent_s,
        units.elapsed_base_s,
        units.base_s,
        units.gross_base_s,
        units.planned_base_s,
        units.lacking_s,
        units.certain_base_s
    from units
    inner join policies on units.policy_id = policies.policy_id
    inner join grains
        on
            case
                -- a port's windows are the months and the policy's own; there are many ports
                when grains.grain = 'port'
                    then units.port_id is not null and (units.is_own_window or units.period_kind = 'month')
                when policies.grain in ('site_any', 'site_all') then units.port_id is null
                else units.port_id is not null
            end
),

summed as (
    select
        policy_id,
        grain,
        subject_id,
        period_kind,
        period_start,
        period_end,
        max(case when is_own_window then 1 else 0 end) = 1 as is_own_window,
        cast(sum(port_count) as bigint) as port_count,
        count(*) as unit_count,
        cast(sum(full_s) as bigint) as full_s,
        cast(sum(window_s) as bigint) as window_s,
        cast(sum(in_scope_s) as bigint) as in_scope_s,
        cast(sum(down_s) as bigint) as down_s,
        cast(sum(excluded_s) as bigint) as excluded_s,
        cast(sum(over_cap_s) as bigint) as over_cap_s,
        cast(sum(unknown_s) as bigint) as unknown_s,
        cast(sum(silent_s) as bigint) as silent_s,
        cast(sum(elapsed_base_s) as bigint) as elapsed_base_s,
        cast(sum(base_s) as bigint) as base_s,
        cast(sum(gross_base_s) as bigint) as gross_base_s,
        cast(sum(planned_base_s) as bigint) as planned_base_s,
        cast(sum(lacking_s) as bigint) as lacking_s,
        cast(sum(certain_base_s) as bigint) as certain_base_s,
        avg({{ uptime('down_s - excluded_s', 'base_s') }}) as mean_ratio,
        avg({{ uptime('down_s', 'gross_base_s') }}) as mean_gross_ratio,
        {{ uptime('sum(max_power_kw * (down_s - excluded_s))', 'sum(max_power_kw * base_s)') }} as power_ratio,
        {{ uptime('sum(max_power_kw * down_s)', 'sum(max_power_kw * gross_base_s)') }} as power_gross_ratio
    from members
    group by policy_id, grain, subject_id, period_kind, period_start, period_end
),

judged as (
    select
        summed.policy_id,
        policies.version as policy_version,
        summed.grain,
        summed.subject_id,
        summed.period_kind,
        summed.period_start,
        summed.period_end,
        summed.is_own_window,
        policies.grain = summed.grain
        or (policies.grain = 'evse' and summed.grain = 'port')
        or (policies.grain in ('site_any', 'site_all') and summed.grain = 'site') as is_own_grain,
        summed.port_count,
        summed.unit_count,
        summed.full_s,
        summed.window_s,
        summed.in_scope_s,
        summed.down_s,
        summed.excluded_s,
        summed.over_cap_s,
        summed.unknown_s,
        summed.silent_s,
        summed.elapsed_base_s,
        summed.base_s,
        summed.planned_base_s,
        summed.lacking_s,
        summed.certain_base_s,
        case
            when summed.base_s <= 0 then null
            when policies.aggregate = 'simple_mean' then summed.mean_ratio
            when policies.aggregate = 'power_weighted' then summed.power_ratio
            else {{ uptime('summed.down_s - summed.excluded_s', 'summed.base_s') }}
        end as uptime_ratio,
        case
            when summed.gross_base_s <= 0 then null
            when policies.aggregate = 'simple_mean' then summed.mean_gross_ratio
            when policies.aggregate = 'power_weighted' then summed.power_gross_ratio
            else {{ uptime('summed.down_s', 'summed.gross_base_s') }}
        end as uptime_ratio_without_exclusions,
        case
            when summed.elapsed_base_s > 0
                then {{ uptime('summed.down_s - summed.excluded_s', 'summed.elapsed_base_s') }}
        end as uptime_ratio_elapsed_base,
        policies.threshold_ratio as target_ratio,
        policies.threshold_op as target_operator,
        policies.aggregate in ('simple_mean', 'power_weighted') and summed.unit_count > 1 as is_weighted_otherwise,
        summed.down_s - summed.excluded_s as net_down_s,
        cast(floor(summed.planned_base_s * (1 - policies.threshold_ratio)) as bigint) as allowed_down_s
    from summed
    inner join policies on summed.policy_id = policies.policy_id
)

select
    judged.policy_id,
    judged.policy_version,
    judged.grain,
    judged.subject_id,
    judged.period_kind,
    judged.period_start,
    judged.period_end,
    judged.is_own_window,
    judged.is_own_grain,
    judged.window_s < judged.full_s as is_partial,
    judged.port_count,
    judged.window_s,
    judged.in_scope_s - judged.down_s - judged.unknown_s as up_s,
    judged.down_s,
    judged.excluded_s,
    judged.net_down_s,
    judged.over_cap_s,
    judged.unknown_s,
    judged.window_s - judged.in_scope_s as out_of_scope_s,
    judged.silent_s,
    judged.base_s,
    judged.elapsed_base_s,
    judged.uptime_ratio,
    judged.uptime_ratio_without_exclusions,
    judged.uptime_ratio_elapsed_base,
    judged.target_ratio,
    judged.target_operator,
    case
        when judged.target_ratio is null or judged.port_count = 0 or judged.base_s <= 0 then null
        when judged.is_weighted_otherwise and judged.target_operator = '>' then judged.uptime_ratio > judged.target_ratio
        when judged.is_weighted_otherwise then judged.uptime_ratio >= judged.target_ratio
        else {{ meets('judged.net_down_s', 'judged.base_s', 'judged.target_ratio', 'judged.target_operator') }}
    end as is_met,
    case
        when judged.target_ratio is null or judged.port_count = 0 then 'not_applicable'
        when judged.base_s <= 0 then 'not_assessable'
        when judged.is_weighted_otherwise and judged.lacking_s > 0 then 'not_assessable'
        when judged.is_weighted_otherwise and judged.target_operator = '>'
            then case when judged.uptime_ratio > judged.target_ratio then 'met' else 'not_met' end
        when judged.is_weighted_otherwise
            then case when judged.uptime_ratio >= judged.target_ratio then 'met' else 'not_met' end
        -- missed even if all that is not known were up
        when not {{ meets('judged.net_down_s', 'judged.certain_base_s', 'judged.target_ratio', 'judged.target_operator') }}
            then 'not_met'
        -- met even if all that is not known were down
        when {{ meets(
            '(judged.net_down_s + judged.lacking_s)', 'judged.certain_base_s', 'judged.target_ratio', 'judged.target_operator'
        ) }}
            then 'met'
        else 'not_assessable'
    end as verdict,
    judged.allowed_down_s,
    judged.allowed_down_s - judged.net_down_s as budget_left_s,
    cast(judged.net_down_s as double) / nullif(judged.allowed_down_s, 0) as budget_used_ratio,
    -- share of the budget used against share of the window gone: above 1 the budget does not last
    (cast(judged.net_down_s as double) / nullif(judged.allowed_down_s, 0))
    / nullif(cast(judged.base_s as double) / nullif(judged.planned_base_s, 0), 0) as burn_rate_ratio,
    case
        when
            judged.window_s < judged.full_s
            and judged.net_down_s > 0
            and judged.allowed_down_s >= judged.net_down_s
            and {{ days_to_breach('judged') }} < (judged.period_end - horizon.horizon_on)
            then horizon.horizon_on + cast(floor({{ days_to_breach('judged') }}) as integer)
    end as projected_breach_on
from judged
cross join horizon
