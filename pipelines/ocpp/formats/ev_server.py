"""Collections of open-e-mobility / SAP ev-server, one document per line or in an array (``mongoexport``).

``statusnotifications``, ``metervalues`` (one document per sampled value), ``bootnotifications``, ``heartbeats``,
``authorizes`` and ``transactions`` with ``chargeBoxID`` and ``timestamp``; a document becomes the 1.6 frames that made
it. ``timestamp`` is the charger's own in statuses, meter values and transactions, so ``received_at_quality`` says
``event_time``.
"""

from pipelines.ocpp.formats.base import TableFormat, synthetic, times_ctes

_AT = "strftime(timezone('UTC', try_cast(at_text as timestamptz)), '%Y-%m-%dT%H:%M:%S.%gZ')"
_STOPPED = "strftime(timezone('UTC', try_cast(stop_text as timestamptz)), '%Y-%m-%dT%H:%M:%S.%gZ')"


def _date(column: str) -> str:
    """SQL of the text of a Mongo date: ``"2026-..."``, ``{"$date": "2026-..."}`` or ``{"$date": {"$numberLong": "1"}}``."""
    return f"""
        case
            when not starts_with({column}, '{{') then {column}
            when json_extract_string({column}, '$."$date"."$numberLong"') is not null
                then cast(make_timestamptz(
                    try_cast(json_extract_string({column}, '$."$date"."$numberLong"') as bigint) * 1000
                ) as varchar)
            else json_extract_string({column}, '$."$date"')
        end
    """


FORMAT = TableFormat(
    name="ev_server",
    columns={
        "station": ("chargeboxid",),
        "logged_at": ("timestamp",),
        "connector": ("connectorid",),
        "status": ("status",),
        "error_code": ("errorcode",),
        "info": ("info",),
        "vendor_error_code": ("vendorerrorcode",),
        "value": ("value",),
        "attribute": ("attribute",),
        "transaction_id": ("transactionid",),
        "id": ("id",),
        "tag": ("tagid",),
        "meter_start": ("meterstart",),
        "stop": ("stop",),
        "vendor": ("chargepointvendor",),
        "model": ("chargepointmodel",),
        "serial": ("chargepointserialnumber",),
        "firmware": ("firmwareversion",),
        "timezone": ("timezone",),
    },
    required=("station", "logged_at"),
    time_quality="event_time",
    records_sql=rf"""
    with told as (
        select *, {_date("logged_at")} as at_text, json_extract_string(stop, '$.timestamp') as stop_json,
        from cells
    ),
    dated as (select *, {_date("stop_json")} as stop_text from told),
    kept as (select *, left(md5(concat_ws('|', station, line)), 16) as message_id from dated),
    frames as (
        select
            line_number, problem, station, at_text as stamp, 'from_station' as side,
            case
                when meter_start is not null then {
        synthetic(
            "'start-' || id",
            "StartTransaction",
            "'connectorId', try_cast(connector as integer)",
            "'idTag', tag",
            "'meterStart', cast(round(try_cast(meter_start as double)) as bigint)",
            f"'timestamp', {_AT}",
        )
    }
                when status is not null and error_code is not null then {
        synthetic(
            "'status-' || message_id",
            "StatusNotification",
            "'connectorId', try_cast(connector as integer)",
            "'status', status",
            "'errorCode', error_code",
            "'info', nullif(info, '')",
            "'vendorErrorCode', nullif(vendor_error_code, '')",
            f"'timestamp', {_AT}",
        )
    }
                when attribute is not null then {
        synthetic(
            "'meter-' || message_id",
            "MeterValues",
            "'connectorId', try_cast(connector as integer)",
            "'transactionId', try_cast(transaction_id as bigint)",
            f"'meterValue', json_array(json_object('timestamp', {_AT}, 'sampledValue', json_array("
            "json_merge_patch(attribute, json_object('value', value)))))",
        )
    }
                when vendor is not null then {
        synthetic(
            "'boot-' || message_id",
            "BootNotification",
            "'chargePointVendor', vendor",
            "'chargePointModel', model",
            "'chargePointSerialNumber', serial",
            "'firmwareVersion', firmware",
        )
    }
                when tag is not null then {synthetic("'authorize-' || message_id", "Authorize", "'idTag', tag")}
                else '[2,"heartbeat-' || message_id || '","Heartbeat",{{}}]'
            end as frame,
        from kept
        union all
        select
            line_number, problem, station, at_text as stamp, 'to_station' as side,
            '[3,' || to_json('start-' || id) || ',{{"transactionId":' || id || ',"idTagInfo":{{"status":"Accepted"}}}}]' as frame,
        from kept
        where meter_start is not null and problem is null
        union all
        select
            line_number, problem, station, stop_text as stamp, 'from_station' as side,
            {
        synthetic(
            "'stop-' || id",
            "StopTransaction",
            "'transactionId', try_cast(id as bigint)",
            "'idTag', json_extract_string(stop, '$.tagID')",
            "'meterStop', cast(round(try_cast(json_extract_string(stop, '$.meterStop') as double)) as bigint)",
            f"'timestamp', {_STOPPED}",
            "'reason', json_extract_string(stop, '$.reason')",
        )
    } as frame,
        from kept
        where meter_start is not null and problem is null and stop_text is not null
    ),
    {times_ctes("frames", "timed")}
    select
        line_number,
        'frame' as kind,
        coalesce(received_at, timezone('UTC', received_local)) as received_at,
        null::timestamp as received_local,
        station as station_id,
        null::varchar as connection_id,
        side,
        'ocpp1.6' as protocol,
        frame,
        null::integer as close_code,
        coalesce(
            problem,
            case when station is null then 'missing_station' when received_at is null and received_local is null then 'bad_time' end
        ) as problem,
    from timed
    """,
)
