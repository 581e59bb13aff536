"""Bytes of a log -> Arrow tables of lines, chunk by chunk, without a Python loop over lines.

A chunk is cut at a record separator (a line end, or a blank line for formats whose records span lines), so memory does
not grow with the file. The line text points into the chunk's own buffer: nothing is copied.
"""

import mmap
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np
import pyarrow as pa

from pipelines.files import LandedFileError

# 96 MiB of text is some 180,000 frames. Two chunks are decoded at once and a third is read: with the tables made from
# them they stay under 1 GiB. In smaller chunks the planning of the statements would count.
CHUNK_BYTES = 96 << 20
# The longest line read as one record. The largest legal OCPP frames (certificates, local lists) stay under 1 MiB.
MAX_LINE_BYTES = 8 << 20
# The most lines in a chunk, give or take a block: rows take memory too, and a file of blank lines would make 100 million
# of one chunk.
MAX_CHUNK_LINES = 1 << 18
# DuckDB works on 2,048 rows at once, and what it makes of their text takes up to 30 times its size (a text of nothing but
# tiny samples). So many lines are some 1 MiB of a log; where they are more than this, a chunk is no larger than this.
_VECTOR_LINES, _VECTOR_BYTES = 2048, 16 << 20
# Line ends are looked for in blocks that stay in the processor's cache.
_BLOCK = 256 << 10
_LINE_END = ord("\n")
_BOM = b"\xef\xbb\xbf"
_EMPTY = pa.table({"line_number": pa.array([], pa.int64()), "line": pa.array([], pa.large_string())})


@dataclass(frozen=True, slots=True)
class LineChunk:
    """Some lines of a log."""

    lines: pa.Table  # line_number BIGINT (from 1 in the file), line VARCHAR with its line end
    has_bad_text: bool  # bytes that are no UTF-8 were replaced by U+FFFD
    too_long: tuple[int, ...]  # numbers of lines dropped because they are longer than MAX_LINE_BYTES


def _buffer(size: int) -> np.ndarray:
    """Return room for ``size`` bytes; large ones in huge pages where there are some: touching small ones takes longer."""
    if size < _BLOCK or not hasattr(mmap, "MADV_HUGEPAGE"):
        return np.empty(size, dtype=np.uint8)
    memory = mmap.mmap(-1, size)
    with suppress(OSError):  # a kernel without huge pages
        memory.madvise(mmap.MADV_HUGEPAGE)
    return np.frombuffer(memory, dtype=np.uint8)


def _line_ends(data: np.ndarray) -> tuple[np.ndarray, int]:
    """Return 0 and the positions behind the line ends of ``data``, and the number of bytes looked at.

    Looking stops when MAX_CHUNK_LINES are found.
    """
    is_end = np.empty(_BLOCK, dtype=bool)
    found, count, looked_at = [np.zeros(1, dtype=np.int64)], 0, 0
    while looked_at < len(data) and count < MAX_CHUNK_LINES:
        block = data[looked_at : looked_at + _BLOCK]
        ends = np.flatnonzero(np.equal(block, _LINE_END, out=is_end[: len(block)]))
        found.append(ends + (looked_at + 1))
        count += len(ends)
        looked_at += len(block)
    return np.concatenate(found), looked_at


def _behind_last(data: np.ndarray, separator: bytes) -> int:
    """Return the position behind the last separator in ``data``; 0 without one."""
    size = 64 << 10
    while True:
        tail = data[max(0, len(data) - size) :]
        found = tail.tobytes().rfind(separator)
        if found >= 0:
            return len(data) - len(tail) + found + len(separator)
        if len(tail) == len(data):
            return 0
        size *= 16


def _cut(data: np.ndarray, separator: bytes) -> int:
    """Return where ``data`` is cut: behind its last separator, else behind its last line; 0 if neither is there."""
    return _behind_last(data, separator) or _behind_last(data, b"\n")


def _valid(data: np.ndarray) -> tuple[np.ndarray, bool]:
    """Return the data as valid UTF-8, and whether bytes had to be replaced."""
    if not len(data) or data.max() < 0x80:
        return data, False
    text = data.tobytes()
    try:
        text.decode()
    except UnicodeDecodeError:
        return np.frombuffer(text.decode(errors="replace").encode(), dtype=np.uint8), True
    return data, False


def _fitting(offsets: np.ndarray) -> int:
    """Return the bytes of the lines that go into one chunk: all of them if none are unusually long."""
    size = int(offsets[-1])
    if size <= _VECTOR_BYTES:
        return size
    spans = offsets[_VECTOR_LINES:] - offsets[:-_VECTOR_LINES] if len(offsets) > _VECTOR_LINES else offsets[-1:]
    if spans.max() <= _VECTOR_BYTES:
        return size
    return int(offsets[max(1, np.searchsorted(offsets, _VECTOR_BYTES, side="right") - 1)])


def _table(data: np.ndarray, first_line: int, separator: bytes) -> tuple[pa.Table, int]:
    """Make a table of the lines of ``data``, of the first ones if they are very many; returns it and their bytes."""
    offsets, looked_at = _line_ends(data)
    if looked_at == len(data) != offsets[-1]:
        offsets = np.append(offsets, len(data))  # the last line of a file may have no end
    size = _fitting(offsets)
    if size < len(data):
        size = _cut(data[:size], separator)
        offsets = offsets[: np.searchsorted(offsets, size) + 1]
    count = len(offsets) - 1
    text = pa.LargeStringArray.from_buffers(count, pa.py_buffer(offsets), pa.py_buffer(data))
    numbers = pa.array(np.arange(first_line, first_line + count, dtype=np.int64))
    return pa.table({"line_number": numbers, "line": text}), int(offsets[-1])


def _filtered(table: pa.Table, separator: bytes) -> tuple[pa.Table, list[int]]:
    """Leave out lines that are too long, and return their numbers.

    Blank lines go too where hardly anything else is there, as in a file of nothing but line ends.
    """
    offsets = table.column("line").chunk(0).buffers()[1]
    lengths = np.diff(np.frombuffer(offsets, dtype=np.int64)[: table.num_rows + 1])
    keep = lengths <= MAX_LINE_BYTES
    too_long = table.column("line_number").to_numpy()[~keep].tolist()
    is_filled = lengths > 1
    if separator == b"\n" and len(lengths) > 10_000 > np.count_nonzero(is_filled) * 10:
        keep &= is_filled
    return (table if keep.all() else table.filter(pa.array(keep))), too_long


def line_chunks(stream: BinaryIO, *, separator: bytes = b"\n", chunk_bytes: int | None = None) -> Iterator[LineChunk]:
    r"""Yield the lines of a stream in chunks that end at a separator.

    Args:
        stream: Decompressed bytes; ``readinto`` is short only at the end, as of :func:`pipelines.files.open_landed`.
        separator: Where a chunk may be cut: ``b"\n"``, or ``b"\n\n"`` for records of several lines.
        chunk_bytes: Size of a chunk, bytes; CHUNK_BYTES without one.

    Raises:
        LandedFileError: The stream is damaged; every line before the damage was yielded.
    """
    chunk_bytes = chunk_bytes or CHUNK_BYTES
    rest = np.empty(0, dtype=np.uint8)
    first_line = 1
    is_last = dropping = False
    damage: LandedFileError | None = None
    while not is_last:
        data = _buffer(len(rest) + chunk_bytes)
        data[: len(rest)] = rest
        try:
            got = stream.readinto(data[len(rest) :].data)  # type: ignore[attr-defined]
        except LandedFileError as error:
            got, damage = 0, error
        is_last = not got
        data, rest = data[: len(rest) + got], rest[:0]
        if dropping:  # inside a line that is too long: skip to its end
            end = data.tobytes().find(b"\n") + 1
            if not end:
                continue
            data, dropping = data[end:], False
            first_line += 1
        if not is_last:
            cut = _cut(data, separator)
            data, rest = data[:cut], data[cut:].copy()
            if len(rest) > MAX_LINE_BYTES:  # no line end is in the rest
                rest, dropping = rest[:0], True
        if len(data) and first_line == 1 and data[:3].tobytes() == _BOM:
            data = data[3:]
        data, has_bad_text = _valid(data)
        while len(data):
            table, size = _table(data, first_line, separator)
            first_line += table.num_rows
            data = data[size:]
            table, too_long = _filtered(table, separator)
            if table.num_rows or too_long:
                yield LineChunk(table, has_bad_text, tuple(too_long))
        if dropping:
            yield LineChunk(_EMPTY, False, (first_line,))
    if damage:
        raise damage
