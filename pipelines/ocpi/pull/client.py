"""Asks one peer over HTTP: the token on every request, pauses and retries, a bound on size, and no other host."""

import base64
import json
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from importlib.metadata import PackageNotFoundError, version
from urllib.parse import urljoin, urlsplit, urlunsplit
from uuid import uuid4

import httpx
import tenacity

from pipelines.ocpi.pull.envelope import (
    ClientStatusError,
    DeniedError,
    Envelope,
    PageFacts,
    PullError,
    RetryableError,
    ServerStatusError,
    one_line,
    page_facts,
    read_envelope,
)
from pipelines.ocpi.pull.paging import count
from pipelines.ocpi.pull.peers import Peer

CONNECT_TIMEOUT_S = 10
PAGE_DEADLINE_S = 600  # a page that trickles in for longer is given up, although each byte came in time
MAX_WAIT_S = 300  # a peer that asks for a longer pause is left until the next pull
MAX_REDIRECTS = 3
_ERROR_BODY_BYTES = 4096  # of an answer that is an error anyway
_RETRIED_STATUS = {408, 425, 429}
_ENCODINGS = {"", "identity", "gzip", "deflate"}  # a piece of others could unpack to any size before it is counted
_PORTS = {"https": 443, "http": 80}


@dataclass(frozen=True, slots=True)
class Answer:
    """An accepted answer: its bytes as received, its envelope, and the headers that tell of further pages."""

    body: bytes
    envelope: Envelope
    headers: httpx.Headers
    url: str
    facts: PageFacts | None = None  # of a list


def _user_agent() -> str:
    try:
        return f"chargehouse/{version('chargehouse')}"
    except PackageNotFoundError:  # a checkout that is not installed
        return "chargehouse"


def retry_after_s(header: str | None, now: datetime) -> float | None:
    """Return the seconds that a Retry-After header asks to wait: a number, or a date (RFC 9110, 10.2.3)."""
    text = (header or "").strip()
    if text.isdigit():
        return float(text[:9])
    try:
        until = parsedate_to_datetime(text)
    except ValueError:
        return None
    until = until if until.tzinfo else until.replace(tzinfo=UTC)
    return max(0.0, (until - now).total_seconds())


class PeerClient:
    """Talks to one peer; use as a context manager. Not for several threads at once."""

    def __init__(
        self,
        peer: Peer,
        token: str,
        *,
        transport: httpx.BaseTransport | None = None,
        sleep: Callable[[float], None] | None = None,
    ) -> None:
        """Make a client; nothing is asked yet.

        Args:
            peer: Whom to ask and how.
            token: The peer's token, in the clear.
            transport: Replaces the network, in tests.
            sleep: Waits some seconds. [default: until they are over or :meth:`stop` is called]

        Raises:
            PullError: The file of certificates can't be read.
        """
        self.peer = peer
        encoded = base64.b64encode(token.encode()).decode()
        self._headers_of = {"base64": f"Token {encoded}", "raw": f"Token {token}"}
        self._encodings = ["base64", "raw"] if peer.token_encoding == "auto" else [peer.token_encoding]
        self._secrets = sorted({token, encoded, encoded.rstrip("=")}, key=len, reverse=True)
        self._stopped = threading.Event()
        self._sleep = sleep or self._wait_or_stop
        self._next_at = 0.0
        self._correlation = str(uuid4())
        try:
            # the bundled authorities, those of the system, and the peer's own; verification is never off
            context = httpx.create_ssl_context(trust_env=False)
            context.load_default_certs()
            if peer.ca_file:
                context.load_verify_locations(peer.ca_file)
        except OSError as error:
            raise PullError(f"ca_file can't be read: {error.strerror or error}") from None
        self._http = httpx.Client(
            transport=transport,
            verify=context,
            trust_env=False,  # no token by .netrc, no proxy by accident
            proxy=None if transport else peer.proxy,
            follow_redirects=False,
            timeout=httpx.Timeout(peer.timeout_s, connect=min(CONNECT_TIMEOUT_S, peer.timeout_s)),
            headers={"User-Agent": _user_agent(), "Accept": "application/json", "Accept-Encoding": "gzip"},
        )

    def __enter__(self) -> "PeerClient":
        """Return the client."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the connections."""
        self._http.close()

    def stop(self) -> None:
        """End all waiting; the request under way is the last."""
        self._stopped.set()

    def _wait_or_stop(self, seconds: float) -> None:
        if self._stopped.wait(seconds):
            raise PullError("stopped")

    def clean(self, text: str) -> str:
        """Return a message without the token, whoever repeated it."""
        for secret in self._secrets:
            text = text.replace(secret, "***")
        return text

    # -- addresses ------------------------------------------------------------------------------------------------

    def address(self, url: str, base: str) -> str:
        """Return a URL that the peer gave us, made safe to send the token to.

        On the host of ``base`` the scheme and port of ``base`` hold: peers behind a proxy give out ``http`` for what is
        served by ``https``, others the reverse.

        Args:
            url: What the peer wrote, absolute or relative.
            base: The address we asked.

        Raises:
            PullError: It leads to another host that ``allowed_hosts`` does not name, or away from TLS.
        """
        try:
            target, ours = urlsplit(urljoin(base, url.strip())), urlsplit(base)
            port, our_port = target.port or _PORTS.get(target.scheme, 0), ours.port or _PORTS[ours.scheme]
        except ValueError:
            raise PullError(f"the peer gave an address that is none: {one_line(url)!r}") from None
        host = (target.hostname or "").lower()
        if target.scheme not in _PORTS or target.username or target.password:
            raise PullError(f"refused to go to {one_line(url)!r}: not a plain https address")
        is_default = {port, our_port} <= set(_PORTS.values())
        if host == (ours.hostname or "").lower() and (port == our_port or is_default):
            return urlunsplit(target._replace(scheme=ours.scheme, netloc=ours.netloc, fragment=""))
        allowed = {entry.lower() for entry in self.peer.allowed_hosts}
        if host not in allowed and f"{host}:{port}" not in allowed:
            raise PullError(
                f"refused to follow the peer to another host, {host}:{port}; "
                "if it is the peer's own, add it to allowed_hosts in peers.toml"
            )
        if self.peer.is_tls_required and target.scheme != "https":
            raise PullError(f"refused to follow the peer to {host}:{port} without TLS")
        return urlunsplit(target._replace(fragment=""))

    # -- requests -------------------------------------------------------------------------------------------------

    def get(self, url: str, *, is_functional: bool) -> Answer:
        """Ask for one URL until it is answered well, or the attempts are used up.

        Args:
            url: An address that :meth:`address` gave, or the configured one.
            is_functional: Whether it is a module's list (which hubs route by party), not versions.

        Raises:
            PullError: It was not answered well; the message says how often and how, and never holds the token.
        """
        retrying = tenacity.Retrying(
            retry=tenacity.retry_if_exception_type(RetryableError),
            stop=tenacity.stop_after_attempt(self.peer.attempts) | _asks_too_much,
            wait=_wait(self.peer.backoff_s),
            sleep=self._sleep,
            reraise=True,
        )
        try:
            return retrying(self._attempt, url, is_functional)
        except PullError as error:
            tries = retrying.statistics.get("attempt_number", 1)
            after = f", after {tries} attempts" if tries > 1 else ""
            shown = urlunsplit(urlsplit(url)._replace(fragment=""))
            raise type(error)(self.clean(f"{error}{after} (GET {shown})")) from None

    def _attempt(self, url: str, is_functional: bool) -> Answer:
        """Ask once; with ``auto``, in the other encoding too where the answer may be due to the token."""
        first: PullError | None = None
        for encoding in list(self._encodings):
            try:
                answer = self._once(url, encoding, is_functional)
            except (DeniedError, ClientStatusError, ServerStatusError) as error:
                first = first or error
                continue
            if encoding != self._encodings[0]:
                self._encodings.reverse()
            return answer
        assert first is not None
        raise first

    def _pace(self) -> None:
        """Wait until the next request is due."""
        now = time.monotonic()
        if self._next_at > now:
            self._sleep(self._next_at - now)
        self._next_at = max(now, self._next_at) + 1 / self.peer.requests_per_second

    def _headers(self, encoding: str, is_functional: bool) -> dict[str, str]:
        headers = {
            "Authorization": self._headers_of[encoding],
            "X-Request-ID": str(uuid4()),
            "X-Correlation-ID": self._correlation,
        }
        if is_functional and self.peer.our_party and self.peer.their_party:
            for direction, party in (("from", self.peer.our_party), ("to", self.peer.their_party)):
                country, _, party_id = party.upper().partition("*")
                headers |= {f"OCPI-{direction}-country-code": country, f"OCPI-{direction}-party-id": party_id}
        return headers

    def _once(self, url: str, encoding: str, is_functional: bool) -> Answer:
        headers = self._headers(encoding, is_functional)
        asked = url
        for _ in range(MAX_REDIRECTS + 1):
            self._pace()
            try:
                with self._http.stream("GET", url, headers=headers) as response:
                    if response.status_code not in (301, 302, 303, 307, 308):
                        return _answer(self._read(response), response.headers, url, is_list=is_functional)
                    location = response.headers.get("location", "")
            except httpx.TransportError as error:
                raise RetryableError(f"{type(error).__name__}: {one_line(error) or 'no answer'}") from None
            except (httpx.InvalidURL, httpx.DecodingError, httpx.StreamError) as error:
                raise RetryableError(f"{type(error).__name__}: {one_line(error)}") from None
            if not location:
                raise PullError("the peer redirects to nowhere")
            url = self.address(location, url)
        raise PullError(f"the peer redirects {MAX_REDIRECTS + 1} times from {asked}")

    def _read(self, response: httpx.Response) -> bytes:
        """Return the body of an answer that is good by its HTTP status; raise what the status means otherwise."""
        status = response.status_code
        is_good = status == 200
        bound = self.peer.max_page_mb * 1_000_000 if is_good else _ERROR_BODY_BYTES
        if response.headers.get("content-encoding", "identity").lower() not in _ENCODINGS:
            raise PullError(f"HTTP {status} in a content encoding that was not asked for")
        deadline = time.monotonic() + PAGE_DEADLINE_S
        parts, size = [], 0
        for part in response.iter_bytes():
            parts.append(part)
            size += len(part)
            if size > bound:
                if is_good:
                    raise PullError(
                        f"the page is larger than {self.peer.max_page_mb} MB; ask for fewer objects with page_size, "
                        "or raise max_page_mb"
                    )
                break
            if time.monotonic() > deadline:
                raise RetryableError(f"the page did not arrive within {PAGE_DEADLINE_S} s")
        body = b"".join(parts)
        if is_good:
            return body
        said = f"HTTP {status}" + _words(body)
        if status in (401, 403):
            raise DeniedError(f"{said}: the peer does not accept the token")
        if status in _RETRIED_STATUS or status >= 500:
            raise RetryableError(said, retry_after_s(response.headers.get("retry-after"), datetime.now(UTC)))
        raise PullError(said)


def _answer(body: bytes, headers: httpx.Headers, url: str, *, is_list: bool) -> Answer:
    """Check a body that came with HTTP 200."""
    envelope = read_envelope(body)
    if not is_list:
        return Answer(body, envelope, headers, url)
    if envelope.data is None and count(headers.get("x-total-count")) == 0:
        envelope = replace(envelope, data=[])  # nothing, and the peer says so
    return Answer(body, envelope, headers, url, page_facts(envelope))


def _words(body: bytes) -> str:
    """What an error's body says, where it is short JSON."""
    with suppress(ValueError, RecursionError):
        answer = json.loads(body)
        if isinstance(answer, dict):
            words = answer.get("status_message") or answer.get("detail") or answer.get("message")
            return f" ({one_line(words)})" if words else ""
    return ""


def _asks_too_much(state: tenacity.RetryCallState) -> bool:
    """Whether the peer asked for a longer pause than a pull can make."""
    error = state.outcome.exception() if state.outcome else None
    return isinstance(error, RetryableError) and (error.retry_after_s or 0) > MAX_WAIT_S


def _wait(backoff_s: float) -> Callable[[tenacity.RetryCallState], float]:
    """Wait as long as the peer asked, else twice as long each time, with a quarter of chance so that peers' loads part."""
    growing = tenacity.wait_exponential(multiplier=backoff_s, max=MAX_WAIT_S)
    chance = tenacity.wait_random(0, backoff_s / 4)

    def wait(state: tenacity.RetryCallState) -> float:
        error = state.outcome.exception() if state.outcome else None
        asked = error.retry_after_s if isinstance(error, RetryableError) else None
        return asked if asked is not None else growing(state) + chance(state)

    return wait
