"""The owner of stacks: two users' projects with the same use case and environment in one account."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from mlops_cli.backends.aws.clients.cloudformation import Stack
from mlops_cli.backends.aws.infra.ownership import owner_name, require_owner
from mlops_cli.backends.aws.resource_names import ResourceNames
from mlops_cli.errors import MlopsError
from mlops_cli.project.settings.values import resolve

ANN = "arn:aws:iam::000000000000:user/ann"


def account(arn: str = ANN) -> Any:
    return SimpleNamespace(identity=SimpleNamespace(arn=arn))


def stacks(owner: str, is_ours: bool = True, status: str = "CREATE_COMPLETE") -> Any:
    stack = Stack("mlops-tiny-dev-storage", "id", status, tags={"mlops:owner": owner} if owner else {})
    return SimpleNamespace(get_or_none=lambda name: stack if "storage" in name else None, owns=lambda _: is_ours)


@pytest.mark.parametrize(
    ("arn", "name"),
    [
        (ANN, "ann"),
        ("arn:aws:iam::000000000000:root", "root"),
        ("arn:aws:sts::000000000000:assumed-role/AWSReservedSSO_Dev_0123/ann@example.org", "ann@example.org"),
        ("arn:aws:sts::000000000000:assumed-role/deploy/i-0123456789abcdef0", "deploy"),
        ("arn:aws:sts::000000000000:assumed-role/github/GitHubActions", "github"),
        ("arn:aws:iam::000000000000:user/a,b", "a-b"),
    ],
)
def test_the_owner_is_the_caller_by_a_name_that_stays(arn: str, name: str) -> None:
    assert owner_name(resolve({}, {}, {}), account(arn)) == name
    assert owner_name(resolve({"OWNER": "team nlp"}, {}, {}), account(arn)) == "team nlp"


@pytest.mark.parametrize(("owner", "is_ours"), [("ann", True), ("ben", False), ("", False)])
def test_own_stacks_and_stacks_of_no_project_have_no_other_owner(owner: str, is_ours: bool) -> None:
    """A stack that mlops did not create is always refused or kept."""
    names = ResourceNames("tiny", "dev")
    assert require_owner(stacks(owner, is_ours), names, resolve({}, {}, {}), account()) == "ann"


def test_a_stack_without_an_owner_gets_one_from_deploy_infra_alone() -> None:
    names, settings = ResourceNames("tiny", "dev"), resolve({}, {}, {})
    with pytest.raises(
        MlopsError, match="mlops-tiny-dev-storage has no owner: its tag mlops:owner is missing"
    ) as caught:
        require_owner(stacks(""), names, settings, account())
    assert "mlops deploy-infra sets the tag to ann" in caught.value.hint
    assert require_owner(stacks(""), names, settings, account(), claims=True) == "ann"
    planned = stacks("", status="REVIEW_IN_PROGRESS")
    assert require_owner(planned, names, settings, account()) == "ann", "it only holds a plan, which may have no tags"


def test_a_neighbours_stacks_are_refused_with_both_ways_out() -> None:
    names = ResourceNames("tiny", "dev")
    with pytest.raises(MlopsError, match="mlops-tiny-dev-storage belongs to ben, and you are ann") as caught:
        require_owner(stacks("ben"), names, resolve({}, {}, {}), account())
    assert "another STAGE" in caught.value.hint
    assert "OWNER=ben" in caught.value.hint
    assert require_owner(stacks("ben"), names, resolve({"OWNER": "ben"}, {}, {}), account()) == "ben"
