"""`make bench`: every benchmark, each as a ratio to a named baseline of the same run.

``python -m benchmarks [NAME ...] [--frames N]`` runs some of them. Seconds alone say little on a shared machine; the
ratio of two measurements a moment apart says how far we are from what the engine can do.
"""

import argparse
import platform
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import duckdb

from benchmarks.frames import write_frames
from pipelines.home import Commit, Home, LakeWriter, content_hash
from pipelines.ocpp.decode import decode_file
from pipelines.pseudonym import create_macros


@dataclass
class Measured:
    """Wall-clock and processor seconds of one piece of work."""

    wall_s: float = 0.0
    cpu_s: float = 0.0


@contextmanager
def measured() -> Iterator[Measured]:
    """Measure the body: wall-clock and processor seconds of this process."""
    result = Measured()
    usage, started = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter()
    yield result
    after = resource.getrusage(resource.RUSAGE_SELF)
    result.wall_s = time.perf_counter() - started
    result.cpu_s = after.ru_utime + after.ru_stime - usage.ru_utime - usage.ru_stime


def ocpp_decode(frames: int) -> list[str]:
    """Decode a log into all lake tables, against DuckDB's bare typed read of the same file."""
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "frames.jsonl"
        write_frames(log, frames)
        with duckdb.connect() as con, measured() as bare:
            con.execute(
                """
                select count(f[1]), max(f[2]), max(f[3]), max(f[4]), max(f[5]), max(f[6]), max(f[7]), max(f[8]),
                    max(f[9]), max(f[10]), max(f[11]), max(f[12])
                from (
                    select json_extract_string(raw_frame, [
                        '$[0]', '$[1]', '$[2]', '$[3].connectorId', '$[3].status', '$[3].errorCode', '$[3].timestamp',
                        '$[3].transactionId', '$[3].meterStart', '$[3].meterStop', '$[3].reason', '$[3].idTag'
                    ]) as f
                    from read_json($1, columns = {charger_id: 'VARCHAR', captured_at: 'VARCHAR', direction: 'VARCHAR',
                        raw_frame: 'VARCHAR'}, format = 'newline_delimited')
                )
                """,
                [str(log)],
            ).fetchall()
        home = Home(Path(folder) / "home")
        home.prepare()
        with duckdb.connect() as con, measured() as ours:
            create_macros(con, b"benchmark")
            commit = Commit(content_hash(log), "ocpp/frames.jsonl", "ocpp", log.stat().st_size, "")
            writer = LakeWriter(home, con, commit)
            commit.counts = decode_file(log, writer=writer, relative_path=log.name, default_time_zone="UTC")
            writer.commit()
        assert commit.counts.loaded == frames, commit.counts
        size = log.stat().st_size
        lake = sum(path.stat().st_size for path in home.lake.rglob("*.parquet"))
    return [
        f"ocpp-decode   {frames:,} frames, {size / 1e6:,.0f} MB of log, {lake / 1e6:,.0f} MB of Parquet",
        f"  bare DuckDB typed read   {bare.wall_s:6.1f} s wall  {bare.cpu_s:6.1f} s cpu  {frames / bare.wall_s:10,.0f} frames/s",
        f"  decode to all tables     {ours.wall_s:6.1f} s wall  {ours.cpu_s:6.1f} s cpu  {frames / ours.wall_s:10,.0f} frames/s",
        f"  ratio                    {ours.wall_s / bare.wall_s:6.1f} wall    {ours.cpu_s / bare.cpu_s:6.1f} cpu",
    ]


BENCHMARKS: dict[str, Callable[[int], list[str]]] = {"ocpp-decode": ocpp_decode}


def main() -> None:
    """Run the benchmarks named on the command line, all without names."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", choices=[[], *BENCHMARKS], help="which; all without names")
    parser.add_argument("--frames", type=int, default=500_000, help="frames of the generated log")
    arguments = parser.parse_args()
    print(f"{platform.machine()}, Python {platform.python_version()}, DuckDB {duckdb.__version__}")
    for name in arguments.names or BENCHMARKS:
        print("\n".join(BENCHMARKS[name](arguments.frames)))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1 << 20 if sys.platform == "darwin" else 1024)
    print(f"peak memory   {peak:,.0f} MB")


if __name__ == "__main__":
    main()
