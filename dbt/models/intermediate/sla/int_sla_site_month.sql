{# One row is one site under one policy that judges sites as a whole, in one local month, with the seconds in which any port
   (site_any) or every port (site_all) was up. #}
{# site_any: down while every port in service is down, excused if an excused one is among them. site_all: down while some
   port is down, excused if all of those are. Unknown where the ports known do not decide it. #}
with downtime as (
    select *
    from {{ ref('int_sla_downtime') }}
    where counts_as in ('down', 'excluded', 'unknown', 'out_of_scope')
),

calendar as (
    select *
    from {{ ref('int_sla_calendar') }}
),

openings as (
    select *
    from {{ ref('int_sla_open') }}
),

ports as (
    select *
    from {{ ref('int_sla_port') }}
),

policies as (
    select *
    from {{ ref('dim_sla_policy') }}
    where grain in ('site_any', 'site_all')
),

members as (
    select
        policies.policy_id,
        policies.grain,
        policies.base_type,
        ports.port_id,
        ports.site_id,
        ports.time_zone,
        ports.in_service_from_at,
        ports.in_service_until_at,
        ports.first_month
    from policies
    inner join ports on {{ in_scope('policies', 'ports') }}
),

edges as (
    -- in service
    select policy_id, site_id, in_service_from_at as point_at, 1 as served, 0 as down, 0 as excused, 0 as unknown, 0 as opened
    from members
    union all
    select policy_id, site_id, in_service_until_at as point_at, -1 as served, 0 as down, 0 as excused, 0 as unknown, 0 as opened
    from members
    {%- for edge, sign in [('started_at', 1), ('ended_at', -1)] %}
    union all
    select
        members.policy_id,
        members.site_id,
        downtime.{{ edge }} as point_at,
        case when downtime.counts_as = 'out_of_scope' then -1 * ({{ sign }}) else 0 end as served,
        case when downtime.counts_as in ('down', 'excluded') then {{ sign }} else 0 end as down,
        case when downtime.counts_as = 'excluded' then {{ sign }} else 0 end as excused,
        case when downtime.counts_as = 'unknown' then {{ sign }} else 0 end as unknown,
        0 as opened
    from downtime
    inner join members on downtime.policy_id = members.policy_id and downtime.port_id = members.port_id
    union all
    select distinct
        members.policy_id,
        members.site_id,
        openings.{{ edge }} as point_at,
        0 as served,
        0 as down,
        0 as excused,
        0 as unknown,
        {{ sign }} as opened
    from openings
    inner join members on openings.site_id = members.site_id and members.base_type = 'open_hours'
    {%- endfor %}
    union all
    -- cut at the ends of months
    select distinct
        members.policy_id,
        members.site_id,
        calendar.month_starts_at as point_at,
        0 as served,
        0 as down,
        0 as excused,
        0 as unknown,
        0 as opened
    from calendar
    inner join members on calendar.port_id = members.port_id
),

instants as (
    select
        policy_id,
        site_id,
        point_at,
        sum(served) as served,
        sum(down) as down,
        sum(excused) as excused,
        sum(unknown) as unknown,
        sum(opened) as opened
    from edges
    group by policy_id, site_id, point_at
),

running as (
    select
        policy_id,
        site_id,
        point_at as started_at,
        lead(point_at) over (partition by policy_id, site_id order by point_at) as ended_at,
        sum(served) over (partition by policy_id, site_id order by point_at) as served_count,
        sum(down) over (partition by policy_id, site_id order by point_at) as down_count,
        sum(excused) over (partition by policy_id, site_id order by point_at) as excused_count,
        sum(unknown) over (partition by policy_id, site_id order by point_at) as unknown_count,
        sum(opened) over (partition by policy_id, site_id order by point_at) as open_count
    from instants
),

sites as (
    select
        policy_id,
        site_id,
        min(grain) as grain,
        min(base_type) as base_type,
        min(time_zone) as time_zone,
        min(first_month) as first_month
    from members
    group by policy_id, site_id
),

closing_sites as (
    select distinct site_id
    from openings
),

judged as (
    select
        running.policy_id,
        running.site_id,
        {{ month_start(local_date('running.started_at', 'sites.time_zone')) }} as local_month,
        {{ seconds_between('running.started_at', 'running.ended_at') }} as duration_s,
        case
            when
                sites.grain = 'site_any'
                and running.down_count = running.served_count
                and running.excused_count > 0
                then 'excluded'
            when sites.grain = 'site_any' and running.down_count = running.served_count then 'down'
            when sites.grain = 'site_any' and running.down_count + running.unknown_count = running.served_count then 'unknown'
            when sites.grain = 'site_any' then 'up'
            when running.down_count > running.excused_count then 'down'
            when running.down_count > 0 then 'excluded'
            when running.unknown_count > 0 then 'unknown'
            else 'up'
        end as counts_as
    from running
    inner join sites on running.policy_id = sites.policy_id and running.site_id = sites.site_id
    left join closing_sites on running.site_id = closing_sites.site_id
    where
        running.served_count > 0
        and running.ended_at is not null
        and running.started_at >= {{ local_midnight('sites.first_month', 'sites.time_zone') }}
        and (sites.base_type <> 'open_hours' or closing_sites.site_id is null or running.open_count > 0)
)

select
    policy_id,
    site_id,
    local_month,
    cast(sum(duration_s) as bigint) as in_scope_s,
    cast(sum(case when counts_as in ('down', 'excluded') then duration_s else 0 end) as bigint) as down_s,
    cast(sum(case when counts_as = 'excluded' then duration_s else 0 end) as bigint) as excluded_s,
    cast(sum(case when counts_as = 'unknown' then duration_s else 0 end) as bigint) as unknown_s
from judged
group by policy_id, site_id, local_month
