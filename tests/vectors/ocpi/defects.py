"""For every defect of the catalogue a CDR (or tariff, or Session) that has it, and a clean twin that has none.

A case is made from a clean CDR of an hour's charge and half an hour's parking: 10 kWh at 0.40, 1.00 flat, 0.5 h parking at
2.00 per hour, VAT 20 %: 4.00 + 1.00 + 1.00 = 6.00 before and 7.20 after taxes.
"""

import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

Object = dict[str, Any]
PARTY = {"country_code": "DE", "party_id": "ABC"}
FAR = "FAR"  # a location 500 km away that no registry names


def _component(kind: str, price: float, step: int = 1) -> Object:
    return {"type": kind, "price": price, "vat": 20.0, "step_size": step}


def tariff(tariff_id: str = "T1", **changes: Any) -> Object:
    """A tariff of OCPI 2.2.1 without restrictions."""
    components = [_component("ENERGY", 0.40), _component("FLAT", 1.00), _component("PARKING_TIME", 2.00, 60)]
    shape = {
        **PARTY, "id": tariff_id, "currency": "EUR", "type": "REGULAR", "elements": [{"price_components": components}],
        "last_updated": "2025-01-01T00:00:00Z",
    }  # fmt: skip
    return shape | changes


def cdr(name: str, evse: int) -> Object:
    """A clean CDR at an EVSE of its own."""
    return {
        **PARTY,
        "id": name,
        "start_date_time": "2025-03-03T10:00:00Z",
        "end_date_time": "2025-03-03T11:30:00Z",
        "session_id": f"S-{name}",
        "cdr_token": {
            "country_code": "NL", "party_id": "EMP", "uid": f"TOKEN-{name}", "type": "RFID", "contract_id": f"NL-EMP-{name}",
        },
        "auth_method": "WHITELIST",
        "cdr_location": {
            "id": "HOME", "address": "Main Street 1", "city": "Berlin", "postal_code": "10115", "country": "DEU",
            "coordinates": {"latitude": "52.52", "longitude": "13.40"},
            "evse_uid": f"E{evse}", "evse_id": f"DE*ABC*E{evse}", "connector_id": "1",
            "connector_standard": "IEC_62196_T2", "connector_format": "SOCKET", "connector_power_type": "AC_3_PHASE",
        },
        "currency": "EUR",
        "tariffs": [tariff()],
        "charging_periods": [
            {
                "start_date_time": "2025-03-03T10:00:00Z",
                "dimensions": [{"type": "ENERGY", "volume": 10.0}, {"type": "TIME", "volume": 1.0}],
            },
            {"start_date_time": "2025-03-03T11:00:00Z", "dimensions": [{"type": "PARKING_TIME", "volume": 0.5}]},
        ],
        "total_cost": {"excl_vat": 6.00, "incl_vat": 7.20},
        "total_fixed_cost": {"excl_vat": 1.00, "incl_vat": 1.20},
        "total_energy": 10.0,
        "total_energy_cost": {"excl_vat": 4.00, "incl_vat": 4.80},
        "total_time": 1.5,
        "total_parking_time": 0.5,
        "total_parking_cost": {"excl_vat": 1.00, "incl_vat": 1.20},
        "last_updated": "2025-03-03T11:35:00Z",
    }  # fmt: skip


def session(of: Object) -> Object:
    """The Session that a CDR bills."""
    return {
        **PARTY, "id": of["session_id"], "start_date_time": "2025-03-03T10:00:00Z", "end_date_time": "2025-03-03T11:30:00Z",
        "kwh": 10.0, "cdr_token": of["cdr_token"], "auth_method": "WHITELIST", "location_id": "HOME",
        "evse_uid": of["cdr_location"]["evse_uid"], "connector_id": "1", "currency": "EUR", "status": "COMPLETED",
        "last_updated": "2025-03-03T11:31:00Z",
    }  # fmt: skip


def location(location_id: str, evses: int, **changes: Any) -> Object:
    """A Location with EVSEs of 11 kW."""
    shape = {
        **PARTY, "id": location_id, "publish": True, "name": location_id, "address": "Main Street 1", "city": "Berlin",
        "country": "DEU", "coordinates": {"latitude": "52.52", "longitude": "13.40"}, "time_zone": "Europe/Berlin",
        "evses": [
            {
                "uid": f"E{number}", "evse_id": f"DE*ABC*E{number}", "status": "AVAILABLE",
                "connectors": [{
                    "id": "1", "standard": "IEC_62196_T2", "format": "SOCKET", "power_type": "AC_3_PHASE",
                    "max_voltage": 400, "max_amperage": 16, "max_electric_power": 11000,
                    "last_updated": "2025-01-01T00:00:00Z",
                }],
                "last_updated": "2025-01-01T00:00:00Z",
            }
            for number in range(evses)
        ],
        "last_updated": "2025-01-01T00:00:00Z",
    }  # fmt: skip
    return shape | changes


@dataclass(slots=True)
class Deliveries:
    """What the peers deliver, file by file."""

    cdrs: list[Object] = field(default_factory=list)
    again: list[Object] = field(default_factory=list)  # a second file of CDRs
    sessions: list[Object] = field(default_factory=list)
    tariffs: list[Object] = field(default_factory=list)
    transactions: list[tuple[str, int, str, str, float]] = field(default_factory=list)  # id, evse, start, end, kWh


Change = Callable[[Object], None]


def _total(of: Object, net: float, gross: float | None) -> None:
    of["total_cost"] = {"excl_vat": net} | ({} if gross is None else {"incl_vat": gross})


def _set(**values: Any) -> Change:
    return lambda of: of.update(values)


def _total_is(net: float, gross: float | None) -> Change:
    return lambda of: _total(of, net, gross)


def _shifted(of: Object, day: str) -> None:
    """Move a CDR to another day."""
    for name in ("start_date_time", "end_date_time", "last_updated"):
        of[name] = of[name].replace("2025-03-03", day)
    for period in of["charging_periods"]:
        period["start_date_time"] = period["start_date_time"].replace("2025-03-03", day)


def _energy(of: Object, kwh: float, cost: float) -> None:
    """Change energy everywhere, billed at the right price."""
    of["total_energy"] = kwh
    of["charging_periods"][0]["dimensions"][0]["volume"] = kwh
    of["total_energy_cost"] = {"excl_vat": cost, "incl_vat": round(cost * 1.2, 4)}
    _total(of, 2 + cost, round((2 + cost) * 1.2, 4))


def _only_energy(of: Object, price: Object, kwh: float, net: float, **changes: Any) -> None:
    """Make a CDR of energy alone, priced by one component."""
    of["tariffs"] = [tariff(elements=[{"price_components": [price]}], **changes)]
    of["charging_periods"] = [
        {"start_date_time": "2025-03-03T10:00:00Z", "dimensions": [{"type": "ENERGY", "volume": kwh}]}
    ]
    of["total_energy"] = kwh
    for name in ("total_fixed_cost", "total_parking_cost", "total_energy_cost"):
        of.pop(name)
    _total(of, net, round(net * 1.2, 4))


def _bad_currency(of: Object) -> None:
    of["currency"] = "XQQ"
    of["tariffs"] = [tariff(currency="XQQ")]


def _two_zones(of: Object) -> None:
    of["cdr_location"]["id"] = "NOZONE"


def _price_shape(of: Object) -> None:
    of["total_energy_cost"] = {"before_taxes": 4.00, "taxes": [{"name": "VAT", "amount": 0.80}]}


def _reversed_periods(of: Object) -> None:
    of["charging_periods"].reverse()


def _early_period(of: Object) -> None:
    of["charging_periods"][0]["start_date_time"] = "2025-03-03T09:50:00Z"


def _expired(of: Object) -> None:
    of["tariffs"] = [tariff(end_date_time="2025-02-01T00:00:00Z")]


def _powered(of: Object) -> None:
    elements = [{"price_components": [_component("ENERGY", 0.40)], "restrictions": {"min_power": 5.0}}]
    of["tariffs"] = [tariff(elements=elements + tariff()["elements"])]


def _night(of: Object) -> None:
    # From 11:30 in Berlin, half an hour into the period, energy costs more: the period should have ended there.
    elements = [
        {"price_components": [_component("ENERGY", 0.80)], "restrictions": {"start_time": "11:30", "end_time": "23:00"}}
    ]
    of["tariffs"] = [tariff(elements=elements + tariff()["elements"])]


def _limited(name: str, net: float) -> Change:
    def change(of: Object) -> None:
        of["tariffs"] = [tariff(**{name: {"excl_vat": net, "incl_vat": round(net * 1.2, 4)}})]

    return change


def _no_tariff(of: Object) -> None:
    of.pop("tariffs")


def _unknown_tariff(of: Object) -> None:
    for period in of["charging_periods"]:
        period["tariff_id"] = "NOBODY-KNOWS"


def _without_auth(of: Object) -> None:
    of.pop("auth_method")


def _far(of: Object) -> None:
    of["cdr_location"]["id"] = FAR


def _elsewhere(of: Object) -> None:
    of["cdr_location"]["id"] = "NOWHERE"


def _other_evse(of: Object) -> None:
    of["cdr_location"]["evse_id"] = "DE*ABC*EOTHER"


def _energy_cost(of: Object) -> None:
    of["total_energy_cost"] = {"excl_vat": 5.00, "incl_vat": 6.00}
    _total(of, 7.00, 8.40)


def _no_energy(of: Object) -> None:
    of["total_energy"] = 0
    of["charging_periods"][0]["dimensions"] = [{"type": "TIME", "volume": 1.0}]
    of["total_energy_cost"] = {"excl_vat": 0, "incl_vat": 0}
    _total(of, 2.00, 2.40)


# What one change of a clean CDR makes.
CHANGES: dict[str, Change] = {
    "missing_required": _without_auth,
    "bad_type": _set(total_energy="10.0"),
    "unknown_enum": _set(auth_method="MAGIC"),
    "bad_datetime": _set(end_date_time="2025-03-03T11:30:00+00:00"),
    "price_shape_mismatch": _price_shape,
    "currency_null": _set(currency=None),
    "currency_unknown": _bad_currency,
    "currency_mismatch": _set(currency="SEK"),
    "time_zone_unknown": _two_zones,
    "end_before_start": _set(end_date_time="2025-03-03T09:00:00Z"),
    "zero_duration": _set(end_date_time="2025-03-03T10:00:00Z"),
    "future": lambda of: _shifted(of, "2095-03-03"),
    "before_2009": lambda of: _shifted(of, "2001-03-03"),
    "total_time_mismatch": _set(total_time=1.9),
    "period_outside_session": _early_period,
    "periods_out_of_order": _reversed_periods,
    "session_too_long": _set(end_date_time="2025-03-13T10:00:00Z", last_updated="2025-03-13T10:05:00Z"),
    "negative_energy": lambda of: _energy(of, -10.0, -4.0),
    "zero_kwh_with_cost": _no_energy,
    "energy_sum_mismatch": _set(total_energy=11.0),
    "implied_power": lambda of: _energy(of, 30.0, 12.0),
    "hours_are_minutes": _set(total_time=90.0),
    "hours_are_seconds": _set(total_time=5400.0),
    "total_mismatch": _total_is(9.00, 10.80),
    "total_is_not_sum_of_parts": _total_is(9.00, 10.80),
    "zero_total_with_priced_tariff": _total_is(0, 0),
    "cost_mismatch": _energy_cost,
    "step_size_ignored": lambda of: _only_energy(of, _component("ENERGY", 1.0, 1000), 9.4, 9.4),
    "vat_rate_mismatch": _total_is(6.00, 7.14),
    "vat_on_net_only": _total_is(6.00, 6.00),
    "gross_below_net": _total_is(6.00, 5.00),
    "min_price_ignored": _limited("min_price", 10.0),
    "max_price_ignored": _limited("max_price", 4.0),
    "rounding_only": _total_is(6.01, 7.21),
    "tariff_missing": _no_tariff,
    "tariff_expired": _expired,
    "tariff_unknown": _unknown_tariff,
    "restriction_unverifiable": _powered,
    "period_spans_price_change": _night,
    "late_24_h": _set(last_updated="2025-03-05T12:00:00Z"),
    "late_7_d": _set(last_updated="2025-03-12T12:00:00Z"),
    "late_31_d": _set(last_updated="2025-04-10T12:00:00Z"),
    "arrived_after_statement": _set(last_updated="2025-04-16T12:00:00Z"),
    "location_unknown": _elsewhere,
    "owner_unmapped": _far,
    "evse_id_changed": _other_evse,
}


def _clean(made: Deliveries, name: str, evse: int, **changes: Any) -> Object:
    """Deliver a clean CDR with its Session."""
    of = cdr(name, evse) | changes
    made.cdrs.append(of)
    made.sessions.append(session(of))
    return of


def _identity_cases(made: Deliveries, number: int) -> None:
    """Copies, second bills and credits."""

    def clean(name: str, evse: int) -> Object:
        return _clean(made, name, evse)

    same = clean("duplicate_same_payload-bad", number)
    made.again.append(copy.deepcopy(same))
    changed = copy.deepcopy(clean("duplicate_changed_payload-bad", number + 1))
    _total(changed, 6.50, 7.80)
    changed["last_updated"] = "2025-03-03T12:00:00Z"
    made.again.append(changed)

    first = clean("same_session_two_cdrs-first", number + 2)
    made.cdrs.append(copy.deepcopy(first) | {"id": "same_session_two_cdrs-bad", "last_updated": "2025-03-03T12:00:00Z"})

    def credit(of: Object, name: str, net: float, **changes: Any) -> None:
        shape = copy.deepcopy(of) | {"id": name, "credit": True, "credit_reference_id": of["id"]} | changes
        _total(shape, net, round(net * 1.2, 4))
        made.cdrs.append(shape)

    orphan = cdr("nobody", number + 3)
    credit(orphan, "credit_without_original-bad", -6.00, session_id="S-duplicate_same_payload-bad")
    credit(clean("credit_without_original-original", number + 4), "credit_without_original-clean", -6.00)
    credit(clean("credit_amount_not_opposite-original", number + 5), "credit_amount_not_opposite-bad", -5.00)
    credit(clean("credit_amount_not_opposite-other", number + 6), "credit_amount_not_opposite-clean", -6.00)
    twice = clean("credit_twice-bad", number + 7)
    credit(twice, "credit_twice-1", -6.00)
    credit(twice, "credit_twice-2", -6.00)
    credit(clean("credit_twice-clean", number + 8), "credit_twice-3", -6.00)


def _place_cases(made: Deliveries, number: int) -> None:
    """What another CDR, the log or a Session tells of a CDR."""

    def clean(name: str, evse: int, **changes: Any) -> Object:
        return _clean(made, name, evse, **changes)

    clean("overlap_same_connector-first", number + 9)
    late = clean("overlap_same_connector-bad", number + 9)
    for name in ("start_date_time", "end_date_time", "last_updated"):
        late[name] = late[name].replace("T10:00", "T11:00").replace("T11:30", "T12:30").replace("T11:35", "T12:35")
    late["charging_periods"][0]["start_date_time"] = "2025-03-03T11:00:00Z"
    late["charging_periods"][1]["start_date_time"] = "2025-03-03T12:00:00Z"
    here = clean("overlap_same_token_far_apart-first", number + 10)
    there = clean("overlap_same_token_far_apart-bad", number + 11, cdr_token=here["cdr_token"])
    there["cdr_location"]["id"] = FAR
    there["start_date_time"] = there["charging_periods"][0]["start_date_time"] = "2025-03-03T10:00:01Z"

    # The log has the charge in UTC; the CDR has the clock on the wall, an hour later in winter.
    wall = clean("local_time_sent_as_utc-bad", number + 12)
    for name in ("start_date_time", "end_date_time", "last_updated"):
        wall[name] = wall[name].replace("T11", "T12").replace("T10", "T11")
    wall["charging_periods"][0]["start_date_time"] = "2025-03-03T11:00:00Z"
    wall["charging_periods"][1]["start_date_time"] = "2025-03-03T12:00:00Z"
    wall["session_id"] = made.sessions[-1]["id"] = "101"
    made.transactions.append(("101", number + 12, "2025-03-03T10:00:00Z", "2025-03-03T11:30:00Z", 10.0))
    utc = clean("local_time_sent_as_utc-clean", number + 13)
    utc["session_id"] = made.sessions[-1]["id"] = "102"
    made.transactions.append(("102", number + 13, "2025-03-03T10:00:00Z", "2025-03-03T11:30:00Z", 10.0))

    watts = clean("kwh_is_wh-bad", number + 14)
    _energy(watts, 10_000.0, 4000.0)
    watts["session_id"] = made.sessions[-1]["id"] = "103"
    made.transactions.append(("103", number + 14, "2025-03-03T10:00:00Z", "2025-03-03T11:30:00Z", 10.0))

    made.sessions.append(session(cdr("session_without_cdr-bad", number + 15)))
    clean("session_without_cdr-clean", number + 16)
    made.cdrs.append(cdr("cdr_without_session-bad", number + 17))
    clean("session_invalid_with_cdr-bad", number + 18)
    made.sessions[-1]["status"] = "INVALID"


IDENTITY_EVSES = 19  # that these two use


def _tariff_cases() -> Iterator[tuple[str, Object]]:
    """Tariffs of the Tariffs module, each with one defect and otherwise fine."""
    energy, rest = _component("ENERGY", 0.40), [_component("FLAT", 1.00)]
    always = {"price_components": [energy, *rest]}

    def restricted(price: float, **restrictions: Any) -> Object:
        return {"price_components": [_component("ENERGY", price)], "restrictions": restrictions}

    yield "tariff_without_elements", {"elements": []}
    yield "element_never_applies", {"elements": [restricted(0.30, min_kwh=20.0, max_kwh=10.0), always]}
    yield "element_out_of_reach", {"elements": [always, restricted(0.30, min_kwh=20.0)]}
    yield "component_ignored", {"elements": [{"price_components": [energy, _component("ENERGY", 0.5), *rest]}]}
    yield "component_unknown", {"elements": [{"price_components": [energy, *rest, _component("CURRENT", 1.0)]}]}
    overlapping = [
        restricted(0.30, start_time="20:00", end_time="06:00"),
        restricted(0.25, day_of_week=["SUNDAY"]),
        always,
    ]
    yield "overlapping_restrictions", {"elements": overlapping}
    yield "no_catch_all", {"elements": [restricted(0.30, start_time="20:00", end_time="06:00")]}
    yield "negative_step_size", {"elements": [{"price_components": [_component("ENERGY", 0.40, -5)]}]}
    yield "negative_price", {"elements": [{"price_components": [_component("ENERGY", -0.40)]}]}
    yield "validity_is_empty", {"start_date_time": "2025-02-01T00:00:00Z", "end_date_time": "2025-01-01T00:00:00Z"}
    yield "price_limits_contradict", {"min_price": {"excl_vat": 5.0}, "max_price": {"excl_vat": 4.0}}
    without_vat = {"price_components": [{"type": "ENERGY", "price": 0.40, "step_size": 1}]}
    yield "vat_unknown", {"tax_included": "YES", "elements": [without_vat]}
    yield "tariff_currency_unknown", {"currency": "XQQ"}


def deliveries() -> tuple[Deliveries, int]:
    """Everything the peers deliver, and the number of EVSEs it needs."""
    made = Deliveries()
    evse = 0
    for name, change in CHANGES.items():
        for kind in ("bad", "clean"):
            of = cdr(f"{name}-{kind}", evse)
            made.sessions.append(session(of))
            if kind == "bad":
                change(of)
            made.cdrs.append(of)
            evse += 1
    _identity_cases(made, evse)
    _place_cases(made, evse)
    evse += IDENTITY_EVSES
    for name in ("duplicate_same_payload", "duplicate_changed_payload", "same_session_two_cdrs", "overlap_same_connector",
                 "overlap_same_token_far_apart", "kwh_is_wh", "cdr_without_session", "session_invalid_with_cdr"):  # fmt: skip
        of = cdr(f"{name}-clean", evse)
        made.cdrs.append(of)
        made.sessions.append(session(of))
        evse += 1
    for name, changes in _tariff_cases():
        made.tariffs.append(tariff(f"{name}-bad", **changes))
        made.tariffs.append(_clean_tariff(name))
    return made, evse


def _clean_tariff(name: str) -> Object:
    """A sound tariff near the one with the defect."""
    energy, always = _component("ENERGY", 0.30), tariff()["elements"][0]
    shapes: dict[str, list[Object]] = {
        "element_never_applies": [
            {"price_components": [energy], "restrictions": {"min_kwh": 10.0, "max_kwh": 20.0}},
            always,
        ],
        "element_out_of_reach": [{"price_components": [energy], "restrictions": {"min_kwh": 20.0}}, always],
        "overlapping_restrictions": [
            {"price_components": [energy], "restrictions": {"start_time": "20:00", "end_time": "06:00"}},
            {
                "price_components": [_component("ENERGY", 0.25)],
                "restrictions": {"start_time": "06:00", "end_time": "08:00"},
            },
            always,
        ],
        "no_catch_all": [
            {"price_components": [energy], "restrictions": {"start_time": "20:00", "end_time": "06:00"}},
            {
                "price_components": [_component("ENERGY", 0.5)],
                "restrictions": {"start_time": "06:00", "end_time": "20:00"},
            },
        ],
    }
    changes: Object = {"elements": shapes[name]} if name in shapes else {}
    if name == "vat_unknown":
        changes = {"tax_included": "YES"}
    return tariff(f"{name}-clean", **changes)
