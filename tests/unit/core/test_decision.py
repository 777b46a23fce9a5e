"""A decision is data: it can be stored and read again, and nothing is parsed from a comment."""

from __future__ import annotations

import json
import os
import pwd

import pytest

from mlops_cli.core.models.approval import has_reason
from mlops_cli.core.models.decision import (
    AUTOMATIC,
    Actor,
    Decision,
    DecisionKind,
    NamedModel,
    decision_from,
    person,
)
from mlops_cli.project.environment import claimed_names

ROLLBACK = Decision(
    "r2",
    True,
    Actor("root", "alice"),
    "too rude",
    2.0,
    "key",
    "a" * 64,
    DecisionKind.ROLLBACK,
    rollback_to=NamedModel("v1", "a" * 64),
    rolled_back_from=NamedModel("v2", "b" * 64),
    shortfalls=("macro: roc_auc 0.600 is under 0.95",),
    limits={"minimum of macro roc_auc": "0.95"},
)


@pytest.mark.parametrize("decision", [ROLLBACK, Decision("r1", False, AUTOMATIC, "", 1.0, "", "", forwarded_from="r0")])
def test_a_stored_decision_is_read_unchanged(decision: Decision) -> None:
    assert decision_from(json.loads(json.dumps(decision.to_dict()))) == decision


def test_a_comment_in_the_words_of_a_rollback_is_a_comment() -> None:
    decision = Decision("r1", True, Actor("ann"), "rolled back to the larger learning rate", 1.0, "k", "m")
    assert not decision.is_rollback
    assert decision.by == "by ann: rolled back to the larger learning rate"


def test_a_rollback_says_from_where_and_to_where() -> None:
    assert ROLLBACK.by == "by root (claimed name: alice) (rollback from v2 to v1): too rude"


@pytest.mark.parametrize(
    ("actor", "name"),
    [
        (Actor("root"), "root"),
        (Actor("root", "alice"), "root (claimed name: alice)"),
        (Actor(arn="arn:aws:sts::1:assumed-role/Developer/ben"), "ben"),
        (AUTOMATIC, "mlops"),
        (Actor(), "unknown"),
    ],
)
def test_only_verified_names_stand_outside_the_brackets(actor: Actor, name: str) -> None:
    assert actor.name == name


SYSTEM = pwd.getpwuid(os.getuid()).pw_name


@pytest.mark.parametrize(
    ("claims", "recorded"),
    [
        (["alice"], "alice"),
        (["", SYSTEM, "Ada L."], "Ada L."),
        ([SYSTEM, ""], ""),
        (["al\x1b[2Kice"], "al[2Kice"),
        ([os.fsdecode(b"al\xffice")], "alice"),
    ],
)
def test_the_approver_is_the_systems_user_and_other_names_are_claims(claims: list[str], recorded: str) -> None:
    assert person(*claims) == Actor(SYSTEM, recorded)


def test_the_names_in_the_environment_are_claims(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOGNAME", "alice")
    assert "alice" in claimed_names()


@pytest.mark.parametrize(
    "comment", ["", " ", "\t\n", "...", "\u200b", "\u2800", "\xa0", "\u3164", "\u115f\u1160", "\uffa0"]
)
def test_an_invisible_reason_is_no_reason(comment: str) -> None:
    assert not has_reason(comment)
    assert has_reason(f"{comment}é")
