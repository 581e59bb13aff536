{# One row is one port and one local month, with the seconds of that month: in all, so far, in service, open. #}
with ports as (
    select *
    from {{ ref('int_sla_port') }}
),

openings as (
    select *
    from {{ ref('int_sla_open') }}
),

site_months as (
    select distinct
        site_id,
        time_zone,
        first_month,
        last_month
    from ports
),

months as (
    select
        site_id,
        time_zone,
        first_month,
        last_month,
        cast({{ months_between_dates('first_month', 'last_month') }} as date) as local_month
    from site_months
),

bounded as (
    select
        site_id,
        first_month,
        last_month,
        time_zone,
        local_month,
        {{ local_midnight('local_month', 'time_zone') }} as month_starts_at,
        {{ local_midnight(plus_months('local_month', '1'), 'time_zone') }} as month_ends_at
    from months
),

served as (
    select
        ports.port_id,
        ports.site_id,
        bounded.local_month,
        bounded.month_starts_at,
        bounded.month_ends_at,
        greatest(bounded.month_starts_at, ports.in_service_from_at) as served_from_at,
        -- so far, and as far as is planned
        least(bounded.month_ends_at, ports.in_service_until_at) as served_until_at,
        least(bounded.month_ends_at, coalesce(ports.decommissioned_at, bounded.month_ends_at)) as planned_until_at,
        ports.horizon_at
    from ports
    inner join bounded
        on
            ports.site_id = bounded.site_id
            and ports.time_zone = bounded.time_zone
            and ports.first_month = bounded.first_month
            and ports.last_month = bounded.last_month
),

-- only sites that ever close
opened as (
    select
        served.port_id,
        served.local_month,
        sum({{ shared_seconds('served.served_from_at', 'served.served_until_at', 'openings.started_at', 'openings.ended_at') }})
            as open_s,
        sum({{ shared_seconds('served.served_from_at', 'served.planned_until_at', 'openings.started_at', 'openings.ended_at') }})
            as planned_open_s
    from served
    inner join openings
        on
            served.site_id = openings.site_id
            and served.month_starts_at < openings.ended_at
            and served.month_ends_at > openings.started_at
    group by served.port_id, served.local_month
),

closing_sites as (
    select distinct site_id
    from openings
)

select
    served.port_id,
    served.local_month,
    served.month_starts_at,
    served.month_ends_at,
    cast({{ seconds_between('served.month_starts_at', 'served.month_ends_at') }} as bigint) as full_s,
    cast({{ shared_seconds(
        'served.month_starts_at', 'served.month_ends_at', 'served.month_starts_at', 'served.horizon_at'
    ) }} as bigint) as window_s,
    cast(greatest(0, {{ seconds_between('served.served_from_at', 'served.served_until_at') }}) as bigint) as in_service_s,
    cast(greatest(0, {{ seconds_between('served.served_from_at', 'served.planned_until_at') }}) as bigint) as planned_s,
    cast(case
        when closing_sites.site_id is not null then coalesce(opened.open_s, 0)
        else greatest(0, {{ seconds_between('served.served_from_at', 'served.served_until_at') }})
    end as bigint) as open_s,
    cast(case
        when closing_sites.site_id is not null then coalesce(opened.planned_open_s, 0)
        else greatest(0, {{ seconds_between('served.served_from_at', 'served.planned_until_at') }})
    end as bigint) as planned_open_s
from served
left join opened on served.port_id = opened.port_id and served.local_month = opened.local_month
left join closing_sites on served.site_id = closing_sites.site_id
