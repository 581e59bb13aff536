{# One row is one BootNotification or StartTransaction call with the result that answered it. #}
{# Chargers reuse message ids ("1" for every boot), so an answer belongs to the nearest earlier call of the same station,
   connection and id that is still unanswered: matching brackets. A call opens a level, an answer closes the innermost
   one; the two rows of a pair follow each other within their level. #}
with frames as (
    select *
    from {{ ref('stg_ocpp__frames') }}
),

messages as (
    select
        frame_id,
        station_id,
        coalesce(connection_id, '') as connection_id,
        message_id,
        received_at,
        message_type = 2 as is_call,
        action,
        message_type,
        result_status,
        result_interval_s,
        result_transaction_id
    from frames
    where
        message_id is not null
        and (
            (message_type = 2 and direction <> 'to_station')
            or (message_type in (3, 4) and direction <> 'from_station')
        )
),

-- sorting is the cost here: ids that no boot or start ever used are left out first
wanted_ids as (
    select distinct station_id, connection_id, message_id
    from messages
    where is_call and action in ('BootNotification', 'StartTransaction')
),

levelled as (
    select
        messages.*,
        sum(case when messages.is_call then 1 else -1 end) over (
            partition by messages.station_id, messages.connection_id, messages.message_id
            -- in a log with whole seconds the call comes first
            order by messages.received_at, messages.message_type, messages.frame_id
            rows between unbounded preceding and current row
        ) + case when messages.is_call then 0 else 1 end as nesting_level
    from messages
    inner join wanted_ids
        on
            messages.station_id = wanted_ids.station_id
            and messages.connection_id = wanted_ids.connection_id
            and messages.message_id = wanted_ids.message_id
),

answered as (
    select
        frame_id,
        station_id,
        message_id,
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
        partition by station_id, connection_id, message_id, nesting_level
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
    and action in ('BootNotification', 'StartTransaction')
