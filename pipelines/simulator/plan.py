"""Everything that will have happened, decided before the first message is written."""

from dataclasses import dataclass, replace

import numpy as np
import polars as pl

from pipelines.simulator.drivers import Drivers, make_drivers
from pipelines.simulator.network import Network
from pipelines.simulator.outages import Outages, plan_outages
from pipelines.simulator.sessions import Sessions, plan_sessions
from pipelines.simulator.text import joined, looked_up, number


@dataclass(frozen=True, slots=True)
class Plan:
    """A network, and all that happens in it.

    Attributes:
        net: The network.
        seed: Seed of chance.
        drivers: The drivers' tokens.
        outages: What goes wrong.
        sessions: Who charges.
        transactions: Transaction id of each session: the CSMS's number in 1.6, the station's own text in 2.x.
    """

    net: Network
    seed: int
    drivers: Drivers
    outages: Outages
    sessions: Sessions
    transactions: pl.Series

    def of_operator(self, operator: int) -> "Plan":
        """Return the part of one operator's stations."""
        members = np.flatnonzero(self.net.station_operator == operator)
        own = self.net.port_operator[self.sessions.port] == operator
        return replace(
            self,
            outages=self.outages.take(np.isin(self.outages.station, members)),
            sessions=self.sessions.take(own),
            transactions=self.transactions.filter(pl.Series(own)),
        )


def _transaction_ids(net: Network, sessions: Sessions) -> pl.Series:
    is_16 = net.model_flag("is_16")[net.port_model[sessions.port]]
    stations = pl.Series([f"{name}-" for name in net.station_ids] + [""])
    row = np.where(is_16, len(net.station_ids), net.port_station[sessions.port])
    return joined(looked_up(stations, row), number(sessions.number))


def make_plan(net: Network, seed: int) -> Plan:
    """Decide everything that happens in a network.

    Args:
        net: The network.
        seed: Seed of chance.
    """
    drivers = make_drivers(net, seed)
    outages = plan_outages(net, seed)
    sessions = plan_sessions(net, outages, seed, len(drivers.uid))
    return Plan(net, seed, drivers, outages, sessions, _transaction_ids(net, sessions))
