{# One row is one StopTransaction (OCPP 1.6), however often repeated, with the started session it stops. #}
with events as (
    select * from {{ ref('int_transaction_events') }}
),

windows as (
    select * from {{ ref('int_ocpp16_start_windows') }}
),

sent as (
    select
        events.frame_id,
        events.station_id,
        events.transaction_id,
        events.received_at,
        events.meter_wh,
        events.reason,
        events.id_token_hash,
        events.happened_at as stopped_at,
        events.event_at_quality as stopped_at_quality
    from events
    where
        events.event_type = 'Ended'
        and events.is_ocpp16
    qualify row_number() over (
        partition by events.station_id, events.transaction_id, events.event_at, events.meter_wh
        order by events.received_at, events.frame_id
    ) = 1
),

matched as (
    select
        sent.frame_id,
        windows.session_id
    from sent
    inner join windows
        on
            sent.station_id = windows.station_id
            and sent.transaction_id = windows.transaction_id
    where
        sent.stopped_at < windows.to_at
        and (sent.stopped_at >= windows.from_at or sent.received_at >= windows.first_received_at)
)

select
    sent.frame_id as stop_frame_id,
    sent.station_id,
    sent.transaction_id,
    sent.received_at,
    sent.stopped_at,
    sent.stopped_at_quality,
    sent.meter_wh as meter_stop_wh,
    sent.reason,
    sent.id_token_hash,
    matched.session_id
from sent
left join matched on sent.frame_id = matched.frame_id
