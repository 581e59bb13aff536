"""Registry files into the lake: every fault is named, nothing is lost, no address gets through."""

import csv
import io
import json
import re
import shutil
from collections.abc import Callable
from datetime import UTC, date, datetime, time
from decimal import Decimal
from pathlib import Path

import duckdb
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipelines.home import Commit, Home, LakeWriter, content_hash
from pipelines.pseudonym import create_macros, pseudonym
from pipelines.registry.read import RegistryResult, decode_file
from pipelines.registry.schemas import REGISTRY_FILES

KEY = b"a key for tests only, 32 bytes!!!"

# One right row of every file.
RIGHT = {
    "owners": {"owner_id": "O1", "name": "Owner", "country_code": "NL", "currency": "EUR", "email": "a@example.org"},
    "operators": {"operator_id": "OP", "name": "Operator", "ocpi_party": "NL*ABC"},
    "emsps": {"emsp_id": "E", "name": "EMSP", "roaming_fee_per_kwh": "0.01", "currency": "EUR"},
    "sites": {
        "site_id": "S1",
        "name": "Site",
        "owner_id": "O1",
        "operator_id": "OP",
        "time_zone": "Europe/Amsterdam",
        "country_code": "NL",
        "currency": "EUR",
        "latitude": "52.37",
        "longitude": "4.9",
    },
    "stations": {
        "station_id": "CP1",
        "site_id": "S1",
        "commissioned_on": "2024-03-01",
        "decommissioned_on": "2025-03-01",
    },
    "ports": {
        "port_id": "P1",
        "station_id": "CP1",
        "ocpp_connector_ids": "1/1 1/2",
        "power_type": "DC",
        "max_power_kw": "150",
        "commissioned_at": "2024-03-01T08:00",
        "decommissioned_at": "2025-03-01T08:00",
    },
    "contracts": {
        "contract_id": "C1",
        "site_id": "S1",
        "owner_id": "O1",
        "operator_id": "OP",
        "valid_from": "2024-01-01",
        "valid_to": "2025-01-01",
        "sla_policy_id": "nevi_680_116",
        "sla_target_ratio": "0.97",
        "owner_share_ratio": "0.5",
        "share_basis": "net_margin",
        "currency": "EUR",
    },
    "costs": {
        "cost_id": "K1",
        "site_id": "S1",
        "kind": "opex",
        "category": "maintenance",
        "amount": "-12.5",
        "currency": "EUR",
        "incurred_on": "2024-01-01",
        "recurs": "monthly",
        "ends_on": "2024-12-31",
    },
    "energy_prices": {
        "site_id": "S1",
        "valid_from": "2024-01-01",
        "days": "1-5",
        "from_time": "07:00",
        "to_time": "24:00",
        "price_per_kwh": "0.21",
        "currency": "EUR",
    },
    "hourly_prices": {
        "price_series_id": "DE-LU",
        "started_at": "2024-01-01T00:00Z",
        "price_per_kwh": "-0.012345",
        "currency": "EUR",
    },
    "exclusions": {
        "exclusion_id": "X1",
        "scope": "port",
        "scope_id": "P1",
        "started_at": "2024-01-01T10:00Z",
        "ended_at": "2024-01-01T11:00Z",
        "reason": "vandalism",
        "approved_by": "ask anna@example.org",
    },
    "sla_policies": {"policy_id": "mine", "threshold_ratio": "98", "exclusions": "vandalism:evidence:incident=60"},
    "business_cases": {"site_id": "S1", "month": "2024-01", "planned_revenue": "100", "currency": "EUR"},
    "access": {"email": "a@example.org", "role": "owner", "scope_id": "O1"},
    "fx_rates": {"on_date": "2024-01-01", "from_currency": "EUR", "to_currency": "USD", "rate": "1.1"},
}


REQUIRED = [(file.name, field.name) for file in REGISTRY_FILES.values() for field in file.fields if field.required]


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A prepared home to copy: making its empty tables takes longer than a test."""
    root = tmp_path_factory.mktemp("prepared") / "home"
    Home(root).prepare()
    return root


@pytest.fixture
def home(prepared: Path, tmp_path: Path) -> Home:
    """An empty, prepared home."""
    return Home(shutil.copytree(prepared, tmp_path / "home"))


@pytest.fixture
def deliver(home: Home) -> Callable[[str, str | bytes], RegistryResult]:
    """Land one registry file and decode it."""

    def land(name: str, content: str | bytes) -> RegistryResult:
        return deliver_to(home, name, content)

    return land


def deliver_to(home: Home, name: str, content: str | bytes) -> RegistryResult:
    path = home.landing / "registry" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    with duckdb.connect() as con:
        create_macros(con, KEY)
        commit = Commit(content_hash(path), f"registry/{name}", "registry", path.stat().st_size, "2026-01-01T00:00:00Z")
        writer = LakeWriter(home, con, commit)
        result = decode_file(path, writer=writer, default_time_zone="UTC")
        commit.counts = result.counts
        writer.commit()
    return result


def as_csv(*rows: dict[str, str], delimiter: str = ",") -> str:
    columns = list(dict.fromkeys(column for row in rows for column in row))
    buffer = io.StringIO(newline="")
    writer = csv.DictWriter(buffer, columns, delimiter=delimiter, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return buffer.getvalue()


def local(*parts: int) -> datetime:
    """A time on a wall clock."""
    return datetime(*parts)  # noqa: DTZ001 (a wall clock has no zone)


def committed_error(home: Home) -> str | None:
    (path,) = home.commits.glob("*.json")
    return json.loads(path.read_text())["error"]


@pytest.mark.parametrize("name", RIGHT)
def test_a_right_row_of_every_file_is_loaded(name, deliver, lake_rows):
    result = deliver(f"{name}.csv", as_csv(RIGHT[name]))
    assert (result.counts.read, result.counts.loaded, result.counts.quarantined) == (1, 1, 0)
    assert result.warnings == []
    (row,) = lake_rows(f"registry/{REGISTRY_FILES[name].table.name}")
    assert row["line_number"] == 2


def test_the_example_rows_cover_every_registry_file():
    assert RIGHT.keys() == REGISTRY_FILES.keys()


@pytest.mark.parametrize("file", REGISTRY_FILES.values(), ids=lambda file: file.name)
def test_every_column_of_a_file_has_its_place_in_the_lake(file):
    stored = {column.removesuffix("_local") for column in file.table.column_names} - {"source_id", "line_number"}
    assert stored == set(file.field_names)


@pytest.mark.parametrize(
    ("file", "column", "value", "reason", "expected"),
    [
        ("owners", "currency", "EURO", "unknown_currency", "ISO 4217"),
        ("owners", "currency", "eur", "unknown_currency", "ISO 4217"),
        ("owners", "country_code", "NLD", "unknown_country", "two letters"),
        ("operators", "ocpi_party", "NLABC", "bad_party", "NL*ABC"),
        ("emsps", "roaming_fee_per_kwh", "0,01", "bad_number", "with a point"),
        ("emsps", "roaming_fee_per_kwh", "-1", "bad_number", "from 0"),
        ("emsps", "roaming_fee_per_session", "1e3", "bad_number", "with a point"),
        ("sites", "time_zone", "Amsterdam", "unknown_time_zone", "Europe/Amsterdam"),
        ("sites", "time_zone", "localtime", "unknown_time_zone", "Europe/Amsterdam"),
        ("sites", "latitude", "90.5", "bad_number", "up to 90"),
        ("sites", "longitude", "-180.01", "bad_number", "from -180"),
        ("sites", "grid_connection_kw", "-5", "bad_number", "from 0"),
        ("stations", "commissioned_on", "01-03-2024", "bad_date", "YYYY-MM-DD"),
        ("stations", "commissioned_on", "2024-02-30", "bad_date", "YYYY-MM-DD"),
        ("stations", "decommissioned_on", "2024-02-01", "wrong_order", "not before commissioned_on"),
        ("ports", "ocpp_connector_ids", "1,2", "bad_connector_ids", "split by a space"),
        ("ports", "ocpp_connector_ids", "0", "bad_connector_ids", "from 1"),
        ("ports", "power_type", "ac", "unknown_value", "one of AC, DC"),
        ("ports", "max_power_kw", "0", "bad_number", "above 0"),
        ("ports", "max_power_kw", "150 kW", "bad_number", "above 0"),
        ("ports", "commissioned_at", "2024-03-01T25:00", "bad_time", "YYYY-MM-DD"),
        ("ports", "commissioned_at", "2024-03-01T10:00+25:00", "bad_time", "YYYY-MM-DD"),
        ("ports", "decommissioned_at", "2024-03-01T07:00", "wrong_order", "not before commissioned_at"),
        ("contracts", "valid_to", "2024-01-01", "wrong_order", "after valid_from"),
        ("contracts", "sla_target_ratio", "97", "bad_number", "from 0 up to 1"),
        ("contracts", "owner_share_ratio", "1.2", "bad_number", "from 0 up to 1"),
        ("contracts", "share_basis", "profit", "unknown_value", "gross_revenue, net_margin"),
        ("contracts", "operator_fee_per_kwh", "0.1234567", "bad_number", "at most 6 decimals"),
        ("costs", "kind", "cost", "unknown_value", "capex, opex, grant, credit"),
        ("costs", "amount", "1234567890123", "bad_number", "a number"),
        ("costs", "recurs", "weekly", "unknown_value", "once, monthly, yearly"),
        ("costs", "ends_on", "2023-12-31", "wrong_order", "not before incurred_on"),
        ("energy_prices", "days", "1-8", "bad_days", "1 (Monday) to 7"),
        ("energy_prices", "days", "5-1", "bad_days", "1 (Monday) to 7"),
        ("energy_prices", "from_time", "7:00", "bad_time", "HH:MM"),
        ("energy_prices", "to_time", "24:01", "bad_time", "HH:MM"),
        ("exclusions", "scope", "evse", "unknown_value", "port, station, site"),
        ("exclusions", "reason", "rain", "unknown_value", "vandalism"),
        ("exclusions", "ended_at", "2024-01-01T10:00Z", "wrong_order", "after started_at"),
        ("exclusions", "ended_at", "2024-01-01T11:30+02:00", "wrong_order", "after started_at"),
        ("sla_policies", "threshold_ratio", "101", "bad_number", "percentage"),
        ("sla_policies", "exclusions", "rain:evidence", "bad_exclusions", "vandalism"),
        ("sla_policies", "exclusions", "vandalism vandalism:evidence", "bad_exclusions", "vandalism"),
        ("sla_policies", "window_months", "0", "bad_number", "whole number from 1"),
        ("sla_policies", "scope_dc_only", "maybe", "bad_boolean", "true or false"),
        ("sla_policies", "status_map_faulted", "broken", "unknown_value", "up, down, exclude"),
        ("business_cases", "month", "2024-01-15", "bad_date", "YYYY-MM"),
        ("business_cases", "month", "2024-13", "bad_date", "YYYY-MM"),
        ("access", "role", "boss", "unknown_value", "owner, operator, emsp, analyst, admin"),
        ("fx_rates", "rate", "0", "bad_number", "above 0"),
        ("fx_rates", "to_currency", "XXX", "unknown_currency", "ISO 4217"),
    ],
)
def test_a_wrong_cell_is_named_with_line_column_value_and_what_was_expected(  # noqa: PLR0917
    file, column, value, reason, expected, deliver, lake_rows
):
    key = REGISTRY_FILES[file].key[0]
    neighbour = dict(RIGHT[file])
    neighbour[key] = {"on_date": "2024-02-01", "email": "b@example.org"}.get(key, f"{neighbour[key]}-2")
    wrong = RIGHT[file] | {column: value}
    result = deliver(f"{file}.csv", as_csv(neighbour, wrong))
    assert (result.counts.read, result.counts.loaded, result.counts.quarantined) == (2, 1, 1)
    (fault,) = lake_rows("quarantine/record")
    assert fault["path"] == f"registry/{file}.csv"
    assert (fault["line_number"], fault["column_name"], fault["value"]) == (3, column, value)
    assert fault["reason"] == reason
    assert expected in fault["expected"]


@pytest.mark.parametrize(
    ("file", "column"),
    [(file.name, field.name) for file in REGISTRY_FILES.values() for field in file.fields if field.required],
)
def test_an_empty_required_cell_stops_its_row(file, column, deliver, lake_rows):
    result = deliver(f"{file}.csv", as_csv(RIGHT[file], RIGHT[file] | {column: "  "}))
    assert (result.counts.loaded, result.counts.quarantined) == (1, 1)
    assert (3, column, "missing_required") in {
        (fault["line_number"], fault["column_name"], fault["reason"]) for fault in lake_rows("quarantine/record")
    }


@pytest.mark.parametrize(
    ("file", "column"),
    [(file.name, field.name) for file in REGISTRY_FILES.values() for field in file.fields if field.required],
)
def test_a_missing_required_column_refuses_the_file_with_every_row(file, column, home, deliver, lake_rows):
    row = {name: value for name, value in RIGHT[file].items() if name != column} | {"note": "n"}
    result = deliver(f"{file}.csv", as_csv(row, row))
    assert (result.counts.read, result.counts.loaded, result.counts.quarantined) == (2, 0, 2)
    faults = lake_rows("quarantine/record")
    assert [(fault["line_number"], fault["reason"]) for fault in faults] == [
        (2, "missing_column"),
        (3, "missing_column"),
    ]
    assert all(column in fault["expected"] for fault in faults)
    assert column in committed_error(home)


def test_a_row_with_three_faults_is_one_quarantined_record_with_three_reasons(deliver, lake_rows):
    result = deliver("owners.csv", "owner_id,name,country_code,currency\n,,Holland,EUR\n")
    assert (result.counts.read, result.counts.quarantined) == (1, 1)
    assert {(fault["column_name"], fault["reason"]) for fault in lake_rows("quarantine/record")} == {
        ("owner_id", "missing_required"),
        ("name", "missing_required"),
        ("country_code", "unknown_country"),
    }


def test_a_file_of_an_unknown_name_is_refused_with_the_accepted_names(home, deliver, lake_rows):
    result = deliver("owner.csv", "owner_id\nO1\n")
    assert (result.counts.read, result.counts.quarantined) == (1, 1)
    (fault,) = lake_rows("quarantine/record")
    assert fault["reason"] == "unknown_file"
    assert all(f"{name}.csv" in fault["expected"] for name in REGISTRY_FILES)
    assert "owners.csv" in committed_error(home)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "no_header"),
        (b"\n;;\n", "no_header"),
        ("owner_id;name;currency\nO1;x;EUR\n".encode("utf-16"), "bad_encoding"),
        (b"owner_id;name;name;currency\nO1;x;y;EUR\n", "duplicate_column"),
    ],
)
def test_a_file_that_is_no_table_is_one_clear_error(content, reason, home, deliver, lake_rows):
    result = deliver("owners.csv", content)
    assert (result.counts.read, result.counts.loaded, result.counts.quarantined) == (1, 0, 1)
    (fault,) = lake_rows("quarantine/record")
    assert fault["reason"] == reason
    assert committed_error(home).startswith(f"{reason}: expected ")


def test_a_header_without_rows_is_an_empty_table(deliver):
    result = deliver("owners.csv", "owner_id;name;currency\n")
    assert (result.counts.read, result.counts.loaded, result.counts.quarantined) == (0, 0, 0)


def test_a_byte_order_mark_and_a_header_in_capitals_are_read(deliver, lake_rows):
    deliver("owners.csv", b"\xef\xbb\xbfOwner_ID ; NAME;Currency\nO1;Caf\xc3\xa9;EUR\n")
    (row,) = lake_rows("registry/owner")
    assert (row["owner_id"], row["name"], row["currency"]) == ("O1", "Café", "EUR")


def test_bytes_that_are_no_utf8_stop_their_row_only(deliver, lake_rows):
    result = deliver("owners.csv", b"owner_id;name;currency\nO1;Caf\xe9;EUR\nO2;x;EUR\n")
    assert (result.counts.loaded, result.counts.quarantined) == (1, 1)
    (fault,) = lake_rows("quarantine/record")
    assert (fault["line_number"], fault["column_name"], fault["reason"]) == (2, "name", "bad_encoding")


def test_a_quoted_line_break_is_kept_and_later_faults_name_the_physical_line(deliver, lake_rows):
    deliver("owners.csv", 'owner_id;name;currency\nO1;"one\ntwo";EUR\n\nO2;x;EURO\n')
    (row,) = lake_rows("registry/owner")
    assert (row["name"], row["line_number"]) == ("one\ntwo", 2)
    (fault,) = lake_rows("quarantine/record")
    assert fault["line_number"] == 5


@pytest.mark.parametrize(("line", "value"), [("O2;x", "2 fields"), ("O2;x;EUR;more", "4 fields")])
def test_a_row_with_another_number_of_fields_is_named(line, value, deliver, lake_rows):
    result = deliver("owners.csv", f"owner_id;name;currency\nO1;x;EUR;\n{line}\n")
    assert (result.counts.loaded, result.counts.quarantined) == (1, 1)
    (fault,) = lake_rows("quarantine/record")
    assert (fault["line_number"], fault["reason"], fault["value"]) == (3, "wrong_field_count", value)
    assert fault["expected"].startswith("3 fields")


def test_an_unclosed_quote_stops_its_row_only(deliver, lake_rows):
    result = deliver("owners.csv", 'owner_id;name;currency\nO1;"open;EUR\nO2;x;EUR\n')
    assert (result.counts.loaded, result.counts.quarantined) == (1, 1)
    (fault,) = lake_rows("quarantine/record")
    assert (fault["line_number"], fault["column_name"], fault["reason"]) == (2, "name", "bad_quotes")


def test_unknown_columns_are_kept_out_and_warned_about(deliver, lake_rows):
    result = deliver("owners.csv", "owner_id;name;currency;colour\nO1;x;EUR;red\n")
    assert result.counts.loaded == 1
    (warning,) = result.warnings
    assert "colour" in warning
    assert "owner_id" in warning
    assert "colour" not in lake_rows("registry/owner")[0]
    assert lake_rows("quarantine/record") == []


def test_a_repeated_row_is_a_duplicate_and_a_contradicting_one_a_fault(deliver, lake_rows):
    result = deliver("owners.csv", "owner_id;name;currency\nO1;x;EUR\nO1;x;EUR\nO1;y;EUR\n")
    counts = result.counts
    assert (counts.read, counts.loaded, counts.duplicate, counts.quarantined) == (3, 1, 1, 1)
    (fault,) = lake_rows("quarantine/record")
    assert (fault["line_number"], fault["column_name"], fault["value"]) == (4, "owner_id", "O1")
    assert "line 2 has it already" in fault["expected"]


def test_a_wrong_row_does_not_take_the_id_of_a_right_one(deliver):
    result = deliver("owners.csv", "owner_id;name;currency\nO1;x;EURO\nO1;x;EUR\n")
    assert (result.counts.loaded, result.counts.quarantined) == (1, 1)


def test_prices_of_other_hours_are_other_rows_and_the_same_hours_in_another_spelling_are_not(deliver, lake_rows):
    rows = [
        RIGHT["energy_prices"],
        RIGHT["energy_prices"] | {"from_time": ""},
        RIGHT["energy_prices"] | {"days": "12345", "price_per_kwh": "1"},
    ]
    result = deliver("energy_prices.csv", as_csv(*rows))
    assert (result.counts.loaded, result.counts.quarantined) == (2, 1)
    stored = lake_rows("registry/energy_price", order_by="line_number")
    assert [(row["days"], row["from_time"], row["to_time"]) for row in stored] == [
        ("12345", time(7), time(0)),
        ("12345", None, time(0)),
    ]


def test_values_are_typed_exactly(deliver, lake_rows):
    deliver("costs.csv", as_csv(RIGHT["costs"] | {"amount": "0.100001"}))
    deliver("business_cases.csv", as_csv(RIGHT["business_cases"]))
    deliver("sla_policies.csv", as_csv(RIGHT["sla_policies"]))
    (cost,) = lake_rows("registry/cost")
    assert cost["amount"] == Decimal("0.100001")
    assert cost["incurred_on"] == date(2024, 1, 1)
    assert lake_rows("registry/business_case")[0]["month"] == date(2024, 1, 1)
    assert lake_rows("registry/sla_policy")[0]["threshold_ratio"] == Decimal("0.98")


@pytest.mark.parametrize(
    ("text", "utc", "local"),
    [
        ("2024-07-01", None, local(2024, 7, 1)),
        ("2024-07-01T10:30", None, local(2024, 7, 1, 10, 30)),
        ("2024-07-01 10:30:15.25", None, local(2024, 7, 1, 10, 30, 15, 250000)),
        ("2024-07-01T10:30Z", datetime(2024, 7, 1, 10, 30, tzinfo=UTC), None),
        ("2024-07-01T10:30:00+02:00", datetime(2024, 7, 1, 8, 30, tzinfo=UTC), None),
        ("2024-07-01 10:30-0530", datetime(2024, 7, 1, 16, 0, tzinfo=UTC), None),
    ],
)
def test_a_time_with_an_offset_is_an_instant_and_one_without_stays_on_the_local_clock(
    text, utc, local, deliver, lake_rows
):
    deliver("ports.csv", as_csv(RIGHT["ports"] | {"commissioned_at": text, "decommissioned_at": ""}))
    (row,) = lake_rows("registry/port")
    assert (row["commissioned_at"], row["commissioned_at_local"]) == (utc, local)


@pytest.mark.parametrize("role", ["owner", "operator", "emsp"])
def test_a_role_that_needs_a_scope_is_refused_without_one(role, deliver, lake_rows):
    result = deliver("access.csv", f"email,role,scope_id\na@example.org,{role},\nb@example.org,admin,\n")
    assert (result.counts.loaded, result.counts.quarantined) == (1, 1)
    (fault,) = lake_rows("quarantine/record")
    assert (fault["line_number"], fault["column_name"]) == (2, "scope_id")
    assert f"{role}_id" in fault["expected"]


def test_a_role_without_scope_is_refused_when_the_column_is_missing_too(deliver):
    result = deliver("access.csv", "email,role\na@example.org,owner\nb@example.org,analyst\n")
    assert (result.counts.loaded, result.counts.quarantined) == (1, 1)


def test_blocks_of_the_policy_schema_are_spread_over_flat_columns(deliver, lake_rows):
    row = {
        "policy_id": "mine",
        "window": "{type: rolling_months, months: 12, step: month}",
        "base": '{"type": "fixed_minutes", "minutes": 525600}',
        "threshold": '{value: 97.5, op: ">"}',
        "status_map": "{Available: up, Preparing: up, SuspendedEVSE: down, offline: exclude}",
        "offline": "{grace_s: 300, backdate_to_last_message: false}",
        "exclusions": "[{reason: vandalism, evidence_required: true, cap_per_incident_min: 14400}, "
        "{reason: outside_open_hours, automatic: true}]",
        "fault_codes_not_down": "[CX008, CX009]",
        "scope": "{min_power_kw: 50, funded_only: true}",
        "scope_funded_only": "false",
    }
    result = deliver("sla_policies.csv", as_csv(row))
    assert result.warnings == []
    (policy,) = lake_rows("registry/sla_policy")
    assert {name: value for name, value in policy.items() if value is not None} == {
        "source_id": policy["source_id"],
        "line_number": 2,
        "policy_id": "mine",
        "window_type": "rolling_months",
        "window_months": 12,
        "window_step": "month",
        "base_type": "fixed_minutes",
        "base_minutes": 525600,
        "threshold_ratio": Decimal("0.975"),
        "threshold_op": ">",
        "status_map_available": "up",
        "status_map_occupied": "up",
        "status_map_suspended_evse": "down",
        "offline_treat": "exclude",
        "offline_grace_s": 300,
        "offline_backdate_to_last_message": False,
        "exclusions": "vandalism:evidence:incident=14400 outside_open_hours:automatic",
        "fault_codes_not_down": "CX008 CX009",
        "scope_min_power_kw": Decimal("50.000"),
        "scope_funded_only": False,
    }


@pytest.mark.parametrize("block", ["[1, 2]", "{type: ", "{kind: month}", "{type: {a: 1}}"])
def test_a_block_that_can_not_be_read_is_named(block, deliver, lake_rows):
    result = deliver("sla_policies.csv", as_csv({"policy_id": "mine", "window": block}))
    assert result.counts.quarantined == 1
    (fault,) = lake_rows("quarantine/record")
    assert (fault["column_name"], fault["reason"]) == ("window", "bad_block")
    assert "type, months, step" in fault["expected"]


def lake_text(home: Home) -> str:
    """Everything the lake holds, as text: Parquet through DuckDB, records as they are."""
    with duckdb.connect() as con:
        tables = [
            str(con.sql(f"select * from read_parquet('{path}')").fetchall()) for path in home.lake.rglob("*.parquet")
        ]
    return "\n".join([*tables, *(path.read_text() for path in home.lake.rglob("*.json"))])


def test_no_address_reaches_the_lake_in_the_clear(home, deliver, caplog):
    deliver(
        "owners.csv",
        "owner_id,name,currency,email\n"
        "O1,secret1@example.org,EUR,Secret2@Example.org\n"
        "O2,x,EURO,secret3@example.org\n"
        "O3,x,EUR,secret4(at)example.org\n"
        "O4,x,EUR,secret5@example\n"
        "O5,EUR,secret6@example\n"
        'O6,x,EUR,"secret7@example.org"\n',
    )
    deliver("access.csv", "secret8@example.org,owner,O1\nsecret9@example,owner,O1\n")
    deliver("b/access.csv", "email,role,secret10@example.org\nsecret11@example.org,owner,O1\n")
    deliver("c/access.csv", "mail,role\nsecret12@example.org,owner\n")
    deliver("exclusions.csv", as_csv(RIGHT["exclusions"] | {"approved_by": "by secret13@example.org, really"}))
    text = lake_text(home) + caplog.text
    assert re.findall(r"secret\d+", text, flags=re.IGNORECASE) == []
    assert pseudonym(KEY, "secret2@example.org") in text
    assert f"by {pseudonym(KEY, 'secret13@example.org')}, really" in text


def test_the_same_address_in_another_case_is_the_same_person(deliver, lake_rows):
    result = deliver("access.csv", "email,role,scope_id\nA@example.org,owner,O1\na@Example.org,owner,O1\n")
    assert (result.counts.loaded, result.counts.duplicate) == (1, 1)
    assert lake_rows("registry/access")[0]["email"] == pseudonym(KEY, "a@example.org")


messy = st.text(st.sampled_from('abc019.,;:-/"\n\r @T+Z€é\ufffd'), max_size=10)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    name=st.sampled_from(sorted(RIGHT)),
    cells=st.lists(st.lists(messy, min_size=1, max_size=6), max_size=6),
    good=st.integers(0, 1),
)
def test_whatever_is_delivered_every_record_is_accounted_for(prepared, tmp_path_factory, name, cells, good):
    home = Home(shutil.copytree(prepared, tmp_path_factory.mktemp("copy") / "home"))
    head = as_csv(RIGHT[name])
    header, row = head.splitlines()[0], head.splitlines()[1]
    body = "\n".join([header, *(",".join(line) for line in cells), *[row] * good])
    result = deliver_to(home, f"{name}.csv", body)
    result.counts.check(name)
    with duckdb.connect() as con:
        table = REGISTRY_FILES[name].table
        loaded = con.sql(f"select count(*) from read_parquet('{home.table_glob(table)}')").fetchone()[0]
        quarantined = con.sql(
            f"select count(distinct line_number) from read_parquet('{home.lake}/quarantine/record/*.parquet')"
        ).fetchone()[0]
    assert loaded == result.counts.loaded
    assert quarantined == result.counts.quarantined


safe = st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters='@"'), min_size=1, max_size=15).filter(
    lambda text: text == text.strip()
)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    people=st.lists(
        st.fixed_dictionaries(
            {
                "owner_id": safe,
                "name": safe,
                "country_code": st.sampled_from(["", "NL", "DE"]),
                "currency": st.sampled_from(["EUR", "USD"]),
            }
        ),
        min_size=1,
        max_size=6,
        unique_by=lambda row: row["owner_id"],
    ),
    delimiter=st.sampled_from([",", ";"]),
)
def test_right_owners_come_back_as_they_were_written(prepared, tmp_path_factory, people, delimiter):
    home = Home(shutil.copytree(prepared, tmp_path_factory.mktemp("copy") / "home"))
    result = deliver_to(home, "owners.csv", as_csv(*people, delimiter=delimiter))
    assert result.counts.loaded == len(people)
    with duckdb.connect() as con:
        stored = con.sql(
            "select owner_id, name, coalesce(country_code, '') as country_code, currency "
            f"from read_parquet('{home.lake}/registry/owner/*.parquet') order by line_number"
        ).fetchall()
    assert stored == [
        (person["owner_id"], person["name"], person["country_code"], person["currency"]) for person in people
    ]


def test_the_built_in_policies_are_right_policies(deliver, lake_rows):
    seed = Path(__file__).resolve().parents[2] / "dbt" / "seeds" / "sla_policies.csv"
    result = deliver("sla_policies.csv", seed.read_bytes())
    assert result.warnings == []
    assert (result.counts.quarantined, result.counts.duplicate) == (0, 0)
    assert {"nevi_680_116", "uk_pcpr_2023", "uk_pcpr_2023_known_only", "cec_t20", "raw"} <= {
        row["policy_id"] for row in lake_rows("registry/sla_policy")
    }
