"""Random CDRs and tariffs that reach the corners: clock changes, midnight, steps, reservations, limits, gaps."""

import random
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from tests.oracles.tariff import DAYS, Cdr, Component, Element, Limit, Period, Restrictions, Tariff

# Each zone with a day whose clock changes, one that lies near the year's end, and an ordinary one.
DAYS_OF_INTEREST = {
    "Europe/Berlin": (date(2025, 3, 30), date(2025, 10, 26), date(2025, 6, 18)),
    "America/New_York": (date(2025, 3, 9), date(2025, 11, 2), date(2025, 12, 31)),
    "Australia/Lord_Howe": (date(2025, 4, 6), date(2025, 10, 5), date(2025, 7, 1)),
    "Asia/Kolkata": (date(2025, 2, 28), date(2025, 8, 15), date(2025, 12, 31)),
    "UTC": (date(2024, 2, 29), date(2025, 1, 1), date(2025, 5, 4)),
}
PRICES = ("0", "0.2", "0.25", "0.3333", "0.59", "1.00", "2.4", "5", "7.123456")
VATS = (None, None, "0", "5.2", "10", "19", "20", "21")
STEPS = (None, 0, -1, 1, 1, 25, 60, 100, 300, 500, 600, 900, 1800, 3600)
CLOCKS = ("00:00", "01:30", "02:00", "02:30", "06:00", "09:00", "12:00", "17:00", "18:45", "22:00", "23:59")


def _maybe(rng: random.Random, chance: float, make: Callable[[], Any]) -> Any:
    return make() if rng.random() < chance else None


def _restrictions(rng: random.Random, around: date, reservation: str | None) -> Restrictions:
    choose = rng.choice
    picked = set(rng.sample(("clock", "date", "kwh", "current", "power", "duration", "week"), rng.choice((0, 1, 1, 2))))
    low_date = around + timedelta(days=choose((-3, -1, 0, 0, 1)))
    return Restrictions(
        start_time=_maybe(rng, 0.8, lambda: choose(CLOCKS)) if "clock" in picked else None,
        end_time=_maybe(rng, 0.8, lambda: choose(CLOCKS)) if "clock" in picked else None,
        start_date=_maybe(rng, 0.6, lambda: low_date) if "date" in picked else None,
        end_date=_maybe(rng, 0.6, lambda: low_date + timedelta(days=choose((1, 2)))) if "date" in picked else None,
        min_kwh=_maybe(rng, 0.5, lambda: Decimal(choose(("0", "2", "5.5", "10")))) if "kwh" in picked else None,
        max_kwh=_maybe(rng, 0.6, lambda: Decimal(choose(("2", "5.5", "10", "20")))) if "kwh" in picked else None,
        min_current=_maybe(rng, 0.6, lambda: Decimal(choose(("16", "32")))) if "current" in picked else None,
        max_current=_maybe(rng, 0.6, lambda: Decimal(choose(("16", "32", "63")))) if "current" in picked else None,
        min_power=_maybe(rng, 0.6, lambda: Decimal(choose(("11", "22.5")))) if "power" in picked else None,
        max_power=_maybe(rng, 0.6, lambda: Decimal(choose(("11", "22.5", "50")))) if "power" in picked else None,
        min_duration=_maybe(rng, 0.5, lambda: choose((0, 600, 1800, 3600))) if "duration" in picked else None,
        max_duration=_maybe(rng, 0.6, lambda: choose((600, 1800, 3600, 7200))) if "duration" in picked else None,
        day_of_week=tuple(rng.sample(DAYS, rng.randint(1, 6))) if "week" in picked else (),
        reservation=reservation,
    )


def _component(rng: random.Random, dimension: str) -> Component:
    vat = rng.choice(VATS)
    return Component(dimension, Decimal(rng.choice(PRICES)), None if vat is None else Decimal(vat), rng.choice(STEPS))


def random_tariff(rng: random.Random, tariff_id: str, around: date) -> Tariff:
    """A tariff of up to eight elements; about one in fourteen has no elements at all."""
    version = rng.choices(("2.1.1", "2.2.1", "2.3.0"), (2, 3, 3))[0]
    elements = []
    for _ in range(rng.choice((0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 6, 7, 8, 8))):
        reservation = rng.choices((None, "RESERVATION", "RESERVATION_EXPIRES"), (8, 2, 1))[0]
        dimensions = ("TIME", "FLAT") if reservation else ("ENERGY", "TIME", "PARKING_TIME", "FLAT")
        # With repetition: of two components of one dimension only the first counts.
        components = tuple(_component(rng, rng.choice(dimensions)) for _ in range(rng.choice((1, 1, 2, 3, 4))))
        elements.append(Element(components, _restrictions(rng, around, reservation)))

    def limit(low: float, high: float) -> Limit:
        net = Decimal(str(round(rng.uniform(low, high), 2)))
        return Limit(net, _maybe(rng, 0.5, lambda: (net * Decimal("1.2")).quantize(Decimal("0.01"))))

    return Tariff(
        tariff_id,
        tuple(elements),
        tax_included=rng.choice(("YES", "YES", "NO", "NO", "N/A")) if version == "2.3.0" else None,
        currency=rng.choices(("EUR", "SEK"), (40, 1))[0],
        tariff_type=rng.choice((None, None, "REGULAR", "AD_HOC_PAYMENT", "PROFILE_GREEN")),
        valid_from=_maybe(rng, 0.3, lambda: datetime(2024, 1, rng.randint(1, 28), tzinfo=UTC)),
        valid_to=_maybe(rng, 0.2, lambda: datetime(2025, rng.randint(1, 12), 5, tzinfo=UTC)),
        min_price=_maybe(rng, 0.2, lambda: limit(0.5, 6)) if version != "2.1.1" else None,
        max_price=_maybe(rng, 0.2, lambda: limit(3, 12)) if version != "2.1.1" else None,
        last_updated=datetime(2023, rng.randint(1, 12), rng.randint(1, 28), rng.randint(0, 23), tzinfo=UTC),
        ocpi_version=version,
    )


def random_cdr(rng: random.Random, cdr_id: str, module: list[Tariff]) -> Cdr:  # noqa: PLR0912  # one branch per corner
    """A CDR of up to seven periods, perhaps after a reservation, with embedded or module tariffs."""
    zone = rng.choice(tuple(DAYS_OF_INTEREST))
    day = rng.choice(DAYS_OF_INTEREST[zone])
    at = datetime.combine(day, datetime.min.time(), ZoneInfo(zone)).astimezone(UTC)
    # Starts fall on the minutes that windows begin and end with as often as not.
    at += timedelta(minutes=rng.choice((0, 90, 120, 150, 1080, 1320, rng.randint(-300, 1700))))
    at += timedelta(seconds=rng.choice((0, 0, 0, rng.randint(0, 59))))
    start = at

    tariffs = [random_tariff(rng, f"{cdr_id}-{n}", day) for n in range(rng.choice((1, 1, 1, 2)))]
    named: list[str | None] = [None]
    if rng.random() < 0.3:
        named = [rng.choice(module).tariff_id if rng.random() < 0.5 else rng.choice(tariffs).tariff_id.upper()]
    elif rng.random() < 0.2:
        named = [tariff.tariff_id for tariff in tariffs]
    elif rng.random() < 0.03:
        named = ["nobody's tariff"]
    periods = []
    kinds = rng.choice(
        (
            ("charge",),
            ("charge", "charge", "park"),
            ("reserve", "charge", "charge"),
            ("reserve",),
            ("charge", "park") * 3,
        )
    )
    for kind in kinds:
        seconds = rng.choice((60, 300, 600, 900, 1800, 3600, rng.randint(1, 9000)))
        hours = Decimal(seconds) / 3600
        places = Decimal(rng.choice(("0.0001", "0.000001")))
        hours = hours.quantize(places) + rng.choice((Decimal(0), Decimal(0), Decimal("0.0001")))
        volumes: dict[str, Decimal] = {}
        if kind == "reserve":
            volumes["RESERVATION_TIME"] = hours
        elif kind == "park":
            volumes["PARKING_TIME"] = hours
        else:
            volumes["ENERGY"] = Decimal(rng.choice(("0", "0.1152", "2", "3.5", "-1.25", f"{rng.uniform(0, 30):.4f}")))
            if rng.random() < 0.7:
                volumes["TIME"] = hours
            if rng.random() < 0.2:
                volumes["PARKING_TIME"] = Decimal(0)
        if kind != "reserve":
            for name, figures in (("CURRENT", ("6", "16", "32", "40")), ("POWER", ("3.7", "11", "22", "48"))):
                if rng.random() < 0.5:
                    low, high = sorted(Decimal(rng.choice(figures)) for _ in range(2))
                    volumes |= {f"MIN_{name}": low, f"MAX_{name}": high}
                elif rng.random() < 0.2:
                    volumes[rng.choice((f"MIN_{name}", f"MAX_{name}"))] = Decimal(rng.choice(figures))
        periods.append(Period(at, volumes, rng.choice(named)))
        at += timedelta(seconds=seconds)
    if rng.random() < 0.1:
        rng.shuffle(periods)
    return Cdr(
        cdr_id,
        start,
        at,
        tuple(periods),
        tuple(tariffs),
        time_zone=zone,
        is_ad_hoc=rng.random() < 0.3,
        is_credit=rng.random() < 0.02,
    )


def random_network(seed: int, count: int) -> tuple[list[Cdr], list[Tariff]]:
    """CDRs, and the tariffs of their party's module (some in two versions); the same for the same seed.

    Args:
        seed: Seed of the random numbers.
        count: Number of CDRs.
    """
    rng = random.Random(seed)
    module = [random_tariff(rng, f"module-{n % 15}", date(2025, 6, 18)) for n in range(20)]
    return [random_cdr(rng, f"cdr-{n}", module) for n in range(count)], module
