"""CDRs and tariffs of the tariff oracle as lake rows, as the decoder would have written them."""

import hashlib
from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

from tests.lake_builder import LakeBuilder
from tests.oracles.tariff import Cdr, Element, Tariff

PARTY = {"peer": "cpo", "country_code": "NL", "party_id": "CPO", "ocpi_version": "2.2.1"}
SOURCE = "00000000000000aa"
MODULE_SOURCE = "00000000000000bb"
Row = dict[str, Any]


def _hash(*parts: object) -> str:
    return hashlib.md5(repr(parts).encode(), usedforsecurity=False).hexdigest()


def write_lake(builder: LakeBuilder, cdrs: Iterable[Cdr], module: Iterable[Tariff] = ()) -> None:
    """Write CDRs (each at a location of its own zone) and the module's tariffs into the lake of a home.

    Args:
        builder: Writer of the home's lake tables.
        cdrs: CDRs with the tariffs they embed; all of one party.
        module: Tariffs as the Tariffs module delivers them.
    """
    rows: dict[str, list[Row]] = {
        "cdr": [], "cdr_dimension": [], "ocpi/tariff": [], "ocpi/tariff_component": [], "ocpi/location": [],
    }  # fmt: skip
    zones: set[str] = set()
    for record_number, cdr in enumerate(cdrs, start=1):
        lineage = {**PARTY, "source_id": SOURCE, "record_number": record_number, "record_hash": _hash(cdr)}
        zones.add(cdr.time_zone)
        rows["cdr"].append(
            {
                **lineage,
                "cdr_id": cdr.cdr_id,
                "started_at": cdr.start,
                "ended_at": cdr.end,
                "currency": cdr.currency,
                "location_id": cdr.time_zone,
                "token_type": "AD_HOC_USER" if cdr.is_ad_hoc else "RFID",
                "is_credit": cdr.is_credit,
                "last_updated_at": cdr.end,
            }
        )
        for period_number, period in enumerate(cdr.periods, start=1):
            shared = {
                **lineage,
                "cdr_id": cdr.cdr_id,
                "period_number": period_number,
                "period_started_at": period.start,
                "tariff_id": period.tariff_id,
            }
            rows["cdr_dimension"] += [
                {**shared, "dimension": dimension, "volume": volume}
                for dimension, volume in (period.volumes or {None: None}).items()
            ]
        for tariff in cdr.tariffs:
            _add_tariff(rows, tariff, {**lineage, "embedded_in_cdr_id": cdr.cdr_id})
    for record_number, tariff in enumerate(module, start=1):
        _add_tariff(rows, tariff, {**PARTY, "source_id": MODULE_SOURCE, "record_number": record_number})
    rows["ocpi/location"] += [
        {**PARTY, "record_hash": _hash(zone), "location_id": zone, "time_zone": zone} for zone in sorted(zones)
    ]
    for table, content in rows.items():
        builder.add(table, content)


def _add_tariff(rows: dict[str, list[Row]], tariff: Tariff, lineage: Row) -> None:
    shared = {
        **lineage,
        "record_hash": _hash(tariff),
        "tariff_id": tariff.tariff_id,
        "ocpi_version": tariff.ocpi_version,
    }
    rows["ocpi/tariff"].append(
        {
            **shared,
            "currency": tariff.currency,
            "tariff_type": tariff.tariff_type,
            "tax_included": tariff.tax_included,
            "valid_from_at": tariff.valid_from,
            "valid_to_at": tariff.valid_to,
            "min_price_net": tariff.min_price and tariff.min_price.net,
            "min_price_gross": tariff.min_price and tariff.min_price.gross,
            "max_price_net": tariff.max_price and tariff.max_price.net,
            "max_price_gross": tariff.max_price and tariff.max_price.gross,
            "last_updated_at": tariff.last_updated,
        }
    )
    for element_number, element in enumerate(tariff.elements, start=1):
        rows["ocpi/tariff_component"] += [
            {**shared, "element_number": element_number, **component} for component in _components(element)
        ]


_RESTRICTION_COLUMNS = {
    "min_current": "min_current_a",
    "max_current": "max_current_a",
    "min_power": "min_power_kw",
    "max_power": "max_power_kw",
    "min_duration": "min_duration_s",
    "max_duration": "max_duration_s",
}


def _components(element: Element) -> list[Row]:
    restrictions = {_RESTRICTION_COLUMNS.get(name, name): value for name, value in asdict(element.restrictions).items()}
    restrictions["day_of_week"] = ",".join(element.restrictions.day_of_week) or None
    return [
        {
            **restrictions,
            "component_number": component_number,
            "dimension": component.dimension,
            "price": component.price,
            "vat_percent": component.vat,
            "step_size": component.step_size,
        }
        for component_number, component in enumerate(element.components, start=1)
    ]
