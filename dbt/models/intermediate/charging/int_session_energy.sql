{# One row is one session with its energy, how the energy is known, and its peak power. #}
{# Registers count for ever, per boot or per transaction, and stations mix them. A difference over messages of two kinds
   (start, samples, stop) is believed if it is not negative, the port could have given it in the time, and the samples in
   between do not jump; what is left is one series of samples. Each way is tried in turn, `energy_method` names the one
   that held. #}
{% set most_kw = var('assumed_max_power_kw') %}
{% set most_kwh = var('session_max_energy_kwh') %}
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
        {{ seconds_between(
            'lag(sampled_at) over (partition by session_id, register_wh is null order by sampled_at)', 'sampled_at'
        ) }} as step_s,
        power_w,
        soc_percent
    from samples
),

sampled as (
    select
        session_id,
        min(sampled_at) as first_sampled_at,
        max(sampled_at) as last_sampled_at,
        count(register_wh) as register_count,
        min(case when register_wh is not null then sampled_at end) as first_register_at,
        max(case when register_wh is not null then sampled_at end) as last_register_at,
        min_by(register_wh, sampled_at) filter (where register_wh is not null) as first_register_wh,
        max_by(register_wh, sampled_at) filter (where register_wh is not null) as last_register_wh,
        -- no port gives more between two samples, with a minute for clocks that are cut to the minute
        sum(
            case
                when step_wh > 0 and step_wh <= {{ most_wh(most_kw, 'step_s + 60') }} then step_wh
                else 0
            end
        ) as rises_wh,
        min_by(begin_wh, sampled_at) filter (where begin_wh is not null) as begin_wh,
        max_by(end_wh, sampled_at) filter (where end_wh is not null) as end_wh,
        max(case when power_w <= {{ most_kw }} * 1100.0 then power_w end) as peak_power_w,
        max(power_w) as highest_power_w,
        min_by(soc_percent, sampled_at) filter (where soc_percent is not null) as first_soc_percent,
        max_by(soc_percent, sampled_at) filter (where soc_percent is not null) as last_soc_percent
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
        sampled.first_register_at,
        sampled.last_register_at,
        sampled.first_register_wh,
        sampled.last_register_wh,
        sampled.rises_wh,
        sampled.peak_power_w,
        sampled.highest_power_w,
        sampled.first_soc_percent,
        sampled.last_soc_percent,
        sessions.max_power_kw,
        sessions.has_start
    from sessions
    left join sampled on sessions.session_id = sampled.session_id
),

differences as (
    select
        *,
        {{ seconds_between('started_at', 'coalesce(stopped_at, last_seen_at)') }} as duration_s,
        meter_stop_wh - meter_start_wh as by_register_wh,
        last_register_wh - meter_start_wh as since_start_wh,
        first_register_wh - meter_start_wh as jump_at_start_wh,
        meter_stop_wh - last_register_wh as jump_at_stop_wh,
        {{ seconds_between('started_at', 'first_register_at') }} as to_first_register_s,
        {{ seconds_between('last_register_at', 'coalesce(stopped_at, last_seen_at)') }} as from_last_register_s,
        case when register_count >= 2 then last_register_wh - first_register_wh end as between_samples_wh,
        case when register_count >= 2 then rises_wh end as by_rises_wh,
        -- what the port is known to give at most, by the registry or by its own samples
        coalesce(max_power_kw, peak_power_w / 1000) as known_power_kw
    from known
),

-- The limits: what the port can give in the time and a tenth more, and what no port and no vehicle can exceed.
bounded as (
    select
        *,
        case when max_power_kw is not null then {{ most_wh('max_power_kw', 'duration_s') }} end as port_most_wh,
        {{ most_wh(most_kw, 'duration_s + 60') }} as any_most_wh,
        {{ most_wh('coalesce(max_power_kw, ' ~ most_kw ~ ')', 'greatest(to_first_register_s, 0) + 60') }}
            as first_most_wh,
        {{ most_wh('coalesce(max_power_kw, ' ~ most_kw ~ ')', 'greatest(from_last_register_s, 0) + 60') }}
            as last_most_wh,
        case when known_power_kw > 0 then {{ most_wh('known_power_kw', 'duration_s') }} end as known_most_wh,
        -- Registers of whole Wh or kWh digits start again at these; a meter just below one may have rolled over.
        case
            when meter_start_wh < 1000000 then 1000000
            when meter_start_wh < 10000000 then 10000000
            when meter_start_wh < 100000000 then 100000000
            when meter_start_wh < 1000000000 then 1000000000
            when meter_start_wh < 2147483648 then 2147483648
            when meter_start_wh < 4294967296 then 4294967296
        end as rolls_over_at_wh
    from differences
),

judged as (
    select
        *,
        coalesce(stopped_at is not null and by_register_wh >= 0, false)
        and by_register_wh <= coalesce(port_most_wh, any_most_wh)
        -- A first sample far above the start's register, or a stop far above the last sample, is of another counter
        -- (a start that always says 0); unless the jump alone is more than the whole, then the sample is the odd one.
        and not coalesce(jump_at_start_wh > first_most_wh and jump_at_start_wh <= by_register_wh, false)
        and not coalesce(jump_at_stop_wh > last_most_wh and jump_at_stop_wh <= by_register_wh, false)
            as is_register_plausible,
        coalesce(jump_at_start_wh >= 0 and since_start_wh >= 0, false)
        and since_start_wh <= coalesce(port_most_wh, any_most_wh)
        and jump_at_start_wh <= first_most_wh as is_since_start_plausible,
        -- The samples begin near 0 with the session though the start's register does not: they count it alone.
        coalesce(has_start and first_register_wh < coalesce(meter_start_wh, first_register_wh + 1), false)
        and first_register_wh between 0 and first_most_wh
        and last_register_wh >= first_register_wh
        and last_register_wh <= coalesce(port_most_wh, any_most_wh) as is_session_register,
        coalesce(
            stopped_at is not null
            and by_register_wh < 0
            and meter_start_wh >= rolls_over_at_wh - known_most_wh
            and by_register_wh + rolls_over_at_wh <= known_most_wh,
            false
        ) as is_rolled_over,
        coalesce(between_samples_wh >= 0 and between_samples_wh <= any_most_wh, false) as is_series_plausible
    from bounded
),

chosen as (
    select
        *,
        case
            when is_register_plausible then 'register'
            when is_since_start_plausible then 'start_to_last_sample'
            when is_session_register then 'session_register'
            when is_rolled_over then 'rollover'
            when is_series_plausible then 'samples'
            when by_rises_wh > 0 then 'positive_deltas'
            when by_register_wh is not null or register_count >= 2 then 'implausible'
            else 'none'
        end as energy_method
    from judged
)

select
    session_id,
    started_at,
    stopped_at,
    last_seen_at,
    meter_start_wh,
    meter_stop_wh,
    cast(
        case energy_method
            when 'register' then by_register_wh
            when 'start_to_last_sample' then since_start_wh
            when 'session_register' then last_register_wh
            when 'rollover' then by_register_wh + rolls_over_at_wh
            when 'samples' then between_samples_wh
            when 'positive_deltas' then by_rises_wh
        end * 0.001 as decimal(18, 6)
    ) as energy_kwh,
    energy_method,
    energy_method in ('register', 'start_to_last_sample') as is_counted_from_start,
    cast(peak_power_w * 0.001 as decimal(18, 3)) as peak_power_kw,
    coalesce(
        highest_power_w > coalesce(max_power_kw, {{ most_kw }}) * 1100
        or energy_method = 'implausible'
        or (
            energy_method in ('samples', 'positive_deltas')
            and coalesce(between_samples_wh, by_rises_wh) > port_most_wh
        ),
        false
    ) as is_power_implausible,
    first_soc_percent,
    last_soc_percent
from chosen
