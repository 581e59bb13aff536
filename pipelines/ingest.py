"""Landing -> lake: find what is new, decode each file once, and write the index of what landed.

Each kind of delivery (logs, OCPI objects, registry) has its own decoder; what they share, the commit protocol of
:mod:`pipelines.home`, is here.
"""

import json
import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from hashlib import md5
from pathlib import Path

import duckdb
import pyarrow as pa

from pipelines.home import (
    Commit,
    FileCounts,
    Home,
    LakeWriter,
    content_hash,
    read_commits,
    remove_uncommitted,
    replacing,
)
from pipelines.lake import LANDED_FILE, write_parquet
from pipelines.ocpi.decode import decode_file as decode_ocpi
from pipelines.ocpp.decode import decode_file as decode_ocpp
from pipelines.ocpp.formats.ocpp_core import DUMP_NAME
from pipelines.ocpp.overrides import NONE, Overrides, read_overrides
from pipelines.pseudonym import create_macros
from pipelines.registry.read import decode_file as decode_registry
from pipelines.settings import Settings

KINDS = ("ocpp", "ocpi", "registry")
_SMALL_BYTES = 32 << 20


@dataclass(frozen=True, slots=True)
class LandedPath:
    """One path in the landing folder with the content seen there."""

    path: str  # below landing/
    kind: str
    source_id: str
    size_bytes: int
    modified_ns: int
    first_seen_at: str
    current_since: str
    options: str = ""  # digest of the format.toml in force when it was seen

    @property
    def record_name(self) -> str:
        """File name of its path record: one per path and content."""
        return f"{md5(self.path.encode(), usedforsecurity=False).hexdigest()}-{self.source_id}.json"


@dataclass(slots=True)
class IngestResult:
    """What one ingest of one kind did."""

    kind: str
    files_new: int = 0
    files_known: int = 0
    counts: FileCounts = field(default_factory=FileCounts)
    unreadable: list[str] = field(default_factory=list)  # "path: why", of files that are wholly or partly unreadable
    warnings: list[str] = field(default_factory=list)


def landing_files(home: Home, kind: str) -> Iterator[Path]:
    """Yield the delivered files of a kind in a fixed order; hidden and half-copied (``.part``, ``.tmp``) ones are left."""
    root = home.landing / kind
    for path in sorted(root.rglob("*")):
        relative = path.relative_to(root)
        if path.is_file() and not any(part.startswith(".") for part in relative.parts):
            if path.suffix in (".part", ".tmp", ".crdownload", ".toml", ".md"):
                continue
            yield path


def read_landed(home: Home) -> list[LandedPath]:
    """Return all path records, oldest content of a path first."""
    records = [LandedPath(**json.loads(path.read_text())) for path in home.landed.glob("*.json")]
    return sorted(records, key=lambda record: (record.path, record.current_since, record.source_id))


def current_landed(home: Home) -> dict[str, LandedPath]:
    """Return per path the record of the content last seen there."""
    return {record.path: record for record in read_landed(home)}


def _write_landed(home: Home, record: LandedPath) -> None:
    with replacing(home.landed / record.record_name) as temporary:
        temporary.write_text(json.dumps(asdict(record)))


def _overrides(home: Home, kind: str, path: Path) -> Overrides:
    """Return what ``format.toml`` says of a landed file; only logs have one."""
    return read_overrides(path, home.landing / kind) if kind == "ocpp" else NONE


def _identity(path: Path, kind: str) -> str:
    """Return the id of a landed file: the hash of its content, with its name where the name is data."""
    return content_hash(path, path.name if kind == "ocpp" and re.search(DUMP_NAME, path.name) else "")


def has_new_files(home: Home) -> bool:
    """Tell cheaply (sizes and times only) whether any landed file, or its ``format.toml``, is not what was met before."""
    known = current_landed(home)
    for kind in KINDS:
        for path in landing_files(home, kind):
            record = known.get(str(path.relative_to(home.landing)))
            status = path.stat()
            if record is None or (record.size_bytes, record.modified_ns) != (status.st_size, status.st_mtime_ns):
                return True
            if record.options != _overrides(home, kind, path).digest:
                return True
    return False


def ingest(
    home: Home, settings: Settings, kind: str, *, on_file: Callable[[str, int, int], None] | None = None
) -> IngestResult:
    """Decode everything new of one kind.

    A file whose content is known under another path is noted and loads nothing. A file that changes while it is read
    is left for the next run. A log whose ``format.toml`` changed is decoded anew; what it gave before stays until then.

    Args:
        home: The home folder; must be prepared.
        settings: Settings, for the pseudonym key, time zone and DuckDB's limits.
        kind: ``ocpp``, ``ocpi`` or ``registry``.
        on_file: Called before each new file with its path, the number of files done and the number of new files.

    Returns:
        Counts over all new files.
    """
    result = IngestResult(kind)
    commits = read_commits(home)
    known = current_landed(home)
    found: list[LandedPath] = []
    in_force: dict[str, Overrides] = {}
    for path in landing_files(home, kind):
        relative = str(path.relative_to(home.landing))
        status = path.stat()
        record = known.get(relative)
        is_unchanged = record and (record.size_bytes, record.modified_ns) == (status.st_size, status.st_mtime_ns)
        overrides = in_force[relative] = _overrides(home, kind, path)
        if record and is_unchanged and not _is_stale(home, commits.get(record.source_id), relative, overrides):
            result.files_known += 1
            if record.options != overrides.digest:  # of a copy; the path that brought the content decides
                _write_landed(home, replace(record, options=overrides.digest))
            continue
        source_id = record.source_id if record and is_unchanged else _identity(path, kind)
        now = datetime.now(UTC).isoformat()
        first_seen = record.first_seen_at if record and record.source_id == source_id else now
        size, modified = status.st_size, status.st_mtime_ns
        found.append(LandedPath(relative, kind, source_id, size, modified, first_seen, now, overrides.digest))

    # Of several new paths with one content, the first in order brings it; the others are copies.
    bringing = {
        landed.source_id: landed
        for landed in reversed(found)
        if _is_stale(home, commits.get(landed.source_id), landed.path, in_force[landed.path])
    }
    order = [landed for landed in found if bringing.get(landed.source_id) is landed]
    outcomes: dict[str, _Outcome] = {}
    key = home.pseudonym_key(settings.pseudonym_key.get_secret_value() if settings.pseudonym_key else None)

    def decode(landed: LandedPath) -> None:
        if on_file:
            on_file(landed.path, len(outcomes), len(order))
        outcome = _decode(home, settings, landed, in_force[landed.path], key)
        outcomes[landed.source_id] = outcome
        if outcome.commit and landed.source_id in commits:
            _remove_superseded(home, commits[landed.source_id], outcome.commit)

    # Small files cost more to plan than to read, so several go at once; a large one has all threads to itself.
    with ThreadPoolExecutor(max_workers=settings.threads) as pool:
        list(pool.map(decode, (landed for landed in order if landed.size_bytes <= _SMALL_BYTES)))
    for landed in order:
        if landed.size_bytes > _SMALL_BYTES:
            decode(landed)

    for landed in found:
        outcome = outcomes.get(landed.source_id)
        if outcome and outcome.commit is None:
            result.warnings.append(f"{landed.path}: changed while it was read; left for the next run")
            continue
        is_new = outcome is not None and bringing[landed.source_id] is landed
        commit = outcome.commit if outcome and outcome.commit else commits[landed.source_id]
        counts = commit.counts if is_new else FileCounts(read=commit.counts.read, duplicate=commit.counts.read)
        result.files_new += 1
        result.counts.add(counts)
        if outcome and is_new:
            result.warnings += [f"{landed.path}: {warning}" for warning in outcome.warnings]
            if commit.error:
                result.unreadable.append(f"{landed.path}: {commit.error}")
        _write_landed(home, landed)
    return result


def _is_stale(home: Home, commit: Commit | None, path: str, overrides: Overrides) -> bool:
    """Whether a path's content has to be decoded: it never was, or under another ``format.toml``.

    Of several paths with one content, the one that brought it decides, as long as it is there.
    """
    if commit is None:
        return True
    is_bringing = commit.path == path or not (home.landing / commit.path).exists()
    return is_bringing and commit.options != overrides.digest


def _remove_superseded(home: Home, old: Commit, new: Commit) -> None:
    """Delete the lake files of a decode that another one took the place of."""
    for name in set(old.lake_files) - set(new.lake_files):
        (home.lake / name).unlink(missing_ok=True)


@dataclass(frozen=True, slots=True)
class _Outcome:
    """What became of one file: its commit record, or None if the file changed while it was read."""

    commit: Commit | None
    warnings: list[str]


def _decode(home: Home, settings: Settings, landed: LandedPath, overrides: Overrides, key: bytes) -> _Outcome:
    """Run the kind's decoder on one file, on a connection of its own, and commit what it wrote."""
    path = home.landing / landed.path
    commit = Commit(landed.source_id, landed.path, landed.kind, landed.size_bytes, landed.current_since)
    commit.options = overrides.digest
    warnings: list[str] = []
    with duckdb.connect() as con:
        con.execute("set TimeZone = 'UTC'")
        con.execute(f"set threads = {settings.threads}")
        if settings.memory_limit:
            con.execute("set memory_limit = $1", [settings.memory_limit])
        create_macros(con, key)
        writer = LakeWriter(home, con, commit)
        if landed.kind == "ocpp":
            below = str(path.relative_to(home.landing / "ocpp"))
            commit.counts = decode_ocpp(
                path,
                writer=writer,
                relative_path=below,
                default_time_zone=settings.default_time_zone,
                overrides=overrides,
            )
        elif landed.kind == "ocpi":
            commit.counts = decode_ocpi(path, writer=writer)
        else:
            outcome = decode_registry(path, writer=writer, default_time_zone=settings.default_time_zone)
            commit.counts, warnings = outcome.counts, outcome.warnings
    status = path.stat()
    if (status.st_size, status.st_mtime_ns) != (landed.size_bytes, landed.modified_ns):
        return _Outcome(None, warnings)
    return _Outcome(writer.commit(), warnings)


def write_index(home: Home) -> int:
    """Write ``meta/landed_file`` from the commit and path records; returns its rows."""
    commits = read_commits(home)
    current = {(record.path, record.source_id) for record in current_landed(home).values()}
    rows = []
    for record in read_landed(home):
        commit = commits[record.source_id]
        is_first = commit.path == record.path
        counts = commit.counts if is_first else FileCounts(read=commit.counts.read, duplicate=commit.counts.read)
        rows.append(
            {
                "source_id": record.source_id,
                "path": record.path,
                "kind": record.kind,
                "table_name": commit.table_name,
                "log_format": commit.log_format,
                "peer": commit.peer,
                "log_source": commit.log_source,
                "size_bytes": record.size_bytes,
                "first_seen_at": record.first_seen_at,
                "is_current": (record.path, record.source_id) in current,
                "is_first_path": is_first,
                "records_read": counts.read,
                "records_loaded": counts.loaded,
                "records_duplicate": counts.duplicate,
                "records_quarantined": counts.quarantined,
                "error": commit.error if is_first else None,
            }
        )
    target = home.table_folder(LANDED_FILE) / "landed_file.parquet"
    if not rows:
        return 0
    schema = pa.schema([(name, pa.string()) for name in LANDED_FILE.column_names])
    columns = {name: [None if row[name] is None else str(row[name]) for row in rows] for name in schema.names}
    with duckdb.connect() as con, replacing(target) as temporary:
        con.register("landed", pa.table(columns, schema=schema))
        write_parquet(con, "select * from landed", LANDED_FILE, str(temporary))
    return len(rows)


def clean(home: Home) -> list[str]:
    """Remove what a run that died left half-written; returns the names of the files removed."""
    return remove_uncommitted(home, read_commits(home))
