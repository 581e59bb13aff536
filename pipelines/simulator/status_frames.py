"""Statuses as each model tells them: StatusNotification of 1.6 and 2.0.1, NotifyEvent of 2.1."""

import numpy as np
import polars as pl

from pipelines.simulator.frames import CHARGING, FINISHING, NOTHING, SUSPENDED_EV, SUSPENDED_EVSE, Slice
from pipelines.simulator.network import MODELS, OCPP21, Network
from pipelines.simulator.text import escaped, joined, looked_up, number, stamp

_NAMES_16 = pl.Series(
    [
        "Available",
        "Preparing",
        "Charging",
        "SuspendedEV",
        "SuspendedEVSE",
        "Finishing",
        "Reserved",
        "Unavailable",
        "Faulted",
    ]
)
_NAMES_2 = pl.Series(["Available", *["Occupied"] * 5, "Reserved", "Unavailable", "Faulted"])
_ONLY_16 = (CHARGING, SUSPENDED_EV, SUSPENDED_EVSE, FINISHING)  # no change to the five statuses of 2.x
_CODES = max(len(model.faults) for model in MODELS)


def _error_texts() -> tuple[pl.Series, pl.Series]:
    """Return 1.6 error codes by model and position, and what the vendor adds by model; the last row is no error."""
    codes = [model.faults[n % len(model.faults)] for model in MODELS for n in range(_CODES)]
    vendors = [escaped(f',"vendorId":"{m.vendor}","vendorErrorCode":"E{100 + n}"') for n, m in enumerate(MODELS)]
    return pl.Series([*codes, "NoError"]), pl.Series([*vendors, ""])


class _Statuses:
    """The statuses of a slice as arrays, and how each protocol words them."""

    def __init__(self, net: Network, columns: list[tuple[np.ndarray, ...]]) -> None:
        connector, self.at, self.event_at, self.status, code, self.rank = (
            np.concatenate(column) for column in zip(*columns, strict=True)
        )
        whole = connector < 0
        inner = np.maximum(connector, 0)
        self.station = np.where(whole, -1 - connector, net.connector_station[inner])
        self.model = net.station_model[self.station]
        self.number = np.where(whole, 0, net.connector_number[inner])
        self.evse = np.where(whole, 0, net.connector_evse[inner])
        self.code = np.where(code < 0, len(MODELS) * _CODES, self.model * _CODES + code % _CODES)
        self.vendor = np.where(code < 0, len(MODELS), self.model)

    def words_16(self, rows: np.ndarray, *, stamped: bool) -> pl.Series:
        codes, vendors = _error_texts()
        return joined(
            escaped('"StatusNotification",{"connectorId":'),
            number(self.number[rows]),
            escaped(',"errorCode":"'),
            looked_up(codes, self.code[rows]),
            escaped('","status":"'),
            looked_up(_NAMES_16, self.status[rows]),
            escaped('"'),
            looked_up(vendors, self.vendor[rows]),
            *((escaped(',"timestamp":"'), stamp(self.event_at[rows]), escaped('"}')) if stamped else ("}",)),
        )

    def words_201(self, rows: np.ndarray) -> pl.Series:
        return joined(
            escaped('"StatusNotification",{"timestamp":"'),
            stamp(self.event_at[rows]),
            escaped('","connectorStatus":"'),
            looked_up(_NAMES_2, self.status[rows]),
            escaped('","evseId":'),
            number(self.evse[rows]),
            escaped(',"connectorId":'),
            number(self.number[rows]),
            "}",
        )

    def words_21(self, rows: np.ndarray) -> pl.Series:
        return joined(
            escaped('"NotifyEvent",{"generatedAt":"'),
            stamp(self.at[rows]),
            escaped('","seqNo":0,"tbc":false,"eventData":[{"eventId":'),
            number(self.event_at[rows] % 10_000_000),
            escaped(',"timestamp":"'),
            stamp(self.event_at[rows]),
            escaped('","trigger":"Delta","actualValue":"'),
            looked_up(_NAMES_2, self.status[rows]),
            escaped('","eventNotificationType":"HardWiredNotification","component":{"name":"Connector","evse":{"id":'),
            number(self.evse[rows]),
            escaped(',"connectorId":'),
            number(self.number[rows]),
            escaped('}},"variable":{"name":"AvailabilityState"}}]}'),
        )


def add_statuses(part: Slice) -> None:
    """Put the collected statuses of a slice into calls."""
    statuses = _Statuses(part.net, part.statuses)
    is_16 = part.net.model_flag("is_16")[statuses.model]
    stamps = part.net.model_flag("stamps_status")[statuses.model]
    is_21 = part.net.model_flag("protocol")[statuses.model] == OCPP21
    news = ~np.isin(statuses.status, _ONLY_16)
    wordings = (
        (is_16 & stamps, lambda rows: statuses.words_16(rows, stamped=True)),
        (is_16 & ~stamps, lambda rows: statuses.words_16(rows, stamped=False)),
        (~is_16 & ~is_21 & news, statuses.words_201),
        (is_21 & news, statuses.words_21),
    )
    for which, words in wordings:
        for rank in np.unique(statuses.rank[which]).tolist():
            rows = np.flatnonzero(which & (statuses.rank == rank))
            part.call(statuses.station[rows], statuses.at[rows], rank, words(rows), NOTHING)
