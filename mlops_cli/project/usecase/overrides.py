"""The hyperparameters of one run: those of usecase.toml, and the overrides of `--set`."""

from __future__ import annotations

from difflib import get_close_matches

from mlops_cli.errors import ConfigurationError
from mlops_cli.project.usecase.use_case import UseCase


def full_names(use_case: UseCase, overrides: dict[str, str]) -> dict[str, str]:
    """Return overrides by ``stage.name``. Raise ConfigurationError for a wrong name or value."""
    located = {_locate(name, use_case.hyperparameters): value for name, value in overrides.items()}
    named = {f"{stage}.{name}": value for (stage, name), value in located.items()}
    for name, value in named.items():
        declaration = use_case.declarations.get(name)
        if declaration and (problem := declaration.problem(value)):
            stage, key = name.split(".", 1)
            present = use_case.hyperparameters[stage][key]
            raise ConfigurationError(
                f"{name} is {value or 'empty'}: {problem}. usecase.toml has {key} = {present}.",
                f"Give such a value: mlops run --set {name}={present} (or change usecase.toml: the kind of its value, "
                "40 or 40.0, [hyperparameters.minimum] and [hyperparameters.maximum] decide)",
            )
    return named


def with_overrides(use_case: UseCase, overrides: dict[str, str]) -> dict[str, dict[str, str]]:
    """Return the hyperparameters by stage, with the overrides by ``stage.name``."""
    merged = {stage: dict(values) for stage, values in use_case.hyperparameters.items()}
    for name, value in full_names(use_case, overrides).items():
        stage, key = name.split(".", 1)
        merged[stage][key] = value
    return merged


def _locate(name: str, tables: dict[str, dict[str, str]]) -> tuple[str, str]:
    full_names = [f"{stage}.{key}" for stage, values in tables.items() for key in values]
    matches = [full for full in full_names if full == name or full.split(".", 1)[1] == name]
    if len(matches) == 1:
        stage, key = matches[0].split(".", 1)
        return stage, key
    keys = {full.split(".", 1)[1]: full for full in full_names}
    near = [keys[key] for key in get_close_matches(name.rpartition(".")[2], keys, 1)]
    question = f"did you mean {near[0]}? Known" if near else "known"
    problem = (
        f"is ambiguous: {', '.join(matches)}" if matches else f"is unknown; {question} are {', '.join(full_names)}"
    )
    raise ConfigurationError(
        f"The hyperparameter {name!r} {problem}.",
        "Write it as STAGE.NAME=VALUE: mlops run --set train.seed=1; add a new one to usecase.toml first.",
    )
