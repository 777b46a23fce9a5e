"""Give pip the credential of a company's package index, which must not be in the definition of a build or job.

A build has the credential in a variable; run as a program, this module prints the address for pip. A job has the
address of the credential; this file is packed beside its script and installs a list of requirements. It imports nothing
of mlops except the reader of secrets, which is packed beside it, too.
"""

from __future__ import annotations

import os
import sys
from importlib import import_module
from urllib.parse import quote

URL = "PIP_INDEX_URL"
CREDENTIAL = "MLOPS_INDEX_CREDENTIAL"  # in a build: the credential itself
ADDRESS = "MLOPS_INDEX_SECRET"  # in a job: the address of the credential
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


def install(requirements: str) -> int | str:
    """Install the requirements in a job's container. Return pip's exit code, or why pip was not started."""
    import boto3

    reader, address = import_module(READER), os.environ[ADDRESS]
    try:
        credential = reader.read(address, boto3.client)
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
        sys.stdout.write(with_credential(os.environ[URL], os.environ[CREDENTIAL]) + "\n")
    except ValueError as error:
        return f"The credential of the package index has another form: {error}."
    return 0


if __name__ == "__main__":
    sys.exit(main())
