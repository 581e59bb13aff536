"""Tables in which one row holds a call and its answer, as portals of Indian CMSs and some testers export them.

Spreadsheet as CSV: ``requestString, responseString, requestTime, responseTime`` and the charger in a column or, one
sheet a file, nowhere. Times are local, day first, without offset: it is inferred from ``currentTime`` in the answers.

Text with bars::

    StopTransaction | Charger-CMS | [2,"7","StopTransaction",{...}] | [3,"7",{...}] | 9/11/2024 3:14:26 PM
"""

from pipelines.ocpp.formats.base import LogFormat, TableFormat, times_ctes
from pipelines.ocpp.typed import CSMS_ACTIONS, STATION_ACTIONS

_SELECT = r"""
    select
        line_number,
        'frame' as kind,
        received_at,
        received_local,
        station as station_id,
        null::varchar as connection_id,
        case when (call_side = 'from_station') = is_call then 'from_station' else 'to_station' end as side,
        null::varchar as protocol,
        frame,
        null::integer as close_code,
        coalesce(problem, case when frame is null then 'missing_frame' when is_bad_time then 'bad_time' end) as problem,
    from timed
"""
_CALL_SIDE = rf"""
    case
        when regexp_extract(call, '^\s*\[\s*2\s*,[^,]*,\s*"(\w+)"', 1) in ({STATION_ACTIONS}) then 'from_station'
        when regexp_extract(call, '^\s*\[\s*2\s*,[^,]*,\s*"(\w+)"', 1) in ({CSMS_ACTIONS}) then 'to_station'
        else 'from_station'
    end
"""

SHEET = TableFormat(
    name="two_frame_rows",
    columns={
        "station": ("chargerid", "chargepointid", "chargeboxid", "stationid", "deviceid", "charger", "sheet"),
        "call": ("requeststring", "request", "requestpayload", "requestmessage"),
        "answer": ("responsestring", "response", "responsepayload", "responsemessage"),
        "called_at": ("requesttime", "requestedat", "requesttimestamp", "requestdate"),
        "answered_at": ("responsetime", "respondedat", "responsetimestamp", "responsedate"),
    },
    required=("call", "answer", "called_at"),
    records_sql=f"""
    with rows_told as (select *, {_CALL_SIDE} as call_side from cells),
    frames as (
        select line_number, problem, station, call_side, true as is_call, call as frame, called_at as stamp from rows_told
        union all
        select
            line_number, problem, station, call_side, false as is_call, answer as frame,
            coalesce(answered_at, called_at) as stamp,
        from rows_told
        -- an unanswered call leaves the cell empty
        where problem is null and starts_with(ltrim(answer), '[')
    ),
    {times_ctes("frames", "timed")}
    {_SELECT}
    """,
)

BARS = LogFormat(
    name="two_frame_lines",
    line_pattern=r"^[A-Z]\w+\s*\|[^|\[]*\|\s*\[\s*2\s*,.*\|\s*\[\s*[345]\s*,.*\|\s*[0-9/:. APM-]+\s*$",
    records_sql=rf"""
    with texts as (
        select
            line_number,
            regexp_extract(
                rtrim(line, e' \t\r\n'),
                '^(\w+)\s*\|([^|\[]*)\|\s*(\[.*?\])\s*\|\s*(\[\s*[345]\s*,.*\])?\s*\|\s*([0-9][0-9/:. APM-]*)$',
                ['action', 'way', 'call', 'answer', 'stamp'], 's'
            ) as part,
            trim(line, e' \t\r\n') as text,
        from chunk
    ),
    calls as (select line_number, text, part, part.call as call from texts),
    sided as (select line_number, text, part, {_CALL_SIDE} as call_side from calls),
    frames as (
        select
            line_number, text, null::varchar as problem, null::varchar as station, call_side, true as is_call,
            nullif(part.call, '') as frame, nullif(part.stamp, '') as stamp,
        from sided
        union all
        select
            line_number, text, null::varchar as problem, null::varchar as station, call_side, false as is_call,
            part.answer as frame, nullif(part.stamp, '') as stamp,
        from sided
        where part.answer <> ''
    ),
    {times_ctes("frames", "timed_rows")},
    timed as (select * from timed_rows where text <> ''),
    records as ({_SELECT})
    -- a line that is no row of the table is nothing this format knows, not a frame that is missing
    select * replace (
        case when problem = 'missing_frame' then null else kind end as kind,
        case when problem = 'missing_frame' then null else problem end as problem
    )
    from records
    """,
)
