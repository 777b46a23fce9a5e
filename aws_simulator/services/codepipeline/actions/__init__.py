"""The action providers. A provider is a function of a Job. It raises ActionError if the action fails."""

from __future__ import annotations

from collections.abc import Callable

from aws_simulator.services.codepipeline.actions import approval, build, deploy, invoke, source
from aws_simulator.services.codepipeline.actions.job import ActionError, Job

RUN: dict[tuple[str, str], Callable[[Job], None]] = {
    ("Source", "S3"): source.s3,
    ("Source", "CodeCommit"): source.codecommit,
    ("Source", "CodeStarSourceConnection"): source.connection,
    ("Build", "CodeBuild"): build.run,
    ("Test", "CodeBuild"): build.run,
    ("Invoke", "StepFunctions"): invoke.run,
    ("Deploy", "CloudFormation"): deploy.run,
    ("Approval", "Manual"): approval.run,
}

__all__ = ["RUN", "ActionError", "Job"]
