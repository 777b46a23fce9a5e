"""AWS::CodeBuild::Project."""

from __future__ import annotations

from typing import Any

from aws_simulator.resources import Resource, ResourceType
from aws_simulator.shapes import from_properties


class Project(ResourceType):
    name = "AWS::CodeBuild::Project"
    replacing = ("Name",)

    def create(self, resource: Resource) -> tuple[str, dict[str, Any]]:
        request = self._request(resource, "CreateProjectInput")
        project = self.simulator.client("codebuild", resource.caller).create_project(**request)["project"]
        return request["name"], {"Arn": project["arn"]}

    def update(self, resource: Resource) -> tuple[str, dict[str, Any]]:
        request = {**self._request(resource, "UpdateProjectInput"), "name": resource.physical_id}
        project = self.simulator.client("codebuild", resource.caller).update_project(**request)["project"]
        return resource.physical_id, {"Arn": project["arn"]}

    def delete(self, resource: Resource) -> None:
        self.simulator.client("codebuild", resource.caller).delete_project(name=resource.physical_id)

    def _request(self, resource: Resource, shape: str) -> dict[str, Any]:
        properties = {"Name": resource.generated_name(), **resource.properties}
        return dict(from_properties(properties, self.simulator.services["codebuild"].shape(shape)))
