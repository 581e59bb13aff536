"""What every session costs: tariffs, their versions, and exact prices in whole numbers.

Money is counted in units of 1 / 600,000,000 of the currency (a Wh at a price in 1/10,000 per kWh, times the 60 minutes
of an hour), so no price is ever a fraction; only the total is rounded, half up, to 2 decimals.
"""

from dataclasses import dataclass

import numpy as np
import polars as pl

from pipelines.simulator.chance import hashed
from pipelines.simulator.network import DAY_S, OPERATORS, Network
from pipelines.simulator.sessions import NORMAL, Sessions, energy_until, transaction_started

PRICE_UNIT = 10_000  # prices are kept in ten-thousandths
UNIT = 600_000_000  # one unit of currency
NIGHT_FROM_H, NIGHT_TO_H = 22, 6
TIME_STEP_S = 60
LATE_S = 20 * DAY_S
WRONG_EVERY = 1500  # of so many CDRs, one has each kind of fault

# What is wrong with a CDR, or unusual about it.
RIGHT, WRONG_PRICE, WRONG_ENERGY, DUPLICATE, MISSING, LATE, CREDITED, CREDIT, NO_SESSION = range(9)
FAULTS = ("", "wrong_price", "wrong_energy", "duplicate", "missing", "late", "credited", "credit", "no_session")
MARKED_WRONG = (WRONG_PRICE, WRONG_ENERGY, NO_SESSION)


@dataclass(frozen=True, slots=True)
class Tariff:
    """A tariff in its first version; prices in ten-thousandths of the currency, before taxes.

    Attributes:
        energy: Per kWh.
        night: Per kWh from 22:00 to 06:00 on the site's clock, if it differs.
        flat: Per session.
        time: Per hour of charging, billed by the minute.
        parking: Per hour connected after charging, billed by the minute.
        energy_step_wh: step_size of energy.
        vat: Value added tax in percent; None where the tariff names none.
    """

    operator: int
    currency: str
    power_type: str
    energy: int
    night: int | None
    flat: int
    time: int
    parking: int
    energy_step_wh: int
    vat: int | None

    @property
    def tariff_id(self) -> str:
        """OCPI tariff id."""
        return f"{OPERATORS[self.operator].party}-{self.currency}-{self.power_type}"


TARIFFS = (
    Tariff(0, "EUR", "AC", 4900, 3900, 3500, 0, 30_000, 1, 19),
    Tariff(0, "EUR", "DC", 6100, None, 0, 0, 60_000, 100, 19),
    Tariff(1, "GBP", "AC", 5200, None, 2500, 0, 24_000, 1, 20),
    Tariff(1, "GBP", "DC", 7400, None, 0, 0, 120_000, 1, 20),
    Tariff(1, "INR", "AC", 160_000, None, 100_000, 0, 600_000, 1, 18),
    Tariff(1, "INR", "DC", 210_000, None, 100_000, 0, 600_000, 1, 18),
    Tariff(2, "USD", "AC", 2400, None, 5000, 6000, 0, 1, None),
    Tariff(2, "USD", "DC", 4600, None, 0, 30_000, 0, 1, None),
    Tariff(2, "CAD", "AC", 2600, None, 5000, 6000, 0, 1, None),
    Tariff(2, "CAD", "DC", 5200, None, 0, 36_000, 0, 1, None),
)
_RISE_PERCENT = (100, 106, 111)  # price level of each version


def version_begins(net: Network) -> np.ndarray:
    """Return when each tariff version begins, in seconds; the first long before the log."""
    span = net.days
    return np.array(
        [net.start_s - 365 * DAY_S, net.start_s + span * 35 // 100 * DAY_S, net.start_s + span * 7 // 10 * DAY_S]
    )


def versions(prices: int) -> list[int]:
    """Return a price in every version, rounded to cents; hourly prices stay whole cents a minute by their own rule."""
    return [-(-prices * percent // 100 // 100) * 100 for percent in _RISE_PERCENT]


def price(tariff: Tariff, dimension: str, version: int) -> int:
    """Return a price of one version of a tariff, in ten-thousandths; 0 where the dimension is free.

    Args:
        tariff: The tariff.
        dimension: ``energy``, ``night``, ``flat``, ``time`` or ``parking``.
        version: Version, from 0.
    """
    base = getattr(tariff, dimension)
    if dimension == "night" and base is None:
        base = tariff.energy
    if dimension in ("time", "parking"):  # hourly: stays as it is, only energy gets dearer
        return base
    return versions(base)[version]


@dataclass(slots=True)
class Cdrs:
    """CDRs as arrays, sorted by operator and end.

    Attributes:
        session: Session billed; of a CDR without one, the session it was copied from.
        fault: One of the kinds above.
        operator: Operator, whose peer delivers the CDR.
        number: Running number at the operator.
        tariff: Tariff.
        version: Its version at the session's start.
        started_at: Transaction start.
        full_at: End of charging.
        ended_at: Transaction end.
        energy_wh: Energy billed.
        energy_cost: Cost of energy, in units of 1 / UNIT.
        flat_cost: Fixed cost.
        time_cost: Cost of charging time.
        parking_cost: Cost of parking time.
        net_cents: Billed total before taxes, in cents; negative on a credit.
        gross_cents: Billed total after taxes; equal to net where the tariff names no VAT.
        right_net_cents: What the tariff asks for.
        updated_at: last_updated: when it was delivered.
        credited: Row of the CDR a credit takes back, else -1.
    """

    session: np.ndarray
    fault: np.ndarray
    operator: np.ndarray
    number: np.ndarray
    tariff: np.ndarray
    version: np.ndarray
    started_at: np.ndarray
    full_at: np.ndarray
    ended_at: np.ndarray
    energy_wh: np.ndarray
    energy_cost: np.ndarray
    flat_cost: np.ndarray
    time_cost: np.ndarray
    parking_cost: np.ndarray
    net_cents: np.ndarray
    gross_cents: np.ndarray
    right_net_cents: np.ndarray
    updated_at: np.ndarray
    credited: np.ndarray
    splits: pl.DataFrame  # cdr, at, energy_wh, is_night: charging periods, in order

    def __len__(self) -> int:
        """Return the number of CDRs."""
        return len(self.session)

    def ids(self) -> pl.Series:
        """Return the CDR ids."""
        parties = pl.Series([f"{operator.party}-" for operator in OPERATORS])
        number_ = np.where(self.credited >= 0, self.number[np.maximum(self.credited, 0)], self.number)
        digits = pl.Series(number_).cast(pl.String).str.zfill(8)
        ends = pl.Series(np.where(self.credited >= 0, "-C", ""))
        return pl.select(pl.concat_str(parties.gather(pl.Series(self.operator)), digits, ends)).to_series()


def tariff_of(net: Network, port: np.ndarray) -> np.ndarray:
    """Return the tariff of each port."""
    names = {tariff.tariff_id: row for row, tariff in enumerate(TARIFFS)}
    by_site = np.array(
        [
            [names[f"{OPERATORS[s.template.operator].party}-{s.template.currency}-{power}"] for power in ("AC", "DC")]
            for s in net.sites
        ]
    )
    is_dc = net.model_flag("power_type")[net.port_model[port]] == "DC"
    return by_site[net.port_site[port], is_dc.astype(int)]


def half_up(units: np.ndarray) -> np.ndarray:
    """Return whole cents of amounts counted in 1 / UNIT, half a cent up (away from zero)."""
    size = (np.abs(units) * 200 + UNIT) // (2 * UNIT)
    return np.where(units < 0, -size, size)


def after_tax(net_cents: np.ndarray, vat: np.ndarray) -> np.ndarray:
    """Return net cents plus VAT in percent, rounded half up to cents."""
    size = (np.abs(net_cents) * (100 + vat) * 2 + 100) // 200
    return np.where(net_cents < 0, -size, size)


def _night_edges(
    net: Network, sessions: Sessions, rows: np.ndarray, started: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return session row and instant of every 22:00 and 06:00 of the site's clock between start and end of charging."""
    found_row, found_at = [], []
    site = net.port_site[sessions.port[rows]]
    zones = np.array([s.template.time_zone for s in net.sites])[site]
    for zone in np.unique(zones).tolist():
        own = rows[zones == zone]
        local = pl.Series(started[own] * 1000).cast(pl.Datetime("ms", "UTC")).dt.convert_time_zone(zone).dt.date()
        for offset in range(3):
            for hour in (NIGHT_TO_H, NIGHT_FROM_H):
                wall = local.cast(pl.Datetime("ms")).dt.offset_by(f"{offset}d{hour}h")
                instant = wall.dt.replace_time_zone(zone, ambiguous="earliest", non_existent="null")
                at = instant.dt.epoch("ms").to_numpy() // 1000
                inside = (at > started[own]) & (at < sessions.full_at[own])
                found_row.append(own[inside])
                found_at.append(at[inside].astype(np.int64))
    if not found_row:
        return np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64)
    return np.concatenate(found_row), np.concatenate(found_at)


def _is_night(net: Network, port: np.ndarray, at: np.ndarray) -> np.ndarray:
    zones = np.array([s.template.time_zone for s in net.sites])[net.port_site[port]]
    night = np.zeros(len(at), dtype=bool)
    for zone in np.unique(zones).tolist():
        own = zones == zone
        hour = pl.Series(at[own] * 1000).cast(pl.Datetime("ms", "UTC")).dt.convert_time_zone(zone).dt.hour().to_numpy()
        night[own] = (hour >= NIGHT_FROM_H) | (hour < NIGHT_TO_H)
    return night


def _periods(
    net: Network, sessions: Sessions, billed: np.ndarray, started: np.ndarray, tariff: np.ndarray
) -> pl.DataFrame:
    """Return the charging periods of the billed sessions: one each, cut where the night price begins or ends."""
    has_night = np.array([t.night is not None for t in TARIFFS])[tariff]
    edge_row, edge_at = _night_edges(net, sessions, billed[has_night[billed]], started)
    row = np.concatenate((billed, edge_row))
    at = np.concatenate((started[billed], edge_at))
    order = np.lexsort((at, row))
    row, at = row[order], at[order]
    last = np.concatenate((row[1:] != row[:-1], [True])) if len(row) else np.zeros(0, dtype=bool)
    until = np.where(last, sessions.full_at[row], np.concatenate((at[1:], [0])) if len(at) else at)
    energy = energy_until(net, sessions, row, until) - np.where(
        at > sessions.charging_at[row], energy_until(net, sessions, row, at), 0
    )
    night = _is_night(net, sessions.port[row], at) & has_night[row]
    return pl.DataFrame({"session": row, "at": at, "energy_wh": energy, "is_night": night})


def _pick_faults(net: Network, sessions: Sessions, billed: np.ndarray, seed: int) -> np.ndarray:
    """Return the fault of every session: a few of each kind, in a mixed order, the same number at every operator."""
    fault = np.zeros(len(sessions), dtype=np.int64)
    for operator in net.operators:
        own = billed[net.port_operator[sessions.port[billed]] == operator]
        each = max(1, len(own) // WRONG_EVERY)
        wanted = [WRONG_PRICE, WRONG_ENERGY, DUPLICATE, MISSING, LATE, NO_SESSION]
        if OPERATORS[operator].ocpi_version != "2.1.1":  # has no corrections at all
            wanted.append(CREDITED)
        if len(own) < 20:
            continue
        mixed = own[np.lexsort((own, hashed(seed, 61, own)))]
        early = mixed[sessions.ended_at[mixed] < net.end_s - LATE_S - DAY_S]
        opened = net.station_commissioned_s[net.port_station[sessions.port[mixed]]]
        settled = mixed[sessions.plugged_at[mixed] > opened + DAY_S]
        for position, kind in enumerate(wanted):
            pool = {LATE: early, NO_SESSION: settled}.get(kind, mixed)
            chosen = pool[position * each : (position + 1) * each]
            fault[chosen[fault[chosen] == RIGHT]] = kind
    return fault


def bill(net: Network, sessions: Sessions, seed: int) -> Cdrs:
    """Price every finished session that charged, and make the few wrong CDRs.

    The net total is the exact sum of energy, fixed, time and parking cost, rounded half up to 2 decimals; the gross
    total is the rounded net plus VAT, rounded again. ENERGY is billed in steps of the tariff's ``step_size``, charging
    time (TIME) and parking (PARKING_TIME) by the minute begun. A session is priced by the tariff version in force when
    it began. Failed sessions (no energy) and sessions that still run have no CDR.

    Args:
        net: The network.
        sessions: Its sessions.
        seed: Seed of chance.
    """
    started = transaction_started(net, sessions)
    tariff = tariff_of(net, sessions.port)
    billed = np.flatnonzero((sessions.kind == NORMAL) & (sessions.ended_at < net.end_s - 1) & (sessions.energy_wh > 0))
    fault = _pick_faults(net, sessions, billed, seed)
    periods = _periods(net, sessions, billed, started, tariff)

    version = np.searchsorted(version_begins(net), started, side="right") - 1
    table = {
        d: np.array([[price(t, d, v) for v in range(3)] for t in TARIFFS])
        for d in ("energy", "night", "flat", "time", "parking")
    }
    row = periods["session"].to_numpy()
    wh = periods["energy_wh"].to_numpy()
    night = periods["is_night"].to_numpy()
    # CDR kWh 10 % above the meter's, priced as such.
    inflated = fault[row] == WRONG_ENERGY
    wh = np.where(inflated, wh * 11 // 10, wh)
    periods = periods.with_columns(energy_wh=wh)
    unit_price = np.where(night, table["night"][tariff[row], version[row]], table["energy"][tariff[row], version[row]])
    energy_cost = np.zeros(len(sessions), dtype=np.int64)
    np.add.at(energy_cost, row, wh * unit_price * 60)
    energy = np.zeros(len(sessions), dtype=np.int64)
    np.add.at(energy, row, wh)
    step = np.array([t.energy_step_wh for t in TARIFFS])[tariff]
    energy_cost += (-energy % step) * table["energy"][tariff, version] * 60  # only tariffs of one price have steps
    flat_cost = table["flat"][tariff, version] * (UNIT // PRICE_UNIT)
    minutes = -(-(sessions.full_at - started) // TIME_STEP_S)
    idle_minutes = -(-(sessions.ended_at - sessions.full_at) // TIME_STEP_S)
    time_cost = minutes * table["time"][tariff, version] * (UNIT // PRICE_UNIT // 60)
    parking_cost = idle_minutes * table["parking"][tariff, version] * (UNIT // PRICE_UNIT // 60)
    right = half_up(energy_cost + flat_cost + time_cost + parking_cost)

    once = billed[fault[billed] != MISSING]
    credit = once[fault[once] == CREDITED]
    phantom = once[fault[once] == NO_SESSION]
    source = np.concatenate((once, phantom, credit))
    kind = np.concatenate((fault[once], np.full(len(phantom), NO_SESSION), np.full(len(credit), CREDIT)))
    # The copied session keeps its own, right CDR; the copy is the CDR nobody charged for.
    kind[: len(once)] = np.where(kind[: len(once)] == NO_SESSION, RIGHT, kind[: len(once)])
    shift = np.where(kind == NO_SESSION, 3 * 3600, 0)
    ended = sessions.ended_at[source] - shift
    delay = 120 + hashed(seed, 62, source) % 2400
    updated = ended + np.where(kind == LATE, LATE_S, delay) + np.where(kind == CREDIT, 3 * DAY_S, 0)
    updated = np.minimum(updated, np.maximum(net.end_s - 1, ended + 1))
    net_cents = right[source]
    net_cents = np.where(kind == WRONG_PRICE, net_cents + np.maximum(1, net_cents * 15 // 100), net_cents)
    net_cents = np.where(kind == CREDIT, -net_cents, net_cents)
    vat = np.array([t.vat or 0 for t in TARIFFS])[tariff[source]]
    operator = net.port_operator[sessions.port[source]]

    order = np.lexsort((source, kind == CREDIT, ended, operator))
    source, kind, ended, updated, net_cents = source[order], kind[order], ended[order], updated[order], net_cents[order]
    vat, operator, shift = vat[order], operator[order], shift[order]
    position = np.arange(len(source))
    first = np.searchsorted(operator, operator, side="left")
    credited = np.full(len(source), -1, dtype=np.int64)
    original_row = np.full(len(sessions), -1, dtype=np.int64)
    originals = np.flatnonzero(kind == CREDITED)
    original_row[source[originals]] = originals
    credited[kind == CREDIT] = original_row[source[kind == CREDIT]]

    # Periods once more per CDR: a session's periods serve its CDR, its copy and its credit.
    splits = (
        pl.DataFrame({"cdr": position, "session": source, "shift": shift})
        .join(periods, on="session", how="inner")
        .with_columns(at=pl.col("at") - pl.col("shift"))
        .sort("cdr", "at")
        .select("cdr", "at", "energy_wh", "is_night")
    )
    return Cdrs(
        session=source,
        fault=kind,
        operator=operator,
        number=position - first + 1,
        tariff=tariff[source],
        version=version[source],
        started_at=started[source] - shift,
        full_at=sessions.full_at[source] - shift,
        ended_at=ended,
        energy_wh=energy[source],
        energy_cost=energy_cost[source],
        flat_cost=flat_cost[source],
        time_cost=time_cost[source],
        parking_cost=parking_cost[source],
        net_cents=net_cents,
        gross_cents=after_tax(net_cents, vat),
        right_net_cents=np.where(kind == CREDIT, -right[source], right[source]),
        updated_at=updated,
        credited=credited,
        splits=splits,
    )
