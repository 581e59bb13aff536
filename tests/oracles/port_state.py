"""Port state second by second: the rules once more, in plain Python, to hold the dbt models against.

Nothing here is shared with the models: no SQL, no interval algebra. Every layer of evidence is an array with one cell
per second, a message paints its value from its second to the end, and the last paint wins.

Times are whole milliseconds since an epoch of the caller's choice.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

MS = 1000
DAY_MS = 86_400_000

RANKS = ("charging", "suspended_ev", "suspended_evse", "occupied", "available", "reserved", "unavailable", "faulted")
WORKING = frozenset(RANKS[:6])
STATES_16 = {
    "Available": "available",
    "Preparing": "occupied",
    "Charging": "charging",
    "SuspendedEV": "suspended_ev",
    "SuspendedEVSE": "suspended_evse",
    "Finishing": "occupied",
    "Reserved": "reserved",
    "Unavailable": "unavailable",
    "Faulted": "faulted",
}
STATES_2X = {s: s.lower() for s in ("Available", "Occupied", "Reserved", "Unavailable", "Faulted")}
Paint = tuple[str, str] | None  # state and codes
Span = tuple[int, int | None]  # start and end; no end if it goes on beyond the log
CHARGING = {"Charging": "charging", "SuspendedEV": "suspended_ev", "SuspendedEVSE": "suspended_evse"}


@dataclass(frozen=True)
class Line:
    """A line of a log: a frame, or a connect or disconnect (``event``)."""

    station: str
    received: int | None
    frame_id: str
    file: str
    direction: str = "from_station"
    message_type: int = 2
    message_id: str | None = None
    action: str | None = None
    connection: str | None = None
    result_status: str | None = None
    result_interval: int | None = None
    event: str | None = None

    @property
    def is_life(self) -> bool:
        if self.received is None:
            return False
        return self.event == "connect" if self.event else self.direction != "to_station"


@dataclass(frozen=True)
class Status:
    """A status; ``evse`` is None in 1.6."""

    station: str
    received: int | None
    event_at: int | None
    frame_id: str
    status: str
    evse: int | None = None
    connector: int | None = None
    error_code: str | None = None
    vendor_error_code: str | None = None


@dataclass(frozen=True)
class Transaction:
    """A 2.x TransactionEvent."""

    station: str
    received: int | None
    event_at: int | None
    frame_id: str
    event_type: str
    transaction_id: str
    evse: int | None = None
    connector: int | None = None
    charging_state: str | None = None
    seq_no: int | None = None
    offline: bool | None = None


@dataclass
class Log:
    """Everything of one log source."""

    lines: list[Line] = field(default_factory=list)
    statuses: list[Status] = field(default_factory=list)
    transactions: list[Transaction] = field(default_factory=list)


@dataclass(frozen=True)
class Interval:
    """One row of the expected ``fct_port_state``; seconds."""

    port: str
    state: str
    started: int
    ended: int | None
    known_until: int
    error_code: str | None
    vendor_error_code: str | None


@dataclass(frozen=True)
class _Gap:
    started: int
    ended: int | None
    until: int
    threshold: int
    disconnected: int | None


def port_states(log: Log, ports: dict[str, Sequence[tuple[str, int | None, int | None]]]) -> list[Interval]:
    """Return the expected intervals.

    Args:
        log: The lines and what they say.
        ports: Per port its connectors as (station, evse, connector).
    """
    if not log.lines:
        return []
    times = [line.received for line in log.lines if line.received is not None]
    # a log without any time reaches as far as the charger's clock says
    times = times or [m.event_at for m in (*log.statuses, *log.transactions) if m.event_at is not None]
    horizon = max(times)
    stations = {line.station for line in log.lines}
    gaps = {station: _gaps(log, station, horizon) for station in stations}
    holes = _holes(log, gaps, horizon)
    silences = {station: _offline(gaps[station], holes[station]) for station in stations}

    expected: list[Interval] = []
    for port, connectors in ports.items():
        station = connectors[0][0]
        expected += _one_port(
            log, port, connectors, gaps=gaps[station], offline=silences[station], holes=holes[station], horizon=horizon
        )
    return expected


def _granted(log: Log, station: str) -> list[tuple[int, int]]:
    """(time of the boot, interval it was granted), by pairing calls and answers on a stack."""
    lines = [x for x in log.lines if x.station == station and not x.event]
    unique = {x.frame_id: x for x in lines}.values()
    waiting: dict[tuple[str | None, str | None], list[Line]] = defaultdict(list)
    grants = []
    for line in sorted(unique, key=lambda x: (x.received is None, x.received or 0, x.message_type, x.frame_id)):
        stack = waiting[line.connection, line.message_id]
        if line.message_type == 2 and line.direction != "to_station":
            stack.append(line)
        elif line.message_type in (3, 4) and line.direction != "from_station" and stack:
            call = stack.pop()
            accepted = line.message_type == 3 and line.result_status == "Accepted" and line.result_interval is not None
            if call.action == "BootNotification" and accepted and call.received is not None:
                grants.append((call.received, line.received or 0, line.result_interval))
    return [(booted, interval) for booted, _, interval in sorted(grants)]


def _gaps(log: Log, station: str, horizon: int) -> list[_Gap]:
    """Every gap between signs of life, long or short."""
    grants = _granted(log, station)
    place = {None: 1, "disconnect": 2, "connect": 3}
    lines = [x for x in log.lines if x.station == station and x.received is not None]
    signs = sorted(
        (x.received, place[x.event], x.connection or "", i)
        for i, x in enumerate(lines)
        if x.is_life or x.event == "disconnect"
    )
    gaps = []
    started: int | None = None
    connection: str | None = None
    disconnected: int | None = None
    for *_, i in signs:
        line = lines[i]
        if line.is_life:
            if started is not None:
                gaps.append((started, line.received, disconnected))
            started, disconnected = line.received, None
            connection = line.connection or connection
        elif (
            started is not None
            and disconnected is None
            and (not line.connection or not connection or line.connection == connection)
        ):
            disconnected = line.received
    if started is not None:
        gaps.append((started, None, disconnected))
    found = []
    for begin, end, gone in gaps:
        until = horizon if end is None else end
        interval = 300
        for booted, granted in grants:
            if booted <= begin:
                interval = granted
        found.append(_Gap(begin, end, until, max(2 * interval + 30, 600) * MS, gone))
    return found


def _holes(log: Log, gaps: dict[str, list[_Gap]], horizon: int) -> dict[str, list[Span]]:
    """Holes of the source, per station known by then, as (start, end)."""
    life = sorted({x.received for x in log.lines if x.is_life})
    first = {s: min(g.started for g in gs) for s, gs in gaps.items() if gs}
    files: dict[str, list[int]] = defaultdict(list)
    for line in log.lines:
        if line.received is not None:
            files[line.file].append(line.received)
    holes: dict[str, list[Span]] = {station: [] for station in gaps}
    for begin, end in zip(life, [*life[1:], None], strict=True):
        until = horizon if end is None else end
        known = [s for s in first if first[s] <= begin]
        thresholds = [next(g.threshold for g in reversed(gaps[s]) if g.started <= begin) for s in known]
        if until - begin <= max(thresholds):
            continue
        if len(known) == 1:
            spanned = any(min(times) <= begin and max(times) >= until for times in files.values())
            if end is None or until - begin <= DAY_MS or spanned:
                continue
        for station in known:
            holes[station].append((begin, end))
    return holes


def _offline(gaps: Iterable[_Gap], holes: Iterable[Span]) -> list[Span]:
    """The parts of the gaps outside the holes that are long enough by themselves."""
    found = []
    for gap in gaps:
        if not (
            gap.until - gap.started > gap.threshold
            or (gap.disconnected is not None and gap.until - gap.disconnected > 60 * MS)
        ):
            continue
        cursor = gap.started
        pieces = []
        for begin, end in sorted(holes, key=lambda hole: hole[0]):
            if begin >= gap.started and (gap.ended is None or (end is not None and end <= gap.ended)):
                pieces.append((cursor, begin))
                cursor = end
                if end is None:
                    break
        if cursor is not None:
            pieces.append((cursor, gap.ended))
        for begin, end in pieces:
            until = gap.until if end is None else end
            silent = until - begin > gap.threshold
            cut = gap.disconnected is not None and until - max(begin, gap.disconnected) > 60 * MS
            if silent or cut:
                found.append((begin, end))
    return found


def _time(message: Status | Transaction, gaps: Sequence[_Gap]) -> int | None:
    """The time that counts for a message."""
    event, received = message.event_at, message.received
    if received is None or event is None:
        return event if received is None else received
    if event > received + 60 * MS:
        return received
    if event >= received - 120 * MS:
        return event
    if isinstance(message, Transaction) and message.offline and gaps and event >= gaps[0].started:
        return event
    for gap in gaps:
        counts = gap.until - gap.started > gap.threshold or (
            gap.disconnected is not None and gap.until - gap.disconnected > 60 * MS
        )
        if counts and gap.ended is not None and gap.started <= event < gap.ended <= received <= gap.ended + 300 * MS:
            return event
    return received


def _order(message: Status | Transaction, time: int) -> tuple:
    return (time, -1 if message.received is None else message.received)


def _one_port(  # noqa: PLR0912, PLR0915
    log: Log,
    port: str,
    connectors: Sequence[tuple[str, int | None, int | None]],
    *,
    gaps: list[_Gap],
    offline: list[Span],
    holes: list[Span],
    horizon: int,
) -> list[Interval]:
    station = connectors[0][0]
    named = {evse for _, evse, number in connectors if number}
    connectors = sorted((c for c in connectors if c[2] or c[1] not in named), key=lambda c: (c[1] or 0, c[2] or 0))
    last = horizon // MS

    statuses = []
    for status in {
        (s.frame_id, s.evse, s.connector, s.event_at, s.status, s.error_code): s for s in log.statuses
    }.values():
        time = _time(status, gaps)
        states = STATES_16 if status.evse is None else STATES_2X
        if status.station == station and time is not None and status.status in states:
            code = "" if status.error_code in (None, "NoError") else status.error_code
            codes = f"{code}|{status.vendor_error_code or ''}"
            key = (*_order(status, time), status.frame_id, status.status, codes)
            statuses.append((key, status, states[status.status], codes))
    statuses.sort(key=lambda entry: entry[0])

    transactions = []
    for event in {t.frame_id: t for t in log.transactions}.values():
        time = _time(event, gaps)
        if event.station == station and time is not None:
            seq = -1 if event.seq_no is None else event.seq_no
            transactions.append(((*_order(event, time), seq, event.frame_id), event))
    transactions.sort(key=lambda entry: entry[0])

    painted = [key[0] for key, *_ in statuses] + [key[0] for key, _ in transactions]
    if not painted:
        return []
    origin = min(*painted, horizon) // MS
    size = last - origin + 1

    def cell(time: int) -> int:
        return min(time, horizon) // MS - origin

    said_so: list[Paint] = [None]  # what a painted number stands for

    def blank() -> np.ndarray:
        return np.zeros(size, dtype=np.int32)

    def paint(layer: np.ndarray, time: int, value: Paint) -> None:
        said_so.append(value)
        layer[cell(time) :] = len(said_so) - 1

    layers = {connector: blank() for connector in connectors}
    override = blank()
    for key, status, state, codes in statuses:
        about_station = (status.connector if status.evse is None else status.evse) in (0, None)
        if about_station:
            paint(override, key[0], None if state in WORKING else (state, codes))
            continue
        for connector in connectors:
            _, evse, number = connector
            whole_evse = status.evse is not None and not status.connector
            if evse == status.evse and (whole_evse or number == status.connector):
                paint(layers[connector], key[0], (state, codes))

    charging = blank()
    where: dict[str, tuple[int | None, int | None]] = {}
    for _, event in transactions:
        evse, number = where.get(event.transaction_id, (None, None))
        where[event.transaction_id] = (event.evse or evse, event.connector or number)
    running: str | None = None
    ended: set[str] = set()
    said: dict[str, str] = {}
    for key, event in transactions:
        evse, number = where[event.transaction_id]
        here = evse is not None and any(c[1] == evse and number in (None, c[2]) for c in connectors)
        if not here or event.transaction_id in ended:
            continue
        if event.event_type == "Ended":
            ended.add(event.transaction_id)
            if event.transaction_id == running:
                paint(charging, key[0], None)
            continue
        running = event.transaction_id
        if event.charging_state:
            said[running] = event.charging_state
        state = CHARGING.get(said.get(running, ""))
        paint(charging, key[0], (state, "") if state else None)

    def covered(times: Iterable[Span]) -> np.ndarray:
        cells = np.zeros(size, dtype=bool)
        for begin, end in times:
            cells[max(begin // MS - origin, 0) : size if end is None else max(end // MS - origin, 0)] = True
        return cells

    is_offline, is_hole = covered(offline), covered(holes)

    result: list[Interval] = []
    previous = None
    for second in range(size):
        reported = [said for c in connectors if (said := said_so[layers[c][second]])]
        if not reported:
            continue
        state, codes = min(reported, key=lambda r: RANKS.index(r[0]))
        whole_station, transaction = said_so[override[second]], said_so[charging[second]]
        if whole_station and state in WORKING:
            state, codes = whole_station
        elif state == "occupied" and transaction:
            state = transaction[0]
        if is_offline[second]:
            state, codes = "offline", "|"
        if is_hole[second]:
            state, codes = "unknown", "|"
        if (state, codes) == previous:
            continue
        if result:
            result[-1] = _until(result[-1], second + origin)
        code, _, vendor = codes.partition("|")
        result.append(Interval(port, state, second + origin, None, last, code or None, vendor or None))
        previous = (state, codes)
    return result


def _until(interval: Interval, ended: int) -> Interval:
    return Interval(
        interval.port, interval.state, interval.started, ended, ended, interval.error_code, interval.vendor_error_code
    )
