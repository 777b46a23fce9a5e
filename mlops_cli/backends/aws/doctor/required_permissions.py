"""All permissions that the caller of the commands needs, with resources and commands, in one list.

The list has the requests of `mlops` itself and those of CloudFormation with the caller's identity, because the storage
and the pipeline stack have no role of their own. The roles in the templates have their own permissions.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from mlops_cli.backends.aws.clients.logs import BUILD_LOGS, DECISIONS, ENDPOINT_LOGS, JOB_LOGS
from mlops_cli.backends.aws.infra import image_registry
from mlops_cli.backends.aws.resource_names import ResourceNames, generated_role
from mlops_cli.core.jobs import codeartifact

SOME = "*"
# The characters that follow the endpoint's name in other names. They are explicit, because another project's endpoint
# may have a name that begins with this one's.
REVISION = "-????????"


@dataclass(frozen=True)
class ArnContext:
    """The parts of the ARNs. ``bucket`` may contain ``*`` while its name is unknown. ``company``: its settings."""

    partition: str
    region: str
    account: str
    names: ResourceNames
    endpoint: str
    bucket: str
    owned: bool
    source: str
    repository: str
    connection: str
    sends_mail: bool
    company: Mapping[str, str] = field(default_factory=dict)
    has_secrets: bool = False
    images: tuple[str, ...] = ()  # of [model] in usecase.toml

    def arn(self, service: str, resource: str) -> str:
        return f"arn:{self.partition}:{service}:{self.region}:{self.account}:{resource}"


@dataclass(frozen=True)
class RequiredPermission:
    """``resource``: an ARN with ``*`` for unknown parts. ``commands``: the commands that need the actions."""

    resource: str
    actions: tuple[str, ...]
    commands: str
    passed_to: str = ""

    @property
    def example(self) -> str:
        """Return one of the resources, for IAM's policy simulator."""
        return self.resource if self.resource == SOME else self.resource.replace(SOME, "doctor").replace("?", "0")


def required_permissions(context: ArnContext) -> tuple[RequiredPermission, ...]:
    on_aws = (_stacks, _bucket, _roles, _pipeline, _workers, _events, _logs, _registry, _serving, _jobs, _source)
    return tuple(need for part in (*on_aws, _company, _prices, _doctor) for need in part(context))


def policy(permissions: Iterable[RequiredPermission]) -> dict[str, Any]:
    """Return the list as an IAM policy."""
    return {"Version": "2012-10-17", "Statement": [_statement(need) for need in permissions]}


def _statement(need: RequiredPermission) -> dict[str, Any]:
    statement: dict[str, Any] = {"Effect": "Allow", "Action": list(need.actions), "Resource": need.resource}
    if need.passed_to:
        statement["Condition"] = {"StringEquals": {"iam:PassedToService": need.passed_to}}
    return statement


def _actions(service: str, names: str) -> tuple[str, ...]:
    return tuple(f"{service}:{name}" for name in names.split())


def _stacks(context: ArnContext) -> Iterator[RequiredPermission]:
    names = context.names
    look = "DescribeStacks DescribeStackEvents DescribeEvents ListStackResources DeleteStack"
    change = "CreateChangeSet DescribeChangeSet ExecuteChangeSet DeleteChangeSet TagResource"
    for stack in (names.storage_stack, names.pipeline_stack):
        arn = context.arn("cloudformation", f"stack/{stack}/*")
        yield RequiredPermission(arn, _actions("cloudformation", f"{look} {change}"), "deploy-infra, run, cleanup")
    arn = context.arn("cloudformation", f"stack/{names.endpoint_stack}/*")
    yield RequiredPermission(arn, _actions("cloudformation", look), "status, cleanup")
    plans = context.arn("cloudformation", "changeSet/mlops-*/*")
    yield RequiredPermission(plans, ("cloudformation:DescribeEvents",), "deploy-infra")
    yield RequiredPermission(SOME, ("cloudformation:GetTemplateSummary",), "deploy-infra")
    yield RequiredPermission(SOME, ("cloudformation:ListStacks",), "cleanup")


def _bucket(context: ArnContext) -> Iterator[RequiredPermission]:
    bucket, names = f"arn:{context.partition}:s3:::{context.bucket}", context.names
    look = "ListBucket ListBucketVersions ListBucketMultipartUploads"
    yield RequiredPermission(bucket, _actions("s3", look), "download-data, run, cleanup")
    yield RequiredPermission(bucket, ("s3:GetLifecycleConfiguration",), "doctor")
    if context.owned:
        make = (
            "CreateBucket DeleteBucket PutEncryptionConfiguration PutBucketVersioning PutBucketPublicAccessBlock "
            "PutBucketOwnershipControls PutBucketNotification PutLifecycleConfiguration PutBucketTagging "
            "GetBucketPolicy PutBucketPolicy DeleteBucketPolicy GetBucketNotification GetBucketOwnershipControls "
            "GetBucketPublicAccessBlock GetBucketTagging GetBucketVersioning GetEncryptionConfiguration "
            "GetLifecycleConfiguration ListTagsForResource TagResource UntagResource"
        )
        yield RequiredPermission(bucket, _actions("s3", make), "deploy-infra, cleanup")
    else:
        yield RequiredPermission(bucket, ("s3:GetBucketPolicy",), "doctor")
    objects = "GetObject GetObjectVersion PutObject AbortMultipartUpload DeleteObject DeleteObjectVersion"
    yield RequiredPermission(f"{bucket}/{names.key_prefix}*", _actions("s3", objects), "download-data, run, cleanup")
    yield RequiredPermission(
        f"{bucket}/{names.artifact_folder}/*", _actions("s3", "DeleteObject DeleteObjectVersion"), "cleanup"
    )


def _roles(context: ArnContext) -> Iterator[RequiredPermission]:
    name = generated_role(context.names.pipeline_stack)
    role = f"arn:{context.partition}:iam::{context.account}:role{context.company.get('ROLE_PATH') or '/'}{name}"
    actions = (
        "CreateRole GetRole DeleteRole UpdateRole UpdateAssumeRolePolicy TagRole UntagRole GetRolePolicy "
        "PutRolePolicy DeleteRolePolicy ListRolePolicies ListAttachedRolePolicies"
    )
    yield RequiredPermission(role, _actions("iam", actions), "deploy-infra, cleanup")
    if context.company.get("PERMISSIONS_BOUNDARY"):
        limit = _actions("iam", "PutRolePermissionsBoundary DeleteRolePermissionsBoundary")
        yield RequiredPermission(role, limit, "deploy-infra")
    for service in ("codepipeline", "codebuild", "states", "events"):
        yield RequiredPermission(role, ("iam:PassRole",), "deploy-infra", f"{service}.amazonaws.com")


def _pipeline(context: ArnContext) -> Iterator[RequiredPermission]:
    name = context.names.pipeline
    make = "CreatePipeline GetPipeline UpdatePipeline DeletePipeline TagResource UntagResource ListTagsForResource"
    yield RequiredPermission(context.arn("codepipeline", name), _actions("codepipeline", make), "deploy-infra, cleanup")
    act = (
        "ListPipelineExecutions ListActionExecutions GetPipelineExecution GetPipelineState StartPipelineExecution "
        "StopPipelineExecution"
    )
    yield RequiredPermission(
        context.arn("codepipeline", name), _actions("codepipeline", act), "run, status, stop, cleanup"
    )
    yield RequiredPermission(context.arn("codepipeline", f"{name}/*"), ("codepipeline:RetryStageExecution",), "run")
    yield RequiredPermission(
        context.arn("codepipeline", f"{name}/approval/decision"), ("codepipeline:PutApprovalResult",), "approve"
    )


def _workers(context: ArnContext) -> Iterator[RequiredPermission]:
    name = context.names.pipeline_stack
    builds = "CreateProject UpdateProject DeleteProject BatchGetProjects ListBuildsForProject BatchGetBuilds StopBuild"
    for project in (name, name + DECISIONS):
        yield RequiredPermission(
            context.arn("codebuild", f"project/{project}"), _actions("codebuild", builds), "deploy-infra, cleanup"
        )
    machine = (
        "CreateStateMachine DescribeStateMachine UpdateStateMachine DeleteStateMachine TagResource UntagResource "
        "ListTagsForResource ListExecutions"
    )
    yield RequiredPermission(
        context.arn("states", f"stateMachine:{name}"), _actions("states", machine), "deploy-infra, cleanup"
    )
    yield RequiredPermission(context.arn("states", f"stateMachine:{name}"), ("states:StartExecution",), "reproduce")
    executions = _actions("states", "DescribeExecution StopExecution")
    yield RequiredPermission(
        context.arn("states", f"execution:{name}:*"), executions, "status, stop, reproduce, cleanup"
    )


def _events(context: ArnContext) -> Iterator[RequiredPermission]:
    name = context.names.pipeline_stack
    topic = (
        "CreateTopic DeleteTopic GetTopicAttributes SetTopicAttributes TagResource UntagResource ListTagsForResource "
        "GetDataProtectionPolicy"
    )
    mail = " Subscribe ListSubscriptionsByTopic" if context.sends_mail else ""
    yield RequiredPermission(
        context.arn("sns", f"{name}-Topic-*"), _actions("sns", topic + mail), "deploy-infra, cleanup"
    )
    if context.sends_mail:
        subscription = _actions("sns", "Unsubscribe GetSubscriptionAttributes")
        yield RequiredPermission(SOME, subscription, "deploy-infra, cleanup")
    rule = (
        "PutRule DescribeRule DeleteRule PutTargets RemoveTargets ListTargetsByRule TagResource UntagResource "
        "ListTagsForResource"
    )
    if context.source != "connection":
        yield RequiredPermission(
            context.arn("events", f"rule/{name}"), _actions("events", rule), "deploy-infra, cleanup"
        )
    yield RequiredPermission(SOME, ("events:ListRules",), "cleanup")


def _logs(context: ArnContext) -> Iterator[RequiredPermission]:
    """Yield permissions on log groups. IAM matches …:log-group:NAME:log-stream:, but for tags …:log-group:NAME."""
    make, tag = "CreateLogGroup PutRetentionPolicy DeleteLogGroup", "TagResource UntagResource ListTagsForResource"
    for group in (BUILD_LOGS.format(context.names.pipeline_stack), ENDPOINT_LOGS.format(context.endpoint)):
        arn = context.arn("logs", f"log-group:{group}")
        yield RequiredPermission(f"{arn}:*", _actions("logs", make), "deploy-infra, cleanup")
        yield RequiredPermission(arn, _actions("logs", tag), "deploy-infra, cleanup")
    build = f"log-group:{BUILD_LOGS.format(context.names.pipeline_stack)}"
    yield RequiredPermission(context.arn("logs", f"{build}:*"), ("logs:DescribeLogStreams",), "logs, status")
    yield RequiredPermission(context.arn("logs", f"{build}:log-stream:*"), ("logs:GetLogEvents",), "logs, status")
    for kind in ("Training", "Processing"):
        group = f"log-group:{JOB_LOGS.format(kind)}"
        yield RequiredPermission(context.arn("logs", f"{group}:*"), ("logs:DescribeLogStreams",), "logs, cleanup")
        streams = context.arn("logs", f"{group}:log-stream:{context.endpoint}--*")
        yield RequiredPermission(streams, _actions("logs", "GetLogEvents DeleteLogStream"), "logs, cleanup")
    observed = context.arn("logs", f"log-group:{ENDPOINT_LOGS.format(context.endpoint)}:*")
    yield RequiredPermission(observed, ("logs:FilterLogEvents",), "drift, test-endpoint")
    looks = _actions("logs", "DescribeLogGroups DescribeIndexPolicies DescribeResourcePolicies")
    yield RequiredPermission(SOME, looks, "deploy-infra, cleanup")


def _registry(context: ArnContext) -> Iterator[RequiredPermission]:
    group = context.arn("sagemaker", f"model-package-group/{context.endpoint}")
    make = (
        "CreateModelPackageGroup DescribeModelPackageGroup DeleteModelPackageGroup GetModelPackageGroupPolicy AddTags "
        "ListTags"
    )
    yield RequiredPermission(group, _actions("sagemaker", make), "deploy-infra, cleanup")
    packages = _actions("sagemaker", "ListModelPackages DescribeModelPackage UpdateModelPackage DeleteModelPackage")
    yield RequiredPermission(
        context.arn("sagemaker", f"model-package/{context.endpoint}/*"), packages, "models, approve, cleanup"
    )


def _serving(context: ArnContext) -> Iterator[RequiredPermission]:
    endpoint = context.arn("sagemaker", f"endpoint/{context.endpoint}")
    own = "DescribeEndpoint InvokeEndpoint DeleteEndpoint ListTags"
    yield RequiredPermission(endpoint, _actions("sagemaker", own), "status, test-endpoint, cleanup")
    for kind, noun in (("endpoint-config", "EndpointConfig"), ("model", "Model")):
        arn = context.arn("sagemaker", f"{kind}/{context.endpoint}{REVISION}")
        actions = f"Describe{noun} Delete{noun} ListTags"
        yield RequiredPermission(arn, _actions("sagemaker", actions), "status, test-endpoint, cleanup")
    listing = "ListEndpoints ListEndpointConfigs ListModels ListTrainingJobs ListProcessingJobs"
    yield RequiredPermission(SOME, _actions("sagemaker", listing), "cleanup, doctor")


def _jobs(context: ArnContext) -> Iterator[RequiredPermission]:
    for noun in ("Training", "Processing"):
        arn = context.arn("sagemaker", f"{noun.lower()}-job/{context.endpoint}--*")
        actions = f"Describe{noun}Job Stop{noun}Job Delete{noun}Job ListTags"
        yield RequiredPermission(arn, _actions("sagemaker", actions), "status, stop, cleanup")


def _source(context: ArnContext) -> Iterator[RequiredPermission]:
    if context.source == "codecommit":
        actions = (
            "CreateRepository GetRepository DeleteRepository UpdateRepositoryDescription TagResource UntagResource "
            "ListTagsForResource GetBranch CreateBranch CreateCommit GetDifferences GetRepositoryTriggers"
        )
        repository = context.arn("codecommit", context.repository)
        yield RequiredPermission(repository, _actions("codecommit", actions), "deploy-infra, run, cleanup")
        yield RequiredPermission(SOME, ("codecommit:ListRepositories",), "deploy-infra, cleanup")
    if context.source == "connection":
        service = context.connection.split(":")[2]
        yield RequiredPermission(context.connection, (f"{service}:PassConnection",), "deploy-infra")


def _company(context: ArnContext) -> Iterator[RequiredPermission]:
    """Yield the permissions on the resources that a company's settings name."""
    if key := context.company.get("KMS_KEY_ARN"):
        use = _actions("kms", "Decrypt GenerateDataKey DescribeKey")
        yield RequiredPermission(key, use, "deploy-infra, download-data, run")
        yield RequiredPermission(key, ("kms:GetKeyPolicy",), "doctor")
        for group in (BUILD_LOGS.format(context.names.pipeline_stack), ENDPOINT_LOGS.format(context.endpoint)):
            arn = context.arn("logs", f"log-group:{group}:*")
            yield RequiredPermission(arn, _actions("logs", "AssociateKmsKey DisassociateKmsKey"), "deploy-infra")
    if boundary := context.company.get("PERMISSIONS_BOUNDARY"):
        yield RequiredPermission(boundary, ("iam:GetPolicy",), "doctor")
    index, url = context.company.get("PACKAGE_INDEX_SECRET", ""), context.company.get("PACKAGE_INDEX_URL", "")
    if codeartifact.is_domain(index):
        repository = codeartifact.repository_arn(index, url)
        yield RequiredPermission(repository, ("codeartifact:DescribeRepository",), "doctor")
        yield RequiredPermission(index, ("codeartifact:DescribeDomain",), "doctor")
    for name in own_repositories(context):
        yield RequiredPermission(f"arn:{context.partition}:ecr:{name}", ("ecr:DescribeImages",), "doctor")
    if context.company.get("VPC_ID"):
        yield RequiredPermission(SOME, _actions("ec2", "DescribeSubnets DescribeSecurityGroups"), "doctor")


def own_repositories(context: ArnContext) -> Iterator[str]:
    """Yield the ends of the ARNs of the repositories in ECR that settings and usecase.toml name."""
    if registry := context.company.get("IMAGE_REGISTRY"):
        yield image_registry.repository(f"{registry}/{SOME}")
    addresses = (context.company.get("BUILD_IMAGE", ""), *context.images)
    yield from dict.fromkeys(name for name in map(image_registry.repository, addresses) if name)


def _prices(context: ArnContext) -> Iterator[RequiredPermission]:  # noqa: ARG001 (prices have no resource)
    yield RequiredPermission(SOME, ("pricing:GetProducts",), "run, approve, rollback, reproduce, deploy-infra, cleanup")


def _doctor(context: ArnContext) -> Iterator[RequiredPermission]:
    """Yield the permissions of `mlops doctor`: on all endpoints of the account, and on its own identity."""
    quotas = _actions("servicequotas", "ListServiceQuotas ListAWSDefaultServiceQuotas")
    yield RequiredPermission(SOME, (*quotas, "cloudwatch:GetMetricStatistics"), "doctor")
    index = context.company.get("PACKAGE_INDEX_SECRET", "")
    if context.has_secrets or (index and not codeartifact.is_domain(index)):
        looks = ("secretsmanager:DescribeSecret", "ssm:DescribeParameters")
        yield RequiredPermission(SOME, looks, "run, approve, rollback, reproduce, doctor")
    endpoints = _actions("sagemaker", "DescribeEndpoint ListTags")
    yield RequiredPermission(context.arn("sagemaker", "endpoint/*"), endpoints, "doctor")
    yield RequiredPermission(
        context.arn("sagemaker", "endpoint-config/*"), ("sagemaker:DescribeEndpointConfig",), "doctor"
    )
    for kind in ("training", "processing"):
        action = f"sagemaker:Describe{kind.capitalize()}Job"
        yield RequiredPermission(context.arn("sagemaker", f"{kind}-job/*"), (action,), "doctor")
    for kind in ("user", "role"):
        arn = f"arn:{context.partition}:iam::{context.account}:{kind}/*"
        actions = ("iam:SimulatePrincipalPolicy", *(("iam:GetRole",) if kind == "role" else ()))
        yield RequiredPermission(arn, actions, "doctor")
