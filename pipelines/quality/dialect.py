"""The SQLAlchemy dialect ``duckdb+buffered``: Great Expectations on DuckDB.

Great Expectations closes its connection before it reads the rows of a query. A DuckDB result lives in its connection,
so with the stock ``duckdb`` dialect every expectation ends in "list index out of range". This dialect reads all rows
right after a statement ran and serves them from a list. Great Expectations limits the queries that return rows (to 20
here), so the list is short.
"""

from collections.abc import Iterator
from itertools import islice
from typing import Any

import duckdb_engine
from sqlalchemy.dialects import registry

Row = tuple[Any, ...]


class BufferedCursor:
    """A DB-API cursor around another one that holds the rows itself, so that they outlive the connection."""

    rowcount = -1  # "unknown" in DB-API 2.0
    arraysize = 1

    def __init__(self, cursor: duckdb_engine.CursorWrapper) -> None:
        """Start with no rows; ``cursor`` runs the statements."""
        self._cursor = cursor
        self._rows: Iterator[Row] = iter(())
        self.description: list[Row] | None = None

    def execute(self, statement: str, parameters: Row | None = None, context: object | None = None) -> None:
        """Run one statement and read all its rows."""
        self._cursor.execute(statement, parameters, context)
        self.description = self._cursor.description
        self._rows = iter(self._cursor.fetchall() if self.description else ())

    def fetchone(self) -> Row | None:
        """Return the next row, None after the last."""
        return next(self._rows, None)

    def fetchmany(self, size: int | None = None) -> list[Row]:
        """Return the next ``size`` rows (one, if not given)."""
        return list(islice(self._rows, self.arraysize if size is None else size))

    def fetchall(self) -> list[Row]:
        """Return the remaining rows."""
        return list(self._rows)

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever the wrapped cursor has
        """Everything else (close, executemany, connection, ...) is the wrapped cursor's."""
        return getattr(self._cursor, name)


class BufferedConnection(duckdb_engine.ConnectionWrapper):
    """A connection that hands out buffered cursors."""

    def __init__(self, wrapper: duckdb_engine.ConnectionWrapper) -> None:
        """Wrap ``duckdb_engine``'s connection, which does everything but the cursors."""
        super().__init__(wrapper)
        self._wrapper = wrapper

    def cursor(self) -> BufferedCursor:
        """Return a cursor that buffers its rows."""
        return BufferedCursor(self._wrapper.cursor())


class BufferedDialect(duckdb_engine.Dialect):
    """``duckdb_engine``'s dialect with buffered cursors; its URL begins ``duckdb+buffered:///``."""

    driver = "buffered"
    supports_statement_cache = False

    def connect(self, *args: object, **kwargs: object) -> BufferedConnection:
        """Open a connection whose cursors hold their rows."""
        return BufferedConnection(super().connect(*args, **kwargs))


def register() -> None:
    """Make ``duckdb+buffered`` known to SQLAlchemy. Calling it again changes nothing."""
    registry.register("duckdb.buffered", __name__, BufferedDialect.__name__)
