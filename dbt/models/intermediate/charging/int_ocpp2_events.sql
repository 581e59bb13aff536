{# One row is one TransactionEvent of an OCPP 2.x station, however often it was repeated, in the order the station numbered them. #}
with events as (
    select * from {{ ref('stg_ocpp__transaction_events') }}
),

sent as (
    select
        frame_id,
        station_id,
        protocol,
        transaction_id,
        event_type,
        seq_no,
        evse_id,
        connector_id,
        id_token_hash,
        charging_state,
        reason,
        {{ charger_time('event_at', 'received_at') }} as sent_event_at
    from events
    where not {{ is_ocpp16('events') }}
        and transaction_id is not null
    qualify row_number() over (
        partition by station_id, transaction_id, seq_no, event_type, event_at
        order by received_at, frame_id
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
    -- Events are numbered by the station; where its clock was set back in between, time stands still until it catches up.
    max(sent_event_at) over (
        partition by station_id, transaction_id
        order by event_number
        rows between unbounded preceding and current row
    ) as event_at,
    {{ last_known('charging_state', 'partition by station_id, transaction_id order by event_number rows between unbounded preceding and current row') }} as charging_state
from numbered
