"""The dashboards are served to this machine only, unless people have to sign in."""

import sys
from pathlib import Path

import pytest

from dashboards import serve
from dashboards.serve import LOCAL_ADDRESS, ServeRefusedError, command, missing_sign_in
from pipelines.home import Home

COMPLETE = """
[auth]
redirect_uri = "https://charge.example/oauth2callback"
cookie_secret = "x"
client_id = "x"
client_secret = "x"
server_metadata_url = "https://id.example/.well-known/openid-configuration"
"""


def test_the_command_listens_on_this_machine_and_reports_to_nobody():
    args = command(8501)
    options = dict(zip(args[5::2], args[6::2], strict=True))
    assert args[1:4] == ["-m", "streamlit", "run"]
    assert args[4].endswith("dashboards/app.py")
    assert options["--server.address"] == LOCAL_ADDRESS == "127.0.0.1"
    assert options["--server.port"] == "8501"
    assert options["--server.headless"] == "true"
    assert options["--browser.gatherUsageStats"] == "false"


@pytest.mark.parametrize("address", ["0.0.0.0", "192.168.1.4", "::", "charge.example", ""])
def test_another_address_without_sign_in_is_refused(tmp_path, address):
    with pytest.raises(ServeRefusedError, match="cookie_secret"):
        command(8501, address, secrets=(tmp_path / "none.toml",))


def test_another_address_with_half_a_sign_in_is_refused_and_told_what_lacks(tmp_path):
    secrets = tmp_path / "secrets.toml"
    secrets.write_text(COMPLETE.replace('cookie_secret = "x"', 'cookie_secret = ""'))
    assert missing_sign_in((secrets,)) == ("cookie_secret",)
    with pytest.raises(ServeRefusedError, match="cookie_secret"):
        command(8501, "0.0.0.0", secrets=(secrets,))


def test_another_address_with_sign_in_is_served(tmp_path):
    secrets = tmp_path / "secrets.toml"
    secrets.write_text(COMPLETE)
    assert "0.0.0.0" in command(8501, "0.0.0.0", secrets=(secrets,))


def test_a_provider_with_a_section_of_its_own_is_sign_in_too(tmp_path):
    secrets = tmp_path / "secrets.toml"
    secrets.write_text(COMPLETE.replace("client_id", "[auth.corporate]\nclient_id"))
    assert missing_sign_in((secrets,)) == ()


def test_a_secrets_file_that_does_not_parse_is_refused_by_name(tmp_path):
    secrets = tmp_path / "secrets.toml"
    secrets.write_text("[auth")
    with pytest.raises(ServeRefusedError, match=r"secrets\.toml"):
        command(8501, "0.0.0.0", secrets=(secrets,))


def test_serving_hands_the_home_to_the_server_and_returns_its_code(tmp_path, monkeypatch):
    seen = tmp_path / "seen"
    write = f"pathlib.Path({str(seen)!r}).write_text(os.environ['CHARGEHOUSE_HOME'])"
    script = f"import os, pathlib; {write}; raise SystemExit(3)"
    monkeypatch.setattr(serve, "command", lambda port, address: [sys.executable, "-c", script])
    monkeypatch.chdir(tmp_path)
    assert serve.serve_dashboards(Home(Path("data")), 8501) == 3
    assert seen.read_text() == str(tmp_path / "data")
