"""Outages and uptime against a second-by-second implementation of the same rules, on random networks."""

import itertools
import math
import os
import random
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest
from dbt.adapters.duckdb.connections import DuckDBConnectionManager
from dbt.cli.main import dbtRunner

from pipelines.settings import project_root
from tests.dbt import test_port_state_oracle as port_state_test
from tests.lake_builder import LakeBuilder
from tests.oracles.port_state import Interval, port_states
from tests.oracles.port_state_networks import Network, make_network
from tests.oracles.sla import Exclusion, Figure, Outage, Policy, Port, Rule, figures, outages

ZONE = "Europe/Berlin"
HOUR = timedelta(hours=1)
STATES = ("available", "occupied", "charging", "suspended_ev", "suspended_evse", "reserved", "unavailable", "faulted")
REASONS = (
    "scheduled_maintenance", "utility_interruption", "vandalism", "natural_disaster", "vehicle_fault", "telecom", "other",
)  # fmt: skip
ALL_DAY = [(0, 1440)]
# as OpenStreetMap spells it, and what it means by weekday (0 Monday); None where a site never closes or is not understood
HOURS: list[tuple[str | None, dict[int, list[tuple[int, int]]] | None]] = [
    (None, None),
    ("24/7", None),
    ("Mo-Su 00:00-24:00", None),
    ("whenever the sun shines", None),
    ("Mo-Fr 06:00-22:00; Sa,Su 08:00-20:00",
     {**{key: [(360, 1320)] for key in range(5)}, **{key: [(480, 1200)] for key in (5, 6)}}),
    ("22:00-06:00", {key: [(1320, 1800)] for key in range(7)}),
    ("Fr-Mo 05:30-07:15, 12:00-23:30; Su off; PH off",
     {**{key: [(330, 435), (720, 1410)] for key in (4, 5, 0)}, 6: [], 1: [], 2: [], 3: []}),
    ("mo-su,PH 10:00-26:00; We", {**{key: [(600, 1560)] for key in range(7)}, 2: ALL_DAY}),
]  # fmt: skip


@dataclass(frozen=True)
class Batch:
    """Networks that share one run of the models."""

    start: datetime
    seeds: tuple[int, ...]


NETWORKS = int(os.environ.get("CHARGEHOUSE_ORACLE_NETWORKS", "110"))
BATCHES = {
    # Berlin puts its clocks forward on 29 March 2026 at 01:00 UTC; the networks last some hours
    "summer time": Batch(datetime(2026, 3, 28, 22, tzinfo=UTC), tuple(s for s in range(1, NETWORKS * 4 // 5) if s % 8)),
    # 80 hours around the turn of the year, among them lone stations with holes of a day
    "new year": Batch(
        datetime(2025, 12, 29, 10, tzinfo=UTC), tuple(s for s in range(1000, 1000 + NETWORKS * 3 // 5) if s % 2 == 0)
    ),
}


def random_policies(rng: random.Random) -> list[Policy]:
    """Policies that differ in everything a policy can say."""
    made = []
    for n in range(12):
        states = dict.fromkeys(STATES, "up") | {"unavailable": "down", "faulted": "down", "unknown": "exclude"}
        for state in rng.sample(list(states), rng.choice((0, 0, 1, 3))):
            states[state] = rng.choice(("up", "down", "exclude"))
        rules = []
        for reason in sorted(rng.sample([*REASONS, "outside_open_hours"], rng.choice((0, 2, 5, 8)))):
            rules.append(
                Rule(
                    reason,
                    rng.random() < 0.4,
                    reason == "outside_open_hours",
                    rng.choice((None, None, 300, 1800)),
                    rng.choice((None, None, 600, 7200)),
                )
            )
        made.append(
            Policy(
                policy_id=f"p{n:02}",
                states=states,
                offline=rng.choice(("down", "down", "up", "exclude", "carry")),
                grace=rng.choice((0, 600, 601, 700, 3000)),
                backdate=rng.random() < 0.5,
                proof=rng.choice(("up", "down")),
                warnings="down" if n == 3 else "up",
                blocked=rng.choice(("up", "down", "exclude")),
                not_down=frozenset(rng.choice(((), ("CX009",), ("GroundFailure",), ("A", "B"), ("OtherError",)))),
                merge_gap=rng.choice((0, 1, 60, 300, 3600)),
                base=rng.choice(("elapsed", "elapsed", "open_hours", "elapsed_minus_excluded")),
                rules=tuple(rules),
                min_power=rng.choice((None, None, None, 50.0)),
                dc_only=rng.random() < 0.15,
                funded_only=rng.random() < 0.1,
            )
        )
    return made


def _policy_row(policy: Policy) -> dict[str, Any]:
    exclusions = " ".join(
        rule.reason
        + (":evidence" if rule.needs_evidence else "")
        + (":automatic" if rule.automatic else "")
        + (f":incident={rule.per_incident // 60}" if rule.per_incident is not None else "")
        + (f":year={rule.per_year // 60}" if rule.per_year is not None else "")
        for rule in policy.rules
    )
    return {
        "source_id": "more",
        "policy_id": policy.policy_id,
        "base_type": policy.base,
        "threshold_ratio": 0.97,
        **{f"status_map_{state}": value for state, value in policy.states.items()},
        "status_map_blocked": policy.blocked,
        "offline_treat": policy.offline,
        "offline_grace_s": policy.grace,
        "offline_backdate_to_last_message": policy.backdate,
        "offline_proof_of_life": policy.proof,
        "warnings_with_operative_status": policy.warnings,
        "fault_codes_not_down": " ".join(sorted(policy.not_down)) or None,
        "incident_merge_gap_s": policy.merge_gap,
        "exclusions": exclusions or None,
        "scope_min_power_kw": policy.min_power,
        "scope_dc_only": policy.dc_only,
        "scope_funded_only": policy.funded_only,
    }


class World:
    """Random networks with random registry rows, written as a lake, and the ports that the oracle is asked about."""

    def __init__(self, batch: Batch, home: Path) -> None:
        self.start = batch.start
        self.rng = random.Random(batch.seeds[0])
        self.networks = [make_network(seed) for seed in batch.seeds]
        self.policies = random_policies(self.rng)
        self.home = home
        self.lake = LakeBuilder(home)
        self.stations = sorted({line.station for network in self.networks for line in network.log.lines})
        self.hours: dict[str, dict[int, list[tuple[int, int]]] | None] = {}
        self.exclusions: list[dict[str, Any]] = []
        self.ocpi: dict[str, list[tuple[int, str]]] = {}
        self.registered: dict[str, dict[str, Any]] = {}
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(port_state_test, "START", batch.start)
            port_state_test.write(self.networks, home)
        self._write()

    def at(self, second: float) -> datetime:
        return self.start + timedelta(seconds=second)

    def second(self, instant: datetime) -> int:
        return math.floor((instant - self.start).total_seconds())

    def _write(self) -> None:
        rng = self.rng
        last = max(line.received for n in self.networks for line in n.log.lines if line.received is not None) // 1000
        sites, stations = [], []
        for station in self.stations:
            text, meaning = rng.choice(HOURS)
            self.hours[station] = meaning
            site = {
                "source_id": "more",
                "site_id": f"site-{station}",
                "name": station,
                "owner_id": "o",
                "operator_id": "p",
            }
            site |= {"time_zone": ZONE, "country_code": "DE", "currency": "EUR", "opening_hours": text}
            sites.append(site | {"ocpi_location_id": f"loc-{station}"})
            stations.append({"source_id": "more", "station_id": station, "site_id": f"site-{station}"})
        ports, connectors, locations = [], [], []
        for network in self.networks:
            length = max(line.received or 0 for line in network.log.lines) // 1000
            for port, station, ids in network.registered:
                row = {"source_id": "more", "port_id": port, "station_id": station, "ocpp_connector_ids": ids}
                row |= {"power_type": rng.choice(("AC", "DC")), "max_power_kw": rng.choice((22, 50, 150))}
                row["funding"] = rng.choice((None, "NEVI"))
                row["commissioned_at"] = rng.choice((None, self.at(rng.randint(-7200, length // 2))))
                row["decommissioned_at"] = rng.choice((None, None, self.at(rng.randint(length // 2, length * 2))))
                row["ocpi_evse_uid"] = f"EVSE-{port}"
                self.registered[port] = row
                ports.append(row)
                told = [
                    (
                        rng.randint(-5000, length),
                        rng.choice(("AVAILABLE", "BLOCKED", "BLOCKED", "REMOVED", "OUTOFORDER")),
                    )
                    for _ in range(rng.choice((0, 2, 5)))
                ]
                self.ocpi[port] = sorted(dict(told).items())
                for number, (second, status) in enumerate(self.ocpi[port], start=1):
                    version = {
                        "source_id": f"ocpi-{port}-{number}",
                        "record_number": 1,
                        "record_hash": f"{port}-{number}",
                    }
                    version |= {"peer": "peer", "location_id": f"loc-{station}"}
                    locations.append(version | {"last_updated_at": self.at(second)})
                    connectors.append(
                        version
                        | {
                            "evse_uid": f"EVSE-{port}",
                            "evse_status": status,
                            "connector_id": "1",
                            "evse_last_updated_at": self.at(second),
                        }
                    )
            for port in network.ports:
                station = network.ports[port][0][0]
                for _ in range(rng.choice((0, 1, 3, 6))):
                    begin = rng.randint(-4000, length)
                    scope, scope_id = rng.choice((("port", port), ("station", station), ("site", f"site-{station}")))
                    self.exclusions.append(
                        {
                            "source_id": "more",
                            "exclusion_id": f"x{len(self.exclusions):05}",
                            "scope": scope,
                            "scope_id": scope_id,
                            "started_at": self.at(begin),
                            "ended_at": self.at(begin + rng.choice((0, 1, 500, 5000, 50_000, 200_000))),
                            "reason": rng.choice(REASONS),
                            "evidence": rng.choice((None, "letter")),
                        }
                    )
        # the last line of any log is the horizon of all
        assert last > 0
        add = self.lake.add
        add("registry/site", sites)
        add("registry/station", stations)
        add("registry/port", ports)
        add("registry/exclusion", self.exclusions)
        add("registry/sla_policy", [_policy_row(policy) for policy in self.policies])
        add("ocpi/connector", connectors)
        add("ocpi/location", locations)
        add(
            "meta/landed_file",
            [{"source_id": "more", "path": "registry/ports_more.csv", "kind": "registry", "is_current": True}],
        )

    def ports(self, query: Any) -> Iterator[tuple[Port, Network]]:
        """The ports as the oracle sees them, with the proofs that the sessions in the warehouse give."""
        sessions: dict[str, list[tuple]] = defaultdict(list)
        for row in query(
            "select port_id, station_id, transaction_id, started_at, ended_at, coalesce(ended_at, last_seen_at) "
            "from marts.fct_session where port_id is not null"
        ):
            sessions[row[0]].append(row[1:])
        for network in self.networks:
            found: dict[str, list[Interval]] = defaultdict(list)
            for interval in port_states(network.log, network.ports):
                found[interval.port].append(interval)
            for port_id, intervals in found.items():
                station = network.ports[port_id][0][0]
                row = self.registered.get(port_id, {})
                commissioned, decommissioned = row.get("commissioned_at"), row.get("decommissioned_at")
                port = Port(
                    port_id,
                    intervals,
                    ZONE,
                    served_from=intervals[0].started if commissioned is None else self.second(commissioned),
                    served_until=None if decommissioned is None else self.second(decommissioned),
                    power=row.get("max_power_kw"),
                    power_type=row.get("power_type"),
                    funded=row.get("funding") is not None,
                    hours=self.hours[station],
                )
                for record in self.exclusions:
                    if record["scope_id"] in (port_id, station, f"site-{station}"):
                        begin, end = self.second(record["started_at"]), self.second(record["ended_at"])
                        has_evidence = record["evidence"] is not None
                        port.exclusions.append(
                            Exclusion(record["exclusion_id"], record["reason"], begin, end, has_evidence)
                        )
                told = self.ocpi.get(port_id, [])
                for (begin, status), (end, _) in itertools.pairwise([*told, (10**7, "")]):
                    if status in ("BLOCKED", "REMOVED"):
                        (port.blocked if status == "BLOCKED" else port.removed).append((begin, end))
                port.proven = list(self._proven(network, station, intervals, sessions[port_id]))
                yield port, network

    def _proven(
        self, network: Network, station: str, intervals: list[Interval], sessions: list[tuple]
    ) -> Iterator[tuple[int, int]]:
        queued = [t for t in network.log.transactions if t.offline and t.station == station and t.event_at is not None]
        for of_station, transaction, started, ended, last_seen in sessions:
            begin, until = self.second(started), self.second(last_seen)
            signs = {begin} | ({self.second(ended)} if ended else set())
            signs |= {
                t.event_at // 1000
                for t in queued
                if of_station == station
                and t.transaction_id == transaction
                and started <= self.at(t.event_at / 1000) <= last_seen
            }
            for silence in intervals:
                inside = [s for s in signs if silence.started < s < silence.known_until]
                if silence.state == "offline" and inside:
                    span = max(begin, silence.started), min(until, silence.known_until)
                    if span[1] > span[0]:
                        yield span


@pytest.fixture(scope="module", params=list(BATCHES))
def world(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> World:
    """One batch of networks, with the models built over them and their tests passed."""
    home = tmp_path_factory.mktemp("sla")
    world = World(BATCHES[request.param], home)
    dbt = Path(os.environ.get("CHARGEHOUSE_DBT_PROJECT", project_root() / "dbt"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CHARGEHOUSE_HOME", str(home))
        patch.setenv("CHARGEHOUSE_DEFAULT_TIME_ZONE", ZONE)
        where = ["--project-dir", str(dbt), "--profiles-dir", str(dbt), "--quiet"]
        where += ["--target-path", str(home / "target"), "--log-path", str(home / "logs")]
        wanted = ["+chargehouse.marts.sla", "+chargehouse.intermediate.sla"]
        try:
            done = dbtRunner().invoke(
                ["build", "--select", *wanted, "--exclude-resource-types", "test", "unit_test", *where]
            )
            assert done.success, done.exception or [r.message for r in done.result if r.status == "error"]
            tests = ["chargehouse.marts.sla", "chargehouse.intermediate.sla", "chargehouse.sla"]
            done = dbtRunner().invoke(["test", "--select", *tests, "--exclude-resource-types", "unit_test", *where])
            assert done.success, done.exception or [(r.node.name, r.message) for r in done.result if r.status != "pass"]
        finally:
            DuckDBConnectionManager.close_all_connections()
    return world


def rows(world: World, query: str) -> list[tuple]:
    """Read the database that was built."""
    with duckdb.connect(str(world.home / "warehouse" / "build.duckdb"), read_only=True) as con:
        con.execute("set TimeZone = 'UTC'")
        return con.execute(query).fetchall()


def test_the_batches_hold_two_hundred_stations() -> None:
    """Guards the tests below."""
    stations = {
        (name, line.station)
        for name, batch in BATCHES.items()
        for seed in batch.seeds
        for line in make_network(seed).log.lines
    }
    assert len(stations) >= 200 * NETWORKS / 110, len(stations)


def test_every_outage_is_the_one_that_joining_seconds_gives(world: World) -> None:
    wanted = {outage for port, _ in world.ports(lambda q: rows(world, q)) for outage in outages(port)}
    found = {
        Outage(port, world.second(begin), world.second(until), is_open, cause, code, vendor, proven)
        for port, begin, until, is_open, cause, code, vendor, proven in rows(
            world,
            "select port_id, started_at, known_until_at, is_open, cause, error_code, vendor_error_code, proven_s "
            "from marts.fct_outage where gap_class is distinct from 'never_seen'",
        )
    }
    assert len(found) > NETWORKS
    assert sorted(found - wanted, key=str)[:5] == sorted(wanted - found, key=str)[:5] == []


def test_every_second_counts_as_the_oracle_has_it(world: World) -> None:
    horizon, begins = rows(world, "select max(horizon_at), min(in_service_from_at) from intermediate.int_sla_port")[0]
    origin = min(begins, world.start) - HOUR
    origin = origin.replace(minute=0, second=0)
    shift = int((world.start - origin).total_seconds())
    size = int((horizon - origin).total_seconds())
    found = {
        (port, policy, month.isoformat()): Figure(*rest)
        for port, policy, month, *rest in rows(
            world,
            "select subject_id, policy_id, period_start, window_s, up_s, down_s, excluded_s, over_cap_s, unknown_s, "
            "out_of_scope_s, silent_s, base_s from marts.fct_sla where grain = 'port' and period_kind = 'month' "
            "and policy_id like 'p%'",
        )
    }
    differing, compared, seen = [], 0, Figure(*[0] * 9)
    for port, _ in world.ports(lambda q: rows(world, q)):
        moved = _moved(port, shift)
        for (policy, month), expected in figures(moved, world.policies, origin, size).items():
            got = found.get((port.port_id, policy, month))
            compared += 1
            seen = Figure(*(a + b for a, b in zip(_values(seen), _values(expected), strict=True)))
            if got != expected:
                differing.append(f"{port.port_id} {policy} {month}\n  models {got}\n  oracle {expected}")
    assert not differing, f"{len(differing)} of {compared} differ:\n" + "\n".join(differing[:5])
    assert compared > 20 * NETWORKS
    assert min(_values(seen)) > 0, seen


def _values(figure: Figure) -> tuple[int, ...]:
    return tuple(getattr(figure, name) for name in Figure.__dataclass_fields__)


def _moved(port: Port, by: int) -> Port:
    """The same port with another second 0."""

    def spans(times: list[tuple[int, int]]) -> list[tuple[int, int]]:
        return [(begin + by, end + by) for begin, end in times]

    return Port(
        port.port_id,
        [
            Interval(
                i.port, i.state, i.started + by, None if i.ended is None else i.ended + by, i.known_until + by,
                i.error_code, i.vendor_error_code,
            )
            for i in port.intervals
        ],
        port.zone,
        port.served_from + by,
        None if port.served_until is None else port.served_until + by,
        port.power,
        port.power_type,
        port.funded,
        [Exclusion(x.exclusion_id, x.reason, x.started + by, x.ended + by, x.has_evidence) for x in port.exclusions],
        spans(port.blocked),
        spans(port.removed),
        spans(port.proven),
        port.hours,
    )  # fmt: skip
