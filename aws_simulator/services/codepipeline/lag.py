"""How CodePipeline's API lags behind or varies, as recorded from AWS; where the real form is unknown, both forms."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from aws_simulator.services.codepipeline.records import IN_PROGRESS, Action, Pipeline, now

# Seen on AWS: GetPipelineState lacked an approval that ListActionExecutions had listed for 5 seconds, and
# ListPipelineExecutions lacked an execution that had begun 0.1 seconds before.
STATE_SECONDS = 0.5
LISTING_SECONDS = 0.2
DETAILS, SUMMARY = "details", "summary"
ARN, NAME = "arn", "name"
SUCCEEDS, FAILS = "succeeds", "fails"


class Views:
    """The control ``codepipeline-views``.

    ``state``: by how many seconds GetPipelineState is late. ``listing``: after how many seconds an execution is listed.
    ``texts``: where ListActionExecutions has the text of a failure, in the "summary" only or in the error's "details"
    as well. ``external``: the external id of a Step Functions action is an "arn" while it runs or, at its end, its
    "name". ``unchanged``: a CloudFormation action without changes "succeeds" or "fails".
    """

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        self.state, self.listing, self.texts, self.external = STATE_SECONDS, LISTING_SECONDS, SUMMARY, ARN
        self.unchanged = FAILS

    def set(self, arguments: dict[str, Any]) -> None:
        for name in ("state", "listing", "texts", "external", "unchanged"):
            setattr(self, name, arguments.get(name, getattr(self, name)))

    def is_listed(self, started: Any) -> bool:
        return bool(started <= now() - timedelta(seconds=self.listing))

    def shown(self, pipeline: Pipeline, stage: str, name: str) -> tuple[Action | None, str]:
        """Return the action that GetPipelineState shows for a name, and its shown status."""
        cutoff = now() - timedelta(seconds=self.state)
        began = [
            action
            for execution in pipeline.executions.values()
            for action in execution.actions
            if (action.stage, action.name) == (stage, name) and action.started <= cutoff
        ]
        if not began:
            return None, ""
        latest = max(began, key=lambda action: action.started)
        return latest, latest.status if latest.updated <= cutoff else IN_PROGRESS
