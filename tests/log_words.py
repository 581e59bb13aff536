"""OCPP logs in a few words a line, so that a test shows the messages it is about.

A line is ``TIME [@OWN] WORD name=value … [-> ANSWER]``: when the logger saw the message, the station's own time if it is
another one (``@-`` for none), what it is, and what the CSMS answered. All times are of 2 March 2026, UTC, unless a date
stands before them: ``10:00:05``, ``3T01:00:00`` (3 March), or a whole ISO instant. Words:

==========  ==================================================================================================
start       StartTransaction: connector, token, meter; answer ``ID`` or ``ID/STATUS``
stop        StopTransaction: tx, meter, reason, token
meter       MeterValues: connector, tx; wh, kwh, w, soc, or wh.L1 and the like; bare (without tx) if tx is left out
status      StatusNotification: connector, is (the status), error, vendor
event       TransactionEvent (2.0.1): is (Started, Updated, Ended), tx, seq, evse, token, state, trigger, reason, wh,
            offline; answer: idTokenInfo status
status2     StatusNotification (2.0.1): evse, connector, is
authorize   Authorize: token; answer: status
remote      RemoteStartTransaction of the CSMS: token, connector; answer: status
boot        BootNotification; answer: the interval granted
heartbeat, connect, disconnect
==========  ==================================================================================================
"""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

DAY = datetime(2026, 3, 2, tzinfo=UTC)
_DEFAULT_CURRENT_TIME = "2026-03-02T00:00:00Z"


def instant(text: str) -> datetime:
    """The instant that a time of a line means."""
    if "-" in text:
        return datetime.fromisoformat(text)
    day, _, clock = text.rpartition("T")
    hours, minutes, seconds = (float(part) for part in (*clock.split(":"), "0")[:3])
    since = timedelta(days=int(day) - DAY.day if day else 0, hours=hours, minutes=minutes, seconds=seconds)
    return DAY + since


class Log:
    """The lines of a log, as native records."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self._number = 0

    def add(self, station: str, words: str) -> None:
        """Add what the lines of ``words`` say of one station."""
        for line in words.strip().splitlines():
            text = line.split("#", maxsplit=1)[0].strip()
            if text:
                self._line(station, text)

    def write(self, path: Path) -> Path:
        """Write the records, one a line."""
        path.write_text("".join(f"{line}\n" for line in self.lines))
        return path

    def _line(self, station: str, text: str) -> None:
        told, _, answer = (part.strip() for part in text.partition("->"))
        words = told.split()
        at = instant(words.pop(0))
        own: datetime | None = at
        if words[0].startswith("@"):
            sent = words.pop(0)[1:]
            own = None if sent == "-" else instant(sent)
        word = words.pop(0)
        given = dict(part.split("=", maxsplit=1) for part in words)
        if word in ("connect", "disconnect"):
            self._record(station, at, 1 if word == "connect" else 0, None, None)
            return
        action, payload, result = getattr(self, f"_{word}")(own, given, answer)
        self._number += 1
        asker, answerer = ("TO_CP", "FROM_CP") if word.startswith("remote") else ("FROM_CP", "TO_CP")
        self._record(station, at, 2, asker, [2, str(self._number), action, payload])
        if answer and answer != "none":
            self._record(station, at + timedelta(milliseconds=200), 2, answerer, [3, str(self._number), result])

    def _record(self, station: str, at: datetime, kind: int, direction: str | None, frame: list | None) -> None:
        record = {
            "charger_id": station,
            "connection_id": None,
            "captured_at": _iso(at),
            "event_type": kind,
            "direction": direction,
            "raw_frame": json.dumps(frame) if frame else None,
        }
        self.lines.append(json.dumps(record))

    @staticmethod
    def _start(own: datetime | None, given: dict[str, str], answer: str) -> tuple[str, dict, dict]:
        number, _, status = answer.partition("/")
        payload = {
            "connectorId": int(given["connector"]),
            "idTag": given.get("token", "T"),
            "meterStart": int(given.get("meter", 0)),
        }
        result = {"transactionId": int(number or 0), "idTagInfo": {"status": status or "Accepted"}}
        return "StartTransaction", _at(payload, own), result

    @staticmethod
    def _stop(own: datetime | None, given: dict[str, str], _: str) -> tuple[str, dict, dict]:
        payload: dict[str, Any] = {"transactionId": int(given["tx"]), "meterStop": int(given.get("meter", 0))}
        payload |= {"reason": given["reason"]} if "reason" in given else {}
        payload |= {"idTag": given["token"]} if "token" in given else {}
        return "StopTransaction", _at(payload, own), {}

    @staticmethod
    def _meter(own: datetime | None, given: dict[str, str], _: str) -> tuple[str, dict, dict]:
        payload: dict[str, Any] = {"connectorId": int(given["connector"])}
        payload |= {"transactionId": int(given["tx"])} if "tx" in given else {}
        payload["meterValue"] = [
            _at({"sampledValue": [_sample(n, v) for n, v in given.items() if _is_measure(n)]}, own)
        ]
        return "MeterValues", payload, {}

    @staticmethod
    def _status(own: datetime | None, given: dict[str, str], _: str) -> tuple[str, dict, dict]:
        payload: dict[str, Any] = {"connectorId": int(given["connector"]), "status": given["is"]}
        payload["errorCode"] = given.get("error", "NoError")
        payload |= {"vendorErrorCode": given["vendor"]} if "vendor" in given else {}
        return "StatusNotification", _at(payload, own), {}

    @staticmethod
    def _status2(own: datetime | None, given: dict[str, str], _: str) -> tuple[str, dict, dict]:
        payload = {
            "evseId": int(given["evse"]),
            "connectorId": int(given.get("connector", 1)),
            "connectorStatus": given["is"],
        }
        return "StatusNotification", _at(payload, own), {}

    @staticmethod
    def _event(own: datetime | None, given: dict[str, str], answer: str) -> tuple[str, dict, dict]:
        info: dict[str, Any] = {"transactionId": given["tx"]}
        info |= {"chargingState": given["state"]} if "state" in given else {}
        info |= {"stoppedReason": given["reason"]} if "reason" in given else {}
        payload: dict[str, Any] = {"eventType": given["is"], "seqNo": int(given["seq"]), "transactionInfo": info}
        payload["triggerReason"] = given.get("trigger", "MeterValuePeriodic")
        payload |= {"evse": {"id": int(given["evse"]), "connectorId": 1}} if "evse" in given else {}
        payload |= {"idToken": {"idToken": given["token"], "type": "ISO14443"}} if "token" in given else {}
        payload |= {"offline": given["offline"] == "true"} if "offline" in given else {}
        if "wh" in given:
            context = {"Started": "Transaction.Begin", "Ended": "Transaction.End"}.get(given["is"], "Sample.Periodic")
            sample = {"value": float(given["wh"]), "context": context}
            payload["meterValue"] = [_at({"sampledValue": [sample]}, own)]
        result = {"idTokenInfo": {"status": answer}} if answer else {}
        return "TransactionEvent", _at(payload, own), result

    @staticmethod
    def _authorize(_: datetime | None, given: dict[str, str], answer: str) -> tuple[str, dict, dict]:
        return "Authorize", {"idTag": given["token"]}, {"idTagInfo": {"status": answer}}

    @staticmethod
    def _authorize2(_: datetime | None, given: dict[str, str], answer: str) -> tuple[str, dict, dict]:
        token = {"idToken": given["token"], "type": "ISO14443"}
        return "Authorize", {"idToken": token}, {"idTokenInfo": {"status": answer}}

    @staticmethod
    def _remote(_: datetime | None, given: dict[str, str], answer: str) -> tuple[str, dict, dict]:
        payload: dict[str, Any] = {"idTag": given["token"]}
        payload |= {"connectorId": int(given["connector"])} if "connector" in given else {}
        return "RemoteStartTransaction", payload, {"status": answer}

    @staticmethod
    def _remote2(_: datetime | None, given: dict[str, str], answer: str) -> tuple[str, dict, dict]:
        token = {"idToken": given["token"], "type": "ISO14443"}
        payload: dict[str, Any] = {"idToken": token, "remoteStartId": int(given["id"])}
        return "RequestStartTransaction", payload, {"status": answer}

    @staticmethod
    def _boot(_: datetime | None, given: dict[str, str], answer: str) -> tuple[str, dict, dict]:
        payload = {"chargePointVendor": given.get("vendor", "V"), "chargePointModel": "M"}
        return (
            "BootNotification",
            payload,
            {
                "status": "Accepted",
                "interval": int(answer or 0),
                "currentTime": _DEFAULT_CURRENT_TIME,
            },
        )

    @staticmethod
    def _heartbeat(_: datetime | None, __: dict[str, str], ___: str) -> tuple[str, dict, dict]:
        return "Heartbeat", {}, {"currentTime": _DEFAULT_CURRENT_TIME}


def _iso(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _at(payload: dict, own: datetime | None) -> dict:
    return payload if own is None else {**payload, "timestamp": _iso(own)}


def _is_measure(name: str) -> bool:
    return name.split(".", maxsplit=1)[0] in ("wh", "kwh", "w", "soc", "default")


def _sample(name: str, value: str) -> dict[str, str]:
    kind, _, phase = name.partition(".")
    measures = {
        "wh": {"measurand": "Energy.Active.Import.Register", "unit": "Wh"},
        "kwh": {"measurand": "Energy.Active.Import.Register", "unit": "kWh"},
        "w": {"measurand": "Power.Active.Import", "unit": "W"},
        "soc": {"measurand": "SoC", "unit": "Percent", "location": "EV"},
        "default": {},  # what the specification takes where nothing is said: the energy register at the outlet in Wh
    }
    return {"value": value, **measures[kind], **({"phase": phase} if phase else {})}
