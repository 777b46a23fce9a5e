"""`mlops doctor` on the simulated AWS, its IAM enforced: each thing that is wrong is really made so, and named."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from aws_simulator.accounts import eventually, user
from aws_simulator.tests.endpoint_account import Models
from mlops_cli.backends.aws.doctor.permissions import arn_context
from mlops_cli.backends.aws.doctor.required_permissions import RequiredPermission, policy, required_permissions
from mlops_cli.core.checks import Finding, State
from tests.component.aws.conftest import Ground
from tests.conftest import Cli

OURS = [{"Key": "mlops:project", "Value": "tiny"}, {"Key": "mlops:environment", "Value": "dev"}]


def subject_of(ground: Ground) -> Any:
    from mlops_cli.backends.aws.doctor import CheckContext

    backend = ground.backend()
    return CheckContext(
        backend.deployed.project,
        backend.deployed.use_case,
        backend.deployed.settings,
        backend.deployed.account,
        backend.deployed.names,
        backend.data.dataset,
    )


def wanted(ground: Ground) -> tuple[RequiredPermission, ...]:
    return required_permissions(arn_context(subject_of(ground)))


def keys(credentials: dict[str, str]) -> dict[str, str]:
    """As environment variables."""
    return {name.upper(): value for name, value in credentials.items()}


def allowed(ground: Ground, name: str, found: Iterable[RequiredPermission]) -> Cli:
    """`mlops` as a user who may do exactly this."""
    return ground.cli(OWNER="root", **keys(user(ground.aws, name, *policy(found)["Statement"])))


def examined(ground: Ground, *names: str) -> list[Finding]:
    return [one for one in ground.backend().run_checks() if not names or one.name in names]


def shown(cli: Cli, code: int, *names: str) -> list[dict[str, Any]]:
    found = cli.json("doctor", code=code)
    assert found["target"] == "aws"
    return [one for one in found["findings"] if one["name"] in names]


def with_data(ground: Ground) -> Ground:
    (ground.root / "tiny.csv").write_text("id,text,long\n" + "".join(f"{n},t{n},{n % 2}\n" for n in range(9)))
    ground.backend().infra.deploy()
    ground.cli()("download-data", "--source", "tiny.csv")
    return ground


def test_who_may_do_all_that_is_needed_is_told_so_and_nothing_fails(ground: Ground) -> None:
    cli = allowed(with_data(ground), "ann", wanted(ground))
    out = cli("doctor")
    assert "permissions     all " in out
    assert "ml.m5.xlarge for training job usage: 4, the training job needs 1" in " ".join(out.split())
    assert out.splitlines()[-1].endswith(" fine")
    denied = [one for one in ground.aws.control("people") if not one["allowed"]]
    assert denied == [], "doctor itself needs nothing that is not on the list"


def test_a_permission_that_is_missing_is_named_with_what_would_be_refused(ground: Ground) -> None:
    rest = [need for need in wanted(ground) if "iam:CreateRole" not in need.actions]
    found = shown(allowed(ground, "bob", rest), 1, "permissions")
    assert [one["state"] for one in found] == ["failure"]
    assert found[0]["message"].startswith("You may not iam:CreateRole, ")
    assert "role/mlops-tiny-dev-pipeline-*" in found[0]["message"]
    assert found[0]["reason"] == "mlops deploy-infra and mlops cleanup would be refused."
    assert "Allow it for arn:aws:iam::123456789012:user/bob" in found[0]["fix"]


def test_a_role_that_may_be_passed_to_another_service_only(ground: Ground) -> None:
    passing = [need for need in wanted(ground) if need.passed_to]
    rest = [need for need in wanted(ground) if need.passed_to in ("", "states.amazonaws.com")]
    found = shown(allowed(ground, "cem", rest), 1, "permissions")
    assert len(found) == len(passing) - 1
    assert "passing it to codebuild.amazonaws.com" in " ".join(one["message"] for one in found)


def test_who_may_not_simulate_is_told_so_and_the_rest_is_looked_at(ground: Ground) -> None:
    rest = [need for need in wanted(ground) if "iam:SimulatePrincipalPolicy" not in need.actions]
    (found,) = shown(allowed(with_data(ground), "dee", rest), 0, "permissions")
    assert (found["state"], found["message"]) == ("warning", "IAM does not let you simulate your own permissions.")
    assert "iam:SimulatePrincipalPolicy" in found["fix"]


def test_a_session_of_a_role_is_held_against_its_role(ground: Ground) -> None:
    iam, trust = ground.aws.client("iam"), {"Effect": "Allow", "Principal": {"AWS": "*"}, "Action": "sts:AssumeRole"}
    role = iam.create_role(
        RoleName="dev",
        Path="/teams/",
        AssumeRolePolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [trust]}),
    )["Role"]["Arn"]
    some = [need for need in wanted(ground) if "s3:PutObject" not in need.actions]
    iam.put_role_policy(RoleName="dev", PolicyName="p", PolicyDocument=json.dumps(policy(some)))
    session = ground.aws.client("sts").assume_role(RoleArn=role, RoleSessionName="me")["Credentials"]
    cli = ground.cli(
        AWS_ACCESS_KEY_ID=session["AccessKeyId"],
        AWS_SECRET_ACCESS_KEY=session["SecretAccessKey"],
        AWS_SESSION_TOKEN=session["SessionToken"],
    )
    (found,) = shown(cli, 1, "permissions")
    assert "s3:PutObject" in found["message"]
    assert f"Allow it for {role}" in found["fix"]


def test_a_quota_of_nothing_would_fail_and_says_how_to_raise_it(ground: Ground) -> None:
    ground.aws.control("sagemaker-quota", quota="ml.m5.large for endpoint usage", limit=0)
    found = shown(ground.cli(), 1, "quota")
    (wrong,) = [one for one in found if one["state"] == "failure"]
    assert wrong["message"] == "ml.m5.large for endpoint usage: 0, the endpoint needs 1."
    assert "ResourceLimitExceeded" in wrong["reason"]
    assert "aws service-quotas request-service-quota-increase --service-code sagemaker" in wrong["fix"]
    assert "--desired-value 2" in wrong["fix"], "a deployment holds the old instances beside the new ones"
    assert len(found) == 3, "preprocessing, training, endpoint"


def test_the_training_instance_is_the_one_that_is_chosen_spot_or_not(ground: Ground) -> None:
    use_case = ground.root / "training" / "usecase.toml"
    use_case.write_text(use_case.read_text() + "\n[aws.train]\nspot = true\n")
    names = [one["message"].split(":")[0] for one in shown(ground.cli(INSTANCE="ml.g5.xlarge"), 0, "quota")]
    assert "ml.g5.xlarge for spot training job usage" in names
    (found,) = [one for one in examined(ground, "quota") if "spot" in one.message]
    assert (found.state, "ml.m5.xlarge for spot" in found.message) == (State.OK, True)


def test_an_instance_type_that_has_no_quota_is_not_known(ground: Ground) -> None:
    found = [one for one in shown(ground.cli(INSTANCE="ml.x9.huge"), 0, "quota") if one["state"] != "ok"]
    assert [one["message"] for one in found] == [
        "Service Quotas knows no 'ml.x9.huge for training job usage' in us-east-1."
    ]


@pytest.mark.slow
def test_endpoints_that_nobody_asks_are_distinguished_by_whose_they_are(
    ground: Ground, tiny_model: Path, tmp_path: Path
) -> None:
    models = Models(ground.aws, tiny_model, tmp_path)
    foreign = [{"Key": "mlops:project", "Value": "churn"}, {"Key": "mlops:environment", "Value": "prod"}]
    for name, tags in (("tiny-dev", OURS), ("churn-prod", foreign), ("somebodys", []), ("busy", [])):
        models.config(name)
        models.endpoint(name, name, Tags=tags)
        ground.aws.control("sagemaker-age", endpoint=name, days=3)
    models.config("young")
    models.endpoint("young", "young")
    models.ask("busy", "hello")
    found = examined(ground, "endpoints")
    assert {one.state for one in found} == {State.WARNING}
    said = {one.message.split(" ")[0]: one for one in found}
    assert sorted(said) == ["churn-prod", "somebodys", "tiny-dev"]
    assert said["tiny-dev"].message == (
        "tiny-dev (of this project) runs on 1 × ml.m5.large and had no request for 3 days."
    )
    assert said["tiny-dev"].fix == "mlops cleanup --keep-data"
    assert "created by mlops for churn, STAGE=prod" in said["churn-prod"].message
    assert "not created by mlops" in said["somebodys"].message
    assert said["somebodys"].fix.endswith("delete-endpoint --endpoint-name somebodys --region us-east-1")
    (quota,) = [one for one in examined(ground, "quota") if "endpoint usage" in one.message]
    assert (quota.state, "4, 4 of it in use" in quota.message) == (State.WARNING, True), "its own is not counted"
    left = [one.message for one in examined(ground, "leftovers")]
    assert any(one.startswith("endpoint tiny-dev belongs to this project") for one in left)


def test_credentials_that_have_expired_are_a_finding_and_not_the_end(ground: Ground) -> None:
    expired = keys(ground.aws.control("expired-credentials"))
    out, err = ground.cli(**expired).both("doctor", code=1)
    assert "✗ failure  credentials     Your AWS credentials have expired." in out
    assert "Permissions, quotas, stacks, leftovers and endpoints were not checked." in " ".join(out.split())
    assert (out.count("expired"), err) == (1, "")


def test_without_a_region_or_with_a_wrong_profile_it_says_what_to_set(ground: Ground) -> None:
    (found,) = shown(ground.cli(AWS_DEFAULT_REGION=""), 1, "credentials")
    assert (found["message"], "mlops --region" in found["fix"]) == ("No AWS region is set.", True)
    (found,) = shown(ground.cli(AWS_PROFILE="nobody"), 1, "credentials")
    assert "There is no AWS profile 'nobody'" in found["message"]


@pytest.mark.parametrize(
    ("ahead", "state", "words"),
    [(0, State.OK, "agrees"), (100, State.WARNING, "s behind AWS's"), (-400, State.FAILURE, "s ahead of AWS's")],
)
def test_clocks_that_disagree(ground: Ground, ahead: int, state: State, words: str) -> None:
    ground.aws.control("clock", ahead=ahead)
    (found,) = examined(ground, "clock")
    assert (found.state, words in found.message) == (state, True)


def test_a_rule_that_would_delete_what_approved_models_are_made_of_is_found(ground: Ground) -> None:
    """As an older version of mlops made it, and as the owner of a bucket may have it."""
    ground.backend().deployed.infra_deployer.ensure_storage()
    (fine,) = examined(ground, "expiry")
    assert fine.state is State.OK
    s3, name = ground.aws.client("s3"), ground.backend().deployed.bucket.name

    def expires(prefix: str, **what: Any) -> list[State]:
        rule = {"ID": "old", "Status": "Enabled", "Filter": {"Prefix": prefix}, **what}
        s3.put_bucket_lifecycle_configuration(Bucket=name, LifecycleConfiguration={"Rules": [rule]})
        return [one.state for one in examined(ground, "expiry")]

    days, noncurrent = {"Expiration": {"Days": 180}}, {"NoncurrentVersionExpiration": {"NoncurrentDays": 30}}
    for prefix, what in (("", days), ("tiny-dev/runs/", days), ("tiny-dev/artifacts/train/", days), ("", noncurrent)):
        assert expires(prefix, **what) == [State.WARNING], (prefix, what)
    (found,) = examined(ground, "expiry")
    assert (found.fix, "The lifecycle rule old of the bucket" in found.message) == ("mlops deploy-infra", True)
    for prefix, what in (("others/", days), ("tiny-dev/artifacts/reproduction/", days), ("tiny-dev/runs/", noncurrent)):
        assert expires(prefix, **what) == [State.OK], (prefix, what)


def test_a_stack_that_is_somebody_elses_and_one_that_failed(ground: Ground) -> None:
    cloudformation = ground.aws.client("cloudformation")
    template = json.dumps({"Resources": {"T": {"Type": "AWS::SNS::Topic"}}})
    cloudformation.create_stack(StackName="mlops-tiny-dev-storage", TemplateBody=template)
    broken = json.dumps({"Resources": {"L": {"Type": "AWS::Logs::LogGroup", "Properties": {"LogGroupName": "taken"}}}})
    ground.aws.client("logs").create_log_group(logGroupName="taken")
    cloudformation.create_stack(StackName="mlops-tiny-dev-endpoint", TemplateBody=broken, Tags=OURS)
    eventually(lambda: "mlops-tiny-dev-endpoint" in str(ground.stacks()) and "IN_PROGRESS" not in str(ground.stacks()))
    foreign, failed = examined(ground, "stack")
    assert (foreign.state, "mlops did not create it" in foreign.message) == (State.FAILURE, True)
    assert (failed.state, failed.message) == (State.WARNING, "mlops-tiny-dev-endpoint is ROLLBACK_COMPLETE.")
    assert "already exists" in failed.reason
    assert failed.fix == "Fix this, then mlops run: it deletes the stack first"
