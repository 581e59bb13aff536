"""Pseudonyms for driver tokens, contract ids and e-mail addresses, as DuckDB macros.

A pseudonym is the keyed hash HMAC-SHA-256 (RFC 2104) of the value, trimmed and in upper case (OCPP and OCPI compare
tokens, which are ASCII, case-insensitively), cut to 32 hex digits. The same token in an OCPP frame and in a CDR has the
same pseudonym, and without the key nobody can try tokens out against it.
"""

import hashlib
import hmac

import duckdb

_BLOCK = 64  # block size of SHA-256 in bytes, RFC 2104
_LENGTH = 32  # hex digits kept: 128 bits

# JSON keys whose text value is a driver token, contract id or other personal id, in OCPP 1.6 and 2.x.
OCPP_SECRET_KEYS = (
    "idTag",
    "parentIdTag",
    "idToken",
    "additionalIdToken",
    "groupIdToken",
    "eMAID",
    "emaid",
    "contractId",
    "masterPassGroupId",
)


def pseudonym(key: bytes, value: str) -> str:
    """Return the pseudonym of one value.

    Args:
        key: HMAC key of the home.
        value: A driver token, contract id or e-mail address in the clear.
    """
    return hmac.new(key, value.strip().upper().encode(), hashlib.sha256).hexdigest()[:_LENGTH]


def create_macros(con: duckdb.DuckDBPyConnection, key: bytes) -> None:
    """Create the macros ``pseudonym``, ``mask_keys`` and ``mask_emails`` on a connection.

    * ``pseudonym(value)``: the pseudonym of a text, null for null and for empty text.
    * ``mask_keys(text, keys)``: JSON text (whole or cut off anywhere) with the text value of every given key replaced by
      its pseudonym. ``keys`` is a regular-expression alternation such as ``'idTag|idToken'``.
    * ``mask_emails(text)``: text with every e-mail address replaced by its pseudonym.

    Args:
        con: Connection to a database in memory, whose other connections see them too; gone with the database.
        key: HMAC key of the home.
    """
    if len(key) > _BLOCK:
        key = hashlib.sha256(key).digest()
    padded = key.ljust(_BLOCK, b"\0")
    inner = bytes(byte ^ 0x36 for byte in padded).hex()
    outer = bytes(byte ^ 0x5C for byte in padded).hex()
    con.execute(f"""
        create or replace macro pseudonym(v) as
            case when trim(v) <> '' then
                left(sha256(unhex('{outer}') || unhex(sha256(unhex('{inner}') || encode(upper(trim(v)))))), {_LENGTH})
            end
    """)
    con.execute(r"""
        create or replace macro mask_value(v) as
            '"'
            || coalesce(pseudonym(coalesce(try_cast(v as json) ->> '$', trim(v, '"'))), '')
            || case when left(v, 1) <> '"' or right(v, 1) = '"' then '"' else '' end
    """)
    con.execute(r"""
        create or replace macro mask_pair(pair) as
            regexp_extract(pair, '^("[^"]*"\s*:\s*)', 1)
            || mask_value(regexp_extract(pair, '^"[^"]*"\s*:\s*(.*)$', 1, 's'))
    """)
    con.execute(r"""
        create or replace macro mask_plain_keys(t, keys) as
            list_reduce(
                list_prepend(
                    t,
                    -- longest first: the number 12 must not be replaced inside of 123
                    list_reverse_sort(list_distinct(regexp_extract_all(
                        t, '"(?:' || keys || ')"\s*:\s*(?:"(?:[^"\\]|\\.)+(?:"|$)|-?[0-9][0-9.eE+-]*)'
                    )))
                ),
                lambda masked, pair: replace(masked, pair, mask_pair(pair))
            )
    """)
    # JSON inside a JSON string (a frame inside a record, DataTransfer data): the quotes have backslashes before them
    con.execute(r"""
        create or replace macro mask_escaped_pair(pair) as
            regexp_extract(pair, '^(.*")[^"\\]+[\\"]?$', 1, 's')
            || pseudonym(regexp_extract(pair, '([^"\\]+)[\\"]?$', 1))
            || regexp_extract(pair, '([\\"]?)$', 1)
    """)
    con.execute(r"""
        create or replace macro mask_keys(t, keys) as
            case when contains(t, '\"') then
                list_reduce(
                    list_prepend(
                        mask_plain_keys(t, keys),
                        list_distinct(regexp_extract_all(
                            t, '\\+"(?:' || keys || ')\\+"\s*:\s*\\+"[^"\\]+(?:[\\"]|$)'
                        ))
                    ),
                    lambda masked, pair: replace(masked, pair, mask_escaped_pair(pair))
                )
            else mask_plain_keys(t, keys) end
    """)
    con.execute(r"""
        create or replace macro mask_emails(t) as
            case when contains(t, '@') then
                list_reduce(
                    list_prepend(
                        t, list_distinct(regexp_extract_all(t, '[A-Za-z0-9._%+\-]+@[A-Za-z0-9.\-]+\.[A-Za-z]{2,}'))
                    ),
                    lambda masked, address: replace(masked, address, pseudonym(address))
                )
            else t end
    """)
