"""usecase.toml lists every hyperparameter; the scripts take its values and the options of their command line."""

from __future__ import annotations

import argparse
from dataclasses import asdict, make_dataclass

import pytest

from common import hyperparameters, usecase
from common.hyperparameters import Hyperparameters, add_arguments


def parsed(*arguments: str) -> Hyperparameters:
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    return Hyperparameters(**vars(parser.parse_args(arguments)))


def test_usecase_toml_gives_every_value_in_the_order_of_the_fields() -> None:
    assert list(asdict(parsed()).items()) == list(usecase.hyperparameters("train").items())
    assert parsed() == Hyperparameters.of_use_case()
    assert parsed("--epochs", "7") == Hyperparameters.of_use_case(epochs=7)


def test_a_value_that_usecase_toml_lacks_is_asked_for(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    values = usecase.hyperparameters("train")
    del values["words"]
    monkeypatch.setattr(usecase, "hyperparameters", lambda stage: values)
    with pytest.raises(SystemExit):
        parsed()
    assert "the following arguments are required: --words" in capsys.readouterr().err
    assert parsed("--words", "9").words == 9


def test_a_new_one_needs_a_line_in_usecase_toml_and_a_field(monkeypatch: pytest.MonkeyPatch) -> None:
    values = {**usecase.hyperparameters("train"), "momentum": 0.5}
    monkeypatch.setattr(usecase, "hyperparameters", lambda stage: values)
    fields = [("momentum", float)]
    extended = make_dataclass("Extended", fields, bases=(Hyperparameters,), frozen=True)
    monkeypatch.setattr(hyperparameters, "Hyperparameters", extended)
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    assert vars(parser.parse_args([]))["momentum"] == 0.5
    assert vars(parser.parse_args(["--momentum", "0.7"]))["momentum"] == 0.7
    assert extended.of_use_case(epochs=7).momentum == 0.5  # type: ignore[attr-defined]
