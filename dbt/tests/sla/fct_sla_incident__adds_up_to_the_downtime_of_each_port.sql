-- Rows returned are ports whose incidents do not add up to their downtime: what a regulator's list of outages would miss.
with incidents as (
    select
        policy_id,
        port_id,
        sum(down_s) as down_s,
        sum(excluded_s) as excluded_s
    from {{ ref('fct_sla_incident') }}
    group by policy_id, port_id
),

months as (
    select
        policy_id,
        port_id,
        sum(down_s) as down_s,
        sum(excluded_s) as excluded_s
    from {{ ref('int_sla_port_month') }}
    group by policy_id, port_id
)

select
    months.policy_id,
    months.port_id,
    months.down_s,
    incidents.down_s as incident_down_s
from months
left join incidents on months.policy_id = incidents.policy_id and months.port_id = incidents.port_id
where
    months.down_s <> coalesce(incidents.down_s, 0)
    or months.excluded_s <> coalesce(incidents.excluded_s, 0)
