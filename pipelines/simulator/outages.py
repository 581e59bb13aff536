"""What goes wrong, and when: silences, power losses, reboots, faults, maintenance, a hole in a log.

Windows of one station never touch each other and no session runs through one that stops its port: what a window does to
the port's state is then known exactly, without replaying any message.
"""

from dataclasses import dataclass, fields

import numpy as np

from pipelines.simulator.chance import stream
from pipelines.simulator.network import DAY_S, MODELS, OPERATORS, Network

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
    def is_silent(self) -> np.ndarray:
        """Whether nothing is logged of the station inside."""
        return np.isin(self.kind, SILENT)


def _outages(rows: list[tuple[np.ndarray, ...]]) -> Outages:
    columns = [
        np.concatenate([np.asarray(part, dtype=np.int64) for part in column]) for column in zip(*rows, strict=True)
    ]
    station, port, kind, a, b, event_at, cleared_at, code = columns
    return Outages(station, port, kind, a, b, event_at, cleared_at, code)


def _rows(kind: int, station, port, a, duration, code=0, after_s=0) -> tuple[np.ndarray, ...]:  # noqa: ANN001, PLR0913
    station = np.asarray(station, dtype=np.int64)
    whole = np.zeros_like(station)
    a = whole + a
    b = a + duration
    return station, whole + port, whole + kind, a, b, a + (b - a) // 3, b + after_s, whole + code


def _planned(net: Network) -> Outages | None:
    """One window of every kind at fixed fractions of the period, so that small simulations have them all."""
    candidates = np.setdiff1d(np.arange(len(net.station_ids)), net.first_stations())
    candidates = candidates[~net.station_is_new[candidates]]
    if len(candidates) == 0:
        return None
    span = net.end_s - net.start_s
    count = len(candidates)

    def at(fraction: float) -> int:
        return net.start_s + int(span * fraction) // 60 * 60 + 17

    def last_port(station: int) -> int:
        return int(net.station_first_port[station]) + MODELS[int(net.station_model[station])].ports - 1

    is_16 = net.model_flag("is_16")[net.station_model]
    twins = net.model_flag("connectors")[net.station_model] > 1
    old = candidates[is_16[candidates]]
    two_plugs = np.flatnonzero(twins)
    broken, dead = int(candidates[-1]), int(candidates[-2 % count])
    rows = [
        _rows(LATE_FAULT, [candidates[0]], net.station_first_port[candidates[0]], at(0.2), 4 * 3600, 0, 2400),
        _rows(POWER, [candidates[1 % count]], -1, at(0.3), 2 * 3600 + 1234),
        _rows(FAULT, [candidates[2 % count]], net.station_first_port[candidates[2 % count]], at(0.42), 3 * 3600 + 11),
        _rows(MAINTENANCE, [candidates[3 % count]], -1, at(0.5), 3 * 3600),
        _rows(SILENCE, [candidates[4 % count]], -1, at(0.8), 5 * 3600 + 77),
        _rows(FLAP, [candidates[0]], -1, at(0.65), 40),
        _rows(BROKEN, [broken], last_port(broken), net.end_s - min(12 * DAY_S, int(span * 0.1)), 2 * span, 1),
    ]
    if dead != broken:
        rows.append(_rows(DEAD, [dead], -1, net.end_s - min(4 * DAY_S, int(span * 0.06)), 2 * span))
    if len(old):
        rows.append(_rows(STATION_FAULT, [old[-1]], -1, at(0.72), 2 * 3600 + 5))
    if len(two_plugs):
        rows.append(_rows(ONE_CONNECTOR, two_plugs[:1], net.station_first_port[two_plugs[:1]], at(0.36), 6 * 3600))
    hole_a = at(0.6)
    hole_s = 5 * 3600
    writers = [operator for operator in net.operators if not OPERATORS[operator].logs_connections] or net.operators[-1:]
    members = np.flatnonzero(net.station_operator == writers[0])
    if len(members) > 1 and hole_a + hole_s < net.end_s - SETTLE_S - DAY_S // 4:
        members = members[net.station_commissioned_s[members] < hole_a - DAY_S // 4]
        rows.append(_rows(HOLE, members, -1, hole_a, hole_s))
    return _outages(rows)


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

    def lasting(count: int, median_s: float, spread: float, least: int, most: int) -> np.ndarray:
        return np.clip(chance.lognormal(np.log(median_s), spread, count), least, most).astype(np.int64)

    rows = []
    silence, begin = draw(np.where(steady, 0.0, 0.9) * months * quality)
    rows.append(_rows(SILENCE, silence, -1, begin, lasting(len(silence), 4500, 1.1, 240, 40 * 3600)))
    power, begin = draw(np.where(steady, 0.0, 0.15) * months * quality)
    rows.append(_rows(POWER, power, -1, begin, lasting(len(power), 7200, 0.9, 300, 20 * 3600)))
    flap, begin = draw(np.full(len(stations), 0.5) * months)
    rows.append(_rows(FLAP, flap, -1, begin, 40))
    port, begin = draw(0.3 * months * quality[net.port_station])
    duration = lasting(len(port), 5400, 1.3, 90, 6 * DAY_S)
    rows.append(_rows(FAULT, net.port_station[port], port, begin, duration, chance.integers(0, 6, len(port))))
    is_16 = net.model_flag("is_16")[net.station_model]
    station, begin = draw(np.where(is_16, 0.04, 0.0) * months * quality)
    rows.append(_rows(STATION_FAULT, station, -1, begin, lasting(len(station), 3600, 0.8, 300, 12 * 3600), 2))
    upkeep, begin = draw(np.full(len(stations), 0.2) * months)
    rows.append(
        _rows(
            MAINTENANCE, upkeep, -1, begin // DAY_S * DAY_S + 9 * 3600, lasting(len(upkeep), 5400, 0.4, 1800, 4 * 3600)
        )
    )
    twins = np.where(net.model_flag("connectors")[net.port_model] > 1, 0.3, 0.0)
    port, begin = draw(twins * months * quality[net.port_station])
    rows.append(
        _rows(ONE_CONNECTOR, net.port_station[port], port, begin, lasting(len(port), 20_000, 1.0, 600, 4 * DAY_S))
    )
    return _outages(rows)


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


def _last_second(outages: Outages) -> np.ndarray:
    return np.maximum(outages.b, outages.cleared_at)


def plan_outages(net: Network, seed: int) -> Outages:
    """Draw the outages of a network.

    Every kind happens at least once where the network has a station for it, at a fixed fraction of the period; the
    others come by chance, more often at a bad site. A silence is never within 15 s of the threshold that decides
    whether it counts.

    Args:
        net: The network.
        seed: Seed of chance.
    """
    planned = _planned(net)
    drawn = _sorted(_by_chance(net, seed))
    if planned is None:
        kept = drawn
    else:
        planned = _sorted(planned)
        holes_first = np.argsort(planned.kind != HOLE, kind="stable")
        planned = planned.take(holes_first)
        holes, others = planned.of(HOLE), planned.take(planned.kind != HOLE)
        others = others.take(~_near(others, holes))
        others = others.take(apart(others.station, others.a, _last_second(others), MARGIN_S))
        planned = _sorted(_joined(holes, others))
        kept = _joined(planned, drawn.take(~_near(drawn, planned)))
        kept = kept.take(np.argsort(np.arange(len(kept)), kind="stable"))
    count = 0 if planned is None else len(planned)
    chance_part = kept.take(np.arange(count, len(kept)))
    chance_part = chance_part.take(apart(chance_part.station, chance_part.a, _last_second(chance_part), MARGIN_S))
    kept = _joined(kept.take(np.arange(count)), chance_part)

    threshold = net.station_threshold_s[kept.station]
    close = kept.is_silent & (np.abs(kept.b - kept.a - threshold) < 15)
    kept.b = np.where(close, kept.b + 60, kept.b)
    kept.cleared_at = np.maximum(kept.cleared_at, kept.b)
    lasting = np.isin(kept.kind, (DEAD, BROKEN))
    works = kept.a > net.station_commissioned_s[kept.station] + 7200
    return _sorted(kept.take(works & (lasting | (_last_second(kept) < net.end_s - SETTLE_S))))


def _joined(first: Outages, second: Outages) -> Outages:
    return Outages(*(np.concatenate((getattr(first, f.name), getattr(second, f.name))) for f in fields(first)))


def _near(outages: Outages, blocks: Outages) -> np.ndarray:
    blocks = _sorted(blocks)
    spans = (blocks.station, blocks.a, _last_second(blocks))
    return overlaps(outages.station, outages.a, _last_second(outages), spans, MARGIN_S)


def is_offline(net: Network, outages: Outages) -> np.ndarray:
    """Return which windows the silence rule counts as offline: long enough, or closed in the log for over a minute."""
    silence = np.isin(outages.kind, (SILENCE, POWER, DEAD, LATE_FAULT))
    lasting = np.minimum(outages.b, net.end_s - 1) - outages.a
    logged = np.array([operator.logs_connections for operator in OPERATORS])[net.station_operator[outages.station]]
    closed = logged & (lasting - DISCONNECT_AFTER_S > 60)
    return silence & (closed | (lasting > net.station_threshold_s[outages.station]))


def port_blocks(net: Network, outages: Outages) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return port, begin and end of what stops a port, sorted by (port, begin).

    One faulted connector of two stops nothing: its sessions use the other one.
    """
    stopping = outages.take(outages.kind != ONE_CONNECTOR)
    ports = net.model_flag("ports")[net.station_model[stopping.station]]
    whole = stopping.port < 0
    copies = np.where(whole, ports, 1)
    row = np.repeat(np.arange(len(stopping)), copies)
    position = np.arange(len(row)) - np.repeat(np.cumsum(copies) - copies, copies)
    first = np.where(whole, net.station_first_port[stopping.station], stopping.port)
    port = first[row] + position
    begin, end = stopping.a[row], _last_second(stopping)[row]
    order = np.lexsort((begin, port))
    return port[order], begin[order], end[order]
