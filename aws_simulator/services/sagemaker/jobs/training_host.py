"""One instance of a training job: its /opt/ml, the work of the training toolkit, and the reason of its failure."""

from __future__ import annotations

import builtins
import json
import os
import shlex
import sys
import tarfile
from collections import deque
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from aws_simulator.packages import is_installed, requirements_in
from aws_simulator.processes import Process
from aws_simulator.services.sagemaker import storage
from aws_simulator.services.sagemaker.jobs import container, scriptmode
from aws_simulator.services.sagemaker.jobs.job import Job, mapped
from aws_simulator.services.sagemaker.storage import Failure

TAIL_LINES = 60
DEFAULT_CHECKPOINTS = "/opt/ml/checkpoints"
ERRORS = [
    name
    for name, kind in vars(builtins).items()
    if isinstance(kind, type) and issubclass(kind, BaseException) and "Error" in name
]


class TrainingHost:
    """Number ``number`` of the job's hosts, with the name ``name``. ``network``: the addresses of all hosts."""

    def __init__(self, job: Job, number: int, name: str, network: list[str], on_line: Callable[[str], None]) -> None:
        instance = job.request["ResourceConfig"]["InstanceType"]
        self._job = job
        self.name = name
        self._number = number
        self._on_line = on_line
        self.root = job.folder / name / "opt" / "ml"
        self.host = scriptmode.Host(network[number], network, self.root, instance, os.cpu_count() or 1)
        self.tail: deque[str] = deque(maxlen=TAIL_LINES)
        self.process: Process | None = None
        self.checkpoints: storage.Mirror | None = None

    @property
    def _request(self) -> Mapping[str, Any]:
        return self._job.request

    def download(self) -> None:
        """Create the folders and SageMaker's files, and download the channels. Raise Failure."""
        for name in ("input/config", "input/data", "model", "output/data", "code"):
            (self.root / name).mkdir(parents=True)
        configurations = {
            "hyperparameters": self._request.get("HyperParameters", {}),
            "resourceconfig": self.host.resource_config,
            "inputdataconfig": scriptmode.input_data_config(self._request),
        }
        for name, content in configurations.items():
            (self.root / "input" / "config" / f"{name}.json").write_text(json.dumps(content))
        for channel in self._request.get("InputDataConfig", []):
            self._download_channel(channel)
        if "CheckpointConfig" in self._request:
            self._download_checkpoints(self._request["CheckpointConfig"])

    def _download_channel(self, channel: Mapping[str, Any]) -> None:
        source = channel["DataSource"]["S3DataSource"]
        sharded = source.get("S3DataDistributionType") == "ShardedByS3Key"
        share = (self._number, len(self.host.names)) if sharded else (0, 1)
        storage.download(
            self._job.client("s3"), source["S3Uri"], self.root / "input" / "data" / channel["ChannelName"], share
        )

    def _download_checkpoints(self, configuration: Mapping[str, Any]) -> None:
        folder = Path(mapped(configuration.get("LocalPath", DEFAULT_CHECKPOINTS), self.root))
        self.checkpoints = storage.Mirror(self._job.client("s3"), folder, configuration["S3Uri"])
        self.checkpoints.fetch()

    def start(self) -> Process:
        """Work as the container's toolkit: get the code, check requirements.txt, run the script. Raise Failure."""
        algorithm = self._request["AlgorithmSpecification"]
        own = [*algorithm.get("ContainerEntrypoint", []), *algorithm.get("ContainerArguments", [])]
        if own:
            return self._run([mapped(part, self.root) for part in own], self.root, {})
        self._say("INFO", "No GPUs detected (normal if no gpus installed)")
        self._unpack_code()
        self._check_requirements()
        self._say("INFO", f"Invoking script with the following command:\n\n{shlex.join(self.command)}\n")
        shell = self._job.pace.toolkit_has_shell
        argv = ["/bin/sh", "-c", " ".join(self.command)] if shell else self.command
        return self._run(argv, self.root / "code", scriptmode.environment(self._request, self.host))

    @property
    def _program(self) -> str:
        return str(scriptmode.decoded(self._request.get("HyperParameters", {})).get("sagemaker_program") or "")

    @property
    def command(self) -> list[str]:
        own = scriptmode.users_own(scriptmode.decoded(self._request.get("HyperParameters", {})))
        arguments = [mapped(part, self.root) for part in scriptmode.arguments(own)]
        shell = self._job.pace.toolkit_has_shell
        if self._program.endswith(".py"):
            return ["python3", *([] if shell else ["--"]), self._program, *arguments]
        own = f"./{shlex.join([self._program, *arguments])}"
        return ["/bin/sh", "-c", f'"{own}"' if shell else own]

    def _unpack_code(self) -> None:
        """Unpack the code. The toolkit reads it with the role's credentials, so a failure is an AlgorithmError."""
        if not self._program:
            words = "The training entry point name is empty. Set the 'sagemaker_program' hyperparameter"
            raise Failure(f"AlgorithmError: {words}, exit code: 1")
        uri = scriptmode.decoded(self._request["HyperParameters"]).get("sagemaker_submit_directory")
        if uri is None:
            return
        archive = self.root.parent / "tar_file"
        try:
            storage.download_file(self._job.client("s3"), uri, archive)
            with tarfile.open(archive, "r:gz") as opened:
                opened.extractall(self.root / "code", filter="data")
        except (Failure, tarfile.TarError) as error:
            raise Failure(f"AlgorithmError: Framework Error: \n{error}, exit code: 1") from error
        if not self._program.endswith(".py"):
            (self.root / "code" / self._program).chmod(0o755)

    def _check_requirements(self) -> None:
        """Require that this environment, which is the image, has the packages. The real toolkit installs them."""
        for requirement in requirements_in(self.root / "code" / "requirements.txt"):
            if not is_installed(requirement):
                message = f"ERROR: No matching distribution found for {requirement}"
                self._line(message)
                command = f"{sys.executable} -m pip install -r requirements.txt"
                raise Failure(self._called_process_error("InstallRequirementsError", 1, message, command))

    def _run(self, argv: list[str], folder: Path, variables: Mapping[str, str]) -> Process:
        private = self.root.parent.parent
        (private / "tmp").mkdir()
        job_variables = {name: mapped(value, self.root) for name, value in self._request.get("Environment", {}).items()}
        env = {
            "PATH": f"{self._commands()}:/usr/local/bin:/usr/bin:/bin",
            "HOME": str(private),
            "TMPDIR": str(private / "tmp"),
            "LANG": "C.UTF-8",
            "PYTHONUNBUFFERED": "TRUE",
            "PYTHONDONTWRITEBYTECODE": "TRUE",
            "TRAINING_JOB_NAME": self._job.name,
            "TRAINING_JOB_ARN": self._job.arn,
            "AWS_ENDPOINT_URL": self._job.simulator.url,
            "AWS_EC2_METADATA_DISABLED": "true",
            **self._job.role.credentials,
            **job_variables,
            **variables,
        }
        self.process = self._job.start(argv, folder, env, self._line)
        return self.process

    def _commands(self) -> Path:
        image = self._request["AlgorithmSpecification"]["TrainingImage"]
        lists = sorted((self.root / "code").glob("*requirements.txt"))
        required = [requirement for path in lists for requirement in requirements_in(path)]
        return container.commands(self._job.simulator, image, self.root.parent.parent, required)

    def failure(self) -> str:
        """Return the FailureReason with the texts of the toolkit and SageMaker. The main process has failed."""
        assert self.process is not None
        code = self.process.code or 0
        written = self.root / "output" / "failure"
        if written.exists():
            return f"AlgorithmError: {written.read_text(errors='replace')}, exit code: 1"
        if "ContainerEntrypoint" in self._request["AlgorithmSpecification"]:
            return f"AlgorithmError: , exit code: {code if code > 0 else 128 - code}"
        self._say("ERROR", "Reporting training FAILURE")
        return self._called_process_error("ExecuteUserScriptError", code, self._error_message(), " ".join(self.command))

    def _error_message(self) -> str:
        """Return the output as the toolkit quotes it: from the first line that names a Python error."""
        lines = list(self.tail)
        first = next((number for number, line in enumerate(lines) if any(name in line for name in ERRORS)), len(lines))
        joined = " ".join(f"{line.strip(' :')}\n" for line in lines[first:])
        return "\n".join(dict.fromkeys(joined.split("\n"))).strip()

    def _called_process_error(self, kind: str, code: int, message: str, command: str) -> str:
        return f'AlgorithmError: {kind}:\nExitCode {code}\nErrorMessage "{message}"\nCommand "{command}", exit code: 1'

    def _say(self, level: str, message: str) -> None:
        for line in f"sagemaker-training-toolkit {level:<8} {message}".splitlines():
            self._on_line(line)

    def _line(self, line: str) -> None:
        self.tail.append(line)
        self._on_line(line)
