"""The receivers' rules, read from ``rules/*.yml``: columns, types, keys and checks of each file."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import yaml

_FOLDER = Path(__file__).parent / "rules"


@dataclass(frozen=True, slots=True)
class ColumnRule:
    """What one column of a file may hold. Lengths are in characters, digits in digits."""

    name: str
    type: str
    required: bool = False
    blank_allowed: bool = False
    max_length: int | None = None
    digits: int = 18
    decimals: int = 0
    min: float | None = None
    max: float | None = None
    one_of: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class RowCheck:
    """SQL over the columns as texts, true for a good row; ``says`` is what must hold, ``column`` the one to look at."""

    column: str
    rule: str
    says: str


@dataclass(frozen=True, slots=True)
class FileRules:
    """What one file may hold.

    Attributes:
        title: What the file is about.
        key: Columns that together occur once.
        columns: Its columns in order.
        checks: Rules across columns.
        may_be_empty: Whether a file without rows is taken.
    """

    title: str
    key: tuple[str, ...]
    columns: tuple[ColumnRule, ...]
    checks: tuple[RowCheck, ...] = ()
    may_be_empty: bool = False

    @property
    def names(self) -> list[str]:
        """Names of the columns."""
        return [column.name for column in self.columns]


@dataclass(frozen=True, slots=True)
class Rules:
    """The rules of one report.

    Attributes:
        id: Name of the set of rules.
        version: Version of the source they were taken from.
        source: Where they are written.
        files: Rules by the file's name in the rules (for EV-ChART the module number).
        more: Everything else of the file, as read.
    """

    id: str
    version: str
    source: str
    files: Mapping[str, FileRules]
    more: Mapping[str, Any] = field(default_factory=dict)


def _column(name: str, given: Mapping[str, Any], lists: Mapping[str, Any]) -> ColumnRule:
    values = dict(given)
    if "one_of" in values:
        named = values["one_of"]
        values["one_of"] = tuple(lists[named] if isinstance(named, str) else named)
    return ColumnRule(name=name, **values)


@cache
def read_rules(name: str) -> Rules:
    """Read ``rules/<name>.yml``.

    Raises:
        TypeError: A column has an attribute that is not known.
    """
    data = yaml.safe_load((_FOLDER / f"{name}.yml").read_text(encoding="utf-8"))
    files = {
        str(key): FileRules(
            title=rules["title"],
            key=tuple(rules["key"]),
            columns=tuple(_column(column, given, data) for column, given in rules["columns"].items()),
            checks=tuple(RowCheck(**check) for check in rules.get("checks", ())),
            may_be_empty=rules.get("may_be_empty", False),
        )
        for key, rules in data.pop("modules").items()
    }
    return Rules(data.pop("id"), str(data.pop("version")), data.pop("source").strip(), files, data)
