"""The commit protocol: what a run that died leaves behind counts for nothing."""

import json
import os
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import duckdb
import pytest

from pipelines import ingest
from pipelines.home import Commit, FileCounts, Home, LakeWriter, replacing
from pipelines.lake import ALL_TABLES, QUARANTINE
from pipelines.settings import Settings

ROW = (
    "select 1::bigint as line_number, null::bigint as record_number, null as column_name, null as value, "
    "'bad_json' as reason, 'valid JSON' as expected, 'x' as text"
)


def lake_files(home: Home) -> set[str]:
    return {path.name for path in home.lake.rglob("*.parquet")} - {"_empty.parquet"}


def test_every_lake_table_can_be_read_before_anything_is_delivered(home: Home):
    for table in ALL_TABLES:
        relation = duckdb.sql(f"select * from read_parquet('{home.table_glob(table)}')")
        assert tuple(relation.columns) == table.column_names
        assert relation.fetchall() == []


def test_what_was_written_without_a_commit_is_removed(home: Home):
    with duckdb.connect() as con:
        writer = LakeWriter(home, con, Commit("abc", "ocpp/x", "ocpp", 1, "now"))
        writer.quarantine(ROW)
    (home.table_folder(QUARANTINE) / ".abc-0001.parquet.99.tmp").write_bytes(b"half")
    assert lake_files(home) >= {"abc-0000.parquet"}
    ingest.clean(home)
    assert lake_files(home) == set()


def test_a_commit_keeps_its_files(home: Home):
    with duckdb.connect() as con:
        writer = LakeWriter(home, con, Commit("abc", "ocpp/x", "ocpp", 1, "now"))
        writer.quarantine(ROW)
        writer.record.counts = FileCounts(read=1, quarantined=1)
        writer.commit()
    assert ingest.clean(home) == []
    assert lake_files(home) == {"abc-0000.parquet"}


def test_a_lost_record_is_no_commit(home: Home):
    with duckdb.connect() as con:
        writer = LakeWriter(home, con, Commit("abc", "ocpp/x", "ocpp", 1, "now"))
        writer.record.counts = FileCounts(read=2, loaded=1)
        with pytest.raises(ValueError, match="2 records read"):
            writer.commit()
    assert list(home.commits.iterdir()) == []


def test_replacing_leaves_the_old_file_when_the_body_fails(tmp_path: Path):
    path = tmp_path / "file"
    path.write_text("old")

    def fail() -> None:
        with replacing(path) as temporary:
            temporary.write_text("half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]
    assert path.read_text() == "old"


def test_the_homes_own_key_is_made_once_and_readable_by_its_owner_alone(home: Home):
    key = home.pseudonym_key(None)
    assert home.pseudonym_key(None) == key
    assert len(key) == 32
    assert stat.S_IMODE((home.root / ".pseudonym_key").stat().st_mode) == 0o600
    assert home.pseudonym_key("set") == b"set"


def log_line(number: int) -> str:
    record = {
        "charger_id": "A",
        "connection_id": "c",
        "captured_at": f"2026-01-01T00:00:{number:02}Z",
        "event_type": 2,
        "direction": "FROM_CP",
        "raw_frame": f'[2,"{number}","Heartbeat",{{}}]',
    }
    return json.dumps(record) + "\n"


def counts_of(home: Home) -> list[tuple]:
    ingest.write_index(home)
    return duckdb.sql(
        "select path, is_current, is_first_path, records_read, records_loaded, records_duplicate, records_quarantined "
        f"from read_parquet('{home.lake}/meta/landed_file/*.parquet') order by path, first_seen_at"
    ).fetchall()


def test_files_are_loaded_once_wherever_they_stand(home: Home):
    log = home.landing / "ocpp" / "a.jsonl"
    log.write_text("".join(log_line(n) for n in range(3)))
    assert ingest.has_new_files(home)
    first = ingest.ingest(home, Settings(), "ocpp")
    assert (first.files_new, first.counts.loaded) == (1, 3)
    assert not ingest.has_new_files(home)

    again = ingest.ingest(home, Settings(), "ocpp")
    assert (again.files_new, again.files_known, again.counts.read) == (0, 1, 0)

    (home.landing / "ocpp" / "b.jsonl").write_text(log.read_text())
    copy = ingest.ingest(home, Settings(), "ocpp")
    assert (copy.files_new, copy.counts.read, copy.counts.loaded, copy.counts.duplicate) == (1, 3, 0, 3)
    assert counts_of(home) == [
        ("ocpp/a.jsonl", True, True, 3, 3, 0, 0),
        ("ocpp/b.jsonl", True, False, 3, 0, 3, 0),
    ]


def test_a_file_that_is_only_touched_is_not_loaded_again(home: Home):
    log = home.landing / "ocpp" / "a.jsonl"
    log.write_text(log_line(1))
    ingest.ingest(home, Settings(), "ocpp")
    os.utime(log, (1, 1))
    result = ingest.ingest(home, Settings(), "ocpp")
    assert result.counts.loaded == 0


def test_a_file_that_grew_is_a_new_content_of_its_path(home: Home):
    log = home.landing / "ocpp" / "a.jsonl"
    log.write_text(log_line(1))
    ingest.ingest(home, Settings(), "ocpp")
    with log.open("a") as file:
        file.write(log_line(2))
    result = ingest.ingest(home, Settings(), "ocpp")
    assert result.counts.loaded == 2
    assert [row[:2] for row in counts_of(home)] == [("ocpp/a.jsonl", False), ("ocpp/a.jsonl", True)]


def test_half_copied_and_hidden_files_are_left(home: Home):
    for name in (".hidden.jsonl", "x.jsonl.part", "format.toml"):
        (home.landing / "ocpp" / name).write_text(log_line(1))
    assert list(ingest.landing_files(home, "ocpp")) == []


def test_threads_that_replace_one_file_do_not_meet(tmp_path: Path):
    path = tmp_path / "progress.json"

    def write(number: int) -> None:
        with replacing(path) as temporary:
            temporary.write_text(f"{number:04}" * 500)

    with ThreadPoolExecutor(max_workers=8) as pool:
        list(pool.map(write, range(2000)))
    assert len({path.read_text()[i : i + 4] for i in range(0, 2000, 4)}) == 1
    assert [entry.name for entry in tmp_path.iterdir()] == ["progress.json"]
