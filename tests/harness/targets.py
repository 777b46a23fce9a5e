"""One project on either target: a scenario of both stands once."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import Cli, tiny_project


@pytest.fixture(scope="module", params=("local", pytest.param("aws", marks=pytest.mark.aws)))
def either(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, tiny_model: Path) -> Iterator[Cli]:
    """Provide a project with data; each test goes on with the state that the one before has left."""
    if request.param == "aws":
        yield request.getfixturevalue("shared")
        return
    with tiny_project(tmp_path_factory.mktemp("either") / "tiny", tiny_model) as cli:
        yield cli
