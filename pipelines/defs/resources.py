"""The resources that the steps share: the home they work on, and dbt."""

from collections.abc import Generator
from contextlib import contextmanager
from functools import cached_property
from importlib import metadata
from pathlib import Path

import dagster as dg
from dagster_dbt import DbtCliResource
from packaging.version import Version

from pipelines import runs
from pipelines.home import Home
from pipelines.settings import Settings, dbt_folder, get_settings
from pipelines.warehouse.dbt_project import dbt_executable


class HomeResource(dg.ConfigurableResource):
    """The home folder a run works on. While a run lasts, it holds the home's run lock."""

    root: str

    @property
    def home(self) -> Home:
        """The home's paths."""
        return Home(Path(self.root))

    @property
    def settings(self) -> Settings:
        """The process's settings."""
        return get_settings()

    @contextmanager
    def yield_for_execution(self, context: dg.InitResourceContext) -> Generator["HomeResource", None, None]:
        """Hold the run lock and prepare the folders."""
        with runs.only_run(self.home):
            self.home.prepare()
            yield self

    def run_id(self, dagster_run_id: str) -> str:
        """Return our id of the run that Dagster runs."""
        found = sorted(self.home.runs.glob(f"*-{dagster_run_id[:8]}"))
        if not found:
            msg = f"run {dagster_run_id} has no record below {self.home.runs}: the step landing/files did not run"
            raise RuntimeError(msg)
        return found[-1].name


class InstalledDbt(DbtCliResource):
    """dbt's command line beside this Python."""

    @cached_property
    def _cli_version(self) -> Version:
        """Read the version from the installed package; asking the command costs every run 3.6 s of imports."""
        return Version(metadata.version("dbt-core"))


def dbt_resource() -> DbtCliResource:
    """Return dbt's command line as a resource, on the project's own profile."""
    return InstalledDbt(project_dir=str(dbt_folder()), profiles_dir=str(dbt_folder()), dbt_executable=dbt_executable())
