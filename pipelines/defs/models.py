"""The dbt project as Dagster assets: one asset a model, one asset check a data test."""

from collections.abc import Iterator, Mapping
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import dagster as dg
from dagster_dbt import DagsterDbtTranslator, DagsterDbtTranslatorSettings, DbtCliResource, dbt_assets

from pipelines import runs
from pipelines.defs.resources import HomeResource
from pipelines.quality.result import CheckResult
from pipelines.settings import export_to_children
from pipelines.warehouse.dbt_project import dbt_environment, manifest_folder


class Translator(DagsterDbtTranslator):
    """Names assets ``<schema>/<model>`` and groups them as dbt does."""

    def __init__(self) -> None:
        """Take tests of sources as checks too."""
        super().__init__(settings=DagsterDbtTranslatorSettings(enable_source_tests_as_checks=False))

    def get_group_name(self, dbt_resource_props: Mapping[str, Any]) -> str | None:
        """Return dbt's group; seeds have a group of their own."""
        return dbt_resource_props.get("config", {}).get("group") or dbt_resource_props["resource_type"] + "s"


def model_assets(manifest: Path) -> dg.AssetsDefinition:
    """Return the models of a manifest as assets."""

    @dbt_assets(manifest=manifest, name="dbt_models", dagster_dbt_translator=Translator())
    def dbt_models(context: dg.AssetExecutionContext, dbt: DbtCliResource, home: HomeResource) -> Iterator[Any]:
        run_id = home.run_id(context.run_id)
        record = runs.read_run(home.home, run_id)
        runs.say(home.home, run_id, "build models")
        export_to_children(**dbt_environment(home.home, home.settings))
        # unit tests judge the code, not the data: `make test` runs them
        arguments = ["build", "--exclude-resource-type", "unit_test"]
        if record.is_full_refresh:
            arguments.append("--full-refresh")
        nodes = len(context.selected_asset_keys) + len(context.selected_asset_check_keys)
        invocation = dbt.cli(arguments, context=context, target_path=manifest_folder(home.home).resolve())
        try:
            with (runs.run_folder(home.home, run_id) / "dbt.log").open("w") as log, redirect_stdout(log):
                for built, event in enumerate(invocation.stream()):
                    runs.say(home.home, run_id, "build models", done=built, total=nodes)
                    yield event
        finally:
            _keep_results(home, run_id, invocation)

    return dbt_models


def _keep_results(home: HomeResource, run_id: str, invocation: Any) -> None:  # noqa: ANN401
    """Keep what dbt's tests said, and the number of models, with the run."""
    try:
        results = invocation.get_artifact("run_results.json")["results"]
    except FileNotFoundError:  # dbt died before it wrote any
        return
    checks, models = [], 0
    for result in results:
        kind, _, name = result["unique_id"].partition(".")
        if kind in ("test", "unit_test"):
            passed = result["status"] in ("pass", "success")
            checks.append(
                CheckResult(
                    suite="dbt unit test" if kind == "unit_test" else "dbt data test",
                    table_name=name.split(".")[1],
                    check_name=name.split(".", 1)[1],
                    column_name=None,
                    severity="warn" if result["status"] == "warn" else "error",
                    is_blocking=result["status"] != "warn",
                    passed=passed,
                    observed=str(result["status"]),
                    failing_count=result.get("failures"),
                    failing_sample=None if passed else (result.get("message") or "")[:2000],
                )
            )
        elif kind in ("model", "seed") and result["status"] == "success":
            models += 1
    runs.write_checks(home.home, run_id, "dbt", checks)
    record = runs.read_run(home.home, run_id)
    record.models_built = models
    runs.write_run(home.home, record)
