{# One row is one visit: the attempts that a driver makes at a site one after the other. #}
{# Attempts of one token at one site belong together up to a pause of half an hour. An attempt without a token belongs to
   the driver of the next attempt on its port, or else of the last one, if the pause is two minutes at most; attempts
   without any token on the same port make a visit up to that pause. #}
{% set in_order = 'order by started_at, attempt_id' %}
with attempts as (
    select * from {{ ref('fct_charge_attempt') }}
),

stations as (
    select * from {{ ref('dim_station') }}
),

timed as (
    select
        *,
        coalesce(ended_at, {{ plus_seconds('started_at', 'coalesce(duration_s, 0)') }}) as known_until_at,
        -- an attempt that no port is known of stands for itself
        coalesce(port_id, 'attempt ' || attempt_id) as place
    from attempts
),

-- Attempts on one port that follow each other within the short pause, whoever makes them.
paused as (
    select
        *,
        case
            when {{ seconds_between(
                'max(known_until_at) over (partition by place ' ~ in_order
                ~ ' rows between unbounded preceding and 1 preceding)',
                'started_at'
            ) }} <= {{ var('visit_anonymous_gap_s') }} then 0
            else 1
        end as is_new_on_port
    from timed
),

chained as (
    select
        *,
        sum(is_new_on_port) over (
            partition by place {{ in_order }} rows between unbounded preceding and current row
        ) as chain_number
    from paused
),

named as (
    select
        *,
        coalesce(
            id_token_hash,
            {{ last_known(
                'id_token_hash', 'partition by place, chain_number order by started_at desc, attempt_id desc'
            ) }},
            {{ last_known('id_token_hash', 'partition by place, chain_number ' ~ in_order) }}
        ) as driver
    from chained
),

grouped as (
    select
        *,
        case when driver is null then place else 'token ' || driver end as visitor,
        case when driver is null then {{ var('visit_anonymous_gap_s') }} else {{ var('visit_gap_s') }} end as most_gap_s
    from named
),

begun as (
    select
        *,
        case
            when {{ seconds_between(
                'max(known_until_at) over (partition by site_id, visitor ' ~ in_order
                ~ ' rows between unbounded preceding and 1 preceding)',
                'started_at'
            ) }} <= most_gap_s then 0
            else 1
        end as is_new
    from grouped
),

numbered as (
    select
        *,
        sum(is_new) over (
            partition by site_id, visitor {{ in_order }} rows between unbounded preceding and current row
        ) as visit_number
    from begun
),

visits as (
    select
        site_id,
        visitor,
        visit_number,
        min(owner_id) as owner_id,
        min(operator_id) as operator_id,
        min(station_id) as station_id,
        min_by(port_id, started_at) filter (where port_id is not null) as first_port_id,
        min(driver) as id_token_hash,
        min(started_at) as started_at,
        max(known_until_at) as known_until_at,
        case when max(case when ended_at is null then 1 else 0 end) = 0 then max(ended_at) end as ended_at,
        count(*) as attempt_count,
        count(session_id) as session_count,
        sum(energy_kwh) as energy_kwh,
        max(case when is_success then 1 when not is_success then 0 end) as best,
        max(case when is_success is null then 1 else 0 end) as has_undecided,
        min(case when is_start_observed then 1 else 0 end) as is_start_observed
    from numbered
    group by site_id, visitor, visit_number
),

-- The first and the last attempt by time; of two at the same instant by id.
ranked as (
    select
        site_id,
        visitor,
        visit_number,
        is_success,
        row_number() over (partition by site_id, visitor, visit_number {{ in_order }}) as attempt_number,
        row_number() over (
            partition by site_id, visitor, visit_number order by started_at desc, attempt_id desc
        ) as attempts_left_count
    from numbered
),

first_and_last as (
    select
        site_id,
        visitor,
        visit_number,
        max(case when attempt_number = 1 and is_success then 1 when attempt_number = 1 and not is_success then 0 end)
            as first_success,
        max(
            case
                when attempts_left_count = 1 and is_success then 1
                when attempts_left_count = 1 and not is_success then 0
            end
        ) as last_success
    from ranked
    group by site_id, visitor, visit_number
)

select
    md5(concat_ws('|', visits.site_id, visits.visitor, {{ instant_text('visits.started_at') }})) as visit_id,
    visits.site_id,
    visits.owner_id,
    visits.operator_id,
    visits.first_port_id,
    visits.id_token_hash,
    visits.started_at,
    visits.ended_at,
    cast(visits.attempt_count as bigint) as attempt_count,
    cast(visits.session_count as bigint) as session_count,
    cast(visits.energy_kwh as decimal(18, 6)) as energy_kwh,
    visits.is_start_observed = 1 as is_start_observed,
    case
        when visits.best = 1 then true
        when visits.has_undecided = 0 then false
    end as is_success,
    first_and_last.first_success = 1 as is_first_time_success,
    first_and_last.last_success = 1 as is_last_attempt_success,
    {{ local_date('visits.known_until_at', 'coalesce(stations.time_zone, ' ~ default_time_zone() ~ ')') }} as local_date,
    cast(date_trunc(
        'month',
        {{ local_date('visits.known_until_at', 'coalesce(stations.time_zone, ' ~ default_time_zone() ~ ')') }}
    ) as date) as local_month
from visits
inner join first_and_last
    on
        visits.site_id = first_and_last.site_id
        and visits.visitor = first_and_last.visitor
        and visits.visit_number = first_and_last.visit_number
left join stations on visits.station_id = stations.station_id
