"""Registry CSV -> lake: every cell checked, every fault with its line, column, value and what was expected.

A wrong row stops that row, not the file; only a file without a required column (or with an unknown name) is refused as
a whole. E-mail addresses go to the lake as pseudonyms, in quarantined text too: the connection of the writer must have
the macros of :func:`pipelines.pseudonym.create_macros`.
"""

import codecs
import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from pipelines.files import LandedFileError, open_landed
from pipelines.home import FileCounts, LakeWriter
from pipelines.registry.csv_text import CsvText, read_csv_text
from pipelines.registry.policies import POLICY_COLUMNS, expand_policies
from pipelines.registry.schemas import EMAIL, INSTANT, REGISTRY_FILES, Field, RegistryFile

log = logging.getLogger(__name__)

_REPLACEMENT = "\ufffd"
_FAULT = {
    "record": pl.Int64,
    "line_number": pl.Int64,
    "column_name": pl.String,
    "value": pl.String,
    "reason": pl.String,
    "expected": pl.String,
    "text": pl.String,
}


@dataclass(frozen=True, slots=True)
class RegistryResult:
    """What became of one registry file.

    Attributes:
        counts: Its records. ``quarantined`` counts rows: a row with three faults is one quarantined record and three
            rows in the quarantine.
        warnings: One sentence per column that was kept out.
    """

    counts: FileCounts
    warnings: list[str]


def decode_file(path: Path, *, writer: LakeWriter, default_time_zone: str) -> RegistryResult:
    """Read one registry file into its lake table.

    The file name decides the table (README, "Registry files"). The writer's record gets ``table_name`` and, where the
    whole file is refused, ``error``; committing is left to the caller.

    Args:
        path: The landed CSV file.
        writer: Writer of this file; its connection has the pseudonym macros.
        default_time_zone: Taken so that all decoders are called alike. Times without an offset stay on the site's
            clock here, since the sites may be in another file; staging converts them.

    Returns:
        The counts, with a list of warnings about columns kept out.
    """
    del default_time_zone
    file = REGISTRY_FILES.get(path.stem.lower()) if path.suffix.lower() == ".csv" else None
    if file is None:
        accepted = ", ".join(f"{name}.csv" for name in REGISTRY_FILES)
        return _refuse(writer, "unknown_file", f"a registry file named one of {accepted}", path.name)
    writer.record.table_name = file.name
    try:
        with open_landed(path) as stream:
            data = stream.read()
            if stream.damage:
                raise stream.damage
    except LandedFileError as error:
        return _refuse(writer, error.reason, f"a readable file; {error.detail}")
    if data[:2] in (b"\xff\xfe", b"\xfe\xff") or b"\0" in data:
        return _refuse(writer, "bad_encoding", "text in UTF-8, not UTF-16 or binary data")
    text = data.decode("utf-8-sig", errors="replace")
    is_utf8 = _REPLACEMENT not in text or text.encode() == data.removeprefix(codecs.BOM_UTF8)
    known = frozenset(file.field_names) | (POLICY_COLUMNS if file.name == "sla_policies" else frozenset())
    secret = tuple(field.name for field in file.fields if field.kind is EMAIL)
    csv = read_csv_text(text, known)
    if refused := _header_fault(file, csv, path.name, known):
        reason, column, expected = refused
        return _refuse(writer, reason, expected, column=column, csv=csv, secret=secret)
    return _load(file, csv, writer, path.name, known, secret, is_utf8=is_utf8)


def _shown(column: str) -> str:
    """Return a header cell for a message: a file without a header row shows its first record there, people included."""
    if not column:
        return "(without a name)"
    return column if re.fullmatch(r"[\w .\-]{1,60}", column) else "(no column name)"


def _header_fault(
    file: RegistryFile, csv: CsvText, name: str, known: frozenset[str]
) -> tuple[str, str | None, str] | None:
    """Return reason, column and expectation if the header makes the file unreadable."""
    required = [field.name for field in file.fields if field.required]
    if not csv.header:
        return "no_header", None, f"a header row with at least {', '.join(required)}"
    if missing := [column for column in required if column not in csv.header]:
        seen = ", ".join(_shown(column) for column in csv.header)
        return (
            "missing_column",
            ", ".join(missing),
            f"a header row in {name} with the required column{'s' * (len(missing) > 1)} {', '.join(missing)}; "
            f"it has {seen}",
        )
    if repeated := sorted({column for column in csv.header if column in known and csv.header.count(column) > 1}):
        return (
            "duplicate_column",
            ", ".join(repeated),
            f"each column once; {', '.join(repeated)} stands twice in {name}",
        )
    return None


def _refuse(  # noqa: PLR0913
    writer: LakeWriter,
    reason: str,
    expected: str,
    value: str | None = None,
    *,
    column: str | None = None,
    csv: CsvText | None = None,
    secret: Sequence[str] = (),
) -> RegistryResult:
    """Quarantine a whole file: each of its records, or the file itself where no record could be told apart."""
    writer.record.error = f"{reason}: expected {expected}"
    if csv is not None and csv.records.height:
        rows = _without_addresses(csv, secret).select("record", "line_number", "text", "secrets")
    else:
        rows = pl.DataFrame({"record": [0], "line_number": [None], "text": [None], "value": [value]})
    faults = rows.with_columns(column_name=pl.lit(column), reason=pl.lit(reason), expected=pl.lit(expected))
    _quarantine(writer, [faults], secret_columns=())
    return RegistryResult(FileCounts(read=rows.height, quarantined=rows.height), [])


def _load(  # noqa: PLR0913, PLR0917
    file: RegistryFile,
    csv: CsvText,
    writer: LakeWriter,
    name: str,
    known: frozenset[str],
    secret: Sequence[str],
    *,
    is_utf8: bool,
) -> RegistryResult:
    """Check every cell, write the good rows to the lake and the faults to the quarantine."""
    warnings = [
        f"column {_shown(column)} is unknown and kept out; known are {', '.join(file.field_names)}"
        for column in csv.header
        if column not in known
    ]
    for warning in warnings:
        log.warning("%s: %s", name, warning)

    records = _without_addresses(csv, secret)
    faults = _shape_faults(csv, records, is_utf8=is_utf8)
    rows = _rows(csv, records)
    if file.name == "sla_policies":
        rows, policy_faults = expand_policies(rows)
        faults.append(policy_faults)
    values, value_faults = _values(file, rows)
    faults += value_faults
    wrong = pl.concat([fault.select(pl.col("record").cast(pl.Int64)) for fault in faults]) if faults else None
    good = values if wrong is None else values.join(wrong.unique(), on="record", how="anti", maintain_order="left")
    good, duplicate_count, duplicate_faults = _without_duplicates(file, good)
    faults.append(duplicate_faults)

    loaded = _write(file, good, writer)
    quarantined = _quarantine(writer, [_with_place(fault, records) for fault in faults], secret_columns=secret)
    return RegistryResult(FileCounts(csv.records.height, loaded, duplicate_count, quarantined), warnings)


def _without_addresses(csv: CsvText, secret: Sequence[str]) -> pl.DataFrame:
    """Return the records with the text of those columns that hold e-mail addresses cut out for pseudonyms.

    ``mask_emails`` finds well-formed addresses only; a misspelled one in an e-mail column must not slip through, so
    fields that hold one are marked in the text by ``secrets`` and replaced by their pseudonym when it is written.
    """
    positions = [position for position, name in enumerate(csv.header) if name in secret]
    is_secret = pl.col("position").is_in(positions) | (
        pl.col("value").str.contains("@", literal=True) if secret else pl.lit(value=False)
    )
    secrets = (
        csv.tokens.filter(is_secret & pl.col("value").is_not_null())
        .group_by("record")
        .agg(secrets=pl.col("value").unique(maintain_order=True))
    )
    return csv.records.join(secrets, on="record", how="left", maintain_order="left")


def _shape_faults(csv: CsvText, records: pl.DataFrame, *, is_utf8: bool) -> list[pl.DataFrame]:
    """Find records with too few or too many fields, and fields with broken quotes or bytes that are no UTF-8."""
    width = len(csv.header)
    names = pl.Series("column_name", csv.header, dtype=pl.String)
    count = records.filter(pl.col("field_count") != width).select(
        "record",
        column_name=pl.lit(None, pl.String),
        value=pl.format("{} fields", "field_count"),
        reason=pl.lit("wrong_field_count"),
        expected=pl.lit(f"{width} fields, as many as the header has"),
    )
    in_width = csv.tokens.filter(pl.col("position") < width).with_columns(
        column_name=names.gather(csv.tokens.filter(pl.col("position") < width)["position"])
    )
    broken = in_width.filter("is_malformed").select(
        "record",
        "column_name",
        "value",
        reason=pl.lit("bad_quotes"),
        expected=pl.lit("a closing quote before the next delimiter, and quotes inside a quoted field doubled"),
    )
    faults = [count, broken]
    if not is_utf8:
        faults.append(
            in_width.filter(pl.col("value").str.contains(_REPLACEMENT, literal=True)).select(
                "record",
                "column_name",
                "value",
                reason=pl.lit("bad_encoding"),
                expected=pl.lit("text in UTF-8"),
            )
        )
    return faults


def _rows(csv: CsvText, records: pl.DataFrame) -> pl.DataFrame:
    """Return one row per record with as many fields as the header has: record, line_number and each column's text."""
    width = len(csv.header)
    whole = records.filter(pl.col("field_count") == width).select("record", "line_number")
    values = csv.tokens.join(whole, on="record", how="semi", maintain_order="left")["value"]
    columns = {
        name: values.gather_every(width, offset=position)
        for position, name in enumerate(csv.header)
        if csv.header.count(name) == 1
    }
    return whole.with_columns(**columns)


def _fault_rows(rows: pl.DataFrame, mask: pl.Series, column: str, reason: str, expected: str) -> pl.DataFrame:
    return rows.filter(mask).select(
        "record",
        column_name=pl.lit(column),
        value=pl.col(column).cast(pl.String) if column in rows.columns else pl.lit(None, pl.String),
        reason=pl.lit(reason),
        expected=pl.lit(expected),
    )


def _values(file: RegistryFile, rows: pl.DataFrame) -> tuple[pl.DataFrame, list[pl.DataFrame]]:
    """Parse every column; returns the typed rows (null where wrong) and the faults."""
    faults: list[pl.DataFrame] = []
    parsed: dict[str, pl.Series] = {}
    empty = pl.Series([None], dtype=pl.String).new_from_index(0, rows.height)
    for field in file.fields:
        text = rows[field.name] if field.name in rows.columns else empty
        values = field.kind.parse(text)
        faults.append(
            _fault_rows(rows, values.is_null() & text.is_not_null(), field.name, field.kind.reason, field.kind.expected)
        )
        if field.required:
            expected = f"a value: {field.name} is required ({field.kind.expected})"
            faults.append(_fault_rows(rows, text.is_null(), field.name, "missing_required", expected))
        parsed[field.name] = values
    typed = rows.select("record", "line_number").with_columns(**parsed)
    faults += [_order_fault(file, rows, typed, earlier, later) for earlier, later in file.ordered]
    if file.name == "access":
        faults.append(_scope_fault(rows))
    return typed, [fault for fault in faults if fault.height]


def _order_fault(file: RegistryFile, rows: pl.DataFrame, typed: pl.DataFrame, earlier: str, later: str) -> pl.DataFrame:
    """Find rows whose later date or time lies before the earlier one.

    A time with an offset and one without are not compared.
    """

    def before(part: str | None) -> pl.Expr:
        first, second = (pl.col(c) if part is None else pl.col(c).struct.field(part) for c in (earlier, later))
        return (second <= first if file.strictly else second < first).fill_null(value=False)

    is_instant = next(field for field in file.fields if field.name == later).kind is INSTANT
    wrong = before("utc") | before("local") if is_instant else before(None)
    mask = typed.select(wrong=wrong)["wrong"]
    return _fault_rows(
        rows, mask, later, "wrong_order", f"a value {'after' if file.strictly else 'not before'} {earlier}"
    )


def _scope_fault(rows: pl.DataFrame) -> pl.DataFrame:
    """Find people whose role needs a scope and has none: an empty scope must never open every row."""
    scope = pl.col("scope_id") if "scope_id" in rows.columns else pl.lit(None, pl.String)
    return rows.filter(pl.col("role").is_in(["owner", "operator", "emsp"]) & scope.is_null()).select(
        "record",
        column_name=pl.lit("scope_id"),
        value=pl.lit(None, pl.String),
        reason=pl.lit("missing_required"),
        expected=pl.format("the {}_id whose rows may be seen; only analyst and admin go without", "role"),
    )


def _without_duplicates(file: RegistryFile, good: pl.DataFrame) -> tuple[pl.DataFrame, int, pl.DataFrame]:
    """Drop repeated rows; a row with the key of an earlier one but other values is a fault. The first one stays."""
    folded = good.with_columns(pl.col("email").str.to_lowercase()) if "email" in file.key else good
    marked = folded.with_columns(
        is_repeated=~folded.drop("record", "line_number").select(pl.struct(pl.all()).is_first_distinct()).to_series(),
        is_taken=~folded.select(pl.struct(file.key).is_first_distinct()).to_series(),
        first_line=pl.col("line_number").first().over(file.key),
    )
    repeated = marked["is_repeated"]
    taken = marked["is_taken"] & ~repeated
    faults = marked.filter(taken).select(
        "record",
        column_name=pl.lit(", ".join(file.key)),
        value=pl.concat_str(
            [pl.col(column).cast(pl.String).fill_null("(empty)") for column in file.key], separator=", "
        ),
        reason=pl.lit("duplicate_id"),
        expected=pl.format(f"each {' + '.join(file.key)} once in the file; line {{}} has it already", "first_line"),
    )
    return good.filter(~repeated & ~taken), int(repeated.sum()), faults


def _select_item(field: Field, lake_names: frozenset[str]) -> list[str]:
    """Return the SQL of a field's lake columns."""
    if field.kind is INSTANT:
        return [f"{field.name}.utc as {field.name}", f"{field.name}.local as {field.name}_local"]
    if field.name not in lake_names:
        return []
    if field.kind is EMAIL:
        return [f"pseudonym({field.name}) as {field.name}"]
    return [f"{field.name}"]


def _write(file: RegistryFile, good: pl.DataFrame, writer: LakeWriter) -> int:
    """Write the good rows; free text loses its e-mail addresses to pseudonyms on the way."""
    lake_names = frozenset(file.table.column_names)
    texts = {name for name, dtype in good.schema.items() if dtype == pl.String}
    items = [item for field in file.fields for item in _select_item(field, lake_names)]
    items = [f"mask_emails({item}) as {item}" if item in texts else item for item in items]
    source_id = writer.record.source_id.replace("'", "''")
    writer.con.register("registry_rows", good.to_arrow())
    try:
        return writer.write(
            file.table, f"select '{source_id}' as source_id, line_number, {', '.join(items)} from registry_rows"
        )
    finally:
        writer.con.unregister("registry_rows")


def _with_place(fault: pl.DataFrame, records: pl.DataFrame) -> pl.DataFrame:
    return fault.join(records.select("record", "line_number", "text", "secrets"), on="record", how="left")


def _quarantine(writer: LakeWriter, faults: Sequence[pl.DataFrame], *, secret_columns: Sequence[str]) -> int:
    """Write fault rows; returns the number of records they belong to."""
    empty = pl.DataFrame(schema={**_FAULT, "secrets": pl.List(pl.String)})
    rows = pl.concat([empty, *(fault.cast({"record": pl.Int64}) for fault in faults)], how="diagonal_relaxed")
    if not rows.height:
        return 0
    is_secret = " or ".join(f"contains(column_name, '{column}')" for column in secret_columns) or "false"
    writer.con.register("registry_faults", rows.sort("line_number", "column_name", "reason").to_arrow())
    try:
        writer.quarantine(f"""
            select
                line_number, null as record_number, column_name, reason, expected,
                left(case when {is_secret} then pseudonym(value) else mask_emails(value) end, 200) as value,
                left(mask_emails(list_reduce(
                    list_prepend(text, coalesce(secrets, [])),
                    lambda masked, secret: replace(masked, secret, pseudonym(secret))
                )), 2000) as text
            from registry_faults
        """)
    finally:
        writer.con.unregister("registry_faults")
    return rows["record"].n_unique()
