"""The cache inputs of a stage on AWS: code, data, environment, and the files that a gate has read."""

from __future__ import annotations

from dataclasses import asdict
from functools import cached_property
from typing import Any

from mlops_cli.backends.aws.clients.endpoint import SageMakerEndpoint
from mlops_cli.backends.aws.clients.s3 import Bucket
from mlops_cli.backends.aws.infra.dataset import METADATA
from mlops_cli.backends.aws.infra.source.sent_files import sent_code
from mlops_cli.backends.aws.stack_outputs import StackOutputs
from mlops_cli.backends.aws.stages.jobs import job_code
from mlops_cli.backends.aws.stages.jobs.job_builder import JobBuilder
from mlops_cli.backends.aws.stages.jobs.job_requests import DIGESTS
from mlops_cli.caching.inputs import input_digests, no_dataset_error, use_case_inputs
from mlops_cli.caching.key import code_inputs
from mlops_cli.caching.reads import Reads
from mlops_cli.caching.stage_files import file_inputs
from mlops_cli.core.engine import StageFailed
from mlops_cli.core.jobs.script_environment import environment_inputs
from mlops_cli.core.runs import Run, StageRun
from mlops_cli.core.stages import DATA, Kind, Stage
from mlops_cli.files.hashing import digest_bytes, digest_file
from mlops_cli.project.environment import job_environment_inputs
from mlops_cli.project.paths import Project
from mlops_cli.project.usecase.use_case import UseCase


class StageInputs:
    def __init__(
        self,
        project: Project,
        use_case: UseCase,
        outputs: StackOutputs,
        bucket: Bucket,
        endpoint: SageMakerEndpoint,
        job_builder: JobBuilder,
    ) -> None:
        self.project = project
        self.use_case = use_case
        self.outputs = outputs
        self.bucket = bucket
        self.endpoint = endpoint
        self.job_builder = job_builder
        self._imports: dict[str, list[str]] = {}

    def cache_inputs(self, stage: Stage, run: Run, previous: StageRun | None) -> dict[str, str]:
        inputs = input_digests(stage, run, self.dataset()["sha256"] if DATA in stage.inputs else "")
        return {
            **self._code(stage),
            **inputs,
            **use_case_inputs(stage, run, self.use_case),
            **self._environment(stage),
            **self._read_before(stage, previous),
        }

    def _read_before(self, stage: Stage, previous: StageRun | None) -> dict[str, str]:
        """Return the present values of the files that the last execution of a gate has read."""
        if stage.kind is not Kind.GATE or previous is None:
            return {}
        return self.reads().present(previous.cache_inputs)

    def reads(self) -> Reads:
        code = self.use_case.passed.code
        return Reads(self.project.root, self.use_case.files, digest_file, self.project.scripts_dir, code)

    def _code(self, stage: Stage) -> dict[str, str]:
        """Return the code's cache inputs. A gate runs in this environment, a job in an image with the requirements."""
        training, root = self.project.training, self.project.root
        if stage.kind is Kind.GATE:
            shared = self.use_case.passed.code
            code = code_inputs(training / stage.script, self._imports, root=training, code=shared, project=root)
            return {**self._other_files(stage), **code, **job_environment_inputs(self.use_case.passed)}
        if not stage.script:
            return {}
        variables = environment_inputs({}, self.use_case.passed)
        packed = {DIGESTS: job_code.digests_script()} if stage.kind is Kind.PROCESSING else {}
        index = self.outputs.company.index.cache_inputs if self.job_builder.requirements() else {}
        names, shared = sent_code(root, self.project.scripts_dir), self.use_case.passed.code
        sources = job_code.inputs(stage, training, names, self.use_case, self._imports, shared, root)
        return {"image": self.outputs.training_image, **index, **packed, **sources, **variables}

    def _other_files(self, stage: Stage) -> dict[str, str]:
        """Return the files that no script imports: all other files of the jobs, including requirements.txt."""
        root, training = self.project.root, self.project.training
        names = sent_code(root, self.project.scripts_dir)
        data_scripts, shared = self.use_case.data_scripts, self.use_case.passed.code
        return file_inputs(
            stage, training, names, self.use_case.files, self._imports, digest_file, data_scripts, shared, root
        )

    def _environment(self, stage: Stage) -> dict[str, str]:
        """Return the inputs of a deployment. A gate on the endpoint is valid for one deployment only."""
        if stage.kind is Kind.DEPLOY:
            hosting = {
                f"aws.endpoint.{name}": str(value) for name, value in asdict(self.use_case.machines.endpoint).items()
            }
            return {
                "the endpoint": self.outputs.endpoint,
                "templates/endpoint.yaml": digest_bytes(self.template),
                **hosting,
            }
        return {"the deployment": self.endpoint.deployed_model().configuration} if stage.tests_endpoint else {}

    @cached_property
    def template(self) -> bytes:
        """Return the endpoint's template as `mlops deploy-infra` uploaded it, not the repository's file."""
        content = self.bucket.get(self.outputs.endpoint_template.removeprefix(self.bucket.prefix))
        if content is None:
            raise StageFailed("The endpoint's template is not in the bucket.", "Send it again: mlops deploy-infra")
        return content

    def dataset(self) -> dict[str, Any]:
        metadata = self.bucket.get_json(METADATA)
        if metadata is None:
            raise no_dataset_error(self.use_case)
        return dict(metadata)
