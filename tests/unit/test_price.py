"""``chargehouse price``: one CDR, why it costs what it costs."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from pipelines.cli import main
from tests.vectors.ocpi.defects import cdr, location, tariff

Run = Any


@pytest.fixture
def price(tmp_path: Path) -> Run:
    """Run the command on a CDR (and a tariff) in a home that holds a Location in Berlin."""
    from pipelines.home import Home
    from pipelines.ingest import ingest
    from pipelines.settings import Settings

    home = Home(tmp_path / "home")
    home.prepare()
    folder = home.landing / "ocpi" / "locations"
    folder.mkdir(parents=True)
    (folder / "locations.json").write_text(json.dumps([location("HOME", 1)]))
    ingest(home, Settings(), "ocpi")

    def run(what: Any, by: Any = None, *, at: Path = home.root) -> tuple[int, str]:
        (tmp_path / "CDR.json").write_text(what if isinstance(what, str) else json.dumps(what))
        arguments = ["price", str(tmp_path / "CDR.json"), "--home", str(at)]
        if by is not None:
            (tmp_path / "T.json").write_text(json.dumps(by))
            arguments += ["--tariff", str(tmp_path / "T.json")]
        done = CliRunner().invoke(main, arguments)
        return done.exit_code, done.output

    return run


def _lines(told: str) -> list[str]:
    return [line.strip() for line in told.splitlines()]


def test_each_quantity_is_told_with_its_element_and_price(price: Run):
    code, told = price(cdr("C1", 0))
    lines = _lines(told)
    assert code == 0, told
    assert "ENERGY 10 kWh: element 1, 0.4 per kWh x 10 kWh = 4, VAT 20 %" in lines
    assert "PARKING_TIME 0.5 h: element 1, 2 per h x 0.5 h = 1, VAT 20 %" in lines
    assert "FLAT: element 1, 1 = 1, VAT 20 %" in lines
    assert "TIME 1 h: free, no element has a price for it" in lines
    assert "step_size 60 s: the session's 1800 s are whole steps" in lines
    assert ["by tariff", "6.0000", "7.2000"] in [line.split("  ")[0:1] + line.split()[-2:] for line in lines]
    assert "verdict: match, rounded as `total`" in lines


def test_the_restriction_that_failed_is_told_with_what_the_period_has_instead(price: Run):
    def element(**restrictions: Any) -> dict[str, Any]:
        component = {"type": "ENERGY", "price": 9.0, "step_size": 1}
        return {"price_components": [component], "restrictions": restrictions}

    restricted = [
        element(start_time="22:00", end_time="06:00"),
        element(day_of_week=["SATURDAY", "SUNDAY"]),
        element(start_date="2025-06-01", end_date="2025-09-01"),
        element(min_kwh=5.0),
        element(min_duration=600, max_duration=1200),
    ]
    of = cdr("C1", 0) | {"tariffs": [tariff(elements=restricted + tariff()["elements"])]}
    code, told = price(of)
    assert code == 0, told
    assert [line for line in _lines(told) if line.startswith("not element")] == [
        "not element 1: start_time, end_time: 22:00 to 06:00, the clock shows 11:00:00",
        "not element 2: day_of_week: Sat Sun, it is Mon",
        "not element 3: start_date, end_date: from 2025-06-01 before 2025-09-01, it is 2025-03-03",
        "not element 4: min_kwh, max_kwh: from 5 kWh, it is 0 kWh so far",
        "not element 5: min_duration, max_duration: from 600 below 1200 s, it is 0 s so far",
    ]
    assert "ENERGY 10 kWh: element 6, 0.4 per kWh x 10 kWh = 4, VAT 20 %" in _lines(told)


def test_a_power_the_period_does_not_tell_is_said_to_be_taken_as_met(price: Run):
    element = {
        "price_components": [{"type": "ENERGY", "price": 1.0, "step_size": 1}],
        "restrictions": {"min_power": 50},
    }
    code, told = price(cdr("C1", 0) | {"tariffs": [tariff(elements=[element])]})
    assert code == 0, told
    assert "the element is restricted in current or power, which the period does not tell: taken as met" in _lines(told)


def test_another_tariff_can_be_tried_and_its_steps_are_told(price: Run):
    hourly = [{"price_components": [{"type": "ENERGY", "price": 1.0, "vat": 10, "step_size": 3000}]}]
    code, told = price(cdr("C1", 0), tariff("OTHER", elements=hourly))
    lines = _lines(told)
    assert code == 0, told
    assert "tariff OTHER, embedded in the CDR, prices before taxes" in lines
    assert "step_size 3000 Wh: the session's 10000 Wh become 12000 Wh, the rest at this price" in lines
    assert "verdict: mismatch (cost_mismatch)" in lines


def test_a_price_limit_is_told(price: Run):
    limited = tariff(min_price={"excl_vat": 10.0, "incl_vat": 12.0})
    _, told = price(cdr("C1", 0) | {"tariffs": [limited]})
    assert "min_price changes the total by 4.0000 before and 4.8000 after taxes" in _lines(told)
    assert "verdict: mismatch (min_price_ignored)" in _lines(told)


def test_without_a_home_the_default_zone_serves_and_is_told(price: Run, tmp_path: Path):
    code, told = price(cdr("C1", 0), at=tmp_path / "nowhere")
    assert code == 0, told
    assert "Mon 2025-03-03 10:00:00 to Mon 2025-03-03 11:30:00, UTC by default" in _lines(told)


def test_a_cdr_that_cannot_be_priced_says_why(price: Run):
    of = cdr("C1", 0)
    of.pop("tariffs")
    code, told = price(of)
    assert (code, _lines(told)[-1]) == (0, "not priced: tariff_missing")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("{", "truncated_object"),
        ("[]", "no CDR"),
        (json.dumps({**cdr("C1", 0), "total_energy": None}), "total_energy"),
    ],
)
def test_what_is_no_cdr_ends_with_one_line(price: Run, text: str, why: str):
    code, told = price(text)
    assert code == 1
    assert told.startswith("chargehouse: ")
    assert why in told
    assert len(told.strip().splitlines()) == 1
