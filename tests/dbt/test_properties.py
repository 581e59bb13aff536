"""What must not matter does not: the order of lines, their repetition, and how they are cut into files.

A random log is decoded once as it is and once in each disguise; all of them are stations of their own in one home, so that
one run of the models serves every example.
"""

import random
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from pipelines.home import Home
from tests.dbt.test_sessions import build
from tests.homes import decoded
from tests.log_words import DAY, Log

Rows = list[dict[str, Any]]
SEEDS = (1, 2, 3, 4)
DISGUISES = ("as_it_is", "shuffled", "twice", "repeated_here_and_there", "cut_by_line", "cut_at_random", "newest_first")


def messy_log(seed: int, station: str) -> Log:
    """A day of a station of two connectors that goes offline, repeats itself and forgets things."""
    chance = random.Random(seed)
    log = Log()
    second = 0.0

    def say(words: str, after_s: float, own_before_s: float | None = None) -> None:
        nonlocal second
        second += max(after_s, 0.002)
        at = DAY + timedelta(seconds=round(second, 3))
        own = "" if own_before_s is None else f"@{(at - timedelta(seconds=own_before_s)).isoformat()} "
        log.add(station, f"{at.isoformat()} {own}{words}")

    say("connect", 0)
    say("boot -> 300", 1)
    say("status connector=1 is=Available", 1)
    say("status connector=2 is=Available", 1)
    register = [1000.0, 500.0]
    for number in range(chance.randrange(3, 7)):
        connector = chance.choice((1, 2))
        token = chance.choice(("A", "B"))
        pause = chance.choice((30, 400, 900, 2500))
        if chance.random() < 0.3:
            say("disconnect", chance.randrange(5, 300))
            say("connect", chance.choice((20, 90, 4000)))
        say(f"status connector={connector} is=Preparing", pause)
        if chance.random() < 0.7:
            say(f"authorize token={token} -> {chance.choice(('Accepted', 'Accepted', 'Invalid'))}", 3)
        late = chance.choice((None, None, 700, 4000))
        answer = chance.choice((f"-> {100 + number}", f"-> {100 + number}", "-> 0", ""))
        for _ in range(chance.choice((1, 1, 2))):
            say(f"start connector={connector} token={token} meter={int(register[connector - 1])} {answer}", 2, late)
        say(f"status connector={connector} is=Charging", 4)
        for _ in range(chance.randrange(0, 5)):
            register[connector - 1] += chance.randrange(100, 900)
            named = f"tx={100 + number}" if chance.random() < 0.8 else ""
            say(f"meter connector={connector} {named} wh={register[connector - 1]} w=7000", chance.choice((60, 300)))
        if chance.random() < 0.8:
            say(f"stop tx={100 + number} meter={int(register[connector - 1])} token={token}", 60, late and late / 2)
        if chance.random() < 0.2:
            say("boot -> 300", 50)
        say(f"status connector={connector} is={chance.choice(('Finishing', 'Available', 'Faulted'))}", 5)
        say(f"status connector={connector} is=Available", 40)
    return log


def disguised(name: str, lines: list[str], chance: random.Random) -> list[list[str]]:  # noqa: PLR0911 - one a disguise
    """The lines of a log as files."""
    shuffled = chance.sample(lines, len(lines))
    if name == "shuffled":
        return [shuffled]
    if name == "twice":
        return [lines + shuffled]
    if name == "repeated_here_and_there":
        return [lines, chance.sample(lines, len(lines) // 3), chance.sample(lines, len(lines) // 3)]
    if name == "cut_by_line":
        return [lines[number::3] for number in range(3)]
    if name == "cut_at_random":
        cut = sorted(chance.sample(range(1, len(lines)), 3))
        return [lines[a:b] for a, b in zip([0, *cut], [*cut, len(lines)], strict=True)]
    if name == "newest_first":
        return [lines[::-1]]
    return [lines]


class Disguises:
    """Every example in every disguise, through decoder and models."""

    def __init__(self, folder: Path) -> None:
        self.lines: dict[tuple[int, str], int] = {}
        logs: list[Path] = []
        for seed in SEEDS:
            for name in DISGUISES:
                station = f"{name}.{seed}"
                lines = messy_log(seed, station).lines
                self.lines[seed, name] = len(lines)
                source = folder / f"{name}-{'abcdefgh'[seed]}"
                source.mkdir()
                for number, part in enumerate(disguised(name, lines, random.Random(f"{seed} {name}"))):
                    path = source / f"ocpp-{number}.jsonl"
                    path.write_text("".join(f"{line}\n" for line in part))
                    logs.append(path)
        self.home: Home = decoded(folder / "home", logs, relative_to=folder)
        self.query: Callable[[str], Rows] = build(
            self.home.root, folder, "+fct_port_state", "+fct_visit", "+fct_session_curve", "+fct_station_day"
        )

    def told(self, sql: str) -> dict[tuple[int, str], Rows]:
        """Rows of a query with the columns station_id and others, by example and disguise."""
        found: dict[tuple[int, str], Rows] = {(seed, name): [] for seed in SEEDS for name in DISGUISES}
        for row in self.query(sql):
            station = row.pop("station_id")
            name, seed = station.split(".")
            found[int(seed), name].append(row)
        return found


@pytest.fixture(scope="module")
def disguises(tmp_path_factory: pytest.TempPathFactory) -> Disguises:
    return Disguises(tmp_path_factory.mktemp("properties"))


QUERIES = {
    "fct_session": (
        "select station_id, connector_id, transaction_id, started_at, started_at_quality, ended_at, ended_at_quality, "
        "end_source, duration_s, charging_s, idle_s, suspended_ev_s, energy_kwh, energy_method, peak_power_kw, id_token_hash, "
        "start_status, stop_reason, is_complete, is_open, last_seen_at from marts.fct_session "
        "order by station_id, started_at, connector_id, transaction_id"
    ),
    "fct_port_state": (
        "select split_part(port_id, '/', 1) as station_id, split_part(port_id, '/', 2) as port, state, started_at, ended_at, "
        "duration_s, error_code from marts.fct_port_state order by 1, 2, started_at"
    ),
    "fct_session_curve": (
        "select s.station_id, s.started_at, c.sampled_at, c.energy_kwh, c.power_kw from marts.fct_session_curve as c "
        "inner join marts.fct_session as s using (session_id) order by all"
    ),
    # a visit knows its site only, and all of them are at `unmapped`: attempts are compared instead
    "fct_charge_attempt": (
        "select station_id, split_part(port_id, '/', 2) as port, start_mode, started_at, ended_at, is_success, failure_reason, "
        "energy_kwh from marts.fct_charge_attempt order by all"
    ),
}


@pytest.mark.parametrize("mart", QUERIES)
@pytest.mark.parametrize("disguise", DISGUISES[1:])
def test_order_repetition_and_cutting_change_nothing(mart: str, disguise: str, disguises: Disguises):
    told = disguises.told(QUERIES[mart])
    for seed in SEEDS:
        assert told[seed, disguise] == told[seed, "as_it_is"], (seed, disguise)


def test_the_examples_are_worth_comparing(disguises: Disguises):
    sessions = [row for seed in SEEDS for row in disguises.told(QUERIES["fct_session"])[seed, "as_it_is"]]
    states = [row for seed in SEEDS for row in disguises.told(QUERIES["fct_port_state"])[seed, "as_it_is"]]
    assert len(sessions) > 12
    assert len({row["end_source"] for row in sessions}) >= 3
    assert len({row["state"] for row in states}) >= 4


def test_no_frame_is_lost_and_none_counts_twice(disguises: Disguises):
    kept = disguises.query(
        "select station_id, sum(frame_count + connect_count + disconnect_count)::bigint as n from marts.fct_station_day group by 1"
    )
    assert {row["station_id"]: row["n"] for row in kept} == {
        f"{name}.{seed}": lines for (seed, name), lines in disguises.lines.items()
    }
