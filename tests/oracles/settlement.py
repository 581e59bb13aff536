"""Statements worked out one day, one CDR and one contract at a time, with fractions: the rules of docs/settlement.md in words.

Nothing here is shared with the models: contracts are looked up per day, days are counted one by one, and money is an
exact fraction until the line is rounded, half away from zero, to the currency's smallest unit.
"""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from fractions import Fraction
from typing import Any
from zoneinfo import ZoneInfo

MINOR_DIGITS = {"JPY": 0, "KWD": 3}


@dataclass(frozen=True)
class Contract:
    """A contract; amounts are in ``currency``, ``until`` is the day after its last."""

    contract_id: str
    site: str
    station: str | None
    owner: str
    begins: date
    until: date | None
    currency: str
    share: Fraction | None = None
    basis: str | None = None
    per_kwh: Fraction = Fraction(0)
    per_session: Fraction = Fraction(0)
    per_port_month: Fraction = Fraction(0)
    guarantee: Fraction = Fraction(0)
    compensation: Fraction | None = None


@dataclass(frozen=True)
class Cdr:
    """A CDR as it is to be settled: ``day`` is the site-local date of its end."""

    key: str
    site: str
    station: str | None
    day: date
    currency: str
    net: Fraction | None
    kwh: Fraction
    counts: bool = True  # no credit, not credited, no compensation
    is_compensation: bool = False
    roaming: Fraction = Fraction(0)
    roaming_currency: str = ""


@dataclass(frozen=True)
class Port:
    """A port with its days of service."""

    station: str
    begins: date | None = None
    until: date | None = None


@dataclass
class Site:
    """A site and what its energy supply costs: ``energy`` holds cost by (day of the charge, station, currency)."""

    site: str
    owner: str
    first_month: date
    as_of: date
    ports: list[Port]
    fixed: dict[tuple[date, str], Fraction] = field(default_factory=dict)  # by month and currency
    demand: dict[tuple[date, str], Fraction] = field(default_factory=dict)
    energy: list[tuple[date, str | None, str, Fraction]] = field(default_factory=list)


def rounded(amount: Fraction, currency: str) -> Fraction:
    """Round half away from zero to the smallest unit of a currency."""
    unit = Fraction(1, 10 ** MINOR_DIGITS.get(currency, 2))
    whole = int(abs(amount) / unit + Fraction(1, 2))
    return (whole if amount >= 0 else -whole) * unit


def month_of(day: date) -> date:
    """First day of a date's month."""
    return day.replace(day=1)


def next_month(month: date) -> date:
    """First day of the month after."""
    return month_of(month + timedelta(days=31))


def days_of(month: date) -> int:
    """Days of a month."""
    return (next_month(month) - month).days


def days(first: date, until: date) -> Iterator[date]:
    """Dates from one to the day before another."""
    while first < until:
        yield first
        first += timedelta(days=1)


def contract_on(contracts: list[Contract], site: str, station: str | None, day: date) -> Contract | None:
    """The contract that holds: of the station before of the site, then the one that began later."""
    holding = [
        c
        for c in contracts
        if c.site == site
        and c.begins <= day
        and (c.until is None or day < c.until)
        and (c.station is None or c.station == station)
    ]
    return max(holding, key=lambda c: (c.station is not None, c.begins, c.contract_id), default=None)


Lines = dict[tuple[str, str, date, str, str], Fraction]


def settle(sites: list[Site], contracts: list[Contract], cdrs: list[Cdr]) -> tuple[Lines, dict[str, str]]:
    """Settle everything as if nothing were closed.

    Returns:
        Amounts by owner, contract, month, currency and kind of line (revenue is the sum of its CDRs), and the reason of
        every CDR that is in no statement.
    """
    excluded: dict[str, str] = {}
    under: dict[str, Contract] = {}
    for cdr in cdrs:
        contract = contract_on(contracts, cdr.site, cdr.station, cdr.day)
        if cdr.is_compensation:
            excluded[cdr.key] = "home_charging_compensation"
        elif cdr.net is None:
            excluded[cdr.key] = "no_amount"
        elif cdr.currency == "XXX":
            excluded[cdr.key] = "no_currency"
        elif contract is None:
            excluded[cdr.key] = "no_contract"
        else:
            under[cdr.key] = contract
    lines: Lines = {}
    for site in sites:
        own = [c for c in contracts if c.site == site.site]
        for contract in own:
            mine = [cdr for cdr in cdrs if under.get(cdr.key) is contract]
            months = {month_of(cdr.day) for cdr in mine}
            held = _days_held(site, contract, contracts)
            for month in sorted(months | set(held)):
                for line, amount in _statement_lines(site, contract, contracts, month, mine, held.get(month)).items():
                    if amount:
                        lines[contract.owner, contract.contract_id, month, *line] = amount
    return lines, excluded


@dataclass
class _Held:
    """How long a contract held in a month: its own days, its ports' days, and those of the whole site."""

    contract_days: int = 0
    port_days: int = 0
    site_port_days: int = 0
    elapsed: int = 0


def _days_held(site: Site, contract: Contract, contracts: list[Contract]) -> dict[date, _Held]:
    held: dict[date, _Held] = defaultdict(_Held)
    for day in days(site.first_month, site.as_of + timedelta(days=1)):
        month = held[month_of(day)]
        month.elapsed += 1
        month.contract_days += contract_on(contracts, site.site, contract.station, day) is contract
        for port in site.ports:
            if (port.begins is None or port.begins <= day) and (port.until is None or day < port.until):
                month.site_port_days += 1
                month.port_days += contract_on(contracts, site.site, port.station, day) is contract
    return {month: value for month, value in held.items() if value.contract_days or value.port_days}


def _statement_lines(  # noqa: PLR0917
    site: Site, contract: Contract, contracts: list[Contract], month: date, mine: list[Cdr], held: _Held | None
) -> dict[tuple[str, str], Fraction]:
    """The lines of one contract and month, by currency and kind."""
    cdrs = [cdr for cdr in mine if month_of(cdr.day) == month]
    currencies = {cdr.currency for cdr in cdrs} | ({contract.currency} if held else set())
    counted = [cdr for cdr in cdrs if cdr.counts]
    kwh = sum((cdr.kwh for cdr in counted), Fraction(0))
    lines: dict[tuple[str, str], Fraction] = {}
    for currency in currencies:
        is_own = currency == contract.currency

        def put(kind: str, amount: Fraction, currency: str = currency) -> Fraction:
            lines[currency, kind] = amount
            return amount

        revenue = [cdr.net for cdr in cdrs if cdr.currency == currency and cdr.net is not None]
        single = put("revenue", sum((rounded(net, currency) for net in revenue), Fraction(0)))
        total = rounded(sum(revenue, Fraction(0)), currency)
        put("rounding", total - single)

        fees = Fraction(0)
        compensation = Fraction(0)
        if is_own:
            port_months = Fraction(held.port_days, days_of(month)) if held else Fraction(0)
            fees -= put("operator_fee_energy", -rounded(kwh * contract.per_kwh, currency))
            fees -= put("operator_fee_session", -rounded(len(counted) * contract.per_session, currency))
            fees -= put("operator_fee_port_month", -rounded(port_months * contract.per_port_month, currency))
            compensation = rounded(kwh * (contract.compensation or 0), currency)
            put("energy_set_aside", -compensation)
            put("energy_compensation", compensation)

        is_margin = contract.basis == "net_margin"
        base = total - compensation
        if is_margin:
            roaming = sum((c.roaming for c in cdrs if c.roaming_currency == currency), Fraction(0))
            base += put("roaming_fee", -rounded(roaming, currency))
            base -= fees
            if contract.compensation is None:
                bought = sum(
                    (
                        cost
                        for day, station, of_currency, cost in site.energy
                        if of_currency == currency
                        and month_of(day) == month
                        and contract_on(contracts, site.site, station, day) is contract
                    ),
                    Fraction(0),
                )
                part = Fraction(0)
                if held:
                    part = (
                        Fraction(held.port_days, held.site_port_days)
                        if held.site_port_days
                        else Fraction(held.contract_days, held.elapsed)
                    )
                base += put("energy_cost", -rounded(bought, currency))
                fixed, demand = (by.get((month, currency), Fraction(0)) for by in (site.fixed, site.demand))
                base += put("energy_fixed_fee", -rounded(fixed * part, currency))
                base += put("demand_charge", -rounded(demand * part, currency))
        share = Fraction(1) if contract.share is None else contract.share
        if base < 0 and (is_margin or compensation > 0):
            put("operator_bears_loss", -base)
            owner_part = Fraction(0)
        else:
            owner_part = rounded(base * share, currency)
            put("operator_share", owner_part - base)
        payout = owner_part + compensation - (Fraction(0) if is_margin else fees)
        if is_own and held:
            promised = rounded(contract.guarantee * held.contract_days / days_of(month), currency)
            if promised > 0:
                put("minimum_guarantee", max(Fraction(0), promised - payout))
    return lines


def opex_due(
    first_month: date, as_of: date, *, amount: Fraction, incurred_on: date, recurs: str, ends_on: date | None
) -> dict[date, Fraction]:
    """What one operating cost makes of each month: every day is asked whether it falls due on it."""
    due: dict[date, Fraction] = defaultdict(Fraction)
    for day in days(first_month, as_of + timedelta(days=1)):
        last_of_month = days_of(month_of(day))
        falls_due = day.day == min(incurred_on.day, last_of_month) and day >= incurred_on
        falls_due &= recurs != "yearly" or day.month == incurred_on.month
        falls_due &= recurs != "once" or day == incurred_on
        if falls_due and (ends_on is None or day <= ends_on):
            due[month_of(day)] += amount
    return due


@dataclass(frozen=True)
class EnergyPrice:
    """A price of bought energy: per kWh, or on top of a series; weekdays are 1 (Monday) to 7, clocks hours after midnight."""

    begins: date
    until: date | None
    per_kwh: Fraction
    weekdays: str = "1234567"
    from_hour: Fraction | None = None
    to_hour: Fraction | None = None
    series: str | None = None


def energy_price(
    prices: list[EnergyPrice], series: dict[str, dict[datetime, Fraction]], at: datetime, zone: str
) -> Fraction | None:
    """The price of a quarter hour, by the clock on the wall at its beginning; None where nothing tells it."""
    wall = at.astimezone(ZoneInfo(zone))
    hour = Fraction(wall.hour * 60 + wall.minute, 60)

    def holds(price: EnergyPrice) -> bool:
        if wall.date() < price.begins or (price.until is not None and wall.date() >= price.until):
            return False
        if str(wall.isoweekday()) not in price.weekdays:
            return False
        begin = price.from_hour if price.from_hour is not None else Fraction(0)
        end = price.to_hour if price.to_hour is not None else Fraction(24)
        return begin <= hour < end if begin < end else hour >= begin or hour < end

    def rank(price: EnergyPrice) -> tuple[Any, ...]:
        has_hours = price.from_hour is not None or price.to_hour is not None
        return price.begins, has_hours, price.weekdays != "1234567", price.from_hour or Fraction(0)

    holding = [price for price in prices if holds(price)]
    if not holding:
        return None
    price = max(holding, key=rank)
    if price.series is None:
        return price.per_kwh
    on_top = series[price.series].get(at.replace(minute=0, second=0))
    return None if on_top is None else price.per_kwh + on_top
