"""Regulator files from real logs: ports with known outages, through `chargehouse run` and `chargehouse report`."""

import csv
import json
import shutil
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from pipelines.cli import main
from pipelines.home import Home
from pipelines.settings import get_settings
from tests.pipeline.conftest import chargehouse
from tests.vectors.uptime.landing import write_landing

# both have the same April 2026; the first reports to EV-ChART and in the United Kingdom, the second in California
PORT, IN_CALIFORNIA = "MONTH-16", "MONTH-2X"
COSTS = """cost_id,site_id,station_id,kind,category,amount,currency,incurred_on,recurs,ends_on
c1,month-16,MONTH-16,capex,hardware,90000,USD,2024-11-01,once,
c2,month-16,,capex,civil_works,30000,USD,2024-11-01,once,
c3,month-16,,grant,nevi_grant,60000.01,USD,2024-12-01,once,
c4,month-16,,opex,maintenance,100.10,USD,2025-02-28,monthly,
c5,month-16,,opex,rent,500,USD,2025-01-01,monthly,
c6,month-16,,capex,canopy,7000,USD,2024-11-01,once,
"""


def changed(name: str, header: str, rows: list[str]) -> list[str]:
    """The vector's registry file with only the two ports, in service for longer than a year, funded and placed."""
    rows = [row for row in rows if "month-" in row.lower() or name in ("owners", "operators")]
    if name == "ports":
        funding = {PORT: "NEVI", IN_CALIFORNIA: "CALeVIP"}
        rows = [f"{row.rpartition(',')[0]},2025-01-01T00:00:00Z,{funding[row.partition(',')[0]]}" for row in rows]
        header += ",funding"
    if name == "sites":
        rows = [f"{row.replace('GB', 'US')},94103" if row.startswith("month-2x") else f"{row}," for row in rows]
        header += ",postal_code"
    return [header, *rows]


@pytest.fixture(scope="module")
def reported(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """The two ports after one run."""
    work = tmp_path_factory.mktemp("reports")
    write_landing(work / "all")
    home = Home(work / "home")
    home.prepare()
    for log in (work / "all" / "ocpp").rglob("*.jsonl"):
        with log.open() as file:
            if json.loads(file.readline())["charger_id"] in (PORT, IN_CALIFORNIA):
                shutil.copytree(log.parent, home.landing / "ocpp" / log.parent.name)
    shutil.copytree(work / "all" / "ocpi", home.landing / "ocpi", dirs_exist_ok=True)
    for path in (work / "all" / "registry").glob("*.csv"):
        header, *rows = path.read_text().splitlines()
        if path.stem != "sla_policies":
            text = "\n".join(changed(path.stem, header, rows))
            (home.landing / "registry" / path.name).write_text(text + "\n")
    (home.landing / "registry" / "costs.csv").write_text(COSTS)
    done = chargehouse("run", home=home)
    assert done.code == 0, done.out + done.err
    return home


@pytest.fixture
def report(reported: Home, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    def run(*arguments: str, **environment: str) -> Result:
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        get_settings.cache_clear()
        try:
            return CliRunner().invoke(main, ["report", *arguments, "--home", str(reported.root)])
        finally:
            get_settings.cache_clear()

    return run


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_the_modules_hold_the_outages_of_the_month_and_their_year(reported: Home, report: Callable[..., Result]):
    done = report("evchart", "--quarter", "2026Q2")
    assert done.exit_code == 0, done.output
    folder = reported.reports / "evchart" / "2026Q2"
    outages = rows_of(folder / "module_4.csv")
    told = [(row["outage_id"], row["outage_duration"], row["excluded_outage"]) for row in outages]
    assert told == [
        ("2026-04-02T08:00:00Z", "600.00", "FALSE"),
        ("2026-04-05T00:00:00Z", "900.00", "FALSE"),
        ("2026-04-08T09:00:00Z", "240.00", "TRUE"),
        ("2026-04-11T10:00:00Z", "180.00", "TRUE"),
        ("2026-04-14T06:00:00Z", "2880.00", "TRUE"),
        *((f"2026-04-{day}T18:00:00Z", "5.00", "FALSE") for day in range(24, 30)),
    ]
    # the months of May and June have no data yet, so one window of three is told
    (year,) = rows_of(folder / "module_3.csv")
    assert (year["uptime"], year["total_outage"], year["total_outage_excl"]) == ("99.71", "4830.00", "3300.00")
    assert (year["uptime_reporting_start"], year["uptime_reporting_end"]) == (
        "2025-05-01T00:00:00Z",
        "2026-04-30T23:59:59Z",
    )
    assert sum(Decimal(row["outage_duration"]) for row in outages) == Decimal(year["total_outage"])
    excluded = [Decimal(row["outage_duration"]) for row in outages if row["excluded_outage"] == "TRUE"]
    assert sum(excluded) == Decimal(year["total_outage_excl"])


def test_costs_go_to_their_columns_and_what_has_none_is_told(reported: Home, report: Callable[..., Result]):
    done = report("evchart", "--quarter", "2026Q2")
    assert "capex/canopy, 7000.00 USD" in done.output
    folder = reported.reports / "evchart" / "2026Q2"
    (maintenance,) = rows_of(folder / "module_5.csv")
    # 11 months of 2025 from 28 February on
    assert maintenance["maintenance_cost_total"] == "1101.10"
    assert maintenance["maintenance_report_start"] == "2025-01-01T00:00:00Z"
    (capital,) = rows_of(folder / "module_9.csv")
    assert capital["equipment_cost_total"] == "90000.00"
    assert capital["equipment_install_cost_total"] == capital["equipment_install_cost_const"] == "30000.00"
    # half of each, and the odd cent where most was spent
    assert capital["equipment_cost_federal"] == "45000.01"
    assert capital["equipment_install_cost_federal"] == "15000.00"


def test_a_port_without_sessions_has_a_row_that_says_so(reported: Home, report: Callable[..., Result]):
    assert report("evchart", "--quarter", "2026Q2").exit_code == 0
    (none,) = rows_of(reported.reports / "evchart" / "2026Q2" / "module_2.csv")
    assert {name for name, value in none.items() if value} == {"station_id", "network_provider", "port_id"}


def test_a_quarter_without_data_is_no_report(report: Callable[..., Result]):
    done = report("evchart", "--quarter", "2026Q1")
    assert done.exit_code == 1
    assert "no month of the quarter has data" in done.output


def test_the_manifest_says_where_the_figures_come_from(reported: Home, report: Callable[..., Result]):
    assert report("evchart", "--quarter", "2026Q2").exit_code == 0
    manifest = json.loads((reported.reports / "evchart" / "2026Q2" / "manifest.json").read_text())
    assert manifest["warehouse_version"] == manifest["run_id"] == reported.current_version().stem
    assert manifest["policies"][0]["policy_id"] == "nevi_680_116"
    assert manifest["is_complete"] is False
    assert {file["name"]: file["rows"] for file in manifest["files"]}["module_4.csv"] == 11


def test_the_uk_report_gives_both_readings_and_shares_that_add_up(reported: Home, report: Callable[..., Result]):
    done = report("uk-reliability", "--year", "2026")
    assert done.exit_code == 0, done.output
    folder = reported.reports / "uk-reliability" / "2026"
    (network,) = rows_of(folder / "network.csv")
    # 3,750 minutes not reliable; in service since 2025, so the year so far is 120 days of 1,440 minutes
    assert network["not_reliable_minutes"] == "3750.00"
    assert network["rapid_charge_points"] == "1"
    (evse,) = rows_of(folder / "evse_any.csv")
    shares = [Decimal(evse[f"{name}_pct"]) for name in _STATES]
    assert sum(shares) == 100
    # of 43,200 minutes: faulted 600 + 2,880 + 30 (8.125 %; the hundredth left over is another's), offline 900 + 180,
    # blocked 120
    assert (evse["faulted_pct"], evse["offline_pct"], evse["blocked_pct"]) == ("8.12", "2.50", "0.28")


_STATES = (
    "available", "occupied", "charging", "suspended_ev", "suspended_evse", "reserved", "unavailable", "faulted", "offline",
    "unknown",
)  # fmt: skip


def test_a_file_that_the_receiver_would_refuse_is_not_written(reported: Home, report: Callable[..., Result]):
    assert report("evchart", "--quarter", "2026Q2").exit_code == 0
    folder = reported.reports / "evchart" / "2026Q2"
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    done = report("evchart", "--quarter", "2026Q2", CHARGEHOUSE_EVCHART_NETWORK_PROVIDER="made_up")
    assert done.exit_code == 1
    assert "module_3.csv line 2, network_provider = 'made_up'" in done.output
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_california_keeps_the_seconds_of_every_quarter_hour(reported: Home, report: Callable[..., Result]):
    done = report("california", "--half", "2026H1")
    assert done.exit_code == 0, done.output
    folder = reported.reports / "california" / "2026H1"
    (port,) = rows_of(folder / "reliability.csv")
    assert (port["down_minutes"], port["excluded_minutes"]) == ("4830.00", "3300.00")
    assert (port["excluded_vandalism_minutes"], port["excluded_maintenance_minutes"]) == ("2880.00", "240.00")
    intervals = rows_of(folder / "interval_15min.csv")
    assert {row["recorded_s"] for row in intervals} == {"900"}
    assert len(intervals) == 30 * 96
    assert sum(int(row["faulted_s"]) for row in intervals) == 60 * (600 + 2880 + 30)
    assert sum(int(row["down_s"]) for row in intervals) == 60 * 4830
    # events A and B fill 100 quarter hours; of H each is 5 of 15 minutes, which is not the larger part
    assert sum(row["is_down"] == "TRUE" for row in intervals) == 40 + 60
    assert {row["exclusion_id"] for row in rows_of(folder / "exclusions.csv")} == {
        f"{e}-{IN_CALIFORNIA}" for e in "CDE"
    }


def test_a_wrong_period_is_wrong_usage(report: Callable[..., Result]):
    done = report("evchart", "--quarter", "2026Q5")
    assert done.exit_code == 2
    assert "2026Q1" in done.output
    assert report("evchart", "--year", "2026").exit_code == 2
    assert report("uk-reliability").exit_code == 2
