"""A processing job's life: inputs from S3, any command line, outputs to S3."""

from __future__ import annotations

import datetime
import json
import tarfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from aws_simulator.packages import no_index, requirements_of
from aws_simulator.processes import Process
from aws_simulator.services.sagemaker import metrics, storage
from aws_simulator.services.sagemaker.common import echoed, now
from aws_simulator.services.sagemaker.jobs import container
from aws_simulator.services.sagemaker.jobs.job import Ending, Job, Stopped, end, mapped, network_names
from aws_simulator.services.sagemaker.jobs.serving_container import ServingContainer, can_serve
from aws_simulator.services.sagemaker.logs import LogStream
from aws_simulator.services.sagemaker.storage import Failure

DAY = 24 * 3600
CONTINUOUS_SECONDS = 0.2
MESSAGE_LENGTH = 1024


class ProcessingJob(Job):
    log_group = "/aws/sagemaker/ProcessingJobs"

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.exit_message = ""
        count = self.request["ProcessingResources"]["ClusterConfig"]["InstanceCount"]
        self.hosts = [f"algo-{each + 1}" for each in range(count)]
        self._network = network_names(self.hosts)
        self._serving: list[ServingContainer] = []

    def work(self) -> None:
        self.begin(self.request["AppSpecification"]["ImageUri"])
        for number, host in enumerate(self.hosts):
            self._download(host, number)
        self.started = now()
        streams = self.streams(self.hosts)
        try:
            ending, processes = self._run(streams)
        finally:
            for stream in streams.values():
                stream.close()
        self.exit_message = "".join(map(self._message, self.hosts))[:MESSAGE_LENGTH]
        if ending is not Ending.EXITED:
            self.end("Stopped")
            return
        if any(process.code for process in processes):
            raise Failure("AlgorithmError: See job logs for more information")
        for host in self.hosts:
            self._upload(host, "EndOfJob", "Continuous")
        self.end("Completed")

    def _root(self, host: str) -> Path:
        return self.folder / host / "opt" / "ml"

    def _local(self, host: str, path: str) -> Path:
        return Path(mapped(path, self._root(host)))

    def _download(self, host: str, number: int) -> None:
        if self.stopping.is_set():
            raise Stopped
        root = self._root(host)
        for name in ("config", "output", "processing"):
            (root / name).mkdir(parents=True)
        resources = {"current_host": self._network[number], "hosts": self._network}
        (root / "config" / "resourceconfig.json").write_text(json.dumps(resources))
        description = {**self.request, "ProcessingJobArn": self.arn}
        (root / "config" / "processingjobconfig.json").write_text(json.dumps(description, default=str))
        for processing_input in self.request.get("ProcessingInputs", []):
            source = processing_input["S3Input"]
            share = (number, len(self.hosts)) if source.get("S3DataDistributionType") == "ShardedByS3Key" else (0, 1)
            storage.download(self.client("s3"), source["S3Uri"], self._local(host, source["LocalPath"]), share)
        for output in self._outputs():
            self._local(host, output["LocalPath"]).mkdir(parents=True, exist_ok=True)

    def _outputs(self) -> list[Mapping[str, Any]]:
        return [output["S3Output"] for output in self.request.get("ProcessingOutputConfig", {}).get("Outputs", [])]

    def _run(self, streams: Mapping[str, LogStream]) -> tuple[Ending, list[Process]]:
        self.pace.wait(self.stopping)
        if self.stopping.is_set():
            raise Stopped
        seconds = self.request.get("StoppingCondition", {}).get("MaxRuntimeInSeconds", DAY)
        processes: list[Process] = []
        try:
            for host in self.hosts:
                processes.append(self._start(host, streams[host]))
                metrics.publish(self.role, self.log_group, f"{self.name}/{host}")
            return self.supervise(processes, seconds, self._look()), processes
        finally:
            end(processes, softly=False)
            for serving in self._serving:
                serving.stop()

    def _start(self, host: str, stream: LogStream) -> Process:
        specification, root = self.request["AppSpecification"], self._root(host)
        argv = [*specification.get("ContainerEntrypoint", []), *specification.get("ContainerArguments", [])]
        private = self.folder / host
        (private / "tmp").mkdir()
        program = private / "serving"
        env = {
            "PATH": f"{self._commands(root, private)}:{program}:/usr/local/bin:/usr/bin:/bin",
            "HOME": str(private),
            "TMPDIR": str(private / "tmp"),
            "LANG": "C.UTF-8",
            "PYTHONUNBUFFERED": "TRUE",
            "PYTHONDONTWRITEBYTECODE": "TRUE",
            "PROCESSING_JOB_NAME": self.name,
            "AWS_ENDPOINT_URL": self.simulator.url,
            "AWS_EC2_METADATA_DISABLED": "true",
            **self._pip_variables(),
            **self.role.credentials,
            **self._serving_variables(program, root),
            **{name: mapped(value, root) for name, value in self.request.get("Environment", {}).items()},
        }
        return self.start([mapped(part, root) for part in argv], private, env, stream)

    def _serving_variables(self, folder: Path, root: Path) -> dict[str, str]:
        image = self.request["AppSpecification"]["ImageUri"]
        if not can_serve(image):
            return {}
        isolated = bool(self.request.get("NetworkConfig", {}).get("EnableNetworkIsolation"))
        serving = ServingContainer(self.simulator, self.name, folder, root / "model", image, isolated)
        self._serving.append(serving)
        return serving.install()

    def _pip_variables(self) -> dict[str, str]:
        if not self.simulator.images:
            return {}
        return {**no_index(self.request.get("Environment", {})), "PIP_DISABLE_PIP_VERSION_CHECK": "1"}

    def _commands(self, root: Path, private: Path) -> Path:
        """Return the container's commands. The requirements.txt of the inputs can be installed there."""
        archives = sorted((root / "processing").rglob("*.tar.gz"))
        required = [line for archive in archives for line in requirements_of(_member(archive, "requirements.txt"))]
        return container.commands(self.simulator, self.request["AppSpecification"]["ImageUri"], private, required)

    def _look(self) -> Any:
        """Upload the outputs that are uploaded as they appear; start a model server for the program ``serve``."""
        last = time.monotonic()

        def look() -> None:
            nonlocal last
            for serving in self._serving:
                serving.look(self.request.get("Environment", {}))
            if time.monotonic() - last > CONTINUOUS_SECONDS:
                for host in self.hosts:
                    self._upload(host, "Continuous")
                last = time.monotonic()

        return look

    def _upload(self, host: str, *modes: str) -> None:
        for output in self._outputs():
            if output["S3UploadMode"] in modes:
                kms_key = self.request["ProcessingOutputConfig"].get("KmsKeyId", "")
                storage.upload(self.client("s3"), self._local(host, output["LocalPath"]), output["S3Uri"], kms_key)

    def _message(self, host: str) -> str:
        file = self._root(host) / "output" / "message"
        return file.read_text(errors="replace") if file.exists() else ""

    def described(self, shape: Any) -> dict[str, Any]:
        """Return the response of DescribeProcessingJob."""
        times = {"ProcessingStartTime": self.started, "ProcessingEndTime": self.ended}
        texts = {"FailureReason": self.failure_reason, "ExitMessage": self.exit_message}
        return {
            **echoed(self.request, shape),
            "ProcessingJobArn": self.arn,
            "ProcessingJobStatus": self.status,
            "CreationTime": self.created,
            "LastModifiedTime": self.modified,
            **{name: moment for name, moment in times.items() if moment},
            **{name: text for name, text in texts.items() if text},
        }

    def summary(self) -> dict[str, Any]:
        ended: dict[str, datetime.datetime] = {"ProcessingEndTime": self.ended} if self.ended else {}
        return {
            "ProcessingJobName": self.name,
            "ProcessingJobArn": self.arn,
            "CreationTime": self.created,
            "LastModifiedTime": self.modified,
            "ProcessingJobStatus": self.status,
            **ended,
            **({"FailureReason": self.failure_reason} if self.failure_reason else {}),
        }


def _member(archive: Path, name: str) -> bytes:
    """Return the content of a file in an archive; nothing if it is missing."""
    with tarfile.open(archive) as opened:
        try:
            file = opened.extractfile(name)
        except KeyError:
            return b""
        return file.read() if file else b""
