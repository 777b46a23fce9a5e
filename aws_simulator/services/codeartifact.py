"""CodeArtifact: domains with repositories, and tokens for them. The packages themselves are in an index elsewhere.

Control ``codeartifact`` (domain, repositories, token) makes a domain in the account, which always gives this token.
Sources: CodeArtifact User Guide, "AWS CodeArtifact authentication and tokens"; IAM User Guide, "Service bearer tokens".
"""

from __future__ import annotations

import datetime
from typing import Any

from aws_simulator.errors import ServiceError
from aws_simulator.permissions.roles import Caller
from aws_simulator.service import Request, Service, operation
from aws_simulator.simulator import ACCOUNT, REGION, Simulator

DOMAIN = "arn:aws:codeartifact:{region}:{domainOwner}:domain/{domain}"
REPOSITORY = "arn:aws:codeartifact:{region}:{domainOwner}:repository/{domain}/{repository}"
BEARER = {"sts:AWSServiceName": "codeartifact.amazonaws.com"}
HOURS = 12


class CodeArtifact(Service):
    name = "codeartifact"

    def __init__(self, simulator: Simulator) -> None:
        super().__init__(simulator)
        self.domains: dict[tuple[str, str], dict[str, Any]] = {}

    def make(self, arguments: dict[str, Any]) -> dict[str, str]:
        self.domains[ACCOUNT, arguments["domain"]] = {
            "repositories": list(arguments["repositories"]),
            "token": arguments["token"],
        }
        return {"domain": f"arn:aws:codeartifact:{REGION}:{ACCOUNT}:domain/{arguments['domain']}"}

    @operation(DOMAIN)
    def get_authorization_token(self, request: Request, caller: Caller) -> dict[str, Any]:
        if caller.arn.endswith(":root"):
            raise ServiceError("AccessDeniedException", "Root users cannot call GetAuthorizationToken.", 403)
        caller.require("sts:GetServiceBearerToken", "*", BEARER)
        seconds = request.get("durationSeconds", HOURS * 3600)
        if seconds and not 900 <= seconds <= HOURS * 3600:
            raise ServiceError("ValidationException", f"Invalid duration {seconds}: between 900 and {HOURS * 3600}.")
        ending = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=seconds)
        return {"authorizationToken": self._domain(request)["token"], "expiration": ending}

    @operation(DOMAIN)
    def describe_domain(self, request: Request, caller: Caller) -> dict[str, Any]:
        self._domain(request)
        return {"domain": {"name": request["domain"], "owner": request["domainOwner"], "status": "Active"}}

    @operation(REPOSITORY)
    def describe_repository(self, request: Request, caller: Caller) -> dict[str, Any]:
        if request["repository"] not in self._domain(request)["repositories"]:
            raise ServiceError("ResourceNotFoundException", f"Repository not found: {request['repository']}", 404)
        names = {"domainName": request["domain"], "domainOwner": request["domainOwner"]}
        return {"repository": {"name": request["repository"], **names}}

    def _domain(self, request: Request) -> dict[str, Any]:
        domain = self.domains.get((request["domainOwner"], request["domain"]))
        if domain is None:
            raise ServiceError("ResourceNotFoundException", f"Domain not found: {request['domain']}", 404)
        return domain


def register(simulator: Simulator) -> None:
    service = CodeArtifact(simulator)
    simulator.add_service(service)
    simulator.add_control("codeartifact", service.make)
    simulator.on_reset(service.domains.clear)
