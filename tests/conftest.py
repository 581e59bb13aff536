"""What every tier shares: where real data are, and a lake writer on a throw-away home."""

import os
from collections.abc import Callable
from pathlib import Path

import duckdb
import pytest

from pipelines.home import Commit, FileCounts, Home, LakeWriter, content_hash
from pipelines.ocpp.decode import decode_file
from pipelines.pseudonym import create_macros

PROJECT = Path(__file__).resolve().parent.parent
TEST_KEY = b"a key for tests only, 32 bytes!!!"


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real logs and sessions, which is not part of the project."""
    folder = Path(os.environ.get("CHARGEHOUSE_REAL_DATA", PROJECT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no real data at {folder}; name their folder with CHARGEHOUSE_REAL_DATA")
    return folder


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """An empty, prepared home."""
    home = Home(tmp_path / "home")
    home.prepare()
    return home


@pytest.fixture
def decode_log(home: Home) -> Callable[..., FileCounts]:
    """Decode one OCPP log file into the fixture's home and commit it."""

    def decode(path: Path, *, relative_path: str | None = None, default_time_zone: str = "UTC") -> FileCounts:
        with duckdb.connect() as con:
            create_macros(con, TEST_KEY)
            commit = Commit(
                content_hash(path), f"ocpp/{path.name}", "ocpp", path.stat().st_size, "2026-01-01T00:00:00Z"
            )
            writer = LakeWriter(home, con, commit)
            commit.counts = decode_file(
                path, writer=writer, relative_path=relative_path or path.name, default_time_zone=default_time_zone
            )
            writer.commit()
        return commit.counts

    return decode


@pytest.fixture
def lake_rows(home: Home) -> Callable[..., list[dict[str, object]]]:
    """Read a lake table of the fixture's home as a list of records."""

    def read(table: str, *, order_by: str = "all") -> list[dict[str, object]]:
        with duckdb.connect() as con:
            con.execute("set TimeZone = 'UTC'")
            sql = (
                f"select * from read_parquet('{home.lake}/{table}/*.parquet', union_by_name = true) order by {order_by}"
            )
            return con.sql(sql).pl().to_dicts()

    return read
