"""What an answer is: the OCPI envelope is checked on every answer, because HTTP 200 alone says nothing.

A peer may answer a token it does not know with HTTP 200, ``"data": []`` and ``"status_code": 3000``; taken for an empty
last page, that would lose CDRs without a word.
"""

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import blake2b, sha256
from typing import Any

_SHOWN = 200  # characters of a peer's own words in a message


class PullError(Exception):
    """Pulling can't go on here; the message says why, in one line."""


class RetryableError(PullError):
    """It may go better later: the network, the peer's load, a truncated answer.

    Attributes:
        retry_after_s: Seconds the peer asked to wait; None if it said nothing.
    """

    def __init__(self, message: str, retry_after_s: float | None = None) -> None:
        """Keep the wait beside the message."""
        super().__init__(message)
        self.retry_after_s = retry_after_s


class DeniedError(PullError):
    """The peer does not accept the token as it was sent."""


class ServerStatusError(RetryableError):
    """The envelope says 3xxx or 4xxx: the peer, or the hub before it, could not do it."""


class ClientStatusError(PullError):
    """The envelope says 2xxx: the peer does not accept the request."""


def one_line(text: object) -> str:
    """Return a peer's words in one printable line, cut to a length that a message bears."""
    words = " ".join("".join(c if c.isprintable() else " " for c in str(text)).split())
    return words if len(words) <= _SHOWN else words[: _SHOWN - 1] + "…"


@dataclass(frozen=True, slots=True)
class Envelope:
    """An answer that was accepted: status 1xxx and data."""

    data: Any
    status_code: int


def read_envelope(body: bytes) -> Envelope:
    """Check an answer's envelope (OCPI: ``data``, ``status_code``, ``status_message``, ``timestamp``).

    Floats are kept as the text they were written in, so that two amounts are equal only if they are written alike.

    Raises:
        RetryableError: The text is no whole JSON, or no envelope.
        ServerStatusError: Status 3xxx or 4xxx, also with HTTP 200 and empty data.
        ClientStatusError: Status 2xxx.
    """
    try:
        answer = json.loads(body, parse_float="float {}".format, parse_constant="constant {}".format)
    except RecursionError:
        raise PullError("the answer is nested too deeply") from None
    except ValueError as error:
        head = one_line(body[:60].decode("utf-8", "replace"))
        raise RetryableError(
            f"the answer of {len(body):,} bytes is no whole JSON ({error}); it begins {head!r}"
        ) from None
    if not isinstance(answer, dict) or "status_code" not in answer:
        raise RetryableError("the answer is JSON but no OCPI envelope: it has no status_code")
    try:
        status = int(answer["status_code"])  # some send it as a text
    except (TypeError, ValueError):
        raise RetryableError(f"the envelope's status_code is {one_line(answer['status_code'])!r}") from None
    words = answer.get("status_message")
    said = f"OCPI status {status}" + (f" ({one_line(words)})" if words else "")
    if 1000 <= status < 2000:
        return Envelope(answer.get("data"), status)
    if 2000 <= status < 3000:
        raise ClientStatusError(said)
    raise ServerStatusError(said)


@dataclass(frozen=True, slots=True)
class PageFacts:
    """What one page of objects holds."""

    fingerprints: tuple[bytes, ...]  # one per object, equal for equal objects
    data_hash: str  # 16 hex digits; equal for pages that differ only in the envelope's timestamp
    newest: datetime | None  # greatest last_updated
    oldest: datetime | None


def _instant(value: object) -> datetime | None:
    """Read a last_updated; OCPI lets the designator go, and then it is UTC. None for what is no instant."""
    if not isinstance(value, str):
        return None
    try:
        read = datetime.fromisoformat(value.strip().upper().replace(" ", "T"))
        return read.astimezone(UTC) if read.tzinfo else read.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        return None


def page_facts(envelope: Envelope) -> PageFacts:
    """Return what a page of a list holds.

    Raises:
        RetryableError: The data are no list. Status 1000 without data is no empty list either.
    """
    data = envelope.data
    if not isinstance(data, list):
        raise RetryableError(
            f"OCPI status {envelope.status_code}, but the data are {type(data).__name__.replace('NoneType', 'absent')}, no list"
        )
    texts = [json.dumps(item, sort_keys=True, separators=(",", ":")).encode() for item in data]
    times = [time for item in data if isinstance(item, dict) and (time := _instant(item.get("last_updated")))]
    return PageFacts(
        tuple(blake2b(text, digest_size=12).digest() for text in texts),
        sha256(b"\n".join(texts)).hexdigest()[:16],
        max(times, default=None),
        min(times, default=None),
    )
