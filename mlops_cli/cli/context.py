"""The objects that a command works with. Only this module creates them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from mlops_cli.errors import ConfigurationError, MlopsError
from mlops_cli.project.paths import Project, find_project, named_project

if TYPE_CHECKING:
    from mlops_cli.backends.base import Backend
    from mlops_cli.cli.cost_approval import CostApproval
    from mlops_cli.console import Console
    from mlops_cli.core.checks import Finding
    from mlops_cli.core.runs import Run
    from mlops_cli.data.objects import ObjectStore
    from mlops_cli.data.request import DataRequest
    from mlops_cli.project.settings.values import Settings
    from mlops_cli.project.usecase.use_case import UseCase


class Targets(Protocol):
    """How to create the objects that reach a target. ``main`` passes it, so no command imports a target."""

    def get_backend(self, settings: Settings, project: Project, use_case: UseCase) -> Backend: ...

    def object_store(self, settings: Settings) -> ObjectStore: ...


@dataclass
class AppContext:
    """The options of one call, and the objects that follow from them, each created on first use.

    ``flags``: settings by name.
    """

    targets: Targets
    flags: dict[str, str | None]
    folder: Path | None = None
    quiet: bool = False
    verbose: bool = False
    as_json: bool = False

    @cached_property
    def project(self) -> Project:
        return find_project(_current_folder()) if self.folder is None else named_project(self.folder)

    @cached_property
    def settings(self) -> Settings:
        from mlops_cli.project.settings.values import load_settings

        return load_settings(self.project.dotenv, self.flags)

    def set_flag(self, name: str, value: str | None) -> None:
        """Set an option of one command. It beats all other origins of the setting."""
        self.flags[name] = value
        self.__dict__.pop("settings", None)  # they may have been read already

    @property
    def given_options(self) -> tuple[str, ...]:
        """Return the options before the command that choose a target or a project."""
        names = {"--target": "MLOPS_TARGET", "--profile": "AWS_PROFILE", "--region": "AWS_REGION"}
        values = {"--project": self.folder, **{option: self.flags.get(name) for option, name in names.items()}}
        return tuple(word for option, value in values.items() if value is not None for word in (option, str(value)))

    @property
    def secrets(self) -> frozenset[str]:
        """Return the texts that are never shown. Without a project, these are the secrets in environment variables."""
        try:
            return self.settings.secrets
        except (MlopsError, OSError):
            from mlops_cli.project.environment import environment_secrets

            return environment_secrets()

    @cached_property
    def use_case(self) -> UseCase:
        from mlops_cli.project.usecase.reader import load_use_case

        return load_use_case(self.project.use_case_file)

    def require_only_name(self, console: Console) -> None:
        """Let a command that ends costs continue without a valid usecase.toml if the name is known, and report this."""
        from mlops_cli.project.usecase.reader import load_with_name

        try:
            self.use_case  # noqa: B018 (read, to raise its error)
        except (ConfigurationError, OSError) as error:
            if "project" not in self.__dict__:
                self.project = self._recorded_project(error)
            self.use_case = load_with_name(self.project)
            problem = error.message if isinstance(error, ConfigurationError) else f"{error.filename}: {error.strerror}."
            console.say(f"note: this command needs only the use case's name, {self.use_case.name}. {problem}")

    def _recorded_project(self, error: Exception) -> Project:
        """Return the project that has only .mlops/, with the use case's name. Raise ``error`` without one."""
        from mlops_cli.project.state_dir import find_recorded_project

        project = find_recorded_project(self.folder or _current_folder(), is_named=self.folder is not None)
        if project is None:
            raise error
        return project

    @cached_property
    def backend(self) -> Backend:
        return self.targets.get_backend(self.settings, self.project, self.use_case)

    @property
    def objects(self) -> ObjectStore:
        """Return the reader of S3 data sources."""
        return self.targets.object_store(self.settings)

    def completed(self, request: DataRequest) -> DataRequest:
        """Return the request, completed with the settings and this machine's values."""
        return replace(request, most_bytes=self.most_download_bytes, objects=self.objects)

    @property
    def most_download_bytes(self) -> int:
        """Return the download limit for one source in bytes. Raise ConfigurationError for wrong settings."""
        return int(float(self.settings.validated()["MAX_DOWNLOAD_GB"]) * 10**9)

    def cost_approval(self, console: Console, yes: bool = False, yes_cost: bool = False) -> CostApproval:
        """Return the cost limits from settings and options. Raise ConfigurationError for a wrong limit."""
        from mlops_cli.cli.cost_approval import CostApproval
        from mlops_cli.core.costs import Limits

        names = ("MAX_RUN_COST", "MAX_MONTHLY_COST")
        settings = self.settings.validated()
        self.note_dotenv(console)
        limits = {name: float(settings[name]) for name in names if settings[name]}
        return CostApproval(console, Limits(limits), yes, yes_cost)

    def note_dotenv(self, console: Console) -> None:
        """Show the lines of .env, and the environment variables, that have no effect."""
        for text in (*self._misspelled(), *self._repeated()):
            console.say(f"note: {text}")

    def _misspelled(self) -> list[str]:
        from mlops_cli.project.environment import variable_names
        from mlops_cli.project.settings.dotenv_file import misspelled_names, misspelled_variables

        secrets = () if self.problems else self.use_case.passed.secrets
        in_dotenv, in_environment = (
            misspelled_names(self.project.dotenv, secrets),
            misspelled_variables(variable_names()),
        )
        names = {".env": in_dotenv, "the environment": in_environment}
        return [
            f"{name} in {origin} is not a setting; did you mean {setting}?"
            for origin, misspelled in names.items()
            for name, setting in misspelled.items()
        ]

    def _repeated(self) -> list[str]:
        from mlops_cli.project.settings.dotenv_file import repeated_names

        return [
            f"{name} is in .env with several values; the last one counts"
            for name in repeated_names(self.project.dotenv)
        ]

    @contextmanager
    def log_to_tracking(self, say: Callable[[str], None], run_id: str = "") -> Iterator[None]:
        """Log the command's run, by default the newest, to MLflow. Log a failed run only if the command changed it."""
        is_tracking = bool(self.settings["MLFLOW_TRACKING_URI"])
        before = self._run(run_id) if is_tracking else None
        failed = True
        try:
            yield
            failed = False
        finally:
            run = self._run(run_id) if is_tracking else None
            if run is not None and not (failed and run == before):
                from mlops_cli.tracking import track

                track(run, self.backend.runs, self.settings, self.use_case, say)

    def _run(self, run_id: str) -> Run | None:
        """Return the run; None for an unknown one. The command itself reports errors of the target."""
        with suppress(MlopsError):
            return self.backend.runs.get(run_id)
        return None

    def run_checks(self) -> Iterator[Finding]:
        """Return the findings about Python, settings and use case. If all are good, add those of the target."""
        from mlops_cli.backends.common_checks import python_version_check
        from mlops_cli.core.checks import Check, misspelled_setting, repeated_setting, run_checks, settings_failure

        yield from run_checks([Check("python", python_version_check)])
        problems = self.problems
        yield from (settings_failure(problem) for problem in problems)
        yield from map(misspelled_setting, self._misspelled())
        yield from map(repeated_setting, self._repeated())
        if not problems:
            yield from self.backend.run_checks()

    @property
    def problems(self) -> list[str]:
        """Return the errors in settings and use case that would stop every command."""
        messages = list(self.settings.problems)
        try:
            self.use_case  # noqa: B018 (read, to raise its error)
        except MlopsError as error:
            messages.append(error.message)
        return messages


def _current_folder() -> Path:
    try:
        return Path.cwd()
    except FileNotFoundError:
        raise ConfigurationError(
            "The current folder no longer exists.",
            "Change into the project's folder, or name it: mlops --project DIR ...",
        ) from None
