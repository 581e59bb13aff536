{# One row is one instant at which a session was metered: its energy so far, its power and the vehicle's state of charge. #}
{% set in_order = 'partition by session_id order by sampled_at' %}
with samples as (
    select * from {{ ref('int_session_samples') }}
),

energy as (
    select * from {{ ref('int_session_energy') }}
),

sessions as (
    select * from {{ ref('fct_session') }}
),

metered as (
    select
        samples.session_id,
        sessions.port_id,
        sessions.site_id,
        sessions.owner_id,
        energy.started_at,
        samples.sampled_at,
        samples.register_wh,
        samples.power_w,
        samples.soc_percent,
        -- what the session had taken before its first sample
        case
            when energy.is_counted_from_start then energy.meter_start_wh
            when energy.energy_method = 'session_register' then 0
        end as begin_wh
    from samples
    inner join energy on samples.session_id = energy.session_id
    inner join sessions on samples.session_id = sessions.session_id
    where samples.register_wh is not null or samples.power_w is not null or samples.soc_percent is not null
),

followed as (
    select
        *,
        max(case when register_wh is not null then sampled_at end) over (
            {{ in_order }} rows between unbounded preceding and 1 preceding
        ) as last_register_at,
        {{ last_known(
            'register_wh', in_order ~ ' rows between unbounded preceding and 1 preceding'
        ) }} as last_register_wh
    from metered
),

stepped as (
    select
        *,
        register_wh - coalesce(last_register_wh, begin_wh) as step_wh,
        {{ seconds_between('coalesce(last_register_at, started_at)', 'sampled_at') }} as step_s
    from followed
),

-- A register that goes back was reset, and one that jumps further than any connector can carry it is misread: nothing
-- was taken in that step.
believed as (
    select
        *,
        case
            when register_wh is null then null
            when step_wh > 0 and step_wh <= {{ most_wh(var('assumed_max_power_kw'), 'greatest(step_s, 0) + 60') }}
                then step_wh
            else 0
        end as taken_wh
    from stepped
)

select
    session_id,
    port_id,
    site_id,
    owner_id,
    sampled_at,
    {{ seconds_between('started_at', 'sampled_at') }} as elapsed_s,
    cast(
        case when register_wh is not null then sum(taken_wh) over ({{ in_order }}) end * 0.001 as decimal(18, 6)
    ) as energy_kwh,
    cast(
        coalesce(
            case when power_w <= {{ var('assumed_max_power_kw') }} * 1100.0 then power_w end,
            case when step_s > 0 and taken_wh is not null and last_register_wh is not null then taken_wh * 3600 / step_s end
        ) * 0.001 as decimal(18, 3)
    ) as power_kw,
    coalesce(power_w <= {{ var("assumed_max_power_kw") }} * 1100.0, false) as is_power_sampled,
    soc_percent
from believed
