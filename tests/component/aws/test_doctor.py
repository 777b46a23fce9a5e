"""`mlops doctor` on the simulated AWS with IAM enforced: each fault is real, and the finding names it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from aws_simulator.accounts import eventually, user
from aws_simulator.services.company import key_policy
from aws_simulator.tests.sagemaker.endpoint_account import Models
from mlops_cli.backends.aws.account import Account
from mlops_cli.backends.aws.doctor.permissions import arn_context
from mlops_cli.backends.aws.doctor.required_permissions import RequiredPermission, policy, required_permissions
from mlops_cli.backends.aws.doctor.requirements import requirements as requirements_check
from mlops_cli.core.checks import Finding, State
from tests.component.aws.conftest import Scenario
from tests.conftest import Cli

OURS = [{"Key": "mlops:project", "Value": "tiny"}, {"Key": "mlops:environment", "Value": "dev"}]


def subject_of(scenario: Scenario, **settings: str) -> Any:
    from mlops_cli.backends.aws.doctor import CheckContext

    backend = scenario.backend(**settings)
    return CheckContext(
        backend.deployed.project,
        backend.deployed.use_case,
        backend.deployed.settings,
        backend.deployed.account,
        backend.deployed.names,
        backend.data.dataset,
    )


def wanted(scenario: Scenario) -> tuple[RequiredPermission, ...]:
    return required_permissions(arn_context(subject_of(scenario)))


def keys(credentials: dict[str, str]) -> dict[str, str]:
    """Return the environment variables of the credentials."""
    return {name.upper(): value for name, value in credentials.items()}


def allowed(scenario: Scenario, name: str, permissions: Iterable[RequiredPermission]) -> Cli:
    """Return `mlops` as a user with exactly these permissions."""
    return scenario.cli(OWNER="root", **keys(user(scenario.aws, name, *policy(permissions)["Statement"])))


def examined(scenario: Scenario, *names: str) -> list[Finding]:
    return [check for check in scenario.backend().run_checks() if not names or check.name in names]


def shown(cli: Cli, code: int, *names: str) -> list[dict[str, Any]]:
    report = cli.json("doctor", code=code)
    assert report["target"] == "aws"
    return [finding for finding in report["findings"] if finding["name"] in names]


def with_data(scenario: Scenario) -> Scenario:
    (scenario.root / "tiny.csv").write_text("id,text,long\n" + "".join(f"{n},t{n},{n % 2}\n" for n in range(9)))
    scenario.backend().infra.deploy()
    scenario.cli()("download-data", "--source", "tiny.csv")
    return scenario


def test_a_caller_with_all_permissions_gets_no_failure(scenario: Scenario) -> None:
    cli = allowed(with_data(scenario), "ann", wanted(scenario))
    out = cli("doctor")
    assert "permissions     all " in out
    assert "ml.m5.xlarge for training job usage: 4, the training job needs 1" in " ".join(out.split())
    assert re.search(r"dataset +9 rows, \d+ B, sha256", out), "a small size is no 0.0 MB"
    assert out.splitlines()[-1].endswith(" fine")
    denied = [person for person in scenario.aws.control("people") if not person["allowed"]]
    assert denied == [], "doctor itself needs nothing that is not on the list"


def test_custom_images_need_permissions_of_their_registry(scenario: Scenario) -> None:
    own = "123456789012.dkr.ecr.us-east-1.amazonaws.com/ours/{}:7"
    use_case = scenario.root / "training" / "usecase.toml"
    images = f'[model]\ntraining_image = "{own.format("training")}"\nserving_image = "{own.format("serving")}"\n'
    use_case.write_text(use_case.read_text().replace("[model]\n", images, 1))
    needed = [need for need in wanted(scenario) if need.actions == ("ecr:DescribeImages",)]
    assert [need.resource.rpartition(":")[2] for need in needed] == [
        "repository/ours/training",
        "repository/ours/serving",
    ]
    findings = shown(allowed(scenario, "kim", wanted(scenario)), 1, "permissions", "images")
    assert [(finding["state"], finding["message"]) for finding in findings if finding["name"] == "images"] == [
        ("failure", f"[model] {key}_image: there is no image {own.format(key)}.") for key in ("training", "serving")
    ]
    assert [finding["state"] for finding in findings if finding["name"] == "permissions"] == ["ok"]
    assert [person for person in scenario.aws.control("people") if not person["allowed"]] == []


def test_a_missing_permission_is_named_with_the_commands_that_need_it(scenario: Scenario) -> None:
    remaining = [need for need in wanted(scenario) if "iam:CreateRole" not in need.actions]
    findings = shown(allowed(scenario, "bob", remaining), 1, "permissions")
    assert [finding["state"] for finding in findings] == ["failure"]
    assert findings[0]["message"].startswith("You may not iam:CreateRole, ")
    assert "role/mlops-tiny-dev-pipeline-*" in findings[0]["message"]
    assert findings[0]["reason"] == "mlops deploy-infra and mlops cleanup would be refused."
    assert "Allow it for arn:aws:iam::123456789012:user/bob" in findings[0]["fix"]


def test_a_role_that_may_be_passed_to_another_service_only(scenario: Scenario) -> None:
    passing = [need for need in wanted(scenario) if need.passed_to]
    remaining = [need for need in wanted(scenario) if need.passed_to in ("", "states.amazonaws.com")]
    findings = shown(allowed(scenario, "cem", remaining), 1, "permissions")
    assert len(findings) == len(passing) - 1
    assert "passing it to codebuild.amazonaws.com" in " ".join(finding["message"] for finding in findings)


def test_without_the_policy_simulator_the_other_checks_run(scenario: Scenario) -> None:
    remaining = [need for need in wanted(scenario) if "iam:SimulatePrincipalPolicy" not in need.actions]
    (finding,) = shown(allowed(with_data(scenario), "dee", remaining), 0, "permissions")
    assert (finding["state"], finding["message"]) == ("warning", "IAM does not let you simulate your own permissions.")
    assert "iam:SimulatePrincipalPolicy" in finding["fix"]


def test_a_session_of_a_role_is_held_against_its_role(scenario: Scenario) -> None:
    iam, trust = scenario.aws.client("iam"), {"Effect": "Allow", "Principal": {"AWS": "*"}, "Action": "sts:AssumeRole"}
    role = iam.create_role(
        RoleName="dev",
        Path="/teams/",
        AssumeRolePolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [trust]}),
    )["Role"]["Arn"]
    permitted = [need for need in wanted(scenario) if "s3:PutObject" not in need.actions]
    iam.put_role_policy(RoleName="dev", PolicyName="p", PolicyDocument=json.dumps(policy(permitted)))
    session = scenario.aws.client("sts").assume_role(RoleArn=role, RoleSessionName="me")["Credentials"]
    cli = scenario.cli(
        AWS_ACCESS_KEY_ID=session["AccessKeyId"],
        AWS_SECRET_ACCESS_KEY=session["SecretAccessKey"],
        AWS_SESSION_TOKEN=session["SessionToken"],
    )
    (finding,) = shown(cli, 1, "permissions")
    assert "s3:PutObject" in finding["message"]
    assert f"Allow it for {role}" in finding["fix"]


def test_a_quota_of_nothing_would_fail_and_says_how_to_raise_it(scenario: Scenario) -> None:
    scenario.aws.control("sagemaker-quota", quota="ml.m5.large for endpoint usage", limit=0)
    findings = shown(scenario.cli(), 1, "quota")
    (wrong,) = [finding for finding in findings if finding["state"] == "failure"]
    assert wrong["message"] == "ml.m5.large for endpoint usage: 0, the endpoint needs 1."
    assert "ResourceLimitExceeded" in wrong["reason"]
    assert "aws service-quotas request-service-quota-increase --service-code sagemaker" in wrong["fix"]
    assert "--desired-value 2" in wrong["fix"], "a deployment holds the old instances beside the new ones"
    assert len(findings) == 3, "preprocessing, training, endpoint"


def test_the_quota_is_that_of_the_chosen_training_instance_also_with_spot(scenario: Scenario) -> None:
    use_case = scenario.root / "training" / "usecase.toml"
    use_case.write_text(use_case.read_text() + "\n[aws.train]\nspot = true\n")
    names = [finding["message"].split(":")[0] for finding in shown(scenario.cli(INSTANCE="ml.g5.xlarge"), 0, "quota")]
    assert "ml.g5.xlarge for spot training job usage" in names
    (finding,) = [finding for finding in examined(scenario, "quota") if "spot" in finding.message]
    assert (finding.state, "ml.m5.xlarge for spot" in finding.message) == (State.OK, True)


def test_an_instance_type_without_a_quota_is_unknown(scenario: Scenario) -> None:
    findings = [
        finding for finding in shown(scenario.cli(INSTANCE="ml.x9.huge"), 0, "quota") if finding["state"] != "ok"
    ]
    assert [finding["message"] for finding in findings] == [
        "Service Quotas has no 'ml.x9.huge for training job usage' in us-east-1."
    ]


@pytest.mark.slow
def test_unused_endpoints_are_reported_with_their_project(scenario: Scenario, tiny_model: Path, tmp_path: Path) -> None:
    models = Models(scenario.aws, tiny_model, tmp_path)
    foreign = [{"Key": "mlops:project", "Value": "churn"}, {"Key": "mlops:environment", "Value": "prod"}]
    for name, tags in (("tiny-dev", OURS), ("churn-prod", foreign), ("somebodys", []), ("busy", [])):
        models.config(name)
        models.endpoint(name, name, Tags=tags)
        scenario.aws.control("sagemaker-age", endpoint=name, days=3)
    models.config("young")
    models.endpoint("young", "young")
    models.ask("busy", "hello")
    findings = examined(scenario, "endpoints")
    assert {finding.state for finding in findings} == {State.WARNING}
    by_endpoint = {finding.message.split(" ")[0]: finding for finding in findings}
    assert sorted(by_endpoint) == ["churn-prod", "somebodys", "tiny-dev"]
    assert by_endpoint["tiny-dev"].message == (
        "tiny-dev (of this project) runs on 1 × ml.m5.large and had no request for 3 days."
    )
    assert by_endpoint["tiny-dev"].fix == "mlops cleanup --keep-data"
    assert "created by mlops for churn, STAGE=prod" in by_endpoint["churn-prod"].message
    assert "not created by mlops" in by_endpoint["somebodys"].message
    assert by_endpoint["somebodys"].fix.endswith("delete-endpoint --endpoint-name somebodys --region us-east-1")
    (quota,) = [finding for finding in examined(scenario, "quota") if "endpoint usage" in finding.message]
    assert (quota.state, "4, 4 of it in use" in quota.message) == (State.WARNING, True), "its own is not counted"
    remaining = [finding.message for finding in examined(scenario, "leftovers")]
    assert any(remaining.startswith("endpoint tiny-dev belongs to this project") for remaining in remaining)


def test_credentials_that_have_expired_are_a_finding_and_not_the_end(scenario: Scenario) -> None:
    expired = keys(scenario.aws.control("expired-credentials"))
    out, err = scenario.cli(**expired).both("doctor", code=1)
    assert "✗ failure  credentials     Your AWS credentials have expired." in out
    assert "Permissions, quotas, stacks, leftovers and endpoints were not checked." in " ".join(out.split())
    assert (out.count("expired"), err) == (1, "")


def test_credentials_that_expire_between_two_checks_end_the_checks_with_a_failure(scenario: Scenario) -> None:
    backend = scenario.backend()
    findings = backend.run_checks()
    assert next(finding for finding in findings if finding.name == "permissions").state is State.OK
    expired = keys(scenario.aws.control("expired-credentials"))
    credentials = backend.deployed.account.session.get_credentials()
    credentials.access_key, credentials.secret_key = expired["AWS_ACCESS_KEY_ID"], expired["AWS_SECRET_ACCESS_KEY"]
    credentials.token = expired["AWS_SESSION_TOKEN"]
    last = list(findings)[-1]
    assert (last.state, last.message) == (State.FAILURE, "Your AWS credentials have expired.")
    assert last.reason.startswith("These checks were not finished: ")
    assert last.reason.endswith("stack, owner, expiry, store, leftovers, endpoints.")


def test_without_credentials_the_project_itself_is_checked_all_the_same(scenario: Scenario) -> None:
    use_case = scenario.root / "training" / "usecase.toml"
    more = '[time_limits]\npost-training-tests = 3000\n[aws.endpoint]\nserverless = true\n[secrets]\nnames = ["FEED"]\n'
    use_case.write_text(f"{use_case.read_text()}\n{more}")
    (scenario.root / "training" / "requirements.txt").write_text("holidays==0.50\n")
    nobody = {"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": "", "AWS_DEFAULT_REGION": ""}
    network = {"VPC_ID": f"vpc-{'0' * 8}", "SUBNET_IDS": f"subnet-{'0' * 8}", "SECURITY_GROUP_IDS": f"sg-{'0' * 8}"}
    report = scenario.cli(**nobody, **network).json("doctor", code=1)
    findings = {(finding["name"], finding["message"]): finding for finding in report["findings"]}
    missing = [finding for (name, _), finding in findings.items() if name == "credentials"]
    assert [finding["message"] for finding in missing] == ["No AWS region is set.", "There are no AWS credentials."]
    assert ["mlops --region eu-west-1" in missing[0]["fix"], "aws configure" in missing[1]["fix"]] == [True, True]
    assert {name for name, _ in findings} >= {"company", "time limits", "requirements", "secrets", "aws"}
    assert any("post-training-tests has 3,000 minutes in [time_limits]" in message for _, message in findings)
    assert "FEED (Parameter Store, /mlops/tiny-dev/FEED)" in str(findings.keys())
    (rest,) = [finding for (name, _), finding in findings.items() if name == "aws"]
    assert rest["fix"] == "Fix the check credentials, then: mlops --target aws doctor"


def test_without_a_region_or_with_a_wrong_profile_it_says_what_to_set(scenario: Scenario) -> None:
    (finding,) = shown(scenario.cli(AWS_DEFAULT_REGION=""), 1, "credentials")
    assert (finding["message"], "mlops --region" in finding["fix"]) == ("No AWS region is set.", True)
    (finding,) = shown(scenario.cli(AWS_PROFILE="nobody"), 1, "credentials")
    assert "There is no AWS profile 'nobody'" in finding["message"]


@pytest.mark.parametrize(
    ("ahead", "state", "words"),
    [(0, State.OK, "agrees"), (100, State.WARNING, "s behind AWS's"), (-400, State.FAILURE, "s ahead of AWS's")],
)
def test_clocks_that_disagree(scenario: Scenario, ahead: int, state: State, words: str) -> None:
    scenario.aws.control("clock", ahead=ahead)
    (finding,) = examined(scenario, "clock")
    assert (finding.state, words in finding.message) == (state, True)


def test_a_lifecycle_rule_that_would_delete_approved_models_is_found(scenario: Scenario) -> None:
    """An older version of mlops or the owner of a bucket may have created it."""
    scenario.backend().deployed.infra_deployer.ensure_storage()
    (fine,) = examined(scenario, "expiry")
    assert fine.state is State.OK
    s3, name = scenario.aws.client("s3"), scenario.backend().deployed.bucket.name

    def expires(prefix: str, **expiration: Any) -> list[State]:
        rule = {"ID": "old", "Status": "Enabled", "Filter": {"Prefix": prefix}, **expiration}
        s3.put_bucket_lifecycle_configuration(Bucket=name, LifecycleConfiguration={"Rules": [rule]})
        return [finding.state for finding in examined(scenario, "expiry")]

    days, noncurrent = {"Expiration": {"Days": 180}}, {"NoncurrentVersionExpiration": {"NoncurrentDays": 30}}
    for prefix, expiration in (
        ("", days),
        ("tiny-dev/runs/", days),
        ("tiny-dev/artifacts/train/", days),
        ("", noncurrent),
    ):
        assert expires(prefix, **expiration) == [State.WARNING], (prefix, expiration)
    (finding,) = examined(scenario, "expiry")
    assert (finding.fix, "The lifecycle rule old of the bucket" in finding.message) == ("mlops deploy-infra", True)
    for prefix, expiration in (
        ("others/", days),
        ("tiny-dev/artifacts/reproduction/", days),
        ("tiny-dev/runs/", noncurrent),
    ):
        assert expires(prefix, **expiration) == [State.OK], (prefix, expiration)


def test_another_owners_stack_and_a_failed_stack_are_found(scenario: Scenario) -> None:
    cloudformation = scenario.aws.client("cloudformation")
    template = json.dumps({"Resources": {"T": {"Type": "AWS::SNS::Topic"}}})
    cloudformation.create_stack(StackName="mlops-tiny-dev-storage", TemplateBody=template)
    broken = json.dumps({"Resources": {"L": {"Type": "AWS::Logs::LogGroup", "Properties": {"LogGroupName": "taken"}}}})
    scenario.aws.client("logs").create_log_group(logGroupName="taken")
    cloudformation.create_stack(StackName="mlops-tiny-dev-endpoint", TemplateBody=broken, Tags=OURS)
    eventually(
        lambda: "mlops-tiny-dev-endpoint" in str(scenario.stacks()) and "IN_PROGRESS" not in str(scenario.stacks())
    )
    foreign, failed = examined(scenario, "stack")
    assert (foreign.state, "mlops did not create it" in foreign.message) == (State.FAILURE, True)
    assert (failed.state, failed.message) == (State.WARNING, "mlops-tiny-dev-endpoint is ROLLBACK_COMPLETE.")
    assert "already exists" in failed.reason
    assert failed.fix == "Fix this, then mlops run: it deletes the stack first"


def test_policies_of_a_bucket_and_a_key_that_refuse_the_project_are_named(scenario: Scenario) -> None:
    s3, kms = scenario.aws.client("s3"), scenario.aws.client("kms")
    s3.create_bucket(Bucket="company")
    own = {**key_policy(), "Statement": key_policy()["Statement"][1:]}
    key = kms.create_key(Policy=json.dumps(own))["KeyMetadata"]["Arn"]

    def policy_findings(**settings: str) -> list[tuple[str, State, str]]:
        checks = scenario.backend(BUCKET_NAME="company", **settings).run_checks()
        return [(each.message, each.state, each.fix) for each in checks if each.name in ("policy", "company")]

    assert policy_findings() == [("the policy of the bucket company refuses nothing that mlops does", State.OK, "")]
    demand = {"Sid": "DenyPlain", "Effect": "Deny", "Principal": "*", "Action": "s3:PutObject"}
    condition = {"StringNotEquals": {"s3:x-amz-server-side-encryption-aws-kms-key-id": key}}
    statement = {**demand, "Resource": "arn:aws:s3:::company/*", "Condition": condition}
    s3.put_bucket_policy(Bucket="company", Policy=json.dumps({"Version": "2012-10-17", "Statement": [statement]}))
    ((message, state, fix),) = policy_findings()
    assert message.startswith("The policy of the bucket company (DenyPlain) refuses s3:PutObject on arn:aws:s3:::comp")
    assert (state, fix) == (State.FAILURE, f"Set KMS_KEY_ARN={key}, then: mlops deploy-infra")
    company, checkpoints = policy_findings(KMS_KEY_ARN=key)
    assert (company[1], "PipelineRole does for the topic's mails" in company[0]) == (State.FAILURE, True)
    assert (checkpoints[1], "lets a training store checkpoints" in checkpoints[0]) == (State.WARNING, True)
    assert "except arn:aws:s3:::company/tiny-dev/checkpoints/* from it" in checkpoints[2]
    out = scenario.cli(BUCKET_NAME="company", KMS_KEY_ARN=key)("deploy-infra", "--dry-run")
    warnings = [line for line in out.splitlines() if line.startswith("warning: ")]
    assert [message in line for message, line in zip((company[0], checkpoints[0]), warnings, strict=True)] == [True] * 2
    assert warnings[1].endswith(f"Fix: {checkpoints[2]}"), "deploy-infra shows what doctor would"
    _, err = scenario.cli(BUCKET_NAME="company", KMS_KEY_ARN=key).both("deploy-infra", "--yes", code=2)
    assert err.startswith(f"error: Nothing was changed. {company[0]}"), "a certain failure is refused"
    assert err.splitlines()[-1] == f"hint: {company[2]}"
    assert (checkpoints[0] in err, scenario.stacks()) == (False, {})


def test_a_project_without_a_company_asks_aws_nothing_for_it(
    scenario: Scenario, monkeypatch: pytest.MonkeyPatch
) -> None:
    backend = scenario.backend()
    monkeypatch.setattr(Account, "client", lambda *_: pytest.fail("no request is needed"))
    assert backend.infra.warnings() == []


def test_a_container_that_has_no_credential_for_the_index_is_named_before_a_run(scenario: Scenario) -> None:
    use_case, requirements = (scenario.root / "training" / name for name in ("usecase.toml", "requirements.txt"))
    index = {"PACKAGE_INDEX_URL": "https://packages.example/simple", "PACKAGE_INDEX_SECRET": "/company/packages"}

    def warned(**settings: str) -> bool:
        checks = requirements_check(subject_of(scenario, **settings))
        return any("The model's container installs training/requirements.txt" in each.message for each in checks)

    requirements.write_text("company-tools==1.0\n")
    assert warned(**index)
    assert not warned(PACKAGE_INDEX_URL=index["PACKAGE_INDEX_URL"]), "an index without a credential is passed on"
    text = use_case.read_text()
    use_case.write_text(text.replace('framework = "sklearn"', 'framework = "tensorflow"'))
    assert not warned(**index), "the container of TensorFlow installs nothing"
    use_case.write_text(text)
    requirements.write_text("# nothing\n")
    assert not warned(**index)
