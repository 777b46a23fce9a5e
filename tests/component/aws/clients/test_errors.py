"""The errors of AWS and botocore, as a user reads them."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from botocore import exceptions

from mlops_cli.backends.aws.account import Account
from mlops_cli.backends.aws.configured_account import configured_account
from mlops_cli.backends.aws.errors import AwsError, raise_aws_errors
from mlops_cli.errors import MlopsError
from mlops_cli.project.settings.values import resolve

DENIED = (
    "User: arn:aws:iam::123456789012:user/eve is not authorized to perform: sagemaker:CreateTrainingJob on resource: "
    "arn:aws:sagemaker:eu-west-1:123456789012:training-job/x because no identity-based policy allows it"
)


def refused(
    code: str, message: str = "", operation: str = "DescribeStacks", service: str = "cloudformation"
) -> AwsError:
    model = SimpleNamespace(signing_name=service)
    with pytest.raises(AwsError) as caught, raise_aws_errors(model, "work"):
        raise exceptions.ClientError({"Error": {"Code": code, "Message": message}}, operation)
    assert (caught.value.code, caught.value.aws_message) == (code, message)
    return caught.value


@pytest.mark.parametrize(
    ("code", "text", "message", "hint"),
    [
        ("ExpiredToken", "", "have expired", "aws sso login --profile work"),
        ("ExpiredTokenException", "The security token included in the request is expired", "have expired", "Sign in"),
        ("InvalidClientTokenId", "The security token is invalid.", "does not accept your credentials", "Sign in"),
        ("UnrecognizedClientException", "", "does not accept your credentials: Unrec", "aws configure --profile work"),
        ("SignatureDoesNotMatch", "The request signature we calculated", "does not accept", "Sign in"),
        ("SignatureDoesNotMatch", "Signature expired: 2020 is now earlier than", "clock is wrong", "Set the clock"),
        ("InvalidSignatureException", "Signature not yet current: 2030", "clock is wrong", "Set the clock"),
        ("RequestTimeTooSkewed", "", "clock is wrong", "Set the clock"),
        (
            "AccessDeniedException",
            DENIED,
            "may not sagemaker:CreateTrainingJob on arn:aws:sagemaker",
            "Get the permission sagemaker:",
        ),
        (
            "AccessDenied",
            "Access Denied",
            "may not cloudformation:DescribeStacks.",
            "Get the permission cloudformation:Describe",
        ),
        ("ThrottlingException", "Rate exceeded", "repeatedly", "Wait a minute"),
        ("RequestLimitExceeded", "", "repeatedly", "Wait a minute"),
        ("InternalFailure", "", "AWS failed repeatedly at cloudformation:DescribeStacks", "Wait a few minutes"),
        ("503", "", "AWS failed repeatedly", "Wait a few minutes"),
        ("LimitExceededException", "Limit for stack has been exceeded", "quota", "Service Quotas"),
        ("ResourceLimitExceeded", "ml.g5.xlarge for training job usage is 0 Instances", "is 0 Instances", "Service Q"),
        ("OptInRequired", "You must subscribe", "not signed up for cloudformation", "registration"),
        (
            "ValidationError",
            "Template error",
            "refused cloudformation:DescribeStacks: Template error",
            "Fix this",
        ),
        (
            "NoSuchBucket",
            "The specified bucket does not exist",
            "does not exist",
            "mlops cleanup, then mlops deploy-infra",
        ),
        ("PipelineNotFoundException", "", "PipelineNotFound", "mlops cleanup --keep-data, then"),
        ("ValidationException", "Requested job not found.", "Requested job not found", "Fix this"),
    ],
)
def test_each_code_has_its_own_words(code: str, text: str, message: str, hint: str) -> None:
    error = refused(code, text)
    assert message in error.message
    assert hint in error.hint


@pytest.mark.parametrize(
    ("arn", "caller"),
    [
        ("sts::123456789012:assumed-role/mlops-tiny-JobRole-1A2B/SageMaker", "role mlops-tiny-JobRole-1A2B"),
        ("iam::123456789012:user/team/ann", "user ann"),
    ],
)
def test_a_denial_names_the_role_or_user_that_was_refused(arn: str, caller: str) -> None:
    message = f"User: arn:aws:{arn} is not authorized to perform: s3:GetObject on resource: arn:aws:s3:::b/k because"
    error = refused("AccessDenied", message, "GetObject", "s3")
    assert error.message == f"The {caller} may not s3:GetObject on arn:aws:s3:::b/k."
    assert error.hint == f"Get the permission s3:GetObject for the {caller}, then repeat the command."


@pytest.mark.parametrize(
    ("operation", "permission"),
    [("HeadObject", "s3:GetObject"), ("ListObjectsV2", "s3:ListBucket"), ("UploadPart", "s3:PutObject")],
)
def test_a_denial_without_words_names_the_permission_that_s3_checks(operation: str, permission: str) -> None:
    assert f"may not {permission}." in refused("403", "Forbidden", operation, "s3").message


@pytest.mark.parametrize(
    ("error", "message", "code"),
    [
        (exceptions.NoCredentialsError(), "There are no AWS credentials in the profile work", 2),
        (exceptions.PartialCredentialsError(provider="env", cred_var="AWS_SECRET_ACCESS_KEY"), "no AWS credentials", 2),
        (exceptions.ProfileNotFound(profile="work"), "There is no AWS profile 'work'", 2),
        (exceptions.NoRegionError(), "No AWS region is set", 2),
        (exceptions.InvalidRegionError(region_name="nowhere"), "AWS does not have this region", 2),
        (exceptions.UnauthorizedSSOTokenError(), "have expired", 1),
        (exceptions.TokenRetrievalError(provider="sso", error_msg="Token has expired"), "have expired", 1),
        (exceptions.CredentialRetrievalError(provider="x", error_msg="process failed"), "could not be obtained", 1),
        (exceptions.EndpointConnectionError(endpoint_url="https://sts.x"), "cannot be reached", 1),
        (exceptions.ConnectTimeoutError(endpoint_url="https://sts.x"), "cannot be reached", 1),
        (exceptions.ReadTimeoutError(endpoint_url="https://sts.x"), "cannot be reached", 1),
        (exceptions.ProxyConnectionError(proxy_url="http://p"), "cannot be reached", 1),
        (exceptions.SSLError(endpoint_url="https://sts.x", error="CERTIFICATE_VERIFY_FAILED"), "CERTIFICATE_VERIFY", 1),
        (exceptions.ParamValidationError(report="Missing parameter"), "The request to AWS failed", 1),
    ],
)
def test_a_request_that_was_not_sent_has_its_own_message(
    error: exceptions.BotoCoreError, message: str, code: int
) -> None:
    with pytest.raises(AwsError) as caught, raise_aws_errors(None, "work"):
        raise error
    assert message in caught.value.message
    assert caught.value.hint
    assert caught.value.exit_code == code


def account(environ: dict[str, str] | None = None, **settings: str) -> Account:
    return configured_account(resolve(settings, environ or {}, {}))


def test_without_a_region_the_way_to_name_one_is_reported() -> None:
    with pytest.raises(MlopsError, match="No AWS region is set") as caught:
        account().client("sts")
    assert "--region" in caught.value.hint


def test_without_credentials_the_way_to_get_them_is_reported() -> None:
    with pytest.raises(AwsError, match="There are no AWS credentials") as caught:
        _ = account(AWS_REGION="eu-west-1").identity
    assert "aws configure" in caught.value.hint


def test_an_unknown_profile_is_named() -> None:
    with pytest.raises(AwsError, match="There is no AWS profile 'nope'"):
        account(AWS_PROFILE="nope", AWS_REGION="eu-west-1").client("sts")


def configured(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    (folder / "config").write_text("[profile work]\nregion = eu-north-1\n[default]\nregion = eu-south-1\n")
    (folder / "credentials").write_text("[work]\naws_access_key_id = WORK\naws_secret_access_key = x\n")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(folder / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(folder / "credentials"))


def test_the_profiles_own_region_counts_when_none_is_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    configured(monkeypatch, tmp_path)
    assert account(AWS_PROFILE="work").region == "eu-north-1"
    assert account(AWS_PROFILE="work", AWS_REGION="us-west-2").region == "us-west-2"
    assert account(environ={"AWS_DEFAULT_REGION": "us-west-1"}).region == "us-west-1"


@pytest.mark.parametrize(("origin", "key"), [("flag", "WORK"), ("environment", "ENV")])
def test_a_profile_by_flag_beats_keys_in_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, origin: str, key: str
) -> None:
    configured(monkeypatch, tmp_path)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "ENV")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "x")
    if origin == "environment":
        monkeypatch.setenv("AWS_PROFILE", "work")
    arguments: dict[str, Any] = (
        {"environ": {"AWS_PROFILE": "work"}} if origin == "environment" else {"AWS_PROFILE": "work"}
    )
    assert account(**arguments).session.get_credentials().access_key == key
