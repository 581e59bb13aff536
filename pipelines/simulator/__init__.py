"""A simulated charging network with known truth: for the demo, for tests and for benchmarks."""

from pipelines.simulator.network import Profile
from pipelines.simulator.run import (
    DEMO_DAYS,
    DEMO_PORTS,
    DEMO_SEED,
    DEMO_START,
    SimulationSummary,
    simulate,
    simulate_demo,
)

__all__ = [
    "DEMO_DAYS",
    "DEMO_PORTS",
    "DEMO_SEED",
    "DEMO_START",
    "Profile",
    "SimulationSummary",
    "simulate",
    "simulate_demo",
]
