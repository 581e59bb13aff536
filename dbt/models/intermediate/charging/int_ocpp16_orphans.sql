{# One row is one transaction of an OCPP 1.6 station that samples or a stop tell of under an id that no answer gave. #}
with samples as (
    select * from {{ ref('int_meter_readings') }}
),

stops as (
    select * from {{ ref('int_ocpp16_stops') }}
),

windows as (
    select * from {{ ref('int_ocpp16_start_windows') }}
),

starts as (
    select * from {{ ref('int_ocpp16_starts') }}
),

sampled as (
    select
        station_id,
        transaction_id,
        sampled_at as known_at,
        min(received_at) as received_at,
        min(case when connector_id > 0 then connector_id end) as connector_id
    from samples
    where
        transaction_id is not null
        and action in ('MeterValues', 'StopTransaction')
        and evse_id is null
    group by station_id, transaction_id, sampled_at
),

-- An inner join on the id, then a left join on the instant: an outer join on spans of time would compare everything
-- with everything.
matched as (
    select
        sampled.station_id,
        sampled.transaction_id,
        sampled.known_at,
        windows.session_id
    from sampled
    inner join windows
        on
            sampled.station_id = windows.station_id
            and sampled.transaction_id = windows.transaction_id
    where
        sampled.known_at < windows.to_at
        and (sampled.known_at >= windows.from_at or sampled.received_at >= windows.first_received_at)
),

unmatched as (
    select
        sampled.station_id,
        sampled.transaction_id,
        sampled.known_at,
        sampled.connector_id
    from sampled
    left join matched
        on
            sampled.station_id = matched.station_id
            and sampled.transaction_id = matched.transaction_id
            and sampled.known_at = matched.known_at
    where matched.session_id is null
),

evidence as (
    select
        station_id,
        transaction_id,
        known_at,
        connector_id,
        0 as is_stop,
        cast(null as string) as stop_frame_id,
        cast(null as decimal(18, 3)) as meter_stop_wh,
        cast(null as string) as id_token_hash
    from unmatched
    union all
    select
        station_id,
        transaction_id,
        stopped_at as known_at,
        cast(null as integer) as connector_id,
        1 as is_stop,
        stop_frame_id,
        meter_stop_wh,
        id_token_hash
    from stops
    where session_id is null
),

-- Started sessions that a stop or a sample names by an id of theirs.
confirmed as (
    select session_id from matched
    union
    select session_id from stops
    where session_id is not null
),

-- A stop right after a stop with the same register is the same stop told twice.
marked as (
    select
        *,
        lag(is_stop)
            over (partition by station_id, transaction_id order by known_at, is_stop, stop_frame_id)
            as last_is_stop,
        lag(meter_stop_wh) over (
            partition by station_id, transaction_id order by known_at, is_stop, stop_frame_id
        ) as last_meter_stop_wh
    from evidence
),

-- A stop closes a transaction; what comes later under the same id is the next one.
numbered as (
    select
        *,
        coalesce(sum(is_stop) over (
            partition by station_id, transaction_id
            order by known_at, is_stop, stop_frame_id
            rows between unbounded preceding and 1 preceding
        ), 0) as use_number
    from marked
    where not coalesce(is_stop = 1 and last_is_stop = 1 and meter_stop_wh = last_meter_stop_wh, false)
),

grouped as (
    select
        station_id,
        transaction_id,
        use_number,
        min(connector_id) as connector_id,
        min(known_at) as first_at,
        max(known_at) as last_at,
        max(stop_frame_id) as stop_frame_id,
        max(meter_stop_wh) as meter_stop_wh,
        max(id_token_hash) as id_token_hash
    from numbered
    group by station_id, transaction_id, use_number
),

stopped as (
    select distinct session_id
    from stops
    where session_id is not null
),

-- A start with a missing answer was given an id that the log does not show. Unless an id that it does show is in use,
-- it takes the orphan that fits its connector, driver, time and register, if each is the only one that fits the other.
-- An id of 0 or below is what a station tells that never learnt its own, or forgot it: then a start with an answer
-- takes it too, unless it has a stop.
fitting as (
    select
        starts.session_id,
        grouped.station_id,
        grouped.transaction_id,
        grouped.use_number,
        count(*) over (partition by starts.session_id) as orphans_that_fit,
        count(*) over (
            partition by grouped.station_id, grouped.transaction_id, grouped.use_number
        ) as starts_that_fit
    from starts
    inner join grouped
        on
            starts.station_id = grouped.station_id
            and starts.connector_id = coalesce(grouped.connector_id, starts.connector_id)
            and grouped.first_at >= starts.started_at - interval '60' second
            and grouped.first_at < coalesce(starts.next_started_at, {{ instant("'9999-12-31 00:00:00+00:00'") }})
    left join confirmed on starts.session_id = confirmed.session_id
    left join stopped on starts.session_id = stopped.session_id
    where
        (
            (starts.has_unanswered_attempt and confirmed.session_id is null)
            or (
                (grouped.transaction_id = '0' or grouped.transaction_id like '-%')
                and stopped.session_id is null
            )
        )
        and coalesce(grouped.meter_stop_wh >= starts.meter_start_wh, true)
        and coalesce(grouped.id_token_hash = starts.id_token_hash, true)
),

adopted as (
    select *
    from fitting
    where orphans_that_fit = 1 and starts_that_fit = 1
)

select
    coalesce(
        adopted.session_id,
        {{ session_key('grouped.station_id', 'grouped.connector_id', 'grouped.transaction_id', 'grouped.first_at') }}
    ) as session_id,
    adopted.session_id is not null as has_start,
    grouped.station_id,
    grouped.transaction_id,
    grouped.connector_id,
    grouped.first_at,
    grouped.last_at,
    grouped.stop_frame_id,
    case
        when grouped.use_number = 0 then {{ instant("'1900-01-01 00:00:00+00:00'") }}
        else grouped.first_at
    end as from_at,
    coalesce(
        lead(grouped.first_at) over (
            partition by grouped.station_id, grouped.transaction_id order by grouped.use_number
        ),
        {{ instant("'9999-12-31 00:00:00+00:00'") }}
    ) as to_at
from grouped
left join adopted
    on
        grouped.station_id = adopted.station_id
        and grouped.transaction_id = adopted.transaction_id
        and grouped.use_number = adopted.use_number
