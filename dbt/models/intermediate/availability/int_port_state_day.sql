{# One row is one port on one local day, with the seconds that it was in each state. #}
with port_state as (
    select *
    from {{ ref('fct_port_state') }}
    where duration_s > 0
),

ports as (
    select *
    from {{ ref('dim_port') }}
),

zoned as (
    select
        port_state.port_id,
        port_state.state,
        port_state.started_at,
        port_state.known_until_at as ended_at,
        ports.time_zone,
        {{ local_date('port_state.started_at', 'ports.time_zone') }} as first_date,
        {{ local_date(plus_seconds('port_state.known_until_at', -1), 'ports.time_zone') }} as last_date
    from port_state
    inner join ports on port_state.port_id = ports.port_id
),

dated as (
    select
        port_id,
        state,
        started_at,
        ended_at,
        time_zone,
        first_date,
        last_date,
        {{ dates_between('first_date', 'last_date') }} as day
    from zoned
),

-- A local day is 23 or 25 hours long when the clocks change: it is cut at its own midnights. The first and the
-- last part keep the ends of the interval itself, so that no second is lost where a midnight happens twice.
cut as (
    select
        port_id,
        state,
        cast(day as date) as local_date,
        case
            when cast(day as date) = first_date then started_at
            else {{ local_midnight('day', 'time_zone') }}
        end as started_at,
        case
            when cast(day as date) = last_date then ended_at
            else {{ local_midnight("day + interval '1' day", 'time_zone') }}
        end as ended_at
    from dated
),

counted as (
    select
        port_id,
        local_date,
        state,
        sum({{ seconds_between('started_at', 'ended_at') }}) as duration_s
    from cut
    group by port_id, local_date, state
)

select
    port_id,
    local_date,
    cast(sum(duration_s) as bigint) as period_s,
    cast(sum(case when state in ('available', 'reserved') then duration_s else 0 end) as bigint) as available_s,
    cast(sum(case when state = 'reserved' then duration_s else 0 end) as bigint) as reserved_s,
    cast(sum(case when state in ('occupied', 'suspended_ev', 'suspended_evse') then duration_s else 0 end) as bigint)
        as occupied_s,
    cast(sum(case when state = 'suspended_ev' then duration_s else 0 end) as bigint) as suspended_ev_s,
    cast(sum(case when state = 'suspended_evse' then duration_s else 0 end) as bigint) as suspended_evse_s,
    cast(sum(case when state = 'charging' then duration_s else 0 end) as bigint) as charging_s,
    cast(sum(case when state = 'faulted' then duration_s else 0 end) as bigint) as faulted_s,
    cast(sum(case when state = 'unavailable' then duration_s else 0 end) as bigint) as unavailable_s,
    cast(sum(case when state = 'offline' then duration_s else 0 end) as bigint) as offline_s,
    cast(sum(case when state = 'unknown' then duration_s else 0 end) as bigint) as unknown_s
from counted
group by port_id, local_date
