"""EV-ChART modules 2, 3, 4, 5 and 9 (23 CFR 680.112): sessions, uptime, outages, maintenance costs, capital costs.

A charging station of EV-ChART is a place with one or more chargers (23 CFR 680.104), so its ``station_id`` is our site,
its ``charger_id`` our station, its ``port_id`` our port.

Minutes are rounded once, outage by outage; the totals of module 3 are sums of those rounded minutes, so that the modules
add up to the hundredth. Outages are cut where a quarter begins, because each file holds one quarter.
"""

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

import polars as pl

from pipelines.reports.period import Period
from pipelines.reports.rules import Rules, read_rules
from pipelines.reports.source import NothingToReportError, Source
from pipelines.reports.validate import Problem
from pipelines.reports.write import Report, ReportFile

NAME = "evchart"
_UTC = "%Y-%m-%dT%H:%M:%SZ"
_SHOWN = 10


@dataclass(frozen=True, slots=True)
class Networks:
    """Which value of ``network_provider`` an operator has.

    Attributes:
        by_operator: What the settings say, by operator_id.
        otherwise: What stands for an operator that neither the settings nor the receiver's names tell.
    """

    by_operator: Mapping[str, str]
    otherwise: str


def _plain(text: str) -> str:
    """A name without case, accents and punctuation: how two spellings of one company are compared."""
    bare = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    return re.sub(r"[^a-z0-9]+", "_", bare.lower()).strip("_")


def network_providers(
    operators: Mapping[str, str | None], rules: Rules, networks: Networks
) -> tuple[dict[str, str], list[str]]:
    """Return the network provider of each operator, and the operators that none is known for.

    Args:
        operators: Names by operator_id.
        rules: The rules, with the receiver's values and names.
        networks: What the settings say.
    """
    known: Mapping[str, str] = rules.more["network_providers"]
    by_name = {_plain(name): value for value, name in known.items()} | {value: value for value in known}
    found, guessed = {}, []
    for operator_id, name in operators.items():
        value = (
            networks.by_operator.get(operator_id) or by_name.get(_plain(name or "")) or by_name.get(_plain(operator_id))
        )
        if value is None:
            value = networks.otherwise
            guessed.append(operator_id)
        found[operator_id] = value
    return found, sorted(guessed)


def build(source: Source, period: Period, networks: Networks) -> Report:
    """Make the five modules of a quarter.

    Args:
        source: The published version.
        period: The quarter.
        networks: Network providers by operator.

    Raises:
        NothingToReportError: No port is funded by a programme that reports to EV-ChART, or the quarter has no data.
    """
    rules = read_rules(NAME)
    source.need("fct_sla", "fct_sla_downtime", "fct_cost_year")
    report = Report(NAME, period, rules, policies=[dict(source.policy(rules.more["policy_id"]))])
    report.warn_if_unfinished(source)
    _keep_ports(source, period, rules, networks, report)
    modules = {
        "2": _sessions(source, period, rules, report),
        "3": _uptime(source, period, rules, report),
        "4": _outages(source, period, rules, report),
        "5": _maintenance(source, period, rules, report),
        "9": _capital(source, period, rules, report),
    }
    report.files = [ReportFile(f"module_{key}.csv", frame, rules.files[key]) for key, frame in modules.items()]
    report.problems += _disagreements(source, period, modules["3"])
    report.notes += [
        "station_id is the site, charger_id the charger (our station), port_id the port",
        "outage minutes are rounded outage by outage; module 3 sums the rounded minutes of module 4",
        "an outage that crosses the beginning of a quarter is cut there; one that is excluded in part has a row for each "
        "part",
        f"module 5 is about {_cost_year(period)}, the last year that is over when the quarter ends; it is due on 1 March",
        "module 9 is due once, on 1 March after the year in which a station was commissioned",
    ]
    return report


def _keep_ports(source: Source, period: Period, rules: Rules, networks: Networks, report: Report) -> None:
    programmes = [programme.upper() for programme in rules.more["programmes"]]
    source.keep(
        "funded_ports",
        """
        select
            ports.port_id,
            ports.station_id as charger_id,
            ports.site_id as station_id,
            ports.operator_id,
            operators.name as operator_name,
            ports.time_zone,
            ports.commissioned_at,
            ports.decommissioned_at
        from marts.dim_port as ports
        left join marts.dim_operator as operators using (operator_id)
        where
            list_has_any(string_split_regex(upper(ports.funding), '[\\s,;+/]+'), $programmes)
            and coalesce(ports.commissioned_at < timezone(ports.time_zone, $end_day::timestamp), true)
            and coalesce(ports.decommissioned_at > timezone(ports.time_zone, $first_day::timestamp), true)
        """,
        programmes=programmes,
        first_day=period.first_day,
        end_day=period.end_day,
    )
    ports = source.frame("select * from funded_ports order by port_id")
    if ports.is_empty():
        msg = (
            f"evchart {period.name}: no port in service in the quarter is funded by {', '.join(programmes)}; "
            "the column funding of registry/ports.csv says which are"
        )
        raise NothingToReportError(msg)
    operators = dict(ports.select("operator_id", "operator_name").unique().iter_rows())
    found, guessed = network_providers(operators, rules, networks)
    named = pl.DataFrame(
        {"operator_id": list(found), "network_provider": list(found.values())},
        schema={"operator_id": pl.String, "network_provider": pl.String},
    )
    source.con.register("named_networks", named)
    source.keep(
        "ports",
        "select funded_ports.*, named_networks.network_provider from funded_ports "
        "inner join named_networks using (operator_id)",
    )
    for operator_id in guessed:
        report.warnings.append(
            f"operator {operator_id} ({operators[operator_id]}) is no network that EV-ChART's list of {rules.version} "
            f"names: its rows say {networks.otherwise}; set CHARGEHOUSE_EVCHART_NETWORK_PROVIDERS={operator_id}=<value>"
        )
    report.facts |= {"ports": ports.height, "stations": ports["station_id"].n_unique(), "programmes": programmes}


def _listed(values: list[Any]) -> str:
    shown = ", ".join(str(value) for value in values[:_SHOWN])
    return shown + (f" and {len(values) - _SHOWN} more" if len(values) > _SHOWN else "")


def _sessions(source: Source, period: Period, rules: Rules, report: Report) -> pl.DataFrame:
    """Module 2: a row per session that ended in the quarter, a row per port that had none."""
    errors, payment = rules.more["session_error"], rules.more["payment_method"]
    source.keep(
        "quarter_sessions",
        """
        select
            ports.station_id,
            ports.network_provider,
            ports.port_id,
            ports.charger_id,
            sessions.session_id,
            cast(sessions.connector_id as varchar) as connector_id,
            sessions.started_at,
            sessions.ended_at,
            sessions.stop_reason,
            sessions.energy_kwh,
            coalesce(
                sessions.peak_power_kw,
                -- without power samples: the mean power while charging, which the peak was not below
                sessions.energy_kwh * 3600 / nullif(coalesce(sessions.charging_s, sessions.duration_s), 0),
                case when sessions.energy_kwh = 0 then 0 end
            ) as power_kw,
            sessions.peak_power_kw is null as is_power_estimated
        from marts.fct_session as sessions
        inner join ports on sessions.port_id = ports.port_id
        where
            not sessions.is_open
            and sessions.ended_at is not null
            and sessions.local_date >= $first_day
            and sessions.local_date < $end_day
        """,
        first_day=period.first_day,
        end_day=period.end_day,
    )
    source.keep(
        "session_codes",
        """
        with faults as (
            select
                port_id,
                started_at,
                known_until_at,
                coalesce(vendor_error_code, error_code) as code
            from marts.fct_port_state
            where coalesce(vendor_error_code, error_code) is not null
        )

        select
            sessions.session_id,
            string_agg(distinct faults.code, ';' order by faults.code) as codes,
            bool_or(faults.started_at <= sessions.ended_at) as is_told_within
        from quarter_sessions as sessions
        inner join faults
            on
                sessions.port_id = faults.port_id
                and faults.started_at >= sessions.started_at
                and faults.started_at <= sessions.ended_at + to_seconds($told_within_s)
        group by sessions.session_id
        """,
        told_within_s=errors["told_within_s"],
    )
    # the newest version of the CDR that was matched to the session; OCPI compares ids without case
    source.keep(
        "session_payments",
        """
        select
            cdrs.session_id,
            arg_max(delivered.token_type, delivered.last_updated_at) as token_type,
            arg_max(delivered.auth_method, delivered.last_updated_at) as auth_method
        from marts.fct_cdr as cdrs
        inner join quarter_sessions as sessions on cdrs.session_id = sessions.session_id
        inner join lake.ocpi_cdr as delivered
            on
                upper(cdrs.cdr_id) = upper(delivered.cdr_id)
                -- OCPI 2.1.1 names no party in the CDR
                and upper(cdrs.country_code) is not distinct from upper(delivered.country_code)
                and upper(cdrs.party_id) is not distinct from upper(delivered.party_id)
                and cdrs.peer is not distinct from delivered.peer
        where not cdrs.is_credit
        group by cdrs.session_id
        """,
    )
    words = [
        (f"{field}/{code}", word) for field in ("token_types", "auth_methods") for code, word in payment[field].items()
    ]
    source.con.register("payment_words", pl.DataFrame(words, schema=["code", "word"], orient="row"))
    counts = source.frame(
        """
        select
            count(*) as ended,
            count(*) filter (where energy_kwh is null or power_kw is null) as without_figures,
            count(*) filter (where energy_kwh < 0) as negative,
            count(*) filter (where is_power_estimated and energy_kwh > 0 and power_kw is not null) as estimated
        from quarter_sessions
        """
    ).row(0, named=True)
    left_out = counts["without_figures"] + counts["negative"]
    report.facts |= {"sessions": counts["ended"] - left_out, "sessions_left_out": left_out}
    if left_out:
        ids = source.rows(
            "select session_id from quarter_sessions where energy_kwh is null or power_kw is null or energy_kwh < 0 "
            "order by started_at limit 11"
        )
        report.warnings.append(
            f"{left_out} session(s) are left out of module 2, because their energy or power is not known or negative and "
            f"a partly filled row is refused: {_listed([session_id for (session_id,) in ids])}"
        )
    if counts["estimated"]:
        report.notes.append(
            f"power_kw of {counts['estimated']} session(s) without power samples is their mean power while charging"
        )
    return source.frame(
        f"""
        with reported as (
            select *
            from quarter_sessions
            where energy_kwh >= 0 and power_kw is not null
        ),

        judged as (
            select
                reported.*,
                codes.codes,
                payments.token_type,
                payments.auth_method,
                list_contains($stop_reasons, reported.stop_reason) as is_failed_stop,
                reported.energy_kwh = 0
                or list_contains($stop_reasons, reported.stop_reason)
                or coalesce(codes.is_told_within, false) as is_unsuccessful
            from reported
            left join session_codes as codes on reported.session_id = codes.session_id
            left join session_payments as payments on reported.session_id = payments.session_id
        ),

        sessions as (
            select
                station_id,
                network_provider,
                port_id,
                charger_id,
                session_id,
                connector_id,
                strftime(started_at, '{_UTC}') as session_start,
                strftime(ended_at, '{_UTC}') as session_end,
                left(case
                    when not is_unsuccessful then $none
                    when codes is not null then codes
                    when is_failed_stop then $stop_prefix || stop_reason
                    else $no_energy
                end, 255) as session_error,
                case when codes is not null and is_failed_stop then $stop_prefix || stop_reason end as error_other,
                cast(cast(energy_kwh as decimal(18, 2)) as varchar) as energy_kwh,
                cast(cast(power_kw as decimal(18, 2)) as varchar) as power_kw,
                coalesce(token_words.word, method_words.word, $unknown) as payment_method
            from judged
            left join payment_words as token_words on 'token_types/' || judged.token_type = token_words.code
            left join payment_words as method_words on 'auth_methods/' || judged.auth_method = method_words.code
        )

        select
            *,
            '' as payment_other
        from sessions
        union all by name
        select
            station_id,
            network_provider,
            port_id
        from ports
        where port_id not in (select port_id from sessions)
        order by station_id, port_id, session_start, session_id
        """,
        stop_reasons=errors["stop_reasons"],
        none=errors["none"],
        no_energy=errors["no_energy"],
        stop_prefix=errors["stop_prefix"],
        unknown=payment["unknown"],
    )


def _keep_pieces(source: Source, rules: Rules) -> None:
    """Keep the downtime of the ports, cut at months as the mart has it, with the quarter that each piece lies in."""
    source.keep(
        "pieces",
        """
        select
            downtime.port_id,
            downtime.local_month,
            cast(date_trunc('quarter', downtime.local_month) as date) as local_quarter,
            downtime.started_at,
            downtime.ended_at,
            downtime.counts_as = 'excluded' as is_excluded,
            case when downtime.counts_as = 'excluded' then downtime.reason end as reason,
            case when downtime.counts_as = 'excluded' then downtime.exclusion_id end as exclusion_id
        from marts.fct_sla_downtime as downtime
        inner join ports on downtime.port_id = ports.port_id
        where downtime.policy_id = $policy_id and downtime.counts_as in ('down', 'excluded')
        """,
        policy_id=rules.more["policy_id"],
    )


# Pieces that follow each other, excluded alike, are one outage; its minutes are rounded here and nowhere else.
_UNITED = """
    with marked as (
        select
            *,
            coalesce(
                started_at <> lag(ended_at) over before
                or is_excluded <> lag(is_excluded) over before
                or reason is distinct from lag(reason) over before
                or exclusion_id is distinct from lag(exclusion_id) over before,
                true
            ) as begins
        from {pieces}
        window before as (partition by {group}port_id, local_quarter order by started_at)
    ),

    numbered as (
        select
            *,
            sum(begins::integer) over (
                partition by {group}port_id, local_quarter order by started_at
                rows between unbounded preceding and current row
            ) as outage_number
        from marked
    )

    select
        {group}port_id,
        local_quarter,
        min(started_at) as started_at,
        max(ended_at) as ended_at,
        bool_or(is_excluded) as is_excluded,
        min(reason) as reason,
        min(exclusion_id) as exclusion_id,
        cast(round(sum(date_diff('second', started_at, ended_at)) / 60::decimal(18, 6), 2) as decimal(18, 2)) as minutes
    from numbered
    group by {group}port_id, local_quarter, outage_number
"""


def _uptime(source: Source, period: Period, rules: Rules, report: Report) -> pl.DataFrame:
    """Module 3: per port the twelve months that end with each month of the quarter, as far as the data reach."""
    _keep_pieces(source, rules)
    source.keep(
        "windows",
        """
        select
            ports.*,
            sla.period_start,
            sla.period_end,
            sla.base_s,
            sla.down_s,
            sla.excluded_s,
            sla.unknown_s,
            timezone(ports.time_zone, sla.period_start::timestamp) as window_starts_at,
            timezone(ports.time_zone, sla.period_end::timestamp) as window_ends_at
        from marts.fct_sla as sla
        inner join ports on sla.subject_id = ports.port_id
        where
            sla.policy_id = $policy_id
            and sla.grain = 'port'
            and sla.period_kind = 'rolling_12_months'
            and sla.period_end > $first_day
            and sla.period_end <= $end_day
            -- a month is told when its last day lies in the data
            and sla.period_end - 1 <= timezone(ports.time_zone, $known_until_at)::date
        """,
        policy_id=rules.more["policy_id"],
        first_day=period.first_day,
        end_day=period.end_day,
        known_until_at=source.known_until_at,
    )
    source.keep(
        "window_pieces",
        """
        select
            windows.period_end,
            pieces.*
        from pieces
        inner join windows
            on
                pieces.port_id = windows.port_id
                and pieces.local_month >= windows.period_start
                and pieces.local_month < windows.period_end
        """,
    )
    source.keep("window_outages", _UNITED.format(pieces="window_pieces", group="period_end, "))
    source.keep(
        "totals",
        """
        select
            windows.*,
            coalesce(sum(outages.minutes), 0)::decimal(18, 2) as total_outage,
            coalesce(sum(outages.minutes) filter (where outages.is_excluded), 0)::decimal(18, 2) as total_outage_excl,
            count(outages.port_id) as outage_count,
            -- in service for the whole window; a port without a date is taken to be
            coalesce(windows.commissioned_at <= windows.window_starts_at, true) as has_full_year
        from windows
        left join window_outages as outages
            on windows.port_id = outages.port_id and windows.period_end = outages.period_end
        group by all
        """,
    )
    if not source.rows("select 1 from windows limit 1"):
        msg = f"{NAME} {period.name}: no month of the quarter has data of the ports that report to EV-ChART"
        raise NothingToReportError(msg)
    _compare_with_marts(source, report)
    return source.frame(
        f"""
        select
            station_id,
            network_provider,
            port_id,
            strftime(window_starts_at, '{_UTC}') as uptime_reporting_start,
            strftime(window_ends_at - interval '1' second, '{_UTC}') as uptime_reporting_end,
            case when has_full_year then cast(cast(round(greatest(
                0, 100 * (525600 - (total_outage - total_outage_excl)) / 525600::decimal(18, 6)
            ), 2) as decimal(18, 2)) as varchar) end as uptime,
            cast(total_outage as varchar) as total_outage,
            cast(total_outage_excl as varchar) as total_outage_excl
        from totals
        order by station_id, port_id, period_end
        """
    )


def _compare_with_marts(source: Source, report: Report) -> None:
    """Compare the totals with the SLA mart, and note what a reader must know of the windows."""
    # 0.005 minutes an outage is what rounding can do
    wrong = source.rows(
        """
        select port_id, period_end, total_outage, down_s, total_outage_excl, excluded_s
        from totals
        where
            abs(total_outage - down_s / 60) > 0.005 * outage_count + 0.001
            or abs(total_outage_excl - excluded_s / 60) > 0.005 * outage_count + 0.001
        order by all
        """
    )
    for port_id, period_end, minutes, down_s, excluded, excluded_s in wrong:
        report.problems.append(
            Problem(
                "module_3.csv",
                None,
                "total_outage",
                f"{minutes} ({excluded} excluded)",
                f"port {port_id}, twelve months to {period_end}: the outages make other minutes than the SLA figures "
                f"({down_s / 60:.2f}, {excluded_s / 60:.2f} excluded)",
            )
        )
    young = [port for (port,) in source.rows("select distinct port_id from totals where not has_full_year order by 1")]
    if young:
        report.notes.append(f"uptime is blank for ports in service for less than the window: {_listed(young)}")
    undated = [port for (port,) in source.rows("select port_id from ports where commissioned_at is null order by 1")]
    if undated:
        report.warnings.append(
            f"no date of commissioning is known, so uptime is told for the whole year: {_listed(undated)}"
        )
    missing = [
        port
        for (port,) in source.rows(
            "select port_id from ports where port_id not in (select port_id from totals) order by 1"
        )
    ]
    if missing:
        report.warnings.append(f"no twelve months that end in the quarter have figures for: {_listed(missing)}")
    (unknown,) = source.rows("select max(unknown_s / base_s), arg_max(port_id, unknown_s / base_s) from totals")
    if unknown[0]:
        report.facts["largest_unknown_share_percent"] = round(100 * unknown[0], 2)
        report.warnings.append(
            f"up to {100 * unknown[0]:.2f} % of a window is not known (port {unknown[1]}); the rule's fixed year counts it "
            "as up"
        )
    report.facts["windows"] = source.rows("select count(distinct period_end) from totals")[0][0]


def _outages(source: Source, period: Period, rules: Rules, report: Report) -> pl.DataFrame:
    """Module 4: a row per outage in the quarter, a row per port that had none."""
    source.keep(
        "quarter_pieces",
        "select * from pieces where local_quarter = $first_day",
        first_day=period.first_day,
    )
    source.keep("outages", _UNITED.format(pieces="quarter_pieces", group=""))
    count, excluded = source.rows("select count(*), count(*) filter (where is_excluded) from outages")[0]
    report.facts |= {"outages": count, "outages_excluded": excluded}
    return source.frame(
        f"""
        select
            ports.station_id,
            ports.network_provider,
            ports.port_id,
            strftime(outages.started_at, '{_UTC}') as outage_id,
            cast(outages.minutes as varchar) as outage_duration,
            upper(cast(outages.is_excluded as varchar)) as excluded_outage,
            '' as excluded_outage_reason,
            left(
                replace(outages.reason, '_', ' ') || coalesce(', ' || outages.exclusion_id, ''), 255
            ) as excluded_outage_notes
        from ports
        left join outages on ports.port_id = outages.port_id
        order by ports.station_id, ports.port_id, outages.started_at
        """
    )


def _disagreements(source: Source, period: Period, module_3: pl.DataFrame) -> list[Problem]:
    """Return where module 3 and module 4 do not add up: the last window's minutes are those of its four quarters."""
    if module_3.is_empty():
        return []
    wrong = source.rows(
        """
        with reported as (
            select port_id, sum(minutes) as minutes
            from outages
            group by port_id
        ),

        summed as (
            select window_outages.port_id, sum(window_outages.minutes) as minutes
            from window_outages
            where window_outages.period_end = $end_day and window_outages.local_quarter = $first_day
            group by window_outages.port_id
        )

        select port_id, reported.minutes, summed.minutes
        from reported
        full join summed using (port_id)
        where
            reported.minutes is distinct from summed.minutes
            and exists (select 1 from windows where windows.period_end = $end_day)
        order by port_id
        """,
        first_day=period.first_day,
        end_day=period.end_day,
    )
    return [
        Problem("module_4.csv", None, "outage_duration", f"{minutes}", f"port {port}: module 3 counts {summed} minutes")
        for port, minutes, summed in wrong
    ]


def _cost_year(period: Period) -> int:
    """The last calendar year that is over when the quarter ends."""
    return period.end_day.year - 1


def _keep_costs(source: Source, period: Period, rules: Rules, report: Report) -> None:
    """Keep the costs of the stations with the columns they go to; foreign money is a problem, unknown categories a warning."""
    costs = rules.more["costs"]
    places = [(name, column) for name, columns in costs["capital"].items() for column in columns]
    places += [(name, "maintenance_cost_total") for name in costs["maintenance"]]
    places += list(costs["grants"].items())
    places += [(name, "not_reported") for name in costs["not_reported"]]
    source.con.register("cost_places", pl.DataFrame(places, schema=["category", "place"], orient="row"))
    source.keep(
        "station_costs",
        """
        select
            stations.station_id,
            costs.cost_id,
            costs.local_year,
            costs.kind || '/' || lower(trim(costs.category)) as category,
            costs.amount_net,
            costs.currency,
            cost_places.place
        from marts.fct_cost_year as costs
        inner join (select distinct station_id from ports) as stations on costs.site_id = stations.station_id
        left join cost_places on costs.kind || '/' || lower(trim(costs.category)) = cost_places.category
        where costs.local_year < $end_day and costs.incurred_on < $end_day
        """,
        end_day=period.end_day,
    )
    foreign = source.rows(
        "select distinct station_id, cost_id, currency from station_costs where currency <> $currency "
        "and coalesce(place, '') <> 'not_reported' order by all",
        currency=rules.more["currency"],
    )
    for station_id, cost_id, currency in foreign:
        report.problems.append(
            Problem(
                "module_9.csv",
                None,
                "currency",
                currency,
                f"cost {cost_id} of station {station_id} must be in {rules.more['currency']}",
            )
        )
    unknown = source.rows(
        "select category, count(distinct cost_id), sum(amount_net) from station_costs where place is null "
        "group by category order by category"
    )
    for category, count, amount in unknown:
        report.warnings.append(
            f"{count} cost(s) of the category {category}, {amount:.2f} {rules.more['currency']} in all, belong to no "
            "column that is known: they are left out of modules 5 and 9 (pipelines/reports/rules/evchart.yml maps them)"
        )


def _maintenance(source: Source, period: Period, rules: Rules, report: Report) -> pl.DataFrame:
    """Module 5: maintenance and repair of each station in the last year that is over."""
    _keep_costs(source, period, rules, report)
    year = _cost_year(period)
    return source.frame(
        """
        select
            stations.station_id,
            stations.network_provider,
            '' as project_id,
            $year || '-01-01T00:00:00Z' as maintenance_report_start,
            $year || '-12-31T23:59:59Z' as maintenance_report_end,
            'FALSE' as caas,
            cast(cast(sum(costs.amount_net) filter (where costs.place = 'maintenance_cost_total') as decimal(18, 2)) as varchar)
                as maintenance_cost_total,
            cast(cast(
                coalesce(sum(costs.amount_net) filter (where costs.place = 'maintenance_cost_federal'), 0)
                as decimal(18, 2)
            ) as varchar) as maintenance_cost_federal,
            '' as maintenance_notes
        from (select distinct station_id, network_provider from ports) as stations
        left join station_costs as costs
            on stations.station_id = costs.station_id and costs.local_year = make_date($number, 1, 1)
        group by stations.station_id, stations.network_provider
        order by stations.station_id
        """,
        year=str(year),
        number=year,
    )


def _capital(source: Source, period: Period, rules: Rules, report: Report) -> pl.DataFrame:
    """Module 9: capital costs of each station up to the end of the quarter."""
    names = [
        column.name
        for column in rules.files["9"].columns
        if column.name.startswith(tuple(_PARTS)) and "_cost" in column.name
    ]
    totals = [name for name in names if name.endswith("_total")]
    breakdown = [name for name in names if not name.endswith(("_total", "_federal"))]
    sums = ",\n".join(
        f"coalesce(sum(amount_net) filter (where place = '{name}'), 0)::decimal(18, 2) as \"{name}\"" for name in names
    )
    source.keep(
        "capital",
        f"""
        select
            stations.station_id,
            stations.network_provider,
            {sums},
            coalesce(sum(amount_net) filter (where place = 'spread'), 0)::decimal(18, 2) as spread,
            count(*) filter (where {" or ".join(f"place = '{name}'" for name in totals)}) as cost_count
        from (select distinct station_id, network_provider from ports) as stations
        left join station_costs on stations.station_id = station_costs.station_id
        group by stations.station_id, stations.network_provider
        """,
    )
    _spread_grants(source, totals, report)
    cells = [
        f'case when capital.cost_count > 0 then cast(capital."{name}" as varchar) end as "{name}"'
        for name in [*totals, *breakdown]
    ] + [
        f'cast((capital."{name}" + coalesce(shares."{name}", 0))::decimal(18, 2) as varchar) as "{name}"'
        for name in names
        if name.endswith("_federal")
    ]
    return source.frame(
        f"""
        select
            capital.station_id,
            capital.network_provider,
            {", ".join(cells)}
        from capital
        left join grant_shares as shares on capital.station_id = shares.station_id
        order by capital.station_id
        """
    )


_PARTS = ("real_property", "equipment", "der", "dist_sys", "service")


def _spread_grants(source: Source, totals: list[str], report: Report) -> None:
    """Put each station's grants on its totals in proportion, to the cent: what rounding leaves goes to the largest."""
    long = " union all ".join(
        f"select station_id, spread, '{name.removesuffix('_total')}_federal' as place, "
        f'"{name}" - "{name.removesuffix("_total")}_federal" as room from capital'
        for name in totals
    )
    source.keep(
        "grant_parts",
        f"""
        with rooms as (
            select *, sum(room) over (partition by station_id) as all_room
            from ({long})
        ),

        cut as (
            select
                *,
                least(spread, all_room) as granted,
                floor(least(spread, all_room) * room / all_room * 100) / 100 as share
            from rooms
            where all_room > 0 and spread > 0 and room > 0
        )

        select
            station_id,
            place,
            (share + case
                when row_number() over (partition by station_id order by room desc, place) = 1
                    then granted - sum(share) over (partition by station_id)
                else 0
            end)::decimal(18, 2) as amount
        from cut
        """,
    )
    federal = [f"{name.removesuffix('_total')}_federal" for name in totals]
    sums = ", ".join(f"sum(amount) filter (where place = '{name}') as \"{name}\"" for name in federal)
    source.keep("grant_shares", f"select station_id, {sums} from grant_parts group by station_id")
    spread, over = source.rows(
        f"select count(*) filter (where spread > 0), count(*) filter (where spread > {' + '.join(totals)}) from capital"
    )[0]
    if spread:
        report.notes.append(
            f"grants of {spread} station(s) stand in the federal columns of module 9 in proportion to the totals, because "
            "the registry does not say what each grant paid for"
        )
    if over:
        report.warnings.append(
            f"the grants of {over} station(s) are more than their capital costs; the rest is left out"
        )


def due_on(period: Period) -> date:
    """Return the day a quarter's modules 2 to 4 are due: the end of the month after it."""
    end = period.end_day
    return date(end.year + end.month // 12, end.month % 12 + 1, 1)
