"""A script of the project as a source: the script writes the data."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from mlops_cli.core.progress import Report
from mlops_cli.data.scripts import DataScript, ScriptRunner, is_script
from mlops_cli.data.sources.path_files import expanded
from mlops_cli.data.sources.source import FetchedSource, Origin, Source, State
from mlops_cli.errors import ConfigurationError, MlopsError
from mlops_cli.files.atomic import remove_tree
from mlops_cli.files.hashing import digest_file


class ScriptSource(Source):
    """``accepts`` paths of Python files. [data.scripts] in usecase.toml gives scripts names and arguments."""

    kind = "script"
    is_state_local = True

    @staticmethod
    def accepts(name: str) -> bool:
        return is_script(name)

    @property
    def script(self) -> DataScript:
        script = self.request.scripts.get(self.name) or DataScript(self._file)
        return script.with_arguments(self.request.arguments)

    @property
    def _file(self) -> str:
        """The path of an unnamed script relative to training/. Raise ConfigurationError if it does not exist."""
        path = (self.request.folder / expanded(self.name)).resolve()
        training = self._runner.training.resolve()
        if not path.is_relative_to(training):
            raise ConfigurationError(
                f"{self.name} is no script of the project: it is not in {training}", "move it there"
            )
        return path.relative_to(training).as_posix()

    @property
    def is_synthetic(self) -> bool:
        return self.script.is_synthetic

    @property
    def shown(self) -> str:
        remarks = ["synthetic"] if self.is_synthetic else []
        remarks += [self.script.shown_arguments] if self.script.arguments else []
        return f"{self.name} ({', '.join(remarks)})" if remarks else self.name

    def identity(self) -> list[object]:
        return [self.request.file, self.script.file, self._runner.inputs(self.script)]

    def fetch(self, scratch: Path, report: Report) -> FetchedSource:
        output, script = scratch / "output", self.script
        remove_tree(output)
        output.mkdir(parents=True)
        files = self._runner.run(self.name, script, output, report)
        if links := [path for path in output.rglob("*") if path.is_symlink()]:
            raise MlopsError(f"{script.file} wrote the link {links[0].name}", "let it write a copy of the target")
        if not any(output.iterdir()):
            raise MlopsError(f"{script.file} wrote nothing into its --output-dir", "let it write a file there")
        origin = {"kind": self.kind, "shown": self.name, "script": script.file, "arguments": dict(script.arguments)}
        return FetchedSource({**origin, "files": files}, output, self.name)

    @property
    def _runner(self) -> ScriptRunner:
        if self.request.runner is None:
            raise AssertionError("a request with a script needs a runner")
        return self.request.runner

    @staticmethod
    def state(origin: Origin, known_urls: Iterable[str], seconds: float) -> State:  # noqa: ARG004
        """Return CHANGED if a file of the script, or a file that it has read, has changed.

        Otherwise only the script itself knows.
        """
        paths = {Path(path): digest for path, digest in origin["files"].items()}
        changed = any(path.is_file() and digest_file(path) != digest for path, digest in paths.items())
        return State.CHANGED if changed else State.UNKNOWN
