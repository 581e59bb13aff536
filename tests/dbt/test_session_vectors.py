"""What real stations do wrong, each in a few messages: messages in, sessions out, through decoder and models.

A vector is a station: its messages in the words of ``tests/log_words.py``, and the sessions that must come out of them, by
their start. Only what is named is compared.
"""

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

from tests.dbt.test_sessions import build
from tests.homes import decoded
from tests.log_words import Log, instant

# name: (what it shows, messages, sessions)
VECTORS: dict[str, tuple[str, str, list[dict[str, Any]]]] = {
    "plain": (
        "nothing wrong: the id is in the answer to the start, samples name it",
        """
        10:00:00 start connector=1 token=T meter=1000 -> 7
        10:10:00 meter connector=1 tx=7 wh=2000 w=7000 soc=40
        10:29:00 meter connector=1 tx=7 wh=3900 w=6000 soc=52
        10:30:00 stop tx=7 meter=4000 reason=Local
        """,
        [{"start": "10:00", "end": "10:30", "end_source": "stop", "transaction_id": "7", "kwh": "3", "is_complete": True,
          "energy_method": "register", "peak_power_kw": Decimal(7), "start_soc_percent": 40, "end_soc_percent": 52}],
    ),
    "clock_of_1970": (
        "a start at 1970 after a boot (MicroOcpp 311): its second counts from the boot that the log shows",
        """
        10:00:40 boot -> 300
        10:00:50 @1970-01-01T00:00:30+00:00 start connector=1 meter=0 -> 7
        10:30:00 stop tx=7 meter=4000
        """,
        [{"start": "10:00:50", "end": "10:30", "started_at_quality": "boot_corrected"}],
    ),
    "clock_of_1970_unknown": (
        "without a boot nothing tells what 1970 means: the arrival counts",
        """
        10:00:50 @1970-01-01T00:00:30+00:00 start connector=1 meter=0 -> 7
        10:30:00 stop tx=7 meter=4000
        """,
        [{"start": "10:00:50", "started_at_quality": "received_used"}],
    ),
    "clock_of_1970_queued": (
        "a start that waited 100 s after the boot for its connection: the message that waited least tells the clock",
        """
        10:02:10 boot -> 300
        10:02:12 @1970-01-01T00:00:30+00:00 start connector=1 meter=0 -> 7
        10:02:20 @1970-01-01T00:02:20+00:00 meter connector=1 tx=7 wh=100
        10:30:00 stop tx=7 meter=4000
        """,
        [{"start": "10:00:30", "end": "10:30", "started_at_quality": "boot_corrected"}],
    ),
    "local_time_ahead": (
        "local time of +01:00 called Z (Mennekes, steve 136) in every message",
        """
        10:00:01 @11:00:00 status connector=1 is=Preparing
        10:00:11 @11:00:10 start connector=1 meter=0 -> 7
        10:00:13 @11:00:12 status connector=1 is=Charging
        10:30:01 @11:30:00 stop tx=7 meter=4000
        """,
        [{"start": "10:00:10", "end": "10:30:00", "started_at_quality": "offset_corrected",
          "ended_at_quality": "offset_corrected", "power": "10:00:12"}],
    ),
    "local_time_behind": (
        "local time of -05:00 called Z looks like a queue, but nothing of the station is live and the delay is the same for hours",
        """
        10:00:01 @05:00:00 status connector=1 is=Preparing
        10:00:11 @05:00:10 start connector=1 meter=0 -> 7
        10:10:01 @05:10:00 meter connector=1 tx=7 wh=1000
        10:20:01 @05:20:00 meter connector=1 tx=7 wh=2000
        10:30:01 @05:30:00 stop tx=7 meter=4000
        """,
        [{"start": "10:00:10", "end": "10:30:00", "started_at_quality": "offset_corrected"}],
    ),
    "local_time_only_in_stops": (
        "one action by itself tells local time: the others stay as they are",
        """
        10:00:10 start connector=1 meter=0 -> 7
        10:30:01 @12:30:00 stop tx=7 meter=4000
        11:00:10 start connector=1 meter=4000 -> 8
        11:30:01 @13:30:00 stop tx=8 meter=8000
        """,
        [{"start": "10:00:10", "end": "10:30:00", "started_at_quality": "as_sent", "ended_at_quality": "offset_corrected"},
         {"start": "11:00:10", "end": "11:30:00", "ended_at_quality": "offset_corrected"}],
    ),
    "offline_queue": (
        "a session of the night, delivered in the morning in one burst: late, not a wrong clock",
        """
        02:00:00 status connector=1 is=Available
        08:00:00 @02:30:00 start connector=1 meter=0 -> 7
        08:00:01 @02:40:00 meter connector=1 tx=7 wh=1000
        08:00:02 @02:50:00 meter connector=1 tx=7 wh=2000
        08:00:03 @03:00:00 stop tx=7 meter=3000
        08:00:04 status connector=1 is=Available
        """,
        [{"start": "02:30:00", "end": "03:00:00", "started_at_quality": "late", "ended_at_quality": "late", "kwh": "3"}],
    ),
    "no_time_sent": (
        "a start without any time: the arrival counts",
        """
        10:00:00 @- start connector=1 meter=0 -> 7
        10:30:00 stop tx=7 meter=4000
        """,
        [{"start": "10:00:00", "started_at_quality": "received_used"}],
    ),
    "abb_repeats_the_start": (
        "after a lost network a new start with the original time, meterStart 0 and no stop (ABB Terra, mobilityhouse 186)",
        """
        10:00:00 start connector=1 token=T meter=0 -> 7
        10:05:00 meter connector=1 tx=7 wh=500
        10:20:00 @10:00:00 start connector=1 token=T meter=0 -> 8
        10:25:00 meter connector=1 tx=8 wh=2500
        10:30:00 stop tx=8 meter=3000
        """,
        [{"start": "10:00", "end": "10:30", "transaction_id": "8", "kwh": "3"}],
    ),
    "two_starts_second_concurrent": (
        "the same start twice, the second answered ConcurrentTx (MicroOcpp 237)",
        """
        10:00:00 start connector=1 token=T meter=100 -> 7
        10:00:02 @10:00:00 start connector=1 token=T meter=100 -> 8/ConcurrentTx
        10:30:00 stop tx=7 meter=4100
        """,
        [{"start": "10:00", "end": "10:30", "transaction_id": "7", "start_status": "Accepted", "kwh": "4"}],
    ),
    "stop_repeated_for_ever": (
        "the same stop every 10 s (METRON, OCPP.Core 31)",
        """
        10:00:00 start connector=1 meter=100 -> 7
        10:30:00 stop tx=7 meter=4100
        10:30:10 @10:30:00 stop tx=7 meter=4100
        10:30:20 @10:30:00 stop tx=7 meter=4100
        """,
        [{"start": "10:00", "end": "10:30", "kwh": "4"}],
    ),
    "lifetime_start_session_samples": (
        "start and stop of the lifetime register, samples of the session alone (Grizzl-E, HA 2093): never -4076 kWh",
        """
        10:00:00 start connector=1 meter=4080000 -> 7
        10:10:00 meter connector=1 tx=7 wh=1000
        10:29:00 meter connector=1 tx=7 wh=3400
        10:30:00 stop tx=7 meter=4083500
        11:00:00 start connector=1 meter=4083500 -> 8
        11:01:00 meter connector=1 tx=8 wh=100
        11:29:00 meter connector=1 tx=8 wh=3400
        """,
        [{"start": "10:00", "kwh": "3.5", "energy_method": "register"},
         {"start": "11:00", "kwh": "3.4", "energy_method": "session_register", "end_source": "open"}],
    ),
    "lifetime_stop_after_start_of_0": (
        "meterStart is always 0, the stop tells the lifetime register (Alfen, evcc 29374)",
        """
        10:00:00 start connector=1 meter=0 -> 7
        10:00:30 meter connector=1 tx=7 wh=295000
        10:29:30 meter connector=1 tx=7 wh=299900
        10:30:00 stop tx=7 meter=300000
        """,
        [{"start": "10:00", "kwh": "4.9", "energy_method": "samples"}],
    ),
    "samples_after_the_stop": (
        "samples without an id after the stop, a little higher (Wallbox Copper, HA 1069): of no session",
        """
        10:00:00 start connector=1 meter=1000 -> 7
        10:30:00 stop tx=7 meter=4000
        10:40:00 meter connector=1 wh=4010
        11:00:00 start connector=1 meter=4010 -> 8
        11:30:00 stop tx=8 meter=6010
        """,
        [{"start": "10:00", "kwh": "3"}, {"start": "11:00", "kwh": "2", "energy_method": "register"}],
    ),
    "samples_without_an_id": (
        "no sample names its transaction: those between start and stop count, those of the main meter do not (CHARX)",
        """
        10:00:00 start connector=1 meter=1000 -> 7
        10:10:00 meter connector=1 w=7000
        10:11:00 meter connector=0 w=90000
        10:30:00 stop tx=7 meter=4000
        10:31:00 meter connector=1 w=9000
        """,
        [{"start": "10:00", "peak_power_kw": Decimal(7), "kwh": "3"}],
    ),
    "wh_and_kwh": (
        "meterStart in Wh, samples of the same register in kWh (seen in a real log)",
        """
        10:00:00 start connector=1 meter=3051113 -> 7
        10:10:00 meter connector=1 tx=7 kwh=3051.20
        10:29:00 meter connector=1 tx=7 kwh=3051.36
        """,
        [{"start": "10:00", "kwh": "0.247", "energy_method": "start_to_last_sample"}],
    ),
    "phases": (
        "the register is told per phase: the phases are added",
        """
        10:00:00 start connector=1 meter=3000 -> 7
        10:10:00 meter connector=1 tx=7 wh.L1=1000 wh.L2=1500 wh.L3=1500 w.L1=2000 w.L2=2100 w.L3=2200
        """,
        [{"start": "10:00", "kwh": "1", "peak_power_kw": Decimal("6.3")}],
    ),
    "measurand_left_out": (
        "a sample without measurand and unit is the energy register in Wh",
        """
        10:00:00 start connector=1 meter=3000 -> 7
        10:10:00 meter connector=1 tx=7 default=4200
        """,
        [{"start": "10:00", "kwh": "1.2"}],
    ),
    "register_reset": (
        "the register begins again at a restart on the way (Java-OCA-OCPP 331): what it rises counts",
        """
        10:00:00 start connector=1 meter=9000 -> 7
        10:01:00 meter connector=1 tx=7 wh=9000
        10:10:00 meter connector=1 tx=7 wh=11000
        10:20:00 meter connector=1 tx=7 wh=0
        10:29:00 meter connector=1 tx=7 wh=1500
        10:30:00 stop tx=7 meter=1500
        """,
        [{"start": "10:00", "kwh": "3.5", "energy_method": "positive_deltas"}],
    ),
    "register_rolls_over": (
        "a register of six digits begins again at 0; the power told bounds what it can have been",
        """
        10:00:00 start connector=1 meter=998000 -> 7
        10:10:00 meter connector=1 tx=7 w=11000
        10:30:00 stop tx=7 meter=2000
        """,
        [{"start": "10:00", "kwh": "4", "energy_method": "rollover"}],
    ),
    "impossible_energy": (
        "30,000 kWh in half an hour and no sample: nothing is booked, and the row says so",
        """
        10:00:00 start connector=1 meter=0 -> 7
        10:30:00 stop tx=7 meter=30000000
        """,
        [{"start": "10:00", "kwh": None, "energy_method": "implausible", "is_power_implausible": True, "is_complete": False}],
    ),
    "watts_called_kilowatts": (
        "one sample of 7,400 kW: no connector gives that; the peak is what can be",
        """
        10:00:00 start connector=1 meter=0 -> 7
        10:10:00 meter connector=1 tx=7 w=7400000
        10:11:00 meter connector=1 tx=7 w=7400
        10:30:00 stop tx=7 meter=3000
        """,
        [{"start": "10:00", "kwh": "3", "peak_power_kw": Decimal("7.4"), "is_power_implausible": True}],
    ),
    "stop_lost_then_free": (
        "no stop, only Available (Zaptec Go 2, evcc 30247)",
        """
        10:00:00 status connector=1 is=Preparing
        10:00:05 start connector=1 meter=1000 -> 7
        10:00:06 status connector=1 is=Charging
        10:20:00 meter connector=1 tx=7 wh=3000
        10:31:00 status connector=1 is=Available
        """,
        [{"start": "10:00:05", "end": "10:31", "end_source": "status", "kwh": "2", "stop_reason": None, "is_complete": False,
          "energy_method": "start_to_last_sample"}],
    ),
    "stop_lost_then_next_start": (
        "no stop and no status: the next start on the connector says that it ended, its last message when",
        """
        10:00:00 start connector=1 meter=1000 -> 7
        10:20:00 meter connector=1 tx=7 wh=3000
        12:00:00 start connector=1 meter=3500 -> 8
        12:30:00 stop tx=8 meter=4500
        """,
        [{"start": "10:00", "end": "10:20", "end_source": "next_start", "kwh": "2"}, {"start": "12:00", "end": "12:30"}],
    ),
    "stop_id_0": (
        "the stop names transaction 0 though the start was answered 57 (Delta, ev-server)",
        """
        10:00:00 start connector=1 token=T meter=1000 -> 57
        10:30:00 stop tx=0 meter=4000 token=T
        """,
        [{"start": "10:00", "end": "10:30", "transaction_id": "57", "kwh": "3", "is_complete": True}],
    ),
    "stop_id_minus_1": (
        "a start made offline whose answer never came: its stop says -1 (libocpp 495)",
        """
        10:00:00 start connector=1 token=T meter=1000
        10:30:00 stop tx=-1 meter=4000 token=T
        """,
        [{"start": "10:00", "end": "10:30", "transaction_id": "-1", "kwh": "3", "is_complete": True}],
    ),
    "always_id_0": (
        "the CSMS gives out 0 for every transaction: each use is a session",
        """
        10:00:00 start connector=1 meter=1000 -> 0
        10:30:00 stop tx=0 meter=4000
        11:00:00 start connector=1 meter=4000 -> 0
        11:10:00 meter connector=1 tx=0 wh=4500
        11:30:00 stop tx=0 meter=6000
        """,
        [{"start": "10:00", "end": "10:30", "kwh": "3"}, {"start": "11:00", "end": "11:30", "kwh": "2"}],
    ),
    "ids_from_1_again": (
        "the CSMS was installed anew: id 5 is given out twice, on two connectors",
        """
        10:00:00 start connector=1 meter=1000 -> 5
        10:30:00 stop tx=5 meter=4000
        11:00:00 start connector=2 meter=500 -> 5
        11:30:00 stop tx=5 meter=1500
        """,
        [{"start": "10:00", "connector_id": 1, "kwh": "3"}, {"start": "11:00", "connector_id": 2, "kwh": "1"}],
    ),
    "no_answers_logged": (
        "one direction only: samples and stops find their start by connector, driver, time and register",
        """
        10:00:00 start connector=1 token=A meter=1000
        10:01:00 start connector=2 token=B meter=90000
        10:10:00 meter connector=1 tx=31 wh=2000
        10:30:00 stop tx=31 meter=4000 token=A
        10:40:00 stop tx=32 meter=95000 token=B
        """,
        [{"start": "10:00", "end": "10:30", "transaction_id": "31", "kwh": "3"},
         {"start": "10:01", "end": "10:40", "transaction_id": "32", "kwh": "5"}],
    ),
    "stop_in_doubt": (
        "two open starts without an answer and a stop that fits both: it is given to neither, and nothing is dropped",
        """
        10:00:00 start connector=1 meter=1000
        10:01:00 start connector=2 meter=1000
        10:30:00 stop tx=31 meter=4000
        """,
        [{"start": "10:00", "end_source": "open"}, {"start": "10:01", "end_source": "open"},
         {"start": "10:30", "end": "10:30", "end_source": "stop", "transaction_id": "31", "is_complete": False}],
    ),
    "resumed_after_boot": (
        "power loss, no stop, the same id goes on after the boot (OpenEVSE 787): one session",
        """
        10:00:00 boot -> 300
        10:00:05 start connector=1 meter=1000 -> 7
        10:10:00 meter connector=1 tx=7 wh=2000
        10:20:00 boot -> 300
        10:21:00 meter connector=1 tx=7 wh=2100
        10:30:00 stop tx=7 meter=3000
        """,
        [{"start": "10:00:05", "end": "10:30", "end_source": "stop_after_boot", "kwh": "2"}],
    ),
    "gone_after_boot": (
        "a boot, and in the six hours after it nothing more of the session: it ended with its last sample",
        """
        10:00:05 start connector=1 meter=1000 -> 7
        10:10:00 meter connector=1 tx=7 wh=2000
        10:20:00 boot -> 300
        16:20:01 heartbeat
        """,
        [{"start": "10:00:05", "end": "10:10", "end_source": "boot", "kwh": "1"}],
    ),
    "old_id_after_the_stop": (
        "samples go on under the id of a stopped transaction (EN+, evcc 14673): they belong to no session",
        """
        10:00:00 start connector=1 meter=1000 -> 7
        10:30:00 stop tx=7 meter=4000
        10:40:00 meter connector=1 tx=7 wh=4500 w=7000
        """,
        [{"start": "10:00", "end": "10:30", "kwh": "3", "peak_power_kw": None}],
    ),
    "stop_after_available": (
        "Available comes before the stop that it follows (seen in a real log), and Finishing twice (steve 391)",
        """
        10:00:00 start connector=1 meter=1000 -> 7
        10:00:04 status connector=1 is=Charging
        10:30:00 status connector=1 is=Finishing
        10:30:00 status connector=1 is=Finishing
        10:30:09 status connector=1 is=Available
        10:30:20 @10:30:00 stop tx=7 meter=4000
        """,
        [{"start": "10:00", "end": "10:30", "end_source": "stop", "charging_s": 1796, "idle_s": 4}],
    ),
    "suspended_before_the_start": (
        "SuspendedEV before the start, Charging only 4 s after it (Wallbox, HA 1877)",
        """
        09:59:58 status connector=1 is=SuspendedEV
        10:00:00 start connector=1 meter=1000 -> 7
        10:00:04 status connector=1 is=Charging
        10:20:00 status connector=1 is=SuspendedEVSE
        10:25:00 status connector=1 is=SuspendedEV
        10:30:00 stop tx=7 meter=4000
        """,
        [{"start": "10:00", "charging_s": 1196, "suspended_ev_s": 304, "suspended_evse_s": 300, "idle_s": 604,
          "power": "10:00:04"}],
    ),
    "faulted_but_charging": (
        "Faulted, and the charging goes on (MicroOcpp 203): no end",
        """
        10:00:00 start connector=1 meter=1000 -> 7
        10:00:04 status connector=1 is=Charging
        10:10:00 status connector=1 is=Faulted error=OtherError
        10:20:00 meter connector=1 tx=7 wh=3000
        10:30:00 stop tx=7 meter=4000
        """,
        [{"start": "10:00", "end": "10:30", "end_source": "stop", "kwh": "3"}],
    ),
    "deauthorised": (
        "refused by the CSMS and stopped by the station, a reason that is no power loss (OpenEVSE 787)",
        """
        10:00:00 start connector=1 meter=1000 -> 7/Invalid
        10:00:03 stop tx=7 meter=1000 reason=DeAuthorized
        """,
        [{"start": "10:00", "end": "10:00:03", "start_status": "Invalid", "stop_reason": "DeAuthorized", "kwh": "0"}],
    ),
    "log_begins_in_a_session": (
        "samples of a transaction whose start is before the log, and which lasts beyond its end",
        """
        10:10:00 meter connector=1 tx=7 wh=2000
        10:20:00 meter connector=1 tx=7 wh=3000
        """,
        [{"start": "10:10", "end": None, "end_source": "open", "kwh": "1", "energy_method": "samples", "is_complete": False}],
    ),
    "numbers_before_times": (
        "2.0.1: events come in any order; seqNo tells the right one, EVSE and token are told once",
        """
        10:20:00 @10:10:00 event is=Updated tx=a seq=1 state=Charging evse=1 offline=true
        10:20:01 @10:00:00 event is=Started tx=a seq=0 state=EVConnected token=T offline=true wh=100
        10:30:00 event is=Ended tx=a seq=3 reason=Local wh=3100
        10:20:02 @10:20:00 event is=Updated tx=a seq=2 state=SuspendedEV
        """,
        [{"start": "10:00", "end": "10:30", "end_source": "ended", "evse_id": 1, "kwh": "3", "charging_s": 600,
          "suspended_ev_s": 600, "has_offline_events": True, "missing_event_count": 0, "has_token": True}],
    ),
    "events_lost": (
        "2.0.1: numbers are missing, and they need not begin at 0",
        """
        10:00:00 event is=Started tx=a seq=40 evse=1 state=Charging wh=0
        10:10:00 event is=Updated tx=a seq=42 wh=1000
        10:30:00 event is=Ended tx=a seq=45 wh=3000
        """,
        [{"start": "10:00", "end": "10:30", "missing_event_count": 3, "kwh": "3"}],
    ),
    "station_counts_again": (
        "2.0.1: a station counts its transactions from 1 after a reset: two sessions",
        """
        10:00:00 event is=Started tx=1 seq=0 evse=1 state=Charging wh=0
        10:30:00 event is=Ended tx=1 seq=1 wh=3000
        12:00:00 event is=Started tx=1 seq=0 evse=1 state=Charging wh=3000
        12:10:00 event is=Updated tx=1 seq=1 wh=4000
        12:30:00 event is=Ended tx=1 seq=2 wh=5000
        """,
        [{"start": "10:00", "end": "10:30", "kwh": "3"}, {"start": "12:00", "end": "12:30", "kwh": "2"}],
    ),
    "ended_lost": (
        "2.0.1: the Ended is lost; the next Started on the EVSE tells that it is over",
        """
        10:00:00 event is=Started tx=a seq=0 evse=1 state=Charging wh=0
        10:10:00 event is=Updated tx=a seq=1 wh=1000
        12:00:00 event is=Started tx=b seq=0 evse=1 state=Charging wh=1500
        12:30:00 event is=Ended tx=b seq=1 wh=2500
        """,
        [{"start": "10:00", "end": "10:10", "end_source": "next_start"}, {"start": "12:00", "end": "12:30"}],
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def sessions(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[dict[str, Any]]]:
    """Sessions of all vectors, by station, in the order of their starts."""
    folder = tmp_path_factory.mktemp("vectors")
    log = Log()
    for name, (_, words, _) in VECTORS.items():
        log.add(name, words)
    home = decoded(folder / "home", [log.write(folder / "ocpp.jsonl")])
    query: Callable[[str], list[dict]] = build(home.root, folder, "+fct_session")
    found: dict[str, list[dict[str, Any]]] = {}
    for row in query("select * from marts.fct_session order by station_id, started_at, transaction_id"):
        found.setdefault(row["station_id"], []).append(row)
    return found


def _told(row: dict[str, Any], names: dict[str, Any]) -> dict[str, Any]:
    short = {
        "start": row["started_at"],
        "end": row["ended_at"],
        "kwh": row["energy_kwh"],
        "power": row["started_power_at"],
        "has_token": row["id_token_hash"] is not None,
    }
    return {name: short.get(name, row.get(name)) for name in names}


def _due(expected: dict[str, Any]) -> dict[str, Any]:
    times = ("start", "end", "power")
    due = {name: instant(value) if name in times and value else value for name, value in expected.items()}
    return due | ({"kwh": Decimal(due["kwh"])} if due.get("kwh") is not None else {})


@pytest.mark.parametrize("name", VECTORS)
def test_a_quirk_of_a_real_station_gives_the_sessions_it_means(name: str, sessions: dict[str, list[dict[str, Any]]]):
    why, _, expected = VECTORS[name]
    found = sessions.get(name, [])
    told = [_told(row, due) for row, due in zip(found, expected, strict=False)]
    assert len(found) == len(expected), (why, found)
    assert told == [_due(due) for due in expected], why
