"""Verify, before anybody is asked, that the outputs of a run are those of its own jobs, and unchanged since.

The steps and jobs of all runs share two roles, so the records and artifacts of one run may be changed by another. Three
things may not: CodePipeline's list of a run's actions, the input of a state machine's execution, and the versions of an
object. The steps that decide read these, and the run's own files.
"""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Mapping
from typing import Any

from mlops_cli.backends.aws.account import Client
from mlops_cli.backends.aws.clients.codepipeline import ActionRun, Pipeline
from mlops_cli.backends.aws.clients.s3 import Bucket
from mlops_cli.backends.aws.infra.dataset import FOLDER
from mlops_cli.backends.aws.runs.status import JOB, latest_attempt
from mlops_cli.backends.aws.stages.job_builder import JobBuilder
from mlops_cli.backends.aws.stages.job_requests import name_of
from mlops_cli.core.engine import StageFailed
from mlops_cli.core.runs import Run
from mlops_cli.core.stages import JOBS, Kind, Stage

HINT = (
    "Another run may have changed it (mlops runs), or deploy-infra has changed the jobs while this run was under way. "
    "Train again: mlops run --force"
)


class JobProvenance:
    def __init__(self, pipeline: Pipeline, state_machines: Client, bucket: Bucket, job_builder: JobBuilder) -> None:
        self._pipeline = pipeline
        self._state_machines = state_machines
        self._bucket = bucket
        self._job_builder = job_builder

    def verify(self, run: Run) -> None:
        """Raise StageFailed for the output of another job, of other code, or one that was written twice."""
        actions = self._pipeline.actions(run.id)
        for stage in JOBS:
            jobs = [action for action in latest_attempt(stage.name, actions) if action.name == JOB and action.external]
            document = self._executed(jobs[-1]) if jobs else {}
            output, ended = run.stage(stage.name).artifact, math.inf
            if document.get("kind") == stage.kind.value:
                self._verify_request(stage, run, document)
                ended = jobs[-1].updated
            if output and stage.kind is Kind.TRAINING:  # SageMaker itself writes more beside it
                output += "output/"
            self._verify_objects(stage, output, ended)

    def _executed(self, job: ActionRun) -> dict[str, Any]:
        """Return the document that the state machine was started with."""
        document = json.loads(self._state_machines.describe_execution(executionArn=job.external)["input"])
        return document if isinstance(document, dict) else {}

    def _verify_request(self, stage: Stage, run: Run, document: dict[str, Any]) -> None:
        expected = self._job_builder.prepare(stage, run, name_of(document["request"]))
        is_own = self._comparable(expected.document) == self._comparable(document)
        if not is_own or run.stage(stage.name).artifact != expected.artifact:
            raise StageFailed(f"The output of {stage.name} is not that of this run's own job.", HINT)

    def _comparable(self, document: Mapping[str, Any]) -> str:
        """Return the document as text; whichever dataset: another one may have come since, from a person."""
        datasets = self._bucket.uri(FOLDER)
        return re.sub(re.escape(datasets) + r'[^"]*', datasets, json.dumps(document, sort_keys=True))

    def _verify_objects(self, stage: Stage, artifact: str, ended: float) -> None:
        """Raise StageFailed if an object below the artifact has two versions, or is newer than the job's end."""
        versions = list(self._bucket.versions(artifact)) if artifact else []
        counts = Counter(version["Key"] for version in versions)
        changed = [key for key, count in counts.items() if count > 1]
        changed += [version["Key"] for version in versions if version["LastModified"].timestamp() > ended]
        if changed:
            raise StageFailed(
                f"The output of {stage.name} was changed after its job had written it: {changed[0]}.", HINT
            )
