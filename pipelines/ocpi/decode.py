"""OCPI files to the lake: one landed file in, rows of the lake's OCPI tables out.

The file is split into objects (:mod:`pipelines.ocpi.objects`); driver tokens, contract ids and e-mail addresses are
replaced by their pseudonyms in the text, before anything is read from it; then each object is typed by SQL over the
whole chunk, checked, and written or quarantined. What is embedded (periods, price components, connectors, tariffs)
follows its object: an object is loaded with all of it, or not at all.
"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import duckdb
import pyarrow as pa

from pipelines.files import LandedFileError, open_landed
from pipelines.home import FileCounts, LakeWriter
from pipelines.lake import OCPI_TABLES, LakeTable
from pipelines.ocpi.fields import Sheet
from pipelines.ocpi.modules import MODULES, Module, tariff_sheet
from pipelines.ocpi.objects import Batch, Broken, ObjectReader, in_chunks

CHUNK_BYTES = 32 << 20  # text of the objects that are typed and written together
_TABLES: dict[str, LakeTable] = {table.name: table for table in OCPI_TABLES}
_TARIFF = tariff_sheet()
_FAULT = "struct(column_name varchar, value varchar, reason varchar, expected varchar)"
_LINEAGE = "record_number, line_number, record_hash, peer, ocpi_version, country_code, party_id"

# Keys whose value is a driver token, a contract id or another id of a person. `uid` is also an EVSE's; see ocpi_mask.
_SECRET_KEYS = "contract_id|auth_id|visual_number|group_id"
# Signed meter values carry the token inside their own encoding (OCMF: "ID"); the signature can be checked in landing/.
_SIGNED_KEYS = "plain_data|signed_data"
_MASKED_KEYS = f"{_SECRET_KEYS}|{_SIGNED_KEYS}"
_TOKEN_PATHS = [
    f"$.{path}"
    for path in (
        "cdr_token.uid",
        "cdr_token.contract_id",
        "cdr_token.visual_number",
        "auth_id",
        "uid",
        "contract_id",
        "visual_number",
        "group_id",
    )
]
_MACROS = rf"""
-- A number of many digits would be read as a float by the JSON functions: in quotes it keeps every digit. The pattern
-- takes whole strings too, so that digits inside them stay as they are; marks around nothing are dropped again.
create or replace temp macro ocpi_exact_numbers(t) as
    case when regexp_matches(t, '[0-9][0-9.eE+-]{{15,}}') then
        replace(
            replace(
                regexp_replace(
                    t, '("(?:[^"\\]|\\.)*")|(-?[0-9][0-9.eE+-]{{15,}})', '\1' || chr(1) || '\2' || chr(1), 'g'
                ),
                chr(1) || chr(1),
                ''
            ),
            chr(1),
            '"'
        )
    else t end;

-- JSON text without white space outside of strings, with the value of each matched key replaced by its pseudonym. It
-- is cut at the pairs and put together again, at half the cost of replacing pair by pair.
create or replace temp macro ocpi_mask_pair(pair) as
    left(pair, strpos(pair, ':'))
    || '"'
    || coalesce(pseudonym(
        case
            when contains(pair, '\') then cast(substr(pair, strpos(pair, ':') + 1) as json) ->> '$'
            else trim(substr(pair, strpos(pair, ':') + 1), '"')
        end
    ), '')
    || '"';
create or replace temp macro ocpi_mask_values(t, pattern, is_uid_kept) as
    array_to_string(
        list_transform(
            list_zip(string_split_regex(t, pattern), regexp_extract_all(t, pattern)),
            lambda piece: piece[1] || case
                when piece[2] is null then ''
                when is_uid_kept and starts_with(piece[2], '"uid"') then piece[2]
                else ocpi_mask_pair(piece[2])
            end
        ),
        ''
    );

-- An object's `uid` is a token's unless it stands in the EVSEs of a location; an object with both loses both.
create or replace temp macro ocpi_mask_keys(t) as ocpi_mask_values(
    t,
    '"(?:uid|{_MASKED_KEYS})":(?:"(?:[^"\\]|\\.)+"|[0-9]+)',
    contains(t, '"evses"') and not contains(t, '_token"')
);

-- The same id elsewhere in the object, such as in a remark. Short ids and words are left alone.
create or replace temp macro ocpi_remaining(t, ids) as
    list_filter(ids, lambda id: length(id) >= 6 and regexp_matches(id, '[0-9]') and contains(t, id));
create or replace temp macro ocpi_replace_ids(t, ids) as
    case when len(ids) > 0
        then list_reduce(list_prepend(t, ids), lambda masked, id: replace(masked, id, pseudonym(id)))
        else t
    end;

-- Text that is no JSON: each id is looked for by itself, whatever the quotes around it.
create or replace temp macro ocpi_mask_broken(t) as
    mask_emails(list_reduce(
        list_prepend(
            mask_keys(replace(t, '\u0040', '@'), 'uid|{_MASKED_KEYS}'),
            list_distinct(regexp_extract_all(
                t, '(?:^|[^a-z_])(?:uid|{_SECRET_KEYS})\\?"?\s*:\s*\\?"?([^",\\{{}}\[\]\s]{{4,}})', 1
            ))
        ),
        lambda masked, id: replace(masked, id, pseudonym(id))
    ));
"""


@dataclass(frozen=True, slots=True)
class Place:
    """What the path of a landed file says."""

    module: Module
    peer: str | None


def place_of(path: str) -> Place:
    """Tell module and peer from a path below ``landing/``: ``ocpi/<module>/[PEER/]...``.

    Raises:
        LandedFileError: The folder is no OCPI module's.
    """
    parts = [part for part in PurePosixPath(path).parts if part != "/"]
    below = parts[parts.index("ocpi") + 1 :] if "ocpi" in parts else parts
    module = MODULES.get(below[0].lower()) if len(below) > 1 else None
    if module is None:
        folders = ", ".join(f"ocpi/{name}" for name in MODULES)
        raise LandedFileError("unknown_module", f"{path}: not in one of the folders {folders}")
    return Place(module, below[1] if len(below) > 2 else None)


def decode_file(path: Path, *, writer: LakeWriter) -> FileCounts:
    """Decode one OCPI file into the lake.

    The caller has made the pseudonym macros on ``writer.con`` (:func:`pipelines.pseudonym.create_macros`) and commits
    the writer afterwards. The session's time zone is set to UTC. Module and peer come from ``writer.record.path``.

    Args:
        path: The landed file, plain, .gz or .zst.
        writer: Writer of this file's lake files. Its record gets the counts, the module, the peer, and the error of a
            file that can't be opened.

    Returns:
        Objects read, loaded, found to repeat an earlier object of the file, and quarantined.
    """
    con = writer.con
    con.execute("set TimeZone = 'UTC'")
    con.execute(_MACROS)
    counts = writer.record.counts = FileCounts()
    try:
        place = place_of(writer.record.path)
        writer.record.table_name, writer.record.peer = place.module.name, place.peer
        with open_landed(path) as source:
            decoder = _Decoder(writer, place, counts)
            with con.cursor() as reader:
                for chunk in _ahead(_chunks(iter(ObjectReader(source, reader, place.module.keys)))):
                    decoder.decode(chunk)
    except LandedFileError as error:
        writer.record.error = error.detail
        whole = Broken(0, 0, error.reason, "a file that can be read", "")
        _quarantine_broken(writer, [whole], error.detail)
        counts.read += 1
        counts.quarantined += 1
    finally:
        for name in ("ocpi_object", "ocpi_typed", "ocpi_tariff_typed", "ocpi_tariff_of", "ocpi_seen"):
            con.execute(f"drop table if exists temp.{name}")
    return counts


def _chunks(batches: Iterator[Batch]) -> Iterator[Batch]:
    """Join batches up to some size."""
    tables: list[pa.Table] = []
    broken: list[Broken] = []
    size = 0
    for batch in batches:
        tables.append(batch.objects)
        broken.extend(batch.broken)
        size += batch.objects.nbytes
        if size >= CHUNK_BYTES:
            yield Batch(pa.concat_tables(tables), broken)
            tables, broken, size = [], [], 0
    if tables:
        yield Batch(pa.concat_tables(tables), broken)


def _ahead(chunks: Iterator[Batch]) -> Iterator[Batch]:
    """Yield chunks, the next one being split while the caller works on one."""
    with ThreadPoolExecutor(max_workers=1) as pool:
        coming = pool.submit(next, chunks, None)
        while (chunk := coming.result()) is not None:
            coming = pool.submit(next, chunks, None)
            yield chunk


def _quarantine_broken(writer: LakeWriter, broken: list[Broken], detail: str | None = None) -> int:
    """Write records that are no objects; those with record number 0 stand for the whole file."""
    rows = pa.Table.from_pylist(
        [
            {
                "record_number": record.record_number,
                "line_number": record.line_number,
                "column_name": record.column_name,
                "value": detail or record.value,
                "reason": record.reason,
                "expected": record.expected,
                "text": record.text,
            }
            for record in broken
        ],
        schema=pa.schema(
            [("record_number", pa.int64()), ("line_number", pa.int64())]
            + [(name, pa.string()) for name in ("column_name", "value", "reason", "expected", "text")]
        ),
    )
    writer.con.register("ocpi_broken", rows)
    try:
        return writer.quarantine("""
            select
                nullif(line_number, 0) as line_number,
                nullif(record_number, 0) as record_number,
                column_name,
                left(value, 200) as value,
                reason,
                expected,
                nullif(left(ocpi_mask_broken(text), 2000), '') as text
            from ocpi_broken
        """)
    finally:
        writer.con.unregister("ocpi_broken")


class _Decoder:
    """Types and writes the objects of one file, chunk by chunk."""

    def __init__(self, writer: LakeWriter, place: Place, counts: FileCounts) -> None:
        self._writer = writer
        self._con: duckdb.DuckDBPyConnection = writer.con
        self._module = place.module
        self._peer = "null" if place.peer is None else "'" + place.peer.replace("'", "''") + "'"
        self._counts = counts
        self._con.execute("create or replace temp table ocpi_seen (hash uhugeint)")

    def decode(self, chunk: Batch) -> None:
        """Load one chunk."""
        self._counts.read += len(chunk.objects) + len(chunk.broken)
        if chunk.broken:
            self._counts.quarantined += _quarantine_broken(self._writer, chunk.broken)
        if not len(chunk.objects):
            return
        self._type_objects(chunk.objects)
        if "tariff_texts" in self._module.sheet.columns:
            self._type_tariffs()
        self._counts.quarantined += self._quarantine()
        self._counts.duplicate += self._drop_duplicates()
        self._counts.loaded += self._write()

    def _type_objects(self, objects: pa.Table) -> None:
        """Make the table ``ocpi_typed``: the module's columns, what is embedded, and the number of the failed check."""
        self._con.register("ocpi_texts", in_chunks(objects))
        self._con.execute(f"""
            create or replace temp table ocpi_typed as
            with delivered as (
                -- The escape of an at sign would hide an address.
                select
                    record_number,
                    line_number,
                    case when contains(text, '\\u0040') then replace(text, '\\u0040', '@') else text end as text
                from ocpi_texts
            ),
            keys_masked as (
                select *, ocpi_mask_keys(text) as masked, json_extract_string(text, {_TOKEN_PATHS}) as ids
                from delivered
            ),
            remaining as (select *, ocpi_remaining(masked, ids) as remaining_ids from keys_masked),
            ids_masked as (select *, ocpi_replace_ids(masked, remaining_ids) as ids_masked from remaining),
            masked as (select *, mask_emails(ids_masked) as all_masked from ids_masked),
            objects as (
                select
                    record_number,
                    line_number,
                    text,
                    json_valid(all_masked) as is_maskable,
                    case when is_maskable then all_masked else '{{}}' end as raw
                from masked
            ),
            {_typed_ctes(self._module.sheet, "objects", "record_number, line_number, raw")}
            select
                *,
                coalesce({self._peer}, upper(country_code) || '*' || upper(party_id), '') as peer,
                {self._hash_sql()} as record_hash,
                cast(null as {_FAULT}) as tariff_fault
            from checked
        """)
        self._con.unregister("ocpi_texts")

    def _hash_sql(self) -> str:
        """SQL of an object's hash; of a tariff, of its JSON written anew, so that an embedded copy has the same."""
        return "md5(raw)" if self._module.table != "tariff" else "md5(cast(json(ocpi_exact_numbers(raw)) as varchar))"

    def _type_tariffs(self) -> None:
        """Make ``ocpi_tariff_of`` (which object embeds which tariff) and ``ocpi_tariff_typed`` (each text once)."""
        self._con.execute("""
            create or replace temp table ocpi_tariff_of as
            select record_number, md5(raw) as record_hash, raw
            from (select record_number, unnest(tariff_texts) as raw from ocpi_typed where problem is null)
        """)
        self._con.execute(f"""
            create or replace temp table ocpi_tariff_typed as
            with objects as (
                select record_hash, any_value(raw) as raw, true as is_maskable
                from ocpi_tariff_of
                group by record_hash
            ),
            {_typed_ctes(_TARIFF, "objects", "record_hash, raw")}
            select * from checked
        """)
        self._con.execute(f"""
            update ocpi_typed
            set tariff_fault = faults.fault
            from (
                select
                    o.record_number,
                    min(struct_pack(
                        column_name := t.column_name,
                        value := t.problem_value,
                        reason := t.reason,
                        expected := t.expected
                    )) as fault
                from ocpi_tariff_of as o
                inner join (
                    select record_hash, problem_value, {_TARIFF.explain("tariffs.")}
                    from ocpi_tariff_typed
                    where problem is not null
                ) as t
                    on o.record_hash = t.record_hash
                group by o.record_number
            ) as faults
            where ocpi_typed.record_number = faults.record_number
        """)

    def _quarantine(self) -> int:
        """Write out and drop the objects that failed a check."""
        others = [module for module in MODULES.values() if module is not self._module]
        other = " ".join(f"when {_has_key_of(module)} then '{module.noun}'" for module in others)
        rows = self._writer.quarantine(f"""
            with faulty as (
                select
                    *,
                    case when problem > 0 and not {_has_key_of(self._module)} then case {other} end end as other_module
                from ocpi_typed
                where problem is not null or tariff_fault is not null
            ),
            explained as (select *, {self._module.sheet.explain()} from faulty)
            select
                line_number,
                record_number,
                case when other_module is null then coalesce(column_name, tariff_fault.column_name) end as column_name,
                case when other_module is null
                    then left(coalesce(problem_value, tariff_fault.value), 200) else other_module
                end as value,
                case
                    when other_module is not null then 'wrong_module'
                    else coalesce(reason, tariff_fault.reason)
                end as reason,
                case
                    when other_module is not null then 'a {self._module.noun}, as in the folder {self._module.name}'
                    else coalesce(expected, tariff_fault.expected)
                end as expected,
                left(raw, 2000) as text
            from explained
        """)
        if rows:
            self._con.execute("delete from ocpi_typed where problem is not null or tariff_fault is not null")
        return rows

    def _drop_duplicates(self) -> int:
        """Drop objects that repeat an earlier one of the file; returns how many."""
        count = self._con.execute("""
            delete from ocpi_typed
            where record_number in (
                select record_number
                from (
                    select
                        record_number,
                        record_hash,
                        row_number() over (partition by record_hash order by record_number) as copy_number
                    from ocpi_typed
                )
                where copy_number > 1 or md5_number(record_hash) in (select hash from ocpi_seen)
            )
        """).fetchone()
        self._con.execute("insert into ocpi_seen select md5_number(record_hash) from ocpi_typed")
        return int(count[0]) if count else 0

    def _write(self) -> int:
        """Write the objects and what is embedded in them; returns the objects written."""
        module = self._module
        if module.table == "tariff":
            self._write_tariffs("select *, cast(null as varchar) as embedded_in_cdr_id from ocpi_typed")
            count = self._con.execute("select count(*) from ocpi_typed").fetchone()
            return int(count[0]) if count else 0
        loaded = self._write_table(module.table, "select * from ocpi_typed")
        if module.table == "cdr":
            self._write_table("cdr_dimension", _CDR_DIMENSIONS)
        if module.table == "location":
            self._write_table("connector", _CONNECTORS)
        if "tariff_texts" in module.sheet.columns:
            cdr_id = "cdr_id" if module.table == "cdr" else "cast(null as varchar)"
            self._write_tariffs(f"""
                select
                    t.* replace (
                        coalesce(t.country_code, p.country_code) as country_code,
                        coalesce(t.party_id, p.party_id) as party_id
                    ),
                    p.record_number,
                    p.line_number,
                    p.peer,
                    p.ocpi_version,
                    {cdr_id} as embedded_in_cdr_id
                from ocpi_tariff_of as o
                inner join ocpi_typed as p on o.record_number = p.record_number
                inner join ocpi_tariff_typed as t on o.record_hash = t.record_hash
            """)
        return loaded

    def _write_tariffs(self, relation: str) -> None:
        self._write_table("tariff", relation)
        self._write_table("tariff_component", _TARIFF_COMPONENTS.format(relation=relation))

    def _write_table(self, table: str, relation: str) -> int:
        return self._writer.write(
            _TABLES[table], f"select *, '{self._writer.record.source_id}' as source_id from ({relation})"
        )


def _has_key_of(module: Module) -> str:
    """SQL that tells whether an object looks like one of the module."""
    return "(" + " or ".join(f"json_exists(raw, '$.{key}')" for key in sorted(module.marks)) + ")"


def _typed_ctes(sheet: Sheet, relation: str, keys: str) -> str:
    """SQL of the CTEs that type and check the JSON texts ``raw`` of a relation; the last is called ``checked``.

    Args:
        sheet: What to read.
        relation: Name of the relation.
        keys: Its columns to keep.
    """
    values = ",\n".join(f"{value} as {name}" for name, value in sheet.columns.items())
    names = ", ".join(sheet.columns)
    return f"""
        read as (
            select *, json_extract_string(exact, {sheet.path_list()}) as v
            from (select *, ocpi_exact_numbers(raw) as exact from {relation})
        ),
        typed as (
            select {keys}, is_maskable, v, {values}
            from read
        ),
        judged as (
            select *, {sheet.problem()} as problem
            from typed
        ),
        checked as (
            select
                {keys},
                {names},
                problem,
                case when problem is not null then {sheet.problem_value()} end as problem_value
            from judged
        )"""


_CDR_DIMENSIONS = f"""
    with periods as (
        select
            {_LINEAGE},
            cdr_id,
            unnest(periods) as period,
            generate_subscripts(periods, 1) as period_number
        from ocpi_typed
    )
    select
        {_LINEAGE},
        cdr_id,
        period_number,
        period.started_at as period_started_at,
        period.tariff_id as tariff_id,
        unnest(
            case when len(period.dimensions) > 0 then period.dimensions else [null] end, recursive := true
        )
    from periods
"""

_CONNECTORS = f"""
    with evses as (
        select
            {_LINEAGE},
            location_id,
            unnest(evses) as evse
        from ocpi_typed
    )
    select
        {_LINEAGE},
        location_id,
        evse.evse_uid as evse_uid,
        evse.evse_id as evse_id,
        evse.evse_status as evse_status,
        evse.evse_last_updated_at as evse_last_updated_at,
        unnest(case when len(evse.connectors) > 0 then evse.connectors else [null] end, recursive := true)
    from evses
"""

_TARIFF_COMPONENTS = f"""
    with tariffs as ({{relation}}),
    elements as (
        select
            {_LINEAGE},
            tariff_id,
            embedded_in_cdr_id,
            unnest(components) as components,
            unnest(typed_restrictions) as restriction,
            generate_subscripts(components, 1) as element_number
        from tariffs
    ),
    components as (
        select
            {_LINEAGE},
            tariff_id,
            embedded_in_cdr_id,
            element_number,
            restriction,
            unnest(components) as component,
            generate_subscripts(components, 1) as component_number
        from elements
    )
    select
        {_LINEAGE},
        tariff_id,
        embedded_in_cdr_id,
        element_number,
        component_number,
        component.dimension as dimension,
        component.price as price,
        component.vat_percent as vat_percent,
        component.step_size as step_size,
        unnest(restriction)
    from components
"""
