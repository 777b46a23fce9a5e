"""CodeBuild: the service's role starts the build, the project's role does the work."""

from __future__ import annotations

import contextlib
import json
import uuid
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from aws_simulator.services.codebuild.build import SUCCEEDED, PipelineContext, Place
from aws_simulator.services.codepipeline import artifacts
from aws_simulator.services.codepipeline.actions.job import ActionError, Job
from aws_simulator.services.codepipeline.records import Artifact

if TYPE_CHECKING:
    from aws_simulator.services.codebuild import CodeBuild


def run(job: Job) -> None:
    action, project = job.action, job.configuration["ProjectName"]
    service: CodeBuild = job.simulator.services["codebuild"]  # type: ignore[assignment]
    outputs = artifacts.artifact_locations(action)
    primary = job.configuration.get("PrimarySource", action.inputs[0].name)
    token = str(uuid.uuid4())
    inputs = sorted(action.inputs, key=lambda artifact: artifact.name != primary)
    service.contexts[token] = PipelineContext(
        action.execution.pipeline.name, _places(inputs), _places(outputs), primary
    )
    client = job.client("codebuild")
    request: dict[str, Any] = {"environmentVariablesOverride": _variables(job)}
    if "BuildspecOverride" in job.configuration:
        request["buildspecOverride"] = job.configuration["BuildspecOverride"]
    source = f"arn:aws:s3:::{inputs[0].bucket}/{inputs[0].key}"
    started = client.start_build(projectName=project, sourceVersion=source, idempotencyToken=token, **request)["build"]
    action.external_id = started["id"]
    console = f"https://console.aws.amazon.com/codesuite/codebuild/projects/{project}"
    action.external_url = f"{console}/build/{started['id']}/view?region={job.role.region}"
    action.log_stream = started.get("logs", {}).get("cloudWatchLogsArn", "")
    job.until(service.builds[started["id"]].done.is_set, lambda: _stop(client, started["id"]))
    _conclude(job, client.batch_get_builds(ids=[started["id"]])["builds"][0], outputs)


def _stop(client: Any, build: str) -> None:
    """Stop the build if the role may stop it; otherwise an abandoned build continues."""
    with contextlib.suppress(ClientError):
        client.stop_build(id=build)


def _conclude(job: Job, build: dict[str, Any], outputs: list[Artifact]) -> None:
    job.action.variables = {
        variable["name"]: variable["value"] for variable in build.get("exportedEnvironmentVariables", [])
    }
    if build["buildStatus"] == SUCCEEDED:
        job.action.outputs = outputs
        return
    message = f"Build terminated with state: {build['buildStatus']}"
    failed = [phase for phase in build["phases"] if phase.get("phaseStatus", SUCCEEDED) != SUCCEEDED]
    if failed and (context := failed[0]["contexts"][0]).get("statusCode"):
        why = f"Phase: {failed[0]['phaseType']}, Code: {context['statusCode']}, Message: {context['message']}"
        message = f"{message}. {why}"
    job.action.summary = message
    raise ActionError("JobFailed", message)


def _places(artifacts: list[Artifact]) -> tuple[Place, ...]:
    return tuple(Place(artifact.name, artifact.bucket, artifact.key, artifact.kms_key) for artifact in artifacts)


def _variables(job: Job) -> list[dict[str, str]]:
    """Return EnvironmentVariables: a JSON array of {name, value, type}."""
    try:
        variables = json.loads(job.configuration.get("EnvironmentVariables", "[]"))
        return [{"type": "PLAINTEXT", **{key: variable[key] for key in variable}} for variable in variables]
    except (ValueError, TypeError) as error:
        raise ActionError("InvalidActionConfiguration", f"EnvironmentVariables is not valid: {error}") from error
