"""A template as CloudFormation reads it: its text, and its values for given parameters."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tests.conftest import ROOT

FOLDER = ROOT / "templates"
NAMES = ("storage", "pipeline", "endpoint")
PSEUDO = {
    "AWS::AccountId": "111122223333",
    "AWS::Partition": "aws",
    "AWS::Region": "eu-west-1",
    "AWS::StackName": "mlops-toxic-comments-dev-pipeline",
    "AWS::URLSuffix": "amazonaws.com",
}
NOTHING = object()

IMAGE = "763104351884.dkr.ecr.eu-west-1.amazonaws.com/tensorflow-{}"
PIPELINE = {
    "UseCase": "toxic-comments",
    "Environment": "dev",
    "BucketName": "a-bucket",
    "KeyPrefix": "toxic-comments-dev/",
    "ArtifactFolder": "mlops-0123456789abc-",
    "PipelineName": "mlops-0123456789abc-toxic-comments-dev",
    "EndpointName": "toxic-comments-dev",
    "EndpointStackName": "mlops-toxic-comments-dev-endpoint",
    "WheelKey": "toxic-comments-dev/cli/mlops_cli-0.1.0-py3-none-any.whl",
    "EndpointTemplateKey": "toxic-comments-dev/cli/0123456789abcdef/endpoint.yaml",
    "TrainingImage": IMAGE.format("training:2.21-cpu-py312"),
    "ServingImage": IMAGE.format("inference:2.20-cpu"),
    "TrainingRepository": "eu-west-1:763104351884:repository/tensorflow-training",
    "ServingRepository": "eu-west-1:763104351884:repository/tensorflow-inference",
    "NotificationEmail": "someone@example.com",
    "PermissionsBoundary": "",
    "KmsKeyArn": "",
    "PackageIndexAccess": "",
    "PackageRepositoryArn": "",
    "SubnetIds": "",
    "SecurityGroupIds": "",
}
COMPANY = {
    "PermissionsBoundary": "arn:aws:iam::111122223333:policy/boundary",
    "RolePath": "/teams/ml/",
    "ResourceTags": "cost-center=42",
    "KmsKeyArn": "arn:aws:kms:eu-west-1:111122223333:key/0f0f0f0f-0000-4000-8000-000000000000",
    "VpcId": "vpc-0123456789abcdef0",
    "SubnetIds": "subnet-0123456789abcdef0,subnet-0123456789abcdef1",
    "SecurityGroupIds": "sg-0123456789abcdef0",
    "PackageIndexUrl": "https://packages.example.com/simple/",
    "PackageIndexAccess": "/company/packages",
    "PackageIndexAccessType": "PARAMETER_STORE",
    "ImageRegistry": "111122223333.dkr.ecr.eu-west-1.amazonaws.com/mirror",
    "TrainingImage": "111122223333.dkr.ecr.eu-west-1.amazonaws.com/mirror/tensorflow-training:2.21-cpu-py312",
    "TrainingRepository": "eu-west-1:111122223333:repository/mirror/tensorflow-training",
    "BuildImage": "111122223333.dkr.ecr.eu-west-1.amazonaws.com/mirror/builds:1",
    "BuildRepository": "eu-west-1:111122223333:repository/mirror/builds",
}
CODEARTIFACT = {
    "PackageIndexUrl": "https://packages-111122223333.d.codeartifact.eu-west-1.amazonaws.com/pypi/team/simple/",
    "PackageIndexAccess": "arn:aws:codeartifact:eu-west-1:111122223333:domain/packages",
    "PackageIndexAccessType": "CODEARTIFACT",
    "PackageRepositoryArn": "arn:aws:codeartifact:eu-west-1:111122223333:repository/packages/team",
}
CONNECTION = {
    "SourceType": "connection",
    "ConnectionArn": "arn:aws:codeconnections:eu-west-1:111122223333:connection/0f0f0f0f-0000-4000-8000-000000000000",
    "FullRepositoryId": "owner/name",
}
ENDPOINT = {
    "EndpointName": "toxic-comments-dev",
    "Revision": "0123abcd",
    "ModelPackageArn": "arn:aws:sagemaker:eu-west-1:111122223333:model-package/toxic-comments-dev/1",
    "ModelDigest": "0" * 64,
    "ModelRoleArn": "arn:aws:iam::111122223333:role/model",
    "DataCaptureUri": "s3://a-bucket/toxic-comments-dev/capture",
    "SubnetIds": "",
    "SecurityGroupIds": "",
}
IN_COMPANY = {name: COMPANY[name] for name in ("KmsKeyArn", "SubnetIds", "SecurityGroupIds", "PackageIndexUrl")}
# Each way in which a template can come out.
VARIANTS: dict[str, tuple[str, Mapping[str, str]]] = {
    "storage": ("storage", {"KeyPrefix": "toxic-comments-dev/"}),
    "storage-company": ("storage", {"KeyPrefix": "toxic-comments-dev/", "KmsKeyArn": COMPANY["KmsKeyArn"]}),
    "storage-existing": ("storage", {"CreateBucket": "false", "BucketName": "a-bucket"}),
    "pipeline-codecommit": ("pipeline", PIPELINE),
    "pipeline-s3": ("pipeline", {**PIPELINE, "SourceType": "s3", "TriggerOnUpload": "true"}),
    "pipeline-s3-quiet": ("pipeline", {**PIPELINE, "SourceType": "s3", "NotificationEmail": ""}),
    "pipeline-connection": ("pipeline", {**PIPELINE, **CONNECTION}),
    "pipeline-company": ("pipeline", {**PIPELINE, **COMPANY}),
    "pipeline-company-token": ("pipeline", {**PIPELINE, **COMPANY, **CODEARTIFACT}),
    "endpoint": ("endpoint", ENDPOINT),
    "endpoint-company": ("endpoint", {**ENDPOINT, **IN_COMPANY, "DataCapturePercent": "20"}),
    "endpoint-scaled": ("endpoint", {**ENDPOINT, "MaxInstances": "4", "DataCapturePercent": "20", "Sample": "0.1"}),
    "endpoint-serverless": ("endpoint", {**ENDPOINT, "Serverless": "true"}),
}


class Loader(yaml.SafeLoader):
    """Reads YAML with CloudFormation's short forms: !Ref x is {"Ref": "x"}."""


def _short_form(loader: Loader, suffix: str, node: yaml.Node) -> dict[str, Any]:
    name = suffix if suffix in ("Ref", "Condition") else f"Fn::{suffix}"
    if isinstance(node, yaml.ScalarNode):
        value: Any = loader.construct_scalar(node)
        return {name: value.split(".", 1) if name == "Fn::GetAtt" else value}
    if isinstance(node, yaml.SequenceNode):
        return {name: loader.construct_sequence(node, deep=True)}
    return {name: loader.construct_mapping(node, deep=True)}


Loader.add_multi_constructor("!", _short_form)


def load(path: Path) -> dict[str, Any]:
    return yaml.load(path.read_text(encoding="utf-8"), Loader)


def resource_stars(text: str) -> Iterator[tuple[int, int]]:
    """Return every * that stands for a resource, in any notation: the first line of its statement and its own line."""

    def below(node: yaml.Node) -> Iterator[tuple[int, int]]:
        inner = [part for pair in node.value for part in pair] if isinstance(node, yaml.MappingNode) else node.value
        for key, value in node.value if isinstance(node, yaml.MappingNode) else ():
            if key.value in ("Resource", "NotResource"):
                yield from ((node.start_mark.line, line) for line in _stars(value))
        for part in inner if not isinstance(node, yaml.ScalarNode) else ():
            yield from below(part)

    yield from below(yaml.compose(text, Loader))


def _stars(node: yaml.Node) -> list[int]:
    """Return the lines of the values below a node that are a *."""
    if isinstance(node, yaml.ScalarNode):
        return [node.start_mark.line] if node.value == "*" else []
    parts = [pair[1] for pair in node.value] if isinstance(node, yaml.MappingNode) else node.value
    return [line for part in parts for line in _stars(part)]


@dataclass(frozen=True)
class Resolved:
    """The resources and outputs whose condition is true. Attributes of resources have invented values."""

    resources: dict[str, dict[str, Any]]
    outputs: dict[str, str]

    def of_type(self, kind: str) -> dict[str, dict[str, Any]]:
        """Return the properties of every resource of a type, by logical id."""
        return {name: resource["Properties"] for name, resource in self.resources.items() if resource["Type"] == kind}


def resolve(template: Mapping[str, Any], parameters: Mapping[str, str]) -> Resolved:
    """Return the template with values for its parameters. Fail for an unknown parameter or one without a value."""
    evaluation = Evaluation(template, parameters)
    resources = {
        name: {**resource, "Properties": evaluation.value(resource.get("Properties", {}))}
        for name, resource in template["Resources"].items()
        if evaluation.holds(resource)
    }
    outputs = {
        name: evaluation.value(output["Value"])
        for name, output in template["Outputs"].items()
        if evaluation.holds(output)
    }
    return Resolved(resources, outputs)


def variant(name: str) -> Resolved:
    template, parameters = VARIANTS[name]
    return resolve(load(FOLDER / f"{template}.yaml"), parameters)


def accepts(parameter: Mapping[str, Any], value: str) -> bool:
    """Return True if a declared parameter accepts a value."""
    return (
        re.fullmatch(parameter.get("AllowedPattern", ".*"), value) is not None
        and value in [str(allowed_value) for allowed_value in parameter.get("AllowedValues", [value])]
        and len(value) <= parameter.get("MaxLength", 4096)
        and (parameter["Type"] != "Number" or _between(parameter, float(value)))
    )


def _between(parameter: Mapping[str, Any], number: float) -> bool:
    return parameter.get("MinValue", number) <= number <= parameter.get("MaxValue", number)


class Evaluation:
    """Evaluates CloudFormation's functions that the templates use. An unknown function raises."""

    def __init__(self, template: Mapping[str, Any], parameters: Mapping[str, str]) -> None:
        declared = template.get("Parameters", {})
        unknown = set(parameters) - set(declared)
        assert not unknown, f"no such parameter: {', '.join(sorted(unknown))}"
        defaults = {name: str(parameter["Default"]) for name, parameter in declared.items() if "Default" in parameter}
        self.parameters = {**PSEUDO, **defaults, **parameters}
        missing = set(declared) - set(self.parameters)
        assert not missing, f"no value for: {', '.join(sorted(missing))}"
        refused = [name for name, parameter in declared.items() if not accepts(parameter, self.parameters[name])]
        assert not refused, f"not accepted: {', '.join(f'{name}={self.parameters[name]}' for name in refused)}"
        self.template = template

    def holds(self, entry: Mapping[str, Any]) -> bool:
        return "Condition" not in entry or self.condition(entry["Condition"])

    def condition(self, name: str) -> bool:
        return bool(self.value(self.template["Conditions"][name]))

    def value(self, node: Any) -> Any:
        if isinstance(node, list):
            return [item for item in map(self.value, node) if item is not NOTHING]
        if not isinstance(node, dict):
            return node
        if len(node) == 1:
            ((name, argument),) = node.items()
            if name in ("Ref", "Condition") and isinstance(argument, str):
                return self.ref(argument) if name == "Ref" else self.condition(argument)
            if name.startswith("Fn::"):
                return getattr(self, name.removeprefix("Fn::").lower() + "_")(argument)
        values = {name: self.value(child) for name, child in node.items()}
        return {name: child for name, child in values.items() if child is not NOTHING}

    def ref(self, name: str) -> Any:
        if name == "AWS::NoValue":
            return NOTHING
        if name in self.parameters:
            return self.parameters[name]
        return self._physical(name)

    def getatt_(self, argument: list[str]) -> str:
        logical, attribute = argument
        return self._arn(logical) if attribute == "Arn" else self._physical(logical)

    def sub_(self, argument: Any) -> str:
        text, own = (argument, {}) if isinstance(argument, str) else argument
        own = {name: self.value(value) for name, value in own.items()}

        def put_in(match: re.Match[str]) -> str:
            name = match[1]
            if "." in name:
                return self.getatt_(name.split(".", 1))
            return str(own[name] if name in own else self.ref(name))

        return re.sub(r"\$\{([^}!]+)\}", put_in, text)

    def if_(self, argument: list[Any]) -> Any:
        name, yes, no = argument
        return self.value(yes if self.condition(name) else no)

    def equals_(self, argument: list[Any]) -> bool:
        remaining, right = map(self.value, argument)
        return str(remaining) == str(right)

    def not_(self, argument: list[Any]) -> bool:
        return not self.value(argument[0])

    def and_(self, argument: list[Any]) -> bool:
        return all(map(self.value, argument))

    def or_(self, argument: list[Any]) -> bool:
        return any(map(self.value, argument))

    def select_(self, argument: list[Any]) -> Any:
        return self.value(argument[1])[int(argument[0])]

    def split_(self, argument: list[Any]) -> list[str]:
        return str(self.value(argument[1])).split(argument[0])

    def join_(self, argument: list[Any]) -> str:
        return argument[0].join(map(str, self.value(argument[1])))

    def _physical(self, logical: str) -> str:
        """Return the value of Ref: the name in the template, an ARN for some types, or an invented name."""
        resource = self.template["Resources"][logical]
        assert self.holds(resource), f"{logical} is referred to, and does not exist in this variant"
        kind, properties = resource["Type"], resource.get("Properties", {})
        if kind in ARNS:
            return self._arn(logical)
        names = [properties[key] for key in NAME_PROPERTIES if key in properties]
        return str(self.value(names[0])) if names and self.value(names[0]) is not NOTHING else f"a-{logical.lower()}"

    def _arn(self, logical: str) -> str:
        resource = self.template["Resources"][logical]
        service, form = ARN_FORMS[resource["Type"]]
        names = [resource["Properties"][key] for key in NAME_PROPERTIES if key in resource["Properties"]]
        name = self.value(names[0]) if names else f"{PSEUDO['AWS::StackName']}-{logical}"
        region = "" if service in ("iam", "s3") else PSEUDO["AWS::Region"]
        account = "" if service == "s3" else PSEUDO["AWS::AccountId"]
        return f"arn:aws:{service}:{region}:{account}:{form.format(name)}"


NAME_PROPERTIES = (
    "BucketName",
    "RepositoryName",
    "StateMachineName",
    "ModelPackageGroupName",
    "LogGroupName",
    "EndpointName",
    "ModelName",
    "AlarmName",
    "Name",
)
# The types whose Ref is an ARN, as documented for each under "Return values".
ARNS = ("AWS::StepFunctions::StateMachine", "AWS::SNS::Topic", "AWS::SageMaker::ModelPackageGroup")
ARN_FORMS = {
    "AWS::CodeBuild::Project": ("codebuild", "project/{}"),
    "AWS::CodeCommit::Repository": ("codecommit", "{}"),
    "AWS::IAM::Role": ("iam", "role/{}"),
    "AWS::S3::Bucket": ("s3", "{}"),
    "AWS::SNS::Topic": ("sns", "{}"),
    "AWS::SageMaker::ModelPackageGroup": ("sagemaker", "model-package-group/{}"),
    "AWS::StepFunctions::StateMachine": ("states", "stateMachine:{}"),
}
