{# One row is one TransactionEvent (OCPP 2.x), however often repeated, in the order the station numbered them. #}
{% set until_now %}
    partition by station_id, transaction_id, use_number order by event_number
    rows between unbounded preceding and current row
{% endset %}
with events as (
    select * from {{ ref('int_transaction_events') }}
),

sent as (
    select
        frame_id,
        station_id,
        protocol,
        transaction_id,
        event_type,
        seq_no,
        received_at,
        evse_id,
        connector_id,
        id_token_hash,
        charging_state,
        reason,
        trigger_reason,
        remote_start_id,
        coalesce(is_offline, false) as is_offline,
        happened_at,
        event_at_quality
    from events
    where
        not is_ocpp16
        and transaction_id is not null
    qualify row_number() over (
        partition by station_id, transaction_id, seq_no, event_type, event_at
        order by received_at, frame_id
    ) = 1
),

-- A station that counts its transactions from 1 again after a reset tells of another one under an old id: each
-- Started at another time begins one. Of a transaction with one Started, all events are its own, whatever their time.
used as (
    select
        *,
        greatest(
            1,
            sum(case when event_type = 'Started' then 1 else 0 end) over (
                partition by station_id, transaction_id
                order by happened_at, case when event_type = 'Started' then 0 else 1 end, frame_id
                rows between unbounded preceding and current row
            )
        ) as started_before,
        count(case when event_type = 'Started' then 1 end)
            over (partition by station_id, transaction_id) as started_count
    from sent
),

numbered as (
    select
        *,
        case when started_count > 1 then started_before else 1 end as use_number,
        row_number() over (
            partition by station_id, transaction_id, case when started_count > 1 then started_before else 1 end
            order by
                case when seq_no is null then 1 else 0 end,
                seq_no,
                happened_at,
                frame_id
        ) as event_number
    from used
)

select
    frame_id,
    station_id,
    protocol,
    transaction_id,
    cast(use_number as bigint) as use_number,
    event_type,
    seq_no,
    received_at,
    event_number,
    evse_id,
    connector_id,
    id_token_hash,
    reason,
    trigger_reason,
    remote_start_id,
    is_offline,
    event_at_quality,
    -- Events are numbered by the station; where its clock was set back in between, time stands still for a while.
    max(happened_at) over (
        partition by station_id, transaction_id, use_number
        order by event_number
        rows between unbounded preceding and current row
    ) as event_at,
    {{ last_known('charging_state', until_now) }} as charging_state
from numbered
