"""The reader of usecase.toml. It checks the whole use case and reports all problems at once."""

from __future__ import annotations

import datetime
import math
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

from mlops_cli.core.jobs.script_environment import PassedVariables
from mlops_cli.core.jobs.time_limits import LONGEST, TimeLimits
from mlops_cli.errors import ConfigurationError
from mlops_cli.files.toml_text import parse_toml
from mlops_cli.frameworks import DEFAULT, NAMES, framework_named
from mlops_cli.frameworks.base import Framework
from mlops_cli.project.paths import Project
from mlops_cli.project.scripts_dir import KEY
from mlops_cli.project.settings.catalog import NAME
from mlops_cli.project.settings.company_settings import ECR_IMAGE
from mlops_cli.project.state_dir import recorded_name
from mlops_cli.project.use_case_name import name_in
from mlops_cli.project.usecase.code import read_code_folders, read_files, read_scripts_dir
from mlops_cli.project.usecase.data import read_columns, read_scripts, read_tables
from mlops_cli.project.usecase.hyperparameters import read_declarations, read_hyperparameters, read_texts
from mlops_cli.project.usecase.instances import read_instances
from mlops_cli.project.usecase.keys import TABLES
from mlops_cli.project.usecase.metrics import read_metrics
from mlops_cli.project.usecase.problems import Problems
from mlops_cli.project.usecase.toml_values import (
    check_whole_numbers,
    flag,
    fraction,
    known_table,
    optional_text,
    required_text,
    table_at,
    with_known_names,
)
from mlops_cli.project.usecase.use_case import UseCase
from mlops_cli.project.usecase.variables import read_passed, read_secrets


def load_use_case(path: Path, root: Path | None = None, only_name: bool = False) -> UseCase:
    """Read usecase.toml. Raise ConfigurationError with the file and every wrong table and key.

    ``root``: the project's folder, if the file is a copy in another place. With ``only_name``, a valid name is enough,
    and each wrong table or key gets its default.
    """
    try:
        document = parse_toml(path.read_text(encoding="utf-8-sig"))
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise ConfigurationError(f"{path} is not UTF-8 (line {line}).", "Save the file as UTF-8.") from None
    except ValueError as error:
        problem = re.sub(r"\(('[^']*'(?:, '[^']*')*),?\)", r"\1", str(error))  # tomllib shows a key as a tuple
        raise ConfigurationError(
            f"{path} is not valid TOML: {problem}.", f"Fix {path.name}, then check it: mlops config"
        ) from None
    problems = Problems()
    check_whole_numbers(document, "", problems)
    if problems:  # no code can show or compare such a number
        raise ConfigurationError(f"{path}:{problems.text}", "Fix the file, then check it: mlops config")
    use_case = _read(with_known_names(document, "", TABLES, problems), path, root, problems)
    if problems and not (only_name and re.fullmatch(NAME, use_case.name)):
        raise ConfigurationError(f"{path}:{problems.text}", "Fix the file, then check it: mlops config")
    return use_case


def load_with_name(project: Project) -> UseCase:
    """Return the use case of which only the name must be known: from usecase.toml, or as mlops has recorded it.

    Raise ConfigurationError, or OSError, of the file if the name is not known.
    """
    path = project.use_case_file
    try:
        return load_use_case(path, only_name=True)
    except (ConfigurationError, OSError):
        name = recorded_name(project) or name_in(path)
        if not name:
            raise
    code = {KEY: project.scripts_dir} if path.parent == project.root else {}
    return _read({"name": name, "code": code}, path, project.root, Problems())


def _read(document: dict[str, Any], path: Path, root: Path | None, problems: Problems) -> UseCase:
    code = known_table(document, "code", problems)
    root = root or (path.parent if KEY in code else path.parent.parent)
    scripts_dir = read_scripts_dir(code, root, path, problems)
    data = known_table(document, "data", problems)
    metrics = known_table(document, "metrics", problems)
    endpoint = known_table(document, "endpoint", problems)
    time_limits = _time_limits(known_table(document, "time_limits", problems), problems)
    model = known_table(document, "model", problems)
    framework = _framework(model, problems)
    hyperparameters = known_table(document, "hyperparameters", problems)
    return UseCase(
        name=_name(document, problems),
        description=optional_text(document, "description", problems),
        source=optional_text(data, "source", problems, "data."),
        quickstart=optional_text(data, "quickstart", problems, "data.", _if_text(data.get("source", ""))),
        competition=optional_text(data, "competition", problems, "data."),
        file=optional_text(data, "file", problems, "data.", "train.csv"),
        columns=read_columns(data, "data.columns", problems),
        tables=read_tables(data, problems),
        scripts=read_scripts(data, problems),
        hyperparameters=read_hyperparameters(hyperparameters, problems),
        declarations=read_declarations(hyperparameters, problems),
        metrics=read_metrics(metrics, problems),
        examples=_examples(endpoint, problems),
        machines=read_instances(table_at(document, "aws", problems), problems, time_limits.minutes),
        time_limits=time_limits,
        texts=read_texts(document.get("hyperparameters")),
        path=path,
        sample=fraction(endpoint, "sample", problems, "endpoint."),
        batching=_batching(endpoint, framework, problems),
        files=read_files(table_at(document, "files", problems), problems),
        framework=framework,
        framework_version=_version(model, problems),
        training_image=_image(model, "training_image", problems),
        serving_image=_image(model, "serving_image", problems),
        scripts_dir=scripts_dir,
        passed=_passed(document, root, root / scripts_dir if scripts_dir else path.parent, problems),
    )


def _passed(document: dict[str, Any], root: Path, scripts: Path, problems: Problems) -> PassedVariables:
    """Return the variables, secrets and folders of code that scripts get."""
    passed = read_passed(known_table(document, "environment", problems), problems)
    return replace(
        passed,
        code=read_code_folders(known_table(document, "code", problems), root, scripts, problems),
        secrets=read_secrets(known_table(document, "secrets", problems), passed, problems),
    )


def _if_text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _time_limits(table: dict[str, Any], problems: Problems) -> TimeLimits:
    """Return the time limits of stages in minutes."""
    limits = {stage: minutes for stage, minutes in table.items() if type(minutes) is int and 1 <= minutes <= LONGEST}
    for stage in table.keys() - limits.keys():
        problems.add(f"time_limits.{stage}", f"must be a whole number of minutes from 1 to {LONGEST:,}")
    return TimeLimits(limits)


def _name(document: dict[str, Any], problems: Problems) -> str:
    """Return the use case's name. It is a part of the endpoint's name, so SageMaker's rules apply."""
    name = required_text(document, "name", problems)
    if name and not re.fullmatch(NAME, name):
        problems.add("name", f"is {name!r}, expected up to 41 letters, digits and -")
    return name


def _framework(model: dict[str, Any], problems: Problems) -> Framework:
    name = model.get("framework", DEFAULT.name)
    if isinstance(name, str) and name in NAMES:
        return framework_named(name)
    problems.add_unknown("model.framework", str(name), NAMES, f"model.framework: {name!r}")
    return DEFAULT


def _version(model: dict[str, Any], problems: Problems) -> str:
    version = model.get("version", "")
    if isinstance(version, str) and re.fullmatch(r"[0-9A-Za-z.-]*", version):
        return version
    problems.add("model.version", 'must be a version of the framework in quotes, such as "1.9-0"')
    return ""


def _image(model: dict[str, Any], key: str, problems: Problems) -> str:
    address = model.get(key, "")
    if isinstance(address, str) and (not address or re.fullmatch(ECR_IMAGE, address, re.ASCII)):
        return address
    expected = "ACCOUNT.dkr.ecr.REGION.amazonaws.com/NAME:TAG"
    problems.add(f"model.{key}", f"must be the address of an image in ECR with its tag or digest: {expected}")
    return ""


def _batching(endpoint: dict[str, Any], framework: Framework, problems: Problems) -> bool:
    batching = flag(endpoint, "batching", problems, "endpoint.")
    if batching and not framework.uses_handlers:
        problems.add("endpoint.batching", f"has no effect: {framework.title} computes requests together without it")
    return batching


def _examples(endpoint: dict[str, Any], problems: Problems) -> tuple[Any, ...]:
    examples = endpoint.get("examples", [])
    if not isinstance(examples, list):
        problems.add("endpoint.examples", "must be a list")
        return ()
    return tuple(_as_json(example, problems) for example in examples)


def _as_json(value: Any, problems: Problems) -> Any:
    """Return an example's value as JSON; a date or time becomes text. Report a number that JSON cannot represent."""
    if isinstance(value, dict):
        return {name: _as_json(item, problems) for name, item in value.items()}
    if isinstance(value, list):
        return [_as_json(item, problems) for item in value]
    if isinstance(value, (datetime.date, datetime.time)):
        return value.isoformat()
    if isinstance(value, float) and not math.isfinite(value):
        problems.add("endpoint.examples", f"has the number {value}, which a request in JSON cannot have")
    return value
