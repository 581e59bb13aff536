"""Splitting an OCPI file into its objects, each with its line number.

A file is one object, an array, one object per line, an OCPI response (``{"data": ..., "status_code": ...}``, or
``{"next": ..., "items": [...]}``), or several of these one after the other. Objects are found by vectorised work on the
bytes: quotes that are not escaped tell what is inside a string, a running sum over brackets tells how deep a byte lies,
and an object is what lies between two brackets of the right depth. No step walks over characters or objects in Python,
except behind damage.

One broken object does not spoil its neighbours. JSON allows no line break inside a string, so each line starts outside
of strings; and where brackets or quotes do not pair up, reading goes on at the next place where an object begins that
parses and has a key that objects of this module have.
"""

import codecs
import json
import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field, replace
from typing import BinaryIO, Protocol

import duckdb
import numpy as np
import pyarrow as pa

from pipelines.files import LandedFileError

BLOCK_BYTES = 8 << 20  # bytes scanned at once; an index of some 6 times that lives beside them
_RESYNC_BYTES = 256 << 10  # block behind damage: the next damage is often near
_SUSPECT_BYTES = 64 << 10  # an object that is longer and not closed may have swallowed its successors
MAX_OBJECT_BYTES = 1 << 30  # an object can't be longer: Arrow's offsets end at 2 GiB
_MAX_JUNK_BYTES = 4 << 20  # bytes between objects that are reported as one record
_KEPT_TEXT_BYTES = 16_000  # of a broken record; the lake keeps less, after masking
_CHUNK_ROWS = 2048  # rows per Arrow batch: DuckDB reads batches in parallel

_QUOTE, _OPEN, _CLOSE, _NEWLINE, _SPACE = 1, 2, 3, 4, 5
_CLASS = bytes.maketrans(
    bytes(range(256)),
    bytes(
        _QUOTE
        if c == '"'
        else _OPEN
        if c in "{["
        else _CLOSE
        if c in "}]"
        else _NEWLINE
        if c == "\n"
        else _SPACE
        if c in " \t\r"
        else 0
        for c in map(chr, range(256))
    ),
)
_SEPARATORS = b" \t\r\n,\x1e"  # \x1e: record separator of JSON text sequences, RFC 7464
_SEPARATOR = np.zeros(256, bool)
_SEPARATOR[list(_SEPARATORS)] = True
_BACKSLASH, _BRACE, _BRACKET = ord("\\"), ord("{"), ord("[")
_CLOSER = {"array": ord("]"), "data": ord("]"), "envelope": ord("}")}

_PAGE_KEYS = (b'"data"', b'"items"')
_PAGE_VALUE = re.compile(rb"\s*:\s*[\[{]")
_OBJECT_START = re.compile(rb'\{\s*"')
_OBJECT_LINE = re.compile(rb"\n\{")
_SPLIT_REASONS = ("bad_json", "truncated_object")
_DECODER = json.JSONDecoder()
_EMPTY = np.zeros(0, np.int64)

OBJECT_SCHEMA = pa.schema([("record_number", pa.int64()), ("line_number", pa.int64()), ("text", pa.string())])


class ByteSource(Protocol):
    """What objects are read from."""

    def read(self, size: int = -1, /) -> bytes:
        """Return up to ``size`` bytes; empty at the end."""
        ...


@dataclass(frozen=True, slots=True)
class Broken:
    """A record that is no readable object of its module."""

    record_number: int
    line_number: int
    reason: str
    expected: str
    text: str
    column_name: str | None = None
    value: str | None = None


@dataclass(slots=True)
class Batch:
    """Objects that follow each other in a file, and the broken records between them."""

    objects: pa.Table
    broken: list[Broken] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Context:
    """A container whose content is objects: the array of a file, an envelope, the list in an envelope."""

    kind: str  # array, envelope, data
    line: int = 0
    text: bytes = b""  # of an envelope, what was read of it, without its data


@dataclass(frozen=True, slots=True)
class _Run:
    """Objects in one container: where they begin, and where they end (the closing bracket)."""

    starts: np.ndarray
    ends: np.ndarray
    stack: tuple[_Context, ...]


@dataclass(frozen=True, slots=True)
class _Fault:
    """Bytes that are no object."""

    start: int
    end: int
    reason: str
    expected: str
    column_name: str | None = None
    value: str | None = None
    text: bytes | None = None
    line: int | None = None


@dataclass(slots=True)
class _Scan:
    """One pass over a buffer: what it is given and what it finds."""

    buffer: bytes
    index: "_Index"
    is_last: bool
    runs: list[_Run] = field(default_factory=list)
    faults: list[_Fault] = field(default_factory=list)


class _Index:
    """Where brackets, line breaks and white space outside of strings are in a buffer."""

    def __init__(self, buffer: bytes, depth: int) -> None:
        """Index ``buffer``, which begins outside of any string, ``depth`` containers deep."""
        self.data = data = np.frombuffer(buffer, np.uint8)
        classes = np.frombuffer(buffer.translate(_CLASS), np.uint8)
        positions = np.flatnonzero(classes)
        kinds = classes[positions]
        quotes = positions[kinds == _QUOTE]
        escaped = quotes[_is_escaped(data, quotes)] if b"\\" in buffer else _EMPTY
        if len(escaped):
            keep = np.ones(len(positions), bool)
            keep[np.searchsorted(positions, escaped)] = False
            positions, kinds = positions[keep], kinds[keep]
        newline = kinds == _NEWLINE
        quotes_so_far = np.cumsum(kinds == _QUOTE, dtype=np.int32)
        before_line = np.maximum.accumulate(np.where(newline, quotes_so_far, 0)) if len(kinds) else quotes_so_far
        outside = ((quotes_so_far - before_line) & 1) == 0
        self.newlines = positions[newline]
        self.spaces = positions[outside & (kinds >= _NEWLINE)]
        bracket = outside & ((kinds == _OPEN) | (kinds == _CLOSE))
        self.brackets = positions[bracket]
        self.is_open = kinds[bracket] == _OPEN
        step = np.where(self.is_open, 1, -1).astype(np.int32)
        after = np.cumsum(step, dtype=np.int32) + depth
        below = np.flatnonzero(after < 0)
        # A bracket that closes what was never opened: nothing behind it has a depth.
        self.underflow = int(self.brackets[below[0]]) if len(below) else None
        if len(below):
            cut = below[0]
            self.brackets, self.is_open, step, after = self.brackets[:cut], self.is_open[:cut], step[:cut], after[:cut]
        self.level = np.where(self.is_open, after - step, after)  # depth of the container around the bracket's pair
        self._levels: dict[int, tuple[np.ndarray, np.ndarray, np.ndarray]] = {}
        self._pages_at: dict[int, np.ndarray] = {}
        self.pages = self._pages(buffer)

    def _pages(self, buffer: bytes) -> np.ndarray:
        """Positions of the bracket that opens the value of a key ``data`` or ``items``, at any depth."""
        found = []
        for key in _PAGE_KEYS:
            at = buffer.find(key)
            while at >= 0:
                if value := _PAGE_VALUE.match(buffer, at + len(key)):
                    found.append(value.end() - 1)
                at = buffer.find(key, at + len(key))
        positions = np.sort(np.array(found, np.int64))
        opens = self.brackets[self.is_open]
        places = np.searchsorted(opens, positions)
        is_bracket = np.zeros(len(positions), bool)  # a key inside a string has no bracket of the structure behind it
        known = places < len(opens)
        is_bracket[known] = opens[places[known]] == positions[known]
        return positions[is_bracket]

    def at(self, level: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Brackets whose pair lies ``level`` containers deep: the opening ones, the closing ones, opening arrays."""
        if level not in self._levels:
            here = self.level == level
            opens = self.brackets[here & self.is_open]
            closes = self.brackets[here & ~self.is_open]
            self._levels[level] = (opens, closes, opens[self.data[opens] == _BRACKET])
        return self._levels[level]

    def pages_at(self, level: int) -> np.ndarray:
        """Brackets that open ``data`` or ``items`` of an object that lies ``level`` containers deep."""
        if level not in self._pages_at:
            places = np.searchsorted(self.brackets, self.pages)
            self._pages_at[level] = self.pages[self.level[places] == level + 1]
        return self._pages_at[level]


def _is_escaped(data: np.ndarray, quotes: np.ndarray) -> np.ndarray:
    """Whether an odd number of backslashes stands before each quote."""
    slashes = np.flatnonzero(data == _BACKSLASH)
    begins = np.empty(len(slashes), bool)
    begins[:1] = True
    np.not_equal(slashes[1:], slashes[:-1] + 1, out=begins[1:])
    run_begin = np.maximum.accumulate(np.where(begins, np.arange(len(slashes)), 0))
    last = np.searchsorted(slashes, quotes) - 1  # the last backslash before each quote
    adjacent = (last >= 0) & (slashes[last] == quotes - 1)
    return adjacent & (((last - run_begin[last]) & 1) == 0)


def _first(positions: np.ndarray, at: int) -> int | None:
    """The first position not before ``at``."""
    index = int(np.searchsorted(positions, at))
    return int(positions[index]) if index < len(positions) else None


def _between(positions: np.ndarray, start: int, stop: int) -> np.ndarray:
    return positions[np.searchsorted(positions, start) : np.searchsorted(positions, stop)]


class ObjectReader:
    """Reads the objects of one file; iterate for batches."""

    def __init__(
        self,
        source: ByteSource | BinaryIO,
        con: duckdb.DuckDBPyConnection,
        keys: Collection[str],
        block_bytes: int = BLOCK_BYTES,
    ) -> None:
        """Read from ``source``.

        Args:
            source: Bytes of the file, decompressed. A :class:`LandedFileError` that reading raises ends the file there
                and becomes a broken record.
            con: Connection that tells which texts are JSON.
            keys: Keys of which objects of this module have at least one at their top, and objects inside them none:
                they tell where the next object begins behind damage.
            block_bytes: Bytes to scan at once.
        """
        self._source = source
        self._con = con
        self._keys = frozenset(keys)
        self._block = block_bytes
        self._buffer = b""
        self._window = block_bytes  # bytes of the buffer to scan next
        self._line = 1
        self._stack: tuple[_Context, ...] = ()
        self._record = 0
        self._suspect = _SUSPECT_BYTES
        self._eof = False
        self._damage: LandedFileError | None = None
        self._is_tail_reported = False
        self._decoder: codecs.IncrementalDecoder | None = None

    def __iter__(self) -> Iterator[Batch]:
        """Yield the objects in the file's order."""
        self._read_more(self._block)
        self._skip_byte_order_mark()
        while True:
            window = self._buffer[: self._window] if self._window < len(self._buffer) else self._buffer
            is_all = len(window) == len(self._buffer)
            used, batch = self._scan(window, self._eof and is_all)
            self._buffer = self._buffer[used:]
            if len(batch.objects) or batch.broken:
                yield batch
            if is_all and self._eof and not self._buffer:
                break
            self._window = min(self._window * 2, self._block) if used else len(window) * 2
            if self._window > len(self._buffer):
                self._read_more(self._window - len(self._buffer))
        if tail := self._end():
            yield Batch(OBJECT_SCHEMA.empty_table(), [tail])

    def _read_more(self, size: int) -> None:
        """Add the next bytes of the source to the buffer."""
        parts = [self._buffer]
        while size > 0 and not self._eof:
            try:
                data = self._source.read(size)
            except LandedFileError as error:
                self._damage = error
                data = b""
            self._eof = not data
            if self._decoder:
                data = self._decoder.decode(data, final=self._eof).encode()
            parts.append(data)
            size -= len(data)
        self._buffer = b"".join(parts)

    def _skip_byte_order_mark(self) -> None:
        """Drop a byte order mark; what follows one of UTF-16 is recoded to UTF-8."""
        if self._buffer.startswith(codecs.BOM_UTF8):
            self._buffer = self._buffer[len(codecs.BOM_UTF8) :]
        elif self._buffer.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
            self._decoder = codecs.getincrementaldecoder("utf-16")("replace")
            self._buffer = self._decoder.decode(self._buffer, final=self._eof).encode()

    def _scan(self, buffer: bytes, is_last: bool) -> tuple[int, Batch]:
        """Find what is complete in ``buffer``, which begins where ``self._stack`` says.

        Returns:
            The bytes dealt with, and what they hold. ``self._stack`` is then that of the next byte.
        """
        scan = _Scan(buffer, _Index(buffer, len(self._stack)), is_last)
        self._is_tail_reported = False
        at, is_done = 0, False
        while not is_done:
            step = self._step_envelope if self._stack and self._stack[-1].kind == "envelope" else self._step_objects
            at, is_done = step(scan, at)
        used, batch = self._finish(scan, at)
        self._line += int(np.searchsorted(scan.index.newlines, used))
        return used, batch

    def _step_objects(self, scan: _Scan, at: int) -> tuple[int, bool]:
        """Take the objects from ``at`` to the next change of container; returns the next byte and whether to stop."""
        buffer, index = scan.buffer, scan.index
        level = len(self._stack)
        opens, closes, arrays = index.at(level)
        close = _first(index.at(level - 1)[1], at) if level else None
        array = _first(arrays, at)
        page = _first(index.pages_at(level), at)
        if page is not None:
            page = int(opens[np.searchsorted(opens, page) - 1])  # where the envelope begins
        stop = min(len(buffer) if p is None else p for p in (close, array, page))
        ends = _between(closes, at, stop)
        starts = _between(opens, at, stop)
        unfinished = int(starts[len(ends)]) if len(starts) > len(ends) else None
        starts = starts[: len(ends)]
        if len(ends):
            scan.runs.append(_Run(starts, ends, self._stack))
            self._suspect = _SUSPECT_BYTES
        scan.faults.extend(self._between_objects(index, buffer, at, starts, ends))
        at = int(ends[-1]) + 1 if len(ends) else at
        if unfinished is not None:
            scan.faults.extend(self._junk(buffer, at, unfinished))
            return self._unfinished(scan, unfinished), True
        if stop == len(buffer):
            return self._rest(scan, at), True
        if stop != close:
            scan.faults.extend(self._junk(buffer, at, stop))
            line = self._line + int(np.searchsorted(index.newlines, stop))
            kind = "array" if stop == array else "envelope"
            self._stack = (*self._stack, _Context(kind, line, buffer[stop : stop + 1]))
            return stop + 1, False
        if buffer[stop] == _CLOSER[self._stack[-1].kind]:
            scan.faults.extend(self._junk(buffer, at, stop))
            self._stack = self._stack[:-1]
            return stop + 1, False
        # `}` where the list should close: an object had one bracket too many.
        return self._skip(scan, at, stop + 1), True

    def _step_envelope(self, scan: _Scan, at: int) -> tuple[int, bool]:
        """Go to the data or to the end of an envelope; returns the next byte and whether to stop."""
        buffer, index = scan.buffer, scan.index
        level = len(self._stack)
        opens, closes, _ = index.at(level)
        envelope = self._stack[-1]
        close = _first(index.at(level - 1)[1], at)
        opening = _first(opens, at)
        if close is not None and (opening is None or close < opening):
            text = envelope.text + buffer[at : close + 1]
            scan.faults.extend(_envelope_fault(text, envelope.line, close))
            self._stack = self._stack[:-1]
            return close + 1, False
        if opening is None:
            return (self._unfinished(scan, at) if scan.is_last else at), True
        is_page = opening == _first(index.pages_at(level - 1), opening)
        if is_page and buffer[opening] == _BRACKET:
            passed = _Context("envelope", envelope.line, envelope.text + buffer[at:opening] + b"[]")
            self._stack = (*self._stack[:-1], passed, _Context("data"))
            return opening + 1, False
        end = _first(closes, opening)
        if end is None and is_page and scan.is_last:
            self._stack = self._stack[:-1]  # a single object, cut off: the envelope will not go on behind it
            return self._unfinished(scan, opening), True
        if end is None:
            return (self._unfinished(scan, opening) if scan.is_last else at), True
        if is_page:
            scan.runs.append(_Run(np.array([opening]), np.array([end]), self._stack[:-1]))
        kept = buffer[at:opening] + b"{}" if is_page else buffer[at : end + 1]
        self._stack = (*self._stack[:-1], _Context("envelope", envelope.line, envelope.text + kept))
        return end + 1, False

    def _between_objects(
        self, index: _Index, buffer: bytes, at: int, starts: np.ndarray, ends: np.ndarray
    ) -> Iterator[_Fault]:
        """Yield what stands between objects and is no separator."""
        if not len(ends):
            return
        gap_starts = np.concatenate(([at], ends[:-1] + 1))
        lengths = starts - gap_starts
        shifts = np.repeat(gap_starts - np.concatenate(([0], np.cumsum(lengths)[:-1])), lengths)
        inside = index.data[np.arange(int(lengths.sum())) + shifts]
        if _SEPARATOR[inside].all():
            return
        of_gap = np.repeat(np.arange(len(lengths)), lengths)
        for gap in np.unique(of_gap[~_SEPARATOR[inside]]):
            yield from self._junk(buffer, int(gap_starts[gap]), int(starts[gap]))

    def _junk(self, buffer: bytes, start: int, end: int) -> Iterator[_Fault]:
        """Yield the lines of a stretch outside of objects that hold more than separators."""
        if not buffer[start:end].strip(_SEPARATORS):
            return
        for line in re.finditer(rb"[^\n]+", buffer[start:end]):
            if line[0].strip(b" \t\r,\x1e"):
                yield _Fault(start + line.start(), start + line.end(), "bad_json", "a JSON object")

    def _rest(self, scan: _Scan, at: int) -> int:
        """Deal with what is left of the buffer and holds no object; returns the next byte."""
        buffer, index = scan.buffer, scan.index
        if index.underflow is not None:
            return self._skip(scan, at, index.underflow + 1)
        end = len(buffer) if scan.is_last or len(buffer) - at > _MAX_JUNK_BYTES else buffer.rfind(b"\n", at) + 1
        if end > at:
            scan.faults.extend(self._junk(buffer, at, end))
        return max(at, end)

    def _unfinished(self, scan: _Scan, start: int) -> int:
        """Deal with an object that the buffer does not close; returns the next byte."""
        buffer = scan.buffer
        length = len(buffer) - start
        if not scan.is_last and length < self._suspect:
            return start
        found = self._next_object(buffer, start + 1, len(buffer))
        if found is not None:
            scan.faults.append(_Fault(start, found, "truncated_object", "an object whose brackets and quotes close"))
            return found
        if scan.is_last:
            reason, expected = "truncated_object", "an object that is closed before the file ends"
            if self._damage:
                reason, expected = self._damage.reason, f"a whole file ({self._damage.detail})"
            scan.faults.append(_Fault(start, len(buffer), reason, expected))
            self._is_tail_reported = True
            return len(buffer)
        if length > MAX_OBJECT_BYTES:
            scan.faults.append(
                _Fault(start, len(buffer), "too_large", f"an object of at most {MAX_OBJECT_BYTES:,} bytes")
            )
            return len(buffer)
        self._suspect = 2 * length
        return start

    def _skip(self, scan: _Scan, start: int, end: int) -> int:
        """Leave out a stretch with a bracket too many, up to the next object; returns the next byte."""
        buffer = scan.buffer
        found = self._next_object(buffer, end, len(buffer))
        if found is None and not scan.is_last and len(buffer) - start < _MAX_JUNK_BYTES:
            return start
        stop = found if found is not None else len(buffer)
        scan.faults.append(_Fault(start, stop, "bad_json", "brackets that pair up"))
        return stop

    def _next_object(self, buffer: bytes, start: int, stop: int) -> int | None:
        """Return where the next object of the module, or an envelope, begins in ``buffer[start:stop]``."""
        # Latin-1 maps each byte to one character, so that positions are the same; structure is ASCII in any case.
        text = ""
        for match in _OBJECT_START.finditer(buffer, start, stop):
            text = text or buffer.decode("latin-1")
            try:
                value, _ = _DECODER.raw_decode(text, match.start())
            except (ValueError, RecursionError):
                continue
            if not self._keys.isdisjoint(value) or "data" in value or "items" in value:
                return match.start()
        return None

    def _finish(self, scan: _Scan, at: int) -> tuple[int, Batch]:
        """Take out the texts, find those that are no JSON, and number everything in the file's order.

        Where an object that is no JSON has swallowed others, what comes behind it is left for the next scan.
        """
        buffer, index, runs, faults = scan.buffer, scan.index, scan.runs, scan.faults
        starts = np.concatenate([run.starts for run in runs]) if runs else _EMPTY
        ends = np.concatenate([run.ends for run in runs]) if runs else _EMPTY
        texts = pa.array([], pa.string())
        good = np.ones(len(starts), bool)
        if len(starts):
            texts, undecodable = _texts(index, starts, ends)
            bad = dict.fromkeys(self._invalid(texts), ("bad_json", "a JSON object"))
            bad |= dict.fromkeys(undecodable, ("bad_encoding", "text in UTF-8"))
            for i, (reason, expected) in sorted(bad.items()):
                start, end = int(starts[i]), int(ends[i]) + 1
                good[i] = False
                found = self._next_object(buffer, start + 1, end) if reason == "bad_json" else None
                if found is None:
                    faults.append(_Fault(start, end, reason, expected))
                    continue
                faults = [fault for fault in faults if fault.end <= start]
                faults.append(_Fault(start, found, reason, "a JSON object whose brackets and quotes pair up"))
                good[i:] = False
                run = int(np.searchsorted(np.cumsum([len(run.starts) for run in runs]), i, side="right"))
                self._stack, self._window, at = runs[run].stack, _RESYNC_BYTES, found
                break
            if b'"status_code"' in buffer:
                for i, code in self._answers(texts, good):
                    good[i] = False
                    faults.extend(_status_fault(code, int(starts[i]), int(ends[i]) + 1))
        return at, self._number(scan, starts[good], texts.filter(pa.array(good)), _records(buffer, faults))

    def _invalid(self, texts: pa.StringArray) -> list[int]:
        """Return the positions of texts that are no JSON."""
        table = pa.table({"i": np.arange(len(texts)), "text": texts})
        return [i for (i,) in _query(self._con, table, "select i from ocpi_texts where not json_valid(text)")]

    def _answers(self, texts: pa.StringArray, good: np.ndarray) -> list[tuple[int, str]]:
        """Return the position and status code of OCPI answers without any data."""
        table = pa.table({"i": np.arange(len(texts)), "text": texts}).filter(pa.array(good))
        return _query(
            self._con,
            table,
            """
            select i, json_extract_string(text, '$.status_code')
            from ocpi_texts
            where contains(text, '"status_code"')
                and json_extract_string(text, '$.status_code') is not null
                and json_extract_string(text, '$.id') is null
                and json_extract_string(text, '$.uid') is null
            """,
        )

    def _number(self, scan: _Scan, starts: np.ndarray, texts: pa.StringArray, faults: list[_Fault]) -> Batch:
        """Number the objects and the faults by their place in the file."""
        places = np.concatenate((starts, np.array([fault.start for fault in faults], np.int64)))
        numbers = np.empty(len(places), np.int64)
        numbers[np.argsort(places, kind="stable")] = np.arange(len(places)) + self._record + 1
        self._record += len(places)
        lines = self._line + np.searchsorted(scan.index.newlines, places)
        count = len(starts)
        table = pa.table([numbers[:count], lines[:count], texts], schema=OBJECT_SCHEMA)
        broken = [
            Broken(
                record_number=int(number),
                line_number=fault.line or int(line),
                reason=fault.reason,
                expected=fault.expected,
                text=(fault.text or scan.buffer[fault.start : fault.end])[:_KEPT_TEXT_BYTES].decode("utf-8", "replace"),
                column_name=fault.column_name,
                value=fault.value,
            )
            for fault, number, line in zip(faults, numbers[count:], lines[count:], strict=True)
        ]
        return Batch(table, broken)

    def _end(self) -> Broken | None:
        """Return the record that stands for the missing rest of a damaged file."""
        if self._is_tail_reported or not (self._damage or self._stack):
            return None
        self._record += 1
        reason, expected = "truncated_file", "brackets that are closed before the file ends: records may be missing"
        if self._damage:
            reason, expected = self._damage.reason, f"a whole file ({self._damage.detail})"
        return Broken(self._record, self._line, reason, expected, "")


def _records(buffer: bytes, faults: list[_Fault]) -> list[_Fault]:
    """Make one record of each broken line, and drop the separators before it.

    A line that holds a bracket gives several faults; damage that reaches over lines which each begin with an object
    gives one.
    """
    pieces: list[_Fault] = []
    for fault in sorted(faults, key=lambda fault: fault.start):
        starts = [fault.start]
        if fault.reason in _SPLIT_REASONS:
            starts += [match.start() + 1 for match in _OBJECT_LINE.finditer(buffer, fault.start + 1, fault.end)]
        for start, end in zip(starts, [*starts[1:], fault.end], strict=True):
            text = buffer[start:end]
            shift = len(text) - len(text.lstrip(_SEPARATORS)) if text.strip(_SEPARATORS) else 0
            before = pieces[-1] if pieces else None
            if before and before.end == start and fault.text is None and b"\n" not in buffer[before.start : start]:
                pieces[-1] = replace(before, end=end)
            else:
                pieces.append(replace(fault, start=start + shift, end=end))
    return pieces


def _query(con: duckdb.DuckDBPyConnection, table: pa.Table, sql: str) -> list[tuple]:
    """Run ``sql`` over an Arrow table that it calls ``ocpi_texts``."""
    con.register("ocpi_texts", in_chunks(table))
    try:
        return con.execute(sql).fetchall()
    finally:
        con.unregister("ocpi_texts")


def in_chunks(table: pa.Table) -> pa.Table:
    """Return the table in small Arrow batches, which DuckDB reads in parallel."""
    return pa.Table.from_batches(table.combine_chunks().to_batches(max_chunksize=_CHUNK_ROWS), table.schema)


def _texts(index: _Index, starts: np.ndarray, ends: np.ndarray) -> tuple[pa.StringArray, list[int]]:
    """Return the texts between brackets without white space outside of strings, and which of them are no UTF-8."""
    first, last = int(starts[0]), int(ends[-1]) + 1
    data = index.data[first:last]
    bounds = np.empty(2 * len(starts), np.int64)
    bounds[0::2] = starts
    bounds[1::2] = ends + 1
    spaces = _between(index.spaces, first, last)
    if len(spaces):
        bounds -= np.searchsorted(spaces, bounds)
        keep = np.ones(len(data), bool)
        keep[spaces - first] = False
        data = data[keep]
    bounds -= first
    # Every second string is what stands between two objects.
    both = pa.StringArray.from_buffers(len(bounds) - 1, pa.py_buffer(bounds.astype(np.int32)), pa.py_buffer(data))
    texts = both.take(pa.array(np.arange(0, len(both), 2)))
    try:
        texts.validate(full=True)
    except pa.ArrowInvalid:
        values = texts.view(pa.binary()).to_pylist()
        decoded = [value.decode("utf-8", "replace") for value in values]
        bad = [i for i, (value, text) in enumerate(zip(values, decoded, strict=True)) if text.encode() != value]
        return pa.array(decoded, pa.string()), bad
    return texts, []


def _envelope_fault(text: bytes, line: int, at: int) -> Iterator[_Fault]:
    """Yield a fault if an envelope does not say that the peer answered well."""
    try:
        envelope = json.loads(text)
    except ValueError:
        yield _Fault(at, at + 1, "bad_json", "an OCPI response that parses", text=text, line=line)
        return
    code = envelope.get("status_code")
    if code is not None:
        for fault in _status_fault(str(code), at, at + 1):
            yield replace(fault, text=text, line=line)


def _status_fault(code: str, start: int, end: int) -> Iterator[_Fault]:
    """Yield a fault if a status code says that the peer did not answer well (OCPI: 1xxx is success)."""
    if not re.fullmatch(r"1\d{3}", code):
        yield _Fault(start, end, "peer_error", "status_code 1000 to 1999", column_name="status_code", value=code)
