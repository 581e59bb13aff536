"""Pricing CDRs by the compiled models, against the tests' oracle, which prices one CDR after the other.

The lake tables are generated: CDRs of six charging periods, tariffs of eight elements with restrictions of every kind in
four time zones. The models are the project's own, rendered as dbt renders them (a test holds the two against each other).
"""

import argparse
import resource
import sys
import tempfile
import time
from datetime import UTC, datetime
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import duckdb

from pipelines.home import Home
from pipelines.lake import ALL_TABLES, LakeTable, write_parquet
from pipelines.warehouse.compiled import CompiledModels
from tests.oracles.tariff import Cdr, Component, Element, Period, Restrictions, Tariff, price

PERIODS = 6
TARIFFS = 60
ORACLE_CDRS = 1_500  # so many are priced by the oracle too: at 2,000 a second its speed is known by then
TOLERANCE = Fraction(1, 10_000)
THREADS = 2
MEMORY = "4500MB"  # for DuckDB; Python and the allocator's slack come on top
_ZONES = ["Europe/Berlin", "America/Chicago", "Asia/Kolkata", "Europe/London"]

_LINEAGE = (
    "'0000000000000000' as source_id, 'peer' as peer, 'NL' as country_code, 'CPO' as party_id, '2.2.1' as ocpi_version"
)
_CDRS = """
    select
        i as record_number, i as line_number, md5(i::varchar) as record_hash, 'C' || i as cdr_id,
        timestamptz '2025-01-06 00:00:00+00' + to_seconds(i * 7919 % 31536000) as started_at,
        started_at + interval 2 hour as ended_at, 'L' || (i % 4) as location_id, 'E1' as evse_uid, '1' as connector_id,
        'EUR' as currency, 'RFID' as token_type, ended_at as last_updated_at
    from range({cdrs}) as t (i)
"""
_DIMENSIONS = """
    with periods as (
        select
            i, p, timestamptz '2025-01-06 00:00:00+00' + to_seconds(i * 7919 % 31536000 + p * 1200) as period_started_at
        from range({cdrs}) as t (i), range({periods}) as q (p)
    )
    select
        i as record_number, i as line_number, md5(i::varchar) as record_hash, 'C' || i as cdr_id, p + 1 as period_number,
        period_started_at, 'T' || (i % {tariffs}) as tariff_id,
        case when p = {periods} - 1 then 'PARKING_TIME' else d end as dimension,
        case when d = 'ENERGY' and p < {periods} - 1 then (10000 + (i * 31 + p * 17) % 70000) / 10000.0 else 0.3333 end
            as volume
    from periods, (values ('ENERGY'), ('TIME')) as dimensions (d)
    where p < {periods} - 1 or d = 'TIME'
"""
_TARIFFS = """
    select
        t as record_number, t as line_number, 'tariff' || t as record_hash, 'T' || t as tariff_id, 'EUR' as currency,
        timestamptz '2024-01-01 00:00:00+00' as last_updated_at
    from range({tariffs}) as r (t)
"""
# Eight elements: a night and a weekend price, a price for the first kWh, one for time after 20 kWh, day prices, parking
# after an hour and in the evening, and one that always applies.
_COMPONENTS = """
    select
        t as record_number, t as line_number, 'tariff' || t as record_hash, 'T' || t as tariff_id,
        e.* replace (e.price + t / 100.0 as price)
    from range({tariffs}) as r (t), (values
        (1, 1, 'ENERGY', 0.29, 1, '22:00', '06:00', null, null, null, null, null),
        (2, 1, 'ENERGY', 0.35, 1, null, null, 'SATURDAY,SUNDAY', null, null, null, null),
        (3, 1, 'TIME', 1.20, 60, null, null, null, 20, null, null, null),
        (4, 1, 'ENERGY', 0.25, 100, null, null, null, null, 10, null, null),
        (5, 1, 'PARKING_TIME', 6.00, 300, null, null, null, null, null, 3600, null),
        (6, 1, 'ENERGY', 0.49, 1, '08:00', '18:00', null, null, null, null, null),
        (6, 2, 'TIME', 0.60, 60, '08:00', '18:00', null, null, null, null, null),
        (7, 1, 'PARKING_TIME', 3.00, 60, '18:00', '22:00', null, null, null, null, null),
        (8, 1, 'ENERGY', 0.45, 1, null, null, null, null, null, null, null),
        (8, 2, 'TIME', 0.30, 60, null, null, null, null, null, null, null),
        (8, 3, 'PARKING_TIME', 2.00, 60, null, null, null, null, null, null, null),
        (8, 4, 'FLAT', 0.50, 1, null, null, null, null, null, null, null)
    ) as e (element_number, component_number, dimension, price, step_size, start_time, end_time, day_of_week, min_kwh,
        max_kwh, min_duration_s, max_duration_s)
"""
_LOCATIONS = """
    select
        l as record_number, l as line_number, 'location' || l as record_hash, 'L' || l as location_id, {zones}[l + 1] as time_zone
    from range(4) as t (l)
"""


def _generate(home: Home, cdrs: int) -> None:
    """Write the lake tables of a home."""
    tables = {
        "ocpi/cdr": _CDRS,
        "ocpi/cdr_dimension": _DIMENSIONS,
        "ocpi/tariff": _TARIFFS,
        "ocpi/tariff_component": _COMPONENTS,
        "ocpi/location": _LOCATIONS,
    }
    sizes = {"cdrs": cdrs, "periods": PERIODS, "tariffs": TARIFFS, "zones": _ZONES}
    with duckdb.connect() as con:
        con.execute(f"set TimeZone = 'UTC'; set preserve_insertion_order = false; set threads = {THREADS}")
        for key, sql in tables.items():
            table: LakeTable = next(table for table in ALL_TABLES if table.key == key)
            vat = ", 19 as vat_percent" if key.endswith("component") else ""
            relation = f"{table.empty_sql()} union all by name select {_LINEAGE}{vat}, * from ({sql.format(**sizes)})"
            write_parquet(con, relation, table, str(home.table_folder(table) / "generated.parquet"))


def _oracle(con: duckdb.DuckDBPyConnection) -> tuple[float, float, int]:
    """Price the first CDRs by the oracle; returns its seconds, those of the processor, and how many totals differ."""
    elements: dict[str, dict[int, tuple[list[Component], Restrictions]]] = {}
    for row in _rows(
        con, "select * from stg_ocpi__tariff_components order by tariff_id, element_number, component_number"
    ):
        restrictions = Restrictions(
            start_time=row["start_time"], end_time=row["end_time"], min_kwh=row["min_kwh"], max_kwh=row["max_kwh"],
            min_duration=row["min_duration_s"], max_duration=row["max_duration_s"],
            day_of_week=tuple(row["day_of_week"].split(",")) if row["day_of_week"] else (),
        )  # fmt: skip
        component = Component(row["dimension"], row["price"], row["vat_percent"], row["step_size"])
        elements.setdefault(row["tariff_id"], {}).setdefault(row["element_number"], ([], restrictions))[0].append(
            component
        )
    tariffs = tuple(
        Tariff(name, tuple(Element(tuple(parts), limits) for parts, limits in own.values()))
        for name, own in elements.items()
    )
    volumes: dict[str, dict[tuple[datetime, str], dict[str, Decimal]]] = {}
    for row in _rows(
        con,
        f"select * from stg_ocpi__cdr_dimensions where record_number < {ORACLE_CDRS} order by cdr_id, period_number",
    ):
        period = (row["period_started_at"].astimezone(UTC), row["tariff_id"])
        volumes.setdefault(row["cdr_id"], {}).setdefault(period, {})[row["dimension"]] = row["volume"]
    cdrs = [
        Cdr(
            row["cdr_id"], row["started_at"].astimezone(UTC), row["ended_at"].astimezone(UTC),
            tuple(Period(at, found, tariff) for (at, tariff), found in volumes[row["cdr_id"]].items()), (),
            time_zone=_ZONES[int(row["location_id"][1:])],
        )
        for row in _rows(con, f"select * from stg_ocpi__cdrs where record_number < {ORACLE_CDRS}")
    ]  # fmt: skip
    started, busy = time.perf_counter(), time.process_time()
    priced = {cdr.cdr_id: price(cdr, tariffs) for cdr in cdrs}
    seconds, cpu = time.perf_counter() - started, time.process_time() - busy
    totals = {row["cdr_id"]: row for row in _rows(con, "select * from int_price_cdr_total where cdr_id in (select cdr_id from "
                                                  f"stg_ocpi__cdrs where record_number < {ORACLE_CDRS})")}  # fmt: skip
    wrong = sum(
        abs(Fraction(totals[cdr_id][f"repriced_{name}"]) - getattr(found, name)) > TOLERANCE
        for cdr_id, found in priced.items()
        for name in ("net", "gross")
    )
    return seconds, cpu, wrong


def _rows(con: duckdb.DuckDBPyConnection, sql: str) -> list[dict[str, Any]]:
    result = con.sql(sql)
    return [dict(zip(result.columns, row, strict=True)) for row in result.fetchall()]


def reprice(cdrs: int = 200_000) -> list[str]:
    """Price CDRs by the models and some of them by the oracle.

    Args:
        cdrs: CDRs to generate and price.

    Returns:
        Lines of the report: seconds, CDRs per second, memory, and the ratio to the oracle.

    Raises:
        AssertionError: A total is not the oracle's.
    """
    with tempfile.TemporaryDirectory() as folder:
        home = Home(Path(folder) / "home")
        home.prepare()
        _generate(home, cdrs)
        models = CompiledModels(
            lambda domain, table: f"read_parquet('{home.lake}/{domain}/{table}/*.parquet', union_by_name = true)"
        )
        database = Path(folder) / "build.duckdb"
        with duckdb.connect(str(database), config={"threads": THREADS, "memory_limit": MEMORY}) as con:
            con.execute("set TimeZone = 'UTC'; set preserve_insertion_order = false")
            order = models.in_order(["int_price_cdr_total"])
            priced = [name for name in order if name.startswith("int_price_")]
            views = [
                name
                for name in order
                if name.startswith("stg_")
                and name not in ("stg_ocpi__cdrs", "stg_ocpi__tariffs", "stg_ocpi__tariff_components")
            ]
            seconds: dict[str, float] = {}
            cpu: dict[str, float] = {}
            for name in order:
                started, busy = time.perf_counter(), time.process_time()
                con.execute(f"create {'view' if name in views else 'table'} {name} as {models.sql(name)}")
                seconds[name], cpu[name] = time.perf_counter() - started, time.process_time() - busy
            pricing, pricing_cpu = sum(seconds[name] for name in priced), sum(cpu[name] for name in priced)
            oracle_seconds, oracle_cpu, wrong = _oracle(con)
            lines = con.sql("select count(*) from int_price_line").fetchall()[0][0]
    assert wrong == 0, f"{wrong} totals are not the oracle's"
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1 << 20 if sys.platform == "darwin" else 1024)
    oracle = min(cdrs, ORACLE_CDRS) / oracle_seconds
    per_cpu = (cdrs / pricing_cpu) / (min(cdrs, ORACLE_CDRS) / oracle_cpu)
    slowest = sorted(priced, key=lambda name: -seconds[name])[:4]
    return [
        f"reprice       {cdrs:,} CDRs of {PERIODS} periods, tariffs of 8 elements, {lines:,} price lines",
        f"  pricing models           {pricing:6.1f} s wall  {pricing_cpu:6.1f} s cpu  {cdrs / pricing:10,.0f} CDRs/s",
        f"    of which               {', '.join(f'{name} {seconds[name]:.1f} s' for name in slowest)}",
        f"  with de-duplication      {sum(seconds.values()):6.1f} s wall  {cdrs / sum(seconds.values()):10,.0f} CDRs/s",
        f"  oracle, one by one       {oracle_seconds:6.1f} s wall  {oracle_cpu:6.1f} s cpu  {oracle:10,.0f} CDRs/s (same totals)",
        f"  ratio                    {cdrs / pricing / oracle:6.1f} wall    {per_cpu:6.1f} cpu",
        f"  peak memory              {peak:6,.0f} MB",
    ]


def main() -> None:
    """Run the benchmark by itself."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.reprice", description=__doc__)
    parser.add_argument("--cdrs", type=int, default=200_000, help="CDRs to price")
    print("\n".join(reprice(parser.parse_args().cdrs)))


if __name__ == "__main__":
    main()
