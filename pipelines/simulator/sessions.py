"""Who charges where and when: the sessions of the whole period, without a loop over any of them."""

from dataclasses import dataclass, fields

import numpy as np
import polars as pl

from pipelines.simulator.chance import hashed, stream, unit
from pipelines.simulator.network import DAY_S, Network
from pipelines.simulator.outages import ONE_CONNECTOR, Outages, apart, overlaps, port_blocks

NORMAL, FAILED, REFUSED = 0, 1, 2  # FAILED: a transaction without energy; REFUSED: the token is not accepted
AD_HOC = -1
HOURS_AT_ONCE = 3_000_000  # port-hours drawn at once: bounds memory
SESSION_GAP_S = 30
BLOCK_GAP_S = 600

# Arrivals a day of one port when demand is at its full height, and how they spread over local hours 0..23.
_ARRIVALS = {"highway": 4.6, "city": 1.5, "workplace": 1.2, "retail": 2.6}
_HOURS = {
    "highway": (1, 1, 1, 1, 1, 2, 3, 5, 6, 7, 8, 9, 9, 8, 8, 9, 10, 10, 9, 7, 5, 4, 2, 1),
    "city": (1, 1, 0, 0, 0, 1, 2, 4, 5, 4, 3, 3, 4, 4, 4, 5, 7, 10, 12, 10, 7, 5, 3, 2),
    "workplace": (0, 0, 0, 0, 0, 1, 6, 14, 16, 8, 3, 2, 4, 5, 2, 1, 1, 1, 0, 0, 0, 0, 0, 0),
    "retail": (0, 0, 0, 0, 0, 0, 0, 1, 3, 6, 9, 10, 10, 9, 9, 9, 9, 9, 7, 4, 2, 1, 0, 0),
}
# Monday .. Sunday
_WEEKDAYS = {
    "highway": (0.9, 0.85, 0.9, 1.0, 1.3, 1.1, 1.15),
    "city": (1.0, 1.0, 1.0, 1.0, 1.05, 1.0, 0.9),
    "workplace": (1.1, 1.15, 1.15, 1.1, 0.9, 0.06, 0.04),
    "retail": (0.8, 0.8, 0.85, 0.95, 1.2, 1.6, 0.6),
}
_IDLE_H = {"highway": 0.0, "city": 2.2, "workplace": 2.6, "retail": 0.5}


@dataclass(slots=True)
class Sessions:
    """Sessions as arrays, sorted by port and begin. Times are whole UTC seconds, in this order.

    Attributes:
        port: Port.
        connector: Connector used.
        kind: NORMAL, FAILED or REFUSED.
        reserved_at: Reservation; equal to ``plugged_at`` where there was none.
        plugged_at: The car is plugged in.
        asked_at: The driver's token is shown.
        started_at: 1.6 StartTransaction; 2.x the token is accepted.
        waiting_at: The station holds the power back (load management); equal to ``charging_at`` where it does not.
        charging_at: Power flows.
        full_at: Power ends.
        ended_at: The transaction ends.
        unplugged_at: The car is gone.
        energy_wh: Energy between ``charging_at`` and ``full_at``.
        register_wh: Meter register at ``charging_at``.
        soc_from: State of charge at the begin, percent (DC).
        soc_to: State of charge at the end.
        token: Row of the driver's token, or AD_HOC.
        number: Number of the transaction at its operator (1.6) or station (2.x).
    """

    port: np.ndarray
    connector: np.ndarray
    kind: np.ndarray
    reserved_at: np.ndarray
    plugged_at: np.ndarray
    asked_at: np.ndarray
    started_at: np.ndarray
    waiting_at: np.ndarray
    charging_at: np.ndarray
    full_at: np.ndarray
    ended_at: np.ndarray
    unplugged_at: np.ndarray
    energy_wh: np.ndarray
    register_wh: np.ndarray
    soc_from: np.ndarray
    soc_to: np.ndarray
    token: np.ndarray
    number: np.ndarray

    def __len__(self) -> int:
        """Return the number of sessions."""
        return len(self.port)

    def take(self, which: np.ndarray) -> "Sessions":
        """Return the sessions that an index or mask names."""
        return Sessions(*(getattr(self, field.name)[which] for field in fields(self)))


def transaction_started(net: Network, sessions: Sessions) -> np.ndarray:
    """Return when each transaction began: StartTransaction (1.6), or the Started event of the station's model."""
    on_plug = net.model_flag("starts_on_plug")[net.port_model[sessions.port]]
    return np.where(on_plug, sessions.plugged_at, sessions.started_at)


def sample_interval(net: Network, port: np.ndarray) -> np.ndarray:
    """Return the seconds between meter values at each port."""
    is_dc = net.model_flag("power_type")[net.port_model[port]] == "DC"
    return np.where(is_dc, net.profile.dc_sample_s, net.profile.ac_sample_s)


def charged_share(is_dc: np.ndarray, since_s: np.ndarray, whole_s: np.ndarray) -> np.ndarray:
    """Return the share of a session's energy charged so long after power began to flow.

    AC charges evenly, DC with falling power: ``x * (1.6 - 0.6 x)``.
    """
    x = np.clip(since_s / np.maximum(whole_s, 1), 0.0, 1.0)
    return np.where(is_dc, x * (1.6 - 0.6 * x), x)


def energy_until(net: Network, sessions: Sessions, row: np.ndarray, at: np.ndarray) -> np.ndarray:
    """Return the whole Wh that session ``row`` has charged at time ``at``: what its meter shows."""
    is_dc = net.model_flag("power_type")[net.port_model[sessions.port[row]]] == "DC"
    whole = sessions.full_at[row] - sessions.charging_at[row]
    share = charged_share(is_dc, at - sessions.charging_at[row], whole)
    return np.floor(sessions.energy_wh[row] * share + 1e-9).astype(np.int64)


def _arrivals(net: Network, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Draw port and time of arrivals, hour by hour of each site's local clock."""
    chance = stream(seed, 31)
    ports = len(net.port_station)
    hours = net.days * 24
    step = max(24, HOURS_AT_ONCE // max(ports, 1) // 24 * 24)
    kinds = sorted(_ARRIVALS)
    site_kind = np.array([kinds.index(site.template.kind) for site in net.sites])
    by_hour = np.array([_HOURS[kind] for kind in kinds], dtype=float)
    by_hour /= by_hour.sum(axis=1, keepdims=True)
    by_weekday = np.array([_WEEKDAYS[kind] for kind in kinds])
    level = np.array([_ARRIVALS[kind] for kind in kinds])
    liking = 0.7 + 0.6 * unit(hashed(seed, 32, np.arange(ports)))
    zones = sorted({site.template.time_zone for site in net.sites})
    site_zone = np.array([zones.index(site.template.time_zone) for site in net.sites])
    found_port, found_at = [], []
    for first in range(0, hours, step):
        hour_s = net.start_s + np.arange(first, min(first + step, hours)) * 3600
        instants = pl.Series(hour_s * 1000).cast(pl.Datetime("ms", "UTC"))
        local_hour = np.stack([instants.dt.convert_time_zone(zone).dt.hour().to_numpy() for zone in zones])
        local_weekday = np.stack([instants.dt.convert_time_zone(zone).dt.weekday().to_numpy() - 1 for zone in zones])
        age = (hour_s - net.start_s) / (400 * DAY_S)
        season = 1.0 + 0.10 * np.cos(2 * np.pi * ((hour_s / DAY_S) % 365.25 - 15) / 365.25)
        trend = (0.65 + 0.5 * age) * season
        kind = site_kind[:, None]
        zone = site_zone[:, None]
        per_site = (
            level[kind] * by_hour[kind, local_hour[zone[:, 0]]] * by_weekday[kind, local_weekday[zone[:, 0]]] * trend
        )
        rate = per_site[net.port_site] * (liking * net.profile.demand)[:, None]
        count = chance.poisson(rate).ravel()
        cell = np.repeat(np.arange(len(count)), count)
        found_port.append(cell // len(hour_s))
        found_at.append(hour_s[cell % len(hour_s)] + chance.integers(0, 3600, len(cell)))
    port, at = np.concatenate(found_port), np.concatenate(found_at)
    order = np.lexsort((at, port))
    return port[order], at[order]


def _whole(values: np.ndarray) -> np.ndarray:
    return values.astype(np.int64)


def _charging(
    net: Network, port: np.ndarray, plugged: np.ndarray, chance: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Draw how long each session charges (s), how much (Wh) and how long the car stays after that (s)."""
    count = len(port)
    model, site = net.port_model[port], net.port_site[port]
    is_dc = net.model_flag("power_type")[model] == "DC"
    max_kw = net.model_flag("max_kw")[model].astype(float)
    kind = np.array([site.template.kind for site in net.sites])[site]
    season = 1.0 + 0.12 * np.cos(2 * np.pi * ((plugged / DAY_S) % 365.25 - 15) / 365.25)

    dc_s = np.clip(chance.lognormal(np.log(1450), 0.4, count), 300, 5400)
    ac_median = np.where(kind == "retail", 3300, np.where(kind == "workplace", 9500, 8000))
    ac_s = np.clip(chance.lognormal(np.log(ac_median), 0.55), 900, 36_000)
    charge_s = _whole(np.where(is_dc, dc_s, ac_s * season))
    dc_kw = chance.uniform(0.25, 0.55, count) * np.minimum(max_kw, 170) * np.where(season > 1.05, 0.9, 1.0)
    ac_kw = np.minimum(chance.choice(np.array([3.7, 7.2, 11.0, 21.5]), count, p=[0.2, 0.3, 0.4, 0.1]), max_kw * 0.97)
    energy_wh = _whole(np.where(is_dc, dc_kw, ac_kw) * charge_s / 3.6)

    idle_mean = np.array([_IDLE_H[site.template.kind] for site in net.sites])[site] * 3600
    stays = chance.random(count) < np.where(is_dc, 0.25, 0.65)
    dc_idle = chance.exponential(500, count)
    ac_idle = np.minimum(chance.exponential(1.0, count) * np.maximum(idle_mean, 900), 9 * 3600)
    idle_s = np.where(stays, _whole(np.where(is_dc, np.minimum(dc_idle, 3000), ac_idle)) + 20, 0)
    return charge_s, energy_wh, idle_s


def _drawn(net: Network, seed: int, tokens: int) -> Sessions:
    """Draw all sessions that drivers would like to have."""
    port, plugged = _arrivals(net, seed)
    count = len(port)
    chance = stream(seed, 33)
    charge_s, energy, idle_s = _charging(net, port, plugged, chance)
    model = net.port_model[port]
    is_dc = net.model_flag("power_type")[model] == "DC"
    is_bad = np.array([site.template.quality for site in net.sites])[net.port_site[port]] > 1

    outcome = chance.random(count)
    kind = np.where(outcome < np.where(is_bad, 0.07, 0.015), FAILED, NORMAL)
    # A refused token starts no transaction, except where plugging in has started one already.
    kind = np.where((outcome > 0.98) & ~net.model_flag("starts_on_plug")[model], REFUSED, kind)
    normal = kind == NORMAL
    twins = net.model_flag("connectors")[model] > 1
    # One reserved plug leaves the other one of a twin free, so only ports with one plug are reserved.
    reserves = (chance.random(count) < 0.012) & ~twins & normal
    reserved = plugged - np.where(reserves, chance.integers(300, 1500, count), 0)
    asked = plugged + chance.integers(4, 26, count)
    started = asked + chance.integers(1, 5, count)
    holds = (chance.random(count) < 0.05) & ~is_dc & normal
    waiting = started + chance.integers(1, 5, count)
    charging = waiting + np.where(holds, chance.integers(60, 900, count), 0)
    full = charging + np.where(normal, charge_s, 0)
    ended = np.where(normal, full + idle_s, started + chance.integers(30, 95, count))
    unplugged = ended + np.where(chance.random(count) < 0.3, 0, chance.integers(10, 400, count))
    soc_from = chance.integers(8, 55, count)
    soc_to = np.minimum(soc_from + chance.integers(20, 45, count), 100)
    on_spot = chance.random(count) < 0.22
    token = np.minimum(_whole(chance.random(count) ** 1.7 * tokens), tokens - 1)
    second_plug = twins & (chance.random(count) < 0.18)
    sessions = Sessions(
        port=port,
        connector=net.port_first_connector[port] + second_plug,
        kind=kind,
        reserved_at=reserved,
        plugged_at=plugged,
        asked_at=asked,
        started_at=started,
        # A failed or refused start has no charging: its times collapse onto its end.
        waiting_at=np.where(normal, waiting, ended),
        charging_at=np.where(normal, charging, ended),
        full_at=np.where(normal, full, ended),
        ended_at=ended,
        unplugged_at=unplugged,
        energy_wh=np.where(normal, energy, 0),
        register_wh=np.zeros(count, dtype=np.int64),
        soc_from=soc_from,
        soc_to=soc_to,
        token=np.where(on_spot, AD_HOC, token),
        number=np.zeros(count, dtype=np.int64),
    )
    return sessions.take(np.lexsort((sessions.reserved_at, sessions.port)))


def plan_sessions(net: Network, outages: Outages, seed: int, tokens: int) -> Sessions:
    """Draw the sessions of the whole period.

    They never overlap on a port, keep away from whatever stops it, and may still run when the log ends.

    Args:
        net: The network.
        outages: Its outages.
        seed: Seed of chance.
        tokens: Number of tokens the drivers share.
    """
    sessions = _drawn(net, seed, tokens)
    sessions = sessions.take(_possible(net, outages, sessions))
    sessions = sessions.take(apart(sessions.port, sessions.reserved_at, sessions.unplugged_at, SESSION_GAP_S))
    _away_from_faulted_plug(net, outages, sessions)
    _number_and_meter(net, sessions, seed)
    return sessions


def _possible(net: Network, outages: Outages, sessions: Sessions) -> np.ndarray:
    begin, end = sessions.reserved_at, sessions.unplugged_at
    free = ~overlaps(sessions.port, begin, end, port_blocks(net, outages), BLOCK_GAP_S)
    working = begin > net.station_commissioned_s[net.port_station[sessions.port]] + BLOCK_GAP_S
    last = net.end_s - 1
    # A session that the end of the log cuts has at least begun to charge, and nothing happens in the very last second,
    # where it could not be told from the end.
    begun = sessions.charging_at < last - 60
    on_last = np.zeros(len(sessions), dtype=bool)
    for times in (sessions.full_at, sessions.ended_at, sessions.unplugged_at):
        on_last |= times == last
    complete = (sessions.kind == NORMAL) | (sessions.unplugged_at < last)
    return free & working & begun & complete & ~on_last


def _away_from_faulted_plug(net: Network, outages: Outages, sessions: Sessions) -> None:
    """Let sessions use the first plug while the second one is faulted."""
    faulted = outages.of(ONE_CONNECTOR)
    order = np.lexsort((faulted.a, faulted.port))
    blocks = (faulted.port[order], faulted.a[order], faulted.b[order])
    meets = overlaps(sessions.port, sessions.reserved_at, sessions.unplugged_at, blocks, BLOCK_GAP_S)
    sessions.connector = np.where(meets, net.port_first_connector[sessions.port], sessions.connector)


def _number_and_meter(net: Network, sessions: Sessions, seed: int) -> None:
    model = net.port_model[sessions.port]
    is_16 = net.model_flag("is_16")[model]
    runs = sessions.kind != REFUSED
    # 1.6: the CSMS counts, per operator, so ids of two operators coincide. 2.x: the station counts.
    group = np.where(is_16, -1 - net.port_operator[sessions.port], net.port_station[sessions.port])
    order = np.lexsort((sessions.port, sessions.started_at, group, ~runs))
    ordered = group[order]
    first = np.concatenate(([0], np.flatnonzero(np.diff(ordered)) + 1)) if len(ordered) else np.zeros(0, dtype=np.int64)
    lengths = np.diff(np.concatenate((first, [len(ordered)])))
    number = np.empty(len(sessions), dtype=np.int64)
    number[order] = np.arange(len(ordered)) - np.repeat(first, lengths) + 1
    sessions.number = np.where(is_16, 100_000 + number, number)

    before = np.cumsum(sessions.energy_wh) - sessions.energy_wh
    starts = np.concatenate(([True], np.diff(sessions.port) > 0))
    base = np.maximum.accumulate(np.where(starts, before, 0)) if len(sessions) else before
    lifetime = hashed(seed, 34, sessions.port) % 4_000_000 + before - base
    sessions.register_wh = np.where(net.model_flag("session_register")[model], 0, lifetime)
