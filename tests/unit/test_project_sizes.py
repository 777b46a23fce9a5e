"""The benchmarks page has the present numbers of lines of the compared projects."""

from __future__ import annotations

from tests import project_sizes
from tests.conftest import ROOT


def test_the_table_of_lines_is_that_of_today() -> None:
    assert project_sizes.table() in (ROOT / "docs" / "development" / "benchmarks.md").read_text(), (
        "python -m tests.project_sizes"
    )


def test_every_part_of_a_project_is_counted() -> None:
    for title, files in project_sizes.projects().items():
        assert all(project_sizes.sizes(files).values()), title
