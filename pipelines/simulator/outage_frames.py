"""What stations say of themselves: boots, heartbeats, faults, maintenance, and the statuses around each."""

import numpy as np
import polars as pl

from pipelines.simulator import outages as kinds
from pipelines.simulator.chance import hashed
from pipelines.simulator.frames import (
    ACCEPTED,
    AVAILABLE,
    BOOT,
    EDGE_BEAT,
    FAULTED,
    FROM_CSMS,
    STATION_STATUS,
    UNAVAILABLE,
    Slice,
)
from pipelines.simulator.network import DAY_S, MODELS, OPERATORS, Network
from pipelines.simulator.outages import Outages
from pipelines.simulator.plan import Plan
from pipelines.simulator.text import escaped, joined, looked_up, number, stamp

_REASON = "@"  # stands in the boot texts where the reason goes
_UPDATE_AT_PERCENT = 45  # of the period: from then on stations boot with their newer firmware
CONNECT, DISCONNECT = 1, 0


def serial_number(net: Network, station: int) -> str:
    """Return the serial number of a station."""
    model = int(net.station_model[station])
    return f"{MODELS[model].vendor[:2].upper()}{model}{station + 1:06}"


def boot_texts(net: Network) -> pl.Series:
    """Return the BootNotification of every station, with its older and its newer firmware."""
    texts = []
    for station, name in enumerate(net.station_ids):
        model = MODELS[int(net.station_model[station])]
        serial = serial_number(net, station)
        for firmware in model.firmware:
            if model.is_16:
                payload = (
                    f'{{"chargePointVendor":"{model.vendor}","chargePointModel":"{model.model}",'
                    f'"chargePointSerialNumber":"{serial}","chargeBoxSerialNumber":"{name}",'
                    f'"firmwareVersion":"{firmware}"}}'
                )
            else:
                payload = (
                    f'{{"reason":"{_REASON}","chargingStation":{{"vendorName":"{model.vendor}",'
                    f'"model":"{model.model}","serialNumber":"{serial}","firmwareVersion":"{firmware}"}}}}'
                )
            texts.append(escaped(f'"BootNotification",{payload}'))
    return pl.Series(texts)


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


def add_heartbeats(part: Slice, plan: Plan, members: np.ndarray) -> None:
    """Add a heartbeat every interval the CSMS granted, but none inside a silence.

    Args:
        part: The slice.
        plan: What happens.
        members: The stations.
    """
    net = plan.net
    interval = net.station_interval_s[members]
    phase = hashed(plan.seed, 42, members) % interval
    first = np.maximum(net.station_commissioned_s[members] + 10, part.begin)
    start = first + (phase - first) % interval
    count = np.maximum(0, -(-(part.end - start) // interval))
    row = np.repeat(np.arange(len(members)), count)
    position = np.arange(len(row)) - np.repeat(np.cumsum(count) - count, count)
    at = start[row] + position * interval[row]
    station = members[row]
    quiet = plan.outages.take(plan.outages.is_silent | (plan.outages.kind == kinds.FLAP))
    restarted = quiet.a + kinds.BOOT_AFTER_FLAP_S + 4
    quiet_end = np.where(quiet.kind == kinds.FLAP, restarted, quiet.b)
    # Strictly inside: the last frame before and the first after are written by the outage itself.
    inside = kinds.overlaps(station, at, at + 1, (quiet.station, quiet.a + 1, quiet_end), 0)
    part.beat(station[~inside], at[~inside])


def _boot(part: Slice, texts: pl.Series, station: np.ndarray, at: np.ndarray, reason: str) -> None:
    net = part.net
    rows = part.rows(at)
    station, at = station[rows], at[rows]
    newer = at > net.start_s + (net.end_s - net.start_s) * _UPDATE_AT_PERCENT // 100
    body = looked_up(texts, station * 2 + newer).str.replace(_REASON, reason, literal=True)
    answer = joined(
        escaped('{"currentTime":"'),
        stamp(at),
        escaped('","interval":'),
        number(net.station_interval_s[station]),
        escaped(',"status":"Accepted"}'),
    )
    part.call(station, at, BOOT, body, answer)


def _tell_all(part: Slice, station: np.ndarray, at: np.ndarray, status: int) -> None:
    """Report every connector of some stations, and connector 0 of those that speak 1.6."""
    row, connector = _connectors(part.net, station, np.full(len(station), -1))
    is_16 = part.net.model_flag("is_16")[part.net.station_model[station]]
    part.status(-1 - station[is_16], at[is_16], status, rank=STATION_STATUS)
    part.status(connector, at[row], status)


def _add_silences(part: Slice, texts: pl.Series, near: Outages) -> None:
    """Add the last frame before a silence, the first one after it, and what follows."""
    silent = near.of(kinds.SILENCE, kinds.LATE_FAULT, kinds.POWER, kinds.DEAD)
    part.beat(silent.station, silent.a, EDGE_BEAT)
    back = near.of(kinds.SILENCE, kinds.LATE_FAULT)
    part.beat(back.station, back.b, EDGE_BEAT)
    # Statuses are sent again after every second silence only: nothing has changed.
    plain = near.of(kinds.SILENCE)
    again = plain.take(plain.a % 2 == 0)
    _tell_all(part, again.station, again.b + 1, AVAILABLE)
    power = near.of(kinds.POWER)
    _boot(part, texts, power.station, power.b, "PowerUp")
    _tell_all(part, power.station, power.b + 2, AVAILABLE)
    late = near.of(kinds.LATE_FAULT)
    row, connector = _connectors(part.net, late.station, late.port)
    part.status(connector, late.b[row] + 2, FAULTED, event_at=late.event_at[row], code=late.code[row])
    part.status(connector, late.cleared_at[row], AVAILABLE)
    hole = near.of(kinds.HOLE)
    edge = np.isin(hole.station, part.net.first_stations())
    part.beat(hole.station[edge], hole.a[edge], EDGE_BEAT)
    part.beat(hole.station[edge], hole.b[edge], EDGE_BEAT)


def _add_faults(part: Slice, near: Outages) -> None:
    fault = near.of(kinds.FAULT, kinds.BROKEN, kinds.ONE_CONNECTOR)
    row, connector = _connectors(part.net, fault.station, fault.port, fault.kind == kinds.ONE_CONNECTOR)
    part.status(connector, fault.a[row], FAULTED, code=fault.code[row])
    part.status(connector, fault.b[row], AVAILABLE)
    station = near.of(kinds.STATION_FAULT)
    part.status(-1 - station.station, station.a, FAULTED, rank=STATION_STATUS, code=station.code)
    part.status(-1 - station.station, station.b, AVAILABLE, rank=STATION_STATUS)


def _add_maintenance(part: Slice, near: Outages) -> None:
    upkeep = near.of(kinds.MAINTENANCE)
    _tell_all(part, upkeep.station, upkeep.a, UNAVAILABLE)
    _tell_all(part, upkeep.station, upkeep.b, AVAILABLE)
    is_16 = part.net.model_flag("is_16")[part.net.station_model[upkeep.station]]
    for at, status in ((upkeep.a - 2, "Inoperative"), (upkeep.b - 2, "Operative")):
        for which, payload in (
            (is_16, f'{{"connectorId":0,"type":"{status}"}}'),
            (~is_16, f'{{"operationalStatus":"{status}"}}'),
        ):
            rows = part.rows(at, which)
            body = escaped(f'"ChangeAvailability",{payload}')
            part.call(upkeep.station[rows], at[rows], FROM_CSMS, body, ACCEPTED)


def add_outages(part: Slice, plan: Plan, members: np.ndarray, texts: pl.Series) -> None:
    """Add what stations say because of outages, and their first boots.

    Args:
        part: The slice.
        plan: What happens.
        members: The stations.
        texts: :func:`boot_texts`.
    """
    net, outages = plan.net, plan.outages
    near = outages.take((outages.a < part.end + DAY_S) & (outages.last_second >= part.begin - DAY_S))
    opened = net.station_commissioned_s[members]
    _boot(part, texts, members, opened, "PowerUp")
    _tell_all(part, members, opened + 2, AVAILABLE)
    _add_silences(part, texts, near)
    flap = near.of(kinds.FLAP)
    _boot(part, texts, flap.station, flap.a + kinds.BOOT_AFTER_FLAP_S, "FirmwareUpdate")
    _tell_all(part, flap.station, flap.a + kinds.BOOT_AFTER_FLAP_S + 2, AVAILABLE)
    _add_faults(part, near)
    _add_maintenance(part, near)
    # The first station speaks in the very last second: the log's end is known to the second.
    steady = np.intersect1d(members, net.first_stations())
    part.beat(steady, np.full(len(steady), net.end_s - 1), EDGE_BEAT)


def socket_events(part: Slice, plan: Plan, members: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return station, time and type of the websockets opened and closed, where the operator's log shows them.

    Args:
        part: The slice.
        plan: What happens.
        members: The stations.
    """
    net = plan.net
    logged = np.array([operator.logs_connections for operator in OPERATORS])
    members = members[logged[net.station_operator[members]]]
    outages = plan.outages.take(logged[net.station_operator[plan.outages.station]])
    lost = outages.of(kinds.SILENCE, kinds.LATE_FAULT, kinds.POWER, kinds.DEAD)
    back = lost.take(lost.kind != kinds.DEAD)
    flap = outages.of(kinds.FLAP)
    opened = (net.station_commissioned_s[members], back.b, flap.a + kinds.FLAP_UP_S)
    closed = (lost.a + kinds.DISCONNECT_AFTER_S, flap.a + kinds.FLAP_DOWN_S)
    station = np.concatenate((members, back.station, flap.station, lost.station, flap.station))
    at = np.concatenate((*opened, *closed))
    type_ = np.repeat([CONNECT, DISCONNECT], [sum(map(len, opened)), sum(map(len, closed))])
    keep = part.holds(at)
    return station[keep], at[keep], type_[keep]
