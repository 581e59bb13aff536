{# One row is one session in one quarter hour (UTC): the energy it took then. #}
with sessions as (
    select * from {{ ref('int_sessions') }}
),

energy as (
    select * from {{ ref('int_session_energy') }}
),

samples as (
    select * from {{ ref('int_session_samples') }}
),

drawn as (
    select
        energy.session_id,
        sessions.site_id,
        energy.started_at,
        coalesce(energy.stopped_at, energy.last_seen_at) as until_at,
        energy.meter_start_wh,
        energy.meter_stop_wh,
        energy.energy_kwh,
        energy.energy_method,
        energy.is_counted_from_start
    from energy
    inner join sessions on energy.session_id = sessions.session_id
    where energy.energy_kwh > 0
),

metered as (
    select
        drawn.session_id,
        samples.sampled_at as point_at,
        samples.register_wh
    from drawn
    inner join samples on drawn.session_id = samples.session_id
    where samples.register_wh is not null
),

ranges as (
    select
        session_id,
        min(point_at) as first_at,
        max(point_at) as last_at,
        min(register_wh) as lowest_wh,
        max(register_wh) as highest_wh
    from metered
    group by session_id
),

-- Start and stop are points of the same curve if the samples lie between their registers; a station that mixes a
-- lifetime register with one per session fails this.
bracketed as (
    select
        drawn.session_id,
        drawn.started_at,
        drawn.until_at,
        drawn.meter_start_wh,
        drawn.meter_stop_wh,
        drawn.energy_method,
        ranges.first_at,
        ranges.last_at
    from drawn
    inner join ranges on drawn.session_id = ranges.session_id
    where
        drawn.is_counted_from_start
        and drawn.meter_start_wh <= ranges.lowest_wh
        and coalesce(drawn.meter_stop_wh >= ranges.highest_wh, true)
),

points as (
    select
        session_id,
        point_at,
        register_wh
    from metered
    union all
    select
        session_id,
        started_at as point_at,
        meter_start_wh as register_wh
    from bracketed
    where started_at < first_at
    union all
    select
        session_id,
        until_at as point_at,
        meter_stop_wh as register_wh
    from bracketed
    where energy_method = 'register' and until_at > last_at
),

steps as (
    select
        session_id,
        point_at as from_at,
        lead(point_at) over (partition by session_id order by point_at, register_wh) as to_at,
        lead(register_wh) over (partition by session_id order by point_at, register_wh) - register_wh as step_wh
    from points
),

-- A register that goes back was reset; nothing was taken in that step.
rises as (
    select
        session_id,
        from_at,
        to_at,
        cast(step_wh as double) as step_wh,
        sum(cast(step_wh as double)) over (partition by session_id) as rises_wh
    from steps
    where step_wh > 0
),

shares as (
    select
        drawn.session_id,
        drawn.site_id,
        drawn.energy_kwh,
        coalesce(rises.from_at, drawn.started_at) as from_at,
        coalesce(rises.to_at, drawn.until_at) as to_at,
        coalesce(rises.step_wh / rises.rises_wh, 1.0) as share
    from drawn
    left join rises on drawn.session_id = rises.session_id
),

quarters as (
    select
        session_id,
        site_id,
        energy_kwh,
        from_at,
        to_at,
        share,
        {{ quarter_hours_between('from_at', 'to_at') }} as interval_start_at
    from shares
),

spread as (
    select
        session_id,
        site_id,
        energy_kwh,
        interval_start_at,
        sum(
            case
                when {{ seconds_between('from_at', 'to_at') }} = 0 then share
                else share * {{ seconds_between(
                    'greatest(from_at, interval_start_at)',
                    "least(to_at, interval_start_at + interval '15' minute)"
                ) }} / {{ seconds_between('from_at', 'to_at') }}
            end
        ) as share
    from quarters
    group by session_id, site_id, energy_kwh, interval_start_at
),

-- Rounding the running total and not each quarter keeps a session's energy whole.
running as (
    select
        session_id,
        site_id,
        interval_start_at,
        cast(
            cast(energy_kwh as double) * sum(share) over (partition by session_id order by interval_start_at)
            as decimal(18, 6)
        ) as energy_so_far_kwh
    from spread
    where share > 0
)

select
    session_id,
    site_id,
    interval_start_at,
    energy_so_far_kwh - coalesce(
        lag(energy_so_far_kwh) over (partition by session_id order by interval_start_at), 0
    ) as energy_kwh
from running
