"""CSV text as tokens with their place, so that every fault can name its line.

No reader at hand gives the physical line of a record whose quoted fields hold line breaks, nor the text of a record
that is wrong. One regular expression cuts the whole text into fields (in C), and the rest is columns.
"""

import re
from dataclasses import dataclass

import polars as pl

DELIMITERS = (";", ",")

# A field is quoted when its quotes are well formed up to the next delimiter or line end; else it is taken as it stands,
# so that a stray quote spoils its own field and not the rest of the file.
_FIELD = (
    r'([ \t]*+"[^"]*+(?:""[^"]*+)*+"[ \t]*+(?=[{0}\r\n]|\Z)|[^{0}\r\n]*+)'
    r"({0}|\r\n|\n|\r|\Z)"
)
_PATTERNS = {delimiter: re.compile(_FIELD.format(delimiter)) for delimiter in DELIMITERS}


@dataclass(frozen=True, slots=True)
class CsvText:
    """A CSV text, cut up.

    Attributes:
        header: Names of the header row, in lower case; empty for a text without any record.
        tokens: One row per field of the records below the header: ``record`` (from 0), ``position`` (from 0),
            ``value`` (trimmed, quotes removed, null where empty), ``is_malformed`` (begins with a quote that is not
            closed before the delimiter).
        records: One row per record: ``record``, ``line_number`` (its first line, from 1), ``field_count`` (without
            empty fields beyond the header), ``text`` (as delivered).
    """

    header: tuple[str, ...]
    tokens: pl.DataFrame
    records: pl.DataFrame


def sniff_delimiter(text: str, known: frozenset[str]) -> str:
    """Return the delimiter under which the first line that is not blank shows most known column names."""
    line = next((line for line in text.splitlines() if line.strip()), "")

    def hits(delimiter: str) -> int:
        return len({name.strip(' \t"').lower() for name in line.split(delimiter)} & known)

    return max(DELIMITERS, key=lambda delimiter: (hits(delimiter), line.count(delimiter)))


def read_csv_text(text: str, known: frozenset[str]) -> CsvText:
    """Cut a CSV text (RFC 4180, with ``;`` or ``,``) into records and fields.

    Lines without any value (blank, or delimiters only, as spreadsheets leave them) are no records.

    Args:
        text: The decoded text, without a byte-order mark.
        known: Column names that may occur, to tell the delimiter.
    """
    delimiter = sniff_delimiter(text, known)
    pairs = _PATTERNS[delimiter].findall(text)
    raw, ends = zip(*pairs, strict=True) if pairs else ((), ())
    trimmed = pl.col("raw").str.strip_chars(" \t\u00a0")
    is_quoted = trimmed.str.contains(r'^"(?:[^"]|"")*"$')
    tokens = (
        pl.DataFrame({"raw": pl.Series(raw, dtype=pl.String), "end": pl.Series(ends, dtype=pl.String)})
        .lazy()
        .with_columns(
            is_last=pl.col("end") != delimiter,
            line_breaks=pl.col("raw").str.count_matches(r"\r\n|\n|\r").cast(pl.Int64)
            + ((pl.col("end") != delimiter) & (pl.col("end") != "")).cast(pl.Int64),
            value=pl.when(is_quoted)
            .then(trimmed.str.slice(1, trimmed.str.len_chars() - 2).str.replace_all('""', '"', literal=True))
            .otherwise(trimmed)
            .str.strip_chars(),
            is_malformed=trimmed.str.starts_with('"') & ~is_quoted,
        )
        .with_columns(
            record=pl.col("is_last").shift(1, fill_value=False).cast(pl.Int64).cum_sum(),
            line_number=pl.col("line_breaks").cum_sum() - pl.col("line_breaks") + 1,
            value=pl.when(pl.col("value") != "").then(pl.col("value")),
        )
        .filter(pl.col("value").is_not_null().any().over("record"))
        .with_columns(position=pl.int_range(pl.len()).over("record"))
        .collect()
    )
    header_record = tokens["record"][0] if tokens.height else 0
    is_header = pl.col("record") == header_record
    head = tokens.filter(is_header)
    names = [(name or "").lower() for name in head["value"]]
    while names and not names[-1]:
        names.pop()
    width = len(names)
    body = tokens.filter(~is_header & ((pl.col("position") < width) | pl.col("value").is_not_null()))
    records = (
        tokens.filter(~is_header)
        .group_by("record", maintain_order=True)
        .agg(
            pl.col("line_number").first(),
            field_count=pl.col("position").filter((pl.col("position") < width) | pl.col("value").is_not_null()).len(),
            text=(pl.col("raw") + pl.col("end")).str.join("").str.strip_chars_end("\r\n"),
        )
    )
    return CsvText(tuple(names), body.select("record", "position", "value", "is_malformed"), records)
