"""Lines of Python's logging around mobilityhouse/ocpp, and of the Home Assistant integration built on it.

The library writes ``<station>: receive message <frame>`` (older: ``receive``) and ``<station>: send <frame>``; what
stands before is whatever the host configured::

    INFO:ocpp:CP_1: send [3,"1",{}]
    2025-10-03 13:09:13,380 - ocpp - INFO - 1: send [2,"fc77","Heartbeat",{}]
    2026-02-24 07:15:04 [INFO] ocpp: Actec: receive message [3,"d13d",{}]
    2025-12-23 13:09:59.759 INFO (MainThread) [ocpp] : receive message [2,"531","BootNotification",{}]

The station may be empty or hold ``:`` and ``.``, so a line is split at the literal text before the frame. Times are
local and name no offset. ``receive`` and ``send`` are as seen by the process that logged: a central system or a charger.

With the websockets library at level DEBUG its lines stand between; those that show a frame cut off (``...``) are rejected,
the whole ones repeat what the ``ocpp`` logger writes and are passed over.
"""

from pipelines.ocpp.formats.base import framed_lines

_LOGGER = r"(?:\[ocpp\]| - ocpp - |:ocpp:|\] ocpp: )"

FORMAT = framed_lines(
    "logger_lines",
    line_pattern=r": (?:receive message|receive|send) \[\s*[2-6]\s*,",
    parts=r"^(.*?) ?: (receive message|receive|send) (\[.*)$",
    groups=("head", "verb", "frame"),
    stamp=r"""
        nullif(regexp_extract(
            text, '^[^0-9]{0,40}(\d{4}-\d{2}-\d{2}[ T]\d{2}:\d{2}:\d{2}(?:[.,]\d+)?(?:Z|[+-]\d{2}:?\d{2})?)', 1
        ), '')
    """,
    station=r"""
        coalesce(
            nullif(regexp_extract(part.head, '(?:\[ocpp\] ?|:ocpp: ?| ocpp: ?| - ocpp - [A-Z]+ - )(.*)$', 1), ''),
            nullif(regexp_extract(text, '\] Charger (\S+) connected to ', 1), ''),
            -- no logger's name in the line: what stands right before the verb
            case
                when part.head <> '' and not regexp_matches(part.head, '(?:\[ocpp\]|:ocpp:| ocpp:| - ocpp - )')
                    then nullif(regexp_extract(part.head, '(?:^|\s)([^\s\]]+)$', 1), '')
            end
        )
    """,
    side="case part.verb when '' then null when 'send' then 'out' else 'in' end",
    kind=rf"""
        case
            when regexp_matches(text, '\[custom_components\.ocpp\] Charger \S+ connected to ') then 'connect'
            when regexp_matches(text, '[<>] TEXT ''.*\.\.\.') then 'frame'
            when regexp_matches(text, '[<>] (?:TEXT|BINARY|PING|PONG|CLOSE)') then 'noise'
            -- a line of another logger, or of this one about something else than a frame
            when regexp_matches(text, '(?:Ignoring response|Received a CALLError|Error while)') then 'noise'
            when not regexp_matches(text, '{_LOGGER}') and not regexp_matches(text, '\[\s*[2-6]\s*,') then 'noise'
            when regexp_matches(text, '(?:\[[A-Za-z_][\w.]*\] | - [A-Za-z_][\w.]* - |^[A-Z]+:[a-z_][\w.]*:|\] [a-z_][\w.]*: )')
                and not regexp_matches(text, '{_LOGGER}')
                then 'noise'
        end
    """,
    problem=r"""
        case
            when part.verb = '' and regexp_matches(text, '[<>] TEXT ''.*\.\.\.') then 'truncated_frame'
            when received_at is null and received_local is null and not is_bad_time
                and regexp_matches(text, '^[^0-9]{0,3}\d{4}-')
                then 'bad_time'
        end
    """,
)
