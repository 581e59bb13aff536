"""Attempts, visits and the measures of charging success: from messages to figures, and ChargeX's worked example."""

import random
from collections import Counter
from collections.abc import Callable
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from tests.dbt.test_sessions import build
from tests.homes import decoded
from tests.lake_builder import LakeBuilder
from tests.log_words import DAY, Log, instant

Rows = list[dict[str, Any]]
Query = Callable[[str], Rows]

# name: (what it shows, messages, attempts in the order of their starts)
VECTORS: dict[str, tuple[str, str, list[dict[str, Any]]]] = {
    "plugged_in_first": (
        "plugged in, then a card: the driver waits from the answer on",
        """
        09:00:00 status connector=1 is=Available
        10:00:00 status connector=1 is=Preparing
        10:00:20 authorize token=T -> Accepted
        10:00:21 start connector=1 token=T meter=0 -> 7
        10:00:30 status connector=1 is=Charging
        10:30:00 stop tx=7 meter=4000 reason=Local
        10:30:01 status connector=1 is=Finishing
        10:31:00 status connector=1 is=Available
        """,
        [{"start_mode": "plug_in", "is_success": True, "started": "10:00:00", "charge_start_time_s": 10, "has_session": True}],
    ),
    "card_first": (
        "a card, then the plug: charge start time runs from the first answer, by ChargeX's equation 9",
        """
        09:00:00 status connector=1 is=Available
        10:00:00 authorize token=T -> Accepted
        10:00:20 status connector=1 is=Preparing
        10:00:21 start connector=1 token=T meter=0 -> 7
        10:00:30 status connector=1 is=Charging
        10:30:00 stop tx=7 meter=4000
        10:31:00 status connector=1 is=Available
        """,
        [{"start_mode": "authorize", "is_success": True, "started": "10:00:00", "charge_start_time_s": 30}],
    ),
    "card_to_stop": (
        "the card shown to stop is no attempt, and what follows Charging before Available is none either",
        """
        09:00:00 status connector=1 is=Available
        10:00:00 authorize token=T -> Accepted
        10:00:01 start connector=1 token=T meter=0 -> 7
        10:00:05 status connector=1 is=Charging
        10:30:00 authorize token=T -> Accepted
        10:30:01 stop tx=7 meter=4000
        10:30:02 status connector=1 is=Preparing
        10:31:00 status connector=1 is=Available
        """,
        [{"start_mode": "authorize", "is_success": True}],
    ),
    "two_starts_of_one_visit": (
        "a remote start that stops after a second with 0 Wh, and is repeated 20 s later (seen in a real log)",
        """
        09:00:00 status connector=1 is=Available
        10:00:00 status connector=1 is=Preparing
        10:00:10 remote token=T connector=1 -> Accepted
        10:00:11 start connector=1 token=T meter=100 -> 7
        10:00:12 stop tx=7 meter=100 reason=Other
        10:00:30 remote token=T connector=1 -> Accepted
        10:00:31 start connector=1 token=T meter=100 -> 8
        10:00:41 status connector=1 is=Charging
        10:30:00 stop tx=8 meter=4100
        10:31:00 status connector=1 is=Available
        """,
        [{"start_mode": "remote", "is_success": False, "failure_reason": "no_power", "attribution": "shared"},
         {"start_mode": "remote", "is_success": True, "charge_start_time_s": 11}],
    ),
    "plugged_in_only": (
        "plugged in and gone again",
        """
        09:00:00 status connector=1 is=Available
        10:00:00 status connector=1 is=Preparing
        10:04:00 status connector=1 is=Available
        """,
        [{"start_mode": "plug_in", "is_success": False, "failure_reason": "plugged_in_only", "attribution": "unknown",
          "has_session": False, "started": "10:00", "ended": "10:04"}],
    ),
    "card_refused": (
        "plugged in, a card that is refused twice: one attempt, and the card is the reason",
        """
        09:00:00 status connector=1 is=Available
        10:00:00 status connector=1 is=Preparing
        10:00:20 authorize token=T -> Invalid
        10:00:50 authorize token=T -> Invalid
        10:04:00 status connector=1 is=Available
        """,
        [{"start_mode": "plug_in", "failure_reason": "authorization_rejected", "attribution": "user", "has_token": True}],
    ),
    "refused_then_accepted": (
        "a refused card and then a good one: two attempts",
        """
        09:00:00 status connector=1 is=Available
        10:00:00 status connector=1 is=Preparing
        10:00:20 authorize token=BAD -> Invalid
        10:01:00 authorize token=GOOD -> Accepted
        10:01:01 start connector=1 token=GOOD meter=0 -> 7
        10:01:09 status connector=1 is=Charging
        10:30:00 stop tx=7 meter=4000
        10:31:00 status connector=1 is=Available
        """,
        [{"start_mode": "plug_in", "is_success": True},
         {"start_mode": "authorize", "failure_reason": "authorization_rejected", "port": "refused_then_accepted/1"}],
    ),
    "card_without_a_car": (
        "a good card and nothing after it; shown again within a minute it is the same try",
        """
        09:00:00 status connector=1 is=Available
        10:00:00 authorize token=T -> Accepted
        10:00:40 authorize token=T -> Accepted
        11:00:00 authorize token=T -> Accepted
        """,
        [{"start_mode": "authorize", "failure_reason": "authorized_only", "started": "10:00"},
         {"start_mode": "authorize", "failure_reason": "authorized_only", "started": "11:00"}],
    ),
    "card_at_two_ports": (
        "nobody can tell on which of two free ports",
        """
        09:00:00 status connector=1 is=Available
        09:00:00 status connector=2 is=Available
        10:00:00 authorize token=T -> Blocked
        """,
        [{"start_mode": "authorize", "failure_reason": "authorization_rejected", "port": None}],
    ),
    "remote_refused": (
        "the station refuses the remote start",
        """
        09:00:00 status connector=1 is=Available
        10:00:00 remote token=T connector=1 -> Rejected
        """,
        [{"start_mode": "remote", "failure_reason": "remote_start_rejected", "attribution": "evse"}],
    ),
    "nobody_taps_a_card": (
        "a station that calls an authorisation timeout Faulted, as MREC asks: the user's",
        """
        09:00:00 status connector=1 is=Available
        10:00:00 status connector=1 is=Preparing
        10:02:00 status connector=1 is=Faulted error=OtherError vendor=CX009
        10:04:00 status connector=1 is=Available
        """,
        [{"failure_reason": "fault", "error_code": "CX009", "attribution": "user", "ended": "10:04"}],
    ),
    "cut_cable": (
        "several codes at once, separated by a semicolon: the first one counts",
        """
        09:00:00 status connector=1 is=Available
        10:00:00 status connector=1 is=Preparing
        10:00:01 start connector=1 meter=0 -> 7
        10:00:09 status connector=1 is=Charging
        10:10:00 status connector=1 is=Faulted error=OtherError vendor=CX026;CX001
        10:10:01 stop tx=7 meter=500 reason=Other
        """,
        [{"failure_reason": "fault", "error_code": "CX026", "attribution": "vandalism", "has_power_delivery": True}],
    ),
    "emergency_stop": (
        "an end that is none",
        """
        10:00:00 start connector=1 meter=0 -> 7
        10:00:09 status connector=1 is=Charging
        10:10:00 stop tx=7 meter=500 reason=EmergencyStop
        """,
        [{"start_mode": "in_start", "failure_reason": "invalid_end", "attribution": "user", "stop_reason": "EmergencyStop"}],
    ),
    "no_stop": (
        "the stop never comes",
        """
        10:00:00 start connector=1 meter=0 -> 7
        10:10:00 meter connector=1 tx=7 wh=500
        12:00:00 start connector=1 meter=700 -> 8
        12:10:00 meter connector=1 tx=8 wh=900
        """,
        [{"failure_reason": "no_stop", "attribution": "comms"}, {"is_success": None, "has_power_delivery": True,
          "has_valid_end": None, "failure_reason": None}],
    ),
    "hardly_any_energy": (
        "50 Wh are no charge",
        """
        10:00:00 start connector=1 meter=0 -> 7
        10:00:09 status connector=1 is=Charging
        10:01:00 stop tx=7 meter=50 reason=Local
        """,
        [{"failure_reason": "too_little_energy", "has_power_delivery": True, "has_valid_end": False}],
    ),
    "refused_in_the_start": (
        "the token is refused in the answer to the start",
        """
        10:00:00 start connector=1 meter=0 -> 7/Invalid
        10:00:03 stop tx=7 meter=0 reason=DeAuthorized
        """,
        [{"start_mode": "in_start", "failure_reason": "authorization_rejected", "attribution": "user"}],
    ),
    "begun_before_the_log": (
        "Preparing is the first thing that the log says: what came of it before is not known",
        """
        10:00:00 status connector=1 is=Preparing
        10:04:00 status connector=1 is=Available
        """,
        [],
    ),
    "still_plugged_in": (
        "plugged in, and the log ends",
        """
        09:00:00 status connector=1 is=Available
        10:00:00 status connector=1 is=Preparing
        """,
        [{"is_success": None, "failure_reason": None, "ended": None}],
    ),
    "fault_of_a_free_connector": (
        "a fault without a vehicle is nobody's attempt",
        """
        09:00:00 status connector=1 is=Available
        10:00:00 status connector=1 is=Faulted error=GroundFailure
        11:00:00 status connector=1 is=Available
        """,
        [],
    ),
    "cable_plugged_in": (
        "2.0.1: the transaction begins with the plug",
        """
        10:00:00 event is=Started tx=a seq=0 evse=1 trigger=CablePluggedIn state=EVConnected
        10:00:20 authorize2 token=T -> Accepted
        10:00:21 event is=Updated tx=a seq=1 trigger=Authorized token=T -> Accepted
        10:00:25 event is=Updated tx=a seq=2 trigger=ChargingStateChanged state=Charging
        10:30:00 event is=Ended tx=a seq=3 trigger=StopAuthorized reason=Local
        """,
        [{"start_mode": "plug_in", "is_success": True, "charge_start_time_s": 4}],
    ),
    "remote_by_its_id": (
        "2.0.1: the remote start that the transaction names, or that names its token",
        """
        10:00:00 remote2 token=T id=5 -> Accepted
        10:00:20 event is=Started tx=a seq=0 evse=1 trigger=RemoteStart state=EVConnected token=T -> Accepted
        10:00:25 event is=Updated tx=a seq=1 trigger=ChargingStateChanged state=Charging
        10:30:00 event is=Ended tx=a seq=2 trigger=RemoteStop reason=LocalOutOfCredit
        """,
        [{"start_mode": "remote", "is_success": True, "charge_start_time_s": 25}],
    ),
}  # fmt: skip

# Driver, and where and when the attempts are made: which belong to one visit.
VISITS = """
A/1 authorize T1 10:00   # half an hour at the same site, whatever the port
B/1 authorize T1 10:29
B/1 authorize T1 10:59
A/1 authorize T1 11:29:02 # more than half an hour after the last one
A/1 authorize T2 10:01   # another driver
C/1 authorize T1 10:05   # another site
D/1 plug - 10:00         # plugged in for a minute each, nobody shows a card
D/1 plug - 10:02
D/1 plug - 10:06
E/1 plug - 10:00         # nobody's first try is that of the driver who comes next
E/1 authorize T3 10:02
"""
VISIT_SIZES = {("site-1", "T1"): [3, 1], ("site-1", "T2"): [1], ("site-2", "T1"): [1],
               ("site-2", None): [2, 1], ("site-2", "T3"): [2]}  # fmt: skip


def _example(log: Log) -> None:
    """ChargeX's worked example: 370 attempts of four modes, with and without power, ended well and badly."""
    for mode, tried, powered, ended_well in (
        ("plug_in", 200, 180, 171), ("authorize", 100, 95, 90), ("remote", 50, 46, 43), ("in_start", 20, 19, 18),
    ):  # fmt: skip
        station = f"example-{mode}"
        for number in range(tried):
            at = DAY + timedelta(minutes=20 * (number % 70), days=number // 70)
            token, tx = f"{mode}{number}", f"{mode}-{number}"

            def say(after_s: int, words: str, at: datetime = at, station: str = station) -> None:
                log.add(station, f"{(at + timedelta(seconds=after_s)).isoformat()} {words}")

            if mode == "authorize":
                say(0, f"authorize2 token={token} -> Accepted")
            if mode == "remote":
                say(0, f"remote2 token={token} id={number} -> Accepted")
            if mode in ("authorize", "remote") and number == tried - 1:
                continue  # an orphan: nothing comes of it, and it stays in the denominator
            trigger = {"plug_in": "CablePluggedIn", "remote": "RemoteStart"}.get(mode, "Authorized")
            shown = "" if mode == "plug_in" else f"token={token}"
            say(10, f"event is=Started tx={tx} seq=0 evse=1 trigger={trigger} state=EVConnected {shown} -> Accepted")
            if number < powered:
                # power after 11 s to 30 s
                say(11 + number % 20, f"event is=Updated tx={tx} seq=1 trigger=ChargingStateChanged state=Charging")
            reason = "Timeout" if number >= powered else "Local" if number < ended_well else "EmergencyStop"
            say(600, f"event is=Ended tx={tx} seq=2 trigger=EVDeparted reason={reason}")


class RandomVisits:
    """Visits whose course is known, because it was drawn before the messages that tell of it."""

    OUTCOMES = ("success", "refused", "plugged_in_only", "no_power", "emergency")

    def __init__(self, seed: int, log: Log) -> None:
        self.chance = random.Random(seed)
        self.attempts: list[tuple] = []  # port, success, reason
        self.visits: list[tuple] = []  # attempts, success, first success
        self.number = 0
        for station in range(8):
            name = f"random-{station}"
            log.add(name, "00:00:00 status connector=1 is=Available")
            at = DAY + timedelta(hours=1)
            for visit in range(12):
                token = f"R{station}.{visit}"
                outcomes = self.chance.choices(
                    self.OUTCOMES, weights=(6, 1, 1, 1, 1), k=self.chance.choice([1, 1, 2, 3])
                )
                for outcome in outcomes:
                    at = self._attempt(log, name, at, token, outcome)
                    at += timedelta(seconds=self.chance.randrange(5, 110))
                won = [outcome == "success" for outcome in outcomes]
                self.visits.append((len(outcomes), any(won), won[0]))
                at += timedelta(minutes=self.chance.randrange(35, 90))

    def _attempt(self, log: Log, station: str, at: datetime, token: str, outcome: str) -> datetime:
        self.number += 1
        seconds = 0.0

        def say(after_s: float, words: str) -> None:
            nonlocal seconds
            seconds += after_s
            log.add(station, f"{(at + timedelta(seconds=seconds)).isoformat()} {words}")

        say(0, "status connector=1 is=Preparing")
        if outcome == "refused":
            say(5, f"authorize token={token} -> Blocked")
        if outcome in ("success", "no_power", "emergency"):
            say(5, f"authorize token={token} -> Accepted")
            say(1, f"start connector=1 token={token} meter=0 -> {self.number}")
            if outcome != "no_power":
                say(3, "status connector=1 is=Charging")
            reason = {"success": "EVDisconnected", "emergency": "EmergencyStop"}.get(outcome, "Local")
            say(900, f"stop tx={self.number} meter={0 if outcome == 'no_power' else 3000} reason={reason}")
        say(20, "status connector=1 is=Available")
        reasons = {"success": None, "refused": "authorization_rejected", "emergency": "invalid_end"}
        self.attempts.append((f"{station}/1", outcome == "success", reasons.get(outcome, outcome)))
        return at + timedelta(seconds=seconds)


@pytest.fixture(scope="module")
def drawn() -> RandomVisits:
    return RandomVisits(20_260_302, Log())


@pytest.fixture(scope="module")
def query(tmp_path_factory: pytest.TempPathFactory) -> Query:
    """The marts that all logs of this module give, after one build."""
    folder = tmp_path_factory.mktemp("attempts")
    log = Log()
    for name, (_, words, _) in VECTORS.items():
        log.add(name, words)
    for line in VISITS.strip().splitlines():
        port, kind, token, at = line.split("#", maxsplit=1)[0].split()
        station = port.split("/", maxsplit=1)[0]
        if kind == "authorize":
            log.add(station, f"{at} authorize token={token} -> Blocked")
        else:
            log.add(station, f"09:00:00 status connector=1 is=Available\n{at} status connector=1 is=Preparing")
            log.add(station, f"{at}:59 status connector=1 is=Available")
    _example(log)
    RandomVisits(20_260_302, log)
    home = decoded(folder / "home", [log.write(folder / "ocpp.jsonl")])
    lake = LakeBuilder(home.root)
    current = {"kind": "registry", "is_current": True, "is_first_path": True}
    stations = [{"station_id": s, "site_id": "site-1" if s in "AB" else "site-2"} for s in "ABCDE"]
    ports = [
        {"port_id": f"{s}/1", "station_id": s, "ocpp_connector_ids": "1", "power_type": "AC", "max_power_kw": 11}
        for s in "ABCDE"
    ]
    sites = [{"site_id": s, "owner_id": "O1", "operator_id": "C1", "time_zone": "UTC"} for s in ("site-1", "site-2")]
    for table, rows in {"site": sites, "station": stations, "port": ports}.items():
        lake.add(f"registry/{table}", [{**row, "source_id": table} for row in rows])
        landed = {"source_id": table, "path": f"registry/{table}s.csv", "table_name": table}
        lake.add("meta/landed_file", [{**current, **landed}])
    return build(home.root, folder, "+fct_charging_kpi", "+fct_session_curve", "+fct_station_day", "+dim_station_clock")


@pytest.fixture(scope="module")
def attempts(query: Query) -> dict[str, Rows]:
    found: dict[str, Rows] = {}
    for row in query("select * from marts.fct_charge_attempt order by station_id, started_at, attempt_id"):
        found.setdefault(row["station_id"], []).append(row)
    return found


@pytest.mark.parametrize("name", VECTORS)
def test_a_course_of_messages_gives_its_attempts(name: str, attempts: dict[str, Rows]):
    why, _, expected = VECTORS[name]
    found = attempts.get(name, [])
    assert len(found) == len(expected), (why, found)
    for row, due in zip(found, expected, strict=True):
        short = {
            "started": row["started_at"],
            "ended": row["ended_at"],
            "has_session": row["session_id"] is not None,
            "has_token": row["id_token_hash"] is not None,
            "port": row["port_id"],
        }
        told = {key: short.get(key, row.get(key)) for key in due}
        assert told == {k: instant(v) if k in ("started", "ended") and v else v for k, v in due.items()}, why


def test_attempts_of_a_driver_at_a_site_are_one_visit_up_to_half_an_hour(query: Query):
    rows = query(
        "select v.site_id, v.id_token_hash, v.attempt_count, v.started_at from marts.fct_visit as v "
        "where v.site_id like 'site-%' order by v.started_at"
    )
    names = {
        row["id_token_hash"]: name
        for row, name in zip(
            query(
                "select distinct id_token_hash, min(started_at) as at from marts.fct_charge_attempt "
                "where id_token_hash is not null and site_id like 'site-%' group by 1 order by 2"
            ),
            ("T1", "T2", "T3"),
            strict=True,
        )
    }
    sizes: dict[tuple[str, str | None], list[int]] = {}
    for row in rows:
        sizes.setdefault((row["site_id"], names.get(row["id_token_hash"])), []).append(row["attempt_count"])
    assert sizes == VISIT_SIZES


def test_the_worked_example_of_chargex_comes_out_to_the_digit(query: Query):
    def pooled(kpi: str) -> tuple[int, int]:
        told = query(
            f"select sum(numerator_count) as n, sum(denominator_count) as d from marts.fct_charging_kpi "
            f"where grain = 'port' and kpi = '{kpi}' and start_mode <> 'all' and subject_id like 'example-%'"
        )
        return int(told[0]["n"]), int(told[0]["d"])

    assert pooled("charge_start_success") == (340, 370)
    assert pooled("charge_end_success") == (322, 340)
    assert pooled("session_success") == (322, 370)
    ratios = [round(100 * n / d, 2) for n, d in ((340, 370), (322, 340), (322, 370))]
    assert ratios == [91.89, 94.71, 87.03]
    by_mode = query(
        "select start_mode, numerator_count as n, denominator_count as d, kpi_ratio from marts.fct_charging_kpi "
        "where grain = 'port' and kpi = 'charge_start_success' and start_mode <> 'all' and subject_id like 'example-%' "
        "and local_month = date '2026-03-01'"
    )
    assert {(r["start_mode"], r["n"], r["d"]) for r in by_mode} == {
        ("plug_in", 180, 200), ("authorize", 95, 100), ("remote", 46, 50), ("in_start", 19, 20),
    }  # fmt: skip
    assert {r["start_mode"]: r["kpi_ratio"] for r in by_mode}["authorize"] == Decimal("0.95")


def test_charge_start_times_are_percentiles_of_the_seconds_drivers_wait(query: Query):
    told = query(
        "select start_time_p10_s, start_time_p25_s, start_time_p50_s, start_time_p75_s, denominator_count "
        "from marts.fct_charging_kpi where subject_id = 'example-in_start/1' and kpi = 'charge_start_time' "
        "and start_mode = 'in_start'"
    )
    # The token is accepted in the start, at second 10 and a bit; power follows in the seconds 11 to 29: 19 attempts.
    waits = sorted(
        row["charge_start_time_s"]
        for row in query(
            "select charge_start_time_s from marts.fct_charge_attempt where station_id = 'example-in_start' "
            "and charge_start_time_s is not null"
        )
    )
    assert waits == [1 + number for number in range(19)]
    # between the ranks: 0.1 x 18 = 1.8 above the first
    assert [told[0][f"start_time_p{p}_s"] for p in (10, 25, 50, 75)] == [
        Decimal("2.8"), Decimal("5.5"), Decimal(10), Decimal("14.5"),
    ]  # fmt: skip


def test_ratios_of_the_network_are_those_of_all_attempts_together(query: Query):
    told = {
        row["kpi"]: (row["numerator_count"], row["denominator_count"])
        for row in query("select * from marts.fct_charging_kpi where grain = 'network' and start_mode = 'all'")
        if row["kpi"] != "failed_attempts"
    }
    rows = query("select * from marts.fct_charge_attempt where is_start_observed")
    powered = [r for r in rows if r["has_power_delivery"]]
    decided = [r for r in rows if r["has_valid_end"] is not None]
    assert told["charge_start_success"] == (len(powered), sum(r["has_power_delivery"] is not None for r in rows))
    assert told["session_success"] == (sum(r["has_valid_end"] for r in decided), len(decided))
    authorised = [r for r in rows if r["has_authorization"] and r["is_success"] is not None]
    assert told["charging_success_rate_de"] == (sum(r["is_success"] for r in authorised), len(authorised))
    sessions = [r for r in query("select * from marts.fct_charge_attempt") if r["session_id"] and r["ended_at"]]
    french = [r for r in sessions if (r["energy_kwh"] or 0) > Decimal("0.5") and r["duration_s"] > 180]
    assert told["session_success_fr"] == (len(french), len(sessions))
    visits = query("select * from marts.fct_visit where is_start_observed and is_success is not null")
    assert told["visit_success"] == (sum(v["is_success"] for v in visits), len(visits))


def test_random_visits_come_out_as_they_were_drawn(query: Query, drawn: RandomVisits):
    told = query("select * from marts.fct_charge_attempt where station_id like 'random-%'")
    assert Counter((r["port_id"], r["is_success"], r["failure_reason"]) for r in told) == Counter(drawn.attempts)
    visits = query("select * from marts.fct_visit where first_port_id like 'random-%'")
    assert Counter((v["attempt_count"], v["is_success"], v["is_first_time_success"]) for v in visits) == Counter(
        drawn.visits
    )
    assert len({outcome for _, _, outcome in drawn.attempts}) == len(RandomVisits.OUTCOMES)


def test_a_curve_ends_with_the_energy_of_its_session(query: Query):
    rows = query(
        "select s.station_id, s.energy_kwh, max(c.energy_kwh) as drawn_kwh from marts.fct_session as s "
        "inner join marts.fct_session_curve as c using (session_id) "
        "where s.energy_method = 'start_to_last_sample' group by all"
    )
    assert rows
    assert [r for r in rows if r["energy_kwh"] != r["drawn_kwh"]] == []


def test_every_session_is_one_attempt_and_every_attempt_in_one_visit(query: Query):
    told = query(
        "select (select count(*) from marts.fct_session) as sessions, count(session_id) as with_session, "
        "count(distinct session_id) as distinct_sessions, count(*) as attempts, "
        "(select sum(attempt_count)::bigint from marts.fct_visit) as visited from marts.fct_charge_attempt"
    )[0]
    assert told["sessions"] == told["with_session"] == told["distinct_sessions"]
    assert told["attempts"] == told["visited"]
