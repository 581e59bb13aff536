"""SQL on a published version, read-only: one answer, or a prompt."""

import sys
from contextlib import suppress
from pathlib import Path

import duckdb
from rich.console import Console
from rich.table import Table

# A terminal shows this many rows; files and pipes get all.
_ROWS_SHOWN = 200


def connect(version: Path) -> duckdb.DuckDBPyConnection:
    """Open a published version for reading.

    Args:
        version: The version's file (not the pointer, which may move).
    """
    con = duckdb.connect(str(version), read_only=True)
    con.execute("set TimeZone = 'UTC'")
    return con


def answer(version: Path, query: str, output_format: str, out: Path | None) -> None:
    """Run one query and write its answer.

    Args:
        version: The version's file.
        query: SQL.
        output_format: ``table``, ``csv``, ``json`` or ``parquet``.
        out: File to write to; standard output without one.

    Raises:
        duckdb.Error: The query is wrong.
    """
    with connect(version) as con:
        relation = con.sql(query)
        if relation is None:  # a statement without an answer, such as SET
            return
        if output_format == "table" and out is None:
            _print_table(relation)
            return
        if output_format == "table":
            output_format = "csv"
        options = {"csv": "format csv, header", "json": "format json, array true", "parquet": "format parquet"}
        target = str(out) if out else "/dev/stdout"
        con.execute(f"copy ({query.rstrip().rstrip(';')}) to '{target}' ({options[output_format]})")


def _print_table(relation: duckdb.DuckDBPyRelation) -> None:
    table = Table(*relation.columns, show_lines=False)
    rows = relation.fetchmany(_ROWS_SHOWN + 1)
    for row in rows[:_ROWS_SHOWN]:
        table.add_row(*("" if value is None else str(value) for value in row))
    console = Console()
    console.print(table)
    if len(rows) > _ROWS_SHOWN:
        console.print(f"… more than {_ROWS_SHOWN} rows; --format csv gives all")


def prompt(version: Path) -> None:
    """Read queries from the terminal, one answer each, until end of input or ``.quit``."""
    with suppress(ImportError):
        import readline  # noqa: F401, PLC0415  (line editing and history, where Python has it)
    print(f"chargehouse {version.stem}, read-only. SQL ends with ;  — .tables lists the tables, .quit ends.")
    lines: list[str] = []
    while True:
        try:
            line = input("      > " if lines else "chargehouse> ")
        except (EOFError, KeyboardInterrupt):
            print()
            return
        if not lines and line.strip() in (".quit", ".exit"):
            return
        if not lines and line.strip() == ".tables":
            line = (
                "select schema_name || '.' || table_name as name, comment from (select * from duckdb_tables() "
                "union all by name select schema_name, view_name as table_name, comment from duckdb_views() "
                "where not internal) order by 1;"
            )
        lines.append(line)
        if line.rstrip().endswith(";"):
            try:
                answer(version, "\n".join(lines), "table", None)
            except duckdb.Error as error:
                print(error, file=sys.stderr)
            lines = []
