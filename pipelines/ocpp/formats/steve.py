"""SteVe: the lines of its log, and its database tables as exported by any SQL client.

Log lines of both generations (with and without the thread's name)::

    [INFO ] 2024-02-26 09:10:45,446 ...WebSocketLogger - [chargeBoxId=A, sessionId=5863] Received: [2,"5c","Heartbeat",{}]
    [WARN ] 2024-02-26 09:11:00,001 ...WebSocketLogger (qtp-36) - [chargeBoxId=A, sessionId=5863] Connection is closed, \
status: CloseStatus[code=1006, reason=null]

``sessionId`` is the websocket connection. Times are local without offset: UTC in today's releases, a configured zone in
older ones. Log lines copied through a browser hold tabs for blanks.

Tables: ``connector_status``, ``transaction_start``, ``transaction_stop``, the view ``transaction`` and
``connector_meter_value``, each joined with ``connector`` (since 2025: ``evse``) for ``charge_box_id`` and
``connector_id``. A row becomes the OCPP 1.6 frames that made it. ``*_event_timestamp`` is SteVe's clock, the other
times are the charger's; statuses and meter values keep no time of arrival, so the charger's time stands in for it and
``received_at_quality`` says ``event_time``. SteVe itself may have written ``Charging`` at a start and ``Available`` at a
stop into ``connector_status``: such rows look like the charger's own.
"""

from pipelines.ocpp.formats.base import TableFormat, framed_lines, synthetic, times_ctes

LOG = framed_lines(
    "steve",
    line_pattern=r"\[chargeBoxId=[^\]]*\]\s+(?:Received|Sending|Connection|Clos|Attempted)",
    parts=(
        r"^(?:\[[A-Z ]+\]\s+)?(\d{4}-\d{2}-\d{2}[ \tT]+\d{2}:\d{2}:\d{2}(?:[.,]\d+)?(?:Z|[+-]\d{2}:?\d{2})?)?.*?"
        r"\[chargeBoxId=(.*?)(?:,\s*sessionId=([^\],]*))?\]\s+(?:(Received|Sending)(?: message)?:\s+(.*)|(.*))$"
    ),
    groups=("stamp", "station", "connection", "way", "frame", "rest"),
    stamp=r"replace(part.stamp, e'\t', ' ')",
    station="part.station",
    connection="nullif(part.connection, '')",
    side="case part.way when 'Received' then 'in' when 'Sending' then 'out' end",
    kind=r"""
        case
            when starts_with(part.rest, 'Connection is established') then 'connect'
            when regexp_matches(part.rest, '^Connection (?:is closed|ended unexpectedly)') then 'disconnect'
            when not contains(text, '[chargeBoxId=') or not regexp_matches(text, '(?:Received|Sending):?.*\[') then 'noise'
        end
    """,
    close_code=r"nullif(regexp_extract(part.rest, 'CloseStatus\[code=(\d+)', 1), '')",
)

_STATION = ("chargeboxid", "chargepointid", "stationid")
_CONNECTOR = ("connectorid", "evseid")
_PK = ("connectorpk", "evsepk")


def _rows(
    name: str, columns: dict[str, tuple[str, ...]], required: tuple[str, ...], frames: str, quality: str
) -> TableFormat:
    """Make a table format; ``frames`` is SQL that gives line_number, problem, stamp, side, station_id, frame."""
    # where the charger's time stands in for the arrival, nothing else could tell the zone
    instant = "received_at, received_local"
    if quality == "event_time":
        instant = "coalesce(received_at, timezone('@zone@', received_local)) as received_at, null::timestamp as received_local"
    return TableFormat(
        name=name,
        columns={"station": _STATION, "connector": _CONNECTOR, "pk": _PK} | columns,
        required=required,
        time_quality=quality,
        records_sql=f"""
        with {frames},
        {times_ctes("frames", "timed")}
        select
            line_number,
            'frame' as kind,
            -- SteVe stores times in its own zone, UTC unless it was configured otherwise
            {instant},
            station as station_id,
            null::varchar as connection_id,
            side,
            'ocpp1.6' as protocol,
            frame,
            null::integer as close_code,
            coalesce(
                problem,
                case
                    when station is null and '@station_id@' = '' then 'missing_station_id'
                    when needs_connector and connector is null then 'missing_connector_id'
                    when is_bad_time then 'bad_time'
                    when received_at is null and received_local is null then 'missing_time'
                end
            ) as problem,
        from timed
        """,
    )


def _instant(column: str) -> str:
    """SQL that writes a database time as RFC 3339; ``@zone@`` is the zone of times without offset."""
    return (
        f"strftime(timezone('UTC', coalesce("
        f"case when regexp_matches({column}, '(?:Z|[+-]\\d{{2}}(?::?\\d{{2}})?)$') "
        f"then try_cast({column} as timestamptz) end, "
        f"timezone('@zone@', try_cast({column} as timestamp)))), '%Y-%m-%dT%H:%M:%S.%gZ')"
    )


_START_FRAMES = f"""
    select
        line_number, problem, station, connector, true as needs_connector,
        coalesce(start_event_at, start_at) as stamp, 'from_station' as side,
        {
    synthetic(
        "'start-' || transaction_id",
        "StartTransaction",
        "'connectorId', try_cast(connector as integer)",
        "'idTag', id_tag",
        "'meterStart', cast(round(try_cast(start_value as double)) as bigint)",
        f"'timestamp', {_instant('start_at')}",
    )
} as frame,
    from cells
    where start_at is not null or problem is not null
    union all
    select
        line_number, problem, station, connector, true as needs_connector,
        coalesce(start_event_at, start_at) as stamp, 'to_station' as side,
        '[3,' || to_json('start-' || transaction_id) || ',{{"transactionId":' || transaction_id
        || ',"idTagInfo":{{"status":"Accepted"}}}}]' as frame,
    from cells
    where start_at is not null and problem is null
"""

_STOP_FRAMES = f"""
    select
        line_number, problem, station, connector, false as needs_connector,
        coalesce(stop_event_at, stop_at) as stamp, 'from_station' as side,
        {
    synthetic(
        "'stop-' || transaction_id",
        "StopTransaction",
        "'transactionId', try_cast(transaction_id as bigint)",
        "'meterStop', cast(round(try_cast(stop_value as double)) as bigint)",
        f"'timestamp', {_instant('stop_at')}",
        "'reason', stop_reason",
    )
} as frame,
    from cells
    where stop_at is not null
"""

TRANSACTION = _rows(
    "steve_transaction",
    {
        "transaction_id": ("transactionpk", "transactionid", "id"),
        "id_tag": ("idtag", "ocppidtag"),
        "start_event_at": ("starteventtimestamp",),
        "start_at": ("starttimestamp",),
        "start_value": ("startvalue",),
        "stop_event_at": ("stopeventtimestamp",),
        "stop_at": ("stoptimestamp",),
        "stop_value": ("stopvalue",),
        "stop_reason": ("stopreason",),
    },
    ("transaction_id", "id_tag", "start_at", "start_value", "stop_at", "stop_value"),
    f"frames as ({_START_FRAMES} union all {_STOP_FRAMES})",
    "logged",
)

TRANSACTION_START = _rows(
    "steve_transaction_start",
    {
        "transaction_id": ("transactionpk",),
        "id_tag": ("idtag",),
        "start_event_at": ("eventtimestamp",),
        "start_at": ("starttimestamp",),
        "start_value": ("startvalue",),
    },
    ("transaction_id", "id_tag", "start_event_at", "start_at", "start_value"),
    f"frames as ({_START_FRAMES})",
    "logged",
)

TRANSACTION_STOP = _rows(
    "steve_transaction_stop",
    {
        "transaction_id": ("transactionpk",),
        "stop_event_at": ("eventtimestamp",),
        "stop_at": ("stoptimestamp",),
        "stop_value": ("stopvalue",),
        "stop_reason": ("stopreason",),
    },
    ("transaction_id", "stop_event_at", "stop_at", "stop_value"),
    f"frames as ({_STOP_FRAMES} or problem is not null)",
    "logged",
)

STATUS = _rows(
    "steve_status",
    {
        "status_at": ("statustimestamp",),
        "status": ("status",),
        "error_code": ("errorcode",),
        "error_info": ("errorinfo",),
        "vendor_id": ("vendorid",),
        "vendor_error_code": ("vendorerrorcode",),
    },
    ("status_at", "status", "error_code"),
    f"""
    frames as (
        select
            line_number, problem, station, connector, true as needs_connector, status_at as stamp, 'from_station' as side,
            {
        synthetic(
            "'status-' || left(md5(concat_ws('|', station, connector, status_at, status, error_code)), 16)",
            "StatusNotification",
            "'connectorId', try_cast(connector as integer)",
            "'status', status",
            "'errorCode', error_code",
            "'info', error_info",
            "'vendorId', vendor_id",
            "'vendorErrorCode', vendor_error_code",
            f"'timestamp', {_instant('status_at')}",
        )
    } as frame,
        from cells
    )
    """,
    "event_time",
)

METER = _rows(
    "steve_meter",
    {
        "transaction_id": ("transactionpk",),
        "value_at": ("valuetimestamp",),
        "value": ("value",),
        "context": ("readingcontext",),
        "sample_format": ("format",),
        "measurand": ("measurand",),
        "location": ("location",),
        "unit": ("unit",),
        "phase": ("phase",),
    },
    ("value_at", "value", "measurand"),
    f"""
    frames as (
        select
            line_number, problem, station, connector, true as needs_connector, value_at as stamp, 'from_station' as side,
            {
        synthetic(
            "'meter-' || left(md5(concat_ws('|', station, connector, value_at, value, coalesce(measurand, ''), "
            "coalesce(phase, ''), coalesce(context, ''), coalesce(location, ''))), 16)",
            "MeterValues",
            "'connectorId', try_cast(connector as integer)",
            "'transactionId', try_cast(transaction_id as bigint)",
            f"'meterValue', json_array(json_object('timestamp', {_instant('value_at')}, 'sampledValue', json_array("
            "json_merge_patch('{}', json_object('value', value, 'context', context, 'format', sample_format, "
            "'measurand', measurand, 'location', location, 'unit', unit, 'phase', phase)))))",
        )
    } as frame,
        from cells
    )
    """,
    "event_time",
)
