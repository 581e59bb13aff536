"""What the registry files must look like: their columns, kinds of value, keys and cross-checks.

The columns are the public contract of the registry (README, "Registry files"); the lake tables they go to are
``pipelines.lake.REGISTRY_TABLES``. A kind turns a column of text into values in one vectorised step and leaves null
where the text is wrong; its ``expected`` is what the quarantine then tells the user.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from importlib.resources import files
from zoneinfo import available_timezones

import polars as pl

from pipelines.lake import REGISTRY_TABLES, LakeTable

# Active codes of ISO 4217 (2026), and those replaced since 2015 that older registries still hold: BGN, BYR, HRK, LTL,
# MRO, SLL, STD, VEF, ZMK.
_CODES = (
    "AED AFN ALL AMD ANG AOA ARS AUD AWG AZN BAM BBD BDT BGN BHD BIF BMD BND BOB BOV BRL BSD BTN BWP BYN BYR BZD CAD "
    "CDF CHE CHF CHW CLF CLP CNY COP COU CRC CUP CVE CZK DJF DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD "
    "GNF GTQ GYD HKD HNL HRK HTG HUF IDR ILS INR IQD IRR ISK JMD JOD JPY KES KGS KHR KMF KPW KRW KWD KYD KZT LAK LBP "
    "LKR LRD LSL LTL LYD MAD MDL MGA MKD MMK MNT MOP MRO MRU MUR MVR MWK MXN MXV MYR MZN NAD NGN NIO NOK NPR NZD OMR "
    "PAB PEN PGK PHP PKR PLN PYG QAR RON RSD RUB RWF SAR SBD SCR SDG SEK SGD SHP SLE SLL SOS SRD SSP STD STN SVC SYP "
    "SZL THB TJS TMT TND TOP TRY TTD TWD TZS UAH UGX USD USN UYI UYU UYW UZS VED VEF VES VND VUV WST XAF XCD XCG XOF "
    "XPF YER ZAR ZMK ZMW ZWG "
)
CURRENCIES = frozenset(_CODES.split())

PORT_STATES = (
    "available",
    "occupied",
    "charging",
    "suspended_ev",
    "suspended_evse",
    "reserved",
    "unavailable",
    "faulted",
)
EXCLUSION_REASONS = (
    "scheduled_maintenance",
    "utility_interruption",
    "vandalism",
    "natural_disaster",
    "vehicle_fault",
    "telecom",
    "other",
)


@cache
def countries() -> frozenset[str]:
    """Return the ISO 3166 alpha-2 country codes, from the table that comes with the time zone database."""
    table = files("tzdata").joinpath("zoneinfo", "iso3166.tab").read_text(encoding="utf-8")
    return frozenset(line.split("\t")[0] for line in table.splitlines() if line and not line.startswith("#"))


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of value.

    Attributes:
        reason: Short code given to a wrong value.
        expected: What a right value looks like, in words.
        parse: Turns text (trimmed, null where empty) into values; null where the text is wrong.
    """

    reason: str
    expected: str
    parse: Callable[[pl.Series], pl.Series]


def _by_distinct(function: Callable[[str], str | int | None]) -> Callable[[pl.Series], pl.Series]:
    """Apply a function once to each distinct text: for rules that no vectorised expression says."""

    def parse(text: pl.Series) -> pl.Series:
        distinct = text.drop_nulls().unique()
        results = {value: function(value) for value in distinct}
        whole_numbers = any(isinstance(result, int) for result in results.values())
        kind = pl.Int64 if whole_numbers else pl.String
        return text.replace_strict(list(results), list(results.values()), default=None, return_dtype=kind)

    return parse


def _matching(pattern: str) -> Callable[[pl.Series], pl.Series]:
    return lambda text: text.set(~text.str.contains(f"^(?:{pattern})$").fill_null(value=True), None)


def _one_of_later(values: Callable[[], Iterable[str]]) -> Callable[[pl.Series], pl.Series]:
    """As :func:`_one_of`, for lists that are read from files: not at import."""

    def parse(text: pl.Series) -> pl.Series:
        return _one_of(values())(text)

    return parse


def _one_of(values: Iterable[str]) -> Callable[[pl.Series], pl.Series]:
    known = pl.Series(list(values), dtype=pl.String)
    return lambda text: text.set(~text.is_in(known.implode()).fill_null(value=True), None)


def one_of(*values: str) -> Kind:
    """One of the given words, spelled as they are."""
    return Kind("unknown_value", f"one of {', '.join(values)}", _one_of(values))


def number(
    minimum: str | None = None, maximum: str | None = None, *, decimals: int = 6, exclusive: bool = False
) -> Kind:
    """A decimal number with a point, kept as text so that no binary fraction touches it.

    Args:
        minimum: Least value, if any.
        maximum: Greatest value, if any.
        decimals: Most digits after the point.
        exclusive: Whether ``minimum`` itself is too small.
    """
    digits = f"[+-]?[0-9]{{1,12}}(?:\\.[0-9]{{1,{decimals}}})?" if decimals else "[+-]?[0-9]{1,9}"
    matching = _matching(digits)

    def parse(text: pl.Series) -> pl.Series:
        shaped = matching(text)
        value = shaped.str.strip_prefix("+").cast(pl.Decimal(38, max(decimals, 1)))
        wrong = pl.Series([False]).new_from_index(0, len(text))
        if minimum is not None:
            least = Decimal(minimum)
            wrong |= (value <= least if exclusive else value < least).fill_null(value=False)
        if maximum is not None:
            wrong |= (value > Decimal(maximum)).fill_null(value=False)
        return shaped.set(wrong, None)

    bounds = "".join(
        (
            f" {'above' if exclusive else 'from'} {minimum}" if minimum is not None else "",
            f" up to {maximum}" if maximum is not None else "",
        )
    )
    shape = f"a number{bounds}, with a point and at most {decimals} decimals" if decimals else f"a whole number{bounds}"
    return Kind("bad_number", shape, parse)


def _date(text: pl.Series) -> pl.Series:
    return _matching(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")(text).str.to_date("%Y-%m-%d", strict=False)


def _month(text: pl.Series) -> pl.Series:
    shaped = _matching(r"[0-9]{4}-[0-9]{2}(?:-01)?")(text)
    return (shaped.str.slice(0, 7) + "-01").str.to_date("%Y-%m-%d", strict=False)


_INSTANT = (
    r"^(?<date>[0-9]{4}-[0-9]{2}-[0-9]{2})"
    r"(?:[T ](?<clock>[0-9]{2}:[0-9]{2})(?<second>:[0-9]{2})?(?<part>\.[0-9]{1,6})?[0-9]*"
    r"\ ?(?<offset>[Zz]|(?<sign>[+-])(?<hours>[0-9]{2})(?::?(?<minutes>[0-9]{2}))?)?)?$"
).replace(r"\ ", " ")


def _instant(text: pl.Series) -> pl.Series:
    """Return structs of `utc` (where the text names an offset) and `local` (where it does not)."""
    frame = (
        text.to_frame("text")
        .select(pl.col("text").str.extract_groups(_INSTANT))
        .unnest("text")
        .with_columns(
            # A fraction without seconds (10:00.5) is no ISO time.
            is_wrong=pl.col("part").is_not_null() & pl.col("second").is_null(),
            wall=(
                pl.col("date")
                + "T"
                + pl.col("clock").fill_null("00:00")
                + pl.col("second").fill_null(":00")
                + pl.col("part").fill_null(".0")
            ).str.to_datetime("%Y-%m-%dT%H:%M:%S%.f", time_unit="us", strict=False),
            hours=pl.col("hours").cast(pl.Int64).fill_null(0),
            minutes=pl.col("minutes").cast(pl.Int64).fill_null(0),
        )
        .with_columns(
            wall=pl.when(~pl.col("is_wrong") & (pl.col("hours") < 24) & (pl.col("minutes") < 60)).then(pl.col("wall")),
            ahead=pl.duration(hours="hours", minutes="minutes"),
        )
        .with_columns(
            utc=pl.when(pl.col("offset").is_not_null())
            .then(
                pl.when(pl.col("sign") == "-")
                .then(pl.col("wall") + pl.col("ahead"))
                .otherwise(pl.col("wall") - pl.col("ahead"))
            )
            .dt.replace_time_zone("UTC"),
            local=pl.when(pl.col("offset").is_null()).then(pl.col("wall")),
        )
        .select(
            value=pl.when(pl.col("wall").is_not_null()).then(pl.struct("utc", "local")),
        )
    )
    return frame["value"]


def _weekdays(text: str) -> str | None:
    """Return ISO weekdays such as `1-5` or `1,3,6-7` as digits in order; None if wrong."""
    days: set[int] = set()
    for part in text.replace(",", " ").split():
        first, dash, last = part.partition("-")
        if dash and len(first) == len(last) == 1 and first in "1234567" and last in "1234567" and first <= last:
            days |= set(range(int(first), int(last) + 1))
        elif not dash and all(day in "1234567" for day in part):
            days |= {int(day) for day in part}
        else:
            return None
    return "".join(str(day) for day in sorted(days)) or None


def _clock(text: str) -> str | None:
    """Return `HH:MM[:SS]` as `HH:MM:SS`; 24:00 is the beginning of the next day, which is 00:00. None if wrong."""
    parts = text.split(":")
    if len(parts) not in (2, 3) or not all(len(part) == 2 and part.isascii() and part.isdigit() for part in parts):
        return None
    hour, minute, second = (int(part) for part in (*parts, "00")[:3])
    if (hour, minute, second) == (24, 0, 0):
        hour = 0
    return f"{hour:02}:{minute:02}:{second:02}" if hour < 24 and minute < 60 and second < 60 else None


def _ratio_or_percent(text: str) -> str | None:
    """Return a threshold as a ratio: up to 1 as it is, above 1 it is percent. None if it is neither."""
    shaped = _matching(r"[0-9]{1,3}(?:\.[0-9]{1,6})?")(pl.Series([text]))[0]
    if shaped is None or not 0 < Decimal(shaped) <= 100:
        return None
    value = Decimal(shaped)
    return str(value if value <= 1 else value / 100)


_EXCLUSION_RULE = r"[a-z_]+(?::evidence)?(?::automatic)?(?::incident=[0-9]{1,7})?(?::year=[0-9]{1,7})?"


def _exclusion_rules(text: str) -> str | None:
    """Return exclusion rules with single spaces; None where one is misspelled or names an unknown reason."""
    known = {*EXCLUSION_REASONS, "outside_open_hours"}
    rules = text.split()
    shaped = _matching(_EXCLUSION_RULE)(pl.Series(rules))
    reasons = [rule.split(":")[0] for rule in rules]
    whole = shaped.null_count() == 0 and set(reasons) <= known and len(set(reasons)) == len(reasons)
    return " ".join(rules) if whole else None


def _boolean(text: pl.Series) -> pl.Series:
    return text.str.to_lowercase().replace_strict(
        ["true", "false", "yes", "no", "1", "0"],
        ["true", "false", "true", "false", "true", "false"],
        default=None,
        return_dtype=pl.String,
    )


TEXT = Kind("bad_text", "text", lambda text: text)
CURRENCY = Kind("unknown_currency", "an ISO 4217 currency code such as EUR", _one_of(CURRENCIES))
COUNTRY = Kind("unknown_country", "an ISO 3166 country code of two letters such as NL", _one_of_later(countries))
TIME_ZONE = Kind(
    "unknown_time_zone",
    "an IANA time zone such as Europe/Amsterdam",
    _one_of_later(lambda: available_timezones() - {"localtime", "Factory", "posixrules"}),
)
EMAIL = Kind(
    "bad_email",
    "an e-mail address such as name@example.org",
    _matching(r"[^@\s;,<>\"]+@[A-Za-z0-9.\-]+\.[A-Za-z]{2,}"),
)
PARTY = Kind("bad_party", "an OCPI party as country*party, such as NL*ABC", _matching(r"[A-Za-z]{2}\*[A-Za-z0-9]{3}"))
CONNECTORS = Kind(
    "bad_connector_ids",
    "connector ids (1.6) or EVSE/connector (2.x) from 1, several split by a space, such as 1 or 1/1 1/2",
    lambda text: _matching(r"[1-9][0-9]{0,8}(?:/[1-9][0-9]{0,8})?(?: [1-9][0-9]{0,8}(?:/[1-9][0-9]{0,8})?)*")(
        text.str.replace_all(r"\s+", " ")
    ),
)
DATE = Kind("bad_date", "a date as YYYY-MM-DD", _date)
MONTH = Kind("bad_date", "a month as YYYY-MM or its first day as YYYY-MM-01", _month)
INSTANT = Kind(
    "bad_time",
    "a date or time as YYYY-MM-DD[THH:MM[:SS]], with an offset (Z, +02:00) or on the site's clock",
    _instant,
)
CLOCK = Kind("bad_time", "a time of day as HH:MM, 00:00 to 24:00", _by_distinct(_clock))
WEEKDAYS = Kind(
    "bad_days", "ISO weekdays 1 (Monday) to 7 as a range or list, such as 1-5 or 1,3,6-7", _by_distinct(_weekdays)
)
AMOUNT = number()
PRICE = number("0")
SHARE = number("0", "1")
COUNT = number("0", decimals=0)
BOOLEAN = Kind("bad_boolean", "true or false", _boolean)
THRESHOLD = Kind(
    "bad_number", "a percentage such as 97.0, or a ratio up to 1 such as 0.97", _by_distinct(_ratio_or_percent)
)
CODES = Kind(
    "bad_codes",
    "error codes split by a space, such as CX008 CX009",
    lambda text: text.str.replace_all(r"[\s,\[\]\"']+", " ").str.strip_chars(),
)
EXCLUSIONS = Kind(
    "bad_exclusions",
    "reasons split by a space, each as reason[:evidence][:automatic][:incident=minutes][:year=minutes], of "
    + ", ".join((*EXCLUSION_REASONS, "outside_open_hours")),
    _by_distinct(_exclusion_rules),
)
TREATMENT = one_of("up", "down", "exclude")


@dataclass(frozen=True, slots=True)
class Field:
    """One column of a registry file."""

    name: str
    kind: Kind
    required: bool = False


@dataclass(frozen=True, slots=True)
class RegistryFile:
    """One registry file.

    Attributes:
        name: File name without ``.csv``.
        table: Its lake table.
        key: Columns that together occur once in the file.
        fields: Its columns.
        ordered: Pairs of columns (earlier, later) of which the second must not lie before the first.
        strictly: Whether the second must lie after the first.
    """

    name: str
    table: LakeTable
    key: tuple[str, ...]
    fields: tuple[Field, ...]
    ordered: tuple[tuple[str, str], ...] = ()
    strictly: bool = True

    @property
    def field_names(self) -> tuple[str, ...]:
        """Names of its columns."""
        return tuple(field.name for field in self.fields)


_TABLES = {table.name: table for table in REGISTRY_TABLES}


def _fields(columns: Mapping[str, Kind]) -> tuple[Field, ...]:
    return tuple(Field(name.rstrip("*"), kind, name.endswith("*")) for name, kind in columns.items())


_FILES = (
    RegistryFile(
        "owners",
        _TABLES["owner"],
        ("owner_id",),
        _fields({"owner_id*": TEXT, "name*": TEXT, "country_code": COUNTRY, "currency*": CURRENCY, "email": EMAIL}),
    ),
    RegistryFile(
        "operators",
        _TABLES["operator"],
        ("operator_id",),
        _fields({"operator_id*": TEXT, "name*": TEXT, "ocpi_party": PARTY}),
    ),
    RegistryFile(
        "emsps",
        _TABLES["emsp"],
        ("emsp_id",),
        _fields(
            {
                "emsp_id*": TEXT,
                "name*": TEXT,
                "ocpi_party": PARTY,
                "roaming_fee_per_kwh": PRICE,
                "roaming_fee_per_session": PRICE,
                "currency": CURRENCY,
            }
        ),
    ),
    RegistryFile(
        "sites",
        _TABLES["site"],
        ("site_id",),
        _fields(
            {
                "site_id*": TEXT,
                "name*": TEXT,
                "owner_id*": TEXT,
                "operator_id*": TEXT,
                "time_zone*": TIME_ZONE,
                "country_code*": COUNTRY,
                "currency*": CURRENCY,
                "latitude": number("-90", "90", decimals=15),
                "longitude": number("-180", "180", decimals=15),
                "address": TEXT,
                "city": TEXT,
                "postal_code": TEXT,
                "opening_hours": TEXT,
                "grid_connection_kw": number("0", decimals=3),
                "ocpi_location_id": TEXT,
            }
        ),
    ),
    RegistryFile(
        "stations",
        _TABLES["station"],
        ("station_id",),
        _fields(
            {
                "station_id*": TEXT,
                "site_id*": TEXT,
                "vendor": TEXT,
                "model": TEXT,
                "serial_number": TEXT,
                "commissioned_on": DATE,
                "decommissioned_on": DATE,
                "warranty_until": DATE,
            }
        ),
        ordered=(("commissioned_on", "decommissioned_on"),),
        strictly=False,
    ),
    RegistryFile(
        "ports",
        _TABLES["port"],
        ("port_id",),
        _fields(
            {
                "port_id*": TEXT,
                "station_id*": TEXT,
                "ocpp_connector_ids*": CONNECTORS,
                "ocpi_evse_uid": TEXT,
                "power_type*": one_of("AC", "DC"),
                "max_power_kw*": number("0", decimals=3, exclusive=True),
                "connector_standards": TEXT,
                "commissioned_at": INSTANT,
                "decommissioned_at": INSTANT,
                "funding": TEXT,
            }
        ),
        ordered=(("commissioned_at", "decommissioned_at"),),
        strictly=False,
    ),
    RegistryFile(
        "contracts",
        _TABLES["contract"],
        ("contract_id",),
        _fields(
            {
                "contract_id*": TEXT,
                "site_id*": TEXT,
                "station_id": TEXT,
                "owner_id*": TEXT,
                "operator_id*": TEXT,
                "valid_from*": DATE,
                "valid_to": DATE,
                "sla_policy_id*": TEXT,
                "sla_target_ratio": SHARE,
                "sla_credit_per_percent_point": PRICE,
                "owner_share_ratio": SHARE,
                "share_basis": one_of("gross_revenue", "net_margin"),
                "operator_fee_per_kwh": PRICE,
                "operator_fee_per_session": PRICE,
                "operator_fee_per_port_month": PRICE,
                "minimum_guarantee_per_month": PRICE,
                "energy_compensation_per_kwh": PRICE,
                "currency*": CURRENCY,
            }
        ),
        ordered=(("valid_from", "valid_to"),),
    ),
    RegistryFile(
        "costs",
        _TABLES["cost"],
        ("cost_id",),
        _fields(
            {
                "cost_id*": TEXT,
                "site_id*": TEXT,
                "station_id": TEXT,
                "kind*": one_of("capex", "opex", "grant", "credit"),
                "category*": TEXT,
                "amount*": AMOUNT,
                "currency*": CURRENCY,
                "incurred_on*": DATE,
                "recurs": one_of("once", "monthly", "yearly"),
                "ends_on": DATE,
            }
        ),
        ordered=(("incurred_on", "ends_on"),),
        strictly=False,
    ),
    RegistryFile(
        "energy_prices",
        _TABLES["energy_price"],
        ("site_id", "valid_from", "days", "from_time"),
        _fields(
            {
                "site_id*": TEXT,
                "valid_from*": DATE,
                "valid_to": DATE,
                "days": WEEKDAYS,
                "from_time": CLOCK,
                "to_time": CLOCK,
                "price_per_kwh*": AMOUNT,  # wholesale prices may be negative
                "demand_charge_per_kw_month": PRICE,
                "demand_ratchet_ratio": SHARE,
                "fixed_fee_per_month": PRICE,
                "price_series_id": TEXT,
                "currency*": CURRENCY,
            }
        ),
        ordered=(("valid_from", "valid_to"),),
    ),
    RegistryFile(
        "hourly_prices",
        _TABLES["hourly_price"],
        ("price_series_id", "started_at"),
        _fields({"price_series_id*": TEXT, "started_at*": INSTANT, "price_per_kwh*": AMOUNT, "currency*": CURRENCY}),
    ),
    RegistryFile(
        "exclusions",
        _TABLES["exclusion"],
        ("exclusion_id",),
        _fields(
            {
                "exclusion_id*": TEXT,
                "scope*": one_of("port", "station", "site"),
                "scope_id*": TEXT,
                "started_at*": INSTANT,
                "ended_at*": INSTANT,
                "reason*": one_of(*EXCLUSION_REASONS),
                "evidence": TEXT,
                "approved_by": TEXT,
            }
        ),
        ordered=(("started_at", "ended_at"),),
    ),
    RegistryFile(
        "sla_policies",
        _TABLES["sla_policy"],
        ("policy_id",),
        _fields(
            {
                "policy_id*": TEXT,
                "version": TEXT,
                "name": TEXT,
                "source": TEXT,
                "grain": one_of("port", "evse", "site", "site_any", "site_all", "owner", "network"),
                "aggregate": one_of("minute_weighted", "simple_mean", "power_weighted"),
                "window_type": one_of("rolling_months", "month", "quarter", "half_year", "calendar_year"),
                "window_months": number("1", "120", decimals=0),
                "window_step": one_of("month", "quarter"),
                "base_type": one_of("fixed_minutes", "elapsed", "open_hours", "elapsed_minus_excluded"),
                "base_minutes": number("1", decimals=0),
                "threshold_ratio": THRESHOLD,
                "threshold_op": one_of(">", ">="),
                **{f"status_map_{state}": TREATMENT for state in (*PORT_STATES, "blocked", "unknown")},
                "offline_treat": one_of("up", "down", "exclude", "carry"),
                "offline_grace_s": COUNT,
                "offline_backdate_to_last_message": BOOLEAN,
                "offline_proof_of_life": one_of("up", "down"),
                "warnings_with_operative_status": one_of("up", "down"),
                "fault_codes_not_down": CODES,
                "incident_merge_gap_s": COUNT,
                "incident_min_duration_s": COUNT,
                "exclusions": EXCLUSIONS,
                "scope_min_power_kw": number("0", decimals=3),
                "scope_funded_only": BOOLEAN,
                "scope_dc_only": BOOLEAN,
            }
        ),
    ),
    RegistryFile(
        "business_cases",
        _TABLES["business_case"],
        ("site_id", "month"),
        _fields(
            {
                "site_id*": TEXT,
                "month*": MONTH,
                "planned_revenue": AMOUNT,
                "planned_cost": AMOUNT,
                "currency*": CURRENCY,
                "discount_rate": number("-0.99", "10"),
                "horizon_years": number("0", "100", exclusive=True),
            }
        ),
    ),
    RegistryFile(
        "access",
        _TABLES["access"],
        ("email", "role", "scope_id"),
        _fields({"email*": EMAIL, "role*": one_of("owner", "operator", "emsp", "analyst", "admin"), "scope_id": TEXT}),
    ),
    RegistryFile(
        "fx_rates",
        _TABLES["fx_rate"],
        ("on_date", "from_currency", "to_currency"),
        _fields(
            {
                "on_date*": DATE,
                "from_currency*": CURRENCY,
                "to_currency*": CURRENCY,
                "rate*": number("0", decimals=9, exclusive=True),
            }
        ),
    ),
)

REGISTRY_FILES: Mapping[str, RegistryFile] = {file.name: file for file in _FILES}
