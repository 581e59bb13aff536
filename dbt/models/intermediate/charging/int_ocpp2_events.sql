{# One row is one TransactionEvent (OCPP 2.x), however often repeated, in the order the station numbered them. #}
{% set until_now %}
    partition by station_id, transaction_id order by event_number
    rows between unbounded preceding and current row
{% endset %}
with events as (
    select * from {{ ref('stg_ocpp__transaction_events') }}
),

sent as (
    select
        events.frame_id,
        events.station_id,
        events.protocol,
        events.transaction_id,
        events.event_type,
        events.seq_no,
        events.evse_id,
        events.connector_id,
        events.id_token_hash,
        events.charging_state,
        events.reason,
        {{ charger_time('event_at', 'received_at') }} as sent_event_at
    from events
    where
        not {{ is_ocpp16('events') }}
        and events.transaction_id is not null
    qualify row_number() over (
        partition by events.station_id, events.transaction_id, events.seq_no, events.event_type, events.event_at
        order by events.received_at, events.frame_id
    ) = 1
),

numbered as (
    select
        *,
        row_number() over (
            partition by station_id, transaction_id
            order by
                case when seq_no is null then 1 else 0 end,
                seq_no,
                sent_event_at,
                frame_id
        ) as event_number
    from sent
)

select
    frame_id,
    station_id,
    protocol,
    transaction_id,
    event_type,
    seq_no,
    event_number,
    evse_id,
    connector_id,
    id_token_hash,
    reason,
    -- Events are numbered by the station; where its clock was set back in between, time stands still for a while.
    max(sent_event_at) over (
        partition by station_id, transaction_id
        order by event_number
        rows between unbounded preceding and current row
    ) as event_at,
    {{ last_known('charging_state', until_now) }} as charging_state
from numbered
