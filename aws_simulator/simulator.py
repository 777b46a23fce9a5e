"""The simulated AWS with which plug-ins are registered."""

from __future__ import annotations

import importlib
import json
import logging
import os
import pkgutil
import secrets
import threading
import time
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config
from ministack import app
from ministack.core import iam_actions, router
from ministack.services import sts

from aws_simulator import services
from aws_simulator.endpoint_server import ServerFactory
from aws_simulator.permissions.ledger import Ledger
from aws_simulator.permissions.roles import ROOT_KEY, Caller
from aws_simulator.permissions.throttling import CALLER, Throttle
from aws_simulator.processes import Processes
from aws_simulator.resources import (
    SLOW,
    ResourceType,
    StackRoles,
    add_resource_type,
    in_context,
    slow_down,
)
from aws_simulator.service import Service

logger = logging.getLogger("simulator")
Control = Callable[[dict[str, Any]], Any]
ACCOUNT = "123456789012"
REGION = "us-east-1"


class Simulator:
    """The argument of a plug-in's ``register(simulator)``."""

    def __init__(
        self,
        folder: Path,
        url: str,
        endpoint_server: ServerFactory,
        locks: Path | None = None,
        removes_folder: bool = False,
    ) -> None:
        self.folder = folder
        """Everything on disk lies below it."""
        self.url = url
        self.locks = locks
        self.images: dict[str, list[str]] = {}
        """The requirements that images meet, by repository: nothing else is importable in these."""
        self.endpoint_server = endpoint_server
        """Makes the model server behind an endpoint."""
        self.processes = Processes(folder, removes_folder)
        self.ledger = Ledger()
        self.services: dict[str, Service] = {}
        self.controls: dict[str, Control] = {}
        self.drift: list[str] = []
        """Answers and events that AWS would never give: each one is a bug of the simulator, and fails the tests."""
        self.failed_invocations: list[dict[str, str]] = []
        """EventBridge targets that could not be reached, which on AWS only a metric would tell."""
        self.ahead = 0.0
        """Seconds by which the clock in every answer is before this machine's."""
        self.throttle = Throttle()
        self._on_reset: list[Callable[[], None]] = []
        self._resets = 0
        self._stack_roles = StackRoles()
        self._session, self._session_lock = boto3.session.Session(), threading.Lock()
        self.client = lru_cache(maxsize=256)(self._client)

    def install(self) -> None:
        """Connect to ministack and register every plug-in of this package."""
        self.ledger.install()
        self._stack_roles.install()
        self.add_control("permissions", lambda _: self.ledger.entries())
        self.add_control("people", lambda _: self.ledger.people())
        self.add_control("images", self._set_images)
        self.add_control("resources", lambda _: self._resources())
        self.add_control("user-policy", lambda arguments: self._limit_user(**arguments))
        self.add_control("administrator", lambda arguments: self._administrator(**arguments))
        self.add_control("denials", lambda _: self.ledger.entries(allowed=False))
        self.add_control("unused-permissions", lambda _: self.ledger.unused())
        self.add_control("drift", lambda _: self.drift)
        self.add_control("failed-invocations", lambda _: self.failed_invocations)
        self.add_control("expired-credentials", lambda _: self._expired_credentials())
        self.add_control("clock", self._set_clock)
        self.add_control("throttle", self.throttle.set)
        self.add_control("slow-resource-type", lambda arguments: slow_down(**arguments))
        self.add_control("start-process", self._start_process)
        self.add_control("reset", lambda _: self.reset())
        self._register_plugins()

    def _register_plugins(self) -> None:
        """Register the repairs of ministack and every plug-in in services/. Both use this class."""
        from aws_simulator import answers, repairs

        repairs.register(self)
        for module in pkgutil.iter_modules(services.__path__, f"{services.__name__}."):
            plugin = importlib.import_module(module.name)
            if hasattr(plugin, "register"):
                plugin.register(self)
        answers.install(self)

    def add_service(self, service: Service) -> None:
        """Let the service answer botocore's requests, instead of ministack's own service if there is one."""
        scope = service.endpoint or service.name
        target = service.model.metadata.get("targetPrefix")
        app.SERVICE_HANDLERS[scope] = service.handle
        router.SERVICE_PATTERNS[scope] = (
            {"target_prefixes": [f"{target}."]} if target else {"host_patterns": [rf"^{scope}\."]}
        )
        iam_actions.SERVICE_TO_IAM_NAMESPACE.pop(scope, None)  # this package enforces permissions itself
        self.services[service.name] = service

    def add_resource_type(self, kind: ResourceType) -> None:
        add_resource_type(kind)

    def add_control(self, name: str, act: Control) -> None:
        """Add a control: POST /_simulator/NAME with a JSON object returns ``act(object)`` as JSON."""
        self.controls[name] = act

    def on_reset(self, act: Callable[[], None]) -> None:
        """Let ``act`` clear the plug-in's state at a reset. Its running work is ended before."""
        self._on_reset.append(act)

    def reset(self) -> None:
        """Empty the account."""
        self._resets += 1
        self.processes.end_all()
        for act in self._on_reset:
            act()
        app._reset_all_state()
        self._stack_roles.clear()
        SLOW.clear()
        self.ledger.clear()
        self.drift.clear()
        self.ahead = 0.0
        self.throttle.clear()
        self.images = {}
        self.failed_invocations.clear()
        self.client.cache_clear()

    def _administrator(self, name: str) -> dict[str, str]:
        """Create a user with all permissions whose requests are recorded. Return credentials for boto3."""
        iam = self.client("iam", Caller(ROOT_KEY, ACCOUNT, REGION))
        statement = {"Effect": "Allow", "Action": "*", "Resource": "*"}
        document = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
        iam.create_user(UserName=name)
        iam.put_user_policy(UserName=name, PolicyName="administrator", PolicyDocument=document)
        key = iam.create_access_key(UserName=name)["AccessKey"]
        return {"aws_access_key_id": key["AccessKeyId"], "aws_secret_access_key": key["SecretAccessKey"]}

    def _limit_user(self, name: str, policy: dict[str, Any]) -> None:
        """Allow a user exactly what the policy allows."""
        iam = self.client("iam", Caller(ROOT_KEY, ACCOUNT, REGION))
        iam.put_user_policy(UserName=name, PolicyName="administrator", PolicyDocument=json.dumps(policy))

    def _resources(self) -> list[dict[str, str]]:
        """Return the resources of all stacks, and the jobs: stack, name, type."""
        owner = Caller(ROOT_KEY, ACCOUNT, REGION)
        stacks, sagemaker = self.client("cloudformation", owner), self.client("sagemaker", owner)
        listed = [
            {"stack": stack["StackName"], "name": each["LogicalResourceId"], "type": each["ResourceType"]}
            for stack in stacks.describe_stacks()["Stacks"]
            for each in stacks.list_stack_resources(StackName=stack["StackName"])["StackResourceSummaries"]
        ]
        processing = sagemaker.list_processing_jobs(MaxResults=100)["ProcessingJobSummaries"]
        training = sagemaker.list_training_jobs(MaxResults=100)["TrainingJobSummaries"]
        listed += [{"stack": "", "name": job["ProcessingJobName"], "type": "processing job"} for job in processing]
        return listed + [{"stack": "", "name": job["TrainingJobName"], "type": "training job"} for job in training]

    def _set_images(self, arguments: dict[str, list[str]]) -> None:
        self.images = dict(arguments)

    def _set_clock(self, arguments: dict[str, Any]) -> None:
        self.ahead = float(arguments["ahead"])

    @staticmethod
    def _expired_credentials() -> dict[str, str]:
        """Return credentials of a role with an expired session, in the form of boto3's client."""
        key, secret, token = (secrets.token_hex(8).upper() for _ in range(3))
        record = {
            "Arn": "arn:aws:sts::123456789012:assumed-role/gone/s",
            "SecretAccessKey": secret,
            "SessionToken": token,
        }
        sts._sessions[f"ASIA{key}"] = {**record, "PrincipalType": "AssumedRole", "Expiration": time.time() - 1}
        return {"aws_access_key_id": f"ASIA{key}", "aws_secret_access_key": secret, "aws_session_token": token}

    def _start_process(self, arguments: dict[str, Any]) -> str:
        """Start a process for the test that nothing outlives the simulator. Return the token of all processes."""
        self.processes.start(arguments["argv"], self.folder, {"PATH": os.environ["PATH"]}, logger.info)
        return self.processes.token

    def drifted(self, difference: str) -> None:
        logger.error("not as on AWS: %s", difference)
        self.drift.append(difference)

    def background(self, act: Callable[..., Any], *arguments: Any) -> threading.Thread:
        """Run a function in a thread, in the account and region of the present request."""
        work = in_context(self._logged)
        thread = threading.Thread(target=work, args=(self._resets, act, *arguments), daemon=True)
        thread.start()
        return thread

    def _logged(self, resets: int, act: Callable[..., Any], *arguments: Any) -> None:
        try:
            act(*arguments)
        except Exception as error:
            if resets == self._resets:  # otherwise its account would be removed while it works
                logger.exception("background work failed")
                self.drifted(f"{act}: {error!r}")

    def _client(self, name: str, caller: Caller) -> Any:
        """Return a boto3 client with the caller's credentials for any simulated service; never for the event loop."""
        credentials = caller.credentials
        with self._session_lock:
            return self._session.client(
                name,
                endpoint_url=self.url,
                region_name=caller.region,
                aws_access_key_id=credentials["AWS_ACCESS_KEY_ID"],
                aws_secret_access_key=credentials["AWS_SECRET_ACCESS_KEY"],
                aws_session_token=credentials["AWS_SESSION_TOKEN"] or None,
                config=Config(
                    retries={"total_max_attempts": 1}, connect_timeout=5, read_timeout=300, user_agent_extra=CALLER
                ),
            )
