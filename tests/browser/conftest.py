"""A real server on homes made for the test, and a real Chromium that looks at it."""

import importlib.util
import os
import shutil
import socket
import subprocess
import time
import urllib.request
from contextlib import contextmanager
from pathlib import Path

import pytest

from dashboards.serve import command

ROOT = Path(__file__).resolve().parents[2]
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
START_SECONDS = 60


def _load_homes():
    spec = importlib.util.spec_from_file_location("homes", ROOT / "tests" / "dashboards" / "homes.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


homes = _load_homes()


@contextmanager
def serving(home: Path):
    """Serve ``home`` as ``chargehouse serve`` does, on a free port; yields the address of the server."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    log = (home / "server.log").open("w")
    process = subprocess.Popen(
        command(port),
        cwd=home,
        env={**os.environ, "CHARGEHOUSE_HOME": str(home), "PYTHONPATH": str(ROOT)},
        stdout=log,
        stderr=subprocess.STDOUT,
    )
    url = f"http://127.0.0.1:{port}"
    try:
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                with urllib.request.urlopen(f"{url}/_stcore/health", timeout=2):
                    break
            except OSError:
                if process.poll() is not None or time.monotonic() > deadline:
                    pytest.fail(f"the server did not start:\n{(home / 'server.log').read_text()}")
                time.sleep(0.2)
        yield url
    finally:
        process.terminate()
        process.wait(10)
        log.close()


@pytest.fixture(scope="session")
def full_home(tmp_path_factory):
    root = tmp_path_factory.mktemp("browser") / "full"
    homes.publish(root, "full")
    return root


@pytest.fixture(scope="session")
def server(full_home):
    with serving(full_home) as url:
        yield url


@pytest.fixture(scope="session")
def unpublished_server(tmp_path_factory):
    root = tmp_path_factory.mktemp("unpublished")
    with serving(root) as url:
        yield url


@pytest.fixture(scope="session")
def browser():
    """Chromium of the system, headless; skips where there is none."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    if not CHROMIUM:
        pytest.skip("no chromium on this machine: the pages were not looked at in a browser")
    with playwright.sync_playwright() as p:
        chromium = p.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield chromium
        chromium.close()


@pytest.fixture(scope="session")
def artifacts() -> Path:
    """Folder for the screenshots (not in git)."""
    folder = ROOT / "artifacts" / "screenshots"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@pytest.fixture(scope="session")
def ask(full_home):
    """Return a function that asks the published version directly."""
    return lambda sql: homes.ask(full_home / "warehouse" / "chargehouse.duckdb", sql)
