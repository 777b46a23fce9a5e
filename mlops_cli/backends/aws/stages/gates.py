"""Run a gate in a CodeBuild step, with its input folders from the bucket and a proxy in front of the endpoint."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mlops_cli.backends.aws.clients.endpoint import SageMakerEndpoint
from mlops_cli.backends.aws.clients.s3 import Bucket
from mlops_cli.backends.aws.infra.dataset import data_prefix
from mlops_cli.backends.aws.stages.endpoint_proxy import EndpointProxy, endpoint_proxy
from mlops_cli.backends.aws.stages.jobs import job_outputs
from mlops_cli.backends.gate_runner import execute_gate, folder_variables, gate_environment, gate_failure, has_passed
from mlops_cli.core.cache_inputs import FILE
from mlops_cli.core.engine import StageFailed, StageResult
from mlops_cli.core.models.model_versions import UNTESTED
from mlops_cli.core.runs import CONTINUE, Run, StageRun
from mlops_cli.core.stages import DATA, Stage
from mlops_cli.data.metadata import dataset_info_from
from mlops_cli.processes.child_process import JobProcesses
from mlops_cli.processes.output_lines import LastLines
from mlops_cli.project.paths import Project
from mlops_cli.project.usecase.use_case import UseCase

if TYPE_CHECKING:
    from mlops_cli.backends.aws.stages.stage_inputs import StageInputs

TAIL_LINES = 8


@dataclass(frozen=True)
class GateRunner:
    project: Project
    use_case: UseCase
    bucket: Bucket
    endpoint: SageMakerEndpoint
    inputs: StageInputs
    secrets: Callable[[], dict[str, str]]

    def run(self, stage: Stage, run: Run) -> StageResult:
        """Return the result with the files that the gate has read. Raise StageFailed if the gate does not pass."""
        report, tail = self.project.state / f"{stage.name}.json", LastLines(TAIL_LINES)
        training, children = self.project.training, JobProcesses(self.project.state / "children")
        notes, started = self.project.state / f"{stage.name}.reads", time.time_ns()
        notes.unlink(missing_ok=True)
        with self._endpoint_proxy(stage) as proxy:
            gate_variables = self._gate_variables(stage, run, proxy)
            variables = {**self.secrets(), **gate_variables, "MLOPS_READS": str(notes.resolve())}
            environment = gate_environment(training, variables, self.use_case.passed)
            detail = execute_gate(
                stage,
                training,
                environment,
                children,
                report,
                sys.stderr.buffer,
                tail.add,
                self.use_case.time_limits,
            )
        if has_passed(detail):
            read = self.inputs.reads().cache_inputs(notes, started, run.stage(stage.name).cache_inputs)
            # The next step runs on another machine: only files of the project exist there, too.
            inside = {name: value for name, value in read.items() if not name.startswith(f"{FILE}/")}
            return StageResult(run.stage(stage.name).key, detail=detail, read=inside)
        if error := proxy.caller_error:
            raise StageFailed(error.message, error.hint, {**detail, UNTESTED: True})
        log = f"mlops logs {run.id} --stage {stage.name}"
        raise StageFailed(gate_failure(stage, detail, tail.texts, log), CONTINUE, detail)

    @contextmanager
    def _endpoint_proxy(self, stage: Stage) -> Iterator[EndpointProxy]:
        """Provide the proxy in front of the endpoint; an empty one for a gate that does not test the endpoint."""
        if not stage.tests_endpoint:
            yield EndpointProxy()
            return
        with endpoint_proxy(self.endpoint.invoke, self.endpoint.deployed_model().digest) as proxy:
            yield proxy

    def _gate_variables(self, stage: Stage, run: Run, proxy: EndpointProxy) -> dict[str, str]:
        folders = {name: self._input_folder(source, run) for name, source in stage.folders.items()}
        endpoint = {"MLOPS_ENDPOINT_URL": proxy.url, "MLOPS_MODEL_DIGEST": run.deployment.output}
        return {**(endpoint if stage.tests_endpoint else {}), **folder_variables(folders)}

    def _input_folder(self, source: str, run: Run) -> Path:
        """Return a local copy of the dataset or of a stage's output."""
        if source == DATA:
            dataset = self.inputs.dataset()
            return job_outputs.download(
                self.bucket, data_prefix(dataset), dataset_info_from(self.project.data, dataset).folder
            )
        record = run.stage(source)
        return job_outputs.download(self.bucket, record.artifact, downloaded_output(self.project, record))


def downloaded_output(project: Project, record: StageRun) -> Path:
    """Return the local folder for a stage's output from the bucket."""
    return project.artifacts / record.name / record.artifact.rstrip("/").rpartition("/")[2]
