"""The objects of a project in the bucket: those with its own prefix, and CodePipeline's artifacts of its runs."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from typing import Any

from mlops_cli.backends.aws.account import Client
from mlops_cli.backends.aws.clients.s3 import Bucket
from mlops_cli.backends.aws.errors import AwsError
from mlops_cli.backends.aws.infra.dataset import FOLDER
from mlops_cli.backends.aws.resource_names import ResourceNames
from mlops_cli.backends.aws.state_format import MARKER
from mlops_cli.core.figures import byte_size
from mlops_cli.core.plan import Action, Change


class ProjectObjects:
    """``owned``: the whole bucket belongs to the project, including CodePipeline's artifact folder.

    In a shared bucket the artifact folder may hold another environment's artifacts. There, only the artifacts in the
    pipeline's own history are removed.
    """

    def __init__(
        self, client: Client, pipelines: Client, name: str, names: ResourceNames, pipeline: str, owned: bool
    ) -> None:
        self.name = name
        self.owned = owned
        self._bucket = Bucket(client, name, names.key_prefix)
        self._root = Bucket(client, name, "")
        self._folder = f"{names.artifact_folder}/"
        self._pipelines = pipelines
        self._pipeline = pipeline

    def list_resources(self, keep_data: bool) -> list[Change]:
        """Return object versions and unfinished uploads, counted."""
        if not self._root.is_reachable():
            return []
        versions = [*self._below(keep_data), *self._artifacts()]
        size = sum(version.get("Size", 0) for version in versions)
        uploads = list(self._bucket.uploads())
        changes = []
        if versions:
            size_text = f"{len(versions):,} object versions, {byte_size(size)}"
            changes.append(Change(Action.REMOVE, self._bucket.uri(), size_text))
        if uploads:
            changes.append(Change(Action.REMOVE, self._bucket.uri(), f"{len(uploads):,} unfinished uploads"))
        return changes

    def foreign(self) -> list[str]:
        """Return the first few keys in an owned bucket that mlops did not write."""
        if not self.owned or not self._root.is_reachable():
            return []
        ours = (self._bucket.prefix, self._folder)
        foreign_keys = (version["Key"] for version in self._root.versions() if not version["Key"].startswith(ours))
        return [key for key, _ in zip(foreign_keys, range(3), strict=False)]

    def remove(self, keep_data: bool) -> None:
        self._root.delete_versions([*self._artifacts(), *self._below(keep_data)])
        for upload in self._bucket.uploads():
            self._bucket.abort(upload)

    def _below(self, keep_data: bool) -> Iterator[dict[str, Any]]:
        """Yield the versions to remove, the marker last: after a killed cleanup the rest is still known as ours."""
        kept, marker = self._bucket.full_key(FOLDER), self._bucket.full_key(MARKER)
        ours = (version for version in self._bucket.versions() if not (keep_data and version["Key"].startswith(kept)))
        yield from sorted(ours, key=lambda version: version["Key"] == marker)

    def _artifacts(self) -> Iterator[dict[str, Any]]:
        if self.owned:
            yield from self._root.versions(self._folder)
            return
        for key in self._artifact_keys:
            yield from (version for version in self._root.versions(key) if version["Key"] == key)

    @cached_property
    def _artifact_keys(self) -> list[str]:
        """Return the artifacts' keys. Read them once, because the history is deleted with the pipeline."""
        if not self._pipeline:
            return []
        try:
            executions = list(
                self._pipelines.pages("list_action_executions", "actionExecutionDetails", pipelineName=self._pipeline)
            )
        except AwsError as error:
            if error.is_not_found:
                return []
            raise
        artifacts = (
            artifact for execution in executions for artifact in execution.get("output", {}).get("outputArtifacts", ())
        )
        locations = (artifact.get("s3location", {}) for artifact in artifacts)
        return sorted({location["key"] for location in locations if location.get("bucket") == self.name})
