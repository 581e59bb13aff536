"""Looks for alerts and tells each of them once to every channel.

A channel that fails is tried again at the next look; the others are not told twice. An alert that is over is forgotten, so
that it is told anew if it comes back; one that a channel could not be told stays until it can, for a week.
"""

import hashlib
import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from pipelines import runs
from pipelines.alerts import ledger as ledgers
from pipelines.alerts.find import SEVERITY, Limits, find
from pipelines.alerts.ledger import Entry, Ledger
from pipelines.home import Home
from pipelines.settings import Settings

# What depends on the clock (silence) is looked at again without a new version.
_LOOK_AGAIN = timedelta(hours=1)
_UNTOLD_KEPT = timedelta(days=7)
# A message lists this many alerts; the rest is a number and a link.
LISTED = 20

Send = Callable[[str, str, str], bool]


@dataclass(frozen=True, slots=True)
class Channel:
    """Where alerts go. ``id`` is a hash, ``name`` says number and kind: neither shows the URL."""

    id: str
    name: str
    url: str = field(repr=False)


@dataclass(slots=True)
class Look:
    """What one look did."""

    lasting: int = 0
    new: list[str] = field(default_factory=list)
    over: list[str] = field(default_factory=list)
    told: dict[str, int] = field(default_factory=dict)
    failed: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        """One line for people."""
        words = [f"{self.lasting} alert(s) last, {len(self.new)} new, {len(self.over)} over"]
        words += [f"{count} told to {name}" for name, count in self.told.items()]
        words += [f"{name} could not be reached, tried again at the next look" for name in self.failed]
        return "; ".join(words)


def channels(settings: Settings) -> list[Channel]:
    """Return the channels of the settings."""
    urls = settings.alert_urls.get_secret_value().split() if settings.alert_urls else []
    return [
        Channel(
            hashlib.sha256(url.encode()).hexdigest()[:12],
            f"channel {number} ({url.partition('://')[0] if '://' in url else 'no URL'})",
            url,
        )
        for number, url in enumerate(dict.fromkeys(urls), start=1)
    ]


def limits(settings: Settings) -> Limits:
    """Return when something is worth telling, by the settings."""
    return Limits(settings.alert_outage_h, settings.alert_silence_h, tuple(settings.alert_policies))


def send_by_apprise(url: str, title: str, body: str) -> bool:
    """Send one message; returns whether the service took it. Apprise's own log is off, since it may show the URL."""
    import apprise  # noqa: PLC0415  (0.3 s, and only where there is something to tell)

    logging.getLogger("apprise").setLevel(logging.CRITICAL + 1)
    service = apprise.Apprise()
    if not service.add(url):
        return False
    return bool(service.notify(body=body, title=title, body_format=apprise.NotifyFormat.TEXT))


def seen_now(home: Home) -> str:
    """Return what a look would look at: the version that is published and the newest run that ended."""
    version = home.current_version()
    ended = [run for run in runs.read_runs(home) if run.status not in ("running", "unchanged")]
    newest = f"{ended[-1].run_id} {ended[-1].status}" if ended else ""
    return f"{version.stem if version else ''}|{newest}"


def is_due(home: Home, settings: Settings, now: datetime) -> bool:
    """Return whether there is something to look at: a new version or run, an untold alert, or an hour gone."""
    ledger = ledgers.read(home)
    if ledger.looked_at is None or ledger.seen != seen_now(home):
        return True
    ids = {channel.id for channel in channels(settings)}
    return bool(
        any(ids - set(entry.told_at) for entry in ledger.entries.values())
        or now - datetime.fromisoformat(ledger.looked_at) >= _LOOK_AGAIN
    )


def look(home: Home, settings: Settings, now: datetime | None = None, send: Send = send_by_apprise) -> Look | None:
    """Find what is worth telling and tell each channel what it was not told yet.

    Args:
        home: The home.
        settings: Limits, channels and where the dashboards are.
        now: The present instant; the clock's without one.
        send: Takes URL, title and body, returns whether the message was taken.

    Returns:
        What was done; None if another process looks at this moment.
    """
    now = now or datetime.now(UTC)
    with ledgers.alone(home) as is_mine:
        if not is_mine:
            return None
        ledger = ledgers.read(home)
        seen = seen_now(home)
        result = _update(ledger, home, settings, now)
        ledger.looked_at, ledger.seen = now.isoformat(), seen
        ledgers.write(home, ledger)
        for channel in channels(settings):
            _tell(home, ledger, channel, settings=settings, now=now, send=send, result=result)
        _forget(ledger, settings, now)
        ledgers.write(home, ledger)
    return result


def _update(ledger: Ledger, home: Home, settings: Settings, now: datetime) -> Look:
    """Bring the ledger up to date with what is found."""
    result = Look()
    found = {alert.key: alert for alert in find(home, limits(settings), now)}
    for key, alert in found.items():
        entry = ledger.entries.get(key)
        if entry is None or entry.over_at is not None:
            # one that came back before all channels knew of it is a new one
            ledger.entries[key] = Entry(alert.kind, alert.title, alert.text, alert.page, now.isoformat())
            result.new.append(key)
        else:
            entry.title, entry.text, entry.page = alert.title, alert.text, alert.page
    for key, entry in ledger.entries.items():
        if key not in found and entry.over_at is None:
            entry.over_at = now.isoformat()
            result.over.append(key)
    result.lasting = len(found)
    return result


def _tell(  # noqa: PLR0913
    home: Home, ledger: Ledger, channel: Channel, *, settings: Settings, now: datetime, send: Send, result: Look
) -> None:
    untold = [entry for entry in ledger.entries.values() if channel.id not in entry.told_at]
    # what is over is told only to a channel that failed before, or it would be told and withdrawn in one look
    untold = [entry for entry in untold if entry.over_at is None or entry.over_at != now.isoformat()]
    if not untold:
        return
    title, body = message(untold, settings.dashboard_url)
    try:
        is_taken = send(channel.url, title, body)
    except Exception:  # whatever a service's library raises: the other channels must still be told
        is_taken = False
    if not is_taken:
        result.failed.append(channel.name)
        return
    for entry in untold:
        entry.told_at[channel.id] = now.isoformat()
    result.told[channel.name] = len(untold)
    ledgers.write(home, ledger)  # before the next channel: a crash must not tell this one twice


def _forget(ledger: Ledger, settings: Settings, now: datetime) -> None:
    """Drop alerts that are over and told to every channel, or over for a week."""
    ids = {channel.id for channel in channels(settings)}
    for key, entry in list(ledger.entries.items()):
        if entry.over_at is None:
            continue
        is_told = not (ids - set(entry.told_at))
        if is_told or now - datetime.fromisoformat(entry.over_at) > _UNTOLD_KEPT:
            del ledger.entries[key]


def message(entries: list[Entry], dashboard_url: str) -> tuple[str, str]:
    """Return title and body of one message about some alerts, the most urgent first."""
    base = dashboard_url.rstrip("/")
    ordered = sorted(entries, key=lambda entry: (SEVERITY.get(entry.kind, 9), entry.found_at, entry.title))
    if len(ordered) == 1:
        (entry,) = ordered
        return f"chargehouse: {entry.title}", f"{_sentence(entry)}\n\n{base}/{entry.page}"
    lines = [f"- {_sentence(entry)}" for entry in ordered[:LISTED]]
    if len(ordered) > LISTED:
        lines.append(f"- and {len(ordered) - LISTED} more")
    pages = dict.fromkeys(entry.page for entry in ordered)
    links = "\n".join(f"{base}/{page}" for page in pages)
    return f"chargehouse: {len(ordered)} alerts, first {ordered[0].title}", "\n".join(lines) + f"\n\n{links}"


def _sentence(entry: Entry) -> str:
    return f"{entry.text} (Over by now.)" if entry.over_at else entry.text
