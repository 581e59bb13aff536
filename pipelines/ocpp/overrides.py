"""``format.toml``: what a log does not say about itself, written beside it by whoever knows.

It holds for the files of its folder and of the folders below; a deeper one overrides it key by key, and
``[files."pattern"]`` holds for the files whose names match. What is in force for a file is part of what identifies its
decode: change it, and the file is decoded anew. A ``format.toml`` with a mistake stops nothing: the files it holds for go
to quarantine with the reason, and are decoded once it is right.
"""

import fnmatch
import hashlib
import json
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any
from zoneinfo import available_timezones

from pipelines.ocpp.formats import FORMATS

FILE_NAME = "format.toml"
_NAMES = frozenset(form.name for form in FORMATS)

_CHOICES = {
    "logged_by": ("csms", "charger"),
    "protocol": ("ocpp1.6", "ocpp2.0.1", "ocpp2.1"),
    "date_order": ("dmy", "mdy"),
}


@dataclass(frozen=True, slots=True)
class Overrides:
    """What is in force for one file; None where ``format.toml`` says nothing."""

    format: str | None = None  # name of the log format
    time_zone: str | None = None  # IANA zone of times without offset
    station_id: str | None = None  # the charge point, whatever the log calls it
    logged_by: str | None = None  # csms or charger: whose "received" it is
    protocol: str | None = None
    date_order: str | None = None  # dmy or mdy, of dates such as 03/04/2026
    date: str | None = None  # day of a log whose lines carry a time of day only
    problem: str | None = None  # what is wrong with the format.toml

    @property
    def digest(self) -> str:
        """Short hash of what is in force; empty if nothing is."""
        values = {name: getattr(self, name) for name in self.__slots__ if getattr(self, name) is not None}
        if not values:
            return ""
        return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:8]


NONE = Overrides()


def _check(values: Mapping[str, Any]) -> str | None:  # noqa: PLR0911 - one return a rule
    """Return what is wrong with the values of one table, in words; None if nothing is."""
    known = [name for name in Overrides.__slots__ if name != "problem"]
    for key, value in values.items():
        if key not in known:
            return f"{key}: no such key; known are {', '.join(known)} and [files]"
        text = value.isoformat() if key == "date" and type(value) is date else value
        if not isinstance(text, str) or not text.strip():
            return f"{key}: a text in quotes is expected"
        if key in _CHOICES and text not in _CHOICES[key]:
            return f"{key} = {text!r}: one of {', '.join(_CHOICES[key])} is expected"
        if key == "time_zone" and text not in available_timezones():
            return f"time_zone = {text!r}: an IANA zone such as Europe/Berlin or UTC is expected"
        if key == "format" and text not in _NAMES:
            return f"format = {text!r}: one of {', '.join(sorted(_NAMES))} is expected"
        if key == "date":
            try:
                date.fromisoformat(text)
            except ValueError:
                return f"date = {text!r}: a day such as 2026-03-01 is expected"
    return None


def _read(path: Path, file_name: str) -> tuple[dict[str, str], str | None]:
    """Return what one ``format.toml`` says of a file, and what is wrong with it."""
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}, None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        return {}, str(error)
    patterns = content.pop("files", {})
    if not isinstance(patterns, dict) or not all(isinstance(table, dict) for table in patterns.values()):
        return {}, '[files]: tables such as [files."cp1-*.log"] are expected'
    for pattern, table in (("", content), *patterns.items()):
        if problem := _check(table):
            return {}, f'[files."{pattern}"] {problem}' if pattern else problem
    values = dict(content)
    for pattern, table in patterns.items():
        if fnmatch.fnmatchcase(file_name, pattern):
            values |= table
    return {key: value.isoformat() if type(value) is date else str(value) for key, value in values.items()}, None


def read_overrides(path: Path, root: Path) -> Overrides:
    """Return what the ``format.toml`` files from ``root`` down to the file's folder say of it.

    Args:
        path: A log file below ``root``.
        root: The folder that holds all logs, ``landing/ocpp``.

    Returns:
        The values in force. If one of the files has a mistake, ``problem`` names it and nothing else is set.
    """
    folders = [path.parent, *path.parent.parents]
    folders = folders[: folders.index(root) + 1] if root in folders else folders[:1]
    values: dict[str, str] = {}
    for folder in reversed(folders):
        found, problem = _read(folder / FILE_NAME, path.name)
        if problem:
            where = folder.relative_to(root) / FILE_NAME if root in folders else Path(FILE_NAME)
            return Overrides(problem=f"{where}: {problem}")
        values |= found
    return Overrides(**values) if values else NONE
