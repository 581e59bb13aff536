"""What Dagster serves: every table and model as an asset, checks that block, one job, a schedule and a sensor."""

import dagster as dg
import pytest

from pipelines.definitions import JOB, build_definitions
from pipelines.defs.pulling import PULL_JOB, PULLED
from pipelines.home import Home
from pipelines.lake import ALL_TABLES

PEER = '[[peer]]\nname = "quay"\nversions_url = "https://quay.example/versions"\ntoken_variable = "QUAY"\n'


@pytest.fixture(scope="module")
def definitions(tmp_path_factory: pytest.TempPathFactory) -> tuple[Home, dg.Definitions]:
    home = Home(tmp_path_factory.mktemp("definitions") / "home")
    return home, build_definitions(home)


def test_every_stage_is_an_asset_downstream_of_the_landing_folder(definitions):
    _, defs = definitions
    graph = defs.resolve_asset_graph()
    keys = graph.get_all_asset_keys()
    assert {dg.AssetKey([table.domain, table.name]) for table in ALL_TABLES} <= keys
    for mart in ("fct_port_state", "fct_session", "fct_cdr", "fct_site_month", "dim_owner"):
        assert dg.AssetKey(["marts", mart]) in keys
    published = graph.get(dg.AssetKey(["warehouse", "published"]))
    assert dg.AssetKey(["marts", "fct_session"]) in published.parent_keys
    frame = graph.get(dg.AssetKey(["ocpp", "frame"]))
    assert frame.parent_keys == {dg.AssetKey(["landing", "files"])}
    assert dg.AssetKey(["intermediate", "int_station_watch"]) in {
        key for key in keys if frame.key in graph.get(key).parent_keys
    }


def test_every_lake_table_has_blocking_expectations(definitions):
    _, defs = definitions
    graph = defs.resolve_asset_graph()
    for table in ALL_TABLES:
        key = dg.AssetCheckKey(dg.AssetKey([table.domain, table.name]), "expectations")
        assert graph.get_check_spec(key).blocking


def test_one_job_runs_every_night_and_when_something_lands(definitions):
    home, defs = definitions
    repository = defs.get_repository_def()
    assert {job.name for job in repository.get_all_jobs() if not job.name.startswith("__")} == {JOB, PULL_JOB}
    assert {schedule.job_name for schedule in repository.schedule_defs} == {JOB, PULL_JOB}
    assert PULLED not in repository.get_job(JOB).asset_layer.executable_asset_keys
    (sensor,) = [item for item in repository.sensor_defs if item.name == "landing_folder"]
    context = dg.build_sensor_context()
    assert isinstance(sensor(context), dg.SkipReason)
    (home.landing / "ocpp" / "new.jsonl").write_text("{}\n")
    assert isinstance(sensor(context), dg.RunRequest)


def test_pulling_is_a_job_of_its_own_that_waits_for_peers(definitions):
    home, defs = definitions
    graph = defs.resolve_asset_graph()
    assert graph.get(dg.AssetKey(["landing", "files"])).parent_keys == {PULLED}
    (schedule,) = [item for item in defs.get_repository_def().schedule_defs if item.job_name == PULL_JOB]
    minute, hours = schedule.cron_schedule.split()[:2]
    assert 0 <= int(minute) < 60
    assert hours == "*/4"
    assert isinstance(schedule(dg.build_schedule_context()), dg.SkipReason)
    for text, answer in (("", dg.SkipReason), (PEER, dg.RunRequest), ("[[pier]]", dg.RunRequest)):
        (home.root / "peers.toml").write_text(text)
        assert isinstance(schedule(dg.build_schedule_context()), answer)
