"""A company's package index: its address is a setting, and only pip gets its credential."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from mlops_cli.backends.aws import company_account
from mlops_cli.backends.aws.stages import index_url
from mlops_cli.backends.aws.stages.containers import launcher, secrets_runner
from mlops_cli.backends.aws.stages.jobs.job_requests import (
    ENTRYPOINT,
    ENTRYPOINT_WITH_CREDENTIAL,
    LAUNCHER,
    JobSpec,
    processing_request,
    training_request,
)
from mlops_cli.backends.aws.stages.jobs.package_index import INSTALLER, RENAMED_REQUIREMENTS, PackageIndex
from mlops_cli.core.jobs import codeartifact
from mlops_cli.errors import ConfigurationError
from mlops_cli.project.settings.values import resolve
from mlops_cli.project.usecase.instances import JobInstances

URL, SECRET = "https://packages.example.org/simple/", "/company/packages"
ARN = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:packages-AbC123"
DOMAIN = "arn:aws:codeartifact:eu-west-1:123456789012:domain/packages"
USER, PASSWORD = "build@company", "p/ss:w%rd 7"


@pytest.mark.parametrize(
    "url",
    [
        f"https://{USER}:s3cr3t-word@packages.example.org/simple/",
        "https://t0ken-of-somebody@packages.example.org/simple/",
        "https://packages.example.org/simple/?token=s3cr3t-word",
        "http://packages.example.org/simple/",
        "packages.example.org",
    ],
)
def test_an_address_with_a_credential_or_without_tls_is_refused_with_the_reason(url: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        resolve({}, {"PACKAGE_INDEX_URL": url}, {}).validated()
    assert "PACKAGE_INDEX_SECRET names the place of the credential" in caught.value.message
    assert "PACKAGE_INDEX_SECRET" in caught.value.message
    assert "s3cr3t-word" not in caught.value.message
    assert "t0ken" not in caught.value.message


@pytest.mark.parametrize(
    ("secret", "kind"), [(SECRET, "PARAMETER_STORE"), (ARN, "SECRETS_MANAGER"), (DOMAIN, "CODEARTIFACT")]
)
def test_an_address_and_where_its_credential_is_are_parameters(secret: str, kind: str) -> None:
    settings = resolve({}, {"PACKAGE_INDEX_URL": URL, "PACKAGE_INDEX_SECRET": secret}, {}).validated()
    parameters = company_account.parameters(settings)
    assert (parameters["PackageIndexUrl"], parameters["PackageIndexAccess"]) == (URL, secret)
    assert parameters["PackageIndexAccessType"] == kind
    every = "arn:aws:codeartifact:eu-west-1:123456789012:repository/packages/*"
    assert parameters["PackageRepositoryArn"] == (every if kind == "CODEARTIFACT" else "")


def test_a_repository_of_codeartifact_needs_a_token_of_its_own_domain() -> None:
    url = "https://my-domain-111122223333.d.codeartifact.eu-central-1.amazonaws.com/pypi/team.ml/simple/"
    domain = "arn:aws:codeartifact:eu-central-1:111122223333:domain/my-domain"
    for secret in ("", SECRET, DOMAIN):
        with pytest.raises(ConfigurationError, match="whose credential is a token of its domain") as caught:
            company_account.parameters(resolve({}, {"PACKAGE_INDEX_URL": url, "PACKAGE_INDEX_SECRET": secret}, {}))
        assert caught.value.hint == f"Set PACKAGE_INDEX_SECRET={domain}"
    settings = resolve({}, {"PACKAGE_INDEX_URL": url, "PACKAGE_INDEX_SECRET": domain}, {}).validated()
    repository = "arn:aws:codeartifact:eu-central-1:111122223333:repository/my-domain/team.ml"
    assert company_account.parameters(settings)["PackageRepositoryArn"] == repository
    assert codeartifact.domain_of(url.replace("eu-central-1.amazonaws.com", "cn-north-1.amazonaws.com.cn")).startswith(
        "arn:aws-cn:codeartifact:cn-north-1:"
    )


def test_a_credential_itself_or_one_of_no_index_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="never the secret itself"):
        resolve({}, {"PACKAGE_INDEX_URL": URL, "PACKAGE_INDEX_SECRET": f"{USER}:{PASSWORD}"}, {}).validated()
    with pytest.raises(ConfigurationError, match="PACKAGE_INDEX_URL is empty"):
        company_account.parameters(resolve({}, {"PACKAGE_INDEX_SECRET": SECRET}, {}))


def test_every_character_of_a_credential_comes_through() -> None:
    parts = urlsplit(index_url.with_credential(URL, f"{USER}:{PASSWORD}\n"))
    assert (unquote(parts.username or ""), unquote(parts.password or "")) == (USER, PASSWORD)
    assert (parts.hostname, parts.path) == ("packages.example.org", "/simple/")


def spec(index: PackageIndex) -> JobSpec:
    channels = {"train": "s3://bucket/data/train/"}
    code = "s3://bucket/code/0123456789abcdef/sourcedir.tar.gz"
    machine = JobInstances("ml.m5.xlarge")
    return JobSpec("a-job", "image", "role", "us-east-1", code, "s3://bucket/o/", channels, "", machine, index=index)


def test_a_job_knows_where_the_credential_is_and_not_the_credential() -> None:
    index = PackageIndex(URL, SECRET)
    training, processing = (
        training_request("train.py", {}, spec(index)),
        processing_request("preprocess", "preprocess.py", {}, spec(index)),
    )
    for request in (training, processing):
        assert request["Environment"]["PIP_INDEX_URL"] == URL
        assert request["Environment"]["MLOPS_INDEX_SECRET"] == SECRET
    assert training["HyperParameters"]["sagemaker_program"] == f'"{LAUNCHER}"'
    entrypoint = processing["AppSpecification"]["ContainerEntrypoint"][2]
    assert entrypoint == ENTRYPOINT_WITH_CREDENTIAL != ENTRYPOINT
    assert f"python3 {INSTALLER} requirements.txt" in entrypoint
    assert len(entrypoint) <= 256
    assert launcher.INSTALL == (INSTALLER, RENAMED_REQUIREMENTS)


def test_an_index_without_a_credential_is_only_named() -> None:
    training = training_request("train.py", {}, spec(PackageIndex(URL)))
    assert training["Environment"]["PIP_INDEX_URL"] == URL
    assert training["HyperParameters"]["sagemaker_program"] == '"train.py"'
    assert "PIP_INDEX_URL" not in training_request("train.py", {}, spec(PackageIndex()))["Environment"]


def installed(folder: Path, credential: str, address: str = SECRET) -> subprocess.CompletedProcess[str]:
    """Run the installer as in a container, with a pip that prints its arguments and its environment."""
    (folder / "boto3.py").write_text(
        "class Client:\n"
        "    def get_parameter(self, Name, WithDecryption):\n"
        f"        if Name != {SECRET!r}:\n            raise LookupError('ParameterNotFound')\n"
        f"        return {{'Parameter': {{'Value': {credential!r}}}}}\n"
        "    def get_authorization_token(self, domain, domainOwner, durationSeconds):\n"
        "        assert (domain, domainOwner) == ('packages', '123456789012') and 900 <= durationSeconds <= 43200\n"
        f"        return {{'authorizationToken': {credential.partition(':')[2]!r}}}\n"
        "def client(service, region_name=''):\n"
        "    assert (service, region_name) in (('ssm', ''), ('codeartifact', 'eu-west-1'))\n"
        "    return Client()\n"
    )
    (folder / "pip.py").write_text(
        "import os, sys\nfrom urllib.parse import unquote\n"
        "url = os.environ['PIP_INDEX_URL']\nprint(sys.argv[1:])\nprint(url)\nprint(unquote(url), file=sys.stderr)\n"
        f"sys.exit(0 if {PASSWORD!r} in unquote(url) else 1)\n"
    )
    (folder / "mlops_secrets.py").write_text(Path(secrets_runner.__file__).read_text())
    (folder / INSTALLER).write_text(Path(index_url.__file__).read_text())
    environment = {"PATH": os.environ["PATH"], "PIP_INDEX_URL": URL, "MLOPS_INDEX_SECRET": address}
    command = [sys.executable, INSTALLER, "list.txt"]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)


@pytest.mark.parametrize("address", [SECRET, DOMAIN])
def test_the_installer_gives_pip_the_credential_and_shows_it_nowhere(tmp_path: Path, address: str) -> None:
    done = installed(tmp_path, f"{USER}:{PASSWORD}", address)
    assert (done.returncode, done.stdout) == (0, "['install', '-q', '-r', 'list.txt']\n…\n")
    assert PASSWORD not in done.stderr


@pytest.mark.parametrize(
    ("credential", "address", "reason"),
    [("s3cr3t-word", SECRET, "expected USER:PASSWORD"), (f"{USER}:{PASSWORD}", "/gone", "ParameterNotFound")],
)
def test_a_credential_that_cannot_be_used_ends_the_job_with_the_reason(
    tmp_path: Path, credential: str, address: str, reason: str
) -> None:
    done = installed(tmp_path, credential, address)
    assert done.returncode == 1
    assert done.stderr.startswith(f"The credential of the package index cannot be read from {address}: {reason}")
    assert "s3cr3t-word" not in done.stderr


def test_a_build_prints_the_address_for_pip_or_the_reason(tmp_path: Path) -> None:
    def printed(credential: str) -> subprocess.CompletedProcess[str]:
        variables = {"PIP_INDEX_URL": URL, "MLOPS_INDEX_CREDENTIAL": credential}
        command = [sys.executable, index_url.__file__]
        return subprocess.run(command, cwd=tmp_path, env=variables, capture_output=True, text=True)

    assert printed(f"{USER}:{PASSWORD}").stdout == index_url.with_credential(URL, f"{USER}:{PASSWORD}") + "\n"
    refused = printed("s3cr3t-word")
    assert (refused.returncode, refused.stdout) == (1, "")
    assert "s3cr3t-word" not in refused.stderr


@pytest.mark.parametrize(("code", "printed"), [(0, f"aws:{PASSWORD}"), (1, "")])
def test_a_build_gets_its_token_from_the_aws_command(tmp_path: Path, code: int, printed: str) -> None:
    (tmp_path / "aws").write_text(
        f"#!/bin/sh\necho \"$*\" > {tmp_path}/asked\necho '{PASSWORD}'\necho AccessDeniedException >&2\nexit {code}\n"
    )
    (tmp_path / "aws").chmod(0o755)
    variables = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "PIP_INDEX_URL": URL, "MLOPS_INDEX_SECRET": DOMAIN}
    done = subprocess.run([sys.executable, index_url.__file__], env=variables, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (code, f"{index_url.with_credential(URL, printed)}\n" if printed else "")
    asked = (tmp_path / "asked").read_text()
    assert asked.startswith(
        "codeartifact get-authorization-token --domain packages --domain-owner 123456789012 --region"
    )
    assert ("AccessDeniedException" in done.stderr, PASSWORD in done.stderr) == (code == 1, False)
