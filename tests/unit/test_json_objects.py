"""A file falls into its objects, each with its line; damage spoils nothing but itself."""

import gzip
import io
import json
import zlib
from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.files import LandedFileError, open_landed
from pipelines.ocpi.objects import Broken, ObjectReader

KEYS = ("kwh",)
A = '{"id":"A","kwh":1,"note":"quote \\" bracket ]} backslash \\\\"}'
B = '{"id":"B","kwh":2,"nested":[{"id":"x"},{"deep":{"er":[1,2]}}]}'


@pytest.fixture(scope="module")
def con() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as connection:
        yield connection


def split(
    con: duckdb.DuckDBPyConnection, data: str | bytes, *, block_bytes: int = 1 << 20
) -> tuple[list[dict], list[Broken]]:
    """Read all objects, with what is broken between them."""
    source = io.BytesIO(data.encode() if isinstance(data, str) else data)
    objects: list[dict] = []
    broken: list[Broken] = []
    for batch in ObjectReader(source, con, KEYS, block_bytes=block_bytes):
        objects += batch.objects.to_pylist()
        broken += batch.broken
    numbers = [o["record_number"] for o in objects] + [b.record_number for b in broken]
    assert sorted(numbers) == list(range(1, len(numbers) + 1)), "every record has a number of its own"
    return objects, broken


def lines(objects: list[dict]) -> list[tuple[str, int]]:
    return [(json.loads(o["text"])["id"], o["line_number"]) for o in objects]


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (A, [("A", 1)]),
        (f"[{A},{B}]", [("A", 1), ("B", 1)]),
        (f"[\n{A},\n{B}\n]\n", [("A", 2), ("B", 3)]),
        (f"{A}\n{B}\n", [("A", 1), ("B", 2)]),
        (f"{A}\r\n\r\n{B}", [("A", 1), ("B", 3)]),
        (f"{A}{B}", [("A", 1), ("B", 1)]),
        (f"\x1e{A}\n\x1e{B}\n", [("A", 1), ("B", 2)]),
        (f'{{"data":[{A},{B}],"status_code":1000,"timestamp":"t"}}', [("A", 1), ("B", 1)]),
        (f'{{"status_code":1000,"data":\n{A}}}', [("A", 2)]),
        (f'{{"next":null,"items":[{A}]}}', [("A", 1)]),
        (f'{{"data":[{A}],"status_code":1000}}\n{{"data":[{B}],"status_code":1000}}', [("A", 1), ("B", 2)]),
        (f'[{{"data":[{A}],"status_code":1000}},{{"data":[{B}],"status_code":1000}}]', [("A", 1), ("B", 1)]),
        (f"[[{A}],[{B}]]", [("A", 1), ("B", 1)]),
        (json.dumps([json.loads(A), json.loads(B)], indent=2), [("A", 2), ("B", 7)]),
        ("\ufeff" + A, [("A", 1)]),
        ("", []),
        ("[]", []),
        ('{"data":[],"status_code":1000}', []),
        ('{"data":null,"status_code":1000}', []),
        ('{"status_code":1000,"timestamp":"2026-01-01T00:00:00Z"}', []),
    ],
)
def test_each_shape_of_a_file_gives_its_objects_with_their_lines(con, data, expected):
    objects, broken = split(con, data)
    assert lines(objects) == expected
    assert broken == []


def test_white_space_outside_of_strings_is_dropped_so_that_equal_objects_have_equal_texts(con):
    pretty = json.dumps(json.loads(B), indent="\t")
    assert [o["text"] for o in split(con, f"{pretty}\n{B}")[0]] == [B, B]
    assert split(con, '{ "kwh" : "a  b" }')[0][0]["text"] == '{"kwh":"a  b"}'


def test_utf16_with_a_byte_order_mark_is_read(con):
    objects, broken = split(con, '{"id":"Ä","kwh":1}'.encode("utf-16"))
    assert (lines(objects), broken) == ([("Ä", 1)], [])


@pytest.mark.parametrize(
    ("data", "loaded", "damage"),
    [
        # values that are no JSON, brackets in order
        (f'[{A},\n{{"id":"C","kwh":nope}},\n{B}]', [("A", 1), ("B", 3)], [(2, "bad_json")]),
        # a quote that is never closed swallows its neighbours on the line
        (f'[{A},{{"id":"C,"kwh":2}},{B},{A}]', [("A", 1), ("B", 1), ("A", 1)], [(1, "bad_json")]),
        # a bracket too few: the rest of the file lies too deep
        (f'[{A},\n{{"id":"C","x":{{"y":2}},\n{B},\n{A}]', [("A", 1), ("B", 3), ("A", 4)], [(2, "bad_json")]),
        # a bracket too many: the list seems to end
        (f'[{A},\n{{"id":"C","y":2}}}},\n{B},\n{A}]', [("A", 1), ("C", 2), ("B", 3), ("A", 4)], [(2, "bad_json")]),
        # a line that was cut off
        (f'{A}\n{{"id":"C","kwh":\n{B}\n', [("A", 1), ("B", 3)], [(2, "truncated_object")]),
        (f'{A}\n{{"id":"C","no\n{B}\n', [("A", 1), ("B", 3)], [(2, "truncated_object")]),
        (f"{A}\nnonsense {{ here\n{B}\n", [("A", 1), ("B", 3)], [(2, "bad_json")]),
        (f"{A}\n}}}}\n{B}\n", [("A", 1), ("B", 3)], [(2, "bad_json")]),
        # things that are no objects
        (f"[1,{A},null]", [("A", 1)], [(1, "bad_json"), (1, "bad_json")]),
        ("<html>\n<b>502</b>", [], [(1, "bad_json"), (2, "bad_json")]),
        # files that end too early
        (f'[{A},\n{B},\n{{"id":"C"', [("A", 1), ("B", 2)], [(3, "truncated_object")]),
        (f"[{A},\n", [("A", 1)], [(2, "truncated_file")]),
        (f'{{"status_code":1000,"data":[{A},{{"id":', [("A", 1)], [(1, "truncated_object")]),
        ('{"status_code":1000,"data":{"id":"C","kwh"', [], [(1, "truncated_object")]),
    ],
)
def test_one_broken_object_does_not_spoil_the_others(con, data, loaded, damage):
    objects, broken = split(con, data)
    assert lines(objects) == loaded
    assert [(b.line_number, b.reason) for b in broken] == damage


def test_text_that_is_no_utf8_is_broken_and_its_neighbours_are_not(con):
    objects, broken = split(con, f"[{A},\n".encode() + b'{"id":"Stra\xdfe","kwh":1},\n' + f"{B}]".encode())
    assert lines(objects) == [("A", 1), ("B", 3)]
    assert [(b.line_number, b.reason) for b in broken] == [(2, "bad_encoding")]


@pytest.mark.parametrize(
    "answer",
    [
        '{"data":[],"status_code":3000,"status_message":"broken"}',
        '{"status_code":2001,"data":null}',
        '{"status_code":2001,"status_message":"Invalid or missing parameters"}',
        '{"status_code":"nonsense","data":[]}',
    ],
)
def test_a_peer_that_answered_with_an_error_is_a_broken_record_and_never_no_data(con, answer):
    objects, broken = split(con, f"{A}\n{answer}\n{B}")
    assert lines(objects) == [("A", 1), ("B", 3)]
    assert [(b.line_number, b.reason, b.column_name) for b in broken] == [(2, "peer_error", "status_code")]
    assert broken[0].text == answer


def test_a_damaged_line_every_few_objects_loses_only_those_lines(con):
    good = [json.dumps({"id": str(i), "kwh": i, "list": [{"n": i}]}) for i in range(3_000)]
    bad = {i: good[i][: len(good[i]) // 2] for i in range(0, 3_000, 97)}
    objects, broken = split(con, "\n".join(bad.get(i, line) for i, line in enumerate(good)), block_bytes=1 << 16)
    assert lines(objects) == [(str(i), i + 1) for i in range(3_000) if i not in bad]
    assert [b.line_number for b in broken] == [i + 1 for i in bad]


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
tricky = st.text(alphabet='"\\{}[]:,\n \u2028é😀\x00d', max_size=12)
objects_of_any_kind = st.dictionaries(tricky | st.text(max_size=4), tricky | json_values, max_size=4).filter(
    lambda o: not {"status_code", "data", "items"} & o.keys()
)


@settings(max_examples=150, deadline=None)
@given(
    objects=st.lists(objects_of_any_kind, max_size=6),
    shape=st.sampled_from(["array", "pretty", "lines", "pages"]),
    is_ascii=st.booleans(),
    block_bytes=st.sampled_from([7, 64, 1 << 20]),
)
def test_splitting_gives_what_a_json_parser_gives(objects, shape, is_ascii, block_bytes):
    def dump(value: object, **options: object) -> str:
        return json.dumps(value, ensure_ascii=is_ascii, **options)

    text = {
        "array": lambda: dump(objects),
        "pretty": lambda: dump(objects, indent=1),
        "lines": lambda: "\n".join(dump(o) for o in objects),
        "pages": lambda: "".join(dump({"data": [o], "status_code": 1000}) for o in objects),
    }[shape]()
    with duckdb.connect() as con:
        found, broken = split(con, text.encode("utf-8", "surrogatepass"), block_bytes=block_bytes)
    assert broken == []
    assert [json.loads(o["text"]) for o in found] == objects


@settings(max_examples=100, deadline=None)
@given(
    count=st.integers(1, 8),
    cut=st.integers(0, 400),
    separator=st.sampled_from([",", ",\n", "\n"]),
)
def test_of_a_truncated_file_every_whole_object_is_read_and_the_cut_is_reported(count, cut, separator):
    objects = [json.dumps({"id": str(i), "kwh": i, "text": '{[\\"'}) for i in range(count)]
    whole = separator.join(objects) if separator == "\n" else f"[{separator.join(objects)}]"
    data = whole[: max(len(whole) - cut, 0)]
    with duckdb.connect() as con:
        found, broken = split(con, data)
    ends, at = [], 0 if separator == "\n" else 1
    for text in objects:
        ends.append(at + len(text))
        at = ends[-1] + len(separator)
    whole_objects = sum(end <= len(data) for end in ends)
    assert [o["line_number"] for o in found] == [1 + ("\n" in separator) * i for i in range(whole_objects)]
    if len(data) == len(whole):
        assert broken == []
    elif data.startswith("["):
        assert len(broken) == 1


# Archives


@pytest.mark.parametrize("copies", [1, 3])
@pytest.mark.parametrize(
    ("name", "compress"),
    [("x.jsonl.gz", gzip.compress), ("x.json.zst", zstandard.compress), ("no_suffix", gzip.compress)],
)
def test_archives_of_one_or_several_members_are_read_whole_whatever_their_name(tmp_path, name, compress, copies):
    text = b"".join(b'{"id":%d}\n' % i for i in range(5_000))
    (tmp_path / name).write_bytes(compress(text) * copies)
    with open_landed(tmp_path / name) as stream:
        assert stream.read() == text * copies
        assert stream.damage is None
    with open_landed(tmp_path / name) as stream:
        assert list(stream) == text.splitlines(keepends=True) * copies


def test_plain_text_that_is_called_an_archive_is_read_as_it_is(tmp_path):
    (tmp_path / "x.json.gz").write_bytes(b"[]")
    with open_landed(tmp_path / "x.json.gz") as stream:
        assert stream.read() == b"[]"


@pytest.mark.parametrize("compress", [gzip.compress, zstandard.compress])
@pytest.mark.parametrize("read_all", [True, False])
def test_a_cut_archive_gives_what_comes_before_the_cut_and_then_says_so(tmp_path: Path, compress, read_all):
    text = b"".join(b'{"id":%d,"x":"%s"}\n' % (i, hex(zlib.crc32(b"%d" % i)).encode()) for i in range(20_000))
    path = tmp_path / "x.gz"
    path.write_bytes(compress(text)[:-100])
    with open_landed(path) as stream:
        parts = [stream.read()] if read_all else []
        with pytest.raises(LandedFileError, match=r"truncated_archive: x\.gz: .* ends inside its"):  # noqa: PT012
            while part := stream.read(1_000):
                parts.append(part)
    got = b"".join(parts)
    assert text.startswith(got)
    assert len(got) > len(text) * 0.8


@pytest.mark.parametrize(
    "compress", [gzip.compress, lambda data: zstandard.ZstdCompressor(write_checksum=True).compress(data)]
)
def test_a_damaged_archive_gives_what_comes_before_the_damage_and_then_says_so(tmp_path, compress):
    text = b"".join(b"%d %s\n" % (i, hex(zlib.crc32(b"%d" % i)).encode()) for i in range(50_000))
    packed = bytearray(compress(text))
    packed[len(packed) // 2 :] = b"\xff" * (len(packed) // 2)
    (tmp_path / "x").write_bytes(packed)
    with open_landed(tmp_path / "x") as stream:
        got = stream.read()
        assert stream.damage is not None
        assert stream.damage.reason == "corrupt_archive"
        with pytest.raises(LandedFileError):
            stream.read()
    assert len(got) > 100_000
    assert text.startswith(got[:100_000])


def test_bytes_behind_an_archive_are_reported(tmp_path):
    (tmp_path / "x.gz").write_bytes(gzip.compress(b"abc") + b"rubbish")
    with open_landed(tmp_path / "x.gz") as stream:
        assert stream.read() == b"abc"
        with pytest.raises(LandedFileError, match="after 1 whole gzip member"):
            stream.read(1)


def test_zero_padding_behind_gzip_is_no_damage(tmp_path):
    (tmp_path / "x.gz").write_bytes(gzip.compress(b"abc") + bytes(20_000))
    with open_landed(tmp_path / "x.gz") as stream:
        assert stream.read() == b"abc"
        assert stream.read() == b""


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("x.gz", b"", "truncated_archive"),
        ("x.json", b"PK\x03\x04rest", "unsupported_archive"),
        ("x.zst", b"\x00\x01\x02", "not_an_archive"),
    ],
)
def test_a_file_that_is_no_readable_archive_is_refused_with_its_reason(tmp_path, name, content, reason):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(LandedFileError) as caught:
        open_landed(tmp_path / name)
    assert caught.value.reason == reason
    assert name in str(caught.value)


def test_a_folder_and_a_missing_file_are_refused(tmp_path):
    for path, reason in ((tmp_path, "not_a_file"), (tmp_path / "none", "unreadable")):
        with pytest.raises(LandedFileError) as caught:
            open_landed(path)
        assert caught.value.reason == reason


def test_more_bytes_than_allowed_are_refused(tmp_path):
    (tmp_path / "bomb.gz").write_bytes(gzip.compress(bytes(1 << 20)))
    with open_landed(tmp_path / "bomb.gz", max_bytes=1_000) as stream:
        assert len(stream.read()) == 1_000
        with pytest.raises(LandedFileError, match="too_large"):
            stream.read()


@settings(max_examples=50, deadline=None)
@given(data=st.binary(max_size=5_000), sizes=st.lists(st.integers(0, 700), max_size=20))
def test_reading_in_any_steps_gives_the_same_bytes(tmp_path_factory, data, sizes):
    path = tmp_path_factory.mktemp("steps") / "x.zst"
    path.write_bytes(zstandard.compress(data))
    with open_landed(path) as stream:
        parts = [stream.read(size) for size in sizes]
        assert all(len(part) <= size for part, size in zip(parts, sizes, strict=True))
        assert b"".join([*parts, stream.read()]) == data
