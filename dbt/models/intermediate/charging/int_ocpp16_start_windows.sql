{# One row is the span in which a transaction id of an OCPP 1.6 station means one started session. #}
with attempts as (
    select * from {{ ref('int_ocpp16_start_attempts') }}
),

starts as (
    select * from {{ ref('int_ocpp16_starts') }}
),

assigned as (
    select distinct
        starts.session_id,
        starts.station_id,
        attempts.result_transaction_id as transaction_id,
        starts.started_at,
        starts.received_at
    from attempts
    inner join starts on attempts.session_id = starts.session_id
    where attempts.result_transaction_id is not null
),

-- Ids come back: 0 or -1 for every transaction, or from 1 again after the CSMS was installed anew. Each use of an id
-- lasts until its next use.
ordered as (
    select
        *,
        row_number() over (partition by station_id, transaction_id order by started_at, session_id) as use_number,
        lead(started_at) over (partition by station_id, transaction_id order by started_at, session_id) as next_used_at
    from assigned
)

select
    session_id,
    station_id,
    transaction_id,
    -- The first samples may carry a time just before the start they belong to.
    case when use_number = 1 then started_at - interval '60' second else started_at end as from_at,
    coalesce(next_used_at, {{ instant("'9999-12-31 00:00:00+00:00'") }}) as to_at,
    -- What arrives after the id was first given out belongs to it whatever the charger's clock says.
    case when use_number = 1 then received_at end as first_received_at
from ordered
