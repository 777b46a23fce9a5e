"""Run a build through its phases."""

from __future__ import annotations

import shutil
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

from aws_simulator.errors import ServiceError
from aws_simulator.packages import no_index
from aws_simulator.permissions.roles import Caller, assume
from aws_simulator.services.codebuild import artifacts, buildspec, image, variables
from aws_simulator.services.codebuild.build import FAILED, SUCCEEDED, TIMED_OUT, Build, PhaseError
from aws_simulator.services.codebuild.buildspec import Buildspec
from aws_simulator.services.codebuild.logs import BuildLog
from aws_simulator.services.codebuild.shell import Shell
from aws_simulator.services.sagemaker.images import ADDRESS, pull
from aws_simulator.services.sagemaker.storage import Failure

if TYPE_CHECKING:
    from aws_simulator.services.codebuild.service import CodeBuild

# If one of these phases fails, the build ends. After a failed build, post_build and the upload still run.
ENDING = ("install", "pre_build")


class Runner:
    def __init__(self, service: CodeBuild, build: Build) -> None:
        self.simulator = service.simulator
        self.build = build
        self.folder = service.simulator.folder / "codebuild" / build.id
        self.minute = service.minute
        self.source = self.folder / "src"

    def run(self) -> None:
        timer = threading.Timer(self.build.project["timeoutInMinutes"] * self.minute, self.build.end, [TIMED_OUT])
        timer.daemon = True
        timer.start()
        status = FAILED
        try:
            status = self._through()
        except PhaseError as error:
            status = error.status
        finally:
            timer.cancel()
            shutil.rmtree(self.folder, ignore_errors=True)
            self.build.completed(status)

    def _through(self) -> str:
        build = self.build
        with build.phase("SUBMITTED"):
            role = self._role()
        with build.phase("QUEUED"):
            log = BuildLog(self.simulator.client("logs", role), build)
        try:
            return self._in_container(role, log)
        finally:
            with build.phase("FINALIZING", always=True):
                log.close()

    def _role(self) -> Caller:
        project = self.build.project
        arn = f"{self.build.arn_prefix}:project/{project['name']}"
        session = f"AWSCodeBuild-{self.build.id}"
        try:
            return assume(project["serviceRole"], "codebuild.amazonaws.com", session, arn)
        except ServiceError as error:
            raise PhaseError("ACCESS_DENIED", error.message) from error

    def _pull(self, role: Caller) -> None:
        """Raise PhaseError for an image in ECR that does not exist or that the role may not pull."""
        environment = self.build.project["environment"]
        if ADDRESS.fullmatch(environment["image"]) is None:
            return
        words = f"Unable to pull customer's container image. CannotPullContainerError: {environment['image']}"
        if environment.get("imagePullCredentialsType") != "SERVICE_ROLE":
            raise PhaseError("BUILD_CONTAINER_UNABLE_TO_PULL_IMAGE", f"{words}: no credentials")
        try:
            pull(self.simulator, environment["image"], role)
        except Failure as error:
            raise PhaseError("BUILD_CONTAINER_UNABLE_TO_PULL_IMAGE", f"{words}: {error}") from error

    def _in_container(self, role: Caller, log: BuildLog) -> str:
        build, s3 = self.build, self.simulator.client("s3", role)
        with build.phase("PROVISIONING"):
            self._pull(role)
            images = self.simulator.folder / "images"
            linked = image.packages(images, self.simulator.locks, self.simulator.images.get(image.BUILD))
            commands = image.make(self.folder / "image", linked)
        with build.phase("DOWNLOAD_SOURCE"):
            self._download(s3)
            spec = self._buildspec()
            declared = build.project["environment"].get("environmentVariables", [])
            own = variables.values(self.simulator, role, declared)
            log.hidden += [own[each["name"]] for each in declared if variables.kind(each) != variables.PLAIN]
            environment = self._variables(spec, role, commands, own)
            shell = Shell(spec.shell, self.folder / "tmp", self.source, environment)
        failure = self._phases(spec, shell, log)
        if failure is None or (failure[0] not in ENDING and failure[1] == FAILED):
            with build.phase("UPLOAD_ARTIFACTS"):
                self._export(spec, shell)
                self._upload(s3, spec)
        return failure[1] if failure else SUCCEEDED

    def _phases(self, spec: Buildspec, shell: Shell, log: BuildLog) -> tuple[str, str] | None:
        """Run the commands; return the failed phase and its status."""
        failure: tuple[str, str] | None = None
        for name in buildspec.PHASES:
            if failure and (failure[0] in ENDING or failure[1] != FAILED):
                break
            log.agent(f"Entering phase {name.upper()}")
            shell.set("CODEBUILD_BUILD_SUCCEEDING", "0" if failure else "1")
            phase = spec.phases.get(name, buildspec.Phase())
            try:
                with self.build.phase(name.upper()):
                    self._phase(phase, shell, log)
            except PhaseError as error:
                log.agent(f"Phase complete: {name.upper()} State: {error.status}")
                log.agent(f"Phase context status code: {error.code} Message: {error}")
                continues = phase.continues and error.status == FAILED
                failure = failure or (None if continues else (name, error.status))
                continue
            log.agent(f"Phase complete: {name.upper()} State: {SUCCEEDED}")
        return failure

    def _phase(self, phase: buildspec.Phase, shell: Shell, log: BuildLog) -> None:
        error: PhaseError | None = None
        try:
            self._commands(phase.commands, shell, log)
        except PhaseError as raised:
            error = raised
        self._commands(phase.finally_, shell, log)
        if error:
            raise error

    def _commands(self, commands: tuple[str, ...], shell: Shell, log: BuildLog) -> None:
        for command in commands:
            log.agent(f"Running command {command}")
            code = shell.run(command, self.build, self.simulator.processes, log)
            if code:
                log.agent(f"Command did not exit successfully {command} exit status {code}")
                message = f"Error while executing command: {command}. Reason: exit status {code}"
                raise PhaseError("COMMAND_EXECUTION_ERROR", message)

    def _download(self, s3: object) -> None:
        self.source.mkdir(parents=True)
        if self.build.pipeline:
            for artifact in self.build.pipeline.inputs:
                primary = artifact.name == self.build.pipeline.primary
                artifacts.download(s3, artifact, self.source if primary else self.folder / "inputs" / artifact.name)

    def _buildspec(self) -> Buildspec:
        spec_name = self.build.project["source"].get("buildspec") or "buildspec.yml"
        if "\n" not in spec_name:
            path = self.source / spec_name
            if not path.is_file():
                message = f"stat {path}: no such file or directory"
                raise PhaseError("YAML_FILE_ERROR", message)
            spec_name = path.read_text()
        try:
            return buildspec.read(spec_name)
        except buildspec.BuildspecError as error:
            code, _, message = str(error).partition(": ")
            raise PhaseError(code, message) from error

    def _variables(self, spec: Buildspec, role: Caller, commands: Path, own: dict[str, str]) -> dict[str, str]:
        """Return the build's environment: AWS's, the role's credentials, the project's ``own``. No network."""
        build = self.build
        inputs = build.pipeline.inputs if build.pipeline else ()
        return {
            "PATH": f"{commands}:/usr/local/bin:/usr/bin:/bin",
            "HOME": str(self.folder),
            "LANG": "C.UTF-8",
            "CI": "true",
            "AWS_ENDPOINT_URL": self.simulator.url,
            "AWS_EC2_METADATA_DISABLED": "true",
            **no_index(own),
            "PIP_DISABLE_PIP_VERSION_CHECK": "1",
            "PIP_ROOT_USER_ACTION": "ignore",
            "NO_PROXY": "127.0.0.1,localhost",
            "HTTP_PROXY": "http://127.0.0.1:9",
            "HTTPS_PROXY": "http://127.0.0.1:9",
            **role.credentials,
            "CODEBUILD_BUILD_ARN": f"{build.arn_prefix}:build/{build.full_id}",
            "CODEBUILD_BUILD_ID": build.full_id,
            "CODEBUILD_BUILD_NUMBER": str(build.number),
            "CODEBUILD_INITIATOR": build.initiator,
            "CODEBUILD_LOG_PATH": build.log_stream,
            "CODEBUILD_SRC_DIR": str(self.source),
            **{
                f"CODEBUILD_SRC_DIR_{artifact.name}": str(self.folder / "inputs" / artifact.name)
                for artifact in inputs[1:]
            },
            "CODEBUILD_START_TIME": str(int(time.time() * 1000)),
            **spec.variables,
            **own,
        }

    def _export(self, spec: Buildspec, shell: Shell) -> None:
        self.build.exported = [{"name": name, "value": shell.value(name)} for name in spec.exported]

    def _upload(self, s3: object, spec: Buildspec) -> None:
        for number, artifact in enumerate(self.build.pipeline.outputs if self.build.pipeline else ()):
            files = spec.secondary.get(artifact.name) if number or spec.secondary else spec.artifacts
            if files is None:
                raise PhaseError("CLIENT_ERROR", f"no matching artifact named {artifact.name} in the buildspec")
            location = artifacts.upload(s3, artifact, files, self.source)
            self.build.artifacts.append({"location": location})
