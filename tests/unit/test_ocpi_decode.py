"""All OCPI versions reach one shape; what can't be read is quarantined with its place; no token stays in the clear."""

import copy
import gzip
import json
import os
import random
from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

import duckdb
import pytest
import zstandard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipelines.files import LandedFileError
from pipelines.home import Commit, FileCounts, Home, LakeWriter, content_hash
from pipelines.ocpi.decode import decode_file, place_of
from pipelines.pseudonym import create_macros, pseudonym
from tests.conftest import TEST_KEY

UID, CONTRACT, AUTH_ID, MAIL = "0x04B7C2D9E1", "QQ-EMP-C00077-1", "QQEMP00123456", "jo.doe@example.org"

CDR_211 = {
    "id": "211-a",
    "start_date_time": "2026-03-02T08:15:00Z",
    "stop_date_time": "2026-03-02T09:45:00",
    "auth_id": AUTH_ID,
    "auth_method": "WHITELIST",
    "location": {
        "id": "LOC-1",
        "type": "ON_STREET",
        "name": "North Quay",
        "address": "1 Quay",
        "city": "Porto",
        "postal_code": "4000",
        "country": "PRT",
        "coordinates": {"latitude": "41.1", "longitude": "-8.6"},
        "time_zone": "Europe/Lisbon",
        "owner": {"name": "Quay Ltd"},
        "evses": [
            {
                "uid": "EVSE-77",
                "evse_id": "PT*QAY*E77",
                "status": "AVAILABLE",
                "connectors": [{"id": "1", "standard": "IEC_62196_T2", "format": "SOCKET", "power_type": "AC_3_PHASE"}],
            }
        ],
    },
    "currency": "EUR",
    "tariffs": [
        {
            "id": "T-old",
            "currency": "EUR",
            "elements": [{"price_components": [{"type": "TIME", "price": "2.00", "step_size": 300}]}],
            "last_updated": "2026-01-01T00:00:00Z",
        }
    ],
    "charging_periods": [
        {
            "start_date_time": "2026-03-02T08:15:00Z",
            "dimensions": [{"type": "ENERGY", "volume": 10.5}, {"type": "TIME", "volume": 1.5}],
        }
    ],
    "total_cost": "3.10",
    "total_energy": 10.5,
    "total_time": 1.5,
    "last_updated": "2026-03-02T10:00:00Z",
}
CDR_221 = {
    "country_code": "PT",
    "party_id": "QAY",
    "id": "221-a",
    "start_date_time": "2026-03-02T08:15:00+01:00",
    "end_date_time": "2026-03-02T09:45:00.250Z",
    "session_id": "s-9",
    "cdr_token": {"country_code": "QQ", "party_id": "EMP", "uid": UID, "type": "RFID", "contract_id": CONTRACT},
    "auth_method": "AUTH_REQUEST",
    "cdr_location": {
        "id": "LOC-1",
        "address": "1 Quay",
        "city": "Porto",
        "country": "PRT",
        "coordinates": {"latitude": "41.1", "longitude": "-8.6"},
        "evse_uid": "EVSE-77",
        "evse_id": "#NA",
        "connector_id": "1",
        "connector_standard": "IEC_62196_T2",
        "connector_format": "SOCKET",
        "connector_power_type": "AC_3_PHASE",
    },
    "currency": "EUR",
    "charging_periods": [
        {
            "start_date_time": "2026-03-02T07:15:00Z",
            "tariff_id": "T1",
            "dimensions": [{"type": "ENERGY", "volume": 4}, {"type": "MAX_POWER", "volume": 11}],
        },
        {"start_date_time": "2026-03-02T08:15:00Z", "dimensions": []},
    ],
    "total_cost": {"excl_vat": 3.1, "incl_vat": 3.813},
    "total_energy": 4,
    "total_time": 2.5,
    "total_parking_time": None,
    "total_parking_cost": None,
    "remark": f"ask {MAIL} about {UID}",
    "last_updated": "2026-03-02T10:00:00Z",
}
CDR_230 = {
    **CDR_221,
    "id": "230-a",
    "tariffs": [
        {
            "country_code": "PT",
            "party_id": "QAY",
            "id": "T-new",
            "currency": "EUR",
            "tax_included": "NO",
            "min_price": {"before_taxes": 0.5, "after_taxes": 0.6},
            "elements": [
                {
                    "price_components": [
                        {"type": "ENERGY", "price": 0.39, "vat": 23, "step_size": 1},
                        {"type": "FLAT", "price": 1, "vat": 23.0, "step_size": 1},
                    ],
                    "restrictions": {
                        "start_time": "08:00",
                        "end_time": "20:00",
                        "start_date": "2026-01-01",
                        "day_of_week": ["MONDAY", "FRIDAY"],
                        "min_kwh": 1,
                        "max_duration": 3600,
                    },
                },
                {"price_components": [{"type": "PARKING_TIME", "price": 6, "step_size": 60}]},
            ],
            "last_updated": "2026-01-01T00:00:00Z",
        }
    ],
    "total_cost": {"before_taxes": 3.1, "taxes": [{"name": "VAT", "percentage": 23, "amount": 0.713}]},
    "total_fixed_cost": {"before_taxes": 1, "taxes": []},
    "credit": True,
    "credit_reference_id": "230-0",
}
TARIFF = {**CDR_230["tariffs"][0], "tariff_alt_text": [{"language": "en", "text": "0.39 per kWh"}]}
LOCATION = {
    "country_code": "PT",
    "party_id": "QAY",
    "publish": True,
    **CDR_211["location"],
    "last_updated": "2026-03-01T00:00:00Z",
}
SESSION_211 = {
    "id": "S-1",
    "start_datetime": "2026-03-02T08:15:00Z",
    "kwh": 3.25,
    "auth_id": AUTH_ID,
    "auth_method": "WHITELIST",
    "location": CDR_211["location"],
    "currency": "EUR",
    "status": "ACTIVE",
    "last_updated": "2026-03-02T08:20:00Z",
}
SESSION_221 = {
    **{
        k: CDR_221[k] for k in ("country_code", "party_id", "start_date_time", "end_date_time", "cdr_token", "currency")
    },
    "id": "S-2",
    "kwh": 4,
    "location_id": "LOC-1",
    "evse_uid": "EVSE-77",
    "connector_id": "1",
    "total_cost": {"excl_vat": 1},
    "status": "COMPLETED",
    "last_updated": "2026-03-02T10:00:00Z",
}
TOKEN = {
    "country_code": "QQ",
    "party_id": "EMP",
    "uid": UID,
    "type": "RFID",
    "contract_id": CONTRACT,
    "visual_number": "DF000-2001-8999",
    "issuer": "Emp",
    "group_id": "GROUP-000-1",
    "valid": True,
    "whitelist": "ALLOWED",
    "last_updated": "2026-03-01T00:00:00Z",
}


@pytest.fixture
def decode(home: Home) -> Callable[..., FileCounts]:
    """Land a file (text, bytes, or objects for a JSON array), decode it and commit."""

    def run(content: object, path: str = "ocpi/cdrs/x.json", *, into: Home = home) -> FileCounts:
        data = content if isinstance(content, str | bytes) else json.dumps(content, ensure_ascii=False)
        file = into.landing / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data.encode() if isinstance(data, str) else data)
        with duckdb.connect() as con:
            create_macros(con, TEST_KEY)
            commit = Commit(content_hash(file), path, "ocpi", file.stat().st_size, "2026-01-01T00:00:00Z")
            writer = LakeWriter(into, con, commit)
            decode_file(file, writer=writer)
            return writer.commit().counts

    return run


def changed(record: dict, **changes: object) -> dict:
    """A copy with fields changed; ``...`` takes a field away."""
    return {key: value for key, value in (copy.deepcopy(record) | changes).items() if value is not ...}


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def test_a_cdr_of_each_version_reaches_the_same_columns(decode, lake_rows):
    assert decode([CDR_211, CDR_221, CDR_230], "ocpi/cdrs/quay/x.json") == FileCounts(read=3, loaded=3)
    old, middle, new = lake_rows("ocpi/cdr", order_by="record_number")
    assert [row["ocpi_version"] for row in (old, middle, new)] == ["2.1.1", "2.2.1", "2.3.0"]
    assert [row["peer"] for row in (old, middle, new)] == ["quay"] * 3
    assert (old["country_code"], old["party_id"]) == (None, None)
    assert (new["country_code"], new["party_id"]) == ("PT", "QAY")
    assert (old["started_at"], old["ended_at"]) == (at("2026-03-02T08:15"), at("2026-03-02T09:45"))
    assert (middle["started_at"], middle["ended_at"]) == (at("2026-03-02T07:15"), at("2026-03-02T09:45:00.25"))
    for row in (old, middle, new):
        assert row["location_id"] == "LOC-1"
        assert (row["evse_uid"], row["connector_id"]) == ("EVSE-77", "1")
        assert (row["connector_standard"], row["connector_power_type"]) == ("IEC_62196_T2", "AC_3_PHASE")
        assert row["location_country"] == "PRT"
        assert row["total_cost_net"] == Decimal("3.100000")
    assert (old["evse_id"], middle["evse_id"]) == ("PT*QAY*E77", None)
    assert (old["location_time_zone"], middle["location_time_zone"]) == ("Europe/Lisbon", None)
    assert [row["total_cost_gross"] for row in (old, middle, new)] == [None, Decimal("3.813"), Decimal("3.813")]
    assert (new["total_fixed_cost_net"], new["total_fixed_cost_gross"]) == (1, 1)
    assert (middle["total_parking_cost_net"], middle["total_parking_time_h"]) == (None, None)
    assert (old["token_hash"], old["contract_hash"]) == (pseudonym(TEST_KEY, AUTH_ID), None)
    assert (middle["token_hash"], middle["contract_hash"]) == (pseudonym(TEST_KEY, UID), pseudonym(TEST_KEY, CONTRACT))
    assert (middle["token_country_code"], middle["token_party_id"], middle["token_type"]) == ("QQ", "EMP", "RFID")
    assert (new["is_credit"], new["credit_reference_id"], middle["is_credit"]) == (True, "230-0", None)


def test_every_period_and_dimension_of_a_cdr_is_a_row(decode, lake_rows):
    decode([CDR_221])
    rows = lake_rows("ocpi/cdr_dimension", order_by="period_number, dimension")
    assert [(r["period_number"], r["dimension"], r["volume"], r["tariff_id"]) for r in rows] == [
        (1, "ENERGY", 4, "T1"),
        (1, "MAX_POWER", 11, "T1"),
        (2, None, None, None),
    ]
    assert [r["period_started_at"] for r in rows] == [
        at("2026-03-02T07:15"),
        at("2026-03-02T07:15"),
        at("2026-03-02T08:15"),
    ]
    assert {r["cdr_id"] for r in rows} == {"221-a"}


def test_a_tariff_is_the_same_from_its_module_and_from_a_cdr(decode, lake_rows):
    plain = changed(TARIFF, tariff_alt_text=...)
    assert decode([CDR_230]) == FileCounts(read=1, loaded=1)
    assert decode([plain], "ocpi/tariffs/x.json") == FileCounts(read=1, loaded=1)
    embedded, module = sorted(lake_rows("ocpi/tariff"), key=lambda row: row["embedded_in_cdr_id"] is None)
    assert (embedded["embedded_in_cdr_id"], module["embedded_in_cdr_id"]) == ("230-a", None)
    differing = {"source_id", "line_number", "record_number", "embedded_in_cdr_id", "raw"}
    assert {k: v for k, v in embedded.items() if k not in differing} == {
        k: v for k, v in module.items() if k not in differing
    }
    assert module["ocpi_version"] == "2.3.0"
    assert (module["min_price_net"], module["min_price_gross"], module["max_price_net"]) == (
        Decimal("0.5"),
        Decimal("0.6"),
        None,
    )
    rows = lake_rows(
        "ocpi/tariff_component", order_by="embedded_in_cdr_id nulls last, element_number, component_number"
    )
    assert len(rows) == 6
    energy, flat, parking = rows[:3]
    assert [(r["element_number"], r["component_number"], r["dimension"]) for r in rows[:3]] == [
        (1, 1, "ENERGY"),
        (1, 2, "FLAT"),
        (2, 1, "PARKING_TIME"),
    ]
    assert (energy["price"], energy["vat_percent"], energy["step_size"]) == (Decimal("0.39"), 23, 1)
    assert (parking["price"], parking["vat_percent"], parking["step_size"]) == (6, None, 60)
    for row in (energy, flat):
        assert (row["start_time"], row["end_time"], row["start_date"]) == ("08:00", "20:00", date(2026, 1, 1))
        assert (row["day_of_week"], row["min_kwh"], row["max_duration_s"]) == ("MONDAY,FRIDAY", 1, 3600)
    assert (parking["start_time"], parking["day_of_week"], parking["min_kwh"]) == (None, None, None)
    assert {r["record_hash"] for r in rows} == {module["record_hash"]}


def test_alternative_text_of_a_tariff_is_kept(decode, lake_rows):
    decode([TARIFF], "ocpi/tariffs/x.json")
    assert [row["alt_text"] for row in lake_rows("ocpi/tariff")] == ["0.39 per kWh"]


@pytest.mark.parametrize(
    ("restrictions", "expected"),
    [
        ([{"start_time": "08:00:00"}, {"day_of_week": ["SUNDAY"]}], ("08:00", None, "SUNDAY")),
        ([], (None, None, None)),
        (None, (None, None, None)),
        ({"start_time": "22:00", "end_time": "23:59:59"}, ("22:00", "00:00", None)),
        ({"end_time": "24:00", "day_of_week": []}, (None, "00:00", None)),
        ({"start_time": "8:30", "end_time": None}, ("08:30", None, None)),
    ],
)
def test_restrictions_as_peers_send_them_are_understood(decode, lake_rows, restrictions, expected):
    tariff = changed(TARIFF, elements=[{**TARIFF["elements"][1], "restrictions": restrictions}])
    assert decode([tariff], "ocpi/tariffs/x.json").loaded == 1
    (row,) = lake_rows("ocpi/tariff_component")
    assert (row["start_time"], row["end_time"], row["day_of_week"]) == expected


def test_a_location_gives_its_connectors_and_tariffs_that_a_peer_put_into_its_evses(decode, lake_rows):
    empty = {"uid": "EVSE-78", "status": "REMOVED", "connectors": [], "last_updated": "2026-02-01T00:00:00Z"}
    full = copy.deepcopy(LOCATION["evses"][0])
    full["connectors"][0] |= {
        "max_voltage": 230,
        "max_amperage": "32",
        "max_electric_power": 22000,
        "tariff_ids": ["A", "B"],
    }
    full["tariffs"] = [TARIFF]
    old = changed(LOCATION["evses"][0], uid="EVSE-79")
    old["connectors"] = [{"id": "2", "voltage": 400, "amperage": 16, "tariff_id": "C"}]
    assert decode([changed(LOCATION, evses=[full, empty, old])], "ocpi/locations/x.json").loaded == 1
    (location,) = lake_rows("ocpi/location")
    assert (location["name"], location["city"], location["time_zone"]) == ("North Quay", "Porto", "Europe/Lisbon")
    assert (location["latitude"], location["longitude"]) == (Decimal("41.1"), Decimal("-8.6"))
    assert (location["owner_name"], location["ocpi_version"]) == ("Quay Ltd", "2.2.1")
    first, second, third = lake_rows("ocpi/connector", order_by="evse_uid")
    assert (first["evse_uid"], first["evse_id"], first["connector_id"]) == ("EVSE-77", "PT*QAY*E77", "1")
    assert (first["max_voltage_v"], first["max_amperage_a"], first["max_electric_power_w"]) == (230, 32, 22000)
    assert (first["tariff_ids"], third["tariff_ids"], third["max_voltage_v"]) == ("A,B", "C", 400)
    assert (second["evse_uid"], second["evse_status"], second["connector_id"]) == ("EVSE-78", "REMOVED", None)
    assert second["evse_last_updated_at"] == at("2026-02-01T00:00")
    assert [row["tariff_id"] for row in lake_rows("ocpi/tariff")] == ["T-new"]


def test_sessions_and_tokens_of_old_and_new_versions_are_read(decode, lake_rows):
    assert decode([SESSION_211, SESSION_221], "ocpi/sessions/x.json") == FileCounts(read=2, loaded=2)
    old, new = lake_rows("ocpi/session", order_by="record_number")
    assert (old["ocpi_version"], new["ocpi_version"]) == ("2.1.1", "2.2.1")
    assert (old["started_at"], old["ended_at"], old["energy_kwh"]) == (at("2026-03-02T08:15"), None, Decimal("3.25"))
    assert (new["started_at"], new["ended_at"]) == (at("2026-03-02T07:15"), at("2026-03-02T09:45:00.25"))
    for row in (old, new):
        assert (row["location_id"], row["evse_uid"], row["connector_id"]) == ("LOC-1", "EVSE-77", "1")
    assert (old["token_hash"], new["token_hash"]) == (pseudonym(TEST_KEY, AUTH_ID), pseudonym(TEST_KEY, UID))
    assert (new["total_cost_net"], new["total_cost_gross"]) == (1, None)

    old_token = {"uid": UID, "type": "OTHER", "auth_id": AUTH_ID, "issuer": "Emp", "valid": False, "whitelist": "NEVER"}
    old_token["last_updated"] = "2026-03-01T00:00:00"
    assert decode([old_token, TOKEN], "ocpi/tokens/x.json").loaded == 2
    old, new = lake_rows("ocpi/token", order_by="record_number")
    assert (old["ocpi_version"], old["contract_hash"]) == ("2.1.1", pseudonym(TEST_KEY, AUTH_ID))
    assert (new["ocpi_version"], new["contract_hash"]) == ("2.2.1", pseudonym(TEST_KEY, CONTRACT))
    assert (old["is_valid"], new["is_valid"], new["whitelist"]) == (False, True, "ALLOWED")
    assert old["token_hash"] == new["token_hash"] == pseudonym(TEST_KEY, UID)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0.1", "0.1"),
        ('"0.1"', "0.1"),
        ("1e-3", "0.001"),
        ("1.5E+2", "150"),
        ("12E0", "12"),
        ("123456789012.123456", "123456789012.123456"),
        ("-99999999999.999999", "-99999999999.999999"),
        ("0.12345600000000000001", "0.123456"),
        ("0.29999999999999998", "0.3"),
        ("4", "4"),
    ],
)
def test_amounts_keep_every_digit_of_their_text(decode, lake_rows, text, value):
    cdr = (
        json.dumps(CDR_221)
        .replace('"excl_vat": 3.1', f'"excl_vat": {text}')
        .replace('"volume": 11', f'"volume": {text}')
    )
    assert decode(cdr).loaded == 1
    assert lake_rows("ocpi/cdr")[0]["total_cost_net"] == Decimal(value)
    assert [r["volume"] for r in lake_rows("ocpi/cdr_dimension") if r["dimension"] == "MAX_POWER"] == [Decimal(value)]


@pytest.mark.parametrize(
    ("changes", "column", "reason"),
    [
        ({"id": ...}, "id", "missing_required"),
        ({"id": None}, "id", "missing_required"),
        ({"id": " "}, "id", "missing_required"),
        ({"start_date_time": "2026-02-30T00:00:00Z"}, "start_date_time", "bad_datetime"),
        ({"start_date_time": "yesterday"}, "start_date_time", "bad_datetime"),
        ({"start_date_time": "2026-02-03"}, "start_date_time", "bad_datetime"),
        ({"end_date_time": 1767225600}, "end_date_time", "bad_datetime"),
        ({"end_date_time": ...}, "end_date_time", "missing_required"),
        ({"currency": None}, "currency", "missing_required"),
        ({"total_cost": {"excl_vat": "free"}}, "total_cost", "bad_number"),
        ({"total_cost": {"excl_vat": "1,50"}}, "total_cost", "bad_number"),
        ({"total_cost": {"excl_vat": 1e12}}, "total_cost", "bad_number"),
        ({"total_cost": {}}, "total_cost", "missing_required"),
        ({"total_cost": {"excl_vat": 1, "incl_vat": "x"}}, "total_cost", "bad_number"),
        ({"total_cost": {"before_taxes": 1, "taxes": [{"name": "VAT"}]}}, "total_cost.taxes", "bad_number"),
        ({"total_energy": True}, "total_energy", "bad_number"),
        ({"total_parking_time": "a while"}, "total_parking_time", "bad_number"),
        ({"credit": "perhaps"}, "credit", "bad_boolean"),
        ({"charging_periods": "none"}, "charging_periods", "bad_type"),
        ({"charging_periods": "[{"}, "charging_periods", "bad_type"),
        ({"charging_periods": 7}, "charging_periods", "bad_type"),
        ({"charging_periods": ["x"]}, "charging_periods.start_date_time", "bad_datetime"),
        ({"tariffs": "[none"}, "tariffs", "bad_type"),
        ({"tariffs": [changed(TARIFF, elements="[")]}, "tariffs.elements", "bad_type"),
        (
            {"tariffs": [changed(TARIFF, elements=[{"price_components": "["}])]},
            "tariffs.elements.price_components",
            "bad_type",
        ),
        (
            {"tariffs": [changed(TARIFF, elements=[{**TARIFF["elements"][1], "restrictions": "{"}])]},
            "tariffs.elements.restrictions",
            "bad_type",
        ),
        (
            {"tariffs": [changed(TARIFF, elements=[{**TARIFF["elements"][1], "restrictions": {"min_kwh": "few"}}])]},
            "tariffs.elements.restrictions",
            "bad_number",
        ),
        ({"total_cost": {"before_taxes": 1, "taxes": "["}}, "total_cost.taxes", "bad_number"),
        ({"charging_periods": [{"dimensions": []}]}, "charging_periods.start_date_time", "bad_datetime"),
        (
            {"charging_periods": [{"start_date_time": "2026-03-02T07:15:00Z", "dimensions": [{"type": "TIME"}]}]},
            "charging_periods.dimensions",
            "bad_number",
        ),
        ({"tariffs": [changed(TARIFF, elements=...)]}, "tariffs.elements", "missing_required"),
        (
            {"tariffs": [changed(TARIFF, elements=[{"price_components": [{"type": "FLAT", "price": "x"}]}])]},
            "tariffs.elements.price_components",
            "bad_number",
        ),
        ({"cdr_token": {"uid": [UID]}}, "cdr_token", "bad_token"),
        ({"cdr_token": {"uid": [1]}}, "cdr_token.uid", "bad_token"),
    ],
)
def test_a_cdr_with_a_defect_is_quarantined_and_its_neighbours_are_loaded(decode, lake_rows, changes, column, reason):
    good = [changed(CDR_221, id=f"good-{i}") for i in range(2)]
    content = "\n".join(json.dumps(cdr) for cdr in (good[0], changed(CDR_221, **changes), good[1]))
    assert decode(content) == FileCounts(read=3, loaded=2, quarantined=1)
    (row,) = lake_rows("quarantine/record")
    assert (row["line_number"], row["record_number"]) == (2, 2)
    assert (row["column_name"], row["reason"]) == (column, reason)
    assert row["expected"]
    assert row["path"] == "ocpi/cdrs/x.json"
    assert sorted(r["cdr_id"] for r in lake_rows("ocpi/cdr")) == ["good-0", "good-1"]


@pytest.mark.parametrize(
    "changes",
    [
        {"currency": "XXQ"},
        {"country_code": None, "party_id": None},
        {"charging_periods": ...},
        {"charging_periods": []},
        {"cdr_location": None},
        {"cdr_location": {"id": "LOC-1", "evse_uid": None}},
        {"tariffs": None},
        {"unknown": {"deeply": ["new"]}},
        {"total_cost": {"before_taxes": "3.10"}},
        {"total_cost": {"excl_vat": 3.1, "incl_vat": None}},
        {"total_energy_cost": {"excl_vat": None}},
        {"start_date_time": "2026-03-02t07:15:00z"},
        {"start_date_time": "2026-03-02 07:15:00.123456789"},
        {"auth_method": "SOMETHING_NEW"},
        {"tariffs": ["T1", "T2"]},
        {"tariffs": TARIFF},
    ],
)
def test_what_peers_leave_out_or_spell_their_own_way_is_no_defect(decode, changes):
    assert decode([changed(CDR_221, **changes)]) == FileCounts(read=1, loaded=1)


@pytest.mark.parametrize(
    ("record", "module", "noun"),
    [
        (TARIFF, "cdrs", "tariff"),
        (CDR_221, "tariffs", "CDR"),
        (TOKEN, "locations", "token"),
        (SESSION_221, "cdrs", "session"),
    ],
)
def test_an_object_of_another_module_is_quarantined_by_name(decode, lake_rows, record, module, noun):
    assert decode([record], f"ocpi/{module}/x.json") == FileCounts(read=1, quarantined=1)
    (row,) = lake_rows("quarantine/record")
    assert (row["value"], row["reason"]) == (noun, "wrong_module")


def test_the_same_object_twice_in_a_file_is_a_duplicate_however_it_is_laid_out(decode, lake_rows):
    content = f"{json.dumps(CDR_221)}\n{json.dumps(CDR_221, indent=2)}\n{json.dumps(changed(CDR_221, remark='new'))}"
    assert decode(content) == FileCounts(read=3, loaded=2, duplicate=1)
    assert len({row["record_hash"] for row in lake_rows("ocpi/cdr")}) == 2


@pytest.mark.parametrize("compress", [bytes, gzip.compress, zstandard.compress])
def test_compressed_files_and_envelopes_are_read(decode, compress):
    page = json.dumps({"data": [CDR_211, CDR_221], "status_code": 1000, "timestamp": "2026-03-02T10:00:00Z"})
    assert decode(compress(page.encode()), "ocpi/cdrs/p/x.json.gz") == FileCounts(read=2, loaded=2)


def test_a_peer_error_is_quarantined_and_never_no_data(decode, lake_rows):
    assert decode('{"data":[],"status_code":3000,"timestamp":"t"}') == FileCounts(read=1, quarantined=1)
    (row,) = lake_rows("quarantine/record")
    assert (row["reason"], row["column_name"], row["value"]) == ("peer_error", "status_code", "3000")


def test_a_cut_archive_loads_its_whole_objects_and_reports_the_cut(decode, lake_rows):
    cdrs = [changed(CDR_221, id=f"{random.Random(i).getrandbits(256):x}") for i in range(300)]
    packed = gzip.compress("\n".join(json.dumps(cdr) for cdr in cdrs).encode())
    counts = decode(packed[: len(packed) * 3 // 4], "ocpi/cdrs/x.jsonl.gz")
    assert counts.quarantined == 1
    assert 150 < counts.loaded < 300
    (row,) = lake_rows("quarantine/record")
    assert row["reason"] == "truncated_archive"
    assert row["line_number"] == counts.loaded + 1


def test_a_file_that_cannot_be_opened_or_has_no_module_is_one_quarantined_record(decode, lake_rows):
    assert decode(b"PK\x03\x04", "ocpi/cdrs/x.json") == FileCounts(read=1, quarantined=1)
    assert decode([CDR_211], "ocpi/x.json") == FileCounts(read=1, quarantined=1)
    rows = lake_rows("quarantine/record", order_by="reason")
    assert [row["reason"] for row in rows] == ["unknown_module", "unsupported_archive"]
    assert [(row["line_number"], row["text"]) for row in rows] == [(None, None)] * 2


def test_module_and_peer_come_from_the_folders():
    assert place_of("ocpi/cdrs/x.json").peer is None
    place = place_of("ocpi/Tariffs/PeerCo/2026/x.json")
    assert (place.module.name, place.peer) == ("tariffs", "PeerCo")
    with pytest.raises(LandedFileError, match="unknown_module"):
        place_of("ocpi/invoices/x.json")


def test_the_peer_is_the_party_where_no_folder_names_one(decode, lake_rows):
    decode([changed(CDR_221, country_code="pt"), CDR_211])
    assert [row["peer"] for row in lake_rows("ocpi/cdr", order_by="record_number")] == ["PT*QAY", ""]


def all_bytes(home: Home) -> bytes:
    """Every value of every lake file, as text and as stored."""
    texts = []
    for path in home.lake.rglob("*.parquet"):
        texts.append(path.read_bytes())
        with duckdb.connect() as con:
            texts += [json.dumps(row, default=str).encode() for row in con.sql(f"from '{path}'").fetchall()]
    return b"\n".join(texts)


def test_no_token_contract_or_mail_address_is_left_in_the_clear(decode, home, lake_rows):
    signed = {"encoding_method": "OCMF", "signed_values": [{"nature": "End", "plain_data": f'OCMF|{{"ID":"{UID}"}}'}]}
    cdrs = [
        CDR_211,
        CDR_221,
        changed(CDR_230, signed_data=signed),
        changed(CDR_221, id="n", cdr_token={"uid": 1234567890123, "contract_id": CONTRACT}, remark=...),
        changed(CDR_221, id="mixed", location=CDR_211["location"], auth_id=AUTH_ID),
        changed(CDR_221, id="no cost", total_cost=None),
        changed(CDR_221, id="list", cdr_token={"uid": [UID], "contract_id": {"x": CONTRACT}}, remark=...),
        changed(CDR_221, id="float", cdr_token={"uid": 123456.75}, remark=...),
    ]
    texts = [json.dumps(cdr) for cdr in cdrs]
    texts += [
        texts[1][: texts[1].index(CONTRACT) + len(CONTRACT) - 2],
        texts[1].replace(f'"uid": "{UID}"', f'"uid": "{UID}'),
        texts[1].replace("@", "\\u0040"),
        texts[1].replace(f'"uid": "{UID}"', f"uid: {UID}"),
    ]
    counts = decode("\n".join(texts))
    assert counts.read == len(texts)
    decode([TOKEN, changed(TOKEN, type=None)], "ocpi/tokens/x.json")
    decode([TOKEN], "ocpi/locations/x.json")
    decode([SESSION_211, SESSION_221], "ocpi/sessions/x.json")
    decode([changed(LOCATION, name=MAIL)], "ocpi/locations/y.json")
    stored = all_bytes(home).upper()
    for secret in (
        UID,
        CONTRACT[:-2],
        AUTH_ID,
        MAIL,
        "JO.DOE",
        "DF000-2001",
        "GROUP-000",
        "1234567890123",
        "123456.75",
    ):
        assert secret.upper().encode() not in stored, secret
    rows = {row["cdr_id"]: row for row in lake_rows("ocpi/cdr")}
    assert rows["n"]["token_hash"] == pseudonym(TEST_KEY, "1234567890123")
    assert rows["mixed"]["evse_uid"] == "EVSE-77"
    assert rows["221-a"]["remark"] == f"ask {pseudonym(TEST_KEY, MAIL)} about {pseudonym(TEST_KEY, UID)}"
    assert json.loads(rows["211-a"]["raw"])["location"]["evses"][0]["uid"] == "EVSE-77"
    assert json.loads(rows["221-a"]["raw"])["cdr_token"]["uid"] == pseudonym(TEST_KEY, UID)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_records_read_are_loaded_or_duplicate_or_quarantined(data, tmp_path_factory, decode):
    home = Home(tmp_path_factory.mktemp("home"))
    home.prepare()
    good = st.integers(0, 5).map(lambda i: json.dumps(changed(CDR_221, id=f"g{i}")))
    bad = st.sampled_from([{"id": None}, {"total_cost": "x"}, {"end_date_time": "x"}]).map(
        lambda change: json.dumps(changed(CDR_221, **change))
    )
    cut = st.integers(1, 900).map(lambda n: json.dumps(CDR_221)[:n])
    lines = data.draw(st.lists(good | bad | cut, max_size=12))
    counts = decode("\n".join(lines), into=home)
    counts.check("x")
    kept = [line for line in lines if line.endswith("}") and '"g' in line]
    assert counts.loaded == len(set(kept))
    assert counts.duplicate == len(kept) - len(set(kept))
    with duckdb.connect() as con:
        (quarantined,) = con.sql(f"select count(*) from '{home.lake}/quarantine/record/*.parquet'").fetchall()
    assert quarantined == (counts.quarantined,)


def test_a_file_larger_than_one_block_keeps_its_line_numbers(decode, lake_rows, monkeypatch):
    monkeypatch.setattr("pipelines.ocpi.decode.CHUNK_BYTES", 10_000)
    lines = [json.dumps(changed(CDR_221, id=f"c{i}")) for i in range(60)]
    lines[30] = lines[30][:-40]
    lines.append(lines[0])
    assert decode("\n".join(lines)) == FileCounts(read=61, loaded=59, duplicate=1, quarantined=1)
    assert [(r["cdr_id"], r["line_number"]) for r in lake_rows("ocpi/cdr", order_by="line_number")] == [
        (f"c{i}", i + 1) for i in range(60) if i != 30
    ]


def test_the_prices_of_the_worked_examples_survive_as_tariffs(decode, lake_rows):
    folder = Path(__file__).resolve().parents[3] / "shared" / "vectors"
    path = Path(os.environ.get("CHARGEHOUSE_VECTORS", folder)) / "ocpi_worked_examples.json"
    if not path.is_file():
        pytest.skip(f"no vectors at {path}; name their folder with CHARGEHOUSE_VECTORS")
    cases = [case for case in json.loads(path.read_text())["cases"] if "tariff" in case]
    tariffs = [
        {
            "id": f"T{i}",
            "currency": "EUR",
            "last_updated": "2026-01-01T00:00:00Z",
            "elements": [
                {
                    "price_components": [
                        {"type": c["dimension"], **{k: c[k] for k in ("price", "vat", "step_size") if k in c}}
                        for c in element["components"]
                    ]
                }
                for element in case["tariff"]["elements"]
            ],
        }
        for i, case in enumerate(cases)
    ]
    assert decode(tariffs, "ocpi/tariffs/x.json").loaded == len(tariffs)
    expected = [c["price"] for case in cases for element in case["tariff"]["elements"] for c in element["components"]]
    rows = lake_rows("ocpi/tariff_component", order_by="record_number, element_number, component_number")
    assert [row["price"] for row in rows] == [Decimal(price) for price in expected]


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**20), 10**20)
    | st.floats(allow_nan=True)
    | st.text(max_size=8)
    | st.sampled_from(["[", "{", "[{}]", '"', "{}", "2026-01-01T00:00:00Z", "08:00", "1e400", "#NA"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["id", "uid", "type"]), inner),
    max_leaves=4,
)


def places(value: object, path: tuple = ()) -> list[tuple]:
    """Every place in a JSON value."""
    if isinstance(value, dict):
        return [path] + [p for key, inner in value.items() for p in places(inner, (*path, key))]
    if isinstance(value, list):
        return [path] + [p for i, inner in enumerate(value) for p in places(inner, (*path, i))]
    return [path]


@pytest.mark.parametrize(
    ("module", "records"),
    [
        ("cdrs", [CDR_211, CDR_221, CDR_230]),
        ("tariffs", [TARIFF]),
        ("locations", [LOCATION]),
        ("sessions", [SESSION_211, SESSION_221]),
        ("tokens", [TOKEN]),
    ],
)
@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_no_value_in_any_place_stops_a_file(data, tmp_path_factory, decode, module, records):
    home = Home(tmp_path_factory.mktemp("home"))
    home.prepare()
    objects = []
    for record in records:
        for place in places(record)[1:]:
            changed_record = copy.deepcopy(record)
            holder = changed_record
            for step in place[:-1]:
                holder = holder[step]
            holder[place[-1]] = data.draw(json_values)
            objects.append(changed_record)
    counts = decode("\n".join(json.dumps(o) for o in objects), f"ocpi/{module}/x.json", into=home)
    assert counts.read == len(objects)
    assert counts.loaded > 0


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_no_damage_to_the_bytes_stops_a_file(data, tmp_path_factory, decode):
    home = Home(tmp_path_factory.mktemp("home"))
    home.prepare()
    content = bytearray(json.dumps([CDR_211, CDR_221, CDR_230], indent=data.draw(st.sampled_from([None, 1]))).encode())
    for _ in range(data.draw(st.integers(1, 6))):
        at_byte = data.draw(st.integers(0, len(content) - 1))
        length = data.draw(st.integers(0, 9))
        content[at_byte : at_byte + length] = data.draw(
            st.binary(max_size=9) | st.sampled_from([b'"', b"}", b"{", b"\\"])
        )
    decode(bytes(content), into=home).check("x")
