"""Writes the files of a report together: all of them become visible in one step, or none does."""

import hashlib
import json
import os
import secrets
import shutil
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl

from pipelines.home import Home
from pipelines.reports.period import Period
from pipelines.reports.rules import FileRules, Rules
from pipelines.reports.source import Source
from pipelines.reports.validate import Problem, RefusedError, validate

_LEFT_OVER_S = 24 * 3600


@dataclass(slots=True)
class ReportFile:
    """One CSV file of a report: its rows as texts, and the rules it is judged by."""

    name: str
    frame: pl.DataFrame
    rules: FileRules


@dataclass(slots=True)
class Report:
    """The files of one report and what a reader must know beside them.

    Attributes:
        name: Name of the report and of its folder.
        period: What it is about.
        rules: The rules it follows.
        policies: SLA policies whose figures it tells.
        files: Its files.
        is_complete: Whether the data reach the period's end.
        warnings: What the reader must know before handing it in.
        notes: How figures were made.
        facts: Counts and figures for the manifest.
        problems: What breaks the receiver's rules beyond single files.
    """

    name: str
    period: Period
    rules: Rules
    policies: list[dict[str, Any]] = field(default_factory=list)
    files: list[ReportFile] = field(default_factory=list)
    is_complete: bool = True
    warnings: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)

    def warn_if_unfinished(self, source: Source) -> None:
        """Note that the period is not over in the data, if it is not.

        The data's own last instant is compared, not today's date: a quarter whose last days were not delivered is as
        unfinished as one that still runs. A day of slack covers time zones.
        """
        until = source.known_until_at
        if until is None or (self.period.end_day - until.astimezone(UTC).date()).days > 0:
            self.is_complete = False
            end = until.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ") if until else "nowhere"
            self.warnings.append(
                f"{self.period.name} is not over in the data, which end at {end}: this is a draft, not to be handed in"
            )


def check(report: Report) -> None:
    """Judge every file of a report.

    Raises:
        RefusedError: Something breaks the receiver's rules.
    """
    problems = list(report.problems)
    for file in report.files:
        problems += validate(file.name, file.frame, file.rules)
    if problems:
        raise RefusedError(f"{report.name} {report.period.name}", problems)


def write(home: Home, report: Report, source: Source) -> Path:
    """Check a report and write its files, a manifest and a README into ``reports/<name>/<period>``.

    The folder is a link to a hidden one beside it that holds this version of the files; the link is swapped in one step.

    Returns:
        The folder.

    Raises:
        RefusedError: Something breaks the receiver's rules; what was there before stays.
    """
    check(report)
    folder = (home.reports / report.name).resolve()
    folder.mkdir(parents=True, exist_ok=True)
    link = folder / report.period.name
    before = link.resolve() if link.is_symlink() else None
    made = folder / f".{report.period.name}.{source.version.stem}.{secrets.token_hex(4)}"
    made.mkdir()
    try:
        files = [_write_csv(made, file) for file in report.files]
        manifest = _manifest(report, source, files)
        (made / "manifest.json").write_text(json.dumps(manifest, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        (made / "README.md").write_text(_readme(report, manifest), encoding="utf-8")
        _swap(link, made)
    except BaseException:
        shutil.rmtree(made, ignore_errors=True)
        raise
    # the files before, and what a process that was killed left; not what another one is making at this moment
    long_ago = time.time() - _LEFT_OVER_S
    for old in folder.glob(f".{report.period.name}.*"):
        if old == before or (old != made and old.is_dir() and old.stat().st_mtime < long_ago):
            shutil.rmtree(old, ignore_errors=True)
    return home.reports / report.name / report.period.name


def _swap(link: Path, made: Path) -> None:
    """Point a link at a new folder in one step; a real folder in its place is set aside first."""
    temporary = link.with_name(f".{link.name}.{os.getpid()}.link")
    temporary.unlink(missing_ok=True)
    temporary.symlink_to(made.name)
    if link.is_dir() and not link.is_symlink():
        link.rename(link.with_name(f"{link.name}.before-{secrets.token_hex(4)}"))
    temporary.replace(link)


def _write_csv(folder: Path, file: ReportFile) -> dict[str, Any]:
    path = folder / file.name
    texts = file.frame.select(pl.col(file.rules.names).cast(pl.String).fill_null(""))
    # a cell of blanks is written as nothing between two commas, not as ""
    texts.with_columns(pl.all().replace({"": None})).write_csv(path, quote_style="necessary")
    return {
        "name": file.name,
        "title": file.rules.title,
        "rows": file.frame.height,
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
    }


def _manifest(report: Report, source: Source, files: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "report": report.name,
        "period": report.period.name,
        "first_day": report.period.first_day.isoformat(),
        "end_day": report.period.end_day.isoformat(),
        "is_complete": report.is_complete,
        "known_until_at": source.known_until_at.astimezone(UTC).isoformat() if source.known_until_at else None,
        "made_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "warehouse_version": source.version.stem,
        "run_id": source.run_id,
        "code_version": source.code_version,
        "rules": {"id": report.rules.id, "version": report.rules.version, "source": report.rules.source},
        "policies": [
            {key: str(policy[key]) for key in ("policy_id", "version", "name", "source")} for policy in report.policies
        ],
        "files": files,
        "facts": report.facts,
        "warnings": report.warnings,
        "notes": report.notes,
    }


def _readme(report: Report, manifest: dict[str, Any]) -> str:
    lines = [f"# {report.name} {report.period.name}", ""]
    lines += [f"**{warning}**\n" for warning in report.warnings]
    lines += [
        f"Local days {manifest['first_day']} up to, not including, {manifest['end_day']}. Made from version "
        f"`{manifest['warehouse_version']}` of the warehouse by chargehouse; `manifest.json` holds all this for programs.",
        "",
        "| file | what | rows |",
        "|---|---|---|",
        *(f"| `{file['name']}` | {file['title']} | {file['rows']:,} |" for file in manifest["files"]),
        "",
        *(
            f"Figures under the policy `{policy['policy_id']}`, version {policy['version']}: {policy['name']} "
            f"({policy['source']}).\n"
            for policy in manifest["policies"]
        ),
        f"Checked by the rules `{report.rules.id}`, version {report.rules.version}: {report.rules.source}.",
        "",
        *(f"- {note}" for note in report.notes),
        *(f"- {key.replace('_', ' ')}: {value}" for key, value in report.facts.items() if not isinstance(value, dict)),
    ]
    return "\n".join(lines) + "\n"
