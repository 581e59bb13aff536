"""What goes wrong, and when: silences, power losses, reboots, faults, maintenance, a hole in a log.

Windows of one station never touch each other and no session runs through one that stops its port: what a window does to
the port's state is then known exactly, without replaying any message.
"""

from dataclasses import dataclass, fields

import numpy as np

from pipelines.simulator.chance import stream
from pipelines.simulator.network import DAY_S, OPERATORS, Network

SILENCE = 0  # the network is lost; the station works on, unheard
POWER = 1  # the station loses power and boots
FLAP = 2  # a restart of half a minute: no outage by the rules
FAULT = 3  # one port is faulted
STATION_FAULT = 4  # 1.6: connector 0 is faulted, the connectors say nothing
MAINTENANCE = 5  # the operator takes the station out of service; in exclusions.csv
HOLE = 6  # the log itself is silent
DEAD = 7  # silent until the end
BROKEN = 8  # one port faulted until the end
ONE_CONNECTOR = 9  # one of two connectors is faulted: its port still serves
LATE_FAULT = 10  # a silence in which a port faults; the status arrives after it

SILENT = (SILENCE, POWER, HOLE, DEAD, LATE_FAULT)
MARGIN_S = 1200  # between windows of one station
DISCONNECT_AFTER_S = 45  # the CSMS notices a dead websocket that long after the last frame
FLAP_DOWN_S, FLAP_UP_S = 5, 35  # a restart's disconnect and connect, after its beginning
BOOT_AFTER_FLAP_S = 36
HOLE_S = 5 * 3600
SETTLE_S = 3600  # an outage ends at least that long before the log does, or never


@dataclass(slots=True)
class Outages:
    """Windows ``[a, b)`` as arrays, sorted by station and beginning.

    Attributes:
        station: Station.
        port: Port of a port's fault, else -1 (the whole station).
        kind: One of the kinds above.
        a: Begin; of a silence, the second of its last frame.
        b: End; of a silence, the second of the next frame.
        event_at: LATE_FAULT: when the port faulted, inside the silence.
        cleared_at: LATE_FAULT: when the fault was cleared, after the silence. Elsewhere ``b``.
        code: Which of the model's error codes a fault shows.
    """

    station: np.ndarray
    port: np.ndarray
    kind: np.ndarray
    a: np.ndarray
    b: np.ndarray
    event_at: np.ndarray
    cleared_at: np.ndarray
    code: np.ndarray

    def __len__(self) -> int:
        """Return the number of windows."""
        return len(self.station)

    def take(self, which: np.ndarray) -> "Outages":
        """Return the windows that an index or mask names."""
        return Outages(*(getattr(self, field.name)[which] for field in fields(self)))

    def of(self, *kinds: int) -> "Outages":
        """Return the windows of some kinds."""
        return self.take(np.isin(self.kind, kinds))

    @property
    def last_second(self) -> np.ndarray:
        """When all of it is over."""
        return np.maximum(self.b, self.cleared_at)

    @property
    def is_silent(self) -> np.ndarray:
        """Whether nothing is logged of the station inside."""
        return np.isin(self.kind, SILENT)


def _windows(  # noqa: PLR0913
    kind: int,
    station: np.ndarray,
    begin: np.ndarray | int,
    duration_s: np.ndarray | int,
    *,
    port: np.ndarray | int = -1,
    code: np.ndarray | int = 0,
    clears_after_s: int = 0,
) -> Outages:
    """Return windows of one kind; what is a number holds for all of them."""
    whole = np.zeros(len(station), dtype=np.int64)
    a = whole + begin
    b = a + duration_s
    return Outages(
        station=station.astype(np.int64),
        port=whole + port,
        kind=whole + kind,
        a=a,
        b=b,
        event_at=a + (b - a) // 3,
        cleared_at=b + clears_after_s,
        code=whole + code,
    )


def _joined(parts: list[Outages]) -> Outages:
    return Outages(*(np.concatenate([getattr(part, field.name) for part in parts]) for field in fields(Outages)))


def _planned_hole(net: Network, begin: int) -> list[Outages]:
    """Return five hours without a log, of an operator whose log shows no websockets if there is one."""
    writers = [operator for operator in net.operators if not OPERATORS[operator].logs_connections] or net.operators[-1:]
    members = np.flatnonzero(net.station_operator == writers[0])
    if len(members) < 2 or begin + HOLE_S > net.end_s - SETTLE_S - DAY_S // 4:
        return []
    return [_windows(HOLE, members[net.station_commissioned_s[members] < begin - DAY_S // 4], begin, HOLE_S)]


def _planned(net: Network) -> list[Outages]:
    """Return one window of every kind at fixed fractions of the period, so that small networks have them all."""
    candidates = np.setdiff1d(np.arange(len(net.station_ids)), net.first_stations())
    candidates = candidates[~net.station_is_new[candidates]]
    if len(candidates) == 0:
        return []
    span = net.end_s - net.start_s
    first_port = net.station_first_port
    ports = net.model_flag("ports")[net.station_model]
    is_16 = net.model_flag("is_16")[net.station_model]
    twins = np.flatnonzero(net.model_flag("connectors")[net.station_model] > 1)[:1]

    def station(position: int) -> np.ndarray:
        return candidates[[position % len(candidates)]]

    def at(fraction: float) -> int:
        return net.start_s + int(span * fraction) // 60 * 60 + 17

    broken, dead = station(-1), station(-2)
    last_port = first_port[broken] + ports[broken] - 1
    parts = [
        _windows(LATE_FAULT, station(0), at(0.2), 4 * 3600, port=first_port[station(0)], clears_after_s=2400),
        _windows(POWER, station(1), at(0.3), 2 * 3600 + 1234),
        _windows(FAULT, station(2), at(0.42), 3 * 3600 + 11, port=first_port[station(2)]),
        _windows(MAINTENANCE, station(3), at(0.5), 3 * 3600),
        _windows(SILENCE, station(4), at(0.8), 5 * 3600 + 77),
        _windows(FLAP, station(0), at(0.65), 40),
        _windows(BROKEN, broken, net.end_s - min(12 * DAY_S, int(span * 0.1)), 2 * span, port=last_port, code=1),
        _windows(STATION_FAULT, candidates[is_16[candidates]][-1:], at(0.72), 2 * 3600 + 5),
        _windows(ONE_CONNECTOR, twins, at(0.36), 6 * 3600, port=first_port[twins]),
    ]
    if (dead != broken).all():
        parts.append(_windows(DEAD, dead, net.end_s - min(4 * DAY_S, int(span * 0.06)), 2 * span))
    return parts + _planned_hole(net, at(0.6))


def _by_chance(net: Network, seed: int) -> Outages:
    chance = stream(seed, 21)
    months = net.days / 30.0 * net.profile.trouble
    quality = np.array([site.template.quality for site in net.sites])[net.station_site]
    stations = np.arange(len(net.station_ids))
    steady = np.isin(stations, net.first_stations())

    def draw(rate: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        which = np.repeat(np.arange(len(rate)), chance.poisson(rate))
        begin = net.start_s + chance.integers(0, net.end_s - net.start_s, len(which))
        return which, begin

    def lasting(count: int, median_s: float, spread: float, bounds: tuple[int, int]) -> np.ndarray:
        return np.clip(chance.lognormal(np.log(median_s), spread, count), *bounds).astype(np.int64)

    silent, begin = draw(np.where(steady, 0.0, 0.9) * months * quality)
    parts = [_windows(SILENCE, silent, begin, lasting(len(silent), 4500, 1.1, (240, 40 * 3600)))]
    power, begin = draw(np.where(steady, 0.0, 0.15) * months * quality)
    parts.append(_windows(POWER, power, begin, lasting(len(power), 7200, 0.9, (300, 20 * 3600))))
    flap, begin = draw(np.full(len(stations), 0.5) * months)
    parts.append(_windows(FLAP, flap, begin, 40))
    port, begin = draw(0.3 * months * quality[net.port_station])
    duration = lasting(len(port), 5400, 1.3, (90, 6 * DAY_S))
    code = chance.integers(0, 6, len(port))
    parts.append(_windows(FAULT, net.port_station[port], begin, duration, port=port, code=code))
    is_16 = net.model_flag("is_16")[net.station_model]
    station, begin = draw(np.where(is_16, 0.04, 0.0) * months * quality)
    parts.append(_windows(STATION_FAULT, station, begin, lasting(len(station), 3600, 0.8, (300, 12 * 3600)), code=2))
    upkeep, begin = draw(np.full(len(stations), 0.2) * months)
    morning = begin // DAY_S * DAY_S + 9 * 3600
    parts.append(_windows(MAINTENANCE, upkeep, morning, lasting(len(upkeep), 5400, 0.4, (1800, 4 * 3600))))
    twins = np.where(net.model_flag("connectors")[net.port_model] > 1, 0.3, 0.0)
    port, begin = draw(twins * months * quality[net.port_station])
    duration = lasting(len(port), 20_000, 1.0, (600, 4 * DAY_S))
    parts.append(_windows(ONE_CONNECTOR, net.port_station[port], begin, duration, port=port))
    return _joined(parts)


def apart(group: np.ndarray, begin: np.ndarray, end: np.ndarray, gap: int) -> np.ndarray:
    """Return which intervals to keep so that those of one group lie at least ``gap`` seconds apart.

    Takes an interval only if it begins after every earlier one of its group has ended, kept or not. That drops a few
    more than need be, and needs no loop.

    Args:
        group: Group of each interval; intervals are sorted by (group, begin).
        begin: Begins, in seconds.
        end: Ends, in seconds.
        gap: Least distance, in seconds.
    """
    if len(group) == 0:
        return np.zeros(0, dtype=bool)
    offset = group.astype(np.int64) << 40
    latest = np.maximum.accumulate(np.minimum(end, (1 << 40) - 1) + gap + offset)
    return np.concatenate(([True], begin[1:] + offset[1:] > latest[:-1]))


def overlaps(
    group: np.ndarray, begin: np.ndarray, end: np.ndarray, blocks: tuple[np.ndarray, ...], gap: int
) -> np.ndarray:
    """Return which intervals come closer than ``gap`` seconds to a block of their group.

    Args:
        group: Group of each interval.
        begin: Begins, in seconds.
        end: Ends, in seconds.
        blocks: Group, begin and end of the blocks; sorted by (group, begin) and disjoint within a group.
        gap: Least distance, in seconds.
    """
    block_group, block_begin, block_end = blocks
    if len(block_group) == 0:
        return np.zeros(len(group), dtype=bool)
    ends = (block_group.astype(np.int64) << 40) + np.minimum(block_end, (1 << 39)) + gap
    first = np.searchsorted(ends, (group.astype(np.int64) << 40) + begin, side="right")
    inside = first < len(ends)
    first = np.minimum(first, len(ends) - 1)
    return inside & (block_group[first] == group) & (block_begin[first] - gap < end)


def _sorted(outages: Outages) -> Outages:
    return outages.take(np.lexsort((outages.kind, outages.a, outages.station)))


def _near(outages: Outages, blocks: Outages) -> np.ndarray:
    """Return which windows come too close to a block of their station."""
    blocks = _sorted(blocks)
    spans = (blocks.station, blocks.a, blocks.last_second)
    return overlaps(outages.station, outages.a, outages.last_second, spans, MARGIN_S)


def _spaced(outages: Outages) -> Outages:
    """Return the windows that lie apart from each other, by station."""
    outages = _sorted(outages)
    return outages.take(apart(outages.station, outages.a, outages.last_second, MARGIN_S))


def plan_outages(net: Network, seed: int) -> Outages:
    """Draw the outages of a network.

    Every kind happens at least once where the network has a station for it, at a fixed fraction of the period; the
    others come by chance, more often at a bad site. A silence is never within 15 s of the threshold that decides
    whether it counts.

    Args:
        net: The network.
        seed: Seed of chance.
    """
    outages = _by_chance(net, seed)
    if planned := _planned(net):
        # The log's hole first, then the other planned windows, then chance: each keeps away from those before.
        together = _joined(planned)
        hole, others = together.of(HOLE), together.take(together.kind != HOLE)
        fixed = _joined([hole, _spaced(others.take(~_near(others, hole)))])
        outages = _joined([fixed, _spaced(outages.take(~_near(outages, fixed)))])
    else:
        outages = _spaced(outages)

    threshold = net.station_threshold_s[outages.station]
    close = outages.is_silent & (np.abs(outages.b - outages.a - threshold) < 15)
    outages.b = np.where(close, outages.b + 60, outages.b)
    outages.cleared_at = np.maximum(outages.cleared_at, outages.b)
    works = outages.a > net.station_commissioned_s[outages.station] + 7200
    for_good = np.isin(outages.kind, (DEAD, BROKEN))
    return _sorted(outages.take(works & (for_good | (outages.last_second < net.end_s - SETTLE_S))))


def is_offline(net: Network, outages: Outages) -> np.ndarray:
    """Return which windows the silence rule counts as offline: long enough, or closed in the log for over a minute."""
    silence = np.isin(outages.kind, (SILENCE, POWER, DEAD, LATE_FAULT))
    lasting = np.minimum(outages.b, net.end_s - 1) - outages.a
    logged = np.array([operator.logs_connections for operator in OPERATORS])[net.station_operator[outages.station]]
    closed = logged & (lasting - DISCONNECT_AFTER_S > 60)
    return silence & (closed | (lasting > net.station_threshold_s[outages.station]))


def port_blocks(net: Network, outages: Outages) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return port, begin and end of what stops a port, sorted by (port, begin).

    One faulted connector of two stops nothing: its sessions use the other one. A late fault stops the whole station:
    it comes with a silence.
    """
    stopping = outages.take(outages.kind != ONE_CONNECTOR)
    ports = net.model_flag("ports")[net.station_model[stopping.station]]
    whole = (stopping.port < 0) | (stopping.kind == LATE_FAULT)
    copies = np.where(whole, ports, 1)
    row = np.repeat(np.arange(len(stopping)), copies)
    position = np.arange(len(row)) - np.repeat(np.cumsum(copies) - copies, copies)
    first = np.where(whole, net.station_first_port[stopping.station], stopping.port)
    port = first[row] + position
    begin, end = stopping.a[row], stopping.last_second[row]
    order = np.lexsort((begin, port))
    return port[order], begin[order], end[order]
