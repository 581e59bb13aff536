"""Every defect of the catalogue: a CDR, Session or tariff that has it raises it, its clean twin raises nothing.

All deliveries are JSON files that are decoded, and one dbt run builds the marts from them.
"""

import csv
import json
import os
import subprocess
import sys
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pytest

from pipelines.home import Home
from pipelines.ingest import ingest, write_index
from pipelines.settings import Settings
from tests.vectors.ocpi import defects

PROJECT = Path(__file__).resolve().parent.parent.parent
DBT = Path(os.environ.get("CHARGEHOUSE_DBT_PROJECT", PROJECT / "dbt"))
SEED = DBT / "seeds" / "cdr_defects.csv"
with SEED.open(encoding="utf-8") as file:
    CATALOGUE = {row["defect_id"]: row for row in csv.DictReader(file)}
OF_TARIFFS = sorted(name for name, row in CATALOGUE.items() if row["subject"] == "tariff")
OF_CDRS = sorted(set(CATALOGUE) - set(OF_TARIFFS))
Query = Callable[[str], list[dict[str, Any]]]

SITES = (
    "site_id,name,owner_id,operator_id,time_zone,country_code,currency,ocpi_location_id\n"
    "S1,Home,O1,ABC,Europe/Berlin,DE,EUR,HOME\n"
)
EMSPS = (
    "emsp_id,name,ocpi_party,roaming_fee_per_kwh,roaming_fee_per_session,currency\nE1,Provider,NL*EMP,0.03,0.40,EUR\n"
)


def _frames(transactions: list[tuple[str, int, str, str, float]]) -> list[dict[str, Any]]:
    """A log of one station per EVSE: start, stop and their answers."""
    lines = []
    for transaction, evse, start, end, kwh in transactions:
        token = {"connectorId": 1, "idTag": f"LOG{evse}", "meterStart": 0, "timestamp": start}
        stop = {"transactionId": int(transaction), "meterStop": int(kwh * 1000), "timestamp": end}
        for at, direction, frame in (
            (start, "FROM_CP", [2, f"a{transaction}", "StartTransaction", token]),
            (
                start,
                "TO_CP",
                [3, f"a{transaction}", {"transactionId": int(transaction), "idTagInfo": {"status": "Accepted"}}],
            ),
            (end, "FROM_CP", [2, f"b{transaction}", "StopTransaction", stop]),
            (end, "TO_CP", [3, f"b{transaction}", {}]),
        ):
            lines.append(
                {
                    "charger_id": f"CP{evse}", "captured_at": at, "event_type": 2, "direction": direction,
                    "raw_frame": json.dumps(frame),
                }
            )  # fmt: skip
    return lines


def _write_landing(home: Home) -> None:
    made, evses = defects.deliveries()
    locations = [
        defects.location("HOME", evses),
        defects.location(defects.FAR, evses, coordinates={"latitude": "48.14", "longitude": "11.58"}),
        defects.location("NOZONE", evses, time_zone="Europe/Atlantis"),
    ]
    stations = "station_id,site_id\n" + "".join(f"CP{evse},S1\n" for _, evse, *_ in made.transactions)
    ports = "port_id,station_id,ocpp_connector_ids,ocpi_evse_uid,power_type,max_power_kw\n" + "".join(
        f"P{evse},CP{evse},1,E{evse},AC,11\n" for _, evse, *_ in made.transactions
    )
    log = "".join(json.dumps(line) + "\n" for line in _frames(made.transactions))
    files = {
        "ocpi/cdrs/peer/first.json": json.dumps(made.cdrs),
        "ocpi/cdrs/peer/second.json": json.dumps(made.again),
        "ocpi/sessions/peer/sessions.json": json.dumps(made.sessions),
        "ocpi/tariffs/peer/tariffs.json": json.dumps(made.tariffs),
        "ocpi/locations/peer/locations.json": json.dumps(locations),
        "ocpp/log.jsonl": log,
        "registry/owners.csv": "owner_id,name,currency\nO1,Owner,EUR\n",
        "registry/operators.csv": "operator_id,name,ocpi_party\nABC,Operator,DE*ABC\n",
        "registry/emsps.csv": EMSPS,
        "registry/sites.csv": SITES,
        "registry/stations.csv": stations,
        "registry/ports.csv": ports,
    }
    for name, text in files.items():
        path = home.landing / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """A home whose marts were built from the deliveries by one dbt run."""
    folder = tmp_path_factory.mktemp("audit")
    home = Home(folder / "home")
    home.prepare()
    _write_landing(home)
    for kind in ("registry", "ocpi", "ocpp"):
        ingest(home, Settings(), kind)
    write_index(home)
    command = [str(Path(sys.executable).parent / "dbt"), "build", "--project-dir", str(DBT), "--profiles-dir", str(DBT)]
    command += ["--exclude-resource-type", "unit_test", "--exclude-resource-type", "test", "--no-use-colors"]
    command += ["--select", "+fct_cdr", "+fct_reconciliation", "+fct_tariff_finding", "+fct_roaming_month"]
    command += ["+fct_invoice_reconciliation", "+fct_cdr_price_line"]
    command += ["--target-path", str(folder / "target"), "--log-path", str(folder / "logs")]
    environment = {**os.environ, "CHARGEHOUSE_HOME": str(home.root)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-6000:]
    return home


@pytest.fixture(scope="module")
def query(home: Home) -> Query:
    """Ask the database that dbt built."""

    def ask(sql: str) -> list[dict[str, Any]]:
        with duckdb.connect(str(home.warehouse / "build.duckdb"), read_only=True) as con:
            con.execute("set TimeZone = 'UTC'")
            return con.sql(sql).pl().to_dicts()

    return ask


@pytest.fixture(scope="module")
def findings(query: Query) -> dict[str, set[str]]:
    """Defects by CDR id; of Sessions by their id without the first letters."""
    found: dict[str, set[str]] = {}
    for row in query("select cdr_id, ocpi_session_id, defect_id from marts.fct_cdr_finding"):
        name = row["cdr_id"] or row["ocpi_session_id"].removeprefix("S-")
        found.setdefault(name, set()).add(row["defect_id"])
    return found


@pytest.mark.parametrize("defect", OF_CDRS)
def test_a_cdr_with_the_defect_raises_it_and_its_clean_twin_raises_nothing(findings: dict[str, set[str]], defect: str):
    assert defect in findings.get(f"{defect}-bad", set())
    # A credit is made later than what it takes back, and the other halves of pairs are not judged here.
    assert findings.get(f"{defect}-clean", set()) - {"late_24_h"} == set()


@pytest.mark.parametrize("defect", OF_TARIFFS)
def test_a_tariff_with_the_defect_raises_it_and_its_clean_twin_raises_nothing(query: Query, defect: str):
    rows = query(f"select tariff_id, defect_id from marts.fct_tariff_finding where starts_with(tariff_id, '{defect}-')")
    found = {(row["tariff_id"], row["defect_id"]) for row in rows}
    assert (f"{defect}-bad", defect) in found
    assert {tariff for tariff, _ in found} == {f"{defect}-bad"}


def test_every_clean_twin_is_there_and_matches(query: Query):
    made, _ = defects.deliveries()
    clean = {cdr["id"] for cdr in made.cdrs if cdr["id"].endswith("-clean") and not cdr.get("credit")}
    rows = query("select cdr_id, audit_verdict, structure_verdict, dimension_verdict from marts.fct_cdr")
    found = {row["cdr_id"]: tuple(row.values())[1:] for row in rows}
    assert len(clean) >= 45
    assert {name: found.get(name) for name in clean if found.get(name) != ("match", "sound", "match")} == {}


# The verdict that each kind of defect leads to, with its reason.
VERDICTS = {
    "total_mismatch": ("mismatch", "total_is_not_sum_of_parts"),
    "cost_mismatch": ("mismatch", "cost_mismatch"),
    "zero_total_with_priced_tariff": ("mismatch", "zero_total_with_priced_tariff"),
    "step_size_ignored": ("mismatch", "step_size_ignored"),
    "min_price_ignored": ("mismatch", "min_price_ignored"),
    "max_price_ignored": ("mismatch", "max_price_ignored"),
    "vat_rate_mismatch": ("mismatch", "vat_rate_mismatch"),
    "vat_on_net_only": ("mismatch", "vat_on_net_only"),
    "gross_below_net": ("mismatch", "gross_below_net"),
    "rounding_only": ("rounding", "rounding_only"),
    "tariff_missing": ("not_auditable", "tariff_missing"),
    "tariff_unknown": ("not_auditable", "tariff_unknown"),
    "currency_unknown": ("not_auditable", "currency_unknown"),
    "currency_mismatch": ("not_auditable", "currency_mismatch"),
    "time_zone_unknown": ("not_auditable", "time_zone_unknown"),
    "credit_without_original": ("not_auditable", "credit_without_original"),
    "credit_amount_not_opposite": ("mismatch", "credit_amount_not_opposite"),
    "restriction_unverifiable": ("match", None),
    "tariff_expired": ("match", None),
}


@pytest.mark.parametrize("defect", VERDICTS)
def test_the_verdict_names_the_reason(query: Query, defect: str):
    (row,) = query(f"select audit_verdict, audit_reason from marts.fct_cdr where cdr_id = '{defect}-bad'")
    assert (row["audit_verdict"], row["audit_reason"]) == VERDICTS[defect]


def test_a_mismatch_tells_the_money_at_stake(query: Query):
    rows = query(
        "select expected_text, found_text, difference, unit, money_at_stake, currency from marts.fct_cdr_finding "
        "where cdr_id = 'total_mismatch-bad' and defect_id = 'total_mismatch'"
    )
    assert [tuple(row.values()) for row in rows] == [
        ("6.000000", "9.000000", Decimal("3"), "net", Decimal("3"), "EUR"),
    ]


def test_every_cdr_has_one_verdict_and_every_session_and_charge_is_reconciled_once(query: Query):
    (row,) = query(
        """
        select
            (select count(*) from staging.stg_ocpi__cdrs) as cdrs,
            (select count(*) from marts.fct_cdr where audit_verdict is not null) as judged,
            (select count(*) from marts.fct_cdr where is_counted) as charges,
            (select count(cdr_key) from marts.fct_reconciliation) as charges_reconciled,
            (select count(distinct cdr_key) from marts.fct_reconciliation) as different_charges,
            (select count(*) from marts.fct_session) as sessions,
            (select count(*) from marts.fct_reconciliation where session_id is not null and outcome <> 'duplicate_cdr')
                as sessions_reconciled
        """
    )
    assert row["cdrs"] == row["judged"] > 100
    assert row["charges"] == row["charges_reconciled"] == row["different_charges"]
    assert row["sessions"] == row["sessions_reconciled"] == 3


def test_a_cdr_that_cannot_be_read_is_a_finding_with_its_id(query: Query):
    (row,) = query("select * from marts.fct_cdr_finding where defect_id = 'currency_null'")
    assert (row["cdr_key"], row["cdr_id"], row["country_code"], row["party_id"]) == (
        None, "currency_null-bad", "DE", "ABC",
    )  # fmt: skip


def test_the_way_a_peer_rounds_is_inferred_from_its_cdrs(query: Query):
    rows = query("select party, rounding_id, rounding_source from intermediate.int_audit_rounding")
    assert [tuple(row.values()) for row in rows] == [("DE*ABC", "total", "inferred")]


def test_roaming_months_and_invoices_add_up_to_the_cdrs(query: Query):
    (cdrs,) = query(
        "select count(*) as n, sum(billed_net) as net, sum(energy_kwh) filter (is_counted) as kwh, "
        "count(*) filter (is_counted) as sessions from marts.fct_cdr where emsp_id = 'E1'"
    )
    (months,) = query(
        "select sum(cdr_count) as n, sum(billed_net) as net, sum(energy_kwh) as kwh, sum(roaming_fee_net) as fee "
        "from marts.fct_roaming_month where emsp_id = 'E1'"
    )
    invoices = query("select cdr_count, cdrs, total_net, record, currency from marts.fct_invoice_reconciliation")
    assert cdrs["n"] == months["n"] == sum(row["cdr_count"] for row in invoices)
    assert cdrs["net"] == months["net"] == sum(row["total_net"] for row in invoices)
    # In another currency than the CDR's the fee stands on a row of its own.
    assert months["fee"] == Decimal("0.03") * cdrs["kwh"] + Decimal("0.40") * cdrs["sessions"]
    for row in invoices:
        record = json.loads(row["record"])
        assert record["cdrs"] == json.loads(row["cdrs"])
        assert len(record["cdrs"]) == row["cdr_count"]
        assert set(record) == {"country_code", "party_id", "id", "invoice_id", "cdrs", "last_updated"}
        assert len(record["id"]) <= 36


def test_bad_input_gets_its_reason_and_the_run_goes_on(query: Query):
    """An unknown currency, a tariff without elements, a negative step_size, an unknown time zone."""
    reasons = {
        row["cdr_id"]: row["audit_reason"]
        for row in query("select cdr_id, audit_reason from marts.fct_cdr where audit_verdict = 'not_auditable'")
    }
    assert reasons["currency_unknown-bad"] == "currency_unknown"
    assert reasons["time_zone_unknown-bad"] == "time_zone_unknown"
    lints = {
        row["tariff_id"]: row["defect_id"]
        for row in query("select tariff_id, defect_id from marts.fct_tariff_finding where severity = 'error'")
    }
    assert lints["tariff_without_elements-bad"] == "tariff_without_elements"
    assert lints["negative_step_size-bad"] == "negative_step_size"
