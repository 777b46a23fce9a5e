"""The public checkers on the templates, and on copies with mistakes."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.templates.checkers import FALSE_ALARMS, cfn_lint, checkov, cloudformation_validate
from tests.templates.report import TEMPLATES, table
from tests.templates.template import FOLDER, NAMES, load

pytestmark = pytest.mark.xdist_group("checkers")

each_template = pytest.mark.parametrize("template", TEMPLATES, ids=NAMES)


def broken(name: str, old: str, new: str, folder: Path) -> Path:
    """Return a copy of a template with one change."""
    text = (FOLDER / f"{name}.yaml").read_text(encoding="utf-8")
    assert old in text
    copy = folder / f"{name}.yaml"
    copy.write_text(text.replace(old, new, 1), encoding="utf-8")
    return copy


@each_template
def test_cfn_lint_finds_nothing(template: Path) -> None:
    assert cfn_lint(template) == []


@pytest.mark.parametrize(
    ("name", "old", "new", "rule"),
    [
        ("pipeline", "ExecutionMode: QUEUED", "ExecutionMode: QUEUE", "E3030"),
        ("pipeline", "Value: !Ref BuildLogs", "Value: !Ref BuildLog", "E6101"),
        ("pipeline", "codebuild:StartBuild", "codebuild:StartBuilds", "W3037"),
        ("endpoint", "InitialInstanceCount:", "InstanceCount:", "E3002"),
        ("storage", "aws:kms, AES256]", "aws:kms, AES25]", "E3030"),
    ],
)
def test_cfn_lint_finds_mistakes(name: str, old: str, new: str, rule: str, tmp_path: Path) -> None:
    assert rule in {finding.split()[0] for finding in cfn_lint(broken(name, old, new, tmp_path))}


@each_template
def test_aws_own_validation_finds_nothing(template: Path) -> None:
    assert set(cloudformation_validate(template)) <= set(FALSE_ALARMS)


def test_a_false_alarm_is_still_raised() -> None:
    """If not, remove it from the list."""
    templates = [finding for template in TEMPLATES for finding in cloudformation_validate(template)]
    assert set(FALSE_ALARMS) <= set(templates)


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("pipeline", "ExecutionMode: QUEUED", "ExecutionMode: QUEUE"),
        ("pipeline", "Value: !Ref Topic", "Value: !Ref Subscription"),
        ("endpoint", "Type: AWS::SageMaker::Model", "Type: AWS::SageMaker::Modell"),
        ("storage", "Bucket: !Ref Bucket\n", "Bucket: !Ref Buckets\n"),
    ],
)
def test_aws_own_validation_finds_mistakes(name: str, old: str, new: str, tmp_path: Path) -> None:
    problems = cloudformation_validate(broken(name, old, new, tmp_path))
    assert set(problems) - set(FALSE_ALARMS)


@pytest.mark.slow
def test_checkov_finds_nothing_and_each_skip_has_its_reason() -> None:
    report = checkov(TEMPLATES)
    assert report["failed"] == []
    assert len(report["skipped"]) == len(skips())


def skips() -> list[str]:
    """Return the reason of every skip in the templates."""
    resources = [resource for template in TEMPLATES for resource in load(template)["Resources"].values()]
    return [
        skip["comment"]
        for resource in resources
        for skip in resource.get("Metadata", {}).get("checkov", {}).get("skip", ())
    ]


def test_each_skip_is_explained_in_words() -> None:
    assert [reason for reason in skips() if len(re.findall(r"\w+", reason)) < 8] == []


@pytest.mark.slow
def test_the_docs_have_the_figures_of_today() -> None:
    assert table() in (ROOT / "docs" / "reference" / "aws.md").read_text(encoding="utf-8")


@pytest.mark.slow
def test_checkov_finds_mistakes(tmp_path: Path) -> None:
    copies = (
        broken("storage", "RestrictPublicBuckets: true", "RestrictPublicBuckets: false", tmp_path),
        broken("pipeline", "      KmsMasterKeyId: !If [Encrypted, !Ref KmsKeyArn, alias/aws/sns]\n", "", tmp_path),
    )
    failed = {finding.split()[0] for finding in checkov(copies)["failed"]}
    assert {"CKV_AWS_56", "CKV_AWS_26"} <= failed
