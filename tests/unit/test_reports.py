"""Reports from a small published version whose figures are known: what goes where, and that it adds up."""

import json
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path
from zoneinfo import ZoneInfo

import duckdb
import pytest
from click.testing import CliRunner
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipelines.cli import main
from pipelines.home import Home
from pipelines.reports import evchart, period, uk_reliability
from pipelines.reports.rules import read_rules
from pipelines.reports.source import NothingToReportError, open_source
from pipelines.reports.validate import RefusedError
from pipelines.reports.write import Report, ReportFile, check, write

SCHEMA = """
create schema marts; create schema meta; create schema lake;
create table meta.run (run_id varchar, code_version varchar);
insert into meta.run values ('20260701T000000000Z-aaaaaaaa', 'abc');
create table marts.dim_operator (operator_id varchar, name varchar);
insert into marts.dim_operator values ('op', 'EVgo'), ('prairie', 'Prairie EV Services LLC');
create table marts.dim_site (site_id varchar, name varchar, country_code varchar, address varchar, city varchar,
    postal_code varchar, time_zone varchar);
create table marts.dim_port (port_id varchar, station_id varchar, site_id varchar, operator_id varchar, time_zone varchar,
    funding varchar, power_type varchar, max_power_kw decimal(18, 3), ocpi_evse_uid varchar, commissioned_at timestamptz,
    decommissioned_at timestamptz);
create table marts.dim_sla_policy (policy_id varchar, version varchar, name varchar, source varchar,
    threshold_ratio decimal(18, 6));
insert into marts.dim_sla_policy values ('nevi_680_116', '2023-03-30', 'NEVI', 'CFR', 0.97),
    ('uk_pcpr_2023', '2023-11-24', 'UK', 'SI', 0.99), ('uk_pcpr_2023_known_only', '2023-11-24', 'UK known', 'SI', 0.99);
create table marts.fct_sla (policy_id varchar, grain varchar, subject_id varchar, period_kind varchar, period_start date,
    period_end date, base_s bigint, down_s bigint, excluded_s bigint, unknown_s bigint, silent_s bigint);
create table marts.fct_sla_downtime (policy_id varchar, port_id varchar, local_month date, started_at timestamptz,
    ended_at timestamptz, duration_s bigint, counts_as varchar, state varchar, reason varchar, exclusion_id varchar,
    is_over_cap boolean);
create table marts.fct_cost_year (cost_id varchar, local_year date, site_id varchar, kind varchar, category varchar,
    incurred_on date, amount_net decimal(18, 6), currency varchar);
create table marts.fct_session (session_id varchar, port_id varchar, connector_id integer, started_at timestamptz,
    ended_at timestamptz, stop_reason varchar, energy_kwh decimal(18, 6), peak_power_kw decimal(18, 3), charging_s bigint,
    duration_s bigint, is_open boolean, local_date date);
create table marts.fct_port_state (port_id varchar, state varchar, started_at timestamptz, known_until_at timestamptz,
    error_code varchar, vendor_error_code varchar);
create table marts.fct_port_day (port_id varchar, local_date date, period_s bigint, available_s bigint, occupied_s bigint,
    charging_s bigint, suspended_ev_s bigint, suspended_evse_s bigint, reserved_s bigint, unavailable_s bigint,
    faulted_s bigint, offline_s bigint, unknown_s bigint);
create table marts.fct_cdr (cdr_id varchar, peer varchar, country_code varchar, party_id varchar, session_id varchar,
    is_credit boolean);
create table lake.ocpi_cdr (cdr_id varchar, peer varchar, country_code varchar, party_id varchar, token_type varchar,
    auth_method varchar, last_updated_at timestamptz);
"""
ZONE = ZoneInfo("America/Chicago")
NETWORKS = evchart.Networks({}, "non_networked")
Q2 = period.quarter("2026Q2")


@pytest.fixture
def publish(home: Home) -> Callable[..., Home]:
    """Publish a version made of the schema above and some SQL, in place of the one before."""

    def make(*statements: str, version: str = "20260701T000000000Z-aaaaaaaa") -> Home:
        path = home.versions / f"{version}.duckdb"
        path.unlink(missing_ok=True)
        with duckdb.connect(str(path)) as con:
            con.execute("set TimeZone = 'UTC'")
            con.execute(SCHEMA)
            for statement in statements:
                con.execute(statement)
        home.published.unlink(missing_ok=True)
        home.published.symlink_to(path.relative_to(home.warehouse))
        return home

    return make


def site(site_id: str = "site", country: str = "US", zone: str = "America/Chicago") -> str:
    return f"insert into marts.dim_site values ('{site_id}', 'Site {site_id}', '{country}', 'Road 1', 'Town', '60440', '{zone}')"


def port(  # noqa: PLR0917
    port_id: str, site_id: str = "site", operator: str = "op", funding: str = "NEVI", since: str | None = "2024-01-01",
    until: str | None = None, power_kw: int = 150, zone: str = "America/Chicago",
) -> str:  # fmt: skip
    since, until = (f"'{text} 00:00:00+00'" if text else "null" for text in (since, until))
    return (
        f"insert into marts.dim_port values ('{port_id}', 'st-{port_id}', '{site_id}', '{operator}', '{zone}', '{funding}', "
        f"'DC', {power_kw}, 'E-{port_id}', {since}, {until})"
    )


def horizon(instant: str = "2026-07-02 00:00:00+00") -> str:
    return (
        f"insert into marts.fct_port_state values ('x', 'available', '2025-01-01 00:00:00+00', '{instant}', null, null)"
    )


def month_start(number: int) -> date:
    return date(number // 12, number % 12 + 1, 1)


def windows(
    port_id: str, pieces: list[tuple[datetime, datetime, str | None]], months: range = range(24315, 24318)
) -> list[str]:
    """SLA rows of the twelve months that end with each of some months, and the downtime they are made of.

    ``pieces`` are (start, end, reason or None), apart from each other; the parts a month cuts are made here, independently
    of the models. Months are counted from year 0 (24315 is April 2026).
    """
    statements = []
    for began, ended, reason in pieces:
        at = began
        while at < ended:
            local = at.astimezone(ZONE)
            following = month_start(local.year * 12 + local.month)
            until = min(ended, datetime(following.year, following.month, 1, tzinfo=ZONE).astimezone(UTC))
            why = f"'{reason}', 'X-{reason}'" if reason else "null, null"
            statements.append(
                "insert into marts.fct_sla_downtime values "
                f"('nevi_680_116', '{port_id}', '{local.date().replace(day=1)}', '{at}', '{until}', "
                f"{int((until - at).total_seconds())}, '{'excluded' if reason else 'down'}', 'faulted', "
                f"{why}, false)"
            )
            at = until
    for month in months:
        first, end = month_start(month - 11), month_start(month + 1)
        bounds = [datetime(day.year, day.month, 1, tzinfo=ZONE).astimezone(UTC) for day in (first, end)]
        inside = [(max(began, bounds[0]), min(ended, bounds[1]), reason) for began, ended, reason in pieces]
        down = [(int((ended - began).total_seconds()), reason) for began, ended, reason in inside if ended > began]
        statements.append(
            f"insert into marts.fct_sla values ('nevi_680_116', 'port', '{port_id}', 'rolling_12_months', '{first}', '{end}', "
            f"{525600 * 60}, {sum(s for s, _ in down)}, {sum(s for s, reason in down if reason)}, 0, 0)"
        )
    return statements


def build(home: Home, about: period.Period = Q2, networks: evchart.Networks = NETWORKS) -> Report:
    with open_source(home) as source:
        return evchart.build(source, about, networks)


def module(report: Report, number: int) -> list[dict[str, str]]:
    (file,) = [file for file in report.files if file.name == f"module_{number}.csv"]
    return file.frame.to_dicts()


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


# a port's downtime: apart from each other by 1 s to 40 days, each 1 s to 60 days long, some excluded
SPANS = st.lists(
    st.tuples(
        st.integers(1, 40 * 86400) | st.integers(1, 600),
        st.integers(1, 60 * 86400) | st.integers(1, 600),
        st.sampled_from([None, None, "vandalism", "utility_interruption"]),
    ),
    max_size=12,
)


@settings(max_examples=4, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(networks=st.lists(SPANS, min_size=8, max_size=15))
def test_the_minutes_of_module_4_are_those_of_module_3_to_the_hundredth(publish: Callable[..., Home], networks):
    """Four quarters' outages add up to the year that ends with the last of them, excluded and all, and make its uptime."""
    year_starts, year_ends = at("2025-07-01T05:00:00"), at("2026-07-01T05:00:00")
    downtime: dict[str, list[tuple[datetime, datetime, str | None]]] = {}
    for number, spans in enumerate(networks):
        now, downtime[f"P{number}"] = at("2025-06-20T05:00:00"), []
        for gap_s, length_s, reason in spans:
            began = now + timedelta(seconds=gap_s)
            now = began + timedelta(seconds=length_s)
            if now < year_ends:
                downtime[f"P{number}"].append((began, now, reason))
    rows = [row for name, pieces in downtime.items() for row in windows(name, pieces, range(24306, 24318))]
    home = publish(site(), *(port(name) for name in downtime), horizon(), *rows)
    quarters = [build(home, period.quarter(name)) for name in ("2025Q3", "2025Q4", "2026Q1", "2026Q2")]
    for report in quarters:
        check(report)
    outages = [row for report in quarters for row in module(report, 4) if row["outage_id"]]
    assert len({(row["port_id"], row["outage_id"]) for row in outages}) == len(outages)
    for name, pieces in downtime.items():
        own = [row for row in outages if row["port_id"] == name]
        year = [row for row in module(quarters[-1], 3) if row["port_id"] == name][-1]
        total = sum((Decimal(row["outage_duration"]) for row in own), Decimal(0))
        excluded = sum((Decimal(row["outage_duration"]) for row in own if row["excluded_outage"] == "TRUE"), Decimal(0))
        assert (total, excluded) == (Decimal(year["total_outage"]), Decimal(year["total_outage_excl"]))
        exact = max(Decimal(0), 100 * (525600 - (total - excluded)) / Decimal(525600))
        assert Decimal(year["uptime"]) == exact.quantize(Decimal("0.01"), ROUND_HALF_UP)
        seconds = sum(
            (ended - max(began, year_starts)).total_seconds() for began, ended, _ in pieces if ended > year_starts
        )
        assert abs(float(total) - seconds / 60) <= 0.005 * len(own) + 1e-9


def test_an_outage_over_the_end_of_a_quarter_is_cut_there_and_one_over_a_month_is_not(publish: Callable[..., Home]):
    pieces = [
        (at("2026-03-31T17:00:00"), at("2026-04-01T06:00:00"), None),  # the quarter begins at 05:00Z in Chicago
        (at("2026-04-30T20:00:00"), at("2026-05-01T20:00:30"), "vandalism"),
    ]
    home = publish(site(), port("P"), horizon(), *windows("P", pieces))
    report = build(home)
    told = [(row["outage_id"], row["outage_duration"], row["excluded_outage_notes"]) for row in module(report, 4)]
    assert told == [
        ("2026-04-01T05:00:00Z", "60.00", None),
        ("2026-04-30T20:00:00Z", "1440.50", "vandalism, X-vandalism"),
    ]
    april, may, _ = module(report, 3)
    assert april["uptime_reporting_end"] == "2026-05-01T04:59:59Z"
    # April holds 9 of the 24 hours: 720 + 60 minutes not excluded, 540 excluded
    assert (april["total_outage"], april["total_outage_excl"]) == ("1320.00", "540.00")
    assert (may["total_outage"], may["total_outage_excl"]) == ("2220.50", "1440.50")


def test_parts_of_an_outage_that_are_excluded_have_rows_of_their_own(publish: Callable[..., Home]):
    pieces = [
        (at("2026-04-10T10:00:00"), at("2026-04-10T11:00:00"), None),
        (at("2026-04-10T11:00:00"), at("2026-04-10T12:30:00"), "utility_interruption"),
        (at("2026-04-10T12:30:00"), at("2026-04-10T12:45:00"), None),
    ]
    report = build(publish(site(), port("P"), horizon(), *windows("P", pieces)))
    assert [(row["outage_duration"], row["excluded_outage"]) for row in module(report, 4)] == [
        ("60.00", "FALSE"),
        ("90.00", "TRUE"),
        ("15.00", "FALSE"),
    ]


def test_uptime_is_blank_for_a_port_in_service_for_less_than_the_window(publish: Callable[..., Home]):
    # in service from 15 May 2025: after the window to April begins on 1 May, before the one to May begins on 1 June
    home = publish(
        site(), port("P", since="2025-05-15"), port("Q", since=None), horizon(), *windows("P", []), *windows("Q", [])
    )
    report = build(home)
    assert [row["uptime"] for row in module(report, 3) if row["port_id"] == "P"] == [None, "100.00", "100.00"]
    assert [row["uptime"] for row in module(report, 3) if row["port_id"] == "Q"] == ["100.00"] * 3
    assert any("no date of commissioning" in warning and "Q" in warning for warning in report.warnings)


def test_only_months_that_the_data_reach_are_told_and_the_quarter_is_a_draft(publish: Callable[..., Home]):
    home = publish(site(), port("P"), horizon("2026-05-31 20:00:00+00"), *windows("P", []))
    report = build(home)
    assert len(module(report, 3)) == 2
    assert not report.is_complete
    assert "draft" in report.warnings[0]
    finished = build(publish(site(), port("P"), horizon("2026-07-01 00:10:00+00"), *windows("P", [])))
    assert (len(module(finished, 3)), finished.is_complete) == (3, True)


def test_only_funded_ports_in_service_in_the_quarter_report(publish: Callable[..., Home]):
    ports = [
        port("IN"),
        port("TWO", funding="state grant; cmaq"),
        port("NOT", funding="STATE"),
        port("GONE", until="2026-03-01"),
        port("LATER", since="2026-07-02"),
    ]
    rows = [statement for name in ("IN", "TWO", "NOT", "GONE", "LATER") for statement in windows(name, [])]
    report = build(publish(site(), *ports, horizon(), *rows))
    assert [row["port_id"] for row in module(report, 4)] == ["IN", "TWO"]
    with pytest.raises(NothingToReportError, match="funding"):
        build(publish(site(), port("NOT", funding="STATE"), horizon()))


def session(session_id: str, start: str, end: str | None, *, kwh: str, kw: str, reason: str = "Local") -> str:
    ended = f"'{end}+00'" if end else "null"
    return (
        f"insert into marts.fct_session values ('{session_id}', 'P', 1, '{start}+00', {ended}, '{reason}', {kwh}, {kw}, 1800, "
        f"3600, {end is None}, '{(end or start)[:10]}')"
    )


def test_sessions_say_how_they_ended_and_were_paid(publish: Callable[..., Home]):
    home = publish(
        site(),
        port("P"),
        horizon(),
        *windows("P", []),
        session("good", "2026-04-02 10:00:00", "2026-04-02 11:00:00", kwh="20.005", kw="61.2"),
        session("nothing", "2026-04-03 10:00:00", "2026-04-03 11:00:00", kwh="0", kw="null"),
        session("failed", "2026-04-04 10:00:00", "2026-04-04 11:00:00", kwh="5", kw="50", reason="EmergencyStop"),
        session("fault", "2026-04-05 10:00:00", "2026-04-05 11:00:00", kwh="5", kw="50"),
        session("estimated", "2026-04-06 10:00:00", "2026-04-06 11:00:00", kwh="30", kw="null"),
        session("no energy", "2026-04-07 10:00:00", "2026-04-07 11:00:00", kwh="null", kw="50"),
        session("open", "2026-04-08 10:00:00", None, kwh="1", kw="50"),
        session("before", "2026-03-31 10:00:00", "2026-03-31 11:00:00", kwh="1", kw="50"),
        "insert into marts.fct_port_state values ('P', 'faulted', '2026-04-05 10:59:00+00', '2026-04-05 12:00:00+00', "
        "'OtherError', 'CX026')",
        # told after a session that ended well: it is not that session's
        "insert into marts.fct_port_state values ('P', 'faulted', '2026-04-02 11:00:20+00', '2026-04-02 12:00:00+00', "
        "'GroundFailure', null)",
        "insert into marts.fct_cdr values ('c1', 'peer', 'US', 'PRE', 'good', false), ('c2', null, null, null, 'failed', false)",
        "insert into lake.ocpi_cdr values ('C1', 'peer', 'us', 'pre', 'AD_HOC_USER', 'AUTH_REQUEST', '2026-04-02 12:00:00+00')",
        # an older version, another peer's CDR of the same id, and a 2.1.1 CDR, which names neither party nor token type
        "insert into lake.ocpi_cdr values ('C1', 'peer', 'us', 'pre', 'RFID', 'AUTH_REQUEST', '2026-04-02 11:00:00+00')",
        "insert into lake.ocpi_cdr values ('C1', 'else', 'us', 'pre', 'RFID', 'AUTH_REQUEST', '2026-04-03 11:00:00+00')",
        "insert into lake.ocpi_cdr values ('c2', null, null, null, null, 'COMMAND', '2026-04-02 12:00:00+00')",
    )
    report = build(home)
    rows = {row["session_id"]: row for row in module(report, 2)}
    assert list(rows) == ["good", "nothing", "failed", "fault", "estimated"]
    assert {name: row["session_error"] for name, row in rows.items()} == {
        "good": "none",
        "nothing": "no_energy",
        "failed": "stop:EmergencyStop",
        "fault": "CX026",
        "estimated": "none",
    }
    assert (rows["good"]["energy_kwh"], rows["good"]["payment_method"]) == ("20.01", "ad_hoc")
    assert (rows["failed"]["payment_method"], rows["fault"]["payment_method"]) == ("mobile_app", "unknown")
    # 30 kWh in half an hour of charging
    assert rows["estimated"]["power_kw"] == "60.00"
    assert any("1 session(s) are left out" in warning and "no energy" in warning for warning in report.warnings)
    assert report.facts["sessions"] == 5


def test_a_network_provider_comes_from_the_settings_the_name_or_the_fallback(publish: Callable[..., Home]):
    ports = [site(), port("A"), port("B", operator="prairie"), horizon(), *windows("A", []), *windows("B", [])]
    report = build(publish(*ports))
    assert [row["network_provider"] for row in module(report, 4)] == ["evgo", "non_networked"]
    assert any("prairie" in warning for warning in report.warnings)
    named = build(publish(*ports), networks=evchart.Networks({"prairie": "chargepoint"}, "non_networked"))
    assert [row["network_provider"] for row in module(named, 4)] == ["evgo", "chargepoint"]
    assert not any("prairie" in warning for warning in named.warnings)


def test_a_network_provider_that_the_receiver_does_not_know_is_refused(publish: Callable[..., Home]):
    home = publish(site(), port("A"), horizon(), *windows("A", []))
    report = build(home, networks=evchart.Networks({"op": "made_up"}, "non_networked"))
    with (
        open_source(home) as source,
        pytest.raises(RefusedError, match=r"module_2\.csv line 2, network_provider = 'made_up'"),
    ):
        write(home, report, source)
    assert not (home.reports / "evchart" / "2026Q2").exists()


def test_downtime_that_is_not_that_of_the_sla_figures_is_refused(publish: Callable[..., Home]):
    pieces = [(at("2026-04-10T10:00:00"), at("2026-04-10T11:00:00"), None)]
    home = publish(site(), port("P"), horizon(), *windows("P", pieces), "update marts.fct_sla set down_s = down_s + 60")
    report = build(home)
    with open_source(home) as source, pytest.raises(RefusedError, match="other minutes than the SLA figures"):
        write(home, report, source)


def cost(category: str, amount: str, on: str = "2025-02-01", currency: str = "USD", number: int = 1) -> str:
    kind, name = category.split("/")
    return (
        f"insert into marts.fct_cost_year values ('k{number}', '{on[:4]}-01-01', 'site', '{kind}', '{name}', '{on}', {amount}, "
        f"'{currency}')"
    )


def test_costs_have_one_column_each_and_grants_are_spread_to_the_cent(publish: Callable[..., Home]):
    home = publish(
        site(),
        port("P"),
        horizon(),
        *windows("P", []),
        cost("opex/Maintenance", "100.005", number=1),
        cost("opex/repair", "50", number=2),
        cost("opex/maintenance", "77", on="2026-02-01", number=3),
        cost("capex/hardware", "100", number=4),
        cost("capex/electrical", "200", number=5),
        cost("capex/meter", "33.33", number=6),
        cost("grant/nevi", "100", number=7),
        cost("capex/art", "5", number=8),
        cost("opex/rent", "9", currency="EUR", number=9),
    )
    report = build(home)
    (maintenance,) = module(report, 5)
    assert maintenance["maintenance_cost_total"] == "150.01"
    assert maintenance["maintenance_report_end"] == "2025-12-31T23:59:59Z"
    (capital,) = module(report, 9)
    assert capital["equipment_install_cost_elec"] == capital["equipment_install_cost_total"] == "200.00"
    federal = {name: Decimal(value) for name, value in capital.items() if name.endswith("_federal")}
    assert sum(federal.values()) == 100
    # 100 of 333.33: 30.00, 60.00 and 9.99 are cut off at the cent, the cent left goes to the largest
    assert (federal["equipment_cost_federal"], federal["equipment_install_cost_federal"]) == (
        Decimal("30.00"),
        Decimal("60.01"),
    )
    assert any("capex/art" in warning for warning in report.warnings)
    assert report.problems == []


def test_a_cost_in_another_currency_is_refused_by_name(publish: Callable[..., Home]):
    home = publish(site(), port("P"), horizon(), *windows("P", []), cost("capex/hardware", "100", currency="EUR"))
    report = build(home)
    with open_source(home) as source, pytest.raises(RefusedError, match="cost k1 of station site must be in USD"):
        write(home, report, source)


def test_a_station_without_costs_says_so(publish: Callable[..., Home]):
    report = build(publish(site(), port("P"), horizon(), *windows("P", [])))
    (capital,) = module(report, 9)
    assert {value for name, value in capital.items() if name.endswith("_total")} == {None}
    assert {value for name, value in capital.items() if name.endswith("_federal")} == {"0.00"}
    assert (module(report, 5)[0]["maintenance_cost_total"], report.problems) == (None, [])


def test_the_files_change_together_and_the_ones_before_go(publish: Callable[..., Home]):
    home = publish(site(), port("P"), horizon(), *windows("P", []))
    with open_source(home) as source:
        folder = write(home, build(home), source)
    first = folder.resolve()
    assert sorted(path.name for path in folder.iterdir()) == [
        "README.md",
        "manifest.json",
        *(f"module_{number}.csv" for number in (2, 3, 4, 5, 9)),
    ]
    text = (folder / "module_4.csv").read_text()
    assert text.splitlines()[0].startswith("station_id,network_provider,port_id,outage_id,outage_duration")
    assert text.splitlines()[1] == "site,evgo,P,,,,,"
    home = publish(
        site(), port("P"), port("Q"), horizon(), *windows("P", []), *windows("Q", []), version="20260702T0-bbbb"
    )
    with open_source(home) as source:
        assert write(home, build(home), source) == folder
    assert len((folder / "module_4.csv").read_text().splitlines()) == 3
    assert json.loads((folder / "manifest.json").read_text())["warehouse_version"] == "20260702T0-bbbb"
    assert not first.exists()
    assert [path.name for path in folder.parent.iterdir() if not path.name.startswith(".")] == ["2026Q2"]


def test_a_write_that_fails_leaves_what_was_there(publish: Callable[..., Home], monkeypatch: pytest.MonkeyPatch):
    home = publish(site(), port("P"), horizon(), *windows("P", []))
    with open_source(home) as source:
        folder = write(home, build(home), source)
        before = (folder / "module_4.csv").read_bytes()
        monkeypatch.setattr("pipelines.reports.write._readme", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            write(home, build(home), source)
    assert (folder / "module_4.csv").read_bytes() == before
    assert len(list(folder.parent.iterdir())) == 2


def day(port_id: str, on: str, **seconds: int) -> str:
    names = (
        "available", "occupied", "charging", "suspended_ev", "suspended_evse", "reserved", "unavailable", "faulted", "offline",
        "unknown",
    )  # fmt: skip
    values = ", ".join(str(seconds.get(name, 0)) for name in names)
    inside = ("suspended_ev", "suspended_evse", "reserved")
    total = sum(number for name, number in seconds.items() if name not in inside)
    return f"insert into marts.fct_port_day values ('{port_id}', '{on}', {total}, {values})"


def uk(port_id: str, base_s: int, down_s: int, silent_s: int = 0) -> list[str]:
    row = f"'port', '{port_id}', 'year', '2026-01-01', '2027-01-01'"
    return [
        f"insert into marts.fct_sla values ('uk_pcpr_2023', {row}, {base_s}, {down_s}, 0, 0, {silent_s})",
        f"insert into marts.fct_sla values ('uk_pcpr_2023_known_only', {row}, {base_s - silent_s}, {down_s}, 0, {silent_s}, "
        f"{silent_s})",
    ]


def test_the_uk_figure_is_weighted_by_minutes_and_the_plain_mean_stands_beside_it(publish: Callable[..., Home]):
    minutes = 60
    home = publish(
        site("uk", "GB", "Europe/London"),
        site("de", "DE", "Europe/Berlin"),
        port("E1", "uk", zone="Europe/London"),
        port("E2", "uk", zone="Europe/London"),
        port("SLOW", "uk", power_kw=22, zone="Europe/London"),
        port("ABROAD", "de", zone="Europe/Berlin"),
        horizon("2027-01-02 00:00:00+00"),
        # 525,600 min at 99.5 % and 87,840 min at 90 %
        *uk("E1", 525600 * minutes, 2628 * minutes),
        *uk("E2", 87840 * minutes, 8784 * minutes),
        *uk("ABROAD", 525600 * minutes, 0),
        day("E1", "2026-05-01", available=80000, reserved=10, faulted=6400),
        day("E2", "2026-05-01", available=1, occupied=5, suspended_ev=3, charging=1),
    )
    with open_source(home) as source:
        report = uk_reliability.build(source, period.year("2026"))
        write(home, report, source)
    network, evses = (file.frame.to_dicts() for file in report.files)
    (row,) = network
    assert (row["reliability_pct"], row["reliability_simple_mean_pct"], row["is_met"]) == ("98.140", "94.750", "FALSE")
    assert (row["charge_points"], row["rapid_charge_points"]) == ("3", "2")
    shares = {
        evse["evse_id"]: {
            name: Decimal(value)
            for name, value in evse.items()
            if name.endswith("_pct") and not name.startswith(("reliability", "blocked"))
        }
        for evse in evses
    }
    assert all(sum(values.values()) == 100 for values in shares.values())
    # sevenths: 14.29 + 28.57 + 14.29 + 42.86 would be 100.01; the smallest remainder is cut
    assert sorted(value for value in shares["E2"].values() if value) == [
        Decimal("14.28"), Decimal("14.29"), Decimal("28.57"), Decimal("42.86"),
    ]  # fmt: skip


def test_one_of_a_hundred_points_dead_all_year_meets_the_uk_target(publish: Callable[..., Home]):
    minutes = 525600 * 60
    points = [statement for number in range(100) for statement in uk(f"E{number}", minutes, 0 if number else minutes)]
    ports = [port(f"E{number}", "uk", zone="Europe/London") for number in range(100)]
    home = publish(site("uk", "GB", "Europe/London"), *ports, horizon("2027-01-02 00:00:00+00"), *points)
    with open_source(home) as source:
        (row,) = uk_reliability.build(source, period.year("2026")).files[0].frame.to_dicts()
    assert (row["reliability_pct"], row["is_met"]) == ("99.000", "TRUE")


@pytest.mark.parametrize(
    ("parse", "text", "name", "first", "end"),
    [
        (period.quarter, "2026Q1", "2026Q1", date(2026, 1, 1), date(2026, 4, 1)),
        (period.quarter, "2025-q4", "2025Q4", date(2025, 10, 1), date(2026, 1, 1)),
        (period.half, "2026H2", "2026H2", date(2026, 7, 1), date(2027, 1, 1)),
        (period.half, "2026h1", "2026H1", date(2026, 1, 1), date(2026, 7, 1)),
        (period.year, "2024", "2024", date(2024, 1, 1), date(2025, 1, 1)),
    ],
)
def test_periods_are_read(parse, text, name, first, end):
    assert parse(text) == period.Period(name, first, end)


@pytest.mark.parametrize(
    ("parse", "text"),
    [(period.quarter, text) for text in ("2026Q5", "2026Q0", "26Q1", "Q1", "", "2026Q1 ", "1999Q1", "\uff12026Q1")]
    + [(period.half, text) for text in ("2026H3", "2026", "H1")]
    + [(period.year, text) for text in ("26", "20260", "2026Q1", "x")],
)
def test_what_is_no_period_is_refused_with_an_example(parse, text):
    with pytest.raises(period.PeriodError, match="20"):
        parse(text)


def test_the_command_says_what_is_wrong_with_its_arguments(publish: Callable[..., Home]):
    home = publish(site(), port("P"), horizon(), *windows("P", []))

    def run(*arguments: str) -> tuple[int, str]:
        result = CliRunner().invoke(main, ["report", *arguments, "--home", str(home.root)])
        return result.exit_code, result.output

    assert run("evchart", "--quarter", "2026Q2")[0] == 0
    code, text = run("evchart", "--quarter", "2026Q5")
    assert code == 2
    assert "1 to 4" in text
    assert run("evchart")[0] == 2
    assert run("uk-reliability", "--year", "2026", "--half", "2026H1")[0] == 2
    assert run("nonsense")[0] == 2
    code, text = run("uk-reliability", "--year", "2026")
    assert code == 1
    assert "United Kingdom" in text


def test_without_a_published_version_the_message_says_what_to_do(tmp_path: Path):
    result = CliRunner().invoke(main, ["report", "california", "--half", "2026H2", "--home", str(tmp_path)])
    assert result.exit_code == 1
    assert "chargehouse run" in result.output


def test_every_file_a_report_writes_has_rules(publish: Callable[..., Home]):
    report = build(publish(site(), port("P"), horizon(), *windows("P", [])))
    assert all(isinstance(file, ReportFile) and file.rules.columns for file in report.files)
    assert set(read_rules("evchart").files) == {"2", "3", "4", "5", "9"}
