"""Controls for tests: the duration of states, the next failures, quotas."""

from __future__ import annotations

import threading
import time
from typing import Any

from aws_simulator.errors import ServiceError

# "SIGTERM … followed, after 120 seconds, by SIGKILL" (StopTrainingJob).
GRACE_SECONDS = 120.0
BAKING_SECONDS = 0.05  # for any baking time that is not zero
INVOCATION_SECONDS = 60.0
# The version in the TensorFlow image's lock. From 5.1.3 on the toolkit uses no shell.
TOOLKIT = (5, 1, 1)
WITHOUT_SHELL = (5, 1, 3)


class Pace:
    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        self.toolkit: tuple[int, ...] = TOOLKIT
        self.silent_rollback = False
        self.seconds = 0.0
        self.grace = GRACE_SECONDS
        self.baking = BAKING_SECONDS
        self.invocation = INVOCATION_SECONDS
        self.firing: set[str] = set()
        """Endpoints at whose next baking an alarm goes off."""
        self._failures: list[str] = []
        self._quotas: dict[str, int] = {}

    def set(self, arguments: dict[str, Any]) -> None:
        """The control ``sagemaker-pace``, all in seconds.

        ``seconds``: how long each state lasts. ``grace``: the time between SIGTERM and SIGKILL. ``baking``: how long an
        update bakes, if it bakes. ``invocation``: the time limit of an invocation.
        """
        for name in ("seconds", "grace", "baking", "invocation"):
            setattr(self, name, float(arguments.get(name, getattr(self, name))))

    def set_toolkit(self, arguments: dict[str, Any]) -> None:
        """The control ``sagemaker-toolkit``: the ``version`` of sagemaker-training in the training image."""
        self.toolkit = tuple(int(part) for part in arguments["version"].split("."))

    def set_rollback(self, arguments: dict[str, Any]) -> None:
        """The control ``sagemaker-rollback``: if ``silent``, CloudFormation reports a rolled-back update as success."""
        self.silent_rollback = bool(arguments["silent"])

    @property
    def toolkit_has_shell(self) -> bool:
        return self.toolkit < WITHOUT_SHELL

    def fire(self, arguments: dict[str, Any]) -> None:
        """The control ``sagemaker-fire``: an alarm goes off while the next update of ``endpoint`` bakes."""
        self.firing.add(arguments["endpoint"])

    def wait(self, stop: threading.Event | None = None) -> None:
        """Wait for the length of one state. Return early when ``stop`` is set."""
        if stop is not None:
            stop.wait(self.seconds)
        else:
            time.sleep(self.seconds)

    def fail_next(self, arguments: dict[str, Any]) -> None:
        """The control ``sagemaker-fail-next``: the next job or endpoint fails with this ``reason``."""
        self._failures.append(arguments["reason"])

    def failure(self) -> str:
        return self._failures.pop(0) if self._failures else ""

    def set_quota(self, arguments: dict[str, Any]) -> None:
        """The control ``sagemaker-quota``: ``quota`` ("ml.m5.xlarge for training job usage") and its ``limit``."""
        self._quotas[arguments["quota"]] = int(arguments["limit"])

    def quotas(self) -> dict[str, float]:
        """Return the quotas that were set, by name."""
        return {name: float(limit) for name, limit in self._quotas.items()}

    def require_quota(self, quota: str, used: int, more: int) -> None:
        """Raise ResourceLimitExceeded if ``more`` instances in addition to ``used`` are too many."""
        limit = self._quotas.get(quota)
        if limit is not None and used + more > limit:
            message = (
                f"The account-level service limit '{quota}' is {limit} Instances, with current utilization of "
                f"{used} Instances and a request delta of {more} Instances. Please use AWS Service Quotas to request "
                "an increase for this quota. If AWS Service Quotas is not available, contact AWS support to request an "
                "increase for this quota."
            )
            raise ServiceError("ResourceLimitExceeded", message)
