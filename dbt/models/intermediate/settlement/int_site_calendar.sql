{# One row is one site in one local month that is settled: from the first that anything is known of it to the one that
   the data speak up to. #}
{# Months are closed some days after their end. The month in progress has fixed amounts for its days so far only. #}
with sites as (
    select * from {{ ref('dim_site') }}
),

ports as (
    select * from {{ ref('dim_port') }}
),

states as (
    select * from {{ ref('int_port_state_day') }}
),

charges as (
    select * from {{ ref('int_charges') }}
),

cdrs as (
    select * from {{ ref('fct_cdr') }}
),

as_of as (
    select * from {{ ref('int_as_of') }}
),

known_days as (
    select
        coalesce(ports.site_id, 'unmapped') as site_id,
        states.local_date
    from states
    left join ports on states.port_id = ports.port_id
    union all
    select
        site_id,
        local_date
    from charges
    union all
    select
        site_id,
        local_date
    from cdrs
),

-- Without CDRs and sessions the logs tell how far the data speak.
last_days as (
    select max(local_date) as local_date
    from states
),

clocks as (
    select
        sites.site_id,
        coalesce({{ settlement_day('as_of.as_of_at', 'sites.time_zone') }}, last_days.local_date) as as_of_on
    from sites
    cross join as_of
    cross join last_days
),

-- A time that lies ahead is a wrong clock, and must not open years of months.
spans as (
    select
        clocks.site_id,
        clocks.as_of_on,
        {{ month_of('min(known_days.local_date)') }} as first_month
    from clocks
    inner join known_days on clocks.site_id = known_days.site_id
    where known_days.local_date <= clocks.as_of_on
    group by clocks.site_id, clocks.as_of_on
),

months as (
    select
        site_id,
        as_of_on,
        cast({{ months_between('first_month', month_of('as_of_on')) }} as date) as local_month
    from spans
),

ends as (
    select
        site_id,
        as_of_on,
        local_month,
        {{ month_after('local_month') }} as next_month
    from months
),

dated as (
    select
        site_id,
        as_of_on,
        local_month,
        next_month,
        {{ days_from_to('local_month', 'next_month') }} as day_count,
        {{ days_from_to('next_month', 'as_of_on') }} >= {{ close_after_days() }} and as_of_on >= next_month as is_due
    from ends
)

select
    site_id,
    local_month,
    next_month,
    as_of_on,
    cast(least(next_month, as_of_on + interval '1' day) as date) as accrued_until,
    day_count,
    is_due
from dated
