"""Whatever is landed as a log: nothing stops the decoder, what can be read is loaded, the rest says why not.

The files are made here, small; the sizes that matter for memory are run by hand with ``python -m benchmarks ocpp-damage``.
"""

import gzip
import json
import random
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import duckdb
import pytest
import zstandard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipelines.home import FileCounts
from pipelines.ocpp import chunks, lines
from pipelines.pseudonym import create_macros

AT = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
Decode = Callable[..., FileCounts]
Rows = Callable[..., list[dict[str, object]]]


def native(frame: object, number: int = 0, *, station: str = "CP-1", text: str | None = None) -> bytes:
    """One line of a native log; ``text`` stands for the frame as it is."""
    record = {
        "charger_id": station, "connection_id": "c1", "tenant_id": None, "tenant_name": None,
        "captured_at": (AT + timedelta(seconds=number)).isoformat().replace("+00:00", "Z"), "event_type": 2,
        "direction": "FROM_CP", "raw_frame": json.dumps(frame) if text is None else text, "raw_frame_encoding": "utf8",
    }  # fmt: skip
    return json.dumps(record).encode() + b"\n"


def heartbeat(number: int) -> bytes:
    return native([2, f"h{number}", "Heartbeat", {}], number)


GOOD = [heartbeat(number) for number in range(20)]


def reasons(lake_rows: Rows) -> Counter[str]:
    return Counter(str(row["reason"]) for row in lake_rows("quarantine/record"))


def meter(**sample: object) -> list[object]:
    reading = {"timestamp": "2026-03-01T12:00:00Z", "sampledValue": [sample]}
    return [2, "m", "MeterValues", {"connectorId": 1, "meterValue": [reading]}]


DEEP_LIST = '[2,"d","DataTransfer",{"data":' + "[" * 10_000 + "]" * 10_000 + "}]"
DEEP_OBJECT = '[2,"d","MeterValues",' + '{"meterValue":' * 10_000 + "1" + "}" * 10_000 + "]"
WIDE = '[2,"w","DataTransfer",{"data":[' + ",".join(["[]"] * 5_000) + "]}]"

# frame text -> why it is quarantined; None is loaded
FRAMES = {
    DEEP_LIST: "too_deep",
    DEEP_OBJECT: "too_deep",
    DEEP_LIST[:15_000]: "bad_json",
    WIDE: None,
    '[2,"b","DataTransfer",{"data":"' + "[{" * 5_000 + '"}]': None,  # brackets of a text are no levels
    '[2,"\\ud800","Heartbeat",{}]': "bad_json",  # half a character
    '[2,"s","DataTransfer",{"data":"\\u0000"}]': None,
    '[2,"a","Heartbeat",{"a":1,"a":2}]': None,
    '[2,"' + "i" * 100_000 + '","Heartbeat",{}]': None,
    "[2,123456789012345678901234567890,\"Heartbeat\",{}]": None,
    '[1e999999,"1","Heartbeat",{}]': "bad_message_type",
    "[null,null,null,null]": "not_a_frame",
    "[]": "not_a_frame",
    "[[2]]": "bad_message_type",
    "null": "not_a_frame",
    "": "bad_json",
    "\ufeff[2,\"1\",\"Heartbeat\",{}]": "bad_json",
    '[2,"1","Authorize",{"idTag":1.5}]': None,
    '[2,"1","SendLocalList",{"localAuthorizationList":[{"idTag":123},{"idTag":12}]}]': None,
}  # fmt: skip

# payloads that a reader of fields may stumble over
PAYLOADS = [
    meter(value="1e999999", unit="Wh"),
    meter(value="9" * 400),
    meter(value="1", unitOfMeasure={"unit": "kWh", "multiplier": 2147483647}),
    meter(value="1", unitOfMeasure={"unit": "Wh", "multiplier": -2147483648}),
    meter(value="1", unitOfMeasure={"unit": "Wh", "multiplier": 10**30}),
    meter(value=None, measurand=None, unit=None, phase=None),
    meter(value={"a": 1}, measurand=[1], unit={}),
    [2, "m", "MeterValues", {"connectorId": 10**40, "transactionId": [1], "meterValue": {"timestamp": 1}}],
    [2, "m", "MeterValues", {"meterValue": [None, {"sampledValue": None}, {"sampledValue": [None, 1, "x"]}, []]}],
    [2, "m", "MeterValues", {"meterValue": [{"timestamp": "infinity", "sampledValue": [{"value": "1"}]}]}],
    [2, "s", "StatusNotification", {"connectorId": None, "status": None, "errorCode": None, "timestamp": None}],
    [2, "s", "StatusNotification", {"connectorId": 1.5, "status": ["x"], "timestamp": "290000-01-01T00:00:00Z"}],
    [2, "s", "StatusNotification", {"connectorId": "\x00", "status": "\ud83d\ude00", "timestamp": "-infinity"}],
    [2, "e", "NotifyEvent", {"eventData": [None, 1, {"variable": {"name": "AvailabilityState"}}]}],
    [2, "e", "NotifyEvent", {"eventData": "AvailabilityState"}],
    [2, "t", "TransactionEvent", {"seqNo": 10**40, "offline": "maybe", "transactionInfo": None, "meterValue": None}],
    [2, "t", "StartTransaction", {"meterStart": 1e300, "idTag": None, "timestamp": "yesterday"}],
    [2, "t", "StopTransaction", {"transactionData": "transactionData", "meterStop": "NaN"}],
    [3, "b", {"interval": 10**30, "currentTime": "epoch", "status": None, "idTagInfo": None}],
    [2, "b", "BootNotification", {"chargingStation": None, "chargePointVendor": {}}],
    [4, "x", None, None, None],
]  # fmt: skip


@pytest.mark.parametrize("text", FRAMES, ids=lambda text: text[:40])
def test_a_strange_frame_is_loaded_or_says_why_not(text: str, tmp_path: Path, decode_log: Decode, lake_rows: Rows):
    log = tmp_path / "x.jsonl"
    log.write_bytes(b"".join(GOOD[:10]) + native(None, 99, text=text) + b"".join(GOOD[10:]))
    counts = decode_log(log)
    assert counts.read == 21
    expected = FRAMES[text]
    assert reasons(lake_rows) == Counter([expected] if expected else [])
    assert counts.loaded == 20 + (expected is None)
    for row in lake_rows("quarantine/record"):
        assert row["line_number"] == 11
        assert row["expected"], row["reason"]


def test_a_frame_that_masking_breaks_is_quarantined(tmp_path: Path, decode_log: Decode, lake_rows: Rows, monkeypatch):
    def create_broken(con: duckdb.DuckDBPyConnection, key: bytes) -> None:
        create_macros(con, key)
        con.execute("create or replace macro mask_keys(t, keys) as replace(t, 'TAG', '\"')")

    monkeypatch.setattr("tests.conftest.create_macros", create_broken)
    log = tmp_path / "x.jsonl"
    log.write_bytes(b"".join(GOOD) + native([2, "a", "Authorize", {"idTag": "TAG"}]))
    assert decode_log(log).loaded == 20
    assert reasons(lake_rows) == Counter(["unmaskable"])


def test_strange_payloads_are_loaded_with_their_good_neighbours(tmp_path: Path, decode_log: Decode, lake_rows: Rows):
    log = tmp_path / "x.jsonl"
    log.write_bytes(b"".join(native(frame, number) for number, frame in enumerate(PAYLOADS)) + b"".join(GOOD))
    counts = decode_log(log)
    assert (counts.read, counts.loaded, counts.quarantined) == (len(PAYLOADS) + 20, len(PAYLOADS) + 20, 0)
    assert {row["sampled_at"] for row in lake_rows("ocpp/meter_sample") if row["raw_value"] == "1"} <= {AT, None}
    assert {row["event_at"] for row in lake_rows("ocpp/status_event")} == {None}, "of no year that can be written"


def gz(data: bytes) -> bytes:
    return gzip.compress(data, mtime=0)


def noisy(number: int) -> bytes:
    return native([2, f"n{number}", "DataTransfer", {"data": random.Random(number).random()}], number)


PLAIN = b"".join(noisy(number) for number in range(3000))

# file name -> content, frames that must be loaded (at least), reasons that must be told
FILES: dict[str, tuple[bytes, int, set[str]]] = {
    "empty.log": (b"", 0, set()),
    "blank.log": (b"\n" * 30_000, 0, set()),
    "random.log": (random.Random(1).randbytes(3_000_000), 0, {"unknown_format"}),
    "random_after.jsonl": (b"".join(GOOD) + random.Random(2).randbytes(2_000_000), 20, {"bad_text"}),
    "random_between.jsonl": (
        b"".join(GOOD[:10]) + random.Random(3).randbytes(300_000) + b"\n" + b"".join(GOOD[10:]), 20, {"bad_text"},
    ),
    "nul.jsonl": (b"".join(GOOD[:10]) + b"\0" * 5000 + b"\n" + b"".join(GOOD[10:]), 20, {"bad_json"}),
    "nul_inside.jsonl": (b"".join(GOOD) + GOOD[0].replace(b"CP-1", b"CP\0-1"), 20, {"bad_json"}),
    "no_utf8.jsonl": (b"".join(GOOD) + GOOD[0].replace(b"CP-1", b"CP-\xe9"), 20, {"bad_text"}),
    "no_utf8_frame.jsonl": (b"".join(GOOD) + GOOD[0].replace(b"Heartbeat", b"Heart\xffbeat"), 20, {"bad_text"}),
    "utf16.jsonl": (b"".join(GOOD).decode().encode("utf-16"), 0, {"bad_encoding"}),
    "bom.jsonl": (b"\xef\xbb\xbf" + b"".join(GOOD), 20, set()),
    "crlf.jsonl": (b"".join(GOOD).replace(b"\n", b"\r\n"), 20, set()),
    "no_last_end.jsonl": (b"".join(GOOD).rstrip(b"\n"), 20, set()),
    "half.gz": (gz(PLAIN)[: len(gz(PLAIN)) // 2], 1000, {"truncated_archive"}),
    "half.zst": (zstandard.compress(PLAIN)[: len(zstandard.compress(PLAIN)) // 2], 0, {"truncated_archive"}),
    "trailing.gz": (gz(PLAIN) + b"rubbish behind the end", 3000, {"corrupt_archive"}),
    "padded.gz": (gz(PLAIN) + b"\0" * 512, 3000, set()),
    "flipped.gz": (gz(PLAIN)[:30_000] + b"\xff" * 10 + gz(PLAIN)[30_010:], 500, {"corrupt_archive"}),
    "twice.gz": (gz(b"".join(GOOD[:10])) + gz(b"".join(GOOD[10:])), 20, set()),
    "zip.log": (b"PK\x03\x04" + b"x" * 1000, 0, {"unsupported_archive"}),
    "not.gz": (b"".join(GOOD), 20, set()),
}  # fmt: skip


@pytest.mark.parametrize("name", FILES)
def test_a_damaged_file_gives_what_is_whole(name: str, tmp_path: Path, decode_log: Decode, lake_rows: Rows):
    content, frames, expected = FILES[name]
    log = tmp_path / name
    log.write_bytes(content)
    counts = decode_log(log)
    assert counts.loaded >= frames
    assert counts.read == counts.loaded + counts.duplicate + counts.quarantined
    found = reasons(lake_rows)
    assert expected <= set(found), found
    if not expected:
        assert not found
        assert counts.loaded == frames


def test_a_folder_named_like_a_log_is_no_file(tmp_path: Path, decode_log: Decode, lake_rows: Rows, monkeypatch):
    folder = tmp_path / "x.jsonl"
    folder.mkdir()
    monkeypatch.setattr("tests.conftest.content_hash", lambda _: "0123456789abcdef")
    assert decode_log(folder).quarantined == 1
    assert reasons(lake_rows) == Counter(["not_a_file"])


@pytest.mark.parametrize("chunk_bytes", [1 << 16, 1 << 20])
@pytest.mark.parametrize("end", [b"\n", b""])
def test_a_line_without_end_is_named_and_the_rest_is_loaded(
    chunk_bytes: int,
    end: bytes,
    *,
    tmp_path: Path,
    decode_log: Decode,
    lake_rows: Rows,
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setattr(lines, "MAX_LINE_BYTES", 100_000)
    monkeypatch.setattr(lines, "CHUNK_BYTES", chunk_bytes)
    log = tmp_path / "x.jsonl"
    behind = b"".join(GOOD[10:]) if end else b""
    log.write_bytes(b"".join(GOOD[:10]) + b"x" * 500_000 + end + behind)
    counts = decode_log(log)
    assert (counts.loaded, counts.quarantined) == (20 if end else 10, 1)
    (row,) = lake_rows("quarantine/record")
    assert (row["line_number"], row["reason"]) == (11, "line_too_long")


def test_a_log_of_nothing_but_line_ends_stays_small(tmp_path: Path, decode_log: Decode, monkeypatch):
    """Lines per chunk are bounded too, or a chunk of blank lines would make millions of rows."""
    monkeypatch.setattr(lines, "MAX_CHUNK_LINES", 1000)
    seen: list[int] = []
    decode = chunks._Decoder.decode
    monkeypatch.setattr(
        chunks._Decoder, "decode", lambda self, n, c: (seen.append(c.lines.num_rows), decode(self, n, c))[1]
    )
    log = tmp_path / "x.jsonl"
    log.write_bytes(b"".join(GOOD) + b"\n" * 2_000_000 + heartbeat(99))
    assert decode_log(log).loaded == 21
    assert max(seen) <= 1000 + lines._BLOCK


SEEDS = [
    native([2, "s", "StatusNotification", {"connectorId": 1, "status": "Available", "errorCode": "NoError"}]),
    native(meter(value="1.5", unit="kWh"), 1),
    native([2, "a", "StartTransaction", {"connectorId": 1, "idTag": 'T"1', "meterStart": 5}], 2),
    native([3, "a", {"transactionId": 7, "idTagInfo": {"status": "Accepted"}}], 3),
    native([2, "d", "DataTransfer", {"vendorId": "v", "data": json.dumps({"idTag": "X", "mail": "a@b.example"})}], 4),
    b'{"ts":"2026-03-01T12:00:00Z","station":"CP-1","conn":1,"protocol":null,"dir":"in","frame":[2,"1","Heartbeat",{}]}\n',
    b'2026-03-01 13:00:00.000 INFO (MainThread) [ocpp] CP-1: receive message [2,"1","Heartbeat",{}]\n',
    b'2026-03-01T12:00:00.000Z [2,"1","Authorize",{"idTag":"ABC"}]\n',
]  # fmt: skip


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """Lines of a log with bytes changed, cut out, doubled or put in."""
    line = bytearray(draw(st.sampled_from(SEEDS)))
    for _ in range(draw(st.integers(0, 4))):
        at = draw(st.integers(0, len(line)))
        piece = draw(
            st.one_of(
                st.binary(max_size=4), st.sampled_from([b'"', b"\\", b"}", b"[", b"\\u0000", b"e5", b"@", b"null"])
            )
        )
        line[at : at + draw(st.integers(0, 6))] = piece
    return bytes(line)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(mutated(), min_size=1, max_size=12), st.sampled_from(SEEDS))
def test_mutated_frames_never_stop_the_decoder_and_counts_add_up(
    tmp_path_factory: pytest.TempPathFactory, decode_log: Decode, changed: list[bytes], first: bytes
):
    log = tmp_path_factory.mktemp("mutated") / "x.log"
    log.write_bytes(first * 13 + b"".join(changed))  # more than can be changed: they tell the format
    counts = decode_log(log)
    assert counts.read == counts.loaded + counts.duplicate + counts.quarantined
    assert counts.read >= 13
    assert counts.loaded >= 1
