{# One row is one OCPP transaction, 1.6 or 2.x, as its start, stop and events tell it, with its port and site. #}
with ocpp16 as (
    select * from {{ ref('int_ocpp16_sessions') }}
),

ocpp2 as (
    select * from {{ ref('int_ocpp2_sessions') }}
),

port_connectors as (
    select * from {{ ref('int_port_connectors') }}
),

ports as (
    select * from {{ ref('dim_port') }}
),

stations as (
    select * from {{ ref('dim_station') }}
),

transactions as (
    select
        session_id,
        station_id,
        'ocpp1.6' as protocol,
        cast(null as integer) as evse_id,
        connector_id,
        transaction_id,
        started_at,
        started_at_quality,
        start_received_at,
        start_status,
        answered_at,
        cast(null as string) as trigger_reason,
        cast(null as bigint) as remote_start_id,
        cast(null as bigint) as use_number,
        cast(null as boolean) as has_offline_events,
        cast(null as bigint) as missing_event_count,
        stopped_at,
        stopped_at_quality,
        stop_received_at,
        id_token_hash,
        meter_start_wh,
        meter_stop_wh,
        reason,
        has_start,
        start_frame_id,
        stop_frame_id,
        last_event_at
    from ocpp16
    union all
    select
        session_id,
        station_id,
        coalesce(protocol, 'ocpp2.0.1') as protocol,
        evse_id,
        connector_id,
        transaction_id,
        started_at,
        started_at_quality,
        start_received_at,
        start_status,
        answered_at,
        trigger_reason,
        remote_start_id,
        use_number,
        has_offline_events,
        missing_event_count,
        stopped_at,
        stopped_at_quality,
        {{ no_instant() }} as stop_received_at,
        id_token_hash,
        cast(null as decimal(18, 3)) as meter_start_wh,
        cast(null as decimal(18, 3)) as meter_stop_wh,
        reason,
        has_start,
        start_frame_id,
        stop_frame_id,
        last_event_at
    from ocpp2
),

exact_ports as (
    select
        station_id,
        evse_id,
        connector_id,
        min(port_id) as port_id
    from port_connectors
    group by station_id, evse_id, connector_id
),

-- A 2.x transaction may name its EVSE only; an EVSE serves one vehicle at a time, so it is one port.
evse_ports as (
    select
        station_id,
        evse_id,
        min(port_id) as port_id
    from port_connectors
    where evse_id is not null
    group by station_id, evse_id
),

-- A 1.6 StopTransaction names no connector; where the station has one port only, there is no doubt.
only_ports as (
    select
        station_id,
        min(port_id) as port_id
    from port_connectors
    group by station_id
    having count(distinct port_id) = 1
),

-- The next transaction on the same connector (1.6) or EVSE (2.x): the one before has ended by then.
following as (
    select
        station_id,
        evse_id,
        outlet,
        started_at,
        lead(started_at) over (partition by station_id, evse_id, outlet order by started_at) as next_started_at
    from (
        select distinct
            station_id,
            evse_id,
            coalesce(evse_id, connector_id) as outlet,
            started_at
        from transactions
    ) as instants
),

placed as (
    select
        transactions.session_id,
        coalesce(
            exact_ports.port_id,
            evse_ports.port_id,
            case
                when transactions.evse_id is null and transactions.connector_id is null then only_ports.port_id
            end,
            transactions.station_id || '/' || cast(coalesce(transactions.evse_id, transactions.connector_id) as string)
        ) as port_id
    from transactions
    left join exact_ports
        on
            transactions.station_id = exact_ports.station_id
            and transactions.connector_id = exact_ports.connector_id
            and coalesce(transactions.evse_id, -1) = coalesce(exact_ports.evse_id, -1)
    left join evse_ports
        on
            transactions.station_id = evse_ports.station_id
            and transactions.evse_id = evse_ports.evse_id
    left join only_ports on transactions.station_id = only_ports.station_id
)

select
    transactions.session_id,
    transactions.station_id,
    placed.port_id,
    coalesce(ports.site_id, stations.site_id, 'unmapped') as site_id,
    ports.max_power_kw,
    transactions.protocol,
    transactions.evse_id,
    transactions.connector_id,
    transactions.transaction_id,
    transactions.started_at,
    transactions.started_at_quality,
    transactions.start_received_at,
    transactions.start_status,
    transactions.answered_at,
    transactions.trigger_reason,
    transactions.remote_start_id,
    transactions.use_number,
    transactions.has_offline_events,
    transactions.missing_event_count,
    transactions.stopped_at,
    transactions.stopped_at_quality,
    transactions.stop_received_at,
    transactions.id_token_hash,
    transactions.meter_start_wh,
    transactions.meter_stop_wh,
    transactions.reason,
    transactions.has_start,
    transactions.start_frame_id,
    transactions.stop_frame_id,
    transactions.last_event_at,
    following.next_started_at
from transactions
inner join placed on transactions.session_id = placed.session_id
left join ports on placed.port_id = ports.port_id
left join stations on transactions.station_id = stations.station_id
left join following
    on
        transactions.station_id = following.station_id
        and coalesce(transactions.evse_id, -1) = coalesce(following.evse_id, -1)
        and coalesce(transactions.evse_id, transactions.connector_id, -1) = coalesce(following.outlet, -1)
        and transactions.started_at = following.started_at
