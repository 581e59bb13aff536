"""From a landed log to a bound format: what it is, how it is cut into records, and what ``format.toml`` adds.

A format's own SQL knows nothing of container runtimes, of the journal or of ``format.toml``. Here it is bound to one file:
prefixes are taken off its lines, columns are found under the names they have in it, and what ``format.toml`` says is put
in. The result is a ``LogFormat`` like any other.
"""

import csv
import io
import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO

from pipelines.files import LandedFileError, open_landed
from pipelines.ocpp import documents
from pipelines.ocpp.formats import (
    FORMATS,
    JSON_LOG,
    Prefix,
    json_lines,
    normal_name,
    ocpp_core,
    recognise,
    recognise_columns,
)
from pipelines.ocpp.formats.base import LogFormat, TableFormat
from pipelines.ocpp.lines import LineChunk, line_chunks
from pipelines.ocpp.overrides import Overrides

_SAMPLE_LINES = 400
_SAMPLE_BYTES = 1 << 20
_LINE_BYTES = 64 << 10  # of one line: enough for any frame's head
_JSON_BLOCK = 1 << 20

_JSON_LINES = (json_lines.NATIVE, json_lines.RECORDER)
_SUFFIXES = re.compile(r"(\.(gz|gzip|zst|zstd|log|jsonl|ndjson|json|txt|csv|tsv|html?|\d{1,3}))+$", re.IGNORECASE)
_MOMENT = re.compile(
    r"[-_.@ ]*(?:(?:19|20)\d{2}[-_.]?\d{2}[-_.]?\d{2}"
    r"(?:[-_.T ]?\d{2}[-_.:h]?\d{2}(?:[-_.:]?\d{2})?(?:[-_.]\d+)?Z?)?|1\d{9}|1\d{12})"
)

Chunks = Callable[[BinaryIO], Iterator[LineChunk]]


@dataclass(frozen=True, slots=True)
class Recognised:
    """A log's format, bound to the file, and how its bytes become records."""

    log_format: LogFormat
    chunks: Chunks


@dataclass(frozen=True, slots=True)
class Sample:
    """What a log begins with."""

    lines: list[str]
    error: LandedFileError | None  # why it can't be read on, or at all


def station_of(relative_path: str) -> str:
    """Name the charge point of a log that names none: the file's folder and its name without dates and suffixes.

    ``north/cp-12_2026-01-01.log.gz`` is ``north/cp-12``. Unlike the name of the log's writer this keeps numbers: two
    chargers' logs must not become one charger.

    Args:
        relative_path: Path below ``landing/ocpp``.
    """
    path = Path(relative_path)
    stem = _MOMENT.sub("-", _SUFFIXES.sub("", path.name)).strip("-_. @")
    folder = "" if path.parent == Path() else path.parent.as_posix()
    if re.search(ocpp_core.DUMP_NAME, path.name):
        stem = ""
    return "/".join(part for part in (folder, stem) if part) or "log"


def read_sample(path: Path) -> Sample:
    """Return the first lines of a log, long ones cut; never more than a few MiB of it.

    Args:
        path: The landed file.
    """
    lines: list[str] = []
    size = 0
    try:
        with open_landed(path) as stream:
            while len(lines) < _SAMPLE_LINES and size < _SAMPLE_BYTES:
                line = stream.readline(_LINE_BYTES)
                if not line:
                    break
                lines.append(line.decode(errors="replace"))
                size += len(line)
                while line and not line.endswith(b"\n"):
                    line = stream.readline(_JSON_BLOCK)
    except LandedFileError as error:
        return Sample(lines, error)
    return Sample(lines, None)


def identify(
    path: Path, sample: Sample, overrides: Overrides, relative_path: str, default_time_zone: str
) -> Recognised | None:
    """Tell what a log is, and bind its format to the file.

    Args:
        path: The landed file.
        sample: Its first lines.
        overrides: What ``format.toml`` says of it.
        relative_path: Its path below ``landing/ocpp``.
        default_time_zone: IANA zone of times without offset that nothing else tells.

    Returns:
        The bound format; None if no format knows the file.
    """
    among = [form for form in FORMATS if overrides.format in (None, form.name)]
    found = _find(path, sample, among)
    if found is None:
        return None
    form, chunks, records, prefix = found
    fill = {
        "date_order": overrides.date_order or _date_order(sample.lines),
        "date": overrides.date or "",
        "file_name": path.name.replace("'", "''"),
        "station_id": (overrides.station_id or "").replace("'", "''"),
        "zone": overrides.time_zone or default_time_zone,
    }
    sql = _wrap(form, records, prefix, overrides, station_of(relative_path))
    for name, value in fill.items():
        sql = sql.replace(f"@{name}@", value)
    return Recognised(replace(form, records_sql=sql, time_zone=overrides.time_zone), chunks)


@dataclass(frozen=True, slots=True)
class _Front:
    """What stands in front of every line, and what to do about it."""

    prefix: Prefix | None = None
    has_colour: bool = False

    def line_sql(self) -> str:
        """SQL of the line without it."""
        line = "line"
        if self.prefix is JSON_LOG:
            line = "coalesce(case when json_valid(line) then json_extract_string(line, '$.log') end, line)"
        if self.has_colour:
            line = rf"regexp_replace({line}, '\x1b\[[0-9;]*m', '', 'g')"
        if self.prefix is not None and self.prefix is not JSON_LOG:
            line = f"regexp_replace({line}, '{self.prefix.pattern}', '')"
        return line

    def instant_sql(self) -> str | None:
        """SQL of the time it names, if it can name one."""
        if self.prefix is None or self.prefix.name == "journald":
            return None
        if self.prefix is JSON_LOG:
            text = "case when json_valid(line) then json_extract_string(line, '$.time') end"
        else:
            text = f"replace(regexp_extract(line, '{self.prefix.pattern}', 1), ',', '.')"
        return f"try_cast({text} as timestamptz)"


def _find(  # noqa: PLR0911 - one return a container
    path: Path, sample: Sample, among: Sequence[LogFormat]
) -> tuple[LogFormat, Chunks, str, _Front] | None:
    """Return the format, how to cut the file, its SQL over ``chunk``, and what stands in front of its lines."""
    if re.search(ocpp_core.DUMP_NAME, path.name) and ocpp_core.DUMP in among:
        return ocpp_core.DUMP, line_chunks, ocpp_core.DUMP.records_sql, _Front()
    filled = [line for line in sample.lines if line.strip()]
    if not filled:
        return None
    head = "".join(filled)[: 4 * _LINE_BYTES].encode()
    depth = documents.json_depth(head)
    if depth is not None:
        elements = _first_elements(path, depth)
        chosen = _of_records(elements, among)
        if chosen is not None:
            return *_reader(chosen, lambda stream: documents.json_records(stream, depth), elements), _Front()
    recognition = recognise(sample.lines, among=among)
    objects = [line for line in filled if line.lstrip().startswith("{")]
    is_told = recognition is not None and (recognition.prefix is JSON_LOG or recognition.log_format in _JSON_LINES)
    if len(objects) * 2 > len(filled) and not is_told:
        chosen = _of_records(objects, among)
        if chosen is not None:
            return *_reader(chosen, line_chunks, objects), _Front()
    dialect = csv_dialect(filled)
    if dialect is not None:
        table = recognise_columns(dialect.header, among=among)
        if table is not None:
            return table, lambda stream: documents.csv_records(stream, dialect), _csv_sql(table, dialect), _Front()
    if recognition is None:
        return None
    form = recognition.log_format
    front = _Front(recognition.prefix, recognition.has_colour)
    return form, lambda stream: line_chunks(stream, separator=form.separator), form.records_sql, front


def _first_elements(path: Path, depth: int) -> list[str]:
    """Return the first records of a JSON document."""
    try:
        with open_landed(path) as stream:
            for chunk in documents.json_records(stream, depth, block_bytes=_JSON_BLOCK):
                return [str(text) for text in chunk.lines.column("line").slice(0, _SAMPLE_LINES).to_pylist()]
    except LandedFileError:
        pass
    return []


def _of_records(records: Sequence[str], among: Sequence[LogFormat]) -> LogFormat | None:
    """Return the format of JSON records: one that knows them as lines, else one that knows their keys."""
    recognition = recognise(records, among=[form for form in among if form.name not in ("everest", "any_lines")])
    known = recognition.known_lines if recognition and recognition.prefix is None else 0
    if recognition and known * 2 > len(records):
        return recognition.log_format
    keys = _keys(records)
    table = recognise_columns(keys, among=among) if keys else None
    return table or (recognition.log_format if recognition and known else None)


def _keys(records: Sequence[str]) -> dict[str, None]:
    """Return the keys of JSON objects, in order."""
    keys: dict[str, None] = {}
    for record in records:
        try:
            value = json.loads(record)
        except (ValueError, RecursionError):
            continue
        if isinstance(value, dict):
            keys |= dict.fromkeys(value)
    return keys


def _reader(form: LogFormat, chunks: Chunks, records: Sequence[str]) -> tuple[LogFormat, Chunks, str]:
    if isinstance(form, TableFormat):
        return form, chunks, _json_sql(form, _keys(records))
    return form, chunks, form.records_sql


def _dialect(header: str) -> documents.CsvDialect | None:
    """Return how a CSV with this first line is written; None if it is no header of two columns or more."""
    text = header.lstrip("\ufeff").rstrip("\r\n")
    for delimiter in (",", ";", "\t", "|"):
        try:
            names = next(csv.reader(io.StringIO(text), delimiter=delimiter), [])
        except csv.Error:  # bytes that are no text
            return None
        if len(names) > 1 and all(
            re.fullmatch(r"[A-Za-z_][\w .()/-]{0,60}", name.strip()) for name in names if name.strip()
        ):
            return documents.CsvDialect(tuple(name.strip() for name in names), delimiter, False)
    return None


def csv_dialect(lines: Sequence[str]) -> documents.CsvDialect | None:
    """Return how a CSV with these first lines is written; None if it is none.

    Args:
        lines: Its first lines, the header among them.
    """
    filled = [line for line in lines if line.strip()]
    dialect = _dialect(filled[0]) if filled else None
    return replace(dialect, is_backslash=_is_backslash(filled[1:])) if dialect else None


def _is_backslash(lines: Sequence[str]) -> bool:
    """Whether quotes inside fields are escaped by a backslash, as MySQL writes them."""
    return any('\\"' in line for line in lines) and not any('""' in line for line in lines)


def _date_order(lines: Sequence[str]) -> str:
    """Tell whether dates such as 3/4/2026 have the day or the month first; with AM and PM it is the month."""
    dates = [
        match
        for line in lines
        for match in re.finditer(
            r"\b(\d{1,2})[-/.](\d{1,2})[-/.]\d{4}[ ,T]+\d{1,2}:\d{2}(?::\d{2})?(?:\.\d+)?( [AaPp]\.?[Mm])?", line
        )
    ]
    if any(int(match[1]) > 12 for match in dates):
        return "dmy"
    if any(int(match[2]) > 12 or match[3] for match in dates):
        return "mdy"
    return "dmy"


def _csv_sql(table: TableFormat, dialect: documents.CsvDialect) -> str:
    """SQL of a table format over the records of a CSV."""
    mark = "'" if dialect.delimiter == "'" else dialect.delimiter
    escaped = re.escape(mark).replace("'", "''")
    quoted = r'(?:[^"\\]|\\.|"")*' if dialect.is_backslash else r'(?:[^"]|"")*'
    field = rf'{escaped}(?:"{quoted}"|[^{escaped}"][^{escaped}]*)?'
    names = [normal_name(name) for name in dialect.header]
    unquote = "replace(c[{i}][3:-2], '\"\"', '\"')"
    if dialect.is_backslash:
        unquote = "replace(replace(c[{i}][3:-2], '\\\"', '\"'), '\\\\', '\\')"
    cell = (
        "nullif(nullif(nullif(case when starts_with(c[{i}], '"
        + mark
        + "\"') then "
        + unquote
        + " else trim(c[{i}][2:]) end, ''), 'NULL'), '\\N')"
    )
    columns = []
    for column, aliases in table.columns.items():
        places = [names.index(alias) + 1 for alias in aliases if alias in names]
        columns.append(f"{cell.format(i=places[0])} as {column}" if places else f"null::varchar as {column}")
    header = dialect.delimiter.join(dialect.header).replace("'", "''")
    return _with(
        rf"""
        fields as (
            select
                line_number,
                rtrim(line, e'\r\n') as line,
                regexp_extract_all('{mark}' || rtrim(line, e'\r\n'), '{field}') as c,
            from chunk
        ),
        cells as (
            select
                line_number,
                line,
                case
                    when length(array_to_string(c, '')) <> length(line) + 1
                        or (len(c) <> {len(names)} and not (len(c) = {len(names) + 1} and c[-1] = '{mark}'))
                        then 'bad_csv_row'
                end as problem,
                {", ".join(columns)},
            from fields
            -- files put one behind the other repeat the header
            where trim(line) <> '' and line <> '{header}'
        )
        """,
        table.records_sql,
    )


def _json_sql(table: TableFormat, keys: dict[str, None]) -> str:
    """SQL of a table format over JSON objects."""
    spelled: dict[str, list[str]] = {}
    for key in keys:
        spelled.setdefault(normal_name(key), []).append(key)
    paths: list[str] = []
    columns = []
    for column, aliases in table.columns.items():
        # a key that the first records lack is looked for as it is written here
        found = [key for alias in aliases for key in spelled.get(alias, [])] or list(aliases[:1])
        places = []
        for key in found:
            quoted = key.replace("\\", "\\\\").replace('"', '\\"').replace("'", "''")
            paths.append(f"'$.\"{quoted}\"'")
            places.append(f"nullif(j[{len(paths)}], '')")
        columns.append(
            f"coalesce({', '.join([*places, 'null'])}) as {column}" if places else f"null::varchar as {column}"
        )
    return _with(
        rf"""
        objects as (
            select
                line_number,
                line,
                case when json_valid(line) then json_extract_string(line, [{", ".join(paths)}]) end as j,
            from chunk
            where trim(line, e' \t\r\n') <> ''
        ),
        cells as (
            select
                line_number,
                rtrim(line, e' \t\r\n') as line,
                case when j is null then 'bad_json' end as problem,
                {", ".join(columns)},
            from objects
        )
        """,
        table.records_sql,
    )


def _with(ctes: str, sql: str) -> str:
    """Put CTEs in front of the CTEs of a statement."""
    return f"with {ctes}, " + re.sub(r"^\s*with\b", "", sql, count=1)


# A frame may be followed by rest of its line: [... bytes], a quote, a colour code. Where it ends is one of a few places.
_FRAME_SQL = r"""
    case
        when frame is null or ends_with(frame, '}]') or problem is not null then frame
        -- a logger that quotes its messages escapes the quotes in them
        when regexp_matches(frame, '^\[\s*[2-6]\s*,\s*\\"')
            then coalesce(try_cast('"' || regexp_extract(frame, '^(\[.*\])', 1, 's') || '"' as json) ->> '$', frame)
        else coalesce(
            list_filter(
                [
                    frame,
                    regexp_extract(frame, '^(.*\])', 1, 's'),
                    regexp_extract(frame, '^(.*\}\s*\])', 1, 's'),
                    regexp_extract(regexp_extract(frame, '^(.*)\]', 1, 's'), '^(.*\])', 1, 's')
                ],
                lambda candidate: json_valid(candidate)
            )[1],
            frame
        )
    end
"""


def _wrap(form: LogFormat, records: str, front: _Front, overrides: Overrides, station: str) -> str:
    """Return the SQL of a format with prefixes, trailing text and ``format.toml`` dealt with."""
    instant = front.instant_sql()
    if front.prefix is not None or front.has_colour:
        records = _with(
            f"bare as (select line_number, {front.line_sql()} as line from chunk)",
            re.sub(r"\bfrom chunk\b", "from bare", records),
        )
    if not form.is_text and not overrides.digest and form in _JSON_LINES:
        return records
    side = "side"
    if overrides.logged_by:
        into, out = ("from_station", "to_station") if overrides.logged_by == "csms" else ("to_station", "from_station")
        side = f"case side when 'in' then '{into}' when 'out' then '{out}' else side end"
    station_sql = "coalesce(nullif(station_id, ''), '" + station.replace("'", "''") + "')"
    if overrides.station_id:
        station_sql = "'@station_id@'"
    protocol = f"'{overrides.protocol}'" if overrides.protocol else "protocol"
    received_at = "received_at"
    fronts = join = ""
    if instant:
        fronts = f", fronts as (select line_number, {instant} as front_at from chunk)"
        join = "left join fronts using (line_number)"
        received_at = "case when received_local is null then coalesce(received_at, front_at) else received_at end"
    return f"""
        with logged as ({records}){fronts}
        select
            line_number,
            kind,
            {received_at} as received_at,
            received_local,
            {station_sql} as station_id,
            connection_id,
            {side} as side,
            {protocol} as protocol,
            {_FRAME_SQL if form.is_text else "frame"} as frame,
            close_code,
            problem,
        from logged
        {join}
    """
