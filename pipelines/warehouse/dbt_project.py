"""Where dbt finds its project, and a manifest that is never stale.

The manifest (what dbt knows of the models before it runs) is kept in the home under the hash of the project's files:
a changed model gives another name, so yesterday's SQL can't be loaded by mistake.
"""

import shutil
import subprocess
import sys
from pathlib import Path

from pipelines.home import Home
from pipelines.ocpi.rounding import declared_roundings
from pipelines.runs import code_version
from pipelines.settings import Settings, child_environment, dbt_folder


def dbt_executable() -> str:
    """Return the dbt command of this Python environment.

    Raises:
        FileNotFoundError: dbt is not installed beside this Python.
    """
    beside = Path(sys.executable).parent / "dbt"
    found = str(beside) if beside.exists() else shutil.which("dbt")
    if not found:
        msg = "the dbt command is not installed in this Python environment"
        raise FileNotFoundError(msg)
    return found


def dbt_environment(home: Home, settings: Settings) -> dict[str, str]:
    """Return the variables that the project's profile and models read."""
    return {
        "CHARGEHOUSE_HOME": str(home.root.resolve()),
        "CHARGEHOUSE_THREADS": str(settings.threads),
        "CHARGEHOUSE_DEFAULT_TIME_ZONE": settings.default_time_zone,
        "CHARGEHOUSE_SETTLEMENT_CLOSE_AFTER_DAYS": str(settings.settlement_close_after_days),
        "CHARGEHOUSE_TODAY": settings.today.isoformat() if settings.today else "",
        "CHARGEHOUSE_UNMEASURED_RESTRICTION": settings.unmeasured_restriction,
        "CHARGEHOUSE_ALLOW_V2G": str(settings.allow_v2g).lower(),
        "CHARGEHOUSE_PEER_ROUNDING": declared_roundings(
            home.root / "peers.toml", dbt_folder() / "seeds" / "rounding_policies.csv"
        ),
        "DBT_SEND_ANONYMOUS_USAGE_STATS": "false",
        "DO_NOT_TRACK": "1",
        "DBT_LOG_PATH": str((home.warehouse / "dbt" / "logs").resolve()),
    }


def manifest_folder(home: Home) -> Path:
    """Return the folder that holds the manifest of the project as it is now."""
    return home.warehouse / "dbt" / code_version()


def prepare_manifest(home: Home, settings: Settings) -> Path:
    """Return the manifest of the project as it is now, parsing the project if its files changed.

    Raises:
        RuntimeError: The project does not parse; the message is dbt's.
    """
    folder = manifest_folder(home)
    manifest = folder / "manifest.json"
    if manifest.exists():
        return manifest
    home.prepare()
    folder.parent.mkdir(parents=True, exist_ok=True)
    for old in folder.parent.iterdir():  # manifests of earlier code
        if old.is_dir() and old.name not in ("logs", folder.name):
            shutil.rmtree(old, ignore_errors=True)
    done = subprocess.run(
        [dbt_executable(), "parse", "--project-dir", str(dbt_folder()), "--profiles-dir", str(dbt_folder()),
         "--target-path", str(folder.resolve())],
        capture_output=True, text=True, check=False, env=child_environment(**dbt_environment(home, settings)),
    )  # fmt: skip
    if done.returncode:
        shutil.rmtree(folder, ignore_errors=True)
        msg = f"the dbt project does not parse:\n{done.stdout[-2000:]}{done.stderr[-2000:]}"
        raise RuntimeError(msg)
    return manifest
