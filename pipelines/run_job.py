"""Run the job from the command line: Dagster in this process, progress for people, one summary at the end."""

import json
import logging
import os
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from sqlalchemy import event
from sqlalchemy.engine import Engine

from pipelines import runs
from pipelines.home import Home
from pipelines.settings import child_environment, export_to_children

_DAGSTER_YAML = """\
# Written by chargehouse. Nothing is sent anywhere.
telemetry:
  enabled: false
nux:
  enabled: false
concurrency:
  runs:
    max_concurrent_runs: 1
"""


def prepare_dagster(home: Home) -> Path:
    """Make the home's Dagster folder, with telemetry off, and return it."""
    home.prepare()
    home.dagster.mkdir(parents=True, exist_ok=True)
    configuration = home.dagster / "dagster.yaml"
    if not configuration.exists():
        configuration.write_text(_DAGSTER_YAML)
    export_to_children(
        CHARGEHOUSE_HOME=str(home.root.resolve()),
        DAGSTER_HOME=str(home.dagster.resolve()),
        DAGSTER_DISABLE_TELEMETRY="yes",
    )
    return home.dagster


@event.listens_for(Engine, "connect")
def _do_not_wait_for_the_disk(connection: object, _: object) -> None:
    """Let SQLite return before the disk has written.

    A run tells Dagster some 2,000 events, each a commit of its own: waiting for the disk takes longer than building the
    models. What a power cut can cost is Dagster's history of the run, not data.
    """
    if isinstance(connection, sqlite3.Connection):
        connection.execute("pragma synchronous = off")


class _Watcher(threading.Thread):
    """Shows what the run says it is doing: a bar per stage on a terminal, a line per stage otherwise."""

    def __init__(self, home: Home, console: Console) -> None:
        super().__init__(daemon=True)
        self._home = home
        self._console = console
        self._ended = threading.Event()
        self._begun_at = runs.now()

    def _newest(self) -> dict[str, Any] | None:
        files = sorted(self._home.runs.glob("*/progress.json"))
        try:
            newest = json.loads(files[-1].read_text()) if files else None
        except (OSError, ValueError):  # being replaced at this moment
            return None
        return newest if newest and newest["at"] >= self._begun_at else None

    def run(self) -> None:
        columns = (TextColumn("{task.description:<14}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        with Progress(*columns, console=self._console, disable=not self._console.is_terminal) as bars:
            stage, task = "start", bars.add_task("start", total=None)
            while not self._ended.wait(0.2):
                newest = self._newest()
                if newest is None:
                    continue
                if newest["stage"] != stage:
                    bars.update(task, total=1, completed=1)
                    stage, task = newest["stage"], bars.add_task(newest["stage"], total=None)
                    if not self._console.is_terminal:
                        self._console.print(stage)
                bars.update(task, total=newest["total"], completed=newest["done"])
            bars.update(task, total=1, completed=1)

    def end(self) -> None:
        self._ended.set()
        self.join()


def run_job(home: Home, *, full_refresh: bool, is_verbose: bool) -> runs.RunRecord:
    """Execute the daily job on a home and print its summary.

    Args:
        home: The home folder.
        full_refresh: Decode and build everything anew.
        is_verbose: Show Dagster's own log.

    Returns:
        The run's record; its status is ``published``, ``unchanged`` or ``failed``.

    Raises:
        HomeBusyError: Another run works on this home.
        RuntimeError: The dbt project does not parse.
    """
    with runs.only_run(home):
        pass  # say so before the slow imports
    prepare_dagster(home)
    # Dagster redirects this process's standard error into its step logs; progress goes to where that led before.
    console = Console(file=os.fdopen(os.dup(sys.stderr.fileno()), "w"), highlight=False)
    progress = _Watcher(home, console)
    progress.start()
    try:
        import dagster as dg  # noqa: PLC0415

        from pipelines.definitions import JOB, build_definitions  # noqa: PLC0415

        if not is_verbose:
            logging.getLogger("dagster").setLevel(logging.CRITICAL)
            # Steps that did not run because nothing is new have no check results; that is no news.
            logging.getLogger("dagster._core.execution.plan.active").addFilter(lambda _: False)
        instance = dg.DagsterInstance.get()
        job = build_definitions(home).resolve_job_def(JOB)
        result = job.execute_in_process(
            instance=instance,
            raise_on_error=False,
            run_config=dg.RunConfig(
                ops={"landing__files": {"config": {"full_refresh": full_refresh}}},
                loggers={"console": {"config": {"log_level": "INFO" if is_verbose else "CRITICAL"}}},
            ),
        )
    finally:
        progress.end()
    found = sorted(home.runs.glob(f"*-{result.run_id[:8]}"))
    if not found:
        failure = next((event.message for event in result.all_events if event.is_failure), "Dagster could not start it")
        return runs.RunRecord("", runs.now(), "", status="failed", failure=failure)
    record = runs.read_run(home, found[-1].name)
    if not result.success:
        record.status = "failed"
        record.failure = _why(home, record, result)
        runs.finish(home, record)
    _print_summary(record, home)
    return record


def _why(home: Home, record: runs.RunRecord, result: object) -> str:
    """Say in one line why a run ended without publishing."""
    blocked = [check for check in runs.read_checks(home, record.run_id) if check.is_blocking and not check.passed]
    if blocked:
        first = blocked[0]
        return (
            f"{len(blocked)} blocking check(s); the version published before stays. First: {first.table_name}: "
            f"{first.check_name}, {first.observed}; rows: {first.failing_sample}"
        )
    if record.failure:
        return record.failure
    events = getattr(result, "all_events", [])
    return next((event.message.splitlines()[0] for event in events if event.is_step_failure), "an unknown step")


def _print_summary(record: runs.RunRecord, home: Home) -> None:
    """Print what a run did."""
    print(f"status      {record.status}")
    print(f"files new   {record.files_new:,}")
    print(
        f"records     {record.records_read:,} read = {record.records_loaded:,} loaded + "
        f"{record.records_duplicate:,} duplicate + {record.records_quarantined:,} quarantined"
    )
    print(f"models      {record.models_built:,}")
    print(f"checks      {record.checks_passed:,} passed, {record.checks_warned:,} warned")
    print(f"seconds     {record.seconds}")
    for line in (*record.unreadable, *record.warnings)[:20]:
        print(f"note        {line}")
    if record.records_quarantined:
        print('quarantine  chargehouse sql "select path, line_number, reason, expected from lake.quarantine_record"')
    if record.status in ("published", "unchanged"):
        print(f"warehouse   {home.published}")


def orchestrate(home: Home, port: int) -> int:
    """Run Dagster's web UI and daemon on a home until interrupted; returns the exit code."""
    prepare_dagster(home)
    return subprocess.call(
        [sys.executable, "-m", "dagster", "dev", "--module-name", "pipelines.definitions", "--host", "127.0.0.1",
         "--port", str(port)],
        cwd=Path(__file__).resolve().parent.parent,
        env=child_environment(),
    )  # fmt: skip
