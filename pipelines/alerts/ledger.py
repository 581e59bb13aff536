"""What was told to whom: one JSON file in the home, replaced in one step, so that an alert is told once."""

import fcntl
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

from pipelines.home import Home, replacing


@dataclass(slots=True)
class Entry:
    """One alert that lasts, or that is over and not yet told to every channel. Instants are UTC, ISO 8601."""

    kind: str
    title: str
    text: str
    page: str
    found_at: str
    over_at: str | None = None
    told_at: dict[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class Ledger:
    """What is known of alerts.

    Attributes:
        looked_at: When somebody last looked.
        seen: What was looked at: version and newest run.
        entries: Alerts by key.
    """

    looked_at: str | None = None
    seen: str | None = None
    entries: dict[str, Entry] = field(default_factory=dict)


def path_of(home: Home) -> Path:
    """Return where the ledger stands."""
    return home.root / "alerts" / "state.json"


def read(home: Home) -> Ledger:
    """Read the ledger; an empty one before the first look."""
    try:
        data = json.loads(path_of(home).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return Ledger()
    return Ledger(data["looked_at"], data["seen"], {key: Entry(**entry) for key, entry in data["entries"].items()})


def write(home: Home, ledger: Ledger) -> None:
    """Write the ledger in one step."""
    with replacing(path_of(home)) as temporary:
        temporary.write_text(json.dumps(asdict(ledger), indent=1, ensure_ascii=False), encoding="utf-8")


@contextmanager
def alone(home: Home) -> Iterator[bool]:
    """Hold the ledger's lock; gives False at once if another process looks at this moment."""
    path = path_of(home)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.with_suffix(".lock").open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        yield True
