{# One row is the span in which a transaction id of a station means one session; samples find their session by it. #}
with starts as (
    select * from {{ ref('int_ocpp16_start_windows') }}
),

orphans as (
    select * from {{ ref('int_ocpp16_orphans') }}
),

ocpp2_sessions as (
    select * from {{ ref('int_ocpp2_sessions') }}
),

first_starts as (
    select
        station_id,
        transaction_id,
        min(first_received_at) as first_received_at,
        min(from_at) as first_from_at
    from starts
    group by station_id, transaction_id
)

select
    session_id,
    station_id,
    transaction_id,
    from_at,
    to_at,
    first_received_at as or_received_from,
    {{ no_instant() }} as received_before
from starts
union all
select
    orphans.session_id,
    orphans.station_id,
    orphans.transaction_id,
    orphans.from_at,
    least(orphans.to_at, coalesce(first_starts.first_from_at, orphans.to_at)) as to_at,
    {{ no_instant() }} as or_received_from,
    first_starts.first_received_at as received_before
from orphans
left join first_starts
    on
        orphans.station_id = first_starts.station_id
        and orphans.transaction_id = first_starts.transaction_id
union all
select
    session_id,
    station_id,
    transaction_id,
    case
        when use_number = 1 then {{ instant("'1900-01-01 00:00:00+00:00'") }}
        else started_at
    end as from_at,
    coalesce(
        lead(started_at) over (partition by station_id, transaction_id order by use_number),
        {{ instant("'9999-12-31 00:00:00+00:00'") }}
    ) as to_at,
    {{ no_instant() }} as or_received_from,
    {{ no_instant() }} as received_before
from ocpp2_sessions
