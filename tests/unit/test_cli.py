"""The command line: what it says, and its exit codes (0 done, 1 failed, 2 wrong usage)."""

from pathlib import Path

import duckdb
import pytest
from click.testing import CliRunner

from pipelines.cli import main
from pipelines.home import Home


@pytest.fixture
def run():
    return lambda *arguments: CliRunner().invoke(main, [str(argument) for argument in arguments])


@pytest.fixture
def published(home: Home) -> Home:
    """A home with a tiny published version."""
    version = home.versions / "20260101T000000000Z-00000000.duckdb"
    with duckdb.connect(str(version)) as con:
        con.execute("create schema marts")
        con.execute("create table marts.fct_session as select range as n, 'x;\"y' as text from range(3)")
    home.published.symlink_to(version.relative_to(home.warehouse))
    return home


def test_help_names_every_command(run):
    result = run("--help")
    assert result.exit_code == 0
    for command in ("run", "demo", "serve", "orchestrate", "sql", "pull", "simulate"):
        assert f"  {command}" in result.output


def test_an_unknown_command_is_wrong_usage(run):
    assert run("fly").exit_code == 2


def test_sql_without_a_publication_says_what_to_do(run, tmp_path: Path):
    result = run("sql", "select 1", "--home", tmp_path)
    assert result.exit_code == 1
    assert "chargehouse run" in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1


def test_sql_answers_as_a_table(run, published: Home):
    result = run("sql", "select count(*) as sessions from marts.fct_session", "--home", published.root)
    assert result.exit_code == 0
    assert "sessions" in result.output
    assert " 3 " in result.output


def test_a_query_may_begin_with_a_comment(run, published: Home):
    query = "-- how many\nselect count(*) as sessions from marts.fct_session"
    result = run("sql", query, "--format", "csv", "--home", published.root)
    assert result.exit_code == 0, result.output


def test_an_unknown_option_of_sql_is_wrong_usage(run, published: Home):
    assert run("sql", "select 1", "--colour", "red", "--home", published.root).exit_code == 2


@pytest.mark.parametrize(("form", "reader"), [("csv", "read_csv"), ("json", "read_json"), ("parquet", "read_parquet")])
def test_sql_writes_every_form(run, published: Home, tmp_path: Path, form: str, reader: str):
    out = tmp_path / f"answer.{form}"
    result = run("sql", "from marts.fct_session order by n", "--format", form, "--out", out, "--home", published.root)
    assert result.exit_code == 0, result.output
    rows = duckdb.sql(f"select n, text from {reader}('{out}') order by n").fetchall()
    assert rows == [(0, 'x;"y'), (1, 'x;"y'), (2, 'x;"y')]


@pytest.mark.parametrize("query", ["selec 1", "select * from marts.nothing", "drop table marts.fct_session"])
def test_sql_that_fails_is_one_clear_line(run, published: Home, query: str):
    result = run("sql", query, "--home", published.root)
    assert result.exit_code == 1
    assert result.stderr.startswith("chargehouse: ")
    assert "Traceback" not in result.stderr


def test_settings_that_do_not_parse_are_named(run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    from pipelines.settings import get_settings

    get_settings.cache_clear()
    monkeypatch.setenv("CHARGEHOUSE_THREADS", "many")
    result = run("sql", "select 1", "--home", tmp_path)
    get_settings.cache_clear()
    assert result.exit_code == 2
    assert "CHARGEHOUSE_THREADS" in result.output


def test_simulate_wants_ports_and_days(run, tmp_path: Path):
    assert run("simulate", "--ports", "0", "--days", "3", "--out", tmp_path).exit_code == 2
    assert run("simulate", "--out", tmp_path).exit_code == 2


def test_simulate_writes_deliveries_and_truth(run, tmp_path: Path):
    result = run("simulate", "--ports", "2", "--days", "1", "--seed", "1", "--out", tmp_path / "home")
    assert result.exit_code == 0, result.output
    assert list((tmp_path / "home" / "landing" / "ocpp").rglob("*.jsonl*"))
    assert (tmp_path / "home" / "truth" / "port_state.parquet").is_file()
