"""One CDR priced on the command line, by the models of the warehouse, with the reasons line by line.

The CDR goes the way of every delivered file (decoded into a lake of its own in a temporary folder) and through the same
SQL models; what is printed is read from what they built. Locations, tariffs and registry come from the user's home, so
that the answer is the one that a run gives.
"""

import json
import shutil
import tempfile
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import duckdb

from pipelines.home import Commit, Home, LakeWriter, content_hash
from pipelines.lake import ALL_TABLES
from pipelines.ocpi.decode import decode_file
from pipelines.pseudonym import create_macros
from pipelines.settings import Settings
from pipelines.warehouse.compiled import CompiledModels

_OF_THE_CDR = ("cdr", "cdr_dimension")
_OF_BOTH = ("tariff", "tariff_component")
_NAMES = {
    "RESERVATION_TIME": "reserved TIME",
    "RESERVATION_FLAT": "FLAT of the reservation",
}
_UNITS = {"ENERGY": "kWh", "FLAT": "", "RESERVATION_FLAT": ""}
_WEEK = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_BASIS = {"net": "prices before taxes", "gross": "prices with taxes in them", "untaxed": "no taxes"}
_SOURCES = {"cdr": "embedded in the CDR", "tariffs_module": "from the Tariffs module", "connector": "of the connector"}
_ANY = Decimal(999_999_999_998)  # bounds beyond it stand for none
Row = dict[str, Any]


class PriceError(ValueError):
    """The file holds nothing that can be priced; the message says why."""


def price_file(cdr_file: Path, *, tariff_file: Path | None, home: Home, settings: Settings) -> str:
    """Price the CDRs of a file and tell how.

    Args:
        cdr_file: A CDR as OCPI has it, or a list or response of several.
        tariff_file: Tariff to price by, instead of the CDR's own.
        home: Whose locations, registry and tariffs to look up; it may be empty.
        settings: Settings, for the default time zone and the policy for restrictions without data.

    Returns:
        The trace, as lines of text.

    Raises:
        PriceError: No CDR in the file can be read.
    """
    with tempfile.TemporaryDirectory() as folder:
        scratch = Home(Path(folder) / "home")
        scratch.prepare()
        landed = scratch.landing / "ocpi" / "cdrs" / cdr_file.name
        landed.parent.mkdir(parents=True, exist_ok=True)
        if tariff_file is None:
            shutil.copyfile(cdr_file, landed)
        else:
            landed = landed.with_suffix(".json")
            landed.write_text(_with_tariff(cdr_file, tariff_file), encoding="utf-8")
        with duckdb.connect() as con:
            con.execute("set TimeZone = 'UTC'")
            _decode(con, scratch, landed)
            models = CompiledModels(
                _sources(scratch, home, is_tariff_given=tariff_file is not None),
                environment={
                    "CHARGEHOUSE_DEFAULT_TIME_ZONE": settings.default_time_zone,
                    "CHARGEHOUSE_UNMEASURED_RESTRICTION": settings.unmeasured_restriction,
                },
            )
            wanted = ("int_audit_verdict", "fct_cdr_price_line", "dim_tariff")
            models.build(con, wanted, views=_staging(models, wanted))
            return "\n\n".join("\n".join(lines) for lines in _told(con, models))


def _decode(con: duckdb.DuckDBPyConnection, scratch: Home, landed: Path) -> None:
    create_macros(con, b"a CDR priced once")
    path = str(landed.relative_to(scratch.landing))
    commit = Commit(content_hash(landed), path, "ocpi", landed.stat().st_size, datetime.now(UTC).isoformat())
    writer = LakeWriter(scratch, con, commit)
    counts = decode_file(landed, writer=writer)
    if counts.loaded:
        return
    faults = con.sql(
        f"select distinct coalesce(column_name || ': ', '') || reason || coalesce(', expected ' || expected, '') as fault "
        f"from read_parquet('{scratch.lake}/quarantine/record/*.parquet', union_by_name = true)"
    ).fetchall()
    raise PriceError("; ".join(fault for (fault,) in faults) or commit.error or "the file holds no CDR")


def _sources(scratch: Home, home: Home, *, is_tariff_given: bool) -> Callable[[str, str], str]:
    """Return what stands behind ``from`` for a lake table: the CDR from the scratch lake, the rest from the home."""
    folders = {table.key: scratch.table_folder(table) for table in ALL_TABLES}
    own = {
        table.key: home.table_folder(table) for table in ALL_TABLES if any(home.table_folder(table).glob("*.parquet"))
    }

    def files(folder: Path) -> str:
        return f"read_parquet('{folder}/*.parquet', union_by_name = true)"

    def source(domain: str, table: str) -> str:
        key = f"{domain}/{table}"
        if (table in _OF_THE_CDR and domain == "ocpi") or key not in own:
            return files(folders[key])
        if table in _OF_BOTH and domain == "ocpi":
            if is_tariff_given:
                return files(folders[key])
            module = f"select * from {files(own[key])} where embedded_in_cdr_id is null"
            return f"(select * from {files(folders[key])} union all by name {module})"
        return files(own[key])

    return source


def _staging(models: CompiledModels, wanted: tuple[str, ...]) -> list[str]:
    return [name for name in models.in_order(wanted) if name.startswith("stg_")]


def _with_tariff(cdr_file: Path, tariff_file: Path) -> str:
    """Return the CDRs with another tariff in them; numbers keep every digit, as texts."""
    cdrs = json.loads(cdr_file.read_text(encoding="utf-8-sig"), parse_float=str)
    tariff = json.loads(tariff_file.read_text(encoding="utf-8-sig"), parse_float=str)
    tariff = tariff.get("data", tariff) if isinstance(tariff, dict) else tariff
    if isinstance(cdrs, dict):
        cdrs = cdrs.get("data", cdrs)
    cdrs = cdrs if isinstance(cdrs, list) else [cdrs]
    for cdr in cdrs:
        cdr["tariffs"] = tariff if isinstance(tariff, list) else [tariff]
        for period in cdr.get("charging_periods") or []:
            period.pop("tariff_id", None)
    return json.dumps(cdrs)


# -- what is told --------------------------------------------------------------------------------------------------


def _rows(con: duckdb.DuckDBPyConnection, sql: str) -> list[Row]:
    result = con.sql(sql)
    names = result.columns
    return [dict(zip(names, row, strict=True)) for row in result.fetchall()]


def _told(con: duckdb.DuckDBPyConnection, models: CompiledModels) -> Iterator[list[str]]:
    """Yield the lines of each CDR."""
    cdrs = _rows(
        con,
        """
        select
            c.*, p.status, p.reason, p.time_zone, p.named_time_zone, p.time_zone_source, p.tariff_source,
            p.is_tariff_valid_at_start, p.has_periods_out_of_order, p.is_unused_reservation,
            t.repriced_net, t.repriced_gross, t.lines_net, t.min_price_net, t.min_price_gross, t.max_price_net,
            t.max_price_gross, l.tariff_id, l.price_basis, l.last_updated_at as tariff_updated_at,
            v.audit_verdict, v.audit_reason, v.expected_net, v.expected_gross, v.rounding_id
        from stg_ocpi__cdrs as c
        inner join int_price_cdr as p on c.cdr_key = p.cdr_key
        inner join int_price_cdr_total as t on c.cdr_key = t.cdr_key
        inner join int_audit_verdict as v on c.cdr_key = v.cdr_key
        left join int_price_list as l on p.price_list_number = l.price_list_number
        order by c.record_number
        """,
    )
    asked: dict[str, list[Row]] = {}
    for row in _rows(con, models.sql("price_trace")):
        asked.setdefault(row["cdr_key"], []).append(row)
    for cdr in cdrs:
        lines = [*_head(cdr)]
        if cdr["status"] == "priced":
            lines += [*_periods(cdr, asked.get(cdr["cdr_key"], [])), *_limits(cdr)]
        yield [*lines, *_totals(cdr)]


def _money(amount: Decimal | None) -> str:
    return "unknown" if amount is None else f"{amount:.4f}"


def _plain(number: Decimal) -> str:
    text = f"{number:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def _head(cdr: Row) -> Iterator[str]:
    party = "*".join(filter(None, (cdr["country_code"], cdr["party_id"])))
    yield f"CDR {cdr['cdr_id']}, OCPI {cdr['ocpi_version']}{', ' + party if party else ''}, {cdr['currency']}"
    zone = cdr["time_zone"] or f"{cdr['named_time_zone']} (no such zone)"
    local = ZoneInfo(cdr["time_zone"] or "UTC")
    started, ended = (cdr[name].astimezone(local) for name in ("started_at", "ended_at"))
    where = {
        "registry": "of the registry",
        "cdr": "of the CDR",
        "location": "of its Location",
        "fallback": "by default",
    }
    yield f"  {started:%a %Y-%m-%d %H:%M:%S} to {ended:%a %Y-%m-%d %H:%M:%S}, {zone} {where[cdr['time_zone_source']]}"
    if cdr["defects"]:
        yield f"  noted: {cdr['defects'].replace(' ', ', ').replace(':', ' ')}"
    if cdr["tariff_id"]:
        valid = "" if cdr["is_tariff_valid_at_start"] else ", NOT valid when the session began"
        yield f"  tariff {cdr['tariff_id']}, {_SOURCES[cdr['tariff_source']]}, {_BASIS[cdr['price_basis']]}{valid}"
    if cdr["has_periods_out_of_order"]:
        yield "  the periods were sent in another order than that of their start; they are priced in order"


def _periods(cdr: Row, rows: list[Row]) -> Iterator[str]:
    """Tell every quantity of every period: which element prices it, and why those before it do not."""
    zone = ZoneInfo(cdr["time_zone"])
    flats = {row["price_kind"] for row in rows if row["is_chosen"] and row["price_kind"].endswith("FLAT")}
    has_priced_parking = any(row["is_chosen"] and row["price_kind"] == "PARKING_TIME" for row in rows)
    last_priced = {row["price_kind"]: row["period_rank"] for row in rows if row["is_chosen"]}
    seen = 0
    groups: dict[tuple[int, str], list[Row]] = {}
    for row in rows:
        groups.setdefault((row["period_rank"], row["price_kind"]), []).append(row)
    for (rank, kind), offered in groups.items():
        first = offered[0]
        if kind.endswith("FLAT") and not any(row["is_chosen"] for row in offered) and (kind in flats or rank > 1):
            continue  # charged in another period, or told in the first one that there is none
        if kind.endswith("FLAT") and first["lookup_rank"] is None:
            continue  # the tariff has none at all
        if rank != seen:
            seen = rank
            at = datetime.fromtimestamp(first["started_s"], UTC).astimezone(zone)
            state = f"{_plain(first['energy_before_kwh'])} kWh and {timedelta(seconds=first['elapsed_s'])} before it"
            yield f"period {first['period_number']}  {at:%a %Y-%m-%d %H:%M:%S}, {state}"
        yield from _quantity(kind, offered, has_priced_parking, is_last=last_priced.get(kind) == rank)


def _quantity(kind: str, offered: list[Row], has_priced_parking: bool, *, is_last: bool) -> Iterator[str]:
    first = offered[0]
    unit = _UNITS.get(kind, "h")
    quantity = "" if not unit else f" {_plain(first['quantity'])} {unit}"
    name = _NAMES.get(kind, kind)
    chosen = next((row for row in offered if row["is_chosen"]), None)
    if chosen is None:
        why = (
            "no element has a price for it"
            if first["lookup_rank"] is None
            else "no element with a price for it applies"
        )
        yield f"  {name}{quantity}: free, {why}"
    else:
        price = f"{_plain(chosen['unit_price'])}{' per ' + unit if unit else ''}"
        vat = "" if chosen["vat_percent"] is None else f", VAT {_plain(chosen['vat_percent'])} %"
        billed = f" x {_plain(chosen['billed_quantity'])} {unit}" if unit else ""
        amount = _plain(chosen["amount"]) if chosen["amount"] is not None else "no possible amount"
        yield f"  {name}{quantity}: element {chosen['element_number']}, {price}{billed} = {amount}{vat}"
    for row in offered:
        if row is chosen or row["lookup_rank"] is None:
            break
        yield f"    not element {row['element_number']}: {'; '.join(_failures(row))}"
    if chosen is None:
        return
    if not unit:
        yield "    once per session" if kind == "FLAT" else "    once per reservation"
    elif is_last:
        yield f"    {_stepped(kind, chosen, has_priced_parking)}"
    if chosen["restriction_unverifiable"]:
        yield "    the element is restricted in current or power, which the period does not tell: taken as met"
    if chosen["period_spans_price_change"]:
        yield "    another price begins before the period ends, where OCPI asks for a new period: priced as it begins"


def _stepped(kind: str, row: Row, has_priced_parking: bool) -> str:
    """Tell what step_size made of the session's total."""
    step = row["step_size"]
    if step is None:
        return "no step_size: the quantity is billed as it is"
    if kind == "ENERGY":
        before, after, unit = row["session_quantity"] * 1000, row["session_billed_quantity"] * 1000, "Wh"
    else:
        before, after, unit = row["session_quantity"] * 3600, row["session_billed_quantity"] * 3600, "s"
    if kind == "TIME" and has_priced_parking:
        return f"step_size {step} {unit} is left out: parking is paid for, and of the two only parking is rounded"
    before, after = (
        _plain(number.quantize(Decimal("0.001") if unit == "Wh" else Decimal(1))) for number in (before, after)
    )
    if before == after:
        return f"step_size {step} {unit}: the session's {before} {unit} are whole steps"
    return f"step_size {step} {unit}: the session's {before} {unit} become {after} {unit}, the rest at this price"


def _bounds(low: Decimal, high: Decimal, unit: str) -> str:
    texts = [f"from {_plain(Decimal(low))}"] if low > -_ANY and low > -1 else []
    texts += [f"below {_plain(Decimal(high))}"] if high < _ANY else []
    return f"{' '.join(texts)} {unit}"


def _clock(seconds: int) -> str:
    return f"{seconds // 3600 % 24:02}:{seconds % 3600 // 60:02}"


def _day(number: int) -> date:
    return date(1970, 1, 1) + timedelta(days=number)


def _failures(row: Row) -> Iterator[str]:
    """Yield the restrictions of an element that do not hold, each with what the period has instead."""
    if not row["does_clock_hold"]:
        window = f"{_clock(row['window_from_s'])} to {_clock(row['window_from_s'] + row['window_length_s'])}"
        yield f"start_time, end_time: {window}, the clock shows {timedelta(seconds=row['start_clock_s'])}"
    if not row["does_week_hold"]:
        days = " ".join(name for bit, name in enumerate(_WEEK) if row["day_mask"] >> bit & 1)
        yield f"day_of_week: {days}, it is {_day(row['start_day_number']):%a}"
    if not row["does_date_hold"]:
        first = f"from {_day(row['first_day_number'])} " if row["first_day_number"] > -1_000_000 else ""
        until = f"before {_day(row['end_day_number'])}" if row["end_day_number"] < 10_000_000 else ""
        yield f"start_date, end_date: {first}{until}".rstrip() + f", it is {_day(row['start_day_number'])}"
    if not row["does_energy_hold"]:
        yield (
            f"min_kwh, max_kwh: {_bounds(row['min_kwh'], row['max_kwh'], 'kWh')}, "
            f"it is {_plain(row['energy_before_kwh'])} kWh so far"
        )
    if not row["does_duration_hold"]:
        bounds = _bounds(Decimal(row["min_duration_s"]), Decimal(row["max_duration_s"]), "s")
        yield f"min_duration, max_duration: {bounds}, it is {row['elapsed_s']} s so far"
    for kind, unit in (("current", "A"), ("power", "kW")):
        if not row[f"does_{kind}_hold"]:
            suffix = "a" if kind == "current" else "kw"
            low, high = row[f"lowest_{kind}_{suffix}"], row[f"highest_{kind}_{suffix}"]
            bounds = _bounds(row[f"min_{kind}_{suffix}"], row[f"max_{kind}_{suffix}"], unit)
            found = "the period tells none" if low is None else f"it is {_plain(low)} to {_plain(high)} {unit}"
            yield f"min_{kind}, max_{kind}: {bounds}, {found}"


def _limits(cdr: Row) -> Iterator[str]:
    for name, net, gross in (
        ("min_price", cdr["min_price_net"], cdr["min_price_gross"]),
        ("max_price", cdr["max_price_net"], cdr["max_price_gross"]),
    ):
        if net or gross:
            yield f"{name} changes the total by {_money(net)} before and {_money(gross)} after taxes"


def _totals(cdr: Row) -> Iterator[str]:
    """Tell the totals beside the CDR's own."""
    if cdr["status"] != "priced":
        yield f"not priced: {cdr['audit_reason'] or cdr['reason']}"
        return
    yield f"{'':12}{'before taxes':>14}{'after taxes':>14}"
    yield f"{'by tariff':12}{_money(cdr['repriced_net']):>14}{_money(cdr['repriced_gross']):>14}"
    yield f"{'in the CDR':12}{_money(cdr['total_cost_net']):>14}{_money(cdr['total_cost_gross']):>14}"
    off = [
        None if stated is None or priced is None else stated - priced
        for stated, priced in (
            (cdr["total_cost_net"], cdr["repriced_net"]),
            (cdr["total_cost_gross"], cdr["repriced_gross"]),
        )
    ]
    yield f"{'difference':12}{_money(off[0]):>14}{_money(off[1]):>14}"
    reason = f" ({cdr['audit_reason']})" if cdr["audit_reason"] else ""
    rounded = f", rounded as `{cdr['rounding_id']}`" if cdr["audit_verdict"] == "match" else ""
    yield f"verdict: {cdr['audit_verdict']}{reason}{rounded}"
