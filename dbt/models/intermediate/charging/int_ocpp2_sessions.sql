{# One row is one transaction of an OCPP 2.x station, made of its TransactionEvents. #}
with events as (
    select * from {{ ref('int_ocpp2_events') }}
),

call_results as (
    select * from {{ ref('int_ocpp_call_results') }}
),

-- The EVSE, the connector and the token are sent once, with whichever event learns them first.
transactions as (
    select
        station_id,
        transaction_id,
        use_number,
        max(protocol) as protocol,
        min(event_at) as started_at,
        min_by(event_at_quality, event_number) as started_at_quality,
        min_by(received_at, event_number) filter (where event_type = 'Started') as start_received_at,
        max(event_at) as last_event_at,
        min(case when event_type = 'Ended' then event_at end) as stopped_at,
        min_by(event_at_quality, event_number) filter (where event_type = 'Ended') as stopped_at_quality,
        min_by(evse_id, event_number) filter (where evse_id is not null) as evse_id,
        min_by(connector_id, event_number) filter (where connector_id is not null) as connector_id,
        min_by(id_token_hash, event_number) filter (where id_token_hash is not null) as id_token_hash,
        min_by(reason, event_number) filter (where event_type = 'Ended' and reason is not null) as reason,
        min_by(trigger_reason, event_number) filter (where event_type = 'Started') as trigger_reason,
        min(remote_start_id) as remote_start_id,
        max(case when event_type = 'Started' then 1 else 0 end) = 1 as has_start,
        max(case when is_offline then 1 else 0 end) = 1 as has_offline_events,
        -- Numbers rise by one from event to event, wherever they begin: what is missing was lost.
        max(seq_no) - min(seq_no) + 1 - count(distinct seq_no) as missing_event_count,
        min_by(frame_id, event_number) filter (where event_type = 'Started') as start_frame_id,
        min_by(frame_id, event_number) filter (where event_type = 'Ended') as stop_frame_id,
        min_by(frame_id, event_number) filter (where id_token_hash is not null) as token_frame_id
    from events
    group by station_id, transaction_id, use_number
)

select
    {{ session_key(
        'transactions.station_id', 'transactions.evse_id', 'transactions.transaction_id', 'transactions.started_at'
    ) }} as session_id,
    transactions.station_id,
    transactions.protocol,
    transactions.evse_id,
    transactions.connector_id,
    transactions.transaction_id,
    transactions.use_number,
    transactions.started_at,
    transactions.started_at_quality,
    transactions.start_received_at,
    transactions.stopped_at,
    transactions.stopped_at_quality,
    transactions.id_token_hash,
    transactions.reason,
    transactions.trigger_reason,
    transactions.remote_start_id,
    call_results.result_status as start_status,
    call_results.answered_at,
    transactions.has_start,
    transactions.has_offline_events,
    cast(transactions.missing_event_count as bigint) as missing_event_count,
    transactions.start_frame_id,
    transactions.stop_frame_id,
    transactions.last_event_at
from transactions
left join call_results on transactions.token_frame_id = call_results.frame_id
