"""Settings for the rules of a company's AWS accounts: name, default, meaning, pattern, and the pattern in words.

backends/aws/company_account.py applies them.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable

from mlops_cli.core.jobs.codeartifact import DOMAIN_ARN
from mlops_cli.core.jobs.secret_addresses import MANAGED_ARN, PARAMETER

ACCOUNT = "[a-z0-9-]*:[0-9]{12}"
# Without user and password, because a setting is not secret: it is printed and stored in the stacks.
INDEX = r"(https://[\w.-]+|http://(127\.0\.0\.1|localhost))(:[0-9]{1,5})?(/[\w.~%+-]+)*/?"
TAG_KEY, TAG_VALUE = r"(?!aws:|mlops:)[\w .:/+@-]{1,128}", r"[\w .:/=+@-]{0,256}"
# A registry in ECR, with an optional prefix of the repositories' names.
REGISTRY = r"[0-9]{12}\.dkr\.ecr\.[a-z0-9-]+\.amazonaws\.com(\.cn)?"
REPOSITORY = r"[a-z0-9]+([._/-][a-z0-9]+)*"
ECR_IMAGE = rf"{REGISTRY}/{REPOSITORY}(:[\w][\w.-]{{0,127}}|@sha256:[0-9a-f]{{64}})"
BUILD_IMAGE = "aws/codebuild/standard:8.0"
COMPANY_SETTINGS: tuple[tuple[str, str, str, str, str], ...] = (
    (
        "PERMISSIONS_BOUNDARY",
        "",
        "the ARN of the permissions boundary of every role",
        r"arn:aws[a-z-]*:iam::([0-9]{12}|aws):policy/[\w+=,.@/-]+",
        "the ARN of an IAM policy",
    ),
    (
        "ROLE_PATH",
        "/",
        "the path of the roles, such as /teams/ml/",
        r"/([!-.0-~]+/)*",
        "a path that begins and ends with /",
    ),
    (
        "RESOURCE_TAGS",
        "",
        "tags of all created resources, such as cost-center=42,team=ml",
        rf"{TAG_KEY}={TAG_VALUE}(,{TAG_KEY}={TAG_VALUE})*",
        "tags as KEY=VALUE, separated by commas; no key begins with aws: or mlops:",
    ),
    (
        "KMS_KEY_ARN",
        "",
        "the KMS key that encrypts bucket, volumes, outputs, logs and topic; empty: AWS's keys",
        rf"arn:aws[a-z-]*:kms:{ACCOUNT}:key/[\w-]+",
        "the ARN of a KMS key",
    ),
    (
        "VPC_ID",
        "",
        "the VPC of builds, jobs and the endpoint, with SUBNET_IDS and SECURITY_GROUP_IDS; empty: none",
        r"vpc-[0-9a-f]{8,17}",
        "the ID of a VPC",
    ),
    (
        "SUBNET_IDS",
        "",
        "private subnets of VPC_ID, separated by commas",
        r"subnet-[0-9a-f]{8,17}(,subnet-[0-9a-f]{8,17}){0,15}",
        "the IDs of at most 16 subnets, separated by commas",
    ),
    (
        "SECURITY_GROUP_IDS",
        "",
        "security groups of VPC_ID, separated by commas",
        r"sg-[0-9a-f]{8,17}(,sg-[0-9a-f]{8,17}){0,4}",
        "the IDs of at most 5 security groups, separated by commas",
    ),
    (
        "PACKAGE_INDEX_URL",
        "",
        "the package index of builds and jobs, without a credential; empty: PyPI",
        INDEX,
        "an https address without user, password and query: PACKAGE_INDEX_SECRET names the place of the credential",
    ),
    (
        "PACKAGE_INDEX_SECRET",
        "",
        "the path in Parameter Store, or the ARN of the secret, with USER:PASSWORD for PACKAGE_INDEX_URL; for "
        "CodeArtifact the ARN of its domain; empty: none",
        f"{PARAMETER}|{MANAGED_ARN}|{DOMAIN_ARN}",
        "a path of Parameter Store, such as /team/index, the whole ARN of a secret in Secrets Manager, or the ARN of a "
        "CodeArtifact domain; never the secret itself",
    ),
    (
        "IMAGE_REGISTRY",
        "",
        "the registry in ECR that has AWS's images of the framework, such as "
        "123456789012.dkr.ecr.eu-west-1.amazonaws.com/mirror; empty: AWS's own",
        rf"{REGISTRY}(/{REPOSITORY})?",
        "ACCOUNT.dkr.ecr.REGION.amazonaws.com, or that with / and a prefix of the repositories' names",
    ),
    (
        "BUILD_IMAGE",
        BUILD_IMAGE,
        "the image of builds: one of CodeBuild's or one in ECR, with Python 3.12, bash and the AWS CLI",
        rf"aws/codebuild/[\w.:/-]+|{ECR_IMAGE}",
        "an image of CodeBuild such as aws/codebuild/standard:8.0, or the address of one in ECR with its tag or digest",
    ),
)


def company_check(name: str, pattern: str, expected: str) -> Callable[[str], str]:
    """Return the check of a setting's value, which returns the problem or ""."""

    def check(value: str) -> str:
        if value and not re.fullmatch(pattern, value):
            return f"expected {expected}"
        return _repeated_tag(value) if name == "RESOURCE_TAGS" else ""

    return check


def _repeated_tag(value: str) -> str:
    """Return the problem of a repeated key. IAM does not distinguish upper and lower case."""
    keys = [tag.partition("=")[0] for tag in value.split(",")]
    counts = Counter(key.lower() for key in keys)
    repeated = [key for key in keys if counts[key.lower()] > 1]
    return f"the tag {repeated[0]} occurs twice; write one value for it" if repeated else ""
