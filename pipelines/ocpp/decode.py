"""One landed OCPP log -> lake tables, set-based and in bounded memory.

A log is read in chunks of lines; each chunk is unpacked and typed by DuckDB in a handful of statements. Nothing loops
over frames in Python.
"""

import re
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import duckdb

from pipelines.files import LandedFileError, open_landed
from pipelines.home import FileCounts, LakeWriter
from pipelines.lake import OCPP_TABLES
from pipelines.ocpp import typed
from pipelines.ocpp.formats import recognise
from pipelines.ocpp.formats.base import LogFormat
from pipelines.ocpp.lines import LineChunk, line_chunks
from pipelines.pseudonym import OCPP_SECRET_KEYS

_SAMPLE_LINES = 400
_SAMPLE_BYTES = 512 << 10

_EXPECTED = {
    "bad_json": "valid JSON",
    "bad_text": "UTF-8 text",
    "not_a_frame": "an RPC array such as [2, id, action, payload]",
    "bad_message_type": "a message type of 2, 3, 4, 5 or 6",
    "missing_message_id": "a message id as second element",
    "missing_action": "an action name as third element",
    "missing_payload": "a JSON object as payload",
    "line_too_long": "a line of at most 8 MiB",
    "unrecognised_line": "a line in the format of the log",
    "bad_time": "a date and time",
    "implausible_time": "a time between 2009 and the day after tomorrow",
    "missing_raw_frame": "raw_frame on a message",
    "missing_frame": "a frame or an event",
    "missing_charger_id": "charger_id",
    "missing_station": "station",
    "bad_event_type": "event_type 0, 1 or 2",
    "bad_captured_at": "captured_at as RFC 3339 date-time",
    "bad_ts": "ts as RFC 3339 date-time",
    "bad_direction": "direction FROM_CP, TO_CP or null",
    "bad_dir": "dir in or out",
}


@dataclass(slots=True)
class _LogState:
    """What one chunk of a log tells the next."""

    log_format: LogFormat
    log_source: str
    received_from_station: str = ""  # which side ('in' or 'out') is the station's, once known
    offset_s: int | None = None  # local time minus UTC, inferred
    last_known_at: str | None = None


def log_source_of(relative_path: str) -> str:
    """Name the log writer of a file: its folder and its name without digits, archive and log suffixes.

    Rotated files of one writer (``csms-2026-01-01.jsonl.gz``, ``csms-2026-01-02.jsonl.gz``) share the name.

    Args:
        relative_path: Path below ``landing/ocpp``.
    """
    path = Path(relative_path)
    stem = re.sub(r"(\.(gz|gzip|zst|zstd|log|jsonl|ndjson|json|txt|csv|html))+$", "", path.name, flags=re.IGNORECASE)
    stem = re.sub(r"[-_.T ]*\d[\d\-_.:TZ ]*", "-", stem).strip("-_. ")
    folder = "" if path.parent == Path() else path.parent.as_posix()
    return "/".join(part for part in (folder, stem) if part) or "log"


def decode_file(path: Path, *, writer: LakeWriter, relative_path: str, default_time_zone: str) -> FileCounts:
    """Decode one OCPP log into the lake.

    Frames that can't be read go to quarantine with line, reason and what was expected; the rest is loaded. Lines that
    carry no record (other loggers' lines, blank lines) are not counted. ``writer.con`` must have the macros of
    :func:`pipelines.pseudonym.create_macros`.

    Args:
        path: The landed file, plain, gzip or Zstandard.
        writer: Where the lake files go; its commit record gets the format and the log source.
        relative_path: The path below ``landing/ocpp``; names the log source.
        default_time_zone: IANA zone of times that name no offset, when the log itself does not tell.

    Returns:
        Records read, loaded, duplicate (the same frame twice in the file) and quarantined.
    """
    counts = FileCounts()
    source = log_source_of(relative_path)
    writer.record.log_source = source
    try:
        with open_landed(path) as stream:
            sample = [line.decode(errors="replace") for line in islice(stream, _SAMPLE_LINES)]
    except LandedFileError as error:
        sample, opening_error = [], error
    else:
        opening_error = None
    recognition = recognise([line[:_SAMPLE_BYTES] for line in sample])
    if recognition is None:
        if not any(line.strip() for line in sample) and opening_error is None:
            return counts  # an empty file holds nothing and lost nothing
        detail = str(opening_error) if opening_error else "no log format that chargehouse knows"
        _whole_file(writer, counts, opening_error.reason if opening_error else "unknown_format", detail)
        return counts
    writer.record.log_format = recognition.log_format.name
    state = _LogState(recognition.log_format, source)
    _prepare(writer.con)
    try:
        with open_landed(path) as stream:
            for chunk in line_chunks(stream, separator=state.log_format.separator):
                _decode_chunk(chunk, state, writer, counts, default_time_zone)
    except LandedFileError as error:
        _whole_file(writer, counts, error.reason, error.detail)
    _count_duplicates(writer, counts)
    return counts


def _prepare(con: duckdb.DuckDBPyConnection) -> None:
    """Create what lives as long as one file."""
    con.execute("set TimeZone = 'UTC'")
    con.execute("set preserve_insertion_order = false")  # rows carry their line number; order costs a core
    con.execute("create or replace temp table station_protocol (station_id varchar, protocol varchar)")


def _whole_file(writer: LakeWriter, counts: FileCounts, reason: str, detail: str) -> None:
    """Quarantine one record that stands for what of the file can't be read at all."""
    writer.record.error = f"{reason}: {detail}"
    writer.con.execute(
        "create or replace temp table whole_file as select $1 as reason, $2 as expected", [reason, detail]
    )
    writer.quarantine(
        "select null::bigint as line_number, null::bigint as record_number, null::varchar as column_name, "
        "null::varchar as value, reason, expected, null::varchar as text from whole_file"
    )
    counts.read += 1
    counts.quarantined += 1


def _decode_chunk(
    chunk: LineChunk, state: _LogState, writer: LakeWriter, counts: FileCounts, default_time_zone: str
) -> None:
    """Decode the lines of one chunk."""
    con = writer.con
    con.register("chunk_lines", chunk.lines)
    con.execute("create or replace temp view chunk as select line_number, line from chunk_lines")
    con.execute(f"create or replace temp table raw_record as {_raw_record_sql(state.log_format, chunk.has_bad_text)}")
    _infer_sides(con, state)
    _infer_offset(con, state)
    con.execute(
        f"create or replace temp table record as {_record_sql(con, state)}",
        {
            "log_source": state.log_source,
            "log_format": state.log_format.name,
            "offset_s": state.offset_s,
            "default_time_zone": default_time_zone,
            "last_known_at": state.last_known_at,
        },
    )
    con.execute("drop table raw_record")
    _infer_protocols(con)
    con.execute(f"create or replace temp table frame as {typed.FRAME_SQL}")
    source_id = writer.record.source_id
    loaded = 0
    for table in OCPP_TABLES:
        rows = writer.write(table, f"select '{source_id}' as source_id, * from ({typed.TABLE_SQL[table.name]})")
        loaded += rows if table.name in ("frame", "connection_event") else 0
    quarantined = writer.quarantine(_quarantine_sql(chunk.too_long))
    counts.loaded += loaded
    counts.quarantined += quarantined
    counts.read += _scalar(con, "select count(*) from record") + len(chunk.too_long)
    state.last_known_at = _scalar(con, "select cast(max_by(received_at, line_number) as varchar) from record")
    con.execute("drop table record; drop table frame")
    con.unregister("chunk_lines")


def _scalar(con: duckdb.DuckDBPyConnection, sql: str) -> int | str | None:
    row = con.execute(sql).fetchone()
    return row[0] if row else None


def _raw_record_sql(log_format: LogFormat, has_bad_text: bool) -> str:
    """SQL of the chunk's records with the elements of their frames, noise left out."""
    bad_text = (
        "when line_number in (select line_number from chunk where contains(line, chr(65533))) then 'bad_text'"
        if has_bad_text
        else ""
    )
    return f"""
        with records as ({log_format.records_sql}),
        unpacked as (
            select
                *,
                case
                    when kind = 'frame' and problem is null and json_valid(frame)
                        then json_extract_string(frame, ['$[0]', '$[1]', '$[2]', '$[3]', '$[4]'])
                end as e,
            from records
            where kind is distinct from 'noise'
        ),
        elements as (
            select
                * exclude (e),
                e[1] as type_text,
                e[2] as message_id,
                case when e[1] in ('2', '6') then e[3] end as action,
                case when e[1] in ('2', '6') then e[4] when e[1] = '3' then e[3] when e[1] in ('4', '5') then e[5] end
                    as payload,
                case when e[1] in ('4', '5') then e[3] end as error_code,
                case when e[1] in ('4', '5') then e[4] end as error_description,
                kind = 'frame' and problem is null and e is null as is_broken,
            from unpacked
        )
        select
            line_number,
            kind,
            received_at,
            received_local,
            station_id,
            connection_id,
            side,
            protocol,
            -- the text itself is not carried on: it would be copied by every step
            md5(frame) as frame_md5,
            close_code,
            try_cast(type_text as tinyint) as message_type,
            message_id,
            action,
            payload,
            error_code,
            error_description,
            case
                {bad_text}
                when problem is not null then problem
                when coalesce(received_at, timezone('UTC', received_local)) < timestamptz '2009-01-01 00:00:00+00'
                    or coalesce(received_at, timezone('UTC', received_local)) > now() + interval '2 days'
                    then 'implausible_time'
                when kind is null then 'unrecognised_line'
                when kind <> 'frame' then null
                when is_broken then 'bad_json'
                when type_text is null then 'not_a_frame'
                when type_text not in ('2', '3', '4', '5', '6') then 'bad_message_type'
                when message_id is null then 'missing_message_id'
                when type_text in ('2', '6') and coalesce(action, '') = '' then 'missing_action'
                when type_text in ('2', '3', '6') and coalesce(left(payload, 1), '') <> '{{' then 'missing_payload'
            end as problem,
        from elements
    """


def _infer_sides(con: duckdb.DuckDBPyConnection, state: _LogState) -> None:
    """Tell once per log whether what the logging process received (``in``) came from the stations."""
    if state.received_from_station:
        return
    row = con.execute(
        f"""
        select side from raw_record
        where side in ('in', 'out') and message_type = 2 and action in ({typed.STATION_ACTIONS})
        group by side order by count(*) desc, side limit 1
        """
    ).fetchone()
    if row:
        state.received_from_station = row[0]


def _infer_offset(con: duckdb.DuckDBPyConnection, state: _LogState) -> None:
    """Infer the offset of local times from what the frames say in UTC at the same moment.

    The central system's ``currentTime`` first; without one, the chargers' own ``timestamp`` of a status. Offsets are
    multiples of 15 minutes; the median leaves out late messages and single clocks that are off.
    """
    if not _scalar(con, "select count(*) from (select 1 from raw_record where received_local is not null limit 1)"):
        return
    row = con.execute(
        """
        with told as (
            select
                received_local,
                case
                    when message_type = 3 then json_extract_string(payload, '$.currentTime')
                    else json_extract_string(payload, '$.timestamp')
                end as utc_text,
                message_type = 3 as is_result,
            from raw_record
            where problem is null and received_local is not null and message_type in (2, 3)
                and (message_type = 3 or action = 'StatusNotification') and payload <> '{}'
        ),
        gaps as (
            select
                date_diff('second', timezone('UTC', try_cast(utc_text as timestamptz)), received_local) as offset_s,
                is_result,
            from told
            where try_cast(utc_text as timestamptz) is not null
        ),
        medians as (select is_result, median(offset_s) as offset_s from gaps group by is_result)
        select cast(round(offset_s / 900) * 900 as bigint)
        from medians
        where abs(offset_s - round(offset_s / 900) * 900) <= 120 and abs(offset_s) <= 14 * 3600
        order by is_result desc limit 1
        """
    ).fetchone()
    if row:
        state.offset_s = row[0]


def _record_sql(con: duckdb.DuckDBPyConnection, state: _LogState) -> str:
    """SQL of the chunk's records with UTC time, direction and identity.

    Two windows over all lines are left out where the log makes them needless: results take their direction from their
    call only if the log names none, and a line without a time takes the last one before it only if there are such lines.
    """
    lacks_side, lacks_time = con.execute(
        "select coalesce(bool_or(side is null and kind = 'frame'), false), "
        "coalesce(bool_or(received_at is null and received_local is null), false) from raw_record where problem is null"
    ).fetchone() or (True, True)
    station_side = state.received_from_station or "in"
    direction_of_call = """
        case
            when message_type in (3, 4, 5) then
                case last_value(case when message_type in (2, 6) then known_direction end ignore nulls)
                    over (
                        partition by station_id, message_id order by line_number
                        rows between unbounded preceding and 1 preceding
                    )
                    when 'from_station' then 'to_station'
                    when 'to_station' then 'from_station'
                end
        end
    """
    time_before = """
        last_value(coalesce(logged_at, told_at) ignore nulls) over (
            order by line_number rows between unbounded preceding and current row
        )
    """
    return f"""
        with timed as (
            select
                * exclude (received_at, station_id, side),
                coalesce(
                    received_at,
                    case
                        when received_local is null then null
                        when cast($offset_s as bigint) is not null
                            then timezone('UTC', received_local) - to_seconds(cast($offset_s as bigint))
                        else timezone($default_time_zone, received_local)
                    end
                ) as logged_at,
                case
                    when received_at is not null then 'logged'
                    when received_local is null then null
                    when cast($offset_s as bigint) is not null then 'inferred_zone'
                    else 'assumed_zone'
                end as logged_quality,
                coalesce(nullif(station_id, ''), $log_source) as station_id,
                case
                    when side in ('from_station', 'to_station') then side
                    when side = '{station_side}' then 'from_station'
                    when side is not null then 'to_station'
                    when action in ({typed.STATION_ACTIONS}) then 'from_station'
                    when action in ({typed.CSMS_ACTIONS}) then 'to_station'
                end as known_direction,
                case
                    when received_at is null and received_local is null and message_type = 3
                        then try_cast(json_extract_string(payload, '$.currentTime') as timestamptz)
                    when received_at is null and received_local is null and message_type = 2
                        then try_cast(json_extract_string(payload, '$.timestamp') as timestamptz)
                end as told_at,
            from raw_record
        ),
        ordered as (
            select
                * exclude (known_direction),
                coalesce(known_direction, {direction_of_call if lacks_side else "null"}, 'unknown') as direction,
                {time_before if lacks_time else "logged_at"} as carried_at,
            from timed
        ),
        dated as (
            select
                * exclude (logged_at, told_at, carried_at, received_local),
                make_timestamptz(
                    epoch_ms(coalesce(logged_at, carried_at, cast($last_known_at as timestamptz))) * 1000
                ) as received_at,
                case
                    when logged_at is not null then logged_quality
                    when coalesce(carried_at, cast($last_known_at as timestamptz)) is not null then 'carried'
                    else 'missing'
                end as received_at_quality,
            from ordered
        )
        select
            *,
            $log_source as log_source,
            $log_format as log_format,
            md5(concat_ws(
                '|',
                station_id,
                -- without a time of its own a line is told from its twin by its place in the log
                case
                    when received_at_quality in ('carried', 'missing') then 'line ' || line_number
                    else cast(epoch_us(received_at) as varchar)
                end,
                direction,
                coalesce(frame_md5, kind || coalesce(' ' || connection_id, ''))
            )) as frame_id,
        from dated
    """


def _infer_protocols(con: duckdb.DuckDBPyConnection) -> None:
    """Remember per station which OCPP version its frames are, from what only that version has."""
    con.execute(
        f"""
        insert into station_protocol
        with marked as (
            select
                station_id,
                case
                    when message_type in (5, 6) or action in ({typed.ACTIONS_21}) then 'ocpp2.1'
                    when action in ({typed.ACTIONS_20}) then 'ocpp2.0.1'
                    when action in ({typed.ACTIONS_16}) then 'ocpp1.6'
                    when action = 'BootNotification'
                        then case when contains(payload, 'chargingStation') then 'ocpp2.0.1' else 'ocpp1.6' end
                    when action = 'StatusNotification'
                        then case when contains(payload, 'connectorStatus') then 'ocpp2.0.1' else 'ocpp1.6' end
                end as protocol,
            from record
            where problem is null and message_type in (2, 5, 6)
        )
        -- the newest version wins: 2.1 stations also send what 2.0.1 has
        select station_id, max(protocol) from marked where protocol is not null group by station_id
        """
    )


def _quarantine_sql(too_long: tuple[int, ...]) -> str:
    """SQL of the chunk's rejected records, pseudonymised and cut."""
    keys = "|".join(OCPP_SECRET_KEYS)
    expected = " ".join(f"when '{reason}' then '{text}'" for reason, text in _EXPECTED.items())
    numbers = ", ".join(f"({number})" for number in too_long)
    long_lines = (
        f"""
        union all
        select
            number as line_number,
            null::bigint as record_number,
            null::varchar as column_name,
            null::varchar as value,
            'line_too_long' as reason,
            '{_EXPECTED["line_too_long"]}' as expected,
            null::varchar as text,
        from (values {numbers}) as dropped (number)
        """
        if too_long
        else ""
    )
    return f"""
        select
            record.line_number,
            null::bigint as record_number,
            null::varchar as column_name,
            null::varchar as value,
            problem as reason,
            case problem {expected} end as expected,
            left(mask_emails(mask_keys(left(rtrim(line, e' \\t\\r\\n'), 4000), '{keys}')), 2000) as text,
        from record
        inner join chunk on record.line_number = chunk.line_number
        where problem is not null
        {long_lines}
    """


def _count_duplicates(writer: LakeWriter, counts: FileCounts) -> None:
    """Tell the frames of this file that stand in it more than once; staging keeps one of each."""
    globs = [
        f"{writer.home.lake}/{name}"
        for name in writer.record.lake_files
        if name.startswith(("ocpp/frame/", "ocpp/connection_event/"))
    ]
    if not globs:
        return
    row = writer.con.execute(
        "select count(*) - count(distinct frame_id) from read_parquet($1, union_by_name = true)", [globs]
    ).fetchone()
    counts.duplicate = row[0] if row else 0
    counts.loaded -= counts.duplicate
