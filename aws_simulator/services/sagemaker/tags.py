"""Tags of SageMaker's resources."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aws_simulator.permissions.roles import Caller
from aws_simulator.service import Request, operation, page
from aws_simulator.services.sagemaker.common import invalid

if TYPE_CHECKING:
    from aws_simulator.service import Service as Base
else:
    Base = object

TAG_LIMIT = 50


class Tags(Base):
    """AddTags, DeleteTags, ListTags. The other operations store tags at creation in ``tags``."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.tags: dict[str, dict[str, str]] = {}

    def has(self, arn: str) -> bool:
        """Return True if the resource exists."""
        raise NotImplementedError

    def _check(self, arn: str) -> None:
        if not self.has(arn):
            raise invalid(f"Resource {arn} not found.")

    def tag(self, arn: str, tags: Any) -> None:
        self.tags.setdefault(arn, {}).update({tag["Key"]: tag["Value"] for tag in tags or []})

    @operation("{ResourceArn}")
    def add_tags(self, request: Request, caller: Caller) -> dict[str, Any]:
        self._check(request["ResourceArn"])
        self.tag(request["ResourceArn"], request["Tags"])
        return {"Tags": self._tag_list(request["ResourceArn"])}

    @operation("{ResourceArn}")
    def delete_tags(self, request: Request, caller: Caller) -> dict[str, Any]:
        self._check(request["ResourceArn"])
        for key in request["TagKeys"]:
            self.tags.get(request["ResourceArn"], {}).pop(key, None)
        return {}

    @operation("{ResourceArn}")
    def list_tags(self, request: Request, caller: Caller) -> dict[str, Any]:
        self._check(request["ResourceArn"])
        return page(self._tag_list(request["ResourceArn"]), request, "Tags", "MaxResults", "NextToken", TAG_LIMIT)

    def _tag_list(self, arn: str) -> list[dict[str, str]]:
        return [{"Key": key, "Value": value} for key, value in self.tags.get(arn, {}).items()]
