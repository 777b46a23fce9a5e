"""The use case: the content of usecase.toml."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mlops_cli.core.jobs.script_environment import PassedVariables
from mlops_cli.core.jobs.time_limits import TimeLimits
from mlops_cli.core.models.metric_bounds import Metrics
from mlops_cli.data.scripts import DataScript, is_script
from mlops_cli.data.tables.schema import TableFiles
from mlops_cli.frameworks import DEFAULT
from mlops_cli.frameworks.base import Framework
from mlops_cli.project.usecase.declaration import Declaration
from mlops_cli.project.usecase.instances import InstanceSettings


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
    batching: bool = False  # on one machine: predict_fn gets the rows of several requests
    passed: PassedVariables = field(default_factory=PassedVariables)
    files: dict[str, tuple[str, ...]] = field(default_factory=dict)
    time_limits: TimeLimits = field(default_factory=TimeLimits)
    texts: frozenset[str] = frozenset()  # the hyperparameters that are texts, as stage.name
    declarations: dict[str, Declaration] = field(default_factory=dict)  # of hyperparameters, by stage.name
    framework: Framework = DEFAULT
    framework_version: str = ""  # the version of the images on AWS; empty: the framework's default
    training_image: str = ""  # images in ECR instead of AWS's
    serving_image: str = ""
    scripts: dict[str, DataScript] = field(default_factory=dict)  # scripts that write data, by the name of the source
    tables: dict[str, TableFiles] = field(default_factory=dict)  # tables among the files that have a schema
    scripts_dir: str = ""  # relative to the root; empty: usecase.toml is in the scripts' folder

    @property
    def example_request(self) -> str:
        """Return the body of a request with the examples of usecase.toml; empty if there are none."""
        return json.dumps({"instances": list(self.examples)}) if self.examples else ""

    @property
    def own_images(self) -> tuple[str, ...]:
        """The images of the project's own in ECR."""
        return tuple(image for image in (self.training_image, self.serving_image) if image)

    @property
    def addresses(self) -> list[str]:
        """The data sources in usecase.toml, to distinguish them from other sources."""
        return [self.source, self.quickstart]

    @property
    def root(self) -> Path:
        return self.path.parent if self.scripts_dir else self.path.parent.parent

    @property
    def prefix(self) -> str:
        """The scripts' folder with a slash at its end."""
        return f"{self.scripts_dir or self.path.parent.name}/"

    @property
    def get_data(self) -> str:
        """The command that downloads the data, for hints."""
        option = f" (or mlops download-data --source {self.alternative})" if self.alternative else ""
        return f"mlops download-data{option}"

    @property
    def alternative(self) -> str:
        """Another source than the usual one, that needs no account; empty if there is none."""
        return "" if self.quickstart == self.source else self.quickstart

    @property
    def data_scripts(self) -> tuple[str, ...]:
        """The scripts of the project that write data. Stages depend on the data, but not on these scripts."""
        paths = [name.removeprefix(self.prefix) for name in self.addresses if is_script(name)]
        return (*paths, *(script.file for script in self.scripts.values()))
