"""Bytes of a log -> Arrow tables of lines, chunk by chunk, without a Python loop over lines.

A chunk is cut at a record separator (a line end, or a blank line for formats whose records span lines), so memory does
not grow with the file. The line text points into the chunk's own buffer: nothing is copied.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np
import pyarrow as pa

from pipelines.files import LandedFileError

# 96 MiB of text is some 200,000 frames; with the typed tables made from them a chunk stays under 1 GiB.
CHUNK_BYTES = 96 << 20
# The longest line read as one record. The largest legal OCPP frames (certificates, local lists) stay under 1 MiB.
MAX_LINE_BYTES = 8 << 20
# Batches a chunk is handed over in: DuckDB reads one batch a thread.
_BATCHES = 8
_EMPTY = pa.table({"line_number": pa.array([], pa.int64()), "line": pa.array([], pa.large_string())})


@dataclass(frozen=True, slots=True)
class LineChunk:
    """Some lines of a log."""

    lines: pa.Table  # line_number BIGINT (from 1 in the file), line VARCHAR with its line end
    has_bad_text: bool  # bytes that are no UTF-8 were replaced by U+FFFD
    too_long: tuple[int, ...]  # numbers of lines dropped because they are longer than MAX_LINE_BYTES


def _table(data: bytes, first_line: int) -> tuple[pa.Table, int]:
    """Make a table of the lines of ``data``; returns it and the number of lines."""
    ends = np.flatnonzero(np.frombuffer(data, dtype=np.uint8) == ord("\n")) + 1
    if len(ends) == 0 or ends[-1] != len(data):
        ends = np.append(ends, len(data))
    offsets = np.concatenate(([0], ends)).astype(np.int64)
    count = len(ends)
    text = pa.LargeStringArray.from_buffers(count, pa.py_buffer(offsets), pa.py_buffer(data))
    numbers = pa.array(np.arange(first_line, first_line + count, dtype=np.int64))
    table = pa.table({"line_number": numbers, "line": text})
    size = max(1, -(-count // _BATCHES))
    return pa.Table.from_batches(table.to_batches(max_chunksize=size), table.schema), count


def _valid(data: bytes) -> tuple[bytes, bool]:
    """Return the data as valid UTF-8, and whether bytes had to be replaced."""
    if data.isascii():
        return data, False
    try:
        data.decode()
    except UnicodeDecodeError:
        return data.decode(errors="replace").encode(), True
    return data, False


def line_chunks(stream: BinaryIO, *, separator: bytes = b"\n", chunk_bytes: int = CHUNK_BYTES) -> Iterator[LineChunk]:
    r"""Yield the lines of a stream in chunks that end at a separator.

    Args:
        stream: Decompressed bytes; ``read(n)`` is short only at the end, as of :func:`pipelines.files.open_landed`.
        separator: Where a chunk may be cut: ``b"\n"``, or ``b"\n\n"`` for records of several lines.
        chunk_bytes: Size of a chunk, bytes.

    Raises:
        LandedFileError: The stream is damaged; every line before the damage was yielded.
    """
    rest, first_line = b"", 1
    dropping = is_last = False
    too_long: list[int] = []
    damage: LandedFileError | None = None
    while not is_last:
        try:
            block = stream.read(chunk_bytes)
        except LandedFileError as error:
            block, damage = b"", error
        is_last = not block
        if dropping:  # inside a line that is too long: skip to its end
            end = block.find(b"\n")
            if end < 0:
                continue
            block, dropping = block[end + 1 :], False
            first_line += 1
        data, rest = rest + block, b""
        if not is_last:
            cut = data.rfind(separator)
            cut = data.rfind(b"\n") + 1 if cut < 0 else cut + len(separator)
            data, rest = data[:cut], data[cut:]
            if len(rest) > MAX_LINE_BYTES and b"\n" not in rest:
                rest, dropping = b"", True
        text, is_bad = _valid(data)
        table, count = _table(text, first_line) if text else (_EMPTY, 0)
        first_line += count
        if dropping:
            too_long.append(first_line)
        if count or too_long:
            yield LineChunk(table, is_bad, tuple(too_long))
        too_long = []
    if damage:
        raise damage
