"""Fields of OCPI objects: where each stands in the three versions, how its text becomes a typed column, what is wrong.

A :class:`Sheet` collects the JSON paths of one object, so that DuckDB reads them all with one
``json_extract_string(object, [paths])``: one call per path is four times slower. Numbers go from JSON text to DECIMAL
and never through a float.
"""

from dataclasses import dataclass, field

DECIMAL = "DECIMAL(18,6)"

# A full date and time (RFC 3339); OCPI lets the designator go, and then it is UTC. Refuses what DuckDB would also read:
# dates alone, zone names, `epoch`, `infinity`.
_INSTANT = r"\d{4}-\d{2}-\d{2}[Tt ]\d{2}:\d{2}:\d{2}([.,]\d+)?\s?([Zz]|[+-]\d{2}(:?\d{2})?)?"
_DATE = r"\d{4}-\d{2}-\d{2}([Tt ].*)?"
_CLOCK = r"\d{1,2}:\d{2}(:\d{2}(\.\d+)?)?"


def text(value: str) -> str:
    """SQL of a text: null if empty, or the specification's filler ``#NA`` for what is not known."""
    return f"nullif(nullif(trim({value}), ''), '#NA')"


def instant(value: str) -> str:
    """SQL of an instant; without an offset it is UTC (the session's TimeZone must be UTC)."""
    normal = f"replace(upper(trim({value})), ',', '.')"
    return f"case when regexp_full_match(trim({value}), '{_INSTANT}') then try_cast({normal} as timestamptz) end"


def decimal(value: str) -> str:
    """SQL of a number with six decimals, from its text: ``2``, ``"2.00"``, ``1e-3``."""
    return f"try_cast({value} as {DECIMAL})"


def integer(value: str) -> str:
    """SQL of a whole number; ``60.0`` is one, ``0.5`` is none."""
    number = decimal(value)
    return f"case when {number} = trunc({number}) then cast({number} as bigint) end"


def boolean(value: str) -> str:
    """SQL of a truth value."""
    return f"case lower(trim({value})) when 'true' then true when 'false' then false end"


def date(value: str) -> str:
    """SQL of a calendar date; a time behind it is ignored."""
    return f"case when regexp_full_match(trim({value}), '{_DATE}') then try_cast(left(trim({value}), 10) as date) end"


def clock(value: str) -> str:
    """SQL of a time of day as HH:MM, rounded to the minute: ``08:00:00`` is 08:00, ``23:59:59`` and ``24:00`` 00:00."""
    hour, minute, second = (f"try_cast(split_part(trim({value}), ':', {i}) as double)" for i in (1, 2, 3))
    minutes = f"cast(round({hour} * 60 + {minute} + coalesce({second}, 0) / 60) as integer)"
    return (
        f"case when regexp_full_match(trim({value}), '{_CLOCK}') and {hour} <= 24 and {minute} < 60 "
        f"and {minutes} <= 1440 then printf('%02d:%02d', ({minutes} // 60) % 24, {minutes} % 60) end"
    )


def parsed(value: str, shape: str) -> str:
    """SQL of JSON text as a value of ``shape`` (see DuckDB's ``from_json``); null if it is no JSON of that shape."""
    return f"case when json_valid({value}) then from_json({value}, '{shape}') end"


def items(value: str) -> str:
    """SQL of the texts of a JSON list's items; null if it is no list."""
    texts = f"list_transform(json_extract({value}, '$[*]'), lambda item: cast(item as varchar))"
    return f"case when {value} like '[%' and json_valid({value}) then {texts} end"


KINDS = {
    "text": (text, "bad_text", "a text"),
    "instant": (instant, "bad_datetime", "a date and time like 2024-03-01T12:00:00Z"),
    "decimal": (decimal, "bad_number", "a number below a million million"),
    "integer": (integer, "bad_number", "a whole number"),
    "boolean": (boolean, "bad_boolean", "true or false"),
    "date": (date, "bad_date", "a date like 2024-03-01"),
    "clock": (clock, "bad_time", "a time of day like 08:00"),
}


@dataclass(frozen=True, slots=True)
class Check:
    """Something that keeps an object from being loaded."""

    is_wrong: str  # SQL condition
    value: str  # SQL text of the value at fault
    column: str
    expected: str
    reason: str


@dataclass(slots=True)
class Sheet:
    """The paths, columns and checks of one kind of object.

    Columns are SQL expressions over ``v``, the texts at the paths. Notes are conditions that an object is loaded with
    all the same; those that hold are told in its column ``defects``.
    """

    paths: list[str] = field(default_factory=list)
    columns: dict[str, str] = field(default_factory=dict)
    checks: list[Check] = field(default_factory=list)
    notes: list[tuple[str, str, str]] = field(default_factory=list)  # SQL condition, id of the defect, field

    def at(self, *paths: str) -> str:
        """SQL of the first text that is there at ``paths``, each below the object's root."""
        for path in paths:
            if path not in self.paths:
                self.paths.append(path)
        texts = [f"v[{self.paths.index(path) + 1}]" for path in paths]
        return texts[0] if len(texts) == 1 else f"coalesce({', '.join(texts)})"

    def add(self, column: str, kind: str, *paths: str, required: bool = False) -> None:
        """Add a column that is read from the first of ``paths`` that is there."""
        self.add_value(column, kind, self.at(*paths), name=paths[0], required=required)

    def add_value(self, column: str, kind: str, value: str, *, name: str, required: bool = False) -> None:
        """Add a column made from the text ``value``; ``name`` is the field that messages name."""
        convert, reason, expected = KINDS[kind]
        self.columns[column] = convert(value)
        given = text(value)
        if required:
            self.checks.append(Check(f"{given} is null", value, name, expected, "missing_required"))
        if kind != "text":
            self.checks.append(Check(f"{given} is not null and {column} is null", value, name, expected, reason))

    def price(self, column: str, path: str, *, required: bool = False) -> None:
        """Add ``<column>_net`` and ``<column>_gross`` from a price in any version's shape.

        2.1.1 has a number, before taxes; 2.2.1 ``{excl_vat, incl_vat}``; 2.3.0 ``{before_taxes, taxes: [{amount}]}``,
        and of limits ``{before_taxes, after_taxes}``.
        """
        whole = self.at(path)
        net = f"coalesce({self.at(f'{path}.excl_vat', f'{path}.before_taxes')}, "
        net += f"case when {whole} not like '{{%' then {whole} end)"
        gross = self.at(f"{path}.incl_vat", f"{path}.after_taxes")
        taxes = self.at(f"{path}.taxes")
        read = parsed(taxes, '[{"amount":"VARCHAR"}]')
        amounts = f"list_transform({read}, lambda tax: try_cast(tax.amount as {DECIMAL}))"
        self.add_value(f"{column}_net", "decimal", net, name=path, required=required)
        self.columns[f"{column}_gross"] = (
            f"coalesce({decimal(gross)}, case when {taxes} is not null "
            f"then {decimal(net)} + coalesce(list_sum({amounts}), 0) end)"
        )
        _, reason, expected = KINDS["decimal"]
        unread = f"({gross} is not null and {decimal(gross)} is null)"
        self.checks.append(Check(unread, gross, path, expected, reason))
        wrong_tax = f"({taxes} is not null and ({amounts} is null or len({amounts}) <> list_count({amounts})))"
        self.checks.append(
            Check(wrong_tax, taxes, f"{path}.taxes", "a list of taxes, each with an amount", reason),
        )

    def note(self, condition: str, defect_id: str, name: str) -> None:
        """Note a defect of the field ``name`` where ``condition`` holds; the object is loaded."""
        self.notes.append((condition, defect_id, name))

    def defects(self) -> str:
        """SQL of the defects noted, ``<defect_id>:<field>`` joined by spaces; null without any."""
        told = [f"case when {condition} then '{defect_id}:{name}' end" for condition, defect_id, name in self.notes]
        return f"nullif(concat_ws(' ', {', '.join(told)}), '')" if told else "cast(null as varchar)"

    def path_list(self) -> str:
        """SQL list of the JSON paths."""
        return "[" + ", ".join(f"'$.{path}'" for path in self.paths) + "]"

    def problem(self) -> str:
        """SQL of the number of the first check that fails, from 1; null if none does."""
        cases = " ".join(f"when {check.is_wrong} then {n}" for n, check in enumerate(self.checks, 1))
        return f"case {cases} end"

    def problem_value(self) -> str:
        """SQL of the text at fault, by the number in ``problem``."""
        cases = " ".join(f"when {n} then {check.value}" for n, check in enumerate(self.checks, 1))
        return f"case problem {cases} end"

    def explain(self, prefix: str = "") -> str:
        """SQL columns ``column_name``, ``reason`` and ``expected`` of the check that ``problem`` names."""

        def literal(value: str) -> str:
            return "'" + value.replace("'", "''") + "'"

        def cases(values: list[str]) -> str:
            return "case problem " + " ".join(f"when {n} then {literal(v)}" for n, v in enumerate(values, 1)) + " end"

        return (
            f"{cases([prefix + check.column for check in self.checks])} as column_name, "
            f"{cases([check.reason for check in self.checks])} as reason, "
            f"{cases([check.expected for check in self.checks])} as expected"
        )
