"""The ground truth of a simulated network, computed from the plan and never from the messages."""

from pathlib import Path
from tempfile import TemporaryDirectory

import duckdb
import numpy as np
import polars as pl

from pipelines.home import replacing
from pipelines.simulator import outages as kinds
from pipelines.simulator.billing import CREDIT, FAULTS, MARKED_WRONG, NO_SESSION, Cdrs
from pipelines.simulator.network import DAY_S, EMSPS, MODELS, OPERATORS, OWNERS, Network
from pipelines.simulator.outages import Outages
from pipelines.simulator.plan import Plan
from pipelines.simulator.sessions import (
    FAILED,
    NORMAL,
    REFUSED,
    Sessions,
    energy_until,
    sample_interval,
    transaction_started,
)
from pipelines.simulator.statements import statement_frame

STATES = (
    "available",
    "occupied",
    "charging",
    "suspended_ev",
    "suspended_evse",
    "reserved",
    "unavailable",
    "faulted",
    "offline",
    "unknown",
)
AVAILABLE, OCCUPIED, CHARGING, SUSPENDED_EV, SUSPENDED_EVSE, RESERVED, UNAVAILABLE, FAULTED, OFFLINE, UNKNOWN = range(
    10
)
# Columns of a port day: which states each one counts. The first seven share the day out.
DAY_COLUMNS = {
    "available_s": (AVAILABLE, RESERVED),
    "occupied_s": (OCCUPIED, SUSPENDED_EV, SUSPENDED_EVSE),
    "charging_s": (CHARGING,),
    "faulted_s": (FAULTED,),
    "unavailable_s": (UNAVAILABLE,),
    "offline_s": (OFFLINE,),
    "unknown_s": (UNKNOWN,),
    "reserved_s": (RESERVED,),
    "suspended_ev_s": (SUSPENDED_EV,),
    "suspended_evse_s": (SUSPENDED_EVSE,),
}


def error_codes(net: Network, port: np.ndarray, code: np.ndarray) -> pl.Series:
    """Return the error code a fault shows: the model's own in 1.6, none in 2.x."""
    model = net.port_model[port]
    longest = max(len(m.faults) for m in MODELS)
    texts = pl.Series([m.faults[n % len(m.faults)] if m.is_16 else None for m in MODELS for n in range(longest)])
    row = np.where(code < 0, 0, model * longest + np.maximum(code, 0) % longest)
    return texts.gather(pl.Series(row)).set(pl.Series(code < 0), None)


def _ports_of(net: Network, windows: Outages) -> tuple[np.ndarray, np.ndarray]:
    """Return window row and port for every port a window stands for."""
    whole = windows.port < 0
    copies = np.where(whole, net.model_flag("ports")[net.station_model[windows.station]], 1)
    row = np.repeat(np.arange(len(windows)), copies)
    position = np.arange(len(row)) - np.repeat(np.cumsum(copies) - copies, copies)
    return row, np.where(whole, net.station_first_port[windows.station], windows.port)[row] + position


def port_states(net: Network, outages: Outages, sessions: Sessions) -> pl.DataFrame:
    """Return the states of every port: port, state, code, a, b (seconds), gapless from the first status to the end.

    The last interval of a port ends with the log: at the last second anything of its operator was received.
    """
    parts: list[tuple[np.ndarray, np.ndarray, int, np.ndarray | None]] = []
    ports = np.arange(len(net.port_station))
    parts.append((ports, net.station_commissioned_s[net.port_station] + 2, AVAILABLE, None))

    normal = sessions.kind == NORMAL
    marks = (
        (sessions.reserved_at < sessions.plugged_at, sessions.reserved_at, RESERVED),
        (np.ones(len(sessions), dtype=bool), sessions.plugged_at, OCCUPIED),
        (normal & (sessions.waiting_at < sessions.charging_at), sessions.waiting_at, SUSPENDED_EVSE),
        (normal, sessions.charging_at, CHARGING),
        (normal & (sessions.full_at < sessions.ended_at), sessions.full_at, SUSPENDED_EV),
        (normal, sessions.ended_at, OCCUPIED),
        (np.ones(len(sessions), dtype=bool), sessions.unplugged_at, AVAILABLE),
    )
    parts += [(sessions.port[which], at[which], state, None) for which, at, state in marks]

    offline = outages.take(kinds.is_offline(net, outages))
    for windows, state in (
        (offline, OFFLINE),
        (outages.of(kinds.HOLE), UNKNOWN),
        (outages.of(kinds.MAINTENANCE), UNAVAILABLE),
        (outages.of(kinds.FAULT, kinds.BROKEN, kinds.STATION_FAULT), FAULTED),
    ):
        # A late fault silences the whole station, whichever of its ports it is about.
        spread = windows.take(np.arange(len(windows)))
        spread.port = np.where(windows.kind == kinds.LATE_FAULT, -1, windows.port)
        row, port = _ports_of(net, spread)
        parts.append((port, spread.a[row], state, spread.code[row] if state == FAULTED else None))
        parts.append((port, spread.b[row], AVAILABLE, None))
    late = outages.of(kinds.LATE_FAULT)
    parts.append((late.port, late.b, FAULTED, late.code))
    parts.append((late.port, late.cleared_at, AVAILABLE, None))

    port = np.concatenate([part[0] for part in parts])
    at = np.concatenate([part[1] for part in parts])
    state = np.concatenate([np.full(len(part[0]), part[2]) for part in parts])
    code = np.concatenate([np.full(len(part[0]), -1) if part[3] is None else part[3] for part in parts])
    horizon = net.end_s - 1
    inside = at < horizon
    port, at, state, code = port[inside], at[inside], state[inside], code[inside]
    # Of several changes in one second the last one said counts, and they are said in the order of `parts`.
    order = np.lexsort((np.arange(len(port)), at, port))
    port, at, state, code = port[order], at[order], state[order], code[order]
    final = np.concatenate(((np.diff(port) != 0) | (np.diff(at) != 0), [True]))
    port, at, state, code = port[final], at[final], state[final], code[final]
    changes = np.concatenate(([True], (np.diff(port) != 0) | (np.diff(state) != 0) | (np.diff(code) != 0)))
    port, at, state, code = port[changes], at[changes], state[changes], code[changes]
    last = np.concatenate((np.diff(port) != 0, [True]))
    until = np.where(last, horizon, np.concatenate((at[1:], [horizon])))
    return pl.DataFrame({"port": port, "state": state, "code": code, "a": at, "b": until, "is_last": last})


class LocalDays:
    """Local dates and midnights of the network's sites, looked up by zone."""

    def __init__(self, net: Network) -> None:
        """Tabulate every local midnight of the period, and a few around it."""
        zones = sorted({site.template.time_zone for site in net.sites})
        self._zone_of_site = np.array([zones.index(site.template.time_zone) for site in net.sites])
        self._first = net.start_s // DAY_S - 2
        days = np.arange(self._first, net.end_s // DAY_S + 4)
        walls = pl.Series(days * DAY_S * 1000).cast(pl.Datetime("ms"))
        self._midnights = np.stack(
            [walls.dt.replace_time_zone(zone, ambiguous="earliest").dt.epoch("ms").to_numpy() // 1000 for zone in zones]
        )

    def day(self, site: np.ndarray, at: np.ndarray) -> np.ndarray:
        """Return the local day (days since 1970) of instants at sites."""
        zone = self._zone_of_site[site]
        guess = np.clip(at // DAY_S - self._first, 1, self._midnights.shape[1] - 2)
        below = self._midnights[zone, guess] > at
        above = self._midnights[zone, guess + 1] <= at
        return guess - below + above + self._first

    def midnight(self, site: np.ndarray, day: np.ndarray) -> np.ndarray:
        """Return the instant at which a local day begins at a site."""
        return self._midnights[self._zone_of_site[site], day - self._first]


def _split_days(net: Network, days: LocalDays, states: pl.DataFrame) -> pl.DataFrame:
    """Cut state intervals at local midnight: port, day, state, seconds."""
    port, a, b = (states[name].to_numpy() for name in ("port", "a", "b"))
    site = net.port_site[port]
    first, last = days.day(site, a), days.day(site, b - 1)
    copies = last - first + 1
    row = np.repeat(np.arange(len(port)), copies)
    day = first[row] + np.arange(len(row)) - np.repeat(np.cumsum(copies) - copies, copies)
    begin = np.maximum(a[row], days.midnight(site[row], day))
    end = np.minimum(b[row], days.midnight(site[row], day + 1))
    return pl.DataFrame({"port": port[row], "day": day, "state": states["state"].to_numpy()[row], "s": end - begin})


def _session_frame(plan: Plan) -> pl.DataFrame:
    """Return one row per transaction: what a reader of the log can know of it."""
    net, sessions = plan.net, plan.sessions
    runs = np.flatnonzero(sessions.kind != REFUSED)
    picked = sessions.take(runs)
    last_s = net.end_s - 1
    started = transaction_started(net, picked)
    complete = picked.ended_at < last_s
    interval = sample_interval(net, picked.port)
    samples = np.maximum(0, (last_s - picked.charging_at) // interval)
    sampled_at = np.where(samples > 0, picked.charging_at + samples * interval, 0)
    row = np.arange(len(picked))
    open_energy = np.where(samples > 0, energy_until(net, picked, row, np.maximum(sampled_at, picked.charging_at)), 0)
    is_2 = ~net.model_flag("is_16")[net.port_model[picked.port]]
    idled_at = np.where(picked.full_at < last_s, picked.full_at, 0)
    heard = np.maximum(np.where(is_2, np.maximum(picked.charging_at, idled_at), picked.started_at), sampled_at)
    return pl.DataFrame(
        {
            "row": runs,
            "port": picked.port,
            "transaction_id": plan.transactions.gather(pl.Series(runs)),
            "started": started,
            "ended": picked.ended_at,
            "booked_at": np.where(complete, picked.ended_at, heard),
            "energy_wh": np.where(complete, picked.energy_wh, open_energy),
            "is_complete": complete,
            "is_failed": picked.kind == FAILED,
        }
    )


def _cdr_frame(plan: Plan, cdrs: Cdrs) -> pl.DataFrame:
    source = plan.sessions.take(cdrs.session)
    emsp = plan.drivers.emsp_of(source)
    emsps = pl.Series([e.emsp_id for e in EMSPS])
    ids = cdrs.ids()
    phantom = cdrs.fault == NO_SESSION
    net_only = np.array([operator.ocpi_version == "2.1.1" for operator in OPERATORS])
    return pl.DataFrame(
        {
            "row": np.arange(len(cdrs)),
            "peer": pl.Series([o.peer for o in OPERATORS]).gather(pl.Series(cdrs.operator)),
            "cdr_id": ids,
            "port": source.port,
            "emsp_id": emsps.gather(pl.Series(np.maximum(emsp, 0))).set(pl.Series(emsp < 0), None),
            "transaction_id": plan.transactions.gather(pl.Series(cdrs.session)).set(pl.Series(phantom), None),
            "started": cdrs.started_at,
            "ended": cdrs.ended_at,
            "updated": cdrs.updated_at,
            # A credit takes its energy back, whatever its total_energy says.
            "energy_wh": np.where(cdrs.fault == CREDIT, -cdrs.energy_wh, cdrs.energy_wh),
            "net_cents": cdrs.net_cents,
            # 2.1.1 tells no amount after taxes.
            "gross_cents": pl.Series(cdrs.gross_cents).set(pl.Series(net_only[cdrs.operator]), None),
            # A copy keeps the amounts of its original, whose hour may have had another price.
            "right_net_cents": pl.Series(cdrs.right_net_cents).set(pl.Series(phantom), None),
            "is_credit": cdrs.fault == CREDIT,
            "credited_cdr_id": ids.gather(pl.Series(np.maximum(cdrs.credited, 0))).set(
                pl.Series(cdrs.credited < 0), None
            ),
            "is_marked_wrong": np.isin(cdrs.fault, MARKED_WRONG),
            "what": pl.Series(FAULTS).gather(pl.Series(cdrs.fault)).replace("", None),
        }
    )


_MACROS = """
create macro instant(seconds) as make_timestamptz(cast(seconds as bigint) * 1000000);
create macro local_date(day) as cast(make_timestamp(cast(day as bigint) * 86400000000) as date);
create macro kwh(wh) as cast(cast(wh as bigint) * 0.001::decimal(4, 3) as decimal(18, 6));
create macro money(cents) as cast(cast(cents as bigint) * 0.01::decimal(3, 2) as decimal(18, 6));
"""

_SECONDS_OF_STATES = ",\n".join(
    f"cast(coalesce(sum(s) filter (where state in ({', '.join(map(str, members))})), 0) as bigint) as {name}"
    for name, members in DAY_COLUMNS.items()
)
_SECONDS = ", ".join(f"coalesce({name}, 0) as {name}" for name in DAY_COLUMNS)

_QUERIES = {
    "port_state": """
        select
            port_id, state_name as state, instant(a) as started_at,
            case when not is_last then instant(b) end as ended_at,
            cast(b - a as bigint) as duration_s, error_code
        from states join ports using (port)
        order by port_id, a
    """,
    "port_day": f"""
        with spent as (
            select port, day, cast(sum(s) as bigint) as period_s, {_SECONDS_OF_STATES} from split group by port, day
        ),
        charged as (
            select port, day, count(*) as session_count, sum(energy_wh) as energy_wh from sessions group by port, day
        ),
        billed as (select port, day, sum(net_cents) as net_cents from cdrs group by port, day),
        days as (
            select port, day from spent union select port, day from charged union select port, day from billed
        )
        select
            port_id, site_id, owner_id, local_date(day) as local_date, coalesce(period_s, 0) as period_s, {_SECONDS},
            coalesce(session_count, 0) as session_count, kwh(coalesce(energy_wh, 0)) as energy_kwh,
            money(coalesce(net_cents, 0)) as revenue_net, currency
        from days
        left join spent using (port, day)
        left join charged using (port, day)
        left join billed using (port, day)
        join ports using (port)
        order by port_id, local_date
    """,
    "session": """
        with billed as (
            select session, cdr_id from cdrs where not is_credit and what is distinct from 'no_session'
        )
        select
            station_id, port_id, site_id, transaction_id, instant(started) as started_at,
            case when is_complete then instant(ended) end as ended_at, kwh(energy_wh) as energy_kwh, is_complete,
            is_failed, local_date(day) as local_date, cdr_id
        from sessions join ports using (port) left join billed on billed.session = sessions.row
        order by station_id, started_at, transaction_id
    """,
    "cdr": """
        select
            peer, cdr_id, site_id, station_id, port_id, owner_id, emsp_id, transaction_id,
            instant(started) as started_at,
            instant(ended) as ended_at, instant(updated) as last_updated_at, local_date(day) as local_date,
            kwh(energy_wh) as energy_kwh, money(net_cents) as net, money(gross_cents) as gross,
            money(right_net_cents) as repriced_net, currency, is_credit, credited_cdr_id, is_marked_wrong, what
        from cdrs join ports using (port)
        order by peer, cdr_id
    """,
    "site_month": """
        with parts as (
            select site_id, currency, day, 1 as session_count, energy_wh, 0 as net_cents
            from sessions join ports using (port)
            union all
            select site_id, currency, day, 0, 0, net_cents from cdrs join ports using (port)
            union all
            -- A month in which a site was watched is a month, even if nobody came.
            select distinct site_id, currency, day, 0, 0, 0 from split join ports using (port)
        )
        select
            site_id, cast(date_trunc('month', local_date(day)) as date) as local_month, currency,
            cast(sum(session_count) as bigint) as session_count, kwh(sum(energy_wh)) as energy_kwh,
            money(sum(net_cents)) as revenue_net
        from parts
        group by all
        order by site_id, local_month
    """,
    "uptime": f"""
        select
            port_id, cast(coalesce(sum(b - a) filter (where state <= {RESERVED}), 0) as bigint) as up_s,
            cast(coalesce(sum(b - a) filter (where state between {UNAVAILABLE} and {OFFLINE}), 0) as bigint) as down_s,
            cast(coalesce(sum(b - a) filter (where state = {UNKNOWN}), 0) as bigint) as unknown_s
        from states join ports using (port)
        group by port_id
        order by port_id
    """,
}


def _statements(
    plan: Plan, cdrs: Cdrs, cdr_frame: pl.DataFrame, session_frame: pl.DataFrame, split: pl.DataFrame
) -> pl.DataFrame:
    """Return what every statement pays."""
    date = pl.col("day").cast(pl.Int32).cast(pl.Date)
    first = split.group_by(pl.lit(pl.Series(plan.net.port_site)).gather(pl.col("port")).alias("site")).agg(date.min())
    return statement_frame(
        plan,
        cdr_frame.with_columns(local_date=date, fault=pl.Series(cdrs.fault)),
        session_frame.with_columns(local_date=date),
        dict(first.iter_rows()),
    )


def _quoted(path: Path) -> str:
    text = str(path).replace("'", "''")
    return f"'{text}'"


def write_truth(plan: Plan, cdrs: Cdrs, folder: Path) -> list[Path]:
    """Write what is true of the network, as Parquet files.

    A session, its energy and a CDR's revenue belong to the site's local day and month of their end; a session that
    still runs belongs to its last sample or transaction event.

    Args:
        plan: What happens.
        cdrs: The CDRs.
        folder: ``HOME/truth``.
    """
    net = plan.net
    days = LocalDays(net)
    states = port_states(net, plan.outages, plan.sessions)
    site_of_port = net.port_site
    session_frame = _session_frame(plan)
    session_frame = session_frame.with_columns(
        day=days.day(site_of_port[session_frame["port"].to_numpy()], session_frame["booked_at"].to_numpy())
    )
    cdr_frame = _cdr_frame(plan, cdrs)
    cdr_frame = cdr_frame.with_columns(
        day=days.day(site_of_port[cdr_frame["port"].to_numpy()], cdr_frame["ended"].to_numpy())
    )
    ports = pl.DataFrame(
        {
            "port": np.arange(len(net.port_station)),
            "port_id": net.port_ids(),
            "station_id": [net.station_ids[station] for station in net.port_station.tolist()],
            "site_id": [net.sites[site].site_id for site in site_of_port.tolist()],
            "owner_id": [OWNERS[net.sites[site].template.owner].owner_id for site in site_of_port.tolist()],
            "currency": [net.sites[site].template.currency for site in site_of_port.tolist()],
        }
    )
    states = states.with_columns(
        state_name=pl.Series(STATES).gather(states["state"]),
        error_code=error_codes(net, states["port"].to_numpy(), states["code"].to_numpy()),
    )
    split = _split_days(net, days, states)
    statements = _statements(plan, cdrs, cdr_frame, session_frame, split)
    cdr_frame = cdr_frame.with_columns(session=pl.Series(cdrs.session))
    files = []
    # Through files: handing frames over in memory makes DuckDB import pandas, which takes longer than all of this.
    with duckdb.connect() as con, TemporaryDirectory() as scratch:
        con.execute("set timezone = 'UTC'")
        con.execute(_MACROS)
        tables = {"ports": ports, "states": states, "split": split, "sessions": session_frame, "cdrs": cdr_frame}
        for name, frame in tables.items():
            path = Path(scratch) / f"{name}.parquet"
            frame.write_parquet(path)
            con.execute(f"create view {name} as from read_parquet({_quoted(path)})")
        for name, query in _QUERIES.items():
            path = folder / f"{name}.parquet"
            with replacing(path) as temporary:
                con.execute(f"copy ({query}) to {_quoted(temporary)} (format parquet, compression zstd)")
            files.append(path)
    path = folder / "statement.parquet"
    with replacing(path) as temporary:
        statements.write_parquet(temporary)
    return [*files, path]
