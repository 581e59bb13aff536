"""Decoding a log into all lake tables, against DuckDB's bare typed read of the same file, and against a peer.

The bare read is the least that any decoder on DuckDB has to do: ``read_json`` and one ``json_extract_string`` of twelve
fields, aggregated, nothing written. Every measurement runs in a process of its own, so that peak memory is its own too.
"""

import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import duckdb

from benchmarks.frames import write_frames, write_recorded, write_timed
from pipelines.home import Commit, FileCounts, Home, LakeWriter
from pipelines.ocpp.decode import decode_file
from pipelines.pseudonym import create_macros

# What the bare read reads of each log shape: the text or the JSON of the frame.
_COLUMNS = {
    "native": "{charger_id: 'VARCHAR', captured_at: 'VARCHAR', direction: 'VARCHAR', raw_frame: 'VARCHAR'}",
    "recorder": "{station: 'VARCHAR', ts: 'VARCHAR', dir: 'VARCHAR', frame: 'JSON'}",
}
_BARE_SQL = """
    select count(f[1]), max(f[2]), max(f[3]), max(f[4]), max(f[5]), max(f[6]), max(f[7]), max(f[8]), max(f[9]), max(f[10]),
        max(f[11]), max(f[12]), count(charger), count(moment), count(direction)
    from (
        select {charger} as charger, {moment} as moment, {direction} as direction, json_extract_string({frame}, [
            '$[0]', '$[1]', '$[2]', '$[3].connectorId', '$[3].status', '$[3].errorCode', '$[3].timestamp',
            '$[3].transactionId', '$[3].meterStart', '$[3].meterStop', '$[3].reason', '$[3].idTag'
        ]) as f
        from read_json($1, columns = {columns}, format = 'newline_delimited')
    )
"""
# What the peer does with its frames: parse them and find sessions and faults, all in memory.
_PEER = """
import json, resource, sys, time
from ocpp_lens import OCPPAnalyzer, OCPPLogParser
started = time.perf_counter()
messages = OCPPLogParser().parse_file(sys.argv[1])
OCPPAnalyzer().analyze(messages)
usage = resource.getrusage(resource.RUSAGE_SELF)
print(json.dumps({"wall_s": time.perf_counter() - started, "cpu_s": usage.ru_utime + usage.ru_stime,
    "peak_mb": usage.ru_maxrss / (1 << 20 if sys.platform == "darwin" else 1024), "frames": len(messages)}))
"""


def bare_read(log: Path, shape: str) -> int:
    """Read the twelve fields of every frame and keep nothing; returns the frames.

    Args:
        log: The log.
        shape: ``native`` or ``recorder``.
    """
    columns = _COLUMNS[shape]
    names = [pair.split(":")[0].strip() for pair in columns.strip("{}").split(",")]
    sql = _BARE_SQL.replace("{columns}", columns)
    for place, name in zip(("charger", "moment", "direction", "frame"), names, strict=True):
        sql = sql.replace("{" + place + "}", name)
    with duckdb.connect() as con:
        row = con.execute(sql, [str(log)]).fetchone()
    return row[0] if row else 0


def decode(log: Path, home: Home) -> FileCounts:
    """Decode a log into all tables of a home; returns what became of its records.

    Args:
        log: The log.
        home: A prepared home.
    """
    with duckdb.connect() as con:
        create_macros(con, b"benchmark")
        commit = Commit("0" * 16, f"ocpp/{log.name}", "ocpp", log.stat().st_size, "")
        writer = LakeWriter(home, con, commit)
        commit.counts = decode_file(log, writer=writer, relative_path=log.name, default_time_zone="UTC")
        writer.commit()
    return commit.counts


def _measure(command: list[str]) -> dict[str, float]:
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return json.loads(done.stdout.strip().splitlines()[-1])


def measured(job: str, *arguments: object) -> dict[str, float]:
    """Do a job of :func:`main` in a process of its own and return what it took."""
    return _measure([sys.executable, "-m", "benchmarks.ocpp_decode", job, *map(str, arguments)])


def _row(name: str, got: dict[str, float]) -> str:
    return (
        f"  {name:<24} {got['wall_s']:6.1f} s wall  {got['cpu_s']:6.1f} s cpu  "
        f"{got['frames'] / got['wall_s']:10,.0f} frames/s  {got['peak_mb']:6,.0f} MB peak"
    )


def ocpp_decode(frames: int = 500_000, *, shape: str = "native", peer_python: str = sys.executable) -> list[str]:
    """Measure the decoder and what it is held against, and return the lines of a report.

    Args:
        frames: Frames of the generated log.
        shape: ``native`` or ``recorder``: the frame as text inside of JSON, or as JSON.
        peer_python: A Python that has the package ``ocpp-lens``.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        log, native = folder / "frames.jsonl", folder / "native.jsonl"
        write_frames(native, frames)
        if shape == "recorder":
            write_recorded(log, native)
        else:
            log.hardlink_to(native)
        bare = measured("bare", log, shape)
        ours = measured("decode", log, folder)
        assert ours["frames"] == bare["frames"] == frames, (ours, bare)
        lake = sum(path.stat().st_size for path in folder.rglob("*.parquet"))
        lines = [
            f"ocpp-decode   {frames:,} frames, {log.stat().st_size / 1e6:,.0f} MB of {shape} log, {lake / 1e6:,.0f} MB of Parquet",
            _row("bare DuckDB typed read", bare),
            _row("decode to all tables", ours),
            f"  ratio                    {ours['wall_s'] / bare['wall_s']:6.1f} wall    {ours['cpu_s'] / bare['cpu_s']:6.1f} cpu",
        ]
        return lines + _against_peer(folder, native, min(frames, 200_000), peer_python)


def _against_peer(folder: Path, native: Path, frames: int, peer_python: str) -> list[str]:
    """Measure both on the same frames, each in the log shape it reads best."""
    if subprocess.run([peer_python, "-c", "import ocpp_lens"], capture_output=True, check=False).returncode:
        return [f"  peer ocpp-lens is not installed for {peer_python}; name another with --peer-python"]
    timed, part = folder / "timed.log", folder / "part.jsonl"
    write_timed(timed, native, frames)
    write_frames(part, frames)
    peer = _measure([peer_python, "-c", _PEER, str(timed)])
    ours = measured("decode", part, folder)
    assert peer["frames"] == ours["frames"] == frames, (peer, ours)
    return [
        _row("peer ocpp-lens, a part", peer),
        _row("we on the same frames", ours),
        f"  times the peer           {peer['wall_s'] / ours['wall_s']:6.1f} wall    {peer['cpu_s'] / ours['cpu_s']:6.1f} cpu",
    ]


def main() -> None:
    """Do one job in this process and print what it took, as JSON: ``bare LOG SHAPE`` or ``decode LOG FOLDER``."""
    job, log, argument = sys.argv[1], Path(sys.argv[2]), sys.argv[3]
    home = Home(Path(argument) / f"home-{log.stem}")
    if job == "decode":
        home.prepare()
    started, before = time.perf_counter(), time.process_time()
    counts = decode(log, home) if job == "decode" else FileCounts(loaded=bare_read(log, argument))
    wall_s, cpu_s = time.perf_counter() - started, time.process_time() - before
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1 << 20 if sys.platform == "darwin" else 1024)
    got = {
        "wall_s": wall_s,
        "cpu_s": cpu_s,
        "peak_mb": peak,
        "frames": counts.loaded,
        "quarantined": counts.quarantined,
    }
    print(json.dumps(got))


if __name__ == "__main__":
    main()
