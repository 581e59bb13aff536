"""The sensor that tells people what a newly published version shows."""

from datetime import UTC, datetime

import dagster as dg

from pipelines.alerts import tell
from pipelines.home import Home
from pipelines.settings import get_settings


def alert_definitions(home: Home) -> dg.Definitions:
    """Return the alert sensor of one home. It starts no run: what it does, it does itself."""
    settings = get_settings()

    @dg.sensor(
        name="alerts",
        minimum_interval_seconds=settings.alert_interval_s,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Tells breaches, breaches to come, long outages, silent log sources and failed checks, each once.",
    )
    def alerts(context: dg.SensorEvaluationContext) -> dg.SkipReason:
        now = datetime.now(UTC)
        if not tell.is_due(home, settings, now):
            return dg.SkipReason("no new version or run since the last look")
        result = tell.look(home, settings, now)
        if result is None:
            return dg.SkipReason("another process looks for alerts at this moment")
        context.update_cursor(tell.seen_now(home))
        for name in result.failed:
            context.log.warning(f"alerts: {name} could not be reached, tried again at the next look")
        return dg.SkipReason(str(result))

    return dg.Definitions(sensors=[alerts])
