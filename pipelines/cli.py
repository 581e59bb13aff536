"""The ``chargehouse`` command: thin over the rooms below it.

Heavy imports stay inside the commands that need them, so that ``--help`` answers at once.
"""

import sys
import traceback
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any, NoReturn

import click


class Failure(click.ClickException):
    """A command that could not do its work: one clear line on stderr, exit code 1."""

    exit_code = 1

    def show(self, file: Any = None) -> None:  # noqa: ANN401
        """Print the message."""
        click.echo(f"chargehouse: {self.message}", err=True)


def _fail(error: BaseException, is_verbose: bool) -> NoReturn:
    if is_verbose:
        traceback.print_exception(error)
    text = str(error).strip() or type(error).__name__
    raise Failure(text) from error


def command(function: Callable[..., None]) -> Callable[..., None]:
    """Give a command ``--home`` and ``--verbose``, and turn any error into one line and exit code 1."""

    @click.option(
        "--home",
        "home_folder",
        type=click.Path(file_okay=False, path_type=Path),
        help="The home folder. [default: $CHARGEHOUSE_HOME, else ./data]",
    )
    @click.option("--verbose", is_flag=True, help="Show the trace of an error.")
    @wraps(function)
    def wrapped(home_folder: Path | None, verbose: bool, **options: Any) -> None:  # noqa: ANN401
        from pydantic import ValidationError

        from pipelines.home import Home
        from pipelines.settings import get_settings

        try:
            settings = get_settings()
        except ValidationError as error:
            problems = "; ".join(
                f"CHARGEHOUSE_{str(problem['loc'][0]).upper()}: {problem['msg']}" for problem in error.errors()
            )
            raise click.UsageError(f"the settings are wrong: {problems}") from error
        home = Home(home_folder or settings.home)
        try:
            function(home=home, verbose=verbose, **options)
        except (click.ClickException, click.exceptions.Exit, click.Abort):
            raise
        except KeyboardInterrupt:
            raise click.Abort from None
        except Exception as error:
            _fail(error, verbose)

    return wrapped


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(package_name="chargehouse")
def main() -> None:
    """The open warehouse of EV charging: OCPP logs and OCPI records in, uptime and money you can trace out."""


@main.command()
@click.option("--full-refresh", is_flag=True, help="Decode and build everything anew.")
@command
def run(home: "Home", verbose: bool, full_refresh: bool) -> None:  # noqa: F821
    """Take everything new in HOME/landing through to the published warehouse."""
    from pipelines.run_job import run_job

    _run(home, verbose=verbose, full_refresh=full_refresh, runner=run_job)


def _run(home: Any, *, verbose: bool, full_refresh: bool, runner: Callable[..., Any]) -> None:  # noqa: ANN401
    record = runner(home, full_refresh=full_refresh, is_verbose=verbose)
    if record.status == "failed":
        raise Failure(f"the run failed at {record.failure}" + ("" if verbose else " (--verbose shows the trace)"))


@main.command()
@click.option("--peer", "names", multiple=True, help="Only this peer; may be given several times. [default: all]")
@click.option(
    "--module",
    "modules",
    multiple=True,
    type=click.Choice(["tariffs", "locations", "tokens", "sessions", "cdrs"]),
    help="Only this module; may be given several times. [default: all that the peer offers]",
)
@click.option("--full", is_flag=True, help="Read everything again, whatever was pulled before.")
@click.option("--check", is_flag=True, help="Only ask each peer for its version and modules.")
@command
def pull(  # noqa: PLR0913
    home: "Home",  # noqa: F821
    verbose: bool,
    *,
    names: tuple[str, ...],
    modules: tuple[str, ...],
    full: bool,
    check: bool,
) -> None:
    """Fetch what is new at the OCPI peers in HOME/peers.toml into HOME/landing/ocpi."""
    from pipelines import pull_job

    try:
        failure = pull_job.check(home, names) if check else pull_job.run(home, names, modules, is_full=full)
    except pull_job.UnknownPeerError as error:
        raise click.UsageError(str(error)) from error
    if failure:
        raise Failure(failure)


@main.command()
@click.option("--port", default=8501, show_default=True, help="Port of the dashboards, on 127.0.0.1.")
@click.option("--no-serve", is_flag=True, help="Only make and load the example.")
@command
def demo(home: "Home", verbose: bool, port: int, no_serve: bool) -> None:  # noqa: F821
    """Load the example network into HOME/demo, run, and serve its dashboards."""
    from pipelines.home import Home
    from pipelines.run_job import run_job
    from pipelines.simulator import simulate_demo

    example = Home(home.root / "demo")
    if not any((example.landing / "ocpp").rglob("*.jsonl*")):
        click.echo(f"writing the example network into {example.landing}")
        simulate_demo(example.root)
    _run(example, verbose=verbose, full_refresh=False, runner=run_job)
    if not no_serve:
        _serve(example, port)


@main.command()
@click.option("--port", default=8501, show_default=True, help="Port of the dashboards, on 127.0.0.1.")
@command
def serve(home: "Home", verbose: bool, port: int) -> None:  # noqa: F821
    """Serve the dashboards on the published warehouse."""
    _serve(home, port)


def _serve(home: Any, port: int) -> None:  # noqa: ANN401
    from dashboards.serve import serve_dashboards

    code = serve_dashboards(home, port)
    if code:
        raise Failure(f"the dashboards ended with code {code}")


@main.command()
@click.option("--port", default=3000, show_default=True, help="Port of Dagster's web UI, on 127.0.0.1.")
@command
def orchestrate(home: "Home", verbose: bool, port: int) -> None:  # noqa: F821
    """Run Dagster's web UI and daemon, with the nightly schedule and the landing sensor on."""
    from pipelines.run_job import orchestrate as start

    code = start(home, port)
    if code:
        raise Failure(f"Dagster ended with code {code}")


@main.command()
@click.option("--dry-run", is_flag=True, help="Only print what lasts now; tell nobody and remember nothing.")
@command
def alerts(home: "Home", verbose: bool, dry_run: bool) -> None:  # noqa: F821
    """Tell breaches, long outages, silent sources and failed checks, each once (`orchestrate` does it by itself)."""
    from datetime import UTC, datetime

    from pipelines.alerts import tell
    from pipelines.alerts.find import find
    from pipelines.settings import get_settings

    settings = get_settings()
    if dry_run:
        for alert in find(home, tell.limits(settings), datetime.now(UTC)):
            click.echo(f"{alert.kind}: {alert.text}")
        return
    look = tell.look(home, settings)
    if look is None:
        raise Failure("another process looks for alerts at this moment")
    click.echo(str(look))
    if look.failed:
        raise Failure("; ".join(f"{name} could not be reached" for name in look.failed))


# A query may begin with a comment (--), which is no option.
@main.command(context_settings={"ignore_unknown_options": True})
@click.argument("query", required=False)
@click.option(
    "--format",
    "output_format",
    type=click.Choice(["table", "csv", "json", "parquet"]),
    default="table",
    show_default=True,
    help="Form of the answer.",
)
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), help="Write the answer to a file.")
@command
def sql(home: "Home", verbose: bool, query: str | None, output_format: str, out: Path | None) -> None:  # noqa: F821
    """Ask the published warehouse in SQL, read-only. Without QUERY: a prompt."""
    from pipelines.warehouse import query as asking

    version = home.current_version()
    if version is None:
        raise Failure(f"nothing is published in {home.root} yet: `chargehouse run --home {home.root}` does it")
    if query is None:
        asking.prompt(version)
        return
    if output_format == "parquet" and out is None and sys.stdout.isatty():
        raise click.UsageError("parquet is no text: name a file with --out, or send it on")
    asking.answer(version, query, output_format, out)


@main.command()
@click.argument("name", type=click.Choice(["evchart", "uk-reliability", "california"]))
@click.option("--quarter", help="Quarter of `evchart`, such as 2026Q1.")
@click.option("--year", help="Calendar year of `uk-reliability`, such as 2026.")
@click.option("--half", help="Half-year of `california`, such as 2026H2.")
@command
def report(home: "Home", verbose: bool, name: str, **periods: str | None) -> None:  # noqa: F821
    """Write a regulator's files into HOME/reports/NAME/PERIOD, checked by the receiver's rules, all of them or none."""
    from pipelines.reports import make
    from pipelines.reports.period import PeriodError
    from pipelines.settings import get_settings

    wanted = make.PERIOD_OPTIONS[name]
    others = [f"--{option}" for option, text in periods.items() if text is not None and option != wanted]
    text = periods[wanted]
    if text is None or others:
        raise click.UsageError(f"the report {name} takes --{wanted}" + (f", not {', '.join(others)}" if others else ""))
    try:
        about = make.parse_period(name, text)
    except PeriodError as error:
        raise click.BadParameter(str(error), param_hint=f"--{wanted}") from error
    folder, written = make.make(home, get_settings(), name, about)
    for warning in written.warnings:
        click.echo(f"warning: {warning}", err=True)
    for file in written.files:
        click.echo(f"{folder / file.name}  {file.frame.height:,} rows")


@main.command()
@click.argument("cdr", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "--tariff",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Price by this tariff instead of the CDR's own.",
)
@command
def price(home: "Home", verbose: bool, cdr: Path, tariff: Path | None) -> None:  # noqa: F821
    """Price one CDR (an OCPI object in a JSON file) as a run would, and print why, line by line."""
    from pipelines.settings import get_settings
    from pipelines.warehouse.price import PriceError, price_file

    try:
        told = price_file(cdr, tariff_file=tariff, home=home, settings=get_settings())
    except PriceError as error:
        raise Failure(f"{cdr}: {error}") from error
    click.echo(told)


@main.command()
@click.option("--ports", required=True, type=click.IntRange(min=1), help="Charging ports of the network.")
@click.option("--days", required=True, type=click.IntRange(min=1), help="Days of history.")
@click.option("--seed", default=1, show_default=True, help="The same seed gives the same files.")
@click.option("--out", required=True, type=click.Path(file_okay=False, path_type=Path), help="The home to write into.")
@click.option("--verbose", is_flag=True, help="Show the trace of an error.")
def simulate(ports: int, days: int, seed: int, out: Path, verbose: bool) -> None:
    """Write a network with known truth: its deliveries into OUT/landing, the truth into OUT/truth."""
    from pipelines.simulator import simulate as make

    try:
        summary = make(out, ports=ports, days=days, seed=seed)
    except Exception as error:
        _fail(error, verbose)
    click.echo(str(summary))


@main.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), help="The copy. [default: NAME.anonymized.*]")
@click.option("--verbose", is_flag=True, help="Show the trace of an error.")
def anonymize(file: Path, out: Path | None, verbose: bool) -> None:
    """Write a copy of the OCPP log FILE that may be shared: who it names is masked, times and structure stay."""
    from pipelines.ocpp.anonymize import anonymize as mask
    from pipelines.ocpp.anonymize import shared_name

    target = out or shared_name(file)
    if target.resolve() == file.resolve():
        raise click.UsageError("--out must not be FILE itself")
    try:
        masked = mask(file, target)
    except Exception as error:
        _fail(error, verbose)
    click.echo(
        f"{target}: tokens, serial numbers and addresses masked ({masked} values that are looked for everywhere)"
    )


if __name__ == "__main__":
    main()
