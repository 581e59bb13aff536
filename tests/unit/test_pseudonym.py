"""Pseudonyms: the SQL macro is RFC 2104's HMAC, and masking leaves JSON readable."""

import json

import duckdb
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.pseudonym import create_macros, pseudonym

KEYS = "idTag|idToken"


@pytest.fixture(scope="module")
def con():
    with duckdb.connect() as connection:
        create_macros(connection, b"key")
        yield connection


def mask(con, text: str) -> str:
    return con.execute("select mask_emails(mask_keys($1, $2))", [text, KEYS]).fetchone()[0]


@given(value=st.text(st.characters(codec="ascii", exclude_characters="\0"), min_size=1).filter(str.strip))
def test_the_macro_equals_the_standard_library(con, value: str):
    if value.strip() != value.strip(" "):
        return  # SQL trims blanks, Python all white space; tokens hold none
    assert con.execute("select pseudonym($1)", [value]).fetchone()[0] == pseudonym(b"key", value)


@pytest.mark.parametrize("key", [b"k", b"k" * 64, b"k" * 65, b"k" * 200])
def test_keys_of_any_length_follow_the_standard(key: bytes):
    with duckdb.connect() as connection:
        create_macros(connection, key)
        assert connection.execute("select pseudonym('x')").fetchone()[0] == pseudonym(key, "x")


def test_case_and_blanks_do_not_matter():
    assert pseudonym(b"key", " abC ") == pseudonym(b"key", "ABC")


@given(
    tokens=st.lists(
        st.text(
            st.characters(codec="ascii", categories=["L", "N"], include_characters='-_:."\\/'), min_size=6, max_size=20
        ),
        min_size=1,
        max_size=4,
    )
)
def test_masked_json_is_the_same_json_with_pseudonyms(con, tokens: list[str]):
    payload = {"connectorId": 1, "list": [{"idTag": token} for token in tokens], "idToken": {"idToken": tokens[0]}}
    masked = json.loads(mask(con, json.dumps(payload)))
    assert masked["connectorId"] == 1
    assert [entry["idTag"] for entry in masked["list"]] == [pseudonym(b"key", token) for token in tokens]
    assert masked["idToken"]["idToken"] == pseudonym(b"key", tokens[0])


def test_a_token_that_begins_another_does_not_spoil_it(con):
    masked = json.loads(mask(con, '{"a":{"idTag":"AB"},"b":{"idTag":"ABC"}}'))
    assert masked == {"a": {"idTag": pseudonym(b"key", "AB")}, "b": {"idTag": pseudonym(b"key", "ABC")}}


def test_text_cut_inside_a_token_is_masked(con):
    assert "SECRET" not in mask(con, '[2,"1","Authorize",{"idTag":"SECRET')


def test_json_inside_a_json_string_is_masked_at_any_depth(con):
    inner = json.dumps({"idTag": "SECRET"})
    for _ in range(3):
        inner = json.dumps({"data": inner})
        assert "SECRET" not in mask(con, inner)
        json.loads(mask(con, inner))


def test_numbers_as_tokens_are_masked(con):
    assert json.loads(mask(con, '{"idTag": 12345}')) == {"idTag": pseudonym(b"key", "12345")}


def test_other_keys_and_nulls_stay(con):
    assert mask(con, '{"status":"Accepted","n":1.10}') == '{"status":"Accepted","n":1.10}'
    assert con.execute("select mask_keys(null, 'a'), mask_emails(null)").fetchone() == (None, None)
