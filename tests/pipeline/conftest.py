"""A simulated network taken through the real job, once per session."""

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
def simulated(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """A home that holds a simulated network's deliveries and truth, and nothing else."""
    root = tmp_path_factory.mktemp("simulated") / "home"
    simulate(root, ports=10, days=9, seed=5)
    return Home(root)


@pytest.fixture(scope="session")
def built(simulated: Home, tmp_path_factory: pytest.TempPathFactory) -> Home:
    """The same home after one `chargehouse run`. Tests must not change it; copy it with `shutil.copytree`."""
    root = tmp_path_factory.mktemp("built") / "home"
    shutil.copytree(simulated.root, root)
    home = Home(root)
    done = chargehouse("run", home=home)
    assert done.code == 0, done.out + done.err
    assert "status      published" in done.out
    return home


@pytest.fixture
def changing(built: Home, tmp_path: Path) -> Home:
    """A copy of the built home that a test may change."""
    shutil.copytree(built.root, tmp_path / "home", symlinks=True)
    return Home(tmp_path / "home")
