"""The tables that these tests make up have the columns and types that the models promise."""

from pathlib import Path

import duckdb
import pytest
import yaml

MARTS = Path(__file__).resolve().parents[2] / "dbt" / "models" / "marts"
# Made by the tariff models; absent from a version published without them, and the pages then leave them out.
ADDED_BY_REPRICING = {"repriced_net", "repriced_gross", "audit_verdict", "audit_reason"}


def promised() -> dict[str, dict[str, str]]:
    models = {}
    for path in MARTS.rglob("*.yml"):
        for model in yaml.safe_load(path.read_text()).get("models", []):
            models[model["name"]] = {c["name"]: c["data_type"] for c in model.get("columns", []) if "data_type" in c}
    return models


@pytest.fixture(scope="module")
def made_up():
    with duckdb.connect() as con:
        con.execute((Path(__file__).parent / "schema.sql").read_text())
        rows = con.execute(
            "select table_name, column_name, data_type from duckdb_columns() where schema_name = 'marts'"
        ).fetchall()
        types = {name for _, _, name in rows}
        canonical = {name: con.execute(f"select cast(null as {name})").description[0][1] for name in types}
        models = promised()
        for columns in models.values():
            for name in set(columns.values()):
                canonical[name] = con.execute(f"select cast(null as {name})").description[0][1]
    tables: dict[str, dict[str, object]] = {}
    for table, column, data_type in rows:
        tables.setdefault(table, {})[column] = canonical[data_type]
    return tables, {t: {c: canonical[d] for c, d in columns.items()} for t, columns in models.items()}


def test_the_made_up_marts_agree_with_the_models(made_up):
    tables, models = made_up
    compared = 0
    for table, columns in tables.items():
        if table not in models:
            continue
        for column, data_type in columns.items():
            if column in ADDED_BY_REPRICING and column not in models[table]:
                continue
            assert column in models[table], f"{table}.{column}"
            assert str(models[table][column]) == str(data_type), f"{table}.{column}"
            compared += 1
    assert compared > 50
