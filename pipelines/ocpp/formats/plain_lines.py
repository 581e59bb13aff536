r"""Logs whose lines carry one frame each behind a fixed text, of systems that share nothing but that.

evcc, both generations, and ocpp-go (which evcc uses); times are local::

    [ocpp  ] TRACE 2026/07/23 10:21:46 recv 4oSn: [2,"76414aac","StatusNotification",{...}]
    [ocpp  ] TRACE 2023/07/02 22:27:40 sent JSON message to goe123: [3,"531",{...}]
    [ocpp  ] DEBUG 2023/07/02 22:27:41 charge point connected: goe123
    time="2026-03-01T12:00:00Z" level=info msg="received JSON message from CP1: [2,\"1\",...]" logger=websocket

Java-OCA-OCPP names no station: ``... JSONCommunicator - Send a message: [2,...]``.

node-red-contrib-ocpp: date of the machine's locale, tab, ``node: <label>``, ``type: request``, ``data: [2, ...]``.

KEVIT: ``2026-03-26 00:00:00 - [TXT][CHARGER] : MESSAGE : [2,...]``. Another Korean CSMS: ``... MessageLogService :
Charger=SIG1, Message=[2,...]``.

MicroOcpp on a serial line: ``02.10.2023 06:56:00 INF [sendTXT] [2,...]``, ``[OCPP] Send: [...]``, ``[MO] Recv: [...]``.

A proxy in front of AcTec chargers: ``[09:36:00,294] [client->target] [2,...]``, a time without a date; frames the proxy
blocked never reached the central system but are the charger's words all the same.

SAP's simulator (a charger): ``debug: <date> | CS-1 | ChargingStation.handleIncomingMessage: << Command 'Reset' received
request payload: [2,...]``.

Mosquitto's record of MaEVe's topics: ``2026-03-01T12:00:00+0000 cs/in/ocpp1.6/CP1 {"type":2,...}`` is in ``maeve``.
"""

from pipelines.ocpp.formats.base import framed_lines

_HEAD_STAMP = r"""
    nullif(regexp_extract(
        part.head, '(\d{4}[-/]\d{2}[-/]\d{2}[T ]\d{2}:\d{2}:\d{2}(?:[.,]\d+)?(?:Z|[+-]\d{2}:?\d{2})?)', 1
    ), '')
"""
_OTHER_LOGGER = r"case when not regexp_matches(text, '\[\s*[2-6]\s*,') then 'noise' end"

EVCC = framed_lines(
    "evcc",
    line_pattern=r"^\[ocpp[\w-]*\s*\] [A-Z]+ \d{4}/\d{2}/\d{2} ",
    parts=(
        r"^\[([\w-]+)\s*\] [A-Z]+ (\d{4}/\d{2}/\d{2} \d{2}:\d{2}:\d{2}(?:\.\d+)?) "
        r"(?:(recv|received JSON message from|send|sent JSON message to|sent) (.*?): (\[.*)"
        r"|charge point (connected|disconnected): (.*)|.*)$"
    ),
    groups=("logger", "stamp", "way", "station", "frame", "event", "who"),
    station="coalesce(nullif(part.station, ''), nullif(part.who, ''))",
    side="case when part.way = '' then null when starts_with(part.way, 'rec') then 'in' else 'out' end",
    kind=r"""
        case
            when part.event = 'connected' then 'connect'
            when part.event = 'disconnected' then 'disconnect'
            when not regexp_matches(text, ': \[\s*[2-6]\s*,') then 'noise'
        end
    """,
)

OCPP_GO = framed_lines(
    "ocpp_go",
    line_pattern=r"(?:received JSON message from|sent JSON message to) [^:]+: \[",
    parts=r"^(.*?)(received JSON message from|sent JSON message to) (.*?): (\[.*)$",
    groups=("head", "way", "station", "frame"),
    stamp=_HEAD_STAMP,
    # a charger's own log calls its peer "server"
    station="case when part.station <> 'server' then nullif(part.station, '') end",
    side="""
        case
            when part.station = 'server' then case when starts_with(part.way, 'rec') then 'to_station' else 'from_station' end
            when part.way = '' then null
            when starts_with(part.way, 'rec') then 'in'
            else 'out'
        end
    """,
    kind=_OTHER_LOGGER,
)

JAVA_OCA = framed_lines(
    "java_oca",
    line_pattern=r"(?:Send|Receive) a message: \[",
    parts=r"^(.*?)(Send|Receive) a message: (\[.*)$",
    groups=("head", "way", "frame"),
    stamp=_HEAD_STAMP,
    side="case part.way when 'Send' then 'out' when 'Receive' then 'in' end",
    kind=_OTHER_LOGGER,
)

NODE_RED = framed_lines(
    "node_red",
    line_pattern=r"^\d[^\t]{8,40}?\s+node: .*?\s+type: \w+\s+data: ",
    parts=r"^(\d.*?)\s+node: (.*?)\s+type: (\w+)\s+data: (\[\s*[2-6]\s*,.*|.*)$",
    groups=("stamp", "node", "way", "data"),
    frame=r"case when regexp_matches(part.data, '^\[\s*[2-6]\s*,') then part.data end",
    station="nullif(part.node, '')",
    # the node's own words: what it asked for and what it got
    side="case part.way when 'request' then 'out' when 'received' then 'in' end",
    kind=r"case when part.way in ('info', 'error') or not regexp_matches(text, 'data: \[') then 'noise' end",
)

KEVIT = framed_lines(
    "kevit",
    line_pattern=r"^\d{4}-\d{2}-\d{2} [0-9:.,]+ - \[\w+\]\[[^\]]+\] : ",
    parts=r"^(\d{4}-\d{2}-\d{2} [0-9:.,]+) - \[(\w+)\]\[([^\]]+)\] : (?:MESSAGE : (\[.*)|(.*))$",
    groups=("stamp", "tag", "station", "frame", "rest"),
    station="nullif(part.station, '')",
    side="null::varchar",
    kind="case when part.rest <> '' and not contains(part.rest, 'MESSAGE') then 'noise' end",
)

KOREAN_CSMS = framed_lines(
    "message_log_service",
    line_pattern=r"Charger=[^,]+, Message=\[",
    parts=r"^(.*?)Charger=([^,]*), Message=(\[.*)$",
    groups=("head", "station", "frame"),
    stamp=_HEAD_STAMP,
    station="nullif(part.station, '')",
    side="null::varchar",
    kind=_OTHER_LOGGER,
)

MICRO_OCPP = framed_lines(
    "micro_ocpp",
    line_pattern=r"(?:INF|DBG|WARN|ERR|\[OCPP\]|\[MO\]|\[AO\]) ?.*?(?:\[sendTXT\]|\[operator\(\)\]|Send:|Recv:) ?\[",
    parts=(
        r"^(?:(\d{2}\.\d{2}\.\d{4} \d{2}:\d{2}:\d{2}|\d{4}-\d{2}-\d{2}T[0-9:.]+Z?)\s+)?(?:.*?)"
        r"(\[sendTXT\]|\[operator\(\)\]|Send:|Recv:)\s*(\[.*)$"
    ),
    groups=("stamp", "way", "frame"),
    side="""
        case
            when part.way in ('[sendTXT]', 'Send:') then 'from_station'
            when part.way in ('[operator()]', 'Recv:') then 'to_station'
        end
    """,
    kind=_OTHER_LOGGER,
)

ACTEC_PROXY = framed_lines(
    "actec_proxy",
    line_pattern=r"^\[\d{2}:\d{2}:\d{2}[,.]\d+\] \[(?:client->target|target->client)",
    parts=r"^\[(\d{2}:\d{2}:\d{2})[,.](\d+)\] \[(client->target|target->client)(?:-[A-Z]+)?\] (\[.*)$",
    groups=("clock", "millisecond", "way", "frame"),
    stamp="case when '@date@' <> '' and part.clock <> '' then '@date@ ' || part.clock || '.' || part.millisecond end",
    side="case part.way when 'client->target' then 'from_station' when 'target->client' then 'to_station' end",
    kind=_OTHER_LOGGER,
)

SAP_SIMULATOR = framed_lines(
    "sap_simulator",
    line_pattern=r"^\w+: .{8,40}? \| \S+ \| ChargingStation\.",
    parts=r"^\w+: (.{8,40}?) \| (\S+) \| (?:[\w.]+: )?(<<|>>)?(?:.*?payload: (\[.*)|.*)$",
    groups=("stamp", "station", "way", "frame"),
    station="nullif(part.station, '')",
    side="case part.way when '<<' then 'to_station' when '>>' then 'from_station' end",
    kind=r"case when not regexp_matches(text, 'payload: \[\s*[2-6]') then 'noise' end",
)

ANY_LINES = framed_lines(
    "any_lines",
    line_pattern=r"\[\s*[2-6]\s*,\s*(?:\"[^\"]{1,64}\"|\d+)\s*,\s*[\"{]",
    parts=(r"^(.*?)(\[\s*[2-6]\s*,\s*\\?[\"0-9-].*)$"),
    groups=("head", "frame"),
    stamp=r"""
        nullif(regexp_extract(
            part.head,
            '(\d{4}[-/]\d{2}[-/]\d{2}[T ,_]+\d{2}:\d{2}:\d{2}(?:[.,]\d+)?\s?(?:Z|UTC|[+-]\d{2}:?\d{2})?'
            || '|\d{1,2}[-/.]\d{1,2}[-/.]\d{4}[ ,]+\d{1,2}:\d{2}:\d{2}(?:[.,]\d+)?(?: [AaPp][Mm])?)',
            1
        ), '')
    """,
    station=r"""
        nullif(regexp_extract(
            part.head,
            '(?i)(?:charge_?box_?id|charge_?point_?id|charger_?id|station_?id|cp_?id|charge_?point|charger|station)'
            || '["'']?\s*[=:]\s*["'']?([\w.:-]+)',
            1
        ), '')
    """,
    side=r"""
        case
            when frame is null then null
            when regexp_matches(part.head, '(?i)(?:\brecv|receive|\bincoming|\binbound|\brx\b|<-|<<<?)') then 'in'
            when regexp_matches(part.head, '(?i)(?:\bsend|\bsent\b|\boutgoing|\boutbound|\btx\b|->|>>>?)') then 'out'
        end
    """,
    kind="'noise'",
)
