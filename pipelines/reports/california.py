"""California's half-yearly reliability data (Title 20): figures of each port, excluded time, and quarter hours.

The figures come from the SLA mart; the quarter hours reshape port states. Seconds are kept in each quarter hour, so that a
rule for partly down intervals can be changed without the raw data.
"""

import polars as pl

from pipelines.reports.period import Period
from pipelines.reports.rules import Rules, read_rules
from pipelines.reports.source import NothingToReportError, Source
from pipelines.reports.write import Report, ReportFile

NAME = "california"
_UTC = "%Y-%m-%dT%H:%M:%SZ"
_STATES = (
    "available",
    "occupied",
    "charging",
    "suspended_ev",
    "suspended_evse",
    "reserved",
    "unavailable",
    "faulted",
    "offline",
    "unknown",
)
_REASONS = {
    "vandalism": "vandalism",
    "grid": "utility_interruption",
    "disaster": "natural_disaster",
    "maintenance": "scheduled_maintenance",
}


def build(source: Source, period: Period) -> Report:
    """Make the data of a half-year.

    Raises:
        NothingToReportError: No port is in California's scope.
    """
    rules = read_rules("california")
    source.need("fct_sla", "fct_sla_downtime")
    report = Report(NAME, period, rules, policies=[dict(source.policy(rules.more["policy_id"]))])
    report.warn_if_unfinished(source)
    _keep_ports(source, period, rules, report)
    report.files = [
        ReportFile("reliability.csv", _reliability(source, period, rules), rules.files["ports"]),
        ReportFile("exclusions.csv", _exclusions(source), rules.files["exclusions"]),
        ReportFile("interval_15min.csv", _intervals(source, period, rules), rules.files["intervals"]),
    ]
    report.notes += [
        "minutes are rounded to hundredths; percentages come from the seconds",
        f"a quarter hour is down when more than {100 * rules.more['down_above_share']:.0f} % of the seconds recorded in it "
        "are down and not excluded; the seconds of each state stand beside it",
        "vandalism excuses at most 10 days an incident, planned maintenance at most 72 hours a calendar year; what lies "
        "beyond is in exclusions.csv with is_excluded FALSE and counts as down",
    ]
    return report


def _keep_ports(source: Source, period: Period, rules: Rules, report: Report) -> None:
    scope = rules.more["scope"]
    source.keep(
        "candidates",
        """
        select
            ports.port_id,
            ports.station_id,
            ports.site_id,
            ports.operator_id,
            ports.funding,
            ports.time_zone,
            sites.country_code is null or sites.postal_code is null as is_place_unknown,
            case
                when not list_contains($power_types, ports.power_type) then 'not fast charging (DC)'
                when ports.commissioned_at < timezone(ports.time_zone, $installed_from::timestamp) then 'installed before'
                when ports.funding is null then 'without funding'
                when ports.decommissioned_at <= timezone(ports.time_zone, $first_day::timestamp) then 'out of service'
                when ports.commissioned_at >= timezone(ports.time_zone, $end_day::timestamp) then 'not yet in service'
            end as left_out_because
        from marts.dim_port as ports
        inner join marts.dim_site as sites on ports.site_id = sites.site_id
        where
            (sites.country_code is null or list_contains($country_codes, upper(sites.country_code)))
            and (
                sites.postal_code is null
                or left(trim(sites.postal_code), 3) between $postal_code_from and $postal_code_to
            )
        """,
        power_types=scope["power_types"],
        installed_from=scope["installed_from"],
        country_codes=scope["country_codes"],
        postal_code_from=scope["postal_code_from"],
        postal_code_to=scope["postal_code_to"],
        first_day=period.first_day,
        end_day=period.end_day,
    )
    source.keep(
        "ports",
        """
        select
            candidates.*,
            timezone(time_zone, $first_day::timestamp) as period_starts_at,
            timezone(time_zone, $end_day::timestamp) as period_ends_at
        from candidates
        where left_out_because is null
        """,
        first_day=period.first_day,
        end_day=period.end_day,
    )
    left_out = dict(
        source.rows(
            "select left_out_because, count(*) from candidates where left_out_because is not null group by 1 order by 1"
        )
    )
    (count,) = source.rows("select count(*) from ports")[0]
    if not count:
        reasons = (
            ", ".join(f"{number} {reason}" for reason, number in left_out.items()) or "no port has such a postal code"
        )
        msg = (
            f"{NAME} {period.name}: no port is in scope (United States, postal code {scope['postal_code_from']} to "
            f"{scope['postal_code_to']}, DC, funded, installed from {scope['installed_from']} on): {reasons}"
        )
        raise NothingToReportError(msg)
    report.facts |= {"ports": count, "ports_left_out": left_out}
    nowhere = [site for (site,) in source.rows("select distinct site_id from ports where is_place_unknown order by 1")]
    if nowhere:
        report.warnings.append(
            "taken to be in California, because the registry gives no country or postal code: " + ", ".join(nowhere)
        )


def _minutes(seconds: str) -> str:
    return f"cast(cast(round({seconds} / 60, 2) as decimal(12, 2)) as varchar)"


def _percent(ratio: str) -> str:
    return f"cast(cast(round(100 * {ratio}, 3) as decimal(9, 3)) as varchar)"


def _reliability(source: Source, period: Period, rules: Rules) -> pl.DataFrame:
    source.keep(
        "downtime",
        """
        select downtime.*
        from marts.fct_sla_downtime as downtime
        inner join ports on downtime.port_id = ports.port_id
        where
            downtime.policy_id = $policy_id
            and downtime.counts_as in ('down', 'excluded')
            and downtime.local_month >= $first_day
            and downtime.local_month < $end_day
        """,
        policy_id=rules.more["policy_id"],
        first_day=period.first_day,
        end_day=period.end_day,
    )
    named = ", ".join(f"'{reason}'" for reason in _REASONS.values())
    parts = {
        column: f"coalesce(sum(duration_s) filter (where reason = '{reason}'), 0)"
        for column, reason in _REASONS.items()
    }
    parts["other"] = f"coalesce(sum(duration_s) filter (where reason not in ({named})), 0)"
    # each reason's minutes are rounded, and the total is their sum, so that the columns of a row add up
    rounded = ", ".join(
        f"cast(round({expression} / 60, 2) as decimal(12, 2)) as excluded_{column}"
        for column, expression in parts.items()
    )
    source.keep(
        "excused",
        f"select port_id, {rounded} from downtime where counts_as = 'excluded' group by port_id",
    )
    cells = ", ".join(
        f"cast(coalesce(excused.excluded_{column}, 0)::decimal(12, 2) as varchar) as excluded_{column}_minutes"
        for column in parts
    )
    total = " + ".join(f"coalesce(excused.excluded_{column}, 0)" for column in parts)
    return source.frame(
        f"""
        select
            ports.operator_id,
            ports.site_id,
            ports.station_id,
            ports.port_id,
            ports.funding,
            strftime(ports.period_starts_at, '{_UTC}') as period_start,
            strftime(ports.period_ends_at - interval '1' second, '{_UTC}') as period_end,
            {_minutes("sla.base_s")} as base_minutes,
            cast(greatest(round(sla.down_s / 60, 2), {total})::decimal(12, 2) as varchar) as down_minutes,
            cast(({total})::decimal(12, 2) as varchar) as excluded_minutes,
            {cells},
            {_minutes("sla.over_cap_s")} as over_cap_minutes,
            {_percent("sla.uptime_ratio")} as uptime_pct,
            {_percent("sla.uptime_ratio_without_exclusions")} as uptime_without_exclusions_pct,
            {_percent("least(1, sla.silent_s / sla.base_s)")} as unknown_pct,
            {_percent("sla.target_ratio")} as target_pct,
            upper(cast(sla.is_met as varchar)) as is_met,
            sla.policy_id,
            policies.version as policy_version
        from ports
        inner join marts.fct_sla as sla
            on
                sla.policy_id = $policy_id
                and sla.grain = 'port'
                and sla.period_kind = 'half_year'
                and sla.period_start = $first_day
                and ports.port_id = sla.subject_id
        inner join marts.dim_sla_policy as policies on sla.policy_id = policies.policy_id
        left join excused on ports.port_id = excused.port_id
        where sla.base_s > 0
        order by ports.site_id, ports.port_id
        """,
        policy_id=rules.more["policy_id"],
        first_day=period.first_day,
    )


def _exclusions(source: Source) -> pl.DataFrame:
    return source.frame(
        f"""
        select
            port_id,
            strftime(started_at, '{_UTC}') as started_at,
            strftime(ended_at, '{_UTC}') as ended_at,
            cast(duration_s as varchar) as seconds,
            reason,
            exclusion_id,
            upper(cast(counts_as = 'excluded' as varchar)) as is_excluded,
            case
                when not is_over_cap then null
                when reason = 'vandalism' then '10 days an incident'
                when reason = 'scheduled_maintenance' then '72 hours a year'
                else 'over the cap'
            end as cap
        from downtime
        where reason is not null
        order by port_id, started_at
        """
    )


def _intervals(source: Source, period: Period, rules: Rules) -> pl.DataFrame:
    """Cut states and downtime at quarter hours of UTC, which are quarter hours in every zone of California."""
    step_s = 60 * rules.more["interval_minutes"]

    def cut(name: str, kind: str, ended_at: str, table: str) -> str:
        # an interval gives a row for every quarter hour it touches
        return f"""
        select
            port_id,
            {kind} as kind,
            bucket_s,
            least(ends_s, bucket_s + {step_s}) - greatest(starts_s, bucket_s) as seconds
        from (
            select
                *,
                unnest(range(starts_s // {step_s} * {step_s}, ends_s, {step_s})) as bucket_s
            from (
                select
                    {name}.port_id,
                    {name}.{kind if kind == "state" else "counts_as"},
                    epoch_us(greatest({name}.started_at, ports.period_starts_at)) // 1000000 as starts_s,
                    epoch_us(least({name}.{ended_at}, ports.period_ends_at)) // 1000000 as ends_s
                from {table} as {name}
                inner join ports on {name}.port_id = ports.port_id
                where {name}.started_at < ports.period_ends_at and {name}.{ended_at} > ports.period_starts_at
            )
        )
        """

    states = ", ".join(f"sum(seconds) filter (where kind = '{state}') as {state}_s" for state in _STATES)
    source.keep(
        "seconds",
        f"""
        select port_id, bucket_s, sum(seconds) as recorded_s, {states}
        from ({cut("states", "state", "known_until_at", "marts.fct_port_state")})
        group by port_id, bucket_s
        """,
    )
    source.keep(
        "down_seconds",
        f"""
        select
            port_id,
            bucket_s,
            sum(seconds) as down_s,
            sum(seconds) filter (where kind = 'excluded') as excluded_s
        from ({cut("states", "counts_as", "ended_at", "downtime")})
        group by port_id, bucket_s
        """,
    )
    cells = ", ".join(f"cast(coalesce(seconds.{state}_s, 0) as varchar) as {state}_s" for state in _STATES)
    return source.frame(
        f"""
        select
            seconds.port_id,
            strftime(make_timestamp(seconds.bucket_s * 1000000), '{_UTC}') as interval_start,
            cast(seconds.recorded_s as varchar) as recorded_s,
            {cells},
            cast(coalesce(down.down_s, 0) as varchar) as down_s,
            cast(coalesce(down.excluded_s, 0) as varchar) as excluded_s,
            upper(cast(
                coalesce(down.down_s, 0) - coalesce(down.excluded_s, 0) > $share * seconds.recorded_s as varchar
            )) as is_down
        from seconds
        left join down_seconds as down on seconds.port_id = down.port_id and seconds.bucket_s = down.bucket_s
        order by seconds.port_id, seconds.bucket_s
        """,
        share=rules.more["down_above_share"],
    )
