"""Figures: what is drawn, in which colour."""

import datetime as dt
import itertools

import polars as pl
import pytest

from dashboards import charts
from dashboards.words import NOT_WORKING, STATE_WORDS

JAN, FEB = dt.date(2026, 1, 1), dt.date(2026, 2, 1)


def linear(color: str) -> list[float]:
    """Turn sRGB hex to linear light (IEC 61966-2-1)."""
    channels = [int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    return [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]


# Machado, Oliveira and Fernandes 2009, severity 1.0, on linear RGB.
VISION = {
    "usual": ((1, 0, 0), (0, 1, 0), (0, 0, 1)),
    "protanopia": (
        (0.152286, 1.052583, -0.204868),
        (0.114503, 0.786281, 0.099216),
        (-0.003882, -0.048116, 1.051998),
    ),
    "deuteranopia": (
        (0.367322, 0.860646, -0.227968),
        (0.280085, 0.672501, 0.047413),
        (-0.011820, 0.042940, 0.968881),
    ),
    "tritanopia": (
        (1.255528, -0.076749, -0.178779),
        (-0.078411, 0.930809, 0.147602),
        (0.004733, 0.691367, 0.303900),
    ),
}


def lab(color: str, vision: str) -> tuple[float, float, float]:
    """CIE L*a*b* (D65) of a colour as somebody with this vision sees it."""
    source = linear(color)
    r, g, b = (min(1, max(0, sum(m * c for m, c in zip(row, source, strict=True)))) for row in VISION[vision])
    x = (0.4124564 * r + 0.3575761 * g + 0.1804375 * b) / 0.95047
    y = 0.2126729 * r + 0.7151522 * g + 0.0721750 * b
    z = (0.0193339 * r + 0.1191920 * g + 0.9503041 * b) / 1.08883
    fx, fy, fz = (t ** (1 / 3) if t > 0.008856 else 7.787 * t + 16 / 116 for t in (x, y, z))
    return 116 * fy - 16, 500 * (fx - fy), 200 * (fy - fz)


def distance(one: str, other: str, vision: str) -> float:
    """CIE76 colour difference; about 2 is just noticeable."""
    return sum((a - b) ** 2 for a, b in zip(lab(one, vision), lab(other, vision), strict=True)) ** 0.5


def test_every_state_has_a_colour_and_a_name():
    assert set(charts.STATE_COLORS) == set(STATE_WORDS)
    assert len(set(charts.STATE_COLORS.values())) == len(charts.STATE_COLORS)


@pytest.mark.parametrize("vision", VISION)
def test_working_and_not_working_are_told_apart_with_every_colour_vision(vision):
    for broken in NOT_WORKING:
        for state in set(STATE_WORDS) - set(NOT_WORKING) - {"unknown"}:
            assert distance(charts.STATE_COLORS[broken], charts.STATE_COLORS[state], vision) > 20, (broken, state)


@pytest.mark.parametrize("vision", VISION)
def test_the_kinds_of_not_working_are_told_apart_with_every_colour_vision(vision):
    for one, other in itertools.combinations(NOT_WORKING, 2):
        assert distance(charts.STATE_COLORS[one], charts.STATE_COLORS[other], vision) > 20, (one, other)


def test_the_colour_measure_finds_red_and_green_hard_to_tell_for_some():
    assert distance("#c04000", "#608000", "usual") > 2 * distance("#c04000", "#608000", "deuteranopia")


def months(sites: int) -> pl.DataFrame:
    return pl.DataFrame(
        [
            {
                "local_month": month,
                "site_id": f"s{i}",
                "place": i + 1,
                "is_complete": month == JAN,
                "revenue_net": 10.0 * (i + 1),
            }
            for month in (JAN, FEB)
            for i in range(sites)
        ]
    )


def test_bars_by_month_add_up_to_the_rows_and_hatch_months_that_are_not_over():
    figure = charts.monthly_bars(months(2), value="revenue_net", unit="CHF", labels={"s0": "North"})
    assert [trace.name for trace in figure.data] == ["North", "s1"]
    assert sum(sum(trace.y) for trace in figure.data) == 60
    assert list(figure.data[0].marker.pattern.shape) == ["", "/"]
    assert figure.layout.yaxis.title.text == "CHF"


def test_beyond_eight_sites_the_rest_is_one_bar_and_nothing_is_lost():
    rows = months(12)
    figure = charts.monthly_bars(rows, value="revenue_net", unit="CHF", labels={})
    assert len(figure.data) == 9
    assert figure.data[-1].name == "Other sites"
    assert sum(sum(trace.y) for trace in figure.data) == pytest.approx(rows["revenue_net"].sum())


def test_a_site_keeps_its_colour_whatever_else_is_shown():
    rows = months(3)
    alone = charts.monthly_bars(rows.filter(site_id="s2"), value="revenue_net", unit="CHF", labels={})
    together = charts.monthly_bars(rows, value="revenue_net", unit="CHF", labels={})
    assert alone.data[0].marker.color == together.data[2].marker.color


def test_ports_by_state_keep_the_order_of_sites_and_count_every_port():
    rows = pl.DataFrame(
        {"site_id": ["b", "a", "a"], "state": ["faulted", "available", "unknown"], "port_count": [2, 3, 1]}
    )
    figure = charts.states_now(rows, {"a": "Alpha"})
    assert sum(sum(trace.x) for trace in figure.data) == 6
    assert list(figure.layout.yaxis.categoryarray) == ["Alpha", "b"]  # drawn from the bottom up
    unknown = next(trace for trace in figure.data if trace.name == STATE_WORDS["unknown"])
    assert unknown.marker.pattern.shape == "/"


def test_shares_of_a_port_add_up_to_one_and_unused_kinds_are_left_out():
    rows = pl.DataFrame(
        {
            "label": ["p1", "p2"],
            "period_s": [100, 0],
            "working_s": [60, 0],
            "faulted_s": [30, 0],
            "unavailable_s": [0, 0],
            "offline_s": [0, 0],
            "unknown_s": [10, 0],
        }
    )
    figure = charts.availability_bars(rows)
    assert [trace.name for trace in figure.data] == ["Working", STATE_WORDS["faulted"], STATE_WORDS["unknown"]]
    assert sum(trace.x[0] for trace in figure.data) == pytest.approx(1)
    assert sum(trace.x[1] for trace in figure.data) == 0


def test_strips_start_where_the_interval_starts_and_are_as_long():
    started = dt.datetime(2026, 3, 1, 10, 0)  # noqa: DTZ001 - local time, as the warehouse hands it out
    rows = pl.DataFrame(
        {
            "label": ["p1"],
            "state": ["faulted"],
            "started_at_local": [started],
            "ended_at_local": [started + dt.timedelta(hours=2)],
            "duration_s": [7200],
            "error_code": ["E7"],
        }
    )
    figure = charts.state_timeline(rows)
    (trace,) = figure.data
    assert trace.base[0] == started
    assert trace.x[0] == 7_200_000
    assert trace.marker.color == charts.STATE_COLORS["faulted"]
    assert trace.customdata[0][2] == ", E7"


def test_the_week_has_a_cell_for_every_hour_and_monday_on_top():
    rows = pl.DataFrame({"weekday": [1, 7], "hour": [0, 23], "energy_kwh": [5.0, 7.0]})
    (trace,) = charts.week_heatmap(rows).data
    assert (len(trace.z), len(trace.z[0])) == (7, 24)
    assert (trace.z[0][0], trace.z[6][23]) == (5.0, 7.0)
    assert sum(map(sum, trace.z)) == 12
    assert trace.y[0] == "Mon"


def test_delays_keep_their_order_and_partners_are_stacked_largest_first():
    rows = pl.DataFrame(
        {
            "bucket": [2, 0, 0],
            "bucket_label": ["1 to 6 h", "under 5 min", "under 5 min"],
            "partner": ["A", "A", "B"],
            "cdr_count": [1, 2, 9],
        }
    )
    figure = charts.latency_bars(rows)
    assert [trace.name for trace in figure.data] == ["B", "A"]
    assert list(figure.layout.xaxis.categoryarray) == ["under 5 min", "1 to 6 h"]


def test_bars_of_partners_and_of_unknown_time_carry_their_values():
    (bar,) = charts.partner_bars(pl.DataFrame({"partner": ["A"], "billed_net": [1.5], "cdr_count": [2]}), "EUR").data
    assert (bar.x[0], bar.y[0]) == (1.5, "A")
    days = pl.DataFrame({"local_date": [JAN, FEB], "unknown_s": [50, 0], "period_s": [100, 0]})
    assert list(charts.unknown_by_day(days).data[0].y) == [0.5, 0]


def test_charts_do_not_know_streamlit():
    from pathlib import Path

    assert "streamlit" not in Path(charts.__file__).read_text().split('"""', 2)[2]
