"""One landed OCPP log -> lake tables, set-based and in bounded memory.

A log is read in chunks of lines; each chunk is unpacked and typed by DuckDB in a handful of statements. Nothing loops
over frames in Python.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pipelines.files import LandedFileError, open_landed
from pipelines.home import FileCounts, LakeWriter
from pipelines.ocpp.chunks import Log, count_duplicates, decode_chunks
from pipelines.ocpp.formats.ocpp_core import DUMP_NAME
from pipelines.ocpp.lines import LineChunk
from pipelines.ocpp.overrides import Overrides, read_overrides
from pipelines.ocpp.recognise import identify, read_sample
from pipelines.ocpp.schema_quality import write_findings


def log_source_of(relative_path: str) -> str:
    """Name the log writer of a file: its folder and its name without digits, archive and log suffixes.

    Rotated files of one writer (``csms-2026-01-01.jsonl.gz``, ``csms-2026-01-02.jsonl.gz``) share the name.

    Args:
        relative_path: Path below ``landing/ocpp``.
    """
    path = Path(relative_path)
    if re.search(DUMP_NAME, path.name):  # a file per message: the folder is the writer
        return "log" if path.parent == Path() else path.parent.as_posix()
    stem = re.sub(r"(\.(gz|gzip|zst|zstd|log|jsonl|ndjson|json|txt|csv|html))+$", "", path.name, flags=re.IGNORECASE)
    stem = re.sub(r"[-_.T ]*\d[\d\-_.:TZ ]*", "-", stem).strip("-_. ")
    folder = "" if path.parent == Path() else path.parent.as_posix()
    return "/".join(part for part in (folder, stem) if part) or "log"


def decode_file(
    path: Path,
    *,
    writer: LakeWriter,
    relative_path: str,
    default_time_zone: str,
    overrides: Overrides | None = None,
) -> FileCounts:
    """Decode one OCPP log into the lake.

    Frames that can't be read go to quarantine with line, reason and what was expected; the rest is loaded. Lines that
    carry no record (other loggers' lines, blank lines) are not counted. ``writer.con`` must have the macros of
    :func:`pipelines.pseudonym.create_macros`.

    Args:
        path: The landed file, plain, gzip or Zstandard.
        writer: Where the lake files go; its commit record gets the format and the log source.
        relative_path: The path below ``landing/ocpp``; names the log source.
        default_time_zone: IANA zone of times that name no offset, when the log itself does not tell.
        overrides: What ``format.toml`` says of the file; read from its folders if not given.

    Returns:
        Records read, loaded, duplicate (the same frame twice in the file) and quarantined.
    """
    counts = FileCounts()
    source = log_source_of(relative_path)
    writer.record.log_source = source
    overrides = overrides or read_overrides(path, path.parents[len(Path(relative_path).parts) - 1])
    if overrides.problem:
        _whole_file(writer, counts, "bad_format_toml", overrides.problem)
        return counts
    sample = read_sample(path)
    recognised = identify(path, sample, overrides, relative_path, default_time_zone)
    if recognised is None:
        if not any(line.strip() for line in sample.lines) and sample.error is None:
            return counts  # an empty file holds nothing and lost nothing
        reason, detail = "unknown_format", "no log format that chargehouse knows"
        if sample.error and not sample.lines:
            reason, detail = sample.error.reason, str(sample.error)
        elif overrides.format:
            detail = f"records of the format {overrides.format!r} that format.toml names"
        _whole_file(writer, counts, reason, detail)
        return counts
    writer.record.log_format = recognised.log_format.name

    @contextmanager
    def open_chunks() -> Iterator[Iterator[LineChunk]]:
        with open_landed(path) as stream:
            yield recognised.chunks(stream)

    log = Log(recognised.log_format, source, default_time_zone, open_chunks)
    try:
        decode_chunks(log, writer, counts)
    except LandedFileError as error:
        _whole_file(writer, counts, error.reason, error.detail)
    count_duplicates(writer, counts)
    write_findings(writer)
    return counts


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
