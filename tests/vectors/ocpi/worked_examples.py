"""The specification's worked examples, kept as numbers, written as OCPI objects of 2.2.1 and 2.3.0.

The objects are made here, field by field; only the figures (prices, volumes, totals) come from the file of examples.
"""

import json
import os
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).resolve().parents[3]
FILE = Path(os.environ.get("CHARGEHOUSE_VECTORS", PROJECT.parent / "shared" / "vectors")) / "ocpi_worked_examples.json"
VERSIONS = ("2.2.1", "2.3.0")
PARTY = {"country_code": "NL", "party_id": "SPC"}
Object = dict[str, Any]


def worked_examples() -> list[Object]:
    """The examples as numbers; none where the file is not at hand."""
    if not FILE.is_file():
        return []
    return json.loads(FILE.read_text(), parse_float=Decimal)["cases"]


def can_say(version: str, example: Object) -> bool:
    """Whether a version of OCPI can express the example: prices with tax in them are new in 2.3.0."""
    return version == "2.3.0" or example["tariff"].get("tax_included") in (None, "NO")


def example_id(number: int, version: str) -> str:
    """The CDR id of an example."""
    return f"example-{number}-{version}"


def _number(value: Any) -> float | None:
    return None if value is None else float(value)


def _price(version: str, net: Any, gross: Any) -> Object:
    net, gross = _number(net if net is not None else gross), _number(gross)
    if version == "2.2.1":
        return {"excl_vat": net} | ({} if gross is None else {"incl_vat": gross})
    # A total that the example does not state has no tax here.
    taxes = [] if gross is None or gross == net else [{"name": "VAT", "amount": round(gross - net, 6)}]
    return {"before_taxes": net, "taxes": taxes}


def _limit(version: str, limit: Object) -> Object:
    names = ("excl_vat", "incl_vat") if version == "2.2.1" else ("before_taxes", "after_taxes")
    values = (limit["before_taxes"], limit.get("after_taxes"))
    return {name: _number(value) for name, value in zip(names, values, strict=True) if value is not None}


def tariff_object(number: int, version: str, example: Object) -> Object:
    """The Tariff of an example."""
    given = example["tariff"]
    elements = []
    for element in given["elements"]:
        components = []
        for component in element["components"]:
            shape: Object = {"type": component["dimension"], "price": _number(component["price"])}
            if component.get("vat") is not None:
                shape["vat"] = _number(component["vat"])
            components.append(shape | {"step_size": component.get("step_size", 1)})
        restrictions = {
            name: _number(value) if isinstance(value, Decimal) else value
            for name, value in element.get("restrictions", {}).items()
        }
        # Decimals written as texts in the file of facts are numbers in OCPI; times and dates stay texts.
        restrictions = {
            name: float(value) if isinstance(value, str) and name.startswith(("min_", "max_")) else value
            for name, value in restrictions.items()
        }
        elements.append({"price_components": components} | ({"restrictions": restrictions} if restrictions else {}))
    tariff: Object = {**PARTY, "id": f"tariff-{number}", "currency": "EUR", "type": "REGULAR"}
    if version == "2.3.0":
        tariff["tax_included"] = given.get("tax_included") or "NO"
    for name in ("min_price", "max_price"):
        if name in given:
            tariff[name] = _limit(version, given[name])
    return tariff | {"elements": elements, "last_updated": "2015-01-01T00:00:00Z"}


def cdr_object(number: int, version: str, example: Object) -> Object:
    """The CDR of an example, billed as the specification prints it."""
    started = [datetime.fromisoformat(period["start_date_time"]).astimezone(UTC) for period in example["periods"]]
    volumes = [period["dimensions"] for period in example["periods"]]
    hours = [max((float(v) for name, v in volume.items() if name.endswith("TIME")), default=0.5) for volume in volumes]
    ended = started[-1] + timedelta(seconds=round(hours[-1] * 3600))
    total_h = (ended - started[0]).total_seconds() / 3600
    token = {**PARTY, "uid": f"TOKEN{number}{version}", "type": "RFID", "contract_id": f"NL-SPC-C{number:06}"}
    return {
        **PARTY,
        "id": example_id(number, version),
        "start_date_time": f"{started[0]:%Y-%m-%dT%H:%M:%SZ}",
        "end_date_time": f"{ended:%Y-%m-%dT%H:%M:%SZ}",
        "session_id": example_id(number, version),
        "cdr_token": token,
        "auth_method": "WHITELIST",
        "cdr_location": {
            "id": "examples", "address": "F.Rooseveltlaan 3A", "city": "Gent", "postal_code": "9000",
            "country": "BEL", "coordinates": {"latitude": "51.04", "longitude": "3.73"},
            "evse_uid": f"{number}-{version}", "evse_id": f"BE*SPC*E{number}", "connector_id": "1",
            "connector_standard": "IEC_62196_T2", "connector_format": "SOCKET", "connector_power_type": "AC_3_PHASE",
        },
        "currency": "EUR",
        "tariffs": [tariff_object(number, version, example)],
        "charging_periods": [
            {
                "start_date_time": f"{at:%Y-%m-%dT%H:%M:%SZ}",
                "dimensions": [{"type": name, "volume": round(float(v), 6)} for name, v in volume.items()],
            }
            for at, volume in zip(started, volumes, strict=True)
        ],
        "total_cost": _price(version, example["expected_net"], example["expected_gross"]),
        "total_energy": sum(float(volume.get("ENERGY", 0)) for volume in volumes),
        "total_time": round(total_h, 4),
        "last_updated": f"{ended + timedelta(minutes=1):%Y-%m-%dT%H:%M:%SZ}",
    }  # fmt: skip


def location_object(zone: str) -> Object:
    """The Location where the examples charge."""
    return {
        **PARTY, "id": "examples", "publish": True, "address": "F.Rooseveltlaan 3A", "city": "Gent", "country": "BEL",
        "coordinates": {"latitude": "51.04", "longitude": "3.73"}, "time_zone": zone, "evses": [],
        "last_updated": "2015-01-01T00:00:00Z",
    }  # fmt: skip


def write_landing(landing: Path) -> int:
    """Write the examples in every version that can say them as delivered files; returns the number of CDRs."""
    examples = worked_examples()
    if not examples:
        return 0
    zones = {example["time_zone"] for example in examples}
    assert len(zones) == 1, "one location serves all examples"
    files = {"locations/locations.json": [location_object(zones.pop())]}
    for version in VERSIONS:
        files[f"cdrs/spec/{version}.json"] = [
            cdr_object(number, version, example) for number, example in enumerate(examples) if can_say(version, example)
        ]
    for name, objects in files.items():
        path = landing / "ocpi" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(objects))
    return sum(len(files[f"cdrs/spec/{version}.json"]) for version in VERSIONS)
