r"""MaEVe's MQTT messages, as a recorder wrote them; the recorder has to add the time, which MaEVe does not send.

Topics ``cs/in/<protocol>/<station>`` (from the charger) and ``cs/out/...``; payload ``{"type":2,"action":"Heartbeat",
"id":"1","request":{}}``, ``{"type":3,...,"response":{}}`` or ``{"type":4,...,"error_code":"..."}``. Known are lines of
``mosquitto_sub -F '%I %t %p'`` and its JSON (``%j``, ``%J``: ``{"tst": ..., "topic": ..., "payload": ...}``), and any JSON
or CSV with columns for time, topic and payload.
"""

from pipelines.ocpp.formats.base import LogFormat, TableFormat, times_ctes

_FRAMES = r"""
    parts as (
        select
            *,
            regexp_extract(topic, '^"?cs/(in|out)/([^/]+)/(.+?)"?$', ['way', 'protocol', 'station']) as told,
            case
                when json_valid(body) then json_extract_string(body, [
                    '$.type', '$.id', '$.action', '$.request', '$.response', '$.error_code', '$.error_description'
                ])
            end as m,
        from timed
    )
    select
        line_number,
        case when topic is null and text = '' then 'noise' else 'frame' end as kind,
        received_at,
        received_local,
        nullif(told.station, '') as station_id,
        null::varchar as connection_id,
        case told.way when 'in' then 'from_station' when 'out' then 'to_station' end as side,
        case when told.protocol in ('ocpp1.6', 'ocpp2.0.1', 'ocpp2.1') then told.protocol end as protocol,
        case
            when m is null then body
            when m[1] in ('2', '6')
                then '[' || m[1] || ',' || to_json(m[2]) || ',' || to_json(m[3]) || ',' || coalesce(m[4], '{}') || ']'
            when m[1] = '3' then '[3,' || to_json(m[2]) || ',' || coalesce(m[5], '{}') || ']'
            when m[1] in ('4', '5')
                then '[' || m[1] || ',' || to_json(m[2]) || ',' || to_json(coalesce(m[6], ''))
                    || ',' || to_json(coalesce(m[7], '')) || ',{}]'
            else body
        end as frame,
        null::integer as close_code,
        coalesce(
            problem,
            case when told.way = '' or told.way is null then 'bad_topic' when is_bad_time then 'bad_time' end
        ) as problem,
    from parts
"""

LINES = LogFormat(
    name="maeve_lines",
    line_pattern=r"^\S.{5,40}?\s+cs/(?:in|out)/ocpp[0-9.]+/\S+\s+\{",
    is_text=False,
    records_sql=rf"""
    with split as (
        select
            line_number,
            rtrim(line, e' \t\r\n') as text,
            regexp_extract(rtrim(line, e' \t\r\n'), '^(.*?)\s+(cs/(?:in|out)/\S+)\s+(\{{.*)$', ['stamp', 'topic', 'body'], 's')
                as part,
        from chunk
    ),
    cut as (
        select
            line_number, text, null::varchar as problem, nullif(part.stamp, '') as stamp, nullif(part.topic, '') as topic,
            nullif(part.body, '') as body,
        from split
    ),
    {times_ctes("cut", "timed")},
    {_FRAMES}
    """,
)

TABLE = TableFormat(
    name="maeve",
    columns={
        "logged_at": ("timestamp", "tst", "time", "ts", "receivedat", "logged_at"),
        "topic": ("topic",),
        "body": ("payload", "message", "body", "value"),
    },
    required=("logged_at", "topic", "body"),
    records_sql=f"""
    with cut as (
        select line_number, line as text, problem, logged_at as stamp, topic, body
        from cells
    ),
    {times_ctes("cut", "timed")},
    {_FRAMES}
    """,
)
