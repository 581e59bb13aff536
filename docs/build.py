"""`make docs`: the reference pages, written from the code and the models, and dbt's own site.

``python -m docs.build`` writes ``docs/reference/*.md`` (kept in git; a test fails while they are stale) and
``site/index.html`` (dbt's catalogue in one offline page, not kept).
"""

import json
import shutil
import subprocess
import tempfile
from pathlib import Path

from pipelines.home import Home
from pipelines.lake import ALL_TABLES
from pipelines.settings import Settings, child_environment, dbt_folder, project_root
from pipelines.warehouse.dbt_project import dbt_environment, dbt_executable, prepare_manifest

REFERENCE = project_root() / "docs" / "reference"


def _cell(text: str | None) -> str:
    return " ".join((text or "").split()).replace("|", "\\|")


def settings_page() -> str:
    """Return the page of settings."""
    lines = [
        "# Settings",
        "",
        "Environment variables. Written by `make docs` from `pipelines/settings.py`.",
        "",
        "| variable | default | meaning |",
        "|---|---|---|",
    ]
    for name, field in Settings.model_fields.items():
        default = "" if field.default is None else f"`{field.default}`"
        lines.append(f"| `CHARGEHOUSE_{name.upper()}` | {default} | {_cell(field.description)} |")
    return "\n".join(lines) + "\n"


def _table(name: str, sentence: str, columns: list[tuple[str, str, str]]) -> list[str]:
    rows = [f"| `{column}` | {kind} | {_cell(comment)} |" for column, kind, comment in columns]
    return [f"## {name}", "", _cell(sentence), "", "| column | type | meaning |", "|---|---|---|", *rows, ""]


def marts_page(manifest: dict) -> str:
    """Return the data dictionary of the marts, from dbt's manifest."""
    models = [
        node for node in manifest["nodes"].values() if node["resource_type"] == "model" and node["schema"] == "marts"
    ]
    lines = ["# Data dictionary: marts", "", "Written by `make docs` from the models' own descriptions.", ""]
    for model in sorted(models, key=lambda node: node["name"]):
        columns = [
            (column["name"], column.get("data_type") or "", column.get("description") or "")
            for column in model["columns"].values()
        ]
        lines += _table(f"marts.{model['name']}", model["description"], columns)
    return "\n".join(lines)


def lake_page() -> str:
    """Return the data dictionary of the lake."""
    lines = ["# Data dictionary: lake", "", "Written by `make docs` from `pipelines/lake.py`.", ""]
    for table in ALL_TABLES:
        name = "meta.source_file" if table.key == "meta/landed_file" else f"lake.{table.domain}_{table.name}"
        lines += _table(name, table.row, [(column.name, column.type, column.comment) for column in table.columns])
    return "\n".join(lines)


def pages() -> dict[str, str]:
    """Return the text of every reference page by file name."""
    with tempfile.TemporaryDirectory() as folder:
        manifest = json.loads(prepare_manifest(Home(Path(folder)), Settings()).read_text())
    return {"settings.md": settings_page(), "marts.md": marts_page(manifest), "lake.md": lake_page()}


def site(target: Path) -> None:
    """Write dbt's catalogue as one offline page."""
    with tempfile.TemporaryDirectory() as folder:
        home = Home(Path(folder))
        home.prepare()
        subprocess.run(
            [dbt_executable(), "docs", "generate", "--static", "--empty-catalog", "--project-dir", str(dbt_folder()),
             "--profiles-dir", str(dbt_folder()), "--target-path", f"{folder}/target"],
            check=True, env=child_environment(**dbt_environment(home, Settings())),
        )  # fmt: skip
        target.mkdir(exist_ok=True)
        shutil.copy(f"{folder}/target/static_index.html", target / "index.html")


if __name__ == "__main__":
    REFERENCE.mkdir(exist_ok=True)
    for file_name, text in pages().items():
        (REFERENCE / file_name).write_text(text)
    site(project_root() / "site")
