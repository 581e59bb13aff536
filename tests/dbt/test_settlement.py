"""Settlement: every contract form on random sites against an oracle, then late CDRs, credits and corrections for closed months."""

import os
import random
import subprocess
import sys
from collections import defaultdict
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import duckdb
import pytest

from pipelines.home import Home, remove_lake
from pipelines.lake import OCPI_TABLES, SETTLEMENT_TABLES
from pipelines.warehouse import closed_months
from tests.dbt.test_sessions import DBT
from tests.lake_builder import LakeBuilder
from tests.oracles.settlement import Cdr, Contract, Port, Site, days_of, month_of, opex_due, settle

Rows = list[dict[str, Any]]
SEED = 20_260_705
CDRS_PER_SITE = 45
FIRST = date(2026, 1, 1)
AS_OF = datetime(2026, 4, 20, 12, tzinfo=UTC)  # January to March are closed 14 days after their ends
CLOSED = (date(2026, 1, 1), date(2026, 2, 1), date(2026, 3, 1))
OPEN = date(2026, 4, 1)
PRICE = Decimal("0.21")  # of bought energy, flat: what the hours cost is another test's matter
FEES = {
    date(2020, 1, 1): Decimal("35.00"),
    date(2026, 2, 10): Decimal("41.30"),
}  # fixed fee of the supply, from when on
# In March clocks change in Berlin and London (29th) and Chicago (8th); yen have no cents, dinars a thousand.
PLACES = [("Europe/Berlin", "EUR"), ("America/Chicago", "USD"), ("Asia/Tokyo", "JPY"), ("Asia/Kuwait", "KWD")]
FORMS = (
    "gross", "margin", "fees", "gross_guarantee", "margin_guarantee", "gross_compensation", "margin_compensation",
    "owner_change", "stations", "overlap", "gap", "other_currency", "loss",
)  # fmt: skip
SELECTED = [
    "+fct_statement", "+fct_settlement_exclusion", "+fct_site_month", "+fct_demand_cap", "+fct_demand_peak_session",
    "+qc_settlement", "path:tests/settlement", "fct_site_month__revenue_is_that_of_the_cdrs",
    "resource_type:test,path:models/marts/settlement", "resource_type:test,path:models/intermediate/settlement",
]  # fmt: skip


def build(home: Path, work: Path, **environment: str) -> Callable[[str], Rows]:
    """Build what settlement needs with the tests of settlement; returns a reader of the database."""
    command = [str(Path(sys.executable).parent / "dbt"), "build", "--project-dir", str(DBT), "--profiles-dir", str(DBT)]
    command += ["--indirect-selection", "empty", "--exclude", "resource_type:unit_test", "--select", *SELECTED]
    command += ["--target-path", str(work / "target"), "--log-path", str(work / "logs"), "--no-use-colors"]
    done = subprocess.run(
        command, env={**os.environ, "CHARGEHOUSE_HOME": str(home), **environment}, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-6000:]
    database = str(home / "warehouse" / "build.duckdb")

    def query(sql: str) -> Rows:
        with duckdb.connect(database, read_only=True) as con:
            con.execute("set TimeZone = 'UTC'")
            return con.sql(sql).pl().to_dicts()

    return query


def publish_months(home: Path, run_id: str) -> Rows:
    """Do what publishing does to closed months; returns the restatements of this run."""
    with duckdb.connect() as con:
        con.execute("set TimeZone = 'UTC'")
        con.execute(f"attach '{home}/warehouse/build.duckdb' as candidate (read_only)")
        closed_months.find(con, Home(home), run_id=run_id, at="2026-05-01T00:00:00Z")
        rows = con.sql("select * from new_restatement").pl().to_dicts()
        closed_months.keep(con, Home(home), run_id=run_id)
    return rows


class RandomContracts:
    """Thirteen sites without logs, each under another form of contract, and what drivers paid there."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self.zones: dict[str, str] = {}
        self.currencies: dict[str, str] = {}
        self.ports: dict[str, list[tuple[str, Port]]] = {}
        self.contracts: list[Contract] = []
        self.cdrs: Rows = []
        self.costs: Rows = []
        for number, form in enumerate(FORMS):
            self._site(number, form)

    def _fraction(self, least: int, most: int, digits: int) -> Fraction:
        return Fraction(self.chance.randrange(least, most), 10**digits)

    def _contract(self, site: str, suffix: str, begins: date, until: date | None, **terms: Any) -> None:
        fees = {
            "per_kwh": self._fraction(0, 60, 3),
            "per_session": self._fraction(0, 40, 2),
            "per_port_month": self._fraction(0, 2000, 2),
        }
        given = {"station": None, "owner": f"owner of {site}", "currency": self.currencies[site], **fees, **terms}
        self.contracts.append(Contract(contract_id=f"{site}-{suffix}", site=site, begins=begins, until=until, **given))

    def _site(self, number: int, form: str) -> None:
        site = f"S{number:02}"
        self.zones[site], self.currencies[site] = PLACES[number % len(PLACES)]
        opened = [None, date(2025, 6, 1), date(2026, 2, 11)]
        self.ports[site] = [
            (f"{site}-{station}{evse}", Port(f"{site}-{station}", self.chance.choice(opened)))
            for station in "AB"
            for evse in (1, 2)
        ]
        begin, share = date(2025, 3, 1), self._fraction(100, 900, 3)
        match form:
            case "gross" | "margin" | "fees":
                basis = {"gross": "gross_revenue", "margin": "net_margin", "fees": None}[form]
                self._contract(site, "c", begin, None, share=None if form == "fees" else share, basis=basis)
            case "gross_guarantee" | "margin_guarantee":
                basis = "gross_revenue" if form == "gross_guarantee" else "net_margin"
                guarantee = self._fraction(15_000, 60_000, 2)
                self._contract(site, "c", date(2026, 1, 10), None, share=share, basis=basis, guarantee=guarantee)
            case "gross_compensation" | "margin_compensation":
                basis = "gross_revenue" if form == "gross_compensation" else "net_margin"
                paid = self._fraction(100, 300, 3)
                self._contract(site, "c", begin, None, share=share, basis=basis, compensation=paid)
            case "owner_change":  # on the 15th, in the middle of the month
                self._contract(site, "c1", begin, date(2026, 2, 15), share=share, basis="net_margin")
                terms = {"share": share, "basis": "net_margin", "guarantee": Fraction(200), "owner": "buyer"}
                self._contract(site, "c2", date(2026, 2, 15), None, **terms)
            case "stations":
                self._contract(site, "site", begin, None, share=share, basis="net_margin")
                self._contract(site, "a", date(2026, 2, 3), date(2026, 3, 20), station=f"{site}-A", owner="tenant")
            case "overlap":
                self._contract(site, "c1", begin, None, share=share, basis="gross_revenue")
                self._contract(site, "c2", date(2026, 2, 20), date(2026, 3, 10), share=share, basis="net_margin")
            case "gap":
                self._contract(site, "c1", begin, date(2026, 2, 5), share=share, basis="gross_revenue")
                self._contract(site, "c2", date(2026, 2, 25), None, share=share, basis="gross_revenue")
            case "other_currency":
                self._contract(site, "c", begin, None, share=share, basis="gross_revenue", currency="GBP")
            case "loss":  # fees eat the margin: the share never falls below zero
                self._contract(site, "c", begin, None, share=share, basis="net_margin", per_kwh=Fraction(3, 2))
        for _ in range(CDRS_PER_SITE):
            self.add(site, FIRST, 109)
        self._costs(site)

    def _costs(self, site: str) -> None:
        for number, recurs in enumerate(("monthly", "monthly", "yearly", "once")):
            incurred = date(2025, 10, 31) + timedelta(days=self.chance.randrange(0, 150)) * (number > 0)
            self.costs.append({
                "cost_id": f"{site}-{number}", "site_id": site, "kind": "opex", "category": "rent", "recurs": recurs,
                "amount": Decimal(self.chance.randrange(100, 90_000)) / 100, "incurred_on": incurred,
                "currency": "NOK" if number == 3 else self.currencies[site],
                "ends_on": self.chance.choice([None, date(2026, 2, 28), date(2026, 3, 15)]) if number else None,
            })  # fmt: skip

    def add(self, site: str, first: date, span: int, **changed: Any) -> dict[str, Any]:
        """Add a charge, now and then with its credit, in another currency, without an amount, or a compensation."""
        chance = self.chance
        number = len(self.cdrs)
        zone = ZoneInfo(self.zones[site])
        day = datetime(first.year, first.month, first.day, tzinfo=zone)
        ended_at = (day + timedelta(minutes=chance.randrange(1, span * 1440))).astimezone(UTC)
        odd = chance.random()
        cdr = {
            "cdr_id": f"C-{number}", "peer": "north", "ocpi_version": "2.2.1", "country_code": "DE", "party_id": "NOR",
            "started_at": ended_at - timedelta(minutes=chance.randrange(5, 300)), "ended_at": ended_at,
            "location_id": f"L{site[1:]}", "evse_uid": chance.choice("AB") + chance.choice("12"),
            "currency": "CHF" if odd < 0.1 else self.currencies[site],
            "total_energy_kwh": Decimal(chance.randrange(1000, 60_000)) / 1000,
            "total_cost_net": Decimal(chance.randrange(50_000, 600_000)) / 10_000, "last_updated_at": ended_at,
            "total_cost_gross": None, "token_country_code": "DE", "token_party_id": chance.choice(["ONE", "TWO", "XXX"]),
        }  # fmt: skip
        if 0.1 <= odd < 0.14:
            cdr["is_home_charging_compensation"] = True
        if 0.14 <= odd < 0.17:
            cdr["total_cost_net"] = None
        cdr |= changed
        self.cdrs.append(cdr)
        if 0.2 <= odd < 0.3:
            self.credit(cdr)
        return cdr

    def credit(self, cdr: dict[str, Any]) -> None:
        """Take a CDR back."""
        self.cdrs.append({
            **cdr, "cdr_id": f"{cdr['cdr_id']}-C", "is_credit": True, "credit_reference_id": cdr["cdr_id"],
            "total_cost_net": -cdr["total_cost_net"],
        })  # fmt: skip

    def write(self, home: Path, *, as_of: datetime = AS_OF) -> None:
        """Write everything as lake tables; the last thing that was told decides what day it is."""
        lake = LakeBuilder(home)
        for path in [*(home / "lake" / "ocpi").rglob("built-*"), *(home / "lake" / "registry").rglob("built-*")]:
            path.unlink()
        for path in (home / "lake" / "meta").rglob("built-*"):
            path.unlink()
        last = {"cdr_id": "last", "ended_at": datetime(2026, 1, 1, tzinfo=UTC), "last_updated_at": as_of}
        objects = [*self.cdrs, {"peer": "north", "is_home_charging_compensation": True, "currency": "EUR", **last}]
        lake.add("ocpi/cdr", [{**row, "record_hash": f"h{n}-{row}", "raw": "{}"} for n, row in enumerate(objects)])
        tables: dict[str, Rows] = {
            "site": [
                {"site_id": site, "name": site, "owner_id": f"owner of {site}", "operator_id": "NOR", "time_zone": zone,
                 "country_code": "DE", "currency": self.currencies[site], "ocpi_location_id": f"L{site[1:]}"}
                for site, zone in self.zones.items()
            ],
            "operator": [{"operator_id": "NOR", "name": "North", "ocpi_party": "DE*NOR"}],
            "emsp": [
                {"emsp_id": "one", "name": "One", "ocpi_party": "DE*ONE", "currency": "EUR",
                 "roaming_fee_per_kwh": Decimal("0.015"), "roaming_fee_per_session": Decimal("0.10")},
                {"emsp_id": "two", "name": "Two", "ocpi_party": "DE*TWO", "roaming_fee_per_kwh": Decimal("0.020")},
            ],
            "station": [{"station_id": f"{site}-{s}", "site_id": site} for site in self.zones for s in "AB"],
            "port": [
                {"port_id": port_id, "station_id": port.station, "ocpp_connector_ids": port_id[-1],
                 "ocpi_evse_uid": port_id[-2:], "power_type": "DC", "max_power_kw": Decimal(10_000),
                 "commissioned_at_local": port.begins and datetime.combine(port.begins, datetime.min.time())}
                for ports in self.ports.values() for port_id, port in ports
            ],
            "contract": [_contract_row(contract) for contract in self.contracts],
            "cost": self.costs,
            "energy_price": [
                {"site_id": site, "valid_from": begin, "price_per_kwh": PRICE, "fixed_fee_per_month": fee,
                 "currency": self.currencies[site]}
                for site in self.zones for begin, fee in FEES.items()
            ],
        }  # fmt: skip
        for table, rows in tables.items():
            lake.add(f"registry/{table}", [{**row, "source_id": table} for row in rows])
            landed = {"source_id": table, "path": f"registry/{table}s.csv", "table_name": f"{table}s"}
            lake.add("meta/landed_file", [{**landed, "kind": "registry", "is_current": True, "is_first_path": True}])

    def day(self, cdr: dict[str, Any]) -> date:
        return cdr["ended_at"].astimezone(ZoneInfo(self.zones[self.site(cdr)])).date()

    def site(self, cdr: dict[str, Any]) -> str:
        return f"S{cdr['location_id'][1:]}"

    def world(self, *, as_of: datetime = AS_OF) -> tuple[list[Site], list[Cdr]]:
        """What the oracle is told: sites with their costs, and CDRs."""
        latest = {cdr["cdr_id"]: cdr for cdr in sorted(self.cdrs, key=lambda row: row["last_updated_at"])}
        credited = {cdr.get("credit_reference_id") for cdr in latest.values()}
        sites = {
            name: Site(name, f"owner of {name}", FIRST, as_of.date(), [port for _, port in self.ports[name]])
            for name in self.zones
        }
        cdrs = []
        for cdr in latest.values():
            site, kwh = self.site(cdr), Fraction(cdr["total_energy_kwh"])
            is_home = bool(cdr.get("is_home_charging_compensation"))
            counts = not (cdr.get("is_credit") or cdr["cdr_id"] in credited or is_home)
            fee_currency = "EUR" if cdr["token_party_id"] == "ONE" else cdr["currency"]
            fee = {
                "ONE": Fraction("0.015") * kwh + Fraction("0.10"),
                "TWO": Fraction("0.020") * kwh,
                "XXX": Fraction(0),
            }
            station = f"{site}-{cdr['evse_uid'][0]}"
            cdrs.append(
                Cdr(
                    cdr["cdr_id"], site, station, self.day(cdr), cdr["currency"],
                    None if cdr["total_cost_net"] is None else Fraction(cdr["total_cost_net"]), kwh,
                    counts=counts, is_compensation=is_home, roaming=fee[cdr["token_party_id"]] if counts else Fraction(0),
                    roaming_currency=fee_currency,
                )
            )  # fmt: skip
            if counts:
                sites[site].energy.append((self.day(cdr), station, self.currencies[site], kwh * Fraction(PRICE)))
        for name, site in sites.items():
            for number in range((as_of.date() - FIRST).days + 1):
                day = FIRST + timedelta(days=number)
                fee = Fraction(FEES[max(begin for begin in FEES if begin <= day)])
                month = (month_of(day), self.currencies[name])
                site.fixed[month] = site.fixed.get(month, Fraction(0)) + fee / days_of(month_of(day))
        return list(sites.values()), cdrs


def _contract_row(contract: Contract) -> dict[str, Any]:
    def decimal(value: Fraction | None) -> Decimal | None:
        return None if value is None else Decimal(value.numerator) / Decimal(value.denominator)

    return {
        "contract_id": contract.contract_id, "site_id": contract.site, "station_id": contract.station,
        "owner_id": contract.owner, "operator_id": "NOR", "valid_from": contract.begins, "valid_to": contract.until,
        "sla_policy_id": "contract_generic", "owner_share_ratio": decimal(contract.share),
        "share_basis": contract.basis, "operator_fee_per_kwh": decimal(contract.per_kwh),
        "operator_fee_per_session": decimal(contract.per_session),
        "operator_fee_per_port_month": decimal(contract.per_port_month),
        "minimum_guarantee_per_month": decimal(contract.guarantee),
        "energy_compensation_per_kwh": decimal(contract.compensation), "currency": contract.currency,
    }  # fmt: skip


def told_lines(query: Callable[[str], Rows], condition: str = "true") -> dict[tuple, Fraction]:
    rows = query(
        "select owner_id, contract_id, local_month, currency, line_type, sum(amount_net) as amount_net "
        f"from marts.fct_settlement_line where {condition} group by all having sum(amount_net) <> 0"
    )
    keys = ("owner_id", "contract_id", "local_month", "currency", "line_type")
    return {tuple(row[key] for key in keys): Fraction(row["amount_net"]) for row in rows}


def payouts(lines: dict[tuple, Fraction]) -> dict[tuple, Fraction]:
    """Sums over the kinds of line."""
    sums: dict[tuple, Fraction] = defaultdict(Fraction)
    for key, amount in lines.items():
        sums[key[:4]] += amount
    return {key: amount for key, amount in sums.items() if amount}


QUESTIONS = {
    "lines": "select * from marts.fct_settlement_line order by line_id",
    "statements": "select * from marts.fct_statement order by statement_id",
    "excluded": "select * from marts.fct_settlement_exclusion",
    "months": "select * from marts.fct_site_month",
    "findings": "select * from marts.qc_settlement",
    "cdrs": "select * from marts.fct_cdr",
}


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("settlement")
    home = folder / "home"
    log = RandomContracts(SEED)
    told: dict[str, Any] = {"log": log}

    def step(name: str, as_of: datetime) -> None:
        log.write(home, as_of=as_of)
        query = build(home, folder)
        sites, cdrs = log.world(as_of=as_of)
        lines, excluded = settle(sites, log.contracts, cdrs)
        told[name] = {question: query(sql) for question, sql in QUESTIONS.items()}
        told[name] |= {"booked": told_lines(query), "due": lines, "why": excluded, "sites": sites, "oracle_cdrs": cdrs}
        told[name]["restated"] = publish_months(home, f"run-{name}")

    step("first", AS_OF)
    # News about closed months: a late CDR, a credit, a corrected amount, a cheaper contract; and an ordinary one for April.
    late = log.add("S00", date(2026, 2, 14), 1, currency="EUR", total_cost_net=Decimal("17.3333"))
    late |= {"is_home_charging_compensation": None, "last_updated_at": AS_OF}
    old = {cdr["cdr_id"]: cdr for cdr in log.cdrs if log.site(cdr) == "S01" and log.day(cdr) < date(2026, 2, 1)}
    credited = next(
        c for c in old.values() if f"{c['cdr_id']}-C" not in old and not c.get("is_credit") and c["total_cost_net"]
    )
    log.credit(credited)
    log.cdrs[-1]["last_updated_at"] = AS_OF
    changed = next(
        c
        for c in log.cdrs
        if log.site(c) == "S03"
        and log.day(c).month == 3
        and c["currency"] == "KWD"
        and c["total_cost_net"]
        and not c.get("is_home_charging_compensation")
        and not c.get("is_credit")
    )
    log.cdrs.append({**changed, "total_cost_net": changed["total_cost_net"] + 5, "last_updated_at": AS_OF})
    log.add("S04", date(2026, 4, 3), 1, last_updated_at=AS_OF)
    at = next(n for n, contract in enumerate(log.contracts) if contract.contract_id == "S05-c")
    log.contracts[at] = Contract(**{**log.contracts[at].__dict__, "per_session": log.contracts[at].per_session + 1})
    told |= {"late": late, "credited": credited, "changed": changed}
    step("later", AS_OF)
    step("again", AS_OF + timedelta(days=30))  # April is over and due
    step("still", AS_OF + timedelta(days=30))
    return told


def test_every_line_of_every_contract_form_is_what_the_oracle_works_out(story: dict[str, Any]):
    first = story["first"]
    assert first["booked"] == first["due"]
    kinds = {key[4] for key in first["due"]}
    assert kinds == {
        "revenue", "rounding", "energy_cost", "energy_fixed_fee", "roaming_fee", "operator_fee_energy",
        "operator_fee_session", "operator_fee_port_month", "energy_set_aside", "operator_share", "operator_bears_loss",
        "energy_compensation", "minimum_guarantee",
    }  # fmt: skip
    assert {key[3] for key in first["due"]} >= {"EUR", "USD", "JPY", "KWD", "CHF", "GBP"}


def test_every_cdr_is_in_a_statement_or_excluded_with_its_reason(story: dict[str, Any]):
    first = story["first"]
    told = {row["cdr_id"]: row["exclusion_reason"] for row in first["excluded"] if row["cdr_id"] != "last"}
    assert told == first["why"]
    assert set(told.values()) == {"home_charging_compensation", "no_amount", "no_contract"}
    settled = {row["cdr_id"] for row in first["lines"] if row["cdr_id"]}
    assert settled | set(told) == {cdr.key for cdr in first["oracle_cdrs"]}


def test_an_owner_change_on_the_15th_splits_the_month_at_midnight_of_the_site(story: dict[str, Any]):
    log, first = story["log"], story["first"]
    february = [row for row in first["lines"] if row["site_id"] == "S07" and row["local_month"] == date(2026, 2, 1)]
    days = {cdr["cdr_id"]: log.day(cdr).day for cdr in log.cdrs}
    by_owner: dict[str, set[int]] = defaultdict(set)
    for row in february:
        if row["cdr_id"]:
            by_owner[row["owner_id"]].add(days[row["cdr_id"]])
    assert set(by_owner) == {"owner of S07", "buyer"}
    assert max(by_owner["owner of S07"]) < 15 <= min(by_owner["buyer"])


def test_statements_of_closed_months_are_closed_and_the_others_are_not(story: dict[str, Any]):
    told = {(row["local_month"], row["is_closed"]) for row in story["first"]["statements"]}
    assert told == {(month, True) for month in CLOSED} | {(OPEN, False)}


def test_news_about_a_closed_month_changes_none_of_its_lines(story: dict[str, Any]):
    def closed(name: str) -> Rows:
        return [row for row in story[name]["lines"] if row["local_month"] in CLOSED]

    assert closed("later") == closed("first")
    assert len(closed("first")) > 300
    assert story["later"]["due"] != story["first"]["due"]


def test_what_changed_about_closed_months_stands_in_the_next_open_one_to_the_cent(story: dict[str, Any]):
    before, after = story["first"]["due"], story["later"]["due"]
    changes = {
        key: after.get(key, Fraction(0)) - before.get(key, Fraction(0))
        for key in {*before, *after}
        if key[2] in CLOSED and after.get(key) != before.get(key)
    }
    told: dict[tuple, Fraction] = defaultdict(Fraction)
    for row in story["later"]["lines"]:
        if row["line_type"] == "adjustment":
            assert row["local_month"] == OPEN
            key = (
                row["owner_id"],
                row["contract_id"],
                row["adjusted_month"],
                row["currency"],
                row["adjusted_line_type"],
            )
            told[key] += Fraction(row["amount_net"])
    assert dict(told) == changes
    assert {key[1] for key in changes} == {"S00-c", "S01-c", "S03-c", "S05-c"}


def test_an_adjustment_says_why(story: dict[str, Any]):
    reasons = {
        (row["contract_id"], row["adjusted_line_type"], row["cdr_id"]): row["adjustment_reason"]
        for row in story["later"]["lines"]
        if row["line_type"] == "adjustment"
    }
    assert reasons["S00-c", "revenue", story["late"]["cdr_id"]] == "late_cdr"
    assert reasons["S00-c", "operator_share", None] == "follows_cdr"
    assert reasons["S01-c", "revenue", f"{story['credited']['cdr_id']}-C"] == "credit_cdr"
    assert reasons["S01-c", "operator_fee_session", None] == "follows_cdr"  # the pair is no session any more
    assert reasons["S03-c", "revenue", story["changed"]["cdr_id"]] == "changed_cdr"
    assert reasons["S05-c", "operator_fee_session", None] == "changed_input"


def test_everything_booked_is_everything_due_after_news_and_after_another_month(story: dict[str, Any]):
    for name in ("later", "again", "still"):
        booked: dict[tuple, Fraction] = defaultdict(Fraction)
        due: dict[tuple, Fraction] = defaultdict(Fraction)
        for (owner, contract, _, currency, _), amount in story[name]["booked"].items():
            booked[owner, contract, currency] += amount
        for (owner, contract, _, currency, _), amount in story[name]["due"].items():
            due[owner, contract, currency] += amount
        assert {k: v for k, v in booked.items() if v} == {k: v for k, v in due.items() if v}, name


def test_restatements_say_what_changed_by_how_much_and_are_told_once(story: dict[str, Any]):
    assert story["first"]["restated"] == []
    adjusted: dict[tuple, Decimal] = defaultdict(Decimal)
    for row in story["later"]["lines"]:
        if row["line_type"] == "adjustment":
            adjusted[row["contract_id"], row["adjusted_month"], row["adjusted_line_type"], row["cdr_id"]] += row[
                "amount_net"
            ]
    told = {
        (row["contract_id"], row["closed_month"], row["line_type"], row["cdr_id"]): row["amount_net"]
        for row in story["later"]["restated"]
    }
    assert told == dict(adjusted)
    assert {row["run_id"] for row in story["later"]["restated"]} == {"run-later"}
    assert {row["booked_month"] for row in story["later"]["restated"]} == {OPEN}
    assert story["again"]["restated"] == story["still"]["restated"] == []


def test_a_month_closed_with_adjustments_stays_as_it_was_closed(story: dict[str, Any]):
    def april(name: str) -> dict[tuple, Decimal]:
        rows = [row for row in story[name]["lines"] if row["line_type"] == "adjustment"]
        return {(row["line_id"], row["local_month"]): row["amount_net"] for row in rows}

    assert april("again") == april("later")
    assert april("still") == april("later")  # what was booked is not missing again
    assert {month for _, month in april("again")} == {OPEN}
    closed = {row["local_month"] for row in story["again"]["statements"] if row["is_closed"]}
    assert closed == {*CLOSED, OPEN}


def test_costs_of_a_month_are_those_that_fell_due(story: dict[str, Any]):
    log = story["log"]
    due: dict[tuple, Fraction] = defaultdict(Fraction)
    for cost in log.costs:
        terms = {"amount": Fraction(cost["amount"]), "incurred_on": cost["incurred_on"], "recurs": cost["recurs"]}
        for month, amount in opex_due(FIRST, AS_OF.date(), **terms, ends_on=cost["ends_on"]).items():
            due[cost["site_id"], month, cost["currency"]] += amount
    told = {
        (row["site_id"], row["local_month"], row["currency"]): Fraction(row["opex_net"])
        for row in story["first"]["months"]
        if row["opex_net"]
    }
    assert told == {key: amount for key, amount in due.items() if amount}
    assert {currency for _, _, currency in told} >= {"NOK", "EUR", "JPY"}


def test_margin_of_a_site_month_is_what_the_oracle_leaves_after_all_costs(story: dict[str, Any]):
    log, first = story["log"], story["first"]
    left: dict[tuple, Fraction] = defaultdict(Fraction)
    for cdr in first["oracle_cdrs"]:
        if cdr.net is not None and not cdr.is_compensation:
            left[cdr.site, month_of(cdr.day), cdr.currency] += cdr.net
        left[cdr.site, month_of(cdr.day), cdr.roaming_currency] -= cdr.roaming
    for site in first["sites"]:
        for day, _, currency, cost in site.energy:
            left[site.site, month_of(day), currency] -= cost
        for (month, currency), fee in site.fixed.items():
            left[site.site, month, currency] -= fee
    for (_, contract, month, currency, kind), amount in first["due"].items():
        if kind.startswith("operator_fee_"):
            left[contract[:3], month, currency] += amount
    for cost in log.costs:
        terms = {"amount": Fraction(cost["amount"]), "incurred_on": cost["incurred_on"], "recurs": cost["recurs"]}
        for month, amount in opex_due(FIRST, AS_OF.date(), **terms, ends_on=cost["ends_on"]).items():
            left[cost["site_id"], month, cost["currency"]] -= amount
    told = {(r["site_id"], r["local_month"], r["currency"]): Fraction(r["margin_net"]) for r in first["months"]}
    assert set(left) <= set(told)
    # months keep six decimals; a fee per day is no decimal
    wrong = {key: (told[key], amount) for key, amount in left.items() if abs(told[key] - amount) > Fraction(1, 10**6)}
    assert wrong == {}


def test_gaps_and_overlaps_of_contracts_are_found_and_the_rest_is_settled(story: dict[str, Any]):
    findings = {(row["kind"], row["site_id"]): row for row in story["first"]["findings"]}
    gap = findings["contract_gap", "S10"]
    assert (gap["from_on"], gap["to_on"]) == (date(2026, 2, 5), date(2026, 2, 25))
    lost = sum(
        row["site_id"] == "S10" for row in story["first"]["excluded"] if row["exclusion_reason"] == "no_contract"
    )
    assert lost > 0
    assert f"{lost} CDRs" in gap["detail"]
    overlap = findings["contract_overlap", "S09"]
    assert (overlap["from_on"], overlap["to_on"], overlap["id"]) == (
        date(2026, 2, 20),
        date(2026, 3, 10),
        "S09-c1 S09-c2",
    )
    assert ("contract_currency", "S11") in findings
    assert ("cost_in_other_currency", "S00") in findings
    assert {site for kind, site in findings if kind == "contract_overlap"} == {"S09"}


def test_a_full_refresh_keeps_what_was_closed(home: Home):
    kept = home.table_folder(SETTLEMENT_TABLES[0]) / "run-1.parquet"
    kept.write_bytes((home.table_folder(SETTLEMENT_TABLES[0]) / "_empty.parquet").read_bytes())
    decoded = home.table_folder(OCPI_TABLES[0]) / "source.parquet"
    decoded.write_bytes(b"")
    remove_lake(home)
    home.prepare()
    assert kept.exists()
    assert not decoded.exists()


def test_a_home_of_an_older_release_gets_the_columns_it_lacks(home: Home):
    """Models read a table by name of column: the empty file of a table must have every one, or the run stops."""
    empty = home.table_folder(SETTLEMENT_TABLES[0]) / "_empty.parquet"
    columns = ", ".join(f"null::varchar as {name}" for name in SETTLEMENT_TABLES[0].column_names[1:])
    duckdb.sql(f"copy (select {columns} where false) to '{empty}' (format parquet)")
    home.prepare()
    told = duckdb.sql(f"describe select * from read_parquet('{empty}')").fetchall()
    assert tuple(row[0] for row in told) == SETTLEMENT_TABLES[0].column_names
