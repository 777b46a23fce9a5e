"""The endpoint of this machine as commands see it: the model server, compared with the run store."""

from __future__ import annotations

from mlops_cli.backends.base import ServedEndpoint
from mlops_cli.backends.local.services import LocalServices
from mlops_cli.backends.local.stages.executor import gate_variables
from mlops_cli.core.endpoint import Endpoint, EndpointState, GateReport, InvocationResponse
from mlops_cli.core.models.model_versions import deployed_version
from mlops_cli.core.stages import ENDPOINT_GATE, TRAINING
from mlops_cli.monitoring.preconditions import check_statistics_available, read_reference
from mlops_cli.monitoring.statistics import FILE, RequestStatistics
from mlops_cli.serving.control import ServerState
from mlops_cli.serving.failure_log import read_failure


class LocalServedEndpoint(ServedEndpoint):
    def __init__(self, services: LocalServices) -> None:
        self._services = services

    def status(self) -> Endpoint:
        status = self._services.server.status()
        deployed = deployed_version(self._services.models(status))
        digest, objection = (deployed.digest, deployed.objection) if deployed else ("", "")
        lost = deployed is not None and status.state is ServerState.ABSENT
        return Endpoint(
            status.name,
            EndpointState.FAILED if lost else EndpointState(status.state.value),
            status.url,
            status.model_digest or "",
            "" if objection else digest,
            status.since or "",
            f"{self._services.project.endpoint} holds no server any more." if lost else status.reason,
            digest,
            objection,
            status.changed_files,
            status.incidents,
            status.hosts,
        )

    def invoke(self, body: bytes, content_type: str) -> InvocationResponse:
        response = self._services.server.invoke(body, content_type)
        return InvocationResponse(response.status, response.body, response.seconds)

    @property
    def log_name(self) -> str:
        return str(self._services.server.status().log)

    def failure(self, since: float) -> str:
        return read_failure(self._services.server.status().log, since)

    def run_gate(self) -> GateReport:
        from mlops_cli.backends.gate_runner import run_gate
        from mlops_cli.project.settings.script_secrets import required_secrets

        services = self._services
        variables = gate_variables(services.server, self.status().deployed_digest)
        stage = ENDPOINT_GATE
        use_case, project = services.use_case, services.project
        variables |= required_secrets(use_case.passed.secrets, project.dotenv)
        return run_gate(stage, project.training, variables, use_case.passed, services.children, use_case.time_limits)

    def request_statistics(self, days: int) -> RequestStatistics:
        services = self._services
        status = services.server.status()
        digest = status.model_digest or ""
        check_statistics_available(self.status(), status.sample, services.use_case.sample)
        trained = services.store.find_by_output(TRAINING.name, digest)
        file = services.project.state / trained.artifact / "output" / FILE if trained else None
        reference = read_reference(file.read_bytes() if file and file.is_file() else None)
        counts = services.server.read_statistics(digest, days)
        return RequestStatistics(status.name, digest, status.sample, days, reference, counts)
