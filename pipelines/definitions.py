"""The front door: everything Dagster serves."""

import dagster as dg

from pipelines import ingest, runs
from pipelines.defs.alerting import alert_definitions
from pipelines.defs.checks import lake_expectations
from pipelines.defs.lake import lake_tables, landing_files
from pipelines.defs.models import model_assets
from pipelines.defs.publishing import published_asset
from pipelines.defs.pulling import PULLED, pull_definitions
from pipelines.defs.resources import HomeResource, dbt_resource
from pipelines.home import Home
from pipelines.settings import get_settings
from pipelines.warehouse.dbt_project import prepare_manifest

JOB = "daily"


@dg.failure_hook(required_resource_keys={"home"})
def keep_failure(context: dg.HookContext) -> None:
    """Write into the run's record which step failed and why."""
    home: HomeResource = context.resources.home
    found = sorted(home.home.runs.glob(f"*-{context.run_id[:8]}"))
    if not found:
        return
    record = runs.read_run(home.home, found[-1].name)
    error = context.op_exception
    record.status = "failed"
    record.failure = f"{context.op.name}: {error}" if error else context.op.name
    runs.finish(home.home, record)


def build_definitions(home: Home) -> dg.Definitions:
    """Return the assets, checks, job, schedule and sensor of one home.

    Args:
        home: The home the runs work on.

    Raises:
        RuntimeError: The dbt project does not parse.
    """
    settings = get_settings()
    models = model_assets(prepare_manifest(home, settings))
    marts = [key for key in models.keys if key.path[0] in ("marts", "intermediate")]
    published = published_asset(sorted(marts))
    job = dg.define_asset_job(
        JOB,
        selection=dg.AssetSelection.all() - dg.AssetSelection.assets(PULLED),
        description="Everything new in the landing folder, through to the published warehouse.",
        executor_def=dg.in_process_executor,
        hooks={keep_failure},
    )
    schedule = dg.ScheduleDefinition(
        name="every_night",
        job=job,
        cron_schedule="30 3 * * *",
        execution_timezone=settings.default_time_zone,
        default_status=dg.DefaultScheduleStatus.RUNNING,
    )

    @dg.sensor(
        name="landing_folder",
        job=job,
        minimum_interval_seconds=60,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Runs the job when something new lies in the landing folder.",
    )
    def landing_folder(context: dg.SensorEvaluationContext) -> dg.RunRequest | dg.SkipReason:
        if not ingest.has_new_files(home):
            return dg.SkipReason("nothing new in the landing folder")
        newest = max(path.stat().st_mtime_ns for kind in ingest.KINDS for path in ingest.landing_files(home, kind))
        return dg.RunRequest(run_key=f"landed-{newest}")

    stages = dg.Definitions(
        assets=[landing_files, lake_tables, models, published],
        asset_checks=[lake_expectations],
        jobs=[job],
        schedules=[schedule],
        sensors=[landing_folder],
        resources={"home": HomeResource(root=str(home.root.resolve())), "dbt": dbt_resource()},
        executor=dg.in_process_executor,
    )
    return dg.Definitions.merge(stages, pull_definitions(home), alert_definitions(home))


@dg.definitions
def defs() -> dg.Definitions:
    """Serve the home that the settings name."""
    return build_definitions(Home(get_settings().home))
