"""Pulling over a real network, from peers that misbehave in every way that was seen in the field: nothing is lost."""

import json
import multiprocessing
import os
import random
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import time
import venv
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from urllib.parse import urlencode

import duckdb
import pytest
import zstandard

from pipelines import ingest
from pipelines.home import Home
from pipelines.ocpi.pull.peers import MODULES, Peer
from pipelines.ocpi.pull.run import PullResult, pull
from pipelines.ocpi.pull.store import PullRecord, read_record
from pipelines.settings import Settings
from tests.peers.cdrs import cdr, stamp
from tests.peers.fake import ENCODED, TOKEN, Asked, FakePeer, Reply, envelope, peers_toml
from tests.pipeline.conftest import CHARGEHOUSE

PROJECT = Path(__file__).resolve().parent.parent.parent
EXTRAWEST = "extrawest-ocpi==2025.7.16"  # pins fastapi, httpx and pydantic to versions that can't live beside ours


def pulled(home: Home, *peers: FakePeer | dict, modules=("cdrs",), is_full: bool = False, **options) -> PullResult:
    entries = [peer if isinstance(peer, dict) else peer.entry(**options) for peer in peers]
    return pull(
        home, [Peer.model_validate(entry) for entry in entries], lambda _: TOKEN, modules=modules, is_full=is_full
    )


def only(result: PullResult) -> PullRecord:
    (record,) = result.records
    return record


def landed(home: Home, module: str = "cdrs") -> list[dict]:
    """Objects in the landing folder, as often as they are there."""
    pages = sorted((home.landing / "ocpi" / module).rglob("*.json"))
    return [item for page in pages for item in json.loads(page.read_text())["data"]]


def ids(objects: list[dict]) -> set[str]:
    return {item["id"] for item in objects}


@pytest.fixture
def peer() -> Iterator[FakePeer]:
    with FakePeer().on_loopback() as serving:
        yield serving


def is_second_page(asked: Asked) -> bool:
    return asked.module == "cdrs" and asked.offset > 0


def once(change: Callable[[Reply], Reply]):
    """Misbehave the first time the second page is asked for."""
    done: list[int] = []

    def behave(_, asked: Asked, reply: Reply) -> Reply | None:
        if is_second_page(asked) and not done:
            done.append(1)
            return change(reply)
        return None

    return behave


def always(change: Callable[[Reply], Reply]):
    """Misbehave whenever the second page is asked for."""
    return lambda _, asked, reply: change(reply) if is_second_page(asked) else None


def relinked(link: Callable[[FakePeer, int], str | None], **headers: str | None):
    """Answer well, but with another Link (given the offset of the next page) and other headers."""

    def behave(peer: FakePeer, asked: Asked, reply: Reply) -> Reply | None:
        if asked.module != "cdrs":
            return None
        size = len(reply.json()["data"])
        has_more = "Link" in reply.headers
        text = link(peer, asked.offset + size) if has_more else headers.get("at_end")
        changed = {k: v for k, v in reply.headers.items() if k != "Link"}
        changed |= {name.replace("_", "-"): value for name, value in headers.items() if name != "at_end"}
        if text is not None:
            changed["Link"] = text
        return Reply(reply.status, {k: v for k, v in changed.items() if v is not None}, reply.body)

    return behave


# -- what goes well ---------------------------------------------------------------------------------------------------


def test_every_page_lands_as_it_was_received(home: Home, peer: FakePeer):
    bodies: list[bytes] = []

    def keep(_, asked: Asked, reply: Reply) -> None:
        if asked.module:
            bodies.append(reply.body)

    peer.behave = keep
    record = only(pulled(home, peer))
    assert (record.status, record.pages, record.objects, record.objects_landed) == ("ok", 3, 250, 250)
    assert sorted(path.read_bytes() for path in (home.landing / "ocpi").rglob("*.json")) == sorted(bodies)
    assert record.watermark == cdr(249)["last_updated"].replace("Z", "+00:00")


def test_the_next_pull_reads_the_overlap_again_and_finds_what_came_late(home: Home, peer: FakePeer):
    pulled(home, peer)
    late = cdr(100) | {"id": "LATE", "last_updated": stamp(datetime(2026, 3, 2, 10, tzinfo=UTC))}
    peer.lists["cdrs"] += [cdr(250), late]
    record = only(pulled(home, peer, window_days=3650, overlap_hours=24))
    assert ids(landed(home)) == ids(peer.lists["cdrs"])
    assert record.objects < 160
    assert record.watermark == cdr(250)["last_updated"].replace("Z", "+00:00")
    third = only(pulled(home, peer, window_days=3650, overlap_hours=24))
    assert third.pages_landed in (0, third.pages)  # the same pages are not written again


def test_a_pull_without_news_lands_nothing(home: Home, peer: FakePeer):
    peer.lists["tariffs"] = [cdr(0)["tariffs"][0]]
    pulled(home, peer, modules=MODULES)
    files = set(home.landing.rglob("*"))
    result = pulled(home, peer, modules=MODULES, is_full=True)
    assert sum(record.objects for record in result.records) == 251
    assert sum(record.objects_landed for record in result.records) == 0
    assert set(home.landing.rglob("*")) == files


def test_a_backlog_is_read_in_windows_and_goes_on_behind_the_last_whole_one(home: Home, peer: FakePeer):
    peer.lists["cdrs"] = [cdr(number * 144 * 10) for number in range(12)]  # one in ten days
    broken = datetime(2026, 5, 1, tzinfo=UTC)

    def break_down(_, asked: Asked, reply: Reply) -> Reply | None:
        return Reply(500) if asked.module and asked.query["date_from"] > stamp(broken) else None

    peer.behave = break_down
    options = {"since": "2026-02-25", "window_days": 20, "overlap_hours": 1}
    first = only(pulled(home, peer, **options))
    assert first.status == "failed"
    assert first.last_reread_at is not None  # a first reading that is cut off is no reason to begin anew
    assert stamp(broken - timedelta(days=20)) < first.watermark < stamp(broken + timedelta(days=20))
    peer.behave = None
    peer.asked.clear()
    second = only(pulled(home, peer, **options))
    assert second.status == "ok"
    assert peer.pages_asked()[0].query["date_from"] > "2026-04"
    assert ids(landed(home)) == ids(peer.lists["cdrs"])


def test_a_window_without_objects_leaves_the_watermark_where_it_was(home: Home):
    with FakePeer({"cdrs": []}).on_loopback() as peer:
        assert only(pulled(home, peer, since="2026-05-01")).watermark is None
        peer.lists["cdrs"] = [cdr(number) for number in range(3)]
        reached = only(pulled(home, peer)).watermark
        peer.lists["cdrs"] = []
        assert only(pulled(home, peer)).watermark == reached == cdr(2)["last_updated"].replace("Z", "+00:00")


def test_no_proxy_comes_from_the_environment(home: Home, peer: FakePeer, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:9")
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    assert only(pulled(home, peer, attempts=1)).status == "ok"
    through = only(pulled(home, peer, attempts=1, proxy="http://127.0.0.1:9"))
    assert "ConnectError" in through.error


def test_all_five_modules_land_in_their_folders(home: Home):
    lists = {module: [{"id": f"{module}-1", "uid": "1", "last_updated": "2026-03-01T00:00:00Z"}] for module in MODULES}
    with FakePeer(lists).on_loopback() as peer:
        result = pulled(home, peer, modules=MODULES)
    assert [(record.module, record.status, record.objects) for record in result.records] == [
        (module, "ok", 1) for module in MODULES
    ]
    assert {path.name for path in (home.landing / "ocpi").iterdir()} == set(MODULES)


def test_a_2_1_1_peer_has_no_roles_a_raw_token_and_wants_a_first_date_for_sessions(home: Home):
    lists = {name: [{"id": "1", "last_updated": "2026-03-01T00:00:00Z"}] for name in ("cdrs", "sessions")}
    with FakePeer(lists, version="2.1.1", accepts=f"Token {TOKEN}").on_loopback() as peer:
        result = pulled(home, peer, modules=MODULES)
    status = {record.module: record.status for record in result.records}
    assert status == {name: "ok" if name in lists else "not_offered" for name in MODULES}
    assert peer.pages_asked("sessions")[0].query["date_from"] == "2009-01-01T00:00:00Z"
    assert "date_from" not in peer.pages_asked("cdrs")[0].query


def test_the_highest_version_in_common_is_spoken_and_the_sender_is_asked(home: Home, peer: FakePeer):
    def offer(peer: FakePeer, asked: Asked, reply: Reply) -> Reply | None:
        if asked.path == "/ocpi/versions":
            versions = ["3.0", "2.2", "2.2.1", "2.1.1"]
            return Reply(body=envelope([{"version": v, "url": f"{peer.origin}/ocpi/{v}"} for v in versions]))
        if asked.path == "/ocpi/2.2.1":
            lists = [("RECEIVER", "nowhere"), ("SENDER", "cdrs")]
            endpoints = [{"identifier": "cdrs", "role": r, "url": f"{peer.origin}/ocpi/{u}"} for r, u in lists]
            return Reply(body=envelope({"version": "2.2.1", "endpoints": endpoints}))
        return None

    peer.behave = offer
    record = only(pulled(home, peer))
    assert (record.status, record.ocpi_version, record.objects) == ("ok", "2.2.1", 250)


# -- links ------------------------------------------------------------------------------------------------------------

LINKS = {
    "extrawest: https forced, path and filters broken, empty at the end": relinked(
        lambda peer, offset: (
            f"<{peer.origin.replace('http', 'https')}/ocpi/cpo/VersionNumber.v_2_2_1/ModuleID.cdrs/"
            f'?date_from=None&date_to=None&offset={offset}&limit=100>; rel="next"'
        ),
        at_end="",
    ),
    "the limit is lost": relinked(lambda peer, offset: f'<{peer.origin}/ocpi/cdrs?offset={offset}>; rel="next"'),
    "relative": relinked(lambda peer, offset: f'<?offset={offset}>; rel="next"'),
    "the host behind the peer's proxy": relinked(
        lambda peer, offset: f'<http://10.0.0.7/x?offset={offset}>; rel="next"'
    ),
    "skips what we asked for, gives less": relinked(lambda peer, offset: f'<?offset={offset + 400}>; rel="next"'),
    "leads to the same page": relinked(lambda peer, offset: f'<?offset={offset - 100}>; rel="next"'),
    "no link, but a total": relinked(lambda peer, offset: None),
    "no link and no total": relinked(lambda peer, offset: None, X_Total_Count=None, X_Limit=None),
    "a link, but no total": relinked(lambda peer, offset: f'<?offset={offset}>; rel="next"', X_Total_Count=None),
    "a total that is no number": relinked(lambda peer, offset: f'<?offset={offset}>; rel="next"', X_Total_Count="many"),
}


@pytest.mark.parametrize("behave", LINKS.values(), ids=LINKS)
def test_all_objects_come_whatever_the_link_is(home: Home, peer: FakePeer, behave):
    peer.behave = behave
    record = only(pulled(home, peer))
    assert (record.status, record.error, record.objects) == ("ok", None, 250)
    assert len(landed(home)) == 250
    assert ids(landed(home)) == ids(peer.lists["cdrs"])
    assert all("date_to" in asked.query for asked in peer.pages_asked())
    assert {asked.path for asked in peer.pages_asked()} == {"/ocpi/cdrs"}


def test_links_with_a_cursor_are_followed_on_the_peers_host(home: Home, peer: FakePeer):
    def cursors(peer: FakePeer, asked: Asked, reply: Reply) -> Reply | None:
        if asked.path.startswith("/more/"):
            asked = Asked("/ocpi/cdrs", {"offset": asked.path.removeprefix("/more/")}, asked.headers)
            reply = peer._good(asked)
        if asked.module and "Link" in reply.headers:
            reply.headers["Link"] = f'<{peer.origin}/more/{asked.offset + 100}>; rel="next"'
        return reply

    peer.behave = cursors
    assert only(pulled(home, peer)).objects == 250
    assert ids(landed(home)) == ids(peer.lists["cdrs"])


def test_a_cursor_on_another_host_is_refused_and_never_sees_the_token(home: Home, peer: FakePeer):
    with FakePeer(accepts="anything").on_loopback() as other:
        peer.behave = relinked(lambda *_: f'<{other.origin}/ocpi/more?cursor=7>; rel="next"')
        record = only(pulled(home, peer))
    assert record.status == "failed"
    assert "refused to follow the peer to another host, 127.0.0.1:" in record.error
    assert "allowed_hosts" in record.error
    assert other.asked == []
    assert record.watermark is None


@pytest.mark.parametrize("place", ["endpoint", "version", "redirect"])
def test_the_token_goes_to_no_other_host(home: Home, peer: FakePeer, place: str):
    with FakePeer().on_loopback() as other:

        def lure(peer: FakePeer, asked: Asked, reply: Reply) -> Reply | None:
            if place == "version" and asked.path == "/ocpi/versions":
                return Reply(body=reply.body.replace(peer.origin.encode(), other.origin.encode()))
            if place == "endpoint" and asked.path == "/ocpi/2.2.1":
                return Reply(body=reply.body.replace(peer.origin.encode(), other.origin.encode()))
            if place == "redirect" and asked.module:
                return Reply(307, {"Location": f"{other.origin}/ocpi/cdrs?{urlencode(asked.query)}"})
            return None

        peer.behave = lure
        record = only(pulled(home, peer))
        assert (record.status, other.asked) == ("failed", [])
        allowed = other.origin.removeprefix("http://")
        assert only(pulled(home, peer, allowed_hosts=[allowed])).status == "ok"
        assert len(other.asked) > 0


def test_a_missing_slash_is_redirected_within_the_host(home: Home, peer: FakePeer):
    def slashed(peer: FakePeer, asked: Asked, reply: Reply) -> Reply | None:
        if asked.path == "/ocpi/cdrs":
            return Reply(307, {"Location": f"{peer.origin}/ocpi/cdrs/?{urlencode(asked.query)}"})
        return peer._good(Asked("/ocpi/cdrs", asked.query, asked.headers)) if asked.path == "/ocpi/cdrs/" else None

    peer.behave = slashed
    assert only(pulled(home, peer)).objects == 250


# -- answers ----------------------------------------------------------------------------------------------------------

PASSING = {
    "429 with Retry-After": lambda _: Reply(429, {"Retry-After": "0"}),
    "500": lambda _: Reply(500, {}, b"<html>oops</html>"),
    "503": lambda _: Reply(503),
    "HTTP 200, status 3000, no data": lambda _: Reply(body=envelope([], 3000, "Generic server error")),
    "HTTP 200, status 3001": lambda _: Reply(body=envelope([], 3001)),
    "hub timeout, status 4002": lambda _: Reply(body=envelope([], 4002)),
    "truncated JSON": lambda reply: Reply(200, reply.headers, reply.body[: len(reply.body) // 2]),
    "cut connection": lambda reply: Reply(200, reply.headers, reply.body, cut=len(reply.body) // 2),
    "a page of HTML": lambda _: Reply(200, {"Content-Type": "text/html"}, b"<html>maintenance</html>"),
    "no envelope": lambda reply: Reply(200, reply.headers, json.dumps(reply.json()["data"]).encode()),
    "no status_code": lambda reply: Reply(200, reply.headers, b'{"data": []}'),
    "status 1000 without data": lambda reply: Reply(200, reply.headers, b'{"data": null, "status_code": 1000}'),
    "an empty body": lambda reply: Reply(200, reply.headers, b""),
}


@pytest.mark.parametrize("change", PASSING.values(), ids=PASSING)
def test_what_goes_by_is_tried_again(home: Home, peer: FakePeer, change):
    peer.behave = once(change)
    record = only(pulled(home, peer))
    assert (record.status, record.objects) == ("ok", 250)
    assert ids(landed(home)) == ids(peer.lists["cdrs"])


STAYING = PASSING | {
    "status 2001": lambda _: Reply(body=envelope([], 2001, "no such parameter")),
    "404": lambda _: Reply(404),
    "403 without an envelope": lambda _: Reply(403, {}, b'{"detail": "no"}'),
    "204": lambda _: Reply(204),
    "an encoding that was not asked for": lambda reply: Reply(
        200, reply.headers | {"Content-Encoding": "zstd"}, zstandard.compress(reply.body)
    ),
    "too large": lambda reply: Reply(200, reply.headers, envelope(["x" * 1_100_000])),
}


@pytest.mark.parametrize("change", STAYING.values(), ids=STAYING)
def test_what_stays_is_an_error_and_never_the_end_of_the_list(home: Home, peer: FakePeer, change):
    peer.behave = always(change)
    record = only(pulled(home, peer, max_page_mb=1))
    assert record.status == "failed"
    assert record.watermark is None
    assert "\n" not in record.error
    assert "GET http://127.0.0.1" in record.error
    assert len(landed(home)) == 100
    peer.behave = None
    assert only(pulled(home, peer, max_page_mb=1)).status == "ok"
    assert sorted(item["id"] for item in landed(home)) == sorted(ids(peer.lists["cdrs"]))


def test_a_server_that_does_not_answer_is_given_up_in_time(home: Home, peer: FakePeer):
    peer.behave = once(lambda reply: time.sleep(0.6) or reply)
    assert only(pulled(home, peer, timeout_s=0.3)).objects == 250
    peer.behave = always(lambda reply: time.sleep(0.6) or reply)
    assert "ReadTimeout" in only(pulled(home, peer, timeout_s=0.3, attempts=2, is_full=True)).error


def test_pages_that_repeat_are_an_error(home: Home, peer: FakePeer):
    def stuck(peer: FakePeer, asked: Asked, reply: Reply) -> Reply | None:
        return peer._good(Asked(asked.path, asked.query | {"offset": "0"}, asked.headers)) if asked.module else None

    peer.behave = stuck
    record = only(pulled(home, peer))
    assert "the pages repeat: after 100 of 250 objects" in record.error
    assert record.watermark is None
    assert len(peer.pages_asked()) <= 5


def test_a_peer_that_knows_no_offset_is_read_whole(home: Home, peer: FakePeer):
    def whole(peer: FakePeer, asked: Asked, reply: Reply) -> Reply | None:
        return Reply(body=envelope(peer.lists["cdrs"])) if asked.module else None

    peer.behave = whole
    record = only(pulled(home, peer))
    assert (record.status, record.pages, record.objects, record.objects_landed) == ("ok", 2, 250, 250)


def test_a_peer_that_ignores_dates_is_not_read_once_per_window(home: Home, peer: FakePeer):
    peer.filtered = lambda asked: peer.lists[asked.module]
    record = only(pulled(home, peer, since="2026-02-01", window_days=10))
    assert (record.status, len(landed(home))) == ("ok", 250)
    assert record.notes == ["the peer does not filter by date"]
    assert len(peer.pages_asked()) == 6


def test_objects_that_come_and_go_while_pages_are_read_leave_no_gap(home: Home, peer: FakePeer):
    everything = list(peer.lists["cdrs"])

    def shrink(peer: FakePeer, asked: Asked, reply: Reply) -> Reply | None:
        if is_second_page(asked) and len(peer.lists["cdrs"]) == 250:
            del peer.lists["cdrs"][10:13]
            peer.lists["cdrs"].append(cdr(250))
            return peer._good(asked)
        return None

    peer.behave = shrink
    assert only(pulled(home, peer)).status == "ok"
    assert ids(landed(home)) == ids([*everything, cdr(250)])


def test_a_clock_that_runs_ahead_does_not_move_the_watermark_ahead(home: Home, peer: FakePeer):
    peer.lists["cdrs"].append(cdr(1) | {"id": "AHEAD", "last_updated": "2099-01-01T00:00:00Z"})
    peer.filtered = lambda asked: peer.lists[asked.module]
    record = only(pulled(home, peer))
    assert record.watermark < datetime.now(UTC).isoformat()


def test_broken_objects_in_a_list_do_not_spoil_the_others(home: Home, peer: FakePeer):
    def spoil(_, asked: Asked, reply: Reply) -> Reply | None:
        if not asked.module:
            return None
        data = reply.json()["data"]
        data[3:3] = [None, "text", {"id": "half"}]
        return Reply(200, reply.headers, envelope(data))

    peer.behave = spoil
    assert only(pulled(home, peer)).status == "ok"
    loaded = load(home)
    assert (loaded.loaded, loaded.quarantined) == (250, 6)  # what stands between two objects is one record


def test_defects_of_objects_are_tolerated_by_the_decoder(home: Home, peer: FakePeer):
    """Ids in lower case, absent optionals as null, no evse_uid, prices as texts, times with an offset of zero."""

    def lower(value):
        return value.lower() if isinstance(value, str) else value

    objects = []
    for number in range(250):
        item = cdr(number)
        item |= {key: lower(item[key]) for key in ("id", "country_code", "party_id", "session_id")}
        item |= {"remark": None, "signed_data": None, "credit": None, "total_parking_time": None, "meter_id": None}
        item["cdr_token"] = {key: value if key == "type" else lower(value) for key, value in item["cdr_token"].items()}
        item["cdr_location"] = {k: v for k, v in item["cdr_location"].items() if k != "evse_uid"}
        item["total_cost"] = {"excl_vat": str(item["total_cost"]["excl_vat"]), "incl_vat": None}
        item["end_date_time"] = item["end_date_time"].replace("Z", "+00:00")
        objects.append(item)
    peer.lists["cdrs"] = objects
    assert only(pulled(home, peer)).objects == 250
    loaded = load(home)
    assert (loaded.loaded, loaded.quarantined) == (250, 0)


# -- several peers, and the command ---------------------------------------------------------------------------------


def command(home: Home, *arguments: str, token: str | None = TOKEN) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "COLUMNS": "200"} | ({"QUAY_TOKEN": token} if token is not None else {})
    return subprocess.run(
        [str(CHARGEHOUSE), "pull", "--home", str(home.root), *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env=environment,
    )


def test_a_peer_that_fails_leaves_the_others_be_and_is_named_in_one_line(home: Home, peer: FakePeer):
    with FakePeer(behave=lambda *_: Reply(500)).on_loopback() as bad:
        (home.root / "peers.toml").write_text(peers_toml(bad.entry("dock"), peer.entry("quay"), peer.entry("pier")))
        done = command(home)
    assert done.returncode == 1
    assert done.stderr.startswith(
        "chargehouse: 1 of 3 peer(s) failed: dock (tariffs, locations, tokens, sessions, cdrs)"
    )
    assert "HTTP 500, after 3 attempts (GET http://127.0.0.1" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert ids(landed(home)) == ids(peer.lists["cdrs"])
    assert read_record(home, "dock", "cdrs").status == "failed"
    assert read_record(home, "quay", "cdrs").status == "ok"
    assert [line.split()[:5] for line in done.stdout.splitlines() if line.startswith("quay")] == [
        ["quay", "cdrs", "ok", "3", "250"]
    ]


@pytest.mark.parametrize("accepts", ["Token other", "Basic x"])
def test_a_wrong_token_is_said_and_shown_nowhere(home: Home, accepts: str):
    def echo(_, asked: Asked, reply: Reply) -> Reply | None:
        said = asked.headers["authorization"]
        return Reply(403, {}, json.dumps({"detail": f"{said} is wrong"}).encode()) if reply.status == 401 else None

    with FakePeer(behave=echo, accepts=accepts).on_loopback() as peer:
        (home.root / "peers.toml").write_text(peers_toml(peer.entry()))
        done = command(home, "--verbose")
    assert done.returncode == 1
    assert "HTTP 403 (Token *** is wrong): the peer does not accept the token" in done.stderr
    everything = done.stdout + done.stderr
    everything += "".join(path.read_text() for path in home.root.rglob("*") if path.suffix in (".json", ".toml"))
    assert TOKEN not in everything
    assert ENCODED.rstrip("=") not in everything


def test_a_token_that_is_not_set_is_named_by_its_variable(home: Home, peer: FakePeer):
    (home.root / "peers.toml").write_text(peers_toml(peer.entry()))
    done = command(home, token=None)
    assert (done.returncode, peer.asked) == (1, [])
    assert "the environment variable QUAY_TOKEN is not set" in done.stderr


def test_a_peer_that_answers_a_malformed_token_with_3000_is_not_taken_for_an_empty_one(home: Home):
    def three_thousand(_, asked: Asked, reply: Reply) -> Reply | None:
        return Reply(200, {"X-Total-Count": "0"}, envelope([], 3000)) if reply.status == 401 else None

    with FakePeer(behave=three_thousand).on_loopback() as peer:
        record = only(pulled(home, peer, token_encoding="raw"))
        assert record.status == "failed"
        assert "OCPI status 3000" in record.error
        assert only(pulled(home, peer, token_encoding="auto")).objects == 250


def test_check_asks_for_nothing_but_version_and_modules(home: Home, peer: FakePeer):
    (home.root / "peers.toml").write_text(peers_toml(peer.entry()))
    done = command(home, "--check")
    assert (done.returncode, done.stdout) == (0, "quay: OCPI 2.2.1, offers cdrs\n")
    assert peer.pages_asked() == []


@pytest.mark.parametrize(
    ("arguments", "toml", "code", "message"),
    [
        ([], None, 1, "peers.toml does not exist"),
        ([], "", 1, "lists none"),
        ([], "[[peer]]\nname = 'quay'", 1, "peer quay: versions_url: Field required"),
        (["--peer", "nobody"], "quay", 2, "no peer called nobody"),
        (["--module", "invoices"], "quay", 2, "invoices"),
    ],
)
def test_wrong_settings_are_one_clear_line(home: Home, arguments, toml, code, message):
    if toml is not None:
        text = peers_toml(FakePeer().entry()) if toml == "quay" else toml
        (home.root / "peers.toml").write_text(text)
    done = command(home, *arguments)
    assert done.returncode == code
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_a_module_that_was_asked_for_and_is_not_offered_is_an_error(home: Home, peer: FakePeer):
    (record,) = pulled(home, peer.entry(modules=["tariffs"]), modules=MODULES).records
    assert (record.status, record.error) == ("failed", "the peer offers no tariffs in version 2.2.1")


def test_dagsters_job_pulls_and_fails_when_a_peer_fails(home: Home, peer: FakePeer, monkeypatch: pytest.MonkeyPatch):
    from pipelines.defs.pulling import PULL_JOB, pull_definitions

    monkeypatch.setenv("QUAY_TOKEN", TOKEN)
    (home.root / "peers.toml").write_text(peers_toml(peer.entry()))
    job = pull_definitions(home).resolve_job_def(PULL_JOB)
    result = job.execute_in_process(raise_on_error=False)
    assert result.success
    (event,) = result.get_asset_materialization_events()
    assert event.materialization.metadata["objects"].value == 250
    assert ids(landed(home)) == ids(peer.lists["cdrs"])
    peer.behave = lambda *_: Reply(500)
    assert not job.execute_in_process(raise_on_error=False).success


# -- TLS --------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A certificate of 127.0.0.1 that no authority knows, and its key."""
    import ipaddress

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    alternative = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(alternative, critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    folder = tmp_path_factory.mktemp("certificate")
    (folder / "cert.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    (folder / "key.pem").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return folder / "cert.pem", folder / "key.pem"


def test_tls_is_verified_always(home: Home, certificate: tuple[Path, Path]):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    with FakePeer().on_loopback(tls=context) as peer:
        refused = only(pulled(home, peer, attempts=1))
        assert "CERTIFICATE_VERIFY_FAILED" in refused.error
        assert peer.asked == []
        assert only(pulled(home, peer, ca_file=str(certificate[0]))).objects == 250


# -- exactly once -----------------------------------------------------------------------------------------------------


def load(home: Home):
    """Decode everything in the landing folder, as a run does; returns the counts."""
    settings = Settings(home=home.root, pseudonym_key="a key for tests")
    return ingest.ingest(home, settings, "ocpi").counts


def staged_cdrs(home: Home, work: Path) -> list[tuple[str, int]]:
    """Run staging on the home's lake; returns each CDR's id in lower case with the number of its versions."""
    program = [str(Path(sys.executable).parent / "dbt"), "run", "--select", "stg_ocpi__cdrs", "--no-use-colors"]
    folders = ["--project-dir", str(PROJECT / "dbt"), "--profiles-dir", str(PROJECT / "dbt")]
    folders += ["--target-path", str(work / "target"), "--log-path", str(work / "logs")]
    environment = {**os.environ, "CHARGEHOUSE_HOME": str(home.root)}
    done = subprocess.run([*program, *folders], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-4000:]
    with duckdb.connect(str(home.build_database), read_only=True) as con:
        return con.execute("select lower(cdr_id), version_count from staging.stg_ocpi__cdrs order by 1").fetchall()


def _pull_and_die(root: str, entry: dict) -> None:
    pull(Home(Path(root)), [Peer.model_validate(entry)], lambda _: TOKEN, modules=["cdrs"])


def test_killed_at_twenty_random_moments_a_pull_loses_and_doubles_nothing(home: Home, tmp_path: Path):
    """SIGKILL at a random request and a random delay after it; each time the next pull goes on."""
    chance = random.Random(20)
    first = datetime.now(UTC).replace(microsecond=0) - timedelta(days=4)
    processes = multiprocessing.get_context("forkserver")
    processes.set_forkserver_preload(["tests.pipeline.test_pull"])
    peer = FakePeer({"cdrs": [cdr(number, first) for number in range(500)]}, most=50)
    peer.behave = lambda *_: time.sleep(0.002)
    killed = 0
    watermarks = []
    with peer.on_loopback() as serving:
        entry = serving.entry(since=f"{first:%Y-%m-%d}", window_days=1, overlap_hours=3)
        while killed < 20:
            serving.asked.clear()
            process = processes.Process(target=_pull_and_die, args=(str(home.root), entry))
            process.start()
            moment = chance.randrange(0, 14)  # of some 18 requests that a whole pull makes
            while len(serving.asked) < moment and process.is_alive():
                time.sleep(0.001)
            time.sleep(chance.random() * 0.01)
            process.kill()
            process.join()
            killed += process.exitcode == -signal.SIGKILL
            if process.exitcode == 0:  # it was done before: have the next ones begin anew
                shutil.rmtree(home.lake / "_pulls")
            record = read_record(home, "quay", "cdrs")
            watermarks.append((record.watermark if record else None) or "")
        last = only(pulled(home, entry))
    assert last.status == "ok"
    assert all(after >= before or after == "" for before, after in pairwise(watermarks))
    assert len(set(watermarks)) > 2  # they did get on in between
    assert ids(landed(home)) == ids(serving.lists["cdrs"])
    texts = [path.read_bytes() for path in (home.landing / "ocpi").rglob("*") if path.is_file() and path.name[0] != "."]
    assert all(json.loads(text)["status_code"] == 1000 for text in texts)  # no half page
    counts = load(home)
    assert counts.quarantined == 0
    assert staged_cdrs(home, tmp_path) == [(f"cdr-{number:06d}", 1) for number in range(500)]


# -- a peer that is not ours -----------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def extrawest_python(pytestconfig: pytest.Config) -> Path:
    """A Python with extrawest-ocpi: named by CHARGEHOUSE_EXTRAWEST_PYTHON, or made once in the test cache."""
    if named := os.environ.get("CHARGEHOUSE_EXTRAWEST_PYTHON"):
        return Path(named)
    folder = pytestconfig.cache.mkdir("extrawest")
    python = folder / "bin" / "python"
    if not (folder / "made").exists():
        venv.create(folder, with_pip=True, clear=True)
        done = subprocess.run(
            [str(python), "-m", "pip", "install", "--quiet", EXTRAWEST, "uvicorn"],
            capture_output=True, text=True, check=False, timeout=300,
        )  # fmt: skip
        if done.returncode:
            pytest.skip(f"{EXTRAWEST} can't be installed here: {done.stderr.strip().splitlines()[-1:]}")
        (folder / "made").touch()
    return python


@pytest.fixture
def extrawest(extrawest_python: Path) -> Iterator[str]:
    """A CPO made with extrawest-ocpi that holds 5,000 CDRs; gives its origin."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    program = PROJECT / "tests" / "peers" / "extrawest_cpo.py"
    serving = subprocess.Popen([str(extrawest_python), str(program), str(port), "5000", TOKEN])
    try:
        for _ in range(300):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            assert serving.poll() is None, "the peer did not start"
            time.sleep(0.1)
        yield f"http://127.0.0.1:{port}"
    finally:
        serving.kill()
        serving.wait()


def test_five_thousand_cdrs_come_whole_through_the_broken_links_of_a_real_peer(
    home: Home, tmp_path: Path, extrawest: str
):
    peer = FakePeer()
    peer.origin = extrawest
    entry = peer.entry(page_size=250)
    record = only(pulled(home, entry))
    assert (record.status, record.error, record.pages, record.objects) == ("ok", None, 20, 5000)
    assert "the Link leads to another address; went on at the endpoint itself" in record.notes
    assert len(landed(home)) == 5000
    again = only(pulled(home, entry | {"window_days": 3650}))
    assert (again.status, again.objects) == ("ok", 289)  # 48 hours before the newest, one every ten minutes
    counts = load(home)
    assert (counts.read, counts.quarantined) == (5289, 0)
    assert staged_cdrs(home, tmp_path) == [(f"cdr-{number:06d}", 1) for number in range(5000)]


@pytest.mark.parametrize(
    ("token", "encoding", "message"),
    [("wrong-token", "auto", "does not accept the token"), ("tok", "raw", "OCPI status 3000")],
)
def test_a_real_peer_that_does_not_know_the_token_is_no_empty_peer(
    home: Home, extrawest: str, token, encoding, message
):
    peer = FakePeer()
    peer.origin = extrawest
    entry = Peer.model_validate(peer.entry(token_encoding=encoding, attempts=2))
    record = only(pull(home, [entry], lambda _: token, modules=["cdrs"]))
    assert record.status == "failed"
    assert message in record.error
