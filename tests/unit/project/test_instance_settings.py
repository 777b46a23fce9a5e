"""The [aws.*] tables of usecase.toml: the defaults, and a message for every mistake."""

from __future__ import annotations

from pathlib import Path

import pytest

from mlops_cli.core.stages import PREPARATION, TRAINING
from mlops_cli.errors import ConfigurationError
from mlops_cli.project.usecase.instances import EndpointConfig, JobInstances, read_instances
from mlops_cli.project.usecase.problems import Problems
from mlops_cli.project.usecase.reader import load_use_case
from tests.conftest import ROOT, USE_CASES


def read(**tables: object) -> tuple[object, list[str]]:
    problems = Problems()
    return read_instances(dict(tables), problems), list(problems)


def test_without_tables_there_are_defaults() -> None:
    machines = load_use_case(USE_CASES / "tiny" / "training" / "usecase.toml").machines
    assert (machines.of(PREPARATION), machines.of(TRAINING), machines.endpoint) == (
        JobInstances(),
        JobInstances(),
        EndpointConfig(),
    )
    assert JobInstances().instance_type == "ml.m5.xlarge"
    assert not EndpointConfig().serverless


def test_a_tables_values_replace_the_defaults_and_the_other_defaults_stay() -> None:
    machines, problems = read(train={"instance_type": "ml.g5.xlarge", "spot": True}, endpoint={"serverless": True})
    assert problems == []
    assert machines.of(TRAINING) == JobInstances("ml.g5.xlarge", spot=True)  # type: ignore[attr-defined]
    assert machines.endpoint == EndpointConfig(serverless=True)  # type: ignore[attr-defined]


def test_the_use_case_here_has_no_problem_and_costs_no_gpu() -> None:
    machines = load_use_case(ROOT / "training" / "usecase.toml").machines
    assert machines.of(TRAINING).instance_type == "ml.m5.xlarge"


@pytest.mark.parametrize(
    ("tables", "problem"),
    [
        ({"tran": {}}, "[aws.tran] is not known; did you mean train?"),
        ({"train": "ml.m5.xlarge"}, "[aws.train] must be a table"),
        ({"train": {"instance": "ml.m5.xlarge"}}, "aws.train.instance is not known; did you mean instance_type?"),
        ({"train": {"gpu": True}}, "aws.train.gpu is not known; known are instance_type, instance_count"),
        ({"train": {"instance_type": "m5.xlarge"}}, "aws.train.instance_type is 'm5.xlarge'"),
        ({"train": {"instance_count": 0}}, "aws.train.instance_count must be from 1 to 20"),
        ({"train": {"instance_count": True}}, "aws.train.instance_count must be a whole number"),
        ({"train": {"volume_gb": 1.5}}, "aws.train.volume_gb must be a whole number"),
        ({"train": {"spot": "yes"}}, "aws.train.spot must be true or false"),
        ({"train": {"spot": True, "max_wait_minutes": 10}}, "max_wait_minutes must not be less than max_runtime"),
        ({"endpoint": {"memory_mb": 2000}}, "aws.endpoint.memory_mb must be one of 1024, 2048"),
        ({"endpoint": {"max_instances": 1, "instance_count": 2}}, "max_instances must not be less than instance_count"),
        ({"endpoint": {"data_capture_percent": 101}}, "data_capture_percent must be from 0 to 100"),
        ({"endpoint": {"max_concurrency": 201}}, "max_concurrency must be from 1 to 200"),
    ],
)
def test_each_mistake_is_named(tables: dict[str, object], problem: str) -> None:
    _, problems = read(**tables)
    assert len(problems) == 1
    assert problem in problems[0]


def test_mistakes_reach_the_user_with_the_files_name(tmp_path: Path) -> None:
    path = tmp_path / "usecase.toml"
    text = (USE_CASES / "tiny" / "training" / "usecase.toml").read_text()
    path.write_text(text + '\n[aws.train]\nspot = "yes"\n')
    with pytest.raises(ConfigurationError, match=r"usecase.toml: aws.train.spot must be true or false"):
        load_use_case(path)


@pytest.mark.parametrize("key", ["instance_count", "spot", "max_wait_minutes", "sharded_channel"])
def test_a_key_that_a_trial_does_not_have_is_refused(key: str) -> None:
    value = {"spot": True, "sharded_channel": "train"}.get(key, 2)
    _, problems = read(trial={key: value, "instance_type": "ml.g5.xlarge", "max_runtime_minutes": 2})
    assert len(problems) == 1
    assert f"aws.trial.{key}" in problems[0]
    assert "the trial of a model is one job on one instance" in problems[0]
