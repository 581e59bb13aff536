"""Walks the peers of a home: version and endpoints, then module by module and window by window."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime, time, timedelta
from pathlib import Path

import httpx

from pipelines.home import Home
from pipelines.ocpi.pull.client import PeerClient
from pipelines.ocpi.pull.envelope import Envelope, PullError, one_line
from pipelines.ocpi.pull.paging import Crawl, PageRequest, count, next_link
from pipelines.ocpi.pull.peers import MODULES, VERSIONS, Peer, token_fault
from pipelines.ocpi.pull.store import LandedPages, PullRecord, only_pull, read_record, write_record

LAG = timedelta(seconds=30)  # a window ends this long ago: objects of the last seconds may not be listed yet
REREAD_EVERY = timedelta(days=7)
_PARALLEL_PEERS = 4
_HISTORY = ("cdrs", "sessions")  # modules that pile up; `since`, windows and the weekly second reading are for them
_WHOLE = ("tariffs",)  # always read whole: what is not listed any more is no longer offered
_BEGINNING = datetime(2009, 1, 1, tzinfo=UTC)  # before OCPI; 2.1.1 has no list of sessions without date_from

Say = Callable[[str, str, int, int | None], None]
TokenOf = Callable[[str], str | None]


@dataclass(frozen=True, slots=True)
class Window:
    """Bounds on last_updated, ``[start, end)``; None: open."""

    start: datetime | None
    end: datetime | None

    def misses(self, oldest: datetime | None, newest: datetime | None) -> bool:
        """Whether a span reaches out of the window by more than a clock's error."""
        day = timedelta(days=1)
        return bool(
            (self.start and oldest and oldest < self.start - day) or (self.end and newest and newest > self.end + day)
        )

    def filters(self) -> dict[str, str]:
        """Return the query parameters."""
        bounds = {"date_from": self.start, "date_to": self.end}
        return {name: f"{bound:%Y-%m-%dT%H:%M:%SZ}" for name, bound in bounds.items() if bound}


@dataclass(slots=True)
class PullResult:
    """What a pull did: a record per peer and module."""

    records: list[PullRecord] = field(default_factory=list)

    @property
    def failures(self) -> list[PullRecord]:
        """Records of what failed."""
        return [record for record in self.records if record.status == "failed"]


# -- versions and endpoints -------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Offer:
    """What a peer offers: the version to speak, and the address of each module."""

    version: str
    endpoints: dict[str, str]


def _dicts(envelope: Envelope, what: str) -> list[dict[str, object]]:
    if not isinstance(envelope.data, list):
        raise PullError(f"the peer's {what} are no list")
    return [item for item in envelope.data if isinstance(item, dict)]


def discover(client: PeerClient) -> Offer:
    """Ask a peer for its versions and, of the highest that both know, for its endpoints.

    Raises:
        PullError: The peer does not answer, or offers no version that we know.
    """
    peer = client.peer
    answer = client.get(peer.versions_url, is_functional=False)
    urls = {
        str(item["version"]).strip(): str(item["url"])
        for item in _dicts(answer.envelope, "versions")
        if item.get("version") and item.get("url")
    }
    wanted = [peer.version] if peer.version else list(VERSIONS)
    common = [version for version in wanted if version in urls]
    if not common:
        raise PullError(
            f"no version in common: the peer offers {one_line(', '.join(sorted(urls)) or 'none')}, "
            f"we look for {', '.join(wanted)} (GET {peer.versions_url})"
        )
    details = client.get(client.address(urls[common[-1]], answer.url), is_functional=False)
    if not isinstance(details.envelope.data, dict):
        raise PullError(f"the peer's details of version {common[-1]} are no object (GET {details.url})")
    listed = _dicts(Envelope(details.envelope.data.get("endpoints"), 1000), f"endpoints of version {common[-1]}")
    return Offer(
        common[-1], {module: url for module in MODULES if (url := _endpoint(listed, module, details.url, client))}
    )


def _endpoint(listed: list[dict[str, object]], module: str, base: str, client: PeerClient) -> str | None:
    """Return the address of a module's list: of the sender, where roles are told (2.1.1 tells none)."""

    def rank(item: dict[str, object]) -> int:
        # Tokens come from an EMSP, all else from a CPO; a 2.1.1 peer that is both tells it by the path at most.
        is_emsp = "/emsp/" in str(item.get("url")).lower()
        return int(is_emsp != (module == "tokens"))

    fitting = [
        item
        for item in listed
        if str(item.get("identifier")).lower() == module
        and item.get("url")
        and str(item.get("role") or "SENDER").upper() == "SENDER"
    ]
    return client.address(str(min(fitting, key=rank)["url"]), base) if fitting else None


# -- one module ---------------------------------------------------------------------------------------------------------


def plan_windows(
    peer: Peer, module: str, version: str, record: PullRecord | None, now: datetime
) -> tuple[list[Window], bool]:
    """Return the windows of time to ask for, oldest first, and whether they make up the weekly second reading.

    Args:
        peer: Whose overlap, first day and window length hold.
        module: The module.
        version: OCPI version.
        record: The last pull's record; None to read everything again.
        now: The present.
    """
    end = (now - LAG).replace(microsecond=0)
    if module in _WHOLE:
        return [Window(None, None)], False
    is_history = module in _HISTORY
    start = datetime.combine(peer.since, time(), UTC) if is_history and peer.since else None
    is_reread = False
    if record and record.watermark:
        last = record.last_reread_at
        is_due = bool(last) and now - datetime.fromisoformat(last) >= REREAD_EVERY
        is_reread = bool(is_history and peer.reread_days and is_due)
        again = datetime.fromisoformat(record.watermark) - timedelta(hours=peer.overlap_hours)
        if is_reread:
            again = min(again, now - timedelta(days=peer.reread_days))
        start = max(again, start or _BEGINNING)
    if start is None:
        is_unbounded = not (module == "sessions" and version == "2.1.1")
        return [Window(None if is_unbounded else _BEGINNING, end)], is_reread
    return list(_cut(min(start, end).replace(microsecond=0), end, timedelta(days=peer.window_days))), is_reread


def _cut(start: datetime, end: datetime, longest: timedelta) -> Iterator[Window]:
    while end - start > longest:
        yield Window(start, start + longest)
        # The bounds of 2.1.1 are not said to be inclusive: a second of overlap leaves nothing between two windows.
        start += longest - timedelta(seconds=1)
    yield Window(start, end)


def _latest(*times: datetime | None) -> datetime | None:
    return max((instant for instant in times if instant), default=None)


class _ModulePull:
    """Pulls one module of one peer; ``record`` tells how far it came."""

    def __init__(self, home: Home, client: PeerClient, record: PullRecord, say: Say) -> None:
        self._home = home
        self._client = client
        self._say = say
        self._pages = LandedPages(home, record.peer, record.module)
        self._newest: datetime | None = None
        self.record = record

    def windows(self, endpoint: str, windows: Sequence[Window]) -> None:
        """Pull windows of time; the watermark moves, on disk, after each that came whole."""
        before: frozenset[bytes] = frozenset()
        for window in windows:
            seen, oldest, newest = self._window(endpoint, window)
            # The same objects in two windows that do not meet, some from outside of them: they are all there are.
            is_unfiltered = bool(seen) and seen == before and window.misses(oldest, newest)
            before = seen
            self._advance(newest, window, is_unfiltered)
            write_record(self._home, self.record)
            if is_unfiltered:
                self._note("the peer does not filter by date")
                break

    def _note(self, text: str) -> None:
        if text not in self.record.notes:
            self.record.notes.append(text)

    def _window(self, endpoint: str, window: Window) -> tuple[frozenset[bytes], datetime | None, datetime | None]:
        """Pull one window whole; returns its objects' fingerprints and the span of their last_updated."""
        record = self.record
        crawl = Crawl(endpoint, window.filters(), self._client.peer.page_size)
        oldest: datetime | None = None
        newest: datetime | None = None
        objects_before = record.objects
        request: PageRequest | None = crawl.first()
        try:
            while request is not None:
                url = self._client.address(request.url, endpoint) if request.is_opaque else request.url
                answer = self._client.get(url, is_functional=True)
                total = count(answer.headers.get("x-total-count"))
                facts = answer.facts
                assert facts is not None
                oldest = min((instant for instant in (oldest, facts.oldest) if instant), default=None)
                newest = _latest(newest, facts.newest)
                record.pages += 1
                record.bytes_received += len(answer.body)
                link = next_link(answer.headers.get("link"))
                request, new = crawl.after(request, facts.fingerprints, link, total)
                record.objects += new
                if new and self._pages.add(answer.body, facts.data_hash, datetime.now(UTC)):
                    record.pages_landed += 1
                    record.objects_landed += len(facts.fingerprints)
                self._say(record.peer, record.module, record.objects, objects_before + total if total else None)
        finally:
            for note in crawl.notes:
                self._note(note)
        return crawl.seen, oldest, newest

    def _advance(self, newest: datetime | None, window: Window, is_unfiltered: bool) -> None:
        """Move the watermark to the newest object, but not beyond what was asked for: some clocks run ahead."""
        record = self.record
        self._newest = _latest(self._newest, newest)
        end = datetime.now(UTC) - LAG if window.end is None or is_unfiltered else window.end
        reached = min(self._newest, end) if self._newest else None
        before = datetime.fromisoformat(record.watermark) if record.watermark else None
        latest = _latest(reached, before)
        record.watermark = latest.isoformat() if latest else None
        record.window_from = window.start.isoformat() if window.start else None
        record.window_to = window.end.isoformat() if window.end else None


# -- one peer ------------------------------------------------------------------------------------------------------------


class _PeerPull:
    """Pulls the modules of one peer; a module that fails leaves the others be."""

    def __init__(self, home: Home, peer: Peer, modules: Sequence[str], *, is_full: bool, say: Say) -> None:
        self._home = home
        self._peer = peer
        self._modules = [module for module in MODULES if module in (peer.modules or MODULES) and module in modules]
        self._is_full = is_full
        self._say = say

    def run(self, connect: Callable[[Peer], PeerClient]) -> list[PullRecord]:
        """Pull; returns a record per module."""
        try:
            client = connect(self._peer)
        except PullError as error:
            return [self._end(self._begin(module), "failed", str(error)) for module in self._modules]
        with client:
            begun = [self._begin(module) for module in self._modules]
            try:
                offer = discover(client)
            except PullError as error:
                return [self._end(record, "failed", client.clean(str(error))) for record in begun]
            return [self._module(client, offer, module) for module in self._modules]

    def _module(self, client: PeerClient, offer: Offer, module: str) -> PullRecord:
        record = self._begin(module)
        record.ocpi_version = offer.version
        if module not in offer.endpoints:
            if self._peer.modules is None:
                return self._end(record, "not_offered")
            return self._end(record, "failed", f"the peer offers no {module} in version {offer.version}")
        now = datetime.now(UTC)
        known = None if self._is_full else record
        windows, is_reread = plan_windows(self._peer, module, offer.version, known, now)
        # The first reading of everything counts from its beginning, or one that is cut off would begin anew each time.
        record.last_reread_at = record.last_reread_at or now.isoformat()
        try:
            write_record(self._home, record)
            _ModulePull(self._home, client, record, self._say).windows(offer.endpoints[module], windows)
        except PullError as error:
            return self._end(record, "failed", client.clean(str(error)))
        if is_reread or self._is_full:
            record.last_reread_at = now.isoformat()
        return self._end(record, "ok")

    def _begin(self, module: str) -> PullRecord:
        """Begin a record: where the last pull came to, with nothing counted yet."""
        now = datetime.now(UTC).isoformat()
        before = read_record(self._home, self._peer.name, module)
        record = PullRecord(self._peer.name, module, "running", started_at=now, status_since=now)
        if before:
            for name in ("last_success_at", "watermark", "last_reread_at", "window_from", "window_to", "ocpi_version"):
                setattr(record, name, getattr(before, name))
            record.status_since, record.last_status = before.status_since, before.last_status
        return record

    def _end(self, record: PullRecord, status: str, error: str | None = None) -> PullRecord:
        """End a record and write it."""
        now = datetime.now(UTC)
        record.finished_at = now.isoformat()
        record.seconds = round((now - datetime.fromisoformat(record.started_at)).total_seconds(), 3)
        if record.last_status != status:
            record.status_since = record.finished_at
        record.status = record.last_status = status
        record.error = error
        if status == "ok":
            record.last_success_at = record.finished_at
        write_record(self._home, record)
        return record


# -- all peers -----------------------------------------------------------------------------------------------------------


def _connect(peer: Peer, token_of: TokenOf, transport: httpx.BaseTransport | None) -> PeerClient:
    token = token_of(peer.token_variable) or ""
    if fault := token_fault(token):
        raise PullError(f"the environment variable {peer.token_variable} {fault}")
    return PeerClient(peer, token, transport=transport)


def pull(  # noqa: PLR0913
    home: Home,
    peers: Sequence[Peer],
    token_of: TokenOf,
    *,
    modules: Sequence[str] = MODULES,
    is_full: bool = False,
    say: Say | None = None,
    transport: httpx.BaseTransport | None = None,
) -> PullResult:
    """Fetch what is new at the peers into the landing folder of a home. A peer that fails leaves the others be.

    Args:
        home: The home.
        peers: Whom to ask, from :func:`pipelines.ocpi.pull.peers.read_peers`.
        token_of: Gives the value of an environment variable by its name.
        modules: Modules to pull, of those that a peer is asked for.
        is_full: Read everything again, whatever was pulled before.
        say: Told the progress: peer, module, objects so far, objects to expect if the peer says.
        transport: Replaces the network, in tests.

    Returns:
        A record per peer and module.

    Raises:
        PullBusyError: Another pull works on this home.
    """
    clients: list[PeerClient] = []  # appending is atomic

    def connect(peer: Peer) -> PeerClient:
        client = _connect(peer, token_of, transport)
        clients.append(client)
        return client

    def one(peer: Peer) -> list[PullRecord]:
        pulling = _PeerPull(home, peer, modules, is_full=is_full, say=say or (lambda *_: None))
        return pulling.run(connect)

    with only_pull(home), ThreadPoolExecutor(max_workers=_PARALLEL_PEERS, thread_name_prefix="peer") as pool:
        try:
            return PullResult([record for records in pool.map(one, peers) for record in records])
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            for client in clients:
                client.stop()
            raise


@dataclass(frozen=True, slots=True)
class PeerCheck:
    """What a peer offers, or why it can't be asked."""

    peer: str
    offer: Offer | None
    error: str | None


def check_peers(
    peers: Sequence[Peer], token_of: TokenOf, *, transport: httpx.BaseTransport | None = None
) -> list[PeerCheck]:
    """Ask each peer for its versions and endpoints, and for nothing else."""
    results = []
    for peer in peers:
        try:
            with _connect(peer, token_of, transport) as client:
                try:
                    results.append(PeerCheck(peer.name, discover(client), None))
                except PullError as error:
                    raise PullError(client.clean(str(error))) from None
        except PullError as error:
            results.append(PeerCheck(peer.name, None, str(error)))
    return results


def peers_path(home: Home) -> Path:
    """Where the peers of a home are listed."""
    return home.root / "peers.toml"
