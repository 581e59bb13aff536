"""Numbers, money, durations and dates as people read them. Pure functions."""

from datetime import date, datetime, timedelta

NO_VALUE = "-"
NO_CURRENCY = "XXX"  # ISO 4217: no currency
_NBSP = "\u00a0"  # keeps a number and its unit on one line
NOT_WORKING = ("faulted", "unavailable", "offline")
STATE_WORDS = {
    "available": "Available",
    "reserved": "Reserved",
    "occupied": "Occupied, not charging",
    "charging": "Charging",
    "suspended_ev": "Paused by the car",
    "suspended_evse": "Paused by the charger",
    "unavailable": "Out of service",
    "faulted": "Faulted",
    "offline": "Offline (silent)",
    "unknown": "Unknown (no data)",
}


def number(value: float | None, decimals: int = 0) -> str:
    """Return a number with thousands separators, e.g. ``12,034``."""
    return NO_VALUE if value is None else f"{value:,.{decimals}f}"


def money(value: float | None, currency: str) -> str:
    """Return an amount beside its currency, e.g. ``1,234.50 EUR``."""
    return NO_VALUE if value is None else f"{value:,.2f}{_NBSP}{currency}"


def energy(kwh: float | None) -> str:
    """Return energy in kWh, or in MWh from 100 MWh up."""
    if kwh is None:
        return NO_VALUE
    if abs(kwh) >= 100_000:
        return f"{kwh / 1000:,.1f}{_NBSP}MWh"
    return f"{kwh:,.0f}{_NBSP}kWh" if abs(kwh) >= 100 else f"{kwh:,.1f}{_NBSP}kWh"


def percent(ratio: float | None, decimals: int = 1) -> str:
    """Return a ratio 0..1 as percent; never rounds something below 100 % up to it."""
    if ratio is None:
        return NO_VALUE
    text = f"{ratio * 100:.{decimals}f}"
    if ratio < 1 and float(text) >= 100:
        text = f"{100 - 10**-decimals:.{decimals}f}"
    return f"{text}{_NBSP}%"


def hours(seconds: float | None) -> str:
    """Return seconds as hours, e.g. ``37.5 h``."""
    return NO_VALUE if seconds is None else f"{seconds / 3600:,.1f}{_NBSP}h"


def duration(seconds: float | None) -> str:
    """Return seconds in the two largest units that matter, e.g. ``3 d 4 h`` or ``12 min``."""
    if seconds is None:
        return NO_VALUE
    total = round(seconds)
    days, hours_, minutes = total // 86_400, total % 86_400 // 3600, total % 3600 // 60
    if total < 60:
        parts = [f"{total} s"]
    elif total < 3600:
        parts = [f"{minutes} min"]
    elif total < 86_400:
        parts = [f"{hours_} h"] + ([f"{minutes} min"] if minutes else [])
    else:
        parts = [f"{days} d"] + ([f"{hours_} h"] if hours_ else [])
    return " ".join(parts).replace(" ", _NBSP)


def month(value: date) -> str:
    """Return a month, e.g. ``March 2026``."""
    return f"{value:%B %Y}"


def day(value: date) -> str:
    """Return a day, e.g. ``14 March 2026``."""
    return f"{value.day} {value:%B %Y}"


def instant(value: datetime | None) -> str:
    """Return a date and time of day, e.g. ``14 Mar 2026 09:05``; the caller says in which zone."""
    return NO_VALUE if value is None else f"{value.day} {value:%b %Y %H:%M}"


def age(then: datetime, now: datetime) -> str:
    """Return how long ago ``then`` was, e.g. ``5 min ago``; a future instant (clock skew) is ``just now``."""
    passed = now - then
    return "just now" if passed < timedelta(minutes=1) else f"{duration(passed.total_seconds())} ago"


def count(value: int, noun: str, plural: str | None = None) -> str:
    """Return a counted noun, e.g. ``1 port`` or ``1,204 ports``."""
    return f"{value:,} {noun if value == 1 else plural or noun + 's'}"


def joined(parts: list[str]) -> str:
    """Return parts as a list in a sentence, e.g. ``a, b and c``."""
    if len(parts) < 2:
        return "".join(parts)
    return f"{', '.join(parts[:-1])} and {parts[-1]}"


def unique_labels(ids: list[str], names: list[str | None]) -> dict[str, str]:
    """Return id -> name, with the id added where two share a name or one has none."""
    seen = [name or "" for name in names]
    return {
        id_: (name or id_) if name and seen.count(name) == 1 else (f"{name} ({id_})" if name else id_)
        for id_, name in zip(ids, names, strict=True)
    }
