{# One row is one session that an OCPP 1.6 station announced by StartTransaction. #}
with attempts as (
    select * from {{ ref('int_ocpp16_start_attempts') }}
),

first_attempts as (
    select *
    from attempts
    qualify row_number() over (partition by session_id order by received_at, frame_id) = 1
),

unanswered as (
    select distinct session_id
    from attempts
    where result_transaction_id is null
)

select
    first_attempts.session_id,
    first_attempts.station_id,
    first_attempts.connector_id,
    first_attempts.assigned_transaction_id,
    unanswered.session_id is not null as has_unanswered_attempt,
    first_attempts.started_at,
    first_attempts.started_at_quality,
    first_attempts.start_status,
    first_attempts.answered_at,
    first_attempts.id_token_hash,
    first_attempts.meter_wh as meter_start_wh,
    first_attempts.frame_id as start_frame_id,
    first_attempts.received_at,
    lead(first_attempts.started_at) over (
        partition by first_attempts.station_id, first_attempts.connector_id
        order by first_attempts.started_at, first_attempts.session_id
    ) as next_started_at
from first_attempts
left join unanswered on first_attempts.session_id = unanswered.session_id
