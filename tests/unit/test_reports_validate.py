"""The validator against the receiver's own rules, written here a second time, row by row, from its published code."""

import re
from datetime import datetime
from decimal import Decimal

import polars as pl
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pipelines.reports.rules import ColumnRule, read_rules
from pipelines.reports.validate import validate

RULES = read_rules("evchart")
GOOD = {
    "2": {
        "station_id": "S1", "network_provider": "chargepoint", "port_id": "P1", "charger_id": "C1", "session_id": "a1",
        "connector_id": "1", "session_start": "2026-04-01T10:00:00Z", "session_end": "2026-04-01T10:30:00Z",
        "session_error": "none", "error_other": "", "energy_kwh": "12.34", "power_kw": "98.7", "payment_method": "ad_hoc",
        "payment_other": "",
    },
    "3": {
        "station_id": "S1", "network_provider": "evgo", "port_id": "P1", "uptime_reporting_start": "2025-05-01T00:00:00Z",
        "uptime_reporting_end": "2026-04-30T23:59:59Z", "uptime": "97.34", "total_outage": "20000.00",
        "total_outage_excl": "6000.00",
    },
    "4": {
        "station_id": "S1", "network_provider": "evgo", "port_id": "P1", "outage_id": "2026-04-02T08:00:00Z",
        "outage_duration": "600.00", "excluded_outage": "TRUE", "excluded_outage_reason": "",
        "excluded_outage_notes": "vandalism",
    },
    "5": {
        "station_id": "S1", "network_provider": "evgo", "project_id": "", "maintenance_report_start": "2025-01-01T00:00:00Z",
        "maintenance_report_end": "2025-12-31T23:59:59Z", "caas": "FALSE", "maintenance_cost_total": "1200.50",
        "maintenance_cost_federal": "0.00", "maintenance_notes": "",
    },
    "9": {
        column.name: "S1" if column.name == "station_id" else "evgo" if column.name == "network_provider" else "10.00"
        for column in RULES.files["9"].columns
    },
}  # fmt: skip
MODULES = sorted(GOOD)


def problems(module: str, *rows: dict[str, str]) -> list:
    return validate(
        f"module_{module}.csv",
        pl.DataFrame(list(rows), schema=dict.fromkeys(GOOD[module], pl.String)),
        RULES.files[module],
    )


def receiver_takes(column: ColumnRule, value: str) -> bool:  # noqa: PLR0911
    """One cell, as the receiver's validation code judges it."""
    if value == "":
        return not column.required or column.blank_allowed
    if column.type == "datetime":
        try:
            datetime.fromisoformat(value)
        except ValueError:
            return False
        return re.match(r"^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.\d+)?Z?$", value) is not None
    if column.type == "decimal":
        try:
            number = float(value)
        except ValueError:
            return False
        whole, _, fraction = value.partition(".")
        digits = len(whole) - (value[0] in "+-")
        return (
            digits <= column.digits - column.decimals
            and len(fraction) <= column.decimals
            and (column.min is None or number >= column.min)
        )
    if column.type == "boolean":
        return value.upper() in ("TRUE", "FALSE")
    if column.type == "integer":
        return value.lstrip("+-").isdigit() and (column.min or 0) <= int(value) <= (column.max or 10**18)
    return (column.max_length is None or len(value) <= column.max_length) and not value.isspace()


@pytest.mark.parametrize("module", MODULES)
def test_a_good_row_has_no_problem(module: str):
    assert problems(module, GOOD[module]) == []


NUMBERS = ["-1", "+1", "1.", ".5", "1,5", "1e3", "NaN", "inf", "1.234", "00000001.0", "99999.99", "100000.00", "0", "7"]
TIMES = [
    "2026-02-30T00:00:00Z",
    "2026-01-01T24:00:00Z",
    "2026-01-01T00:00:60Z",
    "2026-01-01T00:00:00+02:00",
    "2026-01-01T00:00:00",
    "2026-01-01T00:00:00.5Z",
    "2026-01-01 00:00:00Z",
    "2026-01-01",
    "0000-01-01T00:00:00Z",
]
WORDS = ["", " ", "null", "TRUE", "true", "False", "yes", "x" * 36, "x" * 37, "x" * 255, "x" * 256]
ODD = st.one_of(
    st.text(max_size=40),
    st.sampled_from([*NUMBERS, *TIMES, *WORDS]),
    st.decimals(-10, 10**12, places=3).map(str),
    st.datetimes().map(lambda at: at.strftime("%Y-%m-%dT%H:%M:%SZ")),
)


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(MODULES), st.data())
def test_what_is_written_is_what_the_receiver_takes(module: str, data: st.DataObject):
    """Any text in any cell: if the validator lets it pass, so does the receiver."""
    column = data.draw(st.sampled_from([rule for rule in RULES.files[module].columns if not rule.one_of]))
    value = data.draw(ODD)
    found = problems(module, {**GOOD[module], column.name: value})
    if not found:
        assert receiver_takes(column, value), (column, value)


@settings(max_examples=100, deadline=None)
@given(st.sampled_from(MODULES), st.data())
def test_a_cell_that_the_receiver_refuses_is_named_with_its_line(module: str, data: st.DataObject):
    column = data.draw(st.sampled_from([rule for rule in RULES.files[module].columns if not rule.one_of]))
    value = data.draw(ODD)
    if receiver_takes(column, value):
        return
    key = {"station_id": "S2"} if column.name != "station_id" else {}
    found = problems(module, GOOD[module], {**GOOD[module], **key, column.name: value})
    assert any(problem.row == 3 and problem.column == column.name and problem.value == value for problem in found)


@pytest.mark.parametrize(
    ("module", "change", "column"),
    [
        ("2", {"energy_kwh": ""}, "session_id"),  # partly filled
        ("2", {"session_end": "2026-04-01T09:00:00Z"}, "session_end"),
        ("3", {"uptime": "97.33"}, "uptime"),  # (525,600 - 14,000) / 525,600 = 97.336 %
        ("3", {"total_outage_excl": "20000.01"}, "total_outage_excl"),
        ("3", {"uptime_reporting_end": "2025-05-01T00:00:00Z"}, "uptime_reporting_end"),
        ("4", {"outage_duration": ""}, "outage_duration"),
        ("4", {"outage_id": ""}, "outage_duration"),
        ("4", {"excluded_outage": "FALSE"}, "excluded_outage_notes"),
        ("4", {"outage_duration": "0.00"}, "outage_duration"),
        ("5", {"maintenance_cost_federal": "1200.51"}, "maintenance_cost_federal"),
        ("5", {"maintenance_cost_federal": ""}, "maintenance_cost_federal"),
        ("9", {"der_cost_total": ""}, "equipment_cost_total"),
        ("2", {"network_provider": "prairie"}, "network_provider"),
    ],
)
def test_rules_across_columns(module: str, change: dict[str, str], column: str):
    assert column in {problem.column for problem in problems(module, {**GOOD[module], **change})}


@pytest.mark.parametrize(
    ("module", "kept"),
    [
        ("2", {"station_id", "network_provider", "port_id"}),
        ("4", {"station_id", "network_provider", "port_id"}),
        ("3", set(GOOD["3"]) - {"uptime"}),
        ("5", set(GOOD["5"]) - {"maintenance_cost_total"}),
        ("9", {name for name in GOOD["9"] if name.endswith(("_federal", "_id", "_provider"))}),
    ],
)
def test_a_row_that_says_nothing_to_report_is_taken(module: str, kept: set[str]):
    assert problems(module, {name: value if name in kept else "" for name, value in GOOD[module].items()}) == []


@pytest.mark.parametrize("module", MODULES)
def test_a_key_stands_in_a_file_once(module: str):
    (found,) = problems(module, GOOD[module], GOOD[module])
    assert found.row == 3
    assert "once" in found.says


def test_two_outages_of_two_ports_may_begin_in_the_same_second():
    assert problems("4", GOOD["4"], {**GOOD["4"], "port_id": "P2"}) == []


def test_missing_unknown_and_no_rows_are_problems_of_the_file():
    frame = pl.DataFrame([GOOD["4"]])
    assert [p.column for p in validate("f", frame.drop("outage_id"), RULES.files["4"])] == ["outage_id"]
    assert [p.column for p in validate("f", frame.with_columns(more=pl.lit("")), RULES.files["4"])] == ["more"]
    (empty,) = validate("f", frame.clear(), RULES.files["4"])
    assert "without rows" in empty.says


def test_every_network_provider_is_snake_case_and_told_once():
    values = RULES.more["network_providers"]
    assert len(values) > 80
    assert all(re.fullmatch(r"[a-z0-9_]+", str(value)) for value in values)
    assert len({name.lower() for name in values.values()}) == len(values)


@example(outage=Decimal("20000.00"), excluded=Decimal("6000.00"))  # 97.336 %
@example(outage=Decimal("527040.00"), excluded=Decimal("0.00"))  # dark for a leap year: 0, not -0.27 %
@settings(max_examples=50, deadline=None)
@given(
    outage=st.decimals(0, 527040, places=2),
    excluded=st.decimals(0, 527040, places=2),
)
def test_the_uptime_is_the_one_of_the_minutes_beside_it(outage: Decimal, excluded: Decimal):
    excluded = min(outage, excluded)
    exact = max(Decimal(0), 100 * (525600 - (outage - excluded)) / 525600)
    right = exact.quantize(Decimal("0.01"), rounding="ROUND_HALF_UP")
    row = {**GOOD["3"], "total_outage": f"{outage:.2f}", "total_outage_excl": f"{excluded:.2f}"}
    assert problems("3", {**row, "uptime": f"{right:.2f}"}) == []
    wrong = right - Decimal("0.01") if right >= Decimal("0.01") else right + Decimal("0.01")
    assert [problem.column for problem in problems("3", {**row, "uptime": f"{wrong:.2f}"})] == ["uptime"]
