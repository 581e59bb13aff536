r"""OCPP.Core: its tables MessageLog and Transactions, and its dump of one file per message.

``MessageLog(LogId, LogTime, ChargePointId, ConnectorId, Message, Result, ErrorCode)`` holds no frames but free text:
``Info= / Status=Available / `` on StatusNotification, ``Meter (kWh): 12.3 | Charge (kW): 3.4 | SoC (%): 55`` on
MeterValues (-1 is unknown). From these, and from BootNotification and Heartbeat, 1.6 frames are made; other rows tell
nothing a session could be built from and are left out. LogTime is UTC, the only clock there is. StatusNotification and
MeterValues are there at ``DbMessageLog`` = 2 only.

``Transactions`` gives the sessions: StartTime and StopTime are UTC, MeterStart and MeterStop kWh.

The dump's file name is data: ``2024-01-31_13-05-09-1234_ocpp16-in.txt`` is a frame that came in at that local time; the
folder has to name the charger (``station_id`` in its ``format.toml``).
"""

from pipelines.ocpp.formats.base import LogFormat, TableFormat, synthetic, times_ctes

_STATION = ("chargepointid", "chargeboxid")

MESSAGE_LOG = TableFormat(
    name="ocpp_core",
    columns={
        "logged_at": ("logtime",),
        "station": _STATION,
        "connector": ("connectorid",),
        "action": ("message",),
        "result": ("result",),
        "error_code": ("errorcode",),
        "log_id": ("logid",),
    },
    required=("logged_at", "station", "action", "result"),
    records_sql=rf"""
    with read as (
        select
            *,
            logged_at as stamp,
            left(md5(concat_ws('|', station, log_id, logged_at, action, result)), 16) as message_id,
            try_cast(connector as integer) as connector_number,
            regexp_extract(result, 'Status=([A-Za-z]+)', 1) as status,
            nullif(trim(regexp_extract(result, '^Info=(.*?) / Status=', 1)), '') as info,
            regexp_extract(result, 'Meter \(kWh\): ([0-9.,]+)', 1) as meter_kwh,
            regexp_extract(result, 'Charge \(kW\): ([0-9.,]+)', 1) as power_kw,
            regexp_extract(result, 'SoC \(%\): ([0-9.,]+)', 1) as charge_percent,
        from cells
    ),
    {times_ctes("read", "timed")},
    made as (
        select
            *,
            -- a time without offset is UTC here
            coalesce(received_at, timezone('UTC', received_local)) as instant,
            strftime(timezone('UTC', coalesce(received_at, timezone('UTC', received_local))), '%Y-%m-%dT%H:%M:%S.%gZ') as told_at,
        from timed
    ),
    frames as (
        select
            *,
            case
                when action = 'StatusNotification' and status <> '' then {
        synthetic(
            "'status-' || message_id",
            "StatusNotification",
            "'connectorId', coalesce(connector_number, 0)",
            "'status', status",
            "'errorCode', coalesce(error_code, 'NoError')",
            "'info', info",
            "'timestamp', told_at",
        )
    }
                when action = 'MeterValues' and (meter_kwh <> '' or power_kw <> '' or charge_percent <> '') then {
        synthetic(
            "'meter-' || message_id",
            "MeterValues",
            "'connectorId', coalesce(connector_number, 0)",
            "'meterValue', json_array(json_object('timestamp', told_at, 'sampledValue', list_filter(["
            "case when meter_kwh <> '' then json_object('value', replace(meter_kwh, ',', '.'), 'unit', 'kWh', "
            "'measurand', 'Energy.Active.Import.Register') end, "
            "case when power_kw <> '' then json_object('value', replace(power_kw, ',', '.'), 'unit', 'kW', "
            "'measurand', 'Power.Active.Import') end, "
            "case when charge_percent <> '' then json_object('value', replace(charge_percent, ',', '.'), 'unit', 'Percent', "
            "'measurand', 'SoC') end], lambda s: s is not null)))",
        )
    }
                when action in ('BootNotification', 'Heartbeat')
                    then '[2,"log-' || message_id || '","' || action || '",{{}}]'
            end as frame,
        from made
    )
    select
        line_number,
        case when frame is null and problem is null then 'noise' else 'frame' end as kind,
        instant as received_at,
        null::timestamp as received_local,
        station as station_id,
        null::varchar as connection_id,
        'from_station' as side,
        null::varchar as protocol,
        frame,
        null::integer as close_code,
        coalesce(problem, case when is_bad_time then 'bad_time' when stamp_missing then 'missing_time' end) as problem,
    from (select *, instant is null as stamp_missing from frames)
    """,
)

TRANSACTIONS = TableFormat(
    name="ocpp_core_transactions",
    columns={
        "transaction_id": ("transactionid",),
        "station": _STATION,
        "connector": ("connectorid",),
        "id_tag": ("starttagid",),
        "started": ("starttime",),
        "meter_start": ("meterstart",),
        "start_result": ("startresult",),
        "stop_tag": ("stoptagid",),
        "stopped": ("stoptime",),
        "meter_stop": ("meterstop",),
        "stop_reason": ("stopreason",),
    },
    required=("transaction_id", "station", "connector", "id_tag", "started", "meter_start", "stopped"),
    time_quality="event_time",
    records_sql=f"""
    with told as (
        select *, {
        " , ".join(
            f"strftime(timezone('UTC', coalesce(case when regexp_matches({name}, '(?:Z|[+-][0-9]{{2}}(?::?[0-9]{{2}})?)$') "
            f"then try_cast({name} as timestamptz) end, timezone('UTC', try_cast({name} as timestamp)))), "
            f"'%Y-%m-%dT%H:%M:%S.%gZ') as {name}_at"
            for name in ("started", "stopped")
        )
    }
        from cells
    ),
    frames as (
        select
            line_number, problem, station, started_at as stamp, 'from_station' as side,
            {
        synthetic(
            "'start-' || transaction_id",
            "StartTransaction",
            "'connectorId', try_cast(connector as integer)",
            "'idTag', id_tag",
            "'meterStart', cast(round(try_cast(replace(meter_start, ',', '.') as double) * 1000) as bigint)",
            "'timestamp', started_at",
        )
    } as frame,
        from told
        union all
        select
            line_number, problem, station, started_at as stamp, 'to_station' as side,
            '[3,' || to_json('start-' || transaction_id) || ',{{"transactionId":' || transaction_id
            || ',"idTagInfo":{{"status":' || to_json(coalesce(start_result, 'Accepted')) || '}}}}]' as frame,
        from told
        where problem is null
        union all
        select
            line_number, problem, station, stopped_at as stamp, 'from_station' as side,
            {
        synthetic(
            "'stop-' || transaction_id",
            "StopTransaction",
            "'transactionId', try_cast(transaction_id as bigint)",
            "'idTag', stop_tag",
            "'meterStop', cast(round(try_cast(replace(meter_stop, ',', '.') as double) * 1000) as bigint)",
            "'timestamp', stopped_at",
            "'reason', stop_reason",
        )
    } as frame,
        from told
        where problem is null and stopped_at is not null
    ),
    {times_ctes("frames", "timed")}
    select
        line_number,
        'frame' as kind,
        received_at,
        received_local,
        station as station_id,
        null::varchar as connection_id,
        side,
        'ocpp1.6' as protocol,
        frame,
        null::integer as close_code,
        coalesce(problem, case when received_at is null then 'bad_time' end) as problem,
    from timed
    """,
)

DUMP = LogFormat(
    name="ocpp_core_dump",
    line_pattern=r"(?!)",  # told by the file's name: see is_dump
    container="dump",
    records_sql=rf"""
    with whole as (
        select
            min(line_number) as line_number,
            trim(string_agg(line, '' order by line_number), e' \t\r\n') as frame,
            regexp_extract(
                '@file_name@', '^(\d{{4}}-\d{{2}}-\d{{2}}_\d{{2}}-\d{{2}}-\d{{2}})-(\d{{4}})_ocpp(\d+)-(in|out)',
                ['moment', 'fraction', 'version', 'way']
            ) as part,
        from chunk
    ),
    stamped as (
        -- .NET's ffff: ten-thousandths of a second
        select *, replace(part.moment, '_', ' ') || '.' || part.fraction as stamp,
        from whole
    ),
    {times_ctes("stamped", "timed")}
    select
        line_number,
        case when frame = '' then 'noise' else 'frame' end as kind,
        received_at,
        received_local,
        null::varchar as station_id,
        null::varchar as connection_id,
        part.way as side,
        case part.version when '16' then 'ocpp1.6' when '20' then 'ocpp2.0.1' when '201' then 'ocpp2.0.1' when '21'
            then 'ocpp2.1' end as protocol,
        frame,
        null::integer as close_code,
        case when is_bad_time then 'bad_time' end as problem,
    from timed
    """,
)

DUMP_NAME = r"\d{4}-\d{2}-\d{2}_\d{2}-\d{2}-\d{2}-\d{4}_ocpp\d+-(?:in|out)\b"
