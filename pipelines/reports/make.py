"""Makes a report by name: what the command line calls."""

from pathlib import Path

from pipelines.home import Home
from pipelines.reports import california, evchart, period, uk_reliability
from pipelines.reports.source import open_source
from pipelines.reports.write import Report, write
from pipelines.settings import Settings

NAMES = (evchart.NAME, uk_reliability.NAME, california.NAME)
# the option that names the period of each
PERIOD_OPTIONS = {evchart.NAME: "quarter", uk_reliability.NAME: "year", california.NAME: "half"}
_PARSE = {"quarter": period.quarter, "year": period.year, "half": period.half}


def parse_period(name: str, text: str) -> period.Period:
    """Return the period of a report.

    Raises:
        PeriodError: The text names no such period.
    """
    return _PARSE[PERIOD_OPTIONS[name]](text)


def make(home: Home, settings: Settings, name: str, about: period.Period) -> tuple[Path, Report]:
    """Make a report and write its files.

    Returns:
        The folder and the report.

    Raises:
        NothingToReportError: There is nothing to report.
        RefusedError: The files would break the receiver's rules; nothing was written.
    """
    with open_source(home) as source:
        if name == evchart.NAME:
            networks = evchart.Networks(settings.evchart_network_providers, settings.evchart_network_provider)
            report = evchart.build(source, about, networks)
        elif name == uk_reliability.NAME:
            report = uk_reliability.build(source, about)
        else:
            report = california.build(source, about)
        return write(home, report, source), report
