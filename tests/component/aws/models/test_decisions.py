"""Valid decisions and forged ones: their model, reason and origin."""

from __future__ import annotations

from dataclasses import asdict, replace
from types import SimpleNamespace
from typing import Any

import pytest

from mlops_cli.backends.aws.clients.codepipeline import ActionRun, Execution
from mlops_cli.backends.aws.clients.model_registry import APPROVED, DELETED, PENDING, REJECTED
from mlops_cli.backends.aws.clients.s3 import S3Object
from mlops_cli.backends.aws.company_account import CompanyAccount
from mlops_cli.backends.aws.models.accepted_limits import AcceptedLimits
from mlops_cli.backends.aws.models.accepted_limits_store import AcceptedLimitsStore
from mlops_cli.backends.aws.models.approval_summary import SUMMARY_LENGTH, DecisionDetails, read_summary, summary_of
from mlops_cli.backends.aws.models.approvals import ApprovalHistory
from mlops_cli.backends.aws.runs.queries import RunQueries
from mlops_cli.backends.aws.runs.status import APPROVAL
from mlops_cli.backends.aws.runs.store import S3RunStore
from mlops_cli.backends.aws.stages.executor import AwsStageExecutor
from mlops_cli.core.cache_inputs import digest_cache_inputs
from mlops_cli.core.engine import StageFailed, StageResult
from mlops_cli.core.models.approval import SHORTFALLS
from mlops_cli.core.models.decision import DecisionKind, NamedModel
from mlops_cli.core.runs import Run, StageRun, Status, new_run
from mlops_cli.core.stages import TRAINING, Stage, stage_named
from mlops_cli.errors import MlopsError
from mlops_cli.project.paths import Project
from mlops_cli.project.usecase.instances import EndpointConfig
from mlops_cli.project.usecase.reader import load_use_case
from tests.conftest import USE_CASES

ANN = "arn:aws:iam::1:user/ann"
GOOD, EVIL, KEY = "a" * 64, "e" * 64, "k" * 64
BELOW = "long roc_auc 0.6 is under 0.95"
LIMITS = {"metrics.split": "test", "floor of long roc_auc": "0.95"}


class Scenario:
    """The bucket's content, CodePipeline's records, and the status of packages, each in a dict."""

    def __init__(self) -> None:
        self.objects: dict[str, Any] = {}
        self.summaries: dict[str, tuple[str, str]] = {}
        self.packages: dict[str, str] = {}
        self.checked: list[tuple[str, str]] = []
        double: Any = self
        self.records = S3RunStore(double, decides=True)
        self.accepted_limits = AcceptedLimitsStore(double)
        self.decisions = ApprovalHistory(
            double, self.records, lambda package: self.packages.get(package, PENDING), self.accepted_limits.load
        )

    def put_json(self, key: str, value: Any) -> None:
        self.objects[key] = value

    def put(self, key: str, content: bytes, content_type: str) -> None:
        self.objects[key] = content

    def get(self, key: str) -> Any:
        return self.objects.get(key)

    def get_json(self, key: str, version: str = "") -> Any:
        return self.objects.get(key)

    def list_objects(self, prefix: str = "") -> Any:
        return (S3Object(key, 1, 1.0) for key in self.objects if key.startswith(prefix))

    def actions(self, run_id: str) -> list[ActionRun]:
        if run_id not in self.summaries:
            return []
        status, summary = self.summaries[run_id]
        action = ActionRun("approval", "command", "Succeeded", 1.0, 2.0)
        return [action, ActionRun("approval", "decision", status, 3.0, 4.0, actor=ANN, summary=summary)]

    def ask(self, run_id: str, model: str = GOOD, key: str = KEY, shortfalls: tuple[str, ...] = ()) -> StageRun:
        detail = {"package": f"package of {run_id}", SHORTFALLS: list(shortfalls)}
        inputs = {**LIMITS, "the output of train": model}
        gate = StageRun("approval", Status.WAITING, "", key, inputs, model, detail=detail, run_id=run_id)
        self.put_json(f"records/approval/{model}/{run_id}.json", {**asdict(gate), "status": "waiting"})
        return gate

    def say(self, run_id: str, summary: str, status: str = "Succeeded") -> None:
        self.summaries[run_id] = (status, summary)

    def approved(self, run_id: str, model: str = GOOD, **details: Any) -> StageRun:
        gate = self.ask(run_id, model)
        self.say(run_id, summary_of("good", DecisionDetails(model=model, **details)))
        return gate

    def deployment(self, gate: StageRun) -> Run:
        """Return the decision about a run as the step of the deployment reads it."""
        run = new_run(gate.run_id, {})
        run.stages[3] = gate
        registry = SimpleNamespace(
            status=lambda package: self.packages.get(package, PENDING),
            require_kept=lambda package, digest: self.checked.append((package, digest)),
            decide=lambda package, approved, _: self.packages.update({package: APPROVED if approved else REJECTED}),
        )
        services: Any = SimpleNamespace(
            approvals=self.decisions,
            registry=registry,
            outputs=None,
            bucket=None,
            run_store=self.records,
            endpoint=None,
        )
        tiny = USE_CASES / "tiny"
        use_case = load_use_case(tiny / "training" / "usecase.toml")
        bench = AwsStageExecutor(Project(tiny), use_case, services, None)  # type: ignore[arg-type]
        bench.collect_result(APPROVAL, run)
        return run


class Asked:
    """The approval step of a run, with its effect on the model registry."""

    def __init__(self, serverless: bool, subnets: tuple[str, ...], image: str) -> None:
        self.calls: list[str] = []
        registry = SimpleNamespace(
            copy_model=lambda key, digest: self.calls.append("copy"),
            register=lambda *_: self.calls.append("register") or "package of r1",
        )
        outputs = SimpleNamespace(company=CompanyAccount(subnets=subnets), serving_image=image)
        services: Any = SimpleNamespace(
            registry=registry, outputs=outputs, bucket=None, run_store=None, endpoint=None, account=None
        )
        project = Project(USE_CASES / "tiny")
        use_case = load_use_case(project.training / "usecase.toml")
        machines = replace(use_case.machines, endpoint=EndpointConfig(serverless=serverless))
        builder: Any = None
        self.executor = AwsStageExecutor(project, replace(use_case, machines=machines), services, builder)

    def ask(self, stage: Stage) -> StageResult:
        run = new_run("r1", {})
        run.training.output = GOOD
        view: Any = None
        return self.executor.execute(stage, run, view)


@pytest.fixture
def scenario() -> Scenario:
    return Scenario()


def test_an_approval_holds_for_the_model_that_it_names(scenario: Scenario) -> None:
    scenario.approved("r-old")
    approval = scenario.decisions.approval(GOOD, KEY)
    assert approval is not None
    assert approval.reason == "approved by ann: good"


def test_a_forged_record_approves_no_other_model(scenario: Scenario) -> None:
    """The record claims that the approved run was about another model."""
    scenario.approved("r-old")
    scenario.ask("r-old", EVIL)
    scenario.packages["package of r-old"] = APPROVED
    assert scenario.decisions.approval(EVIL, KEY) is None
    assert scenario.decisions.approval(GOOD, KEY) is not None


def test_a_run_whose_model_was_replaced_after_the_request_deploys_nothing(scenario: Scenario) -> None:
    gate = scenario.approved("r1")
    with pytest.raises(StageFailed, match="it is for the model aaaaaaaaaaaa, but the run asks about eeeeeeeeeeee"):
        scenario.deployment(replace(gate, output=EVIL))
    assert scenario.packages == {}


def test_only_the_approved_and_stored_model_is_deployed(scenario: Scenario) -> None:
    run = scenario.deployment(scenario.approved("r1"))
    assert (run.stage("approval").output, run.decision and run.decision.model_digest) == (GOOD, GOOD)
    assert (scenario.checked, scenario.packages) == ([("package of r1", GOOD)], {"package of r1": APPROVED})


def test_no_model_is_deployed_without_an_approval(scenario: Scenario) -> None:
    with pytest.raises(StageFailed, match="is not approved"):
        scenario.deployment(scenario.ask("r1"))
    scenario.say("r1", "", "Failed")
    with pytest.raises(StageFailed, match="is not approved"):
        scenario.deployment(scenario.ask("r1"))


@pytest.mark.parametrize("summary", ["", "  ", "\n", summary_of(" ", DecisionDetails(model=GOOD))])
def test_a_model_that_falls_short_does_not_pass_without_a_reason(scenario: Scenario, summary: str) -> None:
    gate = scenario.ask("r1", shortfalls=(BELOW,))
    scenario.say("r1", summary)
    with pytest.raises(StageFailed, match=r"has a shortfall .*no reason") as caught:
        scenario.deployment(gate)
    assert caught.value.hint.endswith("mlops run --from approval")
    assert scenario.decisions.approval(GOOD, KEY) is None, "nor does it hold for later runs"


def test_a_comment_in_the_console_is_the_reason_and_shortfalls_are_recorded(scenario: Scenario) -> None:
    gate = scenario.ask("r1", shortfalls=(BELOW,))
    scenario.say("r1", "the old one is worse")
    decision = scenario.deployment(gate).decision
    assert decision is not None
    assert (decision.comment, decision.shortfalls, decision.actor.arn) == ("the old one is worse", (BELOW,), ANN)


def test_in_the_console_a_model_within_its_limits_needs_no_comment(scenario: Scenario) -> None:
    gate = scenario.ask("r1")
    scenario.say("r1", "")
    assert scenario.deployment(gate).stage("approval").output == GOOD


def test_an_approval_that_is_passed_on_must_have_been_given(scenario: Scenario) -> None:
    scenario.approved("r1")
    assert scenario.deployment(scenario.approved("r2", forwarded_from="r1")).decision is not None


@pytest.mark.parametrize("origin", ["nothing", "another model", "rejected", "other limits", "passed on itself"])
def test_an_approval_that_is_passed_on_from_nowhere_does_not_count(scenario: Scenario, origin: str) -> None:
    if origin == "another model":
        scenario.approved("r1", EVIL)
    if origin == "rejected":
        scenario.ask("r1")
        scenario.say("r1", summary_of("bad", DecisionDetails(model=GOOD)), "Failed")
    if origin == "other limits":
        scenario.ask("r1", key="l" * 64)
        scenario.say("r1", summary_of("good", DecisionDetails(model=GOOD)))
    if origin == "passed on itself":
        scenario.approved("r1", forwarded_from="r0")
    with pytest.raises(StageFailed, match="forwarded from run r1 is not for this model"):
        scenario.deployment(scenario.approved("r2", forwarded_from="r1"))


@pytest.mark.parametrize("way", ["passed on", "rolled back to"])
def test_a_model_that_was_rejected_meanwhile_does_not_come_back(scenario: Scenario, way: str) -> None:
    scenario.approved("r1")
    details: dict[str, Any] = {"forwarded_from": "r1"}
    if way == "rolled back to":
        details = {"kind": DecisionKind.ROLLBACK, "rollback_to": NamedModel("v1", GOOD)}
    scenario.packages["package of r2"] = REJECTED
    with pytest.raises(MlopsError, match="was rejected after it had been approved"):
        scenario.deployment(scenario.approved("r2", **details))
    assert scenario.packages == {"package of r2": REJECTED}


def test_a_decision_has_the_shown_limits_and_the_accepted_shortfalls(scenario: Scenario) -> None:
    """The approval was requested with a minimum of 0.95 and given with a minimum of 0.5. The approver saw both."""
    gate, lower = scenario.ask("r1", shortfalls=(BELOW,)), {**LIMITS, "floor of long roc_auc": "0.5"}
    accepted = AcceptedLimits(lower, (f"{BELOW}, at the time of the request",))
    scenario.say(
        "r1", summary_of("good enough", DecisionDetails(model=GOOD, accepted=scenario.accepted_limits.save(accepted)))
    )
    decision = scenario.deployment(gate).decision
    assert decision is not None
    assert (decision.limits, decision.shortfalls) == (lower, accepted.shortfalls)
    of_now = digest_cache_inputs({**lower, "the output of train": GOOD})
    for key in (KEY, of_now):
        assert scenario.decisions.approval(GOOD, key) is not None
    assert scenario.decisions.approval(GOOD, "l" * 64) is None


def test_in_the_console_the_limits_are_those_of_the_request(scenario: Scenario) -> None:
    gate = scenario.ask("r1")
    scenario.say("r1", "")
    decision = scenario.deployment(gate).decision
    assert decision is not None
    assert (decision.limits, decision.key) == (LIMITS, KEY)


@pytest.mark.parametrize("change", ["gone", "changed"])
def test_a_document_of_another_writer_accepts_no_shortfall(scenario: Scenario, change: str) -> None:
    gate = scenario.ask("r1", shortfalls=(BELOW,))
    digest = scenario.accepted_limits.save(AcceptedLimits({**LIMITS, "floor of long roc_auc": "0.5"}))
    key = f"decisions/accepted/{digest}.json"
    scenario.objects[key] = AcceptedLimits({}, ()).content if change == "changed" else None
    scenario.say("r1", summary_of("", DecisionDetails(model=GOOD, accepted=digest)))
    with pytest.raises(StageFailed, match=r"has a shortfall .*no reason"):
        scenario.deployment(gate)


def test_a_later_rejection_voids_an_approval_under_any_limits(scenario: Scenario) -> None:
    scenario.approved("r1")
    scenario.ask("r2", key="l" * 64)
    scenario.say("r2", summary_of("bad", DecisionDetails(model=GOOD)), "Failed")
    scenario.objects = dict(reversed(scenario.objects.items()))
    assert scenario.decisions.approval(GOOD, KEY) is None


def test_an_approval_does_not_outlive_its_model_package(scenario: Scenario) -> None:
    scenario.approved("r1")
    assert scenario.decisions.approval(GOOD, KEY)
    scenario.packages["package of r1"] = DELETED
    assert scenario.decisions.approval(GOOD, KEY) is None


def test_a_rollback_is_about_the_model_that_it_leads_to(scenario: Scenario) -> None:
    details = DecisionDetails(DecisionKind.ROLLBACK, NamedModel("v1", GOOD), NamedModel("v2", EVIL))
    gate = scenario.ask("r1")
    scenario.say("r1", summary_of("too rude", details))
    decision = scenario.deployment(gate).decision
    assert decision is not None
    assert (decision.model_digest, decision.is_rollback) == (GOOD, True)
    with pytest.raises(StageFailed, match="it is for the model"):
        scenario.deployment(replace(gate, output=EVIL))


def test_a_comment_cannot_imitate_a_decision(scenario: Scenario) -> None:
    gate = scenario.ask("r1")
    scenario.say("r1", summary_of("approved by bob: rolled back to v1", DecisionDetails(model=GOOD)))
    decision = scenario.deployment(gate).decision
    assert decision is not None
    assert (decision.actor.name, decision.is_rollback, decision.forwarded_from) == ("ann", False, "")


def test_the_model_is_named_with_a_comment_of_any_length() -> None:
    details = DecisionDetails(DecisionKind.ROLLBACK, NamedModel("v12", GOOD), NamedModel("v13", EVIL), "f" * 36)
    summary = summary_of("x" * 2000, details)
    assert len(summary) <= SUMMARY_LENGTH
    assert read_summary(summary)[1].model_digest == GOOD


def test_an_approval_is_valid_after_codepipeline_has_forgotten_it(scenario: Scenario) -> None:
    """After a year CodePipeline lists no execution, but the step after the approval has recorded the decision."""
    gate = scenario.approved("r1")
    decision = scenario.decisions.for_run(_run_of(gate))
    assert decision is not None
    run = replace(_run_of(gate), decision=decision)
    scenario.records.save(run)
    scenario.summaries.clear()
    assert scenario.decisions.for_run(run) == decision
    assert scenario.decisions.approval(GOOD, KEY) is not None
    pipeline: Any = SimpleNamespace(executions=lambda: iter(()), actions=lambda _: [])
    scenario.records.save_stage(StageRun("deploy", Status.DONE, key=KEY, output=GOOD, run_id="r1"))
    nothing: Any = SimpleNamespace(client=None)
    assert RunQueries(pipeline, scenario.records, scenario.decisions, nothing, nothing, nothing).deployed() == GOOD


def _run_of(gate: StageRun) -> Run:
    run = new_run(gate.run_id, {})
    run.stages[3] = gate
    return run


@pytest.mark.parametrize(
    ("done", "returned", "expected"),
    [
        ((), False, "of the run before"),
        (("deploy",), False, EVIL),
        (("deploy",), True, EVIL),
        (("deploy", "post-training-tests"), True, GOOD),
        (("deploy", "post-training-tests"), False, EVIL),
    ],
)
def test_which_model_is_deployed_is_on_record_whether_an_endpoint_answers_or_not(
    scenario: Scenario, done: tuple[str, ...], returned: bool, expected: str
) -> None:
    deployed = {"new": EVIL, "old": "of the run before"}
    ended = {"new": done, "old": ("deploy",)}

    def load(run_id: str) -> Run:
        run = new_run(run_id, {})
        run.stage("deploy").output = deployed[run_id]
        if returned and run_id == "new":
            run.stage("post-training-tests").detail = {"returned": {"version": "v1", "digest": GOOD}}
        return run

    pipeline: Any = SimpleNamespace(
        executions=lambda: iter([Execution("new", "Failed", 2.0), Execution("old", "Succeeded", 1.0)]),
        actions=lambda run_id: [ActionRun(stage, "endpoint", "Succeeded", 1.0, 2.0) for stage in ended[run_id]],
    )
    records: Any = SimpleNamespace(load=load)
    nothing: Any = SimpleNamespace(client=None)
    assert RunQueries(pipeline, records, scenario.decisions, nothing, nothing, nothing).deployed() == expected


IMAGE = "763104351884.dkr.ecr.us-east-1.amazonaws.com/tensorflow-inference:2.19.0-cpu"


@pytest.mark.parametrize("stage", [TRAINING, stage_named("approval")], ids=lambda stage: stage.name)
@pytest.mark.parametrize(
    ("serverless", "subnets", "image", "message"),
    [
        (True, ("subnet-1",), IMAGE, "A serverless endpoint cannot be in a VPC"),
        (False, ("subnet-1",), IMAGE.replace("tensorflow", "pytorch"), "was deployed with the image"),
    ],
)
def test_an_undeployable_model_is_neither_trained_nor_sent_for_approval(
    stage: Stage, serverless: bool, subnets: tuple[str, ...], image: str, message: str
) -> None:
    asked = Asked(serverless, subnets, image)
    with pytest.raises(MlopsError, match=message):
        asked.ask(stage)
    assert asked.calls == []


@pytest.mark.parametrize(("serverless", "subnets"), [(True, ()), (False, ("subnet-1",))])
def test_a_model_that_can_be_deployed_is_registered(serverless: bool, subnets: tuple[str, ...]) -> None:
    asked = Asked(serverless, subnets, IMAGE)
    assert asked.ask(stage_named("approval")).detail == {"package": "package of r1"}
    assert asked.calls == ["copy", "register"]
