"""The calls of one slice of time, collected from everything that happens in it."""

from dataclasses import dataclass, field

import numpy as np
import polars as pl

from pipelines.simulator.network import Network
from pipelines.simulator.text import Piece, escaped, joined, stamp

HEARTBEAT = escaped('"Heartbeat",{}')
NOTHING = "{}"
ACCEPTED = escaped('{"status":"Accepted"}')

AVAILABLE, PREPARING, CHARGING, SUSPENDED_EV, SUSPENDED_EVSE, FINISHING, RESERVED, UNAVAILABLE, FAULTED = range(9)

# What a station says first when several things happen in one second.
FROM_CSMS, BOOT, STATION_STATUS, STATUS, ASKING, TRANSACTION, LATER_STATUS, EDGE_BEAT, BEAT, GOODBYE = range(10)


@dataclass(slots=True)
class Slice:
    """Calls with their answers, and statuses still to be put into calls, between two instants.

    A call's body is its action and payload, its answer the payload of the result, both escaped.

    Attributes:
        net: The network.
        begin: First second.
        end: Second after the last.
    """

    net: Network
    begin: int
    end: int
    station: list[np.ndarray] = field(default_factory=list)
    at: list[np.ndarray] = field(default_factory=list)
    rank: list[np.ndarray] = field(default_factory=list)
    body: list[pl.Series] = field(default_factory=list)
    answer: list[pl.Series] = field(default_factory=list)
    statuses: list[tuple[np.ndarray, ...]] = field(default_factory=list)

    def holds(self, at: np.ndarray) -> np.ndarray:
        """Return which instants lie in the slice."""
        return (at >= self.begin) & (at < self.end)

    def rows(self, at: np.ndarray, which: np.ndarray | bool = True) -> np.ndarray:
        """Return the positions of instants that lie in the slice and fulfil a condition."""
        return np.flatnonzero(self.holds(at) & which)

    def call(self, station: np.ndarray, at: np.ndarray, rank: int, body: Piece, answer: Piece) -> None:
        """Add calls; they must lie in the slice.

        Args:
            station: Stations.
            at: When the CSMS sees them, in seconds.
            rank: Order among the calls of a station in one second; FROM_CSMS marks those that come from the CSMS.
            body: Action and payload.
            answer: Payload of the answer.
        """
        rows = len(station)
        if rows == 0:
            return
        self.station.append(station)
        self.at.append(at)
        self.rank.append(np.full(rows, rank, dtype=np.int64))
        self.body.append(body if isinstance(body, pl.Series) else joined(body, rows=rows))
        self.answer.append(answer if isinstance(answer, pl.Series) else joined(answer, rows=rows))

    def beat(self, station: np.ndarray, at: np.ndarray, rank: int = BEAT) -> None:
        """Add the heartbeats that lie in the slice."""
        rows = self.rows(at)
        answer = joined(escaped('{"currentTime":"'), stamp(at[rows]), escaped('"}'))
        self.call(station[rows], at[rows], rank, HEARTBEAT, answer)

    def status(  # noqa: PLR0913
        self,
        connector: np.ndarray,
        at: np.ndarray,
        status: int,
        *,
        rank: int = STATUS,
        event_at: np.ndarray | None = None,
        code: np.ndarray | None = None,
    ) -> None:
        """Add the statuses that lie in the slice.

        Args:
            connector: Connectors; ``-1 - station`` is connector 0 of a 1.6 station.
            at: When the CSMS sees them, in seconds.
            status: One of the nine.
            rank: Order within one second.
            event_at: The charger's time, if it is another one.
            code: Position of the model's error code.
        """
        rows = self.rows(at)
        whole = np.zeros(len(rows), dtype=np.int64)
        self.statuses.append(
            (
                connector[rows].astype(np.int64),
                at[rows],
                at[rows] if event_at is None else event_at[rows],
                whole + status,
                whole - 1 if code is None else code[rows],
                whole + rank,
            )
        )
