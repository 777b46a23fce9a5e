"""The choice of a rollback's model. It is the same on both targets."""

from __future__ import annotations

import pytest

from mlops_cli.core.models.decision import Actor, Decision
from mlops_cli.core.models.model_versions import Interval, ModelVersion
from mlops_cli.core.models.rollback import LastRollback, RollbackChoice, choose_rollback, require_shown
from mlops_cli.core.runs import Status, new_run
from mlops_cli.errors import MlopsError

V1, V2, V3 = "1" * 64, "2" * 64, "3" * 64
APPROVED = Decision("r", True, Actor("anna"), "", 1.0, "k", "m")
MODELS = [
    ModelVersion(number, digest, "r", 1.0, "", "", {}, {}, APPROVED, (Interval(number, None),))
    for number, digest in ((3, V3), (2, V2), (1, V1))
]


def last(status: Status, target: str = V2, replaced: str = V3, is_newest: bool = True) -> LastRollback:
    run = new_run("back", {})
    run.status = status
    return LastRollback(run, target, replaced, is_newest)


UNDER_WAY = [Status.RUNNING, Status.WAITING, Status.INTERRUPTED]


@pytest.mark.parametrize("status", UNDER_WAY)
@pytest.mark.parametrize("deployed", [V3, V2, ""])
@pytest.mark.parametrize("version", ["", "v2", V2])
def test_an_unfinished_rollback_is_completed_with_any_deployed_model(
    status: Status, deployed: str, version: str
) -> None:
    choice = choose_rollback(MODELS, deployed, version, last(status))
    assert (choice.target.version, choice.replaced) == (2, V3)
    assert choice.unfinished is not None
    assert not choice.is_done


def test_a_finished_rollback_is_not_repeated_one_version_further_back() -> None:
    choice = choose_rollback(MODELS, V2, "", last(Status.DONE))
    assert (choice.target.version, choice.replaced, choice.is_done) == (2, V3, True)


@pytest.mark.parametrize(
    ("status", "deployed", "is_newest"),
    [
        (Status.DONE, V3, True),  # another model was deployed since
        (Status.DONE, V2, False),  # another run was started since
        (Status.FAILED, V3, True),
        (Status.REJECTED, V3, True),
        (Status.SUPERSEDED, V3, True),
    ],
)
def test_any_other_rollback_leads_to_a_new_one(status: Status, deployed: str, is_newest: bool) -> None:
    choice = choose_rollback(MODELS, deployed, "", last(status, is_newest=is_newest))
    assert (choice.unfinished, choice.replaced) == (None, deployed)


def test_a_rollback_under_way_from_a_third_model_no_longer_counts() -> None:
    choice = choose_rollback(MODELS, V3, "", last(Status.RUNNING, target=V1, replaced=V2))
    assert (choice.unfinished, choice.target.version) == (None, 2)


def test_another_version_than_that_of_the_unfinished_rollback_gets_one_of_its_own() -> None:
    choice = choose_rollback(MODELS, V3, "v1", last(Status.RUNNING))
    assert (choice.unfinished, choice.target.version, choice.replaced) == (None, 1, V3)
    with pytest.raises(MlopsError, match="'v9' does not exist"):
        choose_rollback(MODELS, V3, "v9", last(Status.RUNNING))


def test_a_new_rollback_replaces_only_the_model_that_was_shown() -> None:
    choice = choose_rollback(MODELS, V3, "v1", None)
    with pytest.raises(MlopsError, match=f"the deployed model is {V3[:12]} now, and was {V2[:12]} when it was shown"):
        require_shown(choice, V2)
    require_shown(choice, V3)
    require_shown(choice, None)
    require_shown(RollbackChoice(choice.target, V3, new_run("back", {})), V2)
