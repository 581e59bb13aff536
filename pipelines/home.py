"""The home folder: where things are, atomic writes, and the lake's commit protocol.

Exactly once without a database: a landed file is known by the hash of its content, its lake files are named after that
hash and renamed in when complete, and its commit record is written last. A run that dies at any instant leaves either
a commit record (the file is done) or none (the next run clears what it left and does the file again).
"""

import hashlib
import json
import os
import secrets
import shutil
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

import duckdb
from pyarrow import parquet

from pipelines.lake import ALL_TABLES, QUARANTINE, SETTLEMENT_TABLES, LakeTable, write_parquet

READ_BLOCK = 1 << 20


@dataclass(frozen=True, slots=True)
class Home:
    """Paths of one home folder. Creating the object touches nothing."""

    root: Path

    @property
    def landing(self) -> Path:
        """What users and peers deliver; never changed by us."""
        return self.root / "landing"

    @property
    def lake(self) -> Path:
        """Decoded records as Parquet."""
        return self.root / "lake"

    @property
    def warehouse(self) -> Path:
        """The build database and the published versions."""
        return self.root / "warehouse"

    @property
    def build_database(self) -> Path:
        """The database only dbt writes."""
        return self.warehouse / "build.duckdb"

    @property
    def versions(self) -> Path:
        """Published versions, one file a run."""
        return self.warehouse / "versions"

    @property
    def published(self) -> Path:
        """The pointer that readers follow; a symlink to the newest version."""
        return self.warehouse / "chargehouse.duckdb"

    @property
    def commits(self) -> Path:
        """Commit records, one JSON file per content hash."""
        return self.lake / "_commits"

    @property
    def landed(self) -> Path:
        """Path records, one JSON file per landed path: the content last seen there."""
        return self.lake / "_landed"

    @property
    def runs(self) -> Path:
        """Run records, one JSON file a run."""
        return self.lake / "_runs"

    @property
    def reports(self) -> Path:
        """Files made by ``chargehouse report``."""
        return self.root / "reports"

    @property
    def dagster(self) -> Path:
        """Dagster's own storage (``DAGSTER_HOME``)."""
        return self.root / "dagster"

    def table_folder(self, table: LakeTable) -> Path:
        """Folder of one lake table."""
        return self.lake / table.domain / table.name

    def table_glob(self, table: LakeTable) -> str:
        """Glob that reads one lake table."""
        return f"{self.table_folder(table)}/*.parquet"

    def prepare(self) -> None:
        """Make the folders, and in every lake table an empty file that carries its columns.

        The empty file lets SQL read a table that nothing was delivered for yet.
        """
        for folder in (self.landing, self.commits, self.landed, self.runs, self.versions):
            folder.mkdir(parents=True, exist_ok=True)
        for name in ("ocpp", "ocpi", "registry"):
            (self.landing / name).mkdir(exist_ok=True)
        missing = [table for table in (*ALL_TABLES, *SETTLEMENT_TABLES) if not self._has_columns(table)]
        if not missing:
            return
        with duckdb.connect() as con:
            for table in missing:
                self.table_folder(table).mkdir(parents=True, exist_ok=True)
                with replacing(self.table_folder(table) / "_empty.parquet") as temporary:
                    write_parquet(con, table.empty_sql(), table, str(temporary))

    def _has_columns(self, table: LakeTable) -> bool:
        """Tell whether the table's empty file carries its columns as they are now; an older release had fewer."""
        path = self.table_folder(table) / "_empty.parquet"
        return path.exists() and set(table.column_names) <= set(parquet.read_schema(path).names)

    def current_version(self) -> Path | None:
        """The published version that the pointer names now; None before the first publication."""
        try:
            return self.published.resolve(strict=True)
        except FileNotFoundError:
            return None

    def pseudonym_key(self, configured: str | None) -> bytes:
        """Return the HMAC key for driver tokens: the configured one, else the home's own, made once.

        Args:
            configured: ``CHARGEHOUSE_PSEUDONYM_KEY``, if set.
        """
        if configured:
            return configured.encode()
        path = self.root / ".pseudonym_key"
        try:
            return bytes.fromhex(path.read_text().strip())
        except FileNotFoundError:
            self.root.mkdir(parents=True, exist_ok=True)
            key = secrets.token_bytes(32)
            with replacing(path) as temporary:
                descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
                with os.fdopen(descriptor, "w") as file:
                    file.write(key.hex())
            return key


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside ``path``; on success it replaces ``path`` in one step, on failure it is removed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    # process and thread: files are decoded side by side, and each tells its progress
    temporary = path.with_name(f".{path.name}.{os.getpid()}-{threading.get_ident()}.tmp")
    try:
        yield temporary
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def content_hash(path: Path, name: str = "") -> str:
    """Return the first 16 hex digits of the SHA-256 of a file's bytes.

    Args:
        path: The file.
        name: Its name, where that is part of what it says (a file per message, with the time in its name).
    """
    digest = hashlib.sha256(name.encode())
    with path.open("rb") as file:
        while block := file.read(READ_BLOCK):
            digest.update(block)
    return digest.hexdigest()[:16]


@dataclass(slots=True)
class FileCounts:
    """What became of a landed file's records: ``read = loaded + duplicate + quarantined``."""

    read: int = 0
    loaded: int = 0
    duplicate: int = 0
    quarantined: int = 0

    def add(self, other: "FileCounts") -> None:
        """Add another file's counts to these."""
        self.read += other.read
        self.loaded += other.loaded
        self.duplicate += other.duplicate
        self.quarantined += other.quarantined

    def check(self, path: str) -> None:
        """Raise if a record was lost.

        Raises:
            ValueError: The counts do not add up.
        """
        if self.read != self.loaded + self.duplicate + self.quarantined:
            msg = (
                f"{path}: {self.read} records read, but {self.loaded} loaded + {self.duplicate} duplicate + "
                f"{self.quarantined} quarantined"
            )
            raise ValueError(msg)


@dataclass(slots=True)
class Commit:
    """The commit record of one content hash."""

    source_id: str
    path: str
    kind: str
    size_bytes: int
    committed_at: str
    counts: FileCounts = field(default_factory=FileCounts)
    table_name: str | None = None
    log_format: str | None = None
    peer: str | None = None
    log_source: str | None = None
    error: str | None = None
    lake_files: list[str] = field(default_factory=list)
    options: str = ""  # digest of the format.toml in force: a change decodes the file anew, under other names


class LakeWriter:
    """Writes the lake files of one landed file, and nothing visible before :meth:`commit`.

    Use one writer per landed file. ``write`` may be called many times per table (once per chunk of a large file).
    """

    def __init__(self, home: Home, con: duckdb.DuckDBPyConnection, commit: Commit) -> None:
        """Start the lake files of ``commit.source_id``; ``con`` runs the SQL given to ``write``."""
        self.home = home
        self.con = con
        self.record = commit
        self._parts: dict[str, int] = {}
        self._lock = threading.Lock()

    def path(self, table: LakeTable, part: int) -> Path:
        """Return the lake file of one part of a table."""
        name = "-".join(piece for piece in (self.record.source_id, self.record.options, f"{part:04d}") if piece)
        return self.home.table_folder(table) / f"{name}.parquet"

    def write(
        self,
        table: LakeTable,
        relation_sql: str,
        *,
        con: duckdb.DuckDBPyConnection | None = None,
        part: int | None = None,
        constants: Mapping[str, str] | None = None,
    ) -> int:
        """Add the rows of a SELECT to one lake table; returns the rows written. Writes no file for no rows.

        Args:
            table: The lake table.
            relation_sql: A SELECT with at least the table's columns, by name.
            con: The connection it runs on, if not the writer's own; parts may be written on several at once.
            part: Number of the lake file, given by who writes several at once; else the next one.
            constants: Columns that ``relation_sql`` does not have, and their one value.
        """
        with self._lock:
            part = self._parts.get(table.key, 0) if part is None else part
            self._parts[table.key] = max(self._parts.get(table.key, 0), part + 1)
        path = self.path(table, part)
        with replacing(path) as temporary:
            rows = write_parquet(con or self.con, relation_sql, table, str(temporary), constants=constants)
            if rows == 0:
                temporary.unlink()
                temporary.touch()
        if rows == 0:
            path.unlink()
            return 0
        self.record.lake_files.append(str(path.relative_to(self.home.lake)))
        return rows

    def rewrite(self, table: LakeTable, relation_sql: str, *, con: duckdb.DuckDBPyConnection, part: int) -> None:
        """Replace one lake file that was written before; ``relation_sql`` may read it."""
        with replacing(self.path(table, part)) as temporary:
            write_parquet(con, relation_sql, table, str(temporary))

    def quarantine(
        self, relation_sql: str, *, con: duckdb.DuckDBPyConnection | None = None, part: int | None = None
    ) -> int:
        """Add rows to ``quarantine/record`` (all its columns but source_id and path); returns the rows written."""
        constants = {"source_id": self.record.source_id, "path": self.record.path}
        return self.write(QUARANTINE, relation_sql, con=con, part=part, constants=constants)

    def commit(self) -> Commit:
        """Check the counts and write the commit record: from here on the file is loaded.

        Raises:
            ValueError: A record was lost on the way.
        """
        self.record.counts.check(self.record.path)
        with replacing(self.home.commits / f"{self.record.source_id}.json") as temporary:
            temporary.write_text(json.dumps(asdict(self.record), indent=1))
        return self.record


def read_commits(home: Home) -> dict[str, Commit]:
    """Return every commit record by content hash."""
    commits = {}
    for path in sorted(home.commits.glob("*.json")):
        data = json.loads(path.read_text())
        data["counts"] = FileCounts(**data["counts"])
        commits[data["source_id"]] = Commit(**data)
    return commits


def remove_uncommitted(home: Home, commits: dict[str, Commit]) -> list[str]:
    """Delete lake files that no commit record names (a run died while it wrote them); returns their names."""
    kept = {name for commit in commits.values() for name in commit.lake_files}
    removed = []
    for table in ALL_TABLES:
        if table.domain == "meta":
            continue
        for path in home.table_folder(table).glob("*"):
            name = str(path.relative_to(home.lake))
            if path.name != "_empty.parquet" and name not in kept:
                path.unlink()
                removed.append(name)
    return removed


def remove_lake(home: Home) -> None:
    """Delete everything decoded, so that the next ingest decodes the landing folder anew. Run records stay."""
    for folder in (home.commits, home.landed, *(home.table_folder(table) for table in ALL_TABLES)):
        shutil.rmtree(folder, ignore_errors=True)
