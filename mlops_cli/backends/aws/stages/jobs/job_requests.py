"""Build a SageMaker request for a script job, from the same description as the local process. No IO.

The containers are AWS's images. A training job runs in script mode: the container's toolkit downloads the code,
installs requirements.txt and calls the script. A processing job has no toolkit; ENTRYPOINT does the same.
"""

from __future__ import annotations

import json
import posixpath
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mlops_cli.backends.aws.stages.containers import launcher, secrets_runner
from mlops_cli.backends.aws.stages.jobs.package_index import INSTALLER, NO_INDEX, REQUIREMENTS, PackageIndex
from mlops_cli.core.jobs.script_environment import STEADY
from mlops_cli.core.jobs.script_job import CHECKPOINT_VARIABLE, ScriptJob, command_line
from mlops_cli.core.jobs.script_mode import Hyperparameter
from mlops_cli.core.stages import FIRST_INPUT, Kind
from mlops_cli.errors import ConfigurationError, MlopsError
from mlops_cli.project.usecase.instances import JobInstances

Request = dict[str, Any]

CODE = "/opt/ml/processing/input/code"
DATA = "/opt/ml/processing/input/data"
MODEL = "/opt/ml/processing/input/model"
OUTPUT = "/opt/ml/processing/output"
DIGESTS_FOLDER = "/opt/ml/processing/digests"
RESOURCE_CONFIG = "/opt/ml/config/resourceconfig.json"  # lists the job's instances and names this one
CHECKPOINTS = "/opt/ml/checkpoints"
ARCHIVE = "sourcedir.tar.gz"
PYTHON = "python3"
REPLICATED, SHARDED = "FullyReplicated", "ShardedByS3Key"
# The script that runs the job's script and reports the files that it has written. It is packed beside it.
DIGESTS = "mlops_digests.py"
# SageMaker keeps 1,024 bytes of the messages of all instances; each message is one digest.
MOST_MACHINES = 15
# One string, of at most 256 characters. The next arguments are $0 and the script's command line.
# SageMaker starts the script without a shell, because a shell would forward no signal.
ENTRYPOINT = (
    f"cd {CODE} && tar -xzf {ARCHIVE} && "
    f"if [ -f {REQUIREMENTS} ]; then {PYTHON} -m pip install -q -r {REQUIREMENTS}; fi && "
    f'exec {PYTHON} -I {DIGESTS} /opt/ml "$@"'
)
# The same, for a package index with a credential.
ENTRYPOINT_WITH_CREDENTIAL = ENTRYPOINT.replace("-m pip install -q -r", INSTALLER)
NAME_LENGTH = 63
LAUNCHER = "mlops_launcher.py"
# Packed beside a script that gets secrets. It reads the secrets.
RUNNER = "mlops_secrets.py"
# How often SageMaker trains again after an error of its own, such as a lost instance: from the last checkpoint, and all
# attempts within the one time limit of the job. A processing job has no such setting.
RETRIES = 2
# The script of a model's trial.
TRIAL = "mlops_trial.py"
# One string, of at most 256 characters: a serving image may have no tar.
TRIAL_ENTRYPOINT = (
    f"import runpy, tarfile; tarfile.open('{CODE}/{ARCHIVE}').extractall('{CODE}'); "
    f"runpy.run_path('{CODE}/{TRIAL}', run_name='__main__')"
)
# Values that no shell changes, and names that the toolkit turns into --name.
PLAIN_VALUE = re.compile(r"[\w@%+=:,./-]+", re.ASCII)
PLAIN_NAME = re.compile(r"(?!sagemaker_)[A-Za-z_][\w-]*", re.ASCII)


@dataclass(frozen=True)
class JobSpec:
    """SageMaker's parameters of a job besides its script. ``inputs`` are S3 addresses by channel.

    ``checkpoints``: the key prefix from which an interrupted or failed job continues. ``isolated``: the container needs
    no network. ``variables``: those of the use case. ``secrets``: addresses by name, never values. ``index``: the
    package index for the job's installations.
    """

    name: str
    image: str
    role: str
    region: str
    code: str
    output: str
    inputs: Mapping[str, str]
    checkpoints: str
    machine: JobInstances
    isolated: bool = False
    tags: Mapping[str, str] = field(default_factory=dict)
    variables: Mapping[str, str] = field(default_factory=dict)
    secrets: Mapping[str, str] = field(default_factory=dict)
    index: PackageIndex = NO_INDEX

    @property
    def addresses(self) -> dict[str, str]:
        """The variables with the addresses of the job's secrets."""
        return {f"{secrets_runner.ADDRESS}{name}": address for name, address in self.secrets.items()}


def job_name(endpoint: str, stage: str, run_id: str, attempt: str) -> str:
    """Return a name that is unique for each execution and attempt. The roles require the endpoint's name as prefix.

    An endpoint's name has no double dash, so a double dash ends the prefix: `x-dev--*` matches no job of `x-dev-eu`.
    """
    return f"{endpoint}--{stage[:9]}-{run_id[:6]}-{attempt}"[:NAME_LENGTH]


def name_of(request: Request) -> str:
    """Return the name of a job."""
    return str(request.get("TrainingJobName") or request.get("ProcessingJobName", ""))


def processing_request(
    stage: str, script: str, hyperparameters: Mapping[str, Hyperparameter], spec: JobSpec
) -> Request:
    """Return the parameters of CreateProcessingJob."""
    if spec.machine.instance_count > MOST_MACHINES:
        raise ConfigurationError(
            f"{stage} has {spec.machine.instance_count} machines; a processing job can have {MOST_MACHINES} at most.",
            "Change instance_count in usecase.toml.",
        )
    entrypoint = ENTRYPOINT_WITH_CREDENTIAL if spec.index.secret else ENTRYPOINT
    channels = {name: Path(DATA if name == FIRST_INPUT else f"{DATA}-{name}") for name in spec.inputs}
    job = ScriptJob(stage, Kind.PROCESSING, Path(CODE) / script, Path(OUTPUT), channels, hyperparameters)
    return {
        "ProcessingJobName": spec.name,
        "RoleArn": spec.role,
        "AppSpecification": {
            "ImageUri": spec.image,
            "ContainerEntrypoint": ["bash", "-c", entrypoint, stage],
            "ContainerArguments": [*([PYTHON, RUNNER] if spec.secrets else []), *command_line(job, PYTHON)],
        },
        "ProcessingInputs": [
            _input("code", posixpath.dirname(spec.code) + "/", CODE),
            *(_input(channels[name].name, uri, str(channels[name])) for name, uri in spec.inputs.items()),
        ],
        "ProcessingOutputConfig": {
            "Outputs": [
                _output("output", spec.output, OUTPUT),
                _output("digests", digests_prefix(spec.output), DIGESTS_FOLDER),
            ]
        },
        "ProcessingResources": {"ClusterConfig": _cluster(spec.machine)},
        "StoppingCondition": {"MaxRuntimeInSeconds": spec.machine.max_runtime_minutes * 60},
        "Environment": {**_variables(spec), "SM_RESOURCE_CONFIG_FILE": RESOURCE_CONFIG},
        "NetworkConfig": {"EnableNetworkIsolation": spec.isolated},
        "Tags": _tags(spec),
    }


def digests_prefix(output: str) -> str:
    """Return the key prefix, beside ``output``, of the lists of files that processing jobs write."""
    return f"{output.rstrip('/')}-digests/"


def _output(name: str, uri: str, path: str) -> Request:
    return {"OutputName": name, "S3Output": {"S3Uri": uri, "LocalPath": path, "S3UploadMode": "EndOfJob"}}


def _input(name: str, uri: str, path: str) -> Request:
    return {
        "InputName": name,
        "S3Input": {
            "S3Uri": uri,
            "LocalPath": path,
            "S3DataType": "S3Prefix",
            "S3InputMode": "File",
            "S3DataDistributionType": REPLICATED,
        },
    }


def training_request(script: str, hyperparameters: Mapping[str, Hyperparameter], spec: JobSpec) -> Request:
    """Return the parameters of CreateTrainingJob in script mode. Raise MlopsError for an unknown sharded channel.

    The network stays enabled even without requirements, because the container's toolkit downloads the code itself.
    """
    sharded, channels = spec.machine.sharded_channel, sorted(spec.inputs)
    if sharded and sharded not in channels:
        raise MlopsError(
            f"The training has no channel {sharded!r}: its channels are {', '.join(channels)}.",
            "Change sharded_channel in [aws.train] of usecase.toml.",
        )
    return {
        "TrainingJobName": spec.name,
        "RoleArn": spec.role,
        "AlgorithmSpecification": {"TrainingImage": spec.image, "TrainingInputMode": "File"},
        "HyperParameters": _hyperparameters(script, hyperparameters, spec),
        "InputDataConfig": [_channel(name, uri, spec.machine) for name, uri in sorted(spec.inputs.items())],
        "OutputDataConfig": {"S3OutputPath": spec.output},
        "ResourceConfig": _cluster(spec.machine),
        "StoppingCondition": _stopping_condition(spec.machine),
        "RetryStrategy": {"MaximumRetryAttempts": RETRIES},
        "Environment": {**_variables(spec), CHECKPOINT_VARIABLE: CHECKPOINTS},
        "CheckpointConfig": {"S3Uri": spec.checkpoints, "LocalPath": CHECKPOINTS},
        "EnableManagedSpotTraining": spec.machine.spot,
        "Tags": _tags(spec),
    }


def trial_request(name: str, image: str, variables: Mapping[str, str], model: str, spec: JobSpec) -> Request:
    """Return the parameters of the processing job that tries a training's ``model`` in the serving ``image``."""
    return {
        "ProcessingJobName": name,
        "RoleArn": spec.role,
        "AppSpecification": {
            "ImageUri": image,
            "ContainerEntrypoint": [PYTHON, "-I", "-c", TRIAL_ENTRYPOINT, "/opt/ml"],
        },
        "ProcessingInputs": [
            _input("code", posixpath.dirname(spec.code) + "/", CODE),
            _input("model", model, MODEL),
        ],
        "ProcessingOutputConfig": {"Outputs": []},
        "ProcessingResources": {"ClusterConfig": _cluster(spec.machine)},
        "StoppingCondition": {"MaxRuntimeInSeconds": spec.machine.max_runtime_minutes * 60},
        "Environment": dict(variables),
        "NetworkConfig": {"EnableNetworkIsolation": spec.isolated},
        "Tags": _tags(spec),
    }


def _variables(spec: JobSpec) -> dict[str, str]:
    return {**spec.variables, **spec.addresses, **spec.index.variables, **STEADY}


def needs_launcher(hyperparameters: Mapping[str, Hyperparameter]) -> bool:
    """Return True if the toolkit's command line could change a value: then the launcher must be packed as LAUNCHER."""
    return not all(_is_plain(name, value) for name, value in hyperparameters.items())


def _is_plain(name: str, value: Hyperparameter) -> bool:
    return bool(PLAIN_NAME.fullmatch(name) and PLAIN_VALUE.fullmatch(str(value)))


def _hyperparameters(script: str, hyperparameters: Mapping[str, Hyperparameter], spec: JobSpec) -> dict[str, str]:
    """Return script mode's parameters and the script's. The toolkit reads JSON, so each value is a quoted string."""
    launched = bool(spec.secrets or spec.index.secret) or needs_launcher(hyperparameters)
    values = {
        "sagemaker_program": LAUNCHER if launched else script,
        "sagemaker_submit_directory": spec.code,
        "sagemaker_region": spec.region,
        **({launcher.SCRIPT: script} if launched else {}),
        **{name if _is_plain(name, value) else launcher.VALUE + name: value for name, value in hyperparameters.items()},
    }
    return {name: json.dumps(value) for name, value in values.items()}


def _channel(name: str, uri: str, machine: JobInstances) -> Request:
    distribution = SHARDED if machine.instance_count > 1 and name == machine.sharded_channel else REPLICATED
    source = {"S3DataType": "S3Prefix", "S3Uri": uri, "S3DataDistributionType": distribution}
    return {"ChannelName": name, "InputMode": "File", "DataSource": {"S3DataSource": source}}


def _cluster(machine: JobInstances) -> Request:
    return {
        "InstanceType": machine.instance_type,
        "InstanceCount": machine.instance_count,
        "VolumeSizeInGB": machine.volume_gb,
    }


def _stopping_condition(machine: JobInstances) -> Request:
    """Return the time limits. With spot instances, the waiting time is limited too, and includes the run time."""
    waiting = {"MaxWaitTimeInSeconds": machine.max_wait_minutes * 60} if machine.spot else {}
    return {"MaxRuntimeInSeconds": machine.max_runtime_minutes * 60, **waiting}


def _tags(spec: JobSpec) -> list[dict[str, str]]:
    return [{"Key": name, "Value": value} for name, value in spec.tags.items()]
