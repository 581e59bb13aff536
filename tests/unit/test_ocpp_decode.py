"""Each log shape is recognised by its lines and gives the same facts; damage goes to quarantine, the rest is loaded."""

import gzip
import json
import random
from datetime import UTC, datetime, timedelta
from pathlib import Path

import duckdb
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipelines.home import Home
from pipelines.ocpp.decode import log_source_of
from pipelines.ocpp.formats import recognise
from pipelines.pseudonym import pseudonym
from tests.conftest import TEST_KEY

AT = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)

BOOT = [2, "b1", "BootNotification", {"chargePointVendor": "V", "chargePointModel": "M", "firmwareVersion": "1"}]
BOOT_RESULT = [3, "b1", {"status": "Accepted", "interval": 300, "currentTime": "2026-03-01T12:00:00Z"}]
STATUS = [
    2,
    "s1",
    "StatusNotification",
    {"connectorId": 1, "status": "Available", "errorCode": "NoError", "timestamp": "2026-03-01T12:00:00Z"},
]
START = [
    2,
    "t1",
    "StartTransaction",
    {"connectorId": 1, "idTag": "TAG-1", "meterStart": 100, "timestamp": "2026-03-01T12:00:00Z"},
]
START_RESULT = [3, "t1", {"transactionId": 7, "idTagInfo": {"status": "Accepted"}}]
METER = [
    2,
    "m1",
    "MeterValues",
    {
        "connectorId": 1,
        "transactionId": 7,
        "meterValue": [
            {
                "timestamp": "2026-03-01T12:00:00Z",
                "sampledValue": [
                    {"value": "0.150", "unit": "kWh"},
                    {"value": "7.4", "measurand": "Power.Active.Import", "unit": "kW"},
                ],
            }
        ],
    },
]
CONVERSATION = [(BOOT, "in"), (BOOT_RESULT, "out"), (STATUS, "in"), (START, "in"), (START_RESULT, "out"), (METER, "in")]


def native(frame: list, side: str, at: datetime = AT, station: str = "CP-1") -> str:
    record = {
        "charger_id": station, "connection_id": "c1", "tenant_id": None, "tenant_name": None,
        "captured_at": at.isoformat().replace("+00:00", "Z"), "event_type": 2,
        "direction": "FROM_CP" if side == "in" else "TO_CP", "raw_frame": json.dumps(frame), "raw_frame_encoding": "utf8",
    }  # fmt: skip
    return json.dumps(record) + "\n"


def recorder(frame: list, side: str) -> str:
    return (
        json.dumps(
            {
                "ts": "2026-03-01T12:00:00.000Z",
                "station": "CP-1",
                "conn": 1,
                "protocol": "ocpp1.6",
                "dir": side,
                "frame": frame,
            }
        )
        + "\n"
    )


def home_assistant(frame: list, side: str) -> str:
    verb = "receive message" if side == "in" else "send"
    return f"2026-03-01 13:00:00.000 INFO (MainThread) [ocpp] CP-1: {verb} {json.dumps(frame)}\n"


def mobilityhouse(frame: list, side: str) -> str:
    verb = "receive message" if side == "in" else "send"
    return f"2026-03-01 13:00:00,000 - ocpp - INFO - CP-1: {verb} {json.dumps(frame)}\n"


def mobilityhouse_of_a_charger(frame: list, side: str) -> str:
    return mobilityhouse(frame, "out" if side == "in" else "in")


def rpc_line(frame: list, side: str) -> str:
    return f"2026-03-01T12:00:00.000Z {json.dumps(frame)}\n"


def rpc_line_unix(frame: list, side: str) -> str:
    return f"1772366400.000 {json.dumps(frame)}\n"


def everest(frame: list, side: str) -> str:
    way = "ChargePoint>CentralSystem" if side == "in" else "CentralSystem>ChargePoint"
    return (
        f"2026-03-01T12:00:00.000Z: {way} {frame[2] if frame[0] == 2 else 'Result'} \n{json.dumps(frame, indent=2)}\n\n"
    )


def octt(frame: list, side: str) -> str:
    return f"[2026-03-01T12:00:00:000] [msg-{side}]  {json.dumps(frame)}\n"


SHAPES = {
    "native": (native, "native", True),
    "recorder": (recorder, "recorder", True),
    "home_assistant": (home_assistant, "logger_lines", True),
    "mobilityhouse": (mobilityhouse, "logger_lines", True),
    "mobilityhouse_of_a_charger": (mobilityhouse_of_a_charger, "logger_lines", True),
    "rpc_line": (rpc_line, "rpc_lines", False),
    "rpc_line_unix": (rpc_line_unix, "rpc_lines", False),
    "everest": (everest, "everest", False),
    "octt": (octt, "octt", False),
}


@pytest.mark.parametrize("shape", SHAPES)
def test_every_shape_gives_the_same_facts(shape: str, tmp_path: Path, decode_log, lake_rows):
    write, log_format, names_station = SHAPES[shape]
    log = tmp_path / "box.log"
    log.write_text("".join(write(frame, side) for frame, side in CONVERSATION))

    counts = decode_log(log)

    assert (counts.read, counts.loaded, counts.duplicate, counts.quarantined) == (6, 6, 0, 0)
    frames = lake_rows("ocpp/frame", order_by="line_number")
    assert {row["log_format"] for row in frames} == {log_format}
    assert {row["station_id"] for row in frames} == {"CP-1" if names_station else "box"}
    assert [row["message_type"] for row in frames] == [2, 3, 2, 2, 3, 2]
    assert [row["direction"] for row in frames] == [
        "from_station", "to_station", "from_station", "from_station", "to_station", "from_station",
    ]  # fmt: skip
    assert {row["received_at"] for row in frames} == {AT}
    assert {row["protocol"] for row in frames} == {"ocpp1.6"}
    assert frames[1]["result_interval_s"] == 300
    assert frames[4]["result_transaction_id"] == "7"

    (status,) = lake_rows("ocpp/status_event")
    assert (status["connector_id"], status["status"], status["event_at"]) == (1, "Available", AT)
    (start,) = lake_rows("ocpp/transaction_event")
    assert (start["event_type"], start["meter_wh"], start["transaction_id"]) == ("Started", 100, None)
    assert start["id_token_hash"] == pseudonym(TEST_KEY, "TAG-1")
    energy, power = lake_rows("ocpp/meter_sample", order_by="sample_number")
    assert (energy["measurand"], energy["unit"], float(energy["value"])) == (
        "Energy.Active.Import.Register",
        "Wh",
        150.0,
    )
    assert (power["measurand"], power["unit"], float(power["value"])) == ("Power.Active.Import", "W", 7400.0)
    (boot,) = lake_rows("ocpp/boot")
    assert (boot["vendor"], boot["model"], boot["firmware_version"]) == ("V", "M", "1")


def test_ocpp_2_events_are_typed(tmp_path: Path, decode_log, lake_rows):
    frames = [
        ([2, "1", "BootNotification", {"reason": "PowerUp", "chargingStation": {"vendorName": "V", "model": "M"}}], "in"),
        ([2, "2", "StatusNotification", {"evseId": 1, "connectorId": 2, "connectorStatus": "Occupied", "timestamp": "2026-03-01T12:00:01Z"}], "in"),
        ([2, "3", "NotifyEvent", {"generatedAt": "2026-03-01T12:00:02Z", "seqNo": 0, "eventData": [
            {"eventId": 1, "timestamp": "2026-03-01T12:00:02Z", "trigger": "Delta", "actualValue": "Faulted", "techCode": "E7",
             "component": {"name": "EVSE", "evse": {"id": 2}}, "variable": {"name": "AvailabilityState"}},
            {"eventId": 2, "timestamp": "2026-03-01T12:00:02Z", "trigger": "Delta", "actualValue": "true",
             "component": {"name": "EVSE", "evse": {"id": 2}}, "variable": {"name": "Problem"}},
            {"eventId": 3, "timestamp": "2026-03-01T12:00:02Z", "trigger": "Delta", "actualValue": "Unavailable",
             "component": {"name": "ChargingStation"}, "variable": {"name": "AvailabilityState"}}]}], "in"),
        ([2, "4", "TransactionEvent", {"eventType": "Started", "timestamp": "2026-03-01T12:00:03Z", "triggerReason": "CablePluggedIn",
            "seqNo": 0, "offline": True, "transactionInfo": {"transactionId": "tx", "chargingState": "EVConnected"},
            "evse": {"id": 1}, "idToken": {"idToken": "tag-1", "type": "ISO14443"},
            "meterValue": [{"timestamp": "2026-03-01T12:00:03Z", "sampledValue": [
                {"value": 1.5, "unitOfMeasure": {"unit": "kWh", "multiplier": 0}}, {"value": 12, "unitOfMeasure": {"unit": "Wh", "multiplier": 2}}]}]}], "in"),
    ]  # fmt: skip
    log = tmp_path / "two.jsonl"
    log.write_text("".join(native(frame, side, AT + timedelta(seconds=n)) for n, (frame, side) in enumerate(frames)))
    assert decode_log(log).loaded == 4

    statuses = lake_rows("ocpp/status_event", order_by="received_at, evse_id desc")
    assert [(row["evse_id"], row["connector_id"], row["status"], row["reported_by"]) for row in statuses] == [
        (1, 2, "Occupied", "StatusNotification"),
        (2, None, "Faulted", "NotifyEvent"),
        (0, None, "Unavailable", "NotifyEvent"),
    ]
    assert statuses[1]["error_code"] == "E7"
    (event,) = lake_rows("ocpp/transaction_event")
    assert (event["transaction_id"], event["evse_id"], event["connector_id"], event["seq_no"], event["is_offline"]) == (
        "tx",
        1,
        None,
        0,
        True,
    )
    assert event["id_token_hash"] == pseudonym(TEST_KEY, "TAG-1"), "tokens are compared without regard to case"
    assert [float(row["value"]) for row in lake_rows("ocpp/meter_sample", order_by="sample_number")] == [1500.0, 1200.0]
    assert {row["protocol"] for row in lake_rows("ocpp/frame")} == {"ocpp2.0.1"}


def test_types_5_and_6_are_frames_of_2_1(tmp_path: Path, decode_log, lake_rows):
    log = tmp_path / "x.jsonl"
    log.write_text(
        native([6, "1", "NotifyPeriodicEventStream", {"id": 1}], "in")
        + native([5, "2", "GenericError", "text", {}], "in")
        + native([4, "3", "NotImplemented", "no", {}], "out")
    )
    assert decode_log(log).loaded == 3
    rows = lake_rows("ocpp/frame", order_by="line_number")
    assert [(row["message_type"], row["action"], row["error_code"]) for row in rows] == [
        (6, "NotifyPeriodicEventStream", None), (5, None, "GenericError"), (4, None, "NotImplemented"),
    ]  # fmt: skip
    assert {row["protocol"] for row in rows} == {"ocpp2.1"}


def test_local_times_use_the_offset_that_answers_tell(tmp_path: Path, decode_log, lake_rows):
    log = tmp_path / "ha.log"
    log.write_text(home_assistant(BOOT, "in") + home_assistant(BOOT_RESULT, "out"))
    decode_log(log, default_time_zone="America/Chicago")
    assert {(row["received_at"], row["received_at_quality"]) for row in lake_rows("ocpp/frame")} == {
        (AT, "inferred_zone")
    }


def test_local_times_fall_back_to_the_default_zone_and_say_so(tmp_path: Path, decode_log, lake_rows):
    log = tmp_path / "ha.log"
    log.write_text(home_assistant([2, "1", "Heartbeat", {}], "in"))
    decode_log(log, default_time_zone="America/Chicago")
    (row,) = lake_rows("ocpp/frame")
    assert (row["received_at"], row["received_at_quality"]) == (datetime(2026, 3, 1, 19, 0, tzinfo=UTC), "assumed_zone")


def test_lines_without_a_time_carry_the_last_one_known(tmp_path: Path, decode_log, lake_rows):
    log = tmp_path / "bare.log"
    log.write_text(
        "\n".join(
            json.dumps(frame) for frame in ([2, "h", "Heartbeat", {}], BOOT, BOOT_RESULT, [2, "h", "Heartbeat", {}])
        )
    )
    counts = decode_log(log)
    assert (counts.loaded, counts.duplicate) == (4, 0), "two equal lines without a time are two heartbeats"
    rows = lake_rows("ocpp/frame", order_by="line_number")
    assert [row["received_at_quality"] for row in rows] == ["missing", "missing", "carried", "carried"]
    assert [row["received_at"] for row in rows] == [None, None, AT, AT]


def test_other_loggers_lines_are_no_records(tmp_path: Path, decode_log):
    log = tmp_path / "ha.log"
    log.write_text(
        "2026-03-01 13:00:00.000 DEBUG (MainThread) [custom_components.ocpp] Charger CP-1 connected\n\n"
        + home_assistant(BOOT, "in")
    )
    counts = decode_log(log)
    assert (counts.read, counts.loaded, counts.quarantined) == (1, 1, 0)


@pytest.mark.parametrize("shape", ["native", "recorder", "home_assistant", "rpc_line"])
def test_damaged_lines_are_quarantined_with_line_and_reason_and_the_rest_is_loaded(
    shape: str, tmp_path: Path, decode_log, lake_rows
):
    write, _, _ = SHAPES[shape]
    rng = random.Random(7)
    good = [write([2, f"id{n}", "StatusNotification", STATUS[3] | {"connectorId": n}], "in") for n in range(1000)]
    damaged = dict.fromkeys(rng.sample(range(1000), 10))
    for number in damaged:
        line = good[number].rstrip("\n")
        cut = rng.randrange(len(line) // 2, len(line) - 3)
        damaged[number] = line[:cut] + "\n"
    lines = [damaged.get(number, line) for number, line in enumerate(good)]
    log = tmp_path / "damaged.log"
    log.write_text("".join(lines))

    counts = decode_log(log)

    assert (counts.read, counts.loaded, counts.duplicate, counts.quarantined) == (1000, 990, 0, 10)
    rows = lake_rows("quarantine/record", order_by="line_number")
    assert [row["line_number"] for row in rows] == sorted(number + 1 for number in damaged)
    assert all(row["reason"] and row["expected"] and row["path"] == "ocpp/damaged.log" for row in rows)
    assert {row["connector_id"] for row in lake_rows("ocpp/status_event")} == set(range(1000)) - set(damaged)


REJECTED = {
    '{"a": 1}': "not_a_frame",
    '[9,"1","Heartbeat",{}]': "bad_message_type",
    '[2,null,"Heartbeat",{}]': "missing_message_id",
    '[2,"1",null,{}]': "missing_action",
    '[2,"1","Heartbeat"]': "missing_payload",
    '[3,"1","text"]': "missing_payload",
    '[2,"1","Heartbeat",{': "bad_json",
    '"text"': "not_a_frame",
}


@pytest.mark.parametrize("frame", REJECTED)
def test_what_is_no_frame_says_why(frame: str, tmp_path: Path, decode_log, lake_rows):
    record = json.loads(native(BOOT, "in")) | {"raw_frame": frame}
    log = tmp_path / "x.jsonl"
    log.write_text(native(BOOT, "in") + json.dumps(record) + "\n")
    counts = decode_log(log)
    assert (counts.loaded, counts.quarantined) == (1, 1)
    (row,) = lake_rows("quarantine/record")
    assert (row["line_number"], row["reason"]) == (2, REJECTED[frame])


def test_bytes_that_are_no_text_are_quarantined(tmp_path: Path, decode_log, lake_rows):
    log = tmp_path / "x.jsonl"
    log.write_bytes(native(BOOT, "in").encode() + native(STATUS, "in").encode().replace(b"CP-1", b"CP-\xff"))
    assert decode_log(log).quarantined == 1
    assert lake_rows("quarantine/record")[0]["reason"] == "bad_text"


def test_numeric_message_ids_are_read(tmp_path: Path, decode_log, lake_rows):
    log = tmp_path / "x.jsonl"
    log.write_text(native([2, 123, "Heartbeat", {}], "in"))
    assert decode_log(log).loaded == 1
    assert lake_rows("ocpp/frame")[0]["message_id"] == "123"


def test_an_unknown_text_is_one_quarantined_record(tmp_path: Path, decode_log, lake_rows):
    log = tmp_path / "novel.txt"
    log.write_text("It was a dark and stormy night.\n" * 50)
    counts = decode_log(log)
    assert (counts.read, counts.quarantined) == (1, 1)
    assert lake_rows("quarantine/record")[0]["reason"] == "unknown_format"


def test_an_archive_cut_in_half_loads_what_is_whole(tmp_path: Path, decode_log, lake_rows):
    text = "".join(native([2, f"i{n}", "Heartbeat", {"n": random.Random(n).random()}], "in") for n in range(2000))
    packed = gzip.compress(text.encode())
    log = tmp_path / "x.jsonl.gz"
    log.write_bytes(packed[: len(packed) // 2])
    counts = decode_log(log)
    assert counts.loaded > 500
    assert counts.read == counts.loaded + counts.quarantined
    assert "truncated_archive" in {row["reason"] for row in lake_rows("quarantine/record")}


def test_the_same_line_twice_is_one_record_and_one_duplicate(tmp_path: Path, decode_log):
    log = tmp_path / "x.jsonl"
    log.write_text(native(STATUS, "in") * 2)
    counts = decode_log(log)
    assert (counts.read, counts.loaded, counts.duplicate) == (2, 1, 1)


def test_no_driver_token_is_left_in_the_lake(tmp_path: Path, decode_log, home: Home):
    secret = "DEADBEEF0123"
    frames = [
        [2, "1", "Authorize", {"idTag": secret}],
        [2, "2", "Authorize", {"idToken": {"idToken": secret, "type": "ISO14443", "additionalInfo": [{"additionalIdToken": secret, "type": "x"}]}}],
        [3, "3", {"idTagInfo": {"status": "Accepted", "parentIdTag": secret}}],
        [2, "4", "SendLocalList", {"localAuthorizationList": [{"idTag": secret}, {"idTag": secret + "A"}]}],
        [2, "5", "DataTransfer", {"vendorId": "v", "data": json.dumps({"idTag": secret, "mail": "driver.one@example.org"})}],
        [2, "6", "StatusNotification", STATUS[3] | {"info": "call driver.one@example.org"}],
    ]  # fmt: skip
    lines = [native(frame, "in", AT + timedelta(seconds=n)) for n, frame in enumerate(frames)]
    lines += [lines[0][:-40] + "\n", native(frames[0], "in").replace(f'\\"{secret}\\"', f'\\"{secret}')]
    log = tmp_path / "x.jsonl"
    log.write_text("".join(lines))
    counts = decode_log(log)
    assert counts.read == len(lines)
    for path in home.lake.rglob("*.parquet"):
        text = str(duckdb.sql(f"select * from read_parquet('{path}')").fetchall())
        assert secret not in text, path
        assert "driver.one" not in text, path


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(pieces=st.lists(st.binary(max_size=80), max_size=20))
def test_no_bytes_crash_the_decoder_and_none_are_lost(tmp_path_factory, decode_log, pieces: list[bytes]):
    folder = tmp_path_factory.mktemp("bytes")
    log = folder / "x.jsonl"
    log.write_bytes(native(BOOT, "in").encode() + b"\n".join(pieces))
    counts = decode_log(log)
    assert counts.read == counts.loaded + counts.duplicate + counts.quarantined
    assert counts.loaded >= 1


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("csms-2026-01-01.jsonl.gz", "csms"),
        ("cpo-a/csms-2026-01-02T00.log", "cpo-a/csms"),
        ("steve.log", "steve"),
        ("2026-01-01.jsonl", "log"),
        ("north/2026-01-01.jsonl", "north"),
    ],
)
def test_rotated_files_of_one_writer_share_a_source(path: str, source: str):
    assert log_source_of(path) == source


def test_no_format_is_seen_in_prose():
    assert recognise(["It was a dark and stormy night."]) is None


def test_the_real_logs_decode_whole(real_data: Path, decode_log, lake_rows):
    for path in sorted((real_data / "ocpp").iterdir()):
        counts = decode_log(path)
        assert counts.quarantined == 0, path.name
    frames = lake_rows("ocpp/frame")
    assert len(frames) == 7810 + 24 + 126 + 218
    assert len(lake_rows("ocpp/connection_event")) == 32
    assert {row["direction"] for row in frames} == {"from_station", "to_station"}
    assert None not in {row["protocol"] for row in frames}
    started = [row for row in lake_rows("ocpp/transaction_event") if row["event_type"] == "Started"]
    simulated = [row for row in started if str(row["station_id"]).startswith("SIM-")]
    assert sum(row["protocol"] == "ocpp1.6" for row in simulated) == 42
    assert sum(row["protocol"] == "ocpp2.0.1" for row in simulated) == 12
    goe = [row for row in frames if row["log_source"] == "ha_goe_v"]
    assert {row["received_at_quality"] for row in goe} == {"inferred_zone"}
    assert min(row["received_at"] for row in goe) == datetime(2025, 12, 23, 12, 9, 59, 759000, tzinfo=UTC)


@pytest.mark.parametrize("year", [1970, 2099])
def test_a_line_from_another_age_is_quarantined(year: int, tmp_path: Path, decode_log, lake_rows):
    """One such line would stretch the history of every port by decades."""
    log = tmp_path / "x.jsonl"
    log.write_text(native(BOOT, "in") + native(STATUS, "in", AT.replace(year=year)))
    assert decode_log(log).quarantined == 1
    assert lake_rows("quarantine/record")[0]["reason"] == "implausible_time"


def test_units_are_read_in_any_spelling(tmp_path: Path, decode_log, lake_rows):
    samples = [
        {"value": "1.5", "unit": "KWH"},
        {"value": "1500", "unit": "wh"},
        {"value": "2", "unit": "kw", "measurand": "Power.Active.Import"},
    ]
    frame = [
        2,
        "1",
        "MeterValues",
        {"connectorId": 1, "meterValue": [{"timestamp": "2026-03-01T12:00:00Z", "sampledValue": samples}]},
    ]
    log = tmp_path / "x.jsonl"
    log.write_text(native(frame, "in"))
    decode_log(log)
    rows = lake_rows("ocpp/meter_sample", order_by="sample_number")
    assert [(row["unit"], float(row["value"])) for row in rows] == [("Wh", 1500.0), ("Wh", 1500.0), ("W", 2000.0)]
