"""What the job publishes equals what the simulator knows to be true: seconds exactly, money to the cent."""

import duckdb
import pytest

from pipelines.home import Home


@pytest.fixture(scope="module")
def con(built: Home):
    with duckdb.connect(str(built.published.resolve()), read_only=True) as connection:
        connection.execute("set TimeZone = 'UTC'")
        for path in sorted((built.root / "truth").glob("*.parquet")):
            connection.execute(f"create temp view true_{path.stem} as select * from read_parquet('{path}')")
        yield connection


def difference(con, ours: str, theirs: str) -> list[tuple]:
    """Rows that only one side has, marked by side."""
    return con.execute(
        f"(select 'published' as side, * from (({ours}) except all ({theirs})) limit 5) "
        f"union all (select 'true' as side, * from (({theirs}) except all ({ours})) limit 5)"
    ).fetchall()


def test_there_is_something_to_compare(con):
    for name, least in (("port_state", 300), ("session", 50), ("cdr", 30), ("port_day", 80), ("site_month", 1)):
        assert con.execute(f"select count(*) from true_{name}").fetchone()[0] >= least, name


def test_port_states_are_true_to_the_second(con):
    columns = "port_id, state, started_at, ended_at, duration_s, error_code"
    assert (
        difference(con, f"select {columns} from marts.fct_port_state", f"select {columns} from true_port_state") == []
    )


def test_port_days_are_true(con):
    columns = (
        "port_id, site_id, owner_id, local_date, period_s, available_s, occupied_s, charging_s, faulted_s, unavailable_s, "
        "offline_s, unknown_s, reserved_s, suspended_ev_s, suspended_evse_s, session_count, energy_kwh::decimal(18, 3), "
        "coalesce(revenue_net, 0)::decimal(18, 2)"
    )
    assert difference(con, f"select {columns} from marts.fct_port_day", f"select {columns} from true_port_day") == []


def test_sessions_are_true(con):
    columns = "station_id, port_id, transaction_id, started_at, ended_at, energy_kwh::decimal(18, 3), is_complete"
    assert difference(con, f"select {columns} from marts.fct_session", f"select {columns} from true_session") == []


def test_cdrs_are_true_to_the_cent(con):
    ours = (
        "select cdr_id, site_id, port_id, owner_id, coalesce(emsp_id, 'unmapped'), ended_at, energy_kwh::decimal(18, 3), "
        "billed_net::decimal(18, 2), currency from marts.fct_cdr"
    )
    theirs = (
        # a CDR whose token no EMSP of the registry issued (a payment on the spot) has the EMSP `unmapped`
        "select distinct cdr_id, site_id, port_id, owner_id, coalesce(emsp_id, 'unmapped'), ended_at, energy_kwh::decimal(18, 3), "
        "net::decimal(18, 2), currency from true_cdr where what is distinct from 'missing'"
    )
    assert difference(con, ours, theirs) == []


def test_revenue_of_site_months_is_true_to_the_cent(con):
    columns = "site_id, local_month, currency, session_count, energy_kwh::decimal(18, 3), revenue_net::decimal(18, 2)"
    # a month of which a site saw only some hours, without a session or a CDR, is a row too; the truth leaves it out
    ours = f"select {columns} from marts.fct_site_month where session_count > 0 or cdr_count > 0"
    assert difference(con, ours, f"select {columns} from true_site_month") == []


def test_prices_recomputed_from_tariffs_are_true(con):
    """The tariff engine and the simulator price independently of each other."""
    rows = con.execute(
        """
        with lines as (
            select cdr_id, round(sum(amount_net), 2) as net from marts.fct_cdr_price_line group by cdr_id
        )
        select true_cdr.cdr_id, true_cdr.repriced_net, lines.net
        from true_cdr
        left join lines on lower(true_cdr.cdr_id) = lower(lines.cdr_id)
        where not true_cdr.is_credit and true_cdr.what is distinct from 'missing'
            -- a CDR of a charge that never was has no true price
            and true_cdr.what is distinct from 'no_session'
            and lines.net is distinct from true_cdr.repriced_net::decimal(18, 2)
        """
    ).fetchall()
    assert rows == []


def test_every_figure_leads_back_to_a_line_of_a_landed_file(con, built: Home):
    session, path, line = con.execute(
        """
        select s.session_id, f.path, l.line_number
        from marts.fct_session as s
        inner join lake.ocpp_frame as l on s.start_frame_id = l.frame_id
        inner join meta.source_file as f on l.source_id = f.source_id
        where s.is_complete
        order by s.started_at
        limit 1
        """
    ).fetchone()
    assert session
    assert (built.landing / path).is_file()
    assert line > 0


def test_every_table_and_column_of_the_marts_has_a_comment(con):
    tables = con.execute(
        "select table_name from duckdb_tables() where schema_name in ('marts', 'meta') and comment is null"
    ).fetchall()
    columns = con.execute(
        "select table_name, column_name from duckdb_columns() "
        "where schema_name in ('marts', 'meta', 'lake') and comment is null and table_name <> 'quality_result'"
    ).fetchall()
    assert (tables, columns) == ([], [])


def test_no_driver_token_is_published(con, built: Home):
    """The simulator's tokens stand in the clear in landing and nowhere else."""
    tokens = [
        row[0]
        for row in duckdb.sql(
            f'select distinct regexp_extract(line, \'"uid"\\s*:\\s*"([^"]+)"\', 1) as uid from read_csv('
            f"'{built.landing}/ocpi/tokens/**/*', columns = {{'line': 'VARCHAR'}}, delim = '\\x01', quote = '', escape = '', "
            f"header = false) where uid <> ''"
        ).fetchall()
    ]
    assert len(tokens) > 3
    for path in [*built.lake.rglob("*.parquet")]:
        text = str(duckdb.sql(f"select * from read_parquet('{path}')").fetchall())
        assert not [token for token in tokens if token in text], path
