"""The pipeline's template follows from the list of stages."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from mlops_cli.backends.aws.infra.compact_template import compact
from mlops_cli.backends.aws.infra.pipeline_template import as_sent, render
from mlops_cli.core.stages import DATA, STAGES, Kind, Stage
from mlops_cli.errors import ConfigurationError
from tests.conftest import ROOT
from tests.templates.template import Loader

TEXT = (ROOT / "templates" / "pipeline.yaml").read_text()
MORE = (
    *STAGES[:1],
    Stage("enrich", Kind.PROCESSING, "enrich.py", ("preprocess", DATA)),
    Stage("enriched-tests", Kind.GATE, "tests/test_enriched.py", ("enrich", "preprocess")),
    *STAGES[1:],
)


def test_the_template_in_the_repository_is_the_one_of_the_stages() -> None:
    """To write it again: pathlib's write_text(render(read_text())) of templates/pipeline.yaml."""
    assert render(TEXT) == TEXT


def without_names(value: Any) -> Any:
    """Return the document without the names of policies' statements."""
    if isinstance(value, dict):
        return {key: without_names(item) for key, item in value.items() if key != "Sid"}
    return [without_names(item) for item in value] if isinstance(value, list) else value


def test_the_sent_template_has_the_same_content() -> None:
    sent, text = (yaml.load(item, Loader) for item in (as_sent(TEXT), TEXT))
    text = without_names(text)
    for document in (sent, text):
        for resource in document["Resources"].values():
            resource.pop("Metadata", None)  # what checkers of the file are told
        source = document["Resources"]["DecisionProject"]["Properties"]["Source"]
        source["BuildSpec"] = yaml.safe_load(source["BuildSpec"]["Fn::Sub"])  # it has comments, too
    del text["Metadata"]
    for parameter in (*text["Parameters"].values(), *text["Outputs"].values()):
        for note in ("Description", "ConstraintDescription"):
            parameter.pop(note, None)
    assert sent == text


TAGGED = """\
A:
    Text: !Sub |
      # no comment

        indented: ${A}
    Folded: !Sub >-
        one
        two
    List:
      - !Sub |
        # first
      - second
"""


def test_a_block_of_text_with_a_tag_stays_whole() -> None:
    assert yaml.load(compact(TAGGED), Loader) == yaml.load(TAGGED, Loader)


def test_further_stages_get_their_actions_and_their_keys() -> None:
    text = as_sent(render(TEXT, MORE))
    resources = yaml.load(text, Loader)["Resources"]
    stages = resources["Pipeline"]["Properties"]["Stages"]
    assert [stage["Name"] for stage in stages] == ["Source", *(stage.name for stage in MORE)]
    actions = {stage["Name"]: [action["Name"] for action in stage["Actions"]] for stage in stages[1:]}
    assert (actions["enrich"], actions["enriched-tests"]) == (["command", "job"], ["command"])
    role = resources["StageRole"]["Properties"]["Policies"][0]["PolicyDocument"]["Statement"]
    arns = [arn["Fn::Sub"] for statement in role[:2] for arn in statement["Resource"]]
    keys = {arn.partition("${BucketName}/")[2] for arn in arns}
    assert {"${ArtifactFolder}/enrich/*", "${ArtifactFolder}/enriched-t/*"} <= keys
    assert {"${KeyPrefix}records/enrich/*", "${KeyPrefix}records/enriched-tests/*"} <= keys


def test_a_stage_that_shares_a_folder_with_a_decision_is_refused() -> None:
    """CodePipeline shortens artifact names: the stage's step could write the deployment's input."""
    with pytest.raises(ConfigurationError, match="stages rollback and rollback begin with the same"):
        render(TEXT, (*STAGES, Stage("rollback", Kind.GATE, "tests/test_x.py", ("train",))))


def test_a_template_without_marks_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="has no lines '# begin: stages'"):
        render("Resources: {}\n")
