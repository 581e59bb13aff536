"""The list of checks in ``docs/quality.md``, written from the rules themselves.

Run ``python -m pipelines.quality.docs`` after changing a rule; a test fails while the page is stale.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml

from pipelines.quality.published import all_rules
from pipelines.quality.suites import suites_path
from pipelines.settings import project_root

_BEGIN = "<!-- checks: written by `python -m pipelines.quality.docs` -->\n"
_END = "<!-- end of checks -->\n"
_HEADER = "| table | check | if it fails | why |\n| --- | --- | --- | --- |\n"


def page_path() -> Path:
    """Return where the page stands."""
    return project_root() / "docs" / "quality.md"


def page_with_checks(page: str) -> str:
    """Return the page with its list of checks written anew.

    Raises:
        ValueError: The page lacks the lines between which the list stands.
    """
    before, _, rest = page.partition(_BEGIN)
    _, end, after = rest.partition(_END)
    if not end:
        msg = f"no list of checks between {_BEGIN!r} and {_END!r}"
        raise ValueError(msg)
    return f"{before}{_BEGIN}\n{_lists()}\n{_END}{after}"


def _lists() -> str:
    entries: dict[str, list[dict[str, Any]]] = yaml.safe_load(suites_path().read_text(encoding="utf-8"))
    lake = [
        (_table_in_words(table), entry["check"], _consequence(entry), entry["why"])
        for table, checks in entries.items()
        for entry in checks
    ]
    marts, identities = all_rules()
    published = [
        (f"`{mart.table}`", "table_is_there", "blocks", "Readers hold on to it.") for mart in marts if mart.is_required
    ]
    published += [
        (f"`{rule.table}`", rule.name, "blocks" if rule.is_blocking else rule.severity, rule.why)
        for rules in [*(mart.rules for mart in marts), identities]
        for rule in rules
    ]
    return f"### Lake\n\n{_HEADER}{_rows(lake)}\n### Candidate version\n\n{_HEADER}{_rows(published)}"


def _table_in_words(pattern: str) -> str:
    if pattern == "*":
        return "every table with the column"
    return f"every {pattern.removesuffix('/*')} table with the column" if pattern.endswith("/*") else f"`{pattern}`"


def _consequence(entry: dict[str, Any]) -> str:
    word = "blocks" if entry.get("is_blocking") else entry.get("severity", "error")
    allowed = entry.get("allowed_fraction")
    return f"{word}, above {allowed:.4g} of the rows" if allowed else word


def _rows(rows: Iterable[tuple[str, ...]]) -> str:
    return "".join(f"| {' | '.join((table, f'`{check}`', *rest))} |\n" for table, check, *rest in rows)


if __name__ == "__main__":
    page_path().write_text(page_with_checks(page_path().read_text(encoding="utf-8")), encoding="utf-8")
