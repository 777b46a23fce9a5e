"""CodeArtifact as a package index: its credential is a token, which a role gets for a domain. No IO."""

from __future__ import annotations

import re

REGIONAL_DOMAIN = r"arn:(?P<partition>aws[a-z-]*):codeartifact:(?P<region>[a-z0-9-]+):(?P<owner>[0-9]{12}):domain"
NAME = r"[a-z][a-z0-9-]{0,48}[a-z0-9]"
DOMAIN_ARN = rf"arn:aws[a-z-]*:codeartifact:[a-z0-9-]+:[0-9]{{12}}:domain/{NAME}"
DOMAIN = re.compile(rf"{REGIONAL_DOMAIN}/(?P<name>{NAME})")
# The address of a repository's packages for pip.
URL = re.compile(
    rf"https://(?P<name>{NAME})-(?P<owner>[0-9]{{12}})\.d\.codeartifact\.(?P<region>[a-z0-9-]+)\.amazonaws\.com(\.cn)?"
    r"/pypi/(?P<repository>[\w.-]+)/.*",
    re.ASCII,
)


def is_domain(address: str) -> bool:
    return DOMAIN.fullmatch(address) is not None


def domain_of(url: str) -> str:
    """Return the ARN of the domain of a repository's address; empty for the address of another index."""
    match = URL.fullmatch(url)
    if match is None:
        return ""
    partition = "aws-cn" if match["region"].startswith("cn-") else "aws"
    return f"arn:{partition}:codeartifact:{match['region']}:{match['owner']}:domain/{match['name']}"


def repository_arn(domain: str, url: str) -> str:
    """Return the ARN of the repository at the address; of every repository of the domain for another address."""
    match = URL.fullmatch(url)
    return f"{domain.replace(':domain/', ':repository/')}/{match['repository'] if match else '*'}"
