"""A simulated network taken through the real job, once per session."""

import fcntl
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import duckdb
import pytest

from pipelines.home import Home
from pipelines.simulator import simulate

CHARGEHOUSE = Path(sys.executable).parent / "chargehouse"


@dataclass(frozen=True)
class Finished:
    """A command that ended."""

    code: int
    out: str
    err: str


def chargehouse(*arguments: str | Path, home: Home, timeout_s: float = 600) -> Finished:
    """Run the command as a user would."""
    environment = {**os.environ, "CHARGEHOUSE_PSEUDONYM_KEY": "a key for tests", "COLUMNS": "200"}
    done = subprocess.run(
        [str(CHARGEHOUSE), arguments[0], "--home", str(home.root), *map(str, arguments[1:])],
        capture_output=True, text=True, timeout=timeout_s, check=False, env=environment,
    )  # fmt: skip
    return Finished(done.returncode, done.stdout, done.stderr)


def marts_of(version: Path) -> dict[str, str]:
    """Return per mart a hash that any changed row changes."""
    with duckdb.connect(str(version), read_only=True) as con:
        con.execute("set TimeZone = 'UTC'")
        names = con.execute(
            "select table_name from duckdb_tables() where schema_name = 'marts' order by all"
        ).fetchall()
        hashes = {}
        for (name,) in names:
            rows = f'select hash(t)::hugeint as h from marts."{name}" as t'
            hashes[name] = str(con.execute(f"select count(*), sum(h), bit_xor(h) from ({rows})").fetchone())
    return hashes


@pytest.fixture(scope="session")
def shared_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that the workers of one test run share, locked: the first to come fills it, the others find it filled."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "whole_house"
    folder.mkdir(exist_ok=True)
    return folder


@pytest.fixture(scope="session")
def simulated(shared_folder: Path) -> Home:
    """A home that holds a simulated network's deliveries and truth, and nothing else. Tests must not change it."""
    home = Home(shared_folder / "simulated")
    with (shared_folder / "simulated.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not home.root.exists():
            simulate(home.root, ports=10, days=9, seed=5)
    return home


@pytest.fixture(scope="session")
def built(simulated: Home, shared_folder: Path) -> Home:
    """The same home after one `chargehouse run`. Tests must not change it; `changing` is a copy."""
    home = Home(shared_folder / "built")
    with (shared_folder / "built.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not home.root.exists():
            shutil.copytree(simulated.root, home.root)
            done = chargehouse("run", home=home)
            assert done.code == 0, done.out + done.err
            assert "status      published" in done.out
    assert home.published.exists(), "the run in another worker failed"
    return home


@pytest.fixture
def changing(built: Home, tmp_path: Path) -> Home:
    """A copy of the built home that a test may change."""
    shutil.copytree(built.root, tmp_path / "home", symlinks=True)
    return Home(tmp_path / "home")
