"""The OCPI tariff rules once more, one CDR at a time in exact fractions: the oracle of the SQL tariff engine.

Nothing is shared with the engine: no SQL, no integers of seconds, no bit masks. Wall-clock time comes from
``zoneinfo``, every amount is a ``Fraction``. Rules: OCPI 2.2.1 and 2.3.0, mod_tariffs (restrictions, step_size,
tax_included) and mod_cdrs (step_size over the session); where they leave a choice, the comment says which was taken.
"""

import math
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from fractions import Fraction
from zoneinfo import ZoneInfo, available_timezones

DAYS = ("MONDAY", "TUESDAY", "WEDNESDAY", "THURSDAY", "FRIDAY", "SATURDAY", "SUNDAY")
_ZONES = available_timezones()
TIMED = {"TIME", "PARKING_TIME", "RESERVATION_TIME"}


@dataclass(frozen=True, slots=True)
class Component:
    """A price per kWh (ENERGY), per hour (TIME, PARKING_TIME) or once (FLAT); VAT in percent, steps in Wh or s."""

    dimension: str
    price: Decimal
    vat: Decimal | None = None
    step_size: int | None = None


@dataclass(frozen=True, slots=True)
class Restrictions:
    """OCPI TariffRestrictions, under their OCPI names; all that are set must hold."""

    start_time: str | None = None
    end_time: str | None = None
    start_date: date | None = None
    end_date: date | None = None
    min_kwh: Decimal | None = None
    max_kwh: Decimal | None = None
    min_current: Decimal | None = None
    max_current: Decimal | None = None
    min_power: Decimal | None = None
    max_power: Decimal | None = None
    min_duration: int | None = None
    max_duration: int | None = None
    day_of_week: tuple[str, ...] = ()
    reservation: str | None = None


@dataclass(frozen=True, slots=True)
class Element:
    """Components that share restrictions."""

    components: tuple[Component, ...]
    restrictions: Restrictions = Restrictions()


@dataclass(frozen=True, slots=True)
class Limit:
    """A min_price or max_price: net, and gross where stated."""

    net: Decimal
    gross: Decimal | None = None


@dataclass(frozen=True, slots=True)
class Tariff:
    """An OCPI Tariff of one currency."""

    tariff_id: str
    elements: tuple[Element, ...]
    tax_included: str | None = None
    currency: str = "EUR"
    tariff_type: str | None = None
    valid_from: datetime | None = None
    valid_to: datetime | None = None
    min_price: Limit | None = None
    max_price: Limit | None = None
    last_updated: datetime = datetime(2020, 1, 1, tzinfo=UTC)
    ocpi_version: str = "2.2.1"


@dataclass(frozen=True, slots=True)
class Period:
    """A charging period: its start and the volumes of its dimensions, hours and kWh."""

    start: datetime
    volumes: dict[str, Decimal]
    tariff_id: str | None = None


@dataclass(frozen=True, slots=True)
class Cdr:
    """A CDR with the tariffs it embeds; periods in the order sent."""

    cdr_id: str
    start: datetime
    end: datetime
    periods: tuple[Period, ...]
    tariffs: tuple[Tariff, ...]
    time_zone: str = "UTC"
    currency: str = "EUR"
    is_ad_hoc: bool = False
    is_credit: bool = False


@dataclass(frozen=True, slots=True)
class Line:
    """A priced quantity; ``kind`` is the dimension, reservations under names of their own."""

    period_number: int
    kind: str
    element_number: int
    component_number: int
    quantity: Fraction
    billed: Fraction
    unit_price: Fraction
    net: Fraction | None
    gross: Fraction | None
    is_unverifiable: bool
    spans_price_change: bool


@dataclass(frozen=True, slots=True)
class Priced:
    """What a CDR should cost: either a reason, or lines and totals before rounding."""

    reason: str | None
    lines: tuple[Line, ...] = ()
    net: Fraction | None = None
    gross: Fraction | None = None


@dataclass(frozen=True, slots=True)
class _State:
    """What restrictions look at: an instant, the energy and the seconds of the session before it."""

    at: datetime
    kwh: Fraction
    elapsed_s: int
    volumes: dict[str, Decimal]
    is_unmeasured_met: bool = True


@dataclass(slots=True)
class _Charge:
    """A quantity on its way to becoming a line."""

    rank: int
    number: int
    kind: str
    tariff: Tariff
    element_number: int
    component_number: int
    component: Component
    quantity: Fraction
    is_unverifiable: bool
    spans_price_change: bool
    surplus: Fraction = field(default=Fraction(0))


def price(cdr: Cdr, module: tuple[Tariff, ...] = (), *, is_unmeasured_met: bool = True) -> Priced:
    """Price one CDR.

    Args:
        cdr: The CDR, with its embedded tariffs.
        module: What the Tariffs module delivered for its party.
        is_unmeasured_met: Whether a bound on current or power is met in a period that tells neither.
    """
    order = sorted(range(len(cdr.periods)), key=lambda i: (cdr.periods[i].start, i))
    chosen = [_choose(cdr, cdr.periods[i].tariff_id, module) for i in order]
    if reason := _refusal(cdr, [cdr.periods[i] for i in order], chosen):
        return Priced(reason)
    tariffs = [tariff for tariff in chosen if tariff is not None]
    charges = _round_up(_charges(cdr, order, tariffs, is_unmeasured_met))
    lines = tuple(_line(charge) for charge in charges)
    net: Fraction | None = Fraction(0)
    gross: Fraction | None = None if not lines and tariffs[0].ocpi_version == "2.1.1" else Fraction(0)
    for line in lines:
        net = None if net is None or line.net is None else net + line.net
        gross = None if gross is None or line.gross is None else gross + line.gross
    net, gross = _limit(net, gross, tariffs[0].min_price, max)
    net, gross = _limit(net, gross, tariffs[0].max_price, min)
    return Priced(None, lines, net, gross)


def _refusal(cdr: Cdr, periods: list[Period], tariffs: list[Tariff | None]) -> str | None:
    """Why the CDR cannot be priced; the first that applies, null if nothing does."""
    found = [tariff for tariff in tariffs if tariff is not None]
    unfound = [period for period, tariff in zip(periods, tariffs, strict=True) if tariff is None]
    # No session has a million kWh or hours: a register instead of a difference, or a unit mistaken.
    volumes = [period.volumes.get(kind, Decimal(0)) for period in periods for kind in ("ENERGY", *TIMED)]
    reasons = {
        "credit_cdr": cdr.is_credit,
        "no_charging_periods": not periods,
        "unusable_volume": any(abs(volume) > 1_000_000 for volume in volumes),
        "unknown_tariff": any(period.tariff_id for period in unfound),
        "no_tariff": any(not period.tariff_id for period in unfound),
        "tariff_without_prices": not all(_components(tariff) for tariff in found),
        "tariff_in_other_currency": any(tariff.currency != cdr.currency for tariff in found),
        "unknown_time_zone": cdr.time_zone not in _ZONES,
    }
    return next((reason for reason, applies in reasons.items() if applies), None)


def _components(tariff: Tariff) -> list[Component]:
    return [component for element in tariff.elements for component in element.components]


def _choose(cdr: Cdr, tariff_id: str | None, module: tuple[Tariff, ...]) -> Tariff | None:
    """The CDR's own tariff before the module's; valid, then fitting, then the one known when the session began."""
    wanted = "AD_HOC_PAYMENT" if cdr.is_ad_hoc else "REGULAR"
    for offered in (cdr.tariffs, module if tariff_id else ()):
        fitting = [t for t in offered if tariff_id is None or t.tariff_id.lower() == tariff_id.lower()]
        if fitting:
            return min(
                fitting,
                key=lambda t: (
                    not ((t.valid_from or cdr.start) <= cdr.start and (t.valid_to is None or cdr.start < t.valid_to)),
                    {wanted: 0, None: 1}.get(t.tariff_type, 2),
                    t.last_updated > cdr.start,
                    abs(cdr.start - t.last_updated),
                ),
            )
    return None


def _charges(cdr: Cdr, order: list[int], tariffs: list[Tariff], is_unmeasured_met: bool) -> list[_Charge]:
    zone = ZoneInfo(cdr.time_zone)
    has_session = any(_is_session(period) for period in cdr.periods)
    charges: list[_Charge] = []
    energy_before = Fraction(0)
    first = cdr.periods[order[0]].start
    for rank, i in enumerate(order):
        period, tariff = cdr.periods[i], tariffs[rank]
        end = cdr.periods[order[rank + 1]].start if rank + 1 < len(order) else cdr.end
        energy = Fraction(period.volumes.get("ENERGY", 0))
        elapsed_s = int((period.start - first).total_seconds())
        start = _State(period.start, energy_before, elapsed_s, period.volumes, is_unmeasured_met)
        last = None
        if end > period.start:
            at = end - timedelta(seconds=1)
            # The smallest energy the lake keeps, a thousandth of a Wh, before the end.
            kwh = energy_before + max(energy - Fraction(1, 10**6), Fraction(0)) if energy > 0 else energy_before
            last = _State(at, kwh, int((at - first).total_seconds()), period.volumes, is_unmeasured_met)
        for kind in _kinds(period):
            found = _look_up(tariff, kind, start, zone, is_expired=not has_session)
            if found is None:
                continue
            flat = kind.endswith("FLAT")
            if flat and any(charge.kind == kind for charge in charges):
                continue
            element_number, component_number, component = found
            later = found if last is None or flat else _look_up(tariff, kind, last, zone, is_expired=not has_session)
            restrictions = tariff.elements[element_number - 1].restrictions
            charges.append(
                _Charge(
                    rank=rank,
                    number=i + 1,
                    kind=kind,
                    tariff=tariff,
                    element_number=element_number,
                    component_number=component_number,
                    component=component,
                    quantity=Fraction(1) if flat else Fraction(period.volumes[kind]),
                    is_unverifiable=_is_unverifiable(restrictions, period.volumes),
                    spans_price_change=later is None or later[0] != element_number,
                )
            )
        energy_before += energy
    return charges


def _is_session(period: Period) -> bool:
    reserved = period.volumes.get("RESERVATION_TIME", Decimal(0)) != 0
    return not reserved or any(kind in period.volumes for kind in ("ENERGY", "TIME", "PARKING_TIME", "FLAT"))


def _kinds(period: Period) -> list[str]:
    """The kinds of price a period asks for: each volume that is not 0, and a flat price for session and reservation."""
    kinds = [
        k for k in ("ENERGY", "TIME", "PARKING_TIME", "RESERVATION_TIME") if period.volumes.get(k, Decimal(0)) != 0
    ]
    if _is_session(period):
        kinds.append("FLAT")
    if "RESERVATION_TIME" in kinds:
        kinds.append("RESERVATION_FLAT")
    return kinds


def _look_up(
    tariff: Tariff, kind: str, state: _State, zone: ZoneInfo, *, is_expired: bool
) -> tuple[int, int, Component] | None:
    """First element, in order, that has the dimension and whose restrictions hold."""
    dimension = kind.removeprefix("RESERVATION_")
    if kind.startswith("RESERVATION_"):
        rounds = ["RESERVATION_EXPIRES", "RESERVATION"] if is_expired else ["RESERVATION"]
    else:
        rounds = [None]
    for reservation in rounds:
        for element_number, element in enumerate(tariff.elements, start=1):
            if element.restrictions.reservation != reservation:
                continue
            for component_number, component in enumerate(element.components, start=1):
                if component.dimension == dimension:
                    if _holds(element.restrictions, state, zone):
                        return element_number, component_number, component
                    break
    return None


def _holds(r: Restrictions, state: _State, zone: ZoneInfo) -> bool:
    local = state.at.astimezone(zone)
    volumes = state.volumes
    # A bound on current or power that the period gives no figure for is met, or not, by choice. A lower bound is held
    # against the highest figure, an upper one against the lowest.
    unmeasured = state.is_unmeasured_met
    most_a = volumes.get("MAX_CURRENT", volumes.get("MIN_CURRENT"))
    least_a = volumes.get("MIN_CURRENT", volumes.get("MAX_CURRENT"))
    most_kw = volumes.get("MAX_POWER", volumes.get("MIN_POWER"))
    least_kw = volumes.get("MIN_POWER", volumes.get("MAX_POWER"))
    return (
        _in_window(r, local.time().replace(microsecond=0))
        and (not r.day_of_week or DAYS[local.weekday()] in r.day_of_week)
        and (r.start_date is None or local.date() >= r.start_date)
        and (r.end_date is None or local.date() < r.end_date)
        and (r.min_kwh is None or state.kwh >= Fraction(r.min_kwh))
        and (r.max_kwh is None or state.kwh < Fraction(r.max_kwh))
        and (r.min_duration is None or state.elapsed_s >= r.min_duration)
        and (r.max_duration is None or state.elapsed_s < r.max_duration)
        and (r.min_current is None or (unmeasured if most_a is None else most_a >= r.min_current))
        and (r.max_current is None or (unmeasured if least_a is None else least_a < r.max_current))
        and (r.min_power is None or (unmeasured if most_kw is None else most_kw >= r.min_power))
        and (r.max_power is None or (unmeasured if least_kw is None else least_kw < r.max_power))
    )


def _in_window(r: Restrictions, clock: time) -> bool:
    begins = time.fromisoformat(r.start_time) if r.start_time else time(0)
    ends = time.fromisoformat(r.end_time) if r.end_time else time(0)
    if begins == ends:
        return True
    if begins < ends:
        return begins <= clock < ends
    return clock >= begins or clock < ends


def _is_unverifiable(r: Restrictions, volumes: dict[str, Decimal]) -> bool:
    asks_current = r.min_current is not None or r.max_current is not None
    asks_power = r.min_power is not None or r.max_power is not None
    return (asks_current and not {"MIN_CURRENT", "MAX_CURRENT"} & volumes.keys()) or (
        asks_power and not {"MIN_POWER", "MAX_POWER"} & volumes.keys()
    )


def _round_up(charges: list[_Charge]) -> list[_Charge]:
    """step_size: the session's total goes up to whole steps of the last component, which is charged for the rest."""
    for kind in ("ENERGY", "TIME", "PARKING_TIME", "RESERVATION_TIME"):
        of_kind = [charge for charge in charges if charge.kind == kind]
        if not of_kind or (kind == "TIME" and any(charge.kind == "PARKING_TIME" for charge in charges)):
            continue
        last = max(of_kind, key=lambda charge: charge.rank)
        step = last.component.step_size
        if step is None or not 1 <= step <= 10**9:
            continue
        total = sum((charge.quantity for charge in of_kind), Fraction(0))
        if kind in TIMED:
            # A period's hours stand for whole seconds: OCPI's four decimals are 0.36 s apart.
            seconds = sum(math.floor(charge.quantity * 3600 + Fraction(1, 2)) for charge in of_kind)
            if seconds > 0:
                last.surplus = Fraction(math.ceil(Fraction(seconds, step)) * step, 3600) - total
        elif total > 0:
            last.surplus = Fraction(math.ceil(total * 1000 / step) * step, 1000) - total
    return charges


def _line(charge: _Charge) -> Line:
    billed = charge.quantity + charge.surplus
    amount = Fraction(charge.component.price) * billed
    rate = None if charge.component.vat is None else 1 + Fraction(charge.component.vat) / 100
    net: Fraction | None = amount
    gross: Fraction | None = amount
    if charge.tariff.tax_included == "YES":
        net = None if rate is None else amount / rate
    elif charge.tariff.tax_included != "N/A":
        # Without a rate no tax applies, except in 2.1.1, which cannot speak of tax.
        gross = amount * rate if rate is not None else (None if charge.tariff.ocpi_version == "2.1.1" else amount)
    return Line(
        charge.number,
        charge.kind,
        charge.element_number,
        charge.component_number,
        charge.quantity,
        billed,
        Fraction(charge.component.price),
        net,
        gross,
        charge.is_unverifiable,
        charge.spans_price_change,
    )


def _limit(
    net: Fraction | None, gross: Fraction | None, limit: Limit | None, pick: type[max] | type[min]
) -> tuple[Fraction | None, Fraction | None]:
    """Net and gross each meet their own limit; tax follows the net amount where the limit is stated net only."""
    if limit is None:
        return net, gross
    limited = None if net is None else pick(net, Fraction(limit.net))
    if limit.gross is not None:
        return limited, None if gross is None else pick(gross, Fraction(limit.gross))
    if net is None or gross is None or limited == net:
        return limited, gross
    return limited, limited if net == 0 else gross * limited / net
