"""Every check of the lake passes on good rows, and fails on a bad row that it names."""

import json
from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest

from pipelines.home import Home
from pipelines.lake import ALL_TABLES, LakeTable, write_parquet
from pipelines.quality.result import CheckResult
from pipelines.quality.run import run_suites
from pipelines.quality.suites import Check, all_suites, parse_suites

HASH = "0123456789abcdef0123456789abcdef"
CLEAR_TOKEN = "CLEARTOKEN04AABB"
TABLES = {table.key: table for table in ALL_TABLES}
CHECKS = [check for suite in all_suites() for check in suite.checks]

# One good row per table, as far as the checks look at it; other columns are null. Values are cast to the stored types.
_LINE = {"source_id": "good", "line_number": 1}
_FRAME = _LINE | {
    "frame_id": HASH,
    "log_source": "ocpp/csms",
    "station_id": "CP1",
    "received_at": "2026-01-01 10:00:00+00",
    "protocol": "ocpp1.6",
}
_OBJECT = _LINE | {
    "record_number": 1,
    "record_hash": HASH,
    "peer": "peer",
    "ocpi_version": "2.2.1",
    "country_code": "DE",
    "party_id": "ABC",
    "last_updated_at": "2026-01-01 12:00:00+00",
}
GOOD: dict[str, dict[str, object]] = {
    "ocpp/frame": _FRAME
    | {
        "received_at_quality": "logged",
        "direction": "from_station",
        "message_type": 2,
        "message_id": "1",
        "action": "Authorize",
        "payload": json.dumps({"idTag": HASH}),
        "result_interval_s": 300,
    },
    "ocpp/connection_event": _FRAME | {"event": "connect", "received_at_quality": "logged"},
    "ocpp/status_event": _FRAME
    | {
        "event_at": "2026-01-01 10:00:00+00",
        "evse_id": 1,
        "connector_id": 1,
        "status": "Available",
        "error_code": "NoError",
        "reported_by": "StatusNotification",
    },
    "ocpp/transaction_event": _FRAME
    | {
        "event_at": "2026-01-01 10:00:00+00",
        "event_type": "Started",
        "connector_id": 1,
        "evse_id": 1,
        "id_token_hash": HASH,
        "meter_wh": 100,
        "seq_no": 0,
        "charging_state": "Charging",
    },
    "ocpp/meter_sample": {key: value for key, value in _FRAME.items() if key != "protocol"}
    | {
        "sample_number": 1,
        "action": "MeterValues",
        "connector_id": 1,
        "evse_id": 1,
        "sampled_at": "2026-01-01 10:00:00+00",
        "measurand": "Power.Active.Import",
        "unit": "W",
        "value": 11000,
    },
    "ocpp/boot": _FRAME | {"vendor": "Vendor"},
    "ocpp/schema_finding": _FRAME
    | {"message_type": 2, "action": "StatusNotification", "path": "$.status", "rule": "enum", "frames": 1},
    "ocpi/cdr": _OBJECT
    | {
        "cdr_id": "C1",
        "started_at": "2026-01-01 10:00:00+00",
        "ended_at": "2026-01-01 11:30:00+00",
        "token_hash": HASH,
        "contract_hash": HASH,
        "currency": "EUR",
        "total_energy_kwh": 20,
        "total_time_h": 1.5,
        "total_cost_net": 10,
        "total_cost_gross": 11.9,
        "is_credit": False,
    },
    "ocpi/cdr_dimension": {key: value for key, value in _OBJECT.items() if key != "last_updated_at"}
    | {
        "cdr_id": "C1",
        "period_number": 1,
        "period_started_at": "2026-01-01 10:00:00+00",
        "dimension": "ENERGY",
        "volume": 20,
    },
    "ocpi/tariff": _OBJECT
    | {
        "tariff_id": "T1",
        "currency": "EUR",
        "valid_from_at": "2026-01-01 00:00:00+00",
        "valid_to_at": "2027-01-01 00:00:00+00",
        "min_price_net": 1,
        "max_price_net": 50,
    },
    "ocpi/tariff_component": {key: value for key, value in _OBJECT.items() if key != "last_updated_at"}
    | {
        "tariff_id": "T1",
        "element_number": 1,
        "component_number": 1,
        "dimension": "ENERGY",
        "price": 0.49,
        "vat_percent": 19,
        "step_size": 1,
        "start_time": "08:00",
        "end_time": "24:00",
    },
    "ocpi/location": _OBJECT
    | {
        "location_id": "L1",
        "latitude": 52.5,
        "longitude": 13.4,
        "time_zone": "Europe/Berlin",
        "country": "DEU",
    },
    "ocpi/connector": {key: value for key, value in _OBJECT.items() if key != "last_updated_at"}
    | {
        "location_id": "L1",
        "evse_uid": "E1",
        "evse_status": "AVAILABLE",
        "power_type": "DC",
        "max_electric_power_w": 150000,
    },
    "ocpi/session": _OBJECT
    | {
        "ocpi_session_id": "S1",
        "started_at": "2026-01-01 10:00:00+00",
        "ended_at": "2026-01-01 11:00:00+00",
        "energy_kwh": 20,
        "token_hash": HASH,
        "contract_hash": HASH,
        "currency": "EUR",
        "status": "COMPLETED",
    },
    "ocpi/token": _OBJECT | {"token_hash": HASH, "contract_hash": HASH, "token_type": "RFID", "whitelist": "ALWAYS"},
    "registry/owner": _LINE | {"owner_id": "O1", "currency": "EUR", "email": HASH},
    "registry/operator": _LINE | {"operator_id": "P1"},
    "registry/emsp": _LINE | {"emsp_id": "M1", "currency": "EUR"},
    "registry/site": _LINE
    | {
        "site_id": "S1",
        "owner_id": "O1",
        "operator_id": "P1",
        "time_zone": "Europe/Berlin",
        "currency": "EUR",
    },
    "registry/station": _LINE | {"station_id": "CP1", "site_id": "S1"},
    "registry/port": _LINE
    | {
        "port_id": "CP1-1",
        "station_id": "CP1",
        "max_power_kw": 150,
        "commissioned_at": "2020-01-01 00:00:00+00",
        "decommissioned_at": "2030-01-01 00:00:00+00",
    },
    "registry/contract": _LINE
    | {
        "contract_id": "K1",
        "site_id": "S1",
        "valid_from": "2026-01-01",
        "valid_to": "2027-01-01",
        "owner_share_ratio": 0.5,
        "sla_target_ratio": 0.97,
        "currency": "EUR",
    },
    "registry/cost": _LINE | {"cost_id": "X1", "site_id": "S1", "kind": "capex", "currency": "EUR"},
    "registry/energy_price": _LINE | {"site_id": "S1", "price_per_kwh": 0.2, "currency": "EUR"},
    "registry/hourly_price": _LINE | {"price_series_id": "DE-LU", "price_per_kwh": -0.01, "currency": "EUR"},
    "registry/exclusion": _LINE
    | {
        "exclusion_id": "E1",
        "scope": "site",
        "scope_id": "S1",
        "started_at": "2026-01-01 00:00:00+00",
        "ended_at": "2026-01-02 00:00:00+00",
    },
    "registry/sla_policy": _LINE | {"policy_id": "own", "threshold_ratio": 0.97},
    "registry/business_case": _LINE | {"site_id": "S1", "discount_rate": 0.08, "currency": "EUR"},
    "registry/access": _LINE | {"email": HASH, "role": "owner", "scope_id": "O1"},
    "registry/fx_rate": _LINE | {"from_currency": "EUR", "to_currency": "SEK", "rate": 11.2},
    "quarantine/record": _LINE | {"path": "ocpp/good.log", "record_number": None, "reason": "bad_json"},
    "meta/landed_file": {
        "source_id": "good",
        "path": "ocpp/good.log",
        "kind": "registry",
        "is_current": True,
        "is_first_path": True,
        "records_read": 10,
        "records_loaded": 9,
        "records_duplicate": 1,
        "records_quarantined": 0,
    },
}

_FUTURE = "2999-01-01 00:00:00+00"
# What makes a good row break a check: by check name for those that many tables share, else by table and check name.
BAD_SHARED: dict[str, dict[str, object]] = {
    "comes_from_a_landed_file": {"source_id": "nobody delivered this"},
    "source_id_is_known": {"source_id": None},
    "line_number_is_positive": {"line_number": 0},
    "currency_is_three_letters": {"currency": "eur"},
    "token_hash_is_a_pseudonym": {"token_hash": CLEAR_TOKEN},
    "id_token_hash_is_a_pseudonym": {"id_token_hash": CLEAR_TOKEN},
    "contract_hash_is_a_pseudonym": {"contract_hash": CLEAR_TOKEN},
    "email_is_a_pseudonym": {"email": f"{CLEAR_TOKEN}@example.org"},
    "frame_id_is_a_hash": {"frame_id": None},
    "station_id_is_not_null": {"station_id": None},
    "received_at_is_plausible": {"received_at": _FUTURE},
    "received_at_is_known": {"received_at": None},
    "station_is_named": {"station_id": ""},
    "event_at_is_plausible": {"event_at": "1970-01-01 00:00:05+00"},
    "protocol_is_known": {"protocol": "ocpp1.5"},
    "connector_id_is_small": {"connector_id": -1},
    "evse_id_is_small": {"evse_id": 65536},
    "record_number_is_positive": {"record_number": 0},
    "record_hash_is_a_hash": {"record_hash": "x"},
    "ocpi_version_is_known": {"ocpi_version": None},
    "last_updated_at_is_plausible": {"last_updated_at": _FUTURE},
}
BAD: dict[str, dict[str, dict[str, object]]] = {
    "ocpp/frame": {
        "message_type_is_known": {"message_type": 7},
        "direction_is_known": {"direction": "sideways"},
        "received_at_quality_is_known": {"received_at_quality": "guessed"},
        "received_at_quality_tells_of_a_missing_time": {"received_at_quality": "missing"},
        "time_zone_was_not_assumed": {"received_at_quality": "assumed_zone"},
        "call_has_an_action": {"action": None},
        "message_id_is_known": {"message_id": None},
        "payload_holds_no_token_in_the_clear": {"payload": json.dumps({"idTag": CLEAR_TOKEN})},
        "granted_heartbeat_is_plausible": {"result_interval_s": 2**31},
    },
    "ocpp/connection_event": {"event_is_known": {"event": "reconnect"}},
    "ocpp/status_event": {
        "status_is_known": {"status": "Occupied"},  # a 2.x status in 1.6
        "status_is_not_null": {"status": None},
        "reported_by_is_known": {"reported_by": "Heartbeat"},
        "error_code_is_known": {"error_code": "Mode3Error"},
        "clock_agrees_with_the_logger": {"event_at": "2026-01-03 10:00:00+00"},
    },
    "ocpp/transaction_event": {
        "event_type_is_known": {"event_type": "Paused"},
        "transaction_id_is_known": {"event_type": "Ended"},
        "meter_is_plausible": {"meter_wh": -1},
        "sequence_number_is_not_negative": {"seq_no": -1},
        "charging_state_is_known": {"charging_state": "Napping"},
        "meter_stop_is_given": {"meter_wh": None},
    },
    "ocpp/meter_sample": {
        "sample_number_is_positive": {"sample_number": 0},
        "action_is_known": {"action": "Heartbeat"},
        "measurand_is_named": {"measurand": None},
        "unit_is_converted": {"unit": "KWH"},
        "value_is_a_number": {"value": None},
        "value_is_plausible": {"measurand": "SoC", "value": 101},
        "sampled_at_is_plausible": {"sampled_at": _FUTURE},
        "sampled_at_is_known": {"sampled_at": None},
    },
    "ocpp/boot": {"vendor_is_named": {"vendor": None}},
    "ocpp/schema_finding": {"finding_counts_calls": {"frames": 0}, "finding_names_its_rule": {"rule": None}},
    "ocpi/cdr": {
        "cdr_id_is_not_empty": {"cdr_id": ""},
        "start_is_plausible": {"started_at": "2008-12-31 23:59:59+00"},
        "end_is_known": {"ended_at": None},
        "end_is_plausible": {"ended_at": _FUTURE},
        "ends_after_it_starts": {"ended_at": "2026-01-01 09:59:59+00"},
        "lasts_less_than_a_week": {"ended_at": "2026-01-08 10:00:01+00"},
        "energy_is_not_negative": {"total_energy_kwh": -0.001},
        "energy_is_plausible": {"total_energy_kwh": 20000},
        "total_time_is_not_negative": {"total_time_h": -1.5},
        "total_time_is_end_minus_start": {"total_time_h": 90},
        "cost_is_not_negative": {"total_cost_net": -10},
        "cost_is_known": {"total_cost_net": None},
        "gross_is_not_below_net": {"total_cost_gross": 9.99},
        "currency_is_known": {"currency": None},
        "credit_names_the_cdr_it_takes_back": {"is_credit": True},
        "party_is_named": {"party_id": None},
    },
    "ocpi/cdr_dimension": {
        "cdr_id_is_not_empty": {"cdr_id": None},
        "period_number_is_positive": {"period_number": 0},
        "dimension_is_known": {"dimension": "PATIENCE"},
        "dimension_has_a_volume": {"volume": None},
        "volume_is_not_negative": {"volume": -1},
        "period_start_is_known": {"period_started_at": None},
    },
    "ocpi/tariff": {
        "tariff_id_is_not_empty": {"tariff_id": None},
        "currency_is_known": {"currency": None},
        "validity_is_in_order": {"valid_to_at": "2025-01-01 00:00:00+00"},
        "minimum_is_not_above_maximum": {"max_price_net": 0.5},
    },
    "ocpi/tariff_component": {
        "tariff_id_is_not_empty": {"tariff_id": None},
        "position_is_positive": {"component_number": 0},
        "dimension_is_known": {"dimension": "PATIENCE"},
        "price_is_known": {"price": None},
        "price_is_not_negative": {"price": -0.49},
        "vat_is_plausible": {"vat_percent": 1900},
        "step_size_is_not_negative": {"step_size": -1},
        "times_of_day_are_readable": {"end_time": "25:00"},
    },
    "ocpi/location": {
        "location_id_is_not_empty": {"location_id": ""},
        "coordinates_are_on_earth": {"latitude": 113.4},
        "time_zone_is_known": {"time_zone": "Europe/Atlantis"},
        "country_is_three_letters": {"country": "Germany"},
    },
    "ocpi/connector": {
        "location_id_is_not_empty": {"location_id": None},
        "evse_uid_is_not_empty": {"evse_uid": None},
        "evse_status_is_known": {"evse_status": "TIRED"},
        "power_type_is_known": {"power_type": "STEAM"},
        "power_is_plausible": {"max_electric_power_w": -1},
    },
    "ocpi/session": {
        "session_id_is_not_empty": {"ocpi_session_id": None},
        "ends_after_it_starts": {"ended_at": "2026-01-01 09:00:00+00"},
        "energy_is_not_negative": {"energy_kwh": -1},
        "status_is_known": {"status": "PAUSED"},
    },
    "ocpi/token": {
        "token_hash_is_not_null": {"token_hash": None},
        "token_type_is_known": {"token_type": "COIN"},
        "whitelist_is_known": {"whitelist": "PERHAPS"},
    },
    "registry/owner": {"owner_id_is_not_empty": {"owner_id": ""}},
    "registry/operator": {"operator_id_is_not_empty": {"operator_id": None}},
    "registry/emsp": {"emsp_id_is_not_empty": {"emsp_id": None}},
    "registry/site": {
        "site_id_is_not_empty": {"site_id": None},
        "time_zone_is_known": {"time_zone": "CET+1"},
        "owner_is_in_the_registry": {"owner_id": "O2"},
        "operator_is_in_the_registry": {"operator_id": "P2"},
    },
    "registry/station": {
        "station_id_is_not_empty": {"station_id": None},
        "site_is_in_the_registry": {"site_id": "S2"},
    },
    "registry/port": {
        "port_id_is_not_empty": {"port_id": None},
        "station_is_in_the_registry": {"station_id": "CP2"},
        "power_is_plausible": {"max_power_kw": 0},
        "commissioned_before_decommissioned": {"decommissioned_at": "2019-01-01 00:00:00+00"},
    },
    "registry/contract": {
        "contract_id_is_not_empty": {"contract_id": None},
        "site_is_in_the_registry": {"site_id": "S2"},
        "validity_is_in_order": {"valid_to": "2025-12-31"},
        "owner_share_is_a_ratio": {"owner_share_ratio": 50},
        "sla_target_is_a_ratio": {"sla_target_ratio": 97},
    },
    "registry/cost": {
        "cost_id_is_not_empty": {"cost_id": None},
        "kind_is_known": {"kind": "bribe"},
        "site_is_in_the_registry": {"site_id": "S2"},
    },
    "registry/energy_price": {
        "site_id_is_not_empty": {"site_id": None},
        "price_is_plausible": {"price_per_kwh": 85},
    },
    "registry/hourly_price": {
        "price_series_id_is_not_empty": {"price_series_id": None},
        "price_is_plausible": {"price_per_kwh": 85},
    },
    "registry/exclusion": {
        "exclusion_id_is_not_empty": {"exclusion_id": None},
        "scope_is_known": {"scope": "planet"},
        "ends_after_it_starts": {"ended_at": "2025-12-31 00:00:00+00"},
    },
    "registry/sla_policy": {
        "policy_id_is_not_empty": {"policy_id": None},
        "threshold_is_a_ratio": {"threshold_ratio": 97},
    },
    "registry/business_case": {
        "site_id_is_not_empty": {"site_id": None},
        "discount_rate_is_a_ratio": {"discount_rate": 8},
    },
    "registry/access": {
        "role_is_known": {"role": "king"},
        "scoped_role_has_a_scope": {"scope_id": None},
    },
    "registry/fx_rate": {"rate_is_positive": {"rate": 0}},
    "quarantine/record": {
        "reason_is_given": {"reason": None},
        "path_is_given": {"path": None},
    },
    "meta/landed_file": {
        "no_record_is_lost": {"records_loaded": 8},
        "log_records_are_in_the_lake": {"kind": "ocpp"},
        "ocpi_objects_are_in_the_lake": {"kind": "ocpi"},
        "quarantined_records_are_kept": {"records_loaded": 8, "records_quarantined": 1},
        "counts_are_not_negative": {"records_loaded": -1, "records_duplicate": 11},
        "path_is_given": {"path": None},
        "kind_is_known": {"kind": "gossip"},
        "path_has_one_current_content": {"path": "ocpp/good.log"},
        "content_is_loaded_once": {"source_id": "good"},
        "file_is_readable": {"error": "no format recognised"},
        "few_records_are_quarantined": {"records_loaded": 8, "records_quarantined": 1},
    },
}
# Columns that may hold what people wrote or who they are: no sample shows them.
PRIVATE_COLUMNS = {
    "payload", "raw", "text", "value_text", "info", "remark", "email", "name", "address", "location_name", "evidence",
    "approved_by", "owner_name", "operator_name", "error_description", "token_hash", "contract_hash", "id_token_hash",
}  # fmt: skip


def bad_values(check: Check) -> dict[str, object] | None:
    """What makes a good row of the check's table break it; None if nobody said."""
    return BAD.get(check.table, {}).get(check.name) or BAD_SHARED.get(check.name)


def literal(value: object) -> str:
    return "null" if value is None else "'" + str(value).replace("'", "''") + "'"


def write_rows(home: Home, table: LakeTable, rows: list[dict[str, object]], name: str = "rows") -> None:
    tuples = ", ".join(f"({', '.join(literal(row.get(column)) for column in table.column_names)})" for row in rows)
    names = ", ".join(f'"{column}"' for column in table.column_names)
    with duckdb.connect() as con:
        con.execute("set TimeZone = 'UTC'")
        path = home.table_folder(table) / f"{name}.parquet"
        write_parquet(con, f"select * from (values {tuples}) as t({names})", table, str(path))


def landed(source_id: str) -> dict[str, object]:
    return GOOD["meta/landed_file"] | {"source_id": source_id, "path": f"ocpp/{source_id}.log"}


@pytest.fixture(scope="module")
def good_results(tmp_path_factory: pytest.TempPathFactory) -> list[CheckResult]:
    home = Home(tmp_path_factory.mktemp("good"))
    home.prepare()
    for key, row in GOOD.items():
        write_rows(home, TABLES[key], [row])
    return run_suites(home)


@pytest.fixture(scope="module")
def bad_results(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, str], CheckResult]:
    """A lake with the good rows and, for each check, rows that break it, in a landed file named after the check."""
    home = Home(tmp_path_factory.mktemp("bad"))
    home.prepare()
    sources = []
    for suite in all_suites():
        rows = [GOOD[suite.table.key]]
        for number, check in enumerate(suite.checks, start=1):
            copies = 10 if check.allowed_fraction else 1
            own = landed(check.name) if suite.table.key == "meta/landed_file" else {"source_id": check.name}
            own |= {"line_number": number + 1} if "line_number" in suite.table.column_names else {}
            rows += [GOOD[suite.table.key] | own | (bad_values(check) or {})] * copies
            sources.append(check.name)
        if suite.table.key != "meta/landed_file":
            write_rows(home, suite.table, rows)
        else:
            landed_rows = rows
    names_taken = {row["source_id"] for row in landed_rows}
    landed_rows += [landed(name) for name in sorted(set(sources) - names_taken)]
    write_rows(home, TABLES["meta/landed_file"], landed_rows)
    return {(result.table_name, result.check_name): result for result in run_suites(home)}


def test_every_lake_table_has_a_good_row_and_a_check() -> None:
    assert set(GOOD) == set(TABLES)
    assert all(suite.checks for suite in all_suites())


def test_every_check_has_a_failing_example() -> None:
    assert [f"{check.table} {check.name}" for check in CHECKS if bad_values(check) is None] == []
    names = {(check.table, check.name) for check in CHECKS}
    assert [(table, name) for table, own in BAD.items() for name in own if (table, name) not in names] == []
    assert set(BAD_SHARED) <= {check.name for check in CHECKS}


def test_good_rows_pass_every_check(good_results: list[CheckResult]) -> None:
    assert [result for result in good_results if not result.passed] == []
    assert [(result.table_name, result.check_name) for result in good_results] == [
        (check.table, check.name) for check in CHECKS
    ]
    assert {result.observed for result in good_results} == {"1 rows"}


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: f"{check.table}-{check.name}")
def test_a_bad_row_fails_its_check_and_is_named(check: Check, bad_results: dict[tuple[str, str], CheckResult]) -> None:
    result = bad_results[check.table, check.name]
    assert not result.passed
    assert result.failing_count is not None
    assert result.failing_count >= 1
    assert (result.severity, result.is_blocking) == (check.severity, check.is_blocking)
    own = {"source_id": check.name} | (bad_values(check) or {})
    sample = json.loads(result.failing_sample or "[]")
    assert own["source_id"] in [row["source_id"] for row in sample], sample
    if own["source_id"] == check.name and "path" not in TABLES[check.table].column_names:
        assert next(row["path"] for row in sample if row["source_id"] == check.name).endswith(f"{check.name}.log")


def test_samples_show_no_personal_data(bad_results: dict[tuple[str, str], CheckResult]) -> None:
    private = {check.name for check in CHECKS if set(check.shows) & PRIVATE_COLUMNS}
    native = {check.name for check in CHECKS if check.rule is None and check.column in PRIVATE_COLUMNS - {"token_hash"}}
    assert private | native == set()
    assert [result for result in bad_results.values() if CLEAR_TOKEN in (result.failing_sample or "")] == []


def test_a_tolerance_lets_few_bad_rows_pass(tmp_path: Path) -> None:
    home = Home(tmp_path)
    home.prepare()
    good = GOOD["ocpp/meter_sample"]
    write_rows(home, TABLES["ocpp/meter_sample"], [good] * 199 + [good | {"value": None}])
    results = {result.check_name: result for result in run_suites(home, tables=["ocpp/meter_sample"])}
    assert results["value_is_a_number"].passed  # 0.5 % of 1 % allowed
    assert results["value_is_a_number"].failing_count is None
    write_rows(home, TABLES["ocpp/meter_sample"], [good | {"value": None}] * 2, name="more")
    results = {result.check_name: result for result in run_suites(home, tables=["ocpp/meter_sample"])}
    assert not results["value_is_a_number"].passed
    assert results["value_is_a_number"].observed == "3 of 202 rows (1.485%), allowed 1.000%"


def test_a_log_whose_records_are_in_the_lake_passes(tmp_path: Path) -> None:
    home = Home(tmp_path)
    home.prepare()
    frames = [GOOD["ocpp/frame"] | {"line_number": number} for number in range(1, 10)]
    write_rows(home, TABLES["ocpp/frame"], frames)
    write_rows(home, TABLES["ocpp/connection_event"], [GOOD["ocpp/connection_event"] | {"line_number": 10}])
    write_rows(home, TABLES["meta/landed_file"], [landed("good") | {"kind": "ocpp"}])
    results = {result.check_name: result for result in run_suites(home, tables=["meta/landed_file"])}
    assert results["log_records_are_in_the_lake"].passed


def test_an_ocpi_file_whose_objects_are_in_the_lake_passes(tmp_path: Path) -> None:
    home = Home(tmp_path)
    home.prepare()
    write_rows(home, TABLES["ocpi/cdr"], [GOOD["ocpi/cdr"] | {"line_number": number} for number in range(1, 10)])
    # Tariffs inside CDRs are no objects of the file.
    write_rows(home, TABLES["ocpi/tariff"], [GOOD["ocpi/tariff"] | {"embedded_in_cdr_id": "C1"}])
    write_rows(home, TABLES["meta/landed_file"], [landed("good") | {"kind": "ocpi"}])
    results = {result.check_name: result for result in run_suites(home, tables=["meta/landed_file"])}
    assert results["ocpi_objects_are_in_the_lake"].passed


def test_an_empty_lake_passes_without_great_expectations(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = Home(tmp_path)
    home.prepare()
    monkeypatch.setattr("pipelines.quality.run._judge", None)
    results = run_suites(home)
    assert len(results) == len(CHECKS)
    assert {(result.passed, result.observed, result.failing_count) for result in results} == {(True, "no rows", 0)}


def test_registry_rows_of_replaced_files_are_not_judged(tmp_path: Path) -> None:
    home = Home(tmp_path)
    home.prepare()
    write_rows(home, TABLES["meta/landed_file"], [landed("new"), landed("old") | {"is_current": False}])
    owner = GOOD["registry/owner"]
    write_rows(
        home, TABLES["registry/owner"], [owner | {"source_id": "new"}, owner | {"source_id": "old", "email": "a"}]
    )
    results = run_suites(home, tables=["registry/owner"])
    assert [result for result in results if not result.passed] == []
    assert {result.observed for result in results} == {"1 rows"}


def test_an_unknown_table_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no such lake table: ocpp/frames"):
        run_suites(Home(tmp_path), tables=["ocpp/frames"])


def broken_suites() -> Iterator[tuple[str, str]]:
    entry = "ocpp/frame: [{{check: a, why: b, {}}}]"
    yield "no such lake table: ocpp/phrase", "ocpp/phrase: []"
    yield "unknown key: colum", entry.format("rule: 'true', colum: x")
    yield "either rule or expectation", entry.format("column: action")
    yield "either rule or expectation", entry.format("rule: 'true', expectation: X")
    yield "severity is error or warn, not fatal", entry.format("rule: 'true', severity: fatal")
    yield "the table has no column actoin", entry.format("rule: 'true', column: actoin")
    yield "a warning does not block", entry.format("rule: 'true', severity: warn, is_blocking: true")
    yield "name given twice: action", "ocpp/frame: [{check: action, why: b, rule: 'true'}]"


@pytest.mark.parametrize(("message", "text"), list(broken_suites()))
def test_a_wrong_entry_says_what_is_wrong(message: str, text: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse_suites(text, ALL_TABLES)


EDGES: list[tuple[str, str, dict[str, object], bool | None]] = [
    ("ocpp/frame", "payload_holds_no_token_in_the_clear", {"payload": '{"idTag": ""}'}, True),
    ("ocpp/frame", "payload_holds_no_token_in_the_clear", {"payload": '{"idTag": null}'}, True),
    ("ocpp/frame", "payload_holds_no_token_in_the_clear", {"payload": '{"idTag": 4711}'}, False),
    ("ocpp/frame", "payload_holds_no_token_in_the_clear", {"payload": '{"idToken": {"idToken": "04AA"}}'}, False),
    ("ocpp/frame", "payload_holds_no_token_in_the_clear", {"action": "Heartbeat", "payload": "{}"}, None),
    ("ocpp/frame", "call_has_an_action", {"message_type": 3, "action": None}, True),
    ("ocpp/frame", "call_has_an_action", {"message_type": 3}, False),
    ("ocpp/frame", "call_has_an_action", {"message_type": 6}, True),
    ("ocpp/frame", "received_at_is_plausible", {"received_at": None}, None),
    ("ocpp/frame", "granted_heartbeat_is_plausible", {"result_interval_s": 0}, True),
    ("ocpp/status_event", "status_is_known", {"protocol": None, "status": "Occupied"}, True),
    ("ocpp/status_event", "status_is_known", {"protocol": "ocpp2.0.1", "status": "Charging"}, False),
    ("ocpp/status_event", "error_code_is_known", {"protocol": "ocpp2.0.1", "error_code": "E42"}, None),
    ("ocpp/transaction_event", "id_token_hash_is_a_pseudonym", {"id_token_hash": ""}, True),
    ("ocpp/transaction_event", "transaction_id_is_known", {"protocol": "ocpp2.0.1"}, False),
    ("ocpp/transaction_event", "transaction_id_is_known", {"protocol": "ocpp2.0.1", "transaction_id": "t"}, True),
    ("ocpp/meter_sample", "value_is_plausible", {"measurand": "SoC", "value": 100}, True),
    ("ocpp/meter_sample", "value_is_plausible", {"measurand": "Temperature", "value": 5000}, None),
    ("ocpp/meter_sample", "value_is_plausible", {"value": -5000000}, True),
    ("ocpp/meter_sample", "value_is_plausible", {"value": 5000000.1}, False),
    ("ocpi/cdr", "energy_is_not_negative", {"total_energy_kwh": -20, "is_credit": True}, True),
    ("ocpi/cdr", "total_time_is_end_minus_start", {"total_time_h": 1.5003}, True),
    ("ocpi/cdr", "total_time_is_end_minus_start", {"total_time_h": 1.5004}, False),
    ("ocpi/cdr", "total_time_is_end_minus_start", {"total_time_h": None}, None),
    ("ocpi/cdr", "party_is_named", {"ocpi_version": "2.1.1", "party_id": None}, True),
    ("ocpi/cdr", "ends_after_it_starts", {"ended_at": "2026-01-01 10:00:00+00"}, True),
    ("ocpi/cdr_dimension", "volume_is_not_negative", {"dimension": "POWER", "volume": -11}, True),
    ("ocpi/cdr_dimension", "dimension_has_a_volume", {"dimension": None, "volume": None}, None),
    ("ocpi/tariff_component", "times_of_day_are_readable", {"start_time": None, "end_time": None}, True),
    ("ocpi/tariff_component", "times_of_day_are_readable", {"start_time": "24:00"}, False),
    ("registry/access", "scoped_role_has_a_scope", {"role": "admin", "scope_id": None}, True),
    ("registry/port", "commissioned_before_decommissioned", {"decommissioned_at": None}, None),
    ("meta/landed_file", "few_records_are_quarantined", {"records_read": 100, "records_quarantined": 5}, True),
    ("meta/landed_file", "few_records_are_quarantined", {"records_read": 0, "records_quarantined": 0}, True),
    ("meta/landed_file", "path_has_one_current_content", {"is_current": False}, True),
]


@pytest.mark.parametrize(("table", "name", "values", "expected"), EDGES)
def test_a_rule_draws_its_line_where_it_says(
    table: str, name: str, values: dict[str, object], expected: bool | None
) -> None:
    rule = next(check.rule for check in CHECKS if (check.table, check.name) == (table, name))
    row = GOOD[table] | values
    columns = ", ".join(f"cast({literal(row.get(c.name))} as {c.type}) as {c.name}" for c in TABLES[table].columns)
    with duckdb.connect() as con:
        con.execute("set TimeZone = 'UTC'")
        assert con.execute(f"select ({rule}) from (select {columns})").fetchall() == [(expected,)]
