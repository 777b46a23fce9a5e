"""The CodeBuild API."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from aws_simulator.errors import ServiceError
from aws_simulator.permissions.networks import require_network
from aws_simulator.permissions.roles import Caller, assume
from aws_simulator.service import Request, Service, operation, page
from aws_simulator.services.codebuild.build import STOPPED, Build, PipelineContext
from aws_simulator.services.codebuild.runner import Runner
from aws_simulator.services.codebuild.variables import KINDS, kind

if TYPE_CHECKING:
    from aws_simulator.simulator import Simulator

ARN = "arn:aws:codebuild:{region}:{account}:project/"
PASSES = {"serviceRole": "codebuild.amazonaws.com"}
OVERRIDES = {"buildspecOverride": "buildspec"}
KNOWN_OVERRIDES = {"projectName", "environmentVariablesOverride", "sourceVersion", "idempotencyToken", *OVERRIDES}


def _named(service: Any, request: Request, caller: Caller) -> list[str]:
    """Return the ARNs of the projects that a request names, or of its builds' projects."""
    names = request.get("names") or [build_id.partition(":")[0].rpartition("/")[2] for build_id in _ids(request)]
    return [f"arn:aws:codebuild:{caller.region}:{caller.account}:project/{name}" for name in names]


def _ids(request: Request) -> list[str]:
    return [
        build_id.partition(":build/")[2] if build_id.startswith("arn:") else build_id
        for build_id in _requested_ids(request)
    ]


def _requested_ids(request: Request) -> list[str]:
    return list(request.get("ids") or [request["id"]])


class CodeBuild(Service):
    name = "codebuild"
    validation_error = "InvalidInputException"

    def __init__(self, simulator: Simulator) -> None:
        super().__init__(simulator)
        self.minute = 60.0
        """Seconds in a minute of timeoutInMinutes."""
        self.clear()

    def clear(self) -> None:
        for build in getattr(self, "builds", {}).values():
            build.end(STOPPED)
        self.projects: dict[str, dict[str, Any]] = {}
        self.builds: dict[str, Build] = {}
        self.contexts: dict[str, PipelineContext] = {}
        """What a pipeline tells the builds that it is about to start, by StartBuild's idempotency token."""

    def project(self, name: str) -> dict[str, Any]:
        if name not in self.projects:
            raise ServiceError("ResourceNotFoundException", f"Project cannot be found: {name}")
        return self.projects[name]

    @operation(ARN + "{name}", passes=PASSES)
    def create_project(self, request: Request, caller: Caller) -> dict[str, Any]:
        if request["name"] in self.projects:
            raise ServiceError("ResourceAlreadyExistsException", f"Project already exists: {request['name']}")
        moment = datetime.now(timezone.utc)
        project = {
            "arn": f"arn:aws:codebuild:{caller.region}:{caller.account}:project/{request['name']}",
            "timeoutInMinutes": 60,
            "queuedTimeoutInMinutes": 480,
            "cache": {"type": "NO_CACHE"},
            "created": moment,
            **request,
            "lastModified": moment,
        }
        _check(project)
        self._check_network(project)
        self.projects[request["name"]] = project
        return {"project": project}

    @operation(ARN + "{name}", passes=PASSES)
    def update_project(self, request: Request, caller: Caller) -> dict[str, Any]:
        project = {**self.project(request["name"]), **request, "lastModified": datetime.now(timezone.utc)}
        _check(project)
        self._check_network(project)
        self.projects[request["name"]] = project
        return {"project": project}

    def _check_network(self, project: dict[str, Any]) -> None:
        """Raise ServiceError unless the role may use the project's VPC. CodeBuild checks this at once."""
        if vpc := project.get("vpcConfig"):
            role = assume(project["serviceRole"], PASSES["serviceRole"], "AWSCodeBuild", project["arn"])
            try:
                require_network(self.simulator, role, vpc["subnets"], vpc["securityGroupIds"])
            except ServiceError as error:
                raise ServiceError("InvalidInputException", error.message) from error

    @operation(ARN + "{name}")
    def delete_project(self, request: Request, caller: Caller) -> None:
        self.projects.pop(request["name"], None)

    @operation(_named)
    def batch_get_projects(self, request: Request, caller: Caller) -> dict[str, Any]:
        names = [name.rpartition("/")[2] for name in request["names"]]
        return {
            "projects": [self.projects[name] for name in names if name in self.projects],
            "projectsNotFound": [name for name in names if name not in self.projects],
        }

    def list_projects(self, request: Request, caller: Caller) -> dict[str, Any]:
        return page(sorted(self.projects), request, "projects", "", "nextToken", bad="InvalidInputException")

    @operation(ARN + "{projectName}")
    def start_build(self, request: Request, caller: Caller) -> dict[str, Any]:
        project = self.project(request["projectName"].rpartition("/")[2])
        if unknown := sorted(set(request) - KNOWN_OVERRIDES):
            raise ServiceError("InvalidInputException", f"the simulator does not do {', '.join(unknown)}")
        context = self.contexts.pop(request.get("idempotencyToken", ""), None)
        if project["source"]["type"] == "CODEPIPELINE" and context is None:
            raise ServiceError("InvalidInputException", "Build source of type CODEPIPELINE is only for a pipeline")
        number = 1 + sum(build.project["name"] == project["name"] for build in self.builds.values())
        initiator = f"codepipeline/{context.pipeline}" if context else caller.arn.rpartition(":")[2]
        prefix = f"arn:aws:codebuild:{caller.region}:{caller.account}"
        overridden = _overridden(project, request)
        build = Build(overridden, prefix, number, initiator, request.get("sourceVersion", ""), context)
        self.builds[build.full_id] = build
        self.simulator.background(Runner(self, build).run)
        return {"build": build.described()}

    @operation(_named)
    def batch_get_builds(self, request: Request, caller: Caller) -> dict[str, Any]:
        ids = _ids(request)
        return {
            "builds": [self.builds[build_id].described() for build_id in ids if build_id in self.builds],
            "buildsNotFound": [build_id for build_id in ids if build_id not in self.builds],
        }

    @operation(_named)
    def stop_build(self, request: Request, caller: Caller) -> dict[str, Any]:
        build = self.builds.get(_ids(request)[0])
        if build is None:
            raise ServiceError("ResourceNotFoundException", f"Build cannot be found: {request['id']}")
        build.end(STOPPED)
        return {"build": build.described()}

    def list_builds(self, request: Request, caller: Caller) -> dict[str, Any]:
        return page(
            self._newest(request.get("sortOrder")), request, "ids", "", "nextToken", bad="InvalidInputException"
        )

    @operation(ARN + "{projectName}")
    def list_builds_for_project(self, request: Request, caller: Caller) -> dict[str, Any]:
        name = self.project(request["projectName"])["name"]
        ids = [build_id for build_id in self._newest(request.get("sortOrder")) if build_id.startswith(f"{name}:")]
        return page(ids, request, "ids", "", "nextToken", bad="InvalidInputException")

    def _newest(self, order: str | None) -> list[str]:
        ids = list(self.builds)
        return ids if order == "ASCENDING" else ids[::-1]


def _check(project: dict[str, Any]) -> None:
    """Refuse a role that does not trust CodeBuild, and types of artifacts that do not match."""
    try:
        assume(project["serviceRole"], "codebuild.amazonaws.com", "check", project["arn"])
    except ServiceError as error:
        message = f"CodeBuild is not authorized to perform: sts:AssumeRole on service role. {error.message}"
        raise ServiceError("InvalidInputException", message) from error
    kinds = project["source"]["type"], project["artifacts"]["type"]
    if (kinds[0] == "CODEPIPELINE") != (kinds[1] == "CODEPIPELINE"):
        raise ServiceError("InvalidInputException", "Source and artifacts must both be of type CODEPIPELINE, or none")
    if kinds[0] not in ("CODEPIPELINE", "NO_SOURCE") or kinds[1] not in ("CODEPIPELINE", "NO_ARTIFACTS"):
        raise ServiceError(
            "InvalidInputException", f"the simulator does not do source {kinds[0]}, artifacts {kinds[1]}"
        )
    if kinds[0] == "NO_SOURCE" and not project["source"].get("buildspec"):
        raise ServiceError("InvalidInputException", "A buildspec is required when there is no source")
    for variable in project["environment"].get("environmentVariables", []):
        if kind(variable) not in KINDS:
            raise ServiceError("InvalidInputException", f"Invalid type of {variable['name']}: {kind(variable)}")


def _overridden(project: dict[str, Any], request: Request) -> dict[str, Any]:
    """Return the project with one build's overrides."""
    environment, source = dict(project["environment"]), dict(project["source"])
    variables = {variable["name"]: variable for variable in environment.get("environmentVariables", [])}
    variables.update({variable["name"]: variable for variable in request.get("environmentVariablesOverride", [])})
    environment["environmentVariables"] = list(variables.values())
    source.update({OVERRIDES[name]: request[name] for name in OVERRIDES if name in request})
    return {**project, "environment": environment, "source": source}
