"""A decision's details are sent to CodePipeline with its comment, and are read again."""

from __future__ import annotations

import pytest

from mlops_cli.backends.aws.models.approval_summary import SUMMARY_LENGTH, DecisionDetails, read_summary, summary_of
from mlops_cli.core.models.decision import DecisionKind, NamedModel

ROLLBACK = DecisionDetails(DecisionKind.ROLLBACK, NamedModel("v1", "a" * 64), NamedModel("v2", "b" * 64))


@pytest.mark.parametrize("details", [DecisionDetails(), ROLLBACK, DecisionDetails(forwarded_from="r0")])
@pytest.mark.parametrize("comment", ["good", "", 'two lines\n{"kind":"rollback"}'])
def test_comment_and_details_come_back_as_they_were(comment: str, details: DecisionDetails) -> None:
    assert read_summary(summary_of(comment, details)) == (comment, details)


@pytest.mark.parametrize(
    "summary",
    ["good", "", "rolled back to v1: why", "two\nlines", '{"kind":"other"}', "[1]", "1", "null", '"kind"', "good\n[]"],
)
def test_a_text_from_the_aws_console_is_a_comment(summary: str) -> None:
    assert read_summary(summary) == (summary, DecisionDetails())


def test_a_comment_that_is_too_long_is_cut_and_the_details_are_not() -> None:
    summary = summary_of("x" * 1000, ROLLBACK)
    assert len(summary) == SUMMARY_LENGTH
    assert read_summary(summary)[1] == ROLLBACK
