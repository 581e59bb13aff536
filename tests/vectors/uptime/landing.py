"""Writes the ports whose uptime is known by arithmetic into a landing folder: logs, Locations and registry files.

``MONTH`` is one port over April 2026 with eight kinds of event; it stands twice, as a 1.6 and as a 2.0.1 station. The
others are ports over the year 2025 that each make one worked number. Every station has a log folder of its own, so that
its silence is its own and no hole of a log that others share.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

MINUTE = timedelta(minutes=1)
APRIL = datetime(2026, 4, 1, tzinfo=UTC)
YEAR = datetime(2025, 1, 1, tzinfo=UTC)


@dataclass
class Log:
    """The log of one station in chargehouse's own format, kept in the order of time when written."""

    station: str
    is_2x: bool = False
    lines: list[tuple[datetime, int, dict]] = field(default_factory=list)
    count: int = 0

    def frame(self, at: datetime, frame: list, direction: str = "FROM_CP") -> None:
        record = {
            "charger_id": self.station,
            "connection_id": "c1",
            "captured_at": at.isoformat().replace("+00:00", "Z"),
            "event_type": 2,
            "direction": direction,
            "raw_frame": json.dumps(frame),
        }
        self.lines.append((at, len(self.lines), record))

    def call(
        self, at: datetime, action: str, payload: dict, answer: dict | None = None, *, to_station: bool = False
    ) -> None:
        self.count += 1
        there, back = ("TO_CP", "FROM_CP") if to_station else ("FROM_CP", "TO_CP")
        self.frame(at, [2, str(self.count), action, payload], there)
        self.frame(at, [3, str(self.count), answer or {}], back)

    def boot(self, at: datetime, interval_s: int, reason: str = "PowerUp") -> None:
        granted = {"status": "Accepted", "currentTime": at.isoformat(), "interval": interval_s}
        if self.is_2x:
            payload = {"reason": reason, "chargingStation": {"vendorName": "Acme", "model": "Two"}}
        else:
            payload = {"chargePointVendor": "Acme", "chargePointModel": "One"}
        self.call(at, "BootNotification", payload, granted)

    def status(self, at: datetime, status: str, code: str = "NoError", vendor_code: str | None = None) -> None:
        time = at.isoformat().replace("+00:00", "Z")
        if not self.is_2x:
            more = {"vendorId": "https://chargex.inl.gov", "vendorErrorCode": vendor_code} if vendor_code else {}
            payload = {"connectorId": 1, "status": status, "errorCode": code, "timestamp": time, **more}
            self.call(at, "StatusNotification", payload)
        elif vendor_code:
            event = {
                "eventId": self.count,
                "timestamp": time,
                "trigger": "Alerting",
                "eventNotificationType": "HardWiredNotification",
                "actualValue": status,
                "techCode": vendor_code,
                "component": {"name": "Connector", "evse": {"id": 1, "connectorId": 1}},
                "variable": {"name": "AvailabilityState"},
            }
            self.call(at, "NotifyEvent", {"generatedAt": time, "seqNo": 0, "eventData": [event]})
        else:
            plain = {"SuspendedEVSE": "Occupied", "Charging": "Occupied"}.get(status, status)
            payload = {"evseId": 1, "connectorId": 1, "connectorStatus": plain, "timestamp": time}
            self.call(at, "StatusNotification", payload)

    def beats(self, start: datetime, end: datetime, every: timedelta, quiet: list[tuple[datetime, datetime]]) -> None:
        """Heartbeats from start to end, both included, but for those strictly inside a quiet time."""
        at = start
        while at <= end:
            if not any(began < at < ended for began, ended in quiet):
                self.call(at, "Heartbeat", {}, {"currentTime": at.isoformat()})
            at += every

    def fault(
        self, start: datetime, minutes: float, code: str = "InternalError", vendor_code: str | None = None
    ) -> None:
        self.status(start, "Faulted", code, vendor_code)
        self.status(start + minutes * MINUTE, "Available")

    def text(self) -> Iterator[str]:
        for _, _, record in sorted(self.lines, key=lambda line: line[:2]):
            yield json.dumps(record) + "\n"


def month_log(station: str, *, is_2x: bool) -> Log:
    """The port of April 2026: frames every minute, events A to F and H (G is told by OCPI)."""
    log = Log(station, is_2x)
    may = datetime(2026, 5, 1, tzinfo=UTC)
    silent_b = datetime(2026, 4, 5, tzinfo=UTC), datetime(2026, 4, 5, 15, tzinfo=UTC)
    silent_d = datetime(2026, 4, 11, 10, tzinfo=UTC), datetime(2026, 4, 11, 13, tzinfo=UTC)
    log.boot(APRIL, 60)
    log.status(APRIL, "Available")
    log.fault(datetime(2026, 4, 2, 8, tzinfo=UTC), 600, "GroundFailure")
    c = datetime(2026, 4, 8, 9, tzinfo=UTC)
    change = (
        {"operationalStatus": "Inoperative", "evse": {"id": 1}} if is_2x else {"connectorId": 1, "type": "Inoperative"}
    )
    log.call(c, "ChangeAvailability", change, {"status": "Accepted"}, to_station=True)
    log.status(c, "Unavailable")
    log.status(c + 240 * MINUTE, "Available")
    log.boot(silent_d[1], 60)
    log.status(silent_d[1], "Available")
    log.fault(datetime(2026, 4, 14, 6, tzinfo=UTC), 2880, "OtherError", "CX026")
    f = datetime(2026, 4, 20, 12, tzinfo=UTC)
    log.status(f - 30 * MINUTE, "Charging")
    log.status(f, "SuspendedEVSE")
    log.status(f + 300 * MINUTE, "Charging")
    log.status(f + 330 * MINUTE, "Available")
    for day in range(24, 30):
        log.fault(datetime(2026, 4, day, 18, tzinfo=UTC), 5, "OtherError", "CX009")
    log.beats(APRIL, may, MINUTE, [silent_b, silent_d])
    return log


def year_log(station: str, faults: list[tuple[datetime, float]], start: datetime = YEAR) -> Log:
    """A port of the year 2025 that is Available but for some faults (start, minutes), with a frame every hour."""
    log = Log(station)
    log.boot(start, 3600)
    log.status(start, "Available")
    for began, minutes in faults:
        log.fault(began, minutes)
    log.beats(start, datetime(2026, 1, 1, tzinfo=UTC), timedelta(hours=1), [])
    return log


def _day(month: int, day: int, hour: int = 0) -> datetime:
    return datetime(2025, month, day, hour, tzinfo=UTC)


# port: start of its log, faults as (start, minutes)
YEAR_PORTS: dict[str, tuple[datetime, list[tuple[datetime, float]]]] = {
    "YEAR-NEVI": (YEAR, [(_day(2, 1), 6000), (_day(5, 1), 14000)]),
    # 14 days of vandalism, 80 h of maintenance in two parts, 3,000 minutes of faults
    "YEAR-CEC": (YEAR, [(_day(3, 3), 20160), (_day(6, 2), 2400), (_day(9, 1), 2400), (_day(11, 3), 3000)]),
    "YEAR-UK1": (YEAR, [(_day(7, 7), 2628)]),
    "YEAR-UK2": (_day(11, 1), [(_day(12, 1), 8784)]),
    "YEAR-MTBF": (YEAR, [(_day(month, 15), 720) for month in (2, 4, 6, 8, 10)]),
    "PAIR-1": (YEAR, [(_day(6, 10), 600)]),
    "PAIR-2": (YEAR, [(_day(6, 20), 600)]),
}

_SITES = {
    "MONTH-16": "month-16", "MONTH-2X": "month-2x", "YEAR-NEVI": "year", "YEAR-CEC": "year", "YEAR-UK1": "uk",
    "YEAR-UK2": "uk", "YEAR-MTBF": "year", "PAIR-1": "pair", "PAIR-2": "pair",
}  # fmt: skip


def _csv(folder: Path, name: str, text: str) -> None:
    (folder / f"{name}.csv").write_text("\n".join(line.strip() for line in text.strip().splitlines()) + "\n")


def _registry(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    _csv(folder, "owners", "owner_id,name,currency\nowner,Owner,EUR")
    _csv(folder, "operators", "operator_id,name\nany,Any\nuk,UK")
    sites = [
        f"{site},{site},owner,{'uk' if site == 'uk' else 'any'},UTC,GB,EUR,{f'LOC-{site}' if 'month' in site else ''}"
        for site in dict.fromkeys(_SITES.values())
    ]
    header = "site_id,name,owner_id,operator_id,time_zone,country_code,currency,ocpi_location_id"
    _csv(folder, "sites", "\n".join([header, *sites]))
    stations = [f"{station},{site},Acme,One" for station, site in _SITES.items()]
    _csv(folder, "stations", "\n".join(["station_id,site_id,vendor,model", *stations]))
    ports = ["port_id,station_id,ocpp_connector_ids,ocpi_evse_uid,power_type,max_power_kw,commissioned_at"]
    for station in _SITES:
        connectors = "1/1" if station == "MONTH-2X" else "1"
        start = APRIL if station.startswith("MONTH") else YEAR_PORTS[station][0]
        ports.append(f"{station},{station},{connectors},EVSE-{station},DC,150,{start.isoformat()}")
    _csv(folder, "ports", "\n".join(ports))
    exclusions = ["exclusion_id,scope,scope_id,started_at,ended_at,reason,evidence,approved_by"]
    for station in ("MONTH-16", "MONTH-2X"):
        exclusions += [
            f"C-{station},port,{station},2026-04-08T09:00:00Z,2026-04-08T13:00:00Z,scheduled_maintenance,work order 7,ops",
            f"D-{station},station,{station},2026-04-11T10:00:00Z,2026-04-11T13:00:00Z,utility_interruption,letter,ops",
            f"E-{station},port,{station},2026-04-14T06:00:00Z,2026-04-16T06:00:00Z,vandalism,police report 12,ops",
        ]
    exclusions += [
        "N,port,YEAR-NEVI,2025-02-01T00:00:00Z,2025-02-05T04:00:00Z,utility_interruption,letter,ops",
        "V,port,YEAR-CEC,2025-03-03T00:00:00Z,2025-03-17T00:00:00Z,vandalism,police report 13,ops",
        "M1,port,YEAR-CEC,2025-06-02T00:00:00Z,2025-06-03T16:00:00Z,scheduled_maintenance,work order 8,ops",
        "M2,port,YEAR-CEC,2025-09-01T00:00:00Z,2025-09-02T16:00:00Z,scheduled_maintenance,work order 9,ops",
    ]
    _csv(folder, "exclusions", "\n".join(exclusions))
    # one policy in flat columns with a block in a cell, the others flat; what is left empty is as in contract_generic
    caps = "vandalism:evidence:incident=14400 scheduled_maintenance:evidence:year=4320"
    _csv(
        folder,
        "sla_policies",
        f"""policy_id;grain;aggregate;window_type;threshold;offline_treat;exclusions;scope
        cec_year;port;;calendar_year;97;;{caps};
        uk_mean;network;simple_mean;calendar_year;99;up;;{{min_power_kw: 50}}
        pair_any;site_any;;;;;;
        pair_all;site_all;;;;;;""",
    )


def _location(status: str, updated: str, station: str) -> dict:
    return {
        "country_code": "GB",
        "party_id": "ANY",
        "id": f"LOC-{_SITES[station]}",
        "publish": True,
        "address": "Street 1",
        "city": "Town",
        "country": "GBR",
        "coordinates": {"latitude": "51.5", "longitude": "-0.1"},
        "time_zone": "UTC",
        "last_updated": updated,
        "evses": [
            {
                "uid": f"EVSE-{station}",
                "status": status,
                "last_updated": updated,
                "connectors": [
                    {
                        "id": "1",
                        "standard": "IEC_62196_T2_COMBO",
                        "format": "CABLE",
                        "power_type": "DC",
                        "max_voltage": 800,
                        "max_amperage": 250,
                        "last_updated": updated,
                    }
                ],
            }
        ],
    }


def write_landing(landing: Path) -> None:
    """Write everything.

    Args:
        landing: ``HOME/landing``; may exist.
    """
    logs = [month_log("MONTH-16", is_2x=False), month_log("MONTH-2X", is_2x=True)]
    logs += [year_log(port, faults, start) for port, (start, faults) in YEAR_PORTS.items()]
    for log in logs:
        folder = landing / "ocpp" / log.station.replace("1", "a").replace("2", "b").replace("6", "c")
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / "frames.jsonl").open("w") as file:
            file.writelines(log.text())
    locations = landing / "ocpi" / "locations"
    locations.mkdir(parents=True, exist_ok=True)
    for station in ("MONTH-16", "MONTH-2X"):
        # G: the bay is blocked from 12:00 to 14:00; versions are delivered one by one
        for status, at in (("BLOCKED", "2026-04-22T12:00:00Z"), ("AVAILABLE", "2026-04-22T14:00:00Z")):
            path = locations / f"{station}-{status}.json"
            path.write_text(json.dumps(_location(status, at, station)))
    _registry(landing / "registry")
