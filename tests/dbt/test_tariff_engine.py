"""The tariff engine in SQL against the oracle and against the specification's worked examples, through lake tables."""

import os
import re
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

from pipelines.ingest import ingest
from pipelines.settings import Settings
from pipelines.warehouse.compiled import CompiledModels
from tests.lake_builder import LakeBuilder
from tests.oracles.tariff import Cdr, Component, Element, Period, Priced, Tariff, price
from tests.vectors.ocpi import worked_examples
from tests.vectors.ocpi.lake_rows import write_lake
from tests.vectors.ocpi.random_cases import random_network

PROJECT = Path(__file__).resolve().parent.parent.parent
DBT = Path(os.environ.get("CHARGEHOUSE_DBT_PROJECT", PROJECT / "dbt"))
SEED = 20_250_330
RANDOM_CDRS = 2_400
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

    def __init__(self, cdrs: list[Cdr], module: list[Tariff], folder: Path) -> None:
        self.cdrs, self.module, self.folder = cdrs, module, folder
        query = self.query = _price_with_dbt(folder / "home", folder)
        self.expected: dict[str, Priced] = {cdr.cdr_id: price(cdr, tuple(module)) for cdr in cdrs}
        self.totals = {row["cdr_id"]: row for row in query("select * from intermediate.int_price_cdr_total")}
        # Of the CDRs that the oracle prices too.
        self.judged = {cdr_id: row for cdr_id, row in self.totals.items() if cdr_id in self.expected}
        self.lines = {
            (row["cdr_id"], row["period_number"], row["dimension"]): row
            for row in query("select * from marts.fct_cdr_price_line where peer <> 'spec'")
        }


def _far(found: Decimal | None, expected: Fraction | None) -> bool:
    if found is None or expected is None:
        return (found is None) != (expected is None)
    return abs(Fraction(found) - expected) > TOLERANCE


def test_every_cdr_is_priced_or_refused_for_the_reason_the_oracle_gives(run: Run):
    refused = {
        cdr_id: (row["reason"], run.expected[cdr_id].reason)
        for cdr_id, row in run.judged.items()
        if (row["reason"] if row["status"] == "not_auditable" else None) != run.expected[cdr_id].reason
    }
    assert len(run.judged) == len(run.expected) >= RANDOM_CDRS
    assert refused == {}


def test_totals_agree_with_the_oracle_net_and_gross(run: Run):
    wrong = {}
    for cdr_id, row in run.judged.items():
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
        for cdr_id, row in run.judged.items()
        if row["repriced_net"] is not None
        and abs(sums.get(cdr_id, Fraction(0)) - Fraction(row["repriced_net"])) > Fraction(1, 50_000)
    }
    assert apart == {}


# -- the specification's worked examples ------------------------------------------------------------------------------


def _printed(amount: Decimal, like: str) -> Decimal:
    return amount.quantize(Decimal(like), ROUND_HALF_UP)


@pytest.mark.parametrize("version", worked_examples.VERSIONS)
def test_worked_examples_of_the_specification_cost_what_it_prints(run: Run, version: str):
    """Each example as an OCPI object of the version: a JSON file that is decoded, then priced by the models."""
    examples = worked_examples.worked_examples()
    if not examples:
        pytest.skip(f"no worked examples at {worked_examples.FILE}; name their folder with CHARGEHOUSE_VECTORS")
    wrong, compared = {}, 0
    for number, example in enumerate(examples):
        if not worked_examples.can_say(version, example):
            continue
        row = run.totals[worked_examples.example_id(number, version)]
        for name in ("net", "gross"):
            expected = example[f"expected_{name}"]
            if expected is None:
                continue
            compared += 1
            if row[f"repriced_{name}"] is None or _printed(row[f"repriced_{name}"], expected) != Decimal(expected):
                wrong[example["name"], name] = (row[f"repriced_{name}"], expected)
    assert wrong == {}
    assert compared >= 50


def test_worked_examples_are_delivered_as_the_versions_they_are(run: Run):
    if not worked_examples.worked_examples():
        pytest.skip(f"no worked examples at {worked_examples.FILE}; name their folder with CHARGEHOUSE_VECTORS")
    found = run.query("select ocpi_version, count(*) as n from staging.stg_ocpi__cdrs where peer = 'spec' group by all")
    assert {row["ocpi_version"]: row["n"] for row in found} == {"2.2.1": 34, "2.3.0": 35}


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
    cdrs += _told_cdrs()
    builder = LakeBuilder(folder / "home")
    write_lake(builder, cdrs, module)
    if worked_examples.write_landing(builder.home.landing):
        counts = ingest(builder.home, Settings(), "ocpi").counts
        assert (counts.quarantined, counts.duplicate) == (0, 0)
    return Run(cdrs, module, folder)


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


def _models(run: Run, **options: Any) -> CompiledModels:
    lake = run.folder / "home" / "lake"
    return CompiledModels(
        lambda domain, table: f"read_parquet('{lake}/{domain}/{table}/*.parquet', union_by_name = true)", **options
    )


def test_models_rendered_without_dbt_are_what_dbt_compiles(run: Run):
    """`chargehouse price` and the benchmark run these; there is one tariff engine."""
    models = _models(run)
    compiled = {path.stem: path for path in (run.folder / "target" / "compiled").rglob("*.sql")}
    names = [name for name in models.in_order(["fct_cdr_price_line", "dim_tariff"]) if name in compiled]
    assert len(names) >= 20

    def plain(sql: str) -> str:
        sql = re.sub(r'"build"\."[a-z_]+"\."([a-z0-9_]+)"', r"\1", sql)
        return " ".join(re.sub(r"read_parquet\('[^']*/lake/", "read_parquet('lake/", sql).split())

    assert {name for name in names if plain(models.sql(name)) != plain(compiled[name].read_text())} == set()


def test_a_restriction_without_data_is_met_or_not_as_the_setting_says(run: Run):
    """The policy turned round, on the same CDRs: they agree with the oracle again, and many prices change."""
    models = _models(run, variables={"unmeasured_restriction": "not_met"})
    with duckdb.connect() as con:
        con.execute("set TimeZone = 'UTC'")
        models.build(con, ["int_price_cdr_total"])
        rows = con.sql(
            "select cdr_id, repriced_net, repriced_gross from int_price_cdr_total where peer <> 'spec'"
        ).fetchall()
    wrong, changed = {}, 0
    expected = {cdr.cdr_id: price(cdr, tuple(run.module), is_unmeasured_met=False) for cdr in run.cdrs}
    for cdr_id, net, gross in rows:
        if _far(net, expected[cdr_id].net) or _far(gross, expected[cdr_id].gross):
            wrong[cdr_id] = (net, expected[cdr_id].net, gross, expected[cdr_id].gross)
        changed += net != run.totals[cdr_id]["repriced_net"]
    assert wrong == {}
    assert changed >= 50


def test_a_tariff_version_is_one_row_with_its_prices(run: Run):
    rows = run.query("select * from marts.dim_tariff where tariff_id in ('A', 'b') order by tariff_id")
    assert [(r["tariff_id"], r["lowest_price_per_kwh"], r["embedded_copy_count"]) for r in rows] == [
        ("A", Decimal("0.5"), 1),
        ("b", Decimal("1"), 1),
    ]


def test_dbt_is_where_the_tests_look_for_it():
    assert (DBT / "dbt_project.yml").is_file()
    assert shutil.which(str(Path(sys.executable).parent / "dbt"))
