"""Uptime of ports that is known by arithmetic, through the real decoder and the real models."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import pytest
from dbt.adapters.duckdb.connections import DuckDBConnectionManager
from dbt.cli.main import dbtRunner

from pipelines.home import Home
from pipelines.ingest import KINDS, ingest, write_index
from pipelines.settings import Settings, project_root
from tests.vectors.uptime.landing import write_landing

VECTORS = Path(__file__).resolve().parent.parent / "vectors" / "uptime"
READINGS = json.loads((VECTORS / "readings.json").read_text())
Query = Callable[[str], list[tuple[Any, ...]]]


def build(home: Home, *selected: str, vars_: str = "{}") -> None:
    """Build models and run the data tests that belong to the selected ones."""
    dbt = Path(os.environ.get("CHARGEHOUSE_DBT_PROJECT", project_root() / "dbt"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CHARGEHOUSE_HOME", str(home.root))
        where = ["--project-dir", str(dbt), "--profiles-dir", str(dbt), "--quiet", "--vars", vars_]
        where += ["--target-path", str(home.root / "target"), "--log-path", str(home.root / "logs")]
        try:
            done = dbtRunner().invoke(
                ["build", "--select", *selected, "--exclude-resource-types", "test", "unit_test", *where]
            )
            assert done.success, done.exception or [r.message for r in done.result if r.status == "error"]
            tests = ["chargehouse.marts.sla", "chargehouse.intermediate.sla", "chargehouse.sla"]
            done = dbtRunner().invoke(["test", "--select", *tests, "--exclude-resource-types", "unit_test", *where])
            failed = [(r.node.name, r.message) for r in done.result if r.status != "pass"]
            assert done.success, done.exception or failed
        finally:
            DuckDBConnectionManager.close_all_connections()


SLA = ("+chargehouse.marts.sla", "+chargehouse.intermediate.sla", "+int_port_state_day")


@pytest.fixture(scope="module")
def marts(tmp_path_factory: pytest.TempPathFactory) -> Query:
    """The marts of the ports that are known by arithmetic."""
    home = Home(tmp_path_factory.mktemp("uptime"))
    home.prepare()
    write_landing(home.landing)
    settings = Settings(home=home.root, pseudonym_key="a key for tests")
    for kind in KINDS:
        result = ingest(home, settings, kind)
        assert result.counts.quarantined == 0, (kind, result)
    write_index(home)
    build(home, *SLA)

    def query(sql: str) -> list[tuple[Any, ...]]:
        with duckdb.connect(str(home.root / "warehouse" / "build.duckdb"), read_only=True) as con:
            con.execute("set TimeZone = 'UTC'")
            return con.execute(sql).fetchall()

    return query


def figure(marts: Query, reading: dict[str, Any], grain: str, subject: str) -> tuple[float, int, int, int]:
    """Percent to three decimals, and minutes down, excused and of the base."""
    column = reading.get("column", "uptime_ratio")
    rows = marts(
        f"select round({column} * 100, 3), down_s / 60, excluded_s / 60, base_s / 60 from marts.fct_sla "
        f"where policy_id = '{reading['policy']}' and grain = '{grain}' and subject_id = '{subject}' "
        f"and period_kind = '{reading['period_kind']}' and period_start = '{reading['period_start']}'"
    )
    assert len(rows) == 1, rows
    return rows[0]


@pytest.mark.parametrize("port", ["MONTH-16", "MONTH-2X"])
@pytest.mark.parametrize("reading", READINGS["one_month"], ids=lambda r: r["reading"])
def test_one_month_reads_as_each_policy_has_it(marts: Query, reading: dict[str, Any], port: str) -> None:
    expected = (reading["uptime_percent"], reading["down_min"], reading["excluded_min"], reading["base_min"])
    assert figure(marts, reading, "port", port) == expected


@pytest.mark.parametrize("reading", READINGS["one_year"], ids=lambda r: r["reading"])
def test_worked_numbers_of_a_year_come_out(marts: Query, reading: dict[str, Any]) -> None:
    expected = (reading["uptime_percent"], reading["down_min"], reading["excluded_min"], reading["base_min"])
    assert figure(marts, reading, reading["grain"], reading["subject"]) == expected
