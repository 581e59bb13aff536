{# One row is one change of the charging state that the running 2.x transaction of a port reports. #}
with transaction_events as (
    select *
    from {{ ref('int_transaction_events') }}
    where protocol like 'ocpp2%' and transaction_id is not null
),

port_connectors as (
    select *
    from {{ ref('int_port_connectors') }}
),

watch as (
    select *
    from {{ ref('int_station_watch') }}
),

connectors as (
    select
        port_id,
        station_id,
        evse_id,
        nullif(connector_id, 0) as connector_id,
        count(nullif(connector_id, 0)) over (partition by station_id, evse_id) as named_connector_count
    from port_connectors
    where evse_id is not null
),

late as (
    {{ late_deliveries('transaction_events', 'corrected_event_at') }}
),

timed as (
    select
        transaction_events.station_id,
        transaction_events.transaction_id,
        transaction_events.event_type,
        transaction_events.charging_state,
        transaction_events.evse_id,
        nullif(transaction_events.connector_id, 0) as connector_id,
        {{ message_time(
            'transaction_events.corrected_event_at',
            'transaction_events.received_at',
            '(late.frame_id is not null or (transaction_events.is_offline and transaction_events.corrected_event_at >= watch.first_life_at))',
        ) }} as happened_at,
        transaction_events.received_at,
        transaction_events.seq_no,
        transaction_events.frame_id,
        watch.known_until_at
    from transaction_events
    -- a queued event may be older than any silence that the log shows, but not older than the log
    inner join watch on transaction_events.station_id = watch.station_id
    left join late
        on transaction_events.frame_id = late.frame_id and transaction_events.corrected_event_at = late.event_at
),

-- only the first event of a transaction must name its EVSE
transactions as (
    select
        station_id,
        transaction_id,
        event_type,
        happened_at,
        received_at,
        seq_no,
        frame_id,
        known_until_at,
        max(evse_id) over (partition by station_id, transaction_id) as evse_id,
        max(connector_id) over (partition by station_id, transaction_id) as connector_id,
        {{ last_known(
            'charging_state',
            'partition by station_id, transaction_id order by happened_at, received_at nulls first, seq_no nulls first, frame_id',
        ) }} as charging_state,
        sum(case when event_type = 'Ended' then 1 else 0 end) over (
            partition by station_id, transaction_id
            order by happened_at, received_at nulls first, seq_no nulls first, frame_id
            rows between unbounded preceding and current row
        ) as ended_count
    from timed
    where happened_at is not null
),

port_events as (
    select distinct
        connectors.port_id,
        transactions.station_id,
        transactions.transaction_id,
        transactions.event_type,
        transactions.charging_state,
        transactions.happened_at,
        transactions.received_at,
        transactions.seq_no,
        transactions.frame_id,
        transactions.known_until_at
    from transactions
    inner join connectors
        on
            transactions.station_id = connectors.station_id
            and transactions.evse_id = connectors.evse_id
    where
        -- an EVSE whose connectors were never named is its own connector
        (connectors.connector_id is not null or connectors.named_connector_count = 0)
        and coalesce(transactions.connector_id = connectors.connector_id, true)
        -- what is told of a transaction after its end changes nothing
        and (transactions.ended_count = 0 or (transactions.event_type = 'Ended' and transactions.ended_count = 1))
),

followed as (
    select
        port_id,
        station_id,
        transaction_id,
        event_type,
        charging_state,
        happened_at,
        received_at,
        seq_no,
        frame_id,
        known_until_at,
        {{ last_known(
            "case when event_type <> 'Ended' then transaction_id end",
            'partition by port_id order by happened_at, received_at nulls first, seq_no nulls first, frame_id',
        ) }} as running_transaction_id
    from port_events
),

last_of_second as (
    select
        followed.port_id,
        {{ whole_second('least(followed.happened_at, followed.known_until_at)') }} as changed_at,
        case when followed.event_type = 'Ended' then 'none' else coalesce(followed.charging_state, 'none') end
            as charging_state
    from followed
    -- the end of an older transaction that lingered on does not end the one that runs
    where followed.event_type <> 'Ended' or followed.transaction_id = followed.running_transaction_id
    qualify row_number() over (
        partition by followed.port_id, {{ whole_second('least(followed.happened_at, followed.known_until_at)') }}
        order by
            followed.happened_at desc,
            followed.received_at desc nulls last,
            followed.seq_no desc nulls last,
            followed.frame_id desc
    ) = 1
)

select
    port_id,
    changed_at,
    case charging_state
        when 'Charging' then 'charging'
        when 'SuspendedEV' then 'suspended_ev'
        when 'SuspendedEVSE' then 'suspended_evse'
    end as state
from last_of_second
