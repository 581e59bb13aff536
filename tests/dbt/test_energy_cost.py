"""Cost of energy and demand: random sessions at fixed, hourly and exchange prices, against prices looked up hour by hour."""

import csv
import gzip
import os
import random
from collections import defaultdict
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from pipelines.home import Home
from pipelines.ingest import ingest, write_index
from pipelines.settings import Settings
from tests.conftest import PROJECT
from tests.dbt.test_settlement import build
from tests.lake_builder import LakeBuilder
from tests.oracles.settlement import EnergyPrice, energy_price, month_of

Rows = list[dict[str, Any]]
SEED = 20_260_706
REAL = Path(os.environ.get("CHARGEHOUSE_REAL_DATA", PROJECT.parent / "shared" / "data")) / "prices"
GB_PRICES = REAL / "opsd_gb_day_ahead_2019-10_2020-09.csv.gz"  # GBP per MWh, by the hour
FIRST = datetime(2019, 10, 1, tzinfo=UTC)
DAYS = 365
SESSIONS = 240  # at each site
QUARTER = timedelta(minutes=15)
ZONES = {"GB": "Europe/London", "TOU": "Europe/Berlin", "SPOT": "America/Chicago", "CDR": "Asia/Kolkata"}
PRICES = {
    "GB": [EnergyPrice(date(2019, 9, 1), None, Fraction("0.031"), series="gb")],
    "SPOT": [EnergyPrice(date(2019, 9, 1), None, Fraction("0.012"), series="made up")],
    "TOU": [
        EnergyPrice(date(2019, 9, 1), None, Fraction("0.24")),
        EnergyPrice(date(2019, 9, 1), None, Fraction("0.09"), from_hour=Fraction(22), to_hour=Fraction(6)),
        EnergyPrice(date(2019, 9, 1), None, Fraction("0.41"), "12345", Fraction(17), Fraction("19.5")),
        EnergyPrice(date(2019, 9, 1), None, Fraction("0.15"), "67"),
        # A new list from March on: by itself, the old windows no longer hold.
        EnergyPrice(date(2020, 3, 11), date(2020, 8, 1), Fraction("0.26")),
        EnergyPrice(date(2020, 3, 11), date(2020, 8, 1), Fraction("0.11"), from_hour=Fraction(23), to_hour=Fraction(5)),
        # A lull without any price but the first list's.
        EnergyPrice(date(2020, 9, 5), date(2020, 9, 20), Fraction("-0.02"), "1234567", Fraction(12), Fraction(14)),
    ],
    "CDR": [EnergyPrice(date(2019, 9, 1), date(2020, 6, 1), Fraction("6.50"))],
}  # fmt: skip
DEMAND = {"GB": None, "SPOT": ("11.50", "0.8"), "TOU": ("7.25", None), "CDR": ("9.00", None)}


class MeteredYear:
    """A year of sessions at four sites: metered to the quarter hour, some without samples, one site without logs."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self.frames: Rows = []
        self.events: Rows = []
        self.samples: Rows = []
        self.cdrs: Rows = []
        self.loads: dict[str, dict[datetime, Fraction]] = {}  # by transaction id or CDR id
        self.site: dict[str, str] = {}
        self.ends: dict[str, datetime] = {}
        self.series: dict[str, dict[datetime, Fraction]] = {"made up": self._made_up(), "gb": {}}
        if GB_PRICES.exists():
            with gzip.open(GB_PRICES, "rt") as file:
                for row in csv.DictReader(file):
                    at = datetime.fromisoformat(row["utc_timestamp"])
                    self.series["gb"][at] = Fraction(row["GB_GBN_price_day_ahead"]) / 1000
        for site in ("TOU", "SPOT", "GB"):
            if site != "GB" or self.series["gb"]:
                for number in range(SESSIONS):
                    self._session(site, number)
        for number in range(60):
            self._cdr(number)

    def _made_up(self) -> dict[datetime, Fraction]:
        hours = (FIRST - timedelta(hours=6) + timedelta(hours=n) for n in range(24 * DAYS + 24))
        return {
            at: Fraction(self.chance.randrange(-60_000, 400_000), 10**6) for at in hours if self.chance.random() > 0.01
        }

    def _start(self, site: str, number: int) -> datetime:
        # One a day on its own station; some over the nights in which clocks change, and over New Year.
        chosen = [datetime(2019, 10, 26, 22, tzinfo=UTC), datetime(2020, 3, 28, 22, tzinfo=UTC),
                  datetime(2019, 11, 3, 3, tzinfo=UTC), datetime(2020, 3, 8, 4, tzinfo=UTC),
                  datetime(2019, 12, 31, 20, tzinfo=UTC), datetime(2020, 3, 10, 20, tzinfo=UTC)]  # fmt: skip
        if number < len(chosen):
            return chosen[number]
        if site != "TOU" and number < 60:  # hours with a price below zero
            series = "gb" if site == "GB" else "made up"
            below = sorted(
                at
                for at, price in self.series[series].items()
                if price < 0 and FIRST < at < FIRST + DAYS * timedelta(days=1)
            )
            return self.chance.choice(below)
        return FIRST + timedelta(minutes=15 * self.chance.randrange(0, 96 * (DAYS - 2)))

    def _session(self, site: str, number: int) -> None:
        began = self._start(site, number)
        quarters = self.chance.randrange(1, 40)
        transaction, station = f"{site}{number}", f"{site}-{number}"
        steps = [self.chance.choice([0, self.chance.randrange(1, 40_000)]) for _ in range(quarters)]
        steps[0] += 1
        self.loads[transaction] = {began + n * QUARTER: Fraction(wh, 1000) for n, wh in enumerate(steps) if wh}
        ended = began + quarters * QUARTER
        register = self.chance.randrange(0, 10**8)
        self.site[transaction], self.ends[transaction] = site, ended
        self._event(station, transaction, "Started", began, register)
        at, told = began, register
        for wh in steps[:-1]:
            at, told = at + QUARTER, told + wh
            if number % 12 == 11:
                continue  # without samples the energy is spread evenly
            frame = self._frame(station, "MeterValues", at)
            self.samples.append({
                "frame_id": frame, "station_id": station, "received_at": at, "sample_number": 1001, "sampled_at": at,
                "action": "MeterValues", "transaction_id": transaction, "connector_id": 1, "unit": "Wh", "value": told,
                "measurand": "Energy.Active.Import.Register", "location": "Outlet", "context": "Sample.Periodic",
            })  # fmt: skip
        self._event(station, transaction, "Ended", ended, register + sum(steps))
        if number % 12 == 11:
            whole = Fraction(sum(steps), 1000)
            self.loads[transaction] = {began + n * QUARTER: whole / quarters for n in range(quarters)}

    def _frame(self, station: str, action: str, at: datetime) -> str:
        number = len(self.frames)
        self.frames.append({
            "frame_id": f"f{number}", "station_id": station, "received_at": at, "message_id": f"m{number}",
            "protocol": "ocpp1.6", "direction": "from_station", "message_type": 2, "action": action,
        })  # fmt: skip
        return f"f{number}"

    def _event(self, station: str, transaction: str, kind: str, at: datetime, register: int) -> None:
        frame = self._frame(
            station, f"{kind[:4].replace('Ende', 'Stop')}{'t' if kind == 'Started' else ''}Transaction", at
        )
        is_start = kind == "Started"
        self.events.append({
            "frame_id": frame, "station_id": station, "received_at": at, "message_id": f"m{len(self.frames) - 1}",
            "protocol": "ocpp1.6", "event_at": at, "event_type": kind, "connector_id": 1 if is_start else None,
            "transaction_id": None if is_start else transaction, "meter_wh": register,
        })  # fmt: skip
        if is_start:
            self.frames.append({
                **self.frames[-1], "frame_id": f"a{frame}", "received_at": at + timedelta(milliseconds=1),
                "message_type": 3, "direction": "to_station", "result_transaction_id": transaction,
                "result_status": "Accepted", "action": None,
            })  # fmt: skip

    def _cdr(self, number: int) -> None:
        began = FIRST + timedelta(minutes=15 * self.chance.randrange(0, 96 * (DAYS - 2)))
        quarters = self.chance.choice([0, 1, 4, 20])
        energy = Fraction(self.chance.randrange(1, 5000) * max(quarters, 1), 1000)
        name = f"C{number}"
        self.site[name], self.ends[name] = "CDR", began + quarters * QUARTER
        self.loads[name] = {began + n * QUARTER: energy / max(quarters, 1) for n in range(max(quarters, 1))}
        self.cdrs.append({
            "cdr_id": name, "peer": "p", "ocpi_version": "2.2.1", "location_id": "LCDR", "started_at": began,
            "ended_at": self.ends[name], "currency": "INR", "total_cost_net": 1, "last_updated_at": FIRST + timedelta(days=DAYS),
            "total_energy_kwh": Decimal(energy.numerator) / energy.denominator, "record_hash": name, "raw": "{}",
        })  # fmt: skip

    def write(self, home: Path) -> None:
        """Write logs and CDRs as lake tables, and the registry as the CSV files that users deliver."""
        lake = LakeBuilder(home)
        lake.add("ocpp/frame", [{**f, "received_at_quality": "logged", "log_format": "test"} for f in self.frames])
        lake.add("ocpp/transaction_event", self.events)
        lake.add("ocpp/meter_sample", self.samples)
        lake.add("ocpi/cdr", self.cdrs)
        sites = [site for site in ZONES if site in self.site.values()]
        currencies = {"GB": "GBP", "TOU": "EUR", "SPOT": "USD", "CDR": "INR"}
        files: dict[str, Rows] = {
            "sites": [
                {"site_id": s, "name": s, "owner_id": "o", "operator_id": "c", "time_zone": ZONES[s], "country_code": "DE",
                 "currency": currencies[s], "ocpi_location_id": f"L{s}"} for s in sites
            ],
            "stations": [{"station_id": f"{s}-{n}", "site_id": s} for s in sites if s != "CDR" for n in range(SESSIONS)],
            "ports": [
                {"port_id": f"{s}-{n}-1", "station_id": f"{s}-{n}", "ocpp_connector_ids": "1", "power_type": "DC",
                 "max_power_kw": 10_000} for s in sites if s != "CDR" for n in range(SESSIONS)
            ],
            "contracts": [
                {"contract_id": "TOU-c", "site_id": "TOU", "owner_id": "o", "operator_id": "c", "valid_from": "2019-01-01",
                 "sla_policy_id": "contract_generic", "owner_share_ratio": "0.5", "share_basis": "net_margin",
                 "currency": "EUR"},
            ],
            "energy_prices": [
                {"site_id": s, "valid_from": p.begins, "valid_to": p.until or "",
                 "days": "" if p.weekdays == "1234567" else p.weekdays, "from_time": _clock(p.from_hour),
                 "to_time": _clock(p.to_hour), "price_per_kwh": _decimal(p.per_kwh), "price_series_id": p.series or "",
                 "demand_charge_per_kw_month": (DEMAND[s] or ("",))[0], "currency": currencies[s],
                 "demand_ratchet_ratio": (DEMAND[s] or ("", None))[1] or "", "fixed_fee_per_month": ""}
                for s in sites for p in PRICES[s]
            ],
            "hourly_prices": [
                {"price_series_id": name, "started_at": at.isoformat().replace("+00:00", "Z"),
                 "price_per_kwh": _decimal(price), "currency": "GBP" if name == "gb" else "USD"}
                for name, prices in self.series.items() for at, price in prices.items()
            ],
        }  # fmt: skip
        for name, rows in files.items():
            path = home / "landing" / "registry" / f"{name}.csv"
            with path.open("w", newline="") as file:
                writer = csv.DictWriter(file, fieldnames=list(rows[0]))
                writer.writeheader()
                writer.writerows(rows)
        result = ingest(Home(home), Settings(pseudonym_key="a key for tests"), "registry")
        assert result.counts.quarantined == 0
        write_index(Home(home))

    def cost(self, name: str) -> Fraction:
        """What a charge cost, quarter hour by quarter hour; what has no price costs nothing."""
        site = self.site[name]
        parts = (
            kwh * (energy_price(PRICES[site], self.series, at, ZONES[site]) or 0)
            for at, kwh in self.loads[name].items()
        )
        return sum(parts, Fraction(0))

    def unpriced(self, name: str) -> Fraction:
        """Its energy in hours without a price."""
        site = self.site[name]
        return sum(
            (
                kwh
                for at, kwh in self.loads[name].items()
                if energy_price(PRICES[site], self.series, at, ZONES[site]) is None
            ),
            Fraction(0),
        )


def _clock(hour: Fraction | None) -> str:
    return "" if hour is None else f"{int(hour):02}:{int(hour % 1 * 60):02}"


def _decimal(value: Fraction) -> Decimal:
    return Decimal(value.numerator) / Decimal(value.denominator)


@pytest.fixture(scope="module")
def year(tmp_path_factory: pytest.TempPathFactory) -> tuple[MeteredYear, Callable[[str], Rows], dict[str, Any]]:
    folder = tmp_path_factory.mktemp("energy")
    log = MeteredYear(SEED)
    log.write(folder / "home")
    query = build(folder / "home", folder)
    told = query(
        "select coalesce(sessions.transaction_id, cdrs.cdr_id) as name, costs.* from marts.fct_energy_cost as costs "
        "left join marts.fct_session as sessions on costs.charge_id = sessions.session_id "
        "left join marts.fct_cdr as cdrs on costs.charge_id = cdrs.cdr_key"
    )
    return log, query, {row["name"]: row for row in told}


def test_every_charge_costs_what_its_hours_cost(year: tuple[MeteredYear, Callable[[str], Rows], dict[str, Any]]):
    log, _, told = year
    assert set(told) == set(log.loads)
    wrong = {}
    for name, row in told.items():
        # Quarter hours are kept to the millionth of a kWh; metered ones here are whole Wh, so their cost is exact.
        tolerance = Fraction(1, 10**9) if row["cost_method"] == "samples" else Fraction(1, 10**5)
        if abs(Fraction(row["energy_cost_net"]) - log.cost(name)) > tolerance:
            wrong[name] = (row["energy_cost_net"], float(log.cost(name)))
    assert wrong == {}


def test_energy_without_a_price_is_told_not_guessed(year: tuple[MeteredYear, Callable[[str], Rows], dict[str, Any]]):
    log, query, told = year
    for name, row in told.items():
        assert abs(Fraction(row["unpriced_energy_kwh"]) - log.unpriced(name)) < Fraction(1, 10**5), name
    without = {site for name, site in log.site.items() if log.unpriced(name)}
    # Hours missing from a series (the real one lacks that of the change to summer time), and a list that ended.
    assert {"SPOT", "CDR"} <= without <= {"SPOT", "CDR", "GB"}
    findings = query("select distinct site_id from marts.qc_settlement where kind = 'energy_without_price'")
    assert {row["site_id"] for row in findings} == without


def test_the_method_says_how_the_energy_was_spread(year: tuple[MeteredYear, Callable[[str], Rows], dict[str, Any]]):
    log, _, told = year
    for name, row in told.items():
        if log.site[name] == "CDR":
            assert row["cost_method"] == (
                "whole" if len(log.loads[name]) == 1 and row["cost_method"] != "even" else "even"
            )
        else:
            number = int(name.removeprefix(log.site[name]))
            is_metered = number % 12 != 11 and row["cost_method"] == "samples"
            assert is_metered or row["cost_method"] == "even"
    methods = [row["cost_method"] for row in told.values()]
    assert min(methods.count("samples"), methods.count("even"), methods.count("whole")) > 5


@pytest.mark.skipif(
    not GB_PRICES.exists(), reason=f"no real prices at {GB_PRICES}; name their folder with CHARGEHOUSE_REAL_DATA"
)
def test_a_year_of_british_day_ahead_prices_is_met_to_the_billionth_and_negative_hours_lower_the_cost(
    year: tuple[MeteredYear, Callable[[str], Rows], dict[str, Any]],
):
    log, query, told = year
    hours = log.series["gb"]
    assert len(hours) > 8_700
    own = [name for name, site in log.site.items() if site == "GB"]
    markup = PRICES["GB"][0].per_kwh
    # Once more, without the oracle's rules: energy of each hour times its price and the markup. One hour is missing.
    by_hand = {
        name: sum(
            (
                kwh * (hours[hour] + markup)
                for at, kwh in log.loads[name].items()
                if (hour := at.replace(minute=0)) in hours
            ),
            Fraction(0),
        )
        for name in own
        if told[name]["cost_method"] == "samples"
    }
    assert len(by_hand) > 200
    assert max(abs(Fraction(told[name]["energy_cost_net"]) - cost) for name, cost in by_hand.items()) <= Fraction(
        1, 10**9
    )
    floored = sum(
        kwh * (max(hours[hour], Fraction(0)) + markup)
        for name in by_hand
        for at, kwh in log.loads[name].items()
        if (hour := at.replace(minute=0)) in hours
    )
    booked = sum(Fraction(told[name]["energy_cost_net"]) for name in by_hand)
    assert booked < floored - 1
    (row,) = query("select min(price_per_kwh) as lowest from intermediate.int_energy_price where site_id = 'GB'")
    met = {at.replace(minute=0) for name in own for at in log.loads[name]}
    lowest = min(hours[hour] for hour in met & set(hours))
    assert Fraction(row["lowest"]) == lowest + markup
    assert lowest < 0


def test_demand_is_charged_on_the_highest_quarter_hour_of_the_sites_month_and_by_the_ratchet(
    year: tuple[MeteredYear, Callable[[str], Rows], dict[str, Any]],
):
    log, query, _ = year
    power: dict[tuple[str, datetime], Fraction] = defaultdict(Fraction)
    for name, load in log.loads.items():
        for at, kwh in load.items():
            power[log.site[name], at] += kwh * 4
    peaks: dict[tuple[str, date], Fraction] = defaultdict(Fraction)
    for (site, at), kw in power.items():
        key = (site, month_of(at.astimezone(ZoneInfo(ZONES[site])).date()))
        peaks[key] = max(peaks[key], kw)
    told = {(r["site_id"], r["local_month"]): r for r in query("select * from marts.fct_demand_charge")}
    by_ratchet = 0
    for (site, month), row in told.items():
        if site == "CDR":  # nobody metered it
            assert row["charged_power_kw"] == 0
            continue
        peak = peaks[site, month]
        charged = peak
        if site == "SPOT":
            months = [month_of(month - timedelta(days=30 * n + 1)) for n in range(11)]
            charged = max(
                peak,
                Fraction("0.8") * max((peaks.get((site, m), Fraction(0)) for m in set(months)), default=Fraction(0)),
            )
        by_ratchet += charged > peak
        price = Fraction((DEMAND[site] or ("0",))[0])
        assert abs(Fraction(row["peak_power_kw"]) - peak) < Fraction(1, 500), (site, month)
        assert abs(Fraction(row["charged_power_kw"]) - charged) < Fraction(1, 500), (site, month)
        assert row["demand_charge_net"] == (row["charged_power_kw"] * _decimal(price)).quantize(Decimal("0.000001"))
    assert by_ratchet > 0
    assert len(told) >= 36


def test_the_sessions_of_the_peak_share_its_charge_and_a_cap_saves_what_is_above_it(
    year: tuple[MeteredYear, Callable[[str], Rows], dict[str, Any]],
):
    _, query, _ = year
    (row,) = query(
        "select count(*) filter (where share_ratio < 1) as shared, sum(demand_charge_net) as parts, "
        "(select sum(demand_charge_net) from marts.fct_demand_charge where site_id <> 'CDR') as whole "
        "from marts.fct_demand_peak_session"
    )
    assert row["shared"] > 0
    assert row["parts"] == row["whole"] > 0
    caps = query(
        "select caps.*, charges.peak_power_kw from marts.fct_demand_cap as caps "
        "join marts.fct_demand_charge as charges using (site_id, local_month) where site_id = 'TOU'"
    )
    for cap in caps:
        above = cap["peak_power_kw"] - cap["cap_power_kw"]
        assert cap["saved_net"] == (above * Decimal("7.25")).quantize(Decimal("0.000001"))
        assert cap["shifted_energy_kwh"] >= above / 4 - Decimal("0.01")
    assert len(caps) >= 60


def test_a_share_of_net_margin_bears_energy_and_demand(year: tuple[MeteredYear, Callable[[str], Rows], dict[str, Any]]):
    _, query, _ = year
    rows = query(
        "select lines.local_month, line_type, lines.amount_net, months.energy_cost_net, months.demand_charge_net "
        "from marts.fct_settlement_line as lines join marts.fct_site_month as months using (site_id, local_month, currency)"
    )
    due = {"energy_cost": "energy_cost_net", "demand_charge": "demand_charge_net"}
    told = [row for row in rows if row["line_type"] in due]
    assert len(told) >= 24
    for row in told:
        assert -row["amount_net"] == row[due[row["line_type"]]].quantize(Decimal("0.01"), rounding="ROUND_HALF_UP")
    # No driver paid anything here, and a share is never below zero: the operator bears it all.
    (total,) = query("select sum(payout_net) as payout_net from marts.fct_statement")
    assert total["payout_net"] == 0
