"""Homes to look at: none published, published but empty, one of each record, and a small network with known figures."""

from pathlib import Path

import duckdb

HERE = Path(__file__).parent
LAKE_TABLES = {
    "quarantine_record": """
        select 'aa' as source_id, 'ocpp/alpine/2026-01.jsonl' as path, cast(n as bigint) as line_number,
            cast(null as bigint) as record_number, cast(null as varchar) as column_name, cast(null as varchar) as value,
            case when n < 6 then 'bad_json' else 'truncated_frame' end as reason, 'a JSON array' as expected,
            '[2,"' as text
        from range(1, 12) as r(n)
    """,
    "registry_access": "select 'aa' as source_id, cast(null as varchar) as email, 'owner' as role, 'own-a' as scope_id",
}


def publish(root: Path, content: str | None, run: str = "20260315T140500") -> Path:
    """Publish a version into the home ``root``.

    ``content`` is ``full``, ``one_row`` or None for tables without rows.
    """
    versions = root / "warehouse" / "versions"
    versions.mkdir(parents=True, exist_ok=True)
    path = versions / f"{run}.duckdb"
    with duckdb.connect(str(path)) as con:
        con.execute("set TimeZone = 'UTC'")
        con.execute((HERE / "schema.sql").read_text())
        if content:
            con.execute((HERE / f"{content}.sql").read_text())
        for name, sql in LAKE_TABLES.items():
            domain, _, table = name.partition("_")
            folder = root / "lake" / domain / table
            folder.mkdir(parents=True, exist_ok=True)
            kept = "" if content == "full" else " limit 0"
            con.execute(f"copy ({sql}{kept}) to '{folder}/part.parquet' (format parquet)")
            con.execute(f"create view lake.{name} as select * from read_parquet('{folder}/*.parquet')")
    pointer = root / "warehouse" / "chargehouse.duckdb"
    pointer.unlink(missing_ok=True)
    pointer.symlink_to(path.relative_to(pointer.parent))
    return path


def ask(version: Path | str, sql: str) -> list[tuple]:
    """Return the rows of a query on a version, by a way that shares nothing with the dashboards'."""
    with duckdb.connect() as con:
        con.execute("set TimeZone = 'UTC'")
        con.execute(f"attach '{version}' as checked (read_only)")
        con.execute("use checked")
        return con.execute(sql).fetchall()
