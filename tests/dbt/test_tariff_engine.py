"""The tariff engine in SQL against the oracle and against the specification's worked examples, through lake tables."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import duckdb
import pytest

from tests.lake_builder import LakeBuilder
from tests.oracles.tariff import Cdr, Component, Element, Limit, Period, Priced, Restrictions, Tariff, price
from tests.vectors.ocpi.lake_rows import write_lake
from tests.vectors.ocpi.random_cases import random_network

PROJECT = Path(__file__).resolve().parent.parent.parent
DBT = Path(os.environ.get("CHARGEHOUSE_DBT_PROJECT", PROJECT / "dbt"))
VECTORS = (
    Path(os.environ.get("CHARGEHOUSE_VECTORS", PROJECT.parent / "shared" / "vectors")) / "ocpi_worked_examples.json"
)
SEED = 20_250_330
RANDOM_CDRS = 1_200
TOLERANCE = Fraction(1, 10_000)
Rows = list[dict[str, Any]]
Query = Callable[[str], Rows]


def _price_with_dbt(home: Path, work: Path) -> Query:
    """Run the models that price CDRs on a home's lake; returns a reader of the database they built."""
    command = [str(Path(sys.executable).parent / "dbt"), "run", "--project-dir", str(DBT), "--profiles-dir", str(DBT)]
    command += ["--select", "+int_price_cdr_total", "+fct_cdr_price_line", "+dim_tariff"]
    command += ["--target-path", str(work / "target"), "--log-path", str(work / "logs"), "--no-use-colors"]
    environment = {**os.environ, "CHARGEHOUSE_HOME": str(home)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-6000:]

    def query(sql: str) -> Rows:
        with duckdb.connect(str(home / "warehouse" / "build.duckdb"), read_only=True) as con:
            return con.sql(sql).pl().to_dicts()

    return query


class Run:
    """What one dbt run made of a set of CDRs, beside what the oracle made of them."""

    def __init__(self, cdrs: list[Cdr], module: list[Tariff], query: Query) -> None:
        self.query = query
        self.expected: dict[str, Priced] = {cdr.cdr_id: price(cdr, tuple(module)) for cdr in cdrs}
        self.totals = {row["cdr_id"]: row for row in query("select * from intermediate.int_price_cdr_total")}
        self.lines = {
            (row["cdr_id"], row["period_number"], row["dimension"]): row
            for row in query("select * from marts.fct_cdr_price_line")
        }


def _far(found: Decimal | None, expected: Fraction | None) -> bool:
    if found is None or expected is None:
        return (found is None) != (expected is None)
    return abs(Fraction(found) - expected) > TOLERANCE


def test_every_cdr_is_priced_or_refused_for_the_reason_the_oracle_gives(run: Run):
    refused = {
        cdr_id: (row["reason"], run.expected[cdr_id].reason)
        for cdr_id, row in run.totals.items()
        if (row["reason"] if row["status"] == "not_auditable" else None) != run.expected[cdr_id].reason
    }
    assert len(run.totals) == len(run.expected) >= RANDOM_CDRS
    assert refused == {}


def test_totals_agree_with_the_oracle_net_and_gross(run: Run):
    wrong = {}
    for cdr_id, row in run.totals.items():
        expected = run.expected[cdr_id]
        if _far(row["repriced_net"], expected.net) or _far(row["repriced_gross"], expected.gross):
            wrong[cdr_id] = (row["repriced_net"], expected.net, row["repriced_gross"], expected.gross)
    assert wrong == {}


def test_lines_agree_with_the_oracle_in_element_quantity_amount_and_flags(run: Run):
    found = {key: row for key, row in run.lines.items() if row["period_number"] > 0}
    expected = {
        (cdr_id, line.period_number, line.kind): line
        for cdr_id, priced in run.expected.items()
        for line in priced.lines
    }
    assert found.keys() == expected.keys()
    wrong = {}
    for key, row in found.items():
        line = expected[key]
        if (
            (row["element_number"], row["component_number"]) != (line.element_number, line.component_number)
            or Fraction(row["quantity"]) != line.quantity
            or abs(Fraction(row["billed_quantity"]) - line.billed) > Fraction(1, 1_000_000)
            or Fraction(row["unit_price"]) != line.unit_price
            or _far(row["amount_net"], line.net)
            or _far(row["amount_gross"], line.gross)
            or row["restriction_unverifiable"] != line.is_unverifiable
            or row["period_spans_price_change"] != line.spans_price_change
        ):
            wrong[key] = (row, line)
    assert wrong == {}


def test_the_random_cases_reach_every_branch(run: Run):
    priced = [p for p in run.expected.values() if p.reason is None]
    lines = [line for p in priced for line in p.lines]
    assert len(priced) >= 500
    assert {line.kind for line in lines} == {
        "ENERGY", "TIME", "PARKING_TIME", "RESERVATION_TIME", "FLAT", "RESERVATION_FLAT",
    }  # fmt: skip
    assert {p.reason for p in run.expected.values()} >= {
        None, "credit_cdr", "unknown_tariff", "tariff_without_prices", "tariff_in_other_currency",
    }  # fmt: skip
    for reached in (
        [line for line in lines if line.billed > line.quantity],
        [line for line in lines if line.net is None],
        [line for line in lines if line.gross is None],
        [line for line in lines if line.is_unverifiable],
        [line for line in lines if line.spans_price_change],
        [line for line in lines if line.net is not None and line.net < 0],
        [key for key in run.lines if key[2] == "MIN_PRICE"],
        [key for key in run.lines if key[2] == "MAX_PRICE"],
    ):
        assert len(reached) >= 5
    clock_changes = run.query("select count(*) as n from intermediate.int_price_session where utc_offset_s is null")
    assert clock_changes[0]["n"] >= 50


def test_lines_of_a_cdr_add_up_to_its_total(run: Run):
    sums: dict[str, Fraction] = {}
    for (cdr_id, _, _), row in run.lines.items():
        if row["amount_net"] is not None:
            sums[cdr_id] = sums.get(cdr_id, Fraction(0)) + Fraction(row["amount_net"])
    apart = {
        cdr_id: (sums.get(cdr_id), row["repriced_net"])
        for cdr_id, row in run.totals.items()
        if row["repriced_net"] is not None
        and abs(sums.get(cdr_id, Fraction(0)) - Fraction(row["repriced_net"])) > Fraction(1, 50_000)
    }
    assert apart == {}


# -- the specification's worked examples ------------------------------------------------------------------------------


def _worked_examples() -> list[dict[str, Any]]:
    """The worked examples as numbers; none where the file is not at hand."""
    if not VECTORS.is_file():
        return []
    return json.loads(VECTORS.read_text(), parse_float=Decimal)["cases"]


def _number(value: Any) -> Decimal | None:
    return None if value is None else Decimal(str(value))


def _example_tariff(number: int, example: dict[str, Any]) -> Tariff:
    given = example["tariff"]

    def limit(name: str) -> Limit | None:
        stated = given.get(name)
        return stated and Limit(_number(stated["before_taxes"]), _number(stated.get("after_taxes")))

    elements = []
    for element in given["elements"]:
        restrictions = dict(element.get("restrictions", {}))
        restrictions["day_of_week"] = tuple(restrictions.get("day_of_week", ()))
        components = tuple(
            Component(c["dimension"], _number(c["price"]), _number(c.get("vat")), c.get("step_size"))
            for c in element["components"]
        )
        elements.append(Element(components, Restrictions(**restrictions)))
    return Tariff(
        f"example-{number}",
        tuple(elements),
        tax_included=given.get("tax_included"),
        min_price=limit("min_price"),
        max_price=limit("max_price"),
    )


def _example_cdr(number: int, example: dict[str, Any]) -> Cdr:
    # The lake keeps six decimals of a volume.
    periods = tuple(
        Period(
            datetime.fromisoformat(period["start_date_time"]).astimezone(UTC),
            {name: Decimal(volume).quantize(Decimal("0.000001")) for name, volume in period["dimensions"].items()},
        )
        for period in example["periods"]
    )
    last = periods[-1]
    hours = max((v for name, v in last.volumes.items() if name.endswith("TIME")), default=Decimal("0.5"))
    end = last.start + timedelta(seconds=round(float(hours) * 3600))
    tariff = _example_tariff(number, example)
    return Cdr(f"example-{number}", periods[0].start, end, periods, (tariff,), time_zone=example["time_zone"])


def _printed(amount: Decimal, like: str) -> Decimal:
    return amount.quantize(Decimal(like), ROUND_HALF_UP)


@pytest.mark.parametrize("engine", ["sql", "oracle"])
def test_worked_examples_of_the_specification_cost_what_it_prints(run: Run, engine: str):
    examples = _worked_examples()
    if not examples:
        pytest.skip(f"no worked examples at {VECTORS}; name their folder with CHARGEHOUSE_VECTORS")
    wrong = {}
    for number, example in enumerate(examples):
        if engine == "sql":
            row = run.totals[f"example-{number}"]
            found = {"net": row["repriced_net"], "gross": row["repriced_gross"]}
        else:
            priced = run.expected[f"example-{number}"]
            found = {
                name: None if amount is None else Decimal(amount.numerator) / Decimal(amount.denominator)
                for name, amount in (("net", priced.net), ("gross", priced.gross))
            }
        for name in ("net", "gross"):
            expected = example[f"expected_{name}"]
            if expected is not None and _printed(Decimal(found[name]), expected) != Decimal(expected):
                wrong[example["name"], name] = (found[name], expected)
    assert wrong == {}
    assert len(examples) >= 30


# -- cases with the arithmetic in words -------------------------------------------------------------------------------

NOON = datetime(2025, 6, 18, 12, tzinfo=UTC)


def _simple(cdr_id: str, *, hours: str, elements: tuple[Element, ...], **changes: Any) -> Cdr:
    period = Period(NOON, {"TIME": Decimal(hours)})
    cdr = Cdr(cdr_id, NOON, NOON + timedelta(hours=1), (period,), (Tariff(f"tariff of {cdr_id}", elements),))
    return replace(cdr, **changes)


def _told_cdrs() -> list[Cdr]:
    """CDRs that each make one point."""
    per_minute = (Element((Component("TIME", Decimal("60"), Decimal("20"), 60),)),)
    energy = (Element((Component("ENERGY", Decimal("0.50"), None, 1000),)),)
    return [
        _simple("35 minutes in repeating decimals", hours="0.583333", elements=per_minute),
        _simple("40 minutes at four decimals", hours="0.6667", elements=per_minute),
        _simple("unknown zone", hours="1", elements=per_minute, time_zone="Europe/Atlantis"),
        _simple("no elements", hours="1", elements=()),
        _simple("impossible volume", hours="999999999999", elements=per_minute),
        _simple("no tariff", hours="1", elements=per_minute, tariffs=()),
        _simple("no periods", hours="1", elements=per_minute, periods=()),
        _simple(
            "two tariffs",
            hours="1",
            elements=energy,
            periods=(
                Period(NOON, {"ENERGY": Decimal("1.2")}, "a"),
                Period(NOON + timedelta(minutes=5), {"ENERGY": Decimal("1.2")}, "B"),
            ),
            tariffs=(Tariff("A", energy), Tariff("b", (Element((Component("ENERGY", Decimal("1"), None, 1000),)),))),
        ),
    ]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """All CDRs of this module, priced in one run of dbt: a run costs more than a thousand CDRs."""
    folder = tmp_path_factory.mktemp("tariffs")
    cdrs, module = random_network(SEED, RANDOM_CDRS)
    cdrs += [_example_cdr(number, example) for number, example in enumerate(_worked_examples())]
    cdrs += _told_cdrs()
    write_lake(LakeBuilder(folder / "home"), cdrs, module)
    return Run(cdrs, module, _price_with_dbt(folder / "home", folder))


@pytest.mark.parametrize(
    ("cdr_id", "reason"),
    [
        ("unknown zone", "unknown_time_zone"),
        ("no elements", "tariff_without_prices"),
        ("impossible volume", "unusable_volume"),
        ("no tariff", "no_tariff"),
        ("no periods", "no_charging_periods"),
    ],
)
def test_what_cannot_be_priced_says_why_and_gets_no_line(run: Run, cdr_id: str, reason: str):
    row = run.totals[cdr_id]
    assert (row["status"], row["reason"], row["repriced_net"]) == ("not_auditable", reason, None)
    assert [key for key in run.lines if key[0] == cdr_id] == []


@pytest.mark.parametrize(
    ("cdr_id", "minutes"), [("35 minutes in repeating decimals", 35), ("40 minutes at four decimals", 40)]
)
def test_hours_that_do_not_end_bill_no_minute_too_many(run: Run, cdr_id: str, minutes: int):
    # 60 per hour in steps of 60 s: a minute costs 1.00, with VAT of 20 % 1.20.
    assert run.totals[cdr_id]["repriced_net"] == minutes
    assert run.totals[cdr_id]["repriced_gross"] == Decimal("1.2") * minutes


def test_two_tariffs_in_a_session_are_rounded_once_at_its_end(run: Run):
    # 1.2 + 1.2 = 2.4 kWh go up to 3 kWh; the missing 0.6 kWh cost the last tariff's 1.00: 1.2 * 0.50 + 1.8 * 1.00.
    assert run.totals["two tariffs"]["repriced_net"] == Decimal("2.4")


def test_a_tariff_version_is_one_row_with_its_prices(run: Run):
    rows = run.query("select * from marts.dim_tariff where tariff_id in ('A', 'b') order by tariff_id")
    assert [(r["tariff_id"], r["lowest_price_per_kwh"], r["embedded_copy_count"]) for r in rows] == [
        ("A", Decimal("0.5"), 1),
        ("b", Decimal("1"), 1),
    ]


def test_dbt_is_where_the_tests_look_for_it():
    assert (DBT / "dbt_project.yml").is_file()
    assert shutil.which(str(Path(sys.executable).parent / "dbt"))
