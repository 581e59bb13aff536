"""Simulate a charging network into a home folder: what peers and chargers deliver, and what is true of it."""

import json
import time
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from pipelines.home import replacing
from pipelines.simulator.billing import bill
from pipelines.simulator.log import write_logs
from pipelines.simulator.network import Profile, build_network
from pipelines.simulator.ocpi import write_objects
from pipelines.simulator.plan import make_plan
from pipelines.simulator.registry import write_registry
from pipelines.simulator.sessions import REFUSED
from pipelines.simulator.truth import write_truth

DEMO_START = date(2025, 10, 1)
DEMO_DAYS = 396  # 13 months, October to October
DEMO_PORTS = 40
DEMO_SEED = 7
_MANIFEST = "files.json"


@dataclass(frozen=True, slots=True)
class SimulationSummary:
    """What a simulation made: ``seconds`` of wall time, ``frames`` written (with websockets opened and closed)."""

    ports: int
    stations: int
    sites: int
    days: int
    frames: int
    sessions: int
    cdrs: int
    files: int
    size_bytes: int
    seconds: float


def _known_files(home_root: Path) -> list[Path]:
    """Return the files an earlier simulation wrote into this home.

    Raises:
        FileExistsError: The home holds deliveries that no simulation wrote.
    """
    manifest = home_root / "truth" / _MANIFEST
    if manifest.exists():
        return [home_root / name for name in json.loads(manifest.read_text())]
    landing = home_root / "landing"
    others = sorted(path for path in landing.rglob("*") if path.is_file()) if landing.exists() else []
    if others:
        msg = f"{others[0]} was delivered by others: simulate into a home of its own"
        raise FileExistsError(msg)
    return []


def simulate(  # noqa: PLR0913
    home_root: Path,
    *,
    ports: int,
    days: int,
    seed: int,
    start: date | None = None,
    profile: Profile | None = None,
) -> SimulationSummary:
    """Write a network into ``landing/**`` of a home, and its ground truth into ``truth/*.parquet``.

    The same arguments give byte-identical files. A home that was simulated before is simulated anew; one that holds
    other deliveries is refused. The log begins at midnight UTC of the first day and ends with the last second of the
    last one.

    Args:
        home_root: The home folder.
        ports: Number of ports (EVSEs).
        days: Length of the period, in days.
        seed: Seed of everything left to chance.
        start: First day; 1 October 2025 unless told.
        profile: Heartbeat intervals, sample intervals, demand and trouble; the demo's unless told.

    Returns:
        Counts, bytes and seconds.

    Raises:
        ValueError: ``ports`` or ``days`` is below 1.
        FileExistsError: The home holds deliveries that no simulation wrote.
    """
    began = time.perf_counter()
    net = build_network(ports, days, seed, start or DEMO_START, profile or Profile())
    before = _known_files(home_root)
    landing, truth = home_root / "landing", home_root / "truth"
    plan = make_plan(net, seed)
    cdrs = bill(net, plan.sessions, seed)
    files = write_registry(net, plan.outages, landing)
    files += write_objects(plan, cdrs, landing)
    logs, frames = write_logs(plan, landing)
    files += logs
    files += write_truth(plan, cdrs, truth)
    for path in set(before) - set(files):
        path.unlink(missing_ok=True)
    names = sorted(str(path.relative_to(home_root)) for path in files)
    with replacing(truth / _MANIFEST) as temporary:
        temporary.write_text(json.dumps(names, indent=1))
    return SimulationSummary(
        ports=ports,
        stations=len(net.station_ids),
        sites=len(net.sites),
        days=days,
        frames=frames,
        sessions=int((plan.sessions.kind != REFUSED).sum()),
        cdrs=len(cdrs),
        files=len(files),
        size_bytes=sum(path.stat().st_size for path in files),
        seconds=time.perf_counter() - began,
    )


def simulate_demo(home_root: Path) -> SimulationSummary:
    """Write the demo: 13 months of 40 ports at 10 sites of 4 owners, run by 3 operators on three continents."""
    # An hour is what many networks grant; it keeps 13 months of heartbeats at some 450,000 of 1.2 million records.
    profile = Profile(heartbeat_interval_s=(3600, 3600, 3600))
    return simulate(home_root, ports=DEMO_PORTS, days=DEMO_DAYS, seed=DEMO_SEED, start=DEMO_START, profile=profile)
