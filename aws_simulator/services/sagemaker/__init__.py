"""SageMaker in the simulated AWS: jobs run the real scripts, endpoints serve the real model.

Controls: ``sagemaker-pace`` (seconds, grace, baking, invocation; 0: every invocation times out),
``sagemaker-fail-next`` (reason), ``sagemaker-quota`` (quota, limit), ``sagemaker-interrupt`` (job: a training job loses
its instances), ``sagemaker-age`` (endpoint, days: it was created so long ago), ``sagemaker-fire`` (endpoint: an alarm
goes off while its next update bakes). Other services have ``alarm`` (alarm, state; "" releases it) and ``states-scale``
(scale).

Not simulated: images (the test's own Python is every image, and must meet requirements.txt), instances (another
instance is another process of a job, and nothing for an endpoint), GPUs, VPCs, KMS keys, pipe mode, traffic shifted in
steps (a canary gets all of it), events, scaling (only its targets and policies). The error texts are AWS's where they
are known. They are not known for a model of an unapproved package, and for a rollback by alarm.
"""

from __future__ import annotations

import os
from typing import Any

from ministack import app

from aws_simulator.processes import TOKEN
from aws_simulator.service import Service
from aws_simulator.services.sagemaker.endpoints.endpoint_configs import EndpointConfigs
from aws_simulator.services.sagemaker.endpoints.operations import Endpoints
from aws_simulator.services.sagemaker.endpoints.runtime import Runtime
from aws_simulator.services.sagemaker.jobs.job import Job
from aws_simulator.services.sagemaker.jobs.processing import ProcessingJobs
from aws_simulator.services.sagemaker.jobs.training import TrainingJobs
from aws_simulator.services.sagemaker.models import Models
from aws_simulator.services.sagemaker.pace import Pace
from aws_simulator.services.sagemaker.registry import ModelRegistry
from aws_simulator.services.sagemaker.resources import add_types
from aws_simulator.services.sagemaker.tags import Tags
from aws_simulator.simulator import Simulator


class SageMaker(TrainingJobs, ProcessingJobs, Endpoints, EndpointConfigs, Models, ModelRegistry, Tags, Service):
    name = "sagemaker"

    def __init__(self, simulator: Simulator) -> None:
        super().__init__(simulator)
        self.pace = Pace()

    def has(self, arn: str) -> bool:
        records = (self.training_jobs, self.processing_jobs, self.models, self.endpoint_configs, self.endpoints)
        return any(arn in records_of_kind for records_of_kind in (*records, self.groups, self.packages))

    def clear(self) -> None:
        """Wait for the rest of jobs and endpoints, whose processes have been ended."""
        jobs: list[Job] = [*self.training_jobs.values(), *self.processing_jobs.values()]
        for job in jobs:
            job.stop()
            job.finished.wait()
        self.clear_endpoints()
        for records in (self.training_jobs, self.processing_jobs, self.models, self.endpoint_configs):
            records.clear()
        for service in (self.groups, self.packages, self.tags):
            service.clear()
        self.pace.clear()


def register(simulator: Simulator) -> None:
    # The project's own code starts the model servers: they inherit the token by which the reaper finds them.
    os.environ[TOKEN] = simulator.processes.token
    service = SageMaker(simulator)
    simulator.add_service(service)
    simulator.add_service(Runtime(simulator, service))
    simulator.on_reset(service.clear)
    _tell_the_runtime_apart()
    add_types(simulator)
    controls: dict[str, Any] = {
        "pace": service.pace.set,
        "fail-next": service.pace.fail_next,
        "quota": service.pace.set_quota,
        "toolkit": service.pace.set_toolkit,
        "rollback": service.pace.set_rollback,
        "interrupt": service.interrupt_training_job,
        "fire": service.pace.fire,
        "age": service.age,
    }
    for name, act in controls.items():
        simulator.add_control(f"sagemaker-{name}", act)


def _tell_the_runtime_apart() -> None:
    """Distinguish the two services that sign as "sagemaker": only the runtime has paths."""
    detect = app.detect_service

    def detect_service(method: str, path: str, headers: dict[str, str], query: Any) -> str:
        action = str(detect(method, path, headers, query))
        return Runtime.name if action == SageMaker.name and path.startswith("/endpoints/") else action

    app.detect_service = detect_service
