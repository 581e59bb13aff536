"""How the warehouse is opened, and what the SQL editor may not do."""

import time

import duckdb
import polars as pl
import pytest

from dashboards import warehouse
from dashboards.access import Principal, Role
from dashboards.warehouse import QueryRefusedError, View


@pytest.fixture
def view(use_home):
    use_home("full")
    return View(warehouse.current_version(), Principal(Role.ANALYST))


def test_the_pointer_is_followed_anew_at_each_interaction(homes, homes_module, use_home):
    homes_module.publish(homes / "moving", "one_row", run="1")
    use_home("moving")
    first = View(warehouse.current_version(), Principal(Role.ADMIN))
    assert warehouse.sites(first)["name"].to_list() == ["Station Garage"]
    homes_module.publish(homes / "moving", "full", run="2")
    second = View(warehouse.current_version(), Principal(Role.ADMIN))
    assert first.version != second.version
    assert warehouse.sites(second).height == 4
    assert warehouse.port_ids(first, None) == ["ST-a1/1"]  # who still reads the old version reads it whole


def test_a_writer_can_publish_while_the_dashboards_hold_a_version(homes, homes_module, use_home):
    homes_module.publish(homes / "held", "full", run="1")
    use_home("held")
    warehouse.sites(View(warehouse.current_version(), Principal(Role.ADMIN)))
    homes_module.publish(homes / "held", None, run="2")
    assert warehouse.sites(View(warehouse.current_version(), Principal(Role.ADMIN))).is_empty()


def test_a_home_without_a_warehouse_has_no_version(use_home):
    use_home("unpublished")
    assert warehouse.current_version() is None


@pytest.mark.parametrize(
    "query",
    [
        "select 1; select 2",
        "drop table marts.fct_cdr",
        "insert into marts.dim_owner values ('x', 'x', 'x', 'x')",
        "create table memory.main.t as select 1",
        "set enable_external_access = true",
        "set lock_configuration = false",
        "attach '/tmp/x.duckdb'",
        "install httpfs",
        "load httpfs",
        "copy marts.fct_cdr to '/tmp/leak.csv'",
        "explain analyze copy (select 1) to '/tmp/leak.csv'",
        "export database '/tmp/leak'",
        "pragma database_list; select 1",
        "call enable_logging()",
        "select * from read_text('/etc/hostname')",
        "select * from read_csv('/etc/passwd')",
        "select * from glob('/etc/*')",
        "from '/etc/hostname'",
        "select * from read_blob('/proc/self/environ')",
        "not sql at all",
        "",
    ],
)
def test_the_sql_editor_refuses_whatever_is_not_a_question_to_the_warehouse(view, query):
    with pytest.raises(QueryRefusedError):
        warehouse.run_sql(view, query)


def test_the_sql_editor_cannot_write_into_the_lake(view, homes):
    target = homes / "full" / "lake" / "quarantine" / "record" / "new.parquet"
    with pytest.raises(QueryRefusedError):
        warehouse.run_sql(view, f"copy (select 1) to '{target}'")
    assert not target.exists()


def test_the_sql_editor_cannot_read_what_lies_outside_the_lake(view, homes):
    landing = homes / "full" / "landing"
    landing.mkdir(exist_ok=True)
    (landing / "access.csv").write_text("email\nann@example.org\n")
    for path in (landing / "access.csv", homes / "full" / "lake" / ".." / "landing" / "access.csv"):
        with pytest.raises(QueryRefusedError):
            warehouse.run_sql(view, f"select * from read_csv('{path}')")


@pytest.mark.parametrize(
    "query",
    [
        "select * from marts.fct_port_day",
        "from marts.fct_port_day",
        "with a as (select 1 as n) select * from a;",
        "describe marts.fct_port_day",
        "summarize marts.dim_site",
        "show tables",
        "select count(*) from lake.quarantine_record",
        "select 1 as a, 2 as a",
        "select * from marts.fct_cdr limit 0",
    ],
)
def test_the_sql_editor_answers_questions(view, query):
    assert warehouse.run_sql(view, query).rows.width > 0


def test_the_sql_editor_cuts_long_answers_and_says_so(view):
    result = warehouse.run_sql(view, "select * from range(10001)")
    assert (result.rows.height, result.is_cut) == (10_000, True)
    result = warehouse.run_sql(view, "select * from range(10000)")
    assert (result.rows.height, result.is_cut) == (10_000, False)


def test_the_sql_editor_stops_a_query_that_takes_too_long(view):
    started = time.monotonic()
    with pytest.raises(QueryRefusedError, match="Stopped after"):
        warehouse.run_sql(
            view, "select count(*) from range(100000000) a, range(100000) b where (a.range * b.range) % 7 = 3", 0.3
        )
    assert time.monotonic() - started < 5
    assert warehouse.run_sql(view, "select 1 as n").rows["n"].to_list() == [1]  # and serves the next one


def test_the_pages_connection_reads_only(view):
    con = warehouse._pages_connection(view.version)
    with pytest.raises(duckdb.Error):
        con.cursor().execute("create table warehouse.marts.x as select 1")


def test_the_catalogue_shows_comments_and_row_counts(view, ask):
    row = warehouse.catalogue(view).filter(name="marts.fct_port_day").row(0, named=True)
    ((count,),) = ask("full", "select count(*) from marts.fct_port_day")
    assert row["row_count"] == count
    assert row["comment"] == "One row is one port on one local date."
    columns = warehouse.columns(view, "marts.fct_port_day")
    assert columns.filter(column_name="unknown_s")["comment"].item() == "Seconds for which no log was delivered."


def test_quarantine_samples_are_three_of_each_reason(view):
    samples = warehouse.quarantine(view)
    assert sorted(samples["reason"]) == ["bad_json"] * 3 + ["truncated_frame"] * 3
    assert dict(samples.select("reason", "record_count").iter_rows()) == {"bad_json": 5, "truncated_frame": 6}


def test_without_the_lake_the_quarantine_is_not_reachable_and_says_so(homes, homes_module, use_home):
    import shutil

    homes_module.publish(homes / "moved", "full")
    shutil.rmtree(homes / "moved" / "lake")
    use_home("moved")
    moved = View(warehouse.current_version(), Principal(Role.ANALYST))
    assert warehouse.quarantine(moved) is None
    assert warehouse.quarantined_files(moved).height == 4


def test_a_port_is_broken_since_it_last_worked_not_since_its_last_change(homes, homes_module, use_home):
    path = homes_module.publish(homes / "changes", "one_row")
    with duckdb.connect(str(path)) as con:
        con.execute("set TimeZone = 'UTC'")
        con.execute("delete from marts.fct_port_state")
        con.executemany(
            "insert into marts.fct_port_state values "
            "('ST-a1/1', 'a1', $state, $start, $end, 3600, null, coalesce($end, '2026-03-15 12:00:00+00'))",
            [
                {"state": state, "start": f"2026-03-15 {start}:00:00+00", "end": end and f"2026-03-15 {end}:00:00+00"}
                for state, start, end in (
                    ("offline", "07", "08"),
                    ("available", "08", "09"),
                    ("faulted", "09", "10"),
                    ("offline", "10", None),
                )
            ],
        )
    use_home("changes")
    row = warehouse.broken_now(View(warehouse.current_version(), Principal(Role.OPERATOR, "op-1")), None).row(
        0, named=True
    )
    assert (row["state"], row["broken_s"]) == ("offline", 3 * 3600)
    assert str(row["broken_since_local"]) == "2026-03-15 10:00:00"  # 09:00 UTC in Zurich


def test_a_month_is_complete_when_the_data_reach_its_first_and_last_day(view):
    months = warehouse.months_against_before(View(view.version, Principal(Role.OWNER, "own-b")), None)
    assert dict(months.select("local_month", "is_complete").iter_rows()) == {
        months["local_month"][0]: False,  # March is not over
        months["local_month"][1]: True,
        months["local_month"][2]: True,
    }
    assert months["change_revenue_net"].is_null().to_list() == [True, False, True]


def test_the_timeline_of_a_window_fills_it_without_gap(view):
    strips = warehouse.timeline(view, "a1", None, 7)
    per_port = strips.group_by("label").agg(seconds=pl.col("duration_s").sum())
    assert set(per_port["seconds"]) == {7 * 86_400}


@pytest.mark.parametrize(
    ("first", "last", "is_complete"),
    [
        ("2026-01-01 04:59:59+00", "2026-01-31 17:00:00+00", True),  # in Zurich 05:59:59 and 18:00
        ("2026-01-01 05:00:00+00", "2026-01-31 17:00:00+00", False),
        ("2026-01-01 04:59:59+00", "2026-01-31 16:59:59+00", False),
    ],
)
def test_a_few_hours_may_lack_at_the_ends_of_a_complete_month(  # noqa: PLR0917
    homes, homes_module, use_home, first, last, is_complete
):
    name = f"ends_{first[11:19]}_{last[11:19]}"
    path = homes_module.publish(homes / name, "one_row")
    with duckdb.connect(str(path)) as con:
        con.execute("delete from marts.fct_cdr")
        con.execute("update marts.fct_site_month set local_month = '2026-01-01'")
        con.execute("update marts.fct_port_state set started_at = $1, known_until_at = $2", [first, last])
    use_home(name)
    months = warehouse.months_against_before(View(warehouse.current_version(), Principal(Role.OWNER, "own-a")), None)
    assert months["is_complete"].to_list() == [is_complete]


def test_a_version_without_re_pricing_is_served_without_verdicts(homes, homes_module, use_home):
    path = homes_module.publish(homes / "unpriced", "full")
    with duckdb.connect(str(path)) as con:
        for column in ("repriced_net", "repriced_gross", "audit_verdict", "audit_reason"):
            con.execute(f"alter table marts.fct_cdr drop column {column}")
        con.execute("drop table marts.fct_cdr_price_line")
    use_home("unpriced")
    view = View(warehouse.current_version(), Principal(Role.EMSP, "em-1"))
    assert warehouse.cdr_arrival(view, None)["checked_count"] == 0
    assert warehouse.cdr_arrival(view, None)["cdr_count"] > 0
    assert warehouse.cdrs(view, None, None)["audit_verdict"].is_null().all()
