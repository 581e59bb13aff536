"""What is known about a run while it goes on and afterwards: one folder per run below ``HOME/lake/_runs``.

The steps of a run may be executed by different processes, so what one step tells the next is a small file, not memory.
"""

import fcntl
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path

from pipelines.home import Home, replacing
from pipelines.ingest import IngestResult
from pipelines.quality.result import CheckResult
from pipelines.settings import dbt_folder, project_root


class HomeBusyError(Exception):
    """Another run works on this home."""


@dataclass(slots=True)
class RunRecord:
    """One run of the job, from start to end. Becomes one row of ``meta.run``."""

    run_id: str
    started_at: str
    code_version: str
    is_full_refresh: bool = False
    finished_at: str | None = None
    status: str = "running"  # running, published, unchanged, failed
    version: str | None = None
    files_new: int = 0
    records_read: int = 0
    records_loaded: int = 0
    records_duplicate: int = 0
    records_quarantined: int = 0
    models_built: int = 0
    checks_passed: int = 0
    checks_failed: int = 0
    checks_warned: int = 0
    seconds: float | None = None
    failure: str | None = None
    unreadable: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


def code_version() -> str:
    """Return a hash of the dbt project and the decoders: what the marts are made with besides the data."""
    digest = sha256()
    package = project_root() / "pipelines"
    for root, pattern in (
        (dbt_folder() / "models", "*"),
        (dbt_folder() / "macros", "*"),
        (dbt_folder() / "seeds", "*"),
        (package, "*.py"),
        (package, "*.yml"),
    ):
        for path in sorted(root.rglob(pattern)):
            if path.is_file():
                digest.update(str(path.relative_to(root)).encode())
                digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def now() -> str:
    """Return the present instant, UTC, ISO 8601."""
    return datetime.now(UTC).isoformat()


def seconds_since(started_at: str) -> float:
    """Return the seconds from an instant (ISO 8601) to now."""
    return round((datetime.now(UTC) - datetime.fromisoformat(started_at)).total_seconds(), 1)


def run_folder(home: Home, run_id: str) -> Path:
    """Return the folder of one run's records."""
    return home.runs / run_id


def write_run(home: Home, record: RunRecord) -> None:
    """Write a run's record in one step."""
    with replacing(run_folder(home, record.run_id) / "run.json") as temporary:
        temporary.write_text(json.dumps(asdict(record), indent=1))


def read_run(home: Home, run_id: str) -> RunRecord:
    """Read a run's record."""
    return RunRecord(**json.loads((run_folder(home, run_id) / "run.json").read_text()))


def read_runs(home: Home) -> list[RunRecord]:
    """Return all run records, oldest first."""
    return [RunRecord(**json.loads(path.read_text())) for path in sorted(home.runs.glob("*/run.json"))]


def finish(home: Home, record: RunRecord) -> None:
    """Write a run's record with its end."""
    record.finished_at = record.finished_at or now()
    record.seconds = record.seconds or seconds_since(record.started_at)
    write_run(home, record)


def add_ingest(home: Home, run_id: str, result: IngestResult) -> None:
    """Add what the ingest of one kind did to a run's record."""
    record = read_run(home, run_id)
    record.files_new += result.files_new
    record.records_read += result.counts.read
    record.records_loaded += result.counts.loaded
    record.records_duplicate += result.counts.duplicate
    record.records_quarantined += result.counts.quarantined
    record.unreadable += result.unreadable
    record.warnings += result.warnings
    write_run(home, record)


def say(home: Home, run_id: str, stage: str, detail: str = "", *, done: int = 0, total: int | None = None) -> None:  # noqa: PLR0913
    """Note what the run is doing now, for whoever shows progress.

    Args:
        home: The home.
        run_id: The run.
        stage: What is being done.
        detail: To what.
        done: Pieces of the stage that are behind us.
        total: Pieces of the stage, where they are known.
    """
    progress = {"stage": stage, "detail": detail, "done": done, "total": total, "at": now()}
    with replacing(run_folder(home, run_id) / "progress.json") as temporary:
        temporary.write_text(json.dumps(progress))


def new_run_id(dagster_run_id: str) -> str:
    """Return a run id that sorts by time: UTC to the millisecond, then the first digits of Dagster's own id."""
    now = datetime.now(UTC)
    return f"{now:%Y%m%dT%H%M%S}{now.microsecond // 1000:03d}Z-{dagster_run_id[:8]}"


def write_checks(home: Home, run_id: str, stage: str, results: list[CheckResult]) -> None:
    """Keep the results of one stage's checks."""
    with replacing(run_folder(home, run_id) / f"checks-{stage}.json") as temporary:
        temporary.write_text(json.dumps([asdict(result) for result in results]))


def read_checks(home: Home, run_id: str) -> list[CheckResult]:
    """Return the results of all stages' checks of one run."""
    results = []
    for path in sorted(run_folder(home, run_id).glob("checks-*.json")):
        results += [CheckResult(**result) for result in json.loads(path.read_text())]
    return results


@contextmanager
def only_run(home: Home) -> Iterator[None]:
    """Hold the home's run lock, so that two runs started at once do not write the same build.

    The lock is the operating system's: it is gone with the process, however that ended.

    Raises:
        HomeBusyError: Another process holds it.
    """
    home.root.mkdir(parents=True, exist_ok=True)
    with (home.root / ".run.lock").open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            msg = f"another run is working on {home.root}; wait for it to end"
            raise HomeBusyError(msg) from None
        yield
