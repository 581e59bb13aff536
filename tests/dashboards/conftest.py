"""Fixtures: four homes, and the settings and server options that the pages read."""

import importlib.util
from pathlib import Path

import pytest
import streamlit as st
from streamlit import config
from streamlit.testing.v1 import AppTest

from pipelines.settings import get_settings

HERE = Path(__file__).parent
APP = HERE.parents[1] / "dashboards" / "app.py"


@pytest.fixture(scope="session")
def homes_module():
    spec = importlib.util.spec_from_file_location("homes", HERE / "homes.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def homes(tmp_path_factory, homes_module):
    """Home folders by what was published in them: ``full``, ``one_row``, ``no_rows``, ``unpublished``."""
    root = tmp_path_factory.mktemp("homes")
    homes_module.publish(root / "full", "full")
    homes_module.publish(root / "one_row", "one_row")
    homes_module.publish(root / "no_rows", None)
    (root / "unpublished").mkdir()
    return root


@pytest.fixture
def use_home(homes, monkeypatch):
    """Return a function that points the dashboards at one of the homes."""

    def use(name: str) -> Path:
        monkeypatch.setenv("CHARGEHOUSE_HOME", str(homes / name))
        get_settings.cache_clear()
        st.cache_data.clear()
        return homes / name

    yield use
    get_settings.cache_clear()


@pytest.fixture
def ask(homes, homes_module):
    """Return a function that asks a home's published version directly, by a way the dashboards do not share."""
    return lambda name, sql: homes_module.ask(homes / name / "warehouse" / "chargehouse.duckdb", sql)


@pytest.fixture
def served_on():
    """Return a function that says on which address the server listens; put back afterwards."""
    config.get_config_options()
    before = config.get_option("server.address")
    yield lambda address: config.set_option("server.address", address)
    config.set_option("server.address", before)


@pytest.fixture
def open_page(use_home, served_on):
    """Return a function that opens a page of a home as a role, as a browser on this machine would."""
    served_on("127.0.0.1")

    def open_(home: str, page: str | None = None, **query: str) -> AppTest:
        use_home(home)
        at = AppTest.from_file(str(APP), default_timeout=60)
        for key, value in query.items():
            at.query_params[key] = value
        at.run()
        if page:
            at.switch_page(f"app_pages/{page}.py").run()
        assert not at.exception, at.exception
        return at

    return open_
