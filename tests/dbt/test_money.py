"""Money: random CDRs through the models, held against sums made one CDR at a time."""

import random
from collections import defaultdict
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from tests.dbt.test_sessions import build
from tests.lake_builder import LakeBuilder

SEED = 20_260_401
CDRS = 400
Rows = list[dict[str, Any]]
ZONES = {"S1": "Europe/Berlin", "S2": "America/Chicago", "S3": "Asia/Kolkata"}
CURRENCIES = {"S1": "EUR", "S2": "USD", "S3": "INR"}
# What a CDR of each location is of: S3 has no OCPP log, L9 is in no registry.
SITES = {"L1": "S1", "L2": "S2", "L3": "S3", "L9": "L9"}


class RandomMoney:
    """Sites, their sessions and the CDRs of two peers, with credits, compensations, foreign money and repeats."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self.cdrs: Rows = []
        self.versions: Rows = []
        self.events: Rows = []
        self.frames: Rows = []
        for number in range(CDRS):
            self._charge(number)

    def _charge(self, number: int) -> None:
        chance = self.chance
        location = chance.choice(["L1", "L2", "L3", "L9"])
        evse = chance.choice(["E1", "E2"])
        started_at = datetime(2026, 2, 25, tzinfo=UTC) + timedelta(minutes=chance.randrange(0, 60 * 24 * 10))
        ended_at = started_at + timedelta(minutes=chance.randrange(1, 600))
        energy = Decimal(chance.randrange(0, 60_000)) / 1000
        site = SITES[location]
        net = Decimal(chance.randrange(0, 5000)) / 100
        cdr = {
            "cdr_id": f"C-{number}", "peer": "north", "ocpi_version": "2.2.1", "country_code": "DE", "party_id": "NOR",
            "started_at": started_at, "ended_at": ended_at, "location_id": location, "evse_uid": evse,
            "currency": chance.choice([CURRENCIES.get(site, "EUR")] * 9 + ["CHF"]), "total_energy_kwh": energy,
            "total_cost_net": net, "total_cost_gross": chance.choice([net * 2, None]), "last_updated_at": ended_at,
            "ocpi_session_id": str(number), "is_home_charging_compensation": True if chance.random() < 0.05 else None,
        }  # fmt: skip
        if chance.random() < 0.2:  # the same party told by two peers, and an older version first
            self.versions.append({**cdr, "total_cost_net": net + 1, "last_updated_at": ended_at - timedelta(hours=1)})
        self.cdrs.append(cdr)
        if chance.random() < 0.1:
            sign = chance.choice([1, -1])
            self.cdrs.append({
                **cdr, "cdr_id": f"c-{number}-C", "is_credit": True, "credit_reference_id": f"c-{number}",
                "total_cost_net": sign * net, "total_energy_kwh": sign * energy, "last_updated_at": ended_at,
                "total_cost_gross": None,
            })  # fmt: skip
        if site in ("S1", "S2") and chance.random() < 0.7:
            self._session(site, evse, str(number), started_at, ended_at, energy)

    def _session(  # noqa: PLR0917
        self, site: str, evse: str, transaction_id: str, started_at: datetime, ended_at: datetime, energy: Decimal
    ) -> None:  # fmt: skip
        for kind, at in (("Started", started_at), ("Ended", ended_at)):
            number = len(self.frames)
            base = {"frame_id": f"f{number}", "station_id": f"{site}-A", "received_at": at, "message_id": f"m{number}"}
            self.events.append({
                **base, "protocol": "ocpp1.6", "event_at": at, "event_type": kind,
                "connector_id": int(evse[1]) if kind == "Started" else None,
                "transaction_id": transaction_id if kind == "Ended" else None,
                "meter_wh": 0 if kind == "Started" else energy * 1000,
            })  # fmt: skip
            action = "StartTransaction" if kind == "Started" else "StopTransaction"
            self.frames.append(
                {**base, "protocol": "ocpp1.6", "direction": "from_station", "message_type": 2, "action": action}
            )
            if kind == "Started":
                self.frames.append({
                    **base, "frame_id": f"a{number}", "received_at": at + timedelta(milliseconds=1), "message_type": 3,
                    "direction": "to_station", "protocol": "ocpp1.6", "result_transaction_id": transaction_id,
                    "result_status": "Accepted",
                })  # fmt: skip

    def write(self, home: Path) -> None:
        """Write it all as lake tables, the CDRs in two deliveries in no order."""
        lake = LakeBuilder(home)
        objects = [*self.cdrs, *self.versions]
        self.chance.shuffle(objects)
        named = [{**row, "record_hash": f"h{number}", "raw": "{}"} for number, row in enumerate(objects)]
        half = len(named) // 2
        # Both deliveries hold the middle of the set: what comes twice counts once.
        lake.add("ocpi/cdr", named[: half + 40])
        lake.add("ocpi/cdr", named[half - 40 :])
        lake.add("ocpp/frame", [{**f, "received_at_quality": "logged", "log_format": "test"} for f in self.frames])
        lake.add("ocpp/transaction_event", self.events)
        sites = [
            {
                "site_id": site, "name": site, "owner_id": f"O-{site}", "operator_id": "NOR", "time_zone": zone,
                "country_code": "DE", "currency": CURRENCIES[site], "ocpi_location_id": f"l{site[1]}",
            }
            for site, zone in ZONES.items()
        ]  # fmt: skip
        tables = {
            "site": sites,
            "owner": [{"owner_id": f"O-{site}", "name": site, "currency": CURRENCIES[site]} for site in ZONES],
            "operator": [{"operator_id": "NOR", "name": "North", "ocpi_party": "DE*NOR"}],
            "station": [{"station_id": f"{site}-A", "site_id": site} for site in ZONES],
            "port": [
                {
                    "port_id": f"{site}-{evse}", "station_id": f"{site}-A", "ocpp_connector_ids": evse[1],
                    "ocpi_evse_uid": evse.lower(), "power_type": "DC", "max_power_kw": Decimal(10_000),
                }
                for site in ZONES
                for evse in ("E1", "E2")
            ],
        }  # fmt: skip
        for table, rows in tables.items():
            lake.add(f"registry/{table}", [{**row, "source_id": table} for row in rows])
            landed = {"source_id": table, "path": f"registry/{table}s.csv", "table_name": table, "kind": "registry"}
            lake.add("meta/landed_file", [{**landed, "is_current": True, "is_first_path": True}])

    def zone(self, cdr: dict[str, Any]) -> ZoneInfo:
        return ZoneInfo(ZONES.get(SITES[cdr["location_id"]], "UTC"))


@pytest.fixture(scope="module")
def money(tmp_path_factory: pytest.TempPathFactory) -> tuple[RandomMoney, Callable[[str], Rows]]:
    folder = tmp_path_factory.mktemp("money")
    log = RandomMoney(SEED)
    log.write(folder / "home")
    return log, build(folder / "home", folder, "+fct_site_month", "+fct_port_day", "+fct_cdr", "+fct_session")


def _takes(cdr: dict[str, Any]) -> Decimal:
    return -abs(cdr["total_cost_net"]) if cdr.get("is_credit") else cdr["total_cost_net"]


def test_every_cdr_is_there_once_in_its_latest_version(money: tuple[RandomMoney, Callable[[str], Rows]]):
    log, query = money
    told = {row["cdr_id"]: row["billed_net"] for row in query("select cdr_id, billed_net from marts.fct_cdr")}
    assert told == {cdr["cdr_id"]: _takes(cdr) for cdr in log.cdrs}


def test_revenue_of_a_site_month_is_the_sum_of_its_cdrs_in_one_currency(
    money: tuple[RandomMoney, Callable[[str], Rows]],
):
    log, query = money
    due: dict[tuple, Decimal] = defaultdict(Decimal)
    for cdr in log.cdrs:
        if not cdr["is_home_charging_compensation"]:
            month = cdr["ended_at"].astimezone(log.zone(cdr)).date().replace(day=1)
            due[SITES[cdr["location_id"]], month, cdr["currency"]] += _takes(cdr)
    told = query("select site_id, local_month, currency, revenue_net, cdr_count from marts.fct_site_month")
    assert {(r["site_id"], r["local_month"], r["currency"]): r["revenue_net"] for r in told if r["cdr_count"]} == due
    assert {key[2] for key in due} > {"EUR", "USD", "CHF"}


def test_revenue_of_a_port_day_is_that_of_the_sites_currency(money: tuple[RandomMoney, Callable[[str], Rows]]):
    log, query = money
    due: dict[tuple, Decimal] = defaultdict(Decimal)
    others: dict[tuple, int] = defaultdict(int)
    for cdr in log.cdrs:
        site = SITES[cdr["location_id"]]
        if not cdr["is_home_charging_compensation"]:
            day = (f"{site}-{cdr['evse_uid']}", cdr["ended_at"].astimezone(log.zone(cdr)).date())
            if cdr["currency"] == CURRENCIES.get(site):
                due[day] += _takes(cdr)
            else:
                others[day] += 1
    told = query("select * from marts.fct_port_day where owner_id <> 'unmapped'")
    assert {(r["port_id"], r["local_date"]): r["revenue_net"] for r in told if r["cdr_count"]} == due
    mapped = {key: count for key, count in others.items() if not key[0].startswith("L9")}
    assert {
        (r["port_id"], r["local_date"]): r["other_currency_cdr_count"] for r in told if r["other_currency_cdr_count"]
    } == mapped
    assert len(mapped) > 5


def test_energy_is_the_sessions_where_there_are_logs_and_the_cdrs_elsewhere(
    money: tuple[RandomMoney, Callable[[str], Rows]],
):
    log, query = money
    due: dict[str, Decimal] = defaultdict(Decimal)
    for event in log.events:
        if event["event_type"] == "Ended":
            due[event["station_id"][:2]] += event["meter_wh"] / 1000
    credited = {cdr["credit_reference_id"].lower() for cdr in log.cdrs if cdr.get("is_credit")}
    for cdr in log.cdrs:
        is_counted = not (cdr.get("is_credit") or cdr["is_home_charging_compensation"])
        if is_counted and cdr["cdr_id"].lower() not in credited and cdr["location_id"] in ("L3", "L9"):
            due[SITES[cdr["location_id"]]] += cdr["total_energy_kwh"]
    told = query("select site_id, sum(energy_kwh) as energy_kwh from marts.fct_site_month group by site_id")
    assert {r["site_id"]: r["energy_kwh"] for r in told} == due


def test_a_cdr_knows_its_session_by_transaction_id_at_its_port(money: tuple[RandomMoney, Callable[[str], Rows]]):
    log, query = money
    logged = {event["transaction_id"] for event in log.events if event["transaction_id"]}
    told = query(
        "select cdrs.ocpi_session_id, sessions.transaction_id, cdrs.port_id, sessions.port_id as session_port_id "
        "from marts.fct_cdr as cdrs left join marts.fct_session as sessions using (session_id)"
    )
    for row in told:
        if row["ocpi_session_id"] in logged:
            assert (row["transaction_id"], row["session_port_id"]) == (row["ocpi_session_id"], row["port_id"])
        else:
            assert row["transaction_id"] is None
    assert len(logged) > 50
