"""The CodeCommit API."""

from __future__ import annotations

import shutil
import time
import uuid
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from aws_simulator.errors import ServiceError
from aws_simulator.permissions.roles import Caller
from aws_simulator.service import Request, Service, operation, page
from aws_simulator.services.codecommit import commits, trees
from aws_simulator.services.codecommit.git import Git
from aws_simulator.services.events import emit

if TYPE_CHECKING:
    from aws_simulator.simulator import Simulator

ARN = "arn:aws:codecommit:{region}:{account}:{repositoryName}"
BAD_TOKEN = "InvalidContinuationTokenException"


@dataclass
class Repository:
    name: str
    arn: str
    account: str
    region: str
    git: Git
    description: str = ""
    default_branch: str = ""
    tags: dict[str, str] = field(default_factory=dict)
    id: str = field(default_factory=lambda: str(uuid.uuid4()))
    created: datetime = field(default_factory=lambda: datetime.now(timezone.utc))
    modified: datetime = field(default_factory=lambda: datetime.now(timezone.utc))

    def metadata(self) -> dict[str, Any]:
        host = f"git-codecommit.{self.region}.amazonaws.com"
        return {
            "accountId": self.account,
            "repositoryId": self.id,
            "repositoryName": self.name,
            **({"repositoryDescription": self.description} if self.description else {}),
            **({"defaultBranch": self.default_branch} if self.default_branch else {}),
            "lastModifiedDate": self.modified,
            "creationDate": self.created,
            "cloneUrlHttp": f"https://{host}/v1/repos/{self.name}",
            "cloneUrlSsh": f"ssh://{host}/v1/repos/{self.name}",
            "Arn": self.arn,
        }


class CodeCommit(Service):
    name = "codecommit"

    def __init__(self, simulator: Simulator) -> None:
        super().__init__(simulator)
        self.is_closed = False
        self.repositories: dict[str, Repository] = {}

    def close(self) -> None:
        """Close CodeCommit to this account, as AWS did for new accounts from July 2024 to November 2025."""
        self.is_closed = True

    def clear(self) -> None:
        self.is_closed = False
        for repository in self.repositories.values():
            shutil.rmtree(repository.git.folder, ignore_errors=True)
        self.repositories.clear()

    def repository(self, request: Request) -> Repository:
        """Return the repository that a request names."""
        name = request.get("repositoryName")
        if not name:
            raise ServiceError("RepositoryNameRequiredException", "A repository name is required.")
        if name not in self.repositories:
            raise ServiceError("RepositoryDoesNotExistException", f"{name} does not exist")
        return self.repositories[name]

    @operation(ARN)
    def create_repository(self, request: Request, caller: Caller) -> dict[str, Any]:
        name = request["repositoryName"]
        if self.is_closed and not self.repositories:
            why = "there is no existing repository in this AWS account or AWS Organization"
            raise ServiceError("OperationNotAllowedException", f"CreateRepository request is not allowed because {why}")
        if name in self.repositories:
            raise ServiceError("RepositoryNameExistsException", f"Repository named {name} already exists")
        arn = f"arn:aws:codecommit:{caller.region}:{caller.account}:{name}"
        git = Git(self.simulator.folder / "codecommit" / f"{name}-{time.time_ns()}.git")
        repository = Repository(name, arn, caller.account, caller.region, git, request.get("repositoryDescription", ""))
        repository.tags.update(request.get("tags", {}))
        self.repositories[name] = repository
        return {"repositoryMetadata": repository.metadata()}

    @operation(ARN)
    def get_repository(self, request: Request, caller: Caller) -> dict[str, Any]:
        return {"repositoryMetadata": self.repository(request).metadata()}

    def list_repositories(self, request: Request, caller: Caller) -> dict[str, Any]:
        rows = [
            {"repositoryName": repository.name, "repositoryId": repository.id}
            for repository in self.repositories.values()
        ]
        return page(rows, request, "repositories", "", "nextToken", size=1000, bad=BAD_TOKEN)

    @operation(ARN)
    def delete_repository(self, request: Request, caller: Caller) -> dict[str, Any]:
        removed = self.repositories.pop(request["repositoryName"], None)
        if removed is None:
            return {}
        shutil.rmtree(removed.git.folder)
        return {"repositoryId": removed.id}

    @operation(ARN)
    def create_branch(self, request: Request, caller: Caller) -> None:
        repository, branch = self.repository(request), request["branchName"]
        if repository.git.branch(branch):
            raise ServiceError("BranchNameExistsException", f"Branch named {branch} already exists")
        commit = commits.existing(repository.git, request["commitId"])
        repository.git.set_branch(branch, commit)
        self.moved(repository, branch, None, commit, caller)

    @operation(ARN)
    def delete_branch(self, request: Request, caller: Caller) -> dict[str, Any]:
        repository, branch = self.repository(request), request["branchName"]
        if branch == repository.default_branch:
            raise ServiceError("DefaultBranchCannotBeDeletedException", f"Default branch {branch} cannot be deleted")
        commit = repository.git.branch(branch)
        if commit is None:
            return {}
        repository.git.delete_branch(branch)
        self.moved(repository, branch, commit, None, caller)
        return {"deletedBranch": {"branchName": branch, "commitId": commit}}

    @operation(ARN)
    def get_branch(self, request: Request, caller: Caller) -> dict[str, Any]:
        repository, branch = self.repository(request), request.get("branchName")
        if not branch:
            raise ServiceError("BranchNameRequiredException", "A branch name is required.")
        commit = repository.git.branch(branch)
        if commit is None:
            raise ServiceError("BranchDoesNotExistException", f"Branch {branch} does not exist")
        return {"branch": {"branchName": branch, "commitId": commit}}

    @operation(ARN)
    def list_branches(self, request: Request, caller: Caller) -> dict[str, Any]:
        return page(
            self.repository(request).git.branches(), request, "branches", "", "nextToken", size=1000, bad=BAD_TOKEN
        )

    @operation(ARN)
    def get_commit(self, request: Request, caller: Caller) -> dict[str, Any]:
        git, commit = self.repository(request).git, request["commitId"]
        if git.resolve(commit) != commit:
            raise ServiceError("CommitIdDoesNotExistException", f"Commit {commit} does not exist")
        return {"commit": commits.described(git, commit)}

    @operation(ARN)
    def create_commit(self, request: Request, caller: Caller) -> dict[str, Any]:
        repository, branch = self.repository(request), request["branchName"]
        before = commits.expected_parent(repository.git, request)
        result = commits.create(repository.git, request, caller.arn)
        self.moved(repository, branch, before, result["commitId"], caller)
        return result

    @operation(ARN)
    def get_folder(self, request: Request, caller: Caller) -> dict[str, Any]:
        return trees.folder(self.repository(request).git, request)

    @operation(ARN)
    def get_file(self, request: Request, caller: Caller) -> dict[str, Any]:
        return trees.file(self.repository(request).git, request)

    @operation(ARN)
    def get_differences(self, request: Request, caller: Caller) -> dict[str, Any]:
        rows = trees.differences(self.repository(request).git, request)
        return page(rows, request, "differences", "MaxResults", "NextToken", size=400, bad=BAD_TOKEN)

    def moved(self, repository: Repository, branch: str, old: str | None, new: str | None, caller: Caller) -> None:
        """Handle a branch with a new commit: a first branch becomes the default one, and EventBridge gets an event."""
        repository.modified = datetime.now(timezone.utc)
        repository.default_branch = repository.default_branch or branch
        event = "referenceDeleted" if new is None else "referenceUpdated" if old else "referenceCreated"
        detail = {
            "callerUserArn": caller.arn,
            **({"commitId": new} if new else {}),
            "event": event,
            **({"oldCommitId": old} if old else {}),
            "referenceFullName": f"refs/heads/{branch}",
            "referenceName": branch,
            "referenceType": "branch",
            "repositoryId": repository.id,
            "repositoryName": repository.name,
        }
        emit("aws.codecommit", "CodeCommit Repository State Change", [repository.arn], detail)

    @operation("{resourceArn}")
    def list_tags_for_resource(self, request: Request, caller: Caller) -> dict[str, Any]:
        return {"tags": self._tagged(request).tags}

    @operation("{resourceArn}")
    def tag_resource(self, request: Request, caller: Caller) -> None:
        self._tagged(request).tags.update(request["tags"])

    @operation("{resourceArn}")
    def untag_resource(self, request: Request, caller: Caller) -> None:
        for key in request["tagKeys"]:
            self._tagged(request).tags.pop(key, None)

    def _tagged(self, request: Request) -> Repository:
        return self.repository({"repositoryName": request["resourceArn"].rpartition(":")[2]})
