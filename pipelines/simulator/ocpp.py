"""The OCPP logs: every frame of every station, written as JSON lines, one file per operator and month.

A record is evpanda's (charger_id, connection_id, tenant_id, tenant_name, captured_at, event_type 0 disconnect / 1 connect /
2 message, direction, raw_frame, raw_frame_encoding). Frames of a slice of time are made a column at a time; a call and
its answer are one row until they are written as two lines, so lines are in the order of the calls.
"""

import gzip
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

import numpy as np
import polars as pl
import zstandard

from pipelines.home import replacing
from pipelines.simulator import outages as kinds
from pipelines.simulator.chance import hashed
from pipelines.simulator.drivers import Drivers
from pipelines.simulator.network import DAY_S, MODELS, OCPP16, OCPP21, OPERATORS, Network
from pipelines.simulator.outages import Outages
from pipelines.simulator.sessions import (
    AD_HOC,
    FAILED,
    NORMAL,
    REFUSED,
    Sessions,
    charged_share,
    sample_interval,
)
from pipelines.simulator.text import Piece, escaped, joined, looked_up, number, stamp, thousandths

CALLS_AT_ONCE = 120_000  # bounds memory: some 100 MB of text
SPACING_MS = 40  # between the calls of one station within one second
MOST_IN_A_SECOND = 17

AVAILABLE, PREPARING, CHARGING, SUSPENDED_EV, SUSPENDED_EVSE, FINISHING, RESERVED, UNAVAILABLE, FAULTED = range(9)
_STATUS_16 = pl.Series(
    [
        "Available",
        "Preparing",
        "Charging",
        "SuspendedEV",
        "SuspendedEVSE",
        "Finishing",
        "Reserved",
        "Unavailable",
        "Faulted",
    ]
)
_STATUS_2 = pl.Series(
    ["Available", "Occupied", "Occupied", "Occupied", "Occupied", "Occupied", "Reserved", "Unavailable", "Faulted"]
)
_NO_ERROR = "NoError"
_HEARTBEAT = escaped('"Heartbeat",{}')
_EMPTY = "{}"
_ACCEPTED = escaped('{"status":"Accepted"}')
_TO_STATION, _FROM_STATION = "TO_CP", "FROM_CP"


@dataclass(slots=True)
class Calls:
    """Calls with their answers, collected piece by piece.

    A call's ``body`` is its action and payload, its ``answer`` the payload of the result, both escaped.
    """

    station: list[np.ndarray] = field(default_factory=list)
    at: list[np.ndarray] = field(default_factory=list)
    rank: list[np.ndarray] = field(default_factory=list)
    body: list[pl.Series] = field(default_factory=list)
    answer: list[pl.Series] = field(default_factory=list)
    from_csms: list[np.ndarray] = field(default_factory=list)

    def add(  # noqa: PLR0913
        self, station: np.ndarray, at: np.ndarray, rank: int, body: Piece, answer: Piece, *, from_csms: bool = False
    ) -> None:
        """Add calls; ``rank`` orders the calls of one station within one second."""
        rows = len(station)
        if rows == 0:
            return
        self.station.append(station)
        self.at.append(at)
        self.rank.append(np.full(rows, rank, dtype=np.int64))
        self.body.append(body if isinstance(body, pl.Series) else joined(body, rows=rows))
        self.answer.append(answer if isinstance(answer, pl.Series) else joined(answer, rows=rows))
        self.from_csms.append(np.full(rows, from_csms))


@dataclass(slots=True)
class Statuses:
    """Statuses to report: received at ``at``, with the charger's time ``event_at``."""

    connector: list[np.ndarray] = field(default_factory=list)  # -1 - station for a 1.6 station's connector 0
    at: list[np.ndarray] = field(default_factory=list)
    event_at: list[np.ndarray] = field(default_factory=list)
    status: list[np.ndarray] = field(default_factory=list)
    code: list[np.ndarray] = field(default_factory=list)
    rank: list[np.ndarray] = field(default_factory=list)

    def add(  # noqa: PLR0913
        self,
        connector: np.ndarray,
        at: np.ndarray,
        status: int,
        rank: int,
        event_at: np.ndarray | None = None,
        code: np.ndarray | None = None,
    ) -> None:
        """Add statuses; ``code`` is the position of the model's error code, -1 for none."""
        rows = len(connector)
        self.connector.append(connector.astype(np.int64))
        self.at.append(at)
        self.event_at.append(at if event_at is None else event_at)
        self.status.append(np.full(rows, status))
        self.code.append(np.full(rows, -1) if code is None else code)
        self.rank.append(np.full(rows, rank))


@dataclass(slots=True)
class LogTexts:
    """Texts that stay the same through the simulation, as tables to look up."""

    prefix: pl.Series  # by connection: the record up to captured_at
    connection_key: np.ndarray  # (station << 40) + begin of each connection, sorted
    boot: pl.Series  # by station and firmware
    drivers: Drivers


def _connectors(
    net: Network, station: np.ndarray, port: np.ndarray, skip: np.ndarray | int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Return row and connector for every connector of a port, or of the whole station where the port is negative.

    Args:
        net: The network.
        station: Stations.
        port: Ports, or -1.
        skip: How many of the first connectors to leave out.
    """
    first_connector = np.concatenate((net.port_first_connector, [len(net.connector_port)]))
    whole = port < 0
    first_port = np.where(whole, net.station_first_port[station], port)
    last_port = first_port + np.where(whole, net.model_flag("ports")[net.station_model[station]], 1)
    first, last = first_connector[first_port] + skip, first_connector[last_port]
    copies = last - first
    row = np.repeat(np.arange(len(station)), copies)
    position = np.arange(len(row)) - np.repeat(np.cumsum(copies) - copies, copies)
    return row, first[row] + position


def _connections(net: Network, outages: Outages, seed: int) -> tuple[np.ndarray, pl.Series]:
    """Return the begin of every websocket connection and the beginning of its records."""
    stations = np.arange(len(net.station_ids))
    back = outages.of(kinds.SILENCE, kinds.POWER, kinds.LATE_FAULT)
    flap = outages.of(kinds.FLAP)
    station = np.concatenate((stations, back.station, flap.station))
    begin = np.concatenate((np.zeros(len(stations), dtype=np.int64), back.b, flap.a + kinds.FLAP_UP_S))
    order = np.lexsort((begin, station))
    station, begin = station[order], begin[order]
    number_ = hashed(seed, 41, station, begin)
    operator = net.station_operator[station]
    ids = pl.Series([f'{{"charger_id":"{name}","connection_id":"' for name in net.station_ids])
    tenants = pl.Series(
        [f'","tenant_id":"{o.operator_id}","tenant_name":"{o.name}","captured_at":"' for o in OPERATORS]
    )
    connection = joined("ws-", number(number_ % 10**15).str.zfill(15))
    prefix = joined(looked_up(ids, station), connection, looked_up(tenants, operator))
    return (station.astype(np.int64) << 40) + begin, prefix


def log_texts(net: Network, outages: Outages, drivers: Drivers, seed: int) -> LogTexts:
    """Prepare the texts that stay the same through the simulation."""
    key, prefix = _connections(net, outages, seed)
    boots = []
    for station, name in enumerate(net.station_ids):
        model = MODELS[int(net.station_model[station])]
        for firmware in model.firmware:
            serial = serial_number(net, station)
            if model.protocol == OCPP16:
                text = (
                    f'"BootNotification",{{"chargePointVendor":"{model.vendor}","chargePointModel":"{model.model}",'
                    f'"chargePointSerialNumber":"{serial}","chargeBoxSerialNumber":"{name}","firmwareVersion":"{firmware}"}}'
                )
            else:
                text = (
                    f'"BootNotification",{{"reason":"@","chargingStation":{{"vendorName":"{model.vendor}",'
                    f'"model":"{model.model}","serialNumber":"{serial}","firmwareVersion":"{firmware}"}}}}'
                )
            boots.append(escaped(text))
    return LogTexts(prefix, key, pl.Series(boots), drivers)


def serial_number(net: Network, station: int) -> str:
    """Return the serial number of a station."""
    model = MODELS[int(net.station_model[station])]
    return f"{model.vendor[:2].upper()}{int(net.station_model[station])}{station + 1:06}"


def _heartbeats(net: Network, outages: Outages, members: np.ndarray, begin: int, end: int, seed: int) -> tuple:
    """Return station and time of the heartbeats in a slice: every interval, but not inside a silence."""
    interval = net.station_interval_s[members]
    phase = hashed(seed, 42, members) % interval
    first = np.maximum(net.station_commissioned_s[members] + 10, begin)
    start = first + (phase - first) % interval
    count = np.maximum(0, -(-(end - start) // interval))
    row = np.repeat(np.arange(len(members)), count)
    position = np.arange(len(row)) - np.repeat(np.cumsum(count) - count, count)
    at = start[row] + position * interval[row]
    station = members[row]
    quiet = outages.take(outages.is_silent | (outages.kind == kinds.FLAP))
    flap = quiet.kind == kinds.FLAP
    quiet_end = np.where(flap, quiet.a + kinds.BOOT_AFTER_FLAP_S + 4, quiet.b)
    # Strictly inside: the last frame before and the first after are written by the outage itself.
    inside = kinds.overlaps(station, at, at + 1, (quiet.station, quiet.a + 1, quiet_end), 0)
    return station[~inside], at[~inside]


def _in(at: np.ndarray, begin: int, end: int) -> np.ndarray:
    return (at >= begin) & (at < end)


def _status_calls(net: Network, statuses: Statuses, calls: Calls, begin: int, end: int) -> None:
    """Turn statuses into StatusNotification or NotifyEvent calls, in the manner of each model."""
    columns = (statuses.connector, statuses.at, statuses.event_at, statuses.status, statuses.code, statuses.rank)
    connector, at, event_at, status, code, rank = (np.concatenate(column) for column in columns)
    keep = _in(at, begin, end)
    connector, at, event_at, status, code, rank = (a[keep] for a in (connector, at, event_at, status, code, rank))
    whole = connector < 0
    inner = np.maximum(connector, 0)
    station = np.where(whole, -1 - connector, net.connector_station[inner])
    model = net.station_model[station]
    is_16 = net.model_flag("is_16")[model]
    stamps = net.model_flag("stamps_status")[model]
    is_21 = net.model_flag("protocol")[model] == OCPP21
    connector_number = np.where(whole, 0, net.connector_number[inner])
    evse = np.where(whole, 0, net.connector_evse[inner])
    # 2.x tells only five statuses; what is no change for it is not sent.
    told = is_16 | ~np.isin(status, (CHARGING, SUSPENDED_EV, SUSPENDED_EVSE, FINISHING))
    codes = [m.faults for m in MODELS]
    longest = max(len(c) for c in codes)
    code_texts = pl.Series([c[i % len(c)] for c in codes for i in range(longest)] + [_NO_ERROR])
    code_row = np.where(code < 0, len(codes) * longest, model * longest + code % longest)
    vendor_codes = pl.Series(
        [escaped(f',"vendorId":"{m.vendor}","vendorErrorCode":"E{100 + n}"') for n, m in enumerate(MODELS)] + [""]
    )
    vendor_row = np.where(code < 0, len(MODELS), model)

    def send(which: np.ndarray, make: Callable[[np.ndarray], pl.Series]) -> None:
        rows = np.flatnonzero(which & told)
        if len(rows) == 0:
            return
        text = make(rows)
        for value in np.unique(rank[rows]).tolist():
            part = np.flatnonzero(rank[rows] == value)
            calls.add(station[rows][part], at[rows][part], value, text.gather(part), _EMPTY)

    def make_16(rows: np.ndarray) -> pl.Series:
        stamped = bool(stamps[rows[0]])
        time = (escaped(',"timestamp":"'), stamp(event_at[rows]), escaped('"}')) if stamped else ("}",)
        return joined(
            escaped('"StatusNotification",{"connectorId":'),
            number(connector_number[rows]),
            escaped(',"errorCode":"'),
            looked_up(code_texts, code_row[rows]),
            escaped('","status":"'),
            looked_up(_STATUS_16, status[rows]),
            escaped('"'),
            looked_up(vendor_codes, vendor_row[rows]),
            *time,
        )

    def make_201(rows: np.ndarray) -> pl.Series:
        return joined(
            escaped('"StatusNotification",{"timestamp":"'),
            stamp(event_at[rows]),
            escaped('","connectorStatus":"'),
            looked_up(_STATUS_2, status[rows]),
            escaped('","evseId":'),
            number(evse[rows]),
            escaped(',"connectorId":'),
            number(connector_number[rows]),
            "}",
        )

    def make_21(rows: np.ndarray) -> pl.Series:
        return joined(
            escaped('"NotifyEvent",{"generatedAt":"'),
            stamp(at[rows]),
            escaped('","seqNo":0,"tbc":false,"eventData":[{"eventId":'),
            number(event_at[rows] % 10_000_000),
            escaped(',"timestamp":"'),
            stamp(event_at[rows]),
            escaped('","trigger":"Delta","actualValue":"'),
            looked_up(_STATUS_2, status[rows]),
            escaped('","eventNotificationType":"HardWiredNotification","component":{"name":"Connector","evse":{"id":'),
            number(evse[rows]),
            escaped(',"connectorId":'),
            number(connector_number[rows]),
            escaped('}},"variable":{"name":"AvailabilityState"}}]}'),
        )

    send(is_16 & stamps, make_16)
    send(is_16 & ~stamps, make_16)
    send(~is_16 & ~is_21, make_201)
    send(is_21, make_21)


def _boot(net: Network, texts: LogTexts, calls: Calls, station: np.ndarray, at: np.ndarray, reason: str) -> None:  # noqa: PLR0913
    newer = at > net.start_s + (net.end_s - net.start_s) * 45 // 100
    body = looked_up(texts.boot, station * 2 + newer).str.replace("@", reason, literal=True)
    answer = joined(
        escaped('{"currentTime":"'),
        stamp(at),
        escaped('","interval":'),
        number(net.station_interval_s[station]),
        escaped(',"status":"Accepted"}'),
    )
    calls.add(station, at, 1, body, answer)


def _all_statuses(
    net: Network, statuses: Statuses, station: np.ndarray, at: np.ndarray, status: int, code: int = -1
) -> None:
    """Report every connector of some stations, and connector 0 of those that speak 1.6."""
    row, connector = _connectors(net, station, np.full(len(station), -1))
    is_16 = net.model_flag("is_16")[net.station_model[station]]
    zero = np.full(int(is_16.sum()), code)
    statuses.add(-1 - station[is_16], at[is_16], status, 2, code=zero)
    statuses.add(connector, at[row], status, 3, code=np.full(len(row), code))


def _outage_calls(  # noqa: PLR0915
    net: Network,
    texts: LogTexts,
    outages: Outages,
    members: np.ndarray,
    calls: Calls,
    statuses: Statuses,
    begin: int,
    end: int,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Add what outages make stations say; returns station, time and type (0, 1) of logged disconnects and connects."""
    near = outages.take((outages.a < end + DAY_S) & (np.maximum(outages.b, outages.cleared_at) >= begin - DAY_S))
    heartbeat_answer = lambda at: joined(escaped('{"currentTime":"'), stamp(at), escaped('"}'))  # noqa: E731

    def beat(station: np.ndarray, at: np.ndarray) -> None:
        keep = _in(at, begin, end)
        calls.add(station[keep], at[keep], 7, _HEARTBEAT, heartbeat_answer(at[keep]))

    def boot(station: np.ndarray, at: np.ndarray, reason: str) -> None:
        keep = _in(at, begin, end)
        _boot(net, texts, calls, station[keep], at[keep], reason)

    # The first boots: the log begins with them.
    opened = net.station_commissioned_s[members]
    boot(members, opened, "PowerUp")
    _all_statuses(net, statuses, members, opened + 2, AVAILABLE)

    silent = near.of(kinds.SILENCE, kinds.LATE_FAULT, kinds.POWER, kinds.DEAD)
    beat(silent.station, silent.a)
    back = near.of(kinds.SILENCE, kinds.LATE_FAULT)
    beat(back.station, back.b)
    plain = near.of(kinds.SILENCE)
    again = plain.take(plain.a % 2 == 0)
    _all_statuses(net, statuses, again.station, again.b + 1, AVAILABLE)
    power = near.of(kinds.POWER)
    boot(power.station, power.b, "PowerUp")
    _all_statuses(net, statuses, power.station, power.b + 2, AVAILABLE)

    late = near.of(kinds.LATE_FAULT)
    row, connector = _connectors(net, late.station, late.port)
    statuses.add(connector, late.b[row] + 2, FAULTED, 3, event_at=late.event_at[row], code=late.code[row])
    statuses.add(connector, late.cleared_at[row], AVAILABLE, 3)

    flap = near.of(kinds.FLAP)
    boot(flap.station, flap.a + kinds.BOOT_AFTER_FLAP_S, "FirmwareUpdate")
    _all_statuses(net, statuses, flap.station, flap.a + kinds.BOOT_AFTER_FLAP_S + 2, AVAILABLE)

    fault = near.of(kinds.FAULT, kinds.BROKEN, kinds.ONE_CONNECTOR)
    row, connector = _connectors(net, fault.station, fault.port, fault.kind == kinds.ONE_CONNECTOR)
    statuses.add(connector, fault.a[row], FAULTED, 3, code=fault.code[row])
    statuses.add(connector, fault.b[row], AVAILABLE, 3)

    station_fault = near.of(kinds.STATION_FAULT)
    statuses.add(-1 - station_fault.station, station_fault.a, FAULTED, 2, code=station_fault.code)
    statuses.add(-1 - station_fault.station, station_fault.b, AVAILABLE, 2)

    upkeep = near.of(kinds.MAINTENANCE)
    _all_statuses(net, statuses, upkeep.station, upkeep.a, UNAVAILABLE)
    _all_statuses(net, statuses, upkeep.station, upkeep.b, AVAILABLE)
    is_16 = net.model_flag("is_16")[net.station_model[upkeep.station]]
    for at, type_ in ((upkeep.a - 2, "Inoperative"), (upkeep.b - 2, "Operative")):
        old, new = _in(at, begin, end) & is_16, _in(at, begin, end) & ~is_16
        body_16 = escaped(f'"ChangeAvailability",{{"connectorId":0,"type":"{type_}"}}')
        calls.add(upkeep.station[old], at[old], 0, body_16, _ACCEPTED, from_csms=True)
        body_2 = escaped(f'"ChangeAvailability",{{"operationalStatus":"{type_}"}}')
        calls.add(upkeep.station[new], at[new], 0, body_2, _ACCEPTED, from_csms=True)

    hole = near.of(kinds.HOLE)
    edge = np.isin(hole.station, net.first_stations())
    beat(hole.station[edge], hole.a[edge])
    beat(hole.station[edge], hole.b[edge])

    # The first station speaks in the very last second: the log's end is known to the second.
    steady = np.intersect1d(members, net.first_stations())
    beat(steady, np.full(len(steady), net.end_s - 1))

    logged = np.array([operator.logs_connections for operator in OPERATORS])
    silent = silent.take(logged[net.station_operator[silent.station]])
    flap = flap.take(logged[net.station_operator[flap.station]])
    opens = members[logged[net.station_operator[members]]]
    ends = silent.take(silent.kind != kinds.DEAD)
    station = np.concatenate((opens, ends.station, flap.station, silent.station, flap.station))
    at = np.concatenate(
        (
            net.station_commissioned_s[opens],
            ends.b,
            flap.a + kinds.FLAP_UP_S,
            silent.a + kinds.DISCONNECT_AFTER_S,
            flap.a + kinds.FLAP_DOWN_S,
        )
    )
    connects = len(opens) + len(ends) + len(flap)
    type_ = np.concatenate((np.ones(connects, dtype=np.int64), np.zeros(len(station) - connects, dtype=np.int64)))
    keep = _in(at, begin, end)
    return station[keep], at[keep], type_[keep]


def _session_statuses(net: Network, sessions: Sessions, statuses: Statuses) -> None:
    connector = sessions.connector
    normal = sessions.kind == NORMAL
    model = net.port_model[sessions.port]
    is_16 = net.model_flag("is_16")[model]
    reserved = sessions.reserved_at < sessions.plugged_at
    statuses.add(connector[reserved], sessions.reserved_at[reserved], RESERVED, 3)
    statuses.add(connector, sessions.plugged_at, PREPARING, 3)
    waits = normal & (sessions.waiting_at < sessions.charging_at)
    statuses.add(connector[waits], sessions.waiting_at[waits], SUSPENDED_EVSE, 4)
    statuses.add(connector[normal], sessions.charging_at[normal], CHARGING, 4)
    idles = normal & (sessions.full_at < sessions.ended_at)
    statuses.add(connector[idles], sessions.full_at[idles], SUSPENDED_EV, 4)
    finishes = (sessions.ended_at < sessions.unplugged_at) & (sessions.kind != REFUSED)
    statuses.add(connector[finishes], sessions.ended_at[finishes], FINISHING, 6)
    statuses.add(connector, sessions.unplugged_at, AVAILABLE, 6)
    # A 1.6 twin takes its other plug out of service while one is used.
    twin = is_16 & (net.model_flag("connectors")[model] > 1)
    first = net.port_first_connector[sessions.port]
    other = np.where(connector == first, first + 1, first)
    statuses.add(other[twin], sessions.plugged_at[twin], UNAVAILABLE, 4)
    statuses.add(other[twin], sessions.unplugged_at[twin], AVAILABLE, 6)


def _samples(net: Network, sessions: Sessions, begin: int, end: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return session row, number (from 1) and time of the periodic meter values inside a slice."""
    interval = sample_interval(net, sessions.port)
    normal = sessions.kind == NORMAL
    last = np.minimum(sessions.ended_at - 1, end - 1)
    low = np.maximum(1, -(-(begin - sessions.charging_at) // interval))
    high = np.where(normal, (last - sessions.charging_at) // interval, 0)
    count = np.maximum(0, high - low + 1)
    row = np.repeat(np.arange(len(sessions)), count)
    sample = low[row] + np.arange(len(row)) - np.repeat(np.cumsum(count) - count, count)
    return row, sample, sessions.charging_at[row] + sample * interval[row]


@dataclass(slots=True)
class _Meter:
    """What a meter shows at some instants of some sessions."""

    register: pl.Series
    power: pl.Series
    soc: pl.Series


def _energy(net: Network, sessions: Sessions, row: np.ndarray, at: np.ndarray) -> np.ndarray:
    is_dc = net.model_flag("power_type")[net.port_model[sessions.port[row]]] == "DC"
    share = charged_share(is_dc, at - sessions.charging_at[row], sessions.full_at[row] - sessions.charging_at[row])
    return np.floor(sessions.energy_wh[row] * share + 1e-9).astype(np.int64)


def _meter(net: Network, sessions: Sessions, row: np.ndarray, at: np.ndarray, in_kwh: bool) -> _Meter:
    is_dc = net.model_flag("power_type")[net.port_model[sessions.port[row]]] == "DC"
    whole = np.maximum(sessions.full_at[row] - sessions.charging_at[row], 1)
    since = at - sessions.charging_at[row]
    share = charged_share(is_dc, since, whole)
    register = sessions.register_wh[row] + _energy(net, sessions, row, at)
    average = sessions.energy_wh[row] * 3600 / whole
    flowing = (since < whole) & (since >= 0)
    power = np.where(flowing, np.where(is_dc, average * (1.6 - 1.2 * np.clip(since / whole, 0, 1)), average), 0).astype(
        np.int64
    )
    soc = (sessions.soc_from[row] + (sessions.soc_to[row] - sessions.soc_from[row]) * share).astype(np.int64)
    shown = thousandths if in_kwh else number
    return _Meter(shown(register), shown(power), number(soc))


def _sampled_values(
    meter: _Meter, model_16: bool, in_kwh: bool, is_dc: bool, context: str = "Sample.Periodic"
) -> list[Piece]:
    """Return the pieces of a sampledValue array."""
    energy, power = ("kWh", "kW") if in_kwh else ("Wh", "W")
    if model_16 and in_kwh:  # the sparest form: measurand and context by default
        text = (
            '[{"value":"', meter.register, f'","unit":"{energy}"}},{{"value":"', meter.power,
            f'","measurand":"Power.Active.Import","unit":"{power}"}}',
        )  # fmt: skip
    elif model_16:
        text = (
            '[{"value":"', meter.register,
            f'","context":"{context}","measurand":"Energy.Active.Import.Register","unit":"{energy}"}},{{"value":"',
            meter.power, f'","context":"{context}","measurand":"Power.Active.Import","unit":"{power}"}}',
        )  # fmt: skip
    else:
        text = (
            '[{"value":', meter.register,
            f',"context":"{context}","measurand":"Energy.Active.Import.Register","unitOfMeasure":{{"unit":"{energy}"}}}},{{"value":',
            meter.power, f',"context":"{context}","measurand":"Power.Active.Import","unitOfMeasure":{{"unit":"{power}"}}}}',
        )  # fmt: skip
    pieces: list[Piece] = [escaped(piece) if isinstance(piece, str) else piece for piece in text]
    if is_dc and model_16:
        pieces += [
            escaped(',{"value":"'),
            meter.soc,
            escaped(f'","context":"{context}","measurand":"SoC","location":"EV","unit":"Percent"}}'),
        ]
    elif is_dc:
        pieces += [
            escaped(',{"value":'),
            meter.soc,
            escaped(f',"context":"{context}","measurand":"SoC","location":"EV","unitOfMeasure":{{"unit":"Percent"}}}}'),
        ]
    return [*pieces, "]"]


def transaction_texts(net: Network, sessions: Sessions) -> pl.Series:
    """Return the transaction ids: the CSMS's number in 1.6, the station's own text in 2.x."""
    is_16 = net.model_flag("is_16")[net.port_model[sessions.port]]
    stations = pl.Series([f"{name}-" for name in net.station_ids] + [""])
    row = np.where(is_16, len(net.station_ids), net.port_station[sessions.port])
    return joined(looked_up(stations, row), number(sessions.number))


def _calls_16(net: Network, drivers: Drivers, sessions: Sessions, calls: Calls, begin: int, end: int) -> None:
    """1.6: Authorize, StartTransaction, MeterValues, StopTransaction (or a remote start for drivers without a token)."""
    model = net.port_model[sessions.port]
    station = net.port_station[sessions.port]
    connector = number(net.connector_number[sessions.connector])
    tag = drivers.tags(sessions)
    transaction = number(sessions.number)
    refused = sessions.kind == REFUSED
    accepted = escaped('{"idTagInfo":{"status":"Accepted"}}')

    asks = _in(sessions.asked_at, begin, end)
    by_card = sessions.token != AD_HOC
    for which, answer in ((~refused, accepted), (refused, escaped('{"idTagInfo":{"status":"Invalid"}}'))):
        rows = np.flatnonzero(asks & which & (by_card | refused))
        calls.add(
            station[rows],
            sessions.asked_at[rows],
            4,
            joined(escaped('"Authorize",{"idTag":"'), tag.gather(rows), escaped('"}')),
            answer,
        )
    rows = np.flatnonzero(asks & ~refused & ~by_card)
    body = joined(
        escaped('"RemoteStartTransaction",{"connectorId":'),
        connector.gather(rows),
        escaped(',"idTag":"'),
        tag.gather(rows),
        escaped('"}'),
    )
    calls.add(station[rows], sessions.asked_at[rows], 4, body, _ACCEPTED, from_csms=True)

    reserved = np.flatnonzero((sessions.reserved_at < sessions.plugged_at) & _in(sessions.reserved_at, begin, end))
    body = joined(
        escaped('"ReserveNow",{"connectorId":'), connector.gather(reserved), escaped(',"expiryDate":"'),
        stamp(sessions.reserved_at[reserved] + 1800), escaped('","idTag":"'), tag.gather(reserved), escaped('","reservationId":'),
        number(sessions.number[reserved]), "}",
    )  # fmt: skip
    calls.add(station[reserved], sessions.reserved_at[reserved], 2, body, _ACCEPTED, from_csms=True)

    rows = np.flatnonzero(_in(sessions.started_at, begin, end) & ~refused)
    reservation = looked_up(pl.Series(["", "R"]), (sessions.reserved_at < sessions.plugged_at)[rows].astype(np.int64))
    reservation = pl.select(
        pl.when(pl.lit(reservation) == "R")
        .then(pl.concat_str(pl.lit(escaped(',"reservationId":')), pl.lit(number(sessions.number[rows]))))
        .otherwise(pl.lit(""))
    ).to_series()
    body = joined(
        escaped('"StartTransaction",{"connectorId":'), connector.gather(rows), escaped(',"idTag":"'), tag.gather(rows),
        escaped('","meterStart":'), number(sessions.register_wh[rows]), escaped(',"timestamp":"'),
        stamp(sessions.started_at[rows]), escaped('"'), reservation, "}",
    )  # fmt: skip
    answer = joined(escaped('{"idTagInfo":{"status":"Accepted"},"transactionId":'), transaction.gather(rows), "}")
    calls.add(station[rows], sessions.started_at[rows], 5, body, answer)

    rows = np.flatnonzero(_in(sessions.ended_at, begin, end) & ~refused)
    leaves = sessions.ended_at == sessions.unplugged_at
    reasons = pl.Series(["Local", "EVDisconnected", "Other", "Remote"])
    why = np.where(sessions.kind == FAILED, 2, np.where(leaves, 1, np.where(by_card, 0, 3)))
    body = joined(
        escaped('"StopTransaction",{"transactionId":'), transaction.gather(rows), escaped(',"idTag":"'), tag.gather(rows),
        escaped('","meterStop":'), number((sessions.register_wh + sessions.energy_wh)[rows]), escaped(',"timestamp":"'),
        stamp(sessions.ended_at[rows]), escaped('","reason":"'), looked_up(reasons, why[rows]), escaped('"}'),
    )  # fmt: skip
    calls.add(station[rows], sessions.ended_at[rows], 5, body, accepted)

    row, _, at = _samples(net, sessions, begin, end)
    head = joined(
        escaped('"MeterValues",{"connectorId":'),
        connector,
        escaped(',"transactionId":'),
        transaction,
        escaped(',"meterValue":[{"timestamp":"'),
    )
    in_kwh = net.model_flag("meter_in_kwh")[model][row]
    is_dc = (net.model_flag("power_type")[model] == "DC")[row]
    for kwh in (False, True):
        for dc in (False, True):
            part = np.flatnonzero((in_kwh == kwh) & (is_dc == dc))
            if len(part) == 0:
                continue
            meter = _meter(net, sessions, row[part], at[part], kwh)
            values = _sampled_values(meter, True, kwh, dc)
            body = joined(
                head.gather(row[part]), stamp(at[part]), escaped('","sampledValue":'), *values, escaped("}]}")
            )
            calls.add(station[row[part]], at[part], 5, body, _EMPTY)


def _calls_2(net: Network, drivers: Drivers, sessions: Sessions, calls: Calls, begin: int, end: int) -> None:
    """2.x: Authorize and TransactionEvents; evse only in the first event, idToken where the driver is authorised."""
    model = net.port_model[sessions.port]
    station = net.port_station[sessions.port]
    on_plug = net.model_flag("starts_on_plug")[model]
    normal = sessions.kind == NORMAL
    runs = sessions.kind != REFUSED
    token = drivers.id_tokens(sessions)
    transaction = transaction_texts(net, sessions)
    by_card = sessions.token != AD_HOC
    in_kwh = net.model_flag("meter_in_kwh")[model]
    is_dc = net.model_flag("power_type")[model] == "DC"
    interval = sample_interval(net, sessions.port)
    waits = normal & (sessions.waiting_at < sessions.charging_at)
    idles = normal & (sessions.full_at < sessions.ended_at)

    asks = _in(sessions.asked_at, begin, end)
    accepted = escaped('{"idTokenInfo":{"status":"Accepted"}}')
    for which, answer in ((runs, accepted), (~runs, escaped('{"idTokenInfo":{"status":"Invalid"}}'))):
        rows = np.flatnonzero(asks & which & (by_card | ~runs))
        calls.add(
            station[rows],
            sessions.asked_at[rows],
            4,
            joined(escaped('"Authorize",{"idToken":'), token.gather(rows), "}"),
            answer,
        )
    rows = np.flatnonzero(asks & runs & ~by_card)
    evse = number(net.connector_evse[sessions.connector])
    body = joined(
        escaped('"RequestStartTransaction",{"remoteStartId":'), number(sessions.number[rows]), escaped(',"evseId":'),
        evse.gather(rows), escaped(',"idToken":'), token.gather(rows), "}",
    )  # fmt: skip
    calls.add(station[rows], sessions.asked_at[rows], 4, body, _ACCEPTED, from_csms=True)

    # seqNo: [Started on plug,] authorised, [power held back,] charging, samples, [suspended,] ended.
    seq_authorised = on_plug.astype(np.int64)
    seq_charging = seq_authorised + 1 + waits
    before_full = np.where(idles, (sessions.full_at - sessions.charging_at) // interval, 0)
    samples = np.maximum(0, (sessions.ended_at - 1 - sessions.charging_at) // interval)
    seq_suspended = seq_charging + before_full + 1
    seq_ended = np.where(normal, seq_charging + np.where(normal, samples, 0) + idles + 1, seq_authorised + 1)
    transaction_info = joined(escaped('"transactionInfo":{"transactionId":"'), transaction, escaped('"'))
    evse_text = joined(
        escaped(',"evse":{"id":'),
        evse,
        escaped(',"connectorId":'),
        number(net.connector_number[sessions.connector]),
        "}",
    )

    def event(  # noqa: PLR0913
        which: np.ndarray,
        at: np.ndarray,
        type_: str,
        trigger: Piece,
        seq: np.ndarray,
        state: Piece,
        *,
        context: str | None = None,
        extra: tuple[pl.Series, ...] = (),
        stopped: pl.Series | None = None,
        rank: int = 5,
        row: np.ndarray | None = None,
        answer: str = _EMPTY,
    ) -> None:
        """Add TransactionEvents of the sessions (or of sample rows) that ``which`` picks."""
        picked = np.flatnonzero(which & _in(at, begin, end))
        rows = picked if row is None else row[picked]
        for kwh in (False, True):
            for dc in (False, True):
                part = np.flatnonzero((in_kwh[rows] == kwh) & (is_dc[rows] == dc))
                if len(part) == 0:
                    continue
                session = rows[part]
                source = picked[part]
                when = at[source]
                pick = lambda text: text if isinstance(text, str) else text.gather(session)  # noqa: B023, E731
                pieces: list[Piece] = [
                    escaped(f'"TransactionEvent",{{"eventType":"{type_}","timestamp":"'), stamp(when),
                    escaped('","triggerReason":"'), pick(trigger), escaped('","seqNo":'), number(seq[source]), ",",
                    pick(transaction_info), escaped(',"chargingState":"'), pick(state), escaped('"'),
                ]  # fmt: skip
                if stopped is not None:
                    pieces += [escaped(',"stoppedReason":"'), pick(stopped), escaped('"')]
                pieces += ["}", *(pick(text) for text in extra)]
                if context is not None:
                    meter = _meter(net, sessions, session, when, kwh)
                    pieces += [escaped(',"meterValue":[{"timestamp":"'), stamp(when), escaped('","sampledValue":')]
                    pieces += [*_sampled_values(meter, False, kwh, dc, context), "}]"]
                calls.add(station[session], when, rank, joined(*pieces, "}"), answer)

    token_text = joined(escaped(',"idToken":'), token)
    how = looked_up(pl.Series(["Authorized", "RemoteStart"]), (~by_card).astype(np.int64))
    zero = np.zeros(len(sessions), dtype=np.int64)
    event(
        runs & on_plug,
        sessions.plugged_at,
        "Started",
        "CablePluggedIn",
        zero,
        "EVConnected",
        context="Transaction.Begin",
        extra=(evse_text,),
    )
    event(
        runs & on_plug,
        sessions.started_at,
        "Updated",
        how,
        seq_authorised,
        "EVConnected",
        extra=(token_text,),
        answer=accepted,
    )
    event(
        runs & ~on_plug,
        sessions.started_at,
        "Started",
        how,
        zero,
        "EVConnected",
        context="Transaction.Begin",
        extra=(evse_text, token_text),
        answer=accepted,
    )
    event(waits, sessions.waiting_at, "Updated", "ChargingStateChanged", seq_charging - 1, "SuspendedEVSE")
    event(normal, sessions.charging_at, "Updated", "ChargingStateChanged", seq_charging, "Charging")
    row, sample, at = _samples(net, sessions, begin, end)
    # Sample rows have times and numbers of their own; the session's texts are picked through `row`.
    after = (at > sessions.full_at[row]) & idles[row]
    for which, state in ((~after, "Charging"), (after, "SuspendedEV")):
        event(
            which,
            at,
            "Updated",
            "MeterValuePeriodic",
            seq_charging[row] + sample + after,
            state,
            context="Sample.Periodic",
            row=row,
        )
    event(idles, sessions.full_at, "Updated", "ChargingStateChanged", seq_suspended, "SuspendedEV", rank=6)
    leaves = sessions.ended_at == sessions.unplugged_at
    reasons = pl.Series(["Local", "EVDisconnected", "Other", "Remote"])
    why = np.where(sessions.kind == FAILED, 2, np.where(leaves, 1, np.where(by_card, 0, 3)))
    triggers = pl.Series(["StopAuthorized", "EVDeparted", "AbnormalCondition", "RemoteStop"])
    states = looked_up(pl.Series(["EVConnected", "Idle"]), leaves.astype(np.int64))
    event(
        runs,
        sessions.ended_at,
        "Ended",
        looked_up(triggers, why),
        seq_ended,
        states,
        context="Transaction.End",
        stopped=looked_up(reasons, why),
    )


def _session_calls(
    net: Network, texts: LogTexts, sessions: Sessions, calls: Calls, statuses: Statuses, begin: int, end: int
) -> None:
    active = sessions.take((sessions.reserved_at < end) & (sessions.unplugged_at >= begin))
    if len(active) == 0:
        return
    _session_statuses(net, active, statuses)
    is_16 = net.model_flag("is_16")[net.port_model[active.port]]
    _calls_16(net, texts.drivers, active.take(is_16), calls, begin, end)
    _calls_2(net, texts.drivers, active.take(~is_16), calls, begin, end)


def _lines(
    net: Network, texts: LogTexts, calls: Calls, sockets: tuple[np.ndarray, ...], seed: int
) -> tuple[pl.Series, int]:
    """Return the lines of a slice in order, and how many records they hold."""
    socket_station, socket_at, socket_type = sockets
    station = np.concatenate((*calls.station, socket_station))
    at = np.concatenate((*calls.at, socket_at))
    rank = np.concatenate((*calls.rank, np.where(socket_type == 1, 0, 9)))
    frames = len(station) - len(socket_station)
    body = pl.concat([*calls.body, pl.repeat("", len(socket_station), dtype=pl.String, eager=True)], rechunk=True)
    answer = pl.concat([*calls.answer, pl.repeat("", len(socket_station), dtype=pl.String, eager=True)], rechunk=True)
    from_csms = np.concatenate((*calls.from_csms, np.zeros(len(socket_station), dtype=bool)))
    socket = np.concatenate((np.full(frames, -1), socket_type))

    origin = int(at.min()) if len(at) else 0
    order = np.argsort((((at - origin) * len(net.station_ids) + station) << 4) + rank, kind="stable")
    station, at, from_csms, socket = station[order], at[order], from_csms[order], socket[order]
    new_second = np.concatenate(([True], (np.diff(at) != 0) | (np.diff(station) != 0)))[: len(at)]
    position = np.arange(len(at))
    place = position - np.maximum.accumulate(np.where(new_second, position, 0)) if len(at) else position
    if len(place) and place.max() >= MOST_IN_A_SECOND:
        msg = f"{int(place.max()) + 1} calls of one station in one second; the simulator spaces at most {MOST_IN_A_SECOND}"
        raise ValueError(msg)
    jitter = hashed(seed, 43, station, at)
    milliseconds = jitter % 200 + place * SPACING_MS
    later = milliseconds + 5 + jitter // 200 % 25

    connection = np.searchsorted(texts.connection_key, (station.astype(np.int64) << 40) + at, side="right") - 1
    order_s = pl.Series(order)
    short = net.model_flag("counts_messages")[net.station_model[station]] & ~from_csms
    message = number(np.where(short, at % 10_000 * 20 + place, hashed(seed, 44, station, at, place) % 10**15))

    way, back = pl.Series([_FROM_STATION, _TO_STATION]), pl.Series([_TO_STATION, _FROM_STATION])
    towards = from_csms.astype(np.int64)
    middle = ',"raw_frame":"[{type},\\"'
    last = '","raw_frame_encoding":"utf8"}\n'
    opening = '","event_type":2,"direction":"'
    prefix = looked_up(texts.prefix, connection)
    days = stamp(at, ".")
    milli = pl.Series([f"{n:03}Z" for n in range(1000)])
    table = pl.DataFrame(
        {
            "prefix": prefix, "second": days, "ms": looked_up(milli, milliseconds), "later": looked_up(milli, later),
            "way": looked_up(way, towards), "back": looked_up(back, towards), "id": message,
            "body": body.gather(order_s), "answer": answer.gather(order_s), "socket": socket,
        }
    )  # fmt: skip
    col = pl.col
    exchange = pl.concat_str(
        "prefix", "second", "ms", pl.lit(opening), "way", pl.lit('"' + middle.format(type=2)), "id", pl.lit('\\",'), "body", pl.lit("]" + last),
        "prefix", "second", "later", pl.lit(opening), "back", pl.lit('"' + middle.format(type=3)), "id", pl.lit('\\",'), "answer", pl.lit("]" + last),
    )  # fmt: skip
    if len(socket_station) == 0:
        return table.select(exchange).to_series(), 2 * len(table)
    event = pl.concat_str(
        "prefix", "second", "ms", pl.lit('","event_type":'), "socket",
        pl.lit(',"direction":null,"raw_frame":null,"raw_frame_encoding":null}\n'),
    )  # fmt: skip
    lines = table.select(pl.when(col("socket") >= 0).then(event).otherwise(exchange)).to_series()
    return lines, 2 * frames + len(socket_station)


def _bytes(lines: pl.Series) -> memoryview:
    """Return the joined bytes of a text column, without copying them once more."""
    array = lines.rechunk().to_arrow(compat_level=pl.CompatLevel.oldest())
    _, offsets, data = array.buffers()
    last = np.frombuffer(offsets, dtype=np.int64, count=array.offset + len(array) + 1)[-1] if data else 0
    return memoryview(data or b"")[:last]


@contextmanager
def _compressed(path: Path) -> Iterator[IO[bytes]]:
    """Open a log for writing; its bytes depend on nothing but what is written."""
    with replacing(path) as temporary, ExitStack() as stack:
        file = stack.enter_context(temporary.open("wb"))
        if path.suffix == ".zst":
            yield stack.enter_context(zstandard.ZstdCompressor(level=3).stream_writer(file, closefd=False))
        elif path.suffix == ".gz":
            yield stack.enter_context(gzip.GzipFile(filename="", mode="wb", compresslevel=1, fileobj=file, mtime=0))
        else:
            yield file


def _months(start_s: int, end_s: int) -> list[tuple[str, int, int]]:
    """Return the UTC months of a period as name, begin and end."""
    months = []
    at = start_s
    while at < end_s:
        day = datetime.fromtimestamp(at, UTC)
        following = datetime(day.year + day.month // 12, day.month % 12 + 1, 1, tzinfo=UTC)
        until = min(int(following.timestamp()), end_s)
        months.append((f"{day:%Y-%m}", at, until))
        at = until
    return months


def _slices(net: Network, sessions: Sessions, members: np.ndarray, begin: int, end: int) -> list[tuple[int, int]]:
    """Cut a month into whole days (at least) of about CALLS_AT_ONCE calls."""
    beats = int(((end - begin) // net.station_interval_s[members]).sum())
    active = (sessions.reserved_at < end) & (sessions.unplugged_at >= begin)
    samples = (sessions.ended_at - sessions.charging_at)[active] // sample_interval(net, sessions.port[active])
    calls = beats + int(samples.sum()) + 8 * int(active.sum())
    days = (end - begin) // DAY_S
    step = max(1, days // max(1, -(-calls // CALLS_AT_ONCE))) * DAY_S
    return [(at, min(at + step, end)) for at in range(begin, end, step)]


def write_logs(
    net: Network, outages: Outages, sessions: Sessions, drivers: Drivers, seed: int, landing: Path
) -> tuple[list[Path], int]:
    """Write the OCPP logs of every operator, one file a month.

    The newest month of an operator whose archives are ``.gz`` is still plain text, as a log that has not been rotated.

    Args:
        net: The network.
        outages: Its outages.
        sessions: Its sessions.
        drivers: The drivers' tokens.
        seed: Seed of chance.
        landing: ``HOME/landing``.

    Returns:
        The files, and the number of records (frames and websocket events) in them.
    """
    texts = log_texts(net, outages, drivers, seed)
    files: list[Path] = []
    records = 0
    months = _months(net.start_s, net.end_s)
    with ThreadPoolExecutor(max_workers=1) as writer:
        for operator in net.operators:
            members = np.flatnonzero(net.station_operator == operator)
            own_outages = outages.take(np.isin(outages.station, members))
            own_sessions = sessions.take(net.port_operator[sessions.port] == operator)
            for number_, (month, begin, end) in enumerate(months):
                plain = operator == 2 and number_ == len(months) - 1
                name = f"ocpp-{month}.jsonl{'' if plain else OPERATORS[operator].suffix}"
                path = landing / "ocpp" / OPERATORS[operator].operator_id / name
                pending: Future | None = None
                with _compressed(path) as file:
                    for first, last in _slices(net, own_sessions, members, begin, end):
                        calls, statuses = Calls(), Statuses()
                        station, at = _heartbeats(net, own_outages, members, first, last, seed)
                        answer = joined(escaped('{"currentTime":"'), stamp(at), escaped('"}'))
                        calls.add(station, at, 8, _HEARTBEAT, answer)
                        sockets = _outage_calls(net, texts, own_outages, members, calls, statuses, first, last)
                        _session_calls(net, texts, own_sessions, calls, statuses, first, last)
                        _status_calls(net, statuses, calls, first, last)
                        lines, count = _lines(net, texts, calls, sockets, seed)
                        records += count
                        if pending is not None:
                            pending.result()
                        pending = writer.submit(file.write, _bytes(lines))
                    if pending is not None:
                        pending.result()
                files.append(path)
    return files, records
