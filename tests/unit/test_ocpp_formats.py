"""Every log format has a small log of its own in tests/vectors/ocpp, and the rows that it must give beside it."""

import csv
import gzip
import io
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import duckdb
import pytest
import zstandard
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines import ingest
from pipelines.cli import main
from pipelines.home import Commit, FileCounts, Home, LakeWriter, content_hash
from pipelines.ocpp import schema_quality
from pipelines.ocpp.anonymize import anonymize, shared_name
from pipelines.ocpp.decode import decode_file
from pipelines.ocpp.documents import CsvDialect, csv_records, json_records
from pipelines.ocpp.formats import FORMATS
from pipelines.ocpp.overrides import Overrides, read_overrides
from pipelines.ocpp.recognise import identify, read_sample, station_of
from pipelines.pseudonym import create_macros, pseudonym
from pipelines.settings import Settings
from tests.conftest import TEST_KEY

VECTORS = Path(__file__).resolve().parent.parent / "vectors" / "ocpp"
CASES = sorted(folder.name for folder in VECTORS.iterdir())
_NO_LOG = ("expected.csv", "format.toml")


def log_of(case: str) -> Path:
    (log,) = (path for path in (VECTORS / case).iterdir() if path.name not in _NO_LOG)
    return log


def expected(case: str) -> list[dict[str, str]]:
    with (VECTORS / case / "expected.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def _text(value: object) -> str:
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%dT%H:%M:%S}.{value.microsecond // 1000:03d}Z"
    return "" if value is None else str(value)


def told(lake_rows) -> list[dict[str, str]]:
    """What the lake holds, in the words of expected.csv."""
    rows = [
        {
            "what": "frame", "line": row["line_number"], "station_id": row["station_id"], "received_at": row["received_at"],
            "quality": row["received_at_quality"], "direction": row["direction"], "protocol": row["protocol"],
            "connection_id": row["connection_id"], "type": row["message_type"], "id": row["message_id"], "name": row["action"],
        }
        for row in lake_rows("ocpp/frame")
    ]  # fmt: skip
    rows += [
        {
            "what": row["event"], "line": row["line_number"], "station_id": row["station_id"],
            "received_at": row["received_at"], "quality": row["received_at_quality"], "direction": "",
            "protocol": row["protocol"], "connection_id": row["connection_id"], "type": "", "id": "",
            "name": row["close_code"],
        }
        for row in lake_rows("ocpp/connection_event")
    ]  # fmt: skip
    rows += [
        dict.fromkeys(rows[0], "") | {"what": "quarantined", "line": row["line_number"], "name": row["reason"]}
        for row in lake_rows("quarantine/record")
    ]
    return [{key: _text(value) for key, value in row.items()} for row in rows]


def _sorted(rows: list[dict[str, str]]) -> list[tuple[str, ...]]:
    return sorted(tuple(row.values()) for row in rows)


@dataclass(frozen=True)
class Decoded:
    """One log decoded on its own."""

    con: duckdb.DuckDBPyConnection
    commit: Commit
    lake: Path

    @property
    def counts(self) -> FileCounts:
        return self.commit.counts

    def rows(self, table: str) -> list[dict[str, object]]:
        files = [str(self.lake / name) for name in self.commit.lake_files if name.startswith(f"{table}/")]
        return self.con.execute("select * from read_parquet($1) order by all", [files]).pl().to_dicts() if files else []


@pytest.fixture(scope="module")
def con() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as con:
        con.execute("set TimeZone = 'UTC'")
        create_macros(con, TEST_KEY)
        yield con


def decoded(con: duckdb.DuckDBPyConnection, log: Path, folder: Path) -> Decoded:
    commit = Commit(content_hash(log), f"ocpp/{log.name}", "ocpp", log.stat().st_size, "2026-01-01T00:00:00Z")
    home = Home(folder)
    writer = LakeWriter(home, con, commit)
    commit.counts = decode_file(log, writer=writer, relative_path=log.name, default_time_zone="UTC")
    commit.counts.check(log.name)
    return Decoded(con, commit, home.lake)


def test_every_format_has_a_log_of_its_own(tmp_path: Path):
    seen = set()
    for case in CASES:
        log = log_of(case)
        found = identify(log, read_sample(log), read_overrides(log, log.parent), log.name, "UTC")
        seen.add(found.log_format.name if found else case)
    assert seen == {form.name for form in FORMATS}


@pytest.mark.parametrize("case", CASES)
def test_every_format_gives_its_expected_rows(case: str, tmp_path: Path, con):
    log = log_of(case)
    wanted = expected(case)

    found = decoded(con, log, tmp_path)

    rows = told(found.rows)
    # ids of frames that are made from table rows are hashes of the row
    made = {row["line"] for row in wanted if row["id"] == "*"}
    rows = [row | {"id": "*"} if row["what"] == "frame" and row["line"] in made else row for row in rows]
    assert _sorted(rows) == _sorted(wanted)
    quarantined = sum(row["what"] == "quarantined" for row in wanted)
    counts = found.counts
    assert (counts.read, counts.quarantined, counts.duplicate) == (len(wanted), quarantined, 0)

    # whatever the format, it is the same short story of one charge: 1000 Wh at the start, 1750 meanwhile, 2500 at the stop
    tokens = {pseudonym(TEST_KEY, "TAG-7"), pseudonym(TEST_KEY, "TAG-8")}
    for event in found.rows("ocpp/transaction_event"):
        if event["event_type"] == "Started":
            assert (event["connector_id"], event["id_token_hash"] in tokens) == (1, True)
            assert event["meter_wh"] in (1000, 2500)
        else:
            assert (event["event_type"], event["transaction_id"], event["meter_wh"]) == ("Ended", "77", 2500)
            assert event["reason"] == "Local"
    for frame in found.rows("ocpp/frame"):
        assert frame["result_transaction_id"] in (None, "77", "78")
    for sample in found.rows("ocpp/meter_sample"):
        if sample["measurand"] == "Energy.Active.Import.Register":
            assert (sample["unit"], sample["value"] in (1750, 1800)) == ("Wh", True)
    for boot in found.rows("ocpp/boot"):
        assert boot["vendor"] in ("Volta", "V", None)
    for status in found.rows("ocpp/status_event"):
        assert status["status"] in ("Available", "Charging", "Faulted")
        assert status["connector_id"] in (0, 1, 2)
        assert abs((status["event_at"] - status["received_at"]).total_seconds()) <= 3600


# --- format.toml -----------------------------------------------------------------------------------------------------


def ocpp_line(second: int, verb: str, frame: str, station: str = "CP-7") -> str:
    return f"2026-03-03 13:00:{second:02d},000 - ocpp - INFO - {station}: {verb} {frame}\n"


HEARTBEAT = '[2,"1","Heartbeat",{}]'


def test_format_toml_names_the_zone_the_station_and_the_side(tmp_path: Path, decode_log, lake_rows):
    log = tmp_path / "x.log"
    # a charger wrote this: it received the answer; without a hint the answer alone can't tell
    log.write_text(
        ocpp_line(0, "send", '[3,"9",{"status":"Accepted"}]') + ocpp_line(1, "receive message", '[3,"1",{}]')
    )
    (tmp_path / "format.toml").write_text(
        'time_zone = "Europe/Berlin"\nstation_id = "DE-7"\nlogged_by = "charger"\nprotocol = "ocpp2.0.1"\n'
    )
    decode_log(log, default_time_zone="America/Chicago")
    rows = lake_rows("ocpp/frame", order_by="line_number")
    assert [(row["station_id"], row["direction"], row["protocol"]) for row in rows] == [
        ("DE-7", "from_station", "ocpp2.0.1"), ("DE-7", "to_station", "ocpp2.0.1"),
    ]  # fmt: skip
    assert _text(rows[0]["received_at"]) == "2026-03-03T12:00:00.000Z"
    assert {row["received_at_quality"] for row in rows} == {"configured_zone"}


def test_a_deeper_format_toml_and_a_pattern_override_key_by_key(tmp_path: Path):
    deep = tmp_path / "a" / "b"
    deep.mkdir(parents=True)
    (tmp_path / "format.toml").write_text('time_zone = "Europe/Berlin"\nlogged_by = "csms"\n')
    (deep / "format.toml").write_text('logged_by = "charger"\n[files."cp1-*"]\nstation_id = "CP-1"\n')
    assert read_overrides(deep / "cp1-x.log", tmp_path) == Overrides(
        time_zone="Europe/Berlin", logged_by="charger", station_id="CP-1"
    )
    assert read_overrides(deep / "cp2.log", tmp_path).station_id is None
    assert read_overrides(tmp_path / "x.log", tmp_path).logged_by == "csms"
    assert read_overrides(tmp_path.parent / "x.log", tmp_path.parent).digest == ""


@pytest.mark.parametrize(
    ("toml", "complaint"),
    [
        ('time_zone = "Mars/Olympus"', "format.toml: time_zone = 'Mars/Olympus': an IANA zone"),
        ('tz = "UTC"', "format.toml: tz: no such key; known are format, time_zone"),
        ('logged_by = "me"', "logged_by = 'me': one of csms, charger"),
        ('format = "word"', "format = 'word': one of "),
        ('date = "3.3.2026"', "date = '3.3.2026': a day such as"),
        ("station_id = 7", "station_id: a text in quotes"),
        ("time_zone", "format.toml: Expected '='"),
        ('[files]\n"x" = 1', "[files]: tables such as"),
    ],
)
def test_a_wrong_format_toml_quarantines_its_files_and_says_why(toml, complaint, tmp_path: Path, decode_log, lake_rows):
    log = tmp_path / "x.log"
    log.write_text(ocpp_line(0, "receive message", HEARTBEAT))
    (tmp_path / "format.toml").write_text(toml)
    counts = decode_log(log)
    assert (counts.read, counts.quarantined) == (1, 1)
    (row,) = lake_rows("quarantine/record")
    assert row["reason"] == "bad_format_toml"
    assert complaint in str(row["expected"])


def test_a_changed_format_toml_decodes_its_files_anew_and_only_once(home):
    log = home.landing / "ocpp" / "north" / "x.log"
    log.parent.mkdir()
    log.write_text(ocpp_line(0, "receive message", HEARTBEAT))
    copy = home.landing / "ocpp" / "south" / "x.log"
    copy.parent.mkdir()
    copy.write_bytes(log.read_bytes())

    def run() -> list[tuple[str, str, str]]:
        result = ingest.ingest(home, Settings(), "ocpp")
        assert result.counts.read == result.counts.loaded + result.counts.duplicate + result.counts.quarantined
        assert not ingest.clean(home), "a decode that was taken the place of leaves nothing"
        ingest.write_index(home)
        assert not ingest.has_new_files(home)
        with duckdb.connect() as con:
            con.execute("set TimeZone = 'UTC'")
            return con.execute(
                f"select station_id, cast(received_at as varchar), received_at_quality from '{home.lake}/ocpp/frame/*.parquet'"
            ).fetchall()

    assert run() == [("CP-7", "2026-03-03 13:00:00+00", "assumed_zone")]
    toml = log.parent / "format.toml"
    toml.write_text('time_zone = "Europe/Berlin"\n')
    assert ingest.has_new_files(home)
    assert run() == [("CP-7", "2026-03-03 12:00:00+00", "configured_zone")]
    toml.write_text('# a comment changes nothing\ntime_zone = "Europe/Berlin"\n')
    assert not ingest.has_new_files(home)
    (copy.parent / "format.toml").write_text('station_id = "copy"\n')
    assert run() == [("CP-7", "2026-03-03 12:00:00+00", "configured_zone")], "the path that brought the content decides"
    log.unlink()
    assert run() == [("copy", "2026-03-03 13:00:00+00", "assumed_zone")], "and when it is gone, the one that is left"


def test_two_dumped_messages_of_equal_content_are_two_messages(home):
    folder = home.landing / "ocpp" / "CP-7"
    folder.mkdir()
    for minute in (0, 5):
        (folder / f"2026-03-03_13-{minute:02d}-05-1234_ocpp16-in.txt").write_text(HEARTBEAT)
    result = ingest.ingest(home, Settings(), "ocpp")
    assert (result.counts.loaded, result.counts.duplicate) == (2, 0)


# --- what stands around a frame ---------------------------------------------------------------------------------------


def one_frame(tmp_path: Path, decode_log, lake_rows, text: str, name: str = "x.log") -> dict[str, object]:
    log = tmp_path / name
    log.write_text(text)
    counts = decode_log(log)
    assert (counts.loaded, counts.quarantined) == (1, 0)
    (row,) = lake_rows("ocpp/frame")
    return row


@pytest.mark.parametrize("trailer", ["", " ", " [22 bytes]", '"', " (took 3 ms)", "\x1b[0m", "]", "\r"])
def test_what_trails_a_frame_is_cut_off(trailer: str, tmp_path: Path, decode_log, lake_rows):
    text = f'2026-03-03T12:00:00Z [2,"1","StatusNotification",{{"status":"Available","info":"[x]"}}]{trailer}\n'
    row = one_frame(tmp_path, decode_log, lake_rows, text)
    assert row["payload"] == '{"status":"Available","info":"[x]"}'


@pytest.mark.parametrize(
    "stamp",
    [
        "2026-03-03T12:00:05.123Z", "2026-03-03T12:00:05,123Z", "2026-03-03 13:00:05.123+01:00",
        "2026-03-03T13:00:05.123456789+0100", "2026/03/03 12:00:05.123 UTC", "1772539205123", "1772539205.123",
    ],
)  # fmt: skip
def test_a_time_with_offset_is_read_in_any_spelling(stamp: str, tmp_path: Path, decode_log, lake_rows):
    row = one_frame(tmp_path, decode_log, lake_rows, f'{{"time": "{stamp}", "cp_id": "A", "frame": {HEARTBEAT}}}\n')
    assert (_text(row["received_at"]), row["received_at_quality"]) == ("2026-03-03T12:00:05.123Z", "logged")


@pytest.mark.parametrize(
    ("dates", "order"),
    [(("13/03/2026", "04/03/2026"), "dmy"), (("03/13/2026", "03/04/2026"), "mdy"), (("04/03/2026",), "dmy")],
)
def test_the_order_of_day_and_month_is_told_from_the_dates(dates, order, tmp_path: Path, decode_log, lake_rows):
    log = tmp_path / "x.csv"
    rows = "".join(f'"{date} 12:00:00",A,"{HEARTBEAT.replace(chr(34), chr(34) * 2)}"\n' for date in dates)
    log.write_text("time,station,frame\n" + rows)
    decode_log(log)
    assert {(row["received_at"].day, row["received_at"].month) for row in lake_rows("ocpp/frame")} == {
        (int(date[:2]), int(date[3:5])) if order == "dmy" else (int(date[3:5]), int(date[:2])) for date in dates
    }


def test_a_log_of_a_charger_keeps_its_number_as_station_and_its_rotations_share_it():
    assert station_of("north/cp-12_2026-01-01.log.gz") == "north/cp-12"
    assert station_of("cp-12.log.3") == station_of("cp-12_20260101T1200.log") == "cp-12"
    assert station_of("2026-01-01.jsonl") == "log"


# --- documents --------------------------------------------------------------------------------------------------------


def _elements(data: bytes, depth: int, block: int) -> list[str]:
    return [
        str(text)
        for chunk in json_records(io.BytesIO(data), depth, block_bytes=block)
        for text in chunk.lines.column("line").to_pylist()
    ]


_JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.text(max_size=12)
    | st.sampled_from(['"', "\\", "}{", "][", "\n", "é"]),
    lambda children: st.lists(children, max_size=3) | st.dictionaries(st.text(max_size=5), children, max_size=3),
    max_leaves=8,
)


@settings(deadline=None, max_examples=60)
@given(
    values=st.lists(st.dictionaries(st.text(max_size=6), _JSON, max_size=3) | st.lists(_JSON, max_size=3), max_size=12),
    block=st.integers(1, 60),
    indent=st.sampled_from([None, 1]),
)
def test_an_array_gives_its_elements_however_it_is_read(values, block, indent):
    text = json.dumps(values, indent=indent, ensure_ascii=False)
    assert [json.loads(element) for element in _elements(text.encode(), 1, block)] == values
    batch = json.dumps({"messages": values}, indent=indent)
    assert [json.loads(element) for element in _elements(batch.encode(), 2, block)] == values


def test_a_broken_element_does_not_spoil_the_others():
    good = [json.dumps({"timestamp": f"t{n}", "payload": f'[2,"{n}","Heartbeat",{{}}]'}) for n in range(40)]
    for damage in (
        good[7][:-9],
        good[7].replace("}", ""),
        good[7].replace('{"time', "{time", 1),
        good[7] + "}",
        "junk",
    ):
        broken = [*good[:7], damage, *good[8:]]
        for glue in (",", ",\n"):
            elements = _elements(("[" + glue.join(broken) + "]").encode(), 1, 300)
            assert set(good) - {good[7]} - set(elements) == set(), (damage, glue)


@settings(deadline=None, max_examples=60)
@given(
    cells=st.lists(
        st.tuples(st.text(alphabet='ab",\n\r;é ', max_size=8), st.text(alphabet='x"\n', max_size=4)), max_size=15
    ),
    block=st.integers(1, 50),
)
def test_a_csv_gives_its_records_however_it_is_read(cells, block):
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n", quoting=csv.QUOTE_ALL)
    writer.writerows([("one", "two"), *cells])
    chunks = csv_records(io.BytesIO(out.getvalue().encode()), CsvDialect(("one", "two"), ",", False), block_bytes=block)
    texts = [str(text) for chunk in chunks for text in chunk.lines.column("line").to_pylist()]
    assert [tuple(next(csv.reader(io.StringIO(text, newline="")))) for text in texts] == cells


def test_a_stray_quote_costs_a_csv_its_own_line_at_most(tmp_path: Path, decode_log, lake_rows):
    frame = HEARTBEAT.replace('"', '""')
    lines = [f'2026-03-03T12:{n // 60:02d}:{n % 60:02d}Z,CP,"{frame}"\n' for n in range(3000)]
    lines[100] = lines[100].replace("CP", 'C"P')  # read as it stands
    lines[2000] = lines[2000].replace('}]"', "}]")  # a cell that does not close
    lines[2500] = lines[2500].replace(",CP,", ",")
    log = tmp_path / "x.csv"
    log.write_text("timestamp,device_ID,message\n" + "".join(lines))
    counts = decode_log(log)
    assert (counts.loaded, counts.quarantined) == (2998, 2)
    assert [(row["line_number"], row["reason"]) for row in lake_rows("quarantine/record", order_by="line_number")] == [
        (2002, "bad_csv_row"), (2502, "bad_csv_row"),
    ]  # fmt: skip


@settings(deadline=None, max_examples=60)
@given(
    head=st.sampled_from(
        [b"", b"[", b'[{"timestamp":', b'{"messages":[{', b"timestamp,id,action,msg\n", b"\xef\xbb\xbf", b"[[2,"]
    ),
    rest=st.binary(max_size=300),
)
def test_no_bytes_confuse_the_recogniser(tmp_path_factory, head: bytes, rest: bytes):
    log = tmp_path_factory.mktemp("bytes") / "x"
    log.write_bytes(head + rest)
    found = identify(log, read_sample(log), Overrides(), "x", "UTC")
    if found:
        with log.open("rb") as stream:
            texts = [text for chunk in found.chunks(stream) for text in chunk.lines.column("line").to_pylist()]
        assert sum(map(len, texts)) <= 3 * len(head + rest)


# --- anonymize --------------------------------------------------------------------------------------------------------

SECRETS = ("TAG-7", "TAG-8", "SN-4711")


@pytest.mark.parametrize("case", CASES)
def test_an_anonymised_log_decodes_to_the_same_rows_and_holds_no_secret(case: str, tmp_path: Path, con):
    log = log_of(case)
    if case == "ocpp_core_dump":
        return  # its name is data, and a status holds no secret
    out = tmp_path / log.name
    if (log.parent / "format.toml").exists():
        (tmp_path / "format.toml").write_text((log.parent / "format.toml").read_text())

    anonymize(log, out)

    before, after = log.read_bytes(), out.read_bytes()
    assert len(before) == len(after)
    assert before.count(b"\n") == after.count(b"\n")
    folded = re.sub(rb"\n+\d{4}-[0-9T:.-]+Z:COM:ocpp_rpc\.c:\d+:", b"", after)
    assert not [secret for secret in SECRETS if secret.lower().encode() in (after + folded).lower()]
    found = decoded(con, out, tmp_path / "lake")

    # a charge point called by its address has another name now; ids made of a row are hashes of its secrets too
    made = {row["line"] for row in expected(case) if row["id"] == "*"}

    def same(rows: list[dict[str, str]]) -> list[tuple[str, ...]]:
        return _sorted([row | {"station_id": "", "id": "" if row["line"] in made else row["id"]} for row in rows])

    assert same(told(found.rows)) == same(expected(case))
    tokens = {row["id_token_hash"] for row in found.rows("ocpp/transaction_event")} - {None}
    assert tokens.isdisjoint(pseudonym(TEST_KEY, secret) for secret in SECRETS)


def test_the_real_logs_stay_the_same_logs_when_anonymised(real_data: Path, tmp_path: Path, con):
    for log in sorted((real_data / "ocpp").iterdir()):
        out = tmp_path / log.name
        anonymize(log, out)
        old, new = decoded(con, log, tmp_path / "old"), decoded(con, out, tmp_path / "new")
        assert old.counts == new.counts, log.name
        ids = [
            [(row["line_number"], row["action"], row["received_at"]) for row in run.rows("ocpp/frame")]
            for run in (old, new)
        ]
        assert sorted(map(str, ids[0])) == sorted(map(str, ids[1]))
        if log.name.startswith("ha_goe"):
            assert b"299999" in log.read_bytes()
            assert b"299999" not in out.read_bytes(), "the serial number"


def test_a_packed_log_is_packed_again_and_named_beside_it(tmp_path: Path):
    text = (VECTORS / "steve" / "steve.log").read_bytes()
    for name, pack, unpack in (
        ("a.log.gz", gzip.compress, gzip.decompress),
        ("a.log.zst", zstandard.compress, lambda data: zstandard.ZstdDecompressor().decompressobj().decompress(data)),
    ):
        path = tmp_path / name
        path.write_bytes(pack(text))
        assert shared_name(path).name == name.replace("a.", "a.anonymized.")
        anonymize(path, shared_name(path), key=b"k")
        assert b"TAG-7" not in unpack(shared_name(path).read_bytes())
        assert len(unpack(shared_name(path).read_bytes())) == len(text)


def test_what_names_someone_is_masked_wherever_it_stands_and_numbers_stay(tmp_path: Path):
    log = tmp_path / "x.log"
    log.write_text(
        '2026-03-03T12:00:00Z [2,"1","BootNotification",{"chargePointSerialNumber":"TACW2242622G2427",'
        '"iccid":"8949020000012345678",'
        '"imsi":"262010000000001","firmwareVersion":"4.0.4.22","meterSerialNumber":"88112233"}]\n'
        '2026-03-03T12:00:01Z [2,"2","StartTransaction",{"idTag":12345,"meterStart":12345,"timestamp":"2026-03-03T12:00:01Z"}]\n'
        '2026-03-03T12:00:02Z [2,"3","DataTransfer",{"vendorId":"V",'
        '"data":"{\\"idTag\\":\\"ab\\\\u0041c1\\",\\"box\\":\\"TACW2242622G2427\\"}"}]\n'
        '2026-03-03T12:00:03Z [2,"4","GetDiagnostics",{"location":"ftp://bob:s3cret@10.0.0.7/up","mail":"ann.lee@example.org"}]\n'
        '2026-03-03T12:00:04Z [2,"5","ChangeConfiguration",{"key":"AuthorizationKey","value":"hunter22"}]\n'
        '2026-03-03T12:00:05Z [2,"6","Authorize",{"idTag":"tacw2242622g2427","additional":"ISO14443"}]\n'
    )
    out = tmp_path / "out.log"
    anonymize(log, out, key=b"k")
    text = out.read_text()
    for secret in (
        "TACW2242622G2427", "tacw2242622g2427", "8949020000012345678", "262010000000001", "88112233", '"idTag":12345', "bob",
        "s3cret", "10.0.0.7", "ann.lee", "hunter22",
    ):  # fmt: skip
        assert secret not in text, secret
    for kept in (
        '"firmwareVersion":"4.0.4.22"',
        '"meterStart":12345',
        "2026-03-03T12:00:05Z",
        "ISO14443",
        "\\\\u0041",
        "ftp://",
    ):
        assert kept in text, kept
    lines = text.splitlines()
    assert len(text) == len(log.read_text())
    serial = json.loads(lines[0][21:])[3]["chargePointSerialNumber"]
    assert json.loads(json.loads(lines[2][21:])[3]["data"])["box"] == serial, "one value has one mask"
    assert json.loads(lines[5][21:])[3]["idTag"].upper() == serial, "tokens are compared without case"
    other = tmp_path / "other.log"
    anonymize(log, other)
    assert other.read_text() != text, "without a key given the masks are another run's"


def test_a_file_of_no_known_format_is_not_passed_off_as_anonymised(tmp_path: Path):
    novel = tmp_path / "novel.txt"
    novel.write_text("It was a dark and stormy night.\n")
    with pytest.raises(ValueError, match="no log format"):
        anonymize(novel, tmp_path / "out.txt")
    assert not (tmp_path / "out.txt").exists()


# --- schema quality ---------------------------------------------------------------------------------------------------


def _log_of(frames: list[list], path: Path) -> Path:
    path.write_text(
        "".join(f"2026-03-03T12:{n // 60 % 60:02d}:{n % 60:02d}Z {json.dumps(f)}\n" for n, f in enumerate(frames))
    )
    return path


STATUS = {"connectorId": 1, "errorCode": "NoError", "status": "Available", "timestamp": "2026-03-03T12:00:00Z"}


def test_what_the_schemas_say_is_a_mark_and_no_filter(tmp_path: Path, decode_log, lake_rows):
    frames = [
        [2, "1", "StatusNotification", STATUS],
        [2, "2", "StatusNotification", STATUS | {"status": "Snoozing", "mood": "fine"}],
        [2, "3", "StatusNotification", STATUS | {"status": "Snoozing", "mood": "fine", "connectorId": 2}],
        [2, "4", "StatusNotification", {"connectorId": "1", "status": "Available", "vendorId": "x" * 300}],
        [2, "5", "StartTransaction", {"connectorId": 1, "idTag": "A-1", "meterStart": 5, "timestamp": "2026-03-03T12:00:00Z"}],
        [2, "6", "SelfDestruct", {}],
        [2, "7", "SetChargingProfile", {"connectorId": 1, "csChargingProfiles": {
            "chargingProfileId": 1, "stackLevel": 0, "chargingProfilePurpose": "TxProfile", "chargingProfileKind": "Relative",
            "chargingSchedule": {"chargingRateUnit": "A", "chargingSchedulePeriod": [{"startPeriod": 0, "limit": 16.1}]}}}],
    ]  # fmt: skip
    counts = decode_log(_log_of(frames, tmp_path / "CP.log"))
    assert (counts.loaded, counts.quarantined) == (len(frames), 0)
    found = lake_rows("ocpp/schema_finding", order_by="line_number, path, rule")
    assert [
        (row["line_number"], row["action"], row["path"], row["rule"], row["message"], row["frames"]) for row in found
    ] == [
        (2, "StatusNotification", "$", "additionalProperties", "has mood, which the schema does not know", 2),
        (2, "StatusNotification", "$.status", "enum", "'Snoozing' is none of the 9 values", 2),
        (4, "StatusNotification", "$", "required", "lacks errorCode", 1),
        (4, "StatusNotification", "$.connectorId", "type", "is no integer", 1),
        (4, "StatusNotification", "$.vendorId", "maxLength", "breaks maxLength 255", 1),
        (6, "SelfDestruct", "$", "unknown_action", "is no message of OCPP 1.6", 1),
    ]
    (frame,) = [row for row in lake_rows("ocpp/frame") if row["line_number"] == 2]
    assert found[0]["frame_id"] == frame["frame_id"]
    assert {row["protocol"] for row in found} == {"ocpp1.6"}


def test_the_schemas_are_asked_about_a_bounded_number_of_calls(tmp_path: Path, decode_log, lake_rows, monkeypatch):
    monkeypatch.setattr(schema_quality, "_judged", {})
    judged = []
    real = schema_quality.judge
    monkeypatch.setattr(schema_quality, "judge", lambda *call: judged.append(call) or real(*call))
    frames = [
        [2, str(n), "StatusNotification", STATUS | {"status": "Snoozing", "connectorId": n}] for n in range(20_000)
    ]
    decode_log(_log_of(frames, tmp_path / "CP.log"))
    assert len(judged) == 1, "calls that differ in numbers only have one shape"
    (found,) = lake_rows("ocpp/schema_finding")
    assert 700 < found["frames"] < 1300


def test_the_command_writes_the_copy_beside_the_log_and_refuses_what_it_does_not_know(tmp_path: Path):
    log = tmp_path / "steve.log"
    log.write_bytes((VECTORS / "steve" / "steve.log").read_bytes())
    done = CliRunner().invoke(main, ["anonymize", str(log)])
    assert done.exit_code == 0, done.output
    assert b"TAG-7" not in (tmp_path / "steve.anonymized.log").read_bytes()
    novel = tmp_path / "novel.txt"
    novel.write_text("It was a dark and stormy night.\n")
    refused = CliRunner().invoke(main, ["anonymize", str(novel)])
    assert refused.exit_code == 1
    assert "no log format that chargehouse knows" in refused.output
