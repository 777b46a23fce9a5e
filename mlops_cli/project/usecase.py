"""The reader of training/usecase.toml: the whole use case, checked; all problems are reported at once."""

from __future__ import annotations

import datetime
import json
import math
import os
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from mlops_cli.core.jobs.script_environment import PassedVariables, is_own
from mlops_cli.core.jobs.secret_addresses import EXPECTED, is_address
from mlops_cli.core.jobs.time_limits import DOWNLOAD, LONGEST, TimeLimits
from mlops_cli.core.models.metric_bounds import Bounds, Metrics
from mlops_cli.core.stages import STAGES, Kind
from mlops_cli.data.columns import written
from mlops_cli.data.schema import Schema, TableFiles
from mlops_cli.data.scripts import RESERVED, DataScript, is_script
from mlops_cli.errors import ConfigurationError
from mlops_cli.frameworks import DEFAULT, NAMES, framework_named
from mlops_cli.frameworks.base import Framework
from mlops_cli.project.instances import InstanceSettings, read_instances
from mlops_cli.project.settings import NAME

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

TABLES = (
    "name",
    "description",
    "model",
    "data",
    "hyperparameters",
    "environment",
    "secrets",
    "code",
    "files",
    "metrics",
    "gates",
    "endpoint",
    "time_limits",
    "aws",
)
Scalar = (str, int, float, bool)
TABLE_KEYS = ("file", "columns")
SCRIPT_KEYS = ("file", "arguments", "synthetic")
# The keys of the tables that mlops reads; [gates] belongs to the use case's own tests.
KEYS = {
    "data": ("source", "quickstart", "competition", "file", "columns", "tables", "scripts"),
    "model": ("framework", "version"),
    "metrics": ("split", "primary", "minimum", "maximum", "direction", "must_beat_live"),
    "endpoint": ("examples", "sample"),
    "environment": ("pass", "set"),
    "secrets": ("names", "aws"),
    "time_limits": (DOWNLOAD, *(stage.name for stage in STAGES if stage.script or stage.kind is Kind.DEPLOY)),
    "code": ("path",),
    "hyperparameters": tuple(stage.name for stage in STAGES if stage.kind in (Kind.PROCESSING, Kind.TRAINING)),
}


@dataclass(frozen=True)
class UseCase:
    name: str
    description: str
    source: str
    quickstart: str
    competition: str
    file: str
    columns: dict[str, str]
    hyperparameters: dict[str, dict[str, str]]
    metrics: Metrics
    examples: tuple[Any, ...]
    machines: InstanceSettings
    path: Path
    sample: float = 0.0
    passed: PassedVariables = field(default_factory=PassedVariables)
    files: dict[str, tuple[str, ...]] = field(default_factory=dict)
    time_limits: TimeLimits = field(default_factory=TimeLimits)
    texts: frozenset[str] = frozenset()  # the hyperparameters that are texts, as stage.name
    framework: Framework = DEFAULT
    framework_version: str = ""  # of the images on AWS; empty: the framework's own
    scripts: dict[str, DataScript] = field(default_factory=dict)  # those that write data, by the name of the source
    tables: dict[str, TableFiles] = field(default_factory=dict)  # those among the files that have a schema

    @property
    def example_request(self) -> str:
        """Return the body of a request with the examples of usecase.toml; empty without examples."""
        return json.dumps({"instances": list(self.examples)}) if self.examples else ""

    @property
    def addresses(self) -> list[str]:
        """The sources of usecase.toml, to tell them from others."""
        return [self.source, self.quickstart]

    @property
    def root(self) -> Path:
        return self.path.parent.parent

    @property
    def get_data(self) -> str:
        """The command that downloads the data, for hints."""
        return "mlops download-data" + (f" (or --source {self.alternative})" if self.alternative else "")

    @property
    def alternative(self) -> str:
        """Another source than the usual one, that needs no account; empty if there is none."""
        return "" if self.quickstart == self.source else self.quickstart

    @property
    def data_scripts(self) -> tuple[str, ...]:
        """The scripts in training/ that write data: no stage depends on them, but on the data."""
        paths = [name.removeprefix("training/") for name in self.addresses if is_script(name)]
        return (*paths, *(script.file for script in self.scripts.values()))


def load_use_case(path: Path) -> UseCase:
    """Read usecase.toml. Raise ConfigurationError with the file and every wrong table and key."""
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise ConfigurationError(f"{path} is not UTF-8 (line {line}).", "Save the file as UTF-8.") from None
    except (ValueError, RecursionError) as error:
        message = re.sub(r"\(('[^']*'(?:, '[^']*')*),?\)", r"\1", str(error))  # tomllib shows a key as a tuple
        problem = "it nests too deeply" if isinstance(error, RecursionError) else message
        raise ConfigurationError(f"{path} is not valid TOML: {problem}.", f"Fix {path.name} and try again.") from None
    problems = [_unknown(f"[{name}]", name, TABLES) for name in document if name not in TABLES]
    use_case = _read(document, path, problems)
    if problems:
        raise ConfigurationError(f"{path}: " + "; ".join(problems) + ".", "Fix the file and try again.")
    return use_case


def _read(document: dict[str, Any], path: Path, problems: list[str]) -> UseCase:
    data = _check_keys(document, "data", problems)
    metrics = _check_keys(document, "metrics", problems)
    endpoint = _check_keys(document, "endpoint", problems)
    time_limits = _time_limits(_check_keys(document, "time_limits", problems), problems)
    model = _check_keys(document, "model", problems)
    passed = _passed(_check_keys(document, "environment", problems), problems)
    return UseCase(
        name=_name(document, problems),
        description=_optional_text(document, "description", problems),
        source=_optional_text(data, "source", problems, "data."),
        quickstart=_optional_text({"quickstart": data.get("source", ""), **data}, "quickstart", problems, "data."),
        competition=_optional_text(data, "competition", problems, "data."),
        file=_optional_text(data, "file", problems, "data.", "train.csv"),
        columns=_columns(data, "data.columns", problems),
        tables=_tables(data, problems),
        scripts=_scripts(data, problems),
        hyperparameters=_hyperparameters(_check_keys(document, "hyperparameters", problems), problems),
        metrics=Metrics(
            split=_optional_text(metrics, "split", problems, "metrics.", "test"),
            primary=_text(metrics, "primary", problems, "metrics."),
            minimum=_bounds(metrics, "minimum", problems),
            maximum=_bounds(metrics, "maximum", problems),
            direction=_direction(metrics, problems),
            must_beat_live=_flag(metrics, "must_beat_live", problems, "metrics."),
        ),
        examples=_examples(endpoint, problems),
        machines=read_instances(_table(document, "aws", problems), problems, time_limits.minutes),
        time_limits=time_limits,
        texts=_texts(_table(document, "hyperparameters", [])),
        path=path,
        sample=_fraction(endpoint, "sample", problems, "endpoint."),
        files=_files(_table(document, "files", problems), problems),
        framework=_framework(model, problems),
        framework_version=_version(model, problems),
        passed=replace(
            passed,
            code=_code_folders(_check_keys(document, "code", problems), path.parent.parent, problems),
            secrets=_secrets(_check_keys(document, "secrets", problems), passed, problems),
        ),
    )


def _table(parent: dict[str, Any], key: str, problems: list[str], name: str = "") -> dict[str, Any]:
    value = parent.get(key, {})
    if isinstance(value, dict):
        return value
    problems.append(f"[{name or key}] must be a table")
    return {}


def _check_keys(parent: dict[str, Any], key: str, problems: list[str]) -> dict[str, Any]:
    """Return one of KEYS' tables; report unknown keys, mostly misspelled ones."""
    table = _table(parent, key, problems)
    problems += [_unknown(f"{key}.{name}", name, KEYS[key]) for name in table if name not in KEYS[key]]
    return table


def _unknown(key: str, name: str, choices: Sequence[str]) -> str:
    near = get_close_matches(name, choices, 1)
    return f"{key} is not known; " + (f"did you mean {near[0]}?" if near else f"known are {', '.join(choices)}")


def _text(table: dict[str, Any], key: str, problems: list[str], prefix: str = "") -> str:
    value = table.get(key)
    if isinstance(value, str) and value.strip():
        return value
    problems.append(f"{prefix}{key} must be a text" + ("" if key in table else ", and is missing"))
    return ""


def _flag(table: dict[str, Any], key: str, problems: list[str], prefix: str = "") -> bool:
    value = table.get(key, False)
    if not isinstance(value, bool):
        problems.append(f"{prefix}{key} must be true or false")
    return value is True


def _optional_text(table: dict[str, Any], key: str, problems: list[str], prefix: str = "", default: str = "") -> str:
    value = table.get(key, default)
    if not isinstance(value, str):
        problems.append(f"{prefix}{key} must be a text")
        return default
    return value


def _fraction(table: dict[str, Any], key: str, problems: list[str], prefix: str = "") -> float:
    value = table.get(key, 0.0)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= 1:
        problems.append(f"{prefix}{key} must be a number from 0 (none) to 1 (all)")
        return 0.0
    return float(f"{value:g}")  # the form in an environment variable


def _time_limits(table: dict[str, Any], problems: list[str]) -> TimeLimits:
    """Return the longest times of stages, in minutes."""
    for stage, minutes in table.items():
        if isinstance(minutes, bool) or not isinstance(minutes, int) or not 1 <= minutes <= LONGEST:
            problems.append(f"time_limits.{stage} must be a whole number of minutes from 1 to {LONGEST:,}")
    return TimeLimits({stage: minutes for stage, minutes in table.items() if isinstance(minutes, int)})


def _files(table: dict[str, Any], problems: list[str]) -> dict[str, tuple[str, ...]]:
    """Return patterns of files in training/ with the stages that count them in their cache keys; () for no stage."""
    stage_names = [stage.name for stage in STAGES if stage.script]
    for pattern, stages in table.items():
        if not isinstance(stages, list) or not all(isinstance(stage, str) for stage in stages):
            problems.append(f"files.{pattern!r} must be a list of stages")
            continue
        problems += [
            _unknown(f"files.{pattern!r}: {stage!r}", stage, stage_names)
            for stage in stages
            if stage not in stage_names
        ]
    return {pattern: tuple(stages) for pattern, stages in table.items() if isinstance(stages, list)}


def _passed(table: dict[str, Any], problems: list[str]) -> PassedVariables:
    """Return the environment variables that scripts get beside the common ones."""
    names, fixed = _names(table, "pass", problems, "environment."), _table(table, "set", problems, "environment.set")
    _check_variables((*names, *fixed), "environment", problems)
    problems.extend(
        f"environment.set.{name} must be a text, a number or true/false"
        for name, value in fixed.items()
        if not isinstance(value, Scalar)
    )
    problems.extend(
        f"environment.set.{name} contains a NUL character, which no program can be given"
        for name, value in fixed.items()
        if "\0" in str(value)
    )
    return PassedVariables(tuple(names), {name: str(value) for name, value in fixed.items()})


def _secrets(table: dict[str, Any], passed: PassedVariables, problems: list[str]) -> dict[str, str]:
    """Return the names of the secrets that scripts get, with their addresses on AWS. A wrong value is not shown."""
    names, addresses = _names(table, "names", problems, "secrets."), _table(table, "aws", problems, "secrets.aws")
    _check_variables(names, "secrets", problems)
    twice = sorted({*names} & {*passed.names, *passed.fixed})
    problems += [f"secrets and environment both have {name}" for name in twice]
    problems += [_unknown(f"secrets.aws.{name}", name, names) for name in addresses if name not in names]
    problems += [
        f"secrets.aws.{name} must be {EXPECTED}"
        for name, address in addresses.items()
        if not isinstance(address, str) or not is_address(address)
    ]
    return {name: str(addresses.get(name, "")) for name in names}


def _names(table: dict[str, Any], key: str, problems: list[str], prefix: str) -> list[str]:
    names = table.get(key, [])
    if isinstance(names, list) and all(isinstance(name, str) for name in names):
        return names
    problems.append(f"{prefix}{key} must be a list of names")
    return []


def _check_variables(names: Sequence[str], title: str, problems: list[str]) -> None:
    for name in names:
        if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
            problems.append(f"{title} has {name!r}, expected the name of a variable")
        elif is_own(name):
            problems.append(f"{title} has {name}, which mlops sets itself")


def _code_folders(table: dict[str, Any], root: Path, problems: list[str]) -> tuple[Path, ...]:
    """Return the folders beside training/ with packages for scripts."""
    names = table.get("path", [])
    if not isinstance(names, list) or not all(isinstance(name, str) and name.strip() for name in names):
        problems.append('code.path must be a list of folders, such as ["src"]')
        return ()
    folders = tuple(Path(os.path.normpath(root / name)) for name in names)
    for name, folder in zip(names, folders, strict=True):
        if Path(name).is_absolute() or not folder.is_dir():
            problems.append(f"code.path has {name!r}, expected a folder, relative to the project's")
        elif folder == root or folder in root.parents or folder.is_relative_to(root / "training"):
            problems.append(f"code.path has {name!r}, expected a folder beside training/")
    return folders


def _name(document: dict[str, Any], problems: list[str]) -> str:
    """Return the use case's name: a part of the endpoint's, so in SageMaker's character set."""
    name = _text(document, "name", problems)
    if name and not re.fullmatch(NAME, name):
        problems.append(f"name is {name!r}, expected up to 41 letters, digits and -")
    return name


def _framework(model: dict[str, Any], problems: list[str]) -> Framework:
    name = model.get("framework", DEFAULT.name)
    if isinstance(name, str) and name in NAMES:
        return framework_named(name)
    problems.append(_unknown(f"model.framework: {name!r}", str(name), NAMES))
    return DEFAULT


def _version(model: dict[str, Any], problems: list[str]) -> str:
    version = model.get("version", "")
    if isinstance(version, str) and re.fullmatch(r"[0-9A-Za-z.-]*", version):
        return version
    problems.append('model.version must be a version of the framework in quotes, such as "1.9-0"')
    return ""


def _examples(endpoint: dict[str, Any], problems: list[str]) -> tuple[Any, ...]:
    examples = endpoint.get("examples", [])
    if not isinstance(examples, list):
        problems.append("endpoint.examples must be a list")
        return ()
    return tuple(_as_json(example, problems) for example in examples)


def _as_json(value: Any, problems: list[str]) -> Any:
    """Return a value of an example as JSON has it: a date or time as its text; report a number that JSON has not."""
    if isinstance(value, dict):
        return {name: _as_json(item, problems) for name, item in value.items()}
    if isinstance(value, list):
        return [_as_json(item, problems) for item in value]
    if isinstance(value, (datetime.date, datetime.time)):
        return value.isoformat()
    if isinstance(value, float) and not math.isfinite(value):
        problems.append(f"endpoint.examples has the number {value}, which a request in JSON cannot have")
    return value


def _columns(parent: dict[str, Any], title: str, problems: list[str]) -> dict[str, str]:
    columns = _table(parent, "columns", problems, title)
    texts = {}
    for name, spec in columns.items():
        try:
            texts[str(name)] = written(spec)
        except ValueError as error:
            problems.append(f"{title}.{name} is {error}")
    return texts


def _tables(data: dict[str, Any], problems: list[str]) -> dict[str, TableFiles]:
    """Return the tables among the files that have a schema, by name."""
    tables = _table(data, "tables", problems, "data.tables")
    if tables and data.get("columns"):
        problems.append("data has both columns and tables; give each table its own columns")
    declared = {}
    for name in tables:
        if not re.fullmatch(r"[A-Za-z_][\w-]*", name):
            problems.append(f"data.tables has {name!r}, expected a name of letters, digits, _ and -")
        title = f"data.tables.{name}"
        table = _table(tables, name, problems, title)
        problems += [_unknown(f"{title}.{key}", key, TABLE_KEYS) for key in table if key not in TABLE_KEYS]
        columns = _columns(table, f"{title}.columns", problems)
        if not columns:
            problems.append(f"{title} names no columns")
            continue
        file = _optional_text(table, "file", problems, f"{title}.") or f"{name}.csv"
        declared[name] = TableFiles(file, Schema(columns, f"[{title}.columns]"))
    return declared


def _scripts(data: dict[str, Any], problems: list[str]) -> dict[str, DataScript]:
    """Return the scripts that write data, by the name of the source."""
    tables = _table(data, "scripts", problems, "data.scripts")
    for name in tables:
        if not re.fullmatch(r"[A-Za-z_][\w-]*", name) or name in RESERVED:
            problems.append(f"data.scripts has {name!r}, expected a name of letters, digits, _ and - (not kaggle)")
    return {name: _script(_table(tables, name, problems, f"data.scripts.{name}"), name, problems) for name in tables}


def _script(table: dict[str, Any], name: str, problems: list[str]) -> DataScript:
    title = f"data.scripts.{name}"
    problems += [_unknown(f"{title}.{key}", key, SCRIPT_KEYS) for key in table if key not in SCRIPT_KEYS]
    file = _text(table, "file", problems, f"{title}.")
    if file and (not file.endswith(".py") or Path(file).is_absolute() or ".." in Path(file).parts):
        problems.append(f"{title}.file is {file!r}, expected a Python file in training/")
    arguments = _table(table, "arguments", problems, f"{title}.arguments")
    _check_values(arguments, f"{title}.arguments", problems)
    return DataScript(
        file,
        {argument: str(value) for argument, value in arguments.items()},
        _flag(table, "synthetic", problems, f"{title}."),
    )


def _hyperparameters(table: dict[str, Any], problems: list[str]) -> dict[str, dict[str, str]]:
    for stage in table:
        title = f"hyperparameters.{stage}"
        _check_values(_table(table, stage, problems, title), title, problems)
    return {
        stage: {name: str(value) for name, value in values.items()}
        for stage, values in table.items()
        if isinstance(values, dict)
    }


def _check_values(values: dict[str, Any], title: str, problems: list[str]) -> None:
    """Report values that cannot be options of a script."""
    for name, value in values.items():
        if not re.fullmatch(r"[A-Za-z_][\w-]*", name):
            problems.append(
                f"{title} has {name!r}, expected a name of letters, digits, _ and - that begins with a letter"
            )
        if isinstance(value, list):
            text = json.dumps(value, default=str)
            problems.append(f"{title}.{name} is a list: a script gets texts, so write {name} = {text!r} and parse it")
        elif not isinstance(value, Scalar):
            problems.append(f"{title}.{name} must be a text, a number or true/false")
        elif "\0" in str(value):
            problems.append(f"{title}.{name} contains a NUL character, which no program can be given")


def _texts(table: dict[str, Any]) -> frozenset[str]:
    """Return the names of the hyperparameters that are texts, numbers in quotes included."""
    tables = {stage: values for stage, values in table.items() if isinstance(values, dict)}
    return frozenset(
        f"{stage}.{name}"
        for stage, values in tables.items()
        for name, value in values.items()
        if isinstance(value, str)
    )


def _direction(metrics: dict[str, Any], problems: list[str]) -> str:
    direction = metrics.get("direction", "")
    if direction not in ("", "higher", "lower"):
        problems.append(f"metrics.direction is {direction!r}, expected higher or lower")
    return str(direction)


def _bounds(metrics: dict[str, Any], side: str, problems: list[str]) -> dict[str, Bounds]:
    tables = _table(metrics, side, problems, f"metrics.{side}")
    return {row: _numbers(tables, row, problems, f"metrics.{side}.{row}") for row in tables}


def _numbers(tables: dict[str, Any], row: str, problems: list[str], title: str) -> Bounds:
    table = _table(tables, row, problems, title)
    for name, value in table.items():
        if not _is_finite(value):
            problems.append(f"{title}.{name} must be a number")
    return {name: float(value) for name, value in table.items() if _is_finite(value)}


def _is_finite(value: Any) -> bool:
    """True for a number that a float holds: an integer in TOML may have any length."""
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return is_number and abs(value) <= sys.float_info.max


def full_names(use_case: UseCase, overrides: dict[str, str]) -> dict[str, str]:
    """Return overrides by ``stage.name``. Raise ConfigurationError for an unknown or ambiguous name."""
    located = {_locate(name, use_case.hyperparameters): value for name, value in overrides.items()}
    return {f"{stage}.{name}": value for (stage, name), value in located.items()}


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
    problem = f"is ambiguous: {', '.join(matches)}" if matches else f"is unknown; known are {', '.join(full_names)}"
    raise ConfigurationError(
        f"The hyperparameter {name!r} {problem}.",
        "Write --set STAGE.NAME=VALUE; add new ones to usecase.toml under [hyperparameters.STAGE].",
    )
