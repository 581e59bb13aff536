"""Tables of frames: one row (CSV) or JSON object per frame, each system under its own column names.

* CitrineOS: the table ``OCPPMessages`` (``stationId``, ``origin`` cs or csms, ``protocol``, ``message``, ``timestamp``);
  its ``requestMessageId`` is not used, because it links stations that use the same id.
* kWwhat: ``timestamp,id,action,msg``; ``id`` is the charger.
* INL's KPI tool: ``device_ID,message,timestamp``.
* ocpp-lens: ``{"timestamp": ..., "message": [...]}``; names no station.
* The portal export ``[{"timestamp": ..., "payload": "[...]"}]``: newest first in whole seconds, names no station.
* ``frame_table``: any other table with a column for the time and one for the frame, and if possible for the station and
  the direction, under usual names.

A message id is unique among the open calls of a station, so the direction of an answer comes from its call wherever that
stands in the file: newest first, or behind it.
"""

from pipelines.ocpp.formats.base import TableFormat, times_ctes
from pipelines.ocpp.typed import CSMS_ACTIONS, STATION_ACTIONS

_TIMES = (
    "timestamp",
    "time",
    "ts",
    "datetime",
    "capturedat",
    "receivedat",
    "loggedat",
    "messagetime",
    "createdat",
    "created",
    "date",
    "eventtime",
    "writetimestamp",
)
_FRAMES = (
    "frame",
    "rawframe",
    "message",
    "payload",
    "msg",
    "raw",
    "rawmessage",
    "ocppmessage",
    "data",
    "content",
    "body",
)
_STATIONS = (
    "chargerid",
    "chargepointid",
    "chargeboxid",
    "stationid",
    "chargingstationid",
    "deviceid",
    "evseid",
    "cpid",
    "charger",
    "chargepoint",
    "station",
    "device",
    "identity",
    "sheet",
)


def _frames(
    name: str, columns: dict[str, tuple[str, ...]], required: tuple[str, ...], *, side: str = "null::varchar"
) -> TableFormat:
    """Make the format of a table that has columns ``logged_at`` and ``frame``, and maybe ``station``, ``way``, ``protocol``."""
    named = dict.fromkeys(("station", "way", "protocol", "connection"), ()) | columns
    return TableFormat(
        name=name,
        columns=named,
        required=required,
        records_sql=rf"""
        with told as (
            select
                line_number,
                problem,
                station,
                connection,
                protocol,
                logged_at as stamp,
                -- a message that the system could not parse is JSON text inside a JSON text
                case when starts_with(frame, '"') then coalesce(try_cast(frame as json) ->> '$', frame) else frame end
                    as frame,
                {side} as logged_side,
            from cells
        ),
        {times_ctes("told", "timed")},
        parts as (
            select
                *,
                regexp_extract(
                    frame, '^\s*\[\s*([2-6])\s*,\s*(?:"((?:[^"\\]|\\.)*)"|([^,\s]+))\s*(?:,\s*"(\w+)")?',
                    ['type', 'text_id', 'other_id', 'action'], 's'
                ) as part,
            from timed
        ),
        calls as (
            select
                *,
                case
                    when logged_side is not null then logged_side
                    when part.type in ('2', '6') and part.action in ({STATION_ACTIONS}) then 'from_station'
                    when part.type in ('2', '6') and part.action in ({CSMS_ACTIONS}) then 'to_station'
                end as call_side,
            from parts
        ),
        sided as (
            select
                *,
                coalesce(
                    call_side,
                    case
                        when part.type in ('3', '4', '5') then
                            case coalesce(
                                last_value(case when part.type = '2' then call_side end ignore nulls) over earlier,
                                first_value(case when part.type = '2' then call_side end ignore nulls) over later
                            )
                                when 'from_station' then 'to_station' when 'to_station' then 'from_station'
                                when 'in' then 'out' when 'out' then 'in'
                            end
                    end
                ) as side,
            from calls
            window
                -- in time, and among equal times where they stand
                earlier as (
                    partition by station, part.text_id, part.other_id
                    order by received_at, received_local, line_number
                    rows between unbounded preceding and current row
                ),
                later as (
                    partition by station, part.text_id, part.other_id
                    order by received_at, received_local, line_number
                    rows between current row and unbounded following
                )
        )
        select
            line_number,
            'frame' as kind,
            received_at,
            received_local,
            station as station_id,
            connection as connection_id,
            side,
            case
                when lower(protocol) in ('1.6', '1.6j', 'ocpp1.6', 'ocpp1.6j', 'ocpp16') then 'ocpp1.6'
                when lower(protocol) in ('2.0.1', 'ocpp2.0.1', 'ocpp201') then 'ocpp2.0.1'
                when lower(protocol) in ('2.1', 'ocpp2.1', 'ocpp21') then 'ocpp2.1'
            end as protocol,
            frame,
            null::integer as close_code,
            coalesce(
                problem,
                case when frame is null then 'missing_frame' when is_bad_time then 'bad_time' end
            ) as problem,
        from sided
        """,
    )


CITRINEOS = _frames(
    "citrineos",
    {
        "station": ("stationid",),
        "way": ("origin",),
        "protocol": ("protocol",),
        "frame": ("message",),
        "logged_at": ("timestamp",),
        "correlation": ("correlationid",),
    },
    ("station", "way", "frame", "logged_at", "correlation"),
    side="case way when 'cs' then 'from_station' when 'csms' then 'to_station' end",
)

KWWHAT = _frames(
    "kwwhat",
    {"station": ("id",), "frame": ("msg",), "logged_at": ("timestamp",), "action": ("action",)},
    ("station", "frame", "logged_at", "action"),
)

INL = _frames(
    "inl_kpi",
    {"station": ("deviceid",), "frame": ("message",), "logged_at": ("timestamp",)},
    ("station", "frame", "logged_at"),
)

PORTAL = _frames("portal_export", {"frame": ("payload",), "logged_at": ("timestamp",)}, ("frame", "logged_at"))

LENS = _frames("ocpp_lens", {"frame": ("message",), "logged_at": ("timestamp",)}, ("frame", "logged_at"))

FRAME_TABLE = _frames(
    "frame_table",
    {
        "station": _STATIONS,
        "frame": _FRAMES,
        "logged_at": _TIMES,
        "way": ("direction", "dir", "origin", "sender", "from"),
        "protocol": ("protocol", "ocppversion", "version", "subprotocol"),
        "connection": ("connectionid", "conn", "sessionid", "websocketid"),
    },
    ("frame", "logged_at"),
    side="""
        case
            when lower(way) in ('from_cp', 'from_station', 'fromcp', 'cs', 'cp', 'chargepoint', 'charge_point', 'charger',
                'chargingstation', 'station', 'upstream', 'cp->csms', 'cs->csms', 'cp_to_csms', 'from_charger')
                then 'from_station'
            when lower(way) in ('to_cp', 'to_station', 'tocp', 'csms', 'centralsystem', 'central_system', 'server',
                'downstream', 'csms->cp', 'csms->cs', 'csms_to_cp', 'to_charger')
                then 'to_station'
            when lower(way) in ('in', 'inbound', 'incoming', 'received', 'receive', 'recv', 'rx') then 'in'
            when lower(way) in ('out', 'outbound', 'outgoing', 'sent', 'send', 'tx') then 'out'
        end
    """,
)
