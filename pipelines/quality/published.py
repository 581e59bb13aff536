"""Checks of a candidate version, between the build and the swap of the pointer: keys, seconds, money.

The rules are data (``published.yml``). Each table is read once, whatever number of rules it has; sums that must agree
between tables are one query each.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import duckdb
import yaml

from pipelines.quality.result import SAMPLE_ROWS, CheckResult, Severity, shown


@dataclass(frozen=True, slots=True)
class Rule:
    """Something that is true of every row of a mart.

    Attributes:
        table: Name of the mart.
        name: What is true when the check passes.
        column: The column judged, if it is one.
        condition: SQL, true for a good row, null where there is nothing to judge.
        severity: ``error`` or ``warn``.
        is_blocking: Whether a failure keeps the version from being published.
        shows: Columns that name a failing row.
        why: What goes wrong if it does not hold.
    """

    table: str
    name: str
    column: str | None
    condition: str
    severity: Severity
    is_blocking: bool
    shows: tuple[str, ...]
    why: str


@dataclass(frozen=True, slots=True)
class Mart:
    """The rules of one mart; ``is_required`` says whether a version without it is incomplete."""

    table: str
    is_required: bool
    rules: tuple[Rule, ...]


@dataclass(frozen=True, slots=True)
class Identity:
    """Sums that agree between tables; the rows of ``query`` are the disagreements."""

    table: str
    name: str
    query: str
    severity: Severity
    is_blocking: bool
    why: str


def parse_rules(text: str) -> tuple[tuple[Mart, ...], tuple[Identity, ...]]:
    """Read the rules of marts and the identities between them from YAML text.

    Raises:
        KeyError: An entry lacks something.
        ValueError: Two checks of a table share a name.
    """
    data: dict[str, Any] = yaml.safe_load(text)
    marts = tuple(_mart(table, entry) for table, entry in data["tables"].items())
    identities = tuple(
        Identity(entry["table"], entry["check"], entry["query"], *_weight(entry), why=entry["why"])
        for entry in data["identities"]
    )
    for mart in marts:
        names = [rule.name for rule in mart.rules] + [one.name for one in identities if one.table == mart.table]
        if twice := {name for name in names if names.count(name) > 1}:
            msg = f"{mart.table}: name given twice: {', '.join(sorted(twice))}"
            raise ValueError(msg)
    return marts, identities


@cache
def all_rules() -> tuple[tuple[Mart, ...], tuple[Identity, ...]]:
    """Return the rules in ``published.yml``."""
    return parse_rules(Path(__file__).with_name("published.yml").read_text(encoding="utf-8"))


def check_candidate(con: duckdb.DuckDBPyConnection) -> list[CheckResult]:
    """Judge a candidate version.

    Args:
        con: Connection on which ``marts.<table>`` and ``lake.<domain>_<table>`` are the candidate's.

    Returns:
        One result per table, rule and identity. Rules of a table that is not there, and need not be, are left out.
    """
    marts, identities = all_rules()
    tables = {
        name
        for (name,) in con.execute(
            "select table_name from information_schema.tables "
            "where table_catalog = current_database() and table_schema = 'marts'"
        ).fetchall()
    }
    results: list[CheckResult] = []
    for mart in marts:
        if mart.table in tables:
            results += [_table_result(mart, passed=True), *_check_rules(con, mart)]
        elif mart.is_required:
            results.append(_table_result(mart, passed=False))
    results += [_check_identity(con, identity) for identity in identities if identity.table in tables]
    return results


def _weight(entry: Mapping[str, Any]) -> tuple[Severity, bool]:
    severity = entry.get("severity", "error")
    if severity not in ("error", "warn"):
        msg = f"check {entry.get('check')}: severity is error or warn, not {severity}"
        raise ValueError(msg)
    return severity, bool(entry.get("is_blocking", severity == "error"))


def _mart(table: str, entry: Mapping[str, Any]) -> Mart:
    key = list(entry.get("key", []))
    rules = []
    if key:
        required = [column for column in key if column not in entry.get("key_nulls", [])]
        rules = [
            Rule(
                table,
                "key_is_not_null",
                ", ".join(required),
                " and ".join(f"{column} is not null" for column in required),
                "error",
                is_blocking=True,
                shows=tuple(key),
                why="Null keys vanish in joins.",
            ),
            Rule(
                table,
                "key_is_unique",
                ", ".join(key),
                f"count(*) over (partition by {', '.join(key)}) = 1",
                "error",
                is_blocking=True,
                shows=tuple(key),
                why="A row that is there twice counts twice.",
            ),
        ]
    for item in entry.get("rules", []):
        severity, is_blocking = _weight(item)
        rules.append(
            Rule(
                table,
                item["check"],
                item["column"],
                item["rule"],
                severity,
                is_blocking,
                tuple(item.get("shows", key)),
                item["why"],
            )
        )
    return Mart(table, entry.get("is_required", True), tuple(rules))


def _table_result(mart: Mart, *, passed: bool) -> CheckResult:
    return CheckResult(
        suite="published",
        table_name=mart.table,
        check_name="table_is_there",
        column_name=None,
        severity="error",
        is_blocking=mart.is_required,
        passed=passed,
        observed="there" if passed else "missing: the version would lack a table that readers hold on to",
        failing_count=None,
        failing_sample=None,
    )


def _check_rules(con: duckdb.DuckDBPyConnection, mart: Mart) -> Iterable[CheckResult]:
    """Judge all rules of a table in one scan; where that fails (a column is missing), one by one."""
    rules = mart.rules
    try:
        counts = _count(con, mart.table, rules)
    except duckdb.Error:
        for rule in rules:
            try:
                counts = _count(con, mart.table, [rule])
            except duckdb.Error as error:
                yield _result(rule, f"could not be judged: {_first_line(error)}", None, None)
            else:
                yield _judged(con, rule, *counts)
        return
    row_count, *broken = counts
    for rule, failing_count in zip(rules, broken, strict=True):
        yield _judged(con, rule, row_count, failing_count)


def _count(con: duckdb.DuckDBPyConnection, table: str, rules: Iterable[Rule]) -> list[int]:
    """Return the rows of a table, then for each rule the rows that break it."""
    columns = [f'({rule.condition}) as "{rule.name}"' for rule in rules]
    broken = [f'count(*) filter (not "{rule.name}")' for rule in rules]
    return list(
        con.execute(
            f"select {', '.join(['count(*)', *broken])} from (select {', '.join([*columns, '1'])} from marts.{table})"
        ).fetchall()[0]
    )


def _judged(con: duckdb.DuckDBPyConnection, rule: Rule, row_count: int, failing_count: int) -> CheckResult:
    if failing_count == 0:
        return _result(rule, f"{row_count} rows", 0, None)
    names = ", ".join(rule.shows) or "1 as row"
    sample = _sample(
        con, f"select {names} from (from marts.{rule.table} select *, ({rule.condition}) as holds) where not holds"
    )
    return _result(rule, f"{failing_count} of {row_count} rows", failing_count, sample)


def _check_identity(con: duckdb.DuckDBPyConnection, identity: Identity) -> CheckResult:
    try:
        failing_count = con.execute(f"select count(*) from ({identity.query})").fetchall()[0][0]
        sample = _sample(con, identity.query) if failing_count else None
    except duckdb.Error as error:
        return _result(identity, f"could not be judged: {_first_line(error)}", None, None)
    return _result(identity, f"{failing_count} disagreements", failing_count, sample)


def _sample(con: duckdb.DuckDBPyConnection, query: str) -> str:
    """Return the first rows of a query as a JSON array, always in the same order."""
    cursor = con.execute(f"select * from ({query}) order by all limit {SAMPLE_ROWS}")
    names = [column[0] for column in cursor.description]
    rows = [dict(zip(names, map(shown, row), strict=True)) for row in cursor.fetchall()]
    return json.dumps(rows, ensure_ascii=False)


def _first_line(error: duckdb.Error) -> str:
    return str(error).splitlines()[0]


def _result(check: Rule | Identity, observed: str, failing_count: int | None, sample: str | None) -> CheckResult:
    return CheckResult(
        suite="published",
        table_name=check.table,
        check_name=check.name,
        column_name=check.column if isinstance(check, Rule) else None,
        severity=check.severity,
        is_blocking=check.is_blocking,
        passed=failing_count == 0,
        observed=observed,
        failing_count=failing_count,
        failing_sample=sample,
    )
