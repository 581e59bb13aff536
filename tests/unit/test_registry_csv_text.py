"""Cutting CSV text into records: lines, quotes and delimiters."""

import csv
import io

import polars as pl
from hypothesis import example, given
from hypothesis import strategies as st

from pipelines.registry.csv_text import CsvText, read_csv_text

KNOWN = frozenset({"a", "b", "c"})


def rows(cut: CsvText) -> list[list[str | None]]:
    """The values of each record, in order."""
    if not cut.tokens.height:
        return []
    return cut.tokens.group_by("record", maintain_order=True).agg("value")["value"].to_list()


def test_semicolon_and_comma_are_told_by_the_header():
    assert rows(read_csv_text("a;b\n1,5;2\n", KNOWN)) == [["1,5", "2"]]
    assert rows(read_csv_text("a,b\n1;5,2\n", KNOWN)) == [["1;5", "2"]]


def test_a_quoted_line_break_belongs_to_its_field_and_the_next_record_keeps_its_physical_line():
    cut = read_csv_text('a;b\r\n"first\r\nsecond";x\r\nnext;y\r\n', KNOWN)
    assert rows(cut) == [["first\r\nsecond", "x"], ["next", "y"]]
    assert cut.records["line_number"].to_list() == [2, 4]
    assert cut.records["text"].to_list() == ['"first\r\nsecond";x', "next;y"]


def test_doubled_quotes_and_delimiters_inside_quotes_are_text():
    assert rows(read_csv_text('a,b\n"say ""hi"", all",2\n', KNOWN)) == [['say "hi", all', "2"]]


def test_a_stray_quote_spoils_its_own_field_only():
    cut = read_csv_text('a;b\n"open;1\nx;2\ny;"3"\n', KNOWN)
    assert cut.tokens.filter("is_malformed")["value"].to_list() == ['"open']
    assert rows(cut) == [['"open', "1"], ["x", "2"], ["y", "3"]]


def test_lines_without_a_value_are_no_records_but_count_as_lines():
    cut = read_csv_text("\n\na;b\n\n1;2\n;;;\n3;4", KNOWN)
    assert rows(cut) == [["1", "2"], ["3", "4"]]
    assert cut.records["line_number"].to_list() == [5, 7]


def test_empty_fields_beyond_the_header_are_dropped_and_filled_ones_counted():
    cut = read_csv_text("a;b;\n1;2;;\n1;2;3\n1\n", KNOWN)
    assert cut.header == ("a", "b")
    assert cut.records["field_count"].to_list() == [2, 3, 1]


def test_a_text_without_records_has_an_empty_header():
    for text in ("", "\n\n", ";;\n"):
        cut = read_csv_text(text, KNOWN)
        assert cut.header == ()
        assert cut.records.height == 0


cell = st.text(st.characters(exclude_categories=["Cs", "Cc"], include_characters="\n\t"), max_size=12).map(
    lambda text: text.strip(" \t\u00a0\r\n\v\f\x1c\x1d\x1e\x85\u2028\u2029").strip()
)


@given(
    table=st.lists(st.tuples(cell, cell, cell).filter(any), max_size=8),
    delimiter=st.sampled_from([";", ","]),
    ending=st.sampled_from(["\n", "\r\n", "\r"]),
    quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
)
@example(table=[('"', "", "x\ny"), ("a\rb", '""', ";,")], delimiter=";", ending="\r\n", quoting=csv.QUOTE_MINIMAL)
def test_what_a_csv_writer_writes_is_read_back(table, delimiter, ending, quoting):
    if any("\n" in text for row in table for text in row):
        quoting = csv.QUOTE_ALL  # Python's writer quotes only the line ends it writes itself; a break must be quoted
    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer, delimiter=delimiter, lineterminator=ending, quoting=quoting)
    writer.writerow(["a", "b", "c"])
    writer.writerows(table)
    cut = read_csv_text(buffer.getvalue(), KNOWN)
    assert rows(cut) == [[value or None for value in row] for row in table]
    assert cut.records["field_count"].to_list() == [3] * len(table)
    assert not cut.tokens.select(pl.col("is_malformed").any()).item()
