"""`make bench`: every benchmark, each as a ratio to a named baseline of the same run.

``python -m benchmarks [NAME ...] [--frames N] [--OPTION VALUE ...]`` runs some of them; an option is an argument of a
benchmark's function and goes to each that has it. Seconds alone say little on a shared machine; the ratio of two
measurements a moment apart says how far we are from what the engine can do.
"""

import argparse
import importlib
import inspect
import platform
from collections.abc import Callable
from pathlib import Path

import duckdb

# name -> function that returns the lines of a report; imported when it is run
BENCHMARKS = {
    "ocpp-decode": "benchmarks.ocpp_decode:ocpp_decode",
    "reprice": "benchmarks.reprice:reprice",
    "ocpp-damage": "benchmarks.ocpp_damage:ocpp_damage",
    "simulate": "benchmarks.simulate:simulator",
    "uptime": "benchmarks.uptime:uptime",
}
_TYPES: dict[object, Callable[[str], object]] = {int: int, float: float, str: str, Path: Path, Path | None: Path}


def _function(name: str) -> Callable[..., list[str]]:
    module, function = BENCHMARKS[name].split(":")
    return getattr(importlib.import_module(module), function)


def main() -> None:
    """Run the benchmarks named on the command line, all without names."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", choices=[[], *BENCHMARKS], help="which; all without names")
    arguments, rest = parser.parse_known_args()
    names = arguments.names or list(BENCHMARKS)
    parameters = {name: inspect.signature(_function(name)).parameters for name in names}
    options = argparse.ArgumentParser(prog="python -m benchmarks", add_help=False)
    for option, parameter in {key: value for found in parameters.values() for key, value in found.items()}.items():
        options.add_argument(f"--{option.replace('_', '-')}", type=_TYPES[parameter.annotation])
    given = {key: value for key, value in vars(options.parse_args(rest)).items() if value is not None}
    print(f"{platform.machine()}, Python {platform.python_version()}, DuckDB {duckdb.__version__}")
    for name in names:
        values = {key: value for key, value in given.items() if key in parameters[name]}
        print("\n".join(_function(name)(**values)), flush=True)


if __name__ == "__main__":
    main()
