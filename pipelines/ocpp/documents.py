"""Whole documents -> chunks of records: JSON arrays (and objects one after the other), and CSV with quoted line breaks.

A log of lines is cut at line ends; a document has to be taken apart first. Both splitters here work on blocks of bytes
with NumPy, keep only what is not complete yet, and go on behind damage: a JSON string holds no line break, so each line
begins outside of strings, and a record that does not close ends where the next one begins.

Records of a CSV keep the number of their first line. Elements of a JSON array may share a line, so they are numbered
instead: the third element is 3.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np
import pyarrow as pa

from pipelines.files import LandedFileError
from pipelines.ocpp.lines import MAX_LINE_BYTES, LineChunk

# 16 MiB of JSON is some 50,000 frames; the index of its quotes and brackets takes some 5 times that.
BLOCK_BYTES = 16 << 20
# A record that is longer and not closed may have swallowed its successors.
_SUSPECT_BYTES = 256 << 10
_BATCHES = 8
_OVERLAP = 256  # bytes kept of what is dropped: the beginning of a record may stand across two blocks

_OPEN = np.zeros(256, bool)
_OPEN[[ord("["), ord("{")]] = True
_CLOSE = np.zeros(256, bool)
_CLOSE[[ord("]"), ord("}")]] = True
_SEPARATOR = np.zeros(256, bool)
_SEPARATOR[[ord(c) for c in " \t\r\n,[]"]] = True
_BOM = b"\xef\xbb\xbf"
# Keys under which an answer of a web service holds its records.
_ENVELOPE = re.compile(
    rb'\{\s*"(?:messages|data|items|records|rows|results?|logs|frames|value|RECORDS)"\s*:\s*\[\s*[\[{]', re.IGNORECASE
)
_FIRST_KEY = re.compile(rb'\{\s*("(?:[^"\\]|\\.)*")\s*:')


@dataclass(frozen=True, slots=True)
class CsvDialect:
    """How a CSV is written."""

    header: tuple[str, ...]
    delimiter: str
    is_backslash: bool  # a quote inside a field is \\" and not ""


def json_depth(head: bytes) -> int | None:
    """Tell how many brackets enclose the records of a JSON document; None if it is no such document.

    1 for an array, 2 for an object that holds an array of records, 0 for objects or frames that span lines and follow
    each other. JSON of one object or frame per line is a log of lines.

    Args:
        head: Some first bytes of the file.
    """
    text = head.removeprefix(_BOM).lstrip()
    if re.match(rb"\[\s*(?:[\[{]|\]\s*$)", text):
        return 1
    if _ENVELOPE.match(text):
        return 2
    first_line = text.split(b"\n", 1)[0].rstrip()
    if first_line in (b"{", b"[") or (first_line.startswith(b"{") and not first_line.endswith(b"}") and b"\n" in text):
        return 0 if re.match(rb'\{\s*"|\[\s*[2-6]\s*,', text) else None
    return None


def _chunk(texts: pa.Array, numbers: np.ndarray, is_bad: bool, too_long: list[int]) -> LineChunk:
    table = pa.table({"line_number": pa.array(numbers.astype(np.int64)), "line": texts})
    size = max(1, -(-len(numbers) // _BATCHES))
    return LineChunk(pa.Table.from_batches(table.to_batches(max_chunksize=size), table.schema), is_bad, tuple(too_long))


def _texts(data: bytes, starts: np.ndarray, ends: np.ndarray) -> tuple[pa.Array, bool]:
    """Return ``data[start:end]`` of each record as text, and whether bytes that are no UTF-8 were replaced."""
    if not len(starts):
        return pa.array([], pa.large_string()), False
    bounds = np.empty(2 * len(starts), np.int64)
    bounds[0::2], bounds[1::2] = starts, ends
    # every second piece is what stands between two records
    pieces = pa.LargeStringArray.from_buffers(len(bounds) - 1, pa.py_buffer(bounds), pa.py_buffer(data))
    texts = pieces.take(pa.array(np.arange(0, len(pieces), 2)))
    if data.isascii():
        return texts, False
    try:
        texts.validate(full=True)
    except pa.ArrowInvalid:
        values = texts.view(pa.large_binary()).to_pylist()
        return pa.array([value.decode(errors="replace") for value in values], pa.large_string()), True
    return texts, False


def _inside_strings(data: np.ndarray, quotes: np.ndarray, newlines: np.ndarray, positions: np.ndarray) -> np.ndarray:
    """Whether each position lies inside a JSON string, given that every line begins outside of one."""
    before = np.searchsorted(quotes, positions)
    line = np.searchsorted(newlines, positions)
    line_starts = np.concatenate(([0], newlines))[line]
    return ((before - np.searchsorted(quotes, line_starts)) & 1) == 1


class _JsonSplitter:
    """Finds the records of a JSON document in its bytes."""

    def __init__(self, depth: int) -> None:
        self.depth = depth  # brackets around a record
        self.level = 0  # brackets open where the buffer begins
        self.begin: re.Pattern[bytes] | None = None  # how a record begins, learned from the first

    def split(self, data: bytes, is_last: bool) -> tuple[np.ndarray, np.ndarray, int]:
        """Find the records that are complete in ``data``.

        Returns:
            Their starts, their ends, and the bytes dealt with.
        """
        # two characters that stand for one, hidden in place: a quote behind a backslash is no quote
        plain = data.replace(b"\\\\", b"__").replace(b'\\"', b"__") if b"\\" in data else data
        view = np.frombuffer(plain, np.uint8)
        quotes = np.flatnonzero(view == ord('"'))
        newlines = np.flatnonzero(view == ord("\n"))
        is_bracket = _OPEN[view] | _CLOSE[view]
        brackets = np.flatnonzero(is_bracket)
        brackets = brackets[~_inside_strings(view, quotes, newlines, brackets)]
        steps = np.where(_OPEN[view[brackets]], 1, -1)
        after = np.cumsum(steps) + self.level
        # a bracket that closes what was never opened, or an array with a brace: nothing behind it has a level
        below = np.flatnonzero((after < 0) | ((steps < 0) & (after == self.depth - 1) & (view[brackets] == ord("}"))))
        below = below if self.depth else np.flatnonzero(after < 0)
        underflow = None
        if len(below):
            underflow = int(brackets[below[0]])
            brackets, steps, after = brackets[: below[0]], steps[: below[0]], after[: below[0]]
        starts = brackets[(steps == 1) & (after == self.depth + 1)]
        ends = brackets[(steps == -1) & (after == self.depth)] + 1
        ends = ends[: len(starts)]
        unfinished = int(starts[len(ends)]) if len(starts) > len(ends) else None
        starts = starts[: len(ends)]
        # an object that an array's bracket closes has swallowed what follows it
        odd = np.flatnonzero((view[starts] == ord("{")) != (view[ends - 1] == ord("}")))
        if len(odd):
            unfinished = int(starts[odd[0]])
            starts, ends = starts[: odd[0]], ends[: odd[0]]
        if self.begin is None and len(starts):
            self._learn(data[starts[0] : ends[0]])
        used = int(ends[-1]) if len(ends) else 0
        if self.depth == 1 or (self.depth == 0 and len(ends)):
            stop = min(p for p in (len(data) if is_last else used, unfinished, underflow) if p is not None)
            starts, ends = _with_junk(data, starts, ends, stop)
            used = int(ends[-1]) if len(ends) and not is_last else used
        if unfinished is not None and (is_last or len(odd) or len(data) - unfinished > _SUSPECT_BYTES):
            found = self._next_record(data, unfinished + 1)
            stop = found if found is not None else len(data) if is_last else None
            if stop is not None:
                starts, ends = np.append(starts, unfinished), np.append(ends, stop)
                self.level = self.depth
                return starts, ends, stop
        if underflow is not None:
            found = self._next_record(data, underflow + 1)
            self.level = self.depth if found is not None else 0
            return starts, ends, found if found is not None else len(data)
        if is_last:
            return starts, ends, len(data)
        self.level = int(after[np.searchsorted(brackets, used) - 1]) if used else self.level
        return starts, ends, used

    def _learn(self, record: bytes) -> None:
        """Remember how the first record begins."""
        key = _FIRST_KEY.match(record)
        if key:
            self.begin = re.compile(rb"\{\s*" + re.escape(key[1]) + rb"\s*:")
        elif re.match(rb"\[\s*[2-6]\s*,", record):
            self.begin = re.compile(rb'\[\s*[2-6]\s*,\s*"')

    def resume(self, data: bytes) -> int | None:
        """Return where the next record begins behind one that was given up, and go on there."""
        found = self._next_record(data, 0)
        self.level = self.depth if found is not None else self.level
        return found

    def _next_record(self, data: bytes, at: int) -> int | None:
        found = self.begin.search(data, at) if self.begin else None
        return found.start() if found else None


def _with_junk(data: bytes, starts: np.ndarray, ends: np.ndarray, stop: int) -> tuple[np.ndarray, np.ndarray]:
    """Add what stands before ``stop`` between records and is no separator: it is a record nobody can read."""
    gap_starts = np.concatenate(([0], ends))
    gap_ends = np.concatenate((starts, [max(stop, int(ends[-1]) if len(ends) else 0)]))
    gaps = np.zeros(len(data) + 1, np.int8)
    gaps[gap_starts] += 1
    np.subtract.at(gaps, gap_ends, 1)
    is_junk = (np.cumsum(gaps[:-1], dtype=np.int8) > 0) & ~_SEPARATOR[np.frombuffer(data, np.uint8)]
    if not is_junk.any():
        return starts, ends
    junk = [
        (int(start) + match.start(), int(start) + match.end())
        for start, end in zip(gap_starts, gap_ends, strict=True)
        if is_junk[start:end].any()
        for match in re.finditer(rb"[^\s,\[\]][^\n]*", data[start:end])
    ]
    starts = np.concatenate((starts, [start for start, _ in junk])).astype(np.int64)
    ends = np.concatenate((ends, [end for _, end in junk])).astype(np.int64)
    order = np.argsort(starts, kind="stable")
    return starts[order], ends[order]


def json_records(stream: BinaryIO, depth: int, *, block_bytes: int = BLOCK_BYTES) -> Iterator[LineChunk]:
    """Yield the records of a JSON document in chunks; ``line_number`` is their position, from 1.

    Args:
        stream: Decompressed bytes.
        depth: As of :func:`json_depth`.
        block_bytes: Bytes to take at once.

    Raises:
        LandedFileError: The stream is damaged; every record before the damage was yielded.
    """
    splitter = _JsonSplitter(depth)
    rest, number, damage, is_last, is_first = b"", 0, None, False, True
    is_lost = False  # inside a record that is too long, looking for the next
    while not is_last:
        try:
            block = stream.read(block_bytes)
        except LandedFileError as error:
            block, damage = b"", error
        is_last = not block
        data = rest + (block.removeprefix(_BOM) if is_first else block)
        is_first = False
        while data:
            if is_lost:
                found = splitter.resume(data)
                if found is None:
                    data = b"" if is_last else data[-_OVERLAP:]
                    break
                data, is_lost = data[found:], False
            starts, ends, used = splitter.split(data, is_last)
            too_long: list[int] = []
            if not used and len(data) > MAX_LINE_BYTES:
                number += 1
                too_long, used, is_lost = [number], len(data) - _OVERLAP, True
            if len(starts) or too_long:
                texts, is_bad = _texts(data, starts, ends)
                yield _chunk(texts, np.arange(number + 1, number + 1 + len(starts)), is_bad, too_long)
                number += len(starts)
            data = data[used:]
            if not is_last or not used:
                break
        rest = data
    if damage:
        raise damage


def _sound_quotes(view: np.ndarray, quotes: np.ndarray, newlines: np.ndarray, delimiter: int) -> np.ndarray:
    """Return the quotes that open and close cells; those of a line where they do not are text.

    A quote opens a cell at its very beginning, and closes it at its very end or stands before another quote.
    """
    after_open = np.zeros(256, bool)
    after_open[[delimiter, ord("\n")]] = True
    behind_close = np.zeros(256, bool)
    behind_close[[delimiter, ord("\n"), ord("\r")]] = True
    checked = 0
    while True:
        rest = quotes[checked : checked + (len(quotes) - checked) // 2 * 2]
        opening, closing = rest[0::2], rest[1::2]
        reopening = quotes[checked:][2::2]  # the quote behind each closing one, if there is one
        is_doubled = closing[: len(reopening)] + 1 == reopening
        opens = (opening == 0) | after_open[view[opening - 1]]
        opens[1:] |= is_doubled[: max(0, len(opening) - 1)]
        closes = (closing == len(view) - 1) | behind_close[view[np.minimum(closing + 1, len(view) - 1)]]
        closes[: len(reopening)] |= is_doubled
        wrong = np.flatnonzero(~(opens & closes))
        if not len(wrong):
            return quotes
        checked += 2 * int(wrong[0])
        line = np.searchsorted(newlines, quotes[checked])
        line_end = newlines[line] if line < len(newlines) else len(view)
        quotes = np.concatenate((quotes[:checked], quotes[np.searchsorted(quotes, line_end) :]))


def _csv_cut(data: bytes, dialect: CsvDialect, is_last: bool) -> tuple[np.ndarray, np.ndarray, bool]:
    """Find where the records end in ``data``, which begins with one.

    Returns:
        The ends, the positions of all line breaks, and whether the last end was forced.
    """
    plain = data.replace(b"\\\\", b"__").replace(b'\\"', b"__") if dialect.is_backslash else data
    view = np.frombuffer(plain, np.uint8)
    newlines = np.flatnonzero(view == ord("\n"))
    quotes = _sound_quotes(view, np.flatnonzero(view == ord('"')), newlines, ord(dialect.delimiter))
    ends = newlines[(np.searchsorted(quotes, newlines) & 1) == 0] + 1
    open_at = int(ends[-1]) if len(ends) else 0
    if open_at == len(data) or not (is_last or len(data) - open_at > _SUSPECT_BYTES):
        return ends, newlines, False
    # the last record, or one that does not close: its first line stands for it
    line_ends = newlines[np.searchsorted(newlines, open_at) :]
    if len(line_ends):
        return np.append(ends, line_ends[0] + 1), newlines, True
    if is_last or len(data) - open_at > MAX_LINE_BYTES:
        return np.append(ends, len(data)), newlines, True
    return ends, newlines, False


def csv_records(stream: BinaryIO, dialect: CsvDialect, *, block_bytes: int = BLOCK_BYTES) -> Iterator[LineChunk]:
    """Yield the records of a CSV behind its header, in chunks; ``line_number`` is the line a record begins on.

    A record that stays open (a stray quote) ends with its first line, and reading goes on behind it.

    Args:
        stream: Decompressed bytes.
        dialect: How the file is written.
        block_bytes: Bytes to take at once.

    Raises:
        LandedFileError: The stream is damaged; every record before the damage was yielded.
    """
    rest, line, damage, is_last, is_header = b"", 1, None, False, True
    while not is_last:
        try:
            block = stream.read(block_bytes)
        except LandedFileError as error:
            block, damage = b"", error
        is_last = not block
        data, again = rest + block, True
        while data and again:
            ends, newlines, again = _csv_cut(data, dialect, is_last)
            if not len(ends):
                break
            starts = np.concatenate(([0], ends[:-1]))
            numbers = line + np.searchsorted(newlines, starts)
            used = int(ends[-1])
            line += int(np.searchsorted(newlines, used))
            if is_header:
                starts, ends, numbers, is_header = starts[1:], ends[1:], numbers[1:], False
            if len(starts):
                texts, is_bad = _texts(data, starts, ends)
                yield _chunk(texts, numbers, is_bad, [])
            data = data[used:]
        rest = data
    if damage:
        raise damage
