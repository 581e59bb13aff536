"""Sessions: the dbt models against an oracle on random stations with every defect at once, and on the real record."""

import gzip
import json
import os
import random
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import duckdb
import pytest

from pipelines.home import Home
from tests.lake_builder import LakeBuilder
from tests.oracles.sessions import Session, sessions_of

PROJECT = Path(__file__).resolve().parent.parent.parent
DBT = Path(os.environ.get("CHARGEHOUSE_DBT_PROJECT", PROJECT / "dbt"))
SEEDS = (20_260_301, 20_260_302)
STATIONS = 90
MONDAY = datetime(2026, 3, 2, 6, tzinfo=UTC)
STATES = ("Charging", "Charging", "SuspendedEV", "EVConnected", "SuspendedEVSE", None)
ENERGY, POWER = "Energy.Active.Import.Register", "Power.Active.Import"
RECORDED_1_6, RECORDED_2_0_1 = 42, 12  # StartTransactions, and transaction ids, counted in the record by hand
Rows = list[dict[str, Any]]
EARLIER_ROOMS = ("staging", "intermediate/availability", "intermediate/registry", "marts/dims", "marts/qc")


def build(home: Path, work: Path, *selected: str) -> Callable[[str], Rows]:
    """Run models on a home's lake; returns a reader of the database they built."""
    command = [str(Path(sys.executable).parent / "dbt"), "build", "--project-dir", str(DBT), "--profiles-dir", str(DBT)]
    command += ["--exclude-resource-type", "unit_test", "--indirect-selection", "cautious", "--select", *selected]
    # The tests of rooms that come before are run by those rooms' own tests.
    command += ["--exclude", *(f"resource_type:test,path:models/{room}" for room in EARLIER_ROOMS)]
    command += ["--target-path", str(work / "target"), "--log-path", str(work / "logs"), "--no-use-colors"]
    environment = {**os.environ, "CHARGEHOUSE_HOME": str(home)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-6000:]

    def query(sql: str) -> Rows:
        with duckdb.connect(str(home / "warehouse" / "build.duckdb"), read_only=True) as con:
            con.execute("set TimeZone = 'UTC'")
            return con.sql(sql).pl().to_dicts()

    return query


class RandomLog:
    """A log of stations that do everything wrong that stations do, each thing now and then."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self.frames: Rows = []
        self.events: Rows = []
        self.samples: Rows = []
        self.statuses: Rows = []
        self.frees: list[tuple[str, int, datetime]] = []
        self.boots: Rows = []
        self.ports: Rows = []
        self.stations: Rows = []
        self.number = 0
        for number in range(STATIONS):
            self._station(f"CP-{seed}-{number}")

    def _is(self, probability: float) -> bool:
        return self.chance.random() < probability

    def _later(self, at: datetime, most_s: float) -> datetime:
        return at + timedelta(milliseconds=self.chance.randrange(1, int(most_s * 1000)))

    def _arrival(self, at: datetime, delay_s: float = 0) -> datetime:
        # Arrivals differ by a microsecond at least: what arrives first is then no matter of luck.
        self.number += 1
        late = timedelta(milliseconds=self.chance.randrange(20, 900), microseconds=self.number % 1000)
        return at + late + timedelta(seconds=delay_s)

    def _clock(self, at: datetime) -> datetime | None:
        draw = self.chance.random()
        if draw < 0.93:
            return at
        if draw < 0.95:
            return datetime(1970, 1, 1, 0, 0, 7, tzinfo=UTC)
        if draw < 0.97:
            return at + timedelta(hours=2, minutes=7)  # no zone: nothing to correct it by
        return at - timedelta(minutes=self.chance.randrange(3, 50))

    def _station(self, station: str) -> None:
        known_power = self._is(0.6)
        is_2x = self._is(0.35)
        outlets = self.chance.choice([1, 1, 2])
        if known_power:
            self.stations.append({"station_id": station, "site_id": "S1"})
            for outlet in range(1, outlets + 1):
                self.ports.append({
                    "port_id": f"{station}-P{outlet}", "station_id": station, "power_type": "AC",
                    "ocpp_connector_ids": f"{outlet}/1" if is_2x else str(outlet), "max_power_kw": Decimal("11.000"),
                })  # fmt: skip
        ids = self.chance.choice(["counter", "counter", "counter", "zero", "few"])
        for outlet in range(1, outlets + 1):
            at = self._later(MONDAY, 3600 * 5)
            register = Decimal(self.chance.randrange(0, 900_000))
            for visit in range(self.chance.randrange(1, 6)):
                length_s = self.chance.choice([0.5, 200, 1800, 7200, 20000])
                until = self._later(at, length_s)
                if is_2x:
                    self._transaction(station, outlet, f"{station}-{outlet}-{visit}", at, until, register)
                else:
                    number = {"counter": self.number + 1000, "zero": 0, "few": self.chance.randrange(1, 4)}[ids]
                    self._visit(station, outlet, str(number), at, until, register)
                register += Decimal(self.chance.randrange(0, 30_000))
                if self._is(0.4):
                    self._use(station, outlet, self._later(until, 2000), is_2x=is_2x)
                at = self._later(until, 5000)
        if self._is(0.6):
            boot = self._add(station, self._later(MONDAY, 3600 * 11))
            self.boots.append({**boot, "protocol": "ocpp2.0.1" if is_2x else "ocpp1.6"})

    def _use(self, station: str, outlet: int, at: datetime, *, is_2x: bool) -> None:
        """The connector leaves a free state and returns to one: only that is a change."""
        at = at.replace(microsecond=0)
        states = ["Occupied" if is_2x else "Preparing", self.chance.choice(["Available", "Available", "Unavailable"])]
        for number, status in enumerate(states):
            told = self._add(
                station, at + timedelta(seconds=number), event_at=at + timedelta(seconds=number), status=status,
                protocol="ocpp2.0.1" if is_2x else "ocpp1.6", evse_id=outlet if is_2x else None,
                connector_id=1 if is_2x else outlet, reported_by="StatusNotification", error_code="NoError",
            )  # fmt: skip
            del told["connection_id"], told["message_id"]
            self.statuses.append(told)
        self.frees.append((station, outlet, at + timedelta(seconds=1)))

    def _add(self, station: str, at: datetime, **values: object) -> dict[str, object]:
        self.number += 1
        return {
            "frame_id": f"f{self.number:07d}", "station_id": station, "received_at": at, "connection_id": "1",
            "message_id": f"m{self.number}", **values,
        }  # fmt: skip

    def _call(self, event: dict[str, Any], action: str, protocol: str) -> None:
        self.events.append({**event, "protocol": protocol})
        same = ("frame_id", "station_id", "received_at", "connection_id", "message_id")
        self.frames.append({
            **{name: event[name] for name in same}, "protocol": protocol, "direction": "from_station",
            "message_type": 2, "action": action, "received_at_quality": "logged", "log_format": "test",
        })  # fmt: skip

    def _answer(self, event: dict[str, Any], transaction_id: str, status: str) -> None:
        self.frames.append({
            **self._add(event["station_id"], self._arrival(event["received_at"])), "message_id": event["message_id"],
            "protocol": "ocpp1.6", "direction": "to_station", "message_type": 3,
            "result_transaction_id": transaction_id, "result_status": status,
            "received_at_quality": "logged", "log_format": "test",
        })  # fmt: skip

    def _visit(  # noqa: PLR0917
        self, station: str, connector: int, transaction_id: str, at: datetime, until: datetime, register: Decimal
    ) -> None:
        meter_start = Decimal(0) if self._is(0.1) else register
        energy = Decimal(int((until - at).total_seconds() * self.chance.choice([0, 1, 2.5, 3, 9])))
        token = self.chance.choice(["A", "B", None])
        start_delay = self.chance.choice([0, 0, 0, 0, 4000])
        clock = self._clock(at)
        if not self._is(0.1):
            for repeat in range(self.chance.choice([1, 1, 1, 1, 2, 3])):
                event = self._add(
                    station, self._arrival(at, start_delay + 30 * repeat), event_at=clock, event_type="Started",
                    connector_id=connector, id_token_hash=token, meter_wh=meter_start,
                )  # fmt: skip
                self._call(event, "StartTransaction", "ocpp1.6")
                if not self._is(0.2):
                    another = str(int(transaction_id) + 500_000) if repeat and self._is(0.5) else transaction_id
                    self._answer(event, another, self.chance.choice(["Accepted", "Accepted", "ConcurrentTx"]))
        kind = self.chance.choice(["none", "energy", "power", "both", "phases"])
        mode = self.chance.choice(["lifetime", "lifetime", "session", "reset"])
        series = self._series(at, until, energy, Decimal(0) if mode == "session" else register, mode)
        for sampled_at, wh, watts in series:
            if not self._is(0.1):
                self._meter(station, connector, transaction_id, sampled_at, wh, watts, kind)
        if self._is(0.1):
            afterwards = until + timedelta(seconds=200)
            self._meter(station, connector, transaction_id, afterwards, register, Decimal(5), kind)
        if self._is(0.2):
            return
        stop_clock = self._clock(until)
        # not a multiple of 15 minutes: the same delay three times in a row would be a clock in another zone
        delay = self.chance.choice([0, 0, 0, 9137])
        sent_id = "-1" if self._is(0.05) else transaction_id
        for repeat in range(self.chance.choice([1, 1, 1, 2])):
            meter_stop = register + energy
            if repeat and self._is(0.5):
                meter_stop, stop_clock = meter_stop + 7, until + timedelta(seconds=9)
            event = self._add(
                station, self._arrival(until, delay + 40 * repeat), event_at=stop_clock, event_type="Ended",
                transaction_id=sent_id, meter_wh=meter_stop, id_token_hash=token,
                reason=self.chance.choice(["Remote", "EVDisconnected", None]),
            )  # fmt: skip
            self._call(event, "StopTransaction", "ocpp1.6")
            if self._is(0.3):
                for number, (sampled_at, wh, _) in enumerate(series, start=1):
                    self.samples.append({
                        **{n: event[n] for n in ("frame_id", "station_id", "received_at")}, "sample_number": number,
                        "action": "StopTransaction", "transaction_id": sent_id, "sampled_at": sampled_at,
                        "measurand": ENERGY, "location": "Outlet", "context": "Sample.Periodic", "unit": "Wh",
                        "value": wh,
                    })  # fmt: skip

    def _series(
        self, at: datetime, until: datetime, energy: Decimal, register: Decimal, mode: str
    ) -> list[tuple[datetime, Decimal, Decimal]]:
        count = self.chance.choice([0, 1, 3, 12])
        series = []
        for number in range(count):
            share = Decimal(number + 1) / count
            wh = register + (energy * share).quantize(Decimal("0.001"))
            if mode == "reset" and number > count / 2:
                wh -= register
            watts = Decimal(self.chance.choice([0, 3680, 7400, 11000]))
            series.append((at + (until - at) * number / max(count - 1, 1), wh, watts))
        return series

    def _meter(  # noqa: PLR0917
        self, station: str, connector: int, transaction_id: str, at: datetime, wh: Decimal, watts: Decimal, kind: str
    ) -> None:
        frame = self._add(station, self._arrival(at))
        base = {n: frame[n] for n in ("frame_id", "station_id", "received_at")}
        base |= {"action": "MeterValues", "transaction_id": transaction_id, "connector_id": connector}
        base |= {"sampled_at": self._clock(at), "location": "Outlet", "context": "Sample.Periodic"}
        told = []
        if kind in ("energy", "both", "phases"):
            told.append({"measurand": ENERGY, "unit": "Wh", "value": wh})
        if kind in ("power", "both"):
            told.append({"measurand": POWER, "unit": "W", "value": watts})
        if kind == "phases":
            told += [{"measurand": POWER, "unit": "W", "value": watts / 4, "phase": p} for p in ("L1", "L2", "L3")]
        if self._is(0.1):
            told.append({"measurand": ENERGY, "unit": "Wh", "value": wh + 99, "location": "Inlet"})
        self.samples += [{**base, "sample_number": n, **values} for n, values in enumerate(told, start=1)]

    def _transaction(  # noqa: PLR0917
        self, station: str, evse: int, transaction_id: str, at: datetime, until: datetime, register: Decimal
    ) -> None:
        count = self.chance.choice([1, 2, 5, 9])
        starts_at = self.chance.choice([0, 0, 40])
        told_evse, told_token = self.chance.randrange(0, 2), self.chance.randrange(0, 3)
        for number in range(count + 1):
            kind = "Started" if number == 0 else "Ended" if number == count else "Updated"
            if self._is(0.1):
                continue
            share = Decimal(number) / count
            event_at = at + (until - at) * number / count
            if self._is(0.05):
                event_at -= timedelta(minutes=20)
            delay = self.chance.choice([0, 0, 0, 700])
            event = self._add(
                station, self._arrival(event_at, delay), event_at=event_at, event_type=kind,
                transaction_id=transaction_id, seq_no=starts_at + number, is_offline=delay > 0,
                evse_id=evse if number == told_evse else None,
                connector_id=1 if number == told_evse and self._is(0.5) else None,
                id_token_hash="A" if number == told_token else None,
                reason="Remote" if kind == "Ended" and self._is(0.5) else None,
                charging_state=self.chance.choice(STATES),
            )  # fmt: skip
            for repeat in range(self.chance.choice([1, 1, 1, 2])):
                sent = event if not repeat else {**event, **self._add(station, self._arrival(event_at, delay + 60))}
                self._call(sent, "TransactionEvent", "ocpp2.0.1")
                if number in (0, count) or self._is(0.5):
                    context = {"Started": "Transaction.Begin", "Ended": "Transaction.End"}.get(kind, "Sample.Periodic")
                    base = {n: sent[n] for n in ("frame_id", "station_id", "received_at")}
                    base |= {"action": "TransactionEvent", "transaction_id": transaction_id, "sampled_at": event_at}
                    base |= {"context": context, "location": "Outlet", "evse_id": event["evse_id"]}
                    wh = register + (share * 12_000).quantize(Decimal("0.01"))
                    told = [(1, ENERGY, "Wh", wh), (2, POWER, "W", share * 9000)]
                    self.samples += [
                        {**base, "sample_number": n, "measurand": m, "unit": u, "value": v} for n, m, u, v in told
                    ]

    def write(self, home: Path) -> None:
        """Write the log and its registry as lake tables."""
        lake = LakeBuilder(home)
        self.chance.shuffle(self.events)
        self.chance.shuffle(self.samples)
        lake.add("ocpp/frame", self.frames)
        lake.add("ocpp/transaction_event", self.events)
        lake.add("ocpp/meter_sample", self.samples)
        lake.add("ocpp/status_event", self.statuses)
        lake.add("ocpp/boot", self.boots)
        current = {"kind": "registry", "is_current": True, "is_first_path": True}
        for table, rows in {
            "site": [{"site_id": "S1", "owner_id": "O1", "operator_id": "C1", "time_zone": "Europe/Berlin"}],
            "station": self.stations,
            "port": self.ports,
        }.items():
            lake.add(f"registry/{table}", [{**row, "source_id": table} for row in rows])
            landed = {"source_id": table, "path": f"registry/{table}s.csv", "table_name": table}
            lake.add("meta/landed_file", [{**current, **landed}])


class Compared:
    """What dbt made of a random log, beside what the oracle makes of it."""

    def __init__(self, seed: int, folder: Path) -> None:
        log = RandomLog(seed)
        log.write(folder / "home")
        self.query = build(folder / "home", folder, "+fct_session", "+fct_load_15min")
        # Frames without an offset in time: the oracle reads the same records.
        boots = [(boot["station_id"], boot["received_at"]) for boot in log.boots]
        self.oracle = sessions_of(log.frames, log.events, log.samples, frees=log.frees, boots=boots)
        self.ports = Counter(row["station_id"] for row in log.ports)
        self.known_power = {row["station_id"] for row in log.stations}
        self.models = self.query("select * from marts.fct_session")

    def power(self, session: Session) -> Decimal | None:
        # Without a connector the port is known only where there is no other.
        known = session.outlet is not None or self.ports[session.station] == 1
        return Decimal(11) if session.station in self.known_power and known else None

    def differences(self, of_model: Callable[[dict], Any], of_oracle: Callable[[Session], Any]) -> list[tuple]:
        """Sessions, by station, start and id, of which the two tell something different."""
        told = {}
        for row in self.models:
            outlet = row["connector_id"] if row["protocol"] == "ocpp1.6" else row["evse_id"]
            told[row["station_id"], row["started_at"], row["transaction_id"], outlet] = of_model(row)
        due = {(s.station, s.started_at, s.transaction_id, s.outlet): of_oracle(s) for s in self.oracle}
        return [(key, told.get(key), due.get(key)) for key in told.keys() | due.keys() if told.get(key) != due.get(key)]


@pytest.fixture(scope="module", params=SEEDS)
def compared(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Compared:
    return Compared(request.param, tmp_path_factory.mktemp(f"sessions_{request.param}"))


def test_the_random_logs_hold_every_kind_of_session(compared: Compared):
    kinds = Counter((s.is_2x, s.has_start, s.end_source) for s in compared.oracle)
    for source in ("stop", "stop_after_boot", "next_start", "status", "boot", "open"):
        assert kinds[False, True, source] > 0, kinds
    assert kinds[False, False, "stop"] > 3, kinds
    assert kinds[True, True, "ended"] > 3, kinds
    assert kinds[True, False, "ended"] > 3, kinds
    adopted = [s for s in compared.oracle if s.has_start and not s.assigned and s.stopped_at and not s.is_2x]
    assert len(adopted) > 3
    methods = Counter(s.meter(compared.power(s))[1] for s in compared.oracle)
    assert min(methods[m] for m in ("register", "start_to_last_sample", "samples", "none", "implausible")) > 3, methods
    assert min(methods[m] for m in ("session_register", "positive_deltas")) > 0, methods


def test_sessions_start_where_the_oracle_starts_them(compared: Compared):
    assert len(compared.models) == len(compared.oracle)
    assert compared.differences(lambda r: r["start_frame_id"] is not None, lambda s: s.has_start) == []


def test_sessions_end_where_and_why_the_oracle_ends_them(compared: Compared):
    assert (
        compared.differences(
            lambda r: (r["ended_at"], r["end_source"], r["stop_reason"], r["last_seen_at"]),
            lambda s: (s.ended_at, s.end_source, s.reason, s.last_seen_at),
        )
        == []
    )


def test_sessions_have_the_energy_the_oracle_reads(compared: Compared):
    told = compared.differences(lambda r: (r["energy_kwh"], r["energy_method"]), lambda s: s.meter(compared.power(s)))
    assert told == []


def test_sessions_charge_as_long_as_the_oracle_says(compared: Compared):
    assert (
        compared.differences(
            lambda r: (r["duration_s"], r["charging_s"], r["peak_power_kw"]),
            lambda s: (s.duration_s, s.charging_s(), s.peak_power_kw),
        )
        == []
    )


def test_sessions_are_complete_and_paid_by_the_token_the_oracle_names(compared: Compared):
    assert (
        compared.differences(
            lambda r: (r["is_complete"], r["is_open"], r["id_token_hash"], r["missing_event_count"]),
            lambda s: (
                bool(s.has_start and s.stopped_at and s.meter(compared.power(s))[0] is not None),
                s.ended_at is None,
                s.token,
                s.missing_events,
            ),
        )
        == []
    )


def test_energy_falls_in_the_quarter_hours_the_oracle_finds_second_by_second(compared: Compared):
    due: dict[tuple[str, datetime], Fraction] = {}
    site = {row["session_id"]: row["site_id"] for row in compared.models}
    assert len(site) == len(compared.models)
    for session in compared.oracle:
        site_id = "S1" if session.station in compared.known_power else "unmapped"
        for quarter, energy in session.load(*session.meter(compared.power(session))).items():
            due[site_id, quarter] = due.get((site_id, quarter), Fraction(0)) + energy
    told = {
        (r["site_id"], r["interval_start_at"]): Fraction(r["energy_kwh"])
        for r in compared.query("select * from marts.fct_load_15min")
    }
    tolerance = Fraction(1, 10_000)  # half a millionth for each session and quarter hour
    far = {
        key: (float(told.get(key, 0)), float(due.get(key, 0)))
        for key in told.keys() | due.keys()
        if abs(told.get(key, Fraction(0)) - due.get(key, Fraction(0))) > tolerance
    }
    assert far == {}
    booked = sum((r["energy_kwh"] for r in compared.models if r["energy_kwh"] and r["energy_kwh"] > 0), Decimal(0))
    assert sum(told.values()) == Fraction(booked)


def test_the_recorded_simulator_day_gives_every_transaction(
    real_data: Path, home: Home, tmp_path: Path, decode_log: Callable[..., Any]
):
    record = real_data / "ocpp" / "sap_simulator_24h_ocpp16_ocpp201.jsonl.gz"
    decode_log(record)
    query = build(home.root, tmp_path, "+fct_session")
    counted = {r["protocol"]: r["n"] for r in query("select protocol, count(*) as n from marts.fct_session group by 1")}
    assert counted == {"ocpp1.6": RECORDED_1_6, "ocpp2.0.1": RECORDED_2_0_1}

    # The same transactions out of the raw lines: register of the stop less that of its start.
    started: dict[str, int] = {}
    pending: dict[tuple, int] = {}
    watt_hours = 0
    with gzip.open(record, "rt") as lines:
        for line in lines:
            entry = json.loads(line)
            frame = entry.get("frame")
            if not frame:
                continue
            frame = json.loads(frame) if isinstance(frame, str) else frame
            if frame[0] == 2 and frame[2] == "StartTransaction":
                pending[entry["station"], frame[1]] = frame[3]["meterStart"]
            elif frame[0] == 3 and (entry["station"], frame[1]) in pending:
                started[str(frame[2]["transactionId"])] = pending.pop((entry["station"], frame[1]))
            elif frame[0] == 2 and frame[2] == "StopTransaction" and str(frame[3]["transactionId"]) in started:
                watt_hours += frame[3]["meterStop"] - started.pop(str(frame[3]["transactionId"]))
    stopped = query(
        "select sum(energy_kwh) as kwh from marts.fct_session where protocol = 'ocpp1.6' and stop_reason is not null"
    )
    assert stopped[0]["kwh"] == Decimal(watt_hours) / 1000
    unfinished = query("select transaction_id from marts.fct_session where not is_complete and protocol = 'ocpp1.6'")
    assert {r["transaction_id"] for r in unfinished} == set(started)
