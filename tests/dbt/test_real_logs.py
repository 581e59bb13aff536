"""Recorded logs: sessions, states and attempts that were read from their lines by hand.

Each figure names the lines it was read from, in the record's own numbering.
"""

from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tests.dbt.test_sessions import build
from tests.homes import decoded

Rows = list[dict[str, Any]]
SIMULATOR = "sap_simulator_24h_ocpp16_ocpp201.jsonl.gz"
CHARGER = "ha_2026-02-16.log"


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.fixture(scope="module")
def query(real_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Rows]:
    folder = tmp_path_factory.mktemp("real")
    logs = [real_data / "ocpp" / name for name in (SIMULATOR, CHARGER)]
    # The charger's logger wrote the time of Berlin.
    home = decoded(folder / "home", logs, default_time_zone="Europe/Berlin")
    return build(home.root, folder, "+fct_visit", "+fct_port_state", "+fct_station_day", "+dim_station_clock")


@pytest.fixture(scope="module")
def sessions(query: Callable[[str], Rows]) -> dict[str, dict[str, Any]]:
    return {row["transaction_id"]: row for row in query("select * from marts.fct_session")}


def test_a_start_delivered_ten_hours_late_starts_when_it_happened(sessions: dict, query: Callable[[str], Rows]):
    # 4545: StartTransaction of connector 2 with 06:59:04.389, received 17:02:35.833; 4546: answered 1026;
    # 5493: StopTransaction 1026 at 18:44:07.400 with meterStop 34921. Line 4535 is a boot in between.
    session = sessions["1026"]
    assert (session["station_id"], session["connector_id"]) == ("SIM-ABB-00001", 2)
    assert session["started_at"] == at("2026-11-02 06:59:04.389")
    assert session["started_at_quality"] == "late"
    assert (session["ended_at"], session["end_source"]) == (at("2026-11-02 18:44:07.400"), "stop_after_boot")
    assert (session["energy_kwh"], session["energy_method"]) == (Decimal("34.921"), "register")
    received = query(
        f"select received_at from staging.stg_ocpp__transaction_events where frame_id = '{session['start_frame_id']}'"
    )
    assert int((received[0]["received_at"] - session["started_at"]).total_seconds()) == 36_211


def test_transactions_without_a_stop_end_by_what_comes_after_them_or_stay_open(sessions: dict):
    # 4803: a second start on connector 2 at 17:37:30.408 while 1026 goes on charging; no sample ever names 1028.
    # 5495: the connector is Available, received 18:46:11; 6318: the next start there.
    lost = sessions["1028"]
    assert lost["started_at"] == at("2026-11-02 17:37:30.408")
    assert (lost["ended_at"], lost["end_source"]) == (at("2026-11-02 18:46:11"), "next_start")
    assert (lost["energy_kwh"], lost["energy_method"], lost["stop_reason"]) == (None, "none", None)
    assert (lost["is_complete"], lost["is_open"]) == (False, False)
    # 5661: start at 19:11:33.094 with meterStart 0; 7839: its last sample at 04:56:35.742, 51343.06 Wh; the log ends with it.
    running = sessions["1031"]
    assert running["started_at"] == at("2026-11-02 19:11:33.094")
    assert (running["ended_at"], running["end_source"], running["is_open"]) == (None, "open", True)
    assert running["last_seen_at"] == at("2026-11-03 04:56:35.742")
    assert (running["energy_kwh"], running["energy_method"]) == (Decimal("51.34306"), "start_to_last_sample")


def test_a_stop_told_twice_ends_the_session_once_and_the_first_one_counts(sessions: dict, query: Callable[[str], Rows]):
    # 3341: StopTransaction 1016 at 11:59:07.914, SoftReset; 3343: again at 11:59:07.919, Local; both with meterStop 3917.
    session = sessions["1016"]
    assert (session["started_at"], session["ended_at"]) == (
        at("2026-11-02 11:00:21.949"),
        at("2026-11-02 11:59:07.914"),
    )
    assert (session["stop_reason"], session["energy_kwh"]) == ("SoftReset", Decimal("3.917"))
    assert query("select count(*) as n from marts.fct_session where transaction_id = '1016'")[0]["n"] == 1


def test_an_ended_told_as_offline_ends_when_it_happened(sessions: dict, query: Callable[[str], Rows]):
    # 1745: Started at 08:03:27.022; 1923: the link is cut; 2414: connected again at 09:19:18.703;
    # 2415: Ended with seqNo 52 and offline true, at 08:29:05.793.
    session = sessions["508b9afd-9d86-4f4a-bec5-749749dce8b3"]
    assert (session["started_at"], session["ended_at"]) == (
        at("2026-11-02 08:03:27.022"),
        at("2026-11-02 08:29:05.793"),
    )
    assert (session["end_source"], session["ended_at_quality"]) == ("ended", "late")
    assert (session["has_offline_events"], session["missing_event_count"]) == (True, 0)
    # 1921 is the last frame before the cut.
    offline = query(
        "select * from marts.fct_port_state where port_id = 'SIM-KEBA201-00001/1' and state = 'offline' "
        "and started_at < timestamptz '2026-11-02 09:00:00+00'"
    )
    assert [(r["started_at"], r["ended_at"]) for r in offline] == [
        (at("2026-11-02 08:31:00"), at("2026-11-02 09:19:18"))
    ]


def test_every_recorded_transaction_is_one_session(query: Callable[[str], Rows]):
    # StartTransactions, and transaction ids of 2.0.1, counted in the record.
    told = query("select protocol, count(*) as n from marts.fct_session where station_id like 'SIM-%' group by 1")
    assert {r["protocol"]: r["n"] for r in told} == {"ocpp1.6": 42, "ocpp2.0.1": 12}


def test_a_day_of_connections_is_told_as_it_was(query: Callable[[str], Rows]):
    # SIM-KEBA16-00001: connected 05:23:52, 12:01:42 (31 s after a disconnect), 21:31:35, 23:11:18; cut 12:01:11, 20:01:05,
    # 23:01:05. 6057: the last frame before the cut at 20:01:05 came at 19:58:35; 6927: connected again at 21:31:35.
    day = query(
        "select * from marts.fct_station_day where station_id = 'SIM-KEBA16-00001' and local_date = date '2026-11-02'"
    )[0]
    assert (day["connect_count"], day["disconnect_count"], day["flap_count"]) == (4, 3, 1)
    assert (day["granted_interval_s"], day["longest_silence_s"]) == (300, 5580)
    assert (day["is_connectivity_measurable"], day["unknown_s"]) == (True, 0)


def test_the_clock_of_the_recorded_stations_lags_by_two_minutes_and_is_left_alone(query: Callable[[str], Rows]):
    rows = query("select * from marts.dim_station_clock where station_id like 'SIM-%' and action = 'MeterValues'")
    assert {r["typical_delay_s"] for r in rows} == {122}
    assert {r["clock_offset_s"] for r in rows} == {None}


def test_a_real_charger_gives_its_two_sessions_and_its_states(query: Callable[[str], Rows]):
    # 85: start at 17:13:48 with 3051113 Wh; 87: stopped at 17:13:49, reason Other. 93: start at 17:14:08;
    # 119: stop at 17:15:48 with 3051361 Wh, received after the Available of 115.
    told = query("select * from marts.fct_session where station_id = '129.168.1.4:9000' order by started_at")
    assert [(r["started_at"], r["ended_at"], r["stop_reason"], r["energy_kwh"]) for r in told] == [
        (at("2026-02-16 17:13:48"), at("2026-02-16 17:13:49"), "Other", Decimal(0)),
        (at("2026-02-16 17:14:08"), at("2026-02-16 17:15:48"), "Local", Decimal("0.248")),
    ]
    # 1, 95, 113, 115: Preparing, Charging at 17:14:18, Preparing at 17:15:49, Available at 17:15:57.
    states = query("select * from marts.fct_port_state where station_id = '129.168.1.4:9000' order by started_at")
    assert [(r["state"], r["started_at"]) for r in states] == [
        ("occupied", at("2026-02-16 17:06:45")),
        ("charging", at("2026-02-16 17:14:18")),
        ("occupied", at("2026-02-16 17:15:49")),
        ("available", at("2026-02-16 17:15:57")),
    ]


def test_two_remote_starts_of_a_real_driver_are_one_visit(query: Callable[[str], Rows]):
    # 83 and 91: RemoteStartTransaction, twice. The first charge stops after a second with nothing.
    attempts = query("select * from marts.fct_charge_attempt where station_id = '129.168.1.4:9000' order by started_at")
    assert [(a["start_mode"], a["is_success"], a["failure_reason"]) for a in attempts] == [
        ("remote", False, "no_power"),
        ("remote", True, None),
    ]
    visits = query("select * from marts.fct_visit where first_port_id = '129.168.1.4:9000/1'")
    assert [(v["attempt_count"], v["is_success"], v["is_first_time_success"]) for v in visits] == [(2, True, False)]
