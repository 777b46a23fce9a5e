"""Which properties of a resource type cause a replacement. ministack knows some types, CloudFormation's schemas all.

cfn-lint contains the schemas. Only the types of this package and of the templates here are read, because there are
hundreds.
"""

from __future__ import annotations

import json
from importlib.resources import files
from typing import Any

from ministack.services.cloudformation import provisioners

TYPES = (
    "AWS::ApplicationAutoScaling::ScalableTarget",
    "AWS::ApplicationAutoScaling::ScalingPolicy",
    "AWS::CloudWatch::Alarm",
    "AWS::CodeBuild::Project",
    "AWS::CodeCommit::Repository",
    "AWS::CodePipeline::Pipeline",
    "AWS::Events::Rule",
    "AWS::IAM::Role",
    "AWS::Logs::LogGroup",
    "AWS::S3::Bucket",
    "AWS::S3::BucketPolicy",
    "AWS::SageMaker::Endpoint",
    "AWS::SageMaker::EndpointConfig",
    "AWS::SageMaker::Model",
    "AWS::SageMaker::ModelPackageGroup",
    "AWS::SNS::Subscription",
    "AWS::SNS::Topic",
    "AWS::StepFunctions::StateMachine",
)


def schema(kind: str, region: str = "us-east-1") -> dict[str, Any]:
    """Return CloudFormation's schema of a resource type."""
    folder = files("cfnlint") / "data" / "schemas"
    name = json.loads((folder / "providers" / f"{region}.json").read_text())[kind]
    return dict(json.loads((folder / "resources" / f"{name}.json").read_text()))


def install() -> None:
    for kind in TYPES:
        if kind not in provisioners._REPLACING_PROPERTIES:
            definition = schema(kind)
            provisioners._REPLACING_PROPERTIES[kind] = _names(definition, "createOnlyProperties")
            provisioners._CONDITIONALLY_REPLACING_PROPERTIES[kind] = _names(
                definition, "conditionalCreateOnlyProperties"
            )


def _names(definition: dict[str, Any], section: str) -> tuple[str, ...]:
    return tuple(path.split("/")[2] for path in definition.get(section) or ())
