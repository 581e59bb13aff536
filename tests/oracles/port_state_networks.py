"""Random small networks whose logs are full of what goes wrong: the input of the port-state oracle test.

Times are whole milliseconds after the start that the caller chooses. Gaps and delays are drawn close to the limits of
the rules (60, 120, 300, 600, 630 seconds, a day), so that being one off shows.
"""

import random
from dataclasses import dataclass, field

from tests.oracles.port_state import STATES_2X, STATES_16, Line, Log, Status, Transaction

S = 1000
HOUR = 3_600_000
DAY = 24 * HOUR

EDGE_GAPS = (599, 600, 601, 629, 630, 631, 1229, 1230, 1231, 1830, 2500, 4000)
EDGE_DELAYS = (-61, -60, -59, -30, -1, 0, 1, 30, 119, 120, 121, 300, 900)
AFTER_DISCONNECT = (0, 1, 30, 59, 60, 61, 90, 400)


@dataclass
class Network:
    """A log source, what is in it, and which connectors make a port."""

    name: str
    log: Log = field(default_factory=Log)
    ports: dict[str, list[tuple[str, int | None, int | None]]] = field(default_factory=dict)
    registered: list[tuple[str, str, str]] = field(default_factory=list)  # port, station, ocpp_connector_ids


class _Station:
    """Writes the log of one station."""

    def __init__(
        self, rng: random.Random, network: Network, name: str, *, is_2x: bool, single: bool, hours: float
    ) -> None:
        self.rng, self.network, self.name, self.is_2x, self.single = rng, network, name, is_2x, single
        self.end = int(hours * HOUR)
        self.whole_seconds = rng.random() < 0.3
        self.with_connections = rng.random() < 0.5
        self.frames = 0
        self.connection: str | None = None
        self.connections = 0
        self.gaps: list[tuple[int, int]] = []
        self.transactions = 0
        self.running: dict[int, str] = {}
        self.lingering: dict[int, list[str]] = {}
        self.ended: list[str] = []
        self.seq = 0
        if is_2x:
            self.connectors = [(evse, c) for evse in (1, 2)[: rng.randint(1, 2)] for c in (1, 2)[: rng.randint(1, 2)]]
        else:
            self.connectors = [(None, c) for c in range(1, rng.randint(1, 3) + 1)]
        self.codes = rng.random() < 0.5
        self.one_file = rng.random() < 0.3

    def file(self, time: int | None) -> str:
        """A new file every 12 hours or one for all: of a single station that tells a hole from an outage."""
        if self.one_file:
            return self.network.name
        return f"{self.network.name}.{0 if time is None else time // (12 * HOUR)}"

    def line(self, time: int | None, **given: object) -> str:
        self.frames += 1
        # not in the order of time, so that ties are broken by something the rules must name
        frame_id = f"{self.rng.getrandbits(32):08x}-{self.name}-{self.frames}"
        if self.whole_seconds and time is not None:
            time = time // S * S
        line = Line(self.name, time, frame_id, self.file(time), connection=self.connection, **given)  # type: ignore[arg-type]
        self.network.log.lines.append(line)
        if self.rng.random() < 0.05:  # delivered once more, in another file
            copy = Line(**{**line.__dict__, "file": f"{self.network.name}.again.{self.rng.randint(0, 3)}"})
            if not self.single:
                self.network.log.lines.append(copy)
        return frame_id

    def received(self, time: int) -> int:
        return time // S * S if self.whole_seconds else time

    def event_time(self, time: int) -> int | None:
        """The charger's time of something that arrives at ``time``."""
        pick = self.rng.random()
        if pick < 0.12:
            return None
        if pick < 0.5:
            return time - self.rng.randint(0, 3 * S)
        if pick < 0.75:
            return time - self.rng.choice(EDGE_DELAYS) * S
        if pick < 0.8:
            return time - 20 * 365 * DAY  # a clock that starts in the past
        if self.gaps:
            began, ended = self.rng.choice(self.gaps[-3:])
            return self.rng.choice((began, ended, ended - 1, self.rng.randint(began, ended), began - 1))
        return time + self.rng.randint(-200 * S, 100 * S)

    def boot(self, time: int) -> None:
        answered = self.rng.random() < 0.8
        self.line(time, action="BootNotification", message_id="1")
        if answered:
            self.line(
                time + self.rng.choice((0, 1, 200)),
                direction="to_station",
                message_type=self.rng.choice((3, 3, 3, 3, 4)),
                message_id="1",
                result_status=self.rng.choice(("Accepted", "Accepted", "Accepted", "Pending", "Rejected")),
                result_interval=self.rng.choice((None, 0, 60, 300, 600, 900)),
            )

    def status(self, time: int, *, ahead: int | None = None) -> None:
        """A status that arrives at ``time``; ``ahead`` is how far the charger's clock is before it."""
        rng = self.rng
        frame_id = self.line(time, action="StatusNotification", message_id=str(self.frames))
        evse, connector = rng.choice(self.connectors)
        names = list(STATES_2X if self.is_2x else STATES_16)
        status = rng.choice(names)
        if rng.random() < 0.1:
            evse, connector = (0 if self.is_2x else None), rng.choice((0, 0, None) if self.is_2x else (0,))
            status = rng.choice(("Available", "Unavailable", "Faulted", "Faulted"))
        elif self.is_2x and rng.random() < 0.2:
            connector = rng.choice((None, 0))
        error = (
            rng.choice((None, "NoError", "GroundFailure", "OtherError"))
            if self.codes and status != "Available"
            else "NoError"
        )
        vendor = rng.choice(("CX009", "A|B")) if error == "OtherError" and rng.random() < 0.5 else None
        received = None if rng.random() < 0.02 else self.received(time)
        event_at = self.event_time(time) if ahead is None else time + ahead
        if received is None and event_at is None:
            return
        if received is None and event_at is not None and event_at < -DAY:
            event_at = time
        self.network.log.statuses.append(
            Status(self.name, received, event_at, frame_id, status, evse, connector, error, vendor)
        )

    def transaction(self, time: int) -> None:
        rng = self.rng
        frame_id = self.line(time, action="TransactionEvent", message_id=str(self.frames))
        evse = rng.choice([e for e, _ in self.connectors])
        assert evse is not None
        self.seq += 1
        running = self.running.get(evse)
        event_type = rng.choice(("Started", "Updated", "Updated", "Ended"))
        lingering = self.lingering.setdefault(evse, [])
        if running is None or (event_type == "Started" and rng.random() < 0.5):
            if running:  # its end is lost, or comes after the next start
                lingering.append(running)
            self.transactions += 1
            running, event_type = f"tx{self.transactions}", "Started"
            self.running[evse] = running
        elif event_type == "Started":
            event_type = "Updated"
        elif event_type == "Ended" and lingering and rng.random() < 0.6:
            running = lingering.pop()
        elif event_type == "Ended":
            self.ended.append(self.running.pop(evse))
        elif self.ended and rng.random() < 0.1:  # something is told of it after its end
            running = rng.choice(self.ended)
        started = event_type == "Started"
        known = {t.transaction_id: t.evse for t in self.network.log.transactions if t.station == self.name and t.evse}
        evse = known.get(running, evse)
        event_at = self.event_time(time) if rng.random() < 0.4 else time - rng.randint(0, 2 * S)
        is_offline = rng.random() < 0.15
        if is_offline and rng.random() < 0.5:  # queued for a while, or by a clock that starts in the past
            event_at = time - rng.choice((200 * S, HOUR, 20 * 365 * DAY))
        self.network.log.transactions.append(
            Transaction(
                self.name,
                self.received(time),
                event_at,
                frame_id,
                event_type,
                running,
                evse if started or running not in known or rng.random() < 0.2 else None,
                None,
                rng.choice(("Charging", "Charging", "SuspendedEV", "SuspendedEVSE", "EVConnected", "Idle", None)),
                self.seq,
                is_offline,
            )
        )

    def run(self, quiet: list[tuple[int, int]]) -> None:  # noqa: PLR0912
        """Write the log from its first line to its end, silent in the quiet times."""
        rng = self.rng
        time = rng.randint(0, 20 * 60 * S)
        if rng.random() < 0.8:
            self.boot(time)
        while time < self.end:
            before = time
            pick = rng.random()
            if pick < 0.15:
                step = 0  # the same instant, or the same second
            elif pick < 0.3:
                step = rng.randint(1, 1500)
            elif pick < 0.9:
                step = rng.randint(5 * S, 400 * S)
            elif pick < 0.98:
                step = rng.choice(EDGE_GAPS) * S + rng.choice((0, 0, 0, 1, 999))
            else:
                step = rng.randint(600 * S, 9000 * S)
            if self.gaps and rng.random() < 0.1:
                # just inside or outside the time in which late deliveries are believed
                late = self.gaps[-1][1] + rng.choice((300 * S, 300 * S + 1, 301 * S))
                step = late - time if late > time else step
            if self.with_connections and rng.random() < 0.08:
                # a disconnect somewhere before the next sign of life
                after = rng.choice(AFTER_DISCONNECT) * S + rng.choice((0, 0, 1))
                step = max(step, 0)
                old = self.connection
                self.line(time + step // 2, event="disconnect", direction="unknown")
                step = step // 2 + after
                self.connections += 1
                self.connection = rng.choice((None, f"c{self.connections}", old))
                if rng.random() < 0.5:
                    self.line(time + step, event="connect", direction="unknown")
                if old and rng.random() < 0.2:
                    now, self.connection = self.connection, old
                    self.line(time + step + 500, event="disconnect", direction="unknown")
                    self.connection = now
            time += step
            for began, ended in quiet:
                if began <= time < ended:
                    time = ended + rng.randint(0, 240 * S)
            if time >= self.end:
                break
            if time - before > 60 * S:
                self.gaps.append((self.received(before), self.received(time)))
            self.act(time)
        if rng.random() < 0.5:
            self.status(self.end, ahead=rng.choice((0, 1, 30, 60)) * S)
        if rng.random() < 0.3:
            self.line(self.end + rng.randint(0, HOUR), direction="to_station", message_type=3, message_id="0")

    def act(self, time: int) -> None:
        pick = self.rng.random()
        if pick < 0.4:
            self.status(time)
        elif pick < 0.6 and self.is_2x:
            self.transaction(time)
        elif pick < 0.64:
            self.boot(time)
        elif pick < 0.7:
            self.line(time, direction="to_station", message_type=2, message_id="0", action="GetConfiguration")
        else:
            direction = self.rng.choice(("from_station", "from_station", "unknown"))
            self.line(time, direction=direction, action="Heartbeat", message_id=str(self.frames))

    def make_ports(self) -> None:
        """Ports of what was named: a 1.6 station's connectors may be registered as one port."""
        seen = set()
        for s in self.network.log.statuses:
            if s.station == self.name and (s.evse if s.evse is not None else s.connector):
                seen.add((s.evse, s.connector or None))
        for t in self.network.log.transactions:
            if t.station == self.name and t.evse:
                seen.add((t.evse, t.connector))
        together = not self.is_2x and len(seen) > 1 and self.rng.random() < 0.5
        if together:
            ids = sorted(c for _, c in seen if c)[:2]
            port = f"port-{self.name}"
            self.network.ports[port] = [(self.name, None, c) for c in ids]
            self.network.registered.append((port, self.name, " ".join(map(str, ids))))
            seen -= {(None, c) for c in ids}
        for evse, connector in sorted(seen, key=lambda c: (c[0] or 0, c[1] or 0)):
            port = f"{self.name}/{evse or connector}"
            self.network.ports.setdefault(port, []).append((self.name, evse, connector))


def make_network(seed: int) -> Network:
    """A network of one to four stations over some hours; every eighth is a lone station over days."""
    rng = random.Random(seed)
    network = Network(f"log{seed}")
    lone = seed % 8 == 0
    hours = 80.0 if lone else rng.choice((1.0, 3.0, 6.0))
    end = int(hours * HOUR)
    quiet = []
    for _ in range(rng.randint(1, 2) if lone else rng.randint(0, 2)):
        began = rng.randint(0, 40 * HOUR if lone else end)
        length = (
            rng.choice((23 * HOUR, DAY - 300 * S, DAY, DAY + 1000 * S, 30 * HOUR))
            if lone
            else rng.randint(300 * S, 5000 * S)
        )
        quiet.append((began, began + length))
    stations = [
        _Station(rng, network, f"s{seed}-{n}", is_2x=rng.random() < 0.5, single=lone, hours=hours)
        for n in range(1 if lone else rng.randint(1, 4))
    ]
    for station in stations:
        station.run(quiet)
        station.make_ports()
    return network
