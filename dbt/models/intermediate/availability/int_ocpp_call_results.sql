{# One row is one call that a session or a connection hangs on, with the result that answered it. #}
{# Such calls are BootNotification, StartTransaction, Authorize, TransactionEvents that start or carry a token, and the
   remote starts of the CSMS. #}
{# Chargers reuse message ids ("1" for every boot), so an answer belongs to the nearest earlier call of the same
   station, connection and id that is still unanswered: matching brackets. A call opens a level, an answer closes the
   innermost one; the two rows of a pair follow each other within their level. #}
with frames as (
    select *
    from {{ source('ocpp', 'frame') }}
),

transaction_events as (
    select *
    from {{ source('ocpp', 'transaction_event') }}
),

-- Few ids were ever used by such a call. The other frames are left out before anything is sorted, which is why this
-- model reads the lake and not the staging view. The CSMS numbers its own calls: who asks is part of the key.
wanted_ids as (
    select
        station_id,
        coalesce(connection_id, '') as connection_id,
        message_id,
        action in ('RemoteStartTransaction', 'RequestStartTransaction') as is_asked_by_csms
    from frames
    where
        message_type = 2
        and (
            (action in ('BootNotification', 'StartTransaction', 'Authorize') and direction <> 'to_station')
            or (
                action in ('RemoteStartTransaction', 'RequestStartTransaction')
                and direction <> 'from_station'
            )
        )
    union
    select
        station_id,
        coalesce(connection_id, '') as connection_id,
        message_id,
        false as is_asked_by_csms
    from transaction_events
    where seq_no is not null and message_id is not null and (event_type = 'Started' or id_token_hash is not null)
),

messages as (
    select
        frames.frame_id,
        frames.station_id,
        coalesce(frames.connection_id, '') as connection_id,
        frames.message_id,
        wanted_ids.is_asked_by_csms,
        frames.received_at,
        frames.message_type,
        frames.action,
        frames.result_status,
        frames.result_interval_s,
        frames.result_transaction_id,
        frames.log_source,
        frames.source_id,
        frames.line_number
    from frames
    inner join wanted_ids
        on
            frames.station_id = wanted_ids.station_id
            and coalesce(frames.connection_id, '') = wanted_ids.connection_id
            and frames.message_id = wanted_ids.message_id
    where
        (
            not wanted_ids.is_asked_by_csms
            and (
                (frames.message_type = 2 and frames.direction <> 'to_station')
                or (frames.message_type in (3, 4) and frames.direction <> 'from_station')
            )
        )
        or (
            wanted_ids.is_asked_by_csms
            and (
                (frames.message_type = 2 and frames.direction <> 'from_station')
                or (frames.message_type in (3, 4) and frames.direction <> 'to_station')
            )
        )
),

delivered_once as (
    select
        frame_id,
        station_id,
        connection_id,
        message_id,
        is_asked_by_csms,
        received_at,
        message_type,
        message_type = 2 as is_call,
        action,
        result_status,
        result_interval_s,
        result_transaction_id
    from messages
    {{ first_delivery(['frame_id', 'is_asked_by_csms']) | indent(4) }}
),

levelled as (
    select
        frame_id,
        station_id,
        connection_id,
        message_id,
        is_asked_by_csms,
        received_at,
        message_type,
        is_call,
        action,
        result_status,
        result_interval_s,
        result_transaction_id,
        sum(case when is_call then 1 else -1 end) over (
            partition by station_id, connection_id, is_asked_by_csms, message_id
            -- in a log with whole seconds the call comes first
            order by received_at, message_type, frame_id
            rows between unbounded preceding and current row
        ) + case when is_call then 0 else 1 end as nesting_level
    from delivered_once
),

answered as (
    select
        frame_id,
        station_id,
        message_id,
        is_asked_by_csms,
        is_call,
        action,
        received_at as called_at,
        lead(is_call) over bracket as next_is_call,
        lead(message_type) over bracket as answer_type,
        lead(received_at) over bracket as answered_at,
        lead(result_status) over bracket as result_status,
        lead(result_interval_s) over bracket as result_interval_s,
        lead(result_transaction_id) over bracket as result_transaction_id
    from levelled
    window bracket as (
        partition by station_id, connection_id, is_asked_by_csms, message_id, nesting_level
        order by received_at, message_type, frame_id
    )
)

select
    frame_id,
    station_id,
    message_id,
    action,
    called_at,
    answered_at,
    result_status,
    result_interval_s,
    result_transaction_id
from answered
where
    is_call
    and not next_is_call
    and answer_type = 3
    and action in (
        'BootNotification', 'StartTransaction', 'Authorize', 'TransactionEvent', 'RemoteStartTransaction',
        'RequestStartTransaction'
    )
    and is_asked_by_csms = (action in ('RemoteStartTransaction', 'RequestStartTransaction'))
