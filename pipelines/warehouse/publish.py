"""Publish a version: copy the marts out of the build database, check them, and swap the pointer in one step.

Readers open ``warehouse/chargehouse.duckdb``, a symlink to the newest version. A version is never written to again, so
a reader that holds one open keeps what it has; the next opening gets the next version.
"""

import os
from collections.abc import Callable
from dataclasses import asdict, fields
from pathlib import Path

import duckdb
import pyarrow as pa

from pipelines.home import Home
from pipelines.lake import ALL_TABLES
from pipelines.ocpi.pull.store import PULL_COLUMNS, read_records
from pipelines.quality.result import CheckResult
from pipelines.runs import RunRecord, now, read_checks, read_runs
from pipelines.warehouse import closed_months

# Files of this storage version are read by DuckDB 1.5 and 2.x alike.
STORAGE_VERSION = "v1.5.0"
_SCHEMAS_COPIED = ("marts",)


class CheckFailedError(Exception):
    """A blocking check of the candidate failed; the version published before stays."""


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _copy_marts(con: duckdb.DuckDBPyConnection) -> int:
    """Copy the marts with their comments; returns the number of tables."""
    tables = con.execute(
        "select schema_name, table_name, comment from duckdb_tables() "
        "where database_name = 'build' and schema_name in $1 order by all",
        [list(_SCHEMAS_COPIED)],
    ).fetchall()
    for schema, table, comment in tables:
        con.execute(f"create schema if not exists candidate.{schema}")
        con.execute(f'create table candidate.{schema}."{table}" as select * from build.{schema}."{table}"')
        if comment:
            con.execute(f'comment on table candidate.{schema}."{table}" is {_quoted(comment)}')
    columns = con.execute(
        "select schema_name, table_name, column_name, comment from duckdb_columns() "
        "where database_name = 'build' and schema_name in $1 and comment is not null order by all",
        [list(_SCHEMAS_COPIED)],
    ).fetchall()
    for schema, table, column, comment in columns:
        con.execute(f'comment on column candidate.{schema}."{table}"."{column}" is {_quoted(comment)}')
    return len(tables)


def _lake_views(con: duckdb.DuckDBPyConnection, home: Home) -> None:
    """Make a view per lake table, so that SQL reaches every decoded record."""
    con.execute("create schema candidate.lake")
    for table in ALL_TABLES:
        if table.domain == "meta":
            continue
        name = f'candidate.lake."{table.domain}_{table.name}"'
        columns = ", ".join(f'"{column.name}"' for column in table.columns)
        glob = _quoted(str(home.table_glob(table).replace(str(home.root), str(home.root.resolve()), 1)))
        con.execute(f"create view {name} as select {columns} from read_parquet({glob}, union_by_name = true)")
        con.execute(f"comment on view {name} is {_quoted(table.row)}")
        for column in table.columns:
            con.execute(f'comment on column {name}."{column.name}" is {_quoted(column.comment)}')


_META_COMMENTS = {
    "run": "One row is one run of the job, newest last; the last row is the run that made this version.",
    "source_file": "One row is one path in the landing folder with a content met there; records_read = records_loaded "
    "+ records_duplicate + records_quarantined.",
    "quality_result": "One row is one check of the run that made this version, with its result.",
    "peer_pull": "One row is the last pull of one OCPI module from one peer before this version was made.",
}
_RESTATEMENT_COMMENT = (
    "One row is one change to what a closed month of settlement said, as the run that met it booked it."
)
_RUN_COLUMNS = {
    "run_id": ("VARCHAR", "Run id; sorts by time."),
    "started_at": ("TIMESTAMPTZ", "Start, UTC."),
    "finished_at": ("TIMESTAMPTZ", "End, UTC; null while it runs."),
    "status": ("VARCHAR", "published, unchanged (nothing new), failed or running."),
    "version": ("VARCHAR", "The version it published."),
    "code_version": ("VARCHAR", "Hash of the models and decoders it ran."),
    "is_full_refresh": ("BOOLEAN", "Whether everything was decoded anew."),
    "files_new": ("BIGINT", "Landed files it met for the first time."),
    "records_read": ("BIGINT", "Records in them."),
    "records_loaded": ("BIGINT", "Records loaded."),
    "records_duplicate": ("BIGINT", "Records known already."),
    "records_quarantined": ("BIGINT", "Records that could not be read."),
    "models_built": ("BIGINT", "dbt models built."),
    "checks_passed": ("BIGINT", "Checks passed."),
    "checks_warned": ("BIGINT", "Checks that failed without blocking."),
    "checks_failed": ("BIGINT", "Blocking checks failed."),
    "seconds": ("DOUBLE", "Wall-clock seconds."),
    "failure": ("VARCHAR", "Why it failed."),
}


def _text_table(rows: list[dict[str, object]], names: list[str]) -> pa.Table:
    """Make an Arrow table of texts (cast in SQL afterwards) from records."""
    return pa.table(
        {name: pa.array([None if row[name] is None else str(row[name]) for row in rows], pa.string()) for name in names}
    )


def _peer_pulls(con: duckdb.DuckDBPyConnection, home: Home) -> None:
    """Write ``meta.peer_pull``: how the last pulls went."""
    rows = [{**asdict(record), "notes": "; ".join(record.notes) or None} for record in read_records(home)]
    con.register("pull_rows", _text_table(rows, list(PULL_COLUMNS)))
    casts = ", ".join(f'cast("{name}" as {kind}) as "{name}"' for name, (kind, _) in PULL_COLUMNS.items())
    con.execute(f"create table candidate.meta.peer_pull as select {casts} from pull_rows order by peer, module")
    for name, (_, comment) in PULL_COLUMNS.items():
        con.execute(f"comment on column candidate.meta.peer_pull.{name} is {_quoted(comment)}")


def _restatements(con: duckdb.DuckDBPyConnection, home: Home) -> None:
    """Write ``meta.restatement``: what changed about closed months, when, why and by how much."""
    con.execute(f"create table candidate.meta.restatement as {closed_months.restatements(home)}")
    con.execute(f"comment on table candidate.meta.restatement is {_quoted(_RESTATEMENT_COMMENT)}")
    for name, comment in closed_months.restatement_comments().items():
        con.execute(f"comment on column candidate.meta.restatement.{name} is {_quoted(comment)}")


def _meta_tables(con: duckdb.DuckDBPyConnection, home: Home, runs: list[RunRecord], checks: list[CheckResult]) -> None:
    """Write where the data come from: ``meta.run``, ``meta.source_file`` and ``meta.quality_result``."""
    con.execute("create schema candidate.meta")
    con.register("run_rows", _text_table([asdict(run) for run in runs], list(_RUN_COLUMNS)))
    casts = ", ".join(f'cast("{name}" as {kind}) as "{name}"' for name, (kind, _) in _RUN_COLUMNS.items())
    con.execute(f"create table candidate.meta.run as select {casts} from run_rows order by run_id")
    for name, (_, comment) in _RUN_COLUMNS.items():
        con.execute(f"comment on column candidate.meta.run.{name} is {_quoted(comment)}")

    landed = next(table for table in ALL_TABLES if table.key == "meta/landed_file")
    con.execute(
        f"create table candidate.meta.source_file as select {landed.select_list()} "
        f"from read_parquet({_quoted(home.table_glob(landed))}, union_by_name = true) order by path, first_seen_at"
    )
    for column in landed.columns:
        con.execute(f"comment on column candidate.meta.source_file.{column.name} is {_quoted(column.comment)}")

    names = [item.name for item in fields(CheckResult)]
    con.register("check_rows", _text_table([asdict(check) for check in checks], names))
    con.execute(
        f"""
        create table candidate.meta.quality_result as
        select
            {_quoted(runs[-1].run_id)} as run_id,
            suite,
            table_name,
            check_name,
            column_name,
            severity,
            cast(is_blocking as boolean) as is_blocking,
            cast(passed as boolean) as passed,
            observed,
            cast(failing_count as bigint) as failing_count,
            failing_sample,
        from check_rows
        order by all
        """
    )
    _peer_pulls(con, home)
    for table, comment in _META_COMMENTS.items():
        con.execute(f"comment on table candidate.meta.{table} is {_quoted(comment)}")


def publish(
    home: Home, run: RunRecord, *, check: Callable[[duckdb.DuckDBPyConnection], list[CheckResult]], keep: int
) -> tuple[Path, list[CheckResult]]:
    """Publish the build database's marts as the version of a run.

    Args:
        home: The home folder.
        run: The run's record; it becomes the last row of ``meta.run``.
        check: Given a connection on the candidate, returns its check results.
        keep: Versions that stay, this one included.

    Returns:
        The published file and the results of the candidate's checks.

    Raises:
        CheckFailedError: A blocking check failed. Nothing was published; the message names the checks.
    """
    home.versions.mkdir(parents=True, exist_ok=True)
    candidate = home.versions / f".{run.run_id}.candidate"
    candidate.unlink(missing_ok=True)
    try:
        with duckdb.connect() as con:
            con.execute("set TimeZone = 'UTC'")
            con.execute(f"attach {_quoted(str(home.build_database))} as build (read_only)")
            con.execute(f"attach {_quoted(str(candidate))} as candidate (storage_version {_quoted(STORAGE_VERSION)})")
            _copy_marts(con)
            _lake_views(con, home)
            con.execute("use candidate")
            results = check(con)
            failed = [result for result in results if result.is_blocking and not result.passed]
            if failed:
                names = "; ".join(f"{result.table_name}: {result.check_name} ({result.observed})" for result in failed)
                msg = f"the version published before stays, because {len(failed)} blocking check(s) failed: {names}"
                raise CheckFailedError(msg)
            checks = [*read_checks(home, run.run_id), *results]
            run.checks_passed = sum(result.passed for result in checks)
            run.checks_warned = sum(not result.passed for result in checks)
            earlier = [record for record in read_runs(home) if record.run_id < run.run_id]
            _meta_tables(con, home, [*earlier, run], checks)
            if closed_months.has_statements(con):
                closed_months.find(con, home, run_id=run.run_id, at=run.finished_at or now())
                _restatements(con, home)
                closed_months.keep(con, home, run_id=run.run_id)
            con.execute("use memory")
            con.execute("checkpoint candidate")
            con.execute("detach candidate")
        _synced(candidate)
        final = home.versions / f"{run.run_id}.duckdb"
        candidate.replace(final)
        _point_to(home, final)
    finally:
        candidate.unlink(missing_ok=True)
        Path(f"{candidate}.wal").unlink(missing_ok=True)
    _prune(home, keep)
    return final, results


def _synced(path: Path) -> None:
    """Have the file's bytes on disk before anything names it."""
    with path.open("rb") as file:
        os.fsync(file.fileno())


def _point_to(home: Home, version: Path) -> None:
    """Swap the pointer in one step."""
    temporary = home.warehouse / f".chargehouse.{os.getpid()}.tmp"
    temporary.unlink(missing_ok=True)
    temporary.symlink_to(version.relative_to(home.warehouse))
    temporary.replace(home.published)


def _prune(home: Home, keep: int) -> None:
    """Delete all but the newest versions; readers that hold one open keep it until they close it."""
    current = home.current_version()
    for path in sorted(home.versions.glob("*.duckdb"))[:-keep]:
        if path.resolve() != current:
            path.unlink()
    for path in home.versions.glob(".*.candidate*"):
        path.unlink(missing_ok=True)
