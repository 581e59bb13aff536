"""The OCPP logs: every frame of every station as JSON lines, one file per operator and month.

A record is evpanda's: charger_id, connection_id, tenant_id, tenant_name, captured_at, event_type (0 disconnect,
1 connect, 2 message), direction, raw_frame, raw_frame_encoding. Frames of a slice of time are made a column at a time.
A call and its answer are one row until they are written as two lines, so lines are in the order of the calls.
"""

import gzip
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

import numpy as np
import polars as pl
import zstandard

from pipelines.home import replacing
from pipelines.simulator import outages as kinds
from pipelines.simulator.chance import hashed
from pipelines.simulator.frames import FROM_CSMS, GOODBYE, Slice
from pipelines.simulator.network import DAY_S, OPERATORS
from pipelines.simulator.outage_frames import CONNECT, add_heartbeats, add_outages, boot_texts, socket_events
from pipelines.simulator.plan import Plan
from pipelines.simulator.session_frames import add_sessions
from pipelines.simulator.sessions import sample_interval
from pipelines.simulator.status_frames import add_statuses
from pipelines.simulator.text import joined, looked_up, number, stamp

CALLS_AT_ONCE = 120_000  # bounds memory: some 100 MB of text
SPACING_MS = 40  # between the calls of one station within one second
MOST_IN_A_SECOND = 17
CALLS_A_SESSION = 8  # besides meter values, about
_UNROTATED = 2  # the operator whose newest month is still plain text
_MOST_PORTS_PLAIN = 200  # in networks up to that size: plain text is ten times larger

_MILLISECONDS = pl.Series([f"{n:03}Z" for n in range(1000)])


@dataclass(frozen=True, slots=True)
class _Connections:
    """Websocket connections: which one a station has at an instant, and how its records begin."""

    key: np.ndarray  # (station << 40) + first second, sorted
    prefix: pl.Series  # the record up to captured_at

    def prefix_at(self, station: np.ndarray, at: np.ndarray) -> pl.Series:
        """Return how the records of stations begin at some instants."""
        row = np.searchsorted(self.key, (station.astype(np.int64) << 40) + at, side="right") - 1
        return looked_up(self.prefix, row)


def _connections(plan: Plan) -> _Connections:
    net = plan.net
    stations = np.arange(len(net.station_ids))
    back = plan.outages.of(kinds.SILENCE, kinds.POWER, kinds.LATE_FAULT)
    flap = plan.outages.of(kinds.FLAP)
    station = np.concatenate((stations, back.station, flap.station))
    begin = np.concatenate((np.zeros(len(stations), dtype=np.int64), back.b, flap.a + kinds.FLAP_UP_S))
    order = np.lexsort((begin, station))
    station, begin = station[order], begin[order]
    ids = pl.Series([f'{{"charger_id":"{name}","connection_id":"ws-' for name in net.station_ids])
    tenants = pl.Series(
        [f'","tenant_id":"{o.operator_id}","tenant_name":"{o.name}","captured_at":"' for o in OPERATORS]
    )
    connection = number(hashed(plan.seed, 41, station, begin) % 10**15).str.zfill(15)
    prefix = joined(looked_up(ids, station), connection, looked_up(tenants, net.station_operator[station]))
    return _Connections((station.astype(np.int64) << 40) + begin, prefix)


def _message_line(kind: int, way: str, payload: tuple[str, ...]) -> list[str | pl.Expr]:
    """Return the pieces of a message's line from ``captured_at``'s milliseconds on; ``way`` names a column."""
    head = f'","raw_frame":"[{kind},\\"'
    lits = [pl.lit('","event_type":2,"direction":"'), way, pl.lit(head), "id", pl.lit('\\",'), *payload]
    return [*lits, pl.lit(']","raw_frame_encoding":"utf8"}\n')]


def _place_in_second(station: np.ndarray, at: np.ndarray) -> np.ndarray:
    """Return the position of each call among its station's calls of that second; calls are sorted so."""
    position = np.arange(len(at))
    begins = np.concatenate(([True], (np.diff(at) != 0) | (np.diff(station) != 0)))[: len(at)]
    place = position - np.maximum.accumulate(np.where(begins, position, 0))
    if len(place) and place.max() >= MOST_IN_A_SECOND:
        msg = f"{place.max() + 1} calls of one station in one second; the log has room for {MOST_IN_A_SECOND}"
        raise ValueError(msg)
    return place


def _lines(
    part: Slice, plan: Plan, connections: _Connections, sockets: tuple[np.ndarray, ...]
) -> tuple[pl.Series, int]:
    """Return the lines of a slice in order, and how many records they hold."""
    net = plan.net
    socket_station, socket_at, socket_type = sockets
    calls = sum(map(len, part.station))
    nothing = pl.repeat("", len(socket_station), dtype=pl.String, eager=True)
    station = np.concatenate((*part.station, socket_station))
    at = np.concatenate((*part.at, socket_at))
    rank = np.concatenate((*part.rank, np.where(socket_type == CONNECT, FROM_CSMS, GOODBYE)))
    body = pl.concat([*part.body, nothing], rechunk=True)
    answer = pl.concat([*part.answer, nothing], rechunk=True)
    socket = np.concatenate((np.full(calls, -1), socket_type))

    order = np.argsort((((at - part.begin) * len(net.station_ids) + station) << 4) + rank, kind="stable")
    station, at, rank, socket = station[order], at[order], rank[order], socket[order]
    place = _place_in_second(station, at)
    jitter = hashed(plan.seed, 43, station, at)
    millisecond = jitter % 200 + place * SPACING_MS
    answered = millisecond + 5 + jitter // 200 % 25
    from_csms = (rank == FROM_CSMS).astype(np.int64)
    counts = net.model_flag("counts_messages")[net.station_model[station]] & (rank != FROM_CSMS)
    message = np.where(counts, at % 10_000 * 20 + place, hashed(plan.seed, 44, station, at, place) % 10**15)
    order = pl.Series(order)
    table = pl.DataFrame(
        {
            "prefix": connections.prefix_at(station, at),
            "second": stamp(at, "."),
            "ms": looked_up(_MILLISECONDS, millisecond),
            "answered": looked_up(_MILLISECONDS, answered),
            "way": looked_up(pl.Series(["FROM_CP", "TO_CP"]), from_csms),
            "back": looked_up(pl.Series(["TO_CP", "FROM_CP"]), from_csms),
            "id": number(message),
            "body": body.gather(order),
            "answer": answer.gather(order),
            "socket": socket,
        }
    )
    call = _message_line(2, "way", ("body",))
    result = _message_line(3, "back", ("answer",))
    exchange = pl.concat_str("prefix", "second", "ms", *call, "prefix", "second", "answered", *result)
    if len(socket_station) == 0:
        return table.select(exchange).to_series(), 2 * calls
    closing = pl.lit(',"direction":null,"raw_frame":null,"raw_frame_encoding":null}\n')
    event = pl.concat_str("prefix", "second", "ms", pl.lit('","event_type":'), "socket", closing)
    lines = table.select(pl.when(pl.col("socket") >= 0).then(event).otherwise(exchange)).to_series()
    return lines, 2 * calls + len(socket_station)


def _bytes(lines: pl.Series) -> memoryview:
    """Return the joined bytes of a text column, without copying them once more."""
    array = lines.rechunk().to_arrow(compat_level=pl.CompatLevel.oldest())
    _, offsets, data = array.buffers()
    last = np.frombuffer(offsets, dtype=np.int64, count=array.offset + len(array) + 1)[-1] if data else 0
    return memoryview(data or b"")[:last]


@contextmanager
def _compressed(path: Path) -> Iterator[IO[bytes]]:
    """Open a log for writing; its bytes depend on nothing but what is written."""
    with replacing(path) as temporary, ExitStack() as stack:
        file = stack.enter_context(temporary.open("wb"))
        if path.suffix == ".zst":
            yield stack.enter_context(zstandard.ZstdCompressor(level=3).stream_writer(file, closefd=False))
        elif path.suffix == ".gz":
            packed = gzip.GzipFile(filename="", mode="wb", compresslevel=1, fileobj=file, mtime=0)
            yield stack.enter_context(packed)
        else:
            yield file


def _months(start_s: int, end_s: int) -> list[tuple[str, int, int]]:
    """Return the UTC months of a period as name, begin and end."""
    months = []
    at = start_s
    while at < end_s:
        day = datetime.fromtimestamp(at, UTC)
        following = datetime(day.year + day.month // 12, day.month % 12 + 1, 1, tzinfo=UTC)
        until = min(int(following.timestamp()), end_s)
        months.append((f"{day:%Y-%m}", at, until))
        at = until
    return months


def _cuts(plan: Plan, members: np.ndarray, begin: int, end: int) -> list[tuple[int, int]]:
    """Cut a month into whole days of about CALLS_AT_ONCE calls together, but at least one."""
    net, sessions = plan.net, plan.sessions
    beats = int(((end - begin) // net.station_interval_s[members]).sum())
    active = (sessions.reserved_at < end) & (sessions.unplugged_at >= begin)
    samples = (sessions.ended_at - sessions.charging_at)[active] // sample_interval(net, sessions.port[active])
    calls = beats + int(samples.sum()) + CALLS_A_SESSION * int(active.sum())
    days = (end - begin) // DAY_S
    step = max(1, days // max(1, -(-calls // CALLS_AT_ONCE))) * DAY_S
    return [(at, min(at + step, end)) for at in range(begin, end, step)]


def write_logs(plan: Plan, landing: Path) -> tuple[list[Path], int]:
    """Write the OCPP logs of every operator, one file a month.

    In small networks the newest month of one operator is still plain text, as a log that has not been rotated.

    Args:
        plan: What happens.
        landing: ``HOME/landing``.

    Returns:
        The files, and the number of records (frames and websocket events) in them.
    """
    net = plan.net
    boots = boot_texts(net)
    connections = _connections(plan)
    files: list[Path] = []
    records = 0
    months = _months(net.start_s, net.end_s)
    with ThreadPoolExecutor(max_workers=1) as writer:  # compresses while the next slice is made
        for operator in net.operators:
            own = plan.of_operator(operator)
            members = np.flatnonzero(net.station_operator == operator)
            for month, begin, end in months:
                newest = operator == _UNROTATED and end == net.end_s
                plain = newest and len(net.port_station) <= _MOST_PORTS_PLAIN
                suffix = "" if plain else OPERATORS[operator].suffix
                path = landing / "ocpp" / OPERATORS[operator].operator_id / f"ocpp-{month}.jsonl{suffix}"
                with _compressed(path) as file:
                    written: Future | None = None
                    for first, last in _cuts(own, members, begin, end):
                        part = Slice(net, first, last)
                        add_heartbeats(part, own, members)
                        add_outages(part, own, members, boots)
                        add_sessions(part, own)
                        add_statuses(part)
                        lines, count = _lines(part, own, connections, socket_events(part, own, members))
                        records += count
                        if written:
                            written.result()
                        written = writer.submit(file.write, _bytes(lines))
                    if written:
                        written.result()
                files.append(path)
    return files, records
