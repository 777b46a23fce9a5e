"""Throttling and short failures of AWS make no command fail; a killed command completes when it is repeated."""

from __future__ import annotations

import pytest

from tests.component.aws.conftest import Scenario
from tests.component.aws.faults import faulty
from tests.component.aws.infra.test_deploy import PIPELINE, STORAGE, kill_after
from tests.component.aws.test_cleanup import clean, settled

pytestmark = pytest.mark.slow


def test_every_command_completes_while_one_call_in_five_fails(scenario: Scenario) -> None:
    (scenario.root / "tiny.csv").write_text("id,text,long\n" + "".join(f"{n},text {n},{n % 2}\n" for n in range(9)))
    (scenario.root / ".mlops").mkdir()
    with faulty(scenario.aws, scenario.root) as proxy:
        cli = scenario.cli(**proxy.environment, SOURCE="codecommit")
        assert "done" in cli("deploy-infra", "--yes")
        assert "9 rows" in cli("download-data", "--source", "tiny.csv")
        assert cli.json("deploy-infra", "--yes")["changed"] is False
        assert "verified: no resources created by mlops remain" in cli("cleanup", "--yes")
        kinds = {fault["action"].split(":")[-1] for fault in proxy.fired()}
    assert len(kinds) >= 4, kinds
    assert scenario.stacks() == {}


@pytest.mark.parametrize(
    ("call", "number"),
    [("DeleteObjects", 1), ("DeleteStack", 1), ("DeleteStack", 2), ("StopPipelineExecution", 1)],
)
def test_a_killed_cleanup_is_repeated_and_completes(scenario: Scenario, call: str, number: int) -> None:
    settled(scenario)
    if call == "StopPipelineExecution":
        scenario.aws.client("codepipeline").start_pipeline_execution(name=PIPELINE)
    kill_after(scenario.cli(), call, number, "cleanup")
    assert clean(scenario).active == ()
    assert scenario.stacks() == {}
    assert scenario.aws.client("s3").list_buckets()["Buckets"] == []


@pytest.mark.parametrize(("call", "number"), [("ExecuteChangeSet", 1), ("PutObject", 1), ("PutObject", 2)])
def test_a_killed_download_is_repeated_and_completes(scenario: Scenario, call: str, number: int) -> None:
    (scenario.root / "tiny.csv").write_text("id,text,long\n1,a text,0\n2,another,1\n")
    arguments = ("download-data", "--source", "tiny.csv")
    kill_after(scenario.cli(), call, number, *arguments)
    assert scenario.backend().data.dataset() is None or number == 2
    scenario.cli()(*arguments)
    dataset = scenario.backend().data.dataset()
    assert dataset
    assert dataset.rows == 2
    assert scenario.stacks() == {STORAGE: "CREATE_COMPLETE"}
