{# One row is one StartTransaction call (OCPP 1.6), with the session it starts; repeats of a start share it. #}
with events as (
    select * from {{ ref('int_transaction_events') }}
),

results as (
    select * from {{ ref('int_ocpp_call_results') }}
),

sent as (
    select
        events.frame_id,
        events.station_id,
        events.connector_id,
        events.id_token_hash,
        events.meter_wh,
        events.received_at,
        events.happened_at as sent_started_at,
        events.event_at_quality as sent_started_at_quality,
        -- A repeat carries the time of the first attempt. Times from a clock that restarted (before 2010) repeat by
        -- themselves and tell nothing apart.
        case
            when events.event_at >= {{ instant("'2010-01-01 00:00:00+00:00'") }} then events.event_at
            else events.received_at
        end as repeat_at,
        results.result_transaction_id,
        results.result_status,
        results.answered_at
    from events
    left join results on events.frame_id = results.frame_id
    where
        events.event_type = 'Started'
        and events.is_ocpp16
),

-- The same fact sent again: after a CALLERROR, after a reconnect, or because the answer was lost. Each attempt may have
-- been answered with a transaction id of its own.
repeated as (
    select
        *,
        first_value(sent_started_at) over (
            partition by station_id, connector_id, id_token_hash, repeat_at, meter_wh
            order by received_at, frame_id
        ) as started_at,
        first_value(sent_started_at_quality) over (
            partition by station_id, connector_id, id_token_hash, repeat_at, meter_wh
            order by received_at, frame_id
        ) as started_at_quality,
        first_value(result_status) over (
            partition by station_id, connector_id, id_token_hash, repeat_at, meter_wh
            order by
                case when result_status is null then 1 else 0 end,
                case when result_status = 'Accepted' then 0 else 1 end,
                answered_at,
                frame_id
        ) as start_status,
        min(answered_at) over (
            partition by station_id, connector_id, id_token_hash, repeat_at, meter_wh
        ) as answered_first_at,
        first_value(result_transaction_id) over (
            partition by station_id, connector_id, id_token_hash, repeat_at, meter_wh
            order by
                case when result_transaction_id is null then 1 else 0 end,
                case when coalesce(result_status, 'Accepted') = 'Accepted' then 0 else 1 end,
                answered_at,
                frame_id
        ) as assigned_transaction_id
    from sent
)

select
    {{ session_key('station_id', 'connector_id', 'assigned_transaction_id', 'started_at') }} as session_id,
    frame_id,
    station_id,
    connector_id,
    started_at,
    started_at_quality,
    start_status,
    answered_first_at as answered_at,
    assigned_transaction_id,
    result_transaction_id,
    id_token_hash,
    meter_wh,
    received_at
from repeated
