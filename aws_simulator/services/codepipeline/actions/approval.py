"""Manual approval: wait for PutApprovalResult with the token that was sent to the topic."""

from __future__ import annotations

import json
from datetime import timedelta

from aws_simulator.services.codepipeline.actions.job import Job
from aws_simulator.services.codepipeline.records import IN_PROGRESS

DAYS = 7


def run(job: Job) -> None:
    """Return when the action is no longer in progress. The decision ends it."""
    action = job.action
    if topic := job.configuration.get("NotificationArn"):
        name = action.execution.pipeline.name
        subject = f"APPROVAL NEEDED: AWS CodePipeline {name} for action {action.name}"[:100]
        job.client("sns").publish(TopicArn=topic, Subject=subject, Message=json.dumps(_message(job)))
    action.token = action.id
    job.until(lambda: action.status != IN_PROGRESS)


def _message(job: Job) -> dict[str, object]:
    action, pipeline = job.action, job.action.execution.pipeline
    console = f"https://console.aws.amazon.com/codesuite/codepipeline/pipelines/{pipeline.name}/view"
    keys = {"externalEntityLink": "ExternalEntityLink", "customData": "CustomData"}
    return {
        "region": pipeline.region,
        "consoleLink": f"{console}?region={pipeline.region}",
        "approval": {
            "pipelineName": pipeline.name,
            "stageName": action.stage,
            "actionName": action.name,
            "expires": (action.started + timedelta(days=DAYS)).strftime("%Y-%m-%dT%H:%MZ"),
            **{name: job.configuration[key] for name, key in keys.items() if key in job.configuration},
            "approvalReviewLink": f"{console}#/{action.stage}/{action.name}/approve/",
        },
    }
