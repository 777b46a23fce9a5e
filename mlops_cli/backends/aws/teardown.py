"""Cleanup on AWS: what is ours goes, in an order that works, what is not stays; then every kind is looked at again."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from mlops_cli.backends.aws.account import Account
from mlops_cli.backends.aws.activity import Activity, Facts
from mlops_cli.backends.aws.holdings import Holdings
from mlops_cli.backends.aws.loggroups import LogGroups
from mlops_cli.backends.aws.names import Names
from mlops_cli.backends.aws.refusals import AwsError
from mlops_cli.backends.aws.remains import (
    JOB_KINDS,
    Jobs,
    ModelPackages,
    Strays,
    Tagged,
    is_absence,
    shared,
)
from mlops_cli.backends.aws.stacks import Stack, Stacks
from mlops_cli.errors import MlopsError
from mlops_cli.plans import Action, Change, Plan
from mlops_cli.progress import ResourceEvent, Watch
from mlops_cli.project import Project


@dataclass(frozen=True)
class Part:
    """One kind of thing: what there is of it now, and how all of that is removed."""

    name: str
    look: Callable[[], list[Change]]
    remove: Callable[[Watch], None]


class Teardown:
    """What only the stacks can say is read when this is made, as long as they are there to be asked."""

    def __init__(self, project: Project, endpoint: str, account: Account, names: Names, keep_data: bool) -> None:
        self._project = project
        self._endpoint = endpoint
        self._account = account
        self._names = names
        self._keep_data = keep_data
        self._stacks = Stacks(account, names)
        self._source = ""
        self._holdings: Holdings | None = None
        self._tagged = Tagged(account.client("sagemaker"), names, endpoint)
        self._groups = LogGroups(account, self._stacks, self._tagged, names, endpoint)
        self._parts = self._made_parts()

    def plan(self) -> Plan:
        found = [change for part in self._parts for change in part.look()]
        return Plan((*found, *self._kept()))

    def carry_out(self, watch: Watch) -> Plan:
        """Remove part after part; gives what a last look at all of them still finds, with the reason."""
        failed, cause = "", ""
        for part in self._parts:
            try:
                _remove(part, watch)
            except MlopsError as error:
                failed, cause = part.name, f"{error.message} {error.hint}".strip()
                break
        left = [
            replace(change, why=cause) if part.name == failed else change
            for part in self._parts
            for change in part.look()
        ]
        return Plan((*left, *self._kept()))

    def _made_parts(self) -> tuple[Part, ...]:
        """The order matters: the pipeline's stack has the role that removes the endpoint's, and its history says
        which artifacts are its own; the bucket must be empty before its stack can go."""
        names, facts = self._names, self._facts()
        sagemaker, logs = self._account.client("sagemaker"), self._account.client("logs")
        tagged, groups = self._tagged, self._groups
        activity, packages = Activity(self._account, facts), ModelPackages(sagemaker, facts.model_group)
        strays = Strays(sagemaker, tagged)
        return (
            Part("runs", activity.look, lambda _: activity.remove()),
            self._stack_part(names.endpoint_stack, self._serving),
            Part("endpoint", self._outside(names.endpoint_stack, strays.look), lambda _: strays.remove()),
            *(_jobs_part(Jobs(kind, sagemaker, logs, tagged), kind) for kind in JOB_KINDS),
            Part("model versions", packages.look, lambda _: packages.remove()),
            *self._objects_part(facts),
            self._stack_part(names.pipeline_stack),
            Part("log groups", self._outside(names.pipeline_stack, groups.look), lambda _: groups.remove()),
            *([] if self._storage_stays() else [self._stack_part(names.storage_stack)]),
        )

    def _facts(self) -> Facts:
        stack = self._ours(self._names.pipeline_stack)
        outputs = stack.outputs if stack else {}
        self._source = outputs.get("SourceType", "")
        return Facts(
            pipeline=outputs.get("PipelineName", ""),
            state_machine=outputs.get("StateMachineArn", ""),
            projects=tuple(outputs[name] for name in ("BuildProject", "DecisionProject") if outputs.get(name)),
            model_group=outputs.get("ModelPackageGroup", ""),
        )

    def _ours(self, name: str) -> Stack | None:
        stack = self._stacks.peek(name)
        return stack if stack and self._stacks.owns(stack) else None

    def _stack_part(self, name: str, also: Callable[[], list[Change]] = list) -> Part:
        def look() -> list[Change]:
            stack = self._ours(name)
            if stack is None:
                return []
            return [*also(), Change(Action.REMOVE, f"stack {name}", self._stacks.contents(stack))]

        def remove(watch: Watch) -> None:
            stack = self._stacks.settled(name, watch)
            if stack:
                self._stacks.delete(stack, watch)

        return Part(f"stack {name}", look, remove)

    def _serving(self) -> list[Change]:
        try:
            found = self._account.client("sagemaker").describe_endpoint(EndpointName=self._endpoint)
        except AwsError as error:
            if is_absence(error):
                return []
            raise
        return [Change(Action.STOP, f"endpoint {self._endpoint}", f"{found['EndpointStatus']}: it answers, and costs")]

    def _outside(self, stack: str, look: Callable[[], list[Change]]) -> Callable[[], list[Change]]:
        """What belongs to a stack goes with it; what is found without it is left over."""
        return lambda: [] if self._ours(stack) else look()

    def _objects_part(self, facts: Facts) -> list[Part]:
        stack = self._ours(self._names.storage_stack)
        name = stack.outputs.get("BucketName", "") if stack else ""
        if stack is None or not name:
            return []
        holdings = self._holdings = Holdings(
            self._account.client("s3"),
            self._account.client("codepipeline"),
            name,
            self._names,
            facts.pipeline,
            owned=stack.outputs["BucketOwned"] == "true",
        )
        return [Part("objects", lambda: holdings.look(self._keep_data), lambda _: holdings.remove(self._keep_data))]

    def _storage_stays(self) -> str:
        """Why the bucket that mlops made is not removed, empty if it is."""
        if self._keep_data:
            return "--keep-data"
        strangers = self._holdings.foreign() if self._holdings else []
        return f"it holds what mlops did not put there, such as {', '.join(strangers)}" if strangers else ""

    def _kept(self) -> list[Change]:
        kept = [Change(Action.KEEP, "training/, .env", "yours")]
        for name in (self._names.endpoint_stack, self._names.pipeline_stack, self._names.storage_stack):
            stack = self._stacks.peek(name)
            if stack and not self._stacks.owns(stack):
                kept.append(Change(Action.KEEP, f"stack {name}", "not made by mlops for this project"))
        if self._holdings:
            kept += self._kept_bucket(self._holdings)
        if self._source == "connection":
            kept.append(Change(Action.KEEP, "the connection and its repository", "yours"))
        kept += self._groups.kept()
        kept += shared(self._account.client("logs"), self._account.client("events"))
        if self._project.state.is_dir():
            kept.append(Change(Action.KEEP, ".mlops/", "of this machine: mlops --target local cleanup"))
        return kept

    def _kept_bucket(self, holdings: Holdings) -> list[Change]:
        if not holdings.owned:
            return [Change(Action.KEEP, f"bucket {holdings.name}", "it was there before; all else in it stays")]
        why = self._storage_stays()
        return [Change(Action.KEEP, f"bucket {holdings.name}", why)] if why else []


def _jobs_part(jobs: Jobs, kind: str) -> Part:
    return Part(f"{kind.lower()} jobs", jobs.look, lambda _: jobs.remove())


def _remove(part: Part, watch: Watch) -> None:
    if part.look():
        watch(_event(part, "DELETE_IN_PROGRESS"))
        part.remove(watch)
        watch(_event(part, "DELETE_COMPLETE"))


def _event(part: Part, status: str) -> ResourceEvent:
    return ResourceEvent("cleanup", part.name, "", status, at=time.time())
