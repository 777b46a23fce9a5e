"""The only names made in Python: of the three stacks, their tags, and the project's key prefix in the bucket."""

from __future__ import annotations

from dataclasses import dataclass

OWNER_TAG = "mlops:owner"


@dataclass(frozen=True)
class ResourceNames:
    """The names of one use case in one environment. Every other name comes from a stack's outputs."""

    use_case: str
    environment: str

    @property
    def prefix(self) -> str:
        return f"mlops-{self.use_case}-{self.environment}"

    @property
    def storage_stack(self) -> str:
        return f"{self.prefix}-storage"

    @property
    def pipeline_stack(self) -> str:
        return f"{self.prefix}-pipeline"

    @property
    def endpoint_stack(self) -> str:
        return f"{self.prefix}-endpoint"

    @property
    def artifact_folder(self) -> str:
        """Return CodePipeline's artifact folder: the first 20 characters of the pipeline's name, the stack's."""
        return self.pipeline_stack[:20]

    @property
    def key_prefix(self) -> str:
        return f"{self.use_case}-{self.environment}/"

    @property
    def tags(self) -> dict[str, str]:
        return {"mlops:project": self.use_case, "mlops:environment": self.environment}
