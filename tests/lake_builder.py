"""Writes small lake tables straight as Parquet, so that a test of the models needs no decoder.

A row is a dict that names the columns it cares about; the others are null, but for the lineage, which is filled in.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb

from pipelines.home import Home
from pipelines.lake import ALL_TABLES, LakeTable, write_parquet

_TABLES: dict[str, LakeTable] = {name: table for table in ALL_TABLES for name in (table.name, table.key)}


def _plain(value: Any) -> str | None:
    """A value as text that DuckDB casts to the column's type."""
    if value is None:
        return None
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat() if value.tzinfo else f"{value.isoformat()}+00:00"
    if isinstance(value, dict | list):
        return json.dumps(value)
    return str(value)


class LakeBuilder:
    """Collects rows of lake tables and writes them under a home."""

    def __init__(self, home: Path) -> None:
        """Make the home with its empty lake tables.

        Args:
            home: Home folder; made if absent.
        """
        self.home = Home(Path(home))
        self.home.prepare()
        self._parts = 0

    def add(self, table_name: str, rows: Iterable[Mapping[str, Any]]) -> int:
        """Write rows as one Parquet file of a lake table; returns the number of rows.

        Columns of the lineage that a row leaves out are filled: ``source_id`` with the number of the call,
        ``line_number`` with the place in ``rows``, ``frame_id`` with a hash of the row, ``log_source`` with ``log``.

        Args:
            table_name: ``frame`` or ``ocpp/frame``; the latter where two domains share a name.
            rows: Rows by column name. Instants may be aware datetimes, naive ones are UTC.

        Raises:
            KeyError: No such table, or no such column in it.
        """
        table = _TABLES[table_name]
        self._parts += 1
        known = set(table.column_names)
        columns: dict[str, list[str | None]] = {name: [] for name in table.column_names}
        count = 0
        for number, row in enumerate(rows, start=1):
            if unknown := set(row) - known:
                msg = f"{table.key} has no column {sorted(unknown)}"
                raise KeyError(msg)
            given = {name: _plain(value) for name, value in row.items()}
            lineage = {
                "source_id": f"{self._parts:016x}",
                "line_number": str(number),
                "record_number": str(number),
                "log_source": "log",
                "frame_id": hashlib.md5(repr(sorted(given.items())).encode(), usedforsecurity=False).hexdigest(),
            }
            for name, values in columns.items():
                values.append(given[name] if name in given else lineage.get(name))
            count += 1
        if not count:
            return 0
        staged = self.home.root / f".{table.name}-{self._parts}.json"
        with staged.open("w") as file:
            for values in zip(*columns.values(), strict=True):
                file.write(json.dumps(dict(zip(columns, values, strict=True))) + "\n")
        types = ", ".join(f"\"{name}\": 'VARCHAR'" for name in columns)
        try:
            with duckdb.connect() as con:
                con.execute(
                    "set TimeZone = 'UTC'"
                )  # as a connection option it needs an extension that is not loaded yet
                relation = f"select * from read_json('{staged}', format = 'newline_delimited', columns = {{{types}}})"
                path = self.home.table_folder(table) / f"built-{self._parts:04d}.parquet"
                write_parquet(con, relation, table, str(path))
        finally:
            staged.unlink()
        return count
