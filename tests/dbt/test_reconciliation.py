"""OCPP sessions against CDRs, told as small stories: the models' SQL on rows written by hand."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import duckdb
import pytest

from pipelines.warehouse.compiled import CompiledModels

T0 = datetime(2025, 3, 3, 10, tzinfo=UTC)
SESSION_TYPES = {
    "session_id": "varchar", "site_id": "varchar", "port_id": "varchar", "transaction_id": "varchar",
    "started_at": "timestamptz", "ended_at": "timestamptz", "last_seen_at": "timestamptz", "id_token_hash": "varchar",
    "energy_kwh": "decimal(18,6)", "duration_s": "bigint", "is_open": "boolean", "is_complete": "boolean",
    "owner_id": "varchar", "operator_id": "varchar", "local_date": "date",
}  # fmt: skip
CDR_TYPES = {
    "cdr_key": "varchar", "cdr_id": "varchar", "peer": "varchar", "site_id": "varchar", "is_site_registered": "boolean",
    "port_id": "varchar", "is_port_registered": "boolean", "ocpi_session_id": "varchar", "started_at": "timestamptz",
    "ended_at": "timestamptz", "last_updated_at": "timestamptz", "token_hash": "varchar", "energy_kwh": "decimal(18,6)",
    "duration_s": "bigint", "billed_net": "decimal(18,6)", "currency": "varchar", "emsp_id": "varchar",
    "owner_id": "varchar", "operator_id": "varchar", "local_date": "date", "time_zone": "varchar", "is_counted": "boolean",
    "is_credited": "boolean",
}  # fmt: skip
Rows = list[dict[str, Any]]


def session(name: str, *, hours: float = 1, at: timedelta = timedelta(), **changes: Any) -> dict[str, Any]:
    """A finished session of 10 kWh on a port of its own."""
    start, end = T0 + at, T0 + at + timedelta(hours=hours)
    return {
        "session_id": name, "site_id": "S1", "port_id": f"P-{name}", "transaction_id": name, "started_at": start,
        "ended_at": end, "last_seen_at": end, "id_token_hash": f"token {name}", "energy_kwh": Decimal(10),
        "duration_s": int(hours * 3600), "is_open": False, "is_complete": True, "owner_id": "O1", "operator_id": "C1",
        "local_date": start.date(),
    } | changes  # fmt: skip


def cdr(
    name: str, of: str | None = None, *, hours: float = 1, at: timedelta = timedelta(), **changes: Any
) -> dict[str, Any]:
    """A CDR of 10 kWh for 5.00 that bills session ``of``."""
    start, end = T0 + at, T0 + at + timedelta(hours=hours)
    return {
        "cdr_key": name, "cdr_id": name, "peer": "p", "site_id": "S1", "is_site_registered": True,
        "port_id": f"P-{of}" if of else None, "is_port_registered": of is not None, "ocpi_session_id": of,
        "started_at": start, "ended_at": end, "last_updated_at": end, "token_hash": f"token {of}",
        "energy_kwh": Decimal(10), "duration_s": int(hours * 3600), "billed_net": Decimal(5), "currency": "EUR",
        "emsp_id": "E1", "owner_id": "O1", "operator_id": "C1", "local_date": start.date(), "time_zone": "Europe/Berlin",
        "is_counted": True, "is_credited": False,
    } | changes  # fmt: skip


def _table(con: duckdb.DuckDBPyConnection, name: str, types: dict[str, str], rows: Rows) -> None:
    columns = ", ".join(f"{column} {type_}" for column, type_ in types.items())
    con.execute(f"create table {name} ({columns})")
    if rows:
        marks = ", ".join("?" for _ in types)
        con.executemany(f"insert into {name} values ({marks})", [[row[column] for column in types] for row in rows])


def reconcile(sessions: Rows, cdrs: Rows, *, as_of: datetime = T0 + timedelta(days=30)) -> Rows:
    """Run the models on sessions and CDRs; the rows of fct_reconciliation."""
    models = CompiledModels(lambda domain, table: f"{domain}_{table}")
    with duckdb.connect() as con:
        con.execute("set TimeZone = 'UTC'")
        _table(con, "fct_session", SESSION_TYPES, sessions)
        _table(con, "int_cdrs", CDR_TYPES, cdrs)
        _table(con, "int_as_of", {"as_of_at": "timestamptz"}, [{"as_of_at": as_of}])
        _table(
            con,
            "int_site_currency",
            {"site_id": "varchar", "currency": "varchar"},
            [{"site_id": "S1", "currency": "EUR"}],
        )
        given = ("fct_session", "int_cdrs", "int_as_of", "int_site_currency")
        models.build(con, ["fct_reconciliation"], given=given)
        rows = con.sql("select * from fct_reconciliation order by session_id, cdr_key").pl().to_dicts()
    keys = [row["cdr_key"] for row in rows if row["cdr_key"]]
    assert sorted(keys) == sorted(row["cdr_key"] for row in cdrs if row["is_counted"])
    first = [row["session_id"] for row in rows if row["session_id"] and row["outcome"] != "duplicate_cdr"]
    assert sorted(first) == sorted(row["session_id"] for row in sessions)
    return rows


def outcomes(rows: Rows) -> list[tuple[Any, ...]]:
    """Session, CDR, outcome and reason of every row."""
    return [(row["session_id"], row["cdr_key"], row["outcome"], row["reason"]) for row in rows]


def test_a_cdr_that_names_the_transaction_is_matched():
    rows = reconcile([session("7")], [cdr("a", "7")])
    assert outcomes(rows) == [("7", "a", "matched", None)]
    assert (rows[0]["match_method"], rows[0]["money_at_stake"]) == ("transaction_id", 0)


def test_without_the_transaction_id_port_token_start_and_energy_match():
    close = cdr("a", "7", ocpi_session_id="X-1", at=timedelta(minutes=4), energy_kwh=Decimal("10.09"))
    rows = reconcile([session("7")], [close])
    assert outcomes(rows) == [("7", "a", "matched", None)]
    assert rows[0]["match_method"] == "place_token_energy"


@pytest.mark.parametrize(
    "changes",
    [
        {"port_id": "P-other"},
        {"token_hash": "another token"},
        {"at": timedelta(minutes=-6)},
    ],
)
def test_without_the_transaction_id_another_port_token_or_start_is_another_charge(changes: dict[str, Any]):
    rows = reconcile([session("7")], [cdr("a", "7", ocpi_session_id=None, **changes)])
    assert set(outcomes(rows)) == {
        ("7", None, "session_without_cdr", "not_billed"),
        (None, "a", "cdr_without_session", "not_logged"),
    }


@pytest.mark.parametrize(
    ("kwh", "outcome"),
    [("10.10", "matched"), ("10.101", "energy_differs"), ("9.90", "matched"), ("9.899", "energy_differs")],
)
def test_energy_may_differ_by_a_tenth_of_a_kwh_or_one_percent(kwh: str, outcome: str):
    (row,) = reconcile([session("7")], [cdr("a", "7", energy_kwh=Decimal(kwh))])
    assert (row["outcome"], row["energy_difference_kwh"]) == (outcome, Decimal(kwh) - 10)


def test_money_at_stake_of_an_energy_difference_is_its_share_of_the_bill():
    # 12 kWh were billed for 6.00 where the meter has 10: a sixth of the bill.
    (row,) = reconcile([session("7")], [cdr("a", "7", energy_kwh=Decimal(12), billed_net=Decimal(6))])
    assert (row["outcome"], row["reason"], row["money_at_stake"]) == (
        "energy_differs", "more_billed_than_metered", Decimal(1),
    )  # fmt: skip


def test_start_and_duration_may_differ_by_five_minutes():
    rows = reconcile(
        [session("7"), session("8"), session("9")],
        [
            cdr("a", "7", at=timedelta(minutes=5), hours=55 / 60),
            cdr("b", "8", at=timedelta(minutes=6), hours=1),
            cdr("c", "9", hours=1.2),
        ],
    )
    assert outcomes(rows) == [
        ("7", "a", "matched", None),
        ("8", "b", "time_differs", "start_differs"),
        ("9", "c", "time_differs", "duration_differs"),
    ]
    assert [row["time_difference_s"] for row in rows] == [-300, 0, 720]


def test_the_clock_on_the_wall_sent_as_utc_is_the_same_charge():
    # Berlin is an hour ahead of UTC in winter: the times do not meet, but for the offset.
    (row,) = reconcile([session("7", hours=0.5)], [cdr("a", "7", at=timedelta(hours=1), hours=0.5)])
    assert (row["outcome"], row["reason"], row["start_difference_s"]) == ("time_differs", "start_differs", 3600)


def test_of_two_cdrs_of_a_session_the_better_one_bills_it_and_the_other_is_a_duplicate():
    rows = reconcile([session("7")], [cdr("a", "7", energy_kwh=Decimal(11)), cdr("b", "7")])
    assert outcomes(rows) == [
        ("7", "a", "duplicate_cdr", "session_is_billed_already"),
        ("7", "b", "matched", None),
    ]
    assert rows[0]["money_at_stake"] == 5


def test_a_copy_under_another_session_id_is_a_duplicate_too():
    rows = reconcile([session("7")], [cdr("a", "7"), cdr("b", "7", ocpi_session_id="X-7")])
    assert outcomes(rows) == [
        ("7", "a", "matched", None),
        ("7", "b", "duplicate_cdr", "session_is_billed_already"),
    ]


def test_a_transaction_id_that_comes_back_on_another_day_is_another_session():
    later = timedelta(days=2)
    rows = reconcile(
        [session("s1", transaction_id="7", port_id="P-7"), session("s2", transaction_id="7", port_id="P-7", at=later)],
        [cdr("a", "7", at=later), cdr("b", "7")],
    )
    assert outcomes(rows) == [("s1", "b", "matched", None), ("s2", "a", "matched", None)]


def test_a_session_nobody_bills_is_worth_its_energy_at_the_price_of_the_site():
    rows = reconcile([session("7"), session("8", energy_kwh=Decimal(20))], [cdr("a", "7")])
    assert outcomes(rows)[1] == ("8", None, "session_without_cdr", "not_billed")
    assert (rows[1]["money_at_stake"], rows[1]["currency"], rows[1]["age_days"]) == (Decimal(10), "EUR", 29)


def test_a_session_that_needs_no_cdr_says_why():
    rows = reconcile(
        [
            session("a0"),
            session("b", energy_kwh=Decimal(0)),
            session("c", is_open=True, ended_at=None, is_complete=False),
            session("d", at=timedelta(days=28)),
            session("e"),
            session("f", is_complete=False),
            session("g", at=timedelta(days=-1)),
        ],
        [cdr("z", "a0"), cdr("credited", "e", is_counted=False, is_credited=True)],
    )
    assert {row["session_id"]: row["reason"] for row in rows} == {
        "a0": None, "b": "no_energy", "c": "still_running", "d": "too_recent", "e": "credited",
        "f": "incomplete_in_the_log", "g": "before_the_first_cdr",
    }  # fmt: skip
    assert {row["session_id"] for row in rows if row["money_at_stake"]} == {"f"}


def test_a_restart_in_the_middle_of_a_charge_leaves_nothing_unbilled():
    port = {"port_id": "P-7", "id_token_hash": "token 7"}
    rows = reconcile(
        [
            session("7", hours=0.5, energy_kwh=Decimal(5), **port),
            session("8", hours=0.5, at=timedelta(minutes=31), energy_kwh=Decimal(5), **port),
        ],
        [cdr("a", "7", hours=1.05)],
    )
    assert outcomes(rows) == [
        ("7", "a", "energy_differs", "more_billed_than_metered"),
        ("8", None, "session_without_cdr", "inside_another_cdr"),
    ]


def test_a_cdr_without_session_says_whether_there_could_be_one():
    rows = reconcile(
        [session("7")],
        [
            cdr("a", "7"),
            cdr("no logs", "x", site_id="S2"),
            cdr("before the logs", "y", at=timedelta(days=-3)),
            cdr("phantom", "z"),
        ],
    )
    assert {row["cdr_key"]: row["reason"] for row in rows if row["session_id"] is None} == {
        "no logs": "site_without_logs", "before the logs": "outside_the_logs", "phantom": "not_logged",
    }  # fmt: skip
    assert all(row["money_at_stake"] == 5 for row in rows if row["session_id"] is None)
