"""The network that is simulated: who owns, who operates, which sites, stations, ports and connectors there are.

Everything here is small (one row a station or connector) and made from the templates in ``templates/``; names are
invented.
"""

import csv
from dataclasses import dataclass, fields
from datetime import date
from importlib.resources import files

import numpy as np

from pipelines.simulator.chance import hashed

DAY_S = 86_400

OCPP16, OCPP201, OCPP21 = "ocpp1.6", "ocpp2.0.1", "ocpp2.1"


@dataclass(frozen=True, slots=True)
class Profile:
    """The knobs of a simulation.

    Attributes:
        heartbeat_interval_s: Heartbeat interval each of the three operators grants at boot, in seconds.
        ac_sample_s: Seconds between meter values of an AC session.
        dc_sample_s: Seconds between meter values of a DC session.
        demand: Factor on the number of arrivals.
        trouble: Factor on the number of outages, faults and maintenance visits.
    """

    heartbeat_interval_s: tuple[int, int, int] = (1800, 3600, 1800)
    ac_sample_s: int = 900
    dc_sample_s: int = 300
    demand: float = 1.0
    trouble: float = 1.0


@dataclass(frozen=True, slots=True)
class Operator:
    """A charge point operator, which is also one OCPI peer and one OCPP log writer.

    Attributes:
        logs_connections: Whether its log shows websockets opening and closing.
        suffix: Archive suffix of its logs.
    """

    operator_id: str
    name: str
    country: str
    party: str
    ocpi_version: str
    logs_connections: bool
    suffix: str

    @property
    def peer(self) -> str:
        """Name of the OCPI peer and of its folders."""
        return self.operator_id


OPERATORS = (
    Operator("gruenstrom", "Gruenstrom Ladenetz GmbH", "DE", "GSL", "2.2.1", True, ".zst"),
    Operator("harbour", "Harbour Charge Ltd", "GB", "HBC", "2.3.0", False, ".gz"),
    Operator("prairie", "Prairie EV Services LLC", "US", "PRE", "2.1.1", True, ".gz"),
)


@dataclass(frozen=True, slots=True)
class Owner:
    """An owner of sites."""

    owner_id: str
    name: str
    country: str
    currency: str
    email: str


OWNERS = (
    Owner("nordlicht", "Nordlicht Immobilien AG", "DE", "EUR", "investor@nordlicht.example"),
    Owner("rivergate", "Rivergate Retail Estates plc", "GB", "GBP", "assets@rivergate.example"),
    Owner("lonestar", "Lone Star Travel Stops Inc", "US", "USD", "ev@lonestar.example"),
    Owner("sued-energie", "Sued Energie Genossenschaft eG", "DE", "EUR", "vorstand@sued-energie.example"),
)


@dataclass(frozen=True, slots=True)
class Emsp:
    """An e-mobility service provider, whose drivers charge with its tokens."""

    emsp_id: str
    name: str
    country: str
    party: str
    currency: str
    fee_per_kwh: str
    fee_per_session: str


EMSPS = (
    Emsp("wattpass", "Wattpass GmbH", "DE", "WPS", "EUR", "0.020", "0.10"),
    Emsp("roamly", "Roamly Mobility Ltd", "GB", "RML", "GBP", "0.015", "0.15"),
)


@dataclass(frozen=True, slots=True)
class SiteTemplate:
    """A kind of site at a place: ``kind`` says who comes when, ``quality`` multiplies its trouble."""

    code: str
    name: str
    kind: str
    operator: int
    owner: int
    time_zone: str
    country: str
    country3: str
    currency: str
    city: str
    postal_code: str
    latitude: str
    longitude: str
    grid_kw: int
    quality: float
    funding: str


@dataclass(frozen=True, slots=True)
class Model:
    """A station model and its habits.

    Attributes:
        ports: EVSEs of a station.
        connectors: Connectors of each EVSE.
        starts_on_plug: 2.x: the transaction starts when the car is plugged in, not when the driver is authorised.
        stamps_status: 1.6: StatusNotification carries its optional timestamp.
        session_register: The meter register counts from 0 in every session.
        meter_in_kwh: Meter values are sent in kWh.
        counts_messages: Message ids are small numbers that come again.
        standards: Connector standards of an EVSE, one a connector.
        faults: 1.6 error codes its faults show.
        firmware: Firmware before and after the update in the middle of the period.
    """

    vendor: str
    model: str
    protocol: str
    power_type: str
    max_kw: int
    ports: int
    connectors: int
    standards: tuple[str, ...]
    firmware: tuple[str, ...]
    faults: tuple[str, ...]
    starts_on_plug: bool
    stamps_status: bool
    session_register: bool
    meter_in_kwh: bool
    counts_messages: bool

    @property
    def is_16(self) -> bool:
        """Whether it speaks OCPP 1.6."""
        return self.protocol == OCPP16


def _read(name: str, kind: type) -> tuple:
    """Read one template file: a column a field, lists split by a space."""
    convert = {
        int: int,
        float: float,
        str: str,
        bool: lambda text: text == "true",
        tuple[str, ...]: lambda text: tuple(text.split()),
    }
    types = {field.name: field.type for field in fields(kind)}
    text = files("pipelines.simulator").joinpath("templates", name).read_text(encoding="utf-8")
    return tuple(
        kind(**{column: convert[types[column]](value) for column, value in row.items()})
        for row in csv.DictReader(text.splitlines())
    )


# Order matters: small networks take the first sites.
SITES: tuple[SiteTemplate, ...] = _read("sites.csv", SiteTemplate)
MODELS: tuple[Model, ...] = _read("models.csv", Model)

# Models by kind of site, in the order the stations of a site take them. Each list holds a model with one port.
MODELS_OF_KIND = {
    "highway": (1, 3, 6, 3),
    "city": (0, 2, 4, 0),
    "workplace": (4, 0, 2, 2),
    "retail": (5, 1, 0, 6),
}
ONE_PORT_MODEL = {"highway": 1, "city": 2, "workplace": 2, "retail": 5}


@dataclass(frozen=True, slots=True)
class Site:
    """One site of the network."""

    site_id: str
    name: str
    template: SiteTemplate
    location_id: str


@dataclass(slots=True)
class Network:
    """The network as arrays; an index into them is what the other modules call a site, station, port or connector."""

    profile: Profile
    start_s: int
    end_s: int
    operators: list[int]
    sites: list[Site]
    station_ids: list[str]
    station_site: np.ndarray
    station_model: np.ndarray
    station_operator: np.ndarray
    station_commissioned_s: np.ndarray  # first boot in the log
    station_is_new: np.ndarray  # commissioned inside the period
    station_first_port: np.ndarray
    port_station: np.ndarray
    port_number: np.ndarray
    port_first_connector: np.ndarray
    connector_port: np.ndarray
    connector_station: np.ndarray
    connector_evse: np.ndarray
    connector_number: np.ndarray

    @property
    def days(self) -> int:
        """Simulated days."""
        return (self.end_s - self.start_s) // DAY_S

    @property
    def port_site(self) -> np.ndarray:
        """Site of each port."""
        return self.station_site[self.port_station]

    @property
    def port_model(self) -> np.ndarray:
        """Model of each port's station."""
        return self.station_model[self.port_station]

    @property
    def port_operator(self) -> np.ndarray:
        """Operator of each port."""
        return self.station_operator[self.port_station]

    @property
    def station_interval_s(self) -> np.ndarray:
        """Heartbeat interval granted to each station, in seconds."""
        return np.array(self.profile.heartbeat_interval_s, dtype=np.int64)[self.station_operator]

    @property
    def station_threshold_s(self) -> np.ndarray:
        """Silence longer than this many seconds is offline."""
        return np.maximum(2 * self.station_interval_s + 30, 600)

    def model_flag(self, name: str) -> np.ndarray:
        """Return an attribute of every model as an array, to be indexed by a model index."""
        return np.array([getattr(model, name) for model in MODELS])

    def port_ids(self) -> list[str]:
        """Return the registry's port ids."""
        stations = [self.station_ids[i] for i in self.port_station]
        return [f"{station}-{number}" for station, number in zip(stations, self.port_number.tolist(), strict=True)]

    def first_stations(self) -> np.ndarray:
        """Return the first station of each operator.

        It never falls silent: all stations together do so only in a hole of the log.
        """
        return np.array([np.flatnonzero(self.station_operator == operator)[0] for operator in self.operators])


def _site_list(count: int) -> list[Site]:
    sites = []
    for number in range(count):
        template = SITES[number % len(SITES)]
        round_ = number // len(SITES) + 1
        code = template.code if round_ == 1 else f"{template.code}{round_}"
        name = template.name if round_ == 1 else f"{template.name} {round_}"
        sites.append(Site(f"site-{code.lower()}", name, template, f"LOC-{code}"))
    return sites


def _station_models(ports: int, sites: list[Site]) -> tuple[list[int], list[int]]:
    """Deal stations to the sites in turn until the ports are used up; returns the site and model of each station."""
    station_site: list[int] = []
    station_model: list[int] = []
    left = ports
    while left > 0:
        number = len(station_site)
        site = number % len(sites)
        kind = sites[site].template.kind
        menu = MODELS_OF_KIND[kind]
        model = menu[(number // len(sites)) % len(menu)]
        if MODELS[model].ports > left:
            model = ONE_PORT_MODEL[kind]
        station_site.append(site)
        station_model.append(model)
        left -= MODELS[model].ports
    return station_site, station_model


def build_network(ports: int, days: int, seed: int, start: date, profile: Profile) -> Network:
    """Lay out a network.

    Args:
        ports: Number of ports (EVSEs).
        days: Length of the period, in days.
        seed: Seed of everything that is left to chance.
        start: First day; the log begins at its midnight UTC.
        profile: The knobs.

    Raises:
        ValueError: ``ports`` or ``days`` is below 1.
    """
    if ports < 1 or days < 1:
        msg = f"a network needs at least 1 port and 1 day, not {ports} ports and {days} days"
        raise ValueError(msg)
    start_s = (start - date(1970, 1, 1)).days * DAY_S
    end_s = start_s + days * DAY_S
    sites = _site_list(max(1, min(ports // 3, 3), min(ports // 4, len(SITES)), ports // 16))
    site_of, model_of = _station_models(ports, sites)
    station_site, station_model = np.array(site_of), np.array(model_of)
    site_operator = np.array([site.template.operator for site in sites])
    station_operator = site_operator[station_site]
    stations = len(station_site)

    station_ids = []
    numbers = [0] * len(sites)
    for site in site_of:
        numbers[site] += 1
        template = sites[site].template
        party = OPERATORS[template.operator].party
        station_ids.append(f"{party}-{sites[site].location_id.removeprefix('LOC-')}-{numbers[site]:02}")

    # Most stations are there from the first minute (the log begins with a migration, so all of them boot); in long
    # periods one in six of the later ones is new and begins work within the first half.
    index = np.arange(stations)
    chance = hashed(seed, 11, index)
    is_new = (index >= 2 * len(sites)) & (chance % 6 == 0) & (days >= 60)
    opened = start_s + (chance // 7 % max(1, days // 2 - 10) + 10).astype(np.int64) * DAY_S + 9 * 3600
    commissioned = np.where(is_new, opened, start_s + 5 + index % 240)

    ports_of = np.array([model.ports for model in MODELS])[station_model]
    port_station = np.repeat(index, ports_of)
    first_port = np.concatenate(([0], np.cumsum(ports_of)[:-1]))
    port_number = np.arange(len(port_station)) - first_port[port_station] + 1
    connectors_of = np.array([model.connectors for model in MODELS])[station_model[port_station]]
    connector_port = np.repeat(np.arange(len(port_station)), connectors_of)
    first_connector = np.concatenate(([0], np.cumsum(connectors_of)[:-1]))
    position = np.arange(len(connector_port)) - first_connector[connector_port] + 1
    # 1.6 numbers connectors through the station; every 1.6 model here has one port or one connector a port.
    is_16 = np.array([model.is_16 for model in MODELS])[station_model[port_station[connector_port]]]
    number_16 = np.where(connectors_of[connector_port] > 1, position, port_number[connector_port])
    return Network(
        profile=profile,
        start_s=start_s,
        end_s=end_s,
        operators=sorted(set(station_operator.tolist())),
        sites=sites,
        station_ids=station_ids,
        station_site=station_site,
        station_model=station_model,
        station_operator=station_operator,
        station_commissioned_s=commissioned,
        station_is_new=is_new,
        station_first_port=first_port,
        port_station=port_station,
        port_number=port_number,
        port_first_connector=first_connector,
        connector_port=connector_port,
        connector_station=port_station[connector_port],
        connector_evse=port_number[connector_port],
        connector_number=np.where(is_16, number_16, position),
    )
