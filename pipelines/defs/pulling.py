"""Pulling from OCPI peers as Dagster sees it: an asset, its job, and a schedule that starts at no round hour."""

from contextlib import suppress
from hashlib import sha256
from pathlib import Path

import dagster as dg

from pipelines.home import Home
from pipelines.ocpi.pull.peers import PeersError, read_peers
from pipelines.ocpi.pull.run import peers_path, pull
from pipelines.pull_job import failure_of
from pipelines.settings import secret

PULLED = dg.AssetKey(["landing", "pulled"])
PULL_JOB = "pull"
EVERY_HOURS = 4  # OCPI asks for hours between pulls, not minutes


class LandingResource(dg.ConfigurableResource):
    """The home to land in. Unlike ``home`` it takes no run lock: a pull may go on beside a run."""

    root: str


@dg.asset(key=PULLED, group_name="landing", kinds={"json"})
def pulled(context: dg.AssetExecutionContext, landing: LandingResource) -> dg.MaterializeResult:
    """Pages of OCPI objects fetched from the peers in peers.toml, landed as they were received."""
    home = Home(Path(landing.root))
    peers = read_peers(peers_path(home))
    result = pull(home, peers, secret)
    for record in result.records:
        context.log.info(f"{record.peer} {record.module}: {record.status}, {record.objects:,} objects")
    if failure := failure_of(result, len(peers)):
        raise dg.Failure(failure)
    return dg.MaterializeResult(
        metadata={
            "pages": sum(record.pages for record in result.records),
            "objects": sum(record.objects for record in result.records),
            "objects_landed": sum(record.objects_landed for record in result.records),
        }
    )


def pull_definitions(home: Home) -> dg.Definitions:
    """Return the asset, job and schedule of pulling for one home."""
    job = dg.define_asset_job(
        PULL_JOB,
        selection=dg.AssetSelection.assets(PULLED),
        description="What is new at the OCPI peers, into the landing folder.",
        executor_def=dg.in_process_executor,
    )
    # Each home has a minute of its own, so that not all of a peer's partners come at the same one.
    minute = int(sha256(str(home.root.resolve()).encode()).hexdigest(), 16) % 60

    @dg.schedule(
        name="every_few_hours",
        job=job,
        cron_schedule=f"{minute} */{EVERY_HOURS} * * *",
        default_status=dg.DefaultScheduleStatus.RUNNING,
    )
    def every_few_hours(context: dg.ScheduleEvaluationContext) -> dg.RunRequest | dg.SkipReason:
        if not peers_path(home).exists():
            return dg.SkipReason("no peers.toml in the home: nobody to pull from")
        with suppress(PeersError):  # the run says what is wrong with the file
            if not read_peers(peers_path(home)):
                return dg.SkipReason("peers.toml lists nobody to pull from")
        return dg.RunRequest()

    return dg.Definitions(
        assets=[pulled],
        jobs=[job],
        schedules=[every_few_hours],
        resources={"landing": LandingResource(root=str(home.root.resolve()))},
    )
