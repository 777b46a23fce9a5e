"""A company's package index from which jobs install."""

from __future__ import annotations

from dataclasses import dataclass

from mlops_cli.backends.aws.stages.index_url import ADDRESS, URL

# The installer beside a job's script, and its list, which has another name because the toolkit uses requirements.txt.
INSTALLER = "mlops_packages.py"
REQUIREMENTS = "requirements.txt"
RENAMED_REQUIREMENTS = "mlops_requirements.txt"


@dataclass(frozen=True)
class PackageIndex:
    """``secret``: the address of the credential; empty if the index needs none."""

    url: str = ""
    secret: str = ""

    @property
    def variables(self) -> dict[str, str]:
        """Return the variables of a job: pip reads the first one, the installer reads both."""
        return {name: value for name, value in ((URL, self.url), (ADDRESS, self.secret)) if value}

    @property
    def cache_inputs(self) -> dict[str, str]:
        """Return the cache inputs for the packages of a job."""
        return {"package index": self.url} if self.url else {}


NO_INDEX = PackageIndex()
