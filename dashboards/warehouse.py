"""The only module that opens the warehouse: one typed function per question.

Readers follow the pointer ``HOME/warehouse/chargehouse.duckdb`` to its real file once per interaction and hold one
connection per version, so a run can publish the next version at any time. The version and the principal are part of
every cache key. Instants leave here as local time in the site's zone unless a column says UTC; ratios are left to the
reader as numerator and denominator.
"""

import threading
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path

import duckdb
import polars as pl
import streamlit as st

from dashboards.access import Principal, Role, email_pseudonym, visible_relations
from pipelines.home import Home
from pipelines.settings import get_settings

PAGE_MEMORY = "1GB"
CONSOLE_MEMORY = "1GB"
CONSOLE_ROWS = 10_000
CONSOLE_SECONDS = 20.0
LISTED_CDRS = 2_000
TIMELINE_PORTS = 15


class WarehouseIncompleteError(Exception):
    """The published version lacks a table or column that a page needs: it is older than the dashboards."""


class QueryRefusedError(Exception):
    """A query of the SQL editor that is not one SELECT, took too long, or that DuckDB rejects."""


@dataclass(frozen=True, slots=True)
class View:
    """One published version as one principal sees it; the first argument of every question."""

    version: str
    principal: Principal


@dataclass(frozen=True, slots=True)
class Freshness:
    """When the version was made and how far its data reach.

    ``newest_at`` is the newest instant known about anything the principal sees, in UTC; ``newest_local`` the same in
    ``time_zone``, which is the sites' zone if they share one, else UTC.
    """

    run_id: str | None
    finished_at: datetime | None
    newest_at: datetime | None
    newest_local: datetime | None
    time_zone: str


@dataclass(frozen=True, slots=True)
class ConsoleResult:
    """Rows of the SQL editor, and whether more than :data:`CONSOLE_ROWS` were there."""

    rows: pl.DataFrame
    is_cut: bool


# Opening ---------------------------------------------------------------------------------------------------------


def home() -> Home:
    """Return the home folder of this process."""
    return Home(get_settings().home)


def current_version() -> str | None:
    """Return the real path of the published version, looked up anew; None before the first publication."""
    path = home().current_version()
    return str(path) if path else None


def _hardened(version: str, memory_limit: str) -> duckdb.DuckDBPyConnection:
    """Open a version read-only in an engine of its own that can reach this file and the lake, and nothing else.

    The lake stays readable because the published ``lake`` views read its files.
    """
    settings = get_settings()
    con = duckdb.connect(
        config={
            "memory_limit": memory_limit,
            "threads": str(settings.threads),
            "temp_directory": "",
            "autoinstall_known_extensions": "false",
            "autoload_known_extensions": "false",
        }
    )
    quoted = version.replace("'", "''")
    con.execute("set global TimeZone = 'UTC'")
    con.execute(f"attach '{quoted}' as warehouse (read_only)")
    lakes = {f"{folder}/" for folder in (home().lake, home().lake.absolute(), home().lake.resolve())}
    con.execute(
        "set allowed_directories = [{}]".format(", ".join("'" + p.replace("'", "''") + "'" for p in sorted(lakes)))
    )
    con.execute("set enable_external_access = false")
    con.execute("set lock_configuration = true")
    return con


def _close(con: duckdb.DuckDBPyConnection) -> None:
    con.close()


@st.cache_resource(max_entries=3, on_release=_close, show_spinner=False)
def _pages_connection(version: str) -> duckdb.DuckDBPyConnection:
    return _hardened(version, PAGE_MEMORY)


@st.cache_resource(max_entries=2, on_release=_close, show_spinner=False)
def _console_connection(version: str) -> duckdb.DuckDBPyConnection:
    return _hardened(version, CONSOLE_MEMORY)


def _cursor(con: duckdb.DuckDBPyConnection) -> duckdb.DuckDBPyConnection:
    """Return a cursor (connections are not thread-safe) that finds the warehouse's schemas by their short names."""
    cursor = con.cursor()
    cursor.execute("use warehouse")
    return cursor


def _fetch(version: str, sql: str, params: dict[str, object]) -> pl.DataFrame:
    try:
        return _cursor(_pages_connection(version)).sql(sql, params=params).pl()
    except duckdb.Error as error:
        if not (isinstance(error, duckdb.CatalogException) or "Referenced column" in str(error)):
            raise
        raise WarehouseIncompleteError(str(error).splitlines()[0]) from error


def _rows(view: View, sql: str, **params: object) -> pl.DataFrame:
    """Run a query over the principal's relations; ``sql`` continues their ``with`` clause, or is a SELECT."""
    relations, bound = visible_relations(view.principal, sql)
    return _fetch(view.version, f"{relations}\n{sql}", {**bound, **params})


def _network_rows(view: View, sql: str, **params: object) -> pl.DataFrame:
    """Run a query over tables that belong to nobody (runs, files, checks); only for those who see everything.

    Raises:
        PermissionError: The principal is limited to a scope.
    """
    if not view.principal.sees_everything:
        msg = f"{view.principal.role} may not see network-wide tables"
        raise PermissionError(msg)
    return _fetch(view.version, sql, params)


# Who --------------------------------------------------------------------------------------------------------------


@st.cache_data(max_entries=8, show_spinner=False)
def scopes(version: str) -> pl.DataFrame:
    """Return every owner, operator and EMSP somebody could act for: ``role``, ``scope_id``, ``name``.

    For the role switch on this machine only; with sign-in the switch does not exist.
    """
    return _rows(
        View(version, Principal(Role.ADMIN)),
        """
        select 'owner' as role, owner_id as scope_id, name from owner
        union all select 'operator', operator_id, name from operator
        union all select 'emsp', emsp_id, name from emsp
        order by role, name, scope_id
        """,
    )


def principals_of(version: str, email: str) -> list[Principal]:
    """Return what a signed-in person may act as: their current rows in ``access.csv``. Empty for a stranger.

    Args:
        version: Published version.
        email: Verified address of the sign-in.
    """
    key = home().pseudonym_key(secret.get_secret_value() if (secret := get_settings().pseudonym_key) else None)
    rows = _network_rows(
        View(version, Principal(Role.ADMIN)),
        """
        select distinct role, scope_id from lake.registry_access
        where email = $email and source_id in (select source_id from meta.source_file where is_current)
        order by role, scope_id
        """,
        email=email_pseudonym(key, email),
    )
    return [
        Principal(Role(role), scope_id or None)
        for role, scope_id in rows.iter_rows()
        if scope_id or role in (Role.ANALYST, Role.ADMIN)
    ]


# Everybody --------------------------------------------------------------------------------------------------------


@st.cache_data(max_entries=32, show_spinner=False)
def freshness(view: View) -> Freshness:
    """Return which run made this version and how far the principal's data reach."""
    row = _rows(
        view,
        """
        , known as (
            select max(known_until_at) as newest_at from port_state
            union all select max(ended_at) from session
            union all select max(ended_at) from cdr
        )
        , zone as (
            select case when count(distinct time_zone) = 1 then min(time_zone) else 'UTC' end as time_zone from site
        )
        , last_run as (select run_id, finished_at from meta.run order by started_at desc limit 1)
        select
            (select run_id from last_run) as run_id,
            (select finished_at from last_run) as finished_at,
            max(known.newest_at) as newest_at,
            max(known.newest_at) at time zone any_value(zone.time_zone) as newest_local,
            any_value(zone.time_zone) as time_zone
        from known cross join zone
        """,
    ).row(0, named=True)
    return Freshness(**row)


@st.cache_data(max_entries=32, show_spinner=False)
def sites(view: View) -> pl.DataFrame:
    """Return the principal's sites: ``site_id``, ``name``, ``time_zone``, ``port_count``."""
    return _rows(
        view,
        """
        select site.site_id, site.name, site.time_zone, count(port.port_id) as port_count
        from site left join port on port.site_id = site.site_id
        group by all order by site.name, site.site_id
        """,
    )


# Owner ------------------------------------------------------------------------------------------------------------

# A month is complete when the data reach from its first to its last day. Up to six hours may be missing at either end
# (under 1 % of a month): the first status comes some time after midnight, and logs are often cut at midnight UTC.
_SITE_MONTHS = """
, covered as (
    select
        min(first_date) as first_date,
        max(last_date) as last_date
    from (
        select
            cast(min(ps.started_at at time zone s.time_zone) + interval '18' hour as date) as first_date,
            cast(
                max(ps.known_until_at at time zone s.time_zone) + interval '6' hour as date
            ) - 1 as last_date
        from port_state as ps
        join port as p on p.port_id = ps.port_id
        join site as s on s.site_id = p.site_id
        union all
        select
            cast(min(c.started_at at time zone s.time_zone) as date),
            cast(max(c.ended_at at time zone s.time_zone) as date) - 1
        from cdr as c
        join site as s on s.site_id = c.site_id
    ) as spans
)
, by_site as (
    select
        m.site_id,
        m.local_month,
        m.currency,
        m.is_site_currency,
        m.session_count,
        m.energy_kwh,
        m.revenue_net,
        m.downtime_s,
        m.local_month >= c.first_date and last_day(m.local_month) <= c.last_date as is_complete
    from site_month as m
    cross join covered as c
    where ($site_id::varchar is null or m.site_id = $site_id)
)
, newest as (select max(local_month) as local_month from by_site)
"""


@st.cache_data(max_entries=64, show_spinner=False)
def site_months(view: View, site_id: str | None, months: int | None) -> pl.DataFrame:
    """Return revenue, energy, sessions and downtime of each site and month.

    Args:
        view: Version and principal.
        site_id: One site, or None for all.
        months: The newest so many months, or None for all.

    Returns:
        ``site_id``, ``local_month``, ``currency``, ``session_count``, ``energy_kwh``, ``revenue_net`` (before tax, in
        ``currency``), ``downtime_h`` (hours faulted, out of service or offline, summed over ports), ``is_complete``
        (the data cover the whole month), ``place`` (rank of the site by energy over these months).
    """
    return _rows(
        view,
        _SITE_MONTHS
        + """
        , ranked as (
            select site_id, row_number() over (order by sum(energy_kwh) desc, site_id) as place
            from by_site group by site_id
        )
        select
            b.site_id, b.local_month, b.currency, r.place,
            cast(b.session_count as bigint) as session_count,
            cast(b.energy_kwh as double) as energy_kwh,
            cast(b.revenue_net as double) as revenue_net,
            cast(b.downtime_s as double) / 3600 as downtime_h,
            b.is_complete
        from by_site as b cross join newest as n join ranked as r on r.site_id = b.site_id
        where $months::integer is null or b.local_month > n.local_month - to_months($months::integer)
        order by b.local_month, b.site_id
        """,
        site_id=site_id,
        months=months,
    )


@st.cache_data(max_entries=64, show_spinner=False)
def months_against_before(view: View, site_id: str | None) -> pl.DataFrame:
    """Return each month and currency beside the month before, newest first.

    Returns:
        ``local_month``, ``currency``, ``is_complete``, ``has_charging`` (false where only money came in this
        currency), and ``session_count``, ``energy_kwh``, ``revenue_net``, ``downtime_s`` with their ``previous_`` and
        ``change_`` columns, which are null unless both months are complete.
    """
    return _rows(
        view,
        _SITE_MONTHS
        + """
        , total as (
            select
                local_month, currency, is_complete, bool_or(is_site_currency) as has_charging,
                cast(sum(session_count) as bigint) as session_count,
                cast(sum(energy_kwh) as double) as energy_kwh,
                cast(sum(revenue_net) as double) as revenue_net,
                cast(sum(downtime_s) as bigint) as downtime_s
            from by_site group by local_month, currency, is_complete
        )
        select
            t.*,
            b.session_count as previous_session_count, t.session_count - b.session_count as change_session_count,
            b.energy_kwh as previous_energy_kwh, t.energy_kwh - b.energy_kwh as change_energy_kwh,
            b.revenue_net as previous_revenue_net, t.revenue_net - b.revenue_net as change_revenue_net,
            b.downtime_s as previous_downtime_s, t.downtime_s - b.downtime_s as change_downtime_s
        from total as t
        left join total as b
            on b.currency = t.currency and b.local_month = t.local_month - interval '1' month
            and b.is_complete and t.is_complete
        order by t.local_month desc, t.revenue_net desc, t.currency
        """,
        site_id=site_id,
    )


@st.cache_data(max_entries=64, show_spinner=False)
def sites_against_before(view: View, site_id: str | None, month: date) -> pl.DataFrame:
    """Return each site's month beside the month before.

    Returns:
        ``site``, ``currency``, and ``revenue_net``, ``energy_kwh``, ``session_count``, ``downtime_h`` with
        ``previous_revenue_net`` and ``change_revenue_net`` (null where the site has no month before).
    """
    return _rows(
        view,
        _SITE_MONTHS
        + """
        select
            coalesce(s.name, t.site_id) as site,
            t.currency,
            cast(t.revenue_net as double) as revenue_net,
            cast(b.revenue_net as double) as previous_revenue_net,
            cast(t.revenue_net - b.revenue_net as double) as change_revenue_net,
            cast(t.energy_kwh as double) as energy_kwh,
            cast(t.session_count as bigint) as session_count,
            cast(t.downtime_s as double) / 3600 as downtime_h
        from by_site as t
        left join by_site as b
            on b.site_id = t.site_id and b.currency = t.currency and b.local_month = t.local_month - interval '1' month
            and b.is_complete and t.is_complete
        left join site as s on s.site_id = t.site_id
        where t.local_month = $month
        order by t.currency, t.revenue_net desc, site
        """,
        site_id=site_id,
        month=month,
    )


_PORT_SUMS = """
    cast(sum(d.period_s) as bigint) as period_s,
    cast(sum(d.unknown_s) as bigint) as unknown_s,
    cast(sum(d.available_s + d.occupied_s + d.charging_s) as bigint) as working_s,
    cast(sum(d.faulted_s) as bigint) as faulted_s,
    cast(sum(d.unavailable_s) as bigint) as unavailable_s,
    cast(sum(d.offline_s) as bigint) as offline_s,
    cast(sum(d.faulted_s + d.unavailable_s + d.offline_s) as bigint) as not_working_s,
    cast(sum(d.available_s + d.occupied_s + d.charging_s) as double)
        / nullif(cast(sum(d.period_s - d.unknown_s) as double), 0) as working_ratio
"""


@st.cache_data(max_entries=64, show_spinner=False)
def ports_ranked(view: View, site_id: str | None, months: int | None) -> pl.DataFrame:
    """Return the ports, longest not working first, over the newest so many months.

    Returns:
        ``port_id``, ``site``, ``not_working_h``, ``working_ratio`` (share of known time), ``session_count``,
        ``energy_kwh``, ``revenue_net``, ``currency``.
    """
    return _rows(
        view,
        f"""
        , newest as (select max(date_trunc('month', local_date)) as local_month from port_day)
        , summed as (
            select
                d.port_id, d.site_id, d.currency, {_PORT_SUMS},
                cast(sum(d.session_count) as bigint) as session_count,
                cast(sum(d.energy_kwh) as double) as energy_kwh,
                cast(sum(d.revenue_net) as double) as revenue_net
            from port_day as d cross join newest as n
            where ($site_id::varchar is null or d.site_id = $site_id)
                and ($months::integer is null
                    or date_trunc('month', d.local_date) > n.local_month - to_months($months::integer))
            group by d.port_id, d.site_id, d.currency
        )
        select
            p.port_id, coalesce(s.name, p.site_id) as site, p.not_working_s / 3600.0 as not_working_h, p.working_ratio,
            p.session_count, p.energy_kwh, p.revenue_net, p.currency
        from summed as p left join site as s on s.site_id = p.site_id
        order by p.not_working_s desc, p.revenue_net, p.port_id
        """,
        site_id=site_id,
        months=months,
    )


# Operator ---------------------------------------------------------------------------------------------------------

_NOT_WORKING = "('faulted', 'unavailable', 'offline')"
_PORTS_NOW = f"""
, newest as (select max(known_until_at) as at from port_state)
, spans as (
    select
        port_id,
        coalesce(max(ended_at) filter (where state not in {_NOT_WORKING}), min(started_at)) as broken_since_at,
        max(known_until_at) as known_until_at
    from port_state group by port_id
)
, now as (
    select
        p.port_id, p.site_id, coalesce(s.name, p.site_id) as site, coalesce(s.time_zone, 'UTC') as time_zone,
        p.vendor, p.model, p.max_power_kw, ps.state, ps.error_code, spans.broken_since_at, spans.known_until_at,
        ps.port_id is not null as is_watched,
        coalesce(ps.state in {_NOT_WORKING}, false) as is_broken
    from port as p
    cross join newest as n
    left join port_state as ps on ps.port_id = p.port_id and ps.ended_at is null
    left join spans on spans.port_id = p.port_id
    left join site as s on s.site_id = p.site_id
    where ($site_id::varchar is null or p.site_id = $site_id)
        and coalesce(p.decommissioned_at > n.at, true)
)
"""


@st.cache_data(max_entries=64, show_spinner=False)
def states_by_site(view: View, site_id: str | None, limit: int) -> pl.DataFrame:
    """Return how many ports are in which state now, sites with most broken ports first.

    Returns:
        ``site_id``, ``site``, ``state``, ``port_count``; at most ``limit`` sites.
    """
    return _rows(
        view,
        _PORTS_NOW
        + """
        , ranked as (
            select
                site_id, site, count(*) filter (where is_broken) as broken_count, count(*) as ports,
                row_number() over (
                    order by count(*) filter (where is_broken) desc, count(*) desc, site_id
                ) as place
            from now where is_watched group by site_id, site
        )
        select n.site_id, r.site, n.state, count(*) as port_count
        from now as n join ranked as r on r.site_id = n.site_id
        where n.is_watched and r.place <= $limit
        group by n.site_id, r.site, n.state, r.place
        order by r.place, n.state
        """,
        site_id=site_id,
        limit=limit,
    )


@st.cache_data(max_entries=64, show_spinner=False)
def network_now(view: View, site_id: str | None) -> dict[str, int]:
    """Return counts of ports now.

    Returns:
        ``ports`` = ``working`` + ``broken`` (``faulted`` + ``unavailable`` + ``offline``) + ``unknown``; and
        ``never_heard``, ports from which no status ever came.
    """
    return _rows(
        view,
        _PORTS_NOW
        + """
        select
            count(*) filter (where is_watched) as ports,
            count(*) filter (where not is_watched) as never_heard,
            count(*) filter (where not is_broken and state <> 'unknown') as working,
            count(*) filter (where is_broken) as broken,
            count(*) filter (where state = 'faulted') as faulted,
            count(*) filter (where state = 'unavailable') as unavailable,
            count(*) filter (where state = 'offline') as offline,
            count(*) filter (where state = 'unknown') as unknown
        from now
        """,
        site_id=site_id,
    ).row(0, named=True)


@st.cache_data(max_entries=64, show_spinner=False)
def broken_now(view: View, site_id: str | None) -> pl.DataFrame:
    """Return the ports that do not work now, longest first.

    Returns:
        ``port_id``, ``site``, ``state``, ``error_code``, ``broken_since_local`` (start of the unbroken run of
        not-working states), ``time_zone``, ``broken_s`` (until its newest record), ``vendor``, ``model``,
        ``max_power_kw``.
    """
    return _rows(
        view,
        _PORTS_NOW
        + """
        select
            port_id, site, state, error_code,
            broken_since_at at time zone time_zone as broken_since_local, time_zone,
            cast(epoch(known_until_at) - epoch(broken_since_at) as bigint) as broken_s,
            vendor, model, cast(max_power_kw as double) as max_power_kw
        from now where is_broken
        order by broken_since_at, port_id
        """,
        site_id=site_id,
    )


_DAYS = """
, newest as (select max(local_date) as local_date from port_day)
, days as (
    select d.*
    from port_day as d cross join newest as n
    where ($site_id::varchar is null or d.site_id = $site_id)
        and ($days::integer is null or d.local_date > n.local_date - $days::integer)
)
"""


@st.cache_data(max_entries=64, show_spinner=False)
def availability(view: View, site_id: str | None, days: int | None) -> pl.DataFrame:
    """Return per port how its time was spent over the newest so many days, worst first.

    Returns:
        ``port_id``, ``label``, ``site``, ``period_s``, ``unknown_s``, ``working_s``, ``faulted_s``, ``unavailable_s``,
        ``offline_s``, ``not_working_s``, ``working_ratio`` (working / (period - unknown); null if all is unknown).
    """
    return _rows(
        view,
        _DAYS
        + f"""
        , summed as (select d.port_id, d.site_id, {_PORT_SUMS} from days as d group by d.port_id, d.site_id)
        select p.port_id, p.port_id as label, coalesce(s.name, p.site_id) as site, p.* exclude (port_id, site_id)
        from summed as p left join site as s on s.site_id = p.site_id
        order by p.working_ratio asc nulls last, p.not_working_s desc, p.port_id
        """,
        site_id=site_id,
        days=days,
    )


@st.cache_data(max_entries=64, show_spinner=False)
def availability_total(view: View, site_id: str | None, days: int | None) -> dict[str, object]:
    """Return :func:`availability` summed over all ports.

    Returns:
        Its seconds and ``working_ratio``, with ``first_date``, ``last_date`` (None without data) and ``ports``.
    """
    return _rows(
        view,
        _DAYS
        + f"""
        select
            min(d.local_date) as first_date, max(d.local_date) as last_date, count(distinct d.port_id) as ports,
            {_PORT_SUMS}
        from days as d
        """,
        site_id=site_id,
        days=days,
    ).row(0, named=True)


@st.cache_data(max_entries=64, show_spinner=False)
def timeline(view: View, site_id: str | None, port_id: str | None, days: int) -> pl.DataFrame:
    """Return the state intervals of the newest days, of the ports that were longest not working in them.

    Args:
        view: Version and principal.
        site_id: One site, or None.
        port_id: One port, or None for up to :data:`TIMELINE_PORTS`.
        days: Window length, days of 24 h before the newest record.

    Returns:
        ``label``, ``state``, ``error_code``, ``started_at_local``, ``ended_at_local``, ``duration_s``, ``time_zone``
        (the sites' zone if they share one, else UTC: one axis has one zone).
    """
    return _rows(
        view,
        f"""
        , newest as (select max(known_until_at) as at from port_state)
        , clipped as (
            select
                ps.port_id, coalesce(s.time_zone, 'UTC') as time_zone, ps.state, ps.error_code,
                greatest(ps.started_at, n.at - to_days($days::integer)) as started_at,
                ps.known_until_at as ended_at
            from port_state as ps
            cross join newest as n
            join port as p on p.port_id = ps.port_id and coalesce(p.decommissioned_at > n.at, true)
            left join site as s on s.site_id = p.site_id
            where ps.known_until_at > n.at - to_days($days::integer)
                and ($site_id::varchar is null or p.site_id = $site_id)
                and ($port_id::varchar is null or ps.port_id = $port_id)
        )
        , ranked as (
            select
                port_id,
                row_number() over (
                    order by
                        coalesce(
                            sum(epoch(ended_at) - epoch(started_at)) filter (where state in {_NOT_WORKING}), 0
                        ) desc,
                        port_id
                ) as place
            from clipped group by port_id
        )
        , axis as (
            select case when count(distinct time_zone) = 1 then min(time_zone) else 'UTC' end as time_zone from clipped
        )
        select
            c.port_id as label, c.state, c.error_code,
            c.started_at at time zone a.time_zone as started_at_local,
            c.ended_at at time zone a.time_zone as ended_at_local,
            cast(epoch(c.ended_at) - epoch(c.started_at) as bigint) as duration_s,
            a.time_zone
        from clipped as c cross join axis as a join ranked as r on r.port_id = c.port_id
        where r.place <= {TIMELINE_PORTS}
        order by r.place, c.started_at
        """,
        site_id=site_id,
        port_id=port_id,
        days=days,
    )


@st.cache_data(max_entries=64, show_spinner=False)
def week_pattern(view: View, site_id: str | None, days: int | None) -> pl.DataFrame:
    """Return energy by local weekday (1 Monday) and hour: ``weekday``, ``hour``, ``energy_kwh``."""
    return _rows(
        view,
        """
        , local as (
            select l.site_id, l.interval_start_at at time zone coalesce(s.time_zone, 'UTC') as started_at, l.energy_kwh
            from load_15min as l left join site as s on s.site_id = l.site_id
            where ($site_id::varchar is null or l.site_id = $site_id)
        )
        , newest as (select max(cast(started_at as date)) as local_date from local)
        select
            cast(isodow(l.started_at) as integer) as weekday,
            cast(hour(l.started_at) as integer) as hour,
            cast(sum(l.energy_kwh) as double) as energy_kwh
        from local as l cross join newest as n
        where $days::integer is null or cast(l.started_at as date) > n.local_date - $days::integer
        group by all order by weekday, hour
        """,
        site_id=site_id,
        days=days,
    )


@st.cache_data(max_entries=32, show_spinner=False)
def port_ids(view: View, site_id: str | None) -> list[str]:
    """Return the ids of the principal's ports, of one site or all."""
    return _rows(
        view,
        "select port_id from port where ($site_id::varchar is null or site_id = $site_id) order by port_id",
        site_id=site_id,
    )["port_id"].to_list()


# EMSP -------------------------------------------------------------------------------------------------------------

_CDRS = """
, bill as (
    select
        c.*,
        coalesce(
            case when c.operator_id <> 'unmapped' then o.name end,
            c.country_code || '*' || c.party_id,
            nullif(c.peer, ''),
            'unknown partner'
        ) as partner,
        coalesce(s.name, c.site_id) as site,
        epoch(c.last_updated_at) - epoch(c.ended_at) as latency_s
    from cdr as c
    left join site as s on s.site_id = c.site_id
    left join operator as o on o.operator_id = c.operator_id
    where not c.is_home_charging_compensation
)
, chosen as (select * from bill where $month::date is null or local_month = $month)
"""


@st.cache_data(max_entries=32, show_spinner=False)
def cdr_months(view: View) -> list[date]:
    """Return the months (of the end of the session, in the site's zone) that have CDRs, newest first."""
    return _rows(view, _CDRS + "select distinct local_month from chosen order by local_month desc", month=None)[
        "local_month"
    ].to_list()


_CDR_SUMS = """
    count(*) filter (where is_counted) as cdr_count,
    count(*) filter (where is_credit) as credit_count,
    cast(coalesce(sum(energy_kwh) filter (where is_counted), 0) as double) as energy_kwh,
    cast(sum(billed_net) as double) as billed_net,
    cast(case when count(billed_gross) = count(*) then sum(billed_gross) end as double) as billed_gross,
    cast(sum(billed_net) filter (where is_counted) as double)
        / nullif(cast(sum(energy_kwh) filter (where is_counted) as double), 0) as net_per_kwh,
    median(latency_s) filter (where not is_credit) as median_latency_s,
    quantile_cont(latency_s, 0.95) filter (where not is_credit) as p95_latency_s,
    count(audit_verdict) as checked_count,
    count(*) filter (where audit_verdict = 'mismatch') as mismatch_count,
    count(*) filter (where audit_verdict = 'not_auditable') as not_auditable_count,
    cast(sum(billed_net - repriced_net) filter (where audit_verdict = 'mismatch') as double) as mismatch_net
"""


@st.cache_data(max_entries=64, show_spinner=False)
def cdr_totals(view: View, month: date | None) -> pl.DataFrame:
    """Return CDRs per currency, largest amount first.

    Args:
        view: Version and principal.
        month: First day of a month, or None for all.

    Returns:
        ``currency``, ``partners``, ``cdr_count`` and ``energy_kwh`` (without credits and what they take back),
        ``credit_count``, ``billed_net`` (credits subtracted), ``billed_gross`` (null if a CDR gives none),
        ``net_per_kwh``, ``median_latency_s`` and ``p95_latency_s`` (last update - end of session),
        ``checked_count`` (CDRs that re-pricing has a verdict on, 0 in a version without it), ``mismatch_count``,
        ``not_auditable_count``, ``mismatch_net`` (billed minus re-priced, of the mismatches).
    """
    return _rows(
        view,
        _CDRS + f"select currency, count(distinct partner) as partners, {_CDR_SUMS} from chosen group by currency "
        "order by billed_net desc, currency",
        month=month,
    )


@st.cache_data(max_entries=64, show_spinner=False)
def cdr_arrival(view: View, month: date | None) -> dict[str, object]:
    """Return what can be said over all currencies together.

    Returns:
        ``partners``, ``cdr_count``, ``checked_count``, ``mismatch_count``, ``median_latency_s``, ``p95_latency_s``.
    """
    return _rows(
        view,
        _CDRS
        + """
        select
            count(distinct partner) as partners,
            count(*) filter (where is_counted) as cdr_count,
            count(audit_verdict) as checked_count,
            count(*) filter (where audit_verdict = 'mismatch') as mismatch_count,
            cast(median(latency_s) filter (where not is_credit) as double) as median_latency_s,
            cast(quantile_cont(latency_s, 0.95) filter (where not is_credit) as double) as p95_latency_s
        from chosen
        """,
        month=month,
    ).row(0, named=True)


@st.cache_data(max_entries=64, show_spinner=False)
def partners(view: View, month: date | None) -> pl.DataFrame:
    """Return CDRs per partner (CPO) and currency; columns as :func:`cdr_totals`, with ``partner``."""
    return _rows(
        view,
        _CDRS + f"select partner, currency, {_CDR_SUMS} from chosen group by partner, currency "
        "order by currency, billed_net desc, partner",
        month=month,
    )


@st.cache_data(max_entries=64, show_spinner=False)
def latency_histogram(view: View, month: date | None) -> pl.DataFrame:
    """Return CDRs by how long after the session ended they were last updated; credits left out.

    Returns:
        ``bucket`` (from 0), ``bucket_label``, ``partner``, ``cdr_count``.
    """
    return _rows(
        view,
        _CDRS
        + """
        , bucketed as (
            select
                partner,
                case
                    when latency_s < 300 then 0 when latency_s < 3600 then 1 when latency_s < 21600 then 2
                    when latency_s < 86400 then 3 when latency_s < 604800 then 4 else 5
                end as bucket
            from chosen where latency_s is not null and not is_credit
        )
        select
            bucket,
            ['under 5 min', '5 min to 1 h', '1 to 6 h', '6 to 24 h', '1 to 7 days', 'over 7 days'][bucket + 1]
                as bucket_label,
            partner, count(*) as cdr_count
        from bucketed group by all order by bucket, partner
        """,
        month=month,
    )


@st.cache_data(max_entries=64, show_spinner=False)
def cdrs(view: View, month: date | None, partner: str | None) -> pl.DataFrame:
    """Return the newest CDRs, at most :data:`LISTED_CDRS`; mismatches first.

    Returns:
        ``cdr_key`` (for :func:`price_lines`), ``cdr_id``, ``partner``, ``site``, ``started_local``, ``ended_local``,
        ``time_zone``, ``energy_kwh``, ``duration_s``, ``currency``, ``billed_net``, ``repriced_net``,
        ``audit_verdict``, ``audit_reason``, ``is_credit``, ``latency_s``.
    """
    return _rows(
        view,
        _CDRS
        + f"""
        select
            cdr_key, cdr_id, partner, site,
            started_at at time zone time_zone as started_local,
            ended_at at time zone time_zone as ended_local,
            time_zone,
            cast(energy_kwh as double) as energy_kwh, duration_s, currency,
            cast(billed_net as double) as billed_net, cast(repriced_net as double) as repriced_net,
            audit_verdict, audit_reason, is_credit, cast(latency_s as double) as latency_s
        from chosen
        where $partner::varchar is null or partner = $partner
        order by coalesce(audit_verdict = 'mismatch', false) desc, ended_at desc, cdr_id
        limit {LISTED_CDRS}
        """,
        month=month,
        partner=partner,
    )


@st.cache_data(max_entries=64, show_spinner=False)
def price_lines(view: View, cdr_key: str) -> pl.DataFrame:
    """Return what one CDR costs under its tariff, line by line.

    Returns:
        ``period_number``, ``dimension``, ``tariff_id``, ``element_number``, ``quantity``, ``billed_quantity``,
        ``unit``, ``unit_price``, ``amount_net``, ``vat_ratio``. Empty for a CDR the principal may not see.
    """
    return _rows(
        view,
        """
        select
            period_number, dimension, tariff_id, element_number,
            cast(quantity as double) as quantity, cast(billed_quantity as double) as billed_quantity, unit,
            cast(unit_price as double) as unit_price, cast(amount_net as double) as amount_net,
            cast(vat_ratio as double) as vat_ratio
        from price_line where cdr_key = $cdr_key order by period_number, dimension
        """,
        cdr_key=cdr_key,
    )


# Analyst ----------------------------------------------------------------------------------------------------------


@st.cache_data(max_entries=4, show_spinner=False)
def catalogue(view: View) -> pl.DataFrame:
    """Return every table and view: ``name`` (schema.table), ``kind``, ``row_count`` (null for views), ``comment``."""
    return _network_rows(
        view,
        """
        select name, kind, row_count, column_count, comment
        from (
            select
                schema_name || '.' || table_name as name, 'table' as kind, estimated_size as row_count,
                column_count, comment
            from duckdb_tables() where database_name = 'warehouse'
            union all
            select schema_name || '.' || view_name, 'view', null, column_count, comment
            from duckdb_views() where database_name = 'warehouse' and not internal
        ) as everything
        order by case when name like 'marts.%' then 0 when name like 'meta.%' then 1 else 2 end, name
        """,
    )


@st.cache_data(max_entries=64, show_spinner=False)
def columns(view: View, table: str) -> pl.DataFrame:
    """Return the columns of ``schema.table``: ``column_name``, ``data_type``, ``comment``."""
    return _network_rows(
        view,
        """
        select column_name, data_type, comment from duckdb_columns()
        where database_name = 'warehouse' and schema_name || '.' || table_name = $table order by column_index
        """,
        table=table,
    )


def run_sql(view: View, query: str, seconds: float = CONSOLE_SECONDS) -> ConsoleResult:
    """Run one SELECT of the SQL editor on a connection that can read the warehouse and the lake and change nothing.

    Args:
        view: Version and principal; only for those who see everything.
        query: SQL, one statement.
        seconds: Time after which it is interrupted.

    Raises:
        PermissionError: The principal is limited to a scope.
        QueryRefusedError: Not one SELECT, too slow, or rejected by DuckDB; the message says which.
    """
    if not view.principal.sees_everything:
        msg = f"{view.principal.role} may not run free SQL"
        raise PermissionError(msg)
    try:
        statements = duckdb.extract_statements(query)
    except duckdb.Error as error:
        raise QueryRefusedError(str(error)) from error
    if len(statements) != 1 or statements[0].type != duckdb.StatementType.SELECT:
        msg = "Write one SELECT (also FROM, WITH, DESCRIBE, SUMMARIZE or SHOW). The warehouse is read-only."
        raise QueryRefusedError(msg)
    cursor = _cursor(_console_connection(view.version))
    timer = threading.Timer(seconds, cursor.interrupt)
    timer.start()
    try:
        rows = cursor.sql(statements[0].query).limit(CONSOLE_ROWS + 1).pl()
    except duckdb.InterruptException as error:
        msg = f"Stopped after {seconds:g} s. Narrow the query, or use `chargehouse sql` in a terminal."
        raise QueryRefusedError(msg) from error
    except (duckdb.Error, pl.exceptions.PolarsError) as error:
        raise QueryRefusedError(str(error)) from error
    finally:
        timer.cancel()
    return ConsoleResult(rows.head(CONSOLE_ROWS), rows.height > CONSOLE_ROWS)


# Data health ------------------------------------------------------------------------------------------------------


@st.cache_data(max_entries=8, show_spinner=False)
def runs(view: View) -> pl.DataFrame:
    """Return the newest 20 runs: times in UTC, counts, checks."""
    return _network_rows(
        view,
        """
        select
            run_id, status, started_at at time zone 'UTC' as started_utc, cast(seconds as double) as seconds, files_new,
            records_read, records_loaded, records_duplicate, records_quarantined,
            models_built, checks_passed, checks_failed
        from meta.run order by started_at desc limit 20
        """,
    )


@st.cache_data(max_entries=8, show_spinner=False)
def deliveries(view: View) -> pl.DataFrame:
    """Return what was delivered, by kind: files, records read, loaded, duplicate, quarantined, unreadable files."""
    return _network_rows(
        view,
        """
        select
            kind, coalesce(table_name, log_format, 'unrecognised') as content, count(*) as files,
            cast(sum(records_read) as bigint) as records_read, cast(sum(records_loaded) as bigint) as records_loaded,
            cast(sum(records_duplicate) as bigint) as records_duplicate,
            cast(sum(records_quarantined) as bigint) as records_quarantined,
            count(*) filter (where error is not null) as unreadable_files,
            max(first_seen_at) at time zone 'UTC' as newest_delivery_utc
        from meta.source_file group by all order by kind, content
        """,
    )


@st.cache_data(max_entries=8, show_spinner=False)
def delivery_totals(view: View) -> dict[str, int]:
    """Return the sums of :func:`deliveries` over everything."""
    return _network_rows(
        view,
        """
        select
            count(*) as files, cast(coalesce(sum(records_read), 0) as bigint) as records_read,
            cast(coalesce(sum(records_loaded), 0) as bigint) as records_loaded,
            cast(coalesce(sum(records_duplicate), 0) as bigint) as records_duplicate,
            cast(coalesce(sum(records_quarantined), 0) as bigint) as records_quarantined,
            count(*) filter (where error is not null) as unreadable_files
        from meta.source_file
        """,
    ).row(0, named=True)


@st.cache_data(max_entries=8, show_spinner=False)
def quarantined_files(view: View) -> pl.DataFrame:
    """Return up to 200 files with quarantined records or an error.

    Returns:
        ``path``, ``records_read``, ``records_quarantined``, ``error``.
    """
    return _network_rows(
        view,
        """
        select path, records_read, records_quarantined, error from meta.source_file
        where records_quarantined > 0 or error is not null
        order by records_quarantined desc, path limit 200
        """,
    )


@st.cache_data(max_entries=8, show_spinner=False)
def quarantine(view: View) -> pl.DataFrame | None:
    """Return up to three quarantined records of each reason; None when the lake is not beside this warehouse.

    Returns:
        ``reason``, ``record_count`` (of the reason), ``path``, ``line_number``, ``column_name``, ``value``,
        ``expected``, ``text``.
    """
    try:
        return _network_rows(
            view,
            """
            select
                reason, count(*) over (partition by reason) as record_count,
                path, line_number, column_name, value, expected, text
            from lake.quarantine_record
            qualify row_number() over (partition by reason order by path, line_number) <= 3
            order by record_count desc, reason, path, line_number
            """,
        )
    except (WarehouseIncompleteError, duckdb.IOException, duckdb.PermissionException):
        return None


@st.cache_data(max_entries=8, show_spinner=False)
def checks(view: View) -> pl.DataFrame:
    """Return the checks of the newest checked run, failed first."""
    return _network_rows(
        view,
        """
        with newest as (
            select q.run_id from meta.quality_result as q join meta.run as r on r.run_id = q.run_id
            order by r.started_at desc limit 1
        )
        select
            passed, severity, suite, table_name, column_name, check_name, observed, failing_count, failing_sample
        from meta.quality_result
        where run_id = (select run_id from newest)
        order by passed, severity, suite, table_name, check_name
        """,
    )


@st.cache_data(max_entries=32, show_spinner=False)
def unknown_by_day(view: View, days: int | None) -> pl.DataFrame:
    """Return port time nobody knows about, per day: ``local_date``, ``unknown_s``, ``period_s``."""
    return _rows(
        view,
        _DAYS
        + """
        select
            local_date, cast(sum(unknown_s) as bigint) as unknown_s, cast(sum(period_s) as bigint) as period_s
        from days group by local_date order by local_date
        """,
        site_id=None,
        days=days,
    )


@st.cache_data(max_entries=32, show_spinner=False)
def unknown_by_site(view: View, days: int | None) -> pl.DataFrame:
    """Return port time nobody knows about, per site, most first.

    Returns:
        ``site``, ``ports``, ``unknown_s``, ``period_s``, ``unknown_ratio``.
    """
    return _rows(
        view,
        _DAYS
        + """
        select
            coalesce(s.name, d.site_id) as site, count(distinct d.port_id) as ports,
            cast(sum(d.unknown_s) as bigint) as unknown_s, cast(sum(d.period_s) as bigint) as period_s,
            cast(sum(d.unknown_s) as double) / nullif(cast(sum(d.period_s) as double), 0) as unknown_ratio
        from days as d left join site as s on s.site_id = d.site_id
        group by all order by unknown_ratio desc, site
        """,
        site_id=None,
        days=days,
    )


def version_name(version: str) -> str:
    """Return the short name of a published version."""
    return Path(version).stem
