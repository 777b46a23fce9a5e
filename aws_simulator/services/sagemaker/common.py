"""Common parts of SageMaker's operations: names, errors, lists, tags at creation."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from aws_simulator.errors import ServiceError
from aws_simulator.permissions.roles import Caller
from aws_simulator.service import Request, page, tag_context

LIST_SIZE = 10
SERVICE = "sagemaker.amazonaws.com"


def now() -> datetime.datetime:
    return datetime.datetime.now(datetime.timezone.utc)


def arn_of(caller: Caller, kind: str, name: str) -> str:
    return f"arn:aws:sagemaker:{caller.region}:{caller.account}:{kind}/{name}"


def invalid(message: str) -> ServiceError:
    return ServiceError("ValidationException", message)


def require_tagging(request: Request, arn: str, caller: Caller) -> None:
    """Require sagemaker:AddTags from a caller that sets tags at creation."""
    if request.get("Tags"):
        caller.require("sagemaker:AddTags", arn, {**tag_context(request), "sagemaker:TaggingAction": "Create"})


def echoed(request: Mapping[str, Any], shape: Any) -> dict[str, Any]:
    """Return the part of a request that its description repeats."""
    return {name: value for name, value in request.items() if name in shape.members}


def listing(
    rows: Iterable[Mapping[str, Any]],
    request: Request,
    answer: str,
    name: str,
    status: str = "",
    by: str = "CreationTime",
) -> dict[str, Any]:
    """Return one page of a list of summaries, filtered and sorted as SageMaker's lists are.

    ``name`` and ``status``: the members for NameContains and StatusEquals. ``by``: the default of SortBy.
    """
    matches = [row for row in rows if all(fits(row) for fits in _filters(request, name, status))]
    keys = {"Name": name, "Status": status, "CreationTime": "CreationTime"}
    key = keys[request.get("SortBy", by)]
    ascending = request.get("SortOrder", "Descending") == "Ascending"
    matches.sort(key=lambda row: (row[key], row["CreationTime"]), reverse=not ascending)
    shown = [{key: value for key, value in row.items() if not key.startswith("_")} for row in matches]
    return page(shown, request, answer, "MaxResults", "NextToken", LIST_SIZE)


def _filters(request: Request, name: str, status: str) -> list[Callable[[Mapping[str, Any]], bool]]:
    filters: list[Callable[[Mapping[str, Any]], bool]] = []
    if text := request.get("NameContains"):
        filters.append(lambda row: text.lower() in row[name].lower())
    if state := request.get("StatusEquals"):
        filters.append(lambda row: bool(row[status] == state))
    for member in ("CreationTime", "LastModifiedTime"):
        if after := request.get(f"{member}After"):
            filters.append(lambda row, member=member, after=after: row[member] > after)
        if before := request.get(f"{member}Before"):
            filters.append(lambda row, member=member, before=before: row[member] < before)
    return filters
