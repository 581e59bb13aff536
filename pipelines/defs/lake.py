"""Landing -> lake as Dagster assets: what landed, one asset per lake table, and the index of files."""

from collections.abc import Iterator
from dataclasses import asdict

import dagster as dg

from pipelines import ingest, runs
from pipelines.defs.pulling import PULLED
from pipelines.defs.resources import HomeResource
from pipelines.home import remove_lake
from pipelines.lake import ALL_TABLES, LANDED_FILE, QUARANTINE
from pipelines.ocpi.pull.store import has_status_changed

LANDING = dg.AssetKey(["landing", "files"])


class RunConfig(dg.Config):
    """How to run: ``full_refresh`` decodes and builds everything anew."""

    full_refresh: bool = False


@dg.asset(key=LANDING, deps=[PULLED], group_name="landing", kinds={"file"}, output_required=False)
def landing_files(
    context: dg.AssetExecutionContext, config: RunConfig, home: HomeResource
) -> Iterator[dg.Output[None]]:
    """What lies in the landing folder. Gives nothing, and so ends the run, when there is nothing new to do."""
    record = runs.RunRecord(
        run_id=runs.new_run_id(context.run_id),
        started_at=runs.now(),
        code_version=runs.code_version(),
        is_full_refresh=config.full_refresh,
    )
    removed = ingest.clean(home.home)
    if removed:
        context.log.info(f"{len(removed)} lake files of a run that did not end were removed")
    if config.full_refresh:
        remove_lake(home.home)
        home.home.prepare()
    published = [run for run in runs.read_runs(home.home) if run.status == "published"]
    is_new = (
        config.full_refresh
        or home.home.current_version() is None
        or not published
        or published[-1].code_version != record.code_version
        or runs.read_runs(home.home)[-1].status not in ("published", "unchanged")
        or ingest.has_new_files(home.home)
        or has_status_changed(home.home, since=published[-1].started_at)  # analysts see who can't be pulled from
    )
    if not is_new:
        record.status, record.version = "unchanged", published[-1].version
        runs.finish(home.home, record)
        context.log.info("nothing new: the published version stays")
        return
    runs.write_run(home.home, record)
    files = sum(1 for kind in ingest.KINDS for _ in ingest.landing_files(home.home, kind))
    yield dg.Output(None, metadata={"files": files, "run_id": record.run_id})


@dg.multi_asset(
    name="lake",
    specs=[
        dg.AssetSpec(
            [table.domain, table.name],
            deps=[LANDING],
            description=table.row,
            group_name=f"lake_{table.domain}",
            kinds={"parquet"},
        )
        for table in ALL_TABLES
    ],
)
def lake_tables(context: dg.AssetExecutionContext, home: HomeResource) -> Iterator[dg.MaterializeResult]:
    """Decode everything new, kind by kind, then say what became of every landed file."""
    run_id = home.run_id(context.run_id)
    for kind in ingest.KINDS:

        def say(path: str, done: int, total: int, kind: str = kind) -> None:
            context.log.info(f"decoding {path}, {done} of {total} files done")
            runs.say(home.home, run_id, f"decode {kind}", path, done=done, total=total)

        result = ingest.ingest(home.home, home.settings, kind, on_file=say)
        for warning in (*result.warnings, *result.unreadable):
            context.log.warning(warning)
        runs.add_ingest(home.home, run_id, result)
        for table in ALL_TABLES:
            if table.domain == kind:
                yield dg.MaterializeResult(
                    asset_key=[table.domain, table.name],
                    metadata={"files_new": result.files_new, **asdict(result.counts)},
                )
    files = ingest.write_index(home.home)
    record = runs.read_run(home.home, run_id)
    yield dg.MaterializeResult(
        asset_key=[QUARANTINE.domain, QUARANTINE.name], metadata={"records_quarantined": record.records_quarantined}
    )
    yield dg.MaterializeResult(asset_key=[LANDED_FILE.domain, LANDED_FILE.name], metadata={"files": files})
