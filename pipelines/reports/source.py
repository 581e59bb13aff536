"""The published version that a report is made from, opened read-only."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import duckdb
import polars as pl

from pipelines.home import Home
from pipelines.warehouse.query import connect


class NothingToReportError(Exception):
    """A report that would be empty, or a version that lacks what it is made of; the message says what to do."""


@dataclass(frozen=True, slots=True)
class Source:
    """A published version while a report is made from it.

    Attributes:
        version: Its file.
        con: The connection; report tables are temporary ones in it.
        run_id: The run that published it.
        known_until_at: UTC, how far port states are known; None without any.
    """

    version: Path
    con: duckdb.DuckDBPyConnection
    run_id: str
    code_version: str
    known_until_at: datetime | None

    def frame(self, sql: str, **parameters: Any) -> pl.DataFrame:  # noqa: ANN401
        """Return the answer of a query; ``$name`` stands for a parameter."""
        return self.con.sql(sql, params=parameters).pl() if parameters else self.con.sql(sql).pl()

    def rows(self, sql: str, **parameters: Any) -> list[tuple[Any, ...]]:  # noqa: ANN401
        """Return the answer of a short query as rows."""
        return self.con.execute(sql, parameters).fetchall()

    def keep(self, name: str, sql: str, **parameters: Any) -> None:  # noqa: ANN401
        """Keep the answer of a query as a temporary table."""
        self.con.execute(f"create or replace temp table {name} as {sql}", parameters)

    def need(self, *tables: str) -> None:
        """Raise if the version lacks a mart.

        Raises:
            NothingToReportError: It does.
        """
        known = {name for (name,) in self.rows("select table_name from duckdb_tables() where schema_name = 'marts'")}
        if missing := sorted(set(tables) - known):
            msg = f"the published version {self.version.stem} has no {', '.join(missing)}: `chargehouse run` makes it anew"
            raise NothingToReportError(msg)

    def policy(self, policy_id: str) -> Mapping[str, Any]:
        """Return the row of an SLA policy.

        Raises:
            NothingToReportError: The version has no such policy.
        """
        found = self.frame("select * from marts.dim_sla_policy where policy_id = $id", id=policy_id).to_dicts()
        if not found:
            msg = f"the published version {self.version.stem} has no SLA policy {policy_id}"
            raise NothingToReportError(msg)
        return found[0]


@contextmanager
def open_source(home: Home) -> Iterator[Source]:
    """Open the version that is published now.

    Raises:
        NothingToReportError: Nothing is published yet.
    """
    version = home.current_version()
    if version is None:
        msg = f"nothing is published in {home.root} yet: `chargehouse run --home {home.root}` does it"
        raise NothingToReportError(msg)
    with connect(version) as con:
        ((run_id, code_version),) = con.execute(
            "select run_id, code_version from meta.run order by run_id desc limit 1"
        ).fetchall() or [(version.stem, "")]
        (known_until_at,) = con.execute("select max(known_until_at) from marts.fct_port_state").fetchone() or (None,)
        yield Source(version, con, run_id, code_version, known_until_at)
