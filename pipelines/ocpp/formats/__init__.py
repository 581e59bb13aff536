"""One module per family of log formats, behind one recogniser.

A format is told by the shape of its lines or the names of its columns, never by the file's name (but for the one system
that writes a file per message). :func:`recognise` asks every format which of the first lines it knows and takes the one
that knows most. To add a format, write a module with a ``LogFormat`` and name it in ``FORMATS``; the checklist is in
CONTRIBUTING.md.
"""

import json
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from pipelines.ocpp.formats import (
    alfen,
    data_derp,
    ev_server,
    everest,
    json_lines,
    logger_lines,
    maeve,
    ocpp_core,
    octt,
    plain_lines,
    rpc_lines,
    steve,
    tables,
    two_frames,
)
from pipelines.ocpp.formats.base import LogFormat, TableFormat

# The order breaks ties: the more specific shape first. The last one is asked only when the others know almost nothing.
FORMATS: tuple[LogFormat, ...] = (
    json_lines.NATIVE,
    json_lines.RECORDER,
    steve.LOG,
    plain_lines.EVCC,
    plain_lines.KEVIT,
    plain_lines.KOREAN_CSMS,
    plain_lines.NODE_RED,
    plain_lines.SAP_SIMULATOR,
    plain_lines.ACTEC_PROXY,
    plain_lines.MICRO_OCPP,
    plain_lines.OCPP_GO,
    plain_lines.JAVA_OCA,
    maeve.LINES,
    alfen.FORMAT,
    logger_lines.FORMAT,
    octt.FORMAT,
    octt.VERBOSE,
    everest.FORMAT,
    everest.HTML,
    two_frames.BARS,
    rpc_lines.FORMAT,
    steve.TRANSACTION,
    steve.TRANSACTION_START,
    steve.TRANSACTION_STOP,
    steve.STATUS,
    steve.METER,
    tables.CITRINEOS,
    ocpp_core.MESSAGE_LOG,
    ocpp_core.TRANSACTIONS,
    data_derp.FORMAT,
    maeve.TABLE,
    two_frames.SHEET,
    tables.KWWHAT,
    tables.INL,
    tables.PORTAL,
    tables.LENS,
    tables.FRAME_TABLE,
    ev_server.FORMAT,
    ocpp_core.DUMP,
    plain_lines.ANY_LINES,
)

# Words around the frame that no format claims win only if known formats see less than this share of those lines.
_STRAY_SHARE = 0.2
# A prefix is one if most lines have it: some lines of a container's start do not.
_PREFIX_SHARE = 0.6


@dataclass(frozen=True, slots=True)
class Prefix:
    """What a container runtime or the system's journal puts in front of every line of a log."""

    name: str
    pattern: str  # regular expression (both Python and RE2) with one group: the time, if it names an instant
    is_sure: bool  # nothing else looks like it, so it goes even if the format would be recognised with it


_STAMP = r"\d{4}-\d{2}-\d{2}[T ]\d{2}:\d{2}:\d{2}(?:[.,]\d+)?(?:Z|[+-]\d{2}:?\d{2})"
PREFIXES = (
    Prefix("docker_compose", rf"^[\w][\w.-]*\s+\| ?(?:({_STAMP}) )?", True),
    Prefix("kubernetes", rf"^({_STAMP}) std(?:out|err) [FP] ", True),
    Prefix("journald", r"^[A-Z][a-z]{2} [ \d]\d \d{2}:\d{2}:\d{2}(?:\.\d+)?() [\w.-]+ [\w./@-]+(?:\[\d+\])?: ", True),
    Prefix("journald_iso", rf"^({_STAMP}) [\w.-]+ [\w./@-]+\[\d+\]: ", True),
    Prefix("docker", rf"^({_STAMP}) ", False),
)
# Docker's json-file driver writes each line as an object.
JSON_LOG = Prefix("docker_json", r'^\{"log":"', True)
_COLOUR = "\x1b["


@dataclass(frozen=True, slots=True)
class Recognition:
    """What a log looks like, and how many of the sampled lines say so."""

    log_format: LogFormat
    known_lines: int
    prefix: Prefix | None = None
    has_colour: bool = False  # lines hold terminal colour codes


def _best(sample: Sequence[str], among: Collection[LogFormat]) -> tuple[int, LogFormat | None]:
    best: tuple[int, LogFormat | None] = (0, None)
    for form in among:
        pattern = re.compile(form.line_pattern)
        known = sum(1 for line in sample if pattern.search(line))
        if known > best[0]:
            best = (known, form)
    return best


def _told(sample: Sequence[str], among: Collection[LogFormat]) -> tuple[int, LogFormat | None]:
    """The format that knows most lines, the one of last resort only where the others know almost none."""
    known, best = _best(sample, [form for form in among if form is not plain_lines.ANY_LINES])
    if plain_lines.ANY_LINES in among:
        stray, _ = _best(sample, [plain_lines.ANY_LINES])
        if known < _STRAY_SHARE * stray:
            return stray, plain_lines.ANY_LINES
    return known, best


def strip_colour(line: str) -> str:
    """Return a line without terminal colour codes."""
    return re.sub(r"\x1b\[[0-9;]*m", "", line)


def unwrap(line: str) -> str:
    """Return the line that Docker's json-file driver wrapped."""
    try:
        value = json.loads(line)
        return str(value["log"])
    except (ValueError, KeyError, TypeError):
        return line


def recognise(sample: Sequence[str], *, among: Collection[LogFormat] = FORMATS) -> Recognition | None:
    """Tell the format of a log of lines from its first lines.

    Args:
        sample: Some first lines, with or without line ends. Damaged lines among them do no harm.
        among: The formats to choose from.

    Returns:
        The format that knows most lines, and what stands in front of them; None if no format knows any.
    """
    lines = [form for form in among if form.container == "lines"]
    has_colour = any(_COLOUR in line for line in sample)
    sample = [strip_colour(line) for line in sample] if has_colour else sample
    known, best = _told(sample, lines)
    found: Prefix | None = None
    filled = [line for line in sample if line.strip()]
    for prefix in (*PREFIXES, JSON_LOG):
        pattern = re.compile(prefix.pattern)
        matching = sum(1 for line in filled if pattern.match(line))
        if not matching or matching < _PREFIX_SHARE * len(filled):
            continue
        bare = [unwrap(line) for line in filled] if prefix is JSON_LOG else [pattern.sub("", line) for line in filled]
        known_bare, best_bare = _told(bare, lines)
        was_stray, is_stray = best is plain_lines.ANY_LINES, best_bare is plain_lines.ANY_LINES
        is_better = known_bare > known or (prefix.is_sure and known_bare == known)
        if best_bare and ((was_stray and not is_stray) or (is_better and was_stray == is_stray) or best is None):
            known, best, found = known_bare, best_bare, prefix
            break
    return Recognition(best, known, found, has_colour) if best else None


def normal_name(name: str) -> str:
    """Return a column's name as it is compared: lower case letters and digits."""
    return re.sub(r"[^a-z0-9]", "", name.lower())


def recognise_columns(names: Collection[str], *, among: Collection[LogFormat] = FORMATS) -> TableFormat | None:
    """Tell the format of a table from the names of its columns.

    Args:
        names: Column names of a CSV, or keys of JSON objects.
        among: The formats to choose from.

    Returns:
        Of the formats whose required columns are all there, the one that knows most columns.
    """
    present = {normal_name(name) for name in names}
    best: tuple[int, TableFormat | None] = (0, None)
    for form in among:
        if not isinstance(form, TableFormat):
            continue
        known = [column for column, aliases in form.columns.items() if not present.isdisjoint(aliases)]
        if set(form.required) <= set(known) and len(known) > best[0]:
            best = (len(known), form)
    return best[1]
