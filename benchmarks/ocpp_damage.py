"""What damaged and hostile logs cost: each is decoded in a process of its own and must neither stop it nor fill memory.

Every file holds good frames before and behind the damage, as far as it has a behind; they must all be loaded.
"""

import gzip
import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from benchmarks.frames import write_frames
from benchmarks.ocpp_decode import measured

GOOD = 1_000  # frames before and frames behind
MIB = 1 << 20


def _write(path: Path, pieces: Iterator[bytes]) -> None:
    with path.open("wb") as file:
        for piece in pieces:
            file.write(piece)


def _zipped(path: Path, pieces: Iterator[bytes]) -> None:
    with gzip.open(path, "wb", compresslevel=1) as file:
        for piece in pieces:
            file.write(piece)


def _deep(good: bytes) -> bytes:
    """Take a line and put lists 10,000 deep in the place of its payload."""
    first = good.split(b"\n", 1)[0]
    head, _, tail = first.partition(b"{\\")
    return head + b"[" * 10_000 + b"]" * 10_000 + b"]" + tail[tail.rindex(b'",') :] + b"\n"


def _cases(good: bytes, behind: bytes) -> dict[str, tuple[Callable[[Path], None], int]]:
    """Return per name what writes the file, and the frames to be loaded from it."""
    both = 2 * GOOD

    def half(path: Path) -> None:
        with tempfile.TemporaryDirectory() as folder:
            log = Path(folder) / "x.jsonl"
            write_frames(log, 200_000)
            packed = gzip.compress(log.read_bytes(), 1)
        path.write_bytes(packed[: len(packed) // 2])

    def around(
        write: Callable[[Path, Iterator[bytes]], None], *middle: bytes, times: int = 1
    ) -> Callable[[Path], None]:
        return lambda path: write(path, iter([good, *(middle * times), b"\n", behind]))

    return {
        "100 MB of random bytes": (
            lambda path: _write(path, (good, *(os.urandom(MIB) for _ in range(95)), b"\n", behind)),  # type: ignore[arg-type]
            both,
        ),
        "a line of 50 MB": (around(_write, b"x" * MIB, times=50), both),
        "a frame 10,000 deep": (around(_write, _deep(good)), both),
        "a gz cut in half": (half, 90_000),
        "a gz of 1 GB of blanks": (around(_zipped, b" " * MIB, times=1024), both),
        "a gz of 1 GB of line ends": (around(_zipped, b"\n" * MIB, times=1024), both),
    }


def ocpp_damage() -> list[str]:
    """Decode each damaged log and return the lines of a report."""
    lines = ["ocpp-damage   frames loaded and lines rejected, time and memory"]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        log = folder / "good.jsonl"
        write_frames(log, 2 * GOOD)
        rows = log.read_bytes().splitlines(keepends=True)
        for number, (case, (write, frames)) in enumerate(_cases(b"".join(rows[:GOOD]), b"".join(rows[GOOD:])).items()):
            damaged = folder / f"case-{number}.{'gz' if 'gz' in case else 'jsonl'}"
            write(damaged)
            got = measured("decode", damaged, folder)
            assert got["frames"] >= frames, (case, got)
            lines.append(
                f"  {case:<26} {got['frames']:8,.0f} loaded {got['quarantined']:8,.0f} rejected "
                f"{got['wall_s']:6.1f} s wall {got['cpu_s']:6.1f} s cpu {got['peak_mb']:6,.0f} MB peak"
            )
            damaged.unlink()
    return lines
