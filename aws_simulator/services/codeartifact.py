"""CodeArtifact: domains with repositories, and tokens for them. The packages themselves are in an index elsewhere.

Control ``codeartifact`` (domain, repositories, token) makes a domain in the account; its tokens begin with ``token``.
The index asks the control ``codeartifact-read`` (token, domain, repository) which status a request with a token gets:
401 for a token of nobody, 403 if the token's caller may not read the repository.
Sources: CodeArtifact User Guide, "AWS CodeArtifact authentication and tokens"; IAM User Guide, "Service bearer tokens".
"""

from __future__ import annotations

import datetime
import secrets
from typing import Any

from aws_simulator.errors import ServiceError
from aws_simulator.permissions.roles import Caller
from aws_simulator.service import Request, Service, operation
from aws_simulator.simulator import ACCOUNT, REGION, Simulator

DOMAIN = "arn:aws:codeartifact:{region}:{domainOwner}:domain/{domain}"
REPOSITORY = "arn:aws:codeartifact:{region}:{domainOwner}:repository/{domain}/{repository}"
BEARER = {"sts:AWSServiceName": "codeartifact.amazonaws.com"}
READ = "codeartifact:ReadFromRepository"
HOURS = 12


class CodeArtifact(Service):
    name = "codeartifact"

    def __init__(self, simulator: Simulator) -> None:
        super().__init__(simulator)
        self.domains: dict[tuple[str, str], dict[str, Any]] = {}
        self.callers: dict[str, Caller] = {}

    def make(self, arguments: dict[str, Any]) -> dict[str, str]:
        self.domains[ACCOUNT, arguments["domain"]] = {
            "repositories": list(arguments["repositories"]),
            "token": arguments["token"],
        }
        return {"domain": f"arn:aws:codeartifact:{REGION}:{ACCOUNT}:domain/{arguments['domain']}"}

    def status_of_read(self, arguments: dict[str, Any]) -> int:
        caller = self.callers.get(arguments["token"])
        if caller is None:
            return 401
        names = {"region": REGION, "domainOwner": ACCOUNT, "domain": arguments["domain"]}
        try:
            caller.require(READ, REPOSITORY.format(**names, repository=arguments["repository"]))
        except ServiceError:
            return 403
        return 200

    def forget(self) -> None:
        self.domains.clear()
        self.callers.clear()

    @operation(DOMAIN)
    def get_authorization_token(self, request: Request, caller: Caller) -> dict[str, Any]:
        if caller.arn.endswith(":root"):
            raise ServiceError("AccessDeniedException", "Root users cannot call GetAuthorizationToken.", 403)
        caller.require("sts:GetServiceBearerToken", "*", BEARER)
        seconds = request.get("durationSeconds", HOURS * 3600)
        if seconds and not 900 <= seconds <= HOURS * 3600:
            raise ServiceError("ValidationException", f"Invalid duration {seconds}: between 900 and {HOURS * 3600}.")
        ending = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=seconds)
        token = f"{self._domain(request)['token']}.{secrets.token_hex(8)}"
        self.callers[token] = caller
        return {"authorizationToken": token, "expiration": ending}

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
    simulator.add_control("codeartifact-read", service.status_of_read)
    simulator.on_reset(service.forget)
