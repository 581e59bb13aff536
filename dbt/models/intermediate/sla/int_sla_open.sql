{# One row is one time a site was or will be open, of sites that ever close; the times of a site do not touch. #}
with hours as (
    select *
    from {{ ref('int_sla_opening_hours') }}
),

ports as (
    select *
    from {{ ref('int_sla_port') }}
),

sites as (
    select
        site_id,
        min(time_zone) as time_zone,
        min(first_month) as first_month,
        max(last_month) as last_month
    from ports
    group by site_id
),

closing_sites as (
    select distinct site_id
    from hours
),

wanted as (
    select
        sites.site_id,
        sites.time_zone,
        sites.first_month,
        sites.last_month
    from sites
    inner join closing_sites on sites.site_id = closing_sites.site_id
),

days as (
    select
        site_id,
        time_zone,
        cast({{ dates_between("first_month - interval '1' day", "last_month + interval '31' day") }} as date) as local_date
    from wanted
),

openings as (
    select
        days.site_id,
        {{ instant_on_clock(
            "(cast(days.local_date as timestamp) + hours.opens_min * interval '1' minute)", 'days.time_zone'
        ) }} as started_at,
        {{ instant_on_clock(
            "(cast(days.local_date as timestamp) + hours.closes_min * interval '1' minute)", 'days.time_zone'
        ) }} as ended_at
    from days
    inner join hours
        on days.site_id = hours.site_id and {{ monday_first('days.local_date') }} = hours.weekday_number
    where hours.closes_min > hours.opens_min
),

marked as (
    select
        site_id,
        started_at,
        ended_at,
        max(ended_at) over (
            partition by site_id
            order by started_at, ended_at
            rows between unbounded preceding and 1 preceding
        ) as open_until_at
    from openings
),

numbered as (
    select
        site_id,
        started_at,
        ended_at,
        sum(case when open_until_at >= started_at then 0 else 1 end) over (
            partition by site_id
            order by started_at, ended_at
            rows between unbounded preceding and current row
        ) as opening_number
    from marked
)

select
    site_id,
    min(started_at) as started_at,
    max(ended_at) as ended_at
from numbered
group by site_id, opening_number
