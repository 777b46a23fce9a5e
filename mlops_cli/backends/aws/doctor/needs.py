"""Every permission that the commands' own caller needs, on which resources, and for which commands: one list.

The roles in the templates have theirs; what stands here is what `mlops` asks of AWS in the caller's own name, and
what CloudFormation does in it, since the storage and the pipeline stack have no role of their own.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from mlops_cli.backends.aws.logs import DECISIONS
from mlops_cli.backends.aws.names import Names

SOME = "*"


@dataclass(frozen=True)
class Place:
    """What the ARNs are made of. ``bucket`` may have ``*`` in it as long as nobody knows the name."""

    partition: str
    region: str
    account: str
    names: Names
    endpoint: str
    bucket: str
    owned: bool
    source: str
    repository: str
    connection: str
    mailed: bool

    def arn(self, service: str, resource: str) -> str:
        return f"arn:{self.partition}:{service}:{self.region}:{self.account}:{resource}"


@dataclass(frozen=True)
class Need:
    """``resource`` is an ARN with ``*`` for what nobody knows before; ``commands`` says who needs the actions."""

    resource: str
    actions: tuple[str, ...]
    commands: str
    passed_to: str = ""

    @property
    def example(self) -> str:
        """One resource of these, for the simulation."""
        return self.resource if self.resource == SOME else self.resource.replace(SOME, "doctor")


def needs(place: Place) -> tuple[Need, ...]:
    on_aws = (_stacks, _bucket, _roles, _pipeline, _workers, _events, _logs, _registry, _serving, _jobs, _source)
    return tuple(need for part in (*on_aws, _prices, _doctor) for need in part(place))


def policy(found: Iterable[Need]) -> dict[str, Any]:
    """The list as an IAM policy."""
    return {"Version": "2012-10-17", "Statement": [_statement(need) for need in found]}


def _statement(need: Need) -> dict[str, Any]:
    statement: dict[str, Any] = {"Effect": "Allow", "Action": list(need.actions), "Resource": need.resource}
    if need.passed_to:
        statement["Condition"] = {"StringEquals": {"iam:PassedToService": need.passed_to}}
    return statement


def _actions(service: str, names: str) -> tuple[str, ...]:
    return tuple(f"{service}:{name}" for name in names.split())


def _stacks(place: Place) -> Iterator[Need]:
    names = place.names
    look = "DescribeStacks DescribeStackEvents DescribeEvents ListStackResources DeleteStack"
    change = "CreateChangeSet DescribeChangeSet ExecuteChangeSet DeleteChangeSet TagResource"
    for stack in (names.storage_stack, names.pipeline_stack):
        arn = place.arn("cloudformation", f"stack/{stack}/*")
        yield Need(arn, _actions("cloudformation", f"{look} {change}"), "deploy-infra, run, cleanup")
    arn = place.arn("cloudformation", f"stack/{names.endpoint_stack}/*")
    yield Need(arn, _actions("cloudformation", look), "status, cleanup")
    plans = place.arn("cloudformation", "changeSet/mlops-*/*")
    yield Need(plans, ("cloudformation:DescribeEvents",), "deploy-infra")
    yield Need(SOME, ("cloudformation:GetTemplateSummary",), "deploy-infra")
    yield Need(SOME, ("cloudformation:ListStacks",), "cleanup")


def _bucket(place: Place) -> Iterator[Need]:
    bucket, names = f"arn:{place.partition}:s3:::{place.bucket}", place.names
    look = "ListBucket ListBucketVersions ListBucketMultipartUploads"
    yield Need(bucket, _actions("s3", look), "download-data, run, cleanup")
    if place.owned:
        make = (
            "CreateBucket DeleteBucket PutEncryptionConfiguration PutBucketVersioning PutBucketPublicAccessBlock "
            "PutBucketOwnershipControls PutBucketNotification PutLifecycleConfiguration PutBucketTagging "
            "GetBucketPolicy PutBucketPolicy DeleteBucketPolicy"
        )
        yield Need(bucket, _actions("s3", make), "deploy-infra, cleanup")
    objects = "GetObject GetObjectVersion PutObject AbortMultipartUpload DeleteObject DeleteObjectVersion"
    yield Need(f"{bucket}/{names.key_prefix}*", _actions("s3", objects), "download-data, run, cleanup")
    yield Need(f"{bucket}/{names.artifact_folder}/*", _actions("s3", "DeleteObject DeleteObjectVersion"), "cleanup")


def _roles(place: Place) -> Iterator[Need]:
    role = f"arn:{place.partition}:iam::{place.account}:role/{place.names.pipeline_stack}-*"
    actions = (
        "CreateRole GetRole DeleteRole UpdateRole UpdateAssumeRolePolicy TagRole UntagRole GetRolePolicy "
        "PutRolePolicy DeleteRolePolicy ListRolePolicies ListAttachedRolePolicies"
    )
    yield Need(role, _actions("iam", actions), "deploy-infra, cleanup")
    for service in ("codepipeline", "codebuild", "states", "events"):
        yield Need(role, ("iam:PassRole",), "deploy-infra", f"{service}.amazonaws.com")


def _pipeline(place: Place) -> Iterator[Need]:
    name = place.names.pipeline_stack
    make = "CreatePipeline GetPipeline UpdatePipeline DeletePipeline TagResource UntagResource ListTagsForResource"
    yield Need(place.arn("codepipeline", name), _actions("codepipeline", make), "deploy-infra, cleanup")
    act = (
        "ListPipelineExecutions ListActionExecutions GetPipelineExecution GetPipelineState StartPipelineExecution "
        "StopPipelineExecution"
    )
    yield Need(place.arn("codepipeline", name), _actions("codepipeline", act), "run, status, stop, cleanup")
    yield Need(place.arn("codepipeline", f"{name}/*"), ("codepipeline:RetryStageExecution",), "run")
    yield Need(place.arn("codepipeline", f"{name}/approval/decision"), ("codepipeline:PutApprovalResult",), "approve")


def _workers(place: Place) -> Iterator[Need]:
    name = place.names.pipeline_stack
    builds = "CreateProject UpdateProject DeleteProject BatchGetProjects ListBuildsForProject BatchGetBuilds StopBuild"
    for project in (name, name + DECISIONS):
        yield Need(place.arn("codebuild", f"project/{project}"), _actions("codebuild", builds), "deploy-infra, cleanup")
    machine = (
        "CreateStateMachine DescribeStateMachine UpdateStateMachine DeleteStateMachine TagResource UntagResource "
        "ListTagsForResource ListExecutions"
    )
    yield Need(place.arn("states", f"stateMachine:{name}"), _actions("states", machine), "deploy-infra, cleanup")
    yield Need(place.arn("states", f"stateMachine:{name}"), ("states:StartExecution",), "reproduce")
    executions = _actions("states", "DescribeExecution StopExecution")
    yield Need(place.arn("states", f"execution:{name}:*"), executions, "status, stop, reproduce, cleanup")


def _events(place: Place) -> Iterator[Need]:
    name = place.names.pipeline_stack
    topic = "CreateTopic DeleteTopic GetTopicAttributes SetTopicAttributes TagResource UntagResource"
    mail = " Subscribe ListSubscriptionsByTopic" if place.mailed else ""
    yield Need(place.arn("sns", f"{name}-Topic-*"), _actions("sns", topic + mail), "deploy-infra, cleanup")
    if place.mailed:
        yield Need(SOME, ("sns:Unsubscribe",), "deploy-infra, cleanup")
    rule = "PutRule DescribeRule DeleteRule PutTargets RemoveTargets ListTargetsByRule TagResource UntagResource"
    if place.source != "connection":
        yield Need(place.arn("events", f"rule/{name}"), _actions("events", rule), "deploy-infra, cleanup")
    yield Need(SOME, ("events:ListRules",), "cleanup")


def _logs(place: Place) -> Iterator[Need]:
    """IAM looks at a group as …:log-group:NAME:log-stream:, but for its tags at …:log-group:NAME."""
    make, tag = "CreateLogGroup PutRetentionPolicy DeleteLogGroup", "TagResource UntagResource ListTagsForResource"
    for group in (f"/aws/codebuild/{place.names.pipeline_stack}", f"/aws/sagemaker/Endpoints/{place.endpoint}"):
        arn = place.arn("logs", f"log-group:{group}")
        yield Need(f"{arn}:*", _actions("logs", make), "deploy-infra, cleanup")
        yield Need(arn, _actions("logs", tag), "deploy-infra, cleanup")
    build = f"log-group:/aws/codebuild/{place.names.pipeline_stack}"
    yield Need(place.arn("logs", f"{build}:*"), ("logs:DescribeLogStreams",), "logs, status")
    yield Need(place.arn("logs", f"{build}:log-stream:*"), ("logs:GetLogEvents",), "logs, status")
    for kind in ("Training", "Processing"):
        group = f"log-group:/aws/sagemaker/{kind}Jobs"
        yield Need(place.arn("logs", f"{group}:*"), ("logs:DescribeLogStreams",), "logs, cleanup")
        streams = place.arn("logs", f"{group}:log-stream:{place.endpoint}-*")
        yield Need(streams, _actions("logs", "GetLogEvents DeleteLogStream"), "logs, cleanup")
    observed = place.arn("logs", f"log-group:/aws/sagemaker/Endpoints/{place.endpoint}:*")
    yield Need(observed, ("logs:FilterLogEvents",), "drift")
    yield Need(SOME, ("logs:DescribeLogGroups",), "cleanup")


def _registry(place: Place) -> Iterator[Need]:
    group = place.arn("sagemaker", f"model-package-group/{place.endpoint}")
    make = "CreateModelPackageGroup DescribeModelPackageGroup DeleteModelPackageGroup AddTags ListTags"
    yield Need(group, _actions("sagemaker", make), "deploy-infra, cleanup")
    packages = _actions("sagemaker", "ListModelPackages DescribeModelPackage UpdateModelPackage DeleteModelPackage")
    yield Need(place.arn("sagemaker", f"model-package/{place.endpoint}/*"), packages, "models, approve, cleanup")


def _serving(place: Place) -> Iterator[Need]:
    endpoint = place.arn("sagemaker", f"endpoint/{place.endpoint}")
    own = "DescribeEndpoint InvokeEndpoint DeleteEndpoint ListTags"
    yield Need(endpoint, _actions("sagemaker", own), "status, test-endpoint, cleanup")
    for kind, word in (("endpoint-config", "EndpointConfig"), ("model", "Model")):
        arn = place.arn("sagemaker", f"{kind}/{place.endpoint}-*")
        actions = f"Describe{word} Delete{word} ListTags"
        yield Need(arn, _actions("sagemaker", actions), "status, test-endpoint, cleanup")
    listing = "ListEndpoints ListEndpointConfigs ListModels ListTrainingJobs ListProcessingJobs"
    yield Need(SOME, _actions("sagemaker", listing), "cleanup, doctor")


def _jobs(place: Place) -> Iterator[Need]:
    for word in ("Training", "Processing"):
        arn = place.arn("sagemaker", f"{word.lower()}-job/{place.endpoint}-*")
        actions = f"Describe{word}Job Stop{word}Job Delete{word}Job ListTags"
        yield Need(arn, _actions("sagemaker", actions), "status, stop, cleanup")


def _source(place: Place) -> Iterator[Need]:
    if place.source == "codecommit":
        actions = (
            "CreateRepository GetRepository DeleteRepository UpdateRepositoryDescription TagResource UntagResource "
            "ListTagsForResource GetBranch CreateBranch CreateCommit GetDifferences"
        )
        repository = place.arn("codecommit", place.repository)
        yield Need(repository, _actions("codecommit", actions), "deploy-infra, run, cleanup")
    if place.source == "connection":
        service = place.connection.split(":")[2]
        yield Need(place.connection, (f"{service}:PassConnection",), "deploy-infra")


def _prices(place: Place) -> Iterator[Need]:  # noqa: ARG001 (of all regions)
    yield Need(SOME, ("pricing:GetProducts",), "run, approve, rollback, reproduce, deploy-infra, cleanup")


def _doctor(place: Place) -> Iterator[Need]:
    """What only `mlops doctor` asks: of all endpoints of the account, and of what it may itself."""
    quotas = _actions("servicequotas", "ListServiceQuotas ListAWSDefaultServiceQuotas")
    yield Need(SOME, (*quotas, "cloudwatch:GetMetricStatistics"), "doctor")
    endpoints = _actions("sagemaker", "DescribeEndpoint ListTags")
    yield Need(place.arn("sagemaker", "endpoint/*"), endpoints, "doctor")
    yield Need(place.arn("sagemaker", "endpoint-config/*"), ("sagemaker:DescribeEndpointConfig",), "doctor")
    for kind in ("training", "processing"):
        action = f"sagemaker:Describe{kind.capitalize()}Job"
        yield Need(place.arn("sagemaker", f"{kind}-job/*"), (action,), "doctor")
    for kind in ("user", "role"):
        arn = f"arn:{place.partition}:iam::{place.account}:{kind}/*"
        actions = ("iam:SimulatePrincipalPolicy", *(("iam:GetRole",) if kind == "role" else ()))
        yield Need(arn, actions, "doctor")
