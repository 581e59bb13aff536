"""Uptime second by second: the rules of SLA policies once more, in plain Python, to hold the dbt models against.

Nothing here is shared with the models: no SQL, no interval algebra. A port is a row of cells, one per second from an
origin that the caller chooses; every rule paints cells, and figures are counts of cells.
"""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np

from tests.oracles.port_state import Interval

UP, DOWN, UNKNOWN, OUT = 0, 1, 2, 3
CLASSES = {"up": UP, "down": DOWN, "exclude": UNKNOWN}
NOT_WORKING = ("faulted", "unavailable", "offline")
SILENT = ("offline", "unknown")
Span = tuple[int, int]  # seconds from the origin


@dataclass(frozen=True)
class Rule:
    """A reason that excuses downtime under a policy; caps in seconds."""

    reason: str
    needs_evidence: bool = False
    automatic: bool = False
    per_incident: int | None = None
    per_year: int | None = None


@dataclass(frozen=True)
class Policy:
    """What a policy makes of each state, and what it excuses."""

    policy_id: str
    states: dict[str, str]
    offline: str = "down"
    grace: int = 600
    backdate: bool = True
    proof: str = "up"
    warnings: str = "up"
    blocked: str = "up"
    not_down: frozenset[str] = frozenset()
    merge_gap: int = 300
    base: str = "elapsed"
    rules: tuple[Rule, ...] = ()
    min_power: float | None = None
    dc_only: bool = False
    funded_only: bool = False


@dataclass(frozen=True)
class Exclusion:
    """A record that covers the port."""

    exclusion_id: str
    reason: str
    started: int
    ended: int
    has_evidence: bool


@dataclass
class Port:
    """All evidence of one port; seconds from the origin."""

    port_id: str
    intervals: list[Interval]
    zone: str
    served_from: int
    served_until: int | None
    power: float | None = None
    power_type: str | None = None
    funded: bool = False
    exclusions: list[Exclusion] = field(default_factory=list)
    blocked: list[Span] = field(default_factory=list)
    removed: list[Span] = field(default_factory=list)
    proven: list[Span] = field(default_factory=list)
    # weekday (0 Monday) -> minutes after midnight open and close, None if the site never closes
    hours: dict[int, list[Span]] | None = None


@dataclass(frozen=True)
class Figure:
    """Seconds of one port under one policy in one local month."""

    window: int
    up: int
    down: int
    excluded: int
    over_cap: int
    unknown: int
    out_of_scope: int
    silent: int
    base: int


@dataclass(frozen=True)
class Outage:
    """One row of the expected ``fct_outage``."""

    port_id: str
    started: int
    until: int
    is_open: bool
    cause: str
    error_code: str | None
    vendor_error_code: str | None
    proven: int


def outages(port: Port) -> list[Outage]:
    """Join touching intervals in which the port did not work."""
    found: list[list[Interval]] = []
    for interval in port.intervals:
        if interval.state not in NOT_WORKING or interval.known_until == interval.started:
            continue
        if found and found[-1][-1].known_until == interval.started:
            found[-1].append(interval)
        else:
            found.append([interval])
    result = []
    for parts in found:
        seconds = dict.fromkeys(NOT_WORKING, 0)
        first = {}
        for part in parts:
            seconds[part.state] += part.known_until - part.started
            first.setdefault(part.state, part.started)
        cause = min(first, key=lambda state: (-seconds[state], first[state]))
        faults = [part for part in parts if part.state == "faulted"]
        worst = min(faults, key=lambda p: (p.started - p.known_until, p.started)) if faults else None
        cells = {s for begin, end in port.proven for s in range(begin, end)}
        proven = (
            sum(s in cells for p in parts if p.state == "offline" for s in range(p.started, p.known_until))
            if cells
            else 0
        )
        result.append(
            Outage(
                port.port_id,
                parts[0].started,
                parts[-1].known_until,
                parts[-1].ended is None,
                cause,
                worst.error_code if worst else None,
                worst.vendor_error_code if worst else None,
                proven,
            )
        )
    return result


def _codes(text: str | None) -> set[str]:
    for separator in ";,|":
        text = (text or "").replace(separator, " ")
    return set((text or "").split())


def _excused(policy: Policy, error: str | None, vendor: str | None) -> bool:
    """Whether a fault's codes are ones that the policy does not count."""
    return any(codes and codes <= policy.not_down for codes in (_codes(error), _codes(vendor)))


def _covered(size: int, spans: list[Span]) -> np.ndarray:
    cells = np.zeros(size, dtype=bool)
    for begin, end in spans:
        cells[max(begin, 0) : max(end, 0)] = True
    return cells


def _of_state(policy: Policy, state: str, error: str | None, vendor: str | None) -> int:
    """What a state other than offline counts as."""
    if state == "faulted" and _excused(policy, error, vendor):
        return UP
    if state not in (*NOT_WORKING, *SILENT) and policy.warnings == "down" and (error or vendor):
        return DOWN
    return CLASSES[policy.states[state]]


class Calendar:
    """Local months and opening hours of a zone over the cells."""

    def __init__(self, origin: datetime, size: int, zone: str) -> None:
        """Cut ``size`` seconds after ``origin`` into the months of ``zone``."""
        self.origin, self.size, self.zone = origin, size, ZoneInfo(zone)
        self.months: list[tuple[str, int, int]] = []  # month, first cell, cell after the last (may lie outside)
        day = origin.astimezone(self.zone).date().replace(day=1)
        while True:
            following = (day + timedelta(days=32)).replace(day=1)
            begin, end = self.cell(day, 0), self.cell(following, 0)
            if begin >= size:
                break
            self.months.append((day.isoformat(), begin, end))
            day = following

    def cell(self, day: object, minutes: int) -> int:
        """Cell of a time on the wall."""
        wall = datetime.combine(day, datetime.min.time()) + timedelta(minutes=minutes)  # type: ignore[arg-type]
        return int((wall.replace(tzinfo=self.zone).astimezone(UTC) - self.origin).total_seconds())

    def open(self, hours: dict[int, list[Span]]) -> np.ndarray:
        """Cells in which a site is open."""
        cells = np.zeros(self.size, dtype=bool)
        day = self.origin.astimezone(self.zone).date() - timedelta(days=2)
        while self.cell(day, 0) < self.size:
            for opens, closes in hours.get(day.weekday(), []):
                cells[max(self.cell(day, opens), 0) : max(self.cell(day, closes), 0)] = True
            day += timedelta(days=1)
        return cells


def figures(port: Port, policies: list[Policy], origin: datetime, size: int) -> dict[tuple[str, str], Figure]:
    """Return the expected seconds by policy and local month.

    Args:
        port: The evidence.
        policies: The policies.
        origin: The instant of cell 0; nothing of the port is in service before it.
        size: Cells up to the end of all logs.
    """
    calendar = Calendar(origin, size, port.zone)
    number = np.full(size, -1, dtype=np.int32)  # which interval
    for i, interval in enumerate(port.intervals):
        number[max(interval.started, 0) : max(interval.known_until, 0)] = i
    served = _covered(size, [(port.served_from, size if port.served_until is None else min(port.served_until, size))])
    closed = ~calendar.open(port.hours) if port.hours is not None else np.zeros(size, dtype=bool)
    blocked, removed, proven = (_covered(size, spans) for spans in (port.blocked, port.removed, port.proven))
    states = np.array([i.state for i in port.intervals] + ["none"])[number]  # -1 is the last: nothing recorded
    silent = np.isin(states, SILENT) & served & ~removed
    years = np.zeros(size, dtype=np.int32)
    for month, begin, end in calendar.months:
        years[max(begin, 0) : min(end, size)] = int(month[:4])

    result = {}
    for policy in policies:
        in_scope = (
            (policy.min_power is None or (port.power is not None and port.power >= policy.min_power))
            and (not policy.funded_only or port.funded)
            and (not policy.dc_only or port.power_type == "DC")
        )
        if not in_scope:
            for month, begin, end in calendar.months:
                window = min(end, size) - begin
                result[policy.policy_id, month] = Figure(window, 0, 0, 0, 0, 0, window, 0, 0)
            continue
        counts = _classes(policy, port.intervals, number, proven)
        counts[(counts == UP) & blocked] = CLASSES[policy.blocked]
        out = ~served | removed | (closed if policy.base == "open_hours" else False)
        counts[out] = OUT
        excused, over_cap = _exclude(policy, port, counts == DOWN, closed, years)
        for month, begin, end in calendar.months:
            cells = slice(max(begin, 0), min(end, size))
            # cells before the origin are of no port in service
            window, before = min(end, size) - begin, max(-begin, 0)
            down = int((counts[cells] == DOWN).sum())
            unknown = int((counts[cells] == UNKNOWN).sum())
            excluded = int(excused[cells].sum())
            outside = int((counts[cells] == OUT).sum()) + before
            base = window - outside - unknown - (excluded if policy.base == "elapsed_minus_excluded" else 0)
            result[policy.policy_id, month] = Figure(
                window=window,
                up=int((counts[cells] == UP).sum()),
                down=down,
                excluded=excluded,
                over_cap=int(over_cap[cells].sum()),
                unknown=unknown,
                out_of_scope=outside,
                silent=int((silent & (~closed if policy.base == "open_hours" else True))[cells].sum()),
                base=base,
            )
    return result


def _classes(policy: Policy, intervals: list[Interval], number: np.ndarray, proven: np.ndarray) -> np.ndarray:
    """Class of every cell before exclusions, blocking and scope."""
    counts = np.full(len(number), UNKNOWN, dtype=np.int8)
    before = UP
    touching: int | None = None
    for i, interval in enumerate(intervals):
        if touching is not None and interval.started != touching:
            before = UP
        touching = interval.known_until
        cells = number == i
        if interval.state == "offline":
            seconds = np.arange(len(number))
            length = interval.known_until - interval.started
            if length <= policy.grace:
                counts_from = interval.known_until
            else:
                counts_from = interval.started + (0 if policy.backdate else policy.grace)
            value = before if policy.offline == "carry" else CLASSES[policy.offline]
            counts[cells] = value
            if policy.proof == "up":
                counts[cells & proven] = UP
            counts[cells & (seconds < counts_from)] = before
            continue
        counts[cells] = _of_state(policy, interval.state, interval.error_code, interval.vendor_error_code)
        if interval.state != "unknown":
            before = _of_state(policy, interval.state, interval.error_code, interval.vendor_error_code)
    return counts


def _exclude(
    policy: Policy, port: Port, down: np.ndarray, closed: np.ndarray, years: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Cells that are excused, and cells that only a cap keeps from it."""
    size = len(down)
    reason = np.full(size, -1, dtype=np.int8)
    ranked = sorted(policy.rules, key=lambda r: (r.per_incident is not None or r.per_year is not None, r.reason))
    for i, rule in enumerate(ranked):
        cells = _covered(
            size,
            [
                (x.started, x.ended)
                for x in port.exclusions
                if x.reason == rule.reason and (x.has_evidence or not rule.needs_evidence)
            ],
        )
        if rule.automatic and rule.reason == "outside_open_hours":
            cells |= closed
        reason[cells & down & (reason == -1)] = i
    excused = np.zeros(size, dtype=bool)
    incident, last, used, spent = 0, -(10**9), {}, {}  # type: ignore[var-annotated]
    for second in np.flatnonzero(down).tolist():
        # a gap of merge_gap seconds and more parts two incidents
        if second - last > 1 and second - last - 1 >= policy.merge_gap:
            incident += 1
        last = second
        if reason[second] == -1:
            continue
        rule = ranked[reason[second]]
        key = (incident, rule.reason)
        used[key] = used.get(key, 0) + 1
        if rule.per_incident is not None and used[key] > rule.per_incident:
            continue
        year = (int(years[second]), rule.reason)
        spent[year] = spent.get(year, 0) + 1
        if rule.per_year is not None and spent[year] > rule.per_year:
            continue
        excused[second] = True
    return excused, down & (reason != -1) & ~excused
