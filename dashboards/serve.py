"""How the dashboards are started: the command line, and when to refuse.

Without sign-in the pages show every row to whoever reaches them, so they are served to this machine only.
"""

import subprocess
import sys
import tomllib
from pathlib import Path

from dashboards.access import is_loopback
from pipelines.home import Home
from pipelines.settings import child_environment

APP = Path(__file__).with_name("app.py")
LOCAL_ADDRESS = "127.0.0.1"
REQUIRED_AUTH_KEYS = ("redirect_uri", "cookie_secret", "client_id", "client_secret", "server_metadata_url")


class ServeRefusedError(Exception):
    """Starting as asked would show the network's data to strangers; the message says what to do instead."""


def secrets_files(app: Path = APP) -> tuple[Path, ...]:
    """Return where Streamlit looks for its secrets, later files winning."""
    folders = (Path.home(), Path.cwd(), app.parent)
    return tuple(dict.fromkeys(folder / ".streamlit" / "secrets.toml" for folder in folders))


def missing_sign_in(files: tuple[Path, ...]) -> tuple[str, ...]:
    """Return what OIDC sign-in still lacks in the secrets; empty when it is configured.

    Args:
        files: Secrets files, later ones winning.

    Raises:
        ServeRefusedError: A secrets file is no TOML.
    """
    auth: dict[str, object] = {}
    for path in files:
        if path.is_file():
            try:
                auth = {**auth, **tomllib.loads(path.read_text()).get("auth", {})}
            except tomllib.TOMLDecodeError as error:
                msg = f"{path}: {error}"
                raise ServeRefusedError(msg) from error
    # A provider may also have a section of its own, [auth.NAME]; then the keys of the client are there.
    providers = [value for value in auth.values() if isinstance(value, dict)]
    client = {**auth, **(providers[0] if providers else {})}
    return tuple(key for key in REQUIRED_AUTH_KEYS if not client.get(key))


def command(port: int, address: str = LOCAL_ADDRESS, secrets: tuple[Path, ...] | None = None) -> list[str]:
    """Return the command that serves the dashboards.

    Args:
        port: TCP port.
        address: Address to listen on. Anything but this machine's own loopback needs sign-in.
        secrets: Secrets files to look for sign-in in; None for Streamlit's usual places.

    Raises:
        ServeRefusedError: ``address`` reaches beyond this machine and sign-in is not configured.
    """
    if not is_loopback(address):
        missing = missing_sign_in(secrets_files() if secrets is None else secrets)
        if missing:
            msg = (
                f"refused to listen on {address}: other machines could read every row without signing in. Use "
                f"{LOCAL_ADDRESS}, or configure OIDC in .streamlit/secrets.toml; [auth] lacks {', '.join(missing)}"
            )
            raise ServeRefusedError(msg)
    options = {
        "server.address": address,
        "server.port": str(port),
        "server.headless": "true",
        "server.fileWatcherType": "none",
        "browser.gatherUsageStats": "false",
    }
    flags = [part for name, value in options.items() for part in (f"--{name}", value)]
    return [sys.executable, "-m", "streamlit", "run", str(APP), *flags]


def serve_dashboards(home: Home, port: int, address: str = LOCAL_ADDRESS) -> int:
    """Serve the dashboards of a home until they are stopped; returns the server's exit code, 0 after Ctrl-C.

    Args:
        home: The home folder whose published warehouse they show.
        port: TCP port.
        address: Address to listen on.

    Raises:
        ServeRefusedError: As :func:`command`.
    """
    args = command(port, address)
    # The child reads its home from its environment, like every process of the project.
    with subprocess.Popen(args, env=child_environment(CHARGEHOUSE_HOME=str(home.root.absolute()))) as server:
        try:
            return server.wait()
        except KeyboardInterrupt:
            server.terminate()
            server.wait()
            return 0
