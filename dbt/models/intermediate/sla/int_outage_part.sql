{# One row is one interval in which a port did not work, and the outage that it is a part of. #}
{# An outage is maximal: faulted, unavailable and offline intervals that touch are one. A hole in the log ends it, for what
   happened in the hole nobody knows. A registered port in service that never said a word is one outage from the day
   anything was logged. #}
with port_state as (
    select *
    from {{ ref('fct_port_state') }}
    where state in ('faulted', 'unavailable', 'offline') and duration_s > 0
),

gaps as (
    select *
    from {{ ref('int_sla_gap') }}
),

ports as (
    select *
    from {{ ref('int_sla_port') }}
    where is_never_seen
),

marked as (
    select
        port_id,
        station_id,
        state,
        error_code,
        vendor_error_code,
        started_at,
        ended_at,
        known_until_at,
        duration_s,
        case when lag(known_until_at) over (partition by port_id order by started_at) = started_at then 0 else 1 end
            as is_first
    from port_state
),

numbered as (
    select
        port_id,
        station_id,
        state,
        error_code,
        vendor_error_code,
        started_at,
        ended_at,
        known_until_at,
        duration_s,
        sum(is_first) over (
            partition by port_id
            order by started_at
            rows between unbounded preceding and current row
        ) as outage_number
    from marked
),

bounded as (
    select
        port_id,
        station_id,
        state,
        error_code,
        vendor_error_code,
        started_at,
        ended_at,
        known_until_at,
        duration_s,
        min(started_at) over (partition by port_id, outage_number) as outage_started_at
    from numbered
),

classed as (
    select
        bounded.port_id,
        bounded.station_id,
        bounded.state,
        bounded.error_code,
        bounded.vendor_error_code,
        bounded.started_at,
        bounded.ended_at,
        bounded.known_until_at,
        bounded.duration_s,
        bounded.outage_started_at,
        case when bounded.state = 'offline' then gaps.gap_class end as gap_class
    from bounded
    left join gaps
        on
            bounded.station_id = gaps.station_id
            -- an open silence has no end on either side
            and coalesce({{ whole_second('gaps.ended_at') }}, {{ instant("'9999-01-01 00:00:00+00:00'") }})
            = coalesce(bounded.ended_at, {{ instant("'9999-01-01 00:00:00+00:00'") }})
    -- two silences of a station may end in one second
    qualify row_number() over (
        partition by bounded.port_id, bounded.started_at
        order by gaps.started_at desc nulls last
    ) = 1
),

never_seen as (
    select
        port_id,
        station_id,
        'offline' as state,
        cast(null as varchar) as error_code,
        cast(null as varchar) as vendor_error_code,
        greatest(in_service_from_at, network_begins_at) as started_at,
        case when in_service_until_at < horizon_at then in_service_until_at end as ended_at,
        in_service_until_at as known_until_at,
        cast({{ seconds_between('greatest(in_service_from_at, network_begins_at)', 'in_service_until_at') }} as bigint)
            as duration_s,
        greatest(in_service_from_at, network_begins_at) as outage_started_at,
        'never_seen' as gap_class
    from ports
    where in_service_until_at > greatest(in_service_from_at, network_begins_at)
),

parts as (
    select
        port_id, station_id, state, error_code, vendor_error_code, started_at, ended_at, known_until_at, duration_s,
        outage_started_at, gap_class
    from classed
    union all
    select
        port_id, station_id, state, error_code, vendor_error_code, started_at, ended_at, known_until_at, duration_s,
        outage_started_at, gap_class
    from never_seen
)

select
    {{ outage_key('port_id', 'outage_started_at') }} as outage_id,
    port_id,
    station_id,
    state,
    error_code,
    vendor_error_code,
    started_at,
    ended_at,
    known_until_at,
    duration_s,
    gap_class
from parts
