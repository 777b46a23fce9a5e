"""The name of a use case is known even if the rest of its usecase.toml is invalid."""

from __future__ import annotations

from pathlib import Path

import pytest

from mlops_cli.project.use_case_name import name_in

BROKEN = "\n[data]\nsource = \n"


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ('name = "churn"\n', "churn"),
        ('name = """churn"""\n', "churn"),
        ('"name" = "churn"\n', "churn"),
        ("name = 5\n", ""),
        ('name = "no name"\n', ""),
        ('[data]\nname = "other"\n', ""),
        ('name = "churn"' + BROKEN, "churn"),
        ("\ufeff  name='churn'  # ours" + BROKEN, "churn"),
        ('name = "churn"\n[data]\nname = "other"\nsource =\n', "churn"),
        ('<<<<<<< a\nname = "churn"\n=======\nname = "churn"\nx = 1\n>>>>>>> b\n', "churn"),
        ('<<<<<<< a\nname = "churn"\n=======\nname = "other"\n>>>>>>> b\n', ""),
        ('name = "no name"' + BROKEN, ""),
        ('name = "churn' + BROKEN, ""),
        (BROKEN, ""),
    ],
)
def test_the_name_is_read_from_the_file_or_from_a_line_of_it(tmp_path: Path, text: str, name: str) -> None:
    file = tmp_path / "usecase.toml"
    file.write_text(text)
    assert name_in(file) == name


def test_a_file_that_cannot_be_read_has_no_name(tmp_path: Path) -> None:
    assert name_in(tmp_path) == ""
    assert name_in(tmp_path / "usecase.toml") == ""
