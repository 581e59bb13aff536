"""Chunks of a log's lines -> lake tables: several chunks at once, each on a connection of its own.

Most logs name the time and the direction of every frame, so a chunk needs nothing of the others and one statement
unpacks it. Where a log does not, what must be known of other lines is learned once from the whole file or handed from
a chunk to the next: the rows in the lake never depend on where the file was cut into chunks.
"""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from itertools import pairwise

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.files import LandedFileError
from pipelines.home import FileCounts, LakeWriter
from pipelines.lake import OCPP_TABLES
from pipelines.ocpp import typed
from pipelines.ocpp.formats.base import EXPECTED as FORMAT_EXPECTED
from pipelines.ocpp.formats.base import LogFormat
from pipelines.ocpp.lines import LineChunk
from pipelines.pseudonym import OCPP_SECRET_KEYS

# More chunks at once would need more than 1 GiB; see CHUNK_BYTES.
_MAX_WORKERS = 4
# An answer is looked for within this many lines behind its call, and no further: it comes within seconds.
_ANSWER_LINES = 10_000
# The offset of local times is told per so many lines, so that it may change with the season.
_OFFSET_LINES = 5_000
# So many calls that only stations send are enough to tell which side is the station's.
_ENOUGH_CALLS = 100
# Frames are nested some 10 levels deep; tools that walk JSON recursively give up at 1,000.
_MAX_DEPTH = 500

# So many lines of a large chunk are looked at before it is unpacked in one go: to do it again would cost more.
_GLANCE_LINES = 2_000
# Blocks of memory that DuckDB keeps from chunk to chunk: to get them anew from the system costs a tenth of the time.
_KEPT_MEMORY = "256MB"
# Duplicates are looked for among so many frames at once, which takes some 100 MiB.
_SLICE_ROWS = 2_000_000

# What of a chunk can't be told from its lines one by one (bits of ``needs`` in the table ``record``).
_NEEDS_SIDES, _NEEDS_OFFSET, _NEEDS_CALLS, _NEEDS_TIME = 1, 2, 4, 8

EXPECTED = FORMAT_EXPECTED | {
    "bad_json": "valid JSON",
    "bad_text": "UTF-8 text",
    "unmaskable": "text values of idTag, idToken and the like",
    "too_deep": f"JSON nested at most {_MAX_DEPTH} levels deep",
    "not_a_frame": "an RPC array such as [2, id, action, payload]",
    "bad_message_type": "a message type of 2, 3, 4, 5 or 6",
    "missing_message_id": "a message id as second element",
    "missing_action": "an action name as third element",
    "missing_payload": "a JSON object as payload",
    "line_too_long": "a line of at most 8 MiB",
    "unrecognised_line": "a line in the format of the log",
    "bad_time": "a date and time",
    "implausible_time": "a time between 2009 and the day after tomorrow",
    "missing_raw_frame": "raw_frame on a message",
    "missing_frame": "a frame or an event",
    "missing_charger_id": "charger_id",
    "missing_station": "station",
    "bad_event_type": "event_type 0, 1 or 2",
    "bad_captured_at": "captured_at as RFC 3339 date-time",
    "bad_ts": "ts as RFC 3339 date-time",
    "bad_direction": "direction FROM_CP, TO_CP or null",
    "bad_dir": "dir in or out",
}

_NO_CALLS = pa.table(
    {
        "line_number": pa.array([], pa.int64()),
        "station_id": pa.array([], pa.string()),
        "message_id": pa.array([], pa.string()),
        "known_direction": pa.array([], pa.string()),
    }
)
_NO_OFFSETS = pa.table({"place": pa.array([], pa.int64()), "offset_s": pa.array([], pa.int64())})


@dataclass(frozen=True, slots=True)
class Log:
    """A log to decode."""

    log_format: LogFormat
    log_source: str
    default_time_zone: str
    open_chunks: Callable[[], AbstractContextManager[Iterator[LineChunk]]]  # reads the file from its beginning


@dataclass(frozen=True, slots=True)
class _Carry:
    """What a chunk hands to the next."""

    last_known_at: str | None  # the last time known before it
    calls: pa.Table  # the calls of its last lines


@dataclass(frozen=True, slots=True)
class _Unpacked:
    """What the table ``record`` of a chunk holds."""

    needs: int
    records: int
    first_line: int
    last_line: int
    last_known_at: str | None
    has_problems: bool
    has_events: bool
    logs_protocol: bool


def decode_chunks(log: Log, writer: LakeWriter, counts: FileCounts) -> None:
    """Decode a log into the lake, as many chunks at once as DuckDB has threads.

    Args:
        log: The log. ``writer.con`` must have the macros of :func:`pipelines.pseudonym.create_macros`.
        writer: Where the lake files go.
        counts: Records read, loaded and quarantined are added here; duplicates are not told yet.

    Raises:
        LandedFileError: The file is damaged; everything before the damage is decoded.
    """
    decoder = _Decoder(log, writer, counts)
    threads = int(_scalar(writer.con, "select current_setting('threads')") or 1)
    # one thread a connection: a chunk is too small to be shared out, and a query of one thread has nothing to gather
    writer.con.execute("set threads = 1")
    workers = max(1, min(threads, _MAX_WORKERS))
    damage: LandedFileError | None = None
    try:
        with ThreadPoolExecutor(workers, thread_name_prefix="chunk") as pool:
            running: set[Future[None]] = set()
            try:
                with log.open_chunks() as chunks:
                    for number, chunk in enumerate(chunks):
                        if number == 0 and chunk.lines.num_rows > _GLANCE_LINES:
                            with suppress(duckdb.CatalogException):  # a setting of DuckDB 1.5
                                writer.con.execute(f"set block_allocator_memory = '{_KEPT_MEMORY}'")
                            decoder.glance(chunk)
                        running.add(pool.submit(decoder.decode, number, chunk))
                        if len(running) >= workers:
                            done, running = wait(running, return_when=FIRST_COMPLETED)
                            for future in done:
                                future.result()
            except LandedFileError as error:
                damage = error
            for future in running:
                future.result()
    finally:
        writer.con.execute(f"set threads = {threads}")
    decoder.finish()
    if damage:
        raise damage


class _Decoder:
    """Decodes the chunks of one log; what they share is here."""

    def __init__(self, log: Log, writer: LakeWriter, counts: FileCounts) -> None:
        self.log = log
        self.writer = writer
        self.counts = counts
        self.needs = 0  # of any chunk so far
        self.logs_protocol = False
        self.chunks = 0
        self._lock = threading.Lock()
        self._local = threading.local()
        self._carries: dict[int, Future[_Carry]] = {}
        self._carry(-1).set_result(_Carry(None, _NO_CALLS))
        self._station_side: str | None = None
        self._offsets: pa.Table | None = None
        self._learning = threading.Lock()
        writer.con.execute("create or replace table station_protocol (station_id varchar, protocol varchar)")

    def _connect(self) -> duckdb.DuckDBPyConnection:
        con = self.writer.con.cursor()
        con.execute("set TimeZone = 'UTC'")
        con.execute("set preserve_insertion_order = false")  # rows carry their line number
        return con

    def _connection(self) -> duckdb.DuckDBPyConnection:
        """Return the connection of this thread."""
        if not hasattr(self._local, "con"):
            self._local.con = self._connect()
        return self._local.con

    def _carry(self, number: int) -> Future[_Carry]:
        with self._lock:
            return self._carries.setdefault(number, Future())

    def glance(self, chunk: LineChunk) -> None:
        """See from the first lines what the log does not tell."""
        with self._connect() as con:
            _register(con, LineChunk(chunk.lines.slice(0, _GLANCE_LINES), chunk.has_bad_text, ()))
            raw = _raw_record_sql(self.log.log_format, chunk.has_bad_text)
            self.needs |= int(_scalar(con, f"select coalesce(bit_or({_NEEDS_SQL}), 0) from ({raw})") or 0)

    def decode(self, number: int, chunk: LineChunk) -> None:
        """Decode one chunk. Chunks must be begun in the order of the file."""
        try:
            con = self._connection()
            _register(con, chunk)
            unpacked = self._unpack(con, number, chunk)
            self._remember_protocols(con, unpacked)
            self._write(con, number, chunk, unpacked)
            con.execute("drop table record")
            con.unregister("chunk_lines")
        except BaseException as error:
            future = self._carry(number)
            if not future.done():
                future.set_exception(error)
            raise

    def _unpack(self, con: duckdb.DuckDBPyConnection, number: int, chunk: LineChunk) -> "_Unpacked":
        """Make the table ``record``: with one statement if each line speaks for itself, else with what others tell."""
        raw = _raw_record_sql(self.log.log_format, chunk.has_bad_text)
        if not self.needs:
            con.execute(f"create or replace temp table record as {_record_sql(f'({raw})', self.log, 0)}")
            unpacked = _look_at(con)
            if not unpacked.needs:
                self._hand_on(con, number, unpacked)
                return unpacked
        con.execute(f"create or replace temp table raw_record as {raw}")
        needs = int(_scalar(con, f"select coalesce(bit_or({_NEEDS_SQL}), 0) from raw_record") or 0)
        self.needs |= needs
        side = self._learned_side() if needs & _NEEDS_SIDES else "in"
        con.register("offset_at", self._learned_offsets() if needs & _NEEDS_OFFSET else _NO_OFFSETS)
        carry = self._carry(number - 1).result() if needs & (_NEEDS_CALLS | _NEEDS_TIME) else _Carry(None, _NO_CALLS)
        con.register("calls_before", carry.calls)
        con.execute(
            f"create or replace temp table record as {_record_sql('raw_record', self.log, needs, side)}",
            {"last_known_at": carry.last_known_at} if needs & _NEEDS_TIME else {},
        )
        con.execute("drop table raw_record")
        con.unregister("calls_before")
        con.unregister("offset_at")
        unpacked = _look_at(con)
        self._hand_on(con, number, unpacked)
        return unpacked

    def _hand_on(self, con: duckdb.DuckDBPyConnection, number: int, unpacked: "_Unpacked") -> None:
        """Give the next chunk the last time known and the calls of the last lines."""
        last_known_at = unpacked.last_known_at
        oldest = unpacked.last_line - _ANSWER_LINES
        calls = con.sql(
            f"""
            select line_number, station_id, message_id, direction as known_direction
            from record
            where line_number > {oldest} and problem is null and message_type in (2, 6) and direction <> 'unknown'
            """
        ).to_arrow_table()
        if last_known_at is None or unpacked.first_line > oldest:
            before = self._carry(number - 1).result()
            last_known_at = last_known_at or before.last_known_at
            known = before.calls.filter(pc.greater(before.calls["line_number"], oldest))
            calls = pa.concat_tables([known, calls.cast(_NO_CALLS.schema)])
        self._carry(number).set_result(_Carry(last_known_at, calls))
        with self._lock:
            self._carries.pop(number - 1, None)

    def _learned_side(self) -> str:
        """Tell which side of the process that logged is the station's: ``in`` is what it received.

        The first calls of the file that only stations send decide.
        """
        with self._learning:
            if self._station_side is None:
                found: list[tuple[str]] = []
                with self._connect() as con, suppress(LandedFileError), self.log.open_chunks() as chunks:
                    for chunk in chunks:
                        _register(con, chunk)
                        found += con.execute(
                            f"""
                            select side from ({_raw_record_sql(self.log.log_format, chunk.has_bad_text)})
                            where problem is null and side in ('in', 'out') and message_type = 2
                                and action in ({typed.STATION_ACTIONS})
                            order by line_number limit {_ENOUGH_CALLS - len(found)}
                            """
                        ).fetchall()
                        if len(found) >= _ENOUGH_CALLS:
                            break
                self._station_side = "out" if found.count(("out",)) * 2 > len(found) else "in"
            return self._station_side

    def _learned_offsets(self) -> pa.Table:
        """Tell local time minus UTC along the file, from what the frames say in UTC at the same moment.

        The central system's ``currentTime`` first; without one, the chargers' own ``timestamp`` of a status. Offsets are
        multiples of 15 minutes; what lies elsewhere is a late message or a clock that is off. Per stretch of lines the
        most frequent offset holds; a stretch that tells little has that of the stretch before it.
        """
        if self.log.log_format.time_zone:  # format.toml knows better
            return _NO_OFFSETS
        with self._learning:
            if self._offsets is None:
                with self._connect() as con, suppress(LandedFileError):
                    con.execute(
                        "create temp table told (place bigint, is_answer boolean, offset_s bigint, told bigint)"
                    )
                    with suppress(LandedFileError), self.log.open_chunks() as chunks:
                        for chunk in chunks:
                            _register(con, chunk)
                            raw = _raw_record_sql(self.log.log_format, chunk.has_bad_text)
                            con.execute(f"insert into told {_told_offsets_sql(raw)}")
                    self._offsets = con.sql(_OFFSETS_SQL).to_arrow_table()
            return self._offsets if self._offsets is not None else _NO_OFFSETS

    def _remember_protocols(self, con: duckdb.DuckDBPyConnection, unpacked: "_Unpacked") -> None:
        """Remember per station which OCPP version its frames are, from what only that version has."""
        con.execute(
            f"""
            insert into station_protocol
            with marked as (
                select
                    station_id,
                    case
                        when message_type in (5, 6) or action in ({typed.ACTIONS_21}) then 'ocpp2.1'
                        when action in ({typed.ACTIONS_20}) then 'ocpp2.0.1'
                        when action in ({typed.ACTIONS_16}) then 'ocpp1.6'
                        when action = 'BootNotification'
                            then case when contains(payload, 'chargingStation') then 'ocpp2.0.1' else 'ocpp1.6' end
                        when action = 'StatusNotification'
                            then case when contains(payload, 'connectorStatus') then 'ocpp2.0.1' else 'ocpp1.6' end
                    end as protocol,
                from record
                where problem is null and message_type in (2, 5, 6) and action is distinct from 'MeterValues'
            ),
            -- the newest version wins: 2.1 stations also send what 2.0.1 has
            newest as (select station_id, max(protocol) as protocol from marked where protocol is not null group by all)
            select station_id, protocol
            from newest
            where not exists (
                select 1 from station_protocol as known
                where known.station_id = newest.station_id and known.protocol >= newest.protocol
            )
            """
        )
        with self._lock:
            self.logs_protocol = self.logs_protocol or unpacked.logs_protocol
            self.chunks += 1

    def _write(self, con: duckdb.DuckDBPyConnection, number: int, chunk: LineChunk, unpacked: "_Unpacked") -> None:
        """Write the lake files of one chunk."""
        loaded = quarantined = 0
        constants = {
            "source_id": self.writer.record.source_id,
            "log_source": self.log.log_source,
            "log_format": self.log.log_format.name,
        }
        con.execute(f"create or replace temp view frame as {typed.FRAME_SQL}")
        for table in OCPP_TABLES:
            if table.name == "connection_event" and not unpacked.has_events:
                continue
            rows = self.writer.write(table, typed.TABLE_SQL[table.name], con=con, part=number, constants=constants)
            loaded += rows if table.name in ("frame", "connection_event") else 0
        if unpacked.has_problems or chunk.too_long:
            quarantined = self.writer.quarantine(_quarantine_sql(chunk.too_long), con=con, part=number)
        with self._lock:
            self.counts.read += unpacked.records + len(chunk.too_long)
            self.counts.loaded += loaded
            self.counts.quarantined += quarantined

    def finish(self) -> None:
        """Give the frames of earlier chunks the protocol that later ones told of their station."""
        self.writer.record.lake_files.sort()
        if self.chunks > 1:
            con = self._connect()
            con.execute(
                "create or replace temp table known_protocol as "
                "select station_id, max(protocol) as protocol from station_protocol group by station_id"
            )
            lower = "" if self.logs_protocol else " or part.protocol < known_protocol.protocol"
            for number in range(self.chunks):
                self._correct_protocols(con, number, f"(part.protocol is null{lower})")
        self.writer.con.execute("drop table if exists station_protocol")

    def _correct_protocols(self, con: duckdb.DuckDBPyConnection, number: int, is_outdated: str) -> None:
        for table in OCPP_TABLES:
            path = self.writer.path(table, number)
            if "protocol" not in table.column_names or table.name == "connection_event" or not path.exists():
                continue
            part = str(path).replace("'", "''")
            outdated = _scalar(
                con,
                f"""
                select 1 from read_parquet('{part}') as part
                inner join known_protocol on part.station_id = known_protocol.station_id
                where {is_outdated} limit 1
                """,
            )
            if not outdated and table.name == "frame":
                return  # the other tables hold some of its rows
            if outdated:
                self.writer.rewrite(
                    table,
                    f"""
                    select part.* replace (
                        case when {is_outdated} then coalesce(known_protocol.protocol, part.protocol) else part.protocol end
                            as protocol
                    )
                    from read_parquet('{part}') as part
                    left join known_protocol on part.station_id = known_protocol.station_id
                    """,
                    con=con,
                    part=number,
                )


def _register(con: duckdb.DuckDBPyConnection, chunk: LineChunk) -> None:
    con.register("chunk_lines", chunk.lines)
    con.execute("create or replace temp view chunk as select line_number, line from chunk_lines")


def _look_at(con: duckdb.DuckDBPyConnection) -> _Unpacked:
    row = con.execute(
        """
        select
            coalesce(bit_or(needs), 0),
            count(*) filter (kind is distinct from 'noise'),
            coalesce(min(line_number), 0),
            coalesce(max(line_number), 0),
            cast(max_by(received_at, line_number) as varchar),
            count(problem) > 0,
            coalesce(bool_or(kind = 'connect' or kind = 'disconnect'), false),
            count(protocol) > 0,
        from record
        """
    ).fetchone()
    assert row is not None
    return _Unpacked(*row)


def _scalar(con: duckdb.DuckDBPyConnection, sql: str, values: dict[str, object] | None = None) -> int | str | None:
    row = con.execute(sql, values).fetchone()
    return row[0] if row else None


# Bits of what the line itself does not tell.
_NEEDS_SQL = f"""
    case
        when problem is not null or kind = 'noise' then 0
        else
            case when side in ('in', 'out') then {_NEEDS_SIDES} else 0 end
            + case when received_at is null and received_local is not null then {_NEEDS_OFFSET} else 0 end
            + case when side is null and message_type is not null then {_NEEDS_CALLS} else 0 end
            + case when received_at is null and received_local is null then {_NEEDS_TIME} else 0 end
    end
"""

# Frames of less than this many bytes can't be too deep; of the others, brackets outside of strings are walked along:
# the highest level is kept above bit 32, the current one below.
_IS_TOO_DEEP = rf"""
    strlen(frame) > {2 * _MAX_DEPTH}
    and strlen(frame) - strlen(replace(replace(frame, '[', ''), '{{', '')) > {_MAX_DEPTH}
    and list_reduce(
        list_transform(
            regexp_extract_all(regexp_replace(frame, '"(?:[^"\\]|\\.)*"', '', 'g'), '[\[\]{{}}]'),
            lambda bracket: case when bracket in ('[', '{{') then 1::bigint else -1::bigint end
        ),
        lambda reached, step: (greatest(reached >> 32, (reached & 4294967295) + step) << 32)
            | ((reached & 4294967295) + step),
        0::bigint
    ) >> 32 > {_MAX_DEPTH}
"""


def _raw_record_sql(log_format: LogFormat, has_bad_text: bool) -> str:
    """SQL of the chunk's records with the elements of their frames.

    Lines of kind ``noise`` stay in: a filter would be pushed down and have the JSON read once more for every look at it.
    """
    bad_text = (
        "when line_number in (select line_number from chunk where contains(line, chr(65533))) then 'bad_text'"
        if has_bad_text
        else ""
    )
    paths = "['$[0]', '$[1]', '$[2]', '$[3]', '$[4]']"
    return f"""
        with records as ({log_format.records_sql}),
        unpacked as (
            select
                *,
                case
                    when kind is distinct from 'frame' or problem is not null then null
                    -- JSON is read once: try() is as quick as no check at all, but slow where it fails, as on what is
                    -- no array from end to end
                    when starts_with(frame, '[') and ends_with(frame, ']') then try(json_extract_string(frame, {paths}))
                    when json_valid(frame) then json_extract_string(frame, {paths})
                end as e,
            from records
        ),
        elements as (
            select
                * exclude (e),
                e[1] as type_text,
                e[2] as message_id,
                case when e[1] in ('2', '6') then e[3] end as action,
                case when e[1] in ('2', '6') then e[4] when e[1] = '3' then e[3] when e[1] in ('4', '5') then e[5] end
                    as payload,
                case when e[1] in ('4', '5') then e[3] end as error_code,
                case when e[1] in ('4', '5') then e[4] end as error_description,
                kind = 'frame' and problem is null and e is null as is_broken,
            from unpacked
        )
        select
            line_number,
            kind,
            received_at,
            received_local,
            station_id,
            connection_id,
            side,
            protocol,
            frame,
            close_code,
            try_cast(type_text as tinyint) as message_type,
            message_id,
            action,
            payload,
            error_code,
            error_description,
            case
                when kind = 'noise' then null
                {bad_text}
                when problem is not null then problem
                when coalesce(received_at, timezone('UTC', received_local)) < timestamptz '2009-01-01 00:00:00+00'
                    or coalesce(received_at, timezone('UTC', received_local)) > now() + interval '2 days'
                    then 'implausible_time'
                when kind is null then 'unrecognised_line'
                when kind <> 'frame' then null
                when is_broken then 'bad_json'
                when type_text is null then 'not_a_frame'
                when strlen(type_text) <> 1 or type_text not between '2' and '6' then 'bad_message_type'
                when message_id is null then 'missing_message_id'
                when type_text in ('2', '6') and coalesce(action, '') = '' then 'missing_action'
                when type_text in ('2', '3', '6') and not coalesce(starts_with(payload, '{{'), false)
                    then 'missing_payload'
                when {_IS_TOO_DEEP} then 'too_deep'
            end as problem,
        from elements
    """


def _record_sql(source: str, log: Log, needs: int, station_side: str = "in") -> str:
    """SQL of the chunk's records with UTC time, direction and identity.

    Args:
        source: The raw records.
        log: Their log.
        needs: What the lines do not tell, as bits; for 0 the windows over all lines are left out.
        station_side: ``in`` or ``out``: where the station's frames are.
    """
    log_source = _quoted(log.log_source)
    quality = _quoted(log.log_format.time_quality)
    zone = _quoted(log.log_format.time_zone or log.default_time_zone)
    zone_quality = "configured_zone" if log.log_format.time_zone else "assumed_zone"
    known_direction, direction, carried_at, calls_before = "side", "known_direction", "null::timestamptz", ""
    logged_at, logged_quality, told_at = "received_at", quality, "null::timestamptz"
    join = ""
    if needs & _NEEDS_OFFSET:
        join = f"asof left join offset_at on raw.line_number // {_OFFSET_LINES} >= offset_at.place"
        logged_at = f"""
            case
                when received_at is not null then received_at
                when received_local is null then null
                when offset_s is not null then timezone('UTC', received_local) - to_seconds(offset_s)
                else timezone({zone}, received_local)
            end
        """
        logged_quality = f"""
            case
                when received_at is not null then {quality}
                when received_local is null then null
                when offset_s is not null then 'inferred_zone'
                else '{zone_quality}'
            end
        """
    if needs & (_NEEDS_SIDES | _NEEDS_CALLS):
        known_direction = f"""
            case
                when side = 'from_station' or side = 'to_station' then side
                when side = '{station_side}' then 'from_station'
                when side is not null then 'to_station'
                when action in ({typed.STATION_ACTIONS}) then 'from_station'
                when action in ({typed.CSMS_ACTIONS}) then 'to_station'
            end
        """
    if needs & _NEEDS_CALLS:
        calls_before = "union all by name select *, true as is_before from calls_before"
        direction = f"""
            coalesce(
                known_direction,
                case
                    when message_type in (3, 4, 5) then
                        case last_value(case when is_before or message_type in (2, 6) then known_direction end ignore nulls)
                            over (
                                partition by station_id, message_id order by line_number
                                range between {_ANSWER_LINES} preceding and current row
                            )
                            when 'from_station' then 'to_station'
                            when 'to_station' then 'from_station'
                        end
                end
            )
        """
    if needs & _NEEDS_TIME:
        told_at = """
            case
                when received_at is null and received_local is null and message_type = 3
                    then try_cast(json_extract_string(payload, '$.currentTime') as timestamptz)
                when received_at is null and received_local is null and message_type = 2
                    then try_cast(json_extract_string(payload, '$.timestamp') as timestamptz)
            end
        """
        carried_at = """
            coalesce(
                last_value(coalesce(logged_at, told_at) ignore nulls) over (
                    order by line_number range between unbounded preceding and current row
                ),
                cast($last_known_at as timestamptz)
            )
        """
    return f"""
        with timed as (
            select
                raw.* exclude (received_at, received_local, station_id, side),
                {_NEEDS_SQL} as needs,
                coalesce(nullif(station_id, ''), {log_source}) as station_id,
                {logged_at} as logged_at,
                {logged_quality} as logged_quality,
                {told_at} as told_at,
                {known_direction} as known_direction,
            from {source} as raw
            {join}
        ),
        lines as (
            select *{", false as is_before" if calls_before else ""} from timed
            {calls_before}
        ),
        ordered as (
            select
                * exclude (known_direction),
                coalesce({direction}, 'unknown') as direction,
                {carried_at} as carried_at,
            from lines
        ),
        dated as (
            select
                * exclude (logged_at, logged_quality, told_at, carried_at),
                {typed.MAY_HOLD_SECRET} as may_hold_secret,
                make_timestamptz(epoch_ms(coalesce(logged_at, carried_at)) * 1000) as received_at,
                case
                    when logged_at is not null then logged_quality
                    when carried_at is not null then 'carried'
                    else 'missing'
                end as received_at_quality,
            from ordered
            {"where not is_before" if calls_before else ""}
        ),
        masked as (
            select
                *,
                case when may_hold_secret then {typed.MASKED_PAYLOAD} end as masked_payload,
            from dated
        )
        select
            line_number,
            needs,
            kind,
            -- what the decoder can't read any more must not stop the rest
            case
                when may_hold_secret and problem is null and not json_valid(masked_payload) then 'unmaskable'
                else problem
            end as problem,
            station_id,
            received_at,
            received_at_quality,
            connection_id,
            direction,
            protocol,
            message_type,
            message_id,
            action,
            coalesce(masked_payload, payload) as payload,
            error_code,
            error_description,
            close_code,
            md5(concat_ws(
                '|',
                station_id,
                -- without a time of its own a line is told from its twin by its place in the log
                case
                    when received_at_quality in ('carried', 'missing') then 'line ' || line_number
                    else cast(epoch_ms(received_at) as varchar)
                end,
                direction,
                coalesce(frame, kind || coalesce(' ' || connection_id, ''))
            )) as frame_id,
        from masked
    """


def _told_offsets_sql(raw: str) -> str:
    """SQL of what the frames of a chunk tell about the offset of its local times."""
    return f"""
        with told as (
            select
                line_number // {_OFFSET_LINES} as place,
                message_type = 3 as is_answer,
                date_diff(
                    'second',
                    timezone('UTC', try_cast(
                        json_extract_string(
                            payload, case when message_type = 3 then '$.currentTime' else '$.timestamp' end
                        ) as timestamptz
                    )),
                    received_local
                ) as gap_s,
            from ({raw})
            where problem is null and received_at is null and received_local is not null and payload <> '{{}}'
                and (message_type = 3 or (message_type = 2 and action = 'StatusNotification'))
                -- a time without offset tells nothing of one
                and regexp_matches(
                    json_extract_string(
                        payload, case when message_type = 3 then '$.currentTime' else '$.timestamp' end
                    ),
                    '(?:[Zz]|[+-][0-9][0-9]:?[0-9][0-9])$'
                )
        )
        select place, is_answer, cast(round(gap_s / 900) * 900 as bigint) as offset_s, count(*) as told
        from told
        -- a message takes less than two minutes, and no place on Earth is further than 14 hours from UTC
        where abs(gap_s - round(gap_s / 900) * 900) <= 120 and abs(gap_s) <= 14 * 3600
        group by all
    """


# Fewer than three frames do not outvote the stretch before; the first offset known holds from the beginning.
_OFFSETS_SQL = """
    with votes as (
        select place, offset_s, sum(told) as told
        from told
        where is_answer = (select bool_or(is_answer) from told)
        group by place, offset_s
    ),
    best as (
        select place, offset_s, told
        from votes
        qualify row_number() over (partition by place order by told desc, abs(offset_s), offset_s) = 1
    ),
    solid as (
        select place, offset_s from best where told >= 3 or (select max(told) from best) < 3
    )
    select
        cast(case when place = (select min(place) from solid) then 0 else place end as bigint) as place,
        cast(offset_s as bigint) as offset_s,
    from solid
"""


def _quarantine_sql(too_long: tuple[int, ...]) -> str:
    """SQL of the chunk's rejected records, pseudonymised and cut."""
    keys = "|".join(OCPP_SECRET_KEYS)
    expected = " ".join(f"when '{reason}' then {_quoted(text)}" for reason, text in EXPECTED.items())
    numbers = ", ".join(f"({number})" for number in too_long)
    long_lines = (
        f"""
        union all
        select
            number as line_number,
            null::bigint as record_number,
            null::varchar as column_name,
            null::varchar as value,
            'line_too_long' as reason,
            '{EXPECTED["line_too_long"]}' as expected,
            null::varchar as text,
        from (values {numbers}) as dropped (number)
        """
        if too_long
        else ""
    )
    return f"""
        select
            record.line_number,
            null::bigint as record_number,
            null::varchar as column_name,
            null::varchar as value,
            problem as reason,
            case problem {expected} end as expected,
            left(mask_emails(mask_keys(left(rtrim(line, e' \t\r\n'), 4000), '{keys}')), 2000) as text,
        from record
        inner join chunk on record.line_number = chunk.line_number
        where problem is not null
        {long_lines}
    """


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def count_duplicates(writer: LakeWriter, counts: FileCounts) -> None:
    """Tell the frames of a file that stand in it more than once; staging keeps one of each.

    Args:
        writer: What wrote the file's frames.
        counts: Duplicates are moved here from loaded.
    """
    files = [
        f"{writer.home.lake}/{name}"
        for name in writer.record.lake_files
        if name.startswith(("ocpp/frame/", "ocpp/connection_event/"))
    ]
    if not files:
        return
    writer.con.execute("set TimeZone = 'UTC'")
    # A frame without a time of its own is never a duplicate. Equal frames have equal times, so the file is gone through
    # by slices of time: memory does not grow with it, and of a log in order each slice reads its own part only.
    identified = """
        from read_parquet($files, union_by_name = true)
        where received_at_quality not in ('carried', 'missing')
    """
    slices = -(-counts.loaded // _SLICE_ROWS)
    steps = [(number + 1) / slices for number in range(slices - 1)]
    cuts: list[int] = []
    if steps:
        quantiles = f"select list_distinct(approx_quantile(epoch_ms(received_at), {steps})) {identified}"
        (cuts,) = writer.con.execute(quantiles, {"files": files}).fetchone() or ([],)
    bounds = [None, *sorted(cuts), None]
    for start, end in pairwise(bounds):
        conditions = "".join(
            f" and received_at {sign} make_timestamptz({bound} * 1000)"
            for sign, bound in ((">=", start), ("<", end))
            if bound is not None
        )
        # 64 bits of hash tell two million ids apart with a chance of error of one in ten million
        found = _scalar(
            writer.con,
            f"select count(*) - count(distinct hash(frame_id)) {identified} {conditions}",
            {"files": files},
        )
        counts.duplicate += int(found or 0)
        counts.loaded -= int(found or 0)
