"""A training job's life, with its restarts on managed spot capacity."""

from __future__ import annotations

import datetime
import shutil
import time
from typing import Any

from aws_simulator.processes import Process
from aws_simulator.services.sagemaker import metrics, storage
from aws_simulator.services.sagemaker.common import echoed, now
from aws_simulator.services.sagemaker.jobs.job import Ending, Job, Stopped, end, network_names
from aws_simulator.services.sagemaker.jobs.training_host import TrainingHost
from aws_simulator.services.sagemaker.storage import Failure

DAY = 24 * 3600
CHECKPOINT_SECONDS = 0.2
INTERNAL_ERROR = "InternalServerError: We encountered an internal error.  Please try again."
SPOT_PRICE = 0.3  # the price of a spot instance as a share of the on-demand price: any number below 1

MESSAGES = {
    "Starting": "Starting the training job",
    "Downloading": "Downloading input data",
    "Training": "Training image download completed. Training in progress.",
    "Interrupted": "Training job interrupted: its instances are needed elsewhere",
    "Uploading": "Uploading generated training model",
    "Completed": "Training job completed",
    "Stopping": "Stopping the training job",
    "Stopped": "Training job stopped",
    "MaxRuntimeExceeded": "Training job runtime exceeded MaxRuntimeInSeconds provided",
    "MaxWaitTimeExceeded": "Training job runtime exceeded MaxWaitTimeInSeconds provided",
    "Failed": "Training job failed",
}


class TrainingJob(Job):
    log_group = "/aws/sagemaker/TrainingJobs"

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.transitions: list[dict[str, Any]] = []
        self.training_seconds = 0.0
        self.retries = 0
        self.enter("Starting")

    @property
    def secondary(self) -> str:
        return str(self.transitions[-1]["Status"])

    def enter(self, secondary: str) -> None:
        moment = now()
        if self.transitions:
            self.transitions[-1]["EndTime"] = moment
        self.transitions.append({"Status": secondary, "StartTime": moment, "StatusMessage": MESSAGES[secondary]})
        self.modified = moment

    def stop(self) -> bool:
        with self.lock:
            if stopped := super().stop():
                self.enter("Stopping")
            return stopped

    def end(self, status: str, secondary: str = "") -> None:
        with self.lock:
            self.enter(secondary or status)
            self.transitions[-1]["EndTime"] = self.modified
            super().end(status)

    def work(self) -> None:
        self.begin(self.request["AlgorithmSpecification"]["TrainingImage"])
        began = time.monotonic()
        while (ending := self._attempt()) is Ending.INTERRUPTED:
            self.interrupted.clear()
            if self.request.get("EnableManagedSpotTraining"):
                self.enter("Interrupted")
            elif not self.is_retried(INTERNAL_ERROR):
                raise Failure(INTERNAL_ERROR)
            if time.monotonic() - began > self.request["StoppingCondition"].get("MaxWaitTimeInSeconds", DAY):
                self._end_early("MaxWaitTimeExceeded")
                return
            self.enter("Starting")
            self.pace.wait(self.stopping)
        if ending is Ending.TIMED_OUT:
            self._end_early("MaxRuntimeExceeded")
        else:
            self._upload("Stopped" if ending is Ending.STOPPED else "Completed")

    def is_retried(self, reason: str) -> bool:
        """RetryStrategy: "The number of times to retry the job when the job fails due to an InternalServerError." """
        most = self.request.get("RetryStrategy", {}).get("MaximumRetryAttempts", 0)
        if not reason.startswith("InternalServerError") or self.retries >= most:
            return False
        self.retries += 1
        return True

    def _attempt(self) -> Ending:
        """Run all instances once, beginning with the downloads. Raise Failure."""
        shutil.rmtree(self.folder, ignore_errors=True)
        names = [f"algo-{each + 1}" for each in range(self.request["ResourceConfig"]["InstanceCount"])]
        streams = self.streams(names)
        try:
            network = network_names(names)
            self.hosts = [TrainingHost(self, number, name, network, streams[name]) for number, name in enumerate(names)]
            return self._train()
        finally:
            for stream in streams.values():
                stream.close()

    def _train(self) -> Ending:
        self._next("Downloading")
        for host in self.hosts:
            host.download()
        self._next("Training")
        self.started = self.started or now()
        self.culprit = None
        began, processes = time.monotonic(), list[Process]()
        try:
            for host in self.hosts:
                processes.append(host.start())
            for host in self.hosts:
                metrics.publish(self.role, self.log_group, f"{self.name}/{host.name}")
            ending = self.supervise(processes, self._seconds_left(), self._look())
        finally:
            self.training_seconds += time.monotonic() - began
            end(processes, softly=False)
        self._push_checkpoints()
        if ending is Ending.EXITED and self.culprit is not None:
            self._upload_output()
            raise Failure(next(host for host in self.hosts if host.process is self.culprit).failure())
        return ending

    def _next(self, secondary: str) -> None:
        if self.stopping.is_set():
            raise Stopped
        self.enter(secondary)
        self.pace.wait(self.stopping)

    def _seconds_left(self) -> float:
        return self.request["StoppingCondition"].get("MaxRuntimeInSeconds", DAY) - self.training_seconds

    def _look(self) -> Any:
        """Copy checkpoints to S3 from time to time while the script runs."""
        last = time.monotonic()

        def look() -> None:
            nonlocal last
            if time.monotonic() - last > CHECKPOINT_SECONDS:
                self._push_checkpoints()
                last = time.monotonic()

        return look

    def _push_checkpoints(self) -> None:
        for host in self.hosts:
            if host.checkpoints is not None:
                host.checkpoints.push()

    def _end_early(self, secondary: str) -> None:
        self.enter("Stopping")
        self._upload_files()
        self.end("Stopped", secondary)

    def _upload(self, status: str) -> None:
        self.enter("Uploading")
        if status != "Stopped":
            self.pace.wait(self.stopping)
        self._upload_files()
        self.end("Stopped" if self.stopping.is_set() else status)

    def _upload_files(self) -> None:
        self._upload_packed("model", "model.tar.gz")
        self._upload_output()

    def _upload_output(self) -> None:
        self._upload_packed("output/data", "output.tar.gz")

    def _upload_packed(self, folder: str, name: str) -> None:
        archive = self.folder / name
        if storage.pack([host.root / folder for host in self.hosts], archive):
            kms_key = self.request["OutputDataConfig"].get("KmsKeyId", "")
            storage.upload_file(self.client("s3"), archive, f"{self.output_uri}/{name}", kms_key)

    @property
    def output_uri(self) -> str:
        return f"{self.request['OutputDataConfig']['S3OutputPath'].rstrip('/')}/{self.name}/output"

    def described(self, shape: Any) -> dict[str, Any]:
        """Return the response of DescribeTrainingJob."""
        times = {"TrainingStartTime": self.started, "TrainingEndTime": self.ended}
        return {
            **echoed(self.request, shape),
            "TrainingJobArn": self.arn,
            "ModelArtifacts": {"S3ModelArtifacts": f"{self.output_uri}/model.tar.gz"},
            "TrainingJobStatus": self.status,
            "SecondaryStatus": self.secondary,
            "SecondaryStatusTransitions": [dict(transition) for transition in self.transitions],
            "CreationTime": self.created,
            "LastModifiedTime": self.modified,
            **{name: moment for name, moment in times.items() if moment},
            **({"FailureReason": self.failure_reason} if self.failure_reason else {}),
            **(self._bill() if self.ended and self.started else {}),
        }

    def _bill(self) -> dict[str, int]:
        seconds = max(1, round(self.training_seconds))
        share = SPOT_PRICE if self.request.get("EnableManagedSpotTraining") else 1.0
        return {"TrainingTimeInSeconds": seconds, "BillableTimeInSeconds": max(1, round(seconds * share))}

    def summary(self) -> dict[str, Any]:
        ended: dict[str, datetime.datetime] = {"TrainingEndTime": self.ended} if self.ended else {}
        return {
            "TrainingJobName": self.name,
            "TrainingJobArn": self.arn,
            "CreationTime": self.created,
            "LastModifiedTime": self.modified,
            "TrainingJobStatus": self.status,
            "SecondaryStatus": self.secondary,
            **ended,
        }
