"""Give pip the credential of a company's package index, which must not be in the definition of a build or job.

A build has the credential in a variable; run as a program, this module prints the address for pip. A job has the
address of the credential; this file is packed beside its script and installs a list of requirements. It imports nothing
of mlops except the reader of secrets, which is packed beside it, too. For CodeArtifact both have the ARN of the domain
and get a token. A build, which has no boto3 yet, gets it from the AWS CLI.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from importlib import import_module
from typing import Any
from urllib.parse import quote

URL = "PIP_INDEX_URL"
CREDENTIAL = "MLOPS_INDEX_CREDENTIAL"  # in a build: the credential itself
ADDRESS = "MLOPS_INDEX_SECRET"  # in a job, and in a build with CodeArtifact: the address of the credential
CODEARTIFACT, TOKEN_USER = ":codeartifact:", "aws"
TOKEN_SECONDS = 3600
READER = "mlops_secrets"
EXPECTED = "expected USER:PASSWORD, both without spaces around them"


def with_credential(url: str, credential: str) -> str:
    """Return the address with user and password. Raise ValueError if the credential has another form."""
    user, _, password = credential.strip().partition(":")
    if not user or not password:
        raise ValueError(EXPECTED)
    scheme, _, rest = url.partition("//")
    login = ":".join(quote(part, safe="") for part in (user, password))
    return scheme + "//" + login + "@" + rest


def _domain(arn: str) -> tuple[str, str, str]:
    """Return a domain's region, owner and name."""
    _, _, _, region, owner, resource = arn.split(":")
    return region, owner, resource.partition("/")[2]


def _token(arn: str, client: Callable[..., Any]) -> str:
    """Return the credential of a job for a CodeArtifact domain."""
    region, owner, name = _domain(arn)
    codeartifact = client("codeartifact", region_name=region)
    answer = codeartifact.get_authorization_token(domain=name, domainOwner=owner, durationSeconds=TOKEN_SECONDS)
    return f"{TOKEN_USER}:{answer['authorizationToken']}"


def _token_of_build(arn: str) -> str:
    """Return the credential of a build for a CodeArtifact domain."""
    region, owner, name = _domain(arn)
    asked = ["aws", "codeartifact", "get-authorization-token", "--domain", name, "--domain-owner", owner]
    shown = ["--duration-seconds", str(TOKEN_SECONDS), "--query", "authorizationToken", "--output", "text"]
    done = subprocess.run([*asked, "--region", region, *shown], capture_output=True, text=True, check=False)
    if done.returncode:
        raise ValueError(f"no token of {arn}: {done.stderr.strip()}")
    return f"{TOKEN_USER}:{done.stdout.strip()}"


def install(requirements: str) -> int | str:
    """Install the requirements in a job's container. Return pip's exit code, or why pip was not started."""
    import boto3

    reader, address = import_module(READER), os.environ[ADDRESS]
    try:
        client = boto3.client
        credential = _token(address, client) if CODEARTIFACT in address else reader.read(address, client)
        url = with_credential(os.environ[URL], credential)
    except Exception as error:  # noqa: BLE001 (whatever it is, nothing can be installed)
        return f"The credential of the package index cannot be read from {address}: {error}"
    command = [sys.executable, "-m", "pip", "install", "-q", "-r", requirements]
    password = credential.strip().partition(":")[2]
    return int(reader.run(command, {URL: url, "PIP_NO_INPUT": "1"}, [url, credential, password]))


def main() -> int | str:
    if len(sys.argv) > 1:
        return install(sys.argv[1])
    try:
        credential = os.environ.get(CREDENTIAL) or _token_of_build(os.environ[ADDRESS])
        sys.stdout.write(with_credential(os.environ[URL], credential) + "\n")
    except ValueError as error:
        return f"The credential of the package index cannot be used: {error}."
    return 0


if __name__ == "__main__":
    sys.exit(main())
