"""SageMaker's script mode as data: a training job's configuration files, command line and SM_* environment. No IO.

It follows the behaviour of sagemaker-training 5.1.1 and 5.1.4; tests/contract/test_script_mode.py compares.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

GROUP = "homogeneousCluster"
# The names that the toolkit knows. Any other sagemaker_* is a "framework parameter".
KNOWN = (
    *("sagemaker_program", "sagemaker_submit_directory", "sagemaker_enable_cloudwatch_metrics", "sagemaker_region"),
    *("sagemaker_container_log_level", "sagemaker_job_name", "default_user_module_name"),
    *("_tuning_objective_metric", "sagemaker_s3_output"),
)
INFO = 20
TENSORFLOW = "sagemaker_tensorflow_container.training:main"  # the program that the TensorFlow image starts


@dataclass(frozen=True)
class Host:
    """One instance of a training job: its name, all names, and the path of its /opt/ml."""

    name: str
    names: list[str]
    root: Path
    instance_type: str
    cpus: int

    @property
    def resource_config(self) -> dict[str, Any]:
        group = {"instance_group_name": GROUP, "instance_type": self.instance_type, "hosts": self.names}
        return {
            "current_host": self.name,
            "current_instance_type": self.instance_type,
            "current_group_name": GROUP,
            "hosts": self.names,
            "instance_groups": [group],
            "network_interface_name": "lo",
        }


def input_data_config(request: Mapping[str, Any]) -> dict[str, Any]:
    """Return the content of inputdataconfig.json."""
    mode = request["AlgorithmSpecification"]["TrainingInputMode"]
    return {channel["ChannelName"]: _channel(channel, mode) for channel in request.get("InputDataConfig", [])}


def _channel(channel: Mapping[str, Any], mode: str) -> dict[str, Any]:
    source = channel["DataSource"]["S3DataSource"]
    facts = {
        "TrainingInputMode": channel.get("InputMode", mode),
        "S3DistributionType": source.get("S3DataDistributionType", "FullyReplicated"),
        "RecordWrapperType": channel.get("RecordWrapperType", "None"),
    }
    return {**facts, **({"ContentType": channel["ContentType"]} if "ContentType" in channel else {})}


def decoded(hyperparameters: Mapping[str, str]) -> dict[str, Any]:
    """Return each value decoded from JSON, or unchanged if it is not JSON."""
    return {name: _decoded(value) for name, value in hyperparameters.items()}


def _decoded(value: str) -> Any:
    try:
        return json.loads(value)
    except ValueError:
        return value


def users_own(hyperparameters: Mapping[str, Any]) -> dict[str, Any]:
    """Return the hyperparameters that reach the script: all except SageMaker's own."""
    return {name: value for name, value in hyperparameters.items() if not _is_sagemakers(name)}


def _is_sagemakers(name: str) -> bool:
    return name in KNOWN or name.startswith("sagemaker_")


def arguments(hyperparameters: Mapping[str, Any]) -> list[str]:
    """Return the script's command line, sorted by name."""
    pairs = [
        (f"--{name}" if len(name) > 1 else f"-{name}", _argument(hyperparameters[name]))
        for name in sorted(hyperparameters)
    ]
    return [part for pair in pairs for part in pair]


def _argument(value: Any) -> str:
    if isinstance(value, dict):
        return ",".join(f"{name}={item}" for name, item in sorted(value.items()))
    return "" if value is None else str(value)


def environment(request: Mapping[str, Any], host: Host) -> dict[str, str]:
    """Return the SM_* variables."""
    every = decoded(request.get("HyperParameters", {}))
    own = users_own(every)
    facts = _facts(request, host, every)
    variables = {
        **{name: facts[name] for name in _EXPORTED},
        "hps": own,
        "framework_params": facts["additional_framework_parameters"],
        "channels": sorted(facts["channel_input_dirs"]),
        "training_env": facts,
        "user_args": arguments(own),
        **{f"channel_{name}": path for name, path in facts["channel_input_dirs"].items()},
        **{f"hp_{name}": value for name, value in own.items()},
    }
    return {f"SM_{name.upper()}": _variable(value) for name, value in variables.items()}


_EXPORTED = (
    *("hosts", "network_interface_name", "user_entry_point", "resource_config", "input_data_config", "output_data_dir"),
    *("current_host", "current_instance_type", "current_instance_group", "current_instance_group_hosts"),
    *("instance_groups", "instance_groups_dict", "distribution_instance_groups", "is_hetero", "module_name"),
    *("log_level", "input_dir", "input_config_dir", "output_dir", "num_cpus", "num_gpus", "num_neurons", "model_dir"),
    *("module_dir", "output_intermediate_dir", "framework_module"),
)


def _facts(request: Mapping[str, Any], host: Host, every: Mapping[str, Any]) -> dict[str, Any]:
    """Return the toolkit's "training environment"."""
    program = str(every.get("sagemaker_program"))
    channels = input_data_config(request)
    group = host.resource_config["instance_groups"][0]
    return {
        **_folders(host.root),
        "additional_framework_parameters": {k: v for k, v in every.items() if _is_sagemakers(k) and k not in KNOWN},
        "channel_input_dirs": {name: str(host.root / "input" / "data" / name) for name in channels},
        "current_host": host.name,
        "current_instance_group": GROUP,
        "current_instance_group_hosts": host.names,
        "current_instance_type": host.instance_type,
        "distribution_hosts": [],
        "distribution_instance_groups": [],
        "framework_module": TENSORFLOW,
        "hosts": host.names,
        "hyperparameters": users_own(every),
        "input_data_config": channels,
        "instance_groups": [GROUP],
        "instance_groups_dict": {GROUP: group},
        "is_hetero": False,
        "is_master": host.name == host.names[0],
        "is_modelparallel_enabled": None,
        "is_smddpmprun_installed": False,
        "is_smddprun_installed": False,
        "job_name": request["TrainingJobName"],
        "log_level": every.get("sagemaker_container_log_level", INFO),
        "master_hostname": host.names[0],
        "module_dir": every.get("sagemaker_submit_directory", str(host.root / "code")),
        "module_name": program.removesuffix(".py"),
        "network_interface_name": "lo",
        "num_cpus": host.cpus,
        "num_gpus": 0,
        "num_neurons": 0,
        "resource_config": host.resource_config,
        "topology": [],
        "user_entry_point": program,
    }


def _folders(root: Path) -> dict[str, str]:
    return {
        "input_dir": str(root / "input"),
        "input_config_dir": str(root / "input" / "config"),
        "model_dir": str(root / "model"),
        "output_dir": str(root / "output"),
        "output_data_dir": str(root / "output" / "data"),
        "output_intermediate_dir": str(root / "output" / "intermediate"),
    }


def _variable(value: Any) -> str:
    if value is None or isinstance(value, str):
        return value or ""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
