"""The port-state models against a second-by-second implementation of the same rules, on random networks."""

import os
from collections import Counter, defaultdict
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import duckdb
import pytest
from dbt.adapters.duckdb.connections import DuckDBConnectionManager
from dbt.cli.main import dbtRunner

from pipelines.settings import project_root
from tests.lake_builder import LakeBuilder
from tests.oracles.port_state import Interval, port_states
from tests.oracles.port_state_networks import Network, make_network

NETWORKS = int(os.environ.get("CHARGEHOUSE_ORACLE_NETWORKS", "110"))
FIRST_SEED = int(os.environ.get("CHARGEHOUSE_ORACLE_SEED", "1"))
# Berlin puts its clocks forward on 29 March 2026, within the days of the networks
START = datetime(2026, 3, 28, 9, 30, tzinfo=UTC)
ZONE = "Europe/Berlin"


def _instant(ms: int | None) -> datetime | None:
    return None if ms is None else START + timedelta(milliseconds=ms)


def _second(instant: datetime) -> int:
    return int((instant - START).total_seconds())


def write(networks: list[Network], home: Path) -> None:
    """Write the networks as lake tables."""
    lake = LakeBuilder(home)
    frames, connections, statuses, transactions, ports = [], [], [], [], []
    for network in networks:
        for line in network.log.lines:
            row = {
                "source_id": line.file,
                "frame_id": line.frame_id,
                "log_source": network.name,
                "station_id": line.station,
                "received_at": _instant(line.received),
                "connection_id": line.connection,
            }
            if line.event:
                connections.append({**row, "event": line.event})
                continue
            frames.append(
                {
                    **row,
                    "direction": line.direction,
                    "message_type": line.message_type,
                    "message_id": line.message_id,
                    "action": line.action,
                    "result_status": line.result_status,
                    "result_interval_s": line.result_interval,
                }
            )
        for message in (*network.log.statuses, *network.log.transactions):
            row = {
                "frame_id": message.frame_id,
                "log_source": network.name,
                "station_id": message.station,
                "received_at": _instant(message.received),
                "event_at": _instant(message.event_at),
                "evse_id": message.evse,
                "connector_id": message.connector,
            }
            if hasattr(message, "status"):
                codes = {"error_code": message.error_code, "vendor_error_code": message.vendor_error_code}
                row |= {"status": message.status, "reported_by": "StatusNotification", **codes}
                is_2x = message.evse is not None
                statuses.append({**row, "protocol": "ocpp2.0.1" if is_2x else "ocpp1.6"})
            else:
                row |= {"event_type": message.event_type, "transaction_id": message.transaction_id}
                row |= {
                    "charging_state": message.charging_state,
                    "seq_no": message.seq_no,
                    "is_offline": message.offline,
                }
                transactions.append({**row, "protocol": "ocpp2.0.1"})
        for port_id, station_id, connector_ids in network.registered:
            ports.append(
                {
                    "source_id": "ports",
                    "port_id": port_id,
                    "station_id": station_id,
                    "ocpp_connector_ids": connector_ids,
                    "power_type": "AC",
                    "max_power_kw": 22,
                }
            )
    for table, rows in (
        ("frame", frames),
        ("connection_event", connections),
        ("status_event", statuses),
        ("transaction_event", transactions),
        ("registry/port", ports),
    ):
        # every third row goes to a file of its own, and the first hundred are delivered twice
        lake.add(table, [row for n, row in enumerate(rows) if n % 3])
        lake.add(table, [row for n, row in enumerate(rows) if not n % 3])
        if table not in ("frame", "connection_event", "registry/port"):
            lake.add(table, rows[:100])
    lake.add(
        "meta/landed_file",
        [{"source_id": "ports", "path": "registry/ports.csv", "kind": "registry", "is_current": True}],
    )


@pytest.fixture(scope="module")
def networks() -> list[Network]:
    """Random networks, more than 200 stations in all."""
    return [make_network(seed) for seed in range(FIRST_SEED, FIRST_SEED + NETWORKS)]


@pytest.fixture(scope="module")
def built(networks: list[Network], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The build database after one dbt run over all networks."""
    home = tmp_path_factory.mktemp("port_state")
    write(networks, home)
    dbt = Path(os.environ.get("CHARGEHOUSE_DBT", project_root() / "dbt"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CHARGEHOUSE_HOME", str(home))
        patch.setenv("CHARGEHOUSE_DEFAULT_TIME_ZONE", ZONE)
        where = ["--project-dir", str(dbt), "--profiles-dir", str(dbt)]
        where += ["--target-path", str(home / "target"), "--log-path", str(home / "logs"), "--quiet"]
        models = ["--select", "+fct_port_state", "+int_port_state_day", "--exclude-resource-types", "test", "unit_test"]
        try:
            built = dbtRunner().invoke(["build", *models, *where])
            assert built.success, built.exception or [r.message for r in built.result if r.status == "error"]
            tests = ["--select", "fct_port_state", "package:chargehouse,path:models/intermediate/availability"]
            tests += ["--indirect-selection", "cautious"]
            tested = dbtRunner().invoke(["test", *tests, "--exclude-resource-types", "unit_test", *where])
            assert tested.success, tested.exception or [r.node.name for r in tested.result if r.status == "fail"]
        finally:
            DuckDBConnectionManager.close_all_connections()
    return home / "warehouse" / "build.duckdb"


@pytest.fixture(scope="module")
def expected(networks: list[Network]) -> list[Interval]:
    """What the oracle says."""
    return [interval for network in networks for interval in port_states(network.log, network.ports)]


def _rows(built: Path, query: str) -> list[tuple]:
    with duckdb.connect(str(built), read_only=True) as con:
        con.execute("set TimeZone = 'UTC'")
        return con.execute(query).fetchall()


def test_every_interval_is_the_one_that_counting_seconds_gives(built: Path, expected: list[Interval]) -> None:
    rows = _rows(
        built,
        "select port_id, state, started_at, ended_at, known_until_at, error_code, vendor_error_code, "
        "duration_s, is_open from marts.fct_port_state",
    )
    found: dict[str, list[Interval]] = defaultdict(list)
    for port, state, started, ended, until, code, vendor, duration_s, is_open in rows:
        end = None if ended is None else _second(ended)
        found[port].append(Interval(port, state, _second(started), end, _second(until), code, vendor))
        assert duration_s == _second(until) - _second(started)
        assert is_open == (ended is None)
    wanted: dict[str, list[Interval]] = defaultdict(list)
    for interval in expected:
        wanted[interval.port].append(interval)
    differing = []
    for port in sorted(set(found) | set(wanted)):
        got = sorted(found[port], key=lambda i: i.started)
        if got != wanted[port]:
            first = next(
                (p for p in zip(got, wanted[port], strict=False) if p[0] != p[1]), (len(got), len(wanted[port]))
            )
            differing.append(f"{port}\n  models {first[0]}\n  oracle {first[1]}")
    assert not differing, f"{len(differing)} of {len(wanted)} ports differ:\n" + "\n".join(differing[:5])


def test_the_networks_exercise_every_state_and_every_kind_of_silence(
    built: Path, networks: list[Network], expected: list[Interval]
) -> None:
    """Guards the test above: a generator that stopped to make holes would still be green there."""
    assert sum(len({line.station for line in network.log.lines}) for network in networks) >= 2 * NETWORKS * 0.9
    states = Counter(interval.state for interval in expected)
    assert {"available", "charging", "suspended_ev", "suspended_evse", "occupied", "reserved"} <= set(states)
    assert {"unavailable", "faulted", "offline", "unknown"} <= set(states)
    reasons = dict(_rows(built, "select reason, count(*) from intermediate.int_station_silence group by 1"))
    assert set(reasons) == {"silence", "disconnect", "all_silent", "no_file"}


def test_the_seconds_of_local_days_are_those_of_the_intervals_cut_at_local_midnight(
    built: Path, expected: list[Interval]
) -> None:
    zone = ZoneInfo(ZONE)
    wanted: Counter[tuple[str, date, str]] = Counter()
    for interval in expected:
        at = START + timedelta(seconds=interval.started)
        end = START + timedelta(seconds=interval.known_until)
        while at < end:
            day = at.astimezone(zone).date()
            midnight = datetime.combine(day + timedelta(days=1), datetime.min.time(), zone).astimezone(UTC)
            wanted[interval.port, day, interval.state] += int((min(midnight, end) - at).total_seconds())
            at = midnight
    of_which = {"reserved": "available", "suspended_ev": "occupied", "suspended_evse": "occupied"}
    columns = ["available", "reserved", "occupied", "suspended_ev", "suspended_evse", "charging", "faulted"]
    columns += ["unavailable", "offline", "unknown"]
    expected_days: dict[tuple[str, date], Counter[str]] = defaultdict(Counter)
    for (port, day, state), seconds in wanted.items():
        expected_days[port, day][state] += seconds
        expected_days[port, day]["period"] += seconds
        if state in of_which:
            expected_days[port, day][of_which[state]] += seconds
    rows = _rows(
        built,
        f"select port_id, local_date, period_s, {', '.join(f'{c}_s' for c in columns)} "
        "from intermediate.int_port_state_day",
    )
    found = {(port, day): tuple(rest) for port, day, *rest in rows}
    assert found == {key: tuple(value[c] for c in ("period", *columns)) for key, value in expected_days.items()}
    assert any(day == date(2026, 3, 29) and seconds[0] == 23 * 3600 for (_, day), seconds in found.items())
