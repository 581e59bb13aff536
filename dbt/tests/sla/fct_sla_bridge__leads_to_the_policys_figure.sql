-- Rows returned are figures that the last step of their way does not reach to the second.
with last_steps as (
    select
        policy_id,
        grain,
        subject_id,
        period_kind,
        period_start,
        max_by(net_down_s, step_number) as net_down_s,
        max_by(base_s, step_number) as base_s,
        sum(down_change_s) as summed_down_s
    from {{ ref('fct_sla_bridge') }}
    group by policy_id, grain, subject_id, period_kind, period_start
)

select
    figures.policy_id,
    figures.grain,
    figures.subject_id,
    figures.period_kind,
    figures.period_start,
    figures.net_down_s,
    last_steps.net_down_s as bridged_down_s,
    figures.base_s,
    last_steps.base_s as bridged_base_s
from {{ ref('fct_sla') }} as figures
inner join last_steps
    on
        figures.policy_id = last_steps.policy_id
        and figures.grain = last_steps.grain
        and figures.subject_id = last_steps.subject_id
        and figures.period_kind = last_steps.period_kind
        and figures.period_start = last_steps.period_start
where
    figures.net_down_s <> last_steps.net_down_s
    or figures.net_down_s <> last_steps.summed_down_s
    or figures.base_s <> last_steps.base_s
