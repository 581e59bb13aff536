"""Closed months of settlement: kept once, outside the build database, by the run that first publishes them as closed.

The models read the kept lines back, so a full refresh can't change what a statement said; what would change it becomes
adjustment lines of the next open month, and each of those a row of ``settlement/restatement``. The three tables below
``lake/settlement`` are written here and nowhere else, one file a run.

The kept lines come first and the pointer to the new version after them: a run that dies in between has closed a month
that nobody saw yet, which the next run shows as it was closed. The other way round, a published month could change.
"""

import duckdb

from pipelines.home import Home, replacing
from pipelines.lake import SETTLEMENT_TABLES, LakeTable, write_parquet

_TABLES: dict[str, LakeTable] = {table.name: table for table in SETTLEMENT_TABLES}
# The month is written last: lines of a run whose months are missing count for nothing.
_ORDER = ("restatement", "closed_line", "closed_month")
_KEY = "owner_id, contract_id, site_id, closed_month, line_type, cdr_key, currency"


def _stored(home: Home, name: str) -> str:
    path = home.table_glob(_TABLES[name]).replace("'", "''")
    return f"read_parquet('{path}', union_by_name = true)"


def has_statements(con: duckdb.DuckDBPyConnection) -> bool:
    """Tell whether the attached candidate holds statements at all."""
    (count,) = con.execute(
        "select count(*) from duckdb_tables() where database_name = 'candidate' and schema_name = 'marts' "
        "and table_name in ('fct_statement', 'fct_settlement_line')"
    ).fetchone()  # type: ignore[misc]
    return bool(count == 2)


def find(con: duckdb.DuckDBPyConnection, home: Home, *, run_id: str, at: str) -> None:
    """Work out what a run closes and restates, as temporary tables ``new_closed_month``, ``new_closed_line``, ``new_restatement``.

    Args:
        con: Connection with the candidate version attached as ``candidate``.
        home: The home folder; must be prepared.
        run_id: The run that publishes.
        at: When it does, ISO 8601.
    """
    con.execute(
        f"""
        create or replace temp table new_closed_month as
        with due as (
            select contract_id, site_id, local_month, sum(line_count) as line_count
            from candidate.marts.fct_statement
            where is_closed
            group by contract_id, site_id, local_month
        )
        select $run_id as run_id, contract_id, site_id, local_month, cast($at as timestamptz) as closed_at, line_count
        from due
        anti join {_stored(home, "closed_month")} as kept using (contract_id, local_month)
        order by contract_id, local_month
        """,
        {"run_id": run_id, "at": at},
    )
    con.execute(
        """
        create or replace temp table new_closed_line as
        select new_closed_month.run_id, lines.*
        from candidate.marts.fct_settlement_line as lines
        join new_closed_month using (contract_id, local_month)
        order by lines.statement_id, lines.line_id
        """
    )
    # What adjustments say by now, less what was told before. One that is no longer there is taken back.
    con.execute(
        f"""
        create or replace temp table new_restatement as
        with booked as (
            select
                owner_id, contract_id, site_id, adjusted_month as closed_month, adjusted_line_type as line_type, cdr_key,
                currency, cdr_id, adjustment_reason as reason, local_month as booked_month, amount_net
            from candidate.marts.fct_settlement_line
            where adjusted_month is not null
            union all
            select
                owner_id, contract_id, site_id, closed_month, line_type, cdr_key, currency, cdr_id, 'withdrawn' as reason,
                booked_month, -amount_net as amount_net
            from {_stored(home, "restatement")}
        ),
        summed as (
            select
                {_KEY}, min(cdr_id) as cdr_id,
                max_by(reason, booked_month) filter (where reason <> 'withdrawn') as reason,
                max(booked_month) filter (where reason <> 'withdrawn') as booked_month,
                max(booked_month) as last_booked_month,
                sum(amount_net) as amount_net
            from booked
            group by {_KEY}
            having sum(amount_net) <> 0
        )
        select
            $run_id as run_id, cast($at as timestamptz) as restated_at, * exclude (reason, booked_month, last_booked_month),
            coalesce(reason, 'withdrawn') as reason, coalesce(booked_month, last_booked_month) as booked_month
        from summed
        order by {_KEY}
        """,
        {"run_id": run_id, "at": at},
    )


def restatements(home: Home) -> str:
    """Return the SELECT of all restatements: those kept, and those that :func:`find` found."""
    table = _TABLES["restatement"]
    return (
        f"select {table.select_list()} from (select * from {_stored(home, 'restatement')} "
        f"union all by name select * from new_restatement) order by restated_at, {_KEY}"
    )


def restatement_comments() -> dict[str, str]:
    """Return the comments of the columns of ``meta.restatement``."""
    return {column.name: column.comment for column in _TABLES["restatement"].columns}


def keep(con: duckdb.DuckDBPyConnection, home: Home, *, run_id: str) -> int:
    """Write what :func:`find` found to ``lake/settlement``; returns the months closed.

    Args:
        con: The connection that :func:`find` ran on.
        home: The home folder.
        run_id: The run that publishes; it names the files.
    """
    for name in _ORDER:
        (rows,) = con.execute(f"select count(*) from new_{name}").fetchone()  # type: ignore[misc]
        if rows:
            table = _TABLES[name]
            with replacing(home.table_folder(table) / f"{run_id}.parquet") as temporary:
                write_parquet(con, f"select * from new_{name}", table, str(temporary))
    (closed,) = con.execute("select count(*) from new_closed_month").fetchone()  # type: ignore[misc]
    return int(closed)
