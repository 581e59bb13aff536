"""The OCPI modules: which fields each object has in 2.1.1, 2.2.1 and 2.3.0, and what makes it unreadable.

One canonical shape for all versions, close to 2.3.0. Required is what no figure can do without; everything else may be
absent or null, as peers send it. A value that is there and can't be read is a fault of the object, never a silent null.
"""

from collections.abc import Callable
from dataclasses import dataclass

from pipelines.ocpi.fields import Check, Sheet, clock, date, decimal, instant, integer, items, parsed, text


@dataclass(frozen=True, slots=True)
class Module:
    """One OCPI module: its objects in a file, and their place in the lake."""

    name: str
    table: str  # lake table of the objects
    noun: str
    keys: frozenset[str]  # at least one is at the top of each object, none inside another one
    marks: frozenset[str]  # tell it from the objects of other modules
    sheet: Sheet


_HASH = "'[0-9a-f]{32}'"


def _identity(sheet: Sheet) -> None:
    expected = "ids that are texts or whole numbers: others can't be pseudonymised"
    sheet.checks.append(Check("not is_maskable", "null", "cdr_token", expected, "bad_token"))
    sheet.add("country_code", "text", "country_code")
    sheet.add("party_id", "text", "party_id")


def _hashed(sheet: Sheet, column: str, *paths: str, required: bool = False) -> None:
    """Add a column that holds a pseudonym: the text was replaced before it is read here."""
    sheet.add(column, "text", *paths, required=required)
    value = sheet.at(*paths)
    sheet.checks.insert(
        0,
        Check(
            f"{text(value)} is not null and not regexp_full_match({value}, {_HASH})",
            "null",
            paths[0],
            "a text or a whole number: what else it is can't be pseudonymised",
            "bad_token",
        ),
    )


def _driver(sheet: Sheet) -> None:
    """Add who charged: CdrToken since 2.2, ``auth_id`` in 2.1.1."""
    _hashed(sheet, "token_hash", "cdr_token.uid", "auth_id")
    _hashed(sheet, "contract_hash", "cdr_token.contract_id")
    sheet.add("token_type", "text", "cdr_token.type")
    sheet.add("token_country_code", "text", "cdr_token.country_code")
    sheet.add("token_party_id", "text", "cdr_token.party_id")
    sheet.add("auth_method", "text", "auth_method")
    sheet.add("authorization_reference", "text", "authorization_reference")


def _evse_uid(sheet: Sheet, path: str) -> None:
    """Add the EVSE's uid: in 2.1.1 it is in the location, and called like a token's uid.

    There it is read from ``text``, the object as delivered, since masking a token's uid may have masked it too.
    """
    in_location = "json_extract_string(text, '$.location.evses[0].uid')"
    sheet.columns["evse_uid"] = (
        f"coalesce({text(sheet.at(path))}, case when contains(text, '\"evses\"') then {text(in_location)} end)"
    )


def _list(sheet: Sheet, path: str, type_: str, column: str) -> None:
    """Add a list of objects as a DuckDB list of structs (``type_`` as ``from_json`` has it)."""
    value = sheet.at(path)
    one_or_more = f"case when {value} like '{{%' then '[' || {value} || ']' else {value} end"
    sheet.columns[column] = parsed(f"({one_or_more})", f"[{type_}]")
    sheet.checks.append(
        Check(f"{value} is not null and {column} is null", value, path, "a list of objects", "bad_type")
    )


def _cdr() -> Sheet:
    sheet = Sheet()
    _identity(sheet)
    sheet.add("cdr_id", "text", "id", required=True)
    sheet.add("started_at", "instant", "start_date_time", "start_datetime", required=True)
    sheet.add("ended_at", "instant", "end_date_time", "stop_date_time", "end_datetime", required=True)
    sheet.add("ocpi_session_id", "text", "session_id")
    _driver(sheet)
    sheet.add("location_id", "text", "cdr_location.id", "location.id")
    sheet.add("location_name", "text", "cdr_location.name", "location.name")
    sheet.add("location_country", "text", "cdr_location.country", "location.country")
    sheet.add("location_time_zone", "text", "location.time_zone", "cdr_location.time_zone")
    _evse_uid(sheet, "cdr_location.evse_uid")
    sheet.add("evse_id", "text", "cdr_location.evse_id", "location.evses[0].evse_id")
    sheet.add("connector_id", "text", "cdr_location.connector_id", "location.evses[0].connectors[0].id")
    sheet.add(
        "connector_standard",
        "text",
        "cdr_location.connector_standard",
        "location.evses[0].connectors[0].standard",
    )
    sheet.add(
        "connector_power_type",
        "text",
        "cdr_location.connector_power_type",
        "location.evses[0].connectors[0].power_type",
    )
    sheet.add("meter_id", "text", "meter_id")
    sheet.add("currency", "text", "currency", required=True)
    sheet.add("total_energy_kwh", "decimal", "total_energy", required=True)
    sheet.add("total_time_h", "decimal", "total_time", required=True)
    sheet.add("total_parking_time_h", "decimal", "total_parking_time")
    sheet.price("total_cost", "total_cost", required=True)
    for name in ("fixed", "energy", "time", "parking", "reservation"):
        sheet.price(f"total_{name}_cost", f"total_{name}_cost")
    sheet.add("remark", "text", "remark")
    sheet.add("invoice_reference_id", "text", "invoice_reference_id")
    sheet.add("is_credit", "boolean", "credit")
    sheet.add("credit_reference_id", "text", "credit_reference_id")
    sheet.add("is_home_charging_compensation", "boolean", "home_charging_compensation")
    sheet.add("last_updated_at", "instant", "last_updated", required=True)
    cost = sheet.at("total_cost")
    sheet.columns["ocpi_version"] = f"""
        case
            when {sheet.at("cdr_token")} is null
                and ({sheet.at("stop_date_time")} is not null or {sheet.at("auth_id")} is not null
                    or {cost} not like '{{%')
                then '2.1.1'
            when contains(raw, '"before_taxes"') or contains(raw, '"tax_included"') then '2.3.0'
            else '2.2.1'
        end"""
    _list(
        sheet,
        "charging_periods",
        '{"start_date_time":"VARCHAR","tariff_id":"VARCHAR","dimensions":"VARCHAR"}',
        "period_texts",
    )
    sheet.columns["periods"] = f"""
        list_transform(period_texts, lambda p: struct_pack(
            started_at := {instant("p.start_date_time")},
            tariff_id := {text("p.tariff_id")},
            dimensions := list_transform(
                {parsed("coalesce(p.dimensions, '[]')", '[{"type":"VARCHAR","volume":"VARCHAR"}]')},
                lambda d: struct_pack(dimension := {text("d.type")}, volume := {decimal("d.volume")})
            )
        ))"""
    periods = sheet.at("charging_periods")
    sheet.checks += [
        Check(
            "len(list_filter(periods, lambda p: p.started_at is null)) > 0",
            periods,
            "charging_periods.start_date_time",
            "a date and time in every period",
            "bad_datetime",
        ),
        Check(
            "len(list_filter(periods, lambda p: p.dimensions is null)) > 0",
            periods,
            "charging_periods.dimensions",
            "a list of dimensions in every period",
            "bad_type",
        ),
        Check(
            "len(list_filter(periods, lambda p: "
            "len(list_filter(p.dimensions, lambda d: d.dimension is null or d.volume is null)) > 0)) > 0",
            periods,
            "charging_periods.dimensions",
            "a type and a number as volume in every dimension",
            "bad_number",
        ),
    ]
    tariffs = sheet.at("tariffs")
    sheet.columns["tariff_texts"] = _texts(tariffs)
    sheet.checks.append(
        Check(f"{tariffs} is not null and tariff_texts is null", tariffs, "tariffs", "a list of tariffs", "bad_type")
    )
    _note_cdr_defects(sheet)
    sheet.columns["defects"] = sheet.defects()
    return sheet


_AUTH_METHODS = ("AUTH_REQUEST", "COMMAND", "WHITELIST")
_TOKEN_TYPES = ("AD_HOC_USER", "APP_USER", "EMAID", "OTHER", "RFID")
_FORMATS = ("SOCKET", "CABLE")
_POWER_TYPES = ("AC_1_PHASE", "AC_2_PHASE", "AC_2_PHASE_SPLIT", "AC_3_PHASE", "DC")
_STANDARDS = (
    *("CHADEMO", "CHAOJI", "GBT_AC", "GBT_DC", "MCS", "SAE_J3400", "TESLA_R", "TESLA_S"),
    *(f"DOMESTIC_{letter}" for letter in "ABCDEFGHIJKLMNO"),
    *("IEC_60309_2_SINGLE_16", "IEC_60309_2_THREE_16", "IEC_60309_2_THREE_32", "IEC_60309_2_THREE_64"),
    *("IEC_62196_T1", "IEC_62196_T1_COMBO", "IEC_62196_T2", "IEC_62196_T2_COMBO", "IEC_62196_T3A", "IEC_62196_T3C"),
    *("NEMA_5_20", "NEMA_6_30", "NEMA_6_50", "NEMA_10_30", "NEMA_10_50", "NEMA_14_30", "NEMA_14_50"),
    *("PANTOGRAPH_BOTTOM_UP", "PANTOGRAPH_TOP_DOWN"),
)
_DIMENSIONS = (
    *("CURRENT", "ENERGY", "ENERGY_EXPORT", "ENERGY_IMPORT", "FLAT", "MAX_CURRENT", "MAX_POWER", "MIN_CURRENT"),
    *("MIN_POWER", "PARKING_TIME", "POWER", "RESERVATION_EXPIRES", "RESERVATION_OVERTIME", "RESERVATION_TIME"),
    *("STATE_OF_CHARGE", "TIME"),
)
# A time as OCPI writes it: UTC, told by Z or by nothing at all. "+00:00" is not the same as UTC.
_OCPI_TIME = r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.\d+)?Z?"
_CDR_NUMBERS = "total_energy|total_time|total_parking_time|total_cost|excl_vat|incl_vat|before_taxes|amount|volume"
# What a CDR must have besides what it can't be read without: in 2.1.1, and from 2.2 on.
_REQUIRED_211 = ("auth_method", "location.id")
_REQUIRED = (
    *("country_code", "party_id", "auth_method", "cdr_token.uid", "cdr_token.type", "cdr_token.contract_id"),
    *("cdr_location.id", "cdr_location.address", "cdr_location.city", "cdr_location.country"),
    *("cdr_location.coordinates", "cdr_location.evse_uid", "cdr_location.evse_id", "cdr_location.connector_id"),
    *("cdr_location.connector_standard", "cdr_location.connector_format", "cdr_location.connector_power_type"),
)


def _among(values: tuple[str, ...]) -> str:
    return "(" + ", ".join(f"'{value}'" for value in values) + ")"


def _note_cdr_defects(sheet: Sheet) -> None:
    """Note what is wrong with a CDR that can be read all the same."""
    for condition, required in (("ocpi_version = '2.1.1'", _REQUIRED_211), ("ocpi_version <> '2.1.1'", _REQUIRED)):
        for path in required:
            # "#NA" fills a field that is not known; it is there.
            sheet.note(f"{condition} and nullif(trim({sheet.at(path)}), '') is null", "missing_required", path)
    sheet.note("coalesce(len(periods), 0) = 0", "missing_required", "charging_periods")
    for path, values in (
        ("auth_method", _AUTH_METHODS),
        ("cdr_token.type", _TOKEN_TYPES),
        ("cdr_location.connector_standard", _STANDARDS),
        ("cdr_location.connector_format", _FORMATS),
        ("cdr_location.connector_power_type", _POWER_TYPES),
    ):
        sheet.note(f"upper({text(sheet.at(path))}) not in {_among(values)}", "unknown_enum", path)
    sheet.note(
        "len(list_filter(periods, lambda p: len(list_filter(p.dimensions, "
        f"lambda d: upper(d.dimension) not in {_among(_DIMENSIONS)})) > 0)) > 0",
        "unknown_enum",
        "charging_periods.dimensions.type",
    )
    for paths in (("start_date_time",), ("end_date_time", "stop_date_time"), ("last_updated",)):
        time = sheet.at(*paths)
        sheet.note(f"not regexp_full_match(trim({time}), '{_OCPI_TIME}')", "bad_datetime", paths[0])
    sheet.note(f"""regexp_matches(raw, '"(?:{_CDR_NUMBERS})":"')""", "bad_type", "number")
    cost = sheet.at("total_cost")
    sheet.note(f"ocpi_version <> '2.1.1' and {cost} not like '{{%'", "price_shape_mismatch", "total_cost")
    sheet.note(f"ocpi_version = '2.1.1' and {cost} like '{{%'", "price_shape_mismatch", "total_cost")
    sheet.note(
        """contains(raw, '"excl_vat"') and (contains(raw, '"before_taxes"') or contains(raw, '"tax_included"'))""",
        "price_shape_mismatch",
        "excl_vat",
    )


def _texts(value: str) -> str:
    """SQL of the JSON texts of the objects in a JSON list, or of one object; null if it is neither.

    What is no object is left out: some peers list the ids of tariffs instead of tariffs.
    """
    return (
        f"case when {value} is null then [] when {value} like '{{%' then [{value}] "
        f"else list_filter({items(value)}, lambda item: item like '{{%') end"
    )


_RESTRICTIONS: dict[str, tuple[str, str]] = {
    "start_time": ("start_time", "clock"),
    "end_time": ("end_time", "clock"),
    "start_date": ("start_date", "date"),
    "end_date": ("end_date", "date"),
    "min_kwh": ("min_kwh", "decimal"),
    "max_kwh": ("max_kwh", "decimal"),
    "min_current_a": ("min_current", "decimal"),
    "max_current_a": ("max_current", "decimal"),
    "min_power_kw": ("min_power", "decimal"),
    "max_power_kw": ("max_power", "decimal"),
    "min_duration_s": ("min_duration", "integer"),
    "max_duration_s": ("max_duration", "integer"),
}
_CONVERT: dict[str, Callable[[str], str]] = {"clock": clock, "date": date, "decimal": decimal, "integer": integer}


def tariff_sheet() -> Sheet:
    """Return the fields of a Tariff, of the module or embedded in another object.

    Besides the lake's columns there is ``elements``, a list of elements as structs.
    """
    sheet = Sheet()
    _identity(sheet)
    sheet.add("tariff_id", "text", "id")
    sheet.add("currency", "text", "currency")
    sheet.add("tariff_type", "text", "type")
    sheet.add("tax_included", "text", "tax_included")
    sheet.add("valid_from_at", "instant", "start_date_time")
    sheet.add("valid_to_at", "instant", "end_date_time")
    sheet.price("min_price", "min_price")
    sheet.price("max_price", "max_price")
    sheet.add("alt_text", "text", "tariff_alt_text[0].text")
    sheet.add("last_updated_at", "instant", "last_updated")
    sheet.columns["own_version"] = f"""
        case
            when {sheet.at("tax_included")} is not null or contains(raw, '"before_taxes"') then '2.3.0'
            when country_code is not null or party_id is not null then '2.2.1'
            else '2.1.1'
        end"""
    _list(sheet, "elements", '{"price_components":"VARCHAR","restrictions":"VARCHAR"}', "element_texts")
    # Some peers send the one object of restrictions as a list: its members are joined, unless they contradict.
    members = f"list_transform({items('e.restrictions')}, lambda o: trim(o, '{{}}'))"
    sheet.columns["restriction_texts"] = f"""
        list_transform(element_texts, lambda e: case
            when e.restrictions like '[%'
                then '{{' || array_to_string(list_filter({members}, lambda o: o <> ''), ',') || '}}'
            else e.restrictions
        end)"""
    keys = (*(key for key, _ in _RESTRICTIONS.values()), "day_of_week", "reservation")
    types = ",".join(f'"{key}":"VARCHAR"' for key in keys)
    sheet.columns["restrictions"] = f"list_transform(restriction_texts, lambda r: {parsed('r', f'{{{types}}}')})"
    packed = ", ".join(f"{column} := {_CONVERT[kind](f'r.{key}')}" for column, (key, kind) in _RESTRICTIONS.items())
    sheet.columns["typed_restrictions"] = f"""
        list_transform(restrictions, lambda r: struct_pack(
            {packed},
            day_of_week := nullif(upper(regexp_replace(r.day_of_week, '[^A-Za-z,]', '', 'g')), ''),
            reservation := {text("r.reservation")}
        ))"""
    one_or_more = (
        "(case when e.price_components like '{%' then '[' || e.price_components || ']' else e.price_components end)"
    )
    sheet.columns["components"] = f"""
        list_transform(element_texts, lambda e: list_transform(
            {parsed(one_or_more, '[{"type":"VARCHAR","price":"VARCHAR","vat":"VARCHAR","step_size":"VARCHAR"}]')},
            lambda c: struct_pack(
                dimension := {text("c.type")},
                price := {decimal("c.price")},
                vat_percent := try_cast(c.vat as decimal(9, 4)),
                step_size := {integer("c.step_size")},
                is_bad_vat := nullif(c.vat, '') is not null and try_cast(c.vat as decimal(9, 4)) is null,
                is_bad_step := nullif(c.step_size, '') is not null and {integer("c.step_size")} is null
            )
        ))"""
    elements = sheet.at("elements")
    unread = " or ".join(
        f"(nullif(trim(r.{key}), '') is not null and {_CONVERT[kind](f'r.{key}')} is null)"
        for key, kind in _RESTRICTIONS.values()
    )
    sheet.checks += [
        Check(f"{elements} is null", elements, "elements", "a list of tariff elements", "missing_required"),
        Check(
            "len(list_filter(components, lambda e: e is null)) > 0",
            elements,
            "elements.price_components",
            "a list of price components in every element",
            "bad_type",
        ),
        Check(
            "len(list_filter(components, lambda e: len(list_filter(e, lambda c: c.dimension is null or c.price is null "
            "or c.is_bad_vat or c.is_bad_step)) > 0)) > 0",
            elements,
            "elements.price_components",
            "a type, a number as price, and numbers as vat and step_size in every price component",
            "bad_number",
        ),
        Check(
            "len(list_filter(restriction_texts, lambda t: t is not null and not coalesce("
            "case when json_valid(t) and t like '{%' then len(json_keys(t)) = len(list_distinct(json_keys(t))) end, "
            "false))) > 0",
            elements,
            "elements.restrictions",
            "one object of restrictions in every element, each restriction once",
            "bad_type",
        ),
        Check(
            f"len(list_filter(restrictions, lambda r: {unread})) > 0",
            elements,
            "elements.restrictions",
            "numbers, times of day (08:00) and dates (2024-03-01)",
            "bad_number",
        ),
    ]
    return sheet


def _tariff() -> Sheet:
    sheet = tariff_sheet()
    sheet.checks += [
        Check(f"{text(sheet.at(path))} is null", "null", path, "a value", "missing_required")
        for path in ("id", "currency", "last_updated")
    ]
    sheet.columns["ocpi_version"] = "own_version"
    return sheet


_CONNECTOR = (
    '{"id":"VARCHAR","standard":"VARCHAR","format":"VARCHAR","power_type":"VARCHAR","voltage":"VARCHAR",'
    '"max_voltage":"VARCHAR","amperage":"VARCHAR","max_amperage":"VARCHAR","max_electric_power":"VARCHAR",'
    '"tariff_id":"VARCHAR","tariff_ids":"VARCHAR","tariffs":"VARCHAR"}'
)


def _location() -> Sheet:
    sheet = Sheet()
    _identity(sheet)
    sheet.add("location_id", "text", "id", required=True)
    sheet.add("name", "text", "name")
    sheet.add("address", "text", "address")
    sheet.add("city", "text", "city")
    sheet.add("postal_code", "text", "postal_code")
    sheet.add("country", "text", "country", required=True)
    sheet.add("latitude", "decimal", "coordinates.latitude")
    sheet.add("longitude", "decimal", "coordinates.longitude")
    for axis in ("latitude", "longitude"):
        sheet.columns[axis] = f"try_cast({sheet.at(f'coordinates.{axis}')} as decimal(10, 7))"
    sheet.add("time_zone", "text", "time_zone")
    sheet.add("owner_name", "text", "owner.name")
    sheet.add("operator_name", "text", "operator.name")
    sheet.add("last_updated_at", "instant", "last_updated", required=True)
    sheet.columns["ocpi_version"] = f"""
        case
            when country_code is null and party_id is null and {sheet.at("publish")} is null then '2.1.1'
            when {sheet.at("parking_places", "help_phone")} is not null
                or contains(raw, '"capabilities":["ISO_15118') or contains(raw, '"accepted_service_providers"')
                then '2.3.0'
            else '2.2.1'
        end"""
    _list(
        sheet,
        "evses",
        '{"uid":"VARCHAR","evse_id":"VARCHAR","status":"VARCHAR","last_updated":"VARCHAR","tariffs":"VARCHAR",'
        '"connectors":"VARCHAR"}',
        "evse_texts",
    )
    watts = (
        ("max_voltage_v", "coalesce(c.max_voltage, c.voltage)"),
        ("max_amperage_a", "coalesce(c.max_amperage, c.amperage)"),
    )
    numbers = (*watts, ("max_electric_power_w", "c.max_electric_power"))
    typed = ", ".join(f"{column} := try_cast({value} as decimal(18, 3))" for column, value in numbers)
    unread = " or ".join(
        f"({text(value)} is not null and try_cast({value} as decimal(18, 3)) is null)" for _, value in numbers
    )
    sheet.columns["evses"] = f"""
        list_transform(evse_texts, lambda e: struct_pack(
            evse_uid := {text("e.uid")},
            evse_id := {text("e.evse_id")},
            evse_status := {text("e.status")},
            evse_last_updated_at := {instant("e.last_updated")},
            is_bad_time := {text("e.last_updated")} is not null and {instant("e.last_updated")} is null,
            tariffs := e.tariffs,
            connectors := list_transform(
                {parsed("coalesce(e.connectors, '[]')", f"[{_CONNECTOR}]")},
                lambda c: struct_pack(
                    connector_id := {text("c.id")},
                    standard := {text("c.standard")},
                    format := {text("c.format")},
                    power_type := {text("c.power_type")},
                    {typed},
                    is_bad := {unread},
                    tariff_ids := coalesce(
                        nullif(array_to_string({parsed("c.tariff_ids", '["VARCHAR"]')}, ','), ''), {text("c.tariff_id")}
                    ),
                    tariffs := c.tariffs
                )
            )
        ))"""
    evses = sheet.at("evses")
    sheet.checks += [
        Check(
            "len(list_filter(evses, lambda e: e.connectors is null)) > 0",
            evses,
            "evses.connectors",
            "a list of connectors in every EVSE",
            "bad_type",
        ),
        Check(
            "len(list_filter(evses, lambda e: e.is_bad_time)) > 0",
            evses,
            "evses.last_updated",
            "a date and time like 2024-03-01T12:00:00Z",
            "bad_datetime",
        ),
        Check(
            "len(list_filter(evses, lambda e: len(list_filter(e.connectors, lambda c: c.is_bad)) > 0)) > 0",
            evses,
            "evses.connectors",
            "numbers as voltage, amperage and power",
            "bad_number",
        ),
    ]
    # Tariffs belong to their own module, but some peers put them where they apply.
    in_evse = _texts("e.tariffs")
    in_connector = _texts("c.tariffs")
    sheet.columns["tariff_texts"] = f"""
        case when contains(raw, '"tariffs"') then list_distinct(flatten(list_transform(evses, lambda e: list_concat(
            coalesce({in_evse}, []),
            flatten(list_transform(e.connectors, lambda c: coalesce({in_connector}, [])))
        )))) else [] end"""
    return sheet


def _session() -> Sheet:
    sheet = Sheet()
    _identity(sheet)
    sheet.add("ocpi_session_id", "text", "id", required=True)
    sheet.add("started_at", "instant", "start_date_time", "start_datetime", required=True)
    sheet.add("ended_at", "instant", "end_date_time", "end_datetime", "stop_date_time")
    sheet.add("energy_kwh", "decimal", "kwh", required=True)
    _driver(sheet)
    sheet.add("location_id", "text", "location_id", "location.id")
    _evse_uid(sheet, "evse_uid")
    sheet.add("connector_id", "text", "connector_id", "location.evses[0].connectors[0].id")
    sheet.add("currency", "text", "currency", required=True)
    sheet.add("status", "text", "status", required=True)
    sheet.price("total_cost", "total_cost")
    sheet.add("last_updated_at", "instant", "last_updated", required=True)
    sheet.columns["ocpi_version"] = f"""
        case
            when {sheet.at("cdr_token")} is null
                and ({sheet.at("start_datetime")} is not null or {sheet.at("auth_id")} is not null
                    or {sheet.at("location.id")} is not null)
                then '2.1.1'
            when contains(raw, '"before_taxes"') then '2.3.0'
            else '2.2.1'
        end"""
    return sheet


def _token() -> Sheet:
    sheet = Sheet()
    _identity(sheet)
    _hashed(sheet, "token_hash", "uid", required=True)
    sheet.add("token_type", "text", "type", required=True)
    _hashed(sheet, "contract_hash", "contract_id", "auth_id")
    sheet.add("issuer", "text", "issuer")
    sheet.add("is_valid", "boolean", "valid")
    sheet.add("whitelist", "text", "whitelist")
    sheet.add("last_updated_at", "instant", "last_updated", required=True)
    sheet.columns["ocpi_version"] = f"""
        case
            when {sheet.at("auth_id")} is not null and {sheet.at("contract_id")} is null then '2.1.1'
            else '2.2.1'
        end"""
    return sheet


MODULES: dict[str, Module] = {
    module.name: module
    for module in (
        Module(
            name="cdrs",
            table="cdr",
            noun="CDR",
            keys=frozenset({"total_cost", "total_energy", "charging_periods"}),
            marks=frozenset({"total_energy", "total_time", "cdr_location"}),
            sheet=_cdr(),
        ),
        Module(
            name="tariffs",
            table="tariff",
            noun="tariff",
            keys=frozenset({"elements"}),
            marks=frozenset({"elements"}),
            sheet=_tariff(),
        ),
        Module(
            name="locations",
            table="location",
            noun="location",
            keys=frozenset({"city", "address", "evses", "country"}),
            marks=frozenset({"city", "evses", "coordinates"}),
            sheet=_location(),
        ),
        Module(
            name="sessions",
            table="session",
            noun="session",
            keys=frozenset({"kwh", "auth_method"}),
            marks=frozenset({"kwh"}),
            sheet=_session(),
        ),
        Module(
            name="tokens",
            table="token",
            noun="token",
            keys=frozenset({"whitelist", "issuer", "uid"}),
            marks=frozenset({"whitelist", "issuer"}),
            sheet=_token(),
        ),
    )
}
