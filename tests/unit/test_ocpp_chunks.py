"""What is in the lake does not depend on where a log is cut: into chunks, into files, or in which order they come."""

import json
import random
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import duckdb
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipelines.home import Commit, FileCounts, Home, LakeWriter, content_hash
from pipelines.lake import OCPP_TABLES, QUARANTINE
from pipelines.ocpp import chunks, lines
from pipelines.ocpp.decode import decode_file
from pipelines.pseudonym import create_macros
from tests.conftest import TEST_KEY

AT = datetime(2026, 3, 28, 20, 0, tzinfo=UTC)  # the night that clocks in Europe go forward
ZONE_CHANGE = datetime(2026, 3, 29, 1, 0, tzinfo=UTC)
Rows = dict[str, list[tuple[object, ...]]]


def conversation(seed: int, calls: int = 60) -> list[tuple[datetime, str, str, list[object]]]:
    """Time, station, direction and frame: ids come again, answers come late, versions show late, frames come twice."""
    rng = random.Random(seed)
    found: list[tuple[datetime, str, str, list[object]]] = []
    for number in range(calls):
        at = AT + timedelta(minutes=10 * number)
        said, station = at.isoformat().replace("+00:00", "Z"), f"CP-{rng.randrange(3)}"
        message = str(rng.randrange(8))
        reading = {"timestamp": said, "sampledValue": [{"value": str(number)}]}
        status = {"connectorId": 1, "status": "Available", "errorCode": "NoError", "timestamp": said}
        start = {"connectorId": 1, "idTag": "A", "meterStart": number, "timestamp": said}
        event = {"eventType": "Started", "timestamp": said, "seqNo": 0, "transactionInfo": {"transactionId": "t"}}
        action, payload, answer = rng.choice([
            ("Heartbeat", {}, {"currentTime": said}),
            ("StatusNotification", status, {}),
            ("MeterValues", {"connectorId": 1, "meterValue": [reading]}, {}),
            ("StartTransaction", start, {"transactionId": number}),
            ("TransactionEvent", event, {}),
            ("NotifySettlement", {"settlementAmount": 1}, {}),
        ])  # fmt: skip
        if station == "CP-2" and number < calls - 5:
            action, payload, answer = "Heartbeat", {}, {"currentTime": said}  # tells its version at the very end
        found.append((at, station, "in", [2, message, action, payload]))
        found.append((at + timedelta(seconds=rng.choice([1, 1, 30])), station, "out", [3, message, answer]))
        if number % 9 == 0:
            found.append(
                (
                    at + timedelta(seconds=40),
                    station,
                    "out",
                    [2, f"c{number}", "TriggerMessage", {"requestedMessage": "Heartbeat"}],
                )
            )
            found.append((at + timedelta(seconds=41), station, "in", [3, f"c{number}", {"status": "Accepted"}]))
        if number % 7 == 0:
            found.append(found[-1])
    return found


def native(at: datetime, station: str, way: str, frame: list[object]) -> str:
    record = {
        "charger_id": station, "connection_id": None, "tenant_id": None, "tenant_name": None,
        "captured_at": at.isoformat(), "event_type": 2, "direction": "FROM_CP" if way == "in" else "TO_CP",
        "raw_frame": json.dumps(frame), "raw_frame_encoding": "utf8",
    }  # fmt: skip
    return json.dumps(record) + "\n"


def native_without_direction(at: datetime, station: str, way: str, frame: list[object]) -> str:
    return json.dumps(json.loads(native(at, station, way, frame)) | {"direction": None}) + "\n"


def home_assistant(at: datetime, station: str, way: str, frame: list[object]) -> str:
    local = at + timedelta(hours=2 if at >= ZONE_CHANGE else 1)
    verb = "receive message" if way == "in" else "send"
    return f"{local:%Y-%m-%d %H:%M:%S}.000 INFO (MainThread) [ocpp] {station}: {verb} {json.dumps(frame)}\n"


def home_assistant_of_a_charger(at: datetime, station: str, way: str, frame: list[object]) -> str:
    return home_assistant(at, station, "out" if way == "in" else "in", frame)


def timed(at: datetime, station: str, way: str, frame: list[object]) -> str:
    return f"{at.isoformat()} {json.dumps(frame)}\n"


def bare(at: datetime, station: str, way: str, frame: list[object]) -> str:
    return json.dumps(frame) + "\n"


SHAPES = {
    write.__name__: write
    for write in (native, native_without_direction, home_assistant, home_assistant_of_a_charger, timed, bare)
}


@pytest.fixture
def decode(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., tuple[FileCounts, Rows]]:
    """Decode texts as the files of one writer into a new home; returns the counts and the lake's rows."""

    def run(texts: list[str], *, without: tuple[str, ...] = (), threads: int = 2) -> tuple[FileCounts, Rows]:
        folder = tmp_path_factory.mktemp("decoded")
        home, total = Home(folder / "home"), FileCounts()
        home.prepare()
        for number, text in enumerate(texts):
            log = folder / f"box-{number}.log"
            log.write_text(text)
            with duckdb.connect(config={"threads": threads}) as con:
                create_macros(con, TEST_KEY)
                commit = Commit(content_hash(log) + str(number), log.name, "ocpp", log.stat().st_size, "")
                writer = LakeWriter(home, con, commit)
                commit.counts = decode_file(log, writer=writer, relative_path=log.name, default_time_zone="UTC")
                total.add(writer.commit().counts)
        rows = {}
        with duckdb.connect() as con:
            for table in (*OCPP_TABLES, QUARANTINE):
                columns = [name for name in table.column_names if name not in without]
                sql = f"select {', '.join(columns)} from read_parquet('{home.table_glob(table)}') order by all"
                rows[table.name] = con.execute(sql).fetchall()
        return total, rows

    return run


@pytest.mark.parametrize("shape", SHAPES)
def test_chunks_of_any_size_give_the_same_rows(shape: str, decode, monkeypatch: pytest.MonkeyPatch):
    text = "".join(SHAPES[shape](*said) for said in conversation(1, calls=25))
    text = text.replace("\n", "\nno frame at all\n", 3)
    monkeypatch.setattr(chunks, "_OFFSET_LINES", 40)
    counts, rows = decode([text])
    assert counts.read == counts.loaded + counts.duplicate + counts.quarantined
    assert rows["frame"]
    for chunk_bytes in (700, 4000):
        monkeypatch.setattr(lines, "CHUNK_BYTES", chunk_bytes)
        again, same = decode([text])
        assert again == counts
        for table in rows:
            assert same[table] == rows[table], (table, chunk_bytes)


@settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 10_000), files=st.integers(1, 4), data=st.data())
def test_lines_shuffled_doubled_and_split_over_files_give_the_same_frames(
    decode, seed: int, files: int, data: st.DataObject
):
    """Of a log that names time and direction; only the version of a station may be told in another file."""
    said = [native(*said) for said in conversation(seed, calls=12)]
    without = ("source_id", "line_number", "protocol")
    _, whole = decode(["".join(said)], without=without)
    doubled = said + data.draw(st.lists(st.sampled_from(said), max_size=5))
    shuffled = data.draw(st.permutations(doubled))
    parts = ["".join(shuffled[number::files]) for number in range(files)]
    counts, split = decode(parts, without=without)
    assert counts.read == len(doubled)
    assert counts.read == counts.loaded + counts.duplicate
    for table in whole:
        assert set(split[table]) == set(whole[table]), table


def test_a_version_told_late_holds_for_the_frames_before(decode, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(lines, "CHUNK_BYTES", 300)
    said = [native(AT + timedelta(seconds=n), "CP-1", "in", [2, str(n), "Heartbeat", {}]) for n in range(20)]
    said.append(native(AT + timedelta(seconds=30), "CP-1", "in", [2, "x", "NotifySettlement", {}]))
    _, rows = decode(["".join(said)])
    place = next(table for table in OCPP_TABLES if table.name == "frame").column_names.index("protocol")
    assert {row[place] for row in rows["frame"]} == {"ocpp2.1"}
    assert len(rows["frame"]) == 21


def test_local_times_follow_the_change_of_the_season(decode, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(chunks, "_OFFSET_LINES", 10)
    text, instants = "", []
    for number in range(48):
        at = AT + timedelta(minutes=15 * number)
        instants.append(at)
        text += home_assistant(at, "CP-1", "out", [3, str(number), {"currentTime": at.isoformat()}])
    _, rows = decode([text])
    columns = next(table for table in OCPP_TABLES if table.name == "frame").column_names
    found = sorted(row[columns.index("received_at")] for row in rows["frame"])
    wrong = [at for at, told in zip(instants, found, strict=True) if at != told]
    assert len(wrong) <= 10, "only the stretch of lines in which the clock changed may be an hour off"
    assert found[0] == instants[0]
    assert found[-1] == instants[-1]


@pytest.mark.parametrize("slice_rows", [3, 1000])
def test_duplicates_are_told_across_chunks_in_slices_of_time(slice_rows: int, decode, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(chunks, "_SLICE_ROWS", slice_rows)
    monkeypatch.setattr(lines, "CHUNK_BYTES", 500)
    said = [native(AT + timedelta(seconds=n), "CP-1", "in", [2, str(n), "Heartbeat", {}]) for n in range(30)]
    mixed = said + said[5:15] + said[:5]
    random.Random(1).shuffle(mixed)
    counts, _ = decode(["".join(mixed)])
    assert (counts.read, counts.loaded, counts.duplicate) == (45, 30, 15)
