"""A company's account denies people and roles everything without its boundary, path, tags, key or network.

Its packages are in an index with a credential, and its images in its own registry.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from aws_simulator.accounts import user
from aws_simulator.fixture import REGION, Aws
from aws_simulator.services.company import key_policy
from mlops_cli.backends.aws.company_account import CompanyAccount
from mlops_cli.backends.aws.doctor.required_permissions import ArnContext, policy, required_permissions
from mlops_cli.backends.aws.resource_names import ResourceNames
from mlops_cli.files.hashing import digest_file
from tests.harness.cloud import Cloud, everything, project, use_tensorflow
from tests.package_index import private_index, write_packages

pytestmark = pytest.mark.slow
__all__ = ["project"]
ACCOUNT = "123456789012"
BOUNDARY = f"arn:aws:iam::{ACCOUNT}:policy/teams/limit"
BUCKET = "the-company"
JOBS = ["sagemaker:CreateProcessingJob", "sagemaker:CreateTrainingJob"]
TAGGED = [
    "iam:CreateRole",
    "codebuild:CreateProject",
    "codepipeline:CreatePipeline",
    "sagemaker:CreateModelPackageGroup",
    "sagemaker:CreateModel",
    "sagemaker:CreateEndpointConfig",
    "sagemaker:CreateEndpoint",
    *JOBS,
]


def refusal(actions: Any, key: str, operator: str = "Null", value: str = "true", **where: str) -> dict[str, Any]:
    resource = where or {"Resource": "*"}
    condition = {"Condition": {operator: {key: value}}} if key else {}
    return {"Effect": "Deny", "Action": actions, **resource, **condition}


def demanding(key: str) -> dict[str, Any]:
    """Return the policy of a bucket that refuses every upload without its key in the request."""
    sse, name = "s3:x-amz-server-side-encryption", "s3:x-amz-server-side-encryption-aws-kms-key-id"
    conditions = [{"StringNotEquals": {sse: "aws:kms"}}, {"Null": {name: "true"}}, {"StringNotEquals": {name: key}}]
    statement = {"Effect": "Deny", "Principal": "*", "Action": "s3:PutObject", "Resource": f"arn:aws:s3:::{BUCKET}/*"}
    return {
        "Version": "2012-10-17",
        "Statement": [{**statement, "Condition": condition} for condition in conditions],
    }


REFUSED = [
    refusal("iam:CreateRole", "iam:PermissionsBoundary", "StringNotEquals", BOUNDARY),
    refusal("iam:CreateRole", "", NotResource=f"arn:aws:iam::{ACCOUNT}:role/teams/ml/*"),
    refusal(TAGGED, "aws:RequestTag/cost-center"),
    refusal([*JOBS, "sagemaker:CreateModel"], "sagemaker:VpcSubnets"),
    refusal([*JOBS, "sagemaker:CreateEndpointConfig"], "sagemaker:VolumeKmsKey"),
    refusal(JOBS, "sagemaker:OutputKmsKey"),
    refusal("ecr:*Image*", "", NotResource=f"arn:aws:ecr:*:{ACCOUNT}:repository/mirror/*"),
]
ROLES = {"PERMISSIONS_BOUNDARY": BOUNDARY, "ROLE_PATH": "/teams/ml/"}
TAGS = {"RESOURCE_TAGS": "cost-center=42,team=machine learning"}
TRAINING, SERVING = "tensorflow-training:2.21-cpu-py312", "tensorflow-inference:2.20-cpu-py312"
USER, PASSWORD = "build@company", "p/ss:w%rd 7"
DOMAIN, TOKEN = f"arn:aws:codeartifact:{REGION}:{ACCOUNT}:domain/company", "eyJ2ZXIiOjEsImlzdSI6.company-token_7"


class Company:
    """An account with a key and a network, and a user with exactly the permissions in the docs."""

    def __init__(self, aws: Aws, folder: Path) -> None:
        self.aws, self.folder = aws, folder
        ec2 = aws.client("ec2")
        vpc = ec2.create_vpc(CidrBlock="10.1.0.0/16")["Vpc"]["VpcId"]
        subnets = [ec2.create_subnet(VpcId=vpc, CidrBlock=f"10.1.{n}.0/24")["Subnet"]["SubnetId"] for n in (1, 2)]
        group = ec2.create_security_group(GroupName="ml", Description="ml", VpcId=vpc)["GroupId"]
        self.key = str(aws.client("kms").create_key(Policy=json.dumps(key_policy()))["KeyMetadata"]["Arn"])
        self.network = {"VPC_ID": vpc, "SUBNET_IDS": ",".join(subnets), "SECURITY_GROUP_IDS": group}
        self.registry = f"{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com/mirror"
        self.images = {"IMAGE_REGISTRY": self.registry, "BUILD_IMAGE": f"{self.registry}/builds:1"}
        self.bucket = {"BUCKET_NAME": BUCKET, "KMS_KEY_ARN": self.key}
        self.everything = {**ROLES, **TAGS, **self.network, **self.images, **self.bucket}
        aws.client("s3").create_bucket(Bucket=BUCKET)
        aws.client("s3").put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})
        aws.client("s3").put_bucket_policy(Bucket=BUCKET, Policy=json.dumps(demanding(self.key)))
        limit = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}, *REFUSED]}
        aws.client("iam").create_policy(PolicyName="limit", Path="/teams/", PolicyDocument=json.dumps(limit))
        names = ResourceNames("tiny", "dev")
        settings = {**self.everything, "PACKAGE_INDEX_SECRET": DOMAIN}
        context = ArnContext(
            "aws", REGION, ACCOUNT, names, "tiny-dev", BUCKET, False, "s3", "", "", False, settings, True
        )
        self._keys = user(aws, "ann", *policy(required_permissions(context))["Statement"], *REFUSED)

    def push(self, address: str) -> None:
        """Push an image into the registry. ``address``: without its account and region."""
        name, _, tag = f"mirror/{address}".partition(":")
        ecr = self.aws.client("ecr")
        ecr.create_repository(repositoryName=name)
        manifest = {"schemaVersion": 2, "config": {"digest": f"sha256:{'0' * 64}"}, "layers": []}
        ecr.put_image(repositoryName=name, imageTag=tag, imageManifest=json.dumps(manifest))

    def cloud(self, **settings: str) -> Cloud:
        keys = {name.upper(): value for name, value in self._keys.items()}
        return Cloud(self.folder, self.aws, SOURCE="s3", **keys, **settings)


@pytest.fixture
def company(aws: Aws, project: Path, tiny_model: Path) -> Iterator[Company]:
    use_tensorflow(project, tiny_model)
    yield Company(aws, project)


@pytest.mark.parametrize(("settings", "refused"), [(TAGS, "iam:CreateRole"), (ROLES, "iam:CreateRole")])
def test_roles_without_boundary_path_or_tags_are_refused(
    company: Company, settings: dict[str, str], refused: str
) -> None:
    _, err = company.cloud(**settings, **company.bucket).both("deploy-infra", "--yes", code=1)
    assert refused in err
    assert "explicit deny" in err


PROCESSING: dict[str, Any] = {
    "ProcessingJobName": "j",
    "RoleArn": f"arn:aws:iam::{ACCOUNT}:role/none",
    "AppSpecification": {"ImageUri": "i"},
    "ProcessingResources": {"ClusterConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 1}},
    "ProcessingOutputConfig": {"Outputs": []},
}


@pytest.mark.parametrize("missing", ["", "tags", "kms_key", "subnets"])
def test_a_job_without_tags_key_or_network_is_refused(company: Company, missing: str) -> None:
    account = CompanyAccount({"cost-center": "42"}, company.key, ("subnet-01234567",), ("sg-01234567",))
    request = replace(account, **{missing: type(getattr(account, missing))()} if missing else {}).job_request(
        PROCESSING
    )
    credentials = user(company.aws, "bob", {"Action": "*", "Resource": "*"}, *REFUSED)
    client = company.aws.client("sagemaker", **credentials)
    with pytest.raises(client.exceptions.ClientError) as caught:
        client.create_processing_job(**request)
    assert ("explicit deny" in str(caught.value)) is bool(missing), caught.value


def use_packages(project: Path, index: Path) -> None:
    """Let every script and the gates import a package that only the company's index has."""
    write_packages(index, {"company-tools": "1.0"}, "VERSION = '1.0'\n")
    (wheel,) = index.rglob("*.whl")
    training = project / "training"
    (training / "requirements.txt").write_text("company-tools==1.0\n")
    (training / "requirements.lock").write_text(f"company-tools==1.0 --hash=sha256:{digest_file(wheel)}\n")
    for name in ("preprocess.py", "train.py", "tests/test_pretraining.py"):
        path = training / name
        path.write_text(path.read_text().replace("from hold import", "import company_tools\nfrom hold import", 1))


@pytest.fixture
def index(company: Company, project: Path, tmp_path: Path) -> Iterator[dict[str, str]]:
    """Return the settings of an index with a stored credential, for a project that needs it."""
    use_packages(project, tmp_path / "index")
    # Containers with nothing but these: no package of this machine is there.
    company.aws.control("images", **{"tensorflow-training": ["numpy", "boto3"]})

    def status_of(credential: str) -> int:
        user_name, _, password = credential.partition(":")
        if user_name != "aws":
            return 200 if credential == f"{USER}:{PASSWORD}" else 401
        names = {"domain": "company", "repository": "pypi"}
        return int(company.aws.control("codeartifact-read", token=password, **names))

    with private_index(tmp_path / "index", status_of) as url:
        yield {"PACKAGE_INDEX_URL": url, "PACKAGE_INDEX_SECRET": "/company/packages"}


def test_the_lifecycle_in_a_company(company: Company, index: dict[str, str]) -> None:
    aws = company.aws
    company.cloud(**ROLES, **TAGS, **company.bucket)("deploy-infra", "--yes")
    cloud = company.cloud(**company.everything, **index)
    assert "the images in your registry by GB" in cloud.json("deploy-infra", "--dry-run")["costs"]["by_use"]
    findings = cloud.json("doctor", code=1)["findings"]
    states = [finding["state"] for finding in findings if finding["name"] == "company"]
    assert states == [*["ok"] * 6, "failure", "failure", "failure"]
    assert any("Parameter Store, /company/packages" in finding["message"] for finding in findings)
    (pull,) = (finding["fix"] for finding in findings if finding["fix"].startswith("docker pull"))
    assert pull.endswith(f" && docker push {company.registry}/{TRAINING}")
    for image in (TRAINING, SERVING, "builds:1"):
        company.push(image)
    aws.control("store-secrets", **{"/company/packages": f"{USER}:{PASSWORD}"})
    findings = cloud.json("doctor")["findings"]
    assert [finding["state"] for finding in findings if finding["name"] == "company"] == ["ok"] * 9
    cloud("deploy-infra", "--yes")
    cloud("download-data", "--source", "tiny.csv")
    cloud.approved()
    cloud("test-endpoint")
    assert aws.denials() == []
    check_roles(aws)
    check_jobs(company)
    check_endpoint(company)
    check_builds_and_bucket(company)
    check_token(company, index)
    check_logs(aws)

    plan = json.dumps(cloud.json("cleanup", "--yes")["plan"])
    kept = (company.key, company.network["VPC_ID"], BOUNDARY, DOMAIN, company.registry)
    for resource in kept:
        assert resource in plan
    left = everything(aws)
    assert {kind: names for kind, names in left.items() if names and kind != "log streams"} == {"buckets": [BUCKET]}
    assert "Contents" not in aws.client("s3").list_objects_v2(Bucket=BUCKET)
    assert aws.client("kms").describe_key(KeyId=company.key)["KeyMetadata"]["KeyState"] == "Enabled"
    assert [entry for entry in aws.control("people") if not entry["allowed"]] == []


def check_roles(aws: Aws) -> None:
    iam = aws.client("iam")
    roles = [role for role in iam.list_roles()["Roles"] if "mlops-tiny" in role["RoleName"]]
    assert len(roles) > 5
    for role in roles:
        described = iam.get_role(RoleName=role["RoleName"])["Role"]
        assert (described["Path"], described["PermissionsBoundary"]["PermissionsBoundaryArn"]) == (
            "/teams/ml/",
            BOUNDARY,
        )


def check_jobs(company: Company) -> None:
    sagemaker, network = company.aws.client("sagemaker"), company.network
    name = sagemaker.list_training_jobs()["TrainingJobSummaries"][0]["TrainingJobName"]
    training = sagemaker.describe_training_job(TrainingJobName=name)
    assert training["VpcConfig"]["Subnets"] == network["SUBNET_IDS"].split(",")
    assert training["AlgorithmSpecification"]["TrainingImage"] == f"{company.registry}/{TRAINING}"
    assert training["VpcConfig"]["SecurityGroupIds"] == [network["SECURITY_GROUP_IDS"]]
    assert training["ResourceConfig"]["VolumeKmsKeyId"] == training["OutputDataConfig"]["KmsKeyId"] == company.key
    tags = {tag["Key"]: tag["Value"] for tag in sagemaker.list_tags(ResourceArn=training["TrainingJobArn"])["Tags"]}
    assert tags == {
        "MANAGED_BY_AWS": "STARTED_BY_STEP_FUNCTIONS",
        "mlops:project": "tiny",
        "mlops:environment": "dev",
        "cost-center": "42",
        "team": "machine learning",
    }


def check_endpoint(company: Company) -> None:
    sagemaker = company.aws.client("sagemaker")
    config = sagemaker.describe_endpoint(EndpointName="tiny-dev")["EndpointConfigName"]
    described = sagemaker.describe_endpoint_config(EndpointConfigName=config)
    assert described["KmsKeyId"] == company.key
    model = sagemaker.describe_model(ModelName=described["ProductionVariants"][0]["ModelName"])
    assert model["VpcConfig"]["Subnets"] == company.network["SUBNET_IDS"].split(",")
    tags = sagemaker.list_tags(ResourceArn=described["EndpointConfigArn"])["Tags"]
    assert {"Key": "cost-center", "Value": "42"} in tags


def check_builds_and_bucket(company: Company) -> None:
    aws = company.aws
    names = ["mlops-tiny-dev-pipeline", "mlops-tiny-dev-pipeline-decisions"]
    for described in aws.client("codebuild").batch_get_projects(names=names)["projects"]:
        assert (described["vpcConfig"]["vpcId"], described["encryptionKey"]) == (company.network["VPC_ID"], company.key)
    store = aws.client("codepipeline").get_pipeline(name=names[0])["pipeline"]["artifactStore"]
    assert store["encryptionKey"] == {"id": company.key, "type": "KMS"}
    s3 = aws.client("s3")
    keys = [entry["Key"] for entry in s3.list_objects_v2(Bucket=BUCKET)["Contents"]]
    assert {key.split("/")[1] for key in keys} >= {"artifacts", "code", "data", "models", "runs"}
    assert {s3.head_object(Bucket=BUCKET, Key=key)["SSEKMSKeyId"] for key in keys} == {company.key}


def check_token(company: Company, index: dict[str, str]) -> None:
    """A run with packages from CodeArtifact: the roles get a token, and have no access to the credential."""
    cloud = company.cloud(**company.everything, **{**index, "PACKAGE_INDEX_SECRET": DOMAIN})
    ((missing, *_),) = ([f["message"] for f in cloud.json("doctor", code=1)["findings"] if f["state"] == "failure"],)
    assert missing == f"PACKAGE_INDEX_SECRET {DOMAIN}: Domain not found: company"
    company.aws.control("codeartifact", domain="company", repositories=["pypi"], token=TOKEN)
    assert f"warning: PACKAGE_INDEX_SECRET {DOMAIN}" not in cloud("deploy-infra", "--yes")
    assert cloud.json("run", "--force")["status"] == "waiting"
    assert company.aws.denials() == []
    rights = set()
    for kind in ("StageRole", "DecisionRole", "JobRole"):
        role = next(r for r in company.aws.client("iam").list_roles()["Roles"] if f"-{kind}-" in r["RoleName"])
        rights |= set(company.aws.client("iam").list_role_policies(RoleName=role["RoleName"])["PolicyNames"])
    assert ("index-token" in rights, "index" in rights) == (True, False)


def check_logs(aws: Aws) -> None:
    """No log of a build or job, and no description of a job, has the credential or the token."""
    logs, sagemaker = aws.client("logs"), aws.client("sagemaker")
    texts = []
    for group in logs.describe_log_groups()["logGroups"]:
        name = group["logGroupName"]
        for stream in logs.describe_log_streams(logGroupName=name)["logStreams"]:
            answer = logs.get_log_events(logGroupName=name, logStreamName=stream["logStreamName"], startFromHead=True)
            texts += [event["message"] for event in answer["events"]]
    jobs = sagemaker.list_training_jobs()["TrainingJobSummaries"]
    texts += [str(sagemaker.describe_training_job(TrainingJobName=job["TrainingJobName"])) for job in jobs]
    assert len(texts) > len(jobs) > 0
    assert [text for text in texts if any(word in text for word in (PASSWORD, quote(PASSWORD, safe=""), TOKEN))] == []
