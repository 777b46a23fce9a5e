"""The build image's `aws s3 cp`. It uses only the standard library: importing boto3 takes longer than the copy."""

from __future__ import annotations

import hashlib
import hmac
import http.client
import os
import shutil
import sys
import time
from pathlib import Path
from urllib.parse import SplitResult, quote, urlsplit

QUIET = ("--only-show-errors", "--quiet", "--no-progress")


def signed(method: str, host: str, path: str) -> dict[str, str]:
    """Return the headers of a request, signed in version 4."""
    timestamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    scope = [timestamp[:8], os.environ["AWS_REGION"], "s3", "aws4_request"]
    headers = {"host": host, "x-amz-content-sha256": "UNSIGNED-PAYLOAD", "x-amz-date": timestamp}
    headers["x-amz-security-token"] = os.environ["AWS_SESSION_TOKEN"]
    names = ";".join(headers)
    lines = [f"{name}:{value}" for name, value in headers.items()]
    canonical = "\n".join([method, path, "", *lines, "", names, headers["x-amz-content-sha256"]])
    digest = hashlib.sha256(canonical.encode()).hexdigest()
    key = f"AWS4{os.environ['AWS_SECRET_ACCESS_KEY']}".encode()
    for part in [*scope, "\n".join(["AWS4-HMAC-SHA256", timestamp, "/".join(scope), digest])]:
        key = hmac.new(key, part.encode(), "sha256").digest()
    credential = "/".join([os.environ["AWS_ACCESS_KEY_ID"], *scope])
    authorization = f"AWS4-HMAC-SHA256 Credential={credential}, SignedHeaders={names}, Signature={key.hex()}"
    return {**headers, "authorization": authorization}


def ask(method: str, address: SplitResult, body: bytes | None = None) -> http.client.HTTPResponse:
    """Return the response. Exit with S3's message if it refuses."""
    host, path = urlsplit(os.environ["AWS_ENDPOINT_URL"]).netloc, quote(f"/{address.netloc}{address.path}")
    server = http.client.HTTPConnection(host, timeout=300)
    server.request(method, path, body, signed(method, host, path))
    answer = server.getresponse()
    if answer.status != 200:
        sys.exit(f"fatal error: ({answer.status}) {answer.read().decode()}")
    return answer


def copy(source: str, target: str) -> None:
    name = source.rpartition("/")[2]
    if target.startswith("s3://"):
        ask("PUT", urlsplit(target + (name if target.endswith("/") else "")), Path(source).read_bytes())
        return
    path = Path(target) / name if target.endswith("/") or Path(target).is_dir() else Path(target)
    path.parent.mkdir(parents=True, exist_ok=True)
    answer = ask("GET", urlsplit(source))
    with path.open("wb") as file:
        shutil.copyfileobj(answer, file)


if __name__ == "__main__":
    arguments = [argument for argument in sys.argv[1:] if argument not in QUIET]
    if arguments[:2] != ["s3", "cp"] or len(arguments) != 4:
        sys.exit(f"the simulated image knows `aws s3 cp SOURCE TARGET` only, not: {' '.join(arguments)}")
    copy(*arguments[2:])
