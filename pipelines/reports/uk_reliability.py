"""The annual reliability report of UK rapid networks (SI 2023/1168): one figure an operator, shares of time an EVSE.

The figure is weighted by minutes; the regulation says "on average" without a weight, so the plain mean of the charge points
stands beside it, and the reading without unknown and blocked time. Seconds come from the SLA mart and are only summed here.
"""

import re

import polars as pl

from pipelines.reports.period import Period
from pipelines.reports.rules import read_rules
from pipelines.reports.source import NothingToReportError, Source
from pipelines.reports.write import Report, ReportFile

NAME = "uk-reliability"
# fct_port_day keeps reserved time inside available_s and suspended time inside occupied_s
_STATES = {
    "available": "available_s - reserved_s",
    "occupied": "occupied_s - suspended_ev_s - suspended_evse_s",
    "charging": "charging_s",
    "suspended_ev": "suspended_ev_s",
    "suspended_evse": "suspended_evse_s",
    "reserved": "reserved_s",
    "unavailable": "unavailable_s",
    "faulted": "faulted_s",
    "offline": "offline_s",
    "unknown": "unknown_s",
}


def build(source: Source, period: Period) -> Report:
    """Make the report of a calendar year.

    Raises:
        NothingToReportError: No rapid charge point in the United Kingdom has figures for the year.
    """
    rules = read_rules("uk_reliability")
    source.need("fct_sla", "fct_sla_downtime", "fct_port_day")
    own, known_only = (rules.more[key] for key in ("policy_id", "known_only_policy_id"))
    report = Report(NAME, period, rules, policies=[dict(source.policy(own)), dict(source.policy(known_only))])
    report.warn_if_unfinished(source)
    _keep_points(source, period, rules.more["country_codes"], own, known_only)
    if not source.rows("select 1 from points limit 1"):
        msg = (
            f"{NAME} {period.name}: no charge point of 50 kW or above in the United Kingdom was in service with figures in "
            "that year; country_code of registry/sites.csv and max_power_kw of registry/ports.csv say which are"
        )
        raise NothingToReportError(msg)
    network = _network(source, period, own)
    report.files.append(ReportFile("network.csv", network, rules.files["network"]))
    _keep_shares(source, period, known_only)
    for operator_id in network["operator_id"]:
        frame = _evses(source, operator_id)
        report.files.append(ReportFile(f"evse_{_file_name(operator_id)}.csv", frame, rules.files["evse"]))
    _warn(source, report)
    report.facts |= {
        "operators": network.height,
        "rapid_charge_points": int(network["rapid_charge_points"].cast(pl.Int64).sum()),
    }
    report.notes += [
        "reliability_pct reads the regulation as written: unknown and blocked time is reliable; "
        "reliability_known_only_pct takes both out of the base",
        "unknown_pct is the share of the time in scope in which the charge point was silent or nothing was recorded",
        "the shares of each EVSE are of the time recorded, rounded so that they add up to 100.00: what rounding leaves goes "
        "to the largest remainders; blocked_pct lies across them and is not part of the sum",
    ]
    return report


def _file_name(operator_id: str) -> str:
    return re.sub(r"[^A-Za-z0-9_.-]", "_", operator_id)


def _keep_points(source: Source, period: Period, countries: list[str], own: str, known_only: str) -> None:
    source.keep(
        "points",
        """
        select
            ports.port_id,
            ports.station_id,
            ports.site_id,
            ports.operator_id,
            ports.ocpi_evse_uid,
            ports.power_type,
            ports.max_power_kw,
            sites.name as site_name,
            concat_ws(', ', sites.address, sites.city, sites.postal_code) as address,
            sla.base_s,
            sla.down_s - sla.excluded_s as not_reliable_s,
            sla.silent_s,
            known.base_s as known_base_s,
            known.down_s - known.excluded_s as known_not_reliable_s
        from marts.fct_sla as sla
        inner join marts.dim_port as ports on sla.subject_id = ports.port_id
        inner join marts.dim_site as sites on ports.site_id = sites.site_id
        left join marts.fct_sla as known
            on
                known.policy_id = $known_only
                and known.grain = 'port'
                and known.period_kind = 'year'
                and sla.subject_id = known.subject_id
                and sla.period_start = known.period_start
        where
            sla.policy_id = $own
            and sla.grain = 'port'
            and sla.period_kind = 'year'
            and sla.period_start = $first_day
            and sla.base_s > 0
            and (sites.country_code is null or list_contains($countries, upper(sites.country_code)))
        """,
        own=own,
        known_only=known_only,
        first_day=period.first_day,
        countries=countries,
    )
    source.keep(
        "all_points",
        """
        select ports.operator_id, count(*) as charge_points
        from marts.dim_port as ports
        inner join marts.dim_site as sites on ports.site_id = sites.site_id
        where
            (sites.country_code is null or list_contains($countries, upper(sites.country_code)))
            and coalesce(ports.commissioned_at < timezone(ports.time_zone, $end_day::timestamp), true)
            and coalesce(ports.decommissioned_at > timezone(ports.time_zone, $first_day::timestamp), true)
        group by ports.operator_id
        """,
        first_day=period.first_day,
        end_day=period.end_day,
        countries=countries,
    )


def _percent(part: str, whole: str, decimals: int = 3) -> str:
    return f"cast(cast(round(100 * cast({part} as double) / {whole}, {decimals}) as decimal(9, {decimals})) as varchar)"


def _minutes(seconds: str) -> str:
    return f"cast(cast(round({seconds} / 60, 2) as decimal(18, 2)) as varchar)"


def _network(source: Source, period: Period, own: str) -> pl.DataFrame:
    return source.frame(
        f"""
        with summed as (
            select
                operator_id,
                count(*) as rapid_charge_points,
                sum(base_s)::bigint as base_s,
                sum(not_reliable_s)::bigint as not_reliable_s,
                sum(silent_s)::bigint as silent_s,
                sum(known_base_s)::bigint as known_base_s,
                sum(known_not_reliable_s)::bigint as known_not_reliable_s,
                avg((base_s - not_reliable_s) / base_s) as mean_ratio
            from points
            group by operator_id
        )

        select
            summed.operator_id,
            operators.name as operator_name,
            cast($year as varchar) as year,
            cast(all_points.charge_points as varchar) as charge_points,
            cast(summed.rapid_charge_points as varchar) as rapid_charge_points,
            {_percent("summed.base_s - summed.not_reliable_s", "summed.base_s")} as reliability_pct,
            case when summed.known_base_s > 0 then
                {_percent("summed.known_base_s - summed.known_not_reliable_s", "summed.known_base_s")}
            end as reliability_known_only_pct,
            {_percent("summed.mean_ratio", "1")} as reliability_simple_mean_pct,
            cast(cast(100 * policies.threshold_ratio as decimal(9, 3)) as varchar) as target_pct,
            upper(cast(
                (summed.base_s - summed.not_reliable_s)::decimal(20, 0) >= summed.base_s::decimal(20, 0) * policies.threshold_ratio
                as varchar
            )) as is_met,
            {_percent("summed.silent_s", "summed.base_s")} as unknown_pct,
            {_minutes("summed.base_s")} as in_scope_minutes,
            {_minutes("summed.not_reliable_s")} as not_reliable_minutes,
            policies.policy_id,
            policies.version as policy_version
        from summed
        inner join all_points on summed.operator_id = all_points.operator_id
        inner join marts.dim_operator as operators on summed.operator_id = operators.operator_id
        cross join (select * from marts.dim_sla_policy where policy_id = $own) as policies
        order by summed.operator_id
        """,
        year=period.first_day.year,
        own=own,
    )


def _keep_shares(source: Source, period: Period, known_only: str) -> None:
    """Keep the seconds of each state in hundredths of a per cent, rounded by the largest remainder."""
    seconds = ", ".join(f"sum({expression})::bigint as {state}" for state, expression in _STATES.items())
    source.keep(
        "state_seconds",
        f"""
        select days.port_id, sum(days.period_s)::bigint as recorded_s, {seconds}
        from marts.fct_port_day as days
        inner join points on days.port_id = points.port_id
        where days.local_date >= $first_day and days.local_date < $end_day
        group by days.port_id
        having sum(days.period_s) > 0
        """,
        first_day=period.first_day,
        end_day=period.end_day,
    )
    source.keep(
        "shares",
        f"""
        with long as (
            unpivot state_seconds on {", ".join(_STATES)} into name state value state_s
        ),

        floored as (
            select
                port_id,
                recorded_s,
                state,
                (10000 * state_s::hugeint) // recorded_s as units,
                (10000 * state_s::hugeint) % recorded_s as remainder
            from long
        )

        select
            port_id,
            state,
            (units + case
                when row_number() over (partition by port_id order by remainder desc, state)
                    <= 10000 - sum(units) over (partition by port_id)
                    then 1
                else 0
            end)::decimal(18, 2) / 100 as share
        from floored
        """,
    )
    source.keep(
        "blocked",
        # unknown under this reading although the port talked and worked: only BLOCKED makes that
        """
        select port_id, sum(duration_s) as blocked_s
        from marts.fct_sla_downtime
        where
            policy_id = $known_only
            and counts_as = 'unknown'
            and state not in ('offline', 'unknown', 'unrecorded')
            and local_month >= $first_day
            and local_month < $end_day
        group by port_id
        """,
        known_only=known_only,
        first_day=period.first_day,
        end_day=period.end_day,
    )


def _evses(source: Source, operator_id: str) -> pl.DataFrame:
    shares = ",\n".join(
        f"cast(cast(coalesce(max(shares.share) filter (where shares.state = '{state}'), "
        f"{'100' if state == 'unknown' else '0'}) as decimal(5, 2)) as varchar) as {state}_pct"
        for state in _STATES
    )
    return source.frame(
        f"""
        select
            points.operator_id,
            points.site_id,
            points.site_name,
            points.address,
            points.station_id,
            points.port_id as evse_id,
            points.ocpi_evse_uid,
            points.power_type,
            cast(points.max_power_kw as varchar) as max_power_kw,
            {shares},
            cast(cast(coalesce(
                round(100 * max(blocked.blocked_s) / max(state_seconds.recorded_s), 2), 0
            ) as decimal(5, 2)) as varchar) as blocked_pct,
            {_minutes("coalesce(max(state_seconds.recorded_s), 0)")} as recorded_minutes,
            {_minutes("points.base_s")} as in_scope_minutes,
            {_minutes("points.not_reliable_s")} as not_reliable_minutes,
            {_percent("points.base_s - points.not_reliable_s", "points.base_s")} as reliability_pct
        from points
        left join shares on points.port_id = shares.port_id
        left join state_seconds on points.port_id = state_seconds.port_id
        left join blocked on points.port_id = blocked.port_id
        where points.operator_id = $operator_id
        group by all
        order by points.site_id, points.port_id
        """,
        operator_id=operator_id,
    )


def _warn(source: Source, report: Report) -> None:
    silent = source.rows(
        "select operator_id, sum(silent_s) / sum(base_s) from points group by operator_id "
        "having sum(silent_s) > 0.05 * sum(base_s) order by operator_id"
    )
    for operator_id, share in silent:
        report.warnings.append(
            f"{100 * share:.2f} % of the time of {operator_id}'s rapid charge points is silent or not recorded; the "
            "regulation's text counts it as reliable"
        )
    powerless = source.rows(
        "select count(*) from marts.dim_port as ports inner join marts.dim_site as sites using (site_id) "
        "where ports.max_power_kw is null and (sites.country_code is null or upper(sites.country_code) in ('GB', 'UK'))"
    )[0][0]
    if powerless:
        report.warnings.append(f"{powerless} charge point(s) without a rated power are not counted as rapid")
