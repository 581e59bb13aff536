"""The OCPI objects that the peers deliver: one peer speaks 2.1.1, one 2.2.1 and one 2.3.0.

CDRs and sessions are made a column at a time; tariffs, locations and tokens are few. The peers wrap their files in
different ways: an array, one object a line, and a whole OCPI response.
"""

import gzip
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from pipelines.home import replacing
from pipelines.simulator.billing import DUPLICATE, NO_SESSION, TARIFFS, UNIT, Cdrs, after_tax, tariff_of, version_begins
from pipelines.simulator.network import DAY_S, EMSPS, OPERATORS
from pipelines.simulator.ocpi_shapes import cdr_places, evse_uid, iso, location_objects, tariff_object
from pipelines.simulator.plan import Plan
from pipelines.simulator.sessions import NORMAL, energy_until, sample_interval, transaction_started
from pipelines.simulator.text import Piece, chosen, decimal, joined, looked_up, number, stamp, thousandths

SESSION_DAYS = 31  # the Sessions module keeps that many days
_PLACES = 4  # decimals of partial costs


def _hours(seconds: np.ndarray) -> pl.Series:
    """Return seconds as hours with six decimals: whole seconds can be told from them."""
    return decimal((seconds * 1_000_000 * 2 + 3600) // 7200, 6)


def _price(size: np.ndarray, vat: np.ndarray, ocpi_version: str, places: int) -> tuple[Piece, ...]:
    """Return the pieces of a Price before and after tax.

    Args:
        size: Net amounts in units of their last decimal.
        vat: VAT in percent.
        ocpi_version: Whose shape.
        places: Decimals.
    """
    net = decimal(size, places)
    gross = after_tax(size, vat)
    if ocpi_version == "2.1.1":
        return (net,)
    if ocpi_version == "2.2.1":
        return ('{"excl_vat":', net, ',"incl_vat":', decimal(gross, places), "}")
    taxes = ',"taxes":[{"name":"VAT","percentage":'
    return ('{"before_taxes":', net, taxes, number(vat), ',"amount":', decimal(gross - size, places), "}]}")


def _charging_periods(cdrs: Cdrs, rows: np.ndarray, ocpi_version: str) -> pl.Series:
    """Return the charging_periods arrays: energy and time until charging ends, then parking."""
    wanted = pl.DataFrame({"cdr": rows, "place": np.arange(len(rows))})
    periods = cdrs.splits.join(wanted, on="cdr", how="inner").sort("place", "at")
    cdr, at = periods["cdr"].to_numpy(), periods["at"].to_numpy()
    last = np.concatenate((cdr[1:] != cdr[:-1], [True]))
    until = np.where(last, cdrs.full_at[cdr], np.concatenate((at[1:], [0])))
    tariffs = pl.Series([tariff.tariff_id for tariff in TARIFFS])

    def tail(index: np.ndarray) -> tuple[Piece, ...]:
        # 2.1.1 periods name no tariff.
        return ("}",) if ocpi_version == "2.1.1" else (',"tariff_id":"', looked_up(tariffs, cdrs.tariff[index]), '"}')

    charging = joined(
        '{"start_date_time":"',
        stamp(at),
        '","dimensions":[{"type":"ENERGY","volume":',
        thousandths(periods["energy_wh"].to_numpy()),
        '},{"type":"TIME","volume":',
        _hours(until - at),
        "}]",
        *tail(cdr),
    )
    parts = [pl.DataFrame({"cdr": cdr, "at": at, "text": charging})]
    parks = rows[cdrs.full_at[rows] < cdrs.ended_at[rows]]
    if len(parks):
        parking = joined(
            '{"start_date_time":"',
            stamp(cdrs.full_at[parks]),
            '","dimensions":[{"type":"PARKING_TIME","volume":',
            _hours(cdrs.ended_at[parks] - cdrs.full_at[parks]),
            "}]",
            *tail(parks),
        )
        parts.append(pl.DataFrame({"cdr": parks, "at": cdrs.full_at[parks], "text": parking}))
    together = pl.concat(parts).sort("cdr", "at", maintain_order=True)
    arrays = together.group_by("cdr", maintain_order=True).agg(pl.col("text").str.join(","))
    return wanted.join(arrays, on="cdr", how="left", maintain_order="left")["text"]


def _cdr_head(plan: Plan, cdrs: Cdrs, rows: np.ndarray, operator: int) -> list[Piece]:
    """Return the pieces of CDRs up to their place: identity, times, token."""
    source = plan.sessions.take(cdrs.session[rows])
    ids = cdrs.ids().gather(pl.Series(rows))
    started, ended = stamp(cdrs.started_at[rows]), stamp(cdrs.ended_at[rows])
    place = looked_up(cdr_places(plan.net), source.connector)
    if OPERATORS[operator].ocpi_version == "2.1.1":
        head = ['{"id":"', ids, '","start_date_time":"', started, '","stop_date_time":"', ended, '","auth_id":"']
        meters = number(source.port).str.zfill(6)
        tail = ['","auth_method":"WHITELIST",', place, ',"meter_id":"M', meters, '"']
        return [*head, plan.drivers.tags(source), *tail]
    party = OPERATORS[operator]
    transactions = plan.transactions.gather(pl.Series(cdrs.session[rows]))
    sessions = chosen(cdrs.fault[rows] == NO_SESSION, ("X-", ids), (transactions,))
    head = [f'{{"country_code":"{party.country}","party_id":"{party.party}","id":"', ids]
    times = ['","start_date_time":"', started, '","end_date_time":"', ended, '","session_id":"', sessions]
    return [*head, *times, '","cdr_token":', plan.drivers.cdr_tokens(source), ',"auth_method":"AUTH_REQUEST",', place]


def _cdr_objects(plan: Plan, cdrs: Cdrs, rows: np.ndarray, operator: int) -> pl.Series:
    """Return CDRs of an operator, in the shape of its OCPI version."""
    version = OPERATORS[operator].ocpi_version
    tariffs, versions = cdrs.tariff[rows], cdrs.version[rows]
    vat = np.array([tariff.vat or 0 for tariff in TARIFFS])[tariffs]
    is_credit = cdrs.credited[rows] >= 0

    def part(name: str, units: np.ndarray) -> tuple[Piece, ...]:
        size = np.where(is_credit, -1, 1) * ((units[rows] * 2 * 10**_PLACES + UNIT) // (2 * UNIT))
        return f',"{name}":', *_price(size, vat, version, _PLACES)

    pieces = _cdr_head(plan, cdrs, rows, operator)
    pieces += [',"currency":"', looked_up(pl.Series([tariff.currency for tariff in TARIFFS]), tariffs), '"']
    if version != "2.3.0":  # that peer leaves the tariff to the Tariffs module
        shapes = [tariff_object(tariff, plan.net, number_) for tariff in TARIFFS for number_ in range(3)]
        pieces += [',"tariffs":[', looked_up(_dumped(shapes), tariffs * 3 + versions), "]"]
    pieces += [',"charging_periods":[', _charging_periods(cdrs, rows, version), "]"]
    pieces += [',"total_cost":', *_price(cdrs.net_cents[rows], vat, version, 2)]
    if version != "2.1.1":
        pieces += part("total_fixed_cost", cdrs.flat_cost)
        pieces += part("total_energy_cost", cdrs.energy_cost)
        pieces += part("total_time_cost", cdrs.time_cost)
        pieces += part("total_parking_cost", cdrs.parking_cost)
    pieces += [',"total_energy":', thousandths(cdrs.energy_wh[rows])]
    pieces += [',"total_time":', _hours((cdrs.ended_at - cdrs.started_at)[rows])]
    pieces += [',"total_parking_time":', _hours((cdrs.ended_at - cdrs.full_at)[rows])]
    if is_credit.any():
        original = cdrs.ids().gather(pl.Series(np.maximum(cdrs.credited[rows], 0)))
        pieces.append(chosen(is_credit, (',"credit":true,"credit_reference_id":"', original, '"'), ("",)))
    return joined(*pieces, ',"last_updated":"', stamp(cdrs.updated_at[rows]), '"}')


def _session_objects(plan: Plan, operator: int) -> pl.Series:
    """Return the Session objects (2.2.1, 2.3.0) of the last days, those that still run included."""
    net, end = plan.net, plan.net.end_s
    own = net.port_operator[plan.sessions.port] == operator
    recent = plan.sessions.ended_at > end - SESSION_DAYS * DAY_S
    rows = np.flatnonzero(own & recent & (plan.sessions.kind == NORMAL))
    if len(rows) == 0:
        return pl.Series([], dtype=pl.String)
    s = plan.sessions.take(rows)
    started = transaction_started(net, s)
    runs = s.ended_at >= end - 1
    interval = sample_interval(net, s.port)
    seen = np.where(runs, s.charging_at + (end - 2 - s.charging_at) // interval * interval, s.ended_at)
    energy = energy_until(net, s, np.arange(len(s)), seen)
    party = OPERATORS[operator]
    sites = [net.sites[site] for site in net.port_site.tolist()]
    uids = pl.Series([evse_uid(net, port) for port in range(len(net.port_station))])
    pieces: list[Piece] = [f'{{"country_code":"{party.country}","party_id":"{party.party}","id":"']
    pieces += [plan.transactions.gather(pl.Series(rows)), '","start_date_time":"', stamp(started), '"']
    pieces += [chosen(runs, ("",), (',"end_date_time":"', stamp(s.ended_at), '"'))]
    pieces += [',"kwh":', thousandths(energy), ',"cdr_token":', plan.drivers.cdr_tokens(s)]
    pieces += [',"auth_method":"AUTH_REQUEST","location_id":"']
    pieces += [looked_up(pl.Series([site.location_id for site in sites]), s.port)]
    pieces += ['","evse_uid":"', looked_up(uids, s.port), '","connector_id":"']
    pieces += [number(s.connector - net.port_first_connector[s.port] + 1), '","currency":"']
    pieces += [looked_up(pl.Series([site.template.currency for site in sites]), s.port), '","status":"']
    pieces += [looked_up(pl.Series(["COMPLETED", "ACTIVE"]), runs.astype(np.int64))]
    return joined(*pieces, '","last_updated":"', stamp(np.maximum(seen, started)), '"}')


def _write(path: Path, objects: pl.Series, form: str, sent_at: int) -> Path:
    """Write objects as an ``array``, as ``lines``, or as a whole OCPI ``response``."""
    texts = objects.to_list()
    if form == "lines":
        text = "".join(f"{line}\n" for line in texts)
    elif form == "array":
        text = "[\n" + ",\n".join(texts) + "\n]\n"
    else:
        text = (
            '{"data":['
            + ",\n".join(texts)
            + f'],"status_code":1000,"status_message":"Success","timestamp":"{iso(sent_at)}"}}\n'
        )
    with replacing(path) as temporary:
        if path.suffix == ".gz":
            with (
                temporary.open("wb") as file,
                gzip.GzipFile(filename="", mode="wb", compresslevel=6, fileobj=file, mtime=0) as packed,
            ):
                packed.write(text.encode())
        else:
            temporary.write_text(text, encoding="utf-8")
    return path


# How each OCPI version's peer wraps its lists, and the suffix of its files.
_FORMS = {"2.2.1": ("array", ".json"), "2.3.0": ("lines", ".jsonl.gz"), "2.1.1": ("response", ".json")}


def _dumped(objects: list[dict[str, Any]]) -> pl.Series:
    texts = [json.dumps(thing, separators=(",", ":"), ensure_ascii=False) for thing in objects]
    return pl.Series(texts, dtype=pl.String)


def _write_cdrs(plan: Plan, cdrs: Cdrs, operator: int, folder: Path) -> list[Path]:
    """Write an operator's CDRs, a file per month of last_updated, and once more those it sends twice."""
    form, suffix = _FORMS[OPERATORS[operator].ocpi_version]
    rows = np.flatnonzero(cdrs.operator == operator)
    if len(rows) == 0:
        return []
    objects = _cdr_objects(plan, cdrs, rows, operator)
    updated = cdrs.updated_at[rows]
    months = pl.Series(updated * 1000).cast(pl.Datetime("ms", "UTC")).dt.strftime("%Y-%m")
    order = np.argsort(updated, kind="stable")
    files = []
    for month in sorted(set(months.to_list())):
        own = order[(months == month).to_numpy()[order]]
        sent_at = int(updated[own].max()) + 60
        files.append(_write(folder / f"cdrs-{month}{suffix}", objects.gather(pl.Series(own)), form, sent_at))
    again = np.flatnonzero(cdrs.fault[rows] == DUPLICATE)
    if len(again):
        files.append(_write(folder / f"resent{suffix}", objects.gather(pl.Series(again)), form, plan.net.end_s))
    return files


def write_objects(plan: Plan, cdrs: Cdrs, landing: Path) -> list[Path]:
    """Write the OCPI objects of every peer.

    Args:
        plan: What happens.
        cdrs: The CDRs.
        landing: ``HOME/landing``.
    """
    net = plan.net
    files = []
    root = landing / "ocpi"
    for operator in net.operators:
        peer, ocpi_version = OPERATORS[operator].peer, OPERATORS[operator].ocpi_version
        form, suffix = _FORMS[ocpi_version]
        files += _write_cdrs(plan, cdrs, operator, root / "cdrs" / peer)
        used = sorted({int(tariff) for tariff in tariff_of(net, np.flatnonzero(net.port_operator == operator))})
        for version, begin in enumerate(version_begins(net).tolist()):
            tariffs = _dumped([tariff_object(TARIFFS[tariff], net, version) for tariff in used])
            name = f"tariffs-{datetime.fromtimestamp(begin, UTC):%Y-%m-%d}{suffix}"
            files.append(_write(root / "tariffs" / peer / name, tariffs, form, begin))
        locations = _dumped(location_objects(net, plan.outages, operator))
        files.append(_write(root / "locations" / peer / f"locations{suffix}", locations, form, net.end_s))
        sessions = _session_objects(plan, operator) if ocpi_version != "2.1.1" else []
        if len(sessions):
            files.append(_write(root / "sessions" / peer / f"sessions{suffix}", sessions, form, net.end_s))
    for emsp, provider in enumerate(EMSPS):
        tokens = plan.drivers.token_objects(emsp, iso(net.start_s - 20 * DAY_S))
        files.append(_write(root / "tokens" / provider.emsp_id / "tokens.jsonl", tokens, "lines", net.start_s))
    return files
