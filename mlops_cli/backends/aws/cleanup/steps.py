"""Cleanup on AWS: remove the project's resources in a safe order, keep all others, then list every kind again."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from mlops_cli.backends.aws.account import Account
from mlops_cli.backends.aws.cleanup.log_groups import LogGroups
from mlops_cli.backends.aws.cleanup.running_work import PipelineResources, RunningWork
from mlops_cli.backends.aws.cleanup.s3_objects import ProjectObjects
from mlops_cli.backends.aws.cleanup.sagemaker import (
    JOB_KINDS,
    Jobs,
    ModelPackages,
    OrphanedResources,
    TaggedResources,
    shared,
)
from mlops_cli.backends.aws.clients.cloudformation import Stack, Stacks
from mlops_cli.backends.aws.company_account import used_by
from mlops_cli.backends.aws.errors import or_none
from mlops_cli.backends.aws.resource_names import ResourceNames
from mlops_cli.core import cleanup_texts as texts
from mlops_cli.core.plan import Action, Change, Plan
from mlops_cli.core.progress import ResourceEvent, Watch
from mlops_cli.errors import MlopsError
from mlops_cli.project.paths import Project


@dataclass(frozen=True)
class CleanupStep:
    """One kind of resource: how to list it and how to remove it."""

    name: str
    list_resources: Callable[[], list[Change]]
    remove: Callable[[Watch], None]


class Cleanup:
    """Reads the stacks' outputs in the constructor, while the stacks still exist."""

    def __init__(
        self, project: Project, endpoint: str, account: Account, names: ResourceNames, keep_data: bool
    ) -> None:
        self._project = project
        self._endpoint = endpoint
        self._account = account
        self._names = names
        self._keep_data = keep_data
        self._stacks = Stacks(account, names)
        self._source = ""
        self._company: list[str] = []
        self._objects: ProjectObjects | None = None
        self._tagged = TaggedResources(account.client("sagemaker"), names, endpoint)
        self._groups = LogGroups(account, self._stacks, self._tagged, names, endpoint)
        self._ordered_steps = self._steps()

    def plan(self) -> Plan:
        changes = [change for step in self._ordered_steps for change in step.list_resources()]
        return Plan((*changes, *self._kept()))

    def apply(self, watch: Watch) -> Plan:
        """Run all steps. Return the resources that still exist afterwards, with the reason."""
        failed, cause = "", ""
        for step in self._ordered_steps:
            try:
                _remove(step, watch)
            except MlopsError as error:
                failed, cause = step.name, f"{error.message} {error.hint}".strip()
                break
        remaining = [
            replace(change, reason=cause) if step.name == failed else change
            for step in self._ordered_steps
            for change in step.list_resources()
        ]
        return Plan((*remaining, *self._kept()))

    def _steps(self) -> tuple[CleanupStep, ...]:
        """Return the steps in order.

        The pipeline's stack owns the role that deletes the endpoint's stack, and the pipeline's history names the
        artifacts. The bucket must be empty before its stack is deleted.
        """
        names, resources = self._names, self._pipeline_resources()
        sagemaker, logs = self._account.client("sagemaker"), self._account.client("logs")
        tagged, groups = self._tagged, self._groups
        work, packages = RunningWork(self._account, resources), ModelPackages(sagemaker, resources.model_group)
        orphans = OrphanedResources(sagemaker, tagged)
        return (
            CleanupStep("runs", work.list_resources, lambda _: work.remove()),
            self._stack_step(names.endpoint_stack, self._serving),
            CleanupStep(
                "endpoint", self._outside(names.endpoint_stack, orphans.list_resources), lambda _: orphans.remove()
            ),
            *(_jobs_step(Jobs(kind, sagemaker, logs, tagged), kind) for kind in JOB_KINDS),
            CleanupStep("model versions", packages.list_resources, lambda _: packages.remove()),
            *self._objects_step(resources),
            self._stack_step(names.pipeline_stack),
            CleanupStep(
                "log groups", self._outside(names.pipeline_stack, groups.list_resources), lambda _: groups.remove()
            ),
            *([] if self._storage_stays() else [self._stack_step(names.storage_stack)]),
        )

    def _pipeline_resources(self) -> PipelineResources:
        stack = self._own_stack(self._names.pipeline_stack)
        outputs = stack.outputs if stack else {}
        self._source = outputs.get("SourceType", "")
        self._company = used_by(stack.parameters) if stack else []
        return PipelineResources(
            pipeline=outputs.get("PipelineName", ""),
            state_machine=outputs.get("StateMachineArn", ""),
            projects=tuple(outputs[name] for name in ("BuildProject", "DecisionProject") if outputs.get(name)),
            model_group=outputs.get("ModelPackageGroup", ""),
        )

    def _own_stack(self, name: str) -> Stack | None:
        stack = self._stacks.get_or_none(name)
        return stack if stack and self._stacks.owns(stack) else None

    def _stack_step(self, name: str, also: Callable[[], list[Change]] = list) -> CleanupStep:
        def look() -> list[Change]:
            stack = self._own_stack(name)
            if stack is None:
                return []
            return [*also(), Change(Action.REMOVE, f"stack {name}", self._stacks.contents(stack))]

        def remove(watch: Watch) -> None:
            stack = self._stacks.wait_until_stable(name, watch)
            if stack:
                self._stacks.delete(stack, watch)

        return CleanupStep(f"stack {name}", look, remove)

    def _serving(self) -> list[Change]:
        description = or_none(self._account.client("sagemaker").describe_endpoint, EndpointName=self._endpoint)
        if description is None:
            return []
        return [Change(Action.STOP, f"endpoint {self._endpoint}", f"{description['EndpointStatus']}: {texts.SERVING}")]

    def _outside(self, stack: str, look: Callable[[], list[Change]]) -> Callable[[], list[Change]]:
        """Return a function that lists resources without a stack. Resources of a stack are removed with the stack."""
        return lambda: [] if self._own_stack(stack) else look()

    def _objects_step(self, resources: PipelineResources) -> list[CleanupStep]:
        stack = self._own_stack(self._names.storage_stack)
        name = stack.outputs.get("BucketName", "") if stack else ""
        if stack is None or not name:
            return []
        objects = self._objects = ProjectObjects(
            self._account.client("s3"),
            self._account.client("codepipeline"),
            name,
            self._names,
            resources.pipeline,
            owned=self._owns_bucket(stack, name),
        )
        return [
            CleanupStep(
                "objects", lambda: objects.list_resources(self._keep_data), lambda _: objects.remove(self._keep_data)
            )
        ]

    def _owns_bucket(self, stack: Stack, name: str) -> bool:
        """Return True if the stack created the bucket. A stack of another version may have no output for this."""
        owned = stack.outputs.get("BucketOwned")
        return owned == "true" if owned else name in self._stacks.physical_ids(stack)[0]

    def _storage_stays(self) -> str:
        """Return the reason why our bucket is kept; empty if it is removed."""
        if self._keep_data:
            return texts.KEEP_DATA
        return texts.foreign_objects(self._objects.foreign() if self._objects else [])

    def _kept(self) -> list[Change]:
        kept = [Change(Action.KEEP, f"{self._project.scripts_dir}/, .env", texts.YOURS)]
        for name in (self._names.endpoint_stack, self._names.pipeline_stack, self._names.storage_stack):
            stack = self._stacks.get_or_none(name)
            if stack and not self._stacks.owns(stack):
                kept.append(Change(Action.KEEP, f"stack {name}", texts.OTHER_PROJECT))
        if self._objects:
            kept += self._kept_bucket(self._objects)
        kept += [Change(Action.KEEP, resource, texts.YOURS) for resource in self._company]
        if self._source == "connection":
            kept.append(Change(Action.KEEP, texts.CONNECTION, texts.YOURS))
        kept += self._groups.kept()
        kept += shared(self._account.client("logs"), self._account.client("events"))
        if self._project.state.is_dir():
            kept.append(Change(Action.KEEP, ".mlops/", texts.LOCAL_STATE))
        return kept

    def _kept_bucket(self, objects: ProjectObjects) -> list[Change]:
        if not objects.owned:
            return [Change(Action.KEEP, f"bucket {objects.name}", texts.BUCKET_EXISTED)]
        why = self._storage_stays()
        return [Change(Action.KEEP, f"bucket {objects.name}", why)] if why else []


def _jobs_step(jobs: Jobs, kind: str) -> CleanupStep:
    return CleanupStep(f"{kind.lower()} jobs", jobs.list_resources, lambda _: jobs.remove())


def _remove(step: CleanupStep, watch: Watch) -> None:
    if step.list_resources():
        watch(_event(step, "DELETE_IN_PROGRESS"))
        step.remove(watch)
        watch(_event(step, "DELETE_COMPLETE"))


def _event(step: CleanupStep, status: str) -> ResourceEvent:
    return ResourceEvent("cleanup", step.name, "", status, at=time.time())
