"""AWS::CodePipeline::Pipeline."""

from __future__ import annotations

from typing import Any

from aws_simulator.resources import Resource, ResourceType
from aws_simulator.shapes import from_properties

OUTSIDE = {"Tags", "RestartExecutionOnUpdate", "DisableInboundStageTransitions"}


class Pipeline(ResourceType):
    name = "AWS::CodePipeline::Pipeline"
    replacing = ("Name",)

    def create(self, resource: Resource) -> tuple[str, dict[str, Any]]:
        client = self.simulator.client("codepipeline", resource.caller)
        tags = [{"key": tag["Key"], "value": tag["Value"]} for tag in resource.properties.get("Tags", [])]
        declaration = self._declaration(resource, resource.generated_name(100))
        client.create_pipeline(pipeline=declaration, tags=tags)
        for transition in resource.properties.get("DisableInboundStageTransitions", []):
            client.disable_stage_transition(
                pipelineName=declaration["name"],
                stageName=transition["StageName"],
                transitionType="Inbound",
                reason=transition["Reason"],
            )
        return declaration["name"], {"Version": "1"}

    def update(self, resource: Resource) -> tuple[str, dict[str, Any]]:
        client = self.simulator.client("codepipeline", resource.caller)
        changed = client.update_pipeline(pipeline=self._declaration(resource, resource.physical_id))["pipeline"]
        if str(resource.properties.get("RestartExecutionOnUpdate", "false")).lower() == "true":
            client.start_pipeline_execution(name=resource.physical_id)
        return resource.physical_id, {"Version": str(changed["version"])}

    def delete(self, resource: Resource) -> None:
        self.simulator.client("codepipeline", resource.caller).delete_pipeline(name=resource.physical_id)

    def _declaration(self, resource: Resource, name: str) -> dict[str, Any]:
        properties = {key: value for key, value in resource.properties.items() if key not in OUTSIDE}
        shape = self.simulator.services["codepipeline"].shape("PipelineDeclaration")
        return {"name": name, **from_properties(properties, shape)}
