"""How fast the simulator writes a network, against what its compressors alone need for the same bytes."""

import gzip
import tempfile
import time
from pathlib import Path

import zstandard

from pipelines.simulator import simulate


def _compressing_s(log: Path) -> float:
    """Return the seconds that reading a log and compressing it again takes, at the simulator's levels."""
    data = log.read_bytes()
    if log.suffix == ".zst":
        data = zstandard.ZstdDecompressor().decompressobj().decompress(data)
    elif log.suffix == ".gz":
        data = gzip.decompress(data)
    began = time.perf_counter()
    if log.suffix == ".zst":
        zstandard.ZstdCompressor(level=3).compress(data)
    elif log.suffix == ".gz":
        gzip.compress(data, compresslevel=1, mtime=0)
    return time.perf_counter() - began


def simulator(ports: int = 400, days: int = 60) -> list[str]:
    """Simulate a network and return the lines of a report.

    Args:
        ports: Ports of the network.
        days: Days of its history.
    """
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder) / "home"
        summary = simulate(home, ports=ports, days=days, seed=1)
        logs = sorted((home / "landing/ocpp").glob("*/*"))
        floor_s = sum(map(_compressing_s, logs))
    return [
        f"simulate      {ports:,} ports, {days} days: {summary.frames:,} frames, {summary.sessions:,} sessions",
        f"  compressing alone        {floor_s:6.1f} s wall",
        f"  the whole simulation     {summary.seconds:6.1f} s wall  {summary.frames / summary.seconds:10,.0f} frames/s",
        f"  ratio                    {summary.seconds / floor_s:6.1f} x",
    ]


if __name__ == "__main__":
    print("\n".join(simulator()))
