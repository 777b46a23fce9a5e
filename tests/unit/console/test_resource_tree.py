"""The live view of resources that are created and deleted, and the texts of a plan."""

from __future__ import annotations

import io
import time

from rich.console import Console as RichConsole

from mlops_cli.console.live.resource_tree import Lines, Tree
from mlops_cli.console.tables import plan_table
from mlops_cli.core.plan import Action, Change, Plan
from mlops_cli.core.progress import ResourceEvent

STACK = "AWS::CloudFormation::Stack"


def event(name: str, status: str, reason: str = "", kind: str = "AWS::S3::Bucket", at: float = 1000.0) -> ResourceEvent:
    return ResourceEvent("the-stack", name, kind, status, reason, at)


EVENTS = (
    event("the-stack", "CREATE_IN_PROGRESS", kind=STACK),
    event("Bucket", "CREATE_IN_PROGRESS"),
    event("Bucket", "CREATE_FAILED", "name [taken]", at=1002.5),
    event("Topic", "DELETE_COMPLETE", kind="AWS::SNS::Topic"),
    event("the-stack", "ROLLBACK_COMPLETE", kind=STACK),
)


def test_lines_say_how_each_resource_has_ended_and_when() -> None:
    printed: list[str] = []
    with Lines(printed.append) as lines:
        for event in EVENTS:
            lines(event)
    at = time.strftime("%H:%M:%S", time.localtime(1000.0))
    assert printed[0] == f"{at}  the-stack  CREATE_IN_PROGRESS"
    assert [line.split("  ", 1)[1] for line in printed[1:]] == [
        "the-stack  Bucket (AWS::S3::Bucket)  CREATE_FAILED  name [taken]",
        "the-stack  Topic (AWS::SNS::Topic)  DELETE_COMPLETE",
        "the-stack  ROLLBACK_COMPLETE",
    ]


def drawn(events: tuple[ResourceEvent, ...]) -> str:
    out = io.StringIO()
    console = RichConsole(file=out, width=100, force_terminal=True, color_system=None)
    with Tree(console) as tree:
        for event in events:
            tree(event)
    return out.getvalue()


def test_the_tree_has_each_resource_below_its_stack_with_mark_time_and_reason() -> None:
    text = drawn(EVENTS)
    assert "✓ the-stack ROLLBACK_COMPLETE" in text
    assert "── ✗ Bucket AWS::S3::Bucket CREATE_FAILED 2.5 s name [taken]" in text
    assert "── ✓ Topic AWS::SNS::Topic DELETE_COMPLETE" in text


def test_an_empty_tree_draws_nothing_visible() -> None:
    assert drawn(()).replace("\x1b[?25l", "").replace("\x1b[?25h", "").strip() == ""


def test_a_plan_names_the_lost_resources_in_words_and_in_red() -> None:
    plan = Plan(
        (
            Change(Action.REPLACE, "AWS::S3::Bucket Data", "BucketName changed", "all data in it"),
            Change(Action.REPLACE, "AWS::IAM::Role Role", "RoleName changed"),
        )
    )
    out = io.StringIO()
    RichConsole(file=out, width=100, force_terminal=True, color_system="standard").print(plan_table(plan))
    first, second = out.getvalue().splitlines()[:2]
    assert "LOSES all data in it" in first
    assert "\x1b[1;31m" in first
    assert "LOSES" not in second
    assert "\x1b[1;31m" not in second
