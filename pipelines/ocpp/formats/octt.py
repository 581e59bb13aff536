"""Logs of the OCPP compliance test tool.

A header with the date (``Test Start Time : 21-08-2024 12:24:30``) and the system under test, then lines that begin with
a time, a ``:`` before the milliseconds, and a tag; only ``msg-in`` and ``msg-out`` carry frames. Some releases write
the date in front of the time. The tool is the peer of the system under test, so with ``CS`` (charging station) under
test ``msg-in`` comes from the station.

The verbose style begins with 24 characters of date, then ``>>>`` (sent by the tool) or ``<<<``::

    2024-05-17T09:20:43.732Z >>> [2,"bb57","GetVariables",{...}]
"""

from pipelines.ocpp.formats.base import LogFormat, framed_lines

FORMAT = LogFormat(
    name="octt",
    line_pattern=r"^\[(?:\d{4}-\d{2}-\d{2}T)?\d{2}:\d{2}:\d{2}:\d{3}\]\s+\[[A-Za-z_-]+\]",
    records_sql=r"""
        with header as (
            select
                max(nullif(regexp_extract(line, '^Test Start Time\s*:\s*(\d{2}-\d{2}-\d{4})', 1), '')) as started_on,
                max(nullif(regexp_extract(line, '^System Under Test \(SUT\)\s*:\s*(\w+)', 1), '')) as under_test,
            from chunk
        ),
        parts as (
            select
                line_number,
                line,
                rtrim(line, e' \t\r\n') as text,
                regexp_extract(
                    line,
                    '^\[(\d{4}-\d{2}-\d{2}T)?(\d{2}:\d{2}:\d{2}):(\d{3})\]\s+\[([A-Za-z_-]+)\]\s*(.*)$',
                    ['day', 'clock', 'millisecond', 'tag', 'rest'],
                    's'
                ) as part,
            from chunk
        )
        select
            line_number,
            case
                when part.tag in ('msg-in', 'msg-out') then 'frame'
                when part.tag <> '' then 'noise'
                when not contains(text, '[2') and not contains(text, '[3') and not contains(text, 'msg-')
                    then 'noise'
            end as kind,
            case
                when part.day <> ''
                    then try_cast(part.day || part.clock || '.' || part.millisecond || 'Z' as timestamptz)
            end as received_at,
            case
                when part.day = ''
                    then try_cast(
                        strftime(try_strptime(header.started_on, '%d-%m-%Y'), '%Y-%m-%d')
                        || ' ' || part.clock || '.' || part.millisecond as timestamp
                    )
            end as received_local,
            null::varchar as station_id,
            null::varchar as connection_id,
            case
                when header.under_test = 'CSMS' then case part.tag when 'msg-in' then 'to_station' else 'from_station' end
                else case part.tag when 'msg-in' then 'from_station' else 'to_station' end
            end as side,
            null::varchar as protocol,
            case when part.tag in ('msg-in', 'msg-out') then rtrim(part.rest, e' \t\r\n') end as frame,
            null::integer as close_code,
            null::varchar as problem,
        from parts
        cross join header
    """,
)

VERBOSE = framed_lines(
    "octt_verbose",
    line_pattern=r"^\d{4}-\d{2}-\d{2}[T ]\d{2}:\d{2}:\d{2}.{1,8}(?:>>>|<<<) \[",
    parts=r"^(\d{4}-\d{2}-\d{2}[T ]\d{2}:\d{2}:\d{2}[.:,]?\d*\s*(?:Z|[+-]\d{2}:?\d{2})?)\s*(>>>|<<<) (\[.*)$",
    groups=("stamp", "way", "frame"),
    side="case part.way when '>>>' then 'out' when '<<<' then 'in' end",
    kind=r"case when not regexp_matches(text, '(?:>>>|<<<) \[') then 'noise' end",
)
