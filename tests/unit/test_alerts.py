"""Alerts: what is found in a version, that each is told once, and that a channel that fails loses nothing."""

import json
import socket
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from email import message_from_bytes
from email.message import Message
from email.policy import default
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import dagster as dg
import duckdb
import pytest
from aiosmtpd.controller import Controller
from click.testing import CliRunner

from pipelines import runs
from pipelines.alerts import ledger, tell
from pipelines.alerts.find import Limits, find, hours
from pipelines.cli import main
from pipelines.defs import alerting
from pipelines.home import Home
from pipelines.quality.result import CheckResult
from pipelines.settings import Settings, get_settings

SCHEMA = """
create schema marts; create schema meta; create schema lake;
create table meta.quality_result (suite varchar, table_name varchar, check_name varchar, column_name varchar,
    severity varchar, is_blocking boolean, passed boolean, observed varchar);
create table marts.dim_site (site_id varchar, name varchar, time_zone varchar);
insert into marts.dim_site values ('s', 'Interstate 55', 'America/Chicago');
create table marts.dim_port (port_id varchar, station_id varchar, site_id varchar, time_zone varchar);
insert into marts.dim_port values ('P', 'st', 's', 'America/Chicago'), ('Q', 'st', 's', 'America/Chicago');
create table marts.dim_contract (contract_id varchar, site_id varchar, station_id varchar, sla_policy_id varchar,
    valid_from date, valid_to date);
insert into marts.dim_contract values ('C', 's', null, 'contract_generic', '2025-01-01', null);
create table marts.dim_sla_policy (policy_id varchar, name varchar);
insert into marts.dim_sla_policy values ('contract_generic', 'the contract'), ('nevi_680_116', 'NEVI');
create table marts.fct_port_state (port_id varchar, known_until_at timestamptz);
insert into marts.fct_port_state values ('P', '2026-04-20 06:00:00+00');
create table marts.fct_outage (outage_id varchar, port_id varchar, started_at timestamptz, ended_at timestamptz,
    cause varchar, error_code varchar, vendor_error_code varchar);
create table marts.fct_sla (policy_id varchar, grain varchar, subject_id varchar, period_kind varchar, period_start date,
    period_end date, is_own_window boolean, is_own_grain boolean, is_partial boolean, net_down_s bigint,
    allowed_down_s bigint, budget_left_s bigint, uptime_ratio double, target_ratio decimal(18, 6), is_met boolean,
    projected_breach_on date);
create table marts.fct_sla_contract (contract_id varchar, site_id varchar, station_id varchar, policy_id varchar,
    period_kind varchar, period_start date, period_end date, is_own_window boolean, is_partial boolean, net_down_s bigint,
    allowed_down_s bigint, budget_left_s bigint, uptime_ratio double, target_ratio decimal(18, 6), is_met boolean,
    projected_breach_on date, sla_credit_net decimal(18, 6), sla_credit_accrued_net decimal(18, 6), currency varchar);
create table lake.ocpp_frame (log_source varchar, station_id varchar, received_at timestamptz);
"""
NOW = datetime(2026, 4, 20, 6, 30, tzinfo=UTC)
LIMITS = Limits(24, 6)
OUTAGE = (
    "insert into marts.fct_outage values ('o1', 'P', '2026-04-19 02:00:00+00', null, 'faulted', 'OtherError', 'CX026')"
)
SHORT = "insert into marts.fct_outage values ('o2', 'Q', '2026-04-20 02:00:00+00', null, 'offline', null, null)"
ENDED = "insert into marts.fct_outage values ('o3', 'Q', '2026-04-10 02:00:00+00', '2026-04-15 02:00:00+00', 'faulted', null, null)"


def window(
    port: str = "P", *, policy: str = "contract_generic", kind: str = "month", start: str = "2026-04-01",
    end: str = "2026-05-01", partial: bool = True, used_h: float = 0, allowed_h: float = 21.6, met: bool = True,
    projected: str | None = None,
) -> str:  # fmt: skip
    return (
        f"insert into marts.fct_sla values ('{policy}', 'port', '{port}', '{kind}', '{start}', '{end}', true, true, {partial}, "
        f"{int(used_h * 3600)}, {int(allowed_h * 3600)}, {int((allowed_h - used_h) * 3600)}, 0.951, 0.97, {met}, "
        f"{f'$${projected}$$' if projected else 'null'})"
    )


def source(name: str, last: str) -> str:
    return (
        f"insert into lake.ocpp_frame values ('{name}', 'st', '{last}+00'), ('{name}', 'st2', '2026-01-01 00:00:00+00')"
    )


def failed_check(name: str = "energy_is_plausible") -> str:
    return (
        f"insert into meta.quality_result values ('lake', 'ocpp/meter_sample', '{name}', 'value', 'warn', false, false, "
        "'12 of 900 rows'), ('lake', 'ocpp/frame', 'fine', null, 'error', true, true, '0 of 9 rows')"
    )


@pytest.fixture
def publish(home: Home) -> Callable[..., Home]:
    """Publish a version of the schema above and some SQL; every call makes a new version."""

    def make(*statements: str) -> Home:
        path = home.versions / f"2026042{len(list(home.versions.iterdir()))}T000000000Z-aaaaaaaa.duckdb"
        with duckdb.connect(str(path)) as con:
            con.execute("set TimeZone = 'UTC'")
            con.execute(SCHEMA)
            for statement in statements:
                con.execute(statement)
        home.published.unlink(missing_ok=True)
        home.published.symlink_to(path.relative_to(home.warehouse))
        return home

    return make


class Sent:
    """Takes messages as a channel would, or refuses."""

    def __init__(self) -> None:
        self.messages: list[tuple[str, str, str]] = []
        self.refused: set[str] = set()

    def __call__(self, url: str, title: str, body: str) -> bool:
        if url in self.refused:
            return False
        self.messages.append((url, title, body))
        return True


def settings_for(*urls: str, **more: Any) -> Settings:
    return Settings(alert_urls=" ".join(urls), **more)


def kinds(home: Home, limits: Limits = LIMITS, now: datetime = NOW) -> dict[str, str]:
    return {alert.key: alert.text for alert in find(home, limits, now)}


def test_a_long_outage_says_where_since_when_on_the_spot_and_what_it_costs(publish):
    found = kinds(publish(OUTAGE, SHORT, ENDED, window("P", used_h=28, allowed_h=70)))
    assert list(found) == ["outage:P:20260419T020000Z"]
    (text,) = found.values()
    # 02:00Z is 21:00 of the day before in Chicago; 28 h of 70 h are 40 %
    assert (
        "P at Interstate 55 is out of order (CX026) since 18 April 2026 21:00 (America/Chicago), 28.0 h so far" in text
    )
    assert "40 % of the 70.0 h allowed in April 2026" in text


def test_the_hours_of_a_long_outage_are_a_setting(publish):
    home = publish(OUTAGE, SHORT)
    assert len(kinds(home, Limits(4, 6))) == 2
    assert kinds(home, Limits(29, 6)) == {}


def test_a_window_that_runs_is_missed_when_its_budget_is_gone_and_one_that_is_over_when_its_target_is(publish):
    found = kinds(
        publish(
            window("P", used_h=30, met=False),
            # under the target so far, but with budget left: at risk at most
            window("Q", used_h=1, met=False, projected="2026-04-28"),
            window("Q", start="2026-03-01", end="2026-04-01", partial=False, used_h=40, met=False),
        )
    )
    assert set(found) == {
        "breach:contract_generic:port:P:month:2026-04-01",
        "projected:contract_generic:port:Q:month:2026-04-01",
    }, "March ended more than a week ago"
    assert "30.0 h down of 21.6 h allowed, 8.4 h over" in found["breach:contract_generic:port:P:month:2026-04-01"]
    assert "about 28 April" in found["projected:contract_generic:port:Q:month:2026-04-01"]


def test_a_month_that_ended_within_the_week_is_still_told(publish):
    home = publish(
        "update marts.fct_port_state set known_until_at = '2026-05-03 06:00:00+00'",
        window("P", partial=False, used_h=30, met=False),
        window("Q", partial=False, used_h=3),
    )
    assert list(kinds(home)) == ["breach:contract_generic:port:P:month:2026-04-01"]


def test_a_rolling_breach_is_one_alert_however_many_windows_it_lasts(publish):
    rolling = {"policy": "nevi_680_116", "kind": "rolling_12_months", "used_h": 300, "allowed_h": 262.8, "met": False}
    home = publish(
        "update marts.dim_contract set sla_policy_id = 'nevi_680_116'",
        window(start="2025-05-01", end="2026-05-01", **rolling),
        window(start="2025-04-01", end="2026-04-15", **rolling),
    )
    (text,) = kinds(home).values()
    assert "the 12 months to 30 April 2026" in text


def test_ports_are_judged_by_their_contracts_policy_unless_policies_are_named(publish):
    home = publish(window("P", policy="nevi_680_116", used_h=30))
    assert kinds(home) == {}
    assert list(kinds(home, Limits(24, 6, ("nevi_680_116",)))) == ["breach:nevi_680_116:port:P:month:2026-04-01"]


def test_a_contract_says_what_credit_is_due(publish):
    row = (
        "'C', 's', null, 'contract_generic', 'month', '2026-04-01', '2026-05-01', true, true, 108000, 77760, -30240, 0.95, 0.97, "
        "false, null, null, 110.5, 'USD'"
    )
    found = kinds(publish(f"insert into marts.fct_sla_contract values ({row})"))
    assert "Credit due: 110.50 USD" in found["breach:contract:C:month:2026-04-01"]


def test_a_source_is_silent_when_others_go_on_and_all_are_when_the_clock_does(publish):
    home = publish(
        source("a", "2026-04-20 06:00:00"), source("b", "2026-04-19 06:00:00"), source("old", "2026-01-01 00:00:00")
    )
    assert list(kinds(home)) == ["source:b"]
    assert "2 stations" in kinds(home)["source:b"]
    assert set(kinds(home, now=NOW + timedelta(hours=12))) == {"source:b", "source:*"}
    assert kinds(home, Limits(24, 48)) == {}


def test_failed_checks_of_a_version_and_a_run_that_published_nothing_are_told(publish, home: Home):
    publish(failed_check())
    assert list(kinds(home)) == ["check:lake:ocpp/meter_sample:energy_is_plausible:value"]
    record = runs.RunRecord("20260421T000000000Z-bbbbbbbb", "2026-04-21T00:00:00+00:00", "x", status="failed")
    record.failure = "dbt_models: it broke\nwith a trace"
    runs.write_run(home, record)
    assert "it broke" in kinds(home)["run:failed"]
    assert "trace" not in kinds(home)["run:failed"]
    check = CheckResult("lake", "ocpp/frame", "frame_id_is_unique", None, "error", True, False, "3 of 9 rows", 3, None)
    runs.write_checks(home, record.run_id, "lake", [check])
    assert [key for key in kinds(home) if key.startswith(("blocked", "run"))] == [
        "blocked:lake:ocpp/frame:frame_id_is_unique:"
    ]


def test_an_alert_is_told_once_and_again_when_it_comes_back(publish, home: Home):
    sent, settings = Sent(), settings_for("one://x")
    publish(OUTAGE)
    assert tell.look(home, settings, NOW, sent).new == ["outage:P:20260419T020000Z"]
    publish(OUTAGE, failed_check())
    tell.look(home, settings, NOW + timedelta(minutes=5), sent)
    assert [title for _, title, _ in sent.messages] == [
        "chargehouse: Down for 28.0 h: P",
        "chargehouse: Data check: ocpp/meter_sample",
    ]
    publish(OUTAGE)
    assert tell.look(home, settings, NOW + timedelta(minutes=10), sent).over == [
        "check:lake:ocpp/meter_sample:energy_is_plausible:value"
    ]
    publish(OUTAGE, failed_check())
    tell.look(home, settings, NOW + timedelta(minutes=15), sent)
    assert len(sent.messages) == 3
    assert "meter_sample" in sent.messages[2][1]


def test_a_channel_that_fails_is_tried_again_and_the_others_are_not_told_twice(publish, home: Home):
    sent, settings = Sent(), settings_for("good://x", "bad://secret")
    sent.refused = {"bad://secret"}
    publish(OUTAGE)
    look = tell.look(home, settings, NOW, sent)
    assert look.failed == ["channel 2 (bad)"]
    assert tell.is_due(home, settings, NOW + timedelta(minutes=1))
    sent.refused = set()
    tell.look(home, settings, NOW + timedelta(minutes=1), sent)
    assert [url for url, _, _ in sent.messages] == ["good://x", "bad://secret"]
    assert not tell.is_due(home, settings, NOW + timedelta(minutes=2))
    assert tell.is_due(home, settings, NOW + timedelta(hours=2)), "silence depends on the clock"


def test_what_is_over_before_a_channel_works_is_told_as_over_and_then_forgotten(publish, home: Home):
    sent, settings = Sent(), settings_for("bad://x")
    sent.refused = {"bad://x"}
    publish(OUTAGE)
    tell.look(home, settings, NOW, sent)
    publish()
    tell.look(home, settings, NOW + timedelta(hours=1), sent)
    sent.refused = set()
    tell.look(home, settings, NOW + timedelta(hours=2), sent)
    ((_, _, body),) = sent.messages
    assert "(Over by now.)" in body
    assert ledger.read(home).entries == {}


def test_a_channel_that_raises_does_not_stop_the_others(publish, home: Home):
    told: list[str] = []

    def send(url: str, title: str, body: str) -> bool:
        if url.startswith("bad"):
            msg = "no route"
            raise OSError(msg)
        told.append(url)
        return True

    publish(OUTAGE)
    look = tell.look(home, settings_for("bad://x", "good://x"), NOW, send)
    assert told == ["good://x"]
    assert look.failed == ["channel 1 (bad)"]


def test_many_alerts_are_one_message_with_the_most_urgent_first(publish, home: Home):
    sent = Sent()
    publish(OUTAGE, *(failed_check(f"rule_{number:02}") for number in range(40)), window("P", used_h=30))
    tell.look(home, settings_for("one://x", dashboard_url="https://charge.example/"), NOW, sent)
    ((_, title, body),) = sent.messages
    assert title == "chargehouse: 42 alerts, first SLA missed: P"
    assert body.count("\n- ") + 1 == tell.LISTED + 1
    assert "- and 22 more" in body
    assert "https://charge.example/operations\nhttps://charge.example/health" in body


def test_urls_are_never_shown(publish, home: Home, capfd: pytest.CaptureFixture[str]):
    url = "json://user:very-secret@127.0.0.1:9/hook"
    settings = settings_for(url)
    publish(OUTAGE)
    look = tell.look(home, settings, NOW)
    assert look.failed == ["channel 1 (json)"]
    shown = str(look) + repr(settings) + repr(tell.channels(settings)) + ledger.path_of(home).read_text()
    out, err = capfd.readouterr()
    assert "very-secret" not in shown + out + err


def test_without_channels_alerts_stay_in_the_ledger(publish, home: Home):
    publish(OUTAGE)
    assert tell.look(home, Settings(), NOW).lasting == 1
    assert list(ledger.read(home).entries) == ["outage:P:20260419T020000Z"]


def test_two_looks_at_once_do_not_both_tell(publish, home: Home):
    publish(OUTAGE)
    with ledger.alone(home) as mine:
        assert mine
        assert tell.look(home, settings_for("one://x"), NOW, Sent()) is None


def test_a_version_without_the_sla_marts_is_no_error(home: Home):
    path = home.versions / "20260101T000000000Z-aaaaaaaa.duckdb"
    with duckdb.connect(str(path)) as con:
        con.execute("create schema marts")
    home.published.symlink_to(path.relative_to(home.warehouse))
    assert find(home, LIMITS, NOW) == []


@pytest.mark.parametrize(("seconds", "text"), [(90 * 60, "90 min"), (7200, "2.0 h"), (96 * 3600, "4.0 days")])
def test_durations_are_in_words_of_their_size(seconds: int, text: str):
    assert hours(seconds) == text


class Mailbox:
    """What an SMTP server does with a message: keep it."""

    def __init__(self) -> None:
        self.messages: list[Message] = []

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802
        self.messages.append(message_from_bytes(envelope.content, policy=default))
        return "250 OK"


@pytest.fixture
def mail() -> Iterator[tuple[str, Mailbox]]:
    """A real SMTP server on this machine, as an apprise URL, and what it received."""
    box = Mailbox()
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    controller = Controller(box, hostname="127.0.0.1", port=port)
    controller.start()
    yield f"mailto://127.0.0.1:{port}?from=alerts@example.org&to=ops@example.org&mode=insecure", box
    controller.stop()


@pytest.fixture
def webhook() -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """A real HTTP server on this machine, as an apprise URL, and the JSON it received."""
    received: list[dict[str, Any]] = []

    class Hook(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            received.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Hook)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"json://127.0.0.1:{server.server_port}/hook", received
    server.shutdown()
    server.server_close()


def test_mail_and_webhook_get_the_same_words_with_a_link(publish, home: Home, mail, webhook):
    (mail_url, box), (hook_url, received) = mail, webhook
    publish(OUTAGE)
    look = tell.look(home, settings_for(mail_url, hook_url, dashboard_url="https://charge.example"), NOW)
    assert look.told == {"channel 1 (mailto)": 1, "channel 2 (json)": 1}
    (letter,) = box.messages
    assert letter["Subject"] == "chargehouse: Down for 28.0 h: P"
    assert letter["To"] == "ops@example.org"
    body = letter.get_body(("plain",)).get_content()
    assert "since 18 April 2026 21:00 (America/Chicago)" in body
    assert "https://charge.example/operations" in body
    (posted,) = received
    assert posted["title"] == letter["Subject"]
    assert "https://charge.example/operations" in posted["message"]


def test_the_sensor_tells_each_new_version_once(publish, home: Home, webhook, monkeypatch: pytest.MonkeyPatch):
    url, received = webhook
    # a source that is silent by the clock would depend on the day the test runs
    monkeypatch.setattr(alerting, "get_settings", lambda: settings_for(url))
    (sensor,) = alerting.alert_definitions(home).sensors
    with dg.DagsterInstance.ephemeral() as instance:
        context = dg.build_sensor_context(instance=instance)
        publish(OUTAGE)
        said = sensor(context)
        assert isinstance(said, dg.SkipReason)
        assert "1 new" in said.skip_message
        assert "no new version" in sensor(context).skip_message
        publish(OUTAGE, failed_check())
        assert "1 new" in sensor(context).skip_message
    assert [message["title"] for message in received] == [
        "chargehouse: Down for 28.0 h: P",
        "chargehouse: Data check: ocpp/meter_sample",
    ]


def test_the_command_tells_and_its_dry_run_does_not(publish, home: Home, webhook, monkeypatch: pytest.MonkeyPatch):
    url, received = webhook
    monkeypatch.setenv("CHARGEHOUSE_ALERT_URLS", url)
    get_settings.cache_clear()
    publish(OUTAGE)
    dry = CliRunner().invoke(main, ["alerts", "--dry-run", "--home", str(home.root)])
    assert (dry.exit_code, received) == (0, [])
    assert "out of order (CX026)" in dry.output
    done = CliRunner().invoke(main, ["alerts", "--home", str(home.root)])
    get_settings.cache_clear()
    assert done.exit_code == 0, done.output
    assert len(received) == 1


def test_settings_of_alerts_are_words_split_by_spaces(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setenv("CHARGEHOUSE_ALERT_POLICIES", "nevi_680_116, contract_generic")
    monkeypatch.setenv("CHARGEHOUSE_EVCHART_NETWORK_PROVIDERS", "a=chargepoint b=evgo")
    settings = Settings()
    assert settings.alert_policies == ["nevi_680_116", "contract_generic"]
    assert settings.evchart_network_providers == {"a": "chargepoint", "b": "evgo"}
    monkeypatch.setenv("CHARGEHOUSE_EVCHART_NETWORK_PROVIDERS", "chargepoint")
    get_settings.cache_clear()
    result = CliRunner().invoke(main, ["alerts", "--home", str(tmp_path)])
    get_settings.cache_clear()
    assert result.exit_code == 2
    assert "CHARGEHOUSE_EVCHART_NETWORK_PROVIDERS" in result.output
