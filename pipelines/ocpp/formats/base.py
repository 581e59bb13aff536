"""What a log format has to say about itself, and the SQL that formats share."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Container = Literal["lines", "table", "dump"]

# What quarantine says was expected, per reason that a format gives.
EXPECTED = {
    "truncated_frame": "a whole frame; the logger cut this one (...)",
    "cut_frame": "the line that a continued frame begins on",
    "bad_csv_row": "as many fields as the header has",
    "missing_station_id": "a column with the id of the charge point, or station_id in format.toml",
    "missing_connector_id": "a column connector_id (join the table with its connectors)",
    "missing_time": "a date and time",
    "bad_topic": "a topic cs/in/<protocol>/<station> or cs/out/<protocol>/<station>",
    "unknown_action": "an action whose text holds a status or a meter reading",
    "bad_format_toml": "a format.toml as described in docs/formats.md",
}


@dataclass(frozen=True, slots=True)
class LogFormat:
    """A log format: how to tell it, and the SQL that turns its lines into raw records.

    ``records_sql`` reads the table ``chunk(line_number BIGINT, line VARCHAR)`` and gives one row per record (a table
    format reads ``cells`` instead, see :class:`TableFormat`):

    ======================  ===============================================================================
    line_number             line the record begins on
    kind                    ``frame``, ``connect``, ``disconnect``, ``noise`` (a line of the log that carries
                            no record: not counted), or null: nothing this format knows
    received_at             TIMESTAMPTZ where the line names an instant, else null
    received_local          TIMESTAMP where the line names a local time without offset, else null
    station_id              null where the log does not name it
    connection_id           null where the log does not name it
    side                    ``from_station``, ``to_station``; ``in`` or ``out`` as seen by the process that
                            logged; null where the log does not say
    protocol                ``ocpp1.6``, ``ocpp2.0.1``, ``ocpp2.1`` or null
    frame                   text of the RPC array (kind ``frame``)
    close_code              INTEGER (kind ``disconnect``)
    problem                 short code of what is wrong with the line's own envelope, else null
    ======================  ===============================================================================

    Text of the form ``@name@`` in ``records_sql`` is filled in per file by :func:`pipelines.ocpp.overrides.bind`:
    ``@date_order@`` (``dmy`` or ``mdy``), ``@date@`` (of times without one), ``@file_name@``.
    """

    name: str
    line_pattern: str  # regular expression that a line of this format matches
    records_sql: str
    separator: bytes = b"\n"  # where a file may be cut into chunks
    container: Container = "lines"
    is_text: bool = True  # the frame stands in free text: what trails it is cut off
    time_quality: str = "logged"  # received_at_quality of a record that names an instant
    time_zone: str | None = None  # zone of local times, if format.toml names one


@dataclass(frozen=True, slots=True)
class TableFormat(LogFormat):
    """A format of named columns: rows of a CSV, JSON objects one per line, or JSON objects in an array.

    ``records_sql`` reads ``cells(line_number, line, problem, <columns>)``: the columns named in ``columns``, as text,
    null where absent or empty; ``problem`` is null or says why the row can't be taken apart. Column names in the file
    are compared without case, blanks, ``_`` and ``-``.
    """

    line_pattern: str = ""
    records_sql: str = ""
    container: Container = "table"
    is_text: bool = False
    columns: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # column -> names it goes by, best first
    required: tuple[str, ...] = ()  # columns without which it is not this format


NO_RECORD = "null::timestamptz as received_at, null::timestamp as received_local"

_YEAR_FIRST = (
    r"^\D{0,2}(\d{4})[-/.](\d{1,2})[-/.](\d{1,2})[T ,_]+(\d{1,2})[:.\-](\d{2})[:.\-](\d{2})(?:[.,:](\d{1,9}))?"
    r"\s*(Z|UTC|GMT|[+-]\d{2}:?\d{2}|[+-]\d{2})?"
)
_DAY_FIRST = (
    r"^\D{0,2}(\d{1,2})[-/.](\d{1,2})[-/.](\d{4})[T ,]+(\d{1,2}):(\d{2})(?::(\d{2}))?(?:[.,](\d{1,9}))?"
    r"\s*([AaPp]\.?[Mm])?\.?\s*(Z|UTC|GMT|[+-]\d{2}:?\d{2})?"
)
_YEAR_PARTS = "['y', 'mo', 'd', 'h', 'mi', 's', 'f', 'z']"
_DAY_PARTS = "['a', 'b', 'y', 'h', 'mi', 's', 'f', 'ap', 'z']"


def times_ctes(source: str, target: str) -> str:
    """SQL of CTEs that add ``received_at``, ``received_local`` and ``is_bad_time`` to ``source.stamp``.

    Understands ISO 8601 with or without offset (blank, ``T``, ``_`` or a comma before the time; ``.``, ``,`` or ``:``
    before the fraction; slashes or dots in the date), day/month/year and month/day/year by ``@date_order@`` with or
    without AM and PM, and Unix time in seconds (10 digits) or milliseconds (13 digits). Fractions are cut at microseconds.
    A stamp that is null or empty is no bad time.
    """
    return rf"""
        {target}_read as (
            select
                *,
                case
                    when regexp_full_match(stamp, '\d{{10}}(?:\.\d+)?')
                        then try_cast(try_cast(stamp as decimal(38, 6)) * 1000000 as bigint)
                    when regexp_full_match(stamp, '\d{{13}}(?:\.\d+)?')
                        then try_cast(try_cast(stamp as decimal(38, 3)) * 1000 as bigint)
                end as unix_us,
                regexp_extract(stamp, '{_YEAR_FIRST}', {_YEAR_PARTS}) as ymd,
                case
                    when not regexp_matches(stamp, '^\D{{0,2}}\d{{4}}')
                        then regexp_extract(stamp, '{_DAY_FIRST}', {_DAY_PARTS})
                end as dmy,
            from {source}
        ),
        {target}_told as (
            select
                * exclude (ymd, dmy),
                case
                    when ymd.y <> '' then
                        ymd.y || '-' || lpad(ymd.mo, 2, '0') || '-' || lpad(ymd.d, 2, '0') || ' ' || ymd.h || ':' || ymd.mi
                        || ':' || ymd.s || case when ymd.f <> '' then '.' || left(ymd.f, 6) else '' end
                    when dmy.y <> '' then
                        dmy.y || '-'
                        || lpad(case when '@date_order@' = 'mdy' then dmy.a else dmy.b end, 2, '0') || '-'
                        || lpad(case when '@date_order@' = 'mdy' then dmy.b else dmy.a end, 2, '0') || ' '
                        || case upper(left(dmy.ap, 1))
                            when 'P' then cast(try_cast(dmy.h as integer) % 12 + 12 as varchar)
                            when 'A' then cast(try_cast(dmy.h as integer) % 12 as varchar)
                            else dmy.h
                        end
                        || ':' || dmy.mi || ':' || coalesce(nullif(dmy.s, ''), '00')
                        || case when dmy.f <> '' then '.' || left(dmy.f, 6) else '' end
                end as moment,
                case coalesce(nullif(ymd.z, ''), dmy.z) when 'UTC' then 'Z' when 'GMT' then 'Z'
                    else coalesce(nullif(ymd.z, ''), dmy.z) end as zone,
            from {target}_read
        ),
        {target} as (
            select
                * exclude (unix_us, moment, zone, stamp),
                case
                    when unix_us is not null then make_timestamptz(unix_us)
                    when zone <> '' then try_cast(moment || zone as timestamptz)
                end as received_at,
                case when coalesce(zone, '') = '' then try_cast(moment as timestamp) end as received_local,
                coalesce(stamp, '') <> '' and unix_us is null and try_cast(moment as timestamp) is null as is_bad_time,
            from {target}_told
        )
    """


def framed_lines(  # noqa: PLR0913 - a line has that many parts
    name: str,
    *,
    line_pattern: str,
    parts: str,
    groups: tuple[str, ...],
    side: str,
    kind: str = "null",
    station: str = "null",
    connection: str = "null",
    protocol: str = "null",
    close_code: str = "null",
    problem: str = "null",
    stamp: str = "part.stamp",
    frame: str = "part.frame",
) -> LogFormat:
    r"""Make the format of a log whose lines carry one whole frame each.

    Args:
        name: Name of the format.
        line_pattern: Regular expression (Python) that a line of this format matches.
        parts: Regular expression (RE2) that takes a line apart; ``stamp`` and ``frame`` are groups of most formats.
        groups: Names of its groups, in order.
        side: SQL of ``side`` over ``part`` and ``text``.
        kind: SQL of ``kind`` of a line without a frame; null is a line that nothing is known of.
        station: SQL of ``station_id``.
        connection: SQL of ``connection_id``.
        protocol: SQL of ``protocol``.
        close_code: SQL of ``close_code``.
        problem: SQL of ``problem``, before a bad time is looked for.
        stamp: SQL of the text of the time.
        frame: SQL of the text of the frame.
    """
    names = ", ".join(f"'{group}'" for group in groups)
    return LogFormat(
        name=name,
        line_pattern=line_pattern,
        records_sql=rf"""
        with texts as (
            select
                line_number,
                line,
                rtrim(line, e' \t\r\n') as text,
                regexp_extract(rtrim(line, e' \t\r\n'), '{parts}', [{names}], 's') as part,
            from chunk
        ),
        fields as (
            select
                line_number,
                line,
                text,
                part,
                nullif({frame}, '') as frame,
                {stamp} as stamp,
            from texts
        ),
        {times_ctes("fields", "timed")}
        select
            line_number,
            case when frame is not null then 'frame' when text = '' then 'noise' else {kind} end as kind,
            received_at,
            received_local,
            cast({station} as varchar) as station_id,
            cast({connection} as varchar) as connection_id,
            {side} as side,
            cast({protocol} as varchar) as protocol,
            frame,
            cast({close_code} as integer) as close_code,
            coalesce({problem}, case when is_bad_time and (frame is not null or {kind} <> 'noise') then 'bad_time' end)
                as problem,
        from timed
        """,
    )


def synthetic(message_id: str, action: str, *fields: str) -> str:
    """SQL of a 1.6 call made from columns: ``[2, id, action, {fields that are not null}]``.

    Args:
        message_id: SQL of the message id, text.
        action: The action.
        fields: SQL pairs ``'name', value`` of the payload.
    """
    return (
        f"'[2,' || to_json({message_id}) || ',\"{action}\",' "
        f"|| json_merge_patch('{{}}', json_object({', '.join(fields)})) || ']'"
    )
