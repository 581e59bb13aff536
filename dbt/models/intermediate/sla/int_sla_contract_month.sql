{# One row is one contract, one port under it and one local month, with the seconds that its policy counts while the port is
   under the contract. #}
with port_contracts as (
    select *
    from {{ ref('int_sla_port_contract') }}
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

calendar as (
    select *
    from {{ ref('int_sla_calendar') }}
),

openings as (
    select *
    from {{ ref('int_sla_open') }}
),

downtime as (
    select *
    from {{ ref('int_sla_downtime') }}
    where counts_as <> 'up'
),

closing_sites as (
    select distinct site_id
    from openings
),

under as (
    select
        port_contracts.contract_id,
        contracts.sla_policy_id as policy_id,
        policies.base_type,
        ports.port_id,
        ports.site_id,
        calendar.local_month,
        calendar.month_starts_at,
        calendar.month_ends_at,
        greatest(calendar.month_starts_at, port_contracts.valid_from_at) as from_at,
        least(calendar.month_ends_at, coalesce(port_contracts.valid_to_at, calendar.month_ends_at)) as to_at,
        greatest(calendar.month_starts_at, port_contracts.valid_from_at, ports.in_service_from_at) as served_from_at,
        least(
            calendar.month_ends_at, coalesce(port_contracts.valid_to_at, calendar.month_ends_at), ports.in_service_until_at
        ) as served_until_at,
        least(
            calendar.month_ends_at,
            coalesce(port_contracts.valid_to_at, calendar.month_ends_at),
            coalesce(ports.decommissioned_at, calendar.month_ends_at)
        ) as planned_until_at,
        ports.horizon_at,
        closing_sites.site_id is not null and policies.base_type = 'open_hours' as has_hours
    from port_contracts
    inner join contracts on port_contracts.contract_id = contracts.contract_id
    inner join policies on contracts.sla_policy_id = policies.policy_id
    inner join ports on port_contracts.port_id = ports.port_id and {{ in_scope('policies', 'ports') }}
    inner join calendar on ports.port_id = calendar.port_id
    left join closing_sites on ports.site_id = closing_sites.site_id
    where
        port_contracts.valid_from_at < calendar.month_ends_at
        and coalesce(port_contracts.valid_to_at, calendar.month_ends_at) > calendar.month_starts_at
),

opened as (
    select
        under.contract_id,
        under.port_id,
        under.from_at,
        sum({{ shared_seconds('under.served_from_at', 'under.served_until_at', 'openings.started_at', 'openings.ended_at') }})
            as open_s,
        sum({{ shared_seconds('under.served_from_at', 'under.planned_until_at', 'openings.started_at', 'openings.ended_at') }})
            as planned_open_s
    from under
    inner join openings
        on
            under.has_hours
            and under.site_id = openings.site_id
            and under.from_at < openings.ended_at
            and under.to_at > openings.started_at
    group by under.contract_id, under.port_id, under.from_at
),

counted as (
    select
        under.contract_id,
        under.port_id,
        under.from_at,
        sum(case
            when downtime.counts_as in ('down', 'excluded')
                then {{ shared_seconds('under.from_at', 'under.to_at', 'downtime.started_at', 'downtime.ended_at') }}
            else 0
        end) as down_s,
        sum(case
            when downtime.counts_as = 'excluded'
                then {{ shared_seconds('under.from_at', 'under.to_at', 'downtime.started_at', 'downtime.ended_at') }}
            else 0
        end) as excluded_s,
        sum(case
            when downtime.counts_as = 'unknown'
                then {{ shared_seconds('under.from_at', 'under.to_at', 'downtime.started_at', 'downtime.ended_at') }}
            else 0
        end) as unknown_s,
        sum(case
            when downtime.counts_as = 'out_of_scope' and not (downtime.is_closed and under.has_hours)
                then {{ shared_seconds('under.from_at', 'under.to_at', 'downtime.started_at', 'downtime.ended_at') }}
            else 0
        end) as removed_s
    from under
    inner join downtime
        on
            under.policy_id = downtime.policy_id
            and under.port_id = downtime.port_id
            and under.local_month = downtime.local_month
    group by under.contract_id, under.port_id, under.from_at
)

select
    under.contract_id,
    under.policy_id,
    under.port_id,
    under.local_month,
    cast(sum({{ seconds_between('under.from_at', 'under.to_at') }}) as bigint) as full_s,
    cast(sum({{ shared_seconds('under.from_at', 'under.to_at', 'under.from_at', 'under.horizon_at') }}) as bigint) as window_s,
    cast(sum(
        case
            when under.has_hours then coalesce(opened.open_s, 0)
            else greatest(0, {{ seconds_between('under.served_from_at', 'under.served_until_at') }})
        end
        - coalesce(counted.removed_s, 0)
    ) as bigint) as in_scope_s,
    cast(sum(
        case
            when under.has_hours then coalesce(opened.planned_open_s, 0)
            else greatest(0, {{ seconds_between('under.served_from_at', 'under.planned_until_at') }})
        end
        - coalesce(counted.removed_s, 0)
    ) as bigint) as planned_s,
    cast(sum(coalesce(counted.down_s, 0)) as bigint) as down_s,
    cast(sum(coalesce(counted.excluded_s, 0)) as bigint) as excluded_s,
    cast(sum(coalesce(counted.unknown_s, 0)) as bigint) as unknown_s
from under
left join opened
    on under.contract_id = opened.contract_id and under.port_id = opened.port_id and under.from_at = opened.from_at
left join counted
    on under.contract_id = counted.contract_id and under.port_id = counted.port_id and under.from_at = counted.from_at
group by under.contract_id, under.policy_id, under.port_id, under.local_month
