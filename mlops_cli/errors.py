"""The errors that a user sees: the cause, the next step, and the exit code."""

from __future__ import annotations

EXIT_ERROR = 1
EXIT_USAGE = 2
EXIT_STAGE_FAILED = 3
EXIT_REJECTED = 4
EXIT_LEFT_OVER = 5
EXIT_INTERRUPTED = 130


class MlopsError(Exception):
    """An error that a user can understand and fix. It is printed as two lines, never as a traceback.

    ``message``: the problem and its cause. ``hint``: the one command or change to make next.
    """

    def __init__(self, message: str, hint: str = "", exit_code: int = EXIT_ERROR) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.exit_code = exit_code


class ConfigurationError(MlopsError):
    """A setting, flag or project file is wrong; nothing was started."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message, hint, EXIT_USAGE)


class NoDatasetError(MlopsError):
    """The project has no dataset yet."""


class NoEndpointError(MlopsError):
    """The project has no endpoint yet."""

    def __init__(self, name: str) -> None:
        super().__init__(f"There is no endpoint {name} yet.", "Train and approve a model: mlops run")
