"""Status events to port states, outages and uptime under one policy, against the bare window query over the same events.

The models are the project's own, run by dbt in a copy of the project in which two things differ: the staging view of
status events does not look for events delivered twice (they are generated once), and there is one policy. Frames stand
in the lake beside the events, one each, so that silence is looked for too.
"""

import csv
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import duckdb

from pipelines.home import Home
from pipelines.lake import ALL_TABLES, LakeTable
from pipelines.settings import Settings, project_root
from pipelines.warehouse.dbt_project import dbt_environment

PORTS = 20_000
PORTS_PER_STATION = 2
LIMIT = 4.0
POLICY = "nevi_680_116_month"
# A port changes state every five minutes on average. One change in 100 begins a fault or an unavailability, and one in 200 is
# followed by two hours in which its station says nothing: more trouble than a real network has.
_EVENTS = """
    select
        i // {per_port} as port,
        i % {per_port} as change,
        timestamptz '2026-01-01 00:00:00+00'
        + to_seconds(
            (i % {per_port}) * 300 + hash(i) % 240
            + 7200 * ((i % {per_port} + 17 * (i // {per_port} // {per_station})) // 200)
        ) as event_at,
        case
            when hash(i // 2, 1) % 100 = 0 and i % 2 = 0 then if(hash(i, 2) % 2 = 0, 'Faulted', 'Unavailable')
            else ['Available', 'Preparing', 'Charging', 'Finishing'][1 + i % 4]
        end as status
    from range({events}) as events (i)
"""
# The columns of stg_ocpp__status_events: the window query carries what the models carry.
_STAGED = (
    "frame_id, log_source, station_id, received_at, protocol, event_at, evse_id, connector_id, status, error_code, "
    "vendor_error_code, info, reported_by"
)
_PORT = "'P' || lpad(port::varchar, 6, '0')"
_STATION = "'S' || lpad((port // {per_station})::varchar, 6, '0')"


def _write(con: duckdb.DuckDBPyConnection, home: Home, key: str, relation: str, given: dict[str, str]) -> Path:
    """Write rows of a lake table whose columns are null but for those given as SQL over the relation."""
    table: LakeTable = next(table for table in ALL_TABLES if table.key == key)
    columns = ", ".join(f'cast({given.get(c.name, "null")} as {c.type}) as "{c.name}"' for c in table.columns)
    path = home.table_folder(table) / "generated.parquet"
    con.execute(f"copy (select {columns} from ({relation})) to '{path}' (format parquet, row_group_size 500000)")
    return path


def _generate(con: duckdb.DuckDBPyConnection, home: Home, events: int) -> Path:
    per_station = PORTS_PER_STATION
    relation = _EVENTS.format(per_port=max(events // PORTS, 1), events=events, per_station=per_station)
    station = _STATION.format(per_station=per_station)
    connector = f"1 + port % {per_station}"
    lineage = {
        "source_id": "'0123456789abcdef'",
        "line_number": "port * 100000 + change",
        "frame_id": "lpad(hex(port * 100000 + change), 32, '0')",
        "log_source": "'generated'",
        "station_id": station,
        "received_at": "event_at + interval 1 second",
        "protocol": "'ocpp1.6'",
    }
    status = lineage | {
        "event_at": "event_at",
        "connector_id": connector,
        "status": "status",
        "error_code": "if(status = 'Faulted', 'GroundFailure', 'NoError')",
        "reported_by": "'StatusNotification'",
    }
    path = _write(con, home, "ocpp/status_event", relation, status)
    frame = lineage | {"direction": "'from_station'", "message_type": "2", "message_id": "'1'"}
    _write(con, home, "ocpp/frame", relation, frame | {"action": "'StatusNotification'"})
    ports = f"select i as port from range({PORTS}) as ports (i)"
    source = {"source_id": "'registry'", "line_number": "port"}
    _write(con, home, "registry/port", ports, source | {
        "port_id": _PORT, "station_id": station, "ocpp_connector_ids": connector, "power_type": "'DC'", "max_power_kw": "150",
    })  # fmt: skip
    stations = f"select i * {per_station} as port from range({PORTS // per_station}) as stations (i)"
    _write(con, home, "registry/station", stations, source | {
        "station_id": station, "site_id": "'site' || (port // 20)::varchar", "vendor": "'Acme'", "model": "'One'",
    })  # fmt: skip
    sites = f"select i * 20 as port from range({PORTS // 20}) as sites (i)"
    _write(con, home, "registry/site", sites, source | {
        "site_id": "'site' || (port // 20)::varchar", "name": "'Site'", "owner_id": "'owner'", "operator_id": "'operator'",
        "time_zone": "'Europe/Berlin'", "country_code": "'DE'", "currency": "'EUR'",
    })  # fmt: skip
    landed = {"source_id": "'registry'", "path": "'registry/ports.csv'", "kind": "'registry'", "is_current": "true"}
    _write(con, home, "meta/landed_file", "select 1", landed)
    return path


def _project(folder: Path, dbt: Path, memory_limit: str) -> Path:
    """Copy the project, with one policy, a plain view of status events, and a limit of memory."""
    copy = folder / "dbt"
    shutil.copytree(dbt, copy, ignore=shutil.ignore_patterns("target", "logs"))
    seed = copy / "seeds" / "sla_policies.csv"
    with seed.open(newline="") as file:
        rows = list(csv.reader(file))
    with seed.open("w", newline="") as file:
        csv.writer(file).writerows(row for row in rows if row[0] in ("policy_id", POLICY))
    view = copy / "models" / "staging" / "ocpp" / "stg_ocpp__status_events.sql"
    view.write_text(view.read_text().split("{{ first_delivery")[0])
    profile = copy / "profiles.yml"
    profile.write_text(profile.read_text().rstrip("\n") + f"\n        memory_limit: {memory_limit}\n")
    return copy


def uptime(events: int = 5_000_000, *, memory_limit: str = "6GB", dbt: Path | None = None) -> list[str]:
    """Run the benchmark and return the lines of a report.

    Args:
        events: Status events of 20,000 ports.
        memory_limit: DuckDB's limit for both sides; what does not fit is spilled to disk.
        dbt: The dbt project; the repository's own if not given.
    """
    with tempfile.TemporaryDirectory(dir=os.environ.get("CHARGEHOUSE_BENCH_FOLDER")) as name:
        folder = Path(name)
        home = Home(folder / "home")
        home.prepare()
        with duckdb.connect() as con:
            con.execute("set preserve_insertion_order = false; set enable_progress_bar = false")
            lake = _generate(con, home, events)
        narrow = _bare(folder, lake, "station_id, connector_id, status, event_at", memory_limit)
        bare = _bare(folder, lake, _STAGED, memory_limit)
        project = _project(folder, dbt or project_root() / "dbt", memory_limit)
        command = [str(Path(sys.executable).parent / "dbt"), "run", "--project-dir", str(project), "--profiles-dir"]
        command += [
            str(project),
            "--target-path",
            str(folder / "target"),
            "--log-path",
            str(folder / "logs"),
            "--quiet",
        ]
        environment = os.environ | dbt_environment(home, Settings(home=home.root, threads=1))
        wanted = "+fct_port_state +fct_outage +fct_sla"
        _dbt([*command, "--select", "stg_ocpp__boots"], environment)  # parses, so that parsing is not measured
        _dbt([*command[:1], "seed", *command[2:]], environment)
        usage, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
        _dbt([*command, "--select", *wanted.split()], environment)
        ours_s = time.perf_counter() - began
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        ours_cpu_s = after.ru_utime + after.ru_stime - usage.ru_utime - usage.ru_stime
        results = json.loads((folder / "target" / "run_results.json").read_text())["results"]
        models = sorted(((r["execution_time"], r["unique_id"].split(".")[-1]) for r in results), reverse=True)
        with duckdb.connect(str(home.warehouse / "build.duckdb"), read_only=True) as con:
            counts = con.execute(
                "select (select count(*) from marts.fct_port_state), (select count(*) from marts.fct_outage), "
                "(select count(*) from marts.fct_sla)"
            ).fetchone()
        assert counts is not None
    return [
        f"uptime        {events:,} status events of {PORTS:,} ports -> {counts[0]:,} port states, {counts[1]:,} outages, "
        f"{counts[2]:,} figures",
        f"  bare lead over the port  {bare[0]:6.1f} s wall  {bare[1]:6.1f} s cpu",
        f"    of four columns only   {narrow[0]:6.1f} s wall  {narrow[1]:6.1f} s cpu",
        f"  the models               {ours_s:6.1f} s wall  {ours_cpu_s:6.1f} s cpu",
        f"  ratio                    {ours_s / bare[0]:6.1f} wall    {ours_cpu_s / bare[1]:6.1f} cpu   (at most {LIMIT:g})",
        "  slowest                  " + ", ".join(f"{model} {seconds:.1f} s" for seconds, model in models[:12]),
    ]


def _bare(folder: Path, lake: Path, columns: str, memory_limit: str) -> tuple[float, float]:
    """Run the window query by itself and keep its result, as the models do; wall-clock and processor seconds."""
    database = folder / "bare.duckdb"
    with duckdb.connect(str(database)) as con:
        con.execute(f"set memory_limit = '{memory_limit}'; set threads = 2")
        con.execute("set preserve_insertion_order = false; set enable_progress_bar = false")
        usage, began = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter()
        con.execute(
            f"create table bare as select {columns}, "
            "lead(event_at) over (partition by station_id, connector_id order by event_at) as ended_at "
            f"from read_parquet('{lake}')"
        )
        con.execute("checkpoint")
        wall_s = time.perf_counter() - began
        after = resource.getrusage(resource.RUSAGE_SELF)
    database.unlink()
    return wall_s, after.ru_utime + after.ru_stime - usage.ru_utime - usage.ru_stime


def _dbt(command: list[str], environment: dict[str, str]) -> None:
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        msg = f"dbt failed:\n{done.stdout[-4000:]}{done.stderr[-2000:]}"
        raise RuntimeError(msg)
