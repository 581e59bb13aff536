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


def test_every_statement_is_true_to_the_cent(con):
    """The simulator works out statements from its plan: share of gross revenue and of net margin, fees, guarantees."""
    columns = "contract_id, owner_id, site_id, local_month, currency, revenue_net, payout_net"
    assert difference(con, f"select {columns} from marts.fct_statement", f"select {columns} from true_statement") == []
    assert con.execute("select count(*) from marts.fct_statement where payout_net <> 0").fetchone()[0] > 0


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


def test_the_audit_finds_the_wrong_prices_and_no_others(con):
    """The simulator adds 15 % to a few totals; every other CDR is billed as its tariff says."""
    verdicts = con.execute(
        """
        select distinct true_cdr.what, cdr.audit_verdict
        from (select distinct peer, cdr_id, what from true_cdr) as true_cdr
        inner join marts.fct_cdr as cdr using (peer, cdr_id)
        -- a CDR of a charge that never was copies another hour, which may have had another price
        where true_cdr.what is distinct from 'no_session'
        """
    ).fetchall()
    assert {what for what, verdict in verdicts if verdict == "mismatch"} == {"wrong_price"}
    assert {verdict for what, verdict in verdicts if what == "wrong_price"} == {"mismatch"}
    assert {verdict for what, verdict in verdicts if what != "wrong_price"} == {"match"}
    differences = (
        "select peer, cdr_id, currency, difference_net::decimal(18, 2) from marts.fct_cdr "
        "anti join (select peer, cdr_id from true_cdr where what = 'no_session') using (peer, cdr_id) "
        "where difference_net <> 0"
    )
    planted = (
        "select distinct peer, cdr_id, currency, (net - repriced_net)::decimal(18, 2) from true_cdr "
        "where what = 'wrong_price'"
    )
    assert difference(con, differences, planted) == []


def test_the_way_each_peer_rounds_is_found(con, built: Home):
    with duckdb.connect(str(built.warehouse / "build.duckdb"), read_only=True) as build:
        found = dict(build.execute("select peer, rounding_id from intermediate.int_audit_rounding").fetchall())
    # The simulator rounds the total and takes the tax of the rounded total; 2.1.1 knows no tax.
    assert found
    assert found == {peer: "total" if peer == "prairie" else "total_then_vat" for peer in found}


def test_findings_are_on_the_cdrs_that_the_simulator_spoiled_and_on_no_others(con):
    found = con.execute(
        """
        select distinct true_cdr.what, finding.defect_id
        from marts.fct_cdr_finding as finding
        left join (select distinct peer, cdr_id, what from true_cdr) as true_cdr using (peer, cdr_id)
        where finding.cdr_key is not null
            -- a driver who is at two places at once is an accident of the simulation, and known as one; a charge that
            -- never was may overlap the next one
            and finding.defect_id not in ('overlap_same_token_far_apart', 'overlap_same_connector')
        """
    ).fetchall()
    expected = {
        "duplicate": {"duplicate_same_payload"},
        "wrong_price": {"total_mismatch", "total_is_not_sum_of_parts"},
        "late": {"late_24_h", "late_7_d"},
        "credit": {"late_24_h"},
    }
    # A charge that never was may have anything wrong with it.
    others = {
        (what, defect) for what, defect in found if defect not in expected.get(what, set()) and what != "no_session"
    }
    assert others == set()
    planted = {what for (what,) in con.execute("select distinct what from true_cdr").fetchall()}
    assert {"duplicate", "wrong_price"} <= planted
    assert {what for what, _ in found} >= planted & {"duplicate", "wrong_price", "late", "credit"}


def test_reconciliation_finds_the_missing_the_phantom_and_the_inflated_cdrs(con):
    cdrs = "(select distinct peer, cdr_id, what from true_cdr)"
    for outcome, what in (("energy_differs", "wrong_energy"), ("cdr_without_session", "no_session")):
        ours = f"select peer, cdr_id from marts.fct_reconciliation where outcome = '{outcome}'"
        assert difference(con, ours, f"select peer, cdr_id from {cdrs} where what = '{what}'") == [], outcome
    assert con.execute("select count(*) from marts.fct_reconciliation where outcome = 'duplicate_cdr'").fetchone() == (
        0,
    )
    unbilled = """
        select station_id, transaction_id, session.started_at
        from marts.fct_reconciliation as reconciled
        inner join marts.fct_session as session using (session_id)
        where reconciled.outcome = 'session_without_cdr' and reconciled.reason not in ('no_energy', 'still_running', 'credited')
    """
    missing = """
        select station_id, transaction_id, started_at from true_session
        where is_complete and not is_failed and cdr_id is null
    """
    assert difference(con, unbilled, missing) == []
    assert con.execute(f"select count(*) from ({missing})").fetchone()[0] > 0


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
