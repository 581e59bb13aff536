"""Whether messages keep to OCPP's own JSON schemas: a mark of quality, never a filter.

Chargers send measurands, keys and spellings that the schemas do not know, and are charged with all the same. What matters
is which charger says what, so the calls of a log are sampled, put together by shape (keys, types and the words of
enumerations, without the numbers and ids that change), and one example of each shape is judged by the schemas that the
PyPI package ``ocpp`` carries (1.6 with the security extension, 2.0.1, 2.1). Answers are not judged.

The cost is bounded per file: at most ``_FILES`` lake files are looked at, ``_PER_ACTION`` calls of each action, and
``_SHAPES`` shapes; a shape once judged is remembered for the files that follow.
"""

import json
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pyarrow as pa

from pipelines.home import LakeWriter
from pipelines.lake import SCHEMA_FINDING
from pipelines.pseudonym import OCPP_SECRET_KEYS

_FILES = 3  # lake files of one log, some 90,000 frames each
_PER_ACTION = 1000
_SHAPES = 300  # validators judge some 1,600 MeterValues a second
_PER_SHAPE = 20  # findings of one shape: one wrong list has as many errors as elements
_REMEMBERED = 20_000
_VERSIONS = {"ocpp1.6": "1.6", "ocpp2.0.1": "2.0.1", "ocpp2.1": "2.1"}

Finding = tuple[str, str, str]  # path, rule, message
_judged: dict[tuple[str, int, str, str], tuple[Finding, ...]] = {}

# Numbers and texts that hold a digit (ids, times, values) become one sign each; words stay.
_SHAPE_SQL = r"""
    regexp_replace(
        regexp_replace(
            regexp_replace(payload, '([:,\[]\s*)-?[0-9]+(\s*[,}\]])', '\1 0\2', 'g'),
            '([:,\[]\s*)-?[0-9]+\.[0-9.eE+-]+', '\1 0.5', 'g'
        ),
        '"(?:[^"\\]|\\.)*[0-9](?:[^"\\]|\\.)*"(\s*[,}\]])', '"#"\1', 'g'
    )
"""


def _message(error: Any) -> str:  # noqa: ANN401
    """Say what a schema error is, without the value at fault unless it is a word of an enumeration."""
    expected = error.validator_value
    match error.validator:
        case "enum":
            value = str(error.instance)[:60]
            return f"{value!r} is none of the {len(expected)} values"
        case "type":
            return f"is no {expected}"
        case "required":
            return f"lacks {', '.join(sorted(set(expected) - set(error.instance)))}"
        case "additionalProperties":
            known = error.schema.get("properties", {})
            return f"has {', '.join(sorted(set(error.instance) - set(known)))[:200]}, which the schema does not know"
        case rule:
            return f"breaks {rule} {str(expected)[:60]}"


def judge(protocol: str, message_type: int, action: str, payload: str) -> Iterator[Finding]:
    """Yield what the schema says against one message.

    Args:
        protocol: ``ocpp1.6``, ``ocpp2.0.1`` or ``ocpp2.1``.
        message_type: 2 (CALL) or 6 (SEND).
        action: Its action.
        payload: Its payload as JSON text; driver tokens may be pseudonyms, whose length is not held against it.

    Yields:
        JSON path, rule (the schema's keyword, or ``unknown_action``) and what is wrong, in words.
    """
    from jsonschema.exceptions import SchemaError  # noqa: PLC0415 - half a second that --help need not wait for
    from ocpp.messages import get_validator  # noqa: PLC0415

    version = _VERSIONS[protocol]
    if not action.isalnum():  # it becomes a file's name
        yield "$", "unknown_action", f"is no message of OCPP {version}"
        return
    try:
        validator = get_validator(message_type, action, version, parse_float=Decimal)
    except (OSError, SchemaError):
        yield "$", "unknown_action", f"is no message of OCPP {version}"
        return
    # 1.6 asks that limits be multiples of 0.1, which binary fractions never are
    value = json.loads(payload, parse_float=Decimal)
    seen = set()
    for error in validator.iter_errors(value):
        names = [str(part) for part in error.absolute_path if not isinstance(part, int)]
        if error.validator == "maxLength" and names and names[-1] in OCPP_SECRET_KEYS:
            continue
        finding = (".".join(["$", *names]), str(error.validator), _message(error))
        if finding not in seen:
            seen.add(finding)
            yield finding


def _findings(protocol: str, message_type: int, action: str, shape: str, payload: str) -> tuple[Finding, ...]:
    key = (protocol, message_type, action, shape)
    if key not in _judged:
        if len(_judged) >= _REMEMBERED:
            _judged.clear()
        try:
            found = list(judge(protocol, message_type, action, payload))
        except (
            ValueError,
            TypeError,
            ArithmeticError,
            RecursionError,
        ):  # what a validator makes of odd input stops nothing
            found = [("$", "unreadable", "is no JSON that can be judged")]
        _judged[key] = tuple(found[:_PER_SHAPE])
    return _judged[key]


def write_findings(writer: LakeWriter) -> int:
    """Judge a sample of the calls that a writer has written, and write what is found beside them.

    Args:
        writer: What wrote the frames of one log.

    Returns:
        The findings written.
    """
    frames = sorted(name for name in writer.record.lake_files if name.startswith("ocpp/frame/"))
    if not frames:
        return 0
    step = max(1, len(frames) // _FILES)
    globs = [str(writer.home.lake / name) for name in frames[::step][:_FILES]]
    con = writer.con
    con.execute(
        f"""
        create or replace temp table sampled_call as
        with calls as (
            select * from read_parquet($1)
            where message_type in (2, 6) and action is not null and protocol in ('ocpp1.6', 'ocpp2.0.1', 'ocpp2.1')
        ),
        counted as (select protocol, message_type, action, count(*) as calls from calls group by all),
        -- frame ids are hashes: those below a limit are as good as drawn by lot, and the same ones every time
        sampled as (
            select calls.*
            from calls
            inner join counted using (protocol, message_type, action)
            where left(calls.frame_id, 8)
                <= printf('%08x', cast(least(1.0, {_PER_ACTION} / counted.calls) * 4294967295 as bigint))
        )
        select *, left(md5({_SHAPE_SQL}), 16) as shape_hash from sampled
        """,
        [globs],
    )
    shapes = con.execute(
        f"""
        select protocol, message_type, action, shape_hash, arg_min(payload, frame_id)
        from sampled_call
        group by all
        order by count(*) desc, shape_hash
        limit {_SHAPES}
        """
    ).fetchall()
    found = [
        (protocol, message_type, action, shape, *finding)
        for protocol, message_type, action, shape, payload in shapes
        for finding in _findings(protocol, message_type, action, shape, payload)
    ]
    if not found:
        con.execute("drop table sampled_call")
        return 0
    names = ("protocol", "message_type", "action", "shape_hash", "path", "rule", "message")
    con.register(
        "shape_finding",
        pa.table({name: list(column) for name, column in zip(names, zip(*found, strict=True), strict=True)}),
    )
    rows = writer.write(
        SCHEMA_FINDING,
        f"""
        select
            '{writer.record.source_id}' as source_id,
            min(calls.line_number) as line_number,
            arg_min(calls.frame_id, calls.line_number) as frame_id,
            any_value(calls.log_source) as log_source,
            calls.station_id,
            arg_min(calls.received_at, calls.line_number) as received_at,
            calls.protocol,
            calls.message_type,
            calls.action,
            calls.shape_hash,
            shape_finding.path,
            shape_finding.rule,
            shape_finding.message,
            count(*) as frames,
        from sampled_call as calls
        inner join shape_finding using (protocol, message_type, action, shape_hash)
        group by
            calls.station_id, calls.protocol, calls.message_type, calls.action, calls.shape_hash, shape_finding.path,
            shape_finding.rule, shape_finding.message
        """,
    )
    con.unregister("shape_finding")
    con.execute("drop table sampled_call")
    return rows
