"""CDRs for peers to serve: plain data, made by arithmetic, so that every process makes the same ones."""

from datetime import UTC, datetime, timedelta
from typing import Any

FIRST = datetime(2026, 3, 1, tzinfo=UTC)


def stamp(moment: datetime) -> str:
    """Write an instant as OCPI does."""
    return f"{moment:%Y-%m-%dT%H:%M:%SZ}"


def cdr(number: int, first: datetime = FIRST) -> dict[str, Any]:
    """Return the CDR of a number: 2.2.1, one every ten minutes from ``first`` on."""
    start = first + timedelta(minutes=10 * number)
    end = start + timedelta(minutes=30)
    energy = 5 + number % 17
    return {
        "country_code": "PT",
        "party_id": "QAY",
        "id": f"CDR-{number:06d}",
        "start_date_time": stamp(start),
        "end_date_time": stamp(end),
        "session_id": f"S-{number:06d}",
        "cdr_token": {
            "country_code": "ES",
            "party_id": "EMP",
            "uid": f"04A1B2C3D4{number % 50:04d}",
            "type": "RFID",
            "contract_id": f"ES-EMP-C{number % 50:08d}",
        },
        "auth_method": "WHITELIST",
        "cdr_location": {
            "id": "LOC-1",
            "address": "1 Quay",
            "city": "Porto",
            "country": "PRT",
            "coordinates": {"latitude": "41.140000", "longitude": "-8.610000"},
            "evse_uid": "EVSE-1",
            "evse_id": "PT*QAY*E1",
            "connector_id": "1",
            "connector_standard": "IEC_62196_T2",
            "connector_format": "SOCKET",
            "connector_power_type": "AC_3_PHASE",
        },
        "currency": "EUR",
        "tariffs": [
            {
                "country_code": "PT",
                "party_id": "QAY",
                "id": "T-1",
                "currency": "EUR",
                "elements": [{"price_components": [{"type": "ENERGY", "price": 0.5, "step_size": 1}]}],
                "last_updated": stamp(FIRST),
            }
        ],
        "charging_periods": [
            {
                "start_date_time": stamp(start),
                "dimensions": [{"type": "ENERGY", "volume": energy}, {"type": "TIME", "volume": 0.5}],
                "tariff_id": "T-1",
            }
        ],
        "total_cost": {"excl_vat": energy * 0.5, "incl_vat": energy * 0.615},
        "total_energy": energy,
        "total_time": 0.5,
        "last_updated": stamp(end),
    }
