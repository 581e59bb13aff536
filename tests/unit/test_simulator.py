"""The simulator: the same arguments give the same bytes, and what it calls true is what its messages say."""

import gzip
import json
import math
from collections import defaultdict
from collections.abc import Iterator
from datetime import UTC, date, datetime
from decimal import ROUND_HALF_UP, Decimal
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import duckdb
import numpy as np
import polars as pl
import pytest
import zstandard

from pipelines.simulator import Profile, SimulationSummary, simulate
from pipelines.simulator.network import build_network
from pipelines.simulator.outages import ONE_CONNECTOR, plan_outages
from pipelines.simulator.sessions import plan_sessions

START = date(2025, 10, 24)  # the night of the 26th has 25 hours in Europe
DAYS = 4
PORTS = 14
STATES = (
    "available", "occupied", "charging", "suspended_ev", "suspended_evse", "reserved", "unavailable", "faulted",
    "offline", "unknown",
)  # fmt: skip
BEST_FIRST = (
    "charging",
    "suspended_ev",
    "suspended_evse",
    "occupied",
    "available",
    "reserved",
    "unavailable",
    "faulted",
)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("simulated")
    simulate(root, ports=PORTS, days=DAYS, seed=1, start=START, profile=Profile(trouble=4, demand=2))
    return root


def read(path: Path) -> str:
    data = path.read_bytes()
    if path.suffix == ".gz":
        data = gzip.decompress(data)
    if path.suffix == ".zst":
        data = zstandard.ZstdDecompressor().decompressobj().decompress(data)
    return data.decode()


def truth(home: Path, name: str) -> pl.DataFrame:
    return pl.read_parquet(home / "truth" / f"{name}.parquet")


def registry(home: Path, name: str) -> pl.DataFrame:
    return pl.read_csv(home / "landing/registry" / f"{name}.csv", infer_schema=False)


def records(home: Path) -> dict[str, list[dict[str, Any]]]:
    """Return the log records of each operator, in the order of their time."""
    found = defaultdict(list)
    for path in sorted((home / "landing/ocpp").glob("*/*")):
        found[path.parent.name] += [json.loads(line) for line in read(path).splitlines()]
    return {operator: sorted(rows, key=lambda row: row["captured_at"]) for operator, rows in found.items()}


def objects(home: Path, module: str) -> dict[str, list[dict[str, Any]]]:
    """Return the OCPI objects of each peer, however its files wrap them."""
    found = defaultdict(list)
    for path in sorted((home / "landing/ocpi" / module).glob("*/*")):
        text = read(path)
        if ".jsonl" in path.name:
            found[path.parent.name] += [json.loads(line, parse_float=Decimal) for line in text.splitlines()]
        else:
            data = json.loads(text, parse_float=Decimal)
            found[path.parent.name] += data if isinstance(data, list) else data["data"]
    return found


def seconds(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def test_the_same_arguments_give_the_same_bytes(tmp_path: Path) -> None:
    for name in ("one", "two"):
        simulate(tmp_path / name, ports=7, days=2, seed=3)
    one = {p.relative_to(tmp_path / "one"): p.read_bytes() for p in (tmp_path / "one").rglob("*") if p.is_file()}
    two = {p.relative_to(tmp_path / "two"): p.read_bytes() for p in (tmp_path / "two").rglob("*") if p.is_file()}
    assert len(one) > 25
    assert one.keys() == two.keys()
    assert [str(name) for name in one if one[name] != two[name]] == []
    simulate(tmp_path / "three", ports=7, days=2, seed=4)
    log = Path("landing/ocpp/gruenstrom/ocpp-2025-10.jsonl.zst")
    assert (tmp_path / "three" / log).read_bytes() != one[log]


def test_a_simulated_home_can_be_simulated_anew_but_others_deliveries_are_left_alone(tmp_path: Path) -> None:
    first = simulate(tmp_path, ports=9, days=1, seed=1)
    assert isinstance(first, SimulationSummary)
    assert (tmp_path / "landing/ocpp/harbour").exists()
    simulate(tmp_path, ports=1, days=1, seed=1)
    left = {path.parent.name for path in (tmp_path / "landing/ocpp").glob("*/*")}
    assert left == {"gruenstrom"}
    foreign = tmp_path / "other"
    (foreign / "landing/ocpp").mkdir(parents=True)
    (foreign / "landing/ocpp/theirs.log").write_text("x")
    with pytest.raises(FileExistsError, match=r"theirs\.log"):
        simulate(foreign, ports=1, days=1, seed=1)


@pytest.mark.parametrize(("ports", "days"), [(0, 1), (1, 0)])
def test_a_network_without_ports_or_days_is_refused(tmp_path: Path, ports: int, days: int) -> None:
    with pytest.raises(ValueError, match="at least 1 port and 1 day"):
        simulate(tmp_path, ports=ports, days=days, seed=1)


def test_the_largest_and_the_smallest_networks_work(tmp_path: Path) -> None:
    large = simulate(tmp_path / "large", ports=100, days=2, seed=1)
    assert len(truth(tmp_path / "large", "uptime")) == 100
    assert large.frames > 10_000
    small = simulate(tmp_path / "small", ports=1, days=1, seed=1)
    assert (small.ports, small.stations, small.sites) == (1, 1, 1)


def test_port_states_are_gapless_and_only_the_last_one_is_open(home: Path) -> None:
    states = truth(home, "port_state").sort("port_id", "started_at")
    assert states["port_id"].n_unique() == PORTS
    assert set(states["state"]) == set(STATES)
    followed = states.with_columns(
        next_at=pl.col("started_at").shift(-1).over("port_id"),
        next_state=pl.col("state").shift(-1).over("port_id"),
        next_code=pl.col("error_code").shift(-1).over("port_id"),
    )
    assert followed.filter(pl.col("ended_at").ne_missing(pl.col("next_at"))).is_empty()
    same = (pl.col("state") == pl.col("next_state")) & pl.col("error_code").eq_missing(pl.col("next_code"))
    assert followed.filter(same).is_empty()
    assert (states["duration_s"] > 0).all()
    closed = states.drop_nulls("ended_at")
    assert (closed["duration_s"] == (closed["ended_at"] - closed["started_at"]).dt.total_seconds()).all()


def test_a_port_day_is_shared_out_to_the_second_also_when_clocks_change(home: Path) -> None:
    days = truth(home, "port_day")
    shared = ("available_s", "occupied_s", "charging_s", "faulted_s", "unavailable_s", "offline_s", "unknown_s")
    assert (days.select(pl.sum_horizontal(*shared)).to_series() == days["period_s"]).all()
    zones = dict(registry(home, "sites").select("site_id", "time_zone").iter_rows())
    inner = days.filter(pl.col("local_date").is_between(date(2025, 10, 25), date(2025, 10, 26)))
    for site, day, period in inner.select("site_id", "local_date", "period_s").iter_rows():
        zone = ZoneInfo(zones[site])
        begin = datetime(day.year, day.month, day.day, tzinfo=zone)
        end = datetime(day.year, day.month, day.day + 1, tzinfo=zone)
        assert period == end.astimezone(UTC).timestamp() - begin.astimezone(UTC).timestamp()
    assert {86_400, 90_000} <= set(inner["period_s"])
    states = truth(home, "port_state")
    assert days["period_s"].sum() == states["duration_s"].sum()


def test_days_months_and_uptime_add_up_to_sessions_cdrs_and_states(home: Path) -> None:
    days, months, sessions, cdrs = (truth(home, name) for name in ("port_day", "site_month", "session", "cdr"))
    for frame in (days, months):
        assert frame["session_count"].sum() == len(sessions)
        assert frame["energy_kwh"].sum() == sessions["energy_kwh"].sum()
        assert frame["revenue_net"].sum() == cdrs["net"].sum()
    uptime = truth(home, "uptime")
    whole = uptime.select(pl.sum_horizontal("up_s", "down_s", "unknown_s")).to_series().sum()
    assert whole == truth(home, "port_state")["duration_s"].sum()
    assert len(cdrs.filter(pl.col("is_credit"))) >= 1
    assert {"wrong_price", "wrong_energy", "duplicate", "credited", "credit", "no_session"} <= set(cdrs["what"])


def test_no_session_runs_while_its_station_is_silent_or_its_port_is_stopped() -> None:
    beside_a_faulted_plug = 0
    for seed in range(1, 9):
        net = build_network(18, 22, seed, START, Profile(trouble=6, demand=3))
        outages = plan_outages(net, seed)
        sessions = plan_sessions(net, outages, seed, 50)
        assert len(sessions) > 500
        for row in range(len(outages)):
            here = net.port_station[sessions.port] == outages.station[row]
            if outages.port[row] >= 0 and not outages.is_silent[row]:
                here &= sessions.port == outages.port[row]
            here &= (sessions.reserved_at < outages.b[row]) & (sessions.unplugged_at > outages.a[row])
            if outages.kind[row] == ONE_CONNECTOR:
                beside_a_faulted_plug += int(here.sum())
                here &= sessions.connector == net.port_first_connector[sessions.port] + 1
            assert not here.any()
        same_port = sessions.port[1:] == sessions.port[:-1]
        assert (sessions.reserved_at[1:] > sessions.unplugged_at[:-1])[same_port].all()
        same_station = outages.station[1:] == outages.station[:-1]
        assert (outages.a[1:] > outages.last_second[:-1])[same_station].all()
    assert beside_a_faulted_plug > 0


# --- the log says what the truth says -------------------------------------------------------------------------------


class Replay:
    """What the messages of one operator's log say about its ports, second by second, by the published rules.

    Slow and simple on purpose: it shares nothing with the simulator, not even the idea of a session.
    """

    def __init__(self, rows: list[dict[str, Any]], ports: dict[str, list[tuple[str, list[tuple[int, int]]]]]) -> None:
        self.origin = int(seconds(f"{START}T00:00:00Z"))
        self.end = math.floor(max(seconds(row["captured_at"]) for row in rows))
        self.size = self.end - self.origin
        self.rows = rows
        self.ports = ports

    def life(self, station: str) -> tuple[list[float], list[float], int]:
        """Return when the station was heard, when its websocket closed, and its threshold."""
        heard, closed, interval = [], [], None
        for row in self.rows:
            if row["charger_id"] != station:
                continue
            at = seconds(row["captured_at"])
            if row["event_type"] == 1 or row["direction"] == "FROM_CP":
                heard.append(at)
            elif row["event_type"] == 0:
                closed.append(at)
            elif interval is None and "interval" in row["raw_frame"]:
                interval = json.loads(row["raw_frame"])[2]["interval"]
        return heard, closed, max(2 * interval + 30, 600) if interval else 630

    @cached_property
    def silences(self) -> tuple[dict[str, list[tuple[int, int]]], list[tuple[int, int]]]:
        """Return offline spans by station, and the holes of the log."""
        stations = {row["charger_id"] for row in self.rows}
        lives = {station: self.life(station) for station in stations}
        everyone = sorted(at for heard, _, _ in lives.values() for at in heard)
        largest = max(threshold for _, _, threshold in lives.values())
        holes = [(math.floor(a), math.floor(b)) for a, b in pairwise(everyone) if b - a > largest and len(stations) > 1]
        spans = defaultdict(list)
        for station, (heard, closed, threshold) in lives.items():
            known_end = self.end + 0.999
            for a, b in zip(heard, [*heard[1:], known_end], strict=True):
                hidden = sum(max(0, min(b, h1) - max(a, h0)) for h0, h1 in holes)
                shut = [at for at in closed if a < at < b]
                if b - a - hidden > threshold or (shut and b - shut[-1] > 60):
                    spans[station].append((math.floor(a), math.floor(b)))
        return spans, holes

    def connector_states(self, station: str) -> dict[tuple[int, int], list[tuple[int, str, str | None]]]:
        """Return the changes each connector's messages tell: at, state, error code."""
        spans, _ = self.silences
        told: dict[tuple[int, int], list[tuple[int, int, str, str | None]]] = defaultdict(list)
        charging: dict[str, tuple[int, int]] = {}
        order = 0
        names = {
            "Preparing": "occupied",
            "Finishing": "occupied",
            "SuspendedEV": "suspended_ev",
            "SuspendedEVSE": "suspended_evse",
        }
        for row in self.rows:
            if row["charger_id"] != station or row["event_type"] != 2:
                continue
            frame = json.loads(row["raw_frame"])
            if frame[0] != 2:
                continue
            _, _, action, payload = frame
            received = seconds(row["captured_at"])
            order += 1

            def when(stamp: str | None, received: float = received) -> int:
                event = seconds(stamp) if stamp else received
                late = any(a < event < b <= received <= b + 300 for a, b in spans[station])
                plausible = -60 <= received - event <= 120
                return math.floor(event if plausible or late else received)

            if action == "StatusNotification" and "errorCode" in payload:
                status = payload["status"]
                code = payload["errorCode"] if status == "Faulted" else None
                state = names.get(status, status.lower())
                told[payload["connectorId"], payload["connectorId"]].append(
                    (when(payload.get("timestamp")), order, state, code)
                )
            elif action == "StatusNotification":
                told[payload["evseId"], payload["connectorId"]].append(
                    (when(payload["timestamp"]), order, payload["connectorStatus"].lower(), None)
                )
            elif action == "NotifyEvent":
                event = payload["eventData"][0]
                evse = event["component"]["evse"]
                told[evse["id"], evse["connectorId"]].append(
                    (when(event["timestamp"]), order, event["actualValue"].lower(), None)
                )
            elif action == "TransactionEvent":
                transaction = payload["transactionInfo"]["transactionId"]
                if payload["eventType"] == "Started":
                    charging[transaction] = (payload["evse"]["id"], payload["evse"]["connectorId"])
                state = names.get(payload["transactionInfo"]["chargingState"], "occupied")
                if payload["transactionInfo"]["chargingState"] == "Charging":
                    state = "charging"
                if payload["eventType"] == "Ended":
                    state = "occupied"
                told[charging[transaction]].append((when(payload["timestamp"]), order, f"*{state}", None))
        return {
            key: [(at, state, code) for at, _, state, code in sorted(rows, key=lambda r: r[:2])]
            for key, rows in told.items()
        }

    def painted(self, changes: list[tuple[int, str, str | None]]) -> np.ndarray:
        """Return the state of a connector in every second; -1 before the first status."""
        line = np.full(self.size, -1)
        status, refined = "", ""
        for at, state, _ in changes:
            if state.startswith("*"):  # a transaction refines Occupied
                refined = state[1:]
            else:
                status = state
                if state != "occupied":
                    refined = ""
            shown = refined if status == "occupied" and refined else status
            if shown:
                line[max(0, at - self.origin) :] = STATES.index(shown)
        return line

    def port_lines(self) -> dict[str, np.ndarray]:
        """Return the state of every port in every second."""
        rank = np.array([BEST_FIRST.index(s) if s in BEST_FIRST else 99 for s in STATES] + [98])
        lines = {}
        spans, holes = self.silences
        for station, ports in self.ports.items():
            connectors = {key: self.painted(rows) for key, rows in self.connector_states(station).items()}
            zero = connectors.get((0, 0))
            for port, keys in ports:
                own = np.stack([connectors[key] for key in keys])
                line = own[np.argmin(rank[own], axis=0), np.arange(self.size)]
                known = line >= 0
                if zero is not None:
                    works = rank[line] <= BEST_FIRST.index("reserved")
                    down = np.isin(zero, [STATES.index("faulted"), STATES.index("unavailable")])
                    line = np.where(known & works & down, zero, line)
                for a, b in spans[station]:
                    line[a - self.origin : b - self.origin] = STATES.index("offline")
                for a, b in holes:
                    line[a - self.origin : b - self.origin] = STATES.index("unknown")
                lines[port] = np.where(known, line, -1)
        return lines


def operators_ports(home: Path) -> dict[str, dict[str, list[tuple[str, list[tuple[int, int]]]]]]:
    sites = registry(home, "sites").select("site_id", "operator_id")
    ports = registry(home, "ports").join(registry(home, "stations"), on="station_id").join(sites, on="site_id")
    found: dict[str, dict[str, list]] = defaultdict(lambda: defaultdict(list))
    for row in ports.iter_rows(named=True):
        keys = [tuple(int(n) for n in text.split("/")) for text in row["ocpp_connector_ids"].split()]
        found[row["operator_id"]][row["station_id"]].append(
            (row["port_id"], [key if len(key) == 2 else key * 2 for key in keys])
        )
    return found


def test_replaying_the_log_by_the_published_rules_gives_the_true_port_states(home: Path) -> None:
    states = truth(home, "port_state")
    logs = records(home)
    seen = set()
    for operator, ports in operators_ports(home).items():
        replay = Replay(logs[operator], ports)
        for port, line in replay.port_lines().items():
            expected = np.full(replay.size, -1)
            own = states.filter(pl.col("port_id") == port).sort("started_at")
            for row in own.iter_rows(named=True):
                a = int(row["started_at"].timestamp()) - replay.origin
                expected[a : a + row["duration_s"]] = STATES.index(row["state"])
            wrong = np.flatnonzero(line != expected)
            assert len(wrong) == 0, (
                f"{port}: {len(wrong)} s differ, first at {datetime.fromtimestamp(replay.origin + wrong[0], UTC)}: "
                f"log {STATES[line[wrong[0]]]}, truth {STATES[expected[wrong[0]]]}"
            )
            seen |= set(own["state"])
    assert seen == set(STATES)


def transactions_of(rows: list[dict[str, Any]]) -> dict[tuple[str, str], dict[str, Any]]:
    """Return start, end and meter readings of the transactions a log tells of."""
    found: dict[tuple[str, str], dict[str, Any]] = {}
    waiting: dict[tuple[str, str], list[Any]] = {}
    for row in rows:
        if row["event_type"] != 2:
            continue
        frame, station = json.loads(row["raw_frame"]), row["charger_id"]
        if frame[0] == 2 and frame[2] == "StartTransaction":
            waiting[station, frame[1]] = frame[3]
        elif frame[0] == 3 and (station, frame[1]) in waiting:
            start = waiting.pop((station, frame[1]))
            key = (station, str(frame[2]["transactionId"]))
            found[key] = {"start": start["timestamp"], "wh": [Decimal(start["meterStart"])], "end": None}
        elif frame[0] == 2 and frame[2] in ("MeterValues", "StopTransaction"):
            session = found[station, str(frame[3]["transactionId"])]
            if frame[2] == "StopTransaction":
                session["end"] = frame[3]["timestamp"]
                session["wh"].append(Decimal(frame[3]["meterStop"]))
            else:
                value = frame[3]["meterValue"][0]["sampledValue"][0]
                session["wh"].append(Decimal(value["value"]) * (1000 if value["unit"] == "kWh" else 1))
        elif frame[0] == 2 and frame[2] == "TransactionEvent":
            event = frame[3]
            key = (station, event["transactionInfo"]["transactionId"])
            if event["eventType"] == "Started":
                assert event["seqNo"] == 0
                found[key] = {"start": event["timestamp"], "wh": [], "end": None, "seq": -1}
            assert event["seqNo"] == found[key]["seq"] + 1
            found[key]["seq"] += 1
            for value in event.get("meterValue", [{"sampledValue": []}])[0]["sampledValue"][:1]:
                scale = 1000 if value["unitOfMeasure"]["unit"] == "kWh" else 1
                found[key]["wh"].append(Decimal(str(value["value"])) * scale)
            if event["eventType"] == "Ended":
                found[key]["end"] = event["timestamp"]
    return found


def test_the_transactions_in_the_log_are_the_true_sessions(home: Path) -> None:
    told = {key: value for rows in records(home).values() for key, value in transactions_of(rows).items()}
    sessions = truth(home, "session")
    assert len(told) == len(sessions)
    for row in sessions.iter_rows(named=True):
        session = told[row["station_id"], row["transaction_id"]]
        assert datetime.fromisoformat(session["start"]) == row["started_at"]
        assert (datetime.fromisoformat(session["end"]) if session["end"] else None) == row["ended_at"]
        assert row["is_complete"] == (session["end"] is not None)
        assert session["wh"] == sorted(session["wh"])
        assert (session["wh"][-1] - session["wh"][0]) / 1000 == row["energy_kwh"]


def test_every_call_is_answered_on_its_connection_before_the_next_one(home: Path) -> None:
    for rows in records(home).values():
        open_calls: dict[tuple[str, str], str] = {}
        for row in rows:
            if row["event_type"] != 2:
                continue
            frame = json.loads(row["raw_frame"])
            key = (row["charger_id"], row["connection_id"])
            if frame[0] == 2:
                assert key not in open_calls
                open_calls[key] = frame[1]
            else:
                assert open_calls.pop(key) == frame[1]
        assert open_calls == {}


def test_calls_and_answers_follow_the_schemas_of_their_protocol(home: Path) -> None:
    messages = pytest.importorskip("ocpp.messages", reason="PyPI ocpp, which brings the schemas, is not installed")
    models = dict(registry(home, "stations").select("station_id", "model").iter_rows())
    checked: dict[tuple[str, str, int], int] = defaultdict(int)
    for rows in records(home).values():
        version: dict[str, str] = {}
        called: dict[str, str] = {}
        for row in rows:
            if row["event_type"] != 2:
                continue
            station = row["charger_id"]
            frame = json.loads(row["raw_frame"])
            if frame[0] == 2:
                called[station] = frame[2]
                if frame[2] == "BootNotification":
                    is_21 = models[station] == "L-EVSE 21"
                    version[station] = "1.6" if "chargePointVendor" in frame[3] else "2.1" if is_21 else "2.0.1"
            key = (version[station], called[station], frame[0])
            checked[key] += 1
            if checked[key] <= 40:
                messages.get_validator(frame[0], key[1], key[0]).validate(frame[-1])
    assert {version for version, _, _ in checked} == {"1.6", "2.0.1", "2.1"}
    assert checked["1.6", "StopTransaction", 2] > 0
    assert checked["2.0.1", "TransactionEvent", 2] > 0
    assert checked["2.1", "NotifyEvent", 2] > 0


# --- money ----------------------------------------------------------------------------------------------------------


def embedded_or_current(cdr: dict[str, Any], tariffs: list[dict[str, Any]]) -> dict[str, Any]:
    if cdr.get("tariffs"):
        return cdr["tariffs"][0]
    wanted = cdr["charging_periods"][0]["tariff_id"]
    at = cdr["start_date_time"]
    return next(t for t in tariffs if t["id"] == wanted and t["start_date_time"] <= at < t.get("end_date_time", "9"))


def price_of(cdr: dict[str, Any], tariff: dict[str, Any], zone: ZoneInfo) -> tuple[Decimal, Decimal | None]:
    """Return the net total of a CDR, exact, and the VAT percent of its tariff: one dimension after another."""
    night = [e for e in tariff["elements"] if "restrictions" in e]
    day = next(e for e in tariff["elements"] if "restrictions" not in e)

    def component(type_: str, at: str) -> dict[str, Any] | None:
        hour = datetime.fromisoformat(at).astimezone(zone).hour
        first = night if hour >= 22 or hour < 6 else []
        found = [c for e in [*first, day] for c in e["price_components"] if c["type"] == type_]
        return found[0] if found else None

    total = Decimal(0)
    sums: dict[str, Decimal] = defaultdict(Decimal)
    last: dict[str, dict[str, Any]] = {}
    for period in cdr["charging_periods"]:
        for dimension in period["dimensions"]:
            part = component(dimension["type"], period["start_date_time"])
            volume = Decimal(dimension["volume"])
            if dimension["type"] != "ENERGY":
                volume = Decimal(round(volume * 3600))
            sums[dimension["type"]] += volume
            if part:
                last[dimension["type"]] = part
                total += volume * Decimal(part["price"]) / (1 if dimension["type"] == "ENERGY" else 3600)
    for type_, part in last.items():
        size = Decimal(part["step_size"]) / (1000 if type_ == "ENERGY" else 1)
        surplus = (sums[type_] / size).to_integral_value("ROUND_CEILING") * size - sums[type_]
        total += surplus * Decimal(part["price"]) / (1 if type_ == "ENERGY" else 3600)
    flat = component("FLAT", cdr["charging_periods"][0]["start_date_time"])
    total += Decimal(flat["price"]) if flat else 0
    return total, day["price_components"][0].get("vat")


def cents(value: Decimal) -> Decimal:
    return value.quantize(Decimal("0.01"), ROUND_HALF_UP)


def billed(cdr: dict[str, Any]) -> tuple[Decimal, Decimal | None]:
    cost = cdr["total_cost"]
    if not isinstance(cost, dict):
        return Decimal(cost), None
    if "before_taxes" in cost:
        net = Decimal(cost["before_taxes"])
        return net, net + sum(Decimal(tax["amount"]) for tax in cost["taxes"])
    return Decimal(cost["excl_vat"]), Decimal(cost["incl_vat"])


def every_cdr(home: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    for peer, rows in objects(home, "cdrs").items():
        yield from ((peer, cdr) for cdr in {cdr["id"]: cdr for cdr in rows}.values())


def test_cdrs_are_priced_by_their_tariffs_to_the_cent_but_for_the_marked_ones(home: Path) -> None:
    known = {(row["peer"], row["cdr_id"]): row for row in truth(home, "cdr").iter_rows(named=True)}
    zones = dict(registry(home, "sites").select("site_id", "time_zone").iter_rows())
    tariffs = objects(home, "tariffs")
    versions, priced_by_step, split = set(), 0, 0
    for peer, cdr in every_cdr(home):
        row = known.pop((peer, cdr["id"]))
        net, gross = billed(cdr)
        assert (net, gross) == (row["net"], row["gross"])
        end = cdr.get("end_date_time") or cdr["stop_date_time"]
        assert datetime.fromisoformat(end) == row["ended_at"]
        assert Decimal(cdr["total_energy"]) * (-1 if row["is_credit"] else 1) == row["energy_kwh"]
        split += sum("ENERGY" in str(p["dimensions"]) for p in cdr["charging_periods"]) > 1
        if row["what"] in ("wrong_price", "no_session"):
            assert row["is_marked_wrong"]
            continue
        tariff = embedded_or_current(cdr, tariffs[peer])
        exact, vat = price_of(cdr, tariff, ZoneInfo(zones[row["site_id"]]))
        sign = -1 if row["is_credit"] else 1
        assert net == sign * cents(exact)
        assert gross is None if vat is None else gross == sign * cents(abs(net) * (1 + Decimal(vat) / 100))
        assert net == row["repriced_net"]
        versions.add((peer, tariff["last_updated"]))
        priced_by_step += any(c["step_size"] == 100 for c in tariff["elements"][-1]["price_components"])
    assert known == {}
    assert len(versions) >= 6
    assert split > 0


def test_cdrs_tell_the_same_story_as_the_transactions_but_for_the_marked_ones(home: Path) -> None:
    sessions = {(row["station_id"], row["transaction_id"]): row for row in truth(home, "session").iter_rows(named=True)}
    ports = dict(registry(home, "ports").select("ocpi_evse_uid", "port_id").iter_rows())
    known = {(row["peer"], row["cdr_id"]): row for row in truth(home, "cdr").iter_rows(named=True)}
    for peer, cdr in every_cdr(home):
        row = known[peer, cdr["id"]]
        uid = cdr["cdr_location"]["evse_uid"] if "cdr_location" in cdr else cdr["location"]["evses"][0]["uid"]
        assert ports[uid] == row["port_id"]
        if row["what"] == "no_session":
            assert row["transaction_id"] is None
            continue
        session = sessions[row["station_id"], row["transaction_id"]]
        assert (session["started_at"], session["ended_at"]) == (row["started_at"], row["ended_at"])
        if "session_id" in cdr:
            assert cdr["session_id"] == session["transaction_id"]
        differs = session["energy_kwh"] != abs(row["energy_kwh"])
        assert differs == (row["what"] == "wrong_energy")
    without = truth(home, "session").filter(pl.col("cdr_id").is_null() & pl.col("is_complete") & ~pl.col("is_failed"))
    assert len(without) >= 1  # missing CDRs


def test_a_credit_takes_back_exactly_its_cdr(home: Path) -> None:
    cdrs = truth(home, "cdr")
    credits_ = cdrs.filter(pl.col("is_credit")).join(
        cdrs, left_on=["peer", "credited_cdr_id"], right_on=["peer", "cdr_id"], suffix="_of"
    )
    assert len(credits_) == len(cdrs.filter(pl.col("is_credit"))) > 0
    assert (credits_["net"] + credits_["net_of"] == 0).all()
    assert (credits_["local_date"] == credits_["local_date_of"]).all()


def test_peers_speak_three_versions_and_resend_a_cdr_unchanged(home: Path) -> None:
    cdrs = objects(home, "cdrs")
    assert "stop_date_time" in cdrs["prairie"][0]
    assert "excl_vat" in cdrs["gruenstrom"][0]["total_cost"]
    assert "before_taxes" in cdrs["harbour"][0]["total_cost"]
    for rows in cdrs.values():
        times: dict[str, list[str]] = defaultdict(list)
        for cdr in rows:
            times[cdr["id"]].append(json.dumps(cdr, default=str))
        again = [texts for texts in times.values() if len(texts) > 1]
        assert again
        assert all(len(set(texts)) == 1 for texts in again)


def test_tokens_and_locations_match_the_log_and_the_registry(home: Path) -> None:
    uids = {token["uid"] for rows in objects(home, "tokens").values() for token in rows}
    used = set()
    for rows in records(home).values():
        for row in rows:
            if row["raw_frame"] and '"StartTransaction"' in row["raw_frame"]:
                used.add(json.loads(row["raw_frame"])[3]["idTag"])
    cards = {tag for tag in used if not tag.startswith("AH")}
    assert cards
    assert cards <= uids
    evses = {e["uid"] for rows in objects(home, "locations").values() for loc in rows for e in loc["evses"]}
    assert evses == set(registry(home, "ports")["ocpi_evse_uid"])


def test_the_registry_files_pass_their_own_schema(home: Path) -> None:
    schemas = pytest.importorskip("pipelines.registry.schemas")
    for name, file in schemas.REGISTRY_FILES.items():
        path = home / "landing/registry" / f"{name}.csv"
        if not path.exists():
            assert name in ("sla_policies", "hourly_prices")
            continue
        frame = registry(home, name)
        assert set(frame.columns) <= set(file.field_names)
        assert frame.select(file.key).is_unique().all()
        for field in file.fields:
            if field.name not in frame.columns:
                assert not field.required
                continue
            text = frame[field.name].replace("", None)
            assert not (field.required and text.null_count())
            assert field.kind.parse(text).null_count() == text.null_count(), f"{name}.{field.name}"


def test_parquet_truth_keeps_money_and_energy_exact(home: Path) -> None:
    for name, column in (("cdr", "net"), ("cdr", "energy_kwh"), ("port_day", "revenue_net"), ("session", "energy_kwh")):
        kind = duckdb.sql(f"describe select {column} from '{home}/truth/{name}.parquet'").fetchall()[0][1]
        assert kind == "DECIMAL(18,6)"
