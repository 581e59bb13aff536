"""The few OCPI objects of a network: tariffs, locations and the places CDRs name, in each OCPI version's shape."""

import json
from datetime import UTC, datetime
from typing import Any

import numpy as np
import polars as pl

from pipelines.simulator.billing import PRICE_UNIT, TARIFFS, Tariff, price, tariff_of, version_begins
from pipelines.simulator.network import DAY_S, MODELS, OPERATORS, OWNERS, Network
from pipelines.simulator.outages import BROKEN, DEAD, Outages

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


def location_objects(net: Network, outages: Outages, operator: int) -> list[dict[str, Any]]:
    """Return the Location objects of an operator.

    Args:
        net: The network.
        outages: Its outages: what is broken at the end shows in the EVSEs' status.
        operator: The operator.
    """
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


def cdr_places(net: Network) -> pl.Series:
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
