"""AWS::CodeCommit::Repository, with its first commit from a zip in S3."""

from __future__ import annotations

import io
import stat
import zipfile
from collections.abc import Iterator, Mapping
from typing import Any

from aws_simulator.errors import ServiceError
from aws_simulator.resources import Resource, ResourceType
from aws_simulator.services.codecommit.commits import LARGEST_COMMIT, LARGEST_FILE
from aws_simulator.services.codecommit.service import CodeCommit
from aws_simulator.services.codecommit.service import Repository as Stored

LARGEST_ARCHIVE = 20 * 1024 * 1024
PROPERTIES = {"RepositoryName", "RepositoryDescription", "Code", "KmsKeyId", "Tags", "Triggers"}


class Repository(ResourceType):
    name = "AWS::CodeCommit::Repository"
    replacing = ()

    def create(self, resource: Resource) -> tuple[str, dict[str, Any]]:
        properties = _checked(resource.properties)
        client = self.simulator.client("codecommit", resource.caller)
        request = {
            "repositoryName": properties["RepositoryName"],
            "repositoryDescription": properties.get("RepositoryDescription", ""),
            "tags": {tag["Key"]: tag["Value"] for tag in properties.get("Tags", [])},
        }
        client.create_repository(**request)
        stored = self._service().repositories[properties["RepositoryName"]]
        if code := properties.get("Code"):
            try:
                self._first_commit(stored, code, resource)
            except Exception:
                self._service().repositories.pop(stored.name)
                raise
        return stored.id, _attributes(stored)

    def update(self, resource: Resource) -> tuple[str, dict[str, Any]]:
        properties, service = _checked(resource.properties), self._service()
        stored = next(
            repository for repository in service.repositories.values() if repository.id == resource.physical_id
        )
        del service.repositories[stored.name]
        stored.name, stored.description = properties["RepositoryName"], properties.get("RepositoryDescription", "")
        stored.tags = {tag["Key"]: tag["Value"] for tag in properties.get("Tags", [])}
        service.repositories[stored.name] = stored
        return stored.id, _attributes(stored)

    def delete(self, resource: Resource) -> None:
        client = self.simulator.client("codecommit", resource.caller)
        client.delete_repository(repositoryName=resource.properties["RepositoryName"])

    def _service(self) -> CodeCommit:
        service = self.simulator.services["codecommit"]
        assert isinstance(service, CodeCommit)
        return service

    def _first_commit(self, repository: Stored, code: Mapping[str, Any], resource: Resource) -> None:
        location = {"Bucket": code["S3"]["Bucket"], "Key": code["S3"]["Key"]}
        version = {"VersionId": code["S3"]["ObjectVersion"]} if code["S3"].get("ObjectVersion") else {}
        body = self.simulator.client("s3", resource.caller).get_object(**location, **version)["Body"].read()
        branch, arn = code.get("BranchName", "main"), resource.caller.arn
        resource.caller.require("codecommit:CreateCommit", repository.arn)
        if len(body) > LARGEST_ARCHIVE:
            raise ServiceError("InvalidRequest", "Code archive supplied cannot be more than 20 MB compressed.")
        commit = repository.git.commit(branch, None, list(_files(body)), [], (arn, ""), "Initial commit")
        self._service().moved(repository, branch, None, commit, resource.caller)


def _checked(properties: Mapping[str, Any]) -> Mapping[str, Any]:
    if unknown := set(properties) - PROPERTIES:
        raise ValueError(f"Model validation failed (#: extraneous key [{sorted(unknown)[0]}] is not permitted)")
    return properties


def _attributes(repository: Stored) -> dict[str, Any]:
    facts = repository.metadata()
    urls = {"CloneUrlHttp": facts["cloneUrlHttp"], "CloneUrlSsh": facts["cloneUrlSsh"]}
    return {"Arn": repository.arn, "Name": repository.name, **urls}


def _files(archive: bytes) -> Iterator[tuple[str, str, bytes]]:
    """Return (path, mode, content) of a zip's files. Refuse more than the limits of a commit."""
    total = 0
    with zipfile.ZipFile(io.BytesIO(archive)) as opened:
        for entry in opened.infolist():
            total += entry.file_size
            if entry.file_size > LARGEST_FILE or total > LARGEST_COMMIT:
                raise ServiceError("InvalidRequest", "The zip is larger than CodeCommit's first commit may be.")
            if not entry.is_dir():
                executable = bool(entry.external_attr >> 16 & stat.S_IXUSR)
                yield entry.filename, "EXECUTABLE" if executable else "NORMAL", opened.read(entry)
