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


if __name__ == "__main__":
    main()
