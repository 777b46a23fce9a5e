"""The only resource names that are built in Python: three stacks, their tags, and the project's key prefix in S3.

Of the names that CloudFormation generates, it has the patterns.
"""

from __future__ import annotations

from dataclasses import dataclass

from mlops_cli.files.hashing import digest_bytes

# In a bucket, CodePipeline's artifact folder of a pipeline has this number of characters of the pipeline's name.
ARTIFACT_FOLDER_LENGTH = 20
OWNER_TAG = "mlops:owner"
# CloudFormation adds two hyphens and up to 13 characters to stack name and logical ID, and shortens both to fit.
ADDED = 15
ROLE_NAME, BUCKET_NAME = 64, 63
LONGEST_ROLE_ID = 20


@dataclass(frozen=True)
class ResourceNames:
    """The names for one use case in one environment. All other names come from the outputs of a stack."""

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
        """Return the pipeline's name: the stack's output, or a new name that begins with a digest of the stack's name.

        CodePipeline uses the beginning of this name as its artifact folder. Projects and environments may share a
        bucket, so this beginning must be unique.
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


def generated_role(stack: str) -> str:
    """Return a pattern for the role names that CloudFormation generates for a stack."""
    limit = ROLE_NAME - ADDED
    return f"{stack}-*" if len(stack) + LONGEST_ROLE_ID <= limit else f"{stack[: limit // 2]}*"


def generated_bucket(names: ResourceNames) -> str:
    """Return a pattern for the bucket name that CloudFormation generates."""
    stack, limit = names.storage_stack.lower(), BUCKET_NAME - ADDED
    return f"{stack}-bucket-*" if len(stack) + len("bucket") <= limit else f"{stack[: limit // 2]}*"
