"""SageMaker's script mode on this machine: the command line, the variables and the files of a training script.

It follows sagemaker-training 5.1 (``mapping.py``, ``environment.py``); a contract test compares the two. No IO.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mlops_cli.core.jobs.script_job import ScriptJob

Hyperparameter = str | int | float | bool
HOST, GROUP, INSTANCE_TYPE = "algo-1", "homogeneousCluster", "local"
INFO = 20
NUMBER = re.compile(r"-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][-+]?\d+)?", re.ASCII)
TRUTH = {"True": True, "true": True, "False": False, "false": False}


def typed(text: str) -> Hyperparameter:
    """Return the number or boolean that a text spells, or the text."""
    return TRUTH[text] if text in TRUTH else json.loads(text) if NUMBER.fullmatch(text) else text


def input_folder(job: ScriptJob) -> Path:
    """Return the folder of the configuration files and the channels, for scripts that read it."""
    return job.output / "input"


def config_files(job: ScriptJob) -> dict[str, str]:
    """Return the files below input/config/ by name. All hyperparameters in them are texts, as in the API."""
    contents = {
        "hyperparameters": {name: json.dumps(value) for name, value in job.hyperparameters.items()},
        "resourceconfig": _resource_config(),
        "inputdataconfig": _input_data_config(job),
    }
    return {f"{name}.json": json.dumps(content) for name, content in contents.items()}


def environment(job: ScriptJob, cpus: int) -> dict[str, str]:
    """Return the SM_* variables of a training job."""
    training_env = _training_env(job, cpus)
    exported = {
        **{name: value for name, value in training_env.items() if name not in UNEXPORTED},
        "channels": sorted(job.channels),
        "framework_params": {},
        "hps": job.hyperparameters,
        "training_env": training_env,
        "user_args": job.arguments,
        **{f"channel_{name}": str(path) for name, path in job.channels.items()},
        **{f"hp_{name}": value for name, value in job.hyperparameters.items()},
    }
    return {f"SM_{name.upper()}": _variable(value) for name, value in exported.items()}


# In SM_TRAINING_ENV only.
UNEXPORTED = (
    "additional_framework_parameters", "channel_input_dirs", "distribution_hosts", "hyperparameters", "is_master",
    "is_modelparallel_enabled", "is_smddpmprun_installed", "is_smddprun_installed", "job_name", "master_hostname",
    "topology",
)  # fmt: skip


def _training_env(job: ScriptJob, cpus: int) -> dict[str, Any]:
    """Return the toolkit's "training environment"."""
    return {
        **_folders(job),
        "additional_framework_parameters": {},
        "channel_input_dirs": {name: str(path) for name, path in job.channels.items()},
        "current_host": HOST,
        "current_instance_group": GROUP,
        "current_instance_group_hosts": [HOST],
        "current_instance_type": INSTANCE_TYPE,
        "distribution_hosts": [],
        "distribution_instance_groups": [],
        "framework_module": "",
        "hosts": [HOST],
        "hyperparameters": dict(job.hyperparameters),
        "input_data_config": _input_data_config(job),
        "instance_groups": [GROUP],
        "instance_groups_dict": {GROUP: _resource_config()["instance_groups"][0]},
        "is_hetero": False,
        "is_master": True,
        "is_modelparallel_enabled": None,
        "is_smddpmprun_installed": False,
        "is_smddprun_installed": False,
        "job_name": job.name,
        "log_level": INFO,
        "master_hostname": HOST,
        "module_dir": str(job.script.parent),
        "module_name": job.script.stem,
        "network_interface_name": "lo",
        "num_cpus": cpus,
        "num_gpus": 0,
        "num_neurons": 0,
        "resource_config": _resource_config(),
        "topology": [],
        "user_entry_point": job.script.name,
    }


def _folders(job: ScriptJob) -> dict[str, str]:
    return {
        "input_dir": str(input_folder(job)),
        "input_config_dir": str(input_folder(job) / "config"),
        "model_dir": str(job.model_folder),
        "output_dir": str(job.output),
        "output_data_dir": str(job.data_folder),
        "output_intermediate_dir": str(job.output / "intermediate"),
    }


def _resource_config() -> dict[str, Any]:
    group = {"instance_group_name": GROUP, "instance_type": INSTANCE_TYPE, "hosts": [HOST]}
    return {
        "current_host": HOST,
        "current_instance_type": INSTANCE_TYPE,
        "current_group_name": GROUP,
        "hosts": [HOST],
        "instance_groups": [group],
        "network_interface_name": "lo",
    }


def _input_data_config(job: ScriptJob) -> dict[str, Any]:
    channel = {"TrainingInputMode": "File", "S3DistributionType": "FullyReplicated", "RecordWrapperType": "None"}
    return dict.fromkeys(sorted(job.channels), channel)


def _variable(value: Any) -> str:
    if isinstance(value, str):
        return value
    plain = dict(value) if isinstance(value, Mapping) else value
    return json.dumps(plain, sort_keys=True, separators=(",", ":"))
