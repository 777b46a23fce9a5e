"""Deploy the two stacks, and upload the objects that the second stack needs, exactly as the plan has shown."""

from __future__ import annotations

import tempfile
import time
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from mlops_cli.backends.aws.account import Account
from mlops_cli.backends.aws.clients.change_sets import INLINE_BYTES, ChangeSet, StackSpec
from mlops_cli.backends.aws.clients.cloudformation import NEVER_CREATED, Stack, Stacks
from mlops_cli.backends.aws.clients.codepipeline import Pipeline
from mlops_cli.backends.aws.clients.s3 import Bucket
from mlops_cli.backends.aws.company_account import tags_of
from mlops_cli.backends.aws.infra import stack_parameters
from mlops_cli.backends.aws.infra.ownership import owner_name, owner_of, require_owner
from mlops_cli.backends.aws.infra.pipeline_template import as_sent, render
from mlops_cli.backends.aws.infra.source import upload as source_upload
from mlops_cli.backends.aws.infra.source.bundle import SourceBundle, bundle_source
from mlops_cli.backends.aws.infra.source.sent_files import CONFIDENTIAL
from mlops_cli.backends.aws.resource_names import OWNER_TAG, ResourceNames
from mlops_cli.backends.aws.state_format import check_format, write_format
from mlops_cli.core.plan import Action, Change, Plan
from mlops_cli.core.progress import ResourceEvent, Watch, no_watch
from mlops_cli.errors import ConfigurationError, MlopsError
from mlops_cli.files.hashing import digest_bytes, digest_file
from mlops_cli.packaging import wheel
from mlops_cli.project.paths import Project
from mlops_cli.project.settings.values import Settings
from mlops_cli.project.usecase.use_case import UseCase

# Placeholder of the bucket's name in the plan, until the bucket exists.
PLACEHOLDER_BUCKET = "to-be-made"
ENDPOINT = "endpoint.yaml"
PIPELINE_TYPE = "AWS::CodePipeline::Pipeline "


@dataclass(frozen=True)
class StackPlan:
    """One stack's part of a plan. ``stack`` is its present state.

    ``is_unlisted``: CloudFormation cannot list its resources before there is a bucket.
    """

    spec: StackSpec
    stack: Stack | None
    change_set: ChangeSet | None
    changes: tuple[Change, ...]
    is_unlisted: bool = False

    @property
    def never_created(self) -> bool:
        return self.stack is not None and self.stack.status in NEVER_CREATED


class InfraDeployer:
    def __init__(
        self, project: Project, use_case: UseCase, settings: Settings, account: Account, names: ResourceNames
    ) -> None:
        self._project = project
        self._use_case = use_case
        self._settings = settings
        self._account = account
        self._names = names
        self._stacks = Stacks(account, names)
        self._planned: tuple[StackPlan, StackPlan] | None = None
        self._pending: list[ChangeSet] = []

    def plan(self, watch: Watch = no_watch) -> Plan:
        """Return the changes. The change sets stay on AWS until the plan is applied or discarded."""
        owner = require_owner(self._stacks, self._names, self._settings, self._account, claims=True)
        present = self._stacks.find(self._names.pipeline_stack)
        stack_parameters.check_settings(self._settings, self._use_case, self._account, present)
        storage = self._storage_step(watch)
        bucket = storage.stack.outputs.get("BucketName", "") if storage.stack else ""
        if bucket:
            check_format(self._bucket(bucket))
        pipeline = self._pipeline_step(self._bucket(bucket) if bucket else None, watch)
        if not bucket and pipeline.change_set:
            self._discard(pipeline.change_set)
            pipeline = replace(pipeline, change_set=None)
        self._planned = (storage, pipeline)
        sent = self._uploads(pipeline.stack, self._bucket(bucket) if bucket else None)
        belongs = Change(Action.KEEP, f"owner {owner}", "of both stacks, by their tag; OWNER sets another name")
        return Plan((belongs, *self._mail(), *_shown(storage), *sent, *_shown(pipeline)))

    def _mail(self) -> tuple[Change, ...]:
        """Return the step that the owner of the mail address must do: AWS sends no mail before the confirmation."""
        address = self._settings["NOTIFICATION_EMAIL"]
        reason = "AWS sends a new address a link first; click it to get the mails"
        return (Change(Action.KEEP, f"mail to {address}", reason),) if address else ()

    def discard_plan(self) -> None:
        """Delete the change sets that were not executed."""
        for change_set in tuple(self._pending):
            self._discard(change_set)
        self._planned = None

    def _discard(self, change_set: ChangeSet) -> None:
        self._stacks.discard(change_set)
        self._pending.remove(change_set)

    def apply(self, watch: Watch = no_watch) -> None:
        """Apply the plan as it was shown. Raise MlopsError if it has changed since."""
        if self._planned is None:
            self.plan(watch)
        assert self._planned is not None
        (storage, shown), self._planned = self._planned, None
        self._require_no_run(shown)
        self._execute(storage, watch)
        bucket = self.storage_bucket()
        write_format(bucket)
        self._send(shown.stack, bucket, watch)
        pipeline = self._pipeline_step(bucket, watch)
        _require_same(shown, pipeline)
        self._execute(pipeline, watch)

    def _require_no_run(self, step: StackPlan) -> None:
        """Raise MlopsError if the pipeline would change during a run: CodePipeline then never ends the run."""
        changes = any(
            change.action is not Action.KEEP and change.resource.startswith(PIPELINE_TYPE) for change in step.changes
        )
        if step.stack is None or not changes or "PipelineName" not in step.stack.outputs:
            return
        pipeline = Pipeline(self._account.client("codepipeline"), step.stack.outputs["PipelineName"])
        if execution := pipeline.under_way():
            raise MlopsError(
                f"The pipeline would change during run {execution.id}: CodePipeline could then neither continue the "
                "run nor accept a decision about it. Nothing was changed.",
                f"Let it end, decide about it (mlops approve) or stop it (mlops stop {execution.id}), then: "
                "mlops deploy-infra",
            )

    def existing_bucket(self) -> Bucket | None:
        """Return the project's part of the bucket; None if the bucket does not exist."""
        outputs = self._stacks.outputs(self._names.storage_stack)
        return self._bucket(outputs["BucketName"]) if outputs else None

    def ensure_storage(self, watch: Watch = no_watch) -> Bucket:
        """Return the bucket. Create it if needed."""
        if self._stacks.outputs(self._names.storage_stack) is None:
            self._execute(self._storage_step(watch), watch)
        return self.storage_bucket()

    def storage_bucket(self) -> Bucket:
        """Return the project's part of the bucket. Raise MlopsError if the bucket does not exist."""
        return self._bucket(self._stacks.required(self._names.storage_stack)["BucketName"])

    def _bucket(self, name: str) -> Bucket:
        return Bucket(self._account.client("s3"), name, self._names.key_prefix, self._settings["KMS_KEY_ARN"])

    def _storage_step(self, watch: Watch) -> StackPlan:
        name = self._names.storage_stack
        stack = self._stacks.wait_until_stable(name, watch)
        values = stack_parameters.storage(self._settings, self._account, self._names, stack)
        return self._step(name, self._template("storage.yaml"), values, stack)

    def _pipeline_step(self, bucket: Bucket | None, watch: Watch) -> StackPlan:
        name = self._names.pipeline_stack
        stack = self._stacks.wait_until_stable(name, watch)
        values = stack_parameters.pipeline(
            self._settings,
            self._use_case,
            self._account,
            self._names,
            stack,
            bucket.name if bucket else PLACEHOLDER_BUCKET,
            self._names.key_prefix + self._wheel_key,
            self._names.key_prefix + self._template_key,
        )
        template = as_sent(render(self._template("pipeline.yaml")))
        return self._step(name, template, values, stack, bucket)

    def _step(
        self, name: str, template: str, values: dict[str, str], stack: Stack | None, bucket: Bucket | None = None
    ) -> StackPlan:
        is_long = len(template.encode()) > INLINE_BYTES
        url = self._template_url(name, template, bucket) if is_long and bucket else ""
        owner = owner_of(stack, owner_name(self._settings, self._account))
        company_tags = tags_of(self._settings["RESOURCE_TAGS"])
        spec = StackSpec(name, template, values, {**company_tags, **self._names.tags, OWNER_TAG: owner}, url)
        failed = self._failed_creation(stack) if stack else ()
        if is_long and bucket is None:
            return StackPlan(spec, stack, None, (*failed, _unlisted(name)), is_unlisted=True)
        if failed:
            return StackPlan(spec, stack, None, (*failed, *self._stacks.preview(spec)))
        change_set = self._stacks.prepare(spec, stack)
        if change_set and change_set not in self._pending:
            self._pending.append(change_set)
        return StackPlan(spec, stack, change_set, change_set.changes if change_set else ())

    def _failed_creation(self, stack: Stack) -> tuple[Change, ...]:
        """Return the removal of a stack whose creation failed; empty for any other."""
        if stack.status not in NEVER_CREATED:
            return ()
        reason = f"its creation failed: {self._stacks.failure_reason(stack)}"
        return (Change(Action.REMOVE, f"stack {stack.name}", reason),)

    def _template_url(self, name: str, text: str, bucket: Bucket) -> str:
        """Return the address in the bucket of a template that is too long for a request."""
        key = f"cli/{digest_bytes(text.encode())[:16]}/{name}.yaml"
        if not bucket.exists(key):
            bucket.put(key, text.encode(), "application/yaml")
        return bucket.https_url(key)

    def _template(self, name: str) -> str:
        return self._template_path(name).read_text(encoding="utf-8")

    def _template_path(self, name: str) -> Path:
        path = self._project.root / "templates" / name
        if not path.is_file():
            raise ConfigurationError(f"The project has no templates/{name}.", "Add the templates: mlops init . --aws")
        return path

    def _execute(self, step: StackPlan, watch: Watch) -> None:
        change_set = step.change_set
        if step.never_created and step.stack:
            self._stacks.delete(step.stack, watch)
            change_set = self._stacks.prepare(step.spec, None)
        if change_set:
            self._pending = [pending for pending in self._pending if pending.id != change_set.id]
            self._stacks.execute(change_set, watch)

    @cached_property
    def _source_bundle(self) -> SourceBundle:
        return bundle_source(self._project)

    @cached_property
    def _wheel(self) -> Path:
        self._folder = tempfile.TemporaryDirectory()
        return wheel.build(Path(self._folder.name))

    @property
    def _wheel_key(self) -> str:
        """Return the wheel's key. It contains the SHA-256 that the steps verify."""
        return f"cli/{digest_file(self._wheel)}/{self._wheel.name}"

    @property
    def _template_key(self) -> str:
        """Return the key of the endpoint's template. Only deploy-infra may change the endpoint's resources."""
        return f"cli/{digest_file(self._template_path(ENDPOINT))[:16]}/{ENDPOINT}"

    def _uploads(self, stack: Stack | None, bucket: Bucket | None) -> list[Change]:
        """Return the uploads that the pipeline's stack needs first."""
        own = [
            self._upload_change(self._wheel_key, "this version of mlops, for the steps", bucket),
            self._upload_change(self._template_key, "the endpoint's template", bucket),
        ]
        kind = stack_parameters.source_type(self._settings, stack)
        if kind == "connection":
            return [
                *own,
                Change(
                    Action.KEEP,
                    "source",
                    f"nothing is uploaded: the pipeline uses the pushed commits of {self._settings['BRANCH']}",
                ),
            ]
        if self._has_source(stack, bucket):
            return own
        bundle = self._source_bundle
        if kind == "codecommit":
            source_upload.check_first_commit(bundle)
        size = f"{len(bundle.files)} files, {bundle.bytes / 1000:,.0f} kB"
        return [
            *own,
            Change(Action.ADD, source_upload.KEY, size),
            *_first_repository(kind, stack),
            *excluded_files(bundle),
        ]

    def _upload_change(self, key: str, why: str, bucket: Bucket | None) -> Change:
        exists = bucket is not None and bucket.exists(key)
        return Change(Action.KEEP if exists else Action.ADD, key.rpartition("/")[2], why)

    def _has_source(self, stack: Stack | None, bucket: Bucket | None) -> bool:
        """Return True if an existing pipeline of this source type has its source. Every run sends the source again."""
        kind = stack_parameters.source_type(self._settings, stack)
        same = stack is not None and stack.outputs.get("SourceType") == kind
        return same and bucket is not None and bucket.exists(source_upload.KEY)

    def _send(self, stack: Stack | None, bucket: Bucket, watch: Watch) -> None:
        files = {self._wheel_key: self._wheel, self._template_key: self._template_path(ENDPOINT)}
        for key, path in files.items():
            if not bucket.exists(key):
                bucket.upload(path, key)
                watch(_uploaded(bucket, key))
        kind = stack_parameters.source_type(self._settings, stack)
        if kind != "connection" and not self._has_source(stack, bucket):
            source_upload.upload(bucket, self._source_bundle)
            watch(_uploaded(bucket, source_upload.KEY))


def _shown(step: StackPlan) -> tuple[Change, ...]:
    return step.changes or (Change(Action.KEEP, f"stack {step.spec.name}", "no changes"),)


def _unlisted(name: str) -> Change:
    """Return the line of a new stack whose template is too long for a request: AWS reads it from the bucket."""
    return Change(Action.ADD, f"stack {name}", "AWS lists its resources as soon as the bucket has its template")


def _first_repository(kind: str, stack: Stack | None) -> list[Change]:
    """Return a note on a new repository: AWS closed CodeCommit to new customers for more than a year."""
    reason = "AWS creates it. If AWS refuses, it removes the pipeline's stack; SOURCE=s3 needs no repository"
    is_new = stack is None or stack.outputs.get("SourceType") != kind
    return [Change(Action.KEEP, "CodeCommit", reason)] if is_new and kind == "codecommit" else []


def excluded_files(bundle: SourceBundle) -> list[Change]:
    """Return one line for each reason, because many files may be excluded. Name every file that may be secret."""
    reasons: dict[str, list[str]] = {}
    secrets = [name for name, why in bundle.left_out.items() if why == CONFIDENTIAL]
    for name, why in bundle.left_out.items():
        if why != CONFIDENTIAL:
            reasons.setdefault(why, []).append(name)
    return [Change(Action.KEEP, name, f"not sent: {CONFIDENTIAL}") for name in secrets] + [
        Change(
            Action.KEEP,
            names[0] if len(names) == 1 else f"{names[0]} and {len(names) - 1} more",
            f"not uploaded: {why}",
        )
        for why, names in reasons.items()
    ]


def _uploaded(bucket: Bucket, key: str) -> ResourceEvent:
    return ResourceEvent(bucket.uri(), key, "object", "CREATE_COMPLETE", at=time.time())


def _require_same(shown: StackPlan, current: StackPlan) -> None:
    new = {change for change in current.changes if shown.is_unlisted and change.action is Action.ADD}
    if set(shown.changes) - {_unlisted(shown.spec.name)} != set(current.changes) - new:
        raise MlopsError(
            f"The stack {current.spec.name} has changed since the plan was made; nothing was applied.",
            "Show the plan again: mlops deploy-infra",
        )
