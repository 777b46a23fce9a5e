"""The cache inputs of a stage on this machine: code, data, environment, and the files that the stage has read."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path

from mlops_cli.backends.local.runs.store import RunStore
from mlops_cli.caching.inputs import input_digests, no_dataset_error, use_case_inputs
from mlops_cli.caching.key import code_inputs
from mlops_cli.caching.reads import Reads
from mlops_cli.caching.stage_files import file_inputs
from mlops_cli.core.runs import Run, StageRun
from mlops_cli.core.stages import DATA, Kind, Stage
from mlops_cli.data.metadata import changed_since, load
from mlops_cli.files.hashing import DigestCache, digest_folder
from mlops_cli.project.environment import job_environment_inputs
from mlops_cli.project.git.tracked_files import tracked_or_new_files
from mlops_cli.project.paths import Project
from mlops_cli.project.usecase.use_case import UseCase
from mlops_cli.serving.control import LocalEndpoint


class StageInputs:
    def __init__(self, project: Project, use_case: UseCase, store: RunStore, endpoint: LocalEndpoint) -> None:
        self.project = project
        self.use_case = use_case
        self.store = store
        self.endpoint = endpoint

    def cache_inputs(self, stage: Stage, run: Run, previous: StageRun | None) -> dict[str, str]:
        code = {**self._code(stage), **self._environment_inputs} if stage.script else {}
        inputs = input_digests(stage, run, self._data_digest() if DATA in stage.inputs else "")
        use_case = use_case_inputs(stage, run, self.use_case)
        return {**code, **inputs, **use_case, **self._environment(stage), **self._read_before(stage, previous)}

    @cached_property
    def _environment_inputs(self) -> dict[str, str]:
        return job_environment_inputs(self.use_case.passed)

    def _read_before(self, stage: Stage, previous: StageRun | None) -> dict[str, str]:
        """Return the present values of the files that the last execution has read."""
        if not stage.script or previous is None:
            return {}
        with self.digests() as digest:
            return self.reads(digest).present(previous.cache_inputs)

    def reads(self, digest: Callable[[Path], str]) -> Reads:
        code = self.use_case.passed.code
        return Reads(self.project.root, self.use_case.files, digest, self.project.scripts_dir, code)

    def _code(self, stage: Stage) -> dict[str, str]:
        imports, training = self.store.known_imports(), self.project.training
        before = set(imports)
        root, scripts_dir = self.project.root, self.project.scripts_dir
        trackables = {name.removeprefix(f"{scripts_dir}/") for name in tracked_or_new_files(root, scripts_dir)}
        names = sorted(trackables - self.store.files_written_by_stages())
        with self.digests() as digest:
            shared = self.use_case.passed.code
            code = code_inputs(training / stage.script, imports, stage.packs, digest, training, shared, root)
            counted_files = file_inputs(
                stage, training, names, self.use_case.files, imports, digest, self.use_case.data_scripts, shared, root
            )
        self.store.save_imports({digest: imports[digest] for digest in imports.keys() - before})
        return {**counted_files, **code}

    @contextmanager
    def digests(self) -> Iterator[DigestCache]:
        """Provide digests of files. Save those of large files for the next command."""
        cache = DigestCache(entries := self.store.known_digests())
        before = dict(entries)
        yield cache
        self.store.save_digests({path: entry for path, entry in entries.items() if before.get(path) != entry})

    def _environment(self, stage: Stage) -> dict[str, str]:
        """Return the inputs of a deployment. A gate on the endpoint is valid for one deployment only."""
        if stage.kind is Kind.DEPLOY:
            address = " ".join((f"{self.endpoint.host}:{self.endpoint.port}", *self.endpoint.hosts))
            return {"the endpoint": self.endpoint.name, "the endpoint's address": address}
        return {"the deployment": str(self.endpoint.status().since)} if stage.tests_endpoint else {}

    def _data_digest(self) -> str:
        """Return the digest of the file's present content, because its size and time do not prove it."""
        dataset = load(self.project.data)
        if dataset is None:
            raise no_dataset_error(self.use_case)
        with self.digests() as digest:
            content = digest_folder(dataset.path, digest) if dataset.files else digest(dataset.path)
        if content != dataset.sha256:
            raise changed_since(dataset.path)
        return dataset.sha256
