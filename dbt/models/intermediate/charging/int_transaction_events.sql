{# One row is one StartTransaction, StopTransaction or TransactionEvent call with the time at which it happened. #}
with events as (
    select * from {{ ref('stg_ocpp__transaction_events') }}
),

clocks as (
    select * from {{ ref('int_station_clock') }}
)

select
    events.frame_id,
    events.station_id,
    events.connection_id,
    events.message_id,
    events.protocol,
    {{ is_ocpp16('events') }} as is_ocpp16,
    events.received_at,
    events.event_at,
    {{ corrected_time('events.event_at', 'events.received_at', 'clocks.correction_s') }} as corrected_event_at,
    {{ charger_time('events.event_at', 'events.received_at', 'clocks.correction_s') }} as happened_at,
    {{ charger_time_quality('events.event_at', 'events.received_at', 'clocks.correction_s', 'clocks.reason') }}
        as event_at_quality,
    events.event_type,
    events.transaction_id,
    events.evse_id,
    events.connector_id,
    events.id_token_hash,
    events.meter_wh,
    events.reason,
    events.seq_no,
    events.is_offline,
    events.charging_state,
    events.trigger_reason,
    events.remote_start_id
from events
left join clocks
    on {{ clock_tells(
        'clocks', 'events', 'event_at', transaction_action('events.event_type', 'events.seq_no', 'events.protocol')
    ) }}
