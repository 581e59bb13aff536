"""Nobody sees a row of somebody else, whichever question is asked."""

import datetime as dt
import inspect
import re
from pathlib import Path

import polars as pl
import pytest

from dashboards import access, warehouse
from dashboards.access import Principal, Role, email_pseudonym, visible_relations
from dashboards.warehouse import View
from pipelines.pseudonym import pseudonym

OWNER_A = Principal(Role.OWNER, "own-a")
OWNER_B = Principal(Role.OWNER, "own-b")
OPERATOR_1 = Principal(Role.OPERATOR, "op-1")
EMSP_1 = Principal(Role.EMSP, "em-1")
EVERYBODY = Principal(Role.ADMIN)

# Every question that takes a view, with arguments that widen as far as they can: all sites, all time.
MARCH = dt.date(2026, 3, 1)
SCOPED_QUESTIONS = {
    "freshness": (),
    "sites": (),
    "site_months": (None, None),
    "months_against_before": (None,),
    "sites_against_before": (None, dt.date(2026, 2, 1)),
    "ports_ranked": (None, None),
    "states_by_site": (None, 100),
    "network_now": (None,),
    "broken_now": (None,),
    "availability": (None, None),
    "availability_total": (None, None),
    "timeline": (None, None, 1000),
    "week_pattern": (None, None),
    "port_ids": (None,),
    "cdr_months": (),
    "cdr_totals": (None,),
    "cdr_arrival": (None,),
    "partners": (None,),
    "latency_histogram": (None,),
    "cdrs": (None, None),
    "price_lines": ("key-ses-1",),
    "unknown_by_day": (None,),
    "unknown_by_site": (None,),
}
NETWORK_QUESTIONS = {
    "catalogue": (),
    "columns": ("marts.fct_cdr",),
    "run_sql": ("select 1",),
    "runs": (),
    "deliveries": (),
    "delivery_totals": (),
    "quarantined_files": (),
    "quarantine": (),
    "checks": (),
}
MARKS = {  # words that appear in rows of one owner only
    "own-a": re.compile(r"ST-a\d|Station Garage|Lake Terrace|\ba1\b|\ba2\b|Alpine"),
    "own-b": re.compile(r"ST-b\d|Riverside Mall|\bb1\b|Thames"),
    "unmapped": re.compile(r"ST-x|\bUnmapped\b"),
}


@pytest.fixture
def version(use_home):
    use_home("full")
    return warehouse.current_version()


def asked(version: str, principal: Principal, name: str, args: tuple) -> str:
    """Return everything that a question answers, as text."""
    answer = getattr(warehouse, name)(View(version, principal), *args)
    return answer.write_csv() if isinstance(answer, pl.DataFrame) else str(answer)


def test_every_question_about_a_view_is_in_the_lists_above():
    takes_view = {
        name
        for name, function in inspect.getmembers(warehouse, callable)
        if not name.startswith("_")
        and getattr(function, "__module__", None) == "dashboards.warehouse"
        and not inspect.isclass(function)
        and "view" in inspect.signature(function).parameters
    }
    assert takes_view == set(SCOPED_QUESTIONS) | set(NETWORK_QUESTIONS)


@pytest.mark.parametrize("name", SCOPED_QUESTIONS)
@pytest.mark.parametrize(
    ("principal", "foreign"),
    [(OWNER_A, ("own-b", "unmapped")), (OWNER_B, ("own-a", "unmapped")), (OPERATOR_1, ("own-b", "unmapped"))],
)
def test_no_question_answers_with_a_row_of_somebody_else(version, principal, foreign, name):
    text = asked(version, principal, name, SCOPED_QUESTIONS[name])
    for owner in foreign:
        assert not MARKS[owner].search(text), text[:500]


@pytest.mark.parametrize(
    "name", ["sites", "site_months", "ports_ranked", "broken_now", "availability", "timeline", "cdrs"]
)
def test_the_marks_would_show_a_leak(version, name):
    text = asked(version, EVERYBODY, name, SCOPED_QUESTIONS[name])
    assert MARKS["own-a"].search(text)
    assert MARKS["own-b"].search(text)


@pytest.mark.parametrize("name", SCOPED_QUESTIONS)
def test_an_unknown_scope_sees_nothing(version, name):
    text = asked(version, Principal(Role.OWNER, "nobody' or true --"), name, SCOPED_QUESTIONS[name])
    assert not any(mark.search(text) for mark in MARKS.values())


def test_an_emsp_sees_its_own_cdrs_and_no_port(version, ask):
    view = View(version, EMSP_1)
    ((count,),) = ask("full", "select count(*) from marts.fct_cdr where emsp_id = 'em-1' and is_counted")
    assert warehouse.cdr_arrival(view, None)["cdr_count"] == count
    assert warehouse.port_ids(view, None) == []
    assert warehouse.network_now(view, None)["ports"] == 0
    assert warehouse.ports_ranked(view, None, None).is_empty()
    assert warehouse.site_months(view, None, None).is_empty()
    assert warehouse.timeline(view, None, None, 1000).is_empty()


def test_an_emsp_cannot_read_the_price_lines_of_another_ones_cdr(version, ask):
    ((foreign,),) = ask(
        "full", "select min(cdr_key) from marts.fct_cdr where emsp_id = 'em-2' and audit_verdict = 'match'"
    )
    assert warehouse.price_lines(View(version, EMSP_1), foreign).is_empty()
    assert not warehouse.price_lines(View(version, Principal(Role.EMSP, "em-2")), foreign).is_empty()


def test_the_scopes_add_up_to_everything(version, ask):
    rows = sum(
        len(warehouse.ports_ranked(View(version, Principal(Role.OWNER, owner)), None, None))
        for (owner,) in ask("full", "select owner_id from marts.dim_owner")
    )
    assert rows == len(warehouse.ports_ranked(View(version, EVERYBODY), None, None))


@pytest.mark.parametrize("name", NETWORK_QUESTIONS)
@pytest.mark.parametrize("principal", [OWNER_A, OPERATOR_1, EMSP_1])
def test_questions_about_the_whole_network_are_for_those_who_see_it(version, principal, name):
    with pytest.raises(PermissionError):
        getattr(warehouse, name)(View(version, principal), *NETWORK_QUESTIONS[name])


def test_the_cache_does_not_hand_one_owners_answer_to_another(version):
    first = warehouse.sites(View(version, OWNER_A))
    second = warehouse.sites(View(version, OWNER_B))
    assert set(first["site_id"]).isdisjoint(second["site_id"])


def test_a_scoped_role_without_a_scope_is_refused():
    for role in (Role.OWNER, Role.OPERATOR, Role.EMSP):
        for scope in (None, ""):
            with pytest.raises(ValueError, match=role):
                Principal(role, scope)


def test_every_relation_of_a_scoped_role_is_filtered():
    for role in (Role.OWNER, Role.OPERATOR, Role.EMSP):
        for name in access.RELATION_NAMES:
            clause, params = visible_relations(Principal(role, "x"), f"select * from {name}")
            own = clause[clause.index(f"{name} as (") :]
            assert "where" in own, clause
            assert params == ({"scope_id": "x"} if "$scope_id" in clause else {})
            assert "$scope_id" in clause or "where false" in own


def test_no_query_of_the_dashboards_names_a_mart_itself():
    # The analyst's page has examples for the SQL editor, which is for those who see everything.
    for path in Path(access.__file__).parent.rglob("*.py"):
        if path.name not in ("access.py", "analyst.py"):
            assert not re.findall(r"(?:from|join)\s+marts\.", path.read_text()), path


def test_dashboards_import_of_the_pipelines_only_settings_and_home():
    for path in Path(access.__file__).parent.rglob("*.py"):
        imported = re.findall(r"^\s*(?:from|import) (pipelines\S*)", path.read_text(), re.MULTILINE)
        assert set(imported) <= {"pipelines.settings", "pipelines.home"}, path


def test_an_email_has_the_pseudonym_that_the_lake_gave_it():
    for email in ("Ann@Example.org", " ann@example.org "):
        assert email_pseudonym(b"key", email) == pseudonym(b"key", "ann@example.org")


def test_a_signed_in_person_is_what_access_csv_says(homes, homes_module, use_home, monkeypatch):
    monkeypatch.setenv("CHARGEHOUSE_PSEUDONYM_KEY", "secret")
    known = email_pseudonym(b"secret", "ann@example.org")
    root = homes / "signed_in"
    homes_module.LAKE_TABLES["registry_access"] = f"""
        select * from (values
            ('aa', '{known}', 'owner', 'own-a'), ('aa', '{known}', 'analyst', null), ('aa', '{known}', 'emsp', null),
            ('old', '{known}', 'admin', null), ('aa', 'other', 'admin', null)
        ) as t(source_id, email, role, scope_id)
    """
    homes_module.publish(root, "full")
    use_home("signed_in")
    version = warehouse.current_version()
    assert warehouse.principals_of(version, "Ann@example.org") == [Principal(Role.ANALYST), OWNER_A]
    assert warehouse.principals_of(version, "eve@example.org") == []
