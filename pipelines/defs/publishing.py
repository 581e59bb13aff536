"""The last step: the checked candidate becomes the published version."""

import dagster as dg

from pipelines import runs
from pipelines.defs.resources import HomeResource
from pipelines.quality.published import check_candidate
from pipelines.warehouse.publish import publish


def published_asset(deps: list[dg.AssetKey]) -> dg.AssetsDefinition:
    """Return the asset of the published warehouse; ``deps`` are the marts."""

    @dg.asset(
        key=["warehouse", "published"],
        deps=deps,
        group_name="warehouse",
        kinds={"duckdb"},
        description="The version that dashboards and SQL read: the marts, where they come from, and views on the lake.",
    )
    def published(context: dg.AssetExecutionContext, home: HomeResource) -> dg.MaterializeResult:
        run_id = home.run_id(context.run_id)
        runs.say(home.home, run_id, "publish")
        record = runs.read_run(home.home, run_id)
        record.status, record.version = "published", run_id
        record.finished_at = runs.now()
        record.seconds = runs.seconds_since(record.started_at)
        version, _ = publish(home.home, record, check=check_candidate, keep=home.settings.keep_versions)
        runs.finish(home.home, record)
        return dg.MaterializeResult(
            metadata={
                "version": run_id,
                "bytes": version.stat().st_size,
                "checks_passed": record.checks_passed,
                "checks_warned": record.checks_warned,
            }
        )

    return published
