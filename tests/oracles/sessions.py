"""Charging sessions once more, one message after the other: the oracle of the dbt models of sessions.

Nothing is shared with the models: no SQL, no windows. Messages are read in a loop, a session is an object that messages
find. Rules: OCPP 1.6 (StartTransaction, StopTransaction, MeterValues) and OCPP 2.0.1 (TransactionEvent, chapters E01 to
E07 and E12), and what is said of each column of ``fct_session``; where they leave a choice, the comment says which was
taken.

Records are dicts with the columns of the lake tables they stand for; times are aware datetimes, registers are Decimals.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from fractions import Fraction
from itertools import pairwise
from typing import Any

Record = Mapping[str, Any]
OLDEST_CLOCK = datetime(2010, 1, 1, tzinfo=UTC)
AHEAD = timedelta(seconds=60)
SLACK = timedelta(seconds=60)
QUARTER = timedelta(minutes=15)
WATT_HOURS = Decimal("0.000001")
ANY_POWER_KW = Fraction(500)  # what no connector exceeds, and no session takes more than this:
SESSION_WH = Fraction(1_000_000)
ROLLOVERS = (10**6, 10**7, 10**8, 10**9, 2**31, 2**32)
RESUME = timedelta(hours=6)


@dataclass
class Session:
    """One transaction and what is known of it."""

    station: str
    outlet: int | None  # connector (1.6) or EVSE (2.x)
    is_2x: bool
    started_at: datetime
    received_at: datetime | None = None
    has_start: bool = False
    assigned: str | None = None
    transaction_ids: set[str] = field(default_factory=set)
    has_unanswered: bool = False
    transaction_id: str | None = None
    token: str | None = None
    meter_start: Decimal | None = None
    meter_stop: Decimal | None = None
    stopped_at: datetime | None = None
    reason: str | None = None
    last_event_at: datetime | None = None
    states: list[tuple[datetime, str | None]] = field(default_factory=list)
    registers: dict[datetime, Decimal] = field(default_factory=dict)
    powers: dict[datetime, Decimal] = field(default_factory=dict)
    sampled: set[datetime] = field(default_factory=set)
    begin_wh: tuple[datetime, Decimal] | None = None
    end_wh: tuple[datetime, Decimal] | None = None
    stop_received_at: datetime | None = None
    missing_events: int | None = None
    ended_at: datetime | None = None
    end_source: str = "open"

    @property
    def last_seen_at(self) -> datetime:
        """Last message or sample of the session."""
        times = [self.started_at, *self.sampled]
        times += [at for at in (self.stopped_at, self.last_event_at) if at]
        return max(times)

    @property
    def until_by_message(self) -> datetime:
        """Its stop, or its last message."""
        return self.stopped_at or self.last_seen_at

    @property
    def until_at(self) -> datetime:
        """End of the session, or of what is known of it."""
        return self.ended_at or self.last_seen_at

    @property
    def duration_s(self) -> int:
        """Whole seconds from start to end, each cut to the second."""
        return _second(self.until_at) - _second(self.started_at)

    @property
    def peak_power_kw(self) -> Decimal | None:
        """Highest power sampled, kW, to the watt."""
        believed = [watts for watts in self.powers.values() if Fraction(watts) <= ANY_POWER_KW * 1100]
        if not believed:
            return None
        return (max(believed) / 1000).quantize(Decimal("0.001"), ROUND_HALF_UP)

    def meter(self, max_power_kw: Decimal | None) -> tuple[Decimal | None, str]:  # noqa: PLR0911 - one way a return
        """Energy in kWh, and what it was read from."""
        begin = self.meter_start
        end = self.meter_stop
        if begin is None and self.has_start and self.begin_wh:
            begin = self.begin_wh[1]
        if end is None and self.stopped_at and self.end_wh:
            end = self.end_wh[1]
        series = sorted(self.registers.items())
        stopped = self.stopped_at is not None
        seconds = _second(self.until_by_message) - _second(self.started_at)
        port_wh = None if max_power_kw is None else _most(Fraction(max_power_kw), seconds)
        any_wh = _most(ANY_POWER_KW, seconds + 60)
        limit_wh = any_wh if port_wh is None else port_wh
        power = ANY_POWER_KW if max_power_kw is None else Fraction(max_power_kw)
        whole = None if begin is None or end is None else end - begin

        def jumps(wh: Decimal, over_s: int) -> bool:
            return Fraction(wh) > _most(power, max(over_s, 0) + 60)

        jump_at_start = jump_at_stop = False
        if series and whole is not None:
            first_s = _second(series[0][0]) - _second(self.started_at)
            last_s = _second(self.until_by_message) - _second(series[-1][0])
            jump_at_start = jumps(series[0][1] - begin, first_s) and series[0][1] - begin <= whole
            jump_at_stop = jumps(end - series[-1][1], last_s) and end - series[-1][1] <= whole
        if stopped and whole is not None and 0 <= whole <= limit_wh and not jump_at_start and not jump_at_stop:
            return _kwh(whole), "register"
        if series:
            (first_at, first), (_, last) = series[0], series[-1]
            first_s = _second(first_at) - _second(self.started_at)
            if (
                begin is not None
                and begin <= first
                and 0 <= last - begin <= limit_wh
                and not jumps(first - begin, first_s)
            ):
                return _kwh(last - begin), "start_to_last_sample"
            is_other = begin is None or first < begin
            if self.has_start and is_other and 0 <= first <= last <= limit_wh and not jumps(first, first_s):
                return _kwh(last), "session_register"
        if stopped and whole is not None and whole < 0:
            told = [Fraction(w) / 1000 for w in self.powers.values() if Fraction(w) <= ANY_POWER_KW * 1100]
            known = Fraction(max_power_kw) if max_power_kw is not None else max(told, default=Fraction(0))
            size = next((r for r in ROLLOVERS if begin < r), None)
            most = _most(known, seconds)
            if known and size and begin >= size - most and whole + size <= most:
                return _kwh(whole + size), "rollover"
        if len(series) >= 2:
            if 0 <= series[-1][1] - series[0][1] <= any_wh:
                return _kwh(series[-1][1] - series[0][1]), "samples"
            rises = [
                after - before
                for (a, before), (b, after) in pairwise(series)
                if 0 < Fraction(after - before) <= _most(ANY_POWER_KW, _second(b) - _second(a) + 60)
            ]
            if rises:
                return _kwh(sum(rises, Decimal(0))), "positive_deltas"
        return None, "implausible" if whole is not None or len(series) >= 2 else "none"

    def charging_s(self) -> int | None:
        """Seconds in which energy flowed; None where nothing tells."""
        if self.is_2x:
            # A state told with the end says nothing about the time before it.
            if not any(state and at < self.until_at for at, state in self.states):
                return None
            ends = [at for at, _ in self.states[1:]] + [self.until_at]
            spans = [(at, end) for (at, state), end in zip(self.states, ends, strict=True) if state == "Charging"]
        else:
            told = sorted(at for at in self.sampled if at in self.registers or at in self.powers)
            if not told:
                return None
            spans = []
            for number, at in enumerate(told):
                following = told[number + 1] if number + 1 < len(told) else None
                if at in self.powers:
                    flows = self.powers[at] > 0
                elif following in self.registers and at in self.registers:
                    flows = self.registers[following] > self.registers[at]
                else:
                    flows = False
                if flows:
                    spans.append((self.started_at if number == 0 else at, following or self.until_at))
        clipped = [(max(a, self.started_at), min(b, self.until_at)) for a, b in spans]
        return sum(_second(b) - _second(a) for a, b in clipped if b >= a)

    def load(self, energy_kwh: Decimal | None, method: str) -> dict[datetime, Fraction]:
        """Energy by quarter hour, in kWh, of a session with this energy, read in this way."""
        if not energy_kwh or energy_kwh <= 0:
            return {}
        curve = sorted(self.registers.items())
        if curve:
            begin = self.meter_start
            if begin is None and self.has_start and self.begin_wh:
                begin = self.begin_wh[1]
            end = self.meter_stop
            if end is None and self.stopped_at and self.end_wh:
                end = self.end_wh[1]
            lowest, highest = min(self.registers.values()), max(self.registers.values())
            first, last = curve[0][0], curve[-1][0]
            # The registers of start and stop are points of the curve if they lie around it and were believed.
            is_around = begin is not None and begin <= lowest and (end is None or end >= highest)
            is_believed = method in ("register", "start_to_last_sample")
            if is_around and is_believed and begin is not None:
                if self.started_at < first:
                    curve.insert(0, (self.started_at, begin))
                if method == "register" and end is not None and self.until_by_message > last:
                    curve.append((self.until_by_message, end))
        steps = [(a, b, Fraction(after - before)) for (a, before), (b, after) in pairwise(curve) if after > before] or [
            (self.started_at, self.until_by_message, Fraction(1))
        ]
        total = sum(step for _, _, step in steps)
        load: dict[datetime, Fraction] = {}
        for start, end, step in steps:
            share = Fraction(energy_kwh) * step / total
            seconds = _second(end) - _second(start)
            if seconds == 0:
                quarter = _quarter(start)
                load[quarter] = load.get(quarter, Fraction(0)) + share
            # Second by second: slow, and without any arithmetic of intervals to get wrong.
            for second in range(_second(start), _second(end)):
                quarter = _quarter(datetime.fromtimestamp(second, UTC))
                load[quarter] = load.get(quarter, Fraction(0)) + share / seconds
        return load


def _second(at: datetime) -> int:
    return int((at - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(seconds=1))


def _most(power_kw: Fraction, seconds: int) -> Fraction:
    """The energy in Wh that a power gives in some seconds and a tenth more, at most what a session can take."""
    return min(power_kw * 1100 * seconds / 3600, SESSION_WH)


def _quarter(at: datetime) -> datetime:
    return at.replace(minute=at.minute // 15 * 15, second=0, microsecond=0)


def _kwh(watt_hours: Decimal) -> Decimal:
    return (watt_hours / 1000).quantize(WATT_HOURS, ROUND_HALF_UP)


def charger_time(record: Record, name: str) -> datetime:
    """The charger's time of a record, or the logger's where the charger's clock is plainly wrong."""
    at, received_at = record.get(name), record["received_at"]
    if at is None or at < OLDEST_CLOCK or at > received_at + AHEAD:
        return received_at
    return at


def sessions_of(
    frames: Iterable[Record],
    events: Iterable[Record],
    samples: Iterable[Record],
    *,
    frees: Iterable[tuple[str, int, datetime]] = (),
    boots: Iterable[tuple[str, datetime]] = (),
    until_at: datetime | None = None,
) -> list[Session]:
    """Rebuild the sessions of all stations.

    Args:
        frames: Rows of ``ocpp/frame``: the answers of the CSMS, with message ids that are unique per station.
        events: Rows of ``ocpp/transaction_event``, each once.
        samples: Rows of ``ocpp/meter_sample``, each once.
        frees: Station, connector (2.x: EVSE) and time of each change to Available or Unavailable.
        boots: Station and time of each boot.
        until_at: End of the log; the last frame unless given.
    """
    frames = list(frames)
    frees, boots = list(frees), list(boots)
    until_at = until_at or max((f["received_at"] for f in frames), default=None)
    events, samples = list(events), list(samples)
    answers = {(f["station_id"], f["message_id"]): f for f in frames if f["message_type"] == 3}
    sessions: list[Session] = []
    for station in sorted({record["station_id"] for record in [*events, *samples]}):
        own = [e for e in events if e["station_id"] == station]
        own_samples = [s for s in samples if s["station_id"] == station and s.get("transaction_id") is not None]
        sessions += _ocpp16(station, [e for e in own if e.get("seq_no") is None], own_samples, answers)
        sessions += _ocpp2(station, [e for e in own if e.get("seq_no") is not None], own_samples)
    for session in sessions:
        free = [at for station, outlet, at in frees if (station, outlet) == (session.station, session.outlet)]
        _close(
            session, sessions, sorted(free), sorted(at for station, at in boots if station == session.station), until_at
        )
    return sessions


def _close(
    session: Session, sessions: list[Session], frees: list[datetime], boots: list[datetime], until_at: datetime | None
) -> None:
    """Say when and why a session is over: by the first of these that there is."""
    if session.stopped_at:
        session.ended_at, session.end_source = session.stopped_at, "ended" if session.is_2x else "stop"
        before = [at for at in boots if session.stop_received_at and at <= session.stop_received_at]
        if not session.is_2x and before and before[-1] > session.started_at:
            session.end_source = "stop_after_boot"
        return
    free = next((at for at in frees if at >= session.last_seen_at), None)
    boot = next((at for at in boots if at >= session.last_seen_at), None)
    later = [
        other
        for other in sessions
        if other is not session
        and (other.station, other.outlet, other.is_2x) == (session.station, session.outlet, session.is_2x)
        and other.started_at > session.started_at
    ]
    if later:
        session.end_source = "next_start"
        begins_at = min(other.started_at for other in later)
        session.ended_at = free if free and free <= begins_at else session.last_seen_at
    elif free:
        session.ended_at, session.end_source = free, "status"
    elif boot and until_at and boot + RESUME <= until_at:
        session.ended_at, session.end_source = session.last_seen_at, "boot"


def _starts(station: str, events: list[Record], answers: Mapping[tuple[str, str], Record]) -> list[Session]:
    facts: dict[tuple, list[Record]] = {}
    for event in sorted(events, key=lambda e: e["received_at"]):
        if event["event_type"] != "Started":
            continue
        sent_at = event.get("event_at")
        repeat_at = sent_at if sent_at and sent_at >= OLDEST_CLOCK else event["received_at"]
        fact = (event["connector_id"], event.get("id_token_hash"), repeat_at, event.get("meter_wh"))
        facts.setdefault(fact, []).append(event)
    starts = []
    for calls in facts.values():
        first = calls[0]
        session = Session(
            station, first["connector_id"], False, charger_time(first, "event_at"), first["received_at"], True,
            token=first.get("id_token_hash"), meter_start=first.get("meter_wh"),
        )  # fmt: skip
        got = [answers[station, call["message_id"]] for call in calls if (station, call["message_id"]) in answers]
        got = [answer for answer in got if answer.get("result_transaction_id")]
        session.has_unanswered = len(got) < len(calls)
        session.transaction_ids = {answer["result_transaction_id"] for answer in got}
        accepted = [a for a in got if a.get("result_status") in (None, "Accepted")]
        if got:
            session.assigned = (accepted or got)[0]["result_transaction_id"]
        starts.append(session)
    return sorted(starts, key=lambda s: s.started_at)


def _owner(starts: list[Session], transaction_id: str, at: datetime, received_at: datetime) -> Session | None:
    """The started session that a transaction id means at a time."""
    uses = [s for s in starts if transaction_id in s.transaction_ids]
    begun = [s for s in uses if s.started_at <= at]
    if begun:
        return begun[-1]
    # Before its first use an id means nothing, but for a sample just before the start, or a clock that went back.
    if uses and (at >= uses[0].started_at - SLACK or received_at >= uses[0].received_at):
        return uses[0]
    return None


def _ocpp16(  # noqa: PLR0912 - the whole story of a station in one piece
    station: str, events: list[Record], samples: list[Record], answers: Mapping[tuple[str, str], Record]
) -> list[Session]:
    starts = _starts(station, events, answers)
    stops: dict[tuple, Record] = {}
    for event in sorted(events, key=lambda e: e["received_at"]):
        if event["event_type"] == "Ended":
            stops.setdefault((event["transaction_id"], event.get("event_at"), event.get("meter_wh")), event)

    offered: dict[int, list[tuple[datetime, Record]]] = {}
    loose: dict[str, list[tuple[datetime, int, Record]]] = {}
    for stop in stops.values():
        at = charger_time(stop, "event_at")
        owner = _owner(starts, stop["transaction_id"], at, stop["received_at"])
        if owner:
            offered.setdefault(id(owner), []).append((at, stop))
        else:
            loose.setdefault(stop["transaction_id"], []).append((at, 1, stop))
    told = [s for s in samples if s["action"] != "TransactionEvent" and s.get("evse_id") is None]
    kept: list[tuple[Session, datetime, Record]] = []
    for sample in told:
        at = charger_time(sample, "sampled_at")
        owner = _owner(starts, sample["transaction_id"], at, sample["received_at"])
        if owner:
            kept.append((owner, at, sample))
        else:
            loose.setdefault(sample["transaction_id"], []).append((at, 0, sample))

    for session in starts:
        choice = sorted(
            offered.get(id(session), []),
            key=lambda stop: (
                stop[0] < session.started_at,
                stop[1]["meter_wh"] < session.meter_start,
                stop[0],
                stop[1]["received_at"],
            ),
        )
        session.transaction_id = session.assigned
        if choice:
            _stop(session, *choice[0])

    orphans = [group for transaction_id, found in loose.items() for group in _groups(station, transaction_id, found)]
    sessions = list(starts)
    confirmed = {*offered, *(id(session) for session, _, _ in kept)}
    nameless = {id(start) for start in starts if start.has_unanswered and id(start) not in confirmed}
    unstopped = {id(start) for start in starts if id(start) not in offered}
    fits = {
        id(start): [
            orphan
            for orphan, _ in orphans
            if (id(start) in nameless or (_is_nobody(orphan.transaction_id) and id(start) in unstopped))
            and _fits(start, orphan, starts)
        ]
        for start in starts
    }
    for orphan, evidence in orphans:
        suitors = [s for s in starts if any(o is orphan for o in fits.get(id(s), []))]
        adopted = len(suitors) == 1 and len(fits[id(suitors[0])]) == 1
        session = suitors[0] if adopted else orphan
        if adopted and not (_is_nobody(orphan.transaction_id) and session.assigned):
            session.transaction_id = orphan.transaction_id
        if not adopted:
            sessions.append(session)
        for at, is_stop, record in evidence:
            if is_stop:
                _stop(session, at, record)
            else:
                kept.append((session, at, record))
    _sample(kept)
    return sessions


def _stop(session: Session, at: datetime, stop: Record) -> None:
    session.stopped_at = at if at >= session.started_at else max(session.started_at, stop["received_at"])
    session.stop_received_at = stop["received_at"]
    if not (_is_nobody(stop["transaction_id"]) and session.assigned):
        session.transaction_id = stop["transaction_id"]
    session.meter_stop = stop.get("meter_wh")
    session.reason = stop.get("reason") or "Local"
    if not session.has_start:
        session.token = stop.get("id_token_hash")


def _is_nobody(transaction_id: str | None) -> bool:
    """0 or less is what a station says that does not know the id."""
    return transaction_id is not None and (transaction_id == "0" or transaction_id.startswith("-"))


def _groups(
    station: str, transaction_id: str, found: list[tuple[datetime, int, Record]]
) -> list[tuple[Session, list[tuple[datetime, int, Record]]]]:
    """Cut the messages of an id without a start behind each stop; a stop told twice is one."""
    groups: list[list[tuple[datetime, int, Record]]] = [[]]
    before: tuple[int, Decimal | None] = (0, None)
    for at, is_stop, record in sorted(found, key=lambda f: f[:2]):
        meter = record.get("meter_wh") if is_stop else None
        if is_stop and before == (1, meter):
            continue
        if before[0]:
            groups.append([])
        groups[-1].append((at, is_stop, record))
        before = (is_stop, meter)
    result = []
    for group in groups:
        connectors = [r["connector_id"] for _, is_stop, r in group if not is_stop and (r.get("connector_id") or 0) > 0]
        orphan = Session(station, min(connectors, default=None), False, group[0][0], transaction_id=transaction_id)
        orphan.last_event_at = group[-1][0]
        stops = [r for _, is_stop, r in group if is_stop]
        orphan.meter_stop = stops[0].get("meter_wh") if stops else None
        orphan.token = stops[0].get("id_token_hash") if stops else None
        result.append((orphan, group))
    return result


def _fits(start: Session, orphan: Session, starts: list[Session]) -> bool:
    later = [s.started_at for s in starts if s.outlet == start.outlet and s.started_at > start.started_at]
    return (
        (orphan.outlet is None or orphan.outlet == start.outlet)
        and orphan.started_at >= start.started_at - SLACK
        and (not later or orphan.started_at < min(later))
        and (orphan.meter_stop is None or orphan.meter_stop >= start.meter_start)
        and (orphan.token is None or start.token is None or orphan.token == start.token)
    )


def _sample(kept: list[tuple[Session, datetime, Record]]) -> None:
    """Put samples into their sessions: of one instant the highest register, the total power or else the phases."""
    messages: dict[tuple[int, datetime, str], list[Record]] = {}
    owners: dict[int, Session] = {}
    for session, at, sample in kept:
        if session.stopped_at and at > session.stopped_at + SLACK:
            continue
        if sample.get("location") not in (None, "Outlet"):
            continue
        owners[id(session)] = session
        messages.setdefault((id(session), at, sample["frame_id"]), []).append(sample)
    for (owner, at, _), told in messages.items():
        session = owners[owner]
        session.sampled.add(at)
        for sample in told:
            if sample["measurand"] == "Energy.Active.Import.Register" and sample.get("phase") is None:
                wh = sample["value"]
                session.registers[at] = max(wh, session.registers.get(at, wh))
                if sample.get("context") == "Transaction.Begin" and (not session.begin_wh or at < session.begin_wh[0]):
                    session.begin_wh = (at, wh)
                if sample.get("context") == "Transaction.End" and (not session.end_wh or at > session.end_wh[0]):
                    session.end_wh = (at, wh)
        watts = [s for s in told if s["measurand"] == "Power.Active.Import"]
        totals = [s["value"] for s in watts if s.get("phase") is None]
        phases = [s["value"] for s in watts if s.get("phase") in ("L1", "L2", "L3")]
        if totals or phases:
            power = max(totals) if totals else sum(phases, Decimal(0))
            session.powers[at] = max(power, session.powers.get(at, power))


def _ocpp2(station: str, events: list[Record], samples: list[Record]) -> list[Session]:
    sessions = []
    for transaction_id in sorted({e["transaction_id"] for e in events}):
        facts: dict[tuple, Record] = {}
        for event in sorted(events, key=lambda e: e["received_at"]):
            if event["transaction_id"] == transaction_id:
                facts.setdefault((event["seq_no"], event["event_type"], event["event_at"]), event)
        ordered = sorted(facts.values(), key=lambda e: (e["seq_no"], charger_time(e, "event_at")))
        numbers = {e["seq_no"] for e in ordered}
        at = charger_time(ordered[0], "event_at")
        session = Session(station, None, True, at, transaction_id=transaction_id)
        session.missing_events = max(numbers) - min(numbers) + 1 - len(numbers)
        state = None
        for event in ordered:
            at = max(at, charger_time(event, "event_at"))
            state = event.get("charging_state") or state
            session.states.append((at, state))
            session.outlet = event.get("evse_id") if session.outlet is None else session.outlet
            session.token = session.token or event.get("id_token_hash")
            session.last_event_at = at
            if event["event_type"] == "Started":
                session.has_start = True
            if event["event_type"] == "Ended" and not session.stopped_at:
                session.stopped_at, session.reason = at, event.get("reason") or "Local"
        _sample(
            [
                (session, charger_time(s, "sampled_at"), s)
                for s in samples
                if s["action"] == "TransactionEvent" and s["transaction_id"] == transaction_id
            ]
        )
        sessions.append(session)
    return sessions
