"""The lake's tables: one definition for decoders, dbt sources, quality suites and the published ``lake`` views.

A lake table is a folder of Parquet files, ``HOME/lake/<domain>/<name>/<source_id>[-NNNN].parquet``. Every row keeps
``source_id`` (hash of the landed file's content) and ``line_number`` (its line there, 1-based), so that any figure can
be walked back to the line that caused it. Types are DuckDB's.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import duckdb


@dataclass(frozen=True, slots=True)
class Column:
    """One column: its name, DuckDB type and meaning."""

    name: str
    type: str
    comment: str


@dataclass(frozen=True, slots=True)
class LakeTable:
    """One table of the lake; ``row`` is the sentence that says what one row is."""

    domain: str
    name: str
    row: str
    columns: tuple[Column, ...]

    @property
    def key(self) -> str:
        """``domain/name``: the folder below ``lake/`` and the Dagster asset key."""
        return f"{self.domain}/{self.name}"

    @property
    def column_names(self) -> tuple[str, ...]:
        """Column names in their stored order."""
        return tuple(column.name for column in self.columns)

    def select_list(self, constants: Mapping[str, str] | None = None) -> str:
        """SQL that casts a relation holding these columns (by name) to the stored types, in the stored order.

        Args:
            constants: Columns that the relation does not hold, and their one value.
        """
        values = {name: "'" + value.replace("'", "''") + "'" for name, value in (constants or {}).items()}
        return ", ".join(
            # a text of one value is written as an ENUM: Parquet holds the same text, and no row is looked at
            f'cast({values[c.name]} as enum({values[c.name]})) as "{c.name}"'
            if c.name in values
            else f'cast("{c.name}" as {c.type}) as "{c.name}"'
            for c in self.columns
        )

    def empty_sql(self) -> str:
        """SQL of a relation with these columns and no row."""
        nulls = ", ".join(f'cast(null as {c.type}) as "{c.name}"' for c in self.columns)
        return f"select {nulls} where false"


def _columns(text: str) -> tuple[Column, ...]:
    """Read ``name | type | comment`` lines."""
    rows = (line.split("|", 2) for line in text.splitlines() if line.strip())
    return tuple(Column(name.strip(), type_.strip(), comment.strip()) for name, type_, comment in rows)


_LINEAGE = """
source_id | VARCHAR | Landed file, as the first 16 hex digits of the SHA-256 of its content; see meta.source_file.
line_number | BIGINT | Line in that file, counted from 1; of a multi-line record, its first line.
"""

_OCPP_LINEAGE = (
    _LINEAGE.replace("its first line.", "its first line; of a record in a JSON array, its position there.")
    + """
frame_id | VARCHAR | Identity of the logged frame made from its content (station, time, direction, text): the same frame in two files has one frame_id.
log_source | VARCHAR | The log writer the file came from: its folder and name without digits. Stations of one log_source fall silent together when the writer does.
station_id | VARCHAR | OCPP identity of the charge point or charging station; empty text where the log names none.
received_at | TIMESTAMPTZ | When the logger saw it (the CSMS's clock), UTC.
"""
)

_OCPI_LINEAGE = (
    _LINEAGE
    + """
record_number | BIGINT | Position of the object in its file, from 1.
record_hash | VARCHAR | MD5 of the object as kept (pseudonymised JSON): equal objects have equal hashes.
peer | VARCHAR | OCPI peer the file came from: its subfolder, else its party, else empty.
ocpi_version | VARCHAR | 2.1.1, 2.2.1 or 2.3.0, told from the object itself.
country_code | VARCHAR | Country code of the CPO that owns the object, as the peer spells it; null in 2.1.1.
party_id | VARCHAR | Party id of the CPO that owns the object, as the peer spells it; null in 2.1.1.
"""
)


def _table(domain: str, name: str, row: str, columns: str) -> LakeTable:
    return LakeTable(domain, name, row, _columns(columns))


OCPP_TABLES: tuple[LakeTable, ...] = (
    _table(
        "ocpp",
        "frame",
        "One row is one OCPP frame (CALL, CALLRESULT, CALLERROR, CALLRESULTERROR or SEND) as one log line showed it.",
        _OCPP_LINEAGE
        + """
log_format | VARCHAR | Name of the recognised log format.
received_at_quality | VARCHAR | How received_at is known: logged (offset in the line), inferred_zone (offset from answers' currentTime), assumed_zone (the default zone), configured_zone (the zone in format.toml), event_time (the export keeps no time of arrival; the charger's own time), carried (no time on the line; the last time known before it), missing.
connection_id | VARCHAR | The websocket connection, where the log names it.
direction | VARCHAR | from_station, to_station or unknown.
protocol | VARCHAR | ocpp1.6, ocpp2.0.1 or ocpp2.1: logged, else inferred from the frames of the station in this file; null if neither.
message_type | TINYINT | 2 CALL, 3 CALLRESULT, 4 CALLERROR, 5 CALLRESULTERROR, 6 SEND.
message_id | VARCHAR | Message id; results carry the id of their call. Chargers reuse ids.
action | VARCHAR | Action of a CALL or SEND; null on results.
payload | VARCHAR | Payload as JSON text, driver tokens and e-mail addresses replaced by their pseudonyms.
error_code | VARCHAR | Error code of a CALLERROR or CALLRESULTERROR.
error_description | VARCHAR | Its description.
result_status | VARCHAR | `status` of a result (Accepted, Rejected, ...), or idTagInfo/idTokenInfo status.
result_interval_s | BIGINT | `interval` of a result: the heartbeat interval granted at boot, in seconds.
result_transaction_id | VARCHAR | `transactionId` of a result: the id of a 1.6 transaction is here and nowhere else.
result_current_at | TIMESTAMPTZ | `currentTime` of a result: the CSMS's own clock.
""",
    ),
    _table(
        "ocpp",
        "connection_event",
        "One row is one websocket connection opened or closed, as the log showed it.",
        _OCPP_LINEAGE
        + """
log_format | VARCHAR | Name of the recognised log format.
received_at_quality | VARCHAR | As in ocpp/frame.
connection_id | VARCHAR | The websocket connection, where the log names it.
event | VARCHAR | connect or disconnect.
close_code | INTEGER | Websocket close code of a disconnect, if logged.
protocol | VARCHAR | ocpp1.6, ocpp2.0.1 or ocpp2.1, if logged.
""",
    ),
    _table(
        "ocpp",
        "status_event",
        "One row is one status of one connector, EVSE or station, from StatusNotification or NotifyEvent(AvailabilityState).",
        _OCPP_LINEAGE
        + """
protocol | VARCHAR | As in ocpp/frame.
event_at | TIMESTAMPTZ | The charger's own time of the status; null where it sent none or an unreadable one.
evse_id | INTEGER | EVSE (2.x); null in 1.6. 0 is the whole station.
connector_id | INTEGER | Connector; in 1.6 0 is the whole station; null where a 2.x station names only the EVSE.
status | VARCHAR | Status as sent: nine values in 1.6, five in 2.x.
error_code | VARCHAR | errorCode (1.6) or techCode (NotifyEvent).
vendor_error_code | VARCHAR | vendorErrorCode (1.6).
info | VARCHAR | info (1.6) or techInfo (NotifyEvent).
reported_by | VARCHAR | StatusNotification or NotifyEvent.
""",
    ),
    _table(
        "ocpp",
        "transaction_event",
        "One row is one StartTransaction, StopTransaction (1.6) or TransactionEvent (2.x) call.",
        _OCPP_LINEAGE
        + """
connection_id | VARCHAR | The websocket connection, where the log names it.
message_id | VARCHAR | Message id of the call, to pair it with its result.
protocol | VARCHAR | As in ocpp/frame.
event_at | TIMESTAMPTZ | The charger's own time of the event.
event_type | VARCHAR | Started (1.6 StartTransaction), Updated, Ended (1.6 StopTransaction).
transaction_id | VARCHAR | Transaction id; null on a 1.6 StartTransaction (it is in the result).
evse_id | INTEGER | EVSE (2.x), only on events that carry it.
connector_id | INTEGER | Connector, only on events that carry it (never on a 1.6 StopTransaction).
id_token_hash | VARCHAR | Pseudonym of the driver's token.
meter_wh | DECIMAL(18,3) | meterStart or meterStop (1.6), in Wh.
reason | VARCHAR | Stop reason; null where absent (the specification's default is Local).
seq_no | BIGINT | seqNo (2.x).
is_offline | BOOLEAN | Happened while the station was offline (2.x `offline`).
charging_state | VARCHAR | chargingState (2.x): Charging, EVConnected, SuspendedEV, SuspendedEVSE, Idle.
trigger_reason | VARCHAR | triggerReason (2.x).
remote_start_id | BIGINT | remoteStartId (2.x).
reservation_id | BIGINT | Reservation the transaction consumed.
""",
    ),
    _table(
        "ocpp",
        "meter_sample",
        "One row is one sampled value of MeterValues, StopTransaction.transactionData or TransactionEvent.meterValue.",
        _OCPP_LINEAGE
        + """
sample_number | INTEGER | Position of the sample in its frame: 1000 x (reading - 1) + sample, both from 1.
action | VARCHAR | Action that carried it: MeterValues, StopTransaction or TransactionEvent.
transaction_id | VARCHAR | Transaction the sample belongs to, where the message says so.
evse_id | INTEGER | EVSE (2.x).
connector_id | INTEGER | Connector (1.6; 0 is the main meter).
sampled_at | TIMESTAMPTZ | The charger's time of the sample.
measurand | VARCHAR | Measurand; Energy.Active.Import.Register where absent (the specification's default).
phase | VARCHAR | Phase; null for the total.
location | VARCHAR | Location; Outlet where absent.
context | VARCHAR | Reading context; Sample.Periodic where absent.
unit | VARCHAR | Unit of `value` after conversion: Wh, W, A, V, Percent, ... (kWh and kW are converted).
value | DECIMAL(18,4) | The value in `unit`, after multiplier and conversion; null if it is no number.
raw_value | VARCHAR | The value as sent.
""",
    ),
    _table(
        "ocpp",
        "boot",
        "One row is one BootNotification call.",
        _OCPP_LINEAGE
        + """
connection_id | VARCHAR | The websocket connection, where the log names it.
message_id | VARCHAR | Message id of the call, to pair it with its result.
protocol | VARCHAR | As in ocpp/frame.
vendor | VARCHAR | Vendor of the station.
model | VARCHAR | Model of the station.
serial_number | VARCHAR | Serial number of the station.
firmware_version | VARCHAR | Firmware version.
reason | VARCHAR | Boot reason (2.x).
""",
    ),
)

_MONEY = "DECIMAL(18,6)"


def _priced(name: str, text: str) -> str:
    return f"{name}_net | {_MONEY} | {text}, before taxes.\n{name}_gross | {_MONEY} | {text}, after taxes; null where not given.\n"


OCPI_TABLES: tuple[LakeTable, ...] = (
    _table(
        "ocpi",
        "cdr",
        "One row is one CDR object as delivered.",
        _OCPI_LINEAGE
        + """
cdr_id | VARCHAR | CDR id in the peer's own spelling; compare case-insensitively.
started_at | TIMESTAMPTZ | Start of the session (or reservation).
ended_at | TIMESTAMPTZ | End of the session (end_date_time, 2.1.1 stop_date_time).
ocpi_session_id | VARCHAR | session_id.
token_hash | VARCHAR | Pseudonym of the token uid (2.1.1: auth_id).
token_type | VARCHAR | Token type.
token_country_code | VARCHAR | Country code of the EMSP that issued the token.
token_party_id | VARCHAR | Party id of the EMSP that issued the token.
contract_hash | VARCHAR | Pseudonym of the contract id.
auth_method | VARCHAR | AUTH_REQUEST, COMMAND or WHITELIST.
authorization_reference | VARCHAR | authorization_reference.
location_id | VARCHAR | Location id.
location_name | VARCHAR | Location name, if given.
location_country | VARCHAR | Country of the location, ISO 3166 alpha-3.
location_time_zone | VARCHAR | IANA zone, only where the CDR embeds a full location (2.1.1).
evse_uid | VARCHAR | uid of the EVSE.
evse_id | VARCHAR | eMI3 id of the EVSE.
connector_id | VARCHAR | Connector id.
connector_standard | VARCHAR | Connector standard.
connector_power_type | VARCHAR | Connector power type.
meter_id | VARCHAR | Meter id.
currency | VARCHAR | ISO 4217 currency of every amount of this CDR.
total_energy_kwh | DECIMAL(18,6) | total_energy, kWh.
total_time_h | DECIMAL(18,6) | total_time, hours, charging and not charging.
total_parking_time_h | DECIMAL(18,6) | total_parking_time, hours.
"""
        + _priced("total_cost", "total_cost")
        + _priced("total_fixed_cost", "total_fixed_cost")
        + _priced("total_energy_cost", "total_energy_cost")
        + _priced("total_time_cost", "total_time_cost")
        + _priced("total_parking_cost", "total_parking_cost")
        + _priced("total_reservation_cost", "total_reservation_cost")
        + """
remark | VARCHAR | remark.
invoice_reference_id | VARCHAR | invoice_reference_id.
is_credit | BOOLEAN | credit: this CDR takes another one back.
credit_reference_id | VARCHAR | The CDR id taken back.
is_home_charging_compensation | BOOLEAN | A payout to the driver, not revenue.
last_updated_at | TIMESTAMPTZ | last_updated.
defects | VARCHAR | What is wrong with it although it can be read: `<defect_id>:<field>`, joined by spaces; null if nothing is.
raw | VARCHAR | The object as JSON text, driver tokens, contract ids and e-mail addresses replaced by their pseudonyms.
""",
    ),
    _table(
        "ocpi",
        "cdr_dimension",
        "One row is one dimension of one charging period of a delivered CDR; a period without dimensions is one row with dimension null.",
        _OCPI_LINEAGE
        + """
cdr_id | VARCHAR | CDR id.
period_number | INTEGER | Position of the period in the CDR, from 1, as sent.
period_started_at | TIMESTAMPTZ | start_date_time of the period.
tariff_id | VARCHAR | tariff_id of the period (2.2 and later).
dimension | VARCHAR | ENERGY, TIME, PARKING_TIME, RESERVATION_TIME, MAX_POWER, ...
volume | DECIMAL(18,6) | kWh, hours, A or kW, by dimension.
""",
    ),
    _table(
        "ocpi",
        "tariff",
        "One row is one Tariff object as delivered, by the Tariffs module or embedded in a CDR.",
        _OCPI_LINEAGE
        + f"""
tariff_id | VARCHAR | Tariff id.
embedded_in_cdr_id | VARCHAR | The CDR that carried it; null when the Tariffs module delivered it.
currency | VARCHAR | ISO 4217 currency.
tariff_type | VARCHAR | AD_HOC_PAYMENT, PROFILE_CHEAP, PROFILE_FAST, PROFILE_GREEN, REGULAR; null fits all sessions.
tax_included | VARCHAR | YES, NO or N/A (2.3.0); null before.
valid_from_at | TIMESTAMPTZ | start_date_time.
valid_to_at | TIMESTAMPTZ | end_date_time, exclusive.
min_price_net | {_MONEY} | min_price before taxes.
min_price_gross | {_MONEY} | min_price after taxes.
max_price_net | {_MONEY} | max_price before taxes.
max_price_gross | {_MONEY} | max_price after taxes.
alt_text | VARCHAR | First tariff_alt_text.
last_updated_at | TIMESTAMPTZ | last_updated.
raw | VARCHAR | The object as JSON text.
""",
    ),
    _table(
        "ocpi",
        "tariff_component",
        "One row is one price component of one element of a delivered tariff, with the element's restrictions.",
        _OCPI_LINEAGE
        + f"""
tariff_id | VARCHAR | Tariff id.
embedded_in_cdr_id | VARCHAR | As in ocpi/tariff.
element_number | INTEGER | Position of the element in the tariff, from 1.
component_number | INTEGER | Position of the component in the element, from 1.
dimension | VARCHAR | ENERGY (per kWh), TIME and PARKING_TIME (per hour), FLAT.
price | {_MONEY} | Price per unit; net, or gross where tax_included is YES.
vat_percent | DECIMAL(9,4) | VAT in percent; null where none applies.
step_size | BIGINT | Billing step in Wh or seconds.
start_time | VARCHAR | Restriction start_time, HH:MM local.
end_time | VARCHAR | Restriction end_time, HH:MM local.
start_date | DATE | Restriction start_date, inclusive, local.
end_date | DATE | Restriction end_date, exclusive, local.
min_kwh | DECIMAL(18,6) | Restriction min_kwh, inclusive.
max_kwh | DECIMAL(18,6) | Restriction max_kwh, exclusive.
min_current_a | DECIMAL(18,6) | Restriction min_current, A.
max_current_a | DECIMAL(18,6) | Restriction max_current, A.
min_power_kw | DECIMAL(18,6) | Restriction min_power, kW.
max_power_kw | DECIMAL(18,6) | Restriction max_power, kW.
min_duration_s | BIGINT | Restriction min_duration, seconds, inclusive.
max_duration_s | BIGINT | Restriction max_duration, seconds, exclusive.
day_of_week | VARCHAR | Restriction day_of_week: names joined by a comma, in the order sent.
reservation | VARCHAR | RESERVATION or RESERVATION_EXPIRES.
""",
    ),
    _table(
        "ocpi",
        "location",
        "One row is one Location object as delivered.",
        _OCPI_LINEAGE
        + """
location_id | VARCHAR | Location id.
name | VARCHAR | Name.
address | VARCHAR | Street and number.
city | VARCHAR | City.
postal_code | VARCHAR | Postal code.
country | VARCHAR | Country, ISO 3166 alpha-3.
latitude | DECIMAL(10,7) | Latitude, degrees.
longitude | DECIMAL(10,7) | Longitude, degrees.
time_zone | VARCHAR | IANA zone.
owner_name | VARCHAR | owner.name, free text.
operator_name | VARCHAR | operator.name, free text.
last_updated_at | TIMESTAMPTZ | last_updated.
raw | VARCHAR | The object as JSON text.
""",
    ),
    _table(
        "ocpi",
        "connector",
        "One row is one connector of one EVSE of a delivered Location; an EVSE without connectors is one row with connector_id null.",
        _OCPI_LINEAGE
        + """
location_id | VARCHAR | Location id.
evse_uid | VARCHAR | uid of the EVSE.
evse_id | VARCHAR | eMI3 id of the EVSE.
evse_status | VARCHAR | Status of the EVSE as delivered.
connector_id | VARCHAR | Connector id.
standard | VARCHAR | Connector standard.
format | VARCHAR | SOCKET or CABLE.
power_type | VARCHAR | AC_1_PHASE, AC_3_PHASE, DC, ...
max_voltage_v | DECIMAL(18,3) | max_voltage (2.1.1 voltage).
max_amperage_a | DECIMAL(18,3) | max_amperage (2.1.1 amperage).
max_electric_power_w | DECIMAL(18,3) | max_electric_power, W.
tariff_ids | VARCHAR | Tariff ids joined by a comma.
evse_last_updated_at | TIMESTAMPTZ | last_updated of the EVSE.
""",
    ),
    _table(
        "ocpi",
        "session",
        "One row is one Session object as delivered.",
        _OCPI_LINEAGE
        + f"""
ocpi_session_id | VARCHAR | Session id.
started_at | TIMESTAMPTZ | Start.
ended_at | TIMESTAMPTZ | End; null while it runs.
energy_kwh | DECIMAL(18,6) | kwh.
token_hash | VARCHAR | Pseudonym of the token uid (2.1.1: auth_id).
token_type | VARCHAR | Token type.
token_country_code | VARCHAR | Country code of the EMSP that issued the token.
token_party_id | VARCHAR | Party id of the EMSP that issued the token.
contract_hash | VARCHAR | Pseudonym of the contract id.
auth_method | VARCHAR | AUTH_REQUEST, COMMAND or WHITELIST.
authorization_reference | VARCHAR | authorization_reference.
location_id | VARCHAR | Location id.
evse_uid | VARCHAR | uid of the EVSE.
connector_id | VARCHAR | Connector id.
currency | VARCHAR | ISO 4217 currency.
status | VARCHAR | ACTIVE, COMPLETED, INVALID, PENDING or RESERVATION.
total_cost_net | {_MONEY} | total_cost before taxes.
total_cost_gross | {_MONEY} | total_cost after taxes.
last_updated_at | TIMESTAMPTZ | last_updated.
raw | VARCHAR | The object as JSON text, pseudonymised.
""",
    ),
    _table(
        "ocpi",
        "token",
        "One row is one Token object as delivered; its country_code and party_id are the EMSP's.",
        _OCPI_LINEAGE
        + """
token_hash | VARCHAR | Pseudonym of the token uid.
token_type | VARCHAR | Token type.
contract_hash | VARCHAR | Pseudonym of the contract id (2.1.1: auth_id).
issuer | VARCHAR | Issuing company.
is_valid | BOOLEAN | valid.
whitelist | VARCHAR | ALWAYS, ALLOWED, ALLOWED_OFFLINE or NEVER.
last_updated_at | TIMESTAMPTZ | last_updated.
raw | VARCHAR | The object as JSON text, pseudonymised.
""",
    ),
)

REGISTRY_TABLES: tuple[LakeTable, ...] = (
    _table(
        "registry",
        "owner",
        "One row is one owner of sites, from owners.csv.",
        _LINEAGE
        + """
owner_id | VARCHAR | Owner.
name | VARCHAR | Name.
country_code | VARCHAR | Country, ISO 3166 alpha-2.
currency | VARCHAR | ISO 4217 currency of the owner's statements.
email | VARCHAR | Pseudonym of the owner's e-mail address.
""",
    ),
    _table(
        "registry",
        "operator",
        "One row is one operator (CPO), from operators.csv.",
        _LINEAGE
        + """
operator_id | VARCHAR | Operator.
name | VARCHAR | Name.
ocpi_party | VARCHAR | Its OCPI party as `CC*PID`; compare case-insensitively.
""",
    ),
    _table(
        "registry",
        "emsp",
        "One row is one e-mobility service provider, from emsps.csv.",
        _LINEAGE
        + f"""
emsp_id | VARCHAR | EMSP.
name | VARCHAR | Name.
ocpi_party | VARCHAR | Its OCPI party as `CC*PID`; compare case-insensitively.
roaming_fee_per_kwh | {_MONEY} | Roaming fee per kWh, in `currency`.
roaming_fee_per_session | {_MONEY} | Roaming fee per session, in `currency`.
currency | VARCHAR | ISO 4217 currency of the fees.
""",
    ),
    _table(
        "registry",
        "site",
        "One row is one site (OCPI Location), from sites.csv.",
        _LINEAGE
        + """
site_id | VARCHAR | Site.
name | VARCHAR | Name.
owner_id | VARCHAR | Owner of the site.
operator_id | VARCHAR | Operator of the site.
time_zone | VARCHAR | IANA time zone.
country_code | VARCHAR | Country, ISO 3166 alpha-2.
currency | VARCHAR | ISO 4217 currency.
latitude | DECIMAL(10,7) | Latitude, degrees.
longitude | DECIMAL(10,7) | Longitude, degrees.
address | VARCHAR | Street and number.
city | VARCHAR | City.
postal_code | VARCHAR | Postal code.
opening_hours | VARCHAR | Opening hours in OpenStreetMap's syntax; null is 24/7.
grid_connection_kw | DECIMAL(18,3) | Power of the grid connection, kW.
ocpi_location_id | VARCHAR | OCPI Location id of the site; compare case-insensitively.
""",
    ),
    _table(
        "registry",
        "station",
        "One row is one charging station, from stations.csv.",
        _LINEAGE
        + """
station_id | VARCHAR | OCPP identity of the station.
site_id | VARCHAR | Site it stands on.
vendor | VARCHAR | Vendor.
model | VARCHAR | Model.
serial_number | VARCHAR | Serial number.
commissioned_on | DATE | First day in service, the site's calendar.
decommissioned_on | DATE | First day out of service, the site's calendar.
warranty_until | DATE | Last day of the warranty.
""",
    ),
    _table(
        "registry",
        "port",
        "One row is one port (EVSE), from ports.csv.",
        _LINEAGE
        + """
port_id | VARCHAR | Port.
station_id | VARCHAR | Its station.
ocpp_connector_ids | VARCHAR | Its OCPP connectors, split by one space: connector ids (1.6) or EVSE/connector (2.x).
ocpi_evse_uid | VARCHAR | uid of the EVSE in OCPI; compare case-insensitively.
power_type | VARCHAR | AC or DC.
max_power_kw | DECIMAL(18,3) | Rated power, kW.
connector_standards | VARCHAR | Connector standards, as written.
commissioned_at | TIMESTAMPTZ | Start of service, where the file gives an offset.
commissioned_at_local | TIMESTAMP | Start of service on the site's clock, where the file gives no offset.
decommissioned_at | TIMESTAMPTZ | End of service, where the file gives an offset.
decommissioned_at_local | TIMESTAMP | End of service on the site's clock, where the file gives no offset.
funding | VARCHAR | Funding programme, e.g. NEVI.
""",
    ),
    _table(
        "registry",
        "contract",
        "One row is one contract between the owner and the operator of a site or station, from contracts.csv.",
        _LINEAGE
        + f"""
contract_id | VARCHAR | Contract.
site_id | VARCHAR | Site it covers.
station_id | VARCHAR | Station it covers; null is the whole site.
owner_id | VARCHAR | Owner.
operator_id | VARCHAR | Operator.
valid_from | DATE | First day, the site's calendar.
valid_to | DATE | Day on which it no longer holds (exclusive); null is open.
sla_policy_id | VARCHAR | SLA policy, built in or from sla_policies.csv.
sla_target_ratio | DECIMAL(18,6) | Uptime promised, 0..1; null is the policy's own threshold.
sla_credit_per_percent_point | {_MONEY} | Credit per percent point below the target, in `currency`.
owner_share_ratio | DECIMAL(18,6) | The owner's share, 0..1.
share_basis | VARCHAR | What is shared: gross_revenue or net_margin.
operator_fee_per_kwh | {_MONEY} | Fee per kWh, in `currency`.
operator_fee_per_session | {_MONEY} | Fee per session, in `currency`.
operator_fee_per_port_month | {_MONEY} | Fee per port and month, in `currency`.
minimum_guarantee_per_month | {_MONEY} | Least the owner receives per month, in `currency`.
energy_compensation_per_kwh | {_MONEY} | Paid to the owner for each kWh before anything is shared, in `currency`: the owner buys the energy.
currency | VARCHAR | ISO 4217 currency.
""",
    ),
    _table(
        "registry",
        "cost",
        "One row is one cost, grant or credit of a site, from costs.csv.",
        _LINEAGE
        + f"""
cost_id | VARCHAR | Cost.
site_id | VARCHAR | Site.
station_id | VARCHAR | Station; null is the whole site.
kind | VARCHAR | capex, opex, grant or credit.
category | VARCHAR | Free category, e.g. maintenance.
amount | {_MONEY} | Amount in `currency`, as written.
currency | VARCHAR | ISO 4217 currency.
incurred_on | DATE | Day it falls due, of a recurring one the first.
recurs | VARCHAR | once, monthly or yearly; null is once.
ends_on | DATE | Last day a recurring one may fall due; null is open.
""",
    ),
    _table(
        "registry",
        "energy_price",
        "One row is one price of the energy a site buys, for a span of days and hours, from energy_prices.csv.",
        _LINEAGE
        + f"""
site_id | VARCHAR | Site.
valid_from | DATE | First day, the site's calendar.
valid_to | DATE | Day on which it no longer holds (exclusive); null is open.
days | VARCHAR | ISO weekdays (1 is Monday) as digits in order, e.g. 12345; null is every day.
from_time | TIME | From this time of the local day; null is its beginning.
to_time | TIME | To this time of the local day (exclusive); null is its end; not after from_time wraps past midnight.
price_per_kwh | {_MONEY} | Price per kWh, in `currency`.
demand_charge_per_kw_month | {_MONEY} | Demand charge per kW of the month's peak, in `currency`.
demand_ratchet_ratio | DECIMAL(18,6) | Least share, 0..1, of the highest peak of the 11 months before that is charged for; null is none.
fixed_fee_per_month | {_MONEY} | Fixed fee per month, in `currency`.
price_series_id | VARCHAR | Series of hourly_prices.csv whose price is added to price_per_kwh; null is none.
currency | VARCHAR | ISO 4217 currency.
""",
    ),
    _table(
        "registry",
        "hourly_price",
        "One row is one price of a series of wholesale prices, from hourly_prices.csv.",
        _LINEAGE
        + f"""
price_series_id | VARCHAR | Series, e.g. a bidding zone.
started_at | TIMESTAMPTZ | Start of the hour or quarter hour, where the file gives an offset.
started_at_local | TIMESTAMP | Start on the default zone's clock, where the file gives no offset.
price_per_kwh | {_MONEY} | Price per kWh, in `currency`; may be negative.
currency | VARCHAR | ISO 4217 currency.
""",
    ),
    _table(
        "registry",
        "exclusion",
        "One row is one time that does not count as downtime, with its evidence, from exclusions.csv.",
        _LINEAGE
        + """
exclusion_id | VARCHAR | Exclusion.
scope | VARCHAR | port, station or site.
scope_id | VARCHAR | Id of that port, station or site.
started_at | TIMESTAMPTZ | Start, where the file gives an offset.
started_at_local | TIMESTAMP | Start on the site's clock, where the file gives no offset.
ended_at | TIMESTAMPTZ | End (exclusive), where the file gives an offset.
ended_at_local | TIMESTAMP | End (exclusive) on the site's clock, where the file gives no offset.
reason | VARCHAR | scheduled_maintenance, utility_interruption, vandalism, natural_disaster, vehicle_fault, telecom, other.
evidence | VARCHAR | Reference or URL of the evidence; e-mail addresses in it are pseudonyms.
approved_by | VARCHAR | Who approved it; e-mail addresses in it are pseudonyms.
""",
    ),
    _table(
        "registry",
        "sla_policy",
        "One row is one SLA policy of the user's own, from sla_policies.csv; a null is the default of its column.",
        _LINEAGE
        + """
policy_id | VARCHAR | Policy.
version | VARCHAR | Version of the policy's rules.
name | VARCHAR | Name for people.
source | VARCHAR | Where the rules are written.
grain | VARCHAR | What is judged: port, evse, site, site_any (up while any port is), site_all (while all are), owner, network.
aggregate | VARCHAR | How ports are put together: minute_weighted, simple_mean or power_weighted.
window_type | VARCHAR | rolling_months, month, quarter, half_year or calendar_year.
window_months | INTEGER | Months of a rolling window.
window_step | VARCHAR | How often a rolling window is taken: month or quarter.
base_type | VARCHAR | Denominator: fixed_minutes, elapsed, open_hours or elapsed_minus_excluded.
base_minutes | INTEGER | Minutes of a fixed denominator.
threshold_ratio | DECIMAL(18,6) | Uptime to reach, 0..1.
threshold_op | VARCHAR | How it is compared: > or >=.
status_map_available | VARCHAR | What `available` counts as: up, down or exclude (out of the base, shown as unknown).
status_map_occupied | VARCHAR | What `occupied` counts as.
status_map_charging | VARCHAR | What `charging` counts as.
status_map_suspended_ev | VARCHAR | What `suspended_ev` counts as.
status_map_suspended_evse | VARCHAR | What `suspended_evse` counts as.
status_map_reserved | VARCHAR | What `reserved` counts as.
status_map_unavailable | VARCHAR | What `unavailable` counts as.
status_map_faulted | VARCHAR | What `faulted` counts as.
status_map_blocked | VARCHAR | What a working port that OCPI calls BLOCKED counts as.
status_map_unknown | VARCHAR | What `unknown` (a hole in the source) counts as.
offline_treat | VARCHAR | What `offline` (silence) counts as: up, down, exclude or carry (as the state before it).
offline_grace_s | INTEGER | Seconds of silence before offline begins to count.
offline_backdate_to_last_message | BOOLEAN | Whether silence counts from the last frame (true) or the end of the grace.
offline_proof_of_life | VARCHAR | What silent time counts as when later messages prove that the port worked: up or down.
warnings_with_operative_status | VARCHAR | What an error code with a working status counts as: up or down.
fault_codes_not_down | VARCHAR | Error codes of `faulted` that do not count as down, split by one space.
incident_merge_gap_s | INTEGER | Outages less than this many seconds apart are one incident.
incident_min_duration_s | INTEGER | Incidents shorter than this many seconds are not counted as incidents.
exclusions | VARCHAR | Reasons that excuse downtime, by one space: reason[:evidence][:automatic][:incident=minutes][:year=minutes].
scope_min_power_kw | DECIMAL(18,3) | Only ports of at least this rated power, kW.
scope_funded_only | BOOLEAN | Only ports with funding.
scope_dc_only | BOOLEAN | Only DC ports.
""",
    ),
    _table(
        "registry",
        "business_case",
        "One row is one month of a site's business plan, from business_cases.csv.",
        _LINEAGE
        + f"""
site_id | VARCHAR | Site.
month | DATE | First day of the month.
planned_revenue | {_MONEY} | Planned revenue, in `currency`.
planned_cost | {_MONEY} | Planned cost, in `currency`.
currency | VARCHAR | ISO 4217 currency.
discount_rate | DECIMAL(18,6) | Discount rate per year, as a ratio (0.08 is 8 %).
horizon_years | DECIMAL(18,6) | Years looked at.
""",
    ),
    _table(
        "registry",
        "access",
        "One row is one role of one person, from access.csv.",
        _LINEAGE
        + """
email | VARCHAR | Pseudonym of the person's e-mail address.
role | VARCHAR | owner, operator, emsp, analyst or admin.
scope_id | VARCHAR | Owner, operator or EMSP whose rows may be seen; null for analyst and admin.
""",
    ),
    _table(
        "registry",
        "fx_rate",
        "One row is one exchange rate of one day, from fx_rates.csv.",
        _LINEAGE
        + """
on_date | DATE | Day.
from_currency | VARCHAR | ISO 4217 currency converted from.
to_currency | VARCHAR | ISO 4217 currency converted to.
rate | DECIMAL(18,9) | Units of to_currency for one unit of from_currency.
""",
    ),
)

SCHEMA_FINDING = _table(
    "ocpp",
    "schema_finding",
    "One row is one thing that the specification's JSON schema says against one shape of one station's calls in one log.",
    _OCPP_LINEAGE
    + """
protocol | VARCHAR | ocpp1.6, ocpp2.0.1 or ocpp2.1: the version judged by.
message_type | TINYINT | 2 CALL or 6 SEND; answers are not judged.
action | VARCHAR | Action of the call.
shape_hash | VARCHAR | The shape: MD5 (16 hex digits) of the payload without its numbers, ids and times. Line, frame and time are of the first call of it that was sampled.
path | VARCHAR | Where in the payload, from $; positions in lists are left out.
rule | VARCHAR | Keyword of the schema that is broken (required, enum, type, additionalProperties, maxLength, ...), or unknown_action.
message | VARCHAR | What is wrong, in words.
frames | BIGINT | Calls of this station and shape among those sampled (at most some 1,000 of an action).
""",
)

QUARANTINE = _table(
    "quarantine",
    "record",
    "One row is one record that could not be loaded, and why.",
    """
source_id | VARCHAR | Landed file, as in the other lake tables.
path | VARCHAR | Its path below landing/ when it was read.
line_number | BIGINT | Line in the file, from 1; null when the whole file is unreadable.
record_number | BIGINT | Position of the object in an OCPI file, from 1.
column_name | VARCHAR | Column or JSON field at fault, where one is.
value | VARCHAR | The value at fault, cut at 200 characters, pseudonymised.
reason | VARCHAR | Short code of the reason, e.g. bad_json, truncated_frame, missing_required.
expected | VARCHAR | What was expected instead, in words.
text | VARCHAR | The record as delivered, cut at 2,000 characters, pseudonymised.
""",
)

LANDED_FILE = _table(
    "meta",
    "landed_file",
    "One row is one path in the landing folder with the content last seen there.",
    """
source_id | VARCHAR | First 16 hex digits of the SHA-256 of the content.
path | VARCHAR | Path below landing/.
kind | VARCHAR | ocpp, ocpi or registry.
table_name | VARCHAR | OCPI module or registry file the content belongs to; null for logs.
log_format | VARCHAR | Recognised format.
peer | VARCHAR | OCPI peer.
log_source | VARCHAR | Log writer, as in ocpp/frame.
size_bytes | BIGINT | Size of the file.
first_seen_at | TIMESTAMPTZ | When a run first met this path with this content.
is_current | BOOLEAN | Whether this is the newest content met at this path. Registry tables hold current files only.
is_first_path | BOOLEAN | Whether this path brought this content first; further paths with the same content load nothing.
records_read | BIGINT | Records in the file.
records_loaded | BIGINT | Records that went into the lake from this path.
records_duplicate | BIGINT | Records that were there already (whole file known, or the same line twice in it).
records_quarantined | BIGINT | Records that could not be read.
error | VARCHAR | Why the whole file could not be read, if so.
""",
)

# What was published as final. It is written by publishing, read by the models, and never made anew: a full refresh
# decodes all other tables again and leaves these.
SETTLEMENT_TABLES: tuple[LakeTable, ...] = (
    _table(
        "settlement",
        "closed_line",
        "One row is one line of a statement as it stood when its month was closed.",
        f"""
run_id | VARCHAR | Run that closed the month.
statement_id | VARCHAR | Statement.
owner_id | VARCHAR | Owner.
contract_id | VARCHAR | Contract.
site_id | VARCHAR | Site.
local_month | DATE | First day of the month of the statement.
line_type | VARCHAR | Kind of line.
amount_net | {_MONEY} | Amount in `currency`, before taxes; above 0 is the owner's.
currency | VARCHAR | ISO 4217 currency.
cdr_key | VARCHAR | CDR of the line, where it is of one.
cdr_id | VARCHAR | Its id.
billed_gross | {_MONEY} | What the CDR billed after taxes; null where it does not tell.
quantity | {_MONEY} | Quantity that the amount was made of.
unit | VARCHAR | Unit of the quantity.
description | VARCHAR | The line in words.
adjusted_month | DATE | Closed month that the line adjusts.
adjusted_line_type | VARCHAR | Kind of line that it adjusts.
adjustment_reason | VARCHAR | Why.
""",
    ),
    _table(
        "settlement",
        "closed_month",
        "One row is one month of one contract that was closed.",
        """
run_id | VARCHAR | Run that closed it.
contract_id | VARCHAR | Contract.
site_id | VARCHAR | Site.
local_month | DATE | First day of the month.
closed_at | TIMESTAMPTZ | When the run published it as closed.
line_count | BIGINT | Lines kept in settlement/closed_line.
""",
    ),
    _table(
        "settlement",
        "restatement",
        "One row is one change to what a closed month said, as the run that met it booked it.",
        f"""
run_id | VARCHAR | Run that booked it.
restated_at | TIMESTAMPTZ | When that run published it.
owner_id | VARCHAR | Owner.
contract_id | VARCHAR | Contract.
site_id | VARCHAR | Site.
closed_month | DATE | First day of the closed month that is meant.
booked_month | DATE | First day of the month in whose statement it stands.
line_type | VARCHAR | Kind of line that changed.
cdr_key | VARCHAR | CDR that caused it, where it is of one.
cdr_id | VARCHAR | Its id.
reason | VARCHAR | Why: late_cdr, credit_cdr, changed_cdr, removed_cdr, follows_cdr (an amount that hangs on them), changed_input (contract, price or meter) or withdrawn (an adjustment that was not closed yet is no longer due).
amount_net | {_MONEY} | By how much, in `currency`, before taxes; above 0 is the owner's.
currency | VARCHAR | ISO 4217 currency.
""",
    ),
)

ALL_TABLES: tuple[LakeTable, ...] = (
    *OCPP_TABLES,
    SCHEMA_FINDING,
    *OCPI_TABLES,
    *REGISTRY_TABLES,
    QUARANTINE,
    LANDED_FILE,
)


# Level 1 takes a third of the time of level 3 on logs and is no larger. A dictionary of more values than this does not
# pay: ids and payloads are looked up in it for nothing until it is given up.
_PARQUET = (
    "format parquet, compression zstd, compression_level 1, row_group_size 122880, dictionary_size_limit 2000, "
    "write_bloom_filter false"
)


def write_parquet(
    con: duckdb.DuckDBPyConnection,
    relation_sql: str,
    table: LakeTable,
    path: str,
    *,
    constants: Mapping[str, str] | None = None,
) -> int:
    """Write a relation as one Parquet file of a lake table; returns the rows written.

    Args:
        con: Connection on which ``relation_sql`` runs.
        relation_sql: A SELECT with at least the table's columns, by name.
        table: The lake table, whose types and order are applied.
        path: File to write.
        constants: Columns that ``relation_sql`` does not have, and their one value.
    """
    target = path.replace("'", "''")
    copied = con.execute(
        f"copy (select {table.select_list(constants)} from ({relation_sql})) to '{target}' ({_PARQUET})"
    ).fetchone()
    return int(copied[0]) if copied else 0
