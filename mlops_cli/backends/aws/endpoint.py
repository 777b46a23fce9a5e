"""The SageMaker endpoint as commands see it: its state, compared with the run store."""

from __future__ import annotations

from dataclasses import replace

from mlops_cli.backends.aws.clients.endpoint_failure import read_failure
from mlops_cli.backends.aws.clients.logs import ENDPOINT_LOGS
from mlops_cli.backends.aws.clients.request_statistics import read_counts
from mlops_cli.backends.aws.deployed_project import DeployedProject
from mlops_cli.backends.aws.stages.endpoint_proxy import endpoint_proxy
from mlops_cli.backends.aws.stages.jobs.job_outputs import training_outputs
from mlops_cli.backends.base import ServedEndpoint
from mlops_cli.core.endpoint import Endpoint, GateReport, InvocationResponse
from mlops_cli.core.runs import StageRun
from mlops_cli.core.stages import ENDPOINT_GATE, TRAINING
from mlops_cli.monitoring.preconditions import check_statistics_available, read_reference
from mlops_cli.monitoring.statistics import FILE, RequestStatistics


class AwsServedEndpoint(ServedEndpoint):
    def __init__(self, deployed: DeployedProject) -> None:
        self._deployed = deployed

    def status(self) -> Endpoint:
        services = self._deployed.services
        deployed = services.runs.deployed()
        if not deployed:
            return services.endpoint.status("")
        versions = services.versions.list_versions()
        version = next((version for version in versions if version.digest == deployed), None)
        objection = version.objection if version else ""
        endpoint = services.endpoint.status("" if objection else deployed)
        return replace(endpoint, deployed_digest=deployed, objection=objection)

    def invoke(self, body: bytes, content_type: str) -> InvocationResponse:
        self._deployed.require_owner()
        return self._deployed.services.endpoint.invoke(body, content_type)[0]

    @property
    def log_name(self) -> str:
        return ENDPOINT_LOGS.format(self._deployed.services.endpoint.name)

    def failure(self, since: float) -> str:
        files = sorted(self._deployed.project.training.rglob("*.py"))
        modules = [f"code/{path.relative_to(self._deployed.project.training).as_posix()}" for path in files]
        return read_failure(self._deployed.account.client("logs"), self.log_name, since, modules)

    def run_gate(self) -> GateReport:
        from mlops_cli.backends.gate_runner import run_gate
        from mlops_cli.processes.child_process import JobProcesses
        from mlops_cli.project.settings.script_secrets import required_secrets
        from mlops_cli.project.state_dir import create_state_dir

        self._deployed.require_owner()
        project = self._deployed.project
        create_state_dir(project)
        endpoint = self.status()
        with endpoint_proxy(self._deployed.services.endpoint.invoke, endpoint.live_digest) as proxy:
            variables = {"MLOPS_ENDPOINT_URL": proxy.url, "MLOPS_MODEL_DIGEST": endpoint.deployed_digest}
            children = JobProcesses(project.state / "children")
            stage = ENDPOINT_GATE
            use_case = self._deployed.use_case
            variables |= required_secrets(use_case.passed.secrets, project.dotenv)
            report = run_gate(stage, project.training, variables, use_case.passed, children, use_case.time_limits)
        if not report.has_passed and proxy.caller_error:
            raise proxy.caller_error
        return report

    def request_statistics(self, days: int) -> RequestStatistics:
        deployed, services = self._deployed, self._deployed.services
        live = services.endpoint.deployed_model()
        check_statistics_available(self.status(), live.sample, deployed.use_case.sample)
        source_run = services.run_store.load(live.run_id)
        trained = source_run.training if source_run else StageRun(TRAINING.name)
        (content,) = training_outputs(deployed.bucket, trained, FILE) if trained.artifact else (None,)
        reference = read_reference(content)
        counts = read_counts(deployed.account.client("logs"), services.endpoint.name, live.digest, days)
        return RequestStatistics(services.endpoint.name, live.digest, live.sample, days, reference, counts)
