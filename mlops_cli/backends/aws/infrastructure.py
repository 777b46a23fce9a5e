"""The infrastructure on AWS: the stacks, their costs, and the removal of everything that mlops created."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property

from mlops_cli.backends.aws.cleanup.steps import Cleanup
from mlops_cli.backends.aws.clients.codepipeline import Pipeline
from mlops_cli.backends.aws.clients.pricing import Prices
from mlops_cli.backends.aws.clients.secrets import require_secrets
from mlops_cli.backends.aws.deployed_project import DeployedProject
from mlops_cli.backends.aws.infra import image_registry
from mlops_cli.backends.aws.infra.deployed_settings import differences
from mlops_cli.backends.aws.runs.build_limit import build_minutes
from mlops_cli.backends.aws.runs.cost_estimate import (
    LOGGED,
    STORED,
    VOLUMES,
    Estimate,
    current_endpoint_items,
    recent_durations,
    with_prices,
)
from mlops_cli.backends.base import CostScope, Infrastructure
from mlops_cli.caching.unsent import describe_unsent
from mlops_cli.core.checks import Finding, State
from mlops_cli.core.costs import Costs
from mlops_cli.core.jobs.secret_addresses import addresses
from mlops_cli.core.plan import Plan
from mlops_cli.core.progress import Watch, no_watch


class AwsInfrastructure(Infrastructure):
    def __init__(self, deployed: DeployedProject, check_company: Callable[[], list[Finding]]) -> None:
        self._deployed = deployed
        self._check_company = check_company

    def account_label(self) -> str:
        return str(self._deployed.account.identity)

    def undeployed_settings(self) -> list[str]:
        deployed = self._deployed
        return differences(deployed.use_case, deployed.settings, deployed.pipeline_stack)

    @cached_property
    def _company_findings(self) -> list[Finding]:
        return self._check_company()

    def warnings(self) -> list[str]:
        return [finding.in_one_line for finding in self._company_findings]

    def refusals(self) -> list[Finding]:
        return [finding for finding in self._company_findings if finding.state is State.FAILURE]

    def unsent_inputs(self) -> list[str]:
        project, shared = self._deployed.project, self._deployed.use_case.passed.code
        return describe_unsent(project.root, project.state, shared, project.scripts_dir)

    def require_secrets(self) -> None:
        deployed = self._deployed
        require_secrets(deployed.account, addresses(deployed.use_case.passed.secrets, deployed.endpoint_name))

    def costs(self, occasion: CostScope) -> Costs:
        deployed = self._deployed
        estimate = Estimate(deployed.machines, build_minutes(deployed.use_case.time_limits))
        if occasion is CostScope.CLEANUP:
            items, by_use = current_endpoint_items(deployed.account, deployed.endpoint_name)
        elif occasion is CostScope.REPRODUCTION:
            durations = recent_durations(deployed.services.pipeline, deployed.services.run_store)
            items, by_use = estimate.jobs(durations), (VOLUMES,)
        else:
            items, by_use = estimate.endpoint(), estimate.by_use
        others = (STORED, LOGGED, *image_registry.by_use(deployed.settings))
        return with_prices(items, Prices(deployed.account, deployed.project), (*by_use, *others))

    def is_ready_to_run(self) -> bool:
        return self._deployed.stacks.outputs(self._deployed.names.pipeline_stack) is not None

    def plan(self, watch: Watch = no_watch) -> Plan:
        return self._deployed.infra_deployer.plan(watch)

    def deploy(self, watch: Watch = no_watch) -> None:
        deployed, is_new = self._deployed, not self.is_ready_to_run()
        deployed.infra_deployer.apply(watch)
        outputs = deployed.stacks.required(deployed.names.pipeline_stack)
        Pipeline(deployed.account.client("codepipeline"), outputs["PipelineName"]).stop_first(is_new)

    def discard_plan(self) -> None:
        self._deployed.infra_deployer.discard_plan()

    def plan_cleanup(self, keep_data: bool) -> Plan:
        return self._cleanup(keep_data).plan()

    def cleanup(self, keep_data: bool, watch: Watch = no_watch) -> Plan:
        remaining = self._cleanup(keep_data).apply(watch)
        if not remaining.active:
            self._deployed.completion_cache.clear()
        return remaining

    def _cleanup(self, keep_data: bool) -> Cleanup:
        deployed = self._deployed
        deployed.require_owner()
        return Cleanup(deployed.project, deployed.endpoint_name, deployed.account, deployed.names, keep_data)
