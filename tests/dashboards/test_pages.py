"""Each page, for each role that has it, with nothing, one of each record or a network: no crash, true figures."""

import re

import pytest

ROLE_PAGES = [
    ("Owner", "owner"),
    ("Owner", "data_health"),
    ("Operator", "cpo"),
    ("Operator", "data_health"),
    ("EMSP", "emsp"),
    ("EMSP", "data_health"),
    *(("Analyst", page) for page in ("analyst", "owner", "cpo", "emsp", "data_health")),
]


def plain(text: str) -> str:
    return text.replace("\u00a0", " ")


def headline(at) -> str:
    return plain(next(m.value for m in at.markdown if m.value.startswith("#### ")).removeprefix("#### "))


def metrics(at) -> list[tuple[str, str]]:
    return [(m.label, plain(m.value)) for m in at.metric]


@pytest.mark.parametrize(("role", "page"), ROLE_PAGES)
@pytest.mark.parametrize("home", ["full", "one_row"])
def test_every_page_of_every_role_answers_in_one_sentence(open_page, home, role, page):
    at = open_page(home, page, role=role)
    assert not at.error
    assert len(headline(at)) > 20


@pytest.mark.parametrize("page", ["analyst", "owner", "cpo", "emsp", "data_health"])
def test_a_warehouse_without_rows_says_what_to_do_next(open_page, page):
    at = open_page("no_rows", page)
    assert not at.error
    if page != "analyst":
        assert "chargehouse demo" in at.info[0].value
        assert "chargehouse run" in at.info[0].value


def test_a_home_without_a_warehouse_says_what_to_do_next(open_page):
    at = open_page("unpublished")
    assert at.title[0].value == "No data yet"
    assert "chargehouse demo" in at.info[0].value


def test_without_sign_in_an_address_that_others_reach_is_refused(open_page, served_on, use_home):
    from streamlit.testing.v1 import AppTest

    use_home("full")
    for address in ("0.0.0.0", None, "192.168.1.4"):
        served_on(address)
        at = AppTest.from_file("../../dashboards/app.py", default_timeout=60).run()
        assert not at.exception
        assert at.error[0].value.startswith("Refused")
        assert not at.title
        assert not at.metric


def test_the_owner_reads_the_last_complete_month_in_each_currency(open_page, ask):
    at = open_page("full", role="Owner")
    ((chf,), (eur,), (usd,)) = ask(
        "full",
        "select sum(revenue_net) from marts.fct_site_month where owner_id = 'own-a' and local_month = '2026-02-01' "
        "group by currency order by currency",
    )
    ((chf_before,),) = ask(
        "full",
        "select sum(revenue_net) from marts.fct_site_month where local_month = '2026-01-01' and currency = 'CHF'",
    )
    text = headline(at)
    assert text.startswith(f"You earned {chf:,.2f} CHF, {eur:,.2f} EUR and {usd:,.2f} USD before tax in February 2026")
    assert f"{chf_before - chf:,.2f} CHF less" in text
    ((kwh, sessions, down_s),) = ask(
        "full",
        "select sum(energy_kwh), sum(session_count), sum(downtime_s) from marts.fct_site_month "
        "where site_id = 'a1' and local_month = '2026-02-01' and currency = 'CHF'",
    )
    assert metrics(at)[:4] == [
        ("Revenue before tax", f"{chf:,.2f} CHF"),
        ("Energy sold", f"{kwh:,.0f} kWh"),
        ("Charging sessions", f"{sessions:,}"),
        ("Port downtime", f"{down_s / 3600:,.1f} h"),
    ]
    assert ("Energy sold", "0.0 kWh") not in metrics(at)  # dollars came without charging: no figures of it


def test_a_month_that_is_not_over_is_called_so_far_and_not_compared(open_page):
    at = open_page("one_row", role="Owner")
    assert headline(at) == "You earned 4.50 CHF before tax so far in March 2026."
    assert all(not m.delta for m in at.metric)


def test_the_site_filter_narrows_the_owner_page_and_comes_from_the_url(open_page, ask):
    at = open_page("full", role="Owner", site="Lake Terrace")
    ((eur,),) = ask(
        "full", "select revenue_net from marts.fct_site_month where site_id = 'a2' and local_month = '2026-02-01'"
    )
    assert headline(at).startswith(f"You earned {eur:,.2f} EUR before tax in February 2026")


def test_the_operator_reads_what_is_broken_now_and_since_when(open_page, ask):
    at = open_page("full", role="Operator", operator="VoltRun")
    ports = ask(
        "full",
        "select port_id, s.state from marts.fct_port_state as s join marts.dim_port using (port_id) "
        "where ended_at is null and operator_id = 'op-1' and decommissioned_at is null",
    )
    broken = [port for port, state in ports if state in ("faulted", "unavailable", "offline")]
    assert broken == ["ST-a1/3"]
    # 12 March 09:00 to 15 March 14:00 UTC
    assert headline(at) == (f"1 of {len(ports)} ports is not working: ST-a1/3 at Station Garage, faulted for 3 d 5 h.")
    assert metrics(at) == [
        ("Working", str(len(ports) - 1)),
        ("Not working", "1"),
        ("Unknown", "0"),
        ("Ports", str(len(ports))),
    ]
    assert any("1 port from which no status ever came" in c.value for c in at.caption)
    table = at.dataframe[0].value
    assert list(table["port_id"]) == ["ST-a1/3"]
    assert str(table["broken_since_local"][0]) == "2026-03-12 10:00:00"  # Zurich is an hour ahead of UTC in March


def test_the_share_of_known_time_is_a_ratio_of_summed_seconds(open_page, ask):
    at = open_page("full", role="Operator", operator="VoltRun", period="All")
    ((working, known),) = ask(
        "full",
        "select sum(available_s + occupied_s + charging_s), sum(period_s - unknown_s) from marts.fct_port_day "
        "where operator_id = 'op-1'",
    )
    shown = [plain(m.value) for m in at.markdown if "of known time working" in m.value]
    assert shown[0].startswith(f"**{100 * working / known:.1f} %** of known time working")
    ((unknown_s,),) = ask("full", "select sum(unknown_s) from marts.fct_port_day where operator_id = 'op-1'")
    assert unknown_s > 0
    assert f"{unknown_s / 3600:,.1f} h unknown" in shown[0]


def test_the_emsp_reads_what_partners_billed_and_what_does_not_match(open_page, ask):
    at = open_page("full", role="EMSP", emsp="EasyDrive")
    where = "emsp_id = 'em-1' and local_month = '2026-03-01'"
    ((count, mismatches),) = ask(
        "full",
        f"select count(*) filter (where is_counted), count(*) filter (where audit_verdict = 'mismatch') "
        f"from marts.fct_cdr where {where}",
    )
    ((gbp,),) = ask("full", f"select sum(billed_net) from marts.fct_cdr where currency = 'GBP' and {where}")
    text = headline(at)
    assert text.startswith(f"3 partners billed {count:,} CDRs in March 2026: {gbp:,.2f} GBP, ")
    assert text.endswith(f"{mismatches} CDRs do not match the tariff.")
    ((median,),) = ask(
        "full", f"select median(epoch(last_updated_at - ended_at)) from marts.fct_cdr where not is_credit and {where}"
    )
    hours, minutes = divmod(round(median) // 60, 60)
    assert any(f"**{hours} h {minutes} min**" in plain(m.value) for m in at.markdown)


def test_an_emsp_month_from_the_url_changes_the_figures(open_page, ask):
    at = open_page("full", role="EMSP", month="January 2026")
    ((count,),) = ask(
        "full",
        "select count(*) from marts.fct_cdr where is_counted and emsp_id = 'em-1' and local_month = '2026-01-01'",
    )
    assert f"billed {count:,} CDRs in January 2026" in headline(at)


def test_the_sql_editor_runs_the_query_of_the_url(open_page, ask):
    at = open_page("full", role="Analyst", q="select count(*) as n from marts.fct_session")
    ((n,),) = ask("full", "select count(*) from marts.fct_session")
    assert at.dataframe[0].value["n"][0] == n


def test_the_sql_editor_shows_why_it_refuses(open_page):
    at = open_page("full", role="Analyst", q="drop table marts.fct_session")
    assert "read-only" in at.error[0].value


def test_every_example_query_runs(open_page):
    at = open_page("full", "analyst", role="Analyst")
    examples = at.button_group(key="example").options
    assert len(examples) == 4
    for example in examples:
        at.button_group(key="example").set_value(example).run()
        assert not at.exception
        assert not at.error
        assert at.text_area[0].value
        assert len(at.dataframe[0].value) > 0


def test_data_health_counts_what_could_not_be_read(open_page, ask):
    at = open_page("full", "data_health", role="Analyst")
    at.button_group(key="period").set_value("All").run()
    ((read, quarantined),) = ask("full", "select sum(records_read), sum(records_quarantined) from meta.source_file")
    ((unknown, period),) = ask("full", "select sum(unknown_s), sum(period_s) from marts.fct_port_day")
    text = headline(at)
    assert text.endswith(f"{quarantined} records of {read:,} could not be read.")
    assert f"{100 * unknown / period:.1f} % of port time is unknown" in text
    assert at.warning[0].value == "1 of 2 checks failed."  # of the newest run only


def test_data_health_of_a_scoped_role_shows_nothing_that_belongs_to_everybody(open_page):
    at = open_page("full", "data_health", role="Owner")
    assert not at.metric
    shown = " ".join(str(frame.value) for frame in at.dataframe)
    assert "Station Garage" in shown
    assert "Riverside Mall" not in shown
    assert "thames" not in shown


def test_an_address_of_another_roles_page_shows_the_own_first_page(open_page):
    at = open_page("full", role="EMSP")
    assert at.title[0].value == "Charge detail records"
    at = open_page("full", role="Operator")
    assert at.title[0].value == "Operations"


def test_a_version_that_lacks_a_mart_says_so_instead_of_crashing(open_page, homes, homes_module):
    import duckdb

    root = homes / "older"
    path = homes_module.publish(root, "one_row")
    with duckdb.connect(str(path)) as con:
        con.execute("drop table marts.fct_site_month")
    at = open_page("older", "owner", role="Owner")
    assert re.search("fct_site_month", at.error[0].value)
    assert "chargehouse run" in at.error[0].value
