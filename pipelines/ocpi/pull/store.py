"""What a pull leaves behind: pages in the landing folder, and one record per peer and module with its watermark.

The order makes a pull resumable: a page is on disk under its name before the next one is asked for, and the watermark
moves only when all pages of a window are there. A pull that dies in between reads the window again; a page that came
before is known by the hash of its objects in its name, and is not written twice.
"""

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, fields
from datetime import datetime
from pathlib import Path

from pipelines.home import Home, replacing


class PullBusyError(Exception):
    """Another pull works on this home."""


@dataclass(slots=True)
class PullRecord:
    """How the last pull of one module from one peer went, and where the next one begins. Times are ISO 8601, UTC."""

    peer: str
    module: str
    status: str  # running, ok, failed, not_offered
    started_at: str
    status_since: str  # since when pulls end with last_status
    last_status: str | None = None  # how the last pull ended that did
    finished_at: str | None = None
    last_success_at: str | None = None
    watermark: str | None = None  # greatest last_updated up to which everything was pulled
    last_reread_at: str | None = None
    window_from: str | None = None  # filters of the last window; None: without this bound
    window_to: str | None = None
    ocpi_version: str | None = None
    pages: int = 0
    pages_landed: int = 0
    objects: int = 0
    objects_landed: int = 0
    bytes_received: int = 0
    seconds: float = 0.0
    error: str | None = None
    notes: list[str] = field(default_factory=list)


# Column, type and meaning of ``meta.peer_pull`` in a published version.
PULL_COLUMNS = {
    "peer": ("VARCHAR", "Name of the peer in peers.toml."),
    "module": ("VARCHAR", "OCPI module: cdrs, tariffs, locations, sessions or tokens."),
    "status": ("VARCHAR", "ok, failed, not_offered (the peer has no such module) or running (it was cut off)."),
    "started_at": ("TIMESTAMPTZ", "Start of the last pull, UTC."),
    "finished_at": ("TIMESTAMPTZ", "Its end, UTC; null if it was cut off."),
    "status_since": ("TIMESTAMPTZ", "Since when pulls end with this status, UTC."),
    "last_success_at": ("TIMESTAMPTZ", "End of the last pull that went well, UTC; null if none did."),
    "watermark": (
        "TIMESTAMPTZ",
        "Greatest last_updated up to which everything was pulled, UTC; the next pull begins before it.",
    ),
    "window_from": ("TIMESTAMPTZ", "Lower bound (last_updated) of the last window asked for, UTC; null: none."),
    "window_to": ("TIMESTAMPTZ", "Its upper bound, exclusive, UTC; null: none."),
    "ocpi_version": ("VARCHAR", "OCPI version spoken."),
    "pages": ("BIGINT", "Pages received in the last pull."),
    "pages_landed": ("BIGINT", "Pages written to the landing folder: those that were not there yet."),
    "objects": ("BIGINT", "Different objects received."),
    "objects_landed": ("BIGINT", "Objects in the pages written."),
    "bytes_received": ("BIGINT", "Bytes received, unpacked."),
    "seconds": ("DOUBLE", "Wall-clock seconds."),
    "error": ("VARCHAR", "Why it failed; null if it did not."),
    "notes": ("VARCHAR", "What was odd about the peer's answers, though nothing was lost."),
}


def _folder(home: Home) -> Path:
    return home.lake / "_pulls"


def write_record(home: Home, record: PullRecord) -> None:
    """Put a record in the place of the one before, on disk when this returns."""
    _write(_folder(home) / record.peer / f"{record.module}.json", json.dumps(asdict(record), indent=1).encode())


def read_record(home: Home, peer: str, module: str) -> PullRecord | None:
    """Return the record of a module of a peer; None before the first pull."""
    try:
        data = json.loads((_folder(home) / peer / f"{module}.json").read_text())
    except FileNotFoundError:
        return None
    known = {item.name for item in fields(PullRecord)}
    return PullRecord(**{name: value for name, value in data.items() if name in known})


def read_records(home: Home) -> list[PullRecord]:
    """Return all records, by peer and module."""
    found = (read_record(home, path.parent.name, path.stem) for path in sorted(_folder(home).glob("*/[!.]*.json")))
    return [record for record in found if record]


def has_status_changed(home: Home, since: str) -> bool:
    """Whether pulling from some peer began to fail, or to go well again, after an instant (ISO 8601)."""
    instant = datetime.fromisoformat(since)
    return any(datetime.fromisoformat(record.status_since) > instant for record in read_records(home))


def _write(path: Path, content: bytes) -> None:
    """Write a file in one step and have it on disk, name included, when this returns."""
    with replacing(path) as temporary, temporary.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


class LandedPages:
    """The pages of one module of one peer in the landing folder."""

    def __init__(self, home: Home, peer: str, module: str) -> None:
        """Read the names of what is there, and remove the halves that a killed pull left. Needs the pull lock."""
        self._folder = home.landing / "ocpi" / module / peer
        for half in self._folder.glob("*/.*.tmp"):
            half.unlink(missing_ok=True)
        self._known = {path.stem.rpartition("-")[2] for path in self._folder.glob("*/[!.]*.json")}

    def add(self, body: bytes, data_hash: str, received_at: datetime) -> bool:
        """Land a page as it was received, unless one with the same objects is there.

        Args:
            body: The whole answer.
            data_hash: Hash of its objects, 16 hex digits.
            received_at: When it was received, UTC; the name begins with it.

        Returns:
            Whether it was written.
        """
        if data_hash in self._known:
            return False
        name = f"{received_at:%Y%m%dT%H%M%S}{received_at.microsecond // 1000:03d}Z-{data_hash}.json"
        _write(self._folder / f"{received_at:%Y-%m}" / name, body)
        self._known.add(data_hash)
        return True


@contextmanager
def only_pull(home: Home) -> Iterator[None]:
    """Hold the home's pull lock; it goes with the process, however that ends. A run may work beside a pull.

    Raises:
        PullBusyError: Another process holds it.
    """
    home.root.mkdir(parents=True, exist_ok=True)
    with (home.root / ".pull.lock").open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise PullBusyError(f"another pull is working on {home.root}; wait for it to end") from None
        yield
