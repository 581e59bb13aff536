"""What stations and CSMS say of a charging session, in OCPP 1.6 and in 2.x."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import polars as pl

from pipelines.simulator.frames import (
    ACCEPTED,
    ASKING,
    AVAILABLE,
    CHARGING,
    FINISHING,
    FROM_CSMS,
    LATER_STATUS,
    NOTHING,
    PREPARING,
    RESERVED,
    STATUS,
    SUSPENDED_EV,
    SUSPENDED_EVSE,
    TRANSACTION,
    UNAVAILABLE,
    Slice,
)
from pipelines.simulator.plan import Plan
from pipelines.simulator.sessions import (
    AD_HOC,
    FAILED,
    NORMAL,
    REFUSED,
    Sessions,
    charged_share,
    energy_until,
    sample_interval,
)
from pipelines.simulator.text import Piece, chosen, escaped, joined, looked_up, number, stamp, thousandths

_TOKEN_ACCEPTED_16 = escaped('{"idTagInfo":{"status":"Accepted"}}')
_TOKEN_REFUSED_16 = escaped('{"idTagInfo":{"status":"Invalid"}}')
_TOKEN_ACCEPTED_2 = escaped('{"idTokenInfo":{"status":"Accepted"}}')
_TOKEN_REFUSED_2 = escaped('{"idTokenInfo":{"status":"Invalid"}}')
_RESERVED_FOR_S = 1800
_STOP_REASONS = pl.Series(["Local", "EVDisconnected", "Other", "Remote"])
_STOP_TRIGGERS = pl.Series(["StopAuthorized", "EVDeparted", "AbnormalCondition", "RemoteStop"])


class _Active:
    """The sessions that touch a slice, and what is often asked of them."""

    def __init__(self, part: Slice, plan: Plan, which: np.ndarray) -> None:
        net = plan.net
        self.part = part
        self.net = net
        self.sessions = plan.sessions.take(which)
        self.transaction = plan.transactions.gather(pl.Series(which))
        s = self.sessions
        model = net.port_model[s.port]
        self.station = net.port_station[s.port]
        self.is_dc = net.model_flag("power_type")[model] == "DC"
        self.in_kwh = net.model_flag("meter_in_kwh")[model]
        self.on_plug = net.model_flag("starts_on_plug")[model]
        self.normal = s.kind == NORMAL
        self.runs = s.kind != REFUSED
        self.by_card = s.token != AD_HOC
        self.waits = self.normal & (s.waiting_at < s.charging_at)
        self.idles = self.normal & (s.full_at < s.ended_at)
        self.leaves = s.ended_at == s.unplugged_at
        self.interval = sample_interval(net, s.port)
        self.stop_reason = np.where(s.kind == FAILED, 2, np.where(self.leaves, 1, np.where(self.by_card, 0, 3)))

    def samples(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return session row, number (from 1) and time of the periodic meter values inside the slice."""
        s = self.sessions
        last = np.minimum(s.ended_at - 1, self.part.end - 1)
        low = np.maximum(1, -(-(self.part.begin - s.charging_at) // self.interval))
        high = np.where(self.normal, (last - s.charging_at) // self.interval, 0)
        count = np.maximum(0, high - low + 1)
        row = np.repeat(np.arange(len(s)), count)
        sample = low[row] + np.arange(len(row)) - np.repeat(np.cumsum(count) - count, count)
        return row, sample, s.charging_at[row] + sample * self.interval[row]

    def metering(self, row: np.ndarray) -> Iterator[tuple[np.ndarray, bool, bool]]:
        """Yield the positions in ``row`` of each way of metering: in kWh or not, of DC or not."""
        for in_kwh in (False, True):
            for is_dc in (False, True):
                positions = np.flatnonzero((self.in_kwh[row] == in_kwh) & (self.is_dc[row] == is_dc))
                if len(positions):
                    yield positions, in_kwh, is_dc


@dataclass(slots=True)
class _Meter:
    """What a meter shows at some instants, as text."""

    register: pl.Series
    power: pl.Series
    soc: pl.Series
    in_kwh: bool
    is_dc: bool


def _meter(active: _Active, row: np.ndarray, at: np.ndarray, *, in_kwh: bool, is_dc: bool) -> _Meter:
    s = active.sessions
    whole = np.maximum(s.full_at[row] - s.charging_at[row], 1)
    since = at - s.charging_at[row]
    register = s.register_wh[row] + energy_until(active.net, s, row, at)
    average = s.energy_wh[row] * 3600 / whole
    falling = average * (1.6 - 1.2 * np.clip(since / whole, 0, 1)) if is_dc else average
    power = np.where((since >= 0) & (since < whole), falling, 0).astype(np.int64)
    share = charged_share(np.full(len(row), is_dc), since, whole)
    soc = (s.soc_from[row] + (s.soc_to[row] - s.soc_from[row]) * share).astype(np.int64)
    shown = thousandths if in_kwh else number
    return _Meter(shown(register), shown(power), number(soc), in_kwh, is_dc)


def _pieces(*pieces: Piece) -> list[Piece]:
    """Escape the constants among pieces."""
    return [escaped(piece) if isinstance(piece, str) else piece for piece in pieces]


def _values_16(meter: _Meter) -> list[Piece]:
    """Return a 1.6 sampledValue array; a meter in kWh leaves out what is default anyway."""
    if meter.in_kwh:
        energy, power = '","unit":"kWh"}', '","measurand":"Power.Active.Import","unit":"kW"}'
    else:
        context = '","context":"Sample.Periodic","measurand":'
        energy = context + '"Energy.Active.Import.Register","unit":"Wh"}'
        power = context + '"Power.Active.Import","unit":"W"}'
    pieces = ['[{"value":"', meter.register, energy + ',{"value":"', meter.power, power]
    if meter.is_dc:
        charge = '","context":"Sample.Periodic","measurand":"SoC","location":"EV","unit":"Percent"}'
        pieces += [',{"value":"', meter.soc, charge]
    return _pieces(*pieces, "]")


def _values_2(meter: _Meter, context: str) -> list[Piece]:
    """Return a 2.x sampledValue array."""
    energy_unit, power_unit = ("kWh", "kW") if meter.in_kwh else ("Wh", "W")

    def what(measurand: str, unit: str) -> str:
        return f',"context":"{context}","measurand":{measurand},"unitOfMeasure":{{"unit":"{unit}"}}}}'

    energy = what('"Energy.Active.Import.Register"', energy_unit)
    power = what('"Power.Active.Import"', power_unit)
    pieces = ['[{"value":', meter.register, energy + ',{"value":', meter.power, power]
    if meter.is_dc:
        pieces += [',{"value":', meter.soc, what('"SoC","location":"EV"', "Percent")]
    return _pieces(*pieces, "]")


def _statuses(active: _Active) -> None:
    """Add what connectors report; 2.x later leaves out what is no change for it."""
    part, s = active.part, active.sessions

    def tell(which: np.ndarray, at: np.ndarray, status: int, rank: int) -> None:
        part.status(s.connector[which], at[which], status, rank=rank)

    everyone = np.ones(len(s), dtype=bool)
    tell(s.reserved_at < s.plugged_at, s.reserved_at, RESERVED, STATUS)
    tell(everyone, s.plugged_at, PREPARING, STATUS)
    tell(active.waits, s.waiting_at, SUSPENDED_EVSE, ASKING)
    tell(active.normal, s.charging_at, CHARGING, ASKING)
    tell(active.idles, s.full_at, SUSPENDED_EV, ASKING)
    tell(~active.leaves & active.runs, s.ended_at, FINISHING, LATER_STATUS)
    tell(everyone, s.unplugged_at, AVAILABLE, LATER_STATUS)
    # A 1.6 twin takes its other plug out of service while one is used.
    model = active.net.port_model[s.port]
    twin = active.net.model_flag("is_16")[model] & (active.net.model_flag("connectors")[model] > 1)
    first = active.net.port_first_connector[s.port]
    other = np.where(s.connector == first, first + 1, first)
    part.status(other[twin], s.plugged_at[twin], UNAVAILABLE, rank=ASKING)
    part.status(other[twin], s.unplugged_at[twin], AVAILABLE, rank=LATER_STATUS)


def _ask_16(active: _Active, tag: pl.Series, connector: pl.Series) -> None:
    """Add Authorize, or a remote start for drivers without a token, and reservations."""
    part, s = active.part, active.sessions
    for which, answer in ((active.runs & active.by_card, _TOKEN_ACCEPTED_16), (~active.runs, _TOKEN_REFUSED_16)):
        rows = part.rows(s.asked_at, which)
        body = joined(*_pieces('"Authorize",{"idTag":"', tag.gather(rows), '"}'))
        part.call(active.station[rows], s.asked_at[rows], ASKING, body, answer)
    rows = part.rows(s.asked_at, active.runs & ~active.by_card)
    start = _pieces(
        '"RemoteStartTransaction",{"connectorId":', connector.gather(rows), ',"idTag":"', tag.gather(rows), '"}'
    )
    part.call(active.station[rows], s.asked_at[rows], FROM_CSMS, joined(*start), ACCEPTED)
    rows = part.rows(s.reserved_at, s.reserved_at < s.plugged_at)
    reserve = _pieces(
        '"ReserveNow",{"connectorId":',
        connector.gather(rows),
        ',"expiryDate":"',
        stamp(s.reserved_at[rows] + _RESERVED_FOR_S),
        '","idTag":"',
        tag.gather(rows),
        '","reservationId":',
        number(s.number[rows]),
        "}",
    )
    part.call(active.station[rows], s.reserved_at[rows], FROM_CSMS, joined(*reserve), ACCEPTED)


def _add_16(active: _Active, tag: pl.Series) -> None:
    """Add Authorize, StartTransaction, MeterValues and StopTransaction."""
    part, s, station = active.part, active.sessions, active.station
    connector = number(active.net.connector_number[s.connector])
    _ask_16(active, tag, connector)

    rows = part.rows(s.started_at, active.runs)
    reserved = (s.reserved_at < s.plugged_at)[rows]
    reservation = chosen(reserved, (escaped(',"reservationId":'), number(s.number[rows])), ("",))
    start = _pieces(
        '"StartTransaction",{"connectorId":',
        connector.gather(rows),
        ',"idTag":"',
        tag.gather(rows),
        '","meterStart":',
        number(s.register_wh[rows]),
        ',"timestamp":"',
        stamp(s.started_at[rows]),
        '"',
        reservation,
        "}",
    )
    answer = _pieces('{"idTagInfo":{"status":"Accepted"},"transactionId":', active.transaction.gather(rows), "}")
    part.call(station[rows], s.started_at[rows], TRANSACTION, joined(*start), joined(*answer))

    rows = part.rows(s.ended_at, active.runs)
    stop = _pieces(
        '"StopTransaction",{"transactionId":',
        active.transaction.gather(rows),
        ',"idTag":"',
        tag.gather(rows),
        '","meterStop":',
        number((s.register_wh + s.energy_wh)[rows]),
        ',"timestamp":"',
        stamp(s.ended_at[rows]),
        '","reason":"',
        looked_up(_STOP_REASONS, active.stop_reason[rows]),
        '"}',
    )
    part.call(station[rows], s.ended_at[rows], TRANSACTION, joined(*stop), _TOKEN_ACCEPTED_16)

    row, _, at = active.samples()
    head = joined(
        *_pieces(
            '"MeterValues",{"connectorId":',
            connector,
            ',"transactionId":',
            active.transaction,
            ',"meterValue":[{"timestamp":"',
        )
    )
    for which, in_kwh, is_dc in active.metering(row):
        meter = _meter(active, row[which], at[which], in_kwh=in_kwh, is_dc=is_dc)
        values = [escaped('","sampledValue":'), *_values_16(meter), escaped("}]}")]
        body = joined(head.gather(row[which]), stamp(at[which]), *values)
        part.call(station[row[which]], at[which], TRANSACTION, body, NOTHING)


@dataclass(slots=True)
class _Event:
    """One kind of TransactionEvent: for which sessions (or their samples), when, and what it says."""

    type: str
    trigger: Piece
    state: Piece
    at: np.ndarray
    which: np.ndarray
    seq: np.ndarray
    context: str = ""  # of its meter values; empty where it has none
    extra: tuple[pl.Series, ...] = ()
    stopped: pl.Series | None = None
    rank: int = TRANSACTION
    row: np.ndarray | None = None  # session of each sample
    answer: str = NOTHING


def _send(active: _Active, info: pl.Series, event: _Event) -> None:
    """Add the TransactionEvents of one kind that lie in the slice."""
    picked = active.part.rows(event.at, event.which)
    rows = picked if event.row is None else event.row[picked]
    for which, in_kwh, is_dc in active.metering(rows):
        session, at = rows[which], event.at[picked[which]]

        def of(text: Piece, session: np.ndarray = session) -> Piece:
            return text if isinstance(text, str) else text.gather(session)

        pieces = _pieces(
            f'"TransactionEvent",{{"eventType":"{event.type}","timestamp":"',
            stamp(at),
            '","triggerReason":"',
            of(event.trigger),
            '","seqNo":',
            number(event.seq[picked[which]]),
            ",",
            of(info),
            ',"chargingState":"',
            of(event.state),
            '"',
        )
        if event.stopped is not None:
            pieces += _pieces(',"stoppedReason":"', of(event.stopped), '"')
        pieces += ["}", *(of(text) for text in event.extra)]
        if event.context:
            meter = _meter(active, session, at, in_kwh=in_kwh, is_dc=is_dc)
            pieces += _pieces(',"meterValue":[{"timestamp":"', stamp(at), '","sampledValue":')
            pieces += [*_values_2(meter, event.context), "}]"]
        active.part.call(active.station[session], at, event.rank, joined(*pieces, "}"), event.answer)


def _ask_2(active: _Active, token: pl.Series, evse: pl.Series) -> None:
    """Add Authorize, or a remote start for drivers without a token."""
    part, s = active.part, active.sessions
    for which, answer in ((active.runs & active.by_card, _TOKEN_ACCEPTED_2), (~active.runs, _TOKEN_REFUSED_2)):
        rows = part.rows(s.asked_at, which)
        body = joined(escaped('"Authorize",{"idToken":'), token.gather(rows), "}")
        part.call(active.station[rows], s.asked_at[rows], ASKING, body, answer)
    rows = part.rows(s.asked_at, active.runs & ~active.by_card)
    start = (
        escaped('"RequestStartTransaction",{"remoteStartId":'),
        number(s.number[rows]),
        escaped(',"evseId":'),
        evse.gather(rows),
        escaped(',"idToken":'),
        token.gather(rows),
        "}",
    )
    part.call(active.station[rows], s.asked_at[rows], FROM_CSMS, joined(*start), ACCEPTED)


def _events(active: _Active, token: pl.Series, evse: pl.Series) -> Iterator[_Event]:
    """Yield every kind of TransactionEvent: evse only in the first one, idToken where the driver is authorised.

    seqNo counts: [Started on plug,] authorised, [power held back,] charging, samples, [suspended,] ended.
    """
    s = active.sessions
    normal, runs, on_plug, waits, idles = active.normal, active.runs, active.on_plug, active.waits, active.idles
    authorised = on_plug.astype(np.int64)
    charging = authorised + 1 + waits
    before_full = np.where(idles, (s.full_at - s.charging_at) // active.interval, 0)
    samples = np.where(normal, np.maximum(0, (s.ended_at - 1 - s.charging_at) // active.interval), 0)
    ended = np.where(normal, charging + samples + idles + 1, authorised + 1)
    token_text = joined(escaped(',"idToken":'), token)
    number_ = number(active.net.connector_number[s.connector])
    evse_text = joined(escaped(',"evse":{"id":'), evse, escaped(',"connectorId":'), number_, "}")
    how = looked_up(pl.Series(["Authorized", "RemoteStart"]), (~active.by_card).astype(np.int64))
    zero = np.zeros(len(s), dtype=np.int64)
    changed, begin = "ChargingStateChanged", "Transaction.Begin"
    accepted = _TOKEN_ACCEPTED_2

    first = _Event("Started", "CablePluggedIn", "EVConnected", s.plugged_at, runs & on_plug, zero, begin)
    first.extra = (evse_text,)
    yield first
    yield _Event(
        "Updated", how, "EVConnected", s.started_at, runs & on_plug, authorised, extra=(token_text,), answer=accepted
    )
    first = _Event("Started", how, "EVConnected", s.started_at, runs & ~on_plug, zero, begin, answer=accepted)
    first.extra = (evse_text, token_text)
    yield first
    yield _Event("Updated", changed, "SuspendedEVSE", s.waiting_at, waits, charging - 1)
    yield _Event("Updated", changed, "Charging", s.charging_at, normal, charging)
    row, sample, at = active.samples()
    after = (at > s.full_at[row]) & idles[row]
    for which, state in ((~after, "Charging"), (after, "SuspendedEV")):
        seq = charging[row] + sample + after
        yield _Event("Updated", "MeterValuePeriodic", state, at, which, seq, "Sample.Periodic", row=row)
    full = charging + before_full + 1
    yield _Event("Updated", changed, "SuspendedEV", s.full_at, idles, full, rank=LATER_STATUS)
    states = looked_up(pl.Series(["EVConnected", "Idle"]), active.leaves.astype(np.int64))
    triggers = looked_up(_STOP_TRIGGERS, active.stop_reason)
    stopped = looked_up(_STOP_REASONS, active.stop_reason)
    yield _Event("Ended", triggers, states, s.ended_at, runs, ended, "Transaction.End", stopped=stopped)


def add_sessions(part: Slice, plan: Plan) -> None:
    """Add what is said of the sessions that touch a slice.

    Args:
        part: The slice.
        plan: What happens.
    """
    sessions: Sessions = plan.sessions
    touches = (sessions.reserved_at < part.end) & (sessions.unplugged_at >= part.begin)
    is_16 = plan.net.model_flag("is_16")[plan.net.port_model[sessions.port]]
    for which in (touches & is_16, touches & ~is_16):
        rows = np.flatnonzero(which)
        if len(rows) == 0:
            continue
        active = _Active(part, plan, rows)
        _statuses(active)
        if is_16[rows[0]]:
            _add_16(active, plan.drivers.tags(active.sessions))
            continue
        token = plan.drivers.id_tokens(active.sessions)
        evse = number(plan.net.connector_evse[active.sessions.connector])
        _ask_2(active, token, evse)
        info = joined(escaped('"transactionInfo":{"transactionId":"'), active.transaction, escaped('"'))
        for event in _events(active, token, evse):
            _send(active, info, event)
