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
        stops.stopped_at_quality,
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
        stops.stopped_at_quality,
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
        stopped_at_quality,
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
        orphan_stops.stopped_at_quality,
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
        -- An id of 0 or below is no name: the one that the CSMS gave is.
        case
            when
                coalesce(chosen_stops.transaction_id, adopted.transaction_id) = '0'
                or coalesce(chosen_stops.transaction_id, adopted.transaction_id) like '-%'
                then coalesce(starts.assigned_transaction_id, chosen_stops.transaction_id, adopted.transaction_id)
            else coalesce(chosen_stops.transaction_id, adopted.transaction_id, starts.assigned_transaction_id)
        end as transaction_id,
        starts.started_at,
        starts.started_at_quality,
        starts.received_at as start_received_at,
        starts.start_status,
        starts.answered_at,
        case
            when chosen_stops.session_id is null then null
            when chosen_stops.stopped_at >= starts.started_at then chosen_stops.stopped_at
            -- The charger's clock went back in between: the time of arrival is the better one.
            else greatest(starts.started_at, chosen_stops.received_at)
        end as stopped_at,
        case
            when chosen_stops.stopped_at >= starts.started_at then chosen_stops.stopped_at_quality
            when chosen_stops.session_id is not null then 'received_used'
        end as stopped_at_quality,
        chosen_stops.received_at as stop_received_at,
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
        cast(null as string) as started_at_quality,
        {{ no_instant() }} as start_received_at,
        cast(null as string) as start_status,
        {{ no_instant() }} as answered_at,
        orphan_stops.stopped_at,
        orphan_stops.stopped_at_quality,
        orphan_stops.received_at as stop_received_at,
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
    started_at_quality,
    start_received_at,
    start_status,
    answered_at,
    stopped_at,
    stopped_at_quality,
    stop_received_at,
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
    started_at_quality,
    start_received_at,
    start_status,
    answered_at,
    stopped_at,
    stopped_at_quality,
    stop_received_at,
    id_token_hash,
    meter_start_wh,
    meter_stop_wh,
    reason,
    has_start,
    start_frame_id,
    stop_frame_id,
    last_event_at
from unstarted
