"""Judges a file before it is written: every cell against its column, every row against the file, every key for itself.

A file is a table of texts, as it will stand in the CSV. Checks are SQL over the whole table, all of them in one scan.
"""

from dataclasses import dataclass

import duckdb
import polars as pl

from pipelines.reports.rules import ColumnRule, FileRules

# The receivers' own form: RFC 3339 in UTC without a numeric offset; 24:00 and second 60 are no times to them.
_DATETIME = r"\d{4}-\d{2}-\d{2}T([01]\d|2[0-3]):[0-5]\d:[0-5]\d(\.\d+)?Z?"
_PROBLEMS_PER_CHECK = 50


@dataclass(frozen=True, slots=True)
class Problem:
    """One cell or row that breaks a rule.

    Attributes:
        file: File it would have stood in.
        row: Line of the file (the header is line 1); None for the whole file.
        column: Column to look at.
        value: What stands there.
        says: What must hold.
    """

    file: str
    row: int | None
    column: str
    value: str
    says: str

    def __str__(self) -> str:
        """One line for people."""
        place = self.file if self.row is None else f"{self.file} line {self.row}"
        return f"{place}, {self.column} = {self.value!r}: {self.says}"


class RefusedError(Exception):
    """A report that breaks its receiver's rules; nothing was written."""

    SHOWN = 20

    def __init__(self, report: str, problems: list[Problem]) -> None:
        """Name the first problems in the message; all of them stay in ``problems``."""
        self.problems = problems
        lines = [f"  {problem}" for problem in problems[: self.SHOWN]]
        if len(problems) > self.SHOWN:
            lines.append(f"  … and {len(problems) - self.SHOWN} more")
        super().__init__(
            f"{report} is not written, because {len(problems)} value(s) break the receiver's rules:\n"
            + "\n".join(lines)
        )


def _text(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"


def _cell_checks(column: ColumnRule) -> list[tuple[str, str]]:
    """Return (rule, says) of one column; each rule is true for a good cell and may take a blank for good."""
    name = f'"{column.name}"'
    checks: list[tuple[str, str]] = []

    def check(rule: str, says: str) -> None:
        checks.append((f"{name} = '' or ({rule})", says))

    if column.required and not column.blank_allowed:
        checks.append((f"{name} <> ''", "must not be blank"))
    if column.type == "string":
        check(f"trim({name}) <> ''", "must not be white space alone")
        check(f"not regexp_matches({name}, '[\\x00-\\x1f]')", "must not hold line breaks or control characters")
        if column.max_length is not None:
            check(f"length({name}) <= {column.max_length}", f"has at most {column.max_length} characters")
    elif column.type == "datetime":
        check(
            f"regexp_full_match({name}, {_text(_DATETIME)}) and try_cast({name} as timestamp) is not null",
            "is a time in UTC such as 2026-01-31T23:59:59Z, without a numeric offset",
        )
    elif column.type == "boolean":
        check(f"{name} in ('TRUE', 'FALSE')", "is TRUE or FALSE")
    elif column.type == "integer":
        check(f"regexp_full_match({name}, '-?\\d{{1,18}}')", "is a whole number")
    elif column.type == "decimal":
        whole = column.digits - column.decimals
        check(f"regexp_full_match({name}, '-?\\d+(\\.\\d+)?')", "is a decimal number with a point")
        check(
            f"length(split_part(ltrim({name}, '-'), '.', 1)) <= {whole}",
            f"has at most {whole} digits before the point",
        )
        check(f"length(split_part({name}, '.', 2)) <= {column.decimals}", f"has at most {column.decimals} decimals")
    else:
        msg = f"{column.name}: the rules name the unknown type {column.type}"
        raise ValueError(msg)
    if column.min is not None:
        check(f"try_cast({name} as decimal(38, 6)) >= {column.min}", f"is at least {column.min}")
    if column.max is not None:
        check(f"try_cast({name} as decimal(38, 6)) <= {column.max}", f"is at most {column.max}")
    if column.one_of is not None:
        values = ", ".join(_text(value) for value in column.one_of)
        check(f"{name} in ({values})", f"is one of the {len(column.one_of)} values the receiver knows")
    return checks


def validate(file: str, frame: pl.DataFrame, rules: FileRules) -> list[Problem]:
    """Return what breaks a file's rules, in the order of lines.

    Args:
        file: Its name.
        frame: Its rows as texts; a blank cell is null or the empty text.
        rules: Its rules.
    """
    missing = [name for name in rules.names if name not in frame.columns]
    unknown = [name for name in frame.columns if name not in rules.names]
    problems = [Problem(file, None, name, "", "the column must be in the file") for name in missing]
    problems += [Problem(file, None, name, "", "the receiver knows no such column") for name in unknown]
    if problems:
        return problems
    if frame.is_empty() and not rules.may_be_empty:
        return [Problem(file, None, "", "", "the receiver takes no file without rows")]
    texts = frame.select(pl.col(rules.names).cast(pl.String).fill_null("")).with_row_index("line of the file", offset=2)
    checks = [
        (column.name, rule, f"{column.name} {says}") for column in rules.columns for rule, says in _cell_checks(column)
    ]
    checks += [(check.column, check.rule, check.says) for check in rules.checks]
    key = ", ".join(f'"{name}"' for name in rules.key)
    # one scan: each row gives the numbers of the checks that it breaks
    broken = ", ".join(
        f"case when not coalesce(({rule}), false) then {number} end" for number, (_, rule, _) in enumerate(checks)
    )
    with duckdb.connect() as con:
        con.execute("set TimeZone = 'UTC'")
        con.register("texts", texts)
        rows = con.execute(
            f"""
            select "line of the file", number
            from (
                select "line of the file", unnest(list_filter([{broken}], lambda found: found is not null)) as number
                from texts
            )
            qualify row_number() over (partition by number order by "line of the file") <= {_PROBLEMS_PER_CHECK}
            """
        ).fetchall()
        repeated = con.execute(
            f"select \"line of the file\", concat_ws(' | ', {key}) from texts "
            f'qualify row_number() over (partition by {key} order by "line of the file") > 1 '
            f"order by 1 limit {_PROBLEMS_PER_CHECK}"
        ).fetchall()
    for line, number in rows:
        column, _, says = checks[number]
        problems.append(Problem(file, line, column, texts[column][line - 2], says))
    joined = " + ".join(rules.key)
    problems += [Problem(file, line, joined, value, "stands in the file once") for line, value in repeated]
    return sorted(problems, key=lambda problem: (problem.row or 0, problem.column))
