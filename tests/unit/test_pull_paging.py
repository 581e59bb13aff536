"""Where the next page is, whatever a peer's headers say: nothing is left out and no circle is walked twice."""

from collections.abc import Callable
from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.ocpi.pull import paging
from pipelines.ocpi.pull.paging import Crawl, LoopError, PageRequest, count, next_link

ENDPOINT = "https://cpo.example/ocpi/2.2.1/cdrs"
FILTERS = {"date_from": "2026-01-01T00:00:00Z", "date_to": "2026-02-01T00:00:00Z"}


def prints(*numbers: int) -> tuple[bytes, ...]:
    return tuple(str(number).encode() for number in numbers)


def walk(crawl: Crawl, page: Callable[[int], tuple[bytes, ...]], total: int | None) -> None:
    """Read pages that always link to a next one."""
    request: PageRequest | None = crawl.first()
    while request is not None:
        following = f"?offset={(crawl.pages + 1) * 100}"
        request, _ = crawl.after(request, page(crawl.pages + 1), following, total)


def query(request: PageRequest | None) -> dict[str, str]:
    assert request is not None
    return {name: values[0] for name, values in parse_qs(urlsplit(request.url).query).items()}


@pytest.fixture
def crawl() -> Crawl:
    return Crawl(ENDPOINT, FILTERS, 100)


@pytest.mark.parametrize(
    ("header", "target"),
    [
        ('<https://a.example/x?offset=5>; rel="next"', "https://a.example/x?offset=5"),
        ("<https://a.example/x>; rel=next", "https://a.example/x"),
        ("<?offset=5>;rel='next'", "?offset=5"),
        ('</p?offset=1>; rel="prev", </p?offset=9>; rel="next"', "/p?offset=9"),
        ('</p?a=1,2>; title="x"; rel="last next"', "/p?a=1,2"),
        ('</p>; REL="NEXT"', "/p"),
        ("</p?offset=7>", "/p?offset=7"),
        ('</p>; rel="prev"', None),
        ("", None),
        (None, None),
        ("no link at all", None),
        ('<>; rel="next"', None),
    ],
)
def test_the_next_page_is_read_from_the_link_header(header, target):
    assert next_link(header) == target


@pytest.mark.parametrize(
    ("header", "number"), [("12", 12), (" 0 ", 0), ("", None), (None, None), ("-1", None), ("many", None), ("٣", None)]
)
def test_counts_are_whole_numbers_or_unknown(header, number):
    assert count(header) == number


def test_the_first_page_carries_filters_and_limit(crawl):
    assert query(crawl.first()) == FILTERS | {"offset": "0", "limit": "100"}


@pytest.mark.parametrize(
    "link",
    [
        f"{ENDPOINT}?offset=100&limit=100",  # the filters are lost
        f"{ENDPOINT}?{'&'.join(f'{k}={v}' for k, v in FILTERS.items())}&offset=100",  # the limit is lost
        "?offset=100",
        "/ocpi/2.2.1/cdrs?offset=100",
        "http://cpo.example/ocpi/2.2.1/cdrs?offset=100",  # without TLS
        "https://10.0.0.7:8080/internal/cdrs?offset=100",  # the address behind the peer's proxy
        "https://cpo.example/ocpi/cpo/VersionNumber.v_2_2_1/ModuleID.cdrs/?date_from=None&date_to=None&offset=100&limit=5",
    ],
)
def test_a_link_that_counts_by_offset_is_followed_at_our_own_address_with_our_own_filters(crawl, link):
    following, _ = crawl.after(crawl.first(), prints(*range(100)), link, 250)
    assert following is not None
    assert following.url.startswith(f"{ENDPOINT}?")
    assert query(following) == FILTERS | {"offset": "100", "limit": "100"}
    assert not following.is_opaque


def test_further_parameters_of_a_link_are_kept_but_not_those_without_a_value(crawl):
    link = "?offset=100&snapshot=77&party=None"
    following, _ = crawl.after(crawl.first(), prints(*range(100)), link, 250)
    assert query(following) == FILTERS | {"offset": "100", "limit": "100", "snapshot": "77"}


def test_a_link_without_an_offset_is_followed_as_it_is_and_marked(crawl):
    following, _ = crawl.after(crawl.first(), prints(1), "/ocpi/more/abc", None)
    assert following == PageRequest("https://cpo.example/ocpi/more/abc", 1, is_opaque=True)


def test_a_link_that_skips_more_than_came_is_not_believed(crawl):
    following, _ = crawl.after(crawl.first(), prints(*range(50)), "?offset=100", 250)
    assert query(following)["offset"] == "50"


def test_an_empty_page_in_the_middle_is_passed_by_the_link(crawl):
    following, _ = crawl.after(crawl.first(), (), "?offset=100", 250)
    assert query(following)["offset"] == "100"


def test_without_a_link_the_total_tells_how_far_to_count(crawl):
    second, _ = crawl.after(crawl.first(), prints(*range(40)), None, 70)
    assert query(second)["offset"] == "40"
    assert crawl.after(second, prints(*range(40, 70)), None, 70) == (None, 30)


def test_without_link_and_total_pages_are_asked_for_until_one_is_empty(crawl):
    second, _ = crawl.after(crawl.first(), prints(*range(50)), None, None)
    assert query(second)["offset"] == "50"
    third, _ = crawl.after(second, prints(*range(50, 60)), None, None)
    assert query(third)["offset"] == "60"
    assert crawl.after(third, (), None, None) == (None, 0)


def test_a_peer_that_gives_its_whole_list_whatever_the_offset_is_read_twice_and_no_more(crawl):
    second, _ = crawl.after(crawl.first(), prints(1, 2, 3), None, None)
    assert crawl.after(second, prints(1, 2, 3), None, None) == (None, 0)


def test_once_links_were_seen_a_page_without_one_is_the_last(crawl):
    second, _ = crawl.after(crawl.first(), prints(*range(100)), "?offset=100", None)
    assert crawl.after(second, prints(100), None, None) == (None, 1)


def test_a_last_page_without_a_link_does_not_end_a_list_that_has_more(crawl):
    second, _ = crawl.after(crawl.first(), prints(*range(100)), "?offset=100", 250)
    third, _ = crawl.after(second, prints(*range(100, 200)), None, 250)
    assert query(third)["offset"] == "200"


def test_objects_that_leave_the_list_meanwhile_take_us_back_a_page(crawl):
    second, _ = crawl.after(crawl.first(), prints(*range(100)), "?offset=100", 250)
    # 0 and 1 are gone: 100 and 101 moved onto the first page after it was read
    again, _ = crawl.after(second, prints(*range(102, 202)), "?offset=200", 248)
    assert query(again)["offset"] == "0"
    second, new = crawl.after(again, prints(*range(2, 102)), "?offset=100", 248)
    assert (query(second)["offset"], new) == ("100", 2)
    third, _ = crawl.after(second, prints(*range(102, 202)), "?offset=200", 248)
    assert query(third)["offset"] == "200"


def test_a_total_that_flutters_does_not_hold_us_for_ever(crawl):
    request, calls = crawl.first(), 0
    while request is not None:
        calls += 1
        offset = int(query(request)["offset"])
        total = 1000 - calls % 2
        request, _ = crawl.after(request, prints(*range(offset, min(offset + 100, 999))), None, total)
    assert crawl.distinct == 999
    assert calls <= 11 + 2 * paging.MAX_STEPS_BACK


def test_a_total_that_counts_objects_that_never_come_is_noted_and_not_an_error(crawl):
    second, _ = crawl.after(crawl.first(), prints(*range(90)), None, 100)
    assert crawl.after(second, (), None, 100) == (None, 0)
    assert crawl.notes == ["X-Total-Count says 100, but 90 different objects came"]


@pytest.mark.parametrize("link", ["?offset=0", f"{ENDPOINT}?offset=0&limit=100"])
def test_a_link_that_leads_back_is_not_followed(crawl, link):
    second, _ = crawl.after(crawl.first(), prints(*range(100)), link, 250)
    assert query(second)["offset"] == "100"
    assert "the Link does not lead forward; went on by counting" in crawl.notes


@pytest.mark.parametrize("total", [None, 250])
def test_pages_that_repeat_are_an_error_as_long_as_something_is_missing(crawl, total):
    page = prints(*range(100))
    with pytest.raises(LoopError, match="pages repeat"):
        walk(crawl, lambda _: page, total)
    assert crawl.pages <= 1 + paging.MAX_BARREN_PAGES


def test_an_opaque_link_to_a_page_already_read_is_an_error(crawl):
    second, _ = crawl.after(crawl.first(), prints(1), "/more?cursor=a", None)
    third, _ = crawl.after(second, prints(2), "/more?cursor=b", None)
    with pytest.raises(LoopError):
        crawl.after(third, prints(3), "/more?cursor=a", None)


def test_pages_that_go_on_empty_behind_the_end_are_left(crawl):
    walk(crawl, lambda number: prints(1) if number == 1 else (), None)
    assert crawl.pages <= 1 + paging.MAX_BARREN_PAGES
    assert crawl.distinct == 1


def test_a_list_without_end_is_given_up(crawl, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(paging, "MAX_PAGES", 50)
    with pytest.raises(LoopError, match="50 pages"):
        walk(crawl, prints, None)


@settings(max_examples=300, deadline=None)
@given(
    size=st.integers(0, 60),
    most=st.integers(1, 25),
    limit=st.integers(1, 40),
    has_total=st.booleans(),
    link_kind=st.sampled_from(["by count", "by our limit", "broken", "none"]),
    hidden=st.sets(st.integers(0, 59)),
)
def test_every_object_comes_whatever_the_server_is_like(  # noqa: PLR0917
    size, most, limit, has_total, link_kind, hidden
):
    """A server that cuts its pages by its own limit, links in one of several ways, and may leave rows out of a page."""
    if link_kind != "by count":
        hidden = set()  # only a link that counts rows can lead past rows that are left out
    shown = set(range(size)) - hidden
    total = size if has_total and not hidden else None
    crawl = Crawl(ENDPOINT, FILTERS, limit)
    request: PageRequest | None = crawl.first()
    got: set[int] = set()
    calls = barren = 0
    while request is not None and barren < paging.MAX_BARREN_PAGES:
        calls += 1
        assert calls < 200
        offset = int(query(request)["offset"])
        end = offset + min(limit, most)
        page = [number for number in range(offset, min(end, size)) if number in shown]
        barren = 0 if set(page) - got else barren + 1
        link = None
        if link_kind != "none" and end < size:
            behind = offset + limit if link_kind == "by our limit" else end
            link = (
                f"https://other.example/nowhere?date_from=None&offset={behind}"
                if link_kind == "broken"
                else f"?offset={behind}"
            )
        try:
            request, _ = crawl.after(request, prints(*page), link, total)
        except LoopError:
            assert barren == paging.MAX_BARREN_PAGES  # three pages in a row left out: no list that can be trusted
        got |= set(page)
    if barren < paging.MAX_BARREN_PAGES:
        assert got == shown
