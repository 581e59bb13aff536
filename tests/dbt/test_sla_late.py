"""A log that comes a month late changes the days it is about and nothing else, and the marts are those of a full run."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest

from pipelines.home import Home
from pipelines.ingest import KINDS, ingest, write_index
from pipelines.settings import Settings
from tests.dbt.test_sla_vectors import SLA, build
from tests.vectors.uptime.landing import Log

START = datetime(2026, 1, 5, tzinfo=UTC)
LATE_DAY = datetime(2026, 1, 14, tzinfo=UTC)
END = datetime(2026, 2, 16, tzinfo=UTC)
DAY, HOUR = timedelta(days=1), timedelta(hours=1)
REGISTRY = {
    "owners": "owner_id,name,currency\no,O,EUR",
    "operators": "operator_id,name\np,P",
    "sites": "site_id,name,owner_id,operator_id,time_zone,country_code,currency\ns,S,o,p,UTC,GB,EUR",
    "stations": "station_id,site_id\nLATE,s\nOTHER,s",
    "ports": "port_id,station_id,ocpp_connector_ids,power_type,max_power_kw\nLATE,LATE,1,DC,150\nOTHER,OTHER,1,DC,150",
}


def logs() -> tuple[list[str], list[str]]:
    """The lines that come at once, and those that come late: one station's on one day, with a fault of two hours."""
    early, late = [], []
    for station in ("LATE", "OTHER"):
        log = Log(station)
        log.boot(START, 3600)
        log.status(START, "Available")
        for day in (2, 9, 20, 33):
            log.fault(START + day * DAY + 5 * HOUR, 120)
        log.beats(START, END, HOUR, [])
        for at, _, _ in log.lines:
            assert at.tzinfo is UTC
        for (at, _, _), line in zip(sorted(log.lines, key=lambda x: x[:2]), log.text(), strict=True):
            is_late = station == "LATE" and LATE_DAY < at < LATE_DAY + DAY
            (late if is_late else early).append(line)
    return early, late


def home_with(folder: Path, *files: list[str]) -> Home:
    home = Home(folder)
    home.prepare()
    for name, text in REGISTRY.items():
        (home.landing / "registry" / f"{name}.csv").write_text(text + "\n")
    deliver(home, *files)
    return home


def deliver(home: Home, *files: list[str]) -> None:
    """Land files, decode what is new, and build the models."""
    folder = home.landing / "ocpp" / "writer"
    folder.mkdir(parents=True, exist_ok=True)
    for lines in files:
        (folder / f"log-{len(list(folder.iterdir())) + 1}.jsonl").write_text("".join(lines))
    settings = Settings(home=home.root, pseudonym_key="a key for tests")
    for kind in KINDS:
        ingest(home, settings, kind)
    write_index(home)
    build(home, *SLA)


Tables = dict[str, set[tuple[Any, ...]]]


def tables(home: Home) -> Tables:
    with duckdb.connect(str(home.root / "warehouse" / "build.duckdb"), read_only=True) as con:
        con.execute("set TimeZone = 'UTC'")
        names = [("intermediate", "int_port_state_day"), ("marts", "fct_port_state")]
        names += [
            ("marts", n) for n in ("fct_outage", "fct_sla", "fct_sla_downtime", "fct_sla_incident", "fct_sla_bridge")
        ]
        return {name: set(con.execute(f"select * from {schema}.{name}").fetchall()) for schema, name in names}


@pytest.fixture(scope="module")
def delivered(tmp_path_factory: pytest.TempPathFactory) -> tuple[Tables, Tables, Tables]:
    """The marts before the late log, after it, and of a home that got both logs at once, in another order."""
    early, late = logs()
    home = home_with(tmp_path_factory.mktemp("late"), early)
    before = tables(home)
    deliver(home, late)
    at_once = home_with(tmp_path_factory.mktemp("at_once"), late, early)
    return before, tables(home), tables(at_once)


def test_late_and_at_once_give_the_same_marts_row_for_row(delivered: tuple[Tables, Tables, Tables]) -> None:
    _, after, at_once = delivered
    for name in after:
        assert after[name] == at_once[name], name
        assert after[name], name


def test_only_the_day_of_the_late_log_changes(delivered: tuple[Tables, Tables, Tables]) -> None:
    before, after, _ = delivered
    changed = {row[:2] for row in before["int_port_state_day"] ^ after["int_port_state_day"]}
    assert changed == {("LATE", LATE_DAY.date())}
    instants = {row[6] for row in before["fct_sla_downtime"] ^ after["fct_sla_downtime"]}
    assert instants
    assert all(LATE_DAY <= at < LATE_DAY + DAY for at in instants)


def test_only_windows_that_hold_the_day_change(delivered: tuple[Tables, Tables, Tables]) -> None:
    before, after, _ = delivered
    # policy, version, grain, subject, kind, start, end
    changed = {row[3:7] for row in before["fct_sla"] ^ after["fct_sla"]}
    assert {subject for subject, *_ in changed} >= {"LATE", "s", "network"}
    assert "OTHER" not in {subject for subject, *_ in changed}
    assert all(start <= LATE_DAY.date() < end for *_, start, end in changed)
    untouched = {row for row in after["fct_sla"] if row[4] == "month" and row[5].month == 2}
    assert untouched
    assert untouched <= before["fct_sla"]
