"""Great Expectations on the lake, as Dagster asset checks that stand between the lake and the models."""

from collections.abc import Iterator

import dagster as dg

from pipelines import runs
from pipelines.defs.resources import HomeResource
from pipelines.lake import ALL_TABLES


@dg.multi_asset_check(
    name="lake_expectations",
    specs=[
        dg.AssetCheckSpec(
            "expectations",
            asset=[table.domain, table.name],
            blocking=True,
            description=f"The expectations on {table.key}: see docs/quality.md.",
        )
        for table in ALL_TABLES
    ],
)
def lake_expectations(context: dg.AssetCheckExecutionContext, home: HomeResource) -> Iterator[dg.AssetCheckResult]:
    """Run the suites over the whole lake; one result per table, naming the rows that fail."""
    from pipelines.quality.run import run_suites  # noqa: PLC0415  (Great Expectations takes 10 s to import)

    run_id = home.run_id(context.run.run_id)
    runs.say(home.home, run_id, "check the lake")
    results = run_suites(home.home)
    runs.write_checks(home.home, run_id, "lake", results)
    for table in ALL_TABLES:
        own = [result for result in results if result.table_name == table.key]
        failed = [result for result in own if not result.passed]
        is_blocked = any(result.is_blocking for result in failed)
        yield dg.AssetCheckResult(
            asset_key=[table.domain, table.name],
            check_name="expectations",
            passed=not failed,
            severity=dg.AssetCheckSeverity.ERROR if is_blocked else dg.AssetCheckSeverity.WARN,
            metadata={
                "checks": len(own),
                **{
                    f"failed: {result.check_name} {result.column_name or ''}".strip(): dg.MetadataValue.text(
                        f"{result.observed}; rows: {result.failing_sample}"
                    )
                    for result in failed
                },
            },
        )
