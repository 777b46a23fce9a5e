"""The infrastructure of this machine: the project's .mlops/ and its removal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlops_cli.backends.base import Infrastructure
from mlops_cli.backends.local.infra.deploy import deploy_infra, plan_infra
from mlops_cli.backends.local.public_address import public_address_warning
from mlops_cli.backends.local.services import LocalServices
from mlops_cli.core.progress import Watch, no_watch
from mlops_cli.project.settings.script_secrets import required_secrets, short_message, short_secrets

if TYPE_CHECKING:
    from mlops_cli.backends.local.cleanup.steps import Cleanup
    from mlops_cli.core.plan import Plan


class LocalInfrastructure(Infrastructure):
    def __init__(self, services: LocalServices) -> None:
        self._services = services

    def warnings(self) -> list[str]:
        services = self._services
        public = public_address_warning(services.server.host)
        short = short_secrets(services.use_case.passed.secrets, services.project.dotenv)
        return [*([public] if public else []), *([short_message(short)] if short else [])]

    def require_secrets(self) -> None:
        required_secrets(self._services.use_case.passed.secrets, self._services.project.dotenv)

    def is_ready_to_run(self) -> bool:
        return True

    def plan(self, watch: Watch = no_watch) -> Plan:  # noqa: ARG002 (no step takes long)
        return plan_infra(self._services.project, self._services.use_case.framework)

    def deploy(self, watch: Watch = no_watch) -> None:  # noqa: ARG002
        deploy_infra(self._services.project)

    def discard_plan(self) -> None:
        """Do nothing: a plan creates nothing on this machine."""

    def plan_cleanup(self, keep_data: bool) -> Plan:
        return self._cleanup(keep_data).plan()

    def cleanup(self, keep_data: bool, watch: Watch = no_watch) -> Plan:  # noqa: ARG002
        return self._cleanup(keep_data).apply()

    def _cleanup(self, keep_data: bool) -> Cleanup:
        from mlops_cli.backends.local.cleanup.steps import Cleanup

        services = self._services
        return Cleanup(
            services.project, services.server, services.server_processes, services.lock, services.children, keep_data
        )
