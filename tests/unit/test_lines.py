"""Reading a log in chunks loses no line, whatever the chunk size."""

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.files import LandedFileError
from pipelines.ocpp import lines
from pipelines.ocpp.lines import line_chunks


def read_all(data: bytes, **options) -> list[tuple[int, str]]:
    found = []
    for chunk in line_chunks(io.BytesIO(data), **options):
        table = chunk.lines.to_pydict()
        found += list(zip(table["line_number"], table["line"], strict=True))
    return found


@given(st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\n")), max_size=30), st.integers(1, 64))
def test_chunks_hold_every_line_with_its_number(texts: list[str], chunk_bytes: int):
    data = "".join(text + "\n" for text in texts).encode()
    expected = [(number, text + "\n") for number, text in enumerate(texts, start=1)]
    assert read_all(data, chunk_bytes=chunk_bytes) == expected


def test_a_last_line_without_line_end_is_a_line():
    assert read_all(b"one\ntwo") == [(1, "one\n"), (2, "two")]


@pytest.mark.parametrize("chunk_bytes", [1, 5, 7, 64])
def test_records_of_several_lines_are_not_cut(chunk_bytes: int):
    data = b"head\n[1,\n2]\n\nhead\n[3]\n\n"
    ends = [
        chunk.lines.to_pydict()["line"][-1]
        for chunk in line_chunks(io.BytesIO(data), separator=b"\n\n", chunk_bytes=chunk_bytes)
    ]
    assert "".join(line for _, line in read_all(data, separator=b"\n\n", chunk_bytes=chunk_bytes)).encode() == data
    if chunk_bytes >= 24:
        assert ends == ["\n"]


def test_bytes_that_are_no_text_are_marked_and_keep_their_line():
    chunks = list(line_chunks(io.BytesIO(b"good\nb\xffd\ngood\n")))
    assert chunks[0].has_bad_text
    assert chunks[0].lines.to_pydict()["line"] == ["good\n", "b�d\n", "good\n"]


def test_a_line_without_end_is_dropped_with_its_number_and_the_rest_is_read(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(lines, "MAX_LINE_BYTES", 100)
    data = b"one\n" + b"x" * 1000 + b"\nthree\nfour\n"
    chunks = list(line_chunks(io.BytesIO(data), chunk_bytes=32))
    assert [number for chunk in chunks for number in chunk.too_long] == [2]
    kept = [
        pair
        for chunk in chunks
        for pair in zip(*(chunk.lines.to_pydict()[name] for name in ("line_number", "line")), strict=True)
    ]
    assert kept == [(1, "one\n"), (3, "three\n"), (4, "four\n")]


def test_damage_is_raised_after_the_lines_before_it():
    class Cut(io.BytesIO):
        def readinto(self, buffer: memoryview) -> int:
            count = super().readinto(buffer)
            if not count:
                raise LandedFileError("truncated_archive", "cut")
            return count

    chunks = line_chunks(Cut(b"one\ntwo\n"))
    assert next(chunks).lines.to_pydict()["line"] == ["one\n", "two\n"]
    with pytest.raises(LandedFileError):
        next(chunks)


def test_chunks_of_long_lines_are_small(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(lines, "_VECTOR_BYTES", 1000)
    monkeypatch.setattr(lines, "_VECTOR_LINES", 10)
    texts = [b"x" * 300 + b"\n"] * 20 + [b"short\n"] * 500 + [b"y" * 2000 + b"\n"] * 3
    chunks = [chunk.lines.to_pydict() for chunk in line_chunks(io.BytesIO(b"".join(texts)))]
    assert max(sum(map(len, chunk["line"])) for chunk in chunks if len(chunk["line"]) > 1) <= 1000
    assert [line.encode() for chunk in chunks for line in chunk["line"]] == texts
    assert [number for chunk in chunks for number in chunk["line_number"]] == list(range(1, 524))


def test_ordinary_lines_make_one_chunk():
    (chunk,) = line_chunks(io.BytesIO(b"x" * 500 + b"\n" + b"short\n" * 50_000))
    assert chunk.lines.num_rows == 50_001
