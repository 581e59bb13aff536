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
from pipelines.simulator.billing import (
    DUPLICATE,
    NO_SESSION,
    PRICE_UNIT,
    TARIFFS,
    UNIT,
    Cdrs,
    Tariff,
    price,
    tariff_of,
    version_begins,
)
from pipelines.simulator.drivers import Drivers
from pipelines.simulator.network import DAY_S, EMSPS, MODELS, OPERATORS, OWNERS, Network
from pipelines.simulator.outages import BROKEN, DEAD, Outages
from pipelines.simulator.sessions import NORMAL, Sessions, energy_until, sample_interval, transaction_started
from pipelines.simulator.text import Piece, decimal, joined, looked_up, number, stamp, thousandths

SESSION_DAYS = 31  # the Sessions module keeps that many days
_PLACES = 4  # decimals of partial costs

# Connector power by station power: volts, amperes, OCPI power type.
_ELECTRICITY = {
    7: (230, 32, "AC_1_PHASE"),
    11: (400, 16, "AC_3_PHASE"),
    22: (400, 32, "AC_3_PHASE"),
    150: (500, 300, "DC"),
    180: (920, 250, "DC"),
    300: (920, 500, "DC"),
}


def iso(at: int) -> str:
    """Return UTC seconds as an OCPI DateTime."""
    return f"{datetime.fromtimestamp(at, UTC):%Y-%m-%dT%H:%M:%SZ}"


def _money(ten_thousandths: int) -> float:
    """Return a price as the JSON number it is; ten-thousandths are exact in the shortest float text."""
    return ten_thousandths / PRICE_UNIT


def evse_uid(net: Network, port: int) -> str:
    """Return the OCPI evse_uid of a port."""
    return f"EVSE-{net.station_ids[int(net.port_station[port])]}-{int(net.port_number[port])}"


def evse_id(net: Network, port: int) -> str:
    """Return the eMI3 id of a port."""
    site = net.sites[int(net.port_site[port])].template
    name = net.station_ids[int(net.port_station[port])].replace("-", "")
    return f"{site.country}*{OPERATORS[site.operator].party}*E{name}*{int(net.port_number[port])}"


def tariff_object(tariff: Tariff, net: Network, version: int) -> dict[str, Any]:
    """Return one version of a tariff in the shape of its operator's OCPI version."""
    operator = OPERATORS[tariff.operator]
    begins = version_begins(net).tolist()

    def component(type_: str, dimension: str, step: int) -> dict[str, Any]:
        shape: dict[str, Any] = {"type": type_, "price": _money(price(tariff, dimension, version)), "step_size": step}
        if tariff.vat is not None:
            shape["vat"] = tariff.vat
        return shape

    elements: list[dict[str, Any]] = []
    if tariff.night is not None:
        night = {"start_time": "22:00", "end_time": "06:00"}
        elements.append({"price_components": [component("ENERGY", "night", 1)], "restrictions": night})
    parts = [component("ENERGY", "energy", tariff.energy_step_wh)]
    parts += [component("FLAT", "flat", 1)] if tariff.flat else []
    parts += [component("TIME", "time", 60)] if tariff.time else []
    parts += [component("PARKING_TIME", "parking", 60)] if tariff.parking else []
    elements.append({"price_components": parts})

    shape = {} if operator.ocpi_version == "2.1.1" else {"country_code": operator.country, "party_id": operator.party}
    shape |= {"id": tariff.tariff_id, "currency": tariff.currency}
    if operator.ocpi_version != "2.1.1":
        shape["type"] = "REGULAR"
    if operator.ocpi_version == "2.3.0":
        shape["tax_included"] = "NO"
    shape["elements"] = elements
    if operator.ocpi_version != "2.1.1":
        shape["start_date_time"] = iso(begins[version])
        if version + 1 < len(begins):
            shape["end_date_time"] = iso(begins[version + 1])
    return shape | {"last_updated": iso(begins[version] - 14 * DAY_S)}


def _connector_object(net: Network, connector: int, ocpi_version: str) -> dict[str, Any]:
    port = int(net.connector_port[connector])
    model = MODELS[int(net.port_model[port])]
    place = connector - int(net.port_first_connector[port])
    volts, amperes, power_type = _ELECTRICITY[model.max_kw]
    tariff = TARIFFS[int(tariff_of(net, np.array([port]))[0])].tariff_id
    shape: dict[str, Any] = {
        "id": str(place + 1),
        "standard": model.standards[place],
        "format": "CABLE" if model.power_type == "DC" else "SOCKET",
        "power_type": power_type,
    }
    if ocpi_version == "2.1.1":
        shape |= {"voltage": volts, "amperage": amperes, "tariff_id": tariff}
    else:
        shape |= {
            "max_voltage": volts,
            "max_amperage": amperes,
            "max_electric_power": model.max_kw * 1000,
            "tariff_ids": [tariff],
        }
    return shape | {"last_updated": iso(net.start_s - 30 * DAY_S)}


def _location_head(net: Network, site: int) -> dict[str, Any]:
    place = net.sites[site].template
    operator = OPERATORS[place.operator]
    head: dict[str, Any] = {}
    if operator.ocpi_version != "2.1.1":
        head |= {"country_code": operator.country, "party_id": operator.party}
    head["id"] = net.sites[site].location_id
    head |= (
        {"type": "PARKING_LOT"}
        if operator.ocpi_version == "2.1.1"
        else {"publish": True, "parking_type": "PARKING_LOT"}
    )
    return head | {
        "name": net.sites[site].name,
        "address": f"{place.city} Charging Street {site + 1}",
        "city": place.city,
        "postal_code": place.postal_code,
        "country": place.country3,
        "coordinates": {"latitude": place.latitude, "longitude": place.longitude},
        "operator": {"name": operator.name},
        "owner": {"name": OWNERS[place.owner].name},
        "time_zone": place.time_zone,
    }


def _evse_object(net: Network, port: int, status: str, ocpi_version: str) -> dict[str, Any]:
    first = int(net.port_first_connector[port])
    count = MODELS[int(net.port_model[port])].connectors
    return {
        "uid": evse_uid(net, port),
        "evse_id": evse_id(net, port),
        "status": status,
        "connectors": [_connector_object(net, first + place, ocpi_version) for place in range(count)],
        "last_updated": iso(net.end_s - 1),
    }


def _location_objects(net: Network, outages: Outages, operator: int) -> list[dict[str, Any]]:
    version = OPERATORS[operator].ocpi_version
    broken = set(outages.of(BROKEN).port.tolist())
    dead = set(outages.of(DEAD).station.tolist())
    ports_at: dict[int, list[int]] = {}
    for port, site in enumerate(net.port_site.tolist()):
        ports_at.setdefault(site, []).append(port)

    def status(port: int) -> str:
        return "OUTOFORDER" if port in broken else "UNKNOWN" if int(net.port_station[port]) in dead else "AVAILABLE"

    return [
        _location_head(net, site)
        | {"evses": [_evse_object(net, p, status(p), version) for p in ports], "last_updated": iso(net.end_s - 1)}
        for site, ports in sorted(ports_at.items())
        if net.sites[site].template.operator == operator
    ]


def _cdr_places(net: Network) -> pl.Series:
    """Return what a CDR says about the place, per connector: cdr_location, or a whole Location in 2.1.1."""
    places = []
    heads = [_location_head(net, site) for site in range(len(net.sites))]
    for connector, port in enumerate(net.connector_port.tolist()):
        site = int(net.port_site[port])
        template = net.sites[site].template
        version = OPERATORS[template.operator].ocpi_version
        link = _connector_object(net, connector, version)
        head = heads[site]
        if version == "2.1.1":
            evse = _evse_object(net, port, "CHARGING", version)
            evse["connectors"] = [link]
            shape = head | {"evses": [evse], "last_updated": iso(net.start_s)}
            places.append(f'"location":{json.dumps(shape, separators=(",", ":"))}')
            continue
        kept = {key: head[key] for key in ("id", "name", "address", "city", "postal_code", "country", "coordinates")}
        shape = kept | {
            "evse_uid": evse_uid(net, port),
            "evse_id": evse_id(net, port),
            "connector_id": link["id"],
            "connector_standard": link["standard"],
            "connector_format": link["format"],
            "connector_power_type": link["power_type"],
        }
        places.append(f'"cdr_location":{json.dumps(shape, separators=(",", ":"))}')
    return pl.Series(places)


def _hours(seconds: np.ndarray) -> pl.Series:
    """Return seconds as hours with six decimals: whole seconds can be told from them."""
    return decimal((seconds * 1_000_000 * 2 + 3600) // 7200, 6)


def _price(
    net_value: pl.Series, net_size: np.ndarray, vat: np.ndarray, ocpi_version: str, places: int
) -> tuple[Piece, ...]:
    """Return the pieces of a Price; ``net_size`` is the value in units of its last decimal."""
    gross = np.sign(net_size) * ((np.abs(net_size) * (100 + vat) * 2 + 100) // 200)
    if ocpi_version == "2.1.1":
        return (net_value,)
    if ocpi_version == "2.2.1":
        return ('{"excl_vat":', net_value, ',"incl_vat":', decimal(gross, places), "}")
    tax = decimal(gross - net_size, places)
    return (
        '{"before_taxes":',
        net_value,
        ',"taxes":[{"name":"VAT","percentage":',
        number(vat),
        ',"amount":',
        tax,
        "}]}",
    )


def _charging_periods(cdrs: Cdrs, rows: np.ndarray, ocpi_version: str, tariffs: pl.Series) -> pl.Series:
    """Return the charging_periods arrays: energy and time until charging ends, then parking."""
    wanted = pl.DataFrame({"cdr": rows, "place": np.arange(len(rows))})
    periods = cdrs.splits.join(wanted, on="cdr", how="inner").sort("place", "at")
    cdr = periods["cdr"].to_numpy()
    at = periods["at"].to_numpy()
    last = np.concatenate((cdr[1:] != cdr[:-1], [True]))
    until = np.where(last, cdrs.full_at[cdr], np.concatenate((at[1:], [0])))
    has_tariff = ocpi_version != "2.1.1"

    def tail(index: np.ndarray) -> tuple[Piece, ...]:
        return (',"tariff_id":"', looked_up(tariffs, cdrs.tariff[index]), '"}') if has_tariff else ("}",)

    charging = joined(
        '{"start_date_time":"', stamp(at), '","dimensions":[{"type":"ENERGY","volume":',
        thousandths(periods["energy_wh"].to_numpy()), '},{"type":"TIME","volume":', _hours(until - at), "}]", *tail(cdr),
    )  # fmt: skip
    parks = rows[cdrs.full_at[rows] < cdrs.ended_at[rows]]
    parking = joined(
        '{"start_date_time":"', stamp(cdrs.full_at[parks]), '","dimensions":[{"type":"PARKING_TIME","volume":',
        _hours(cdrs.ended_at[parks] - cdrs.full_at[parks]), "}]", *tail(parks),
    ) if len(parks) else pl.Series([], dtype=pl.String)  # fmt: skip
    together = pl.concat(
        [
            pl.DataFrame({"cdr": cdr, "at": at, "text": charging}),
            pl.DataFrame({"cdr": parks, "at": cdrs.full_at[parks], "text": parking}),
        ]
    ).sort("cdr", "at", maintain_order=True)
    arrays = together.group_by("cdr", maintain_order=True).agg(pl.col("text").str.join(","))
    return wanted.join(arrays, on="cdr", how="left", maintain_order="left")["text"]


def cdr_objects(
    net: Network, sessions: Sessions, drivers: Drivers, cdrs: Cdrs, operator: int, transactions: pl.Series
) -> tuple[np.ndarray, pl.Series]:
    """Return the rows of an operator's CDRs and their objects, in the shape of its OCPI version."""
    version = OPERATORS[operator].ocpi_version
    rows = np.flatnonzero(cdrs.operator == operator)
    if len(rows) == 0:
        return rows, pl.Series([], dtype=pl.String)
    source = sessions.take(cdrs.session[rows])
    tariff_ids = pl.Series([tariff.tariff_id for tariff in TARIFFS])
    vat = np.array([tariff.vat or 0 for tariff in TARIFFS])[cdrs.tariff[rows]]
    currencies = looked_up(pl.Series([tariff.currency for tariff in TARIFFS]), cdrs.tariff[rows])
    ids = cdrs.ids().gather(pl.Series(rows))
    phantom = pl.Series(cdrs.fault[rows] == NO_SESSION)
    session_ids = pl.select(
        pl.when(pl.lit(phantom))
        .then(pl.concat_str(pl.lit("X-"), pl.lit(ids)))
        .otherwise(pl.lit(transactions.gather(pl.Series(cdrs.session[rows]))))
    ).to_series()
    place = looked_up(_cdr_places(net), source.connector)
    sign = np.where(cdrs.credited[rows] >= 0, -1, 1)

    def part(units: np.ndarray) -> tuple[Piece, ...]:
        size = sign * ((units[rows] * 2 * 10**_PLACES + UNIT) // (2 * UNIT))
        return _price(decimal(size, _PLACES), size, vat, version, _PLACES)

    whole = cdrs.net_cents[rows]
    total = _price(decimal(whole, 2), whole, vat, version, 2)
    embedded = pl.Series(
        [json.dumps(tariff_object(t, net, v), separators=(",", ":")) for t in TARIFFS for v in range(3)]
    )
    tariff = looked_up(embedded, cdrs.tariff[rows] * 3 + cdrs.version[rows])
    idle = cdrs.ended_at[rows] - cdrs.full_at[rows]
    common: list[Piece] = [
        ',"currency":"', currencies, '"',
        *((',"tariffs":[', tariff, "]") if version != "2.3.0" else ()),
        ',"charging_periods":[', _charging_periods(cdrs, rows, version, tariff_ids), '],"total_cost":', *total,
    ]  # fmt: skip
    if version != "2.1.1":
        common += [',"total_fixed_cost":', *part(cdrs.flat_cost), ',"total_energy_cost":', *part(cdrs.energy_cost)]
        common += [',"total_time_cost":', *part(cdrs.time_cost), ',"total_parking_cost":', *part(cdrs.parking_cost)]
    common += [
        ',"total_energy":', thousandths(cdrs.energy_wh[rows]),
        ',"total_time":', _hours(cdrs.ended_at[rows] - cdrs.started_at[rows]), ',"total_parking_time":', _hours(idle),
    ]  # fmt: skip
    if version != "2.1.1" and (sign < 0).any():
        original = cdrs.ids().gather(pl.Series(np.maximum(cdrs.credited[rows], 0)))
        common.append(
            pl.select(
                pl.when(pl.lit(pl.Series(sign < 0)))
                .then(pl.concat_str(pl.lit(',"credit":true,"credit_reference_id":"'), pl.lit(original), pl.lit('"')))
                .otherwise(pl.lit(""))
            ).to_series()
        )
    common += [',"last_updated":"', stamp(cdrs.updated_at[rows]), '"}']
    started, ended = stamp(cdrs.started_at[rows]), stamp(cdrs.ended_at[rows])
    if version == "2.1.1":
        tags = drivers.tags(source)
        head: list[Piece] = [
            '{"id":"', ids, '","start_date_time":"', started, '","stop_date_time":"', ended, '","auth_id":"', tags,
            '","auth_method":"WHITELIST",', place, ',"meter_id":"', looked_up(pl.Series([f"M{n:06}" for n in range(len(net.port_station))]), source.port), '"',
        ]  # fmt: skip
        return rows, joined(*head, *common)
    party = OPERATORS[operator]
    head = [
        f'{{"country_code":"{party.country}","party_id":"{party.party}","id":"', ids, '","start_date_time":"', started,
        '","end_date_time":"', ended, '","session_id":"', session_ids, '","cdr_token":', drivers.cdr_tokens(source),
        ',"auth_method":"AUTH_REQUEST",', place,
    ]  # fmt: skip
    return rows, joined(*head, *common)


def _session_objects(
    net: Network, sessions: Sessions, drivers: Drivers, operator: int, transactions: pl.Series
) -> pl.Series:
    """Return the Session objects (2.2.1, 2.3.0) of the last days, those that still run included."""
    end = net.end_s
    own = net.port_operator[sessions.port] == operator
    rows = np.flatnonzero(own & (sessions.kind == NORMAL) & (sessions.ended_at > end - SESSION_DAYS * DAY_S))
    if len(rows) == 0:
        return pl.Series([], dtype=pl.String)
    picked = sessions.take(rows)
    started = transaction_started(net, picked)
    runs = picked.ended_at >= end - 1
    interval = sample_interval(net, picked.port)
    seen = np.where(runs, picked.charging_at + (end - 2 - picked.charging_at) // interval * interval, picked.ended_at)
    energy = energy_until(net, picked, np.arange(len(picked)), seen)
    party = OPERATORS[operator]
    uids = pl.Series([evse_uid(net, port) for port in range(len(net.port_station))])
    locations = pl.Series([net.sites[site].location_id for site in net.port_site.tolist()])
    currencies = pl.Series([net.sites[site].template.currency for site in net.port_site.tolist()])
    finish = joined(',"end_date_time":"', stamp(picked.ended_at), '"')
    state = looked_up(pl.Series(["COMPLETED", "ACTIVE"]), runs.astype(np.int64))
    return joined(
        f'{{"country_code":"{party.country}","party_id":"{party.party}","id":"', transactions.gather(pl.Series(rows)),
        '","start_date_time":"', stamp(started), '"', pl.select(pl.when(pl.lit(pl.Series(runs))).then(pl.lit("")).otherwise(pl.lit(finish))).to_series(),
        ',"kwh":', thousandths(energy), ',"cdr_token":', drivers.cdr_tokens(picked),
        ',"auth_method":"AUTH_REQUEST","location_id":"', looked_up(locations, picked.port), '","evse_uid":"', looked_up(uids, picked.port),
        '","connector_id":"', number(picked.connector - net.port_first_connector[picked.port] + 1),
        '","currency":"', looked_up(currencies, picked.port), '","status":"', state, '","last_updated":"', stamp(np.maximum(seen, started)), '"}',
    )  # fmt: skip


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
    return pl.Series(
        [json.dumps(thing, separators=(",", ":"), ensure_ascii=False) for thing in objects], dtype=pl.String
    )


def write_objects(  # noqa: PLR0913
    net: Network,
    outages: Outages,
    sessions: Sessions,
    drivers: Drivers,
    cdrs: Cdrs,
    transactions: pl.Series,
    landing: Path,
) -> list[Path]:
    """Write the OCPI objects of every peer: CDRs a file per month of last_updated, and the small modules.

    Args:
        net: The network.
        outages: Its outages.
        sessions: Its sessions.
        drivers: Their tokens.
        cdrs: The CDRs.
        transactions: Transaction id of each session; the CDR's session_id.
        landing: ``HOME/landing``.
    """
    files = []
    root = landing / "ocpi"
    for operator in net.operators:
        peer = OPERATORS[operator].peer
        form, suffix = _FORMS[OPERATORS[operator].ocpi_version]
        rows, objects = cdr_objects(net, sessions, drivers, cdrs, operator, transactions)
        updated = cdrs.updated_at[rows]
        months = (
            pl.Series(updated * 1000).cast(pl.Datetime("ms", "UTC")).dt.strftime("%Y-%m")
            if len(rows)
            else pl.Series([], dtype=pl.String)
        )
        order = np.argsort(updated, kind="stable")
        for month in sorted(set(months.to_list())):
            own = order[(months == month).to_numpy()[order]]
            path = root / "cdrs" / peer / f"cdrs-{month}{suffix}"
            files.append(_write(path, objects.gather(pl.Series(own)), form, int(updated[own].max()) + 60))
        again = np.flatnonzero(cdrs.fault[rows] == DUPLICATE)
        if len(again):
            files.append(
                _write(root / "cdrs" / peer / f"resent{suffix}", objects.gather(pl.Series(again)), form, net.end_s)
            )

        used = sorted({int(t) for t in tariff_of(net, np.flatnonzero(net.port_operator == operator))})
        for version, begin in enumerate(version_begins(net).tolist()):
            tariffs = _dumped([tariff_object(TARIFFS[tariff], net, version) for tariff in used])
            name = f"tariffs-{datetime.fromtimestamp(begin, UTC):%Y-%m-%d}{suffix}"
            files.append(_write(root / "tariffs" / peer / name, tariffs, form, begin))
        locations = _dumped(_location_objects(net, outages, operator))
        files.append(_write(root / "locations" / peer / f"locations{suffix}", locations, form, net.end_s))
        if OPERATORS[operator].ocpi_version != "2.1.1":
            shown = _session_objects(net, sessions, drivers, operator, transactions)
            if len(shown):
                files.append(_write(root / "sessions" / peer / f"sessions{suffix}", shown, form, net.end_s))
    for emsp, provider in enumerate(EMSPS):
        tokens = drivers.token_objects(emsp, iso(net.start_s - 20 * DAY_S))
        files.append(_write(root / "tokens" / provider.emsp_id / "tokens.jsonl", tokens, "lines", net.start_s))
    return files
