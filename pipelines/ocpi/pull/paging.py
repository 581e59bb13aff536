"""Where the next page is: pure decisions from the headers of one page, without any network.

A ``Link`` tells that there is more and at which offset. Path and filters stay our own wherever the link counts by offset:
peers in the field send links with another host or scheme, a mangled path, or without the filters and the limit they
were asked with. Without a link, ``X-Total-Count`` tells; without both, pages are asked for until one gives nothing new.
Reading a stretch twice is harmless (the same record counts once), leaving one out is not: every doubt is settled that way.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, urlencode, urljoin, urlsplit, urlunsplit

from pipelines.ocpi.pull.envelope import PullError

# Pages in a row that may give nothing new: objects that arrive while we read push others onto the next page, and some
# peers filter after they cut the pages. Three in a row are a circle.
MAX_BARREN_PAGES = 3
MAX_STEPS_BACK = 20  # pages read again because the list became shorter; some peers' totals flutter
MAX_PAGES = 200_000  # of one window: 10 million objects at the 50 per page that peers give by default

_LINK = re.compile(r"<([^<>]*)>([^<]*)")
_REL = re.compile(r""";\s*rel\s*=\s*(?:"([^"]*)"|'([^']*)'|([^\s;,"']+))""", re.IGNORECASE)
_OURS = {"offset", "limit", "date_from", "date_to"}
_NO_VALUE = {"", "none", "null", "undefined"}


class LoopError(PullError):
    """The peer's pages lead in a circle."""


def next_link(header: str | None) -> str | None:
    """Return the target of ``rel="next"`` in a Link header (RFC 8288); None if there is none, or the header is empty.

    A single link without any ``rel`` is taken for the next page.
    """
    links = _LINK.findall(header or "")
    for target, parameters in links:
        rel = _REL.search(parameters)
        words = next((group for group in rel.groups() if group is not None), "").lower().split() if rel else []
        if "next" in words or (rel is None and len(links) == 1):
            return target.strip() or None
    return None


def count(header: str | None) -> int | None:
    """Read X-Total-Count or X-Limit; None for what is absent or no whole number."""
    text = (header or "").strip()
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 15 else None


def with_query(url: str, parameters: Mapping[str, str]) -> str:
    """Return a URL with parameters set, keeping the others it has."""
    parts = urlsplit(url)
    query = dict(parse_qsl(parts.query, keep_blank_values=True)) | parameters
    return urlunsplit(parts._replace(query=urlencode(query), fragment=""))


@dataclass(frozen=True, slots=True)
class PageRequest:
    """A page to ask for. ``is_opaque`` means the peer made up the URL: its host has to be checked."""

    url: str
    offset: int
    is_opaque: bool = False


@dataclass(slots=True)
class Crawl:
    """Walks the pages of one list, from the first request to the end.

    Attributes:
        endpoint: URL of the list, as discovered.
        filters: Our filters, repeated with every page.
        limit: Objects to ask for per page.
        received: Objects received, repeats included.
        distinct: Objects received that differ from all before.
        total: Last X-Total-Count.
        notes: What was odd, in words; each once.
    """

    endpoint: str
    filters: Mapping[str, str]
    limit: int
    received: int = 0
    total: int | None = None
    pages: int = 0
    notes: list[str] = field(default_factory=list)
    _seen: set[bytes] = field(default_factory=set)
    _urls: set[str] = field(default_factory=set)
    _last: tuple[bytes, ...] = ()
    _barren: int = 0
    _steps_back: int = 0
    _largest: int = 1
    _has_links: bool = False

    @property
    def seen(self) -> frozenset[bytes]:
        """Fingerprints of all objects received."""
        return frozenset(self._seen)

    @property
    def distinct(self) -> int:
        """Objects received that differ from all before."""
        return len(self._seen)

    def first(self) -> PageRequest:
        """Return the request of the first page."""
        return self._at(0)

    def _at(self, offset: int, extras: Mapping[str, str] | None = None) -> PageRequest:
        parameters = {**(extras or {}), **self.filters, "offset": str(offset), "limit": str(self.limit)}
        return PageRequest(with_query(self.endpoint, parameters), offset)

    def note(self, text: str) -> None:
        """Keep what was odd."""
        if text not in self.notes:
            self.notes.append(text)

    def after(
        self, request: PageRequest, fingerprints: tuple[bytes, ...], link: str | None, total: int | None
    ) -> tuple[PageRequest | None, int]:
        """Take in a page and say what to ask for next.

        Args:
            request: The page's request.
            fingerprints: One per object of the page.
            link: Target of its ``rel="next"``, as the peer wrote it.
            total: Its X-Total-Count.

        Returns:
            The next request, None at the end; and how many of the page's objects are new.

        Raises:
            LoopError: The pages repeat although there should be more, or never end.
        """
        before = len(self._seen)
        self._seen.update(fingerprints)
        new = len(self._seen) - before
        self.received += len(fingerprints)
        self.pages += 1
        self._urls.add(request.url)
        self._largest = max(self._largest, len(fingerprints))
        self._barren = 0 if new else self._barren + 1
        if self.pages >= MAX_PAGES:
            raise LoopError(f"the list does not end within {MAX_PAGES:,} pages")
        position = request.offset + len(fingerprints)
        is_shorter = total is not None and self.total is not None and total < self.total
        self.total = total if total is not None else self.total
        if is_shorter and request.offset and not request.is_opaque and self._steps_back < MAX_STEPS_BACK:
            # Objects left the list while we read it: those behind them moved up, some onto pages that were read before.
            self._steps_back += 1
            self._barren = 0
            self._urls.clear()
            return self._at(max(0, request.offset - self._largest)), new
        last, self._last = self._last, fingerprints
        following = self._following(request, len(fingerprints), position, link)
        is_short = self.total is not None and self.distinct < self.total
        if following is None:
            if is_short and fingerprints and fingerprints == last:
                raise self._repeat()
            if is_short:
                self.note(f"X-Total-Count says {self.total:,}, but {self.distinct:,} different objects came")
            return None, new
        if self._barren < MAX_BARREN_PAGES and following.url not in self._urls:
            return following, new
        if fingerprints and (is_short or self.total is None):
            raise self._repeat()
        self.note("the pages go on behind the last object")
        return None, new

    def _repeat(self) -> LoopError:
        of = f" of {self.total:,}" if self.total is not None else ""
        return LoopError(f"the pages repeat: after {self.distinct:,}{of} objects nothing new came any more")

    def _following(self, request: PageRequest, received: int, position: int, link: str | None) -> PageRequest | None:
        if link is not None:
            self._has_links = True
            return self._by_link(request, received, position, link)
        if self.total is not None:
            if position >= self.total:
                return None
            return self._at(position) if received else None
        if self._has_links or not received or self._barren:
            return None
        return self._at(position)  # neither link nor total: only the next page can tell

    def _by_link(self, request: PageRequest, received: int, position: int, link: str) -> PageRequest | None:
        target = urljoin(request.url, link)
        try:
            query = dict(parse_qsl(urlsplit(target).query, keep_blank_values=True))
        except ValueError:
            raise PullError("the Link header holds no readable URL") from None
        offset = count(query.get("offset"))
        if offset is None:
            if "offset" in query and received:
                self.note("the Link's offset is no number; went on by counting")
                return self._at(position)
            return PageRequest(target, position, is_opaque=True)
        if not received and self.total is not None and request.offset >= self.total:
            return None
        extras = {k: v for k, v in query.items() if k not in _OURS and v.lower() not in _NO_VALUE}
        if urlsplit(target)[:3] != urlsplit(request.url)[:3]:
            self.note("the Link leads to another address; went on at the endpoint itself")
        if offset <= request.offset:
            if not received:
                return None
            self.note("the Link does not lead forward; went on by counting")
            return self._at(position, extras)
        # A page may hold fewer objects than the link skips: the peer's limit is lower, or it left some out.
        return self._at(min(offset, position) if received else offset, extras)
