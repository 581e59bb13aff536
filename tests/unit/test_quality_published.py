"""Every rule of a candidate version passes on good marts, and fails on a bad row that it names."""

import json
from collections.abc import Iterator

import duckdb
import pytest
import yaml

from pipelines.lake import ALL_TABLES
from pipelines.quality.docs import page_path, page_with_checks
from pipelines.quality.published import all_rules, check_candidate, parse_rules
from pipelines.quality.result import CheckResult
from pipelines.settings import project_root

HASH = "0123456789abcdef0123456789abcdef"
MARTS, IDENTITIES = all_rules()

# One good row per mart (SQL literals with their types), as far as the rules look at it.
GOOD: dict[str, str] = {
    "dim_owner": "'O1' as owner_id",
    "dim_operator": "'P1' as operator_id",
    "dim_emsp": "'M1' as emsp_id",
    "dim_site": "'S1' as site_id",
    "dim_station": "'CP1' as station_id",
    "dim_port": "'CP1-1' as port_id",
    "dim_contract": "'K1' as contract_id",
    "dim_sla_policy": "'nevi' as policy_id",
    "dim_sla_policy_exclusion": "'nevi' as policy_id, 'vandalism' as reason",
    "dim_tariff": "'T1' as tariff_version_id",
    "fct_port_state": """'CP1-1' as port_id, 'available' as state, timestamptz '2026-01-01 00:00:00+00' as started_at,
        timestamptz '2026-01-01 10:00:00+00' as ended_at, 36000::bigint as duration_s
        union all select 'CP1-1', 'charging', timestamptz '2026-01-01 10:00:00+00', null, 50400""",
    "fct_outage": """'X1' as outage_id, 'CP1-1' as port_id, timestamptz '2026-01-01 00:00:00+00' as started_at,
        timestamptz '2026-01-01 01:00:00+00' as ended_at, 3600::bigint as duration_s""",
    "fct_port_day": """'CP1-1' as port_id, date '2026-01-01' as local_date, 86400::bigint as period_s,
        36000::bigint as available_s, 0::bigint as occupied_s, 50400::bigint as charging_s, 0::bigint as faulted_s,
        0::bigint as unavailable_s, 0::bigint as offline_s, 0::bigint as unknown_s, 1::bigint as session_count,
        20.0::decimal(18,6) as energy_kwh, 1::bigint as cdr_count, 0::bigint as other_currency_cdr_count""",
    "fct_sla": """'nevi' as policy_id, 'port' as grain, 'CP1-1' as subject_id, 'month' as period_kind,
        date '2026-01-01' as period_start, 2678400::bigint as base_s, 100::bigint as down_s, 0::bigint as excluded_s,
        0::bigint as unknown_s, 80352::bigint as allowed_down_s, 0.99::decimal(18,6) as uptime_ratio,
        2678400::bigint as window_s, 2678300::bigint as up_s, 100::bigint as net_down_s, 0::bigint as out_of_scope_s""",
    "fct_sla_downtime": "'nevi' as policy_id, 'CP1-1' as port_id, timestamptz '2026-01-01 00:00:00+00' as started_at",
    "fct_sla_incident": "'I1' as incident_id",
    "fct_sla_bridge": """'nevi' as policy_id, 'port' as grain, 'CP1-1' as subject_id, 'month' as period_kind,
        date '2026-01-01' as period_start, 0 as step_number""",
    "fct_sla_contract": "'K1' as contract_id, 'month' as period_kind, date '2026-01-01' as period_start",
    "fct_maintenance": "'corrective' as kind, 'X1' as maintenance_id",
    "fct_repair_time": "'Acme' as vendor, 'One' as model, '1.0' as firmware_version",
    "fct_port_operations": "'CP1-1' as port_id, 'month' as period_kind, date '2026-01-01' as period_start",
    "fct_cost_year": "'C1' as cost_id, 2026 as local_year",
    "fct_charging_kpi": """'site' as grain, 'S1' as subject_id, date '2026-01-01' as local_month, 'visit_success' as kpi,
        'all' as start_mode, 'all' as failure_reason, 9::bigint as numerator_count,
        10::bigint as denominator_count""",
    "fct_session_curve": "'Z1' as session_id, timestamptz '2026-01-01 10:00:00+00' as sampled_at",
    "fct_station_day": "'CP1' as station_id, date '2026-01-01' as local_date",
    "dim_station_clock": "'CP1' as station_id, 'StatusNotification' as action",
    "fct_cdr_finding": "'F1' as finding_key, 'D1' as defect_id, 'error' as severity",
    "fct_tariff_finding": "'G1' as finding_key",
    "fct_roaming_month": """'M1' as emsp_id, 'P1' as operator_id, date '2026-01-01' as local_month, 'EUR' as currency,
        1::bigint as cdr_count, 100.0::decimal(18,6) as billed_net""",
    "fct_invoice_reconciliation": """'R1' as reconciliation_id, 'M1' as emsp_id, 'EUR' as currency,
        1::bigint as cdr_count, 100.0::decimal(18,6) as total_net""",
    "fct_session": f"""'Z1' as session_id, 'S1' as site_id, timestamptz '2026-01-01 10:00:00+00' as started_at,
        timestamptz '2026-01-01 11:00:00+00' as ended_at, 3000::bigint as charging_s, 600::bigint as idle_s,
        20.0::decimal(18,6) as energy_kwh, '{HASH}' as id_token_hash""",
    "fct_charge_attempt": "'A1' as attempt_id",
    "fct_visit": "'V1' as visit_id",
    "fct_cdr": """'H1' as cdr_key, 'DE' as country_code, 'abc' as party_id, 'C1' as cdr_id, 'EUR' as currency,
        'S1' as site_id, 'CP1-1' as port_id, date '2026-01-01' as local_month, 20.0::decimal(18,6) as energy_kwh,
        100.0::decimal(18,6) as billed_net, false as is_credit, true as is_counted,
        false as is_home_charging_compensation, 3600::bigint as duration_s, 'match' as audit_verdict,
        null::varchar as audit_reason, 'M1' as emsp_id, 12.34::decimal(18,6) as repriced_net""",
    "fct_cdr_price_line": """'H1' as cdr_key, 1 as period_number, 'ENERGY' as dimension,
        20.0::decimal(18,6) as quantity, 20.1::decimal(18,6) as billed_quantity, 12.34::decimal(18,6) as amount_net""",
    "fct_reconciliation": """'Q1' as reconciliation_key, 'Z1' as session_id, 'C1' as cdr_id, 'H1' as cdr_key,
        'matched' as outcome""",
    "fct_settlement_line": """'L1' as line_id, 'Y1' as statement_id, 'revenue' as line_type, 'H1' as cdr_key,
        12.34::decimal(18,6) as amount_net, 'EUR' as currency""",
    "fct_statement": "'Y1' as statement_id, 12.34::decimal(18,6) as payout_net",
    "fct_settlement_exclusion": "'H9' as cdr_key",
    "fct_energy_cost": """'Z1' as charge_id, 'EUR' as currency, 'S1' as site_id, 20.0::decimal(18,6) as energy_kwh,
        -1.0::decimal(38,12) as energy_cost_net""",
    "fct_demand_charge": "'S1' as site_id, date '2026-01-01' as local_month, 'EUR' as currency",
    "fct_demand_peak_session": """'S1' as site_id, date '2026-01-01' as local_month, 'EUR' as currency,
        'Z1' as session_id""",
    "fct_demand_cap": """'S1' as site_id, date '2026-01-01' as local_month, 'EUR' as currency,
        90::integer as cap_percent""",
    "fct_site_month": """'S1' as site_id, date '2026-01-01' as local_month, 'EUR' as currency,
        100.0::decimal(18,6) as revenue_net, 30.0::decimal(18,6) as energy_cost_net,
        5.0::decimal(18,6) as demand_charge_net, 4.0::decimal(18,6) as roaming_fee_net,
        6.0::decimal(18,6) as operator_fee_net, 10.0::decimal(18,6) as opex_net, 45.0::decimal(18,6) as margin_net,
        0.25::decimal(18,6) as utilisation_ratio, 1::bigint as session_count, 20.0::decimal(18,6) as energy_kwh,
        0::bigint as downtime_s""",
    "fct_cash_flow": "'S1' as site_id",
    "fct_roi": "'site' as grain, 'S1' as subject_id, 'EUR' as currency",
    "fct_load_15min": """'S1' as site_id, timestamptz '2026-01-01 10:00:00+00' as interval_start_at,
        100.0::decimal(18,3) as average_power_kw, 25.0::decimal(18,6) as energy_kwh""",
}
# The assignment that makes a copy of (or a change to) the good rows break a rule; keys are handled by the test.
BAD: dict[str, dict[str, str]] = {
    "fct_port_state": {
        "duration_is_not_negative": "duration_s = -1",
        "ends_after_it_starts": "ended_at = started_at",
        "state_is_known": "state = 'asleep'",
        "intervals_follow_without_gap": "ended_at = timestamptz '2026-01-01 09:59:59+00' where ended_at is not null",
    },
    "fct_outage": {
        "duration_is_not_negative": "duration_s = -1",
        "outages_of_a_port_do_not_overlap": "",  # a second outage inside the first
    },
    "fct_port_day": {
        "seconds_of_the_day_add_up": "available_s = available_s - 1",
        "no_state_has_negative_seconds": "available_s = -1, unknown_s = 36001",
        "day_has_at_most_25_hours": "period_s = 90001",
        "energy_is_not_negative": "energy_kwh = -1",
        "sessions_are_not_negative": "session_count = null",
    },
    "fct_sla": {
        "uptime_is_a_ratio": "uptime_ratio = 1.000001",
        "parts_are_not_negative": "excluded_s = -1",
        "downtime_fits_into_the_window": "down_s = window_s + 1, net_down_s = window_s + 1, up_s = -1",
        "seconds_add_up_to_the_window": "up_s = up_s - 1",
    },
    "fct_session": {
        "ends_after_it_starts": "ended_at = timestamptz '2026-01-01 09:00:00+00'",
        "charging_seconds_fit": "idle_s = -1",
        "energy_is_plausible": "energy_kwh = 20000",
        "token_is_a_pseudonym": "id_token_hash = 'CLEARTOKEN'",
    },
    "fct_cdr": {
        "currency_is_three_letters": "currency = 'XXX'",
        "credits_take_money_back": "is_credit = true",
        "duration_is_not_negative": "duration_s = -1",
        "audit_verdict_is_known": "audit_verdict = 'fine'",
        "verdict_but_match_has_a_reason": "audit_verdict = 'mismatch'",
    },
    "fct_cdr_finding": {"severity_is_known": "severity = 'grave'"},
    "fct_charging_kpi": {"counts_at_most_its_denominator": "numerator_count = 11"},
    "fct_cdr_price_line": {"billed_quantity_is_not_below_quantity": "billed_quantity = 19.9"},
    "fct_reconciliation": {"outcome_is_known": "outcome = 'close enough'"},
    "fct_settlement_line": {"amount_is_in_the_smallest_unit": "amount_net = 12.345"},
    "fct_energy_cost": {"price_per_kwh_is_plausible": "energy_cost_net = 2001"},
    "fct_site_month": {
        "margin_is_what_is_left": "margin_net = margin_net + 0.01",
        "utilisation_is_a_ratio": "utilisation_ratio = 1.2",
        "month_begins_on_the_first": "local_month = date '2026-01-02'",
    },
    "fct_load_15min": {"energy_is_power_times_a_quarter_hour": "energy_kwh = 100"},
}
BAD_IDENTITIES: dict[str, str] = {
    "statements_are_the_sums_of_their_lines": "update marts.fct_statement set payout_net = payout_net + 0.01",
    "price_lines_add_up_to_the_repriced_total": "update marts.fct_cdr set repriced_net = repriced_net + 0.01",
    "every_session_and_charge_is_reconciled_once": "update marts.fct_reconciliation set session_id = 'Z2'",
    "roaming_months_hold_every_cdr_of_a_provider": "update marts.fct_roaming_month set billed_net = billed_net + 0.01",
    "invoices_hold_every_cdr_of_a_provider": "delete from marts.fct_invoice_reconciliation",
    "every_cdr_is_settled_or_excluded": "update marts.fct_settlement_line set cdr_key = null",
    "port_days_hold_every_second_of_port_states": "update marts.fct_port_day set period_s = 86399, available_s = 35999",
    "known_statuses_make_port_states": "delete from marts.fct_port_state",
    "no_cdr_is_lost": "update marts.fct_cdr set cdr_id = 'C2'",
    "price_lines_belong_to_a_cdr": "update marts.fct_cdr_price_line set cdr_key = 'H2'",
    "months_hold_the_revenue_of_every_cdr": "update marts.fct_cdr set billed_net = billed_net + 0.01",
    "port_days_hold_every_cdr_with_a_port": "update marts.fct_port_day set cdr_count = 0",
    "months_hold_every_charge": "update marts.fct_site_month set energy_kwh = energy_kwh - 0.000001",
    "months_hold_the_downtime_of_every_port_day": "update marts.fct_site_month set downtime_s = 1",
}


@pytest.fixture
def con() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as con:
        con.execute("set TimeZone = 'UTC'")
        con.execute("create schema marts; create schema lake")
        for table, row in GOOD.items():
            con.execute(f"create table marts.{table} as select {row}")
        for table in ALL_TABLES:
            con.execute(f"create table lake.{table.domain}_{table.name} as {table.empty_sql()}")
        con.execute("insert into lake.ocpp_status_event by name select 'Available' as status")
        # The same CDR in another spelling: OCPI ids are compared case-insensitively.
        con.execute("""
            insert into lake.ocpi_cdr by name
            select 'DE' as country_code, 'ABC' as party_id, unnest(['C1', 'c1']) as cdr_id
        """)
        yield con


def by_check(results: list[CheckResult]) -> dict[tuple[str, str], CheckResult]:
    return {(result.table_name, result.check_name): result for result in results}


def test_good_marts_pass_every_check(con: duckdb.DuckDBPyConnection) -> None:
    results = check_candidate(con)
    assert [result for result in results if not result.passed] == []
    expected = {(mart.table, "table_is_there") for mart in MARTS}
    expected |= {(rule.table, rule.name) for mart in MARTS for rule in mart.rules}
    expected |= {(identity.table, identity.name) for identity in IDENTITIES}
    assert set(by_check(results)) == expected
    assert {result.suite for result in results} == {"published"}


def test_every_rule_has_a_failing_example() -> None:
    rules = {(rule.table, rule.name) for mart in MARTS for rule in mart.rules if not rule.name.startswith("key_is_")}
    assert rules == {(table, name) for table, own in BAD.items() for name in own}
    assert {identity.name for identity in IDENTITIES} == set(BAD_IDENTITIES)
    assert {mart.table for mart in MARTS} == set(GOOD)


@pytest.mark.parametrize(("table", "name"), [(table, name) for table, own in BAD.items() for name in own])
def test_a_bad_row_fails_its_rule_and_is_named(con: duckdb.DuckDBPyConnection, table: str, name: str) -> None:
    if name == "outages_of_a_port_do_not_overlap":
        con.execute("""
            insert into marts.fct_outage
            values ('X2', 'CP1-1', '2026-01-01 00:30:00+00', '2026-01-01 00:40:00+00', 600)
        """)
    else:
        con.execute(f"update marts.{table} set {BAD[table][name]}")
    result = by_check(check_candidate(con))[table, name]
    assert not result.passed
    assert result.failing_count is not None
    assert result.failing_count >= 1
    sample = json.loads(result.failing_sample or "[]")
    assert len(sample) == result.failing_count
    rule = next(rule for mart in MARTS for rule in mart.rules if (rule.table, rule.name) == (table, name))
    assert list(sample[0]) == list(rule.shows)
    assert "CLEARTOKEN" not in (result.failing_sample or "")
    assert result.stops_publishing == rule.is_blocking


@pytest.mark.parametrize("table", [rule.table for mart in MARTS for rule in mart.rules if rule.name == "key_is_unique"])
def test_a_row_that_is_there_twice_or_has_no_key_is_named(con: duckdb.DuckDBPyConnection, table: str) -> None:
    rules = {rule.name: rule for mart in MARTS if mart.table == table for rule in mart.rules}
    con.execute(f"insert into marts.{table} from marts.{table} limit 1")
    unique = by_check(check_candidate(con))[table, "key_is_unique"]
    assert (unique.passed, unique.failing_count, unique.stops_publishing) == (False, 2, True)
    assert list(json.loads(unique.failing_sample or "[]")[0]) == list(rules["key_is_unique"].shows)

    column = (rules["key_is_not_null"].column or "").split(", ")[-1]
    con.execute(f"update marts.{table} set {column} = null")
    missing = by_check(check_candidate(con))[table, "key_is_not_null"]
    assert (missing.passed, missing.stops_publishing) == (False, True)


@pytest.mark.parametrize("identity", IDENTITIES, ids=lambda identity: identity.name)
def test_sums_that_disagree_are_named(con: duckdb.DuckDBPyConnection, identity: object) -> None:
    con.execute(BAD_IDENTITIES[identity.name])
    result = by_check(check_candidate(con))[identity.table, identity.name]
    assert (result.passed, result.failing_count) == (False, 1)
    assert len(json.loads(result.failing_sample or "[]")) == 1


def test_a_missing_table_stops_publishing_if_it_is_required(con: duckdb.DuckDBPyConnection) -> None:
    con.execute("drop table marts.fct_cdr; drop table marts.fct_roi")
    results = by_check(check_candidate(con))
    assert results["fct_cdr", "table_is_there"].stops_publishing
    assert not [key for key in results if key[0] == "fct_roi"]


def test_a_rule_that_cannot_be_judged_fails_and_the_others_are_judged(con: duckdb.DuckDBPyConnection) -> None:
    con.execute("alter table marts.fct_session drop column idle_s")
    results = by_check(check_candidate(con))
    broken = results["fct_session", "charging_seconds_fit"]
    assert (broken.passed, broken.failing_count, broken.stops_publishing) == (False, None, True)
    assert broken.observed.startswith("could not be judged: Binder Error")
    assert results["fct_session", "ends_after_it_starts"].passed


def test_a_charge_without_a_log_is_counted_from_its_bill(con: duckdb.DuckDBPyConnection) -> None:
    con.execute("delete from marts.fct_session")
    assert by_check(check_candidate(con))["fct_site_month", "months_hold_every_charge"].passed
    con.execute("update marts.fct_cdr set is_counted = false")
    assert not by_check(check_candidate(con))["fct_site_month", "months_hold_every_charge"].passed


def test_marts_of_the_candidate_are_judged_and_not_those_it_was_built_from(con: duckdb.DuckDBPyConnection) -> None:
    con.execute("attach ':memory:' as candidate")
    con.execute("create schema candidate.marts; create schema candidate.lake; use candidate")
    assert not by_check(check_candidate(con))["dim_owner", "table_is_there"].passed


def test_samples_are_the_same_every_time(con: duckdb.DuckDBPyConnection) -> None:
    con.execute("delete from marts.dim_owner")
    con.execute("insert into marts.dim_owner select 'O' || (i * 7919 % 1000) from range(3000) as numbers(i)")
    samples = {by_check(check_candidate(con))["dim_owner", "key_is_unique"].failing_sample for _ in range(3)}
    assert len(samples) == 1
    assert len(json.loads(samples.pop() or "[]")) == 20


def test_rules_fit_the_columns_of_the_documented_marts() -> None:
    """No rule names a column that the models do not have: every documented mart is made empty and judged."""
    documented = {}
    for path in sorted((project_root() / "dbt" / "models" / "marts").rglob("*.yml")):
        for model in yaml.safe_load(path.read_text()).get("models", []):
            documented[model["name"]] = {column["name"]: column["data_type"] for column in model["columns"]}
    with duckdb.connect() as con:
        con.execute("create schema marts; create schema lake")
        for table, columns in documented.items():
            con.execute(f"create table marts.{table} ({', '.join(f'{name} {kind}' for name, kind in columns.items())})")
        for table in ALL_TABLES:
            con.execute(f"create table lake.{table.domain}_{table.name} as {table.empty_sql()}")
        failed = [
            f"{result.table_name}: {result.check_name}: {result.observed}"
            for result in check_candidate(con)
            if not result.passed and result.table_name in documented
        ]
    assert documented
    assert failed == []


def test_a_wrong_entry_says_what_is_wrong() -> None:
    rule = "{check: a, column: b, rule: 'true', why: c}"
    with pytest.raises(ValueError, match="t: name given twice: a"):
        parse_rules(f"{{tables: {{t: {{rules: [{rule}, {rule}]}}}}, identities: []}}")
    with pytest.raises(ValueError, match="check a: severity is error or warn, not fatal"):
        parse_rules(f"{{tables: {{t: {{rules: [{rule[:-1]}, severity: fatal}}]}}}}, identities: []}}")
    with pytest.raises(KeyError, match="why"):
        parse_rules("{tables: {t: {rules: [{check: a, column: b, rule: 'true'}]}}, identities: []}")


def test_the_page_lists_every_check_as_it_is() -> None:
    page = page_path().read_text(encoding="utf-8")
    assert page_with_checks(page) == page, "run python -m pipelines.quality.docs"
    assert all(f"`{rule.name}`" in page for mart in MARTS for rule in mart.rules)
    with pytest.raises(ValueError, match="no list of checks"):
        page_with_checks("# A page without the marks")
