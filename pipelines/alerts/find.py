"""What is worth telling: breaches, breaches to come, long outages, silent log sources, failed checks and runs.

Everything is read from the published version and the run records; nothing here knows how it is sent.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb

from pipelines import runs
from pipelines.home import Home
from pipelines.warehouse.query import connect

# A window that ended is still told for a week, since late logs can breach it; a source is given up after a month.
_WINDOW_KEPT_D = 7
_SOURCE_KEPT_D = 30
_HOUR_S = 3600

# the more urgent, the lower; messages list alerts in this order
SEVERITY = {"run": 0, "breach": 1, "outage": 2, "source": 3, "projected": 4, "check": 5}


@dataclass(frozen=True, slots=True)
class Alert:
    """Something worth telling.

    Attributes:
        key: What it is about; the same key is told once as long as it lasts.
        kind: ``run``, ``breach``, ``outage``, ``source``, ``projected`` or ``check``.
        title: A few words.
        text: One or two sentences with place, local time and what it costs.
        page: Path of the dashboard page that shows it.
    """

    key: str
    kind: str
    title: str
    text: str
    page: str


@dataclass(frozen=True, slots=True)
class Limits:
    """When something is worth telling. Hours are hours; ``policies`` empty means each contract's own."""

    outage_h: float
    silence_h: float
    policies: tuple[str, ...] = ()


def hours(seconds: float) -> str:
    """Return a duration for people: minutes below two hours, days above four."""
    if abs(seconds) < 2 * _HOUR_S:
        return f"{seconds / 60:.0f} min"
    if abs(seconds) < 96 * _HOUR_S:
        return f"{seconds / _HOUR_S:.1f} h"
    return f"{seconds / (24 * _HOUR_S):.1f} days"


def find(home: Home, limits: Limits, now: datetime) -> list[Alert]:
    """Return everything worth telling now, the most urgent first.

    Args:
        home: The home.
        limits: When something is worth telling.
        now: The present instant.
    """
    found = list(_failed_run(home))
    version = home.current_version()
    if version is not None:
        found += _of_version(version, limits, now)
    unique = {alert.key: alert for alert in found}
    return sorted(unique.values(), key=lambda alert: (SEVERITY[alert.kind], alert.key))


def _failed_run(home: Home) -> Iterator[Alert]:
    """The newest run, if it failed: no version says so, because none was published."""
    newest = next(iter(reversed([run for run in runs.read_runs(home) if run.status != "running"])), None)
    if newest is None or newest.status != "failed":
        return
    blocked = [check for check in runs.read_checks(home, newest.run_id) if check.is_blocking and not check.passed]
    for check in blocked:
        yield Alert(
            key=f"blocked:{check.suite}:{check.table_name}:{check.check_name}:{check.column_name or ''}",
            kind="run",
            title=f"Check failed: {check.table_name}",
            text=f"The run {newest.run_id} published nothing, because the check {check.check_name} of {check.table_name} "
            f"failed ({check.observed}). The version before stays live.",
            page="health",
        )
    if not blocked:
        yield Alert(
            key="run:failed",
            kind="run",
            title="Run failed",
            text=f"The run {newest.run_id} failed at {_one_line(newest.failure or 'an unknown step')}. "
            "The version before stays live.",
            page="health",
        )


def _one_line(text: str) -> str:
    first = text.strip().splitlines()[0] if text.strip() else ""
    return first[:300] + ("…" if len(first) > 300 else "")


def _of_version(version: Path, limits: Limits, now: datetime) -> list[Alert]:
    with connect(version) as con:
        tables = {
            f"{schema}.{name}"
            for schema, name in con.execute(
                "select schema_name, table_name from duckdb_tables() union all "
                "select schema_name, view_name from duckdb_views() where not internal"
            ).fetchall()
        }
        found: list[Alert] = []
        if "meta.quality_result" in tables:
            found += _failed_checks(con)
        if {"marts.fct_port_state", "marts.fct_outage", "marts.fct_sla", "marts.dim_contract"} <= tables:
            _keep_policies(con, limits)
            found += _long_outages(con, limits)
            found += _port_windows(con)
        if "marts.fct_sla_contract" in tables:
            found += _contract_windows(con)
        if "lake.ocpp_frame" in tables:
            found += _silent_sources(con, limits, now)
    return found


def _rows(con: duckdb.DuckDBPyConnection, sql: str, **parameters: Any) -> list[dict[str, Any]]:  # noqa: ANN401
    cursor = con.execute(sql, parameters)
    names = [column[0] for column in cursor.description or ()]
    return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]


def _failed_checks(con: duckdb.DuckDBPyConnection) -> Iterator[Alert]:
    sql = """
        select suite, table_name, check_name, column_name, severity, observed
        from meta.quality_result
        where not passed
        order by all
    """
    for row in _rows(con, sql):
        yield Alert(
            key=f"check:{row['suite']}:{row['table_name']}:{row['check_name']}:{row['column_name'] or ''}",
            kind="check",
            title=f"Data check: {row['table_name']}",
            text=f"{row['check_name'].replace('_', ' ')} does not hold in {row['table_name']} "
            f"({_one_line(str(row['observed']))}); published with this {row['severity']}.",
            page="health",
        )


def _keep_policies(con: duckdb.DuckDBPyConnection, limits: Limits) -> None:
    """Keep which policy each port is judged by: those asked for, else that of its contract in force."""
    con.execute(
        """
        create or replace temp table horizon as
        select max(known_until_at) as as_of_at from marts.fct_port_state
        """
    )
    con.execute(
        """
        create or replace temp table port_policies as
        with contracts as (
            select
                ports.port_id,
                contracts.contract_id,
                contracts.sla_policy_id as policy_id,
                contracts.station_id
            from marts.dim_contract as contracts
            inner join marts.dim_port as ports
                on
                    contracts.site_id = ports.site_id
                    and (contracts.station_id is null or contracts.station_id = ports.station_id)
            cross join horizon
            where
                contracts.valid_from <= timezone(ports.time_zone, horizon.as_of_at)::date
                and (contracts.valid_to is null or contracts.valid_to > timezone(ports.time_zone, horizon.as_of_at)::date)
            -- a contract about the station comes before one about the site
            qualify row_number() over (
                partition by ports.port_id order by contracts.station_id nulls last, contracts.contract_id
            ) = 1
        )

        select port_id, policy_id from contracts where len($policies) = 0
        union
        select ports.port_id, policies.policy_id
        from marts.dim_port as ports
        cross join (select unnest($policies) as policy_id) as policies
        """,
        {"policies": list(limits.policies)},
    )
    # the window of each port that runs now, or ended within the week
    con.execute(
        f"""
        create or replace temp table port_windows as
        select
            sla.*,
            policies.name as policy_name,
            ports.site_id,
            sites.name as site_name,
            ports.time_zone
        from marts.fct_sla as sla
        inner join port_policies on sla.subject_id = port_policies.port_id and sla.policy_id = port_policies.policy_id
        inner join marts.dim_sla_policy as policies on sla.policy_id = policies.policy_id
        inner join marts.dim_port as ports on sla.subject_id = ports.port_id
        inner join marts.dim_site as sites on ports.site_id = sites.site_id
        cross join horizon
        where
            sla.grain = 'port'
            and sla.is_own_window
            and sla.period_start <= timezone(ports.time_zone, horizon.as_of_at)::date
            and sla.period_end > timezone(ports.time_zone, horizon.as_of_at)::date - {_WINDOW_KEPT_D}
        -- of windows that roll, the newest alone: one lasting breach is told once
        qualify
            sla.period_kind not like 'rolling%'
            or row_number() over (
                partition by sla.subject_id, sla.policy_id, sla.period_kind order by sla.period_end desc
            ) = 1
        """
    )


def _window(row: dict[str, Any]) -> str:
    """Name a window for people."""
    start, kind = row["period_start"], row["period_kind"]
    if kind == "month":
        return f"{start:%B %Y}"
    if kind == "quarter":
        return f"{start.year}Q{(start.month + 2) // 3}"
    if kind == "half_year":
        return f"{start.year}H{1 if start.month < 7 else 2}"
    if kind == "year":
        return str(start.year)
    return f"the {kind.removeprefix('rolling_').replace('_', ' ')} to {row['period_end'] - timedelta(days=1):%d %B %Y}"


def _window_key(row: dict[str, Any]) -> str:
    return (
        row["period_kind"]
        if row["period_kind"].startswith("rolling")
        else f"{row['period_kind']}:{row['period_start']}"
    )


_BREACHED = "(is_partial and budget_left_s < 0) or (not is_partial and is_met = false)"


def _budget(row: dict[str, Any]) -> str:
    """Say what a window has used of its budget."""
    over = -row["budget_left_s"]
    target = f"{float(100 * row['target_ratio']):g} %"
    uptime = "" if row["uptime_ratio"] is None else f"uptime {100 * row['uptime_ratio']:.3f} % so far, "
    if not row["is_partial"]:
        uptime = uptime.replace(" so far", "")
    return f"{uptime}target {target}; {hours(row['net_down_s'])} down of {hours(row['allowed_down_s'])} allowed" + (
        f", {hours(over)} over" if over > 0 else f", {hours(-over)} left"
    )


def _port_windows(con: duckdb.DuckDBPyConnection) -> Iterator[Alert]:
    # a policy about sites or networks is told for the contract, not for each port
    judged = "is_own_grain and target_ratio is not null"
    for row in _rows(con, f"select * from port_windows where {judged} and ({_BREACHED}) order by all"):
        yield Alert(
            key=f"breach:{row['policy_id']}:port:{row['subject_id']}:{_window_key(row)}",
            kind="breach",
            title=f"SLA missed: {row['subject_id']}",
            text=f"Port {row['subject_id']} at {row['site_name']} misses {row['policy_name']} in {_window(row)}: "
            f"{_budget(row)}.",
            page="operations",
        )
    sql = (
        f"select * from port_windows where {judged} and projected_breach_on is not null and not coalesce({_BREACHED}, false) "
        "order by all"
    )
    for row in _rows(con, sql):
        yield Alert(
            key=f"projected:{row['policy_id']}:port:{row['subject_id']}:{_window_key(row)}",
            kind="projected",
            title=f"SLA at risk: {row['subject_id']}",
            text=f"Port {row['subject_id']} at {row['site_name']} will miss {row['policy_name']} in {_window(row)} about "
            f"{row['projected_breach_on']:%d %B} if it goes on like this: {_budget(row)}.",
            page="operations",
        )


def _contract_windows(con: duckdb.DuckDBPyConnection) -> Iterator[Alert]:
    sql = f"""
        with windows as (
            select
                sla.*,
                policies.name as policy_name,
                sites.name as site_name
            from marts.fct_sla_contract as sla
            inner join marts.dim_sla_policy as policies on sla.policy_id = policies.policy_id
            inner join marts.dim_site as sites on sla.site_id = sites.site_id
            cross join (select max(known_until_at) as as_of_at from marts.fct_port_state) as horizon
            where
                sla.is_own_window
                and sla.target_ratio is not null
                and sla.period_start <= timezone(sites.time_zone, horizon.as_of_at)::date
                and sla.period_end > timezone(sites.time_zone, horizon.as_of_at)::date - {_WINDOW_KEPT_D}
            qualify
                sla.period_kind not like 'rolling%'
                or row_number() over (partition by sla.contract_id, sla.period_kind order by sla.period_end desc) = 1
        )

        select
            *,
            coalesce({_BREACHED}, false) as is_breached
        from windows
        where coalesce({_BREACHED}, false) or projected_breach_on is not null
        order by contract_id, period_kind, period_start
    """
    for row in _rows(con, sql):
        place = f"{row['site_name']}" + (f", station {row['station_id']}" if row["station_id"] else "")
        credit = row["sla_credit_net"] or row["sla_credit_accrued_net"]
        owed = f" Credit due: {credit:.2f} {row['currency']}." if row["is_breached"] and credit else ""
        kind = "breach" if row["is_breached"] else "projected"
        when = "" if row["is_breached"] else f" about {row['projected_breach_on']:%d %B} if it goes on like this"
        yield Alert(
            key=f"{kind}:contract:{row['contract_id']}:{_window_key(row)}",
            kind=kind,
            title=f"{'SLA missed' if row['is_breached'] else 'SLA at risk'}: {row['contract_id']}",
            text=f"Contract {row['contract_id']} ({place}) {'misses' if row['is_breached'] else 'will miss'} its target under "
            f"{row['policy_name']} in {_window(row)}{when}: {_budget(row)}.{owed}",
            page="operations",
        )


def _long_outages(con: duckdb.DuckDBPyConnection, limits: Limits) -> Iterator[Alert]:
    sql = """
        with budgets as (
            select subject_id as port_id, arg_min(struct_pack(
                allowed_down_s := allowed_down_s, period_kind := period_kind, period_start := period_start,
                period_end := period_end
            ), allowed_down_s) as budget
            from port_windows
            where target_ratio is not null and allowed_down_s > 0 and is_partial
            group by subject_id
        )

        select
            outages.outage_id,
            outages.port_id,
            sites.name as site_name,
            outages.started_at,
            timezone(ports.time_zone, outages.started_at) as started_at_local,
            ports.time_zone,
            outages.cause,
            coalesce(outages.vendor_error_code, outages.error_code) as error_code,
            date_diff('second', outages.started_at, horizon.as_of_at) as lasting_s,
            budgets.budget
        from marts.fct_outage as outages
        inner join marts.dim_port as ports on outages.port_id = ports.port_id
        inner join marts.dim_site as sites on ports.site_id = sites.site_id
        left join budgets on outages.port_id = budgets.port_id
        cross join horizon
        where
            outages.ended_at is null
            and date_diff('second', outages.started_at, horizon.as_of_at) >= $limit_s
        order by outages.started_at, outages.port_id
    """
    for row in _rows(con, sql, limit_s=limits.outage_h * _HOUR_S):
        why = {"faulted": "out of order", "unavailable": "unavailable", "offline": "silent"}.get(row["cause"], "down")
        code = f" ({row['error_code']})" if row["error_code"] else ""
        cost = ""
        if row["budget"]:
            share = 100 * row["lasting_s"] / row["budget"]["allowed_down_s"]
            cost = (
                f" Alone it is {share:.0f} % of the {hours(row['budget']['allowed_down_s'])} allowed in "
                f"{_window(row['budget'])}."
            )
        yield Alert(
            key=f"outage:{row['port_id']}:{row['started_at'].astimezone(UTC):%Y%m%dT%H%M%SZ}",
            kind="outage",
            title=f"Down for {hours(row['lasting_s'])}: {row['port_id']}",
            text=f"Port {row['port_id']} at {row['site_name']} is {why}{code} since {row['started_at_local']:%d %B %Y %H:%M} "
            f"({row['time_zone']}), {hours(row['lasting_s'])} so far.{cost}",
            page="operations",
        )


def _silent_sources(con: duckdb.DuckDBPyConnection, limits: Limits, now: datetime) -> Iterator[Alert]:
    """Sources that fell silent while others went on; or all of them, by today's clock."""
    sources = _rows(
        con,
        """
        select log_source, max(received_at) as last_at, count(distinct station_id) as station_count
        from lake.ocpp_frame
        where log_source is not null
        group by log_source
        having max(received_at) is not null
        order by log_source
        """,
    )
    if not sources:
        return
    newest = max(row["last_at"] for row in sources)
    limit, kept = timedelta(hours=limits.silence_h), timedelta(days=_SOURCE_KEPT_D)
    for row in sources:
        if limit <= newest - row["last_at"] <= kept:
            yield Alert(
                key=f"source:{row['log_source']}",
                kind="source",
                title=f"No log: {row['log_source']}",
                text=f"The log source {row['log_source']} ({row['station_count']} stations) sends nothing since "
                f"{row['last_at'].astimezone(UTC):%d %B %Y %H:%M} UTC, while others do. Until it does, nobody knows whether "
                "its ports work.",
                page="health",
            )
    if limit <= now - newest <= kept:
        yield Alert(
            key="source:*",
            kind="source",
            title="No logs at all",
            text=f"No log has arrived since {newest.astimezone(UTC):%d %B %Y %H:%M} UTC. What the dashboards show ends there.",
            page="health",
        )
