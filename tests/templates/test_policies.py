"""The permissions of each role: real actions on the right resources, as narrow as possible."""

from __future__ import annotations

import json
from copy import deepcopy
from fnmatch import fnmatchcase

import pytest

from tests.templates.checkers import cloudsplaining, parliament
from tests.templates.policies import Document, Policy, all_policies, conditions, listed, trusts
from tests.templates.references.authorization import UNKNOWN_TO_THE_REFERENCE, problems
from tests.templates.references.handlers import FURTHER, permissions_of_handlers
from tests.templates.template import FOLDER, VARIANTS, load, resource_stars, variant

pytestmark = pytest.mark.xdist_group("checkers")
POLICIES = all_policies()
# Findings of parliament's community auditors, which look at the names of actions only: (role, finding) to the reason.
BY_NAME_ONLY = {
    ("PipelineRole", "PERMISSIONS_MANAGEMENT_ACTIONS"): "passes DeployRole, to CloudFormation only",
    ("PipelineRole", "PRIVILEGE_ESCALATION"): "makes one stack, under DeployRole, which may do less than a person",
    ("StateMachineRole", "PERMISSIONS_MANAGEMENT_ACTIONS"): "passes JobRole, to SageMaker only",
    ("DeployRole", "PERMISSIONS_MANAGEMENT_ACTIONS"): "passes ModelRole, to SageMaker only; one service-linked role",
}
# Who fetches a container image; the steps' roles where the image of builds is a company's own.
PULLING = ("JobRole", "ModelRole", "StageRole", "DecisionRole")
for role in PULLING:
    BY_NAME_ONLY[role, "CREDENTIALS_EXPOSURE"] = "a container image cannot be fetched without a registry login"
# What a company's key and VPC need.
for role in ("StageRole", "DecisionRole", "JobRole", "ModelRole"):
    BY_NAME_ONLY[role, "PERMISSIONS_MANAGEMENT_ACTIONS"] = "grants services of AWS one key, and interfaces in one VPC"
# The same of cloudsplaining, which looks at resources: a registry login has none.
LOGIN = {"credentials_exposure": ["ecr:GetAuthorizationToken"]}
# Who takes a role without saying for whom: neither service documents aws:SourceAccount or aws:SourceArn for it. No
# other account can pass these roles (iam:PassRole does not reach across accounts).
SILENT = ("codepipeline.amazonaws.com", "cloudformation.amazonaws.com")
# All jobs of an account log to the same two groups: these actions see the names of their streams, no line of them.
OF_SHARED_GROUPS = {"logs:CreateLogGroup", "logs:DescribeLogStreams"}
ARN = "arn:aws:{}:eu-west-1:111122223333:{}"
# Another environment of the same use case, in the same account and bucket.
FOREIGN = (
    "arn:aws:s3:::a-bucket/toxic-comments-prod/data/dataset.csv",
    "arn:aws:s3:::a-bucket/toxic-comments-prod/models/0/model.tar.gz",
    "arn:aws:s3:::another-bucket/toxic-comments-dev/data/dataset.csv",
    "arn:aws:s3:::a-bucket/mlops-fedcba9876543-/preprocess/Ab3dE5f",
    ARN.format("cloudformation", "stack/mlops-toxic-comments-prod-endpoint/0"),
    ARN.format("cloudwatch", "alarm:toxic-comments-prod-0123abcd-latency"),
    ARN.format("codebuild", "project/mlops-toxic-comments-prod-pipeline"),
    ARN.format("codecommit", "toxic-comments-prod"),
    ARN.format("codepipeline", "mlops-toxic-comments-prod-pipeline"),
    ARN.format("logs", "log-group:/aws/codebuild/mlops-toxic-comments-prod-pipeline:log-stream:0"),
    ARN.format(
        "logs", "log-group:/aws/sagemaker/TrainingJobs:log-stream:toxic-comments-prod--train-3f2a91-k3x9/algo-1"
    ),
    ARN.format("sagemaker", "endpoint/toxic-comments-prod"),
    ARN.format("sagemaker", "endpoint-config/toxic-comments-prod-0123abcd"),
    ARN.format("sagemaker", "model-package/toxic-comments-prod/1"),
    ARN.format("sagemaker", "model-package-group/toxic-comments-prod"),
    ARN.format("sagemaker", "training-job/toxic-comments-prod--train-3f2a91-k3x9"),
    ARN.format("sns", "mlops-toxic-comments-prod-pipeline-Topic"),
    ARN.format("states", "stateMachine:mlops-toxic-comments-prod-pipeline"),
    "arn:aws:iam::111122223333:role/mlops-toxic-comments-prod-pipeline-JobRole",
)
# Projects with a name that begins with this one and goes on.
LONGER_NAMES = tuple(
    foreign.replace("toxic-comments-prod", f"toxic-comments-dev-{more}")
    for foreign in FOREIGN
    for more in ("eu", "train", "0")
)

each_policy = pytest.mark.parametrize("policy", POLICIES, ids=str)


def named(role: str) -> Policy:
    """Return all permissions of a role, in any of its policies."""
    own = [policy for policy in POLICIES if policy.role == role]
    statements = [statement for policy in own if policy.variant == own[0].variant for statement in policy.statements]
    return Policy(own[0].variant, role, {**own[0].document, "Statement": statements})


def reaches(policy: Policy, action: str, resource: str) -> bool:
    allowing = [statement for statement in policy.statements if action in listed(statement["Action"])]
    return any(fnmatchcase(resource, entry) for statement in allowing for entry in listed(statement["Resource"]))


@each_policy
def test_every_action_exists_and_fits_its_resources_and_conditions(policy: Policy) -> None:
    statements = {problem for statement in policy.statements for problem in problems(statement)}
    assert statements - set(UNKNOWN_TO_THE_REFERENCE) == set()


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"Action": "s3:Head*"}, "s3:Head* is no action of AWS"),
        ({"Action": "sagemaker:CreateTrainingJobs"}, "sagemaker:CreateTrainingJobs is no action of AWS"),
        ({"Resource": "*"}, "s3:GetObject is allowed on *, and can be narrowed to "),
        ({"Resource": "arn:aws:s3:::a-bucket"}, "s3:GetObject works on "),
        ({"Action": ["s3:GetObject", "s3:ListBucket"]}, "s3:ListBucket works on "),
        ({"Resource": ["arn:aws:s3:::b/c", "arn:aws:sns:::x"]}, "arn:aws:sns:::x is no resource of s3:GetObject"),
        ({"Condition": {"StringEquals": {"s3:prefx": "x"}}}, "s3:GetObject does not know the condition s3:prefx"),
    ],
)
def test_a_permission_that_does_not_exist_or_fit_is_found(change: Document, expected: str) -> None:
    statement = {"Action": "s3:GetObject", "Resource": "arn:aws:s3:::a-bucket/x/*", **change}
    assert any(problem.startswith(expected) for problem in problems(statement))


@each_policy
def test_parliament_finds_nothing(policy: Policy) -> None:
    assert parliament(policy.document) == []


@each_policy
def test_parliaments_auditors_of_names_find_only_explained_permissions(policy: Policy) -> None:
    findings = {(policy.role, finding) for finding, _ in parliament(policy.document, community=True)}
    assert findings <= set(BY_NAME_ONLY)


@each_policy
def test_cloudsplaining_finds_only_the_registry_login(policy: Policy) -> None:
    pulls = policy.role in PULLING and LOGIN["credentials_exposure"][0] in str(policy.document)
    assert cloudsplaining(policy.document) == (LOGIN if pulls else {})


def test_a_policy_that_is_too_wide_is_found_by_each() -> None:
    wide = deepcopy(named("DeployRole").document)
    statement = next(statement for statement in wide["Statement"] if statement["Action"] == "iam:PassRole")
    statement |= {"Action": ["iam:PassRole", "iam:CreatePolicyVersion"], "Resource": "*"}
    del statement["Condition"]
    assert "RESOURCE_STAR" in {finding for finding, _ in parliament(wide)}
    assert "PRIVILEGE_ESCALATION" in {finding for finding, _ in parliament(wide, community=True)}
    assert "allows_privilege_escalation" in cloudsplaining(wide)


@each_policy
def test_a_policy_is_not_longer_than_iam_accepts(policy: Policy) -> None:
    """IAM counts all inline policies of a role together, without white space."""
    assert len(json.dumps(named(policy.role).document, separators=(",", ":"))) <= 10_240


@each_policy
def test_actions_are_named_one_by_one(policy: Policy) -> None:
    assert [entry for statement in policy.statements for entry in listed(statement["Action"]) if "*" in entry] == []


@each_policy
def test_a_role_is_passed_to_one_service(policy: Policy) -> None:
    for statement in policy.statements:
        if "iam:PassRole" in listed(statement["Action"]):
            assert listed(statement["Action"]) == ["iam:PassRole"]
            assert "*" not in "".join(listed(statement["Resource"]))
            assert len(listed(conditions(statement)["iam:PassedToService"])) == 1


@each_policy
def test_another_environment_is_out_of_reach(policy: Policy) -> None:
    near = [statement for statement in policy.statements if not set(listed(statement["Action"])) <= OF_SHARED_GROUPS]
    resources = [entry for statement in near for entry in listed(statement["Resource"]) if entry != "*"]
    assert [
        (resource, foreign)
        for resource in resources
        for foreign in (*FOREIGN, *LONGER_NAMES)
        if fnmatchcase(foreign, resource)
    ] == []


# What runs code of the repository. ModelRole runs that of a model which a person has approved.
REPOSITORY = ("StageRole", "JobRole")
OURS, ARTIFACTS = "arn:aws:s3:::a-bucket/toxic-comments-dev", "arn:aws:s3:::a-bucket/mlops-0123456789abc-"
# What a run is made from, what holds of models and decisions, and what is deployed.
CLOSED = (
    *(f"{OURS}/{folder}/x" for folder in ("cli", "data", "source", "decisions", "models")),
    *(f"{OURS}/records/{stage}/x.json" for stage in ("train", "approval", "deploy")),
    *(f"{ARTIFACTS}/{artifact}/Ab3dE5f" for artifact in ("SourceOutp", "approval", "deploy", "rollback")),
)


@pytest.mark.parametrize("role", REPOSITORY)
@pytest.mark.parametrize("closed", CLOSED)
def test_the_repositorys_code_can_change_neither_its_inputs_nor_decisions_nor_deployed_models(
    role: str, closed: str
) -> None:
    assert not reaches(named(role), "s3:PutObject", closed)


def test_the_repositorys_code_may_write_its_outputs() -> None:
    assert reaches(named("StageRole"), "s3:PutObject", f"{OURS}/runs/x")
    assert reaches(named("StageRole"), "s3:PutObject", f"{ARTIFACTS}/preprocess/Ab3dE5f")
    assert reaches(named("JobRole"), "s3:PutObject", f"{OURS}/artifacts/x")


def test_nothing_is_written_beside_the_code_of_another_runs_job() -> None:
    """A processing job gets all files in the folder of its archive. It would import a numpy.py from there."""
    code = f"{OURS}/code/0123456789abcdef"
    assert reaches(named("StageRole"), "s3:PutObject", f"{code}/sourcedir.tar.gz")
    for role in REPOSITORY:
        for name in ("numpy.py", "requirements.txt", "x/sourcedir.tar.gz", "sourcedir.tar.gz.py"):
            assert not reaches(named(role), "s3:PutObject", f"{code}/{name}")


def test_no_role_finds_the_checkpoints_of_a_run_without_its_secret() -> None:
    """The run's training loads its checkpoints. A role that knows the folder's name could write into it."""
    secret = "0123456789abcdef" * 2
    patterns = {
        (policy.role, pattern)
        for policy in POLICIES
        for statement in policy.statements
        if {"s3:ListBucket", "s3:ListBucketVersions"} & set(listed(statement["Action"]))
        for pattern in listed(conditions(statement).get("s3:prefix", "*"))
    }
    folder = f"toxic-comments-dev/checkpoints/{secret}/"
    above = [folder[:length] for length in range(len(folder))]
    assert [(role, foreign) for role, pattern in patterns for foreign in above if fnmatchcase(foreign, pattern)] == []
    assert [role for role, pattern in patterns if fnmatchcase(folder, pattern)] == ["JobRole"]


def test_the_repositorys_code_may_not_approve_create_resources_or_pass_roles() -> None:
    allowed = {
        action for role in REPOSITORY for statement in named(role).statements for action in listed(statement["Action"])
    }
    beyond_files = {entry for entry in allowed if not entry.startswith(("s3:", "logs:", "ecr:", "cloudwatch:"))}
    assert beyond_files == {
        "sagemaker:DescribeEndpoint",
        "sagemaker:DescribeEndpointConfig",
        "sagemaker:DescribeModel",
        "sagemaker:DescribeModelPackage",
        "sagemaker:InvokeEndpoint",
    }


def test_only_a_step_without_the_repositorys_code_decides_about_models() -> None:
    deciding = ("sagemaker:CreateModelPackage", "sagemaker:UpdateModelPackage")
    allowed = {
        (policy.role, action)
        for policy in POLICIES
        for statement in policy.statements
        for action in listed(statement["Action"])
        if action in deciding or action == "codepipeline:PutApprovalResult"
    }
    assert allowed == {("DecisionRole", action) for action in deciding}


def test_no_role_deletes_objects_of_the_bucket() -> None:
    allowed = {entry for policy in POLICIES for statement in policy.statements for entry in listed(statement["Action"])}
    assert [entry for entry in allowed if entry.startswith("s3:") and "Delete" in entry] == []


def test_the_endpoints_role_cannot_change_a_model() -> None:
    model = "arn:aws:s3:::a-bucket/toxic-comments-dev/models/0/model.tar.gz"
    assert reaches(named("ModelRole"), "s3:GetObject", model)
    assert not reaches(named("ModelRole"), "s3:PutObject", model)


@pytest.mark.parametrize("name", VARIANTS)
def test_a_role_is_taken_by_one_service_for_this_account(name: str) -> None:
    for trust in trusts(variant(name), name):
        (statement,) = trust.statements
        assert statement["Action"] == "sts:AssumeRole"
        service = statement["Principal"]["Service"]
        assert service in SILENT or conditions(statement)["aws:SourceAccount"] == "111122223333", trust


@pytest.mark.parametrize("name", VARIANTS)
def test_no_managed_policy_is_attached(name: str) -> None:
    for role in variant(name).of_type("AWS::IAM::Role").values():
        assert "ManagedPolicyArns" not in role


def unexplained(text: str) -> list[int]:
    """Return the lines of stars in whose statement no comment precedes them."""
    lines = text.splitlines()
    stars = resource_stars(text)
    return [star for began, star in stars if not any(line.strip().startswith("#") for line in lines[began:star])]


def test_each_star_says_why() -> None:
    texts = {template.name: template.read_text(encoding="utf-8") for template in FOLDER.glob("*.yaml")}
    assert {name: gaps for name, text in texts.items() if (gaps := unexplained(text))} == {}
    resolved = [
        entry for policy in POLICIES for statement in policy.statements for entry in listed(statement["Resource"])
    ]
    assert "*" in resolved
    assert any(list(resource_stars(text)) for text in texts.values()), "what is looked for is found"


@pytest.mark.parametrize("star", ['"*"', "'*'", '["*"]', '[one, "*"]', '\n    - one\n    - "*"', '!If [A, one, "*"]'])
def test_a_star_is_found_in_every_notation(star: str) -> None:
    statement = f"Statement:\n- Effect: Allow\n  Resource: {star}\n"
    assert len(unexplained(statement)) == 1
    assert unexplained(statement.replace("  Resource", "  # There is no narrower one.\n  Resource")) == []


GRANTED_BY_CDK = (
    "CreateStack DescribeStackEvents DescribeStackResource DescribeStackResources DescribeStacks GetStackPolicy "
    "GetTemplate GetTemplateSummary SetStackPolicy UpdateStack ValidateTemplate"
)


@pytest.mark.parametrize("action", GRANTED_BY_CDK.split())
def test_the_pipeline_has_the_cdks_permissions_on_the_endpoints_stack(action: str) -> None:
    """The list is the CDK's for an action that creates or updates a stack.

    It is not documented which of these permissions CodePipeline needs.
    """
    stack = ARN.format("cloudformation", "stack/mlops-toxic-comments-dev-endpoint/0")
    assert reaches(named("PipelineRole"), f"cloudformation:{action}", stack)


def test_the_deploy_role_has_the_permissions_of_cloudformations_schemas_and_few_others() -> None:
    allowed = {action for statement in named("DeployRole").statements for action in listed(statement["Action"])}
    assert allowed == permissions_of_handlers(load(FOLDER / "endpoint.yaml")) | set(FURTHER)
