"""The cache inputs of a stage besides its code, with the same names on every target."""

from __future__ import annotations

from mlops_cli.core.cache_inputs import THE_DATA
from mlops_cli.core.jobs.script_mode import Hyperparameter, typed
from mlops_cli.core.runs import Run
from mlops_cli.core.stages import DATA, Kind, Stage
from mlops_cli.errors import NoDatasetError
from mlops_cli.files.hashing import digest_file
from mlops_cli.frameworks import DEFAULT
from mlops_cli.project.usecase.overrides import with_overrides
from mlops_cli.project.usecase.use_case import UseCase


def input_digests(stage: Stage, run: Run, data_digest: str) -> dict[str, str]:
    """Return the digests of the stage's inputs; ``data_digest`` is the dataset's."""
    return {_name(source): data_digest if source == DATA else run.stage(source).output for source in stage.inputs}


def _name(source: str) -> str:
    return THE_DATA if source == DATA else f"the output of {source}"


def use_case_inputs(stage: Stage, run: Run, use_case: UseCase) -> dict[str, str]:
    """Return the part of usecase.toml that the stage reads: for a gate all, for a job columns and hyperparameters."""
    if stage.kind is Kind.GATE:
        return {use_case.path.relative_to(use_case.root).as_posix(): digest_file(use_case.path)}
    if stage.kind is Kind.APPROVAL:
        return use_case.metrics.named()
    if stage.kind is Kind.DEPLOY:
        settings = {"endpoint.sample": f"{use_case.sample:g}" if use_case.sample else ""}
        settings["endpoint.batching"] = "true" if use_case.batching else ""
        return {name: value for name, value in settings.items() if value}
    columns = {f"column {name}": kind for name, kind in use_case.columns.items()}
    for table, files in use_case.tables.items():
        columns |= {f"column {table}.{name}": kind for name, kind in files.schema.columns.items()}
    if stage.kind is Kind.TRAINING:
        columns |= model_inputs(use_case)
    return {**columns, **hyperparameters(stage, run, use_case)}


def model_inputs(use_case: UseCase) -> dict[str, str]:
    """Return the framework of a model; nothing for the default framework."""
    values = {
        "model.framework": "" if use_case.framework is DEFAULT else use_case.framework.name,
        "model.version": use_case.framework_version,
    }
    return {name: value for name, value in values.items() if value}


def hyperparameters(stage: Stage, run: Run, use_case: UseCase) -> dict[str, str]:
    return with_overrides(use_case, run.overrides).get(stage.name, {})


def hyperparameter_values(stage: Stage, run: Run, use_case: UseCase) -> dict[str, Hyperparameter]:
    """Return the hyperparameters as numbers, booleans and texts. A text in usecase.toml stays a text."""
    texts = hyperparameters(stage, run, use_case)
    return {name: text if f"{stage.name}.{name}" in use_case.texts else typed(text) for name, text in texts.items()}


def no_dataset_error(use_case: UseCase) -> NoDatasetError:
    return NoDatasetError("There is no data yet.", f"Get it: {use_case.get_data}")
