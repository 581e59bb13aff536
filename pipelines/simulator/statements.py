"""What every owner is owed, worked out contract by contract from the plan: the ground truth of settlement.

Energy is bought as the meters told it: between two meter values a session draws evenly, a quarter hour has the price at
its beginning, and cost and fees belong to the month in which a session ends. Money is exact until a line is rounded,
half away from zero, to cents; the currencies simulated all have cents.
"""

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from zoneinfo import ZoneInfo

import numpy as np
import polars as pl

from pipelines.simulator.billing import CREDIT, CREDITED
from pipelines.simulator.network import EMSPS, Network
from pipelines.simulator.plan import Plan
from pipelines.simulator.registry import Row, contract_rows, energy_price_rows, port_rows
from pipelines.simulator.sessions import NORMAL, REFUSED, energy_until, sample_interval, transaction_started

QUARTER_S = 900
_NIGHT_TO_H, _NIGHT_FROM_H = 6, 22
_PRICE_UNIT = 10_000  # prices of energy are kept in ten-thousandths
_CENT = Decimal("0.01")


def _cents(amount: Decimal) -> Decimal:
    return amount.quantize(_CENT, rounding=ROUND_HALF_UP)


def _next(month: date) -> date:
    return (month + timedelta(days=32)).replace(day=1)


def metered_quarters(plan: Plan) -> pl.DataFrame:
    """Return the energy of every session in every quarter hour (UTC), as its meter values tell it.

    Args:
        plan: What happens.

    Returns:
        ``row`` of the session, ``at`` (start of the quarter hour, seconds since 1970) and ``energy_mwh`` in whole
        thousandths of a Wh.
    """
    net = plan.net
    runs = np.flatnonzero(plan.sessions.kind != REFUSED)
    s = plan.sessions.take(runs)
    index = np.arange(len(s))
    complete = s.ended_at < net.end_s - 1
    interval = sample_interval(net, s.port)
    last = np.minimum(s.ended_at - 1, net.end_s - 1)
    count = np.where(s.kind == NORMAL, np.maximum(0, (last - s.charging_at) // interval), 0)
    row = np.repeat(index, count)
    number = np.arange(len(row)) - np.repeat(np.cumsum(count) - count, count) + 1
    sampled = s.charging_at[row] + number * interval[row]
    points = pl.DataFrame(
        {
            "row": np.concatenate((index, row, index[complete])),
            "at": np.concatenate((transaction_started(net, s), sampled, s.ended_at[complete])),
            "wh": np.concatenate(
                (np.zeros(len(s), dtype=np.int64), energy_until(net, s, row, sampled), s.energy_wh[complete])
            ),
        }
    )
    steps = (
        points.group_by("row", "at")
        .agg(pl.col("wh").max())
        .sort("row", "at")
        .with_columns(to=pl.col("at").shift(-1).over("row"), rise=pl.col("wh").shift(-1).over("row") - pl.col("wh"))
        .filter(pl.col("rise") > 0)
    )
    quarters = steps.with_columns(
        quarter=pl.int_ranges(pl.col("at") // QUARTER_S, (pl.col("to") - 1) // QUARTER_S + 1)
    ).explode("quarter")

    def until(instant: pl.Expr) -> pl.Expr:
        """Thousandths of a Wh of this step until an instant, rounded half up."""
        length = pl.col("to") - pl.col("at")
        return (pl.col("rise") * 2000 * (instant - pl.col("at")) + length) // (2 * length)

    begin = pl.max_horizontal("at", pl.col("quarter") * QUARTER_S)
    end = pl.min_horizontal("to", (pl.col("quarter") + 1) * QUARTER_S)
    summed = (
        quarters.with_columns(energy_mwh=until(end) - until(begin))
        .group_by("row", "quarter")
        .agg(pl.col("energy_mwh").sum())
        .sort("row", "quarter")
    )
    return pl.DataFrame(
        {
            "row": runs[summed["row"].to_numpy()],
            "at": summed["quarter"] * QUARTER_S,
            "energy_mwh": summed["energy_mwh"],
        }
    )


def _local(frame: pl.DataFrame, net: Network, at: str) -> pl.DataFrame:
    """Add the date and hour on the wall of the site to a frame with ``site``."""
    zones = [place.template.time_zone for place in net.sites]
    parts = []
    for zone in sorted(set(zones)):
        own = [site for site, name in enumerate(zones) if name == zone]
        wall = pl.from_epoch(at, time_unit="s").dt.replace_time_zone("UTC").dt.convert_time_zone(zone)
        parts.append(
            frame.filter(pl.col("site").is_in(own)).with_columns(on=wall.dt.date(), hour=wall.dt.hour().cast(pl.Int64))
        )
    return pl.concat(parts)


def _under_contract(frame: pl.DataFrame, contracts: pl.DataFrame) -> pl.DataFrame:
    """Add the contract that holds on ``local_date`` and the month."""
    held = (pl.col("valid_from") <= pl.col("local_date")) & (
        pl.col("valid_to").is_null() | (pl.col("local_date") < pl.col("valid_to"))
    )
    return frame.join(contracts, on="site").filter(held).with_columns(month=pl.col("local_date").dt.truncate("1mo"))


@dataclass(frozen=True, slots=True)
class _Counts:
    """What is counted of the network, by contract and month, or by site and month."""

    revenue: dict[tuple[str, date], Decimal]
    charged: dict[tuple[str, date], list[tuple[str | None, Decimal, int]]]  # EMSP, kWh, sessions
    energy: dict[tuple[str, date], Decimal]
    peak_kw: dict[tuple[int, date], Decimal]


def _count(plan: Plan, cdrs: pl.DataFrame, sessions: pl.DataFrame) -> _Counts:
    net = plan.net
    site_of = {place.site_id: number for number, place in enumerate(net.sites)}
    contracts = pl.DataFrame(
        {
            "contract_id": [row["contract_id"] for row in contract_rows(net)],
            "site": [site_of[str(row["site_id"])] for row in contract_rows(net)],
            "valid_from": [date.fromisoformat(str(row["valid_from"])) for row in contract_rows(net)],
            "valid_to": [
                date.fromisoformat(str(row["valid_to"])) if row["valid_to"] else None for row in contract_rows(net)
            ],
        },
        schema_overrides={"valid_to": pl.Date},
    )
    prices = [
        [
            int(Decimal(str(row["price_per_kwh"])) * _PRICE_UNIT)
            for row in energy_price_rows(net)
            if row["site_id"] == name
        ]
        for name in site_of
    ]
    ports = pl.Series(net.port_site)
    key = ("contract_id", "month")
    billed = _under_contract(cdrs.with_columns(site=pl.lit(ports).gather(pl.col("port"))), contracts)
    counted = billed.filter(~pl.col("fault").is_in([CREDIT, CREDITED])).group_by(*key, "emsp_id")
    charged: dict[tuple[str, date], list[tuple[str | None, Decimal, int]]] = {}
    for contract, month, emsp, wh, number in counted.agg(pl.col("energy_wh").sum(), pl.len()).iter_rows():
        charged.setdefault((contract, month), []).append((emsp, Decimal(wh) / 1000, number))

    drawn = metered_quarters(plan).join(
        sessions.select("row", "local_date", site=pl.lit(ports).gather(pl.col("port"))), on="row"
    )
    drawn = _local(drawn, net, "at")
    night = (pl.col("hour") < _NIGHT_TO_H) | (pl.col("hour") >= _NIGHT_FROM_H)
    by_day, by_night = pl.Series([max(own) for own in prices]), pl.Series([min(own) for own in prices])
    price = (
        pl.when(night).then(pl.lit(by_night).gather(pl.col("site"))).otherwise(pl.lit(by_day).gather(pl.col("site")))
    )
    cost = _under_contract(drawn.with_columns(cost=pl.col("energy_mwh") * price), contracts).group_by(key)
    peaks = (
        drawn.group_by("site", "at", month=pl.col("on").dt.truncate("1mo"))
        .agg(pl.col("energy_mwh").sum())
        .group_by("site", "month")
        .agg(pl.col("energy_mwh").max())
    )
    watt = Decimal("0.001")
    return _Counts(
        revenue={
            (contract, month): Decimal(cents) / 100
            for contract, month, cents in billed.group_by(key).agg(pl.col("net_cents").sum()).iter_rows()
        },
        charged=charged,
        energy={
            (contract, month): Decimal(units) / (1_000_000 * _PRICE_UNIT)
            for contract, month, units in cost.agg(pl.col("cost").sum()).iter_rows()
        },
        peak_kw={
            (site, month): (Decimal(energy) * 4 / 1_000_000).quantize(watt, rounding=ROUND_HALF_UP)
            for site, month, energy in peaks.iter_rows()
        },
    )


@dataclass(slots=True)
class _Days:
    """Days of one contract in one month: its own, those of its ports, those of the site's ports, all of the month."""

    contract: int
    port: int
    site_port: int
    elapsed: int
    month: int


def _days(contract: Row, opened: list[date], month: date, as_of: date) -> _Days:
    begin, until = date.fromisoformat(str(contract["valid_from"])), str(contract["valid_to"])
    elapsed = [month + timedelta(days=n) for n in range((_next(month) - month).days)]
    elapsed = [day for day in elapsed if day <= as_of]
    own = [day for day in elapsed if begin <= day and (not until or day < date.fromisoformat(until))]
    ports = {day: sum(first <= day for first in opened) for day in elapsed}
    return _Days(
        len(own), sum(ports[day] for day in own), sum(ports.values()), len(elapsed), (_next(month) - month).days
    )


def _payout(  # noqa: PLR0913, PLR0917
    contract: Row, month: date, site: int, days: _Days, counts: _Counts, price: Row
) -> Decimal:
    """Return what one statement pays, before taxes."""
    key = (str(contract["contract_id"]), month)
    charged = counts.charged.get(key, [])
    revenue = _cents(counts.revenue.get(key, Decimal(0)))
    fees = (
        _cents(sum((kwh for _, kwh, _ in charged), Decimal(0)) * Decimal(str(contract["operator_fee_per_kwh"])))
        + _cents(sum(number for _, _, number in charged) * Decimal(str(contract["operator_fee_per_session"])))
        + _cents(days.port * Decimal(str(contract["operator_fee_per_port_month"])) / days.month)
    )
    share = Decimal(str(contract["owner_share_ratio"]))
    if contract["share_basis"] == "net_margin":
        roaming = sum(
            (
                kwh * Decimal(provider.fee_per_kwh) + number * Decimal(provider.fee_per_session)
                for emsp, kwh, number in charged
                for provider in EMSPS
                if provider.emsp_id == emsp and provider.currency == contract["currency"]
            ),
            Decimal(0),
        )
        fixed = Decimal(str(price["fixed_fee_per_month"])) * days.elapsed / days.month
        demand = counts.peak_kw.get((site, month), Decimal(0)) * Decimal(str(price["demand_charge_per_kw_month"] or 0))
        margin = revenue - fees - _cents(roaming) - _cents(counts.energy.get(key, Decimal(0)))
        margin -= sum(_cents(cost * days.port / days.site_port) for cost in (fixed, demand))
        payout = _cents(max(margin, Decimal(0)) * share)
    else:
        payout = _cents(revenue * share) - fees
    guarantee = _cents(Decimal(str(contract["minimum_guarantee_per_month"] or 0)) * days.contract / days.month)
    return max(payout, guarantee) if guarantee else payout


def statement_frame(
    plan: Plan, cdrs: pl.DataFrame, sessions: pl.DataFrame, first_days: dict[int, date]
) -> pl.DataFrame:
    """Return every statement: contract_id, owner_id, site_id, local_month, currency, revenue_net and payout_net.

    Args:
        plan: What happens.
        cdrs: CDRs with ``port``, ``energy_wh``, ``net_cents``, ``emsp_id``, ``fault``, ``updated`` and ``local_date``.
        sessions: Sessions with their ``row``, ``port``, ``booked_at`` and ``local_date``.
        first_days: Per site, the first local date of which anything is known.
    """
    net = plan.net
    # The month in progress has fixed amounts up to the last day of which CDRs or sessions tell.
    as_of_at = max(int(frame.max() or net.start_s) for frame in (cdrs["updated"], sessions["booked_at"]))
    counts = _count(plan, cdrs, sessions)
    ports = port_rows(net)
    rows: list[dict[str, object]] = []
    for site, place in enumerate(net.sites):
        zone = ZoneInfo(place.template.time_zone)
        as_of = datetime.fromtimestamp(as_of_at, zone).date()
        price = next(row for row in energy_price_rows(net) if row["site_id"] == place.site_id)
        opened = [
            datetime.fromisoformat(str(ports[port]["commissioned_at"])).astimezone(zone).date()
            for port in np.flatnonzero(net.port_site == site)
        ]
        for contract in contract_rows(net):
            month = first_days[site].replace(day=1)
            while contract["site_id"] == place.site_id and month <= as_of:
                days = _days(contract, opened, month, as_of)
                if days.contract:
                    rows.append(
                        {
                            "contract_id": contract["contract_id"],
                            "owner_id": contract["owner_id"],
                            "site_id": place.site_id,
                            "local_month": month,
                            "currency": contract["currency"],
                            "revenue_net": _cents(
                                counts.revenue.get((str(contract["contract_id"]), month), Decimal(0))
                            ),
                            "payout_net": _payout(contract, month, site, days, counts, price),
                        }
                    )
                month = _next(month)
    return pl.DataFrame(rows).with_columns(pl.col("revenue_net", "payout_net").cast(pl.Decimal(18, 6)))
