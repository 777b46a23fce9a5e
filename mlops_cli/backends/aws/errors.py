"""Translate the errors of AWS and botocore, by error code, into a problem, its reason, and the next command."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from botocore import exceptions

from mlops_cli.errors import EXIT_ERROR, EXIT_USAGE, MlopsError

EXPIRED = frozenset({"ExpiredToken", "ExpiredTokenException", "TokenRefreshRequired"})
INVALID = frozenset(
    {
        "InvalidClientTokenId",
        "UnrecognizedClientException",
        "InvalidAccessKeyId",
        "SignatureDoesNotMatch",
        "InvalidSignatureException",
        "IncompleteSignature",
        "IncompleteSignatureException",
        "AuthFailure",
        "InvalidToken",
        "MissingAuthenticationToken",
        "MissingAuthenticationTokenException",
    }
)
DENIED = frozenset(
    {
        "AccessDenied",
        "AccessDeniedException",
        "UnauthorizedOperation",
        "AuthorizationError",
        "AuthorizationErrorException",
        "NotAuthorized",
        "NotAuthorizedException",
        "Forbidden",
        "403",
    }
)
SKEWED = frozenset({"RequestTimeTooSkewed", "RequestExpired", "RequestInTheFuture"})
SKEW_MESSAGES = ("Signature expired", "Signature not yet current")
THROTTLED = frozenset(
    {
        "Throttling",
        "ThrottlingException",
        "ThrottledException",
        "RequestThrottled",
        "RequestThrottledException",
        "TooManyRequestsException",
        "RequestLimitExceeded",
        "BandwidthLimitExceeded",
        "ProvisionedThroughputExceededException",
        "TransactionInProgressException",
        "PriorRequestNotComplete",
        "SlowDown",
    }
)
BROKEN = frozenset(
    {"InternalFailure", "InternalError", "InternalServerError", "InternalServerException", "InternalServiceException"}
    | {"ServiceUnavailable", "ServiceUnavailableException", "ServiceException", "500", "502", "503", "504"}
)
LIMITS = frozenset(
    {"LimitExceeded", "LimitExceededException", "ResourceLimitExceeded", "ServiceQuotaExceededException"}
    | {"AccountLimitExceededException", "TooManyBuckets", "RepositoryLimitExceededException"}
)
NO_CREDENTIALS = frozenset(
    {"NoCredentialsError", "PartialCredentialsError", "CredentialRetrievalError", "TokenRetrievalError"}
    | {"UnauthorizedSSOTokenError", "SSOTokenLoadError"}
)
# Of a request that has not reached AWS.
NOT_SENT = NO_CREDENTIALS | {"EndpointConnectionError", "ConnectTimeoutError", "ProxyConnectionError", "SSLError"}
OF_THE_CALLER = EXPIRED | INVALID | DENIED | SKEWED | THROTTLED | NOT_SENT
NOT_SIGNED_UP = frozenset({"OptInRequired", "SubscriptionRequiredException"})

# Errors of file transfers are not botocore's; compared by name, since only transfers load their modules.
TRANSFERS = ("boto3.exceptions", "s3transfer.exceptions")

# Resources of our stacks, and the command that removes the rest of the stack: if one was deleted by hand,
# CloudFormation does not notice it and would not create it again. The stack of a kept bucket would stay.
OF_STACKS = {
    "NoSuchBucket": "mlops cleanup",
    "PipelineNotFoundException": "mlops cleanup --keep-data",
    "StateMachineDoesNotExist": "mlops cleanup --keep-data",
    "RepositoryDoesNotExistException": "mlops cleanup --keep-data",
}

# S3 calls with a permission of another name.
PERMISSIONS = {
    "s3:HeadBucket": "s3:ListBucket",
    "s3:ListObjectsV2": "s3:ListBucket",
    "s3:ListObjectVersions": "s3:ListBucketVersions",
    "s3:ListMultipartUploads": "s3:ListBucketMultipartUploads",
    "s3:HeadObject": "s3:GetObject",
    "s3:CopyObject": "s3:PutObject",
    "s3:CreateMultipartUpload": "s3:PutObject",
    "s3:UploadPart": "s3:PutObject",
    "s3:CompleteMultipartUpload": "s3:PutObject",
    "s3:DeleteObjects": "s3:DeleteObjectVersion",
}


NOT_FOUND_CODE = re.compile(r"(NotFound|DoesNotExist)(Exception)?$|^404$|^NoSuch(Key|Bucket|Upload|Entity)$")
# SageMaker and CloudFormation use one error code for all of these errors.
NOT_FOUND_MESSAGE = re.compile(r"could not find|cannot find|not found|does not exist|doesn't exist", re.IGNORECASE)


CALLER = re.compile(r"User: arn:[\w-]+:(?:sts|iam)::\d+:([\w-]+)/(\S+)")


class AwsError(MlopsError):
    """An error response of AWS. ``code`` and ``aws_message`` are AWS's, for callers that expect a certain error."""

    def __init__(
        self, message: str, hint: str, code: str = "", aws_message: str = "", exit_code: int = EXIT_ERROR
    ) -> None:
        super().__init__(message, hint, exit_code)
        self.code = code
        self.aws_message = aws_message

    @property
    def is_about_caller(self) -> bool:
        """Return True if the refusal is about the caller's credentials, rate or network, and not about the resource."""
        return self.code in OF_THE_CALLER

    @property
    def is_about_credentials(self) -> bool:
        """Return True if AWS accepts the credentials for no request, for example because they have expired."""
        return self.code in EXPIRED | INVALID | NO_CREDENTIALS

    @property
    def is_not_found(self) -> bool:
        """Return True if AWS reports that the resource does not exist."""
        has_message = self.code in ("ValidationError", "ValidationException")
        return bool(NOT_FOUND_CODE.search(self.code) or (has_message and NOT_FOUND_MESSAGE.search(self.aws_message)))


def or_none(describe: Callable[..., Any], **parameters: Any) -> Any:
    """Return the response to a call about a resource; None if AWS reports that the resource does not exist."""
    try:
        return describe(**parameters)
    except AwsError as error:
        if error.is_not_found:
            return None
        raise


@contextmanager
def raise_aws_errors(service: Any, profile: str, subject: str = "") -> Iterator[None]:
    """Raise AwsError instead of every error of botocore and of boto3's file transfers.

    ``service``: the client's service model, if there is one. ``subject``: the resource of the call.
    """
    try:
        yield
    except Exception as error:
        cause = _cause(error)
        if isinstance(cause, exceptions.ClientError):
            raise from_client_error(cause.response, cause.operation_name, service, profile, subject) from error
        if isinstance(cause, exceptions.BotoCoreError) or cause is not error:
            raise from_botocore_error(cause, profile) from error
        raise


def _cause(error: BaseException) -> BaseException:
    """Return the cause of an interrupted file transfer. Return every other error unchanged."""
    if type(error).__module__ not in TRANSFERS:
        return error
    return getattr(error, "last_exception", None) or error.__context__ or Exception(str(error))


def resource_in_call(parameters: Mapping[str, Any]) -> str:
    """Return the resource that the call's parameters name."""
    if "Bucket" in parameters:
        return f"s3://{parameters['Bucket']}/{parameters.get('Key') or parameters.get('Prefix') or ''}"
    telling = (value for name, value in parameters.items() if name.lower().endswith(("name", "arn", "id")))
    return next((value for value in telling if isinstance(value, str)), "")


def from_client_error(
    response: dict[str, Any], operation: str, service: Any, profile: str, subject: str = ""
) -> AwsError:
    """Return the error for a response of AWS with an error code."""
    error = response.get("Error", {})
    code, message = str(error.get("Code", "")), str(error.get("Message", ""))
    name = getattr(service, "signing_name", "aws")
    if code in SKEWED or message.startswith(SKEW_MESSAGES):
        return AwsError(
            "AWS refused the request because this machine's clock is wrong.",
            "Set the clock, then repeat the command.",
            code,
            message,
        )
    if code in EXPIRED:
        return AwsError("Your AWS credentials have expired.", sign_in(profile), code, message)
    if code in INVALID:
        return AwsError(f"AWS does not accept your credentials: {message or code}", sign_in(profile), code, message)
    if code in DENIED:
        return AwsError(*_denied(message, f"{name}:{operation}", subject), code, message)
    return _from_service_code(code, message, f"{name}:{operation}")


def _denied(message: str, default_action: str, subject: str) -> tuple[str, str]:
    """Return the problem and the next command. AWS's message names the caller, except in responses without a body."""
    action, resource = denial(message, default_action)
    where = f" on {resource or subject}" if resource or subject else ""
    caller = _caller(message)
    return (
        f"{f'The {caller}' if caller else 'Your AWS credentials'} may not {action}{where}.",
        f"Get the permission {action}{f' for the {caller}' if caller else ''}, then repeat the command.",
    )


def _caller(message: str) -> str:
    """Return the role or user that AWS's message names, for example one of the pipeline's roles; "" if none."""
    named = CALLER.search(message)
    if named is None or named[1] not in ("assumed-role", "user"):
        return ""
    names = named[2].split("/")
    return f"user {names[-1]}" if named[1] == "user" else f"role {names[0]}"


def _from_service_code(code: str, message: str, action: str) -> AwsError:
    if code in THROTTLED:
        return AwsError(
            f"AWS throttled {action} repeatedly.",
            "Wait a minute, then repeat the command: finished work is kept.",
            code,
            message,
        )
    if code in BROKEN:
        return AwsError(
            f"AWS failed repeatedly at {action} ({code}).",
            "Wait a few minutes, then repeat the command: finished work is kept.",
            code,
            message,
        )
    if code in LIMITS:
        return AwsError(
            f"A quota of your AWS account is used up: {message}",
            "Remove what you no longer need, or request a higher quota in the AWS console under Service Quotas.",
            code,
            message,
        )
    if code in NOT_SIGNED_UP:
        return AwsError(
            f"Your AWS account is not signed up for {action.split(':')[0]}: {message}",
            "Finish the account's registration in the AWS console.",
            code,
            message,
        )
    if code in OF_STACKS:
        return AwsError(
            f"AWS refused {action}: {message or code} ({code})",
            f"If it was deleted by hand, create everything again: {OF_STACKS[code]}, then mlops deploy-infra",
            code,
            message,
        )
    return AwsError(
        f"AWS refused {action}: {message or code} ({code})", "Fix this, then repeat the command.", code, message
    )


def denial(message: str, default_action: str) -> tuple[str, str]:
    """Return the action and the resource that AWS's message names, or else the requested action."""
    action = re.search(r"perform:? ([a-z0-9-]+:\w+)", message)
    resource = re.search(r"on resource:? (\S+)", message)
    named = resource.group(1).rstrip(".,") if resource else ""
    return action.group(1) if action else PERMISSIONS.get(default_action, default_action), "" if named == "*" else named


def sign_in(profile: str) -> str:
    with_profile = f" --profile {profile}" if profile else ""
    return f"Sign in again: aws sso login{with_profile} (or aws configure{with_profile}), then repeat the command."


def from_botocore_error(error: BaseException, profile: str) -> AwsError:
    """Return the error for a request that could not be sent or got no response."""
    for kinds, translate in _CLIENT_SIDE:
        if isinstance(error, kinds):
            message, hint, exit_code = translate(error, profile)
            return AwsError(message, hint, type(error).__name__, str(error), exit_code)
    return AwsError(
        f"The request to AWS failed: {error}", "Fix this, then repeat the command.", type(error).__name__, str(error)
    )


Words = tuple[str, str, int]
NO_REGION = ("No AWS region is set.", "Set one: mlops --region eu-west-1 ..., or AWS_REGION in .env")


def _missing(error: Exception, profile: str) -> Words:
    return missing_credentials(profile, f": {error}")


def missing_credentials(profile: str, problem: str = "") -> Words:
    """Return the message for a caller without credentials."""
    where = f" in the profile {profile}" if profile else ""
    return (
        f"There are no AWS credentials{where}{problem}.",
        f"Sign in: aws configure{f' --profile {profile}' if profile else ''} (or aws sso login), "
        "or name a profile: mlops --profile NAME ...",
        EXIT_USAGE,
    )


def _no_profile(error: Exception, profile: str) -> Words:
    return (
        f"There is no AWS profile {profile!r} on this machine." if profile else f"{error}.",
        "List them: aws configure list-profiles",
        EXIT_USAGE,
    )


def _no_region(_: Exception, __: str) -> Words:
    return *NO_REGION, EXIT_USAGE


def _wrong_region(error: Exception, _: str) -> Words:
    return f"AWS does not have this region: {error}.", "Name another one: mlops --region eu-west-1 ...", EXIT_USAGE


def _expired(error: Exception, profile: str) -> Words:
    return f"Your AWS credentials have expired: {error}.", sign_in(profile), EXIT_ERROR


def _retrieval(error: Exception, profile: str) -> Words:
    return f"Your AWS credentials could not be obtained: {error}.", sign_in(profile), EXIT_ERROR


def _unreachable(error: BaseException, _: str) -> Words:
    return (
        f"AWS cannot be reached: {str(error).rstrip('.')}.",
        "Check the network, the proxy and the region, then repeat the command: finished work is kept.",
        EXIT_ERROR,
    )


_CLIENT_SIDE: tuple[tuple[tuple[type[Exception], ...], Any], ...] = (
    ((exceptions.NoCredentialsError, exceptions.PartialCredentialsError), _missing),
    ((exceptions.ProfileNotFound,), _no_profile),
    ((exceptions.NoRegionError,), _no_region),
    ((exceptions.InvalidRegionError, exceptions.UnknownRegionError), _wrong_region),
    (
        (
            exceptions.UnauthorizedSSOTokenError,
            exceptions.SSOTokenLoadError,
            exceptions.TokenRetrievalError,
            exceptions.NoAuthTokenError,
        ),
        _expired,
    ),
    ((exceptions.CredentialRetrievalError, exceptions.SSOError, exceptions.MetadataRetrievalError), _retrieval),
    ((exceptions.HTTPClientError, exceptions.ConnectionError, OSError), _unreachable),
)
