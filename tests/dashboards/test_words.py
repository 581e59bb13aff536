"""Numbers as people read them."""

import datetime as dt

import pytest

from dashboards import words


def plain(text: str) -> str:
    return text.replace("\u00a0", " ")


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (59.4, "59 s"),
        (60, "1 min"),
        (3599, "59 min"),
        (3600, "1 h"),
        (7380, "2 h 3 min"),
        (86_400, "1 d"),
        (277_200, "3 d 5 h"),
        (None, "-"),
    ],
)
def test_durations_have_their_two_largest_units(seconds, text):
    assert plain(words.duration(seconds)) == text


def test_money_stands_beside_its_currency():
    assert plain(words.money(1234.5, "EUR")) == "1,234.50 EUR"
    assert plain(words.money(-0.5, "CHF")) == "-0.50 CHF"
    assert words.money(None, "EUR") == "-"


def test_a_percentage_never_rounds_up_to_all():
    assert plain(words.percent(0.99999)) == "99.9 %"
    assert plain(words.percent(1)) == "100.0 %"
    assert plain(words.percent(0.1234)) == "12.3 %"
    assert words.percent(None) == "-"


def test_energy_is_in_the_unit_that_reads_best():
    assert [plain(words.energy(x)) for x in (0, 12.34, 5256.4, 123_456)] == [
        "0.0 kWh",
        "12.3 kWh",
        "5,256 kWh",
        "123.5 MWh",
    ]


def test_counted_nouns_agree_with_their_number():
    assert (words.count(1, "port"), words.count(1204, "port")) == ("1 port", "1,204 ports")


def test_lists_read_like_a_sentence():
    assert [words.joined(x) for x in ([], ["a"], ["a", "b"], ["a", "b", "c"])] == ["", "a", "a and b", "a, b and c"]


def test_an_instant_ahead_of_the_clock_is_just_now():
    now = dt.datetime(2026, 3, 1, tzinfo=dt.UTC)
    assert words.age(now + dt.timedelta(hours=1), now) == "just now"
    assert plain(words.age(now - dt.timedelta(hours=2), now)) == "2 h ago"


def test_two_things_of_one_name_are_told_apart_by_their_id():
    assert words.unique_labels(["a", "b", "c", "d"], ["North", "South", "South", None]) == {
        "a": "North",
        "b": "South (b)",
        "c": "South (c)",
        "d": "d",
    }
