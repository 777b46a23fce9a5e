"""JSON with too many levels is refused by every reader."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from mlops_cli.core.endpoint import InvocationResponse
from mlops_cli.data.metadata import read_dataset_info
from mlops_cli.errors import MlopsError
from mlops_cli.files.atomic import read_json
from mlops_cli.files.json_text import parse_json
from mlops_cli.monitoring.endpoint_check import check_endpoint
from mlops_cli.monitoring.statistics import LINE, parse_log_line, parse_references
from mlops_cli.project.paths import Project
from mlops_cli.project.state_dir import is_state_dir

DEEP = ["[" * 100_000, "[" * 100_000 + "]" * 100_000, '{"a":' * 100_000]


@pytest.mark.parametrize("number", range(len(DEEP)))
def test_lists_in_lists_without_end_are_no_json(tmp_path: Path, number: int) -> None:
    text = DEEP[number]
    for content in (text, text.encode()):
        with pytest.raises(ValueError, match="it nests too deeply"):
            parse_json(content)
    assert parse_json('{"a": [1]}') == {"a": [1]}
    assert parse_log_line(f"{LINE} {text}") is None
    with pytest.raises(ValueError, match="it nests too deeply"):
        parse_references(text)
    project = Project(tmp_path)
    project.data.mkdir(parents=True)
    for path in (project.marker, project.data / "dataset.json"):
        path.write_text(text)
        assert read_json(path) is None
    assert not is_state_dir(project)
    with pytest.raises(MlopsError):
        read_dataset_info(project.data)


def test_an_answer_that_nests_without_end_is_shown_as_it_is() -> None:
    def invoke(_body: bytes, _content_type: str) -> InvocationResponse:
        return InvocationResponse(200, DEEP[0].encode(), 0.1)

    endpoint: Any = SimpleNamespace(invoke=invoke)
    check = check_endpoint(endpoint, ["a"])
    assert (check.rows, json.dumps(check.raw)[:3]) == ([], '"[[')
