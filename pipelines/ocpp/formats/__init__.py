"""One module per log format, behind one recogniser.

A format is told by the shape of its lines, never by the file's name: :func:`recognise` asks every format which of the
first lines it knows and takes the one that knows most. To add a format, write a module with a ``FORMAT`` and name it
in ``FORMATS``; the checklist is in CONTRIBUTING.md.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from pipelines.ocpp.formats import everest, json_lines, logger_lines, octt, rpc_lines
from pipelines.ocpp.formats.base import LogFormat

# The order breaks ties: the more specific shape first.
FORMATS: tuple[LogFormat, ...] = (
    json_lines.NATIVE,
    json_lines.RECORDER,
    logger_lines.FORMAT,
    octt.FORMAT,
    everest.FORMAT,
    rpc_lines.FORMAT,
)


@dataclass(frozen=True, slots=True)
class Recognition:
    """What a log looks like, and how many of the sampled lines say so."""

    log_format: LogFormat
    known_lines: int


def recognise(sample: Sequence[str]) -> Recognition | None:
    """Tell the format of a log from its first lines.

    Args:
        sample: Some first lines, with or without line ends. Damaged lines among them do no harm.

    Returns:
        The format that knows most lines; None if no format knows any.
    """
    counts = [(sum(1 for line in sample if re.search(form.line_pattern, line)), form) for form in FORMATS]
    known, best = max(counts, key=lambda pair: pair[0])
    return Recognition(best, known) if known else None
