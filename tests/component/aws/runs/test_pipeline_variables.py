"""The pipeline's variables for a step."""

from __future__ import annotations

import pytest

from mlops_cli.backends.aws.clients.logs import build_log
from mlops_cli.backends.aws.models.approval_summary import DecisionDetails
from mlops_cli.backends.aws.runs.pipeline_variables import (
    LENGTH,
    NO_ROLLBACK,
    decode,
    decode_rollback,
    decode_start,
    encode,
    encode_rollback,
    encode_start,
    readable,
)
from mlops_cli.backends.aws.stack_outputs import VARIABLES, from_environment, from_stack
from mlops_cli.core.models.decision import DecisionKind, NamedModel
from mlops_cli.errors import ConfigurationError


@pytest.mark.parametrize("overrides", [{}, {"train.epochs": "3"}, {"train.name": 'a "b" ü #{x} \\'}])
def test_overrides_pass_through_a_pipeline_variable(overrides: dict[str, str]) -> None:
    variable = encode(overrides)
    assert decode(variable) == overrides
    assert set(variable) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")


def test_no_overrides_are_the_variables_default() -> None:
    assert encode({}) == "e30"


@pytest.mark.parametrize("variable", ["!", "e3", "W10"])
def test_overrides_that_mlops_has_not_written_are_refused(variable: str) -> None:
    with pytest.raises(ConfigurationError, match="base64url"):
        decode(variable)


@pytest.mark.parametrize("variable", ["!", "e3", "W10", "ü", "_w"])
def test_other_texts_in_the_variables_are_neither_overrides_nor_a_rollback(variable: str) -> None:
    assert readable(variable) is None
    assert decode_rollback(variable) is None


@pytest.mark.parametrize("start", [("", "", ""), ("train", "", ""), ("train", "r1", ""), ("train", "r1", "v.1_x")])
def test_where_a_run_starts_passes_through_a_pipeline_variable(start: tuple[str, str, str]) -> None:
    assert decode_start(encode_start(*start)) == start
    assert encode_start("", "", "") == "-"


@pytest.mark.parametrize("why", ["too rude", "", "ü" * 400, "\N{PILE OF POO}" * 512, 'two lines\n"{x}"'])
def test_the_decision_of_a_rollback_passes_through_a_pipeline_variable(why: str) -> None:
    details = DecisionDetails(
        DecisionKind.ROLLBACK, NamedModel("v11", "1" * 64), NamedModel("v12", "2" * 64), accepted="3" * 32
    )
    variable = encode_rollback(why, details)
    assert len(variable) <= LENGTH
    cut, decoded = decode_rollback(variable) or ("", None)
    assert decoded == details
    assert why.startswith(cut)
    assert cut == why or len(cut) > 80
    assert decode_rollback(NO_ROLLBACK) is None


def test_the_log_of_a_build_is_named_by_its_id() -> None:
    assert build_log("mlops-tiny-dev-pipeline:1234-ab") == "/aws/codebuild/mlops-tiny-dev-pipeline:1234-ab"
    assert build_log("") == ""


def test_a_step_outside_of_the_pipeline_says_so() -> None:
    variables = dict.fromkeys(VARIABLES.values(), "x")
    assert from_environment(variables).bucket == "x"
    with pytest.raises(ConfigurationError, match=r"not a step of the pipeline.*MLOPS_BUCKET"):
        from_environment({**variables, "MLOPS_BUCKET": ""})


def test_a_stack_of_another_version_is_to_be_brought_up_to_date() -> None:
    with pytest.raises(ConfigurationError, match="no output BucketName") as caught:
        from_stack({})
    assert caught.value.hint == "Bring it up to date: mlops deploy-infra"
