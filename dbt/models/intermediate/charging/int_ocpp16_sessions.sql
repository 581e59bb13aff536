{# One row is one transaction of an OCPP 1.6 station: started, stopped, or only told of by its samples. #}
with starts as (
    select * from {{ ref('int_ocpp16_starts') }}
),

stops as (
    select * from {{ ref('int_ocpp16_stops') }}
),

orphans as (
    select * from {{ ref('int_ocpp16_orphans') }}
),

orphan_stops as (
    select
        orphans.session_id,
        stops.stop_frame_id,
        stops.transaction_id,
        stops.received_at,
        stops.stopped_at,
        stops.meter_stop_wh,
        stops.reason,
        stops.id_token_hash
    from orphans
    inner join stops on orphans.stop_frame_id = stops.stop_frame_id
),

candidates as (
    select
        starts.session_id,
        stops.stop_frame_id,
        stops.transaction_id,
        stops.received_at,
        stops.stopped_at,
        stops.meter_stop_wh,
        stops.reason,
        stops.id_token_hash,
        -- The first stop that can be true wins: not before the start, the register not below the start's.
        row_number() over (
            partition by starts.session_id
            order by
                case when stops.stopped_at >= starts.started_at then 0 else 1 end,
                case when stops.meter_stop_wh < starts.meter_start_wh then 1 else 0 end,
                stops.stopped_at,
                stops.received_at,
                stops.stop_frame_id
        ) as choice
    from starts
    inner join stops on starts.session_id = stops.session_id
),

chosen_stops as (
    select
        session_id,
        stop_frame_id,
        transaction_id,
        received_at,
        stopped_at,
        meter_stop_wh,
        reason
    from candidates
    where choice = 1
    union all
    -- Never both: a start fits an orphan only if no stop names it.
    select
        orphan_stops.session_id,
        orphan_stops.stop_frame_id,
        orphan_stops.transaction_id,
        orphan_stops.received_at,
        orphan_stops.stopped_at,
        orphan_stops.meter_stop_wh,
        orphan_stops.reason
    from orphan_stops
    inner join starts on orphan_stops.session_id = starts.session_id
),

adopted as (
    select
        session_id,
        transaction_id
    from orphans
    where has_start
),

started as (
    select
        starts.session_id,
        starts.station_id,
        starts.connector_id,
        coalesce(chosen_stops.transaction_id, adopted.transaction_id, starts.assigned_transaction_id) as transaction_id,
        starts.started_at,
        case
            when chosen_stops.session_id is null then null
            when chosen_stops.stopped_at >= starts.started_at then chosen_stops.stopped_at
            -- The charger's clock went back in between: the time of arrival is the better one.
            else greatest(starts.started_at, chosen_stops.received_at)
        end as stopped_at,
        starts.id_token_hash,
        starts.meter_start_wh,
        chosen_stops.meter_stop_wh,
        chosen_stops.reason,
        true as has_start,
        starts.start_frame_id,
        chosen_stops.stop_frame_id,
        starts.started_at as last_event_at
    from starts
    left join chosen_stops on starts.session_id = chosen_stops.session_id
    left join adopted on starts.session_id = adopted.session_id
),

unstarted as (
    select
        orphans.session_id,
        orphans.station_id,
        orphans.connector_id,
        orphans.transaction_id,
        orphans.first_at as started_at,
        orphan_stops.stopped_at,
        orphan_stops.id_token_hash,
        cast(null as decimal(18, 3)) as meter_start_wh,
        orphan_stops.meter_stop_wh,
        orphan_stops.reason,
        false as has_start,
        cast(null as string) as start_frame_id,
        orphan_stops.stop_frame_id,
        orphans.last_at as last_event_at
    from orphans
    left join orphan_stops on orphans.session_id = orphan_stops.session_id
    where not orphans.has_start
)

select
    session_id,
    station_id,
    connector_id,
    transaction_id,
    started_at,
    stopped_at,
    id_token_hash,
    meter_start_wh,
    meter_stop_wh,
    reason,
    has_start,
    start_frame_id,
    stop_frame_id,
    last_event_at
from started
union all
select
    session_id,
    station_id,
    connector_id,
    transaction_id,
    started_at,
    stopped_at,
    id_token_hash,
    meter_start_wh,
    meter_stop_wh,
    reason,
    has_start,
    start_frame_id,
    stop_frame_id,
    last_event_at
from unstarted
