{# One row is one port that can be judged, with the time it was in service and how far anything is known of it. #}
{# Judged are ports with a state, and registered ports in service that never sent one. The horizon is the last line of any
   log: what lies beyond it has not happened yet. A port without a date of commissioning is in service from its first
   state on. #}
with port_state as (
    select *
    from {{ ref('fct_port_state') }}
),

ports as (
    select *
    from {{ ref('dim_port') }}
),

watch as (
    select *
    from {{ ref('int_station_watch') }}
),

policies as (
    select *
    from {{ ref('dim_sla_policy') }}
),

seen as (
    select
        port_id,
        min(started_at) as first_state_at,
        max(known_until_at) as last_state_until_at
    from port_state
    group by port_id
),

reach as (
    select
        {{ whole_second('first_life_at') }} as begins_at,
        {{ whole_second('known_until_at') }} as ends_at
    from watch
    union all
    select
        first_state_at as begins_at,
        last_state_until_at as ends_at
    from seen
),

network as (
    select
        min(begins_at) as begins_at,
        max(ends_at) as horizon_at
    from reach
),

longest_window as (
    select greatest(12, max(coalesce(window_months, 1))) as window_months
    from policies
),

judged as (
    select
        ports.port_id,
        ports.station_id,
        ports.site_id,
        ports.owner_id,
        ports.operator_id,
        ports.time_zone,
        ports.power_type,
        ports.max_power_kw,
        ports.funding,
        seen.first_state_at,
        seen.last_state_until_at,
        coalesce({{ whole_second('ports.commissioned_at') }}, seen.first_state_at) as in_service_from_at,
        {{ whole_second('ports.decommissioned_at') }} as decommissioned_at,
        network.begins_at as network_begins_at,
        network.horizon_at,
        seen.port_id is null as is_never_seen,
        longest_window.window_months
    from ports
    cross join network
    cross join longest_window
    left join seen on ports.port_id = seen.port_id
    where
        network.horizon_at is not null
        and (seen.port_id is not null or (ports.is_registered and ports.commissioned_at is not null))
)

select
    port_id,
    station_id,
    site_id,
    owner_id,
    operator_id,
    time_zone,
    power_type,
    max_power_kw,
    funding,
    first_state_at,
    last_state_until_at,
    in_service_from_at,
    least(coalesce(decommissioned_at, horizon_at), horizon_at) as in_service_until_at,
    decommissioned_at,
    network_begins_at,
    horizon_at,
    is_never_seen,
    -- windows of twelve months (or a policy's more) end in the months that have data
    {{ plus_months(month_start(local_date('network_begins_at', 'time_zone')), '1 - window_months') }} as first_month,
    -- months to come are needed for the budget of the year that runs
    {{ plus_months("cast(date_trunc('year', " ~ local_date('horizon_at', 'time_zone') ~ ") as date)", '11') }}
        as last_month
from judged
