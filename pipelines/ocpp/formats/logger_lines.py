"""Lines of Python's logging around mobilityhouse/ocpp, and of the Home Assistant integration built on it.

The library writes ``<station>: receive message <frame>`` (older: ``receive``) and ``<station>: send <frame>``; what
stands before is whatever the host configured::

    INFO:ocpp:CP_1: send [3,"1",{}]
    2025-10-03 13:09:13,380 - ocpp - INFO - 1: send [2,"fc77","Heartbeat",{}]
    2026-02-24 07:15:04 [INFO] ocpp: Actec: receive message [3,"d13d",{}]
    2025-12-23 13:09:59.759 INFO (MainThread) [ocpp] : receive message [2,"531","BootNotification",{}]

The station may be empty or hold ``:`` and ``.``, so a line is split at the literal text before the frame. Times are
local and name no offset. ``receive`` and ``send`` are as seen by the process that logged: a central system or a charger.
"""

from pipelines.ocpp.formats.base import LogFormat

FORMAT = LogFormat(
    name="logger_lines",
    line_pattern=r": (?:receive message|receive|send) \[\s*[2-6]\s*,",
    records_sql=r"""
        with split as (
            select
                line_number,
                line,
                rtrim(line, e' \t\r\n') as text,
                regexp_extract(
                    line, '^(.*?): (receive message|receive|send) (\[.*)$', ['head', 'verb', 'frame'], 's'
                ) as part,
            from chunk
        ),
        parts as (
            select
                line_number,
                line,
                text,
                part.verb <> '' as has_frame,
                part.head as head,
                part.verb as verb,
                rtrim(part.frame, e' \t\r\n') as frame,
                regexp_extract(
                    text,
                    '^[^0-9]{0,40}(\d{4}-\d{2}-\d{2}[ T]\d{2}:\d{2}:\d{2})(?:[.,](\d{1,6}))?(Z|[+-]\d{2}:?\d{2})?',
                    ['moment', 'fraction', 'zone']
                ) as stamp,
            from split
        )
        select
            line_number,
            case
                when has_frame then 'frame'
                when text = '' then 'noise'
                -- a line of another logger, or of this one about something else than a frame
                when regexp_matches(
                    text,
                    '(?:\[[A-Za-z_][\w.]*\] | - [A-Za-z_][\w.]* - |^[A-Z]+:[a-z_][\w.]*:|\] [a-z_][\w.]*: )'
                )
                    and not regexp_matches(text, '(?:\[ocpp\]| - ocpp - |:ocpp:|\] ocpp: )')
                    then 'noise'
                when regexp_matches(
                    text,
                    '(?:\[ocpp\]| - ocpp - |:ocpp:|\] ocpp: ).*(?:Ignoring response|Received a CALLError|Error while)'
                )
                    then 'noise'
            end as kind,
            case
                when stamp.moment <> '' and stamp.zone <> ''
                    then try_cast(
                        stamp.moment || case when stamp.fraction <> '' then '.' || stamp.fraction else '' end
                        || stamp.zone as timestamptz
                    )
            end as received_at,
            case
                when stamp.moment <> '' and stamp.zone = ''
                    then try_cast(
                        stamp.moment || case when stamp.fraction <> '' then '.' || stamp.fraction else '' end
                        as timestamp
                    )
            end as received_local,
            nullif(
                regexp_extract(head, '(?:\[ocpp\] ?|:ocpp: ?| ocpp: ?| - ocpp - [A-Z]+ - )(.*)$', 1), ''
            ) as station_id,
            null::varchar as connection_id,
            case when has_frame then case when verb = 'send' then 'out' else 'in' end end as side,
            null::varchar as protocol,
            case when has_frame then frame end as frame,
            null::integer as close_code,
            case
                when stamp.moment = '' and regexp_matches(text, '^[^0-9]{0,3}\d{4}-') then 'bad_time'
                when stamp.moment <> '' and try_cast(stamp.moment as timestamp) is null then 'bad_time'
            end as problem,
        from parts
    """,
)
