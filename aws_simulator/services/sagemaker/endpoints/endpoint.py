"""One endpoint: its states, and updates that move the traffic or roll back."""

from __future__ import annotations

import datetime
import random
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from aws_simulator.services.cloudwatch import Alarms
from aws_simulator.services.sagemaker.common import now
from aws_simulator.services.sagemaker.endpoints.endpoint_configs import EndpointConfig
from aws_simulator.services.sagemaker.endpoints.fleet import Fleet
from aws_simulator.services.sagemaker.storage import Failure

if TYPE_CHECKING:
    from aws_simulator.services.sagemaker.pace import Pace

REASON_LENGTH = 1024
LOOK_SECONDS = 0.01


class Endpoint:
    """Operations run in threads of their own. ``status`` shows their progress."""

    def __init__(
        self, name: str, arn: str, config: EndpointConfig, deployment: Mapping[str, Any], pace: Pace, alarms: Alarms
    ) -> None:
        self.name = name
        self.arn = arn
        self.config = config
        self.deployment = dict(deployment)
        """The DeploymentConfig that it was created or last updated with."""
        self.last_deployment: dict[str, Any] = {}
        self.status = "Creating"
        self.failure_reason = ""
        self.created = self.modified = now()
        self.fleets: list[Fleet] = []
        self.pending: list[Fleet] = []
        self.pending_since: datetime.datetime | None = None
        self._pace = pace
        self._alarms = alarms
        self.lock = threading.Lock()

    def enter(self, status: str) -> None:
        self.modified = now()
        self.status = status

    def create(self, fleets: Sequence[Fleet]) -> None:
        self.fleets = list(fleets)
        self._pace.wait()
        try:
            for fleet in fleets:
                fleet.start()
                fleet.status = ""
        except Failure as failure:
            self.failure_reason = str(failure)[:REASON_LENGTH]
            _stop(fleets)
            self.enter("Failed")
        else:
            self.enter("InService")

    def update(self, config: EndpointConfig, fleets: Sequence[Fleet], deployment: Mapping[str, Any]) -> None:
        """Update blue/green: start the new fleet beside the old one, move the traffic, bake, end the old fleet."""
        old = self.fleets
        try:
            self._pace.wait()
            self._bring_up(fleets, deployment)
            self.fleets = list(fleets)
            self._bake(fleets, deployment)
        except Failure as failure:
            self._roll_back(old, fleets, str(failure))
            return
        self.config, self.last_deployment = config, dict(deployment)
        self.failure_reason = ""
        self._settle(fleets)
        _stop(old)
        self.enter("InService")

    def _bring_up(self, fleets: Sequence[Fleet], deployment: Mapping[str, Any]) -> None:
        """Start the new fleet. Raise Failure, also if an alarm is on: the old fleet's errors count, too."""
        for fleet in fleets:
            fleet.start()
            self._check_alarms(fleet, deployment)
            fleet.status = "ActivatingTraffic"
        self._pace.wait()

    def _bake(self, fleets: Sequence[Fleet], deployment: Mapping[str, Any]) -> None:
        """Watch the alarms while the new fleet has the traffic. Raise Failure."""
        if not _baking_seconds(deployment):
            return
        for fleet in fleets:
            fleet.status = "Baking"
        names = alarm_names(deployment)
        if names and self.name in self._pace.firing:
            self._pace.firing.discard(self.name)
            self._alarms.force(names[0], "ALARM", "forced by a test")
        deadline = time.monotonic() + self._pace.baking
        while True:
            self._check_alarms(fleets[0], deployment)
            if time.monotonic() > deadline:
                return
            time.sleep(LOOK_SECONDS)

    def _check_alarms(self, fleet: Fleet, deployment: Mapping[str, Any]) -> None:
        """Read the alarms with the credentials of the model's role."""
        firing = [name for name in alarm_names(deployment) if self._alarms.state(name, fleet.role) == "ALARM"]
        if firing:
            raise Failure(
                f"One or more alarms of the deployment's automatic rollback are in ALARM state: {', '.join(firing)}"
            )

    def _roll_back(self, old: list[Fleet], fleets: Sequence[Fleet], reason: str) -> None:
        self.enter("RollingBack")
        self._pace.wait()
        self.fleets = old
        self._settle([])
        _stop(fleets)
        self.failure_reason = f"Update was rolled back: {reason}"[:REASON_LENGTH]
        self.enter("InService")

    def _settle(self, fleets: Sequence[Fleet]) -> None:
        self.pending, self.pending_since = [], None
        for fleet in fleets:
            fleet.status = ""

    def delete(self, forget: Callable[[], None]) -> None:
        self._pace.wait()
        _stop(self.fleets)
        forget()

    def chosen(self, target: str = "") -> Fleet | None:
        """Return the variant that answers: the requested one, or one chosen by weight."""
        fleets = [fleet for fleet in self.fleets if target in ("", fleet.name) and not fleet.is_stopping]
        weights = [fleet.weight if not target else 1.0 for fleet in fleets]
        return random.choices(fleets, weights)[0] if any(weights) else None


def alarm_names(deployment: Mapping[str, Any]) -> list[str]:
    return [alarm["AlarmName"] for alarm in deployment.get("AutoRollbackConfiguration", {}).get("Alarms", [])]


def _baking_seconds(deployment: Mapping[str, Any]) -> int:
    """Return how long the new fleet has all the traffic before the old one is ended.

    WaitIntervalInSeconds is the time between the steps of a canary or linear shift; ALL_AT_ONCE has no steps.
    """
    policy = deployment.get("BlueGreenUpdatePolicy") or {}
    routing = policy.get("TrafficRoutingConfiguration", {})
    steps = 0 if routing.get("Type", "ALL_AT_ONCE") == "ALL_AT_ONCE" else routing.get("WaitIntervalInSeconds", 0)
    rolling = deployment.get("RollingUpdatePolicy", {}).get("WaitIntervalInSeconds", 0)
    return int(policy.get("TerminationWaitInSeconds", 0) + steps + rolling)


def _stop(fleets: Sequence[Fleet]) -> None:
    for fleet in fleets:
        fleet.stop()
