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
PHANTOM_SHIFT_S = 3 * 3600
CREDIT_AFTER_S = 3 * DAY_S
WRONG_EVERY = 1500  # of so many CDRs, one has each kind of fault
FEWEST_TO_SPOIL = 20  # an operator with fewer CDRs has none that is wrong

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


def _pick_faults(net: Network, sessions: Sessions, seed: int) -> np.ndarray:
    """Return the fault of every billed session, -1 for those without a CDR.

    A few of each kind, in a mixed order, the same number at every operator.
    """
    billed = np.flatnonzero((sessions.kind == NORMAL) & (sessions.ended_at < net.end_s - 1) & (sessions.energy_wh > 0))
    fault = np.full(len(sessions), -1, dtype=np.int64)
    fault[billed] = RIGHT
    for operator in net.operators:
        own = billed[net.port_operator[sessions.port[billed]] == operator]
        if len(own) < FEWEST_TO_SPOIL:
            continue
        each = max(1, len(own) // WRONG_EVERY)
        wanted = [WRONG_PRICE, WRONG_ENERGY, DUPLICATE, MISSING, LATE, NO_SESSION]
        if OPERATORS[operator].ocpi_version != "2.1.1":  # has no corrections at all
            wanted.append(CREDITED)
        mixed = own[np.lexsort((own, hashed(seed, 61, own)))]
        early = mixed[sessions.ended_at[mixed] < net.end_s - LATE_S - DAY_S]
        opened = net.station_commissioned_s[net.port_station[sessions.port[mixed]]]
        settled = mixed[sessions.plugged_at[mixed] > opened + DAY_S]
        for position, kind in enumerate(wanted):
            pool = {LATE: early, NO_SESSION: settled}.get(kind, mixed)
            chosen = pool[position * each : (position + 1) * each]
            fault[chosen[fault[chosen] == RIGHT]] = kind
    return fault


@dataclass(slots=True)
class _Costs:
    """What every session costs by its tariff, by dimension, in units of 1 / UNIT; and the energy billed for."""

    energy: np.ndarray
    flat: np.ndarray
    time: np.ndarray
    parking: np.ndarray
    energy_wh: np.ndarray

    @property
    def net_cents(self) -> np.ndarray:
        """The total, rounded."""
        return half_up(self.energy + self.flat + self.time + self.parking)


def _costs(
    sessions: Sessions, started: np.ndarray, tariff: np.ndarray, version: np.ndarray, periods: pl.DataFrame
) -> _Costs:
    def prices(dimension: str) -> np.ndarray:
        return np.array([[price(t, dimension, v) for v in range(len(_RISE_PERCENT))] for t in TARIFFS])

    row, wh = periods["session"].to_numpy(), periods["energy_wh"].to_numpy()
    of_period = (tariff[row], version[row])
    by_clock = np.where(periods["is_night"].to_numpy(), prices("night")[of_period], prices("energy")[of_period])
    energy_wh, energy = np.zeros(len(sessions), dtype=np.int64), np.zeros(len(sessions), dtype=np.int64)
    np.add.at(energy_wh, row, wh)
    np.add.at(energy, row, wh * by_clock * 60)
    # Only tariffs with one price for energy have steps above 1 Wh, so the surplus has that price.
    surplus_wh = -energy_wh % np.array([t.energy_step_wh for t in TARIFFS])[tariff]
    energy += surplus_wh * prices("energy")[tariff, version] * 60
    minutes = -(-(sessions.full_at - started) // TIME_STEP_S)
    idle_minutes = -(-(sessions.ended_at - sessions.full_at) // TIME_STEP_S)
    per_minute = UNIT // PRICE_UNIT // 60
    return _Costs(
        energy=energy,
        flat=prices("flat")[tariff, version] * (UNIT // PRICE_UNIT),
        time=minutes * prices("time")[tariff, version] * per_minute,
        parking=idle_minutes * prices("parking")[tariff, version] * per_minute,
        energy_wh=energy_wh,
    )


def _issued(net: Network, sessions: Sessions, fault: np.ndarray, seed: int) -> pl.DataFrame:
    """Return the CDRs to issue: session, fault, operator, ended_at, shift_s, updated_at; by operator and end.

    A CDR without a session is the copy of another one's, three hours earlier.
    """
    billed = np.flatnonzero(fault >= 0)
    once = billed[fault[billed] != MISSING]
    credited, copied = once[fault[once] == CREDITED], once[fault[once] == NO_SESSION]
    session = np.concatenate((once, copied, credited))
    own = np.where(fault[once] == NO_SESSION, RIGHT, fault[once])  # the session that is copied has its right CDR
    kind = np.concatenate((own, np.full(len(copied), NO_SESSION), np.full(len(credited), CREDIT)))
    shift = np.where(kind == NO_SESSION, PHANTOM_SHIFT_S, 0)
    ended = sessions.ended_at[session] - shift
    delay = np.where(kind == LATE, LATE_S, 120 + hashed(seed, 62, session) % 2400)
    updated = ended + delay + np.where(kind == CREDIT, CREDIT_AFTER_S, 0)
    return pl.DataFrame(
        {
            "session": session,
            "fault": kind,
            "operator": net.port_operator[sessions.port[session]],
            "ended_at": ended,
            "shift_s": shift,
            "updated_at": np.minimum(updated, np.maximum(net.end_s - 1, ended + 1)),
            "is_credit": kind == CREDIT,
        }
    ).sort("operator", "ended_at", "is_credit", "session")


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
    version = np.searchsorted(version_begins(net), started, side="right") - 1
    fault = _pick_faults(net, sessions, seed)
    periods = _periods(net, sessions, np.flatnonzero(fault >= 0), started, tariff)
    # A tenth more energy than the meter's, priced as such.
    inflated = pl.Series(fault[periods["session"].to_numpy()] == WRONG_ENERGY)
    wh = pl.col("energy_wh")
    periods = periods.with_columns(energy_wh=pl.when(inflated).then(wh * 11 // 10).otherwise(wh))
    costs = _costs(sessions, started, tariff, version, periods)
    right = costs.net_cents

    issued = _issued(net, sessions, fault, seed)
    session, kind, shift = (issued[name].to_numpy() for name in ("session", "fault", "shift_s"))
    operator = issued["operator"].to_numpy()
    position = np.arange(len(issued))
    sign = np.where(kind == CREDIT, -1, 1)
    surcharge = np.where(kind == WRONG_PRICE, np.maximum(1, right[session] * 15 // 100), 0)
    net_cents = sign * (right[session] + surcharge)
    vat = np.array([t.vat or 0 for t in TARIFFS])[tariff[session]]
    original = np.full(len(sessions), -1, dtype=np.int64)
    original[session[kind == CREDITED]] = position[kind == CREDITED]
    # Periods once more per CDR: a session's periods serve its CDR, its copy and its credit.
    splits = (
        pl.DataFrame({"cdr": position, "session": session, "shift": shift})
        .join(periods, on="session", how="inner")
        .with_columns(at=pl.col("at") - pl.col("shift"))
        .sort("cdr", "at")
        .select("cdr", "at", "energy_wh", "is_night")
    )
    return Cdrs(
        session=session,
        fault=kind,
        operator=operator,
        number=position - np.searchsorted(operator, operator, side="left") + 1,
        tariff=tariff[session],
        version=version[session],
        started_at=started[session] - shift,
        full_at=sessions.full_at[session] - shift,
        ended_at=issued["ended_at"].to_numpy(),
        energy_wh=costs.energy_wh[session],
        energy_cost=costs.energy[session],
        flat_cost=costs.flat[session],
        time_cost=costs.time[session],
        parking_cost=costs.parking[session],
        net_cents=net_cents,
        gross_cents=after_tax(net_cents, vat),
        right_net_cents=sign * right[session],
        updated_at=issued["updated_at"].to_numpy(),
        credited=np.where(kind == CREDIT, original[session], -1),
        splits=splits,
    )
