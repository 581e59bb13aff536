"""Run the lake's expectation suites with Great Expectations on DuckDB.

The lake's Parquet files are read in place through views of a small temporary DuckDB file; no row goes through pandas.
All expectations of a table are judged in one scan. Only those that failed are asked again, for the rows that broke
them: file, line and the column's value.
"""

import json
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb

from pipelines.home import Home
from pipelines.lake import ALL_TABLES, LANDED_FILE, LakeTable
from pipelines.quality import dialect
from pipelines.quality.result import SAMPLE_ROWS, CheckResult, shown
from pipelines.quality.suites import Check, Suite, all_suites
from pipelines.settings import export_to_children, get_settings

if TYPE_CHECKING:
    from great_expectations.core.batch import Batch
    from great_expectations.core.expectation_validation_result import ExpectationValidationResult
    from great_expectations.expectations.expectation import Expectation

_ROW_NAMES = ("source_id", "path", "line_number", "record_number", "sample_number")


def run_suites(home: Home, *, tables: Sequence[str] | None = None) -> list[CheckResult]:
    """Judge lake tables by their suites.

    Great Expectations is imported in here and not at the top: it takes about ten seconds. Tables without a row pass
    without it. Every connection is closed on return, so that the same process may open another DuckDB file for writing.

    Args:
        home: The home whose lake is judged; its lake folders must be there (:meth:`Home.prepare`).
        tables: Keys (``domain/name``) of the tables to judge; all, if None.

    Returns:
        One result per check, in the order of the suites.

    Raises:
        ValueError: A key names no lake table.
    """
    keys = {suite.table.key for suite in all_suites()} if tables is None else set(tables)
    if unknown := keys - {suite.table.key for suite in all_suites()}:
        msg = f"no such lake table: {', '.join(sorted(unknown))}"
        raise ValueError(msg)
    suites = [suite for suite in all_suites() if suite.table.key in keys and suite.checks]
    with tempfile.TemporaryDirectory(prefix="chargehouse-quality-") as folder:
        database = Path(folder) / "views.duckdb"
        lake = _create_views(home, suites, database)
        filled = [suite for suite in suites if lake.row_counts[suite.table.key]]
        judged = _judge(filled, lake, database) if filled else {}
    return [
        result
        for suite in suites
        for result in judged.get(suite.table.key) or [_passed(check, "no rows") for check in suite.checks]
    ]


@dataclass(frozen=True, slots=True)
class _Lake:
    """What is asked once of the lake: rows per table key, and the path that brought each source_id."""

    row_counts: dict[str, int]
    paths: dict[str, str]


def _connect_config() -> dict[str, Any]:
    settings = get_settings()
    config: dict[str, Any] = {"threads": settings.threads}
    if settings.memory_limit:
        config["memory_limit"] = settings.memory_limit
    return config


def _view(table: LakeTable) -> str:
    return f"{table.domain}__{table.name}"


def _create_views(home: Home, suites: Iterable[Suite], database: Path) -> _Lake:
    """Make ``lake.<domain>__<name>`` over every lake table, and for each suite a view with its rules as columns.

    Registry tables show their current files only, as dbt's staging does.
    """
    landed = f"lake.{_view(LANDED_FILE)}"
    with duckdb.connect(str(database), config=_connect_config()) as con:
        con.execute("create schema lake")
        for table in (LANDED_FILE, *(table for table in ALL_TABLES if table is not LANDED_FILE)):
            files = home.table_glob(table).replace("'", "''")
            is_current = f"source_id in (select source_id from {landed} where is_current and source_id is not null)"
            where = f"where source_id is null or {is_current}" if table.domain == "registry" else ""
            rows = f"select * from read_parquet('{files}', union_by_name = true)"
            con.execute(f"create view lake.{_view(table)} as {rows} {where}")
        row_counts = {}
        for suite in suites:
            name = _view(suite.table)
            rules = "".join(f', ({check.rule}) as "{check.name}"' for check in suite.checks if check.rule is not None)
            con.execute(f"create view {name} as select {name}.*{rules} from lake.{name}")
            row_counts[suite.table.key] = con.execute(f"select count(*) from lake.{name}").fetchall()[0][0]
        paths = con.execute(f"select source_id, min(path) from {landed} group by source_id").fetchall()
        return _Lake(row_counts, dict(paths))


def _judge(suites: Iterable[Suite], lake: _Lake, database: Path) -> dict[str, list[CheckResult]]:
    """Judge tables with Great Expectations; returns the results per table key."""
    export_to_children(GX_ANALYTICS_ENABLED="false")  # releases that report usage read it when they are imported
    import great_expectations as gx  # noqa: PLC0415 - ten seconds
    from great_expectations.data_context.types.base import ProgressBarsConfig  # noqa: PLC0415

    dialect.register()
    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = ProgressBarsConfig(globally=False)
    source = context.data_sources.add_sql(
        "lake",
        connection_string=f"duckdb+buffered:///{database}",
        kwargs={"connect_args": {"config": _connect_config()}},
    )
    try:
        judged = {}
        for suite in suites:
            asset = source.add_table_asset(suite.table.key, table_name=_view(suite.table))
            batch = asset.add_batch_definition_whole_table("all rows").get_batch()
            judged[suite.table.key] = _judge_table(batch, suite, lake)
        return judged
    finally:  # two engines: the data source's own and the one its queries run on
        source.get_execution_engine().close()
        source.get_engine().dispose()


def _judge_table(batch: "Batch", suite: Suite, lake: _Lake) -> list[CheckResult]:
    import great_expectations as gx  # noqa: PLC0415 - ten seconds

    expectations = {check.name: _expectation(check) for check in suite.checks}
    outcome = batch.validate(
        gx.ExpectationSuite(name=suite.table.key, expectations=list(expectations.values())),
        result_format="BOOLEAN_ONLY",
    )
    has_passed = {result.expectation_config.meta["check"]: bool(result.success) for result in outcome.results}
    return [
        _passed(check, f"{lake.row_counts[check.table]} rows")
        if has_passed[check.name]
        else _failed(check, batch.validate(expectations[check.name], result_format=_details(check, suite.table)), lake)
        for check in suite.checks
    ]


def _expectation(check: Check) -> "Expectation":
    import great_expectations.expectations as gxe  # noqa: PLC0415

    severity = "critical" if check.severity == "error" else "warning"
    return getattr(gxe, check.expectation)(**check.kwargs, severity=severity, meta={"check": check.name})


def _details(check: Check, table: LakeTable) -> dict[str, Any]:
    """Return the result format that names failing rows by their place in the landed file and the columns shown."""
    names = [name for name in _ROW_NAMES if name in table.column_names]
    names += [name for name in check.shows if name not in names]
    return {
        "result_format": "SUMMARY",
        "partial_unexpected_count": SAMPLE_ROWS,
        "unexpected_index_column_names": [name for name in names if name != check.kwargs.get("column")],
        "return_unexpected_index_query": False,
    }


def _failed(check: Check, detail: "ExpectationValidationResult", lake: _Lake) -> CheckResult:
    found = detail.result
    if "element_count" not in found:
        return _result(check, passed=False, observed=_in_words(check, detail), count=None, sample=None)
    count, judged = found["unexpected_count"], found["element_count"] - (found.get("missing_count") or 0)
    sample = [_named_row(check, row, lake) for row in found.get("partial_unexpected_index_list") or []]
    share = f"{count} of {judged} rows ({count / max(judged, 1):.3%})"
    allowed = f", allowed {check.allowed_fraction:.3%}" if check.allowed_fraction else ""
    return _result(
        check, passed=False, observed=share + allowed, count=count, sample=json.dumps(sample, ensure_ascii=False)
    )


def _in_words(check: Check, detail: "ExpectationValidationResult") -> str:
    """Say what an expectation about the whole table observed, or why one could not be judged."""
    if "observed_value" in detail.result:
        return f"observed {detail.result['observed_value']}"
    infos = detail.exception_info or {}
    nested = [info for info in infos.values() if isinstance(info, dict)] or [infos]
    reasons = {str(info.get("exception_message")).splitlines()[0] for info in nested}
    return f"could not be judged: {'; '.join(sorted(reasons))}"


def _named_row(check: Check, row: dict[str, Any], lake: _Lake) -> dict[str, Any]:
    """Return a failing row as its file, place and shown values; a rule's own column says nothing and is left out."""
    named = {name: shown(value) for name, value in row.items() if check.rule is None or name != check.name}
    path = lake.paths.get(str(row.get("source_id")))
    return named if path is None else {"path": path} | named


def _passed(check: Check, observed: str) -> CheckResult:
    # What a tolerance let through is not counted: it would cost another scan.
    count = None if check.allowed_fraction and observed != "no rows" else 0
    return _result(check, passed=True, observed=observed, count=count, sample=None)


def _result(check: Check, *, passed: bool, observed: str, count: int | None, sample: str | None) -> CheckResult:
    return CheckResult(
        suite="lake",
        table_name=check.table,
        check_name=check.name,
        column_name=check.column,
        severity=check.severity,
        is_blocking=check.is_blocking,
        passed=passed,
        observed=observed,
        failing_count=count,
        failing_sample=sample,
    )
