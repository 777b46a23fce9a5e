"""SageMaker in the simulated AWS: jobs that run the real scripts, the model registry, endpoints that serve the real model."""

from __future__ import annotations

from typing import Any

from ..service import Service
from ..simulator import Simulator
from .pace import Pace
from .processing import ProcessingJobs
from .tags import Tags
from .training import TrainingJobs


class SageMaker(TrainingJobs, ProcessingJobs, Tags, Service):
    name = "sagemaker"

    def __init__(self, simulator: Simulator) -> None:
        super().__init__(simulator)
        self.pace = Pace()

    def clear(self) -> None:
        for records in (self.training_jobs, self.processing_jobs, self.tags):
            records.clear()
        self.pace.clear()


def register(simulator: Simulator) -> None:
    service = SageMaker(simulator)
    simulator.add_service(service)
    simulator.on_reset(service.clear)
    controls: dict[str, Any] = {
        "pace": service.pace.set,
        "fail-next": service.pace.fail_next,
        "quota": service.pace.set_quota,
        "interrupt": service.interrupt_training_job,
    }
    for name, act in controls.items():
        simulator.add_control(f"sagemaker-{name}", act)
