{# One row is one session with its energy, how the energy is known, and its peak power. #}
with sessions as (
    select * from {{ ref('int_sessions') }}
),

samples as (
    select * from {{ ref('int_session_samples') }}
),

stepped as (
    select
        session_id,
        sampled_at,
        register_wh,
        begin_wh,
        end_wh,
        register_wh - lag(register_wh) over (
            partition by session_id, register_wh is null order by sampled_at
        ) as step_wh,
        power_w
    from samples
),

sampled as (
    select
        session_id,
        min(sampled_at) as first_sampled_at,
        max(sampled_at) as last_sampled_at,
        count(register_wh) as register_count,
        min_by(register_wh, sampled_at) filter (where register_wh is not null) as first_register_wh,
        max_by(register_wh, sampled_at) filter (where register_wh is not null) as last_register_wh,
        sum(case when step_wh > 0 then step_wh else 0 end) as rises_wh,
        min_by(begin_wh, sampled_at) filter (where begin_wh is not null) as begin_wh,
        max_by(end_wh, sampled_at) filter (where end_wh is not null) as end_wh,
        max(power_w) as peak_power_w
    from stepped
    group by session_id
),

-- The counterpart of meterStart and meterStop in 2.x are the samples taken at Transaction.Begin and Transaction.End.
known as (
    select
        sessions.session_id,
        sessions.started_at,
        sessions.stopped_at,
        coalesce(sessions.meter_start_wh, case when sessions.has_start then sampled.begin_wh end) as meter_start_wh,
        coalesce(
            sessions.meter_stop_wh,
            case when sessions.stopped_at is not null then sampled.end_wh end
        ) as meter_stop_wh,
        greatest(
            coalesce(sessions.stopped_at, sessions.started_at),
            coalesce(sessions.last_event_at, sessions.started_at),
            coalesce(sampled.last_sampled_at, sessions.started_at)
        ) as last_seen_at,
        sampled.register_count,
        sampled.first_register_wh,
        sampled.last_register_wh,
        sampled.rises_wh,
        sampled.peak_power_w,
        sessions.max_power_kw
    from sessions
    left join sampled on sessions.session_id = sampled.session_id
),

-- What the port can give in the time, and a tenth more; null where the port's power is unknown.
bounded as (
    select
        *,
        max_power_kw * 1000 * 1.1
        * {{ seconds_between('started_at', 'coalesce(stopped_at, last_seen_at)') }} / 3600 as most_wh,
        meter_stop_wh - meter_start_wh as by_register_wh,
        last_register_wh - meter_start_wh as since_start_wh,
        case when register_count >= 2 then last_register_wh - first_register_wh end as between_samples_wh,
        case when register_count >= 2 then rises_wh end as by_rises_wh
    from known
),

-- Registers count for ever, per boot or per transaction, and some stations mix them: a difference over messages of two
-- kinds is believed if it is not negative and the port could have given it. Samples are one series.
judged as (
    select
        *,
        coalesce(stopped_at is not null and by_register_wh >= 0, false)
        and coalesce(by_register_wh <= most_wh, true) as is_register_plausible,
        coalesce(first_register_wh >= meter_start_wh and last_register_wh >= meter_start_wh, false)
        and coalesce(since_start_wh <= most_wh, true) as is_since_start_plausible
    from bounded
)

select
    session_id,
    started_at,
    stopped_at,
    last_seen_at,
    meter_start_wh,
    meter_stop_wh,
    cast(
        case
            when is_register_plausible then by_register_wh
            when is_since_start_plausible then since_start_wh
            when between_samples_wh >= 0 then between_samples_wh
            -- The register was reset on the way.
            else by_rises_wh
        end * 0.001 as decimal(18, 6)
    ) as energy_kwh,
    case
        when is_register_plausible then 'register'
        when is_since_start_plausible or register_count >= 2 then 'samples'
        else 'none'
    end as energy_method,
    is_register_plausible or is_since_start_plausible as is_counted_from_start,
    cast(peak_power_w * 0.001 as decimal(18, 3)) as peak_power_kw
from judged
