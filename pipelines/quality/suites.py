"""The expectation suites of the lake, read from ``suites.yml``: rules are data.

An entry names a lake table, what is expected of it (any expectation of Great Expectations by its class name, or a
``rule``: SQL that is true for a good row), how bad a failure is and whether it stops publishing. Entries under ``"*"``
go for every lake table that has the column, entries under ``"ocpp/*"`` for those of that domain.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from pipelines.lake import ALL_TABLES, LakeTable
from pipelines.quality.result import Severity

RULE_EXPECTATION = "ExpectColumnValuesToBeInSet"
_KEYS = {
    "check",
    "column",
    "expectation",
    "arguments",
    "rule",
    "severity",
    "is_blocking",
    "allowed_fraction",
    "shows",
    "why",
}


@dataclass(frozen=True, slots=True)
class Check:
    """One expectation of one lake table.

    Attributes:
        table: Key of the lake table, ``domain/name``.
        name: Says what is true when the check passes; unique within the table.
        column: The column judged, if it is one.
        expectation: Class name of the Great Expectations expectation.
        arguments: Its further arguments.
        rule: SQL over the table's columns, true for a good row, null where there is nothing to judge. The run computes
            it as a column called ``name``, on which the expectation looks.
        severity: ``error`` or ``warn``.
        is_blocking: Whether a failure keeps the version from being published.
        allowed_fraction: Share of the judged rows (0..1) that may break the expectation.
        shows: Columns whose values name a failing row beside its file and line. Never text that people wrote.
        why: What goes wrong if this does not hold, or where the rule comes from.
    """

    table: str
    name: str
    column: str | None
    expectation: str
    arguments: Mapping[str, Any]
    rule: str | None
    severity: Severity
    is_blocking: bool
    allowed_fraction: float
    shows: tuple[str, ...]
    why: str

    @property
    def kwargs(self) -> dict[str, Any]:
        """Keyword arguments of the expectation."""
        kwargs: dict[str, Any] = dict(self.arguments)
        if self.rule is not None:
            kwargs |= {"column": self.name, "value_set": [True]}
        elif self.column is not None:
            kwargs["column"] = self.column
        if self.allowed_fraction > 0:
            kwargs["mostly"] = 1 - self.allowed_fraction
        return kwargs


@dataclass(frozen=True, slots=True)
class Suite:
    """The checks of one lake table."""

    table: LakeTable
    checks: tuple[Check, ...] = field(default=())


def suites_path() -> Path:
    """Return the file that holds the suites."""
    return Path(__file__).with_name("suites.yml")


def parse_suites(text: str, tables: tuple[LakeTable, ...]) -> tuple[Suite, ...]:
    """Read suites from YAML text.

    Args:
        text: The content of ``suites.yml``.
        tables: The lake tables there are; the result has one suite for each, in this order.

    Raises:
        ValueError: An entry names an unknown table or column, lacks something, or two checks of a table share a name.
    """
    entries: dict[str, list[dict[str, Any]]] = yaml.safe_load(text)
    patterns = {"*"} | {f"{table.domain}/*" for table in tables}
    unknown = set(entries) - {table.key for table in tables} - patterns
    if unknown:
        msg = f"no such lake table: {', '.join(sorted(unknown))}"
        raise ValueError(msg)
    suites = []
    for table in tables:
        shared = [*entries.get("*", []), *entries.get(f"{table.domain}/*", [])]
        shared = [entry for entry in shared if entry.get("column") in table.column_names]
        checks = tuple(_check(table, entry) for entry in shared + entries.get(table.key, []))
        names = [check.name for check in checks]
        twice = {name for name in names if names.count(name) > 1} | (set(names) & set(table.column_names))
        if twice:
            msg = f"{table.key}: name given twice: {', '.join(sorted(twice))}"
            raise ValueError(msg)
        suites.append(Suite(table, checks))
    return tuple(suites)


@cache
def all_suites() -> tuple[Suite, ...]:
    """Return the suites of every lake table.

    Raises:
        ValueError: ``suites.yml`` is wrong.
    """
    return parse_suites(suites_path().read_text(encoding="utf-8"), ALL_TABLES)


def _check(table: LakeTable, entry: dict[str, Any]) -> Check:
    where = f"{table.key}, check {entry.get('check')}"
    if unknown := set(entry) - _KEYS:
        msg = f"{where}: unknown key: {', '.join(sorted(unknown))}"
        raise ValueError(msg)
    if not entry.get("check") or not entry.get("why") or ("rule" in entry) == ("expectation" in entry):
        msg = f"{where}: needs check, why, and either rule or expectation"
        raise ValueError(msg)
    if entry.get("severity", "error") not in ("error", "warn"):
        msg = f"{where}: severity is error or warn, not {entry['severity']}"
        raise ValueError(msg)
    column = entry.get("column")
    shows = tuple(entry.get("shows", [column] if column and "rule" in entry else []))
    if missing := {name for name in (column, *shows) if name and name not in table.column_names}:
        msg = f"{where}: the table has no column {', '.join(sorted(missing))}"
        raise ValueError(msg)
    is_blocking = bool(entry.get("is_blocking", False))
    if is_blocking and entry.get("severity") == "warn":
        msg = f"{where}: a warning does not block"
        raise ValueError(msg)
    return Check(
        table=table.key,
        name=entry["check"],
        column=column,
        expectation=entry.get("expectation", RULE_EXPECTATION),
        arguments=entry.get("arguments", {}),
        rule=entry.get("rule"),
        severity=entry.get("severity", "error"),
        is_blocking=is_blocking,
        allowed_fraction=float(entry.get("allowed_fraction", 0.0)),
        shows=shows,
        why=entry["why"],
    )
