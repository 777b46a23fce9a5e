"""SageMaker in the simulated AWS: jobs that run the real scripts, the model registry, endpoints that serve the real model.

What it does not have: images (the test's own Python is every image, and requirements.txt must be met by it), instances
(an instance more is another process of a job, and nothing of an endpoint), GPUs, VPCs, KMS keys, pipe mode.
"""

from __future__ import annotations

import os
from typing import Any

from ministack import app

from ..processes import TOKEN
from ..service import Service
from ..simulator import Simulator
from .endpoint_configs import EndpointConfigs
from .endpoints import Endpoints
from .job import Job
from .models import Models
from .pace import Pace
from .processing import ProcessingJobs
from .registry import ModelRegistry
from .resources import add_types
from .runtime import Runtime
from .tags import Tags
from .training import TrainingJobs


class SageMaker(TrainingJobs, ProcessingJobs, Endpoints, EndpointConfigs, Models, ModelRegistry, Tags, Service):
    name = "sagemaker"

    def __init__(self, simulator: Simulator) -> None:
        super().__init__(simulator)
        self.pace = Pace()

    def clear(self) -> None:
        """Their processes have been ended; what is left of jobs and endpoints is waited for."""
        jobs: list[Job] = [*self.training_jobs.values(), *self.processing_jobs.values()]
        for job in jobs:
            job.stop()
            job.finished.wait()
        self.clear_endpoints()
        for records in (self.training_jobs, self.processing_jobs, self.models, self.endpoint_configs):
            records.clear()
        for other in (self.groups, self.packages, self.tags):
            other.clear()
        self.pace.clear()


def register(simulator: Simulator) -> None:
    # The model servers are started by the project's own code: they inherit the mark by which the reaper finds them.
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
        "interrupt": service.interrupt_training_job,
        "fire": service.pace.fire,
    }
    for name, act in controls.items():
        simulator.add_control(f"sagemaker-{name}", act)


def _tell_the_runtime_apart() -> None:
    """Both services sign as "sagemaker"; only the runtime has paths."""
    detect = app.detect_service

    def detect_service(method: str, path: str, headers: dict[str, str], query: Any) -> str:
        found = str(detect(method, path, headers, query))
        return Runtime.name if found == SageMaker.name and path.startswith("/endpoints/") else found

    app.detect_service = detect_service
