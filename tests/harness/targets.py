"""One project on either target, so that a test of both targets is written once."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.conftest import Cli, tiny_project


@pytest.fixture(scope="module", params=("local", pytest.param("aws", marks=pytest.mark.aws)))
def either(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cli]:
    """Provide a project with data. Each test continues with the state that the previous one has left."""
    if request.param == "aws":
        yield request.getfixturevalue("shared")
        return
    with tiny_project(tmp_path_factory.mktemp("either") / "tiny") as cli:
        yield cli
