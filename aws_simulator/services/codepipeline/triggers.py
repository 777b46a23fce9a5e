"""Automatic starts of a pipeline: EventBridge rules, and pushes to the repository behind a connection."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from aws_simulator.permissions.roles import Caller
from aws_simulator.services import events
from aws_simulator.services.codecommit.git import Git

if TYPE_CHECKING:
    from aws_simulator.services.codepipeline.service import CodePipeline
    from aws_simulator.simulator import Simulator


def register(simulator: Simulator, service: CodePipeline) -> None:
    def deliver(arn: str, role: Caller, rule: Mapping[str, Any], payload: Mapping[str, Any]) -> None:
        role.require("codepipeline:StartPipelineExecution", arn)
        pipeline = service.pipelines.get(arn.rpartition(":")[2])
        if pipeline:
            service.begin(pipeline, ("CloudWatchEvent", rule.get("Arn", "")), {}, {})

    events.add_target("codepipeline", deliver)
    simulator.add_control("github-push", lambda arguments: push(simulator, service, **arguments))


def push(
    simulator: Simulator, service: CodePipeline, repository: str, files: dict[str, str], branch: str = "main"
) -> str:
    """Commit to the simulated GitHub repository, and start the pipelines that watch the branch. Return the commit."""
    if repository not in service.github:
        folder = simulator.folder / "github" / f"{repository.replace('/', '-')}-{time.time_ns()}.git"
        folder.parent.mkdir(exist_ok=True)
        service.github[repository] = Git(folder)
    git = service.github[repository]
    put = [(path, "NORMAL", text.encode()) for path, text in files.items()]
    commit = git.commit(branch, git.branch(branch), put, [], ("somebody", "somebody@example.com"), "a push")
    for pipeline in list(service.pipelines.values()):
        if any(_watches(action, repository, branch) for action in pipeline.declaration["stages"][0]["actions"]):
            service.begin(pipeline, ("WebhookV2", f"{repository}@{branch}"), {}, {})
    return commit


def _watches(action: Mapping[str, Any], repository: str, branch: str) -> bool:
    configuration = action.get("configuration", {})
    return (
        action["actionTypeId"]["provider"] == "CodeStarSourceConnection"
        and (configuration["FullRepositoryId"], configuration["BranchName"]) == (repository, branch)
        and configuration.get("DetectChanges", "true") == "true"
    )
