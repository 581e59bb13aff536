"""The columns of ``sla_policies.csv`` that may hold a whole block of the policy schema at once.

The policy schema is a small tree (window: type, months, step; base: type, minutes; ...). A file may spread it over flat
columns (``window_type``, ``window_months``) or put a block in one cell, as YAML or JSON:
``{type: rolling_months, months: 12}``. Blocks are spread here; where both speak, the flat column wins.
"""

from collections.abc import Mapping
from typing import Any

import polars as pl
import yaml

# Names of OCPP statuses and of silence, as the schema's status_map spells them, and the flat columns they mean.
_STATUSES = {
    "available": "status_map_available",
    "preparing": "status_map_occupied",
    "finishing": "status_map_occupied",
    "occupied": "status_map_occupied",
    "charging": "status_map_charging",
    "suspendedev": "status_map_suspended_ev",
    "suspendedevse": "status_map_suspended_evse",
    "reserved": "status_map_reserved",
    "unavailable": "status_map_unavailable",
    "faulted": "status_map_faulted",
    "blocked": "status_map_blocked",
    "unknown": "status_map_unknown",
    "offline": "offline_treat",
}
_BLOCKS: Mapping[str, Mapping[str, str]] = {
    "window": {"type": "window_type", "months": "window_months", "step": "window_step"},
    "base": {"type": "base_type", "minutes": "base_minutes"},
    "threshold": {"value": "threshold_ratio", "op": "threshold_op"},
    "status_map": _STATUSES,
    "offline": {
        "grace_s": "offline_grace_s",
        "backdate_to_last_message": "offline_backdate_to_last_message",
        "proof_of_life": "offline_proof_of_life",
        "treat": "offline_treat",
    },
    "incident": {"merge_gap_s": "incident_merge_gap_s", "min_duration_s": "incident_min_duration_s"},
    "scope": {"min_power_kw": "scope_min_power_kw", "funded_only": "scope_funded_only", "dc_only": "scope_dc_only"},
}
_RENAMED = {"threshold_value": "threshold_ratio"}

POLICY_COLUMNS = frozenset(_BLOCKS) | frozenset(_RENAMED) | {"outputs"}


def _text(value: Any) -> str | None:  # noqa: ANN401
    if isinstance(value, bool):
        return "true" if value else "false"
    return None if value is None else str(value)


def _block(name: str, text: str) -> dict[str, str | None] | None:
    """Return the flat columns of one block; None if it is no mapping of known names."""
    columns = _BLOCKS[name]
    try:
        tree = yaml.safe_load(text)
    except yaml.YAMLError:
        return None
    if name == "threshold" and isinstance(tree, int | float) and not isinstance(tree, bool):
        return {"threshold_ratio": str(tree)}
    if not isinstance(tree, dict):
        return None
    flat: dict[str, str | None] = {}
    for key, value in tree.items():
        short = str(key).replace("_", "").lower() if name == "status_map" else str(key)
        if short not in columns or isinstance(value, dict | list):
            return None
        flat[columns[short]] = _text(value)
    return flat


def _exclusions(text: str) -> str:
    """Return a YAML list of exclusion rules in the flat spelling; any other text as it is."""
    if not text.startswith(("[", "{", "-")):
        return text
    try:
        rules = yaml.safe_load(text)
    except yaml.YAMLError:
        return text
    if not isinstance(rules, list) or not all(isinstance(rule, dict) and "reason" in rule for rule in rules):
        return text
    known = {"reason", "evidence_required", "automatic", "cap_per_incident_min", "cap_per_year_min"}
    if any(set(rule) - known for rule in rules):
        return text
    return " ".join(
        str(rule["reason"])
        + (":evidence" if rule.get("evidence_required") else "")
        + (":automatic" if rule.get("automatic") else "")
        + (f":incident={rule['cap_per_incident_min']}" if rule.get("cap_per_incident_min") is not None else "")
        + (f":year={rule['cap_per_year_min']}" if rule.get("cap_per_year_min") is not None else "")
        for rule in rules
    )


def expand_policies(rows: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Spread the blocks of policies over flat columns.

    Args:
        rows: Rows of ``sla_policies.csv`` as text; there are as many as a user has policies, a handful.

    Returns:
        The rows with flat columns, and the faults of blocks that can't be read.
    """
    found: dict[str, pl.Series] = {}
    faults = []
    for column, flat in _RENAMED.items():
        if column in rows.columns:
            found[flat] = rows[column]
    for name, columns in _BLOCKS.items():
        if name not in rows.columns:
            continue
        blocks = {text: _block(name, text) for text in rows[name].drop_nulls().unique()}
        unreadable = [text for text, block in blocks.items() if block is None]
        faults.append(
            rows.filter(pl.col(name).is_in(unreadable)).select(
                "record",
                column_name=pl.lit(name),
                value=pl.col(name),
                reason=pl.lit("bad_block"),
                expected=pl.lit(f"a mapping such as {{name: value}} of {', '.join(columns)}"),
            )
        )
        for flat in set(columns.values()):
            values = {text: (block or {}).get(flat) for text, block in blocks.items()}
            spread = rows[name].replace_strict(
                list(values), list(values.values()), default=None, return_dtype=pl.String
            )
            found[flat] = found[flat].fill_null(spread) if flat in found else spread
    if "exclusions" in rows.columns:
        rules = {text: _exclusions(text) for text in rows["exclusions"].drop_nulls().unique()}
        rows = rows.with_columns(
            rows["exclusions"].replace_strict(list(rules), list(rules.values()), default=None, return_dtype=pl.String)
        )
    spread_rows = rows.with_columns(
        **{flat: rows[flat].fill_null(values) if flat in rows.columns else values for flat, values in found.items()}
    )
    schema = dict.fromkeys(("column_name", "value", "reason", "expected"), pl.String)
    return spread_rows, pl.concat([pl.DataFrame(schema={"record": pl.Int64, **schema}), *faults])
