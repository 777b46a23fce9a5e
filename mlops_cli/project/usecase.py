"""The reader of usecase.toml: the whole use case, checked; all problems are reported at once."""

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
from mlops_cli.project.hyperparameters import MAXIMUM, MINIMUM, Declaration, read_declarations
from mlops_cli.project.instances import InstanceSettings, read_instances
from mlops_cli.project.problems import Problems
from mlops_cli.project.scripts_dir import FILE, KEY, folder_problem, form_problem
from mlops_cli.project.secret_names import secret_name_problem
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
    "code": ("path", KEY),
    "hyperparameters": (
        *(stage.name for stage in STAGES if stage.kind in (Kind.PROCESSING, Kind.TRAINING)),
        MINIMUM,
        MAXIMUM,
    ),
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
    declarations: dict[str, Declaration] = field(default_factory=dict)  # of the hyperparameters, by stage.name
    framework: Framework = DEFAULT
    framework_version: str = ""  # of the images on AWS; empty: the framework's own
    scripts: dict[str, DataScript] = field(default_factory=dict)  # those that write data, by the name of the source
    tables: dict[str, TableFiles] = field(default_factory=dict)  # those among the files that have a schema
    scripts_dir: str = ""  # relative to the root; empty: usecase.toml is in the scripts' folder

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
        return self.path.parent if self.scripts_dir else self.path.parent.parent

    @property
    def prefix(self) -> str:
        """The scripts' folder as a path in the project begins."""
        return f"{self.scripts_dir or self.path.parent.name}/"

    @property
    def get_data(self) -> str:
        """The command that downloads the data, for hints."""
        other = f" (or mlops download-data --source {self.alternative})" if self.alternative else ""
        return f"mlops download-data{other}"

    @property
    def alternative(self) -> str:
        """Another source than the usual one, that needs no account; empty if there is none."""
        return "" if self.quickstart == self.source else self.quickstart

    @property
    def data_scripts(self) -> tuple[str, ...]:
        """The scripts of the project that write data: no stage depends on them, but on the data."""
        paths = [name.removeprefix(self.prefix) for name in self.addresses if is_script(name)]
        return (*paths, *(script.file for script in self.scripts.values()))


def load_use_case(path: Path, root: Path | None = None) -> UseCase:
    """Read usecase.toml. Raise ConfigurationError with the file and every wrong table and key.

    ``root`` is the project's folder if the file is a copy in another place.
    """
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise ConfigurationError(f"{path} is not UTF-8 (line {line}).", "Save the file as UTF-8.") from None
    except (ValueError, RecursionError) as error:
        message = re.sub(r"\(('[^']*'(?:, '[^']*')*),?\)", r"\1", str(error))  # tomllib shows a key as a tuple
        problem = "it nests too deeply" if isinstance(error, RecursionError) else message
        raise ConfigurationError(
            f"{path} is not valid TOML: {problem}.", f"Fix {path.name}, then check it: mlops config"
        ) from None
    problems = Problems()
    use_case = _read(_with_known_names(document, "", TABLES, problems), path, root, problems)
    if problems:
        raise ConfigurationError(f"{path}:{problems.text}", "Fix the file, then check it: mlops config")
    return use_case


def _read(document: dict[str, Any], path: Path, root: Path | None, problems: Problems) -> UseCase:
    code = _check_keys(document, "code", problems)
    root = root or (path.parent if KEY in code else path.parent.parent)
    scripts_dir = _scripts_dir(code, root, path, problems)
    data = _check_keys(document, "data", problems)
    metrics = _check_keys(document, "metrics", problems)
    endpoint = _check_keys(document, "endpoint", problems)
    time_limits = _time_limits(_check_keys(document, "time_limits", problems), problems)
    model = _check_keys(document, "model", problems)
    passed = _passed(_check_keys(document, "environment", problems), problems)
    hyperparameters = _check_keys(document, "hyperparameters", problems)
    return UseCase(
        name=_name(document, problems),
        description=_optional_text(document, "description", problems),
        source=_optional_text(data, "source", problems, "data."),
        quickstart=_optional_text(data, "quickstart", problems, "data.", _if_text(data.get("source", ""))),
        competition=_optional_text(data, "competition", problems, "data."),
        file=_optional_text(data, "file", problems, "data.", "train.csv"),
        columns=_columns(data, "data.columns", problems),
        tables=_tables(data, problems),
        scripts=_scripts(data, problems),
        hyperparameters=_hyperparameters(hyperparameters, problems),
        declarations=read_declarations(hyperparameters, problems),
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
        texts=_texts(document.get("hyperparameters")),
        path=path,
        sample=_fraction(endpoint, "sample", problems, "endpoint."),
        files=_files(_table(document, "files", problems), problems),
        framework=_framework(model, problems),
        framework_version=_version(model, problems),
        scripts_dir=scripts_dir,
        passed=replace(
            passed,
            code=_code_folders(code, root, root / scripts_dir if scripts_dir else path.parent, problems),
            secrets=_secrets(_check_keys(document, "secrets", problems), passed, problems),
        ),
    )


def _table(parent: dict[str, Any], key: str, problems: Problems, name: str = "") -> dict[str, Any]:
    value = parent.get(key, {})
    if isinstance(value, dict):
        return value
    problems.add(name or key, "must be a table", f"[{name or key}]")
    return {}


def _check_keys(parent: dict[str, Any], key: str, problems: Problems) -> dict[str, Any]:
    """Return one of KEYS' tables; report unknown keys, mostly misspelled ones."""
    return _with_known_names(_table(parent, key, problems), key, KEYS[key], problems)


def _with_known_names(table: dict[str, Any], title: str, known: Sequence[str], problems: Problems) -> dict[str, Any]:
    """Return the table with each misspelled name under the meant one, so that this one is not missing, too."""
    read = {name: value for name, value in table.items() if name in known}
    for name in table.keys() - read.keys():
        key = f"{title}.{name}" if title else name
        homes = [home for home, names in KEYS.items() if name in names]
        elsewhere = f"it belongs in [{homes[0]}]" if homes else ""
        if title and name in TABLES:
            elsewhere = "it belongs before the first [table] of the file"
        problems.add_unknown(key, name, known, key if title else f"[{name}]", elsewhere)
        for meant in get_close_matches(name, known, 1):
            read.setdefault(meant, table[name])
    return read


def _text(table: dict[str, Any], key: str, problems: Problems, prefix: str = "") -> str:
    value = table.get(key)
    if isinstance(value, str) and value.strip():
        return value
    problems.add(f"{prefix}{key}", "must be a text" if key in table else "is missing; it must be a text")
    return ""


def _flag(table: dict[str, Any], key: str, problems: Problems, prefix: str = "") -> bool:
    value = table.get(key, False)
    if not isinstance(value, bool):
        problems.add(f"{prefix}{key}", "must be true or false")
    return value is True


def _optional_text(table: dict[str, Any], key: str, problems: Problems, prefix: str = "", default: str = "") -> str:
    value = table.get(key, default)
    if not isinstance(value, str):
        problems.add(f"{prefix}{key}", "must be a text")
        return default
    return value


def _if_text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _fraction(table: dict[str, Any], key: str, problems: Problems, prefix: str = "") -> float:
    value = table.get(key, 0.0)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= 1:
        problems.add(f"{prefix}{key}", "must be a number from 0 (none) to 1 (all)")
        return 0.0
    return float(f"{value:g}")  # the form in an environment variable


def _time_limits(table: dict[str, Any], problems: Problems) -> TimeLimits:
    """Return the longest times of stages, in minutes."""
    limits = {stage: minutes for stage, minutes in table.items() if type(minutes) is int and 1 <= minutes <= LONGEST}
    for stage in table.keys() - limits.keys():
        problems.add(f"time_limits.{stage}", f"must be a whole number of minutes from 1 to {LONGEST:,}")
    return TimeLimits(limits)


def _files(table: dict[str, Any], problems: Problems) -> dict[str, tuple[str, ...]]:
    """Return patterns of the scripts' files with the stages that count them in their cache keys; () for no stage."""
    stage_names = [stage.name for stage in STAGES if stage.script]
    for pattern, stages in table.items():
        if not isinstance(stages, list) or not all(isinstance(stage, str) for stage in stages):
            problems.add(f"files.{pattern!r}", 'must be a list of stages, such as ["train"]')
            continue
        for stage in stages:
            if stage not in stage_names:
                problems.add_unknown(f"files.{pattern!r}: {stage!r}", stage, stage_names)
    return {pattern: tuple(stages) for pattern, stages in table.items() if isinstance(stages, list)}


def _passed(table: dict[str, Any], problems: Problems) -> PassedVariables:
    """Return the environment variables that scripts get beside the common ones."""
    names, fixed = _names(table, "pass", problems, "environment."), _table(table, "set", problems, "environment.set")
    _check_variables((*names, *fixed), "environment", problems)
    for name, value in fixed.items():
        if not isinstance(value, Scalar):
            problems.add(f"environment.set.{name}", "must be a text, a number or true/false")
        elif "\0" in str(value):
            problems.add(f"environment.set.{name}", "contains a NUL character, which no program can be given")
    return PassedVariables(tuple(names), {name: str(value) for name, value in fixed.items()})


def _secrets(table: dict[str, Any], passed: PassedVariables, problems: Problems) -> dict[str, str]:
    """Return the names of the secrets that scripts get, with their addresses on AWS. A wrong value is not shown."""
    names, addresses = _names(table, "names", problems, "secrets."), _table(table, "aws", problems, "secrets.aws")
    _check_variables(names, "secrets", problems)
    for name in sorted({*names} & {*passed.names, *passed.fixed}):
        problems.add(f"secrets.names.{name}", "is in [environment], too; remove one of them")
    for name in names:
        if problem := secret_name_problem(name):
            problems.add(f"secrets.names.{name}", f"has {name}, {problem}", "secrets.names")
    for name, address in addresses.items():
        if name not in names:
            problems.add_unknown(f"secrets.names.{name}", name, names, f"secrets.aws.{name}")
        elif not isinstance(address, str) or not is_address(address):
            problems.add(f"secrets.aws.{name}", f"must be {EXPECTED}")
    return {name: str(addresses.get(name, "")) for name in names}


def _names(table: dict[str, Any], key: str, problems: Problems, prefix: str) -> list[str]:
    names = table.get(key, [])
    if isinstance(names, list) and all(isinstance(name, str) for name in names):
        return names
    problems.add(f"{prefix}{key}", f'must be a list of names, such as {key} = ["SHOP_TOKEN"]')
    return []


def _check_variables(names: Sequence[str], title: str, problems: Problems) -> None:
    for name in names:
        if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
            problems.add(f"{title}.names.{name}", f"has {name!r}, expected the name of a variable", title)
        elif is_own(name):
            problems.add(f"{title}.names.{name}", f"has {name}, which mlops sets itself; choose another name", title)


def _scripts_dir(table: dict[str, Any], root: Path, path: Path, problems: Problems) -> str:
    """Return the folder of the scripts that a usecase.toml in the project's root names; "" without one."""
    if KEY not in table:
        return ""
    value = table[KEY]
    if problem := form_problem(value) or folder_problem(root, value):
        problems.add(f"code.{KEY}", problem)
        return ""
    folder = value.removesuffix("/")
    if path.parent == root and (root / folder / FILE).is_file():
        problems.add(f"code.{KEY}", f"names a folder with a second {FILE}, {folder}/{FILE}; remove one of the two")
    return str(folder)


def _code_folders(table: dict[str, Any], root: Path, scripts: Path, problems: Problems) -> tuple[Path, ...]:
    """Return the folders beside the scripts' with packages for scripts."""
    names = table.get("path", [])
    if not isinstance(names, list) or not all(isinstance(name, str) and name.strip() for name in names):
        problems.add("code.path", 'must be a list of folders, such as ["src"]')
        return ()
    folders = tuple(Path(os.path.normpath(root / name)) for name in names)
    for name, folder in zip(names, folders, strict=True):
        if Path(name).is_absolute() or not folder.is_dir():
            problems.add(
                f"code.path.{name}", f"has {name!r}, expected a folder, relative to the project's", "code.path"
            )
        elif folder == root or folder in root.parents or folder.is_relative_to(scripts):
            problems.add(f"code.path.{name}", f"has {name!r}, expected a folder beside {scripts.name}/", "code.path")
    return folders


def _name(document: dict[str, Any], problems: Problems) -> str:
    """Return the use case's name: a part of the endpoint's, so in SageMaker's character set."""
    name = _text(document, "name", problems)
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


def _examples(endpoint: dict[str, Any], problems: Problems) -> tuple[Any, ...]:
    examples = endpoint.get("examples", [])
    if not isinstance(examples, list):
        problems.add("endpoint.examples", "must be a list")
        return ()
    return tuple(_as_json(example, problems) for example in examples)


def _as_json(value: Any, problems: Problems) -> Any:
    """Return a value of an example as JSON has it: a date or time as its text; report a number that JSON has not."""
    if isinstance(value, dict):
        return {name: _as_json(item, problems) for name, item in value.items()}
    if isinstance(value, list):
        return [_as_json(item, problems) for item in value]
    if isinstance(value, (datetime.date, datetime.time)):
        return value.isoformat()
    if isinstance(value, float) and not math.isfinite(value):
        problems.add("endpoint.examples", f"has the number {value}, which a request in JSON cannot have")
    return value


def _columns(parent: dict[str, Any], title: str, problems: Problems) -> dict[str, str]:
    columns = _table(parent, "columns", problems, title)
    texts = {}
    for name, spec in columns.items():
        try:
            texts[str(name)] = written(spec)
        except ValueError as error:
            problems.add(f"{title}.{name}", f"is {error}")
    return texts


def _tables(data: dict[str, Any], problems: Problems) -> dict[str, TableFiles]:
    """Return the tables among the files that have a schema, by name."""
    tables = _table(data, "tables", problems, "data.tables")
    if tables and data.get("columns"):
        problems.add("data.columns", "stands beside data.tables; give each table its own columns")
    declared = {}
    for name in tables:
        if not re.fullmatch(r"[A-Za-z_][\w-]*", name):
            wrong = f"has {name!r}, expected a name of letters, digits, _ and -"
            problems.add(f"data.tables.{name}", wrong, "data.tables")
        title = f"data.tables.{name}"
        table = _with_known_names(_table(tables, name, problems, title), title, TABLE_KEYS, problems)
        columns = _columns(table, f"{title}.columns", problems)
        if not columns:
            problems.add(f"{title}.columns", "is missing" if "columns" not in table else "names no columns")
            continue
        file = _optional_text(table, "file", problems, f"{title}.") or f"{name}.csv"
        declared[name] = TableFiles(file, Schema(columns, f"[{title}.columns]"))
    return declared


def _scripts(data: dict[str, Any], problems: Problems) -> dict[str, DataScript]:
    """Return the scripts that write data, by the name of the source."""
    tables = _table(data, "scripts", problems, "data.scripts")
    for name in tables:
        if not re.fullmatch(r"[A-Za-z_][\w-]*", name) or name in RESERVED:
            wrong = f"has {name!r}, expected a name of letters, digits, _ and - (not kaggle)"
            problems.add(f"data.scripts.{name}", wrong, "data.scripts")
    return {name: _script(_table(tables, name, problems, f"data.scripts.{name}"), name, problems) for name in tables}


def _script(table: dict[str, Any], name: str, problems: Problems) -> DataScript:
    title = f"data.scripts.{name}"
    table = _with_known_names(table, title, SCRIPT_KEYS, problems)
    file = _text(table, "file", problems, f"{title}.")
    if file and (not file.endswith(".py") or Path(file).is_absolute() or ".." in Path(file).parts):
        problems.add(f"{title}.file", f"is {file!r}, expected a Python file in the scripts' folder")
    arguments = _table(table, "arguments", problems, f"{title}.arguments")
    _check_values(arguments, f"{title}.arguments", problems)
    return DataScript(
        file,
        {argument: str(value) for argument, value in arguments.items()},
        _flag(table, "synthetic", problems, f"{title}."),
    )


def _hyperparameters(table: dict[str, Any], problems: Problems) -> dict[str, dict[str, str]]:
    table = {stage: values for stage, values in table.items() if stage not in (MINIMUM, MAXIMUM)}
    for stage in table:
        title = f"hyperparameters.{stage}"
        _check_values(_table(table, stage, problems, title), title, problems)
    return {
        stage: {name: str(value) for name, value in values.items()}
        for stage, values in table.items()
        if isinstance(values, dict)
    }


def _check_values(values: dict[str, Any], title: str, problems: Problems) -> None:
    """Report values that cannot be options of a script."""
    for name, value in values.items():
        key = f"{title}.{name}"
        if not re.fullmatch(r"[A-Za-z_][\w-]*", name):
            problems.add(
                key, f"has {name!r}, expected a name of letters, digits, _ and - that begins with a letter", title
            )
        if isinstance(value, list):
            text = json.dumps(value, default=str)
            problems.add(key, f"is a list: a script gets texts, so write {name} = {text!r} and parse it")
        elif not isinstance(value, Scalar):
            problems.add(key, "must be a text, a number or true/false")
        elif "\0" in str(value):
            problems.add(key, "contains a NUL character, which no program can be given")
        elif isinstance(value, float) and not math.isfinite(value):
            problems.add(key, f"is {value}, expected a finite number")


def _texts(table: Any) -> frozenset[str]:
    """Return the names of the hyperparameters that are texts, numbers in quotes included."""
    stages = table if isinstance(table, dict) else {}
    tables = {stage: values for stage, values in stages.items() if isinstance(values, dict)}
    return frozenset(
        f"{stage}.{name}"
        for stage, values in tables.items()
        for name, value in values.items()
        if isinstance(value, str)
    )


def _direction(metrics: dict[str, Any], problems: Problems) -> str:
    direction = metrics.get("direction", "")
    if direction not in ("", "higher", "lower"):
        problems.add("metrics.direction", f"is {direction!r}, expected higher or lower")
    return str(direction)


def _bounds(metrics: dict[str, Any], side: str, problems: Problems) -> dict[str, Bounds]:
    tables = _table(metrics, side, problems, f"metrics.{side}")
    return {row: _numbers(tables, row, problems, f"metrics.{side}.{row}") for row in tables}


def _numbers(tables: dict[str, Any], row: str, problems: Problems, title: str) -> Bounds:
    table = _table(tables, row, problems, title)
    for name, value in table.items():
        if not _is_finite(value):
            problems.add(f"{title}.{name}", "must be a number")
    return {name: float(value) for name, value in table.items() if _is_finite(value)}


def _is_finite(value: Any) -> bool:
    """True for a number that a float holds: an integer in TOML may have any length."""
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return is_number and abs(value) <= sys.float_info.max


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
        "Write it as STAGE.NAME=VALUE: mlops run --set train.seed=1; a new one stands in usecase.toml first.",
    )
