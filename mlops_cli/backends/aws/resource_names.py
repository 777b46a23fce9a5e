"""The only names made in Python: of the three stacks, their tags, and the project's key prefix in the bucket."""

from __future__ import annotations

from dataclasses import dataclass

from mlops_cli.files.hashing import digest_bytes

# CodePipeline's artifacts of all projects in a bucket lie in folders called as so much of their pipelines' names.
ARTIFACT_FOLDER_LENGTH = 20
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
    def pipeline(self) -> str:
        """Return the pipeline's name: the stack's, or one that begins with a digest of it.

        The beginning of this name is the folder of the pipeline's artifacts. It must be that of no other project or
        environment, since they may share a bucket.
        """
        if len(f"{self.prefix}-") <= ARTIFACT_FOLDER_LENGTH:
            return self.pipeline_stack
        return f"mlops-{digest_bytes(self.prefix.encode())[:13]}-{self.use_case}-{self.environment}"

    @property
    def artifact_folder(self) -> str:
        """Return the folder of CodePipeline's artifacts in the bucket."""
        return self.pipeline[:ARTIFACT_FOLDER_LENGTH]

    @property
    def key_prefix(self) -> str:
        return f"{self.use_case}-{self.environment}/"

    @property
    def tags(self) -> dict[str, str]:
        return {"mlops:project": self.use_case, "mlops:environment": self.environment}
