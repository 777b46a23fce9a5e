"""The commands of a rehearsal in their order, each with its duration and its problem."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from mlops_cli.cli.context import AppContext
from mlops_cli.cli.cost_approval import CostApproval
from mlops_cli.core.checks import Finding, ok
from mlops_cli.core.rehearsal import Rehearsal, Step
from mlops_cli.core.runs import Run, RunRequest, Status
from mlops_cli.errors import EXIT_INTERRUPTED, EXIT_STAGE_FAILED, MlopsError
from mlops_cli.project.environment import meet_only
from mlops_cli.project.settings.script_secrets import present_secrets
from mlops_cli.rehearsal import findings
from mlops_cli.rehearsal.caller import caller_policy
from mlops_cli.rehearsal.company import NAMES, not_shown, simulated_settings
from mlops_cli.rehearsal.images import image_packages, known_images, other_versions, packages_file
from mlops_cli.rehearsal.project_copy import (
    CONNECTION,
    copy_project,
    has_templates,
    rehearsed_data,
    rehearsed_settings,
)
from mlops_cli.rehearsal.secrets import store_secrets, unready
from mlops_cli.rehearsal.simulated_aws import REGION

if TYPE_CHECKING:
    from mlops_cli.console import Console
    from mlops_cli.core.costs import Costs
    from mlops_cli.data.request import DataRequest
    from mlops_cli.project.paths import Project
    from mlops_cli.rehearsal.simulated_aws import SimulatedAws

COMMENT = "rehearsal"
NOT_SHOWN = (
    "images: jobs and builds run in this machine's Python with the packages of AWS's images, not in the images",
    "serving: the trial of a model and the endpoint use the server of mlops, not those in AWS's serving images",
    "quotas: a new account may have 0 for an instance type; mlops --target aws doctor reads them",
    "your account: whether you have the permissions that the rehearsal's caller had, its policies, an existing bucket",
    "time, load, memory and prices: AWS's instances are other machines, and nothing was billed",
    "regions: this was us-east-1",
)


@dataclass
class NotedCosts(CostApproval):
    """Accepts any costs, and keeps them for the report."""

    excess: list[str] = field(default_factory=list)

    def show(self, costs: Costs, heading: str = "may cost") -> None:  # noqa: ARG002 (the report shows them)
        self.costs = costs

    def approve(self, costs: Costs, heading: str = "may cost") -> None:
        self.show(costs, heading)
        self.excess += [text for text in self.limits.exceeded_limits(costs) if text not in self.excess]


def go_through(
    aws: SimulatedAws,
    variables: Mapping[str, str],
    context: AppContext,
    console: Console,
    sources: Sequence[str],
    keep: bool,
    yes: bool,
) -> tuple[Rehearsal, Project | None]:
    """Take a copy of the project through its lifecycle. Return the results, and the copy if it could be made.

    From here on, this process connects to no AWS but the simulated one.
    """
    aws.set_images(known_images(context.project, context.use_case))
    settings = simulated_settings(aws, rehearsed_settings(context.settings), context.use_case)
    request = rehearsed_data(context.project, context.use_case, sources)
    secrets, endpoint = context.use_case.passed.secrets, context.settings.endpoint_name(context.use_case.name)
    aws.limit_caller(caller_policy(settings, context.use_case, endpoint, REGION))
    values = present_secrets(secrets, context.project.dotenv)
    meet_only(variables, aws.folder)
    try:
        project = copy_project(context.project, aws.folder / "project", settings)
    except MlopsError as error:
        return Rehearsal(findings=[findings.problem("files", error)]), None
    rehearsed = AppContext(context.targets, dict(settings), project.root)
    if secrets:
        store_secrets(aws, project, secrets, endpoint, values)
    steps = RehearsalSteps(rehearsed, console, request, yes)
    steps.warnings += unready(secrets, values)
    if not has_templates(context.project):
        steps.warnings.append(findings.no_templates())
    steps.rehearsal.not_shown += [*NOT_SHOWN, *_not_shown(context)]
    steps.run_all()
    steps.rehearsal.resources, unused = aws.resources(), aws.unused()
    if not keep:
        steps.clean_up()
    steps.rehearsal.unused = unused
    _add_findings(aws, context.project, steps)
    return steps.rehearsal, project


def _not_shown(context: AppContext) -> Iterable[str]:
    """Yield what a rehearsal of this particular project cannot show."""
    if context.settings["SOURCE"] == CONNECTION:
        yield "the connection to your repository: the rehearsal uploaded the files instead"
    yield from not_shown({name: context.settings[name] for name in (*NAMES, "BUCKET_NAME")})
    if context.use_case.passed.secrets:
        yield "secrets: whether they are in your account; mlops --target aws doctor checks this"
    if not image_packages(context.use_case):
        yield f"packages that the image of {context.use_case.framework.title} lacks: its list is not known"
    for name, (installed, in_image) in other_versions(context.use_case).items():
        yield f"another version of {name}: {installed} here, {in_image} in the image"


def _add_findings(aws: SimulatedAws, project: Project, steps: RehearsalSteps) -> None:
    """Add the records of the simulated AWS, and the findings that follow from them."""
    rehearsal = steps.rehearsal
    rehearsal.decisions = aws.decisions()
    rehearsal.unused = [grant for grant in rehearsal.unused if not rehearsal.has_needed(grant)]
    problems, rehearsal.findings = rehearsal.findings, []
    rehearsal.findings += findings.refusals(rehearsal.decisions, project, bool(problems))
    rehearsal.findings += findings.missing_modules(steps.texts, packages_file(project, steps.failed_stage))
    rehearsal.findings += [*problems, *findings.excess(steps.costs.excess), *steps.warnings]
    rehearsal.findings += findings.drift(aws.drift())
    if not rehearsal.findings:
        rehearsal.findings.append(ok("lifecycle", "every command succeeded; no permission was refused"))


class RehearsalSteps:
    """``texts``: errors and logs of failed steps; ``failed_stage``: the name of the stage that failed, if one did."""

    def __init__(self, context: AppContext, console: Console, request: DataRequest, yes: bool) -> None:
        self.rehearsal = Rehearsal()
        self.costs = NotedCosts(console, context.cost_approval(console).limits, True, True)
        self.texts: list[str] = []
        self.warnings: list[Finding] = []
        self._context = context
        self._console = console
        self._request = request
        self._yes = yes
        self._run: Run | None = None
        self.failed_stage = ""

    def run_all(self) -> None:
        """Run everything from the infrastructure to the tested endpoint. Stop at the first command that fails."""
        steps = {
            "deploy-infra": self._deploy,
            "download-data": self._download,
            "run": self._start,
            "approve": self._approve,
            "test-endpoint": self._test,
        }
        for name, act in steps.items():
            if name == "test-endpoint" and (self._run is None or self._run.status is not Status.DONE):
                self.rehearsal.not_shown.append("deployment and endpoint: the model was not approved")
                break
            if not self._succeeds(name, act):
                break

    def clean_up(self) -> None:
        self._succeeds("cleanup", self._clean_up)

    def _succeeds(self, name: str, act: Callable[[], None]) -> bool:
        self._console.say(f"\n$ mlops {name}")
        started, problem = time.monotonic(), ""
        try:
            act()
        except MlopsError as error:
            if error.exit_code == EXIT_INTERRUPTED:
                raise KeyboardInterrupt from None
            problem = error.message
            self._console.say(f"error: {error.message}")
            self.rehearsal.findings.append(findings.problem(name, error))
            self.texts += [error.message, *self._log()]
        self.rehearsal.steps.append(Step(name, round(time.monotonic() - started, 1), problem))
        return not problem

    def _log(self) -> list[str]:
        """Return the lines of the failed stage's log; none if it has no log."""
        with suppress(MlopsError):
            runs = self._context.backend.runs
            run = runs.get()
            if run.current and run.current.status is Status.FAILED:
                self.failed_stage = run.current.name
                return list(runs.read_log(run, run.current.name, False))
        return []

    def _deploy(self) -> None:
        from mlops_cli.cli.commands.infrastructure.deploy_infra import show_and_deploy

        show_and_deploy(self._context.backend.infra, self._console, False, True, self.costs)
        self.rehearsal.run_costs = self.costs.costs

    def _download(self) -> None:
        from mlops_cli.cli.dataset import download

        download(self._context.backend.data, self._console, self._request)

    def _start(self) -> None:
        from mlops_cli.cli.commands.runs.run import start

        try:
            run, _ = start(self._context.backend.runs, self._console, RunRequest(), self.costs)
        finally:
            self.rehearsal.run_costs = self.costs.costs
        _require_success(run)
        self._run = run

    def _approve(self) -> None:
        from mlops_cli.cli.commands.models.approve import show_and_decide

        assert self._run is not None
        backend = self._context.backend
        run, evidence = show_and_decide(backend, self._console, self._run.id, True, COMMENT, self._yes, self.costs)
        self.warnings += findings.shortfalls(evidence.comment_reasons)
        _require_success(run)
        self._run = run

    def _test(self) -> None:
        from mlops_cli.console import output
        from mlops_cli.monitoring.endpoint_check import check_endpoint

        endpoint = self._context.backend.endpoint
        predictions = check_endpoint(endpoint, list(self._context.use_case.examples))
        output.show_endpoint_check(self._console, predictions)
        gate = endpoint.run_gate()
        self._console.say(f"gate: {gate.outcome}")
        if not gate.has_passed:
            problem = f"The tests of the endpoint: {gate.outcome}."
            raise MlopsError("\n".join([problem, *gate.failures]), "", EXIT_STAGE_FAILED)

    def _clean_up(self) -> None:
        from mlops_cli.cli.commands.infrastructure.cleanup import show_and_remove

        _, remaining = show_and_remove(self._context.backend.infra, self._console, False, False, True, self.costs)
        if remaining.active:
            names = ", ".join(change.resource for change in remaining.active)
            raise MlopsError(f"cleanup left {names}.", "Repeat it: mlops cleanup")


def _require_success(run: Run) -> None:
    if run.status in (Status.FAILED, Status.INTERRUPTED) and run.current:
        raise MlopsError(run.current.reason or f"{run.current.name} failed.", "", EXIT_STAGE_FAILED)
