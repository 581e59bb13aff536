"""The registry files of a simulated network: who owns and operates what, under which contract, at what cost."""

import csv
import io
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np

from pipelines.home import replacing
from pipelines.simulator.chance import hashed
from pipelines.simulator.network import DAY_S, EMSPS, MODELS, OPERATORS, OWNERS, Network
from pipelines.simulator.ocpi_shapes import evse_uid, iso
from pipelines.simulator.outage_frames import serial_number
from pipelines.simulator.outages import MAINTENANCE, POWER, Outages

Row = dict[str, str | int]

_CAPEX = {7: 3_200, 11: 4_100, 22: 9_800, 150: 78_000, 180: 96_000, 300: 168_000}  # a station, in euro
_LEVEL = {"EUR": 1.0, "GBP": 0.86, "USD": 1.1, "CAD": 1.5, "INR": 90.0}  # of a euro
_POLICY = {"DE": ("contract_generic", "0.98"), "GB": ("uk_pcpr_2023", "0.99"), "US": ("nevi_680_116", "0.97")}
_POWER_PRICE = {"EUR": "0.21", "GBP": "0.24", "USD": "0.11", "CAD": "0.13", "INR": "7.50"}  # per kWh, net
_NIGHT_POWER_PRICE = {"EUR": "0.15", "GBP": "0.14", "USD": "0.07", "CAD": "0.10", "INR": "6.20"}
_SETUP_DAYS = 270  # sites opened that long before the log


def _day(at: int) -> date:
    return datetime.fromtimestamp(at, UTC).date()


def _month_firsts(net: Network) -> list[date]:
    first, last = _day(net.start_s).replace(day=1), _day(net.end_s - 1)
    months = []
    while first <= last:
        months.append(first)
        first = (first + timedelta(days=32)).replace(day=1)
    return months


def _scaled(euro: float, currency: str) -> str:
    return f"{round(euro * _LEVEL[currency], -1 if euro >= 1000 else 0):.2f}"


def _sites(net: Network) -> list[Row]:
    rows = []
    for number, site in enumerate(net.sites):
        place = site.template
        operator, owner = OPERATORS[place.operator], OWNERS[place.owner]
        known = number != 1  # one registry row leaves coordinates and address to the OCPI Location
        rows.append(
            {
                "site_id": site.site_id,
                "name": site.name,
                "owner_id": owner.owner_id,
                "operator_id": operator.operator_id,
                "time_zone": place.time_zone,
                "country_code": place.country,
                "currency": place.currency,
                "latitude": place.latitude if known else "",
                "longitude": place.longitude if known else "",
                "address": f"{place.city} Charging Street {number + 1}" if known else "",
                "city": place.city,
                "postal_code": place.postal_code,
                "opening_hours": "Mo-Sa 07:00-22:00" if place.kind == "retail" else "",
                "grid_connection_kw": place.grid_kw,
                "ocpi_location_id": site.location_id,
            }
        )
    return rows


def _stations(net: Network) -> list[Row]:
    rows = []
    for station, name in enumerate(net.station_ids):
        model = MODELS[int(net.station_model[station])]
        opened = _day(int(net.station_commissioned_s[station]))
        if not net.station_is_new[station]:
            opened -= timedelta(days=_SETUP_DAYS)
        rows.append(
            {
                "station_id": name,
                "site_id": net.sites[int(net.station_site[station])].site_id,
                "vendor": model.vendor,
                "model": model.model,
                "serial_number": serial_number(net, station),
                "commissioned_on": opened.isoformat(),
                "decommissioned_on": "",
                "warranty_until": (opened + timedelta(days=730)).isoformat(),
            }
        )
    return rows


def port_rows(net: Network) -> list[Row]:
    """Return the rows of ``ports.csv``, in the order of the network's ports."""
    rows = []
    for port, port_id in enumerate(net.port_ids()):
        station = int(net.port_station[port])
        model = MODELS[int(net.station_model[station])]
        first = int(net.port_first_connector[port])
        numbers = net.connector_number[first : first + model.connectors].tolist()
        evse = int(net.port_number[port])
        opened = int(net.station_commissioned_s[station])
        if not net.station_is_new[station]:
            opened = opened // DAY_S * DAY_S - _SETUP_DAYS * DAY_S
        rows.append(
            {
                "port_id": port_id,
                "station_id": net.station_ids[station],
                "ocpp_connector_ids": " ".join(str(n) if model.is_16 else f"{evse}/{n}" for n in numbers),
                "ocpi_evse_uid": evse_uid(net, port),
                "power_type": model.power_type,
                "max_power_kw": model.max_kw,
                "connector_standards": " ".join(model.standards),
                "commissioned_at": iso(opened),
                "decommissioned_at": "",
                "funding": net.sites[int(net.station_site[station])].template.funding,
            }
        )
    return rows


def contract_rows(net: Network) -> list[Row]:
    """Return the rows of ``contracts.csv``."""
    rows = []
    begin = _day(net.start_s) - timedelta(days=_SETUP_DAYS)
    change = _day(net.start_s + net.days // 2 * DAY_S)
    for number, site in enumerate(net.sites):
        place = site.template
        policy, target = _POLICY.get(place.country, _POLICY["DE"])
        margin = number % 2 == 1
        # The owner's share is of gross revenue at one site and of net margin at the next; the third site's contract is
        # renewed in the middle of the period with a larger share.
        terms = (
            [(begin, change, "0.20"), (change, None, "0.25")]
            if number == 2
            else [(begin, None, "0.60" if margin else "0.22")]
        )
        for part, (valid_from, valid_to, share) in enumerate(terms):
            rows.append(
                {
                    "contract_id": f"contract-{site.site_id.removeprefix('site-')}-{part + 1}",
                    "site_id": site.site_id,
                    "station_id": "",
                    "owner_id": OWNERS[place.owner].owner_id,
                    "operator_id": OPERATORS[place.operator].operator_id,
                    "valid_from": valid_from.isoformat(),
                    "valid_to": valid_to.isoformat() if valid_to else "",
                    "sla_policy_id": policy,
                    "sla_target_ratio": target,
                    "sla_credit_per_percent_point": _scaled(50, place.currency),
                    "owner_share_ratio": share,
                    "share_basis": "net_margin" if margin else "gross_revenue",
                    "operator_fee_per_kwh": _scaled_price(0.03, place.currency),
                    "operator_fee_per_session": _scaled_price(0.10, place.currency),
                    "operator_fee_per_port_month": _scaled(12, place.currency),
                    "minimum_guarantee_per_month": _scaled(150, place.currency) if number % 3 == 0 else "",
                    "currency": place.currency,
                }
            )
    return rows


def _scaled_price(euro: float, currency: str) -> str:
    return f"{euro * _LEVEL[currency]:.4f}"


def _costs(net: Network) -> list[Row]:
    rows: list[Row] = []
    begin = _day(net.start_s) - timedelta(days=_SETUP_DAYS)

    def add(  # noqa: PLR0913
        site: int, what: str, euro: float, on: date, *, recurs: str = "once", station: str = ""
    ) -> None:
        kind, category = what.split("/")
        currency = net.sites[site].template.currency
        rows.append(
            {
                "cost_id": f"cost-{len(rows) + 1:05}",
                "site_id": net.sites[site].site_id,
                "station_id": station,
                "kind": kind,
                "category": category,
                "amount": _scaled(euro, currency),
                "currency": currency,
                "incurred_on": on.isoformat(),
                "recurs": recurs,
                "ends_on": "",
            }
        )

    hardware = [0.0] * len(net.sites)
    for station, name in enumerate(net.station_ids):
        model = MODELS[int(net.station_model[station])]
        site = int(net.station_site[station])
        hardware[site] += _CAPEX[model.max_kw]
        on = _day(int(net.station_commissioned_s[station])) if net.station_is_new[station] else begin
        add(site, "capex/hardware", _CAPEX[model.max_kw], on - timedelta(days=20), station=name)
    for number, site in enumerate(net.sites):
        add(number, "capex/civil_works", 0.45 * hardware[number], begin - timedelta(days=60))
        add(number, "capex/grid_connection", 0.25 * hardware[number], begin - timedelta(days=90))
        add(number, "opex/rent", 140, begin, recurs="monthly")
        add(number, "opex/maintenance", 0.02 * hardware[number], begin + timedelta(days=200), recurs="yearly")
        add(
            number,
            "opex/software_and_connectivity",
            9.0 * int((net.port_site == number).sum()),
            begin,
            recurs="monthly",
        )
        if site.template.funding:
            add(number, "grant/nevi_grant", 0.5 * hardware[number], begin + timedelta(days=60))
        elif site.template.country == "DE":
            add(number, "credit/ghg_quota", 0.012 * hardware[number], begin + timedelta(days=150), recurs="yearly")
    return rows


def energy_price_rows(net: Network) -> list[Row]:
    """Return the rows of ``energy_prices.csv``: one price all day, or a cheaper one from 22:00 to 06:00."""
    rows: list[Row] = []
    begin = (_day(net.start_s) - timedelta(days=_SETUP_DAYS)).replace(day=1)
    for number, site in enumerate(net.sites):
        currency = site.template.currency
        demand = site.template.kind == "highway"
        spans = (
            [("00:00", "06:00", True), ("06:00", "22:00", False), ("22:00", "24:00", True)]
            if number % 3 == 1
            else [("", "", False)]
        )
        for from_time, to_time, is_night in spans:
            rows.append(
                {
                    "site_id": site.site_id,
                    "valid_from": begin.isoformat(),
                    "valid_to": "",
                    "days": "1-7",
                    "from_time": from_time,
                    "to_time": to_time,
                    "price_per_kwh": _NIGHT_POWER_PRICE[currency] if is_night else _POWER_PRICE[currency],
                    "demand_charge_per_kw_month": _scaled(7, currency) if demand else "",
                    "fixed_fee_per_month": _scaled(35, currency),
                    "currency": currency,
                }
            )
    return rows


def _exclusions(net: Network, outages: Outages) -> list[Row]:
    """Return announced maintenance, and every second power loss as the utility's, with its ticket."""
    shown = outages.of(MAINTENANCE, POWER)
    rows: list[Row] = []
    for station, kind, begin, end in zip(
        shown.station.tolist(), shown.kind.tolist(), shown.a.tolist(), shown.b.tolist(), strict=True
    ):
        if kind == POWER and begin % 2:
            continue
        upkeep = kind == MAINTENANCE
        rows.append(
            {
                "exclusion_id": f"exclusion-{len(rows) + 1:05}",
                "scope": "station",
                "scope_id": net.station_ids[station],
                "started_at": iso(begin),
                "ended_at": iso(end),
                "reason": "scheduled_maintenance" if upkeep else "utility_interruption",
                "evidence": f"work order {10_000 + len(rows)}" if upkeep else f"utility notice {70_000 + len(rows)}",
                "approved_by": "operations@chargehouse.example",
            }
        )
    return rows


def _business_cases(net: Network) -> list[Row]:
    rows: list[Row] = []
    for number, site in enumerate(net.sites):
        currency = site.template.currency
        ports = np.flatnonzero(net.port_site == number)
        power = net.model_flag("max_kw")[net.port_model[ports]]
        base = float(np.where(power > 50, 2100, 330).sum())
        wish = 0.9 + 0.4 * float(hashed(number, 71, number) % 1000) / 1000
        for position, month in enumerate(_month_firsts(net)):
            revenue = base * wish * (0.75 + 0.04 * position)
            rows.append(
                {
                    "site_id": site.site_id,
                    "month": f"{month:%Y-%m}",
                    "planned_revenue": _scaled(revenue, currency),
                    "planned_cost": _scaled(0.55 * revenue + 200, currency),
                    "currency": currency,
                    "discount_rate": "0.07",
                    "horizon_years": 10,
                }
            )
    return rows


def _access(net: Network) -> list[Row]:
    owners = sorted({site.template.owner for site in net.sites})
    return [
        *({"email": OWNERS[o].email, "role": "owner", "scope_id": OWNERS[o].owner_id} for o in owners),
        *(
            {
                "email": f"ops@{OPERATORS[o].operator_id}.example",
                "role": "operator",
                "scope_id": OPERATORS[o].operator_id,
            }
            for o in net.operators
        ),
        *({"email": f"billing@{e.emsp_id}.example", "role": "emsp", "scope_id": e.emsp_id} for e in EMSPS),
        {"email": "analyst@chargehouse.example", "role": "analyst", "scope_id": ""},
        {"email": "admin@chargehouse.example", "role": "admin", "scope_id": ""},
    ]


def _fx_rates(net: Network) -> list[Row]:
    return [
        {
            "on_date": month.isoformat(),
            "from_currency": currency,
            "to_currency": "EUR",
            "rate": f"{(1 + 0.002 * ((n * 7) % 5 - 2)) / level:.6f}",
        }
        for n, month in enumerate(_month_firsts(net))
        for currency, level in _LEVEL.items()
        if currency != "EUR"
    ]


def _write(path: Path, rows: list[Row]) -> Path:
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    with replacing(path) as temporary:
        temporary.write_text(text.getvalue(), encoding="utf-8")
    return path


def write_registry(net: Network, outages: Outages, landing: Path) -> list[Path]:
    """Write every registry file that has a row.

    Args:
        net: The network.
        outages: Its outages: maintenance goes to ``exclusions.csv``.
        landing: ``HOME/landing``.
    """
    owners = sorted({site.template.owner for site in net.sites})
    tables: dict[str, list[Row]] = {
        "owners": [
            {
                "owner_id": o.owner_id,
                "name": o.name,
                "country_code": o.country,
                "currency": o.currency,
                "email": o.email,
            }
            for o in (OWNERS[n] for n in owners)
        ],
        "operators": [
            {"operator_id": o.operator_id, "name": o.name, "ocpi_party": f"{o.country}*{o.party}"}
            for o in (OPERATORS[n] for n in net.operators)
        ],
        "emsps": [
            {
                "emsp_id": e.emsp_id,
                "name": e.name,
                "ocpi_party": f"{e.country}*{e.party}",
                "roaming_fee_per_kwh": e.fee_per_kwh,
                "roaming_fee_per_session": e.fee_per_session,
                "currency": e.currency,
            }
            for e in EMSPS
        ],
        "sites": _sites(net),
        "stations": _stations(net),
        "ports": port_rows(net),
        "contracts": contract_rows(net),
        "costs": _costs(net),
        "energy_prices": energy_price_rows(net),
        "exclusions": _exclusions(net, outages),
        "business_cases": _business_cases(net),
        "access": _access(net),
        "fx_rates": _fx_rates(net),
    }
    return [_write(landing / "registry" / f"{name}.csv", rows) for name, rows in tables.items() if rows]
