"""A small OCPI peer of our own: well-behaved unless told to misbehave, in memory or on loopback."""

import base64
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import httpx

from tests.peers.cdrs import cdr

TOKEN = "tok-3n-S3cret"
ENCODED = base64.b64encode(TOKEN.encode()).decode()


@dataclass(slots=True)
class Asked:
    """A request as the peer received it."""

    path: str
    query: dict[str, str]
    headers: dict[str, str]

    @property
    def module(self) -> str | None:
        """Which list is asked for."""
        name = self.path.strip("/").rpartition("/")[2]
        return name if name in ("cdrs", "tariffs", "locations", "sessions", "tokens") else None

    @property
    def offset(self) -> int:
        return int(self.query.get("offset", 0))


@dataclass(slots=True)
class Reply:
    """An answer. ``cut`` closes the connection after so many bytes of the body."""

    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    cut: int | None = None

    def json(self) -> Any:
        return json.loads(self.body)


Behaviour = Callable[["FakePeer", Asked, Reply], Reply | None]


def envelope(data: Any, status: int = 1000, message: str | None = None) -> bytes:
    answer = {"data": data, "status_code": status, "timestamp": "2026-05-01T00:00:00Z"}
    return json.dumps(answer | ({"status_message": message} if message else {})).encode()


class FakePeer:
    """An OCPI sender. ``behave`` sees every request with the good answer to it and may give another one.

    Attributes:
        lists: Objects per module.
        most: Most objects per page.
        asked: Requests so far.
        origin: Scheme, host and port it is reached at.
    """

    def __init__(
        self,
        lists: dict[str, list[dict[str, Any]]] | None = None,
        *,
        behave: Behaviour | None = None,
        most: int = 100,
        version: str = "2.2.1",
        accepts: str = f"Token {ENCODED}",
    ) -> None:
        self.lists = {"cdrs": [cdr(number) for number in range(250)]} if lists is None else lists
        self.behave = behave
        self.most = most
        self.version = version
        self.accepts = accepts
        self.origin = "http://peer.test"
        self.asked: list[Asked] = []

    # -- answering ------------------------------------------------------------------------------------------------

    def answer(self, asked: Asked) -> Reply:
        self.asked.append(asked)
        reply = self._good(asked)
        changed = self.behave(self, asked, reply) if self.behave else None
        return changed or reply

    def _good(self, asked: Asked) -> Reply:
        if asked.headers.get("authorization") != self.accepts:
            return Reply(401, {}, b'{"detail": "who are you?"}')
        if asked.path == "/ocpi/versions":
            data: Any = [{"version": self.version, "url": f"{self.origin}/ocpi/{self.version}"}, {"version": "1.0"}]
            return Reply(body=envelope(data))
        if asked.path == f"/ocpi/{self.version}":
            role = {} if self.version == "2.1.1" else {"role": "SENDER"}
            endpoints = [{"identifier": name, "url": f"{self.origin}/ocpi/{name}", **role} for name in self.lists]
            return Reply(body=envelope({"version": self.version, "endpoints": endpoints}))
        if asked.module not in self.lists:
            return Reply(404, {}, b"{}")
        return self._page(asked, self.filtered(asked))

    def filtered(self, asked: Asked) -> list[dict[str, Any]]:
        start, end = asked.query.get("date_from", ""), asked.query.get("date_to", "9999")
        return [item for item in self.lists[asked.module or ""] if start <= str(item["last_updated"]) < end]

    def _page(self, asked: Asked, found: list[dict[str, Any]]) -> Reply:
        limit = min(int(asked.query.get("limit", self.most)), self.most)
        end = asked.offset + limit
        headers = {"X-Total-Count": str(len(found)), "X-Limit": str(self.most)}
        if end < len(found):
            query = {**asked.query, "offset": str(end), "limit": str(limit)}
            headers["Link"] = f'<{self.origin}{asked.path}?{urlencode(query)}>; rel="next"'
        return Reply(headers=headers, body=envelope(found[asked.offset : end]))

    def pages_asked(self, module: str = "cdrs") -> list[Asked]:
        return [asked for asked in self.asked if asked.module == module]

    # -- ways to reach it -----------------------------------------------------------------------------------------

    def transport(self) -> httpx.MockTransport:
        """Reach it without a network."""

        def handle(request: httpx.Request) -> httpx.Response:
            asked = Asked(
                request.url.path, dict(request.url.params), {k.lower(): v for k, v in request.headers.items()}
            )
            reply = self.answer(asked)
            return httpx.Response(reply.status, headers=reply.headers, content=reply.body)

        return httpx.MockTransport(handle)

    @contextmanager
    def on_loopback(self, tls: Any = None) -> Iterator["FakePeer"]:
        """Serve on a free port of 127.0.0.1 while the context lasts."""
        peer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            wbufsize = -1  # head and body in one packet: two would wait 40 ms for each other

            def do_GET(self) -> None:
                url = urlsplit(self.path)
                query = dict(parse_qsl(url.query, keep_blank_values=True))
                reply = peer.answer(Asked(url.path, query, {k.lower(): v for k, v in self.headers.items()}))
                self.send_response(reply.status)
                headers = {"Content-Type": "application/json", "Content-Length": str(len(reply.body))} | reply.headers
                for name, value in headers.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(reply.body if reply.cut is None else reply.body[: reply.cut])
                if reply.cut is not None:
                    self.close_connection = True

            def log_message(self, *_: object) -> None:
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *_: object) -> None:  # clients that are killed leave in mid-sentence
                pass

        server = Server(("127.0.0.1", 0), Handler)
        if tls:
            server.socket = tls.wrap_socket(server.socket, server_side=True)
        self.origin = f"{'https' if tls else 'http'}://127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        try:
            yield self
        finally:
            server.shutdown()
            server.server_close()
            thread.join()

    def entry(self, name: str = "quay", **options: Any) -> dict[str, Any]:
        """What peers.toml says of it; impatient, so that tests are quick."""
        settings = {"requests_per_second": 1000, "backoff_s": 0.01, "attempts": 3, "timeout_s": 5, "allow_http": True}
        return {
            "name": name,
            "versions_url": f"{self.origin}/ocpi/versions",
            "token_variable": "QUAY_TOKEN",
            **settings,
            **options,
        }


def peers_toml(*entries: dict[str, Any]) -> str:
    """Write peers.toml."""
    lines = []
    for entry in entries:
        lines.append("[[peer]]")
        for key, value in entry.items():
            shown = value if key == "since" else json.dumps(value)
            lines.append(f"{key} = {shown}")
    return "\n".join(lines) + "\n"
