"""The [aws.*] tables of usecase.toml: the instances of jobs and endpoint on AWS."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any, TypeVar

from mlops_cli.core.jobs.time_limits import LONGEST
from mlops_cli.core.stages import JOBS, PREPARATION, TRAINING, Stage
from mlops_cli.project.settings.catalog import INSTANCE_TYPE
from mlops_cli.project.usecase.problems import Problems

TRIAL, TRIAL_MINUTES = "trial", 30
NOT_OF_TRIAL = ("instance_count", "spot", "max_wait_minutes", "sharded_channel")
MEMORY_MB = (1024, 2048, 3072, 4096, 5120, 6144)


@dataclass(frozen=True)
class JobInstances:
    """The instances of a job.

    ``spot``: cheaper, but may be interrupted. ``max_wait_minutes``: the limit of waiting and running together. Each
    instance gets only its own files of ``sharded_channel``, and all files of the other channels.
    """

    instance_type: str = "ml.m5.xlarge"
    instance_count: int = 1
    volume_gb: int = 30
    max_runtime_minutes: int = 60
    spot: bool = False
    max_wait_minutes: int = 120
    sharded_channel: str = ""

    @property
    def problems(self) -> list[str]:
        return [
            *_instance_type_problem(self.instance_type),
            *_range_problem("instance_count", self.instance_count, 1, 20),
            *_range_problem("volume_gb", self.volume_gb, 1, 16384),
            *_range_problem("max_runtime_minutes", self.max_runtime_minutes, 1, LONGEST),
            *_range_problem("max_wait_minutes", self.max_wait_minutes, 1, LONGEST),
            *(
                ["max_wait_minutes must not be less than max_runtime_minutes, which it includes"]
                if self.spot and self.max_wait_minutes < self.max_runtime_minutes
                else []
            ),
        ]


@dataclass(frozen=True)
class EndpointConfig:
    """The endpoint: instances, or serverless with memory and concurrency. Alarms roll back a bad deployment."""

    instance_type: str = "ml.m5.large"
    instance_count: int = 1
    max_instances: int = 1
    serverless: bool = False
    memory_mb: int = 2048
    max_concurrency: int = 5
    data_capture_percent: int = 0
    p99_latency_ms: int = 1000
    baking_seconds: int = 300

    @property
    def problems(self) -> list[str]:
        few = self.max_instances < self.instance_count
        memory = ", ".join(map(str, MEMORY_MB))
        return [
            *_instance_type_problem(self.instance_type),
            *_range_problem("instance_count", self.instance_count, 1, 100),
            *_range_problem("max_instances", self.max_instances, 1, 100),
            *(["max_instances must not be less than instance_count"] if few else []),
            *([f"memory_mb must be one of {memory}"] if self.memory_mb not in MEMORY_MB else []),
            *_range_problem("max_concurrency", self.max_concurrency, 1, 200),
            *_range_problem("data_capture_percent", self.data_capture_percent, 0, 100),
            *_range_problem("p99_latency_ms", self.p99_latency_ms, 1, 999_999),
            *_range_problem("baking_seconds", self.baking_seconds, 0, 3600),
        ]


@dataclass(frozen=True)
class InstanceSettings:
    """``jobs``: by the names of their stages, and the trial of a model by TRIAL."""

    jobs: Mapping[str, JobInstances] = field(default_factory=dict)
    endpoint: EndpointConfig = EndpointConfig()

    def of(self, stage: Stage) -> JobInstances:
        return self.jobs.get(stage.name, JobInstances())

    @property
    def trial(self) -> JobInstances:
        """The instance of the job that tries a model: by default of the kind that prepares the data."""
        return self.jobs.get(TRIAL) or _for_trial(self.of(PREPARATION))

    def trained_on(self, instance_type: str) -> InstanceSettings:
        """Return the same settings with another training instance; "" changes nothing."""
        training = self.of(TRAINING)
        changed = replace(training, instance_type=instance_type or training.instance_type)
        return replace(self, jobs={**self.jobs, TRAINING.name: changed})


def read_instances(
    tables: dict[str, Any], problems: Problems, minutes: Mapping[str, int] | None = None
) -> InstanceSettings:
    """Read a table for each job, and [aws.endpoint]. Add errors to ``problems``.

    ``minutes``: the limits in [time_limits]. A max_runtime_minutes in these tables beats them.
    """
    limits = minutes or {}
    tables_known = [*(stage.name for stage in JOBS), TRIAL, "endpoint"]
    for name in tables:
        if name not in tables_known:
            problems.add_unknown(f"aws.{name}", name, tables_known, f"[aws.{name}]")
    jobs = {stage.name: _read(stage.name, tables, _with_limit(limits.get(stage.name)), problems) for stage in JOBS}
    trial = tables.get(TRIAL, {})
    for key in NOT_OF_TRIAL:
        if isinstance(trial, dict) and key in trial:
            problems.add(
                f"aws.{TRIAL}.{key}", "has no effect: the trial of a model is one job on one instance, not spot"
            )
    return InstanceSettings(
        jobs={**jobs, TRIAL: _read(TRIAL, tables, _for_trial(jobs[PREPARATION.name]), problems)},
        endpoint=_read("endpoint", tables, EndpointConfig(), problems),
    )


def _for_trial(preparation: JobInstances) -> JobInstances:
    """Return the default instance of a trial: of a kind that the account has a quota for, as it has just run."""
    return JobInstances(preparation.instance_type, max_runtime_minutes=TRIAL_MINUTES)


def _with_limit(minutes: int | None) -> JobInstances:
    if minutes is None:
        return JobInstances()
    max_wait_minutes = min(LONGEST, max(JobInstances.max_wait_minutes, 2 * minutes))
    return JobInstances(max_runtime_minutes=minutes, max_wait_minutes=max_wait_minutes)


KINDS: dict[type, str] = {str: "a text", int: "a whole number", bool: "true or false"}
Read = TypeVar("Read", JobInstances, EndpointConfig)


def _read(name: str, tables: dict[str, Any], default: Read, problems: Problems) -> Read:
    table = tables.get(name, {})
    if not isinstance(table, dict):
        problems.add(f"aws.{name}", "must be a table", f"[aws.{name}]")
        return default
    defaults = {entry.name: getattr(default, entry.name) for entry in fields(default)}
    readable = {key: value for key, value in table.items() if type(value) is type(defaults.get(key))}
    for key in table.keys() - readable.keys():
        if key in defaults:
            problems.add(f"aws.{name}.{key}", f"must be {KINDS[type(defaults[key])]}")
        else:
            problems.add_unknown(f"aws.{name}.{key}", key, list(defaults))
    instances = type(default)(**{**defaults, **readable})
    for problem in instances.problems:
        key, _, text = problem.partition(" ")
        problems.add(f"aws.{name}.{key}", text)
    return instances


def _instance_type_problem(value: str) -> list[str]:
    if re.fullmatch(INSTANCE_TYPE, value):
        return []
    return [f"instance_type is {value!r}, expected one such as ml.m5.xlarge"]


def _range_problem(name: str, value: int, low: int, high: int) -> list[str]:
    return [] if low <= value <= high else [f"{name} must be from {low} to {high:,}"]
