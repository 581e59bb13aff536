"""Homes of decoded logs for tests of the models."""

from collections.abc import Iterable
from pathlib import Path

import duckdb

from pipelines.home import Commit, Home, LakeWriter, content_hash
from pipelines.ocpp.decode import decode_file
from pipelines.pseudonym import create_macros
from tests.conftest import TEST_KEY


def decoded(
    root: Path, logs: Iterable[Path], *, relative_to: Path | None = None, default_time_zone: str = "UTC"
) -> Home:
    """Decode logs into a new home, as a run does.

    Args:
        root: Where the home is made.
        logs: Log files, in the order in which they are decoded.
        relative_to: Folder below which a log's path tells its source; its own folder unless given.
        default_time_zone: Zone of lines that name none.
    """
    home = Home(root)
    home.prepare()
    for path in logs:
        with duckdb.connect() as con:
            create_macros(con, TEST_KEY)
            relative = str(path.relative_to(relative_to or path.parent))
            commit = Commit(content_hash(path), f"ocpp/{relative}", "ocpp", path.stat().st_size, "2026-01-01T00:00:00Z")
            writer = LakeWriter(home, con, commit)
            commit.counts = decode_file(
                path, writer=writer, relative_path=relative, default_time_zone=default_time_zone
            )
            writer.commit()
    return home
