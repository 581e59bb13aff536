"""``peers.toml``: whom to pull from. Tokens are named there by environment variable and never written in it."""

import ipaddress
import re
import tomllib
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

MODULES = (
    "tariffs",
    "locations",
    "tokens",
    "sessions",
    "cdrs",
)  # in the order they are pulled: what CDRs refer to first
VERSIONS = ("2.1.1", "2.2", "2.2.1", "2.3.0")  # that the decoder reads, lowest first

ModuleName = Literal["cdrs", "tariffs", "locations", "sessions", "tokens"]
_Party = Annotated[str, Field(pattern=r"^[A-Za-z]{2}\*[A-Za-z0-9]{3}$")]
_Host = Annotated[str, Field(pattern=r"^[A-Za-z0-9.\-\[\]:]+$")]


class PeersError(Exception):
    """``peers.toml`` is missing or wrong; the message says where and how."""


def is_loopback(host: str) -> bool:
    """Whether a host name is this machine."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class Peer(BaseModel):
    """One OCPI peer. Every key of ``peers.toml`` is a field here."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    name: str = Field(
        pattern=r"^[a-z0-9][a-z0-9._-]{0,62}$", description="Name of the peer, and of its folders in landing/ocpi."
    )
    versions_url: str = Field(description="The peer's versions endpoint, as it was handed out.")
    token_variable: str = Field(
        pattern=r"^[A-Z_][A-Z0-9_]{0,127}$", description="Name of the environment variable that holds the token."
    )
    token_encoding: Literal["auto", "base64", "raw"] = Field(
        "auto", description="How the token goes into the header; auto tries base64, then raw."
    )
    version: Literal["2.1.1", "2.2", "2.2.1", "2.3.0"] | None = Field(
        None, description="Version to speak; empty: the highest that both know."
    )
    modules: tuple[ModuleName, ...] | None = Field(
        None, min_length=1, description="Modules to pull; empty: every one of the five that the peer offers."
    )
    since: date | None = Field(
        None, description="First day (UTC, by last_updated) of CDRs and sessions to fetch; empty: all there are."
    )
    overlap_hours: float = Field(
        48, ge=0, le=24 * 366, description="Hours before the watermark that each pull reads again."
    )
    reread_days: int = Field(
        35, ge=0, le=3660, description="Days of CDRs and sessions that are read again once a week; 0: never."
    )
    window_days: int = Field(
        30, ge=1, le=3660, description="Longest window of a long backlog; a pull that dies resumes behind the last one."
    )
    page_size: int = Field(500, ge=1, le=100_000, description="Objects to ask for per page; the peer may give fewer.")
    requests_per_second: float = Field(5, gt=0, le=1000, description="Most requests per second to this peer.")
    attempts: int = Field(5, ge=1, le=20, description="Tries of one request before the module counts as failed.")
    backoff_s: float = Field(
        1,
        gt=0,
        le=600,
        description="Seconds before the second try; they double, unless the peer says when to come back.",
    )
    timeout_s: float = Field(60, gt=0, le=3600, description="Seconds to wait for the peer to send something.")
    max_page_mb: int = Field(64, ge=1, le=1024, description="Largest page that is accepted, in MB.")
    allowed_hosts: tuple[_Host, ...] = Field(
        (), description="Further hosts (`host` or `host:port`) that the peer may send us and the token to."
    )
    allow_http: bool = Field(False, description="Whether to talk without TLS to a host that is not this machine.")
    ca_file: Path | None = Field(
        None, description="Certificates of a private authority, PEM. TLS is always verified. Relative to peers.toml."
    )
    proxy: str | None = Field(None, description="URL of an HTTP proxy. Proxy variables of the environment are ignored.")
    our_party: _Party | None = Field(
        None, description="Our `CC*PID`, for the routing headers that hubs and platforms ask for."
    )
    their_party: _Party | None = Field(None, description="The peer's (or hub's) `CC*PID`, for the same headers.")

    @field_validator("versions_url")
    @classmethod
    def _is_plain_url(cls, value: str) -> str:
        url = urlsplit(value)
        if url.scheme not in ("https", "http") or not url.hostname:
            raise ValueError("must be a URL like https://ocpi.example.com/ocpi/versions")
        if url.username or url.password:
            raise ValueError("must not hold a user or password; tokens stand in environment variables")
        return value

    @model_validator(mode="after")
    def _is_safe(self) -> "Peer":
        url = urlsplit(self.versions_url)
        if url.scheme == "http" and not self.allow_http and not is_loopback(url.hostname or ""):
            raise ValueError(
                "versions_url is without TLS: the token could be read on the way (allow_http = true allows it)"
            )
        if (self.our_party is None) != (self.their_party is None):
            raise ValueError("our_party and their_party go together")
        return self

    @property
    def is_tls_required(self) -> bool:
        """Whether requests must go by https."""
        return urlsplit(self.versions_url).scheme == "https"


class _PeersFile(BaseModel):
    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    peer: list[Peer] = Field(default_factory=list)
    rounding: dict[str, str] = Field(default_factory=dict)  # read by pipelines.ocpi.rounding, for the audit
    rounding: dict[str, str] = Field(default_factory=dict)  # read by the audit: pipelines/ocpi/rounding.py


_HINTS = {
    ("peer", "token"): "a token never stands in this file: name its environment variable with token_variable",
    (
        "peer",
        "token_variable",
    ): "must be the NAME of an environment variable, in capitals; the token itself stands there",
}


def _problems(error: ValidationError, document: Mapping[str, Any]) -> str:
    """Say what is wrong, without any value: one of them might be a token in the wrong place."""
    texts = []
    for problem in error.errors(include_input=False, include_url=False):
        keys = [part for part in problem["loc"] if isinstance(part, str)]
        number = next((part for part in problem["loc"] if isinstance(part, int)), None)
        place = ".".join(keys[1:]) or ".".join(keys)
        if number is not None and keys[:1] == ["peer"]:
            entry = document["peer"][number]
            name = entry.get("name") if isinstance(entry, dict) else None
            place = f"peer {name if isinstance(name, str) and len(name) < 64 else number + 1}: " + ".".join(keys[1:])
        hint = _HINTS.get(tuple(keys[:2]))
        texts.append(f"{place.rstrip(': ')}: {hint or problem['msg'].removeprefix('Value error, ')}")
    return "; ".join(texts)


def read_peers(path: Path) -> list[Peer]:
    """Read and check ``peers.toml``.

    Args:
        path: The file; each peer is one ``[[peer]]`` table with the fields of :class:`Peer`.

    Returns:
        The peers in the file's order; empty if the file names none.

    Raises:
        PeersError: There is no such file, it is no TOML, or a key is missing, unknown or wrong.
    """
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        raise PeersError(f"no peers to pull from: {path} does not exist") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise PeersError(f"{path} is no TOML: {error}") from None
    try:
        peers = _PeersFile.model_validate(document).peer
    except ValidationError as error:
        raise PeersError(f"{path}: {_problems(error, document)}") from None
    names = [peer.name for peer in peers]
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise PeersError(f"{path}: several peers are called {', '.join(repeated)}")
    return [
        peer if peer.ca_file is None else peer.model_copy(update={"ca_file": path.parent / peer.ca_file})
        for peer in peers
    ]


def token_fault(token: str) -> str | None:
    """Say why a text can be no token, or None: it goes into a header, so white space and line ends would break out."""
    if not token:
        return "is not set"
    return None if re.fullmatch(r"[\x21-\x7e]+", token) else "holds white space or other characters that no token has"
