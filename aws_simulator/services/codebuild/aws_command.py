"""The build image's `aws`: `s3 cp`, and `codeartifact get-authorization-token`.

It uses only the standard library: importing boto3 takes longer than a request.
"""

from __future__ import annotations

import hashlib
import hmac
import http.client
import json
import os
import random
import shutil
import sys
import time
from pathlib import Path
from urllib.parse import SplitResult, quote, urlencode, urlsplit

ATTEMPTS = 3
QUIET = ("--only-show-errors", "--quiet", "--no-progress")


def signed(method: str, host: str, path: str, service: str = "s3", query: str = "") -> dict[str, str]:
    """Return the headers of a request, signed in version 4."""
    timestamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    scope = [timestamp[:8], os.environ["AWS_REGION"], service, "aws4_request"]
    headers = {"host": host, "x-amz-content-sha256": "UNSIGNED-PAYLOAD", "x-amz-date": timestamp}
    headers["x-amz-security-token"] = os.environ["AWS_SESSION_TOKEN"]
    names = ";".join(headers)
    lines = [f"{name}:{value}" for name, value in headers.items()]
    canonical = "\n".join([method, path, query, *lines, "", names, headers["x-amz-content-sha256"]])
    digest = hashlib.sha256(canonical.encode()).hexdigest()
    key = f"AWS4{os.environ['AWS_SECRET_ACCESS_KEY']}".encode()
    for part in [*scope, "\n".join(["AWS4-HMAC-SHA256", timestamp, "/".join(scope), digest])]:
        key = hmac.new(key, part.encode(), "sha256").digest()
    credential = "/".join([os.environ["AWS_ACCESS_KEY_ID"], *scope])
    authorization = f"AWS4-HMAC-SHA256 Credential={credential}, SignedHeaders={names}, Signature={key.hex()}"
    return {**headers, "authorization": authorization}


def ask(
    method: str, path: str, body: bytes | None = None, service: str = "s3", query: str = ""
) -> tuple[int, http.client.HTTPResponse]:
    """Return the status and the response. Repeat a throttled request, as the AWS CLI does in its standard mode."""
    host = urlsplit(os.environ["AWS_ENDPOINT_URL"]).netloc
    for attempt in range(ATTEMPTS):
        server = http.client.HTTPConnection(host, timeout=300)
        headers = signed(method, host, path, service, query)
        server.request(method, f"{path}?{query}" if query else path, body, headers)
        answer = server.getresponse()
        is_throttled = answer.status == 503 or answer.headers.get("x-amzn-errortype") == "ThrottlingException"
        if not is_throttled or attempt + 1 == ATTEMPTS:
            break
        time.sleep(random.uniform(0, 2**attempt))
    return answer.status, answer


def stored(method: str, address: SplitResult, body: bytes | None = None) -> http.client.HTTPResponse:
    """Return the response of S3. Exit with its message if it refuses."""
    status, answer = ask(method, quote(f"/{address.netloc}{address.path}"), body)
    if status != 200:
        sys.exit(f"fatal error: ({status}) {answer.read().decode()}")
    return answer


def copy(source: str, target: str) -> None:
    name = source.rpartition("/")[2]
    if target.startswith("s3://"):
        stored("PUT", urlsplit(target + (name if target.endswith("/") else "")), Path(source).read_bytes())
        return
    path = Path(target) / name if target.endswith("/") or Path(target).is_dir() else Path(target)
    path.parent.mkdir(parents=True, exist_ok=True)
    answer = stored("GET", urlsplit(source))
    with path.open("wb") as file:
        shutil.copyfileobj(answer, file)


def token(options: dict[str, str]) -> str:
    """Return a token of CodeArtifact; exit with its words if it refuses."""
    fields = {"domain": "domain", "domain-owner": "domain-owner", "duration": "duration-seconds"}
    query = urlencode(sorted((name, options[f"--{option}"]) for name, option in fields.items()))
    status, answer = ask("POST", "/v1/authorization-token", b"", "codeartifact", query)
    body = json.loads(answer.read())
    if status != 200:
        sys.exit(f"An error occurred ({body['__type']}) when calling GetAuthorizationToken: {body['message']}")
    return str(body["authorizationToken"])


def main(arguments: list[str]) -> None:
    if arguments[:2] == ["s3", "cp"] and len(arguments) == 4:
        copy(*arguments[2:])
    elif arguments[:2] == ["codeartifact", "get-authorization-token"]:
        options = dict(zip(arguments[2::2], arguments[3::2], strict=True))
        if (options["--query"], options["--output"]) != ("authorizationToken", "text"):
            sys.exit("the simulated image prints --query authorizationToken as --output text only")
        sys.stdout.write(token(options) + "\n")
    else:
        sys.exit(f"the simulated image knows `aws s3 cp SOURCE TARGET` and a token, not: {' '.join(arguments)}")


if __name__ == "__main__":
    main([argument for argument in sys.argv[1:] if argument not in QUIET])
