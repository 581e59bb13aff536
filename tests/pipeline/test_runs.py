"""Running again, running on damaged or repeated deliveries, and reading while a run goes on."""

import os
import random
import shutil
import subprocess
import sys
import time
from pathlib import Path

import duckdb

from pipelines.files import open_landed
from pipelines.home import Home
from tests.pipeline.conftest import CHARGEHOUSE, chargehouse, marts_of


def first_log(home: Home) -> Path:
    return next(path for path in sorted((home.landing / "ocpp").rglob("*")) if path.is_file())


def text_of(log: Path) -> list[str]:
    with open_landed(log) as file:
        return file.read().decode().splitlines(keepends=True)


def test_the_same_run_again_changes_nothing_and_neither_does_a_full_refresh(changing: Home):
    before = marts_of(changing.published.resolve())
    done = chargehouse("run", home=changing)
    assert done.code == 0, done.err
    assert "status      unchanged" in done.out
    assert "0 read = 0 loaded + 0 duplicate + 0 quarantined" in done.out
    assert marts_of(changing.published.resolve()) == before

    done = chargehouse("run", "--full-refresh", home=changing)
    assert done.code == 0, done.err
    assert "status      published" in done.out
    after = marts_of(changing.published.resolve())
    assert {name for name in before if before[name] != after[name]} == set()


def test_a_copy_and_a_part_of_a_file_change_no_mart_row_while_readers_read(changing: Home):
    """Also: a reader holds its version through the run, and `chargehouse sql` answers while it goes on."""
    before = marts_of(changing.published.resolve())
    log = next(path for path in sorted((changing.landing / "ocpp").rglob("*.jsonl")))
    shutil.copy(log, log.with_name("copy-of-" + log.name))
    half = text_of(log)[: len(text_of(log)) // 2]
    log.with_name(log.stem + "-2.jsonl").write_text("".join(half))

    reader = duckdb.connect(str(changing.published.resolve()), read_only=True)
    count = "select count(*) from marts.fct_session"
    expected = reader.execute(count).fetchone()
    running = subprocess.Popen(
        [str(CHARGEHOUSE), "run", "--home", str(changing.root)],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        env={**os.environ, "CHARGEHOUSE_PSEUDONYM_KEY": "a key for tests"},
    )  # fmt: skip
    asked = 0
    while running.poll() is None:
        assert reader.execute(count).fetchone() == expected
        done = chargehouse("sql", count, "--format", "csv", home=changing)
        assert (done.code, done.err) == (0, ""), done.err
        assert done.out.split()[-1] == str(expected[0])
        asked += 1
        time.sleep(0.5)
    assert running.returncode == 0, running.stdout.read()
    assert asked > 3
    assert reader.execute(count).fetchone() == expected
    reader.close()

    published = changing.published.resolve()
    after = marts_of(published)
    assert {name for name in before if before[name] != after[name]} == set()
    with duckdb.connect(str(published), read_only=True) as con:
        rows = con.execute(
            "select records_read = records_loaded + records_duplicate + records_quarantined, records_loaded, "
            "records_duplicate from meta.source_file where path like '%copy-of-%'"
        ).fetchall()
        assert rows[0][:2] == (True, 0)
        assert rows[0][2] > 0
        assert con.execute("select count(*) from meta.run where status = 'published'").fetchone() == (2,)
    assert len(list(changing.versions.glob("*.duckdb"))) == 2


def test_damaged_lines_are_named_and_everything_else_is_loaded(simulated: Home, tmp_path: Path):
    home = Home(tmp_path / "home")
    shutil.copytree(simulated.landing / "registry", home.landing / "registry")
    lines = text_of(first_log(simulated))[:3000]
    rng = random.Random(3)
    damaged = set(rng.sample(range(len(lines)), len(lines) // 100))
    for number in damaged:
        lines[number] = lines[number][: rng.randrange(10, len(lines[number]) - 3)] + "\n"
    (home.landing / "ocpp").mkdir()
    (home.landing / "ocpp" / "damaged.jsonl").write_text("".join(lines))
    done = chargehouse("run", home=home)
    assert done.code == 0, done.err
    assert f"{len(damaged)} quarantined" in done.out
    with duckdb.connect(str(home.published.resolve()), read_only=True) as con:
        rows = con.execute(
            "select path, line_number, reason from lake.quarantine_record where path like 'ocpp/%' order by line_number"
        ).fetchall()
        loaded = con.execute(
            "select (select count(*) from lake.ocpp_frame) + (select count(*) from lake.ocpp_connection_event)"
        ).fetchone()
    assert [row[1] for row in rows] == sorted(number + 1 for number in damaged)
    assert {row[0] for row in rows} == {"ocpp/damaged.jsonl"}
    assert all(row[2] for row in rows)
    assert loaded == (len(lines) - len(damaged),)


def test_a_blocking_check_keeps_the_old_version_and_names_the_rows(changing: Home):
    before = changing.published.resolve()
    frame_file = next(
        path for path in (changing.lake / "ocpp" / "frame").glob("*.parquet") if path.name != "_empty.parquet"
    )
    spoiled = changing.root / "spoiled.parquet"
    duckdb.execute(
        f"copy (select * replace (case when line_number < 5 then 9 else message_type end as message_type) "
        f"from read_parquet('{frame_file}')) to '{spoiled}' (format parquet)"
    )
    spoiled.replace(frame_file)
    (changing.landing / "registry" / "owners.csv").touch()
    (changing.landing / "ocpp" / "new.jsonl").write_text("")
    done = chargehouse("run", home=changing)
    assert done.code == 1
    assert "ocpp/frame" in done.err
    assert "line_number" in done.err
    assert "stays" in done.err
    assert changing.published.resolve() == before


def test_two_runs_at_once_do_not_meet(changing: Home):
    script = (
        "import sys, time; from pathlib import Path; from pipelines import runs; from pipelines.home import Home\n"
        f"with runs.only_run(Home(Path({str(changing.root)!r}))):\n    print('held', flush=True); time.sleep(60)"
    )
    holder = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    assert holder.stdout.readline() == "held\n"
    done = chargehouse("run", home=changing)
    holder.kill()
    holder.wait()
    assert (done.code, done.out) == (1, "")
    assert "another run is working on" in done.err


def test_an_empty_home_runs_and_publishes_empty_marts(tmp_path: Path):
    home = Home(tmp_path / "home")
    done = chargehouse("run", home=home)
    assert done.code == 0, done.err
    done = chargehouse("sql", "select count(*) as n from marts.fct_session", "--format", "json", home=home)
    assert done.out.split() == ["[", '{"n":0}', "]"]


def test_the_real_logs_run_through(real_data: Path, tmp_path: Path):
    home = Home(tmp_path / "home")
    (home.landing / "ocpp").mkdir(parents=True)
    for path in (real_data / "ocpp").iterdir():
        shutil.copy(path, home.landing / "ocpp")
    done = chargehouse("run", home=home)
    assert done.code == 0, done.err
    with duckdb.connect(str(home.published.resolve()), read_only=True) as con:
        sessions = con.execute(
            "select protocol, count(*) from marts.fct_session where station_id like 'SIM-%' and protocol = 'ocpp1.6' "
            "and start_frame_id is not null group by protocol union all "
            "select protocol, count(*) from marts.fct_session where station_id like 'SIM-%' and protocol = 'ocpp2.0.1' "
            "group by protocol order by protocol"
        ).fetchall()
        stations = con.execute(
            "select count(distinct station_id) from marts.fct_port_state where station_id like 'SIM-%'"
        ).fetchone()
        unmapped = con.execute("select distinct owner_id from marts.dim_port").fetchall()
    assert sessions == [("ocpp1.6", 42), ("ocpp2.0.1", 12)]
    assert stations == (6,)
    assert unmapped == [("unmapped",)]
