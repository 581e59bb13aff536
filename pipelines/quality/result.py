"""What a check found."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

Severity = Literal["error", "warn"]

SAMPLE_ROWS = 20
_TEXT_SHOWN = 200  # characters


@dataclass(frozen=True, slots=True)
class CheckResult:
    """What one check found: one row of ``meta.quality_result``.

    Attributes:
        suite: ``lake`` or ``published``.
        table_name: Table judged.
        check_name: What is true when the check passes.
        column_name: Column judged, if it is one.
        severity: ``error`` or ``warn``.
        is_blocking: Whether a failure keeps the version from being published.
        passed: Whether it held.
        observed: What was found, in words.
        failing_count: Rows that broke it; None where they were not counted.
        failing_sample: Up to 20 of them as a JSON array of objects, without personal data; None if it passed.
    """

    suite: str
    table_name: str
    check_name: str
    column_name: str | None
    severity: Severity
    is_blocking: bool
    passed: bool
    observed: str
    failing_count: int | None
    failing_sample: str | None

    @property
    def stops_publishing(self) -> bool:
        """Whether this result keeps the version from being published."""
        return self.is_blocking and not self.passed


def shown(value: object) -> object:
    """Return a value as a sample shows it: what JSON knows as it is, instants in UTC, the rest as text cut short."""
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, datetime) and value.tzinfo:
        return value.astimezone(UTC).isoformat()
    return str(value)[:_TEXT_SHOWN]
