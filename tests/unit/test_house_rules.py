"""Doors that stay shut, and texts that are written from code and must not be stale."""

import ast
import re
from pathlib import Path

import pytest

from pipelines.settings import Settings, project_root
from pipelines.warehouse.dbt_sources import sources_path, sources_yaml

ROOT = project_root()
CODE = [path for folder in ("pipelines", "dashboards") for path in sorted((ROOT / folder).rglob("*.py"))]


def imports_of(path: Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return names


@pytest.mark.parametrize("room", ["ocpp", "ocpi", "registry", "simulator", "reports", "alerts"])
def test_decoders_know_no_orchestrator_and_no_page(room: str):
    for path in sorted((ROOT / "pipelines" / room).rglob("*.py")):
        wrong = {
            name for name in imports_of(path) if name.split(".")[0] in ("dagster", "dagster_dbt", "streamlit", "dbt")
        }
        assert wrong == set(), path


def test_dashboards_know_only_settings_and_home():
    allowed = re.compile(r"pipelines(\.(settings|home)(\..+)?)?$")
    for path in sorted((ROOT / "dashboards").rglob("*.py")):
        wrong = {name for name in imports_of(path) if name.startswith("pipelines") and not allowed.match(name)}
        assert wrong == set(), path


def test_only_settings_reads_the_environment():
    allowed = {"settings.py"}
    readers = re.compile(r"os\.(environ|getenv)|from os import (environ|getenv)")
    found = {
        str(path.relative_to(ROOT)) for path in CODE if path.name not in allowed and readers.search(path.read_text())
    }
    assert found == set()


def test_charts_know_no_streamlit():
    assert not {name for name in imports_of(ROOT / "dashboards" / "charts.py") if name.startswith("streamlit")}


def test_dbt_sources_are_written_from_the_lake():
    assert sources_path().read_text() == sources_yaml(), "run `python -m pipelines.warehouse.dbt_sources`"


def test_every_setting_says_what_it_does():
    assert [name for name, field in Settings.model_fields.items() if not field.description] == []


def test_the_lock_pins_with_hashes_and_names_no_address():
    text = (ROOT / "requirements.lock").read_text()
    assert not re.search(r"https?://|file://|--index|--find-links", text)
    pins = re.findall(r"^([A-Za-z0-9._-]+(?:\[[^\]]+\])?)==", text, flags=re.MULTILINE)
    assert len(pins) > 100
    for block in re.split(r"\n(?=\S)", text):
        if "==" in block.split("\n")[0]:
            assert "--hash=sha256:" in block, block.split("\n")[0]


def test_nothing_names_a_machine_or_a_private_folder():
    words = re.compile(r"/(?:work|root)/|\.\./shared/(?!data|vectors)")
    for folder in ("pipelines", "dashboards", "dbt", "docs", "benchmarks"):
        for path in sorted((ROOT / folder).rglob("*")):
            if path.suffix in (".py", ".sql", ".yml", ".md", ".csv", ".toml") and "target" not in path.parts:
                assert not words.search(path.read_text()), path
