"""The parts of the puller: the envelope, peers.toml, windows of time, addresses, retries, and what is kept."""

import json
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import duckdb
import httpx
import pytest

from pipelines.home import Home
from pipelines.ocpi.decode import place_of
from pipelines.ocpi.pull.client import PeerClient, retry_after_s
from pipelines.ocpi.pull.envelope import (
    ClientStatusError,
    PullError,
    RetryableError,
    ServerStatusError,
    page_facts,
    read_envelope,
)
from pipelines.ocpi.pull.peers import Peer, PeersError, read_peers, token_fault
from pipelines.ocpi.pull.run import Window, plan_windows
from pipelines.ocpi.pull.store import (
    PULL_COLUMNS,
    LandedPages,
    PullBusyError,
    PullRecord,
    has_status_changed,
    only_pull,
    read_record,
    read_records,
    write_record,
)
from pipelines.warehouse.publish import _peer_pulls
from tests.peers.fake import ENCODED, TOKEN, FakePeer, Reply, envelope, peers_toml

NOW = datetime(2026, 6, 1, 12, 0, 30, tzinfo=UTC)
END = datetime(2026, 6, 1, 12, 0, 0, tzinfo=UTC)


def a_peer(**options) -> Peer:
    return Peer.model_validate(
        {"name": "quay", "versions_url": "https://cpo.example/ocpi/versions", "token_variable": "T", **options}
    )


# -- the envelope ---------------------------------------------------------------------------------------------------


def test_a_good_envelope_gives_its_data():
    assert read_envelope(b'{"data": [1], "status_code": 1000}').data == [1]
    assert read_envelope(b'{"data": [], "status_code": "1000"}').data == []


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (envelope([], 3000), ServerStatusError),  # HTTP 200 and no data: never "there is nothing"
        (envelope([], 3001, "busy"), ServerStatusError),
        (envelope([], 4002), ServerStatusError),
        (envelope([], 2001), ClientStatusError),
        (envelope([], 2000, "no"), ClientStatusError),
        (envelope([], 0), ServerStatusError),
        (b'{"data": []}', RetryableError),
        (b'{"data": [], "status_code": null}', RetryableError),
        (b'{"data": [], "status_code": "fine"}', RetryableError),
        (b"[]", RetryableError),
        (b"", RetryableError),
        (b"<html>sign in</html>", RetryableError),
        (envelope([{"id": 1}])[:-20], RetryableError),
        (b"\xff\xfe{}", RetryableError),
        (b"[" * 100_000, PullError),
    ],
)
def test_what_is_no_good_answer_is_never_taken_for_data(body, error):
    with pytest.raises(error):
        page_facts(read_envelope(body))


@pytest.mark.parametrize("data", ["null", '"text"', "{}", "7"])
def test_status_1000_without_a_list_is_no_empty_list(data):
    with pytest.raises(RetryableError, match="no list"):
        page_facts(read_envelope(f'{{"data": {data}, "status_code": 1000}}'.encode()))


def test_pages_are_equal_if_their_objects_are_written_alike():
    def of(text: str) -> str:
        return page_facts(read_envelope(f'{{"data": [{text}], "status_code": 1000}}'.encode())).data_hash

    assert of('{"a": 1, "b": 2.50}') == of('{"b": 2.50,   "a": 1}')
    assert of('{"a": 2.50}') != of('{"a": 2.5}')
    assert of('{"a": 0.10000000000000000001}') != of('{"a": 0.1}')
    assert of('{"a": "2.5"}') != of('{"a": 2.5}')


def test_the_span_of_last_updated_is_read_from_what_can_be_read():
    values = ["2026-05-01T10:00:00Z", "2026-05-01T12:00:00", "2026-05-01T12:30:00+02:00", "soon", None, 7]
    data = [{"last_updated": value} for value in values] + [None, "text", {"id": "x"}]
    facts = page_facts(read_envelope(envelope(data)))
    assert facts.oldest == datetime(2026, 5, 1, 10, tzinfo=UTC)
    assert facts.newest == datetime(2026, 5, 1, 12, tzinfo=UTC)
    assert len(facts.fingerprints) == 9


# -- peers.toml -----------------------------------------------------------------------------------------------------


@pytest.fixture
def read(tmp_path: Path):
    def read_text(text: str) -> list[Peer]:
        (tmp_path / "peers.toml").write_text(text)
        return read_peers(tmp_path / "peers.toml")

    return read_text


def test_a_peer_needs_a_name_an_address_and_the_name_of_its_token(read):
    (peer,) = read('[[peer]]\nname = "quay"\nversions_url = "https://a.example/v"\ntoken_variable = "QUAY"\n')
    assert (peer.token_encoding, peer.overlap_hours, peer.modules) == ("auto", 48, None)


def test_every_key_is_read(read, tmp_path: Path):
    text = peers_toml(
        {
            "name": "quay",
            "versions_url": "https://a.example/v",
            "token_variable": "QUAY",
            "token_encoding": "raw",
            "version": "2.2.1",
            "modules": ["cdrs"],
            "since": "2025-01-01",
            "allowed_hosts": ["b.example:8443"],
            "ca_file": "quay.pem",
            "our_party": "AT*CHH",
            "their_party": "PT*QAY",
        }
    )
    (peer,) = read(text)
    assert peer.since == date(2025, 1, 1)
    assert peer.ca_file == tmp_path / "quay.pem"


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('token = "s3cret-value"', "peer quay: token: a token never stands in this file"),
        ('token_variable = "s3cret-value"', "peer quay: token_variable: must be the NAME"),
        ('versions_url = "http://a.example/v"', "peer quay: versions_url is without TLS"),
        ('versions_url = "https://me:s3cret-value@a.example/v"', "must not hold a user or password"),
        ('versions_url = "ftp://a.example/v"', "must be a URL like"),
        ('name = "../quay"', "peer ../quay: name"),
        ('name = "Quay"', "peer Quay: name"),
        ('modules = ["cdrs", "invoices"]', "peer quay: modules"),
        ("modules = []", "peer quay: modules"),
        ("overlap = 3", "peer quay: overlap: Extra inputs are not permitted"),
        ("page_size = 0", "peer quay: page_size"),
        ("requests_per_second = 0", "peer quay: requests_per_second"),
        ('our_party = "AT*CHH"', "go together"),
    ],
)
def test_a_wrong_key_is_named_and_no_value_is_repeated(read, line, message):
    entry = {"name": '"quay"', "versions_url": '"https://a.example/v"', "token_variable": '"QUAY"'}
    key, _, value = line.partition(" = ")
    entry[key] = value
    with pytest.raises(PeersError) as caught:
        read("[[peer]]\n" + "\n".join(f"{k} = {v}" for k, v in entry.items()))
    assert message in str(caught.value)
    assert "s3cret-value" not in str(caught.value)


def test_the_roundings_of_the_audit_stand_in_the_same_file(read):
    assert read('[rounding]\nquay = "total"\n') == []


def test_a_peer_on_this_machine_may_go_without_tls(read):
    for host in ("127.0.0.1:8000", "localhost", "[::1]:8000"):
        read(f'[[peer]]\nname = "q"\nversions_url = "http://{host}/v"\ntoken_variable = "Q"')


def test_what_is_no_list_of_peers_is_said_in_one_line(read, tmp_path: Path):
    one = '[[peer]]\nname = "q"\nversions_url = "https://a.example/v"\ntoken_variable = "Q"\n'
    for text, message in (("[[peer", "is no TOML"), (one + one, "several peers are called q"), ("[pear]", "pear")):
        with pytest.raises(PeersError, match=message) as caught:
            read(text)
        assert "\n" not in str(caught.value).replace("\n[[", "")
    with pytest.raises(PeersError, match="does not exist"):
        read_peers(tmp_path / "none.toml")


@pytest.mark.parametrize("token", ["", "two words", "line\nbreak", "tab\t", "naïve"])
def test_a_token_that_would_break_a_header_is_refused(token):
    assert token_fault(token)


# -- windows of time --------------------------------------------------------------------------------------------------


def plan(module: str = "cdrs", version: str = "2.2.1", watermark: datetime | None = None, **options):
    reread = options.pop("last_reread_at", NOW)
    record = PullRecord("quay", module, "ok", "", "", watermark=watermark.isoformat() if watermark else None)
    record.last_reread_at = reread.isoformat() if reread else None
    return plan_windows(a_peer(**options), module, version, record, NOW)


def test_the_first_pull_asks_for_everything_up_to_half_a_minute_ago():
    assert plan() == ([Window(None, END)], False)


def test_a_first_day_cuts_the_backlog_into_windows_that_leave_nothing_between_them():
    windows, _ = plan(since=date(2026, 1, 1), window_days=30)
    assert windows[0].start == datetime(2026, 1, 1, tzinfo=UTC)
    assert windows[-1].end == END
    assert all(after.start < before.end for before, after in pairwise(windows))
    assert all(window.end - window.start <= timedelta(days=30) for window in windows)
    assert len(windows) == 6


def test_later_pulls_begin_before_the_watermark():
    watermark = NOW - timedelta(hours=5)
    (window,), _ = plan(watermark=watermark)
    assert window.start == (watermark - timedelta(hours=48)).replace(microsecond=0)
    assert window.filters() == {"date_from": "2026-05-30T07:00:30Z", "date_to": "2026-06-01T12:00:00Z"}


def test_once_a_week_the_last_five_weeks_are_read_again():
    yesterday, last_week = NOW - timedelta(days=1), NOW - timedelta(days=7)
    windows, is_reread = plan(watermark=yesterday, last_reread_at=last_week)
    assert (windows[0].start, is_reread) == (NOW - timedelta(days=35), True)
    assert plan(watermark=yesterday, last_reread_at=yesterday)[1] is False
    assert plan(watermark=yesterday, last_reread_at=None)[1] is False
    assert plan(watermark=yesterday, last_reread_at=last_week, reread_days=0)[1] is False
    assert plan("locations", watermark=yesterday, last_reread_at=last_week)[1] is False


def test_the_overlap_does_not_reach_before_the_first_day():
    (window,), _ = plan(watermark=NOW - timedelta(hours=1), since=date(2026, 6, 1))
    assert window.start == datetime(2026, 6, 1, tzinfo=UTC)


def test_tariffs_are_always_read_whole():
    assert plan("tariffs", watermark=NOW, since=date(2026, 1, 1)) == ([Window(None, None)], False)


def test_sessions_of_2_1_1_are_always_asked_for_with_a_first_date():
    (window,), _ = plan("sessions", "2.1.1")
    assert window.start == datetime(2009, 1, 1, tzinfo=UTC)
    assert plan("cdrs", "2.1.1")[0][0].start is None


def test_a_watermark_or_first_day_in_the_future_asks_for_nothing_impossible():
    for options in ({"watermark": NOW + timedelta(days=400)}, {"since": date(2027, 1, 1)}):
        (window,), _ = plan(**options)
        assert window.start <= window.end


# -- addresses --------------------------------------------------------------------------------------------------------

BASE = "https://cpo.example/ocpi/cdrs"


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://cpo.example/a", "https://cpo.example/a"),
        ("https://CPO.example:443/a", "https://cpo.example/a"),
        ("http://cpo.example/a", "https://cpo.example/a"),  # never down to plain text
        ("/a?b=1", "https://cpo.example/a?b=1"),
        ("?b=1", "https://cpo.example/ocpi/cdrs?b=1"),
        ("https://pages.example/a", "https://pages.example/a"),
        ("https://other.example:8443/a", "https://other.example:8443/a"),
    ],
)
def test_an_address_of_the_peer_is_made_safe(url, expected):
    with PeerClient(a_peer(allowed_hosts=["pages.example", "other.example:8443"]), TOKEN) as client:
        assert client.address(url, BASE) == expected


@pytest.mark.parametrize(
    "url",
    [
        "https://evil.example/a",
        "//evil.example/a",
        "https://cpo.example.evil.example/a",
        "https://cpo.example:8443/a",
        "https://user:pw@cpo.example/a",
        "https://cpo.example@evil.example/a",
        "http://169.254.169.254/latest/meta-data",
        "http://127.0.0.1:5432/",
        "file:///etc/passwd",
        "gopher://cpo.example/",
        "http://pages.example/a",
        "https://other.example/a",
        "https://[half",
        "https://cpo.example:port/a",
    ],
)
def test_any_other_address_is_refused(url):
    with (
        PeerClient(a_peer(allowed_hosts=["pages.example", "other.example:8443"]), TOKEN) as client,
        pytest.raises(PullError),
    ):
        client.address(url, BASE)


def test_a_server_without_tls_that_links_with_https_is_asked_as_before():
    with PeerClient(a_peer(versions_url="http://127.0.0.1:8000/v"), TOKEN) as client:
        asked = client.address("https://127.0.0.1:8000/ocpi/2.2.1/details", "http://127.0.0.1:8000/v")
    assert asked == "http://127.0.0.1:8000/ocpi/2.2.1/details"


# -- requests ---------------------------------------------------------------------------------------------------------


def client_of(peer: FakePeer, waits: list[float] | None = None, **options) -> PeerClient:
    peer.origin = "https://cpo.example"
    settings = {"requests_per_second": 1000, "backoff_s": 1, "attempts": 4, **options}
    return PeerClient(
        a_peer(**settings), TOKEN, transport=peer.transport(), sleep=(waits if waits is not None else []).append
    )


def first_replies(*replies: Reply):
    left = list(replies)
    return lambda peer, asked, reply: left.pop(0) if left else None


def test_each_request_carries_token_and_ids_of_its_own():
    peer = FakePeer()
    with client_of(peer, our_party="AT*CHH", their_party="PT*QAY") as client:
        client.get(f"{peer.origin}/ocpi/versions", is_functional=False)
        client.get(f"{peer.origin}/ocpi/cdrs", is_functional=True)
    versions, cdrs = (asked.headers for asked in peer.asked)
    assert versions["authorization"] == f"Token {ENCODED}"
    assert versions["x-request-id"] != cdrs["x-request-id"]
    assert versions["x-correlation-id"] == cdrs["x-correlation-id"]
    assert "ocpi-to-party-id" not in versions
    assert [
        cdrs[f"ocpi-{name}"] for name in ("from-country-code", "from-party-id", "to-country-code", "to-party-id")
    ] == [
        "AT",
        "CHH",
        "PT",
        "QAY",
    ]


@pytest.mark.parametrize(("accepts", "encoding"), [(ENCODED, "base64"), (TOKEN, "raw")])
def test_auto_finds_the_encoding_that_the_peer_accepts_and_keeps_it(accepts, encoding):
    peer = FakePeer(accepts=f"Token {accepts}")
    with client_of(peer) as client:
        for _ in range(3):
            client.get(f"{peer.origin}/ocpi/versions", is_functional=False)
    assert len(peer.asked) == (3 if encoding == "base64" else 4)


def test_a_fixed_encoding_is_not_changed():
    peer = FakePeer(accepts=f"Token {TOKEN}")
    with client_of(peer, token_encoding="base64") as client, pytest.raises(PullError, match="HTTP 401"):
        client.get(f"{peer.origin}/ocpi/versions", is_functional=False)
    assert len(peer.asked) == 1


def test_a_peer_that_asks_for_time_gets_as_much_as_it_asks_for():
    waits: list[float] = []
    peer = FakePeer(behave=first_replies(Reply(429, {"Retry-After": "7"}), Reply(503, {"Retry-After": "0"})))
    with client_of(peer, waits) as client:
        client.get(f"{peer.origin}/ocpi/versions", is_functional=False)
    assert [round(wait) for wait in waits if wait > 0.01] == [7]


def test_waits_grow_when_the_peer_says_nothing():
    waits: list[float] = []
    peer = FakePeer(behave=first_replies(*[Reply(500)] * 3))
    with client_of(peer, waits, requests_per_second=1000) as client:
        client.get(f"{peer.origin}/ocpi/versions", is_functional=False)
    long = [wait for wait in waits if wait >= 1]
    assert [int(wait) for wait in long] == [1, 2, 4]


def test_a_peer_that_wants_to_be_left_alone_for_hours_is_left_until_the_next_pull():
    peer = FakePeer(behave=lambda *_: Reply(429, {"Retry-After": "7200"}))
    with client_of(peer) as client, pytest.raises(PullError, match="HTTP 429"):
        client.get(f"{peer.origin}/ocpi/versions", is_functional=False)
    assert len(peer.asked) == 1


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("120", 120),
        ("Mon, 01 Jun 2026 12:01:00 GMT", 30),
        ("Mon, 01 Jun 2026 11:00:00 GMT", 0),
        ("later", None),
        (None, None),
        ("-5", None),
    ],
)
def test_retry_after_is_seconds_or_a_date(header, seconds):
    assert retry_after_s(header, NOW) == seconds


def test_a_peer_is_not_asked_faster_than_it_bears():
    waits: list[float] = []
    peer = FakePeer()
    with client_of(peer, waits, requests_per_second=2) as client:
        for _ in range(4):
            client.get(f"{peer.origin}/ocpi/versions", is_functional=False)
    assert sum(waits) == pytest.approx(0.5 + 1.0 + 1.5, abs=0.2)  # nobody slept, so each wait counts from the start


@pytest.mark.parametrize("status", [204, 206, 400, 404, 405])
def test_other_statuses_are_errors_and_not_tried_again(status):
    peer = FakePeer(behave=lambda *_: Reply(status))
    with client_of(peer) as client, pytest.raises(PullError, match=f"HTTP {status}"):
        client.get(f"{peer.origin}/ocpi/versions", is_functional=False)
    assert len(peer.asked) == 1


def test_a_page_that_is_too_large_is_not_read_to_its_end_even_if_it_came_small():
    import gzip

    body = gzip.compress(envelope([{"id": "x" * 5_000_000}]))
    assert len(body) < 100_000
    peer = FakePeer(behave=lambda *_: Reply(200, {"Content-Encoding": "gzip"}, body))
    with client_of(peer, max_page_mb=1) as client, pytest.raises(PullError, match="larger than 1 MB"):
        client.get(f"{peer.origin}/ocpi/versions", is_functional=False)


def test_a_redirect_within_the_host_is_followed_with_the_token():
    peer = FakePeer(
        behave=lambda peer, asked, reply: Reply(307, {"Location": "/ocpi/versions"}) if asked.path == "/old" else None
    )
    with client_of(peer) as client:
        assert client.get(f"{peer.origin}/old", is_functional=False).envelope.status_code == 1000


@pytest.mark.parametrize("location", ["https://evil.example/x", "http://169.254.169.254/", "//evil.example", ""])
def test_a_redirect_elsewhere_is_refused(location):
    peer = FakePeer(behave=lambda *_: Reply(302, {"Location": location}))
    with client_of(peer) as client, pytest.raises(PullError, match=r"refused|nowhere"):
        client.get(f"{peer.origin}/ocpi/versions", is_functional=False)
    assert len(peer.asked) == 1


def test_a_circle_of_redirects_ends():
    peer = FakePeer(behave=lambda peer, asked, reply: Reply(302, {"Location": "/again"}))
    with client_of(peer) as client, pytest.raises(PullError, match="redirects 4 times"):
        client.get(f"{peer.origin}/ocpi/versions", is_functional=False)


@pytest.mark.parametrize("secret", [TOKEN, ENCODED])
def test_a_message_never_repeats_the_token(secret):
    peer = FakePeer(behave=lambda *_: Reply(400, {}, json.dumps({"detail": f"bad token {secret}"}).encode()))
    with client_of(peer) as client, pytest.raises(PullError) as caught:
        client.get(f"{peer.origin}/ocpi/versions?echo={secret}", is_functional=False)
    assert secret not in str(caught.value)
    assert "bad token ***" in str(caught.value)


def test_a_dead_connection_is_tried_again_and_then_said():
    calls = []

    def refuse(request: httpx.Request) -> httpx.Response:
        calls.append(request)
        raise httpx.ConnectError("no route")

    client = PeerClient(a_peer(attempts=3), TOKEN, transport=httpx.MockTransport(refuse), sleep=lambda _: None)
    with client, pytest.raises(PullError, match=r"ConnectError: no route, after 3 attempts \(GET https://cpo"):
        client.get("https://cpo.example/ocpi/versions", is_functional=False)
    assert len(calls) == 3


# -- what is kept -----------------------------------------------------------------------------------------------------


def test_a_page_lands_where_the_decoder_looks_for_its_peer(home: Home):
    LandedPages(home, "quay", "cdrs").add(b"body", "0123456789abcdef", NOW)
    (path,) = (home.landing / "ocpi").rglob("*.json")
    place = place_of(str(path.relative_to(home.landing)))
    assert (place.module.name, place.peer) == ("cdrs", "quay")
    assert path.read_bytes() == b"body"


def test_a_page_with_the_same_objects_lands_once_and_again_if_it_was_taken_away(home: Home):
    assert LandedPages(home, "quay", "cdrs").add(b"one", "0" * 16, NOW) is True
    assert LandedPages(home, "quay", "cdrs").add(b"two", "0" * 16, NOW + timedelta(days=40)) is False
    (path,) = (home.landing / "ocpi").rglob("*.json")
    path.unlink()
    assert LandedPages(home, "quay", "cdrs").add(b"two", "0" * 16, NOW) is True


def test_the_half_of_a_page_that_a_killed_pull_left_is_removed(home: Home):
    half = home.landing / "ocpi" / "cdrs" / "quay" / "2026-06" / ".x.json.123-1.tmp"
    half.parent.mkdir(parents=True)
    half.write_text("{")
    pages = LandedPages(home, "quay", "cdrs")
    assert not half.exists()
    assert pages.add(b"one", "0" * 16, NOW) is True


def test_a_record_is_read_as_it_was_written(home: Home):
    record = PullRecord("quay", "cdrs", "ok", NOW.isoformat(), NOW.isoformat(), notes=["odd"], pages=3)
    write_record(home, record)
    assert read_record(home, "quay", "cdrs") == record
    assert read_records(home) == [record]
    assert read_record(home, "quay", "tariffs") is None
    assert set(PULL_COLUMNS) < set(PullRecord.__slots__)


def test_the_published_version_tells_how_the_last_pulls_went(home: Home):
    write_record(home, PullRecord("dock", "cdrs", "failed", NOW.isoformat(), NOW.isoformat(), error="HTTP 500"))
    odd = PullRecord("quay", "cdrs", "ok", NOW.isoformat(), NOW.isoformat(), notes=["odd", "odder"], objects=7)
    write_record(home, odd)
    with duckdb.connect() as con:
        con.execute("set TimeZone = 'UTC'")
        con.execute("attach ':memory:' as candidate")
        con.execute("create schema candidate.meta")
        _peer_pulls(con, home)
        rows = con.execute(
            "select peer, status, started_at, objects, error, notes from candidate.meta.peer_pull"
        ).fetchall()
        told = con.execute(
            "select column_name, comment from duckdb_columns() where table_name = 'peer_pull'"
        ).fetchall()
    assert [(row[0], row[1], row[3], row[4], row[5]) for row in rows] == [
        ("dock", "failed", 0, "HTTP 500", None),
        ("quay", "ok", 7, None, "odd; odder"),
    ]
    assert rows[0][2] == NOW
    assert dict(told) == {name: comment for name, (_, comment) in PULL_COLUMNS.items()}


def test_a_change_of_status_is_news(home: Home):
    assert not has_status_changed(home, NOW.isoformat())
    write_record(home, PullRecord("quay", "cdrs", "failed", NOW.isoformat(), NOW.isoformat()))
    assert has_status_changed(home, (NOW - timedelta(seconds=1)).isoformat())
    assert not has_status_changed(home, (NOW + timedelta(seconds=1)).isoformat())


def test_two_pulls_do_not_work_on_one_home(home: Home):
    with only_pull(home), pytest.raises(PullBusyError, match="another pull"), only_pull(home):
        pass
    with only_pull(home):  # the lock went with its holder
        assert (home.root / ".pull.lock").exists()
