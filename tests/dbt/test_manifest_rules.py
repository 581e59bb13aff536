"""House rules of the dbt project, read from the manifest that ``dbt parse`` writes: no database, no data."""

import json
import os
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from dbt.cli.main import dbtRunner

PROJECT = Path(__file__).resolve().parent.parent.parent
DBT = Path(os.environ.get("CHARGEHOUSE_DBT_PROJECT", PROJECT / "dbt"))
GRAIN_TESTS = {"grain", "unique", "unique_combination"}
PREFIXES = {
    "staging": re.compile(r"stg_(?P<room>[a-z]+)__[a-z0-9_]+"),
    "intermediate": re.compile(r"int_[a-z0-9_]+"),
    "marts": re.compile(r"(dim|fct|qc)_[a-z0-9_]+"),
}
NUMBER = re.compile(r"(tinyint|smallint|integer|int|bigint|hugeint|decimal|numeric|double|float|real)\b", re.IGNORECASE)
# What a number is in, as the last word of its name; a price or fee says what it is per.
UNITS = re.compile(
    r".*_(s|min|minutes|h|d|days|months|years|kwh|wh|kw|w|v|a|ratio|percent|count|number|net|gross"
    r"|per_(kwh|kw_month|hour|h|min|session|port_month|month|percent_point|unit)|price)"
)
# Numbers without a unit: identities, coordinates in degrees, and what has a column `unit` beside it.
NO_UNIT = {
    "evse_id", "connector_id", "latitude", "longitude", "quantity", "billed_quantity", "unit_price", "rate", "difference",
    "uptime_ratio_without_exclusions", "uptime_ratio_elapsed_base",
    "money_at_stake",
}  # fmt: skip
# Booleans that are called as in the policy file and in the catalogue of CDR defects.
NAMED_ELSEWHERE = {
    "offline_backdate_to_last_message",
    "scope_funded_only",
    "scope_dc_only",
    "restriction_unverifiable",
    "period_spans_price_change",
}


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    work = tmp_path_factory.mktemp("parse")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CHARGEHOUSE_HOME", str(work / "home"))
        arguments = ["parse", "--project-dir", str(DBT), "--profiles-dir", str(DBT), "--quiet", "--no-partial-parse"]
        outcome = dbtRunner().invoke([*arguments, "--target-path", str(work), "--log-path", str(work / "logs")])
    assert outcome.success, outcome.exception
    return json.loads((work / "manifest.json").read_text())


@pytest.fixture(scope="module")
def models(manifest: dict[str, Any]) -> list[dict[str, Any]]:
    return [node for node in manifest["nodes"].values() if node["resource_type"] == "model"]


@pytest.fixture(scope="module")
def marts(models: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [model for model in models if layer(model) == "marts"]


def layer(model: dict[str, Any]) -> str:
    return model["path"].split("/")[0]


def one_line(text: str) -> str:
    return " ".join(text.split())


def test_there_are_models_of_every_layer(models: list[dict[str, Any]]) -> None:
    assert {layer(model) for model in models} == set(PREFIXES)


def test_every_model_says_what_one_row_is(models: list[dict[str, Any]]) -> None:
    silent = [model["name"] for model in models if not one_line(model["description"]).startswith("One row is ")]
    assert not silent, "\n".join(silent)
    headless = [model["name"] for model in models if not model["raw_code"].startswith("{# One row is ")]
    assert not headless, "\n".join(headless)


def test_every_model_says_the_same_in_its_file_and_in_its_documentation(models: list[dict[str, Any]]) -> None:
    different = {}
    for model in models:
        head = one_line(model["raw_code"][2:].split("#}")[0])
        first = re.split(r"[.,:;(]", head)[0].strip()  # up to here word for word; what follows may say more
        if not one_line(model["description"]).startswith(first):
            different[model["name"]] = (head, one_line(model["description"]))
    assert not different, "\n".join(f"{name}: {head!r} but {page!r}" for name, (head, page) in different.items())


def test_every_model_is_named_after_its_folder(models: list[dict[str, Any]]) -> None:
    misplaced = []
    for model in models:
        match = PREFIXES[layer(model)].fullmatch(model["name"])
        if match is None or (layer(model) == "staging" and match["room"] != model["path"].split("/")[1]):
            misplaced.append(model["path"])
    assert not misplaced, "\n".join(misplaced)


def test_documented_columns_are_described(models: list[dict[str, Any]]) -> None:
    undescribed = [
        f"{model['name']}.{column['name']}"
        for model in models
        for column in model["columns"].values()
        if not column["description"].strip()
    ]
    assert not undescribed, "\n".join(undescribed)
    bare = [model["name"] for model in models if not model["columns"]]
    assert not bare, "\n".join(bare)


def test_every_mart_has_an_enforced_contract_with_typed_columns(marts: list[dict[str, Any]]) -> None:
    assert [mart["name"] for mart in marts if not mart["contract"]["enforced"]] == []
    untyped = [f"{m['name']}.{c['name']}" for m in marts for c in m["columns"].values() if not c["data_type"]]
    assert not untyped, "\n".join(untyped)


def test_every_mart_has_a_test_of_its_grain(manifest: dict[str, Any], marts: list[dict[str, Any]]) -> None:
    tested = {
        node["attached_node"]
        for node in manifest["nodes"].values()
        if node["resource_type"] == "test" and (node.get("test_metadata") or {}).get("name") in GRAIN_TESTS
    }
    untested = [mart["name"] for mart in marts if mart["unique_id"] not in tested]
    assert not untested, "\n".join(untested)


def test_numbers_in_marts_carry_their_unit(marts: list[dict[str, Any]]) -> None:
    bare = [
        f"{mart['name']}.{name} {column['data_type']}"
        for mart in marts
        for name, column in mart["columns"].items()
        if NUMBER.match(column["data_type"] or "") and not UNITS.fullmatch(name) and name not in NO_UNIT
    ]
    assert not bare, "\n".join(bare)


def test_moments_and_days_are_named_as_such(marts: list[dict[str, Any]]) -> None:
    wrong = []
    for mart in marts:
        for name, column in mart["columns"].items():
            kind = (column["data_type"] or "").lower()
            if kind in ("timestamptz", "timestamp with time zone") and not name.endswith("_at"):
                wrong.append(f"{mart['name']}.{name}")
            if kind == "boolean" and not name.startswith(("is_", "has_")) and name not in NAMED_ELSEWHERE:
                wrong.append(f"{mart['name']}.{name}")
            if name.endswith("_at") and kind not in ("timestamptz", "timestamp with time zone"):
                wrong.append(f"{mart['name']}.{name} {kind}")
    assert not wrong, "\n".join(wrong)


def test_money_stands_beside_its_currency(marts: list[dict[str, Any]]) -> None:
    lonely = [
        mart["name"]
        for mart in marts
        if any(re.fullmatch(r".*_(net|gross)", name) for name in mart["columns"]) and "currency" not in mart["columns"]
    ]
    assert not lonely, "\n".join(lonely)


def test_facts_and_dimensions_read_models_and_staging_reads_the_lake(models: list[dict[str, Any]]) -> None:
    wrong = [
        f"{model['name']} reads {parent}"
        for model in models
        for parent in model["depends_on"]["nodes"]
        if (parent.startswith("source.") and model["name"].startswith(("dim_", "fct_")))
        or (parent.startswith("model.") and layer(model) == "staging" and ".stg_" not in parent)
    ]
    assert not wrong, "\n".join(wrong)


def test_every_seed_and_its_columns_are_described(manifest: dict[str, Any]) -> None:
    seeds = [node for node in manifest["nodes"].values() if node["resource_type"] == "seed"]
    assert seeds
    assert [seed["name"] for seed in seeds if not seed["description"].strip()] == []
    missing = []
    for seed in seeds:
        header = (DBT / seed["original_file_path"]).read_text(encoding="utf-8").splitlines()[0].split(",")
        documented = {name for name, column in seed["columns"].items() if column["description"].strip()}
        missing += [f"{seed['name']}.{name}" for name in header if name.strip('"') not in documented]
    assert not missing, "\n".join(missing)


def test_every_source_table_and_column_is_described(manifest: dict[str, Any]) -> None:
    silent = [
        f"{source['source_name']}.{source['name']}"
        for source in manifest["sources"].values()
        if not source["description"].startswith("One row is")
        or not all(column["description"] for column in source["columns"].values())
    ]
    assert not silent, "\n".join(silent)


def test_every_published_mart_has_rules_for_its_version(marts: list[dict[str, Any]]) -> None:
    """A mart that nobody checks before the pointer is swapped is named here: add it to published.yml."""
    rules = yaml.safe_load((PROJECT / "pipelines" / "quality" / "published.yml").read_text(encoding="utf-8"))
    names = {mart["name"] for mart in marts if mart["name"].startswith(("dim_", "fct_"))}
    assert names - set(rules["tables"]) == set()


def test_macros_and_generic_tests_are_commented(manifest: dict[str, Any]) -> None:
    own = [macro for macro in manifest["macros"].values() if macro["package_name"] == "chargehouse"]
    assert own
    silent = {macro["original_file_path"] for macro in own} - {
        macro["original_file_path"]
        for macro in own
        if (DBT / macro["original_file_path"]).read_text(encoding="utf-8").lstrip().startswith("{#")
    }
    assert silent == set()


def test_the_reference_pages_are_written_from_the_code():
    from docs.build import REFERENCE, pages

    stale = [name for name, text in pages().items() if (REFERENCE / name).read_text() != text]
    assert stale == [], "run `make docs`"
