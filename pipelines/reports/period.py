"""The periods that reports are about: quarters, halves and years, as local calendar days."""

import re
from dataclasses import dataclass
from datetime import date

FIRST_YEAR, LAST_YEAR = 2000, 2100


class PeriodError(ValueError):
    """A text that names no period; the message says what would."""


@dataclass(frozen=True, slots=True)
class Period:
    """A period of whole local days.

    Attributes:
        name: As people write it: ``2026Q1``, ``2026H2``, ``2026``.
        first_day: First local day.
        end_day: Local day after the last one.
    """

    name: str
    first_day: date
    end_day: date


def _months(year: int, month: int, count: int) -> tuple[date, date]:
    last = month - 1 + count
    return date(year, month, 1), date(year + last // 12, last % 12 + 1, 1)


def _year(text: str, digits: str, expected: str) -> int:
    year = int(digits)
    if not FIRST_YEAR <= year < LAST_YEAR:
        msg = f"{text!r} is no period this can be about: the year lies outside {FIRST_YEAR} to {LAST_YEAR - 1}; {expected}"
        raise PeriodError(msg)
    return year


def quarter(text: str) -> Period:
    """Return the quarter named ``2026Q1`` to ``2026Q4``.

    Raises:
        PeriodError: The text names no quarter.
    """
    expected = "a quarter is written as year, Q and 1 to 4, such as 2026Q1"
    match = re.fullmatch(r"([0-9]{4})-?[Qq]([1-4])", text)
    if not match:
        msg = f"{text!r} is no quarter: {expected}"
        raise PeriodError(msg)
    year = _year(text, match[1], expected)
    return Period(f"{year}Q{match[2]}", *_months(year, 3 * int(match[2]) - 2, 3))


def half(text: str) -> Period:
    """Return the half-year named ``2026H1`` or ``2026H2``.

    Raises:
        PeriodError: The text names no half-year.
    """
    expected = "a half-year is written as year, H and 1 or 2, such as 2026H2"
    match = re.fullmatch(r"([0-9]{4})-?[Hh]([12])", text)
    if not match:
        msg = f"{text!r} is no half-year: {expected}"
        raise PeriodError(msg)
    year = _year(text, match[1], expected)
    return Period(f"{year}H{match[2]}", *_months(year, 6 * int(match[2]) - 5, 6))


def year(text: str) -> Period:
    """Return the calendar year named ``2026``.

    Raises:
        PeriodError: The text names no year.
    """
    expected = "a year has four digits, such as 2026"
    if not re.fullmatch(r"[0-9]{4}", text):
        msg = f"{text!r} is no year: {expected}"
        raise PeriodError(msg)
    number = _year(text, text, expected)
    return Period(str(number), *_months(number, 1, 12))
