"""The lifecycle engine's Workbench inside a command step on AWS.

A job is not awaited: the step writes its request, CodePipeline's next action carries it out, and the step of the next
stage takes in what it made (``conclude``). What the next action needs lies in ``out``.
"""

from __future__ import annotations

import json
import sys
import time
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from mlops_cli.backends.aws import deployment, results, retreat
from mlops_cli.backends.aws.appraisal import EVIDENCE, key_of
from mlops_cli.backends.aws.crew import Crew
from mlops_cli.backends.aws.dataset import FACTS
from mlops_cli.backends.aws.decisions import objection
from mlops_cli.backends.aws.orders import LOG_GROUPS, Orders
from mlops_cli.backends.aws.parcel import sent_code
from mlops_cli.backends.aws.registry import REJECTED
from mlops_cli.backends.aws.relay import relay
from mlops_cli.backends.aws.standing import SHORTFALLS
from mlops_cli.backends.base import EndpointState
from mlops_cli.backends.gate import execute_gate, gate_environment, gate_failure, has_passed
from mlops_cli.backends.ingredients import from_use_case, input_digests, no_data
from mlops_cli.backends.local.process import Children
from mlops_cli.config import job_environment_ingredients
from mlops_cli.counted import file_ingredients
from mlops_cli.digest import digest_bytes, digest_file
from mlops_cli.fingerprint import FILE, code_ingredients, digest_of, source_ingredients
from mlops_cli.lifecycle import Outcome, RunView, StageFailed
from mlops_cli.project import Project
from mlops_cli.reads import Reads
from mlops_cli.registry import LAST_GATE
from mlops_cli.runs import CONTINUE, Run, StageRun, Status
from mlops_cli.script_environment import environment_ingredients
from mlops_cli.stages import DATA, Kind, Stage
from mlops_cli.usecase import UseCase

TAIL_LINES = 8
REUSE: dict[str, Any] = {"kind": "reuse", "request": {}}
REFUSED: dict[str, Any] = {"kind": "refused", "request": {}}
ASK_AGAIN = "Ask for a decision: mlops run --from approval"
DEPLOYMENT, TEMPLATE = "endpoint.json", "endpoint.yaml"


class AwsWorkbench:
    def __init__(self, project: Project, use_case: UseCase, crew: Crew, orders: Orders) -> None:
        self.project = project
        self.use_case = use_case
        self.crew = crew
        self.site = crew.site
        self.bucket = crew.bucket
        self.records = crew.records
        self.endpoint = crew.endpoint
        self.orders = orders
        self.out = project.state / "stage"
        self._imports: dict[str, list[str]] = {}
        self.target: retreat.Target | None = None

    def ingredients(self, stage: Stage, run: Run) -> dict[str, str]:
        inputs = input_digests(stage, run, self._dataset()["sha256"] if DATA in stage.inputs else "")
        return {
            **self._code(stage),
            **inputs,
            **from_use_case(stage, run, self.use_case),
            **self._surroundings(stage),
            **self._read_before(stage),
        }

    def _read_before(self, stage: Stage) -> dict[str, str]:
        """How the files are now that the last execution of a gate has read."""
        previous = self.previous(stage) if stage.kind is Kind.GATE else None
        return self._reads().present(previous.ingredients) if previous else {}

    def _reads(self) -> Reads:
        return Reads(self.project.root, self.use_case.files, digest_file)

    def _code(self, stage: Stage) -> dict[str, str]:
        """A gate runs in this very environment, a job in an image that installs the requirements."""
        if stage.kind is Kind.GATE:
            code = code_ingredients(self.project.training / stage.script, self._imports)
            return {**self._others(stage), **code, **job_environment_ingredients(self.use_case.passed)}
        if not stage.script:
            return {}
        sources = source_ingredients(self.project.training / stage.script, self._imports, stage.packs)
        variables = environment_ingredients({}, self.use_case.passed)
        return {"image": self.site.training_image, **self._others(stage), **sources, **variables}

    def _others(self, stage: Stage) -> dict[str, str]:
        """The files that no script imports: all that jobs get, requirements.txt among them."""
        names, training = sent_code(self.project.root), self.project.training
        return file_ingredients(stage, training, names, self.use_case.files, self._imports, digest_file)

    def _surroundings(self, stage: Stage) -> dict[str, str]:
        """What a deployment depends on, and that a gate on the endpoint holds for one deployment only."""
        if stage.kind is Kind.DEPLOY:
            hosting = {
                f"aws.endpoint.{name}": str(value) for name, value in asdict(self.use_case.machines.endpoint).items()
            }
            return {
                "the endpoint": self.site.endpoint,
                "templates/endpoint.yaml": digest_bytes(self._template),
                **hosting,
            }
        return {"the deployment": self.endpoint.live().configuration} if "deploy" in stage.inputs else {}

    @cached_property
    def _template(self) -> bytes:
        """What the endpoint is made from: what `mlops deploy-infra` has sent, not what the repository says."""
        content = self.bucket.get(self.site.endpoint_template.removeprefix(self.bucket.prefix))
        if content is None:
            raise StageFailed("The endpoint's template is not in the bucket.", "Send it again: mlops deploy-infra")
        return content

    def _dataset(self) -> dict[str, Any]:
        facts = self.bucket.get_json(FACTS)
        if facts is None:
            raise no_data(self.use_case)
        return dict(facts)

    def key(self, ingredients: dict[str, str]) -> str:
        return digest_of(ingredients)

    def find(self, stage: Stage, key: str, run: Run) -> StageRun | None:
        own = run.stage(stage.name)
        if own.status.settled and own.key == key and self._usable(stage, own):
            return own
        if stage.kind is Kind.APPROVAL:
            return self.crew.decisions.approval(run.stage("train").output, key)
        found = self.records.finished(stage.name, key)
        usable = found is not None and self._usable(stage, found) and self._reads().are_same(found.ingredients)
        return found if usable else None

    def _usable(self, stage: Stage, record: StageRun) -> bool:
        if stage.kind is Kind.DEPLOY:
            status = self.endpoint.status("")
            serves = (status.state, status.live_digest) == (EndpointState.IN_SERVICE, record.output)
            return serves and self.endpoint.live().sample == self.use_case.sample
        items = self.bucket.items(record.artifact) if record.artifact else iter(())
        return not record.artifact or results.fingerprint(items) == record.detail["files"]

    def previous(self, stage: Stage) -> StageRun | None:
        return self.records.latest(stage.name)

    def save(self, run: Run) -> None:
        self.records.save(run)

    def execute(self, stage: Stage, run: Run, view: RunView) -> Outcome:  # noqa: ARG002 (the build's log shows it)
        if stage.kind is Kind.APPROVAL:
            return self._ask(run)
        if stage.kind is Kind.DEPLOY:
            package = run.stage("approval").detail["package"]
            self.crew.registry.require_kept(package, run.stage("approval").output)
            self.crew.registry.require_approved(package)
            return Outcome(run.stage("approval").output, status=Status.RUNNING)
        return self._gate(stage, run) if stage.kind is Kind.GATE else self._order(stage, run)

    def _order(self, stage: Stage, run: Run) -> Outcome:
        prepared = self.orders.prepare(stage, run)
        self.hand_over("request.json", prepared.document)
        run.stage(stage.name).log = f"{LOG_GROUPS[stage.kind]}:{prepared.name}"
        detail = {
            "job": prepared.name,
            "machine": asdict(prepared.machine),
            "requirements": self.orders.requirements(),
        }
        return Outcome("", prepared.artifact, detail, Status.RUNNING)

    def _ask(self, run: Run) -> Outcome:
        """Put the model where it stays for good, as one that waits for a decision."""
        trained = run.stage("train")
        data_digest = run.stage("preprocess").ingredients.get("the data", "")
        self.crew.registry.keep(trained.artifact + results.MODEL, trained.output)
        package = self.crew.registry.register(trained.output, run.id, data_digest, key_of(run.id, EVIDENCE))
        return Outcome(trained.output, detail={"package": package}, status=Status.WAITING)

    def _gate(self, stage: Stage, run: Run) -> Outcome:
        report, tail = self.project.state / f"{stage.name}.json", deque[str](maxlen=TAIL_LINES)
        training, children = self.project.training, Children(self.project.state / "children")
        notes, started = self.project.state / f"{stage.name}.reads", time.time_ns()
        notes.unlink(missing_ok=True)
        with self._gate_variables(stage, run) as given:
            variables = {**given, "MLOPS_READS": str(notes.resolve())}
            environment = gate_environment(training, variables, self.use_case.passed)
            detail = execute_gate(stage, training, environment, children, report, sys.stderr.buffer, tail.append)
        if has_passed(detail):
            read = self._reads().ingredients(notes, started, run.stage(stage.name).ingredients)
            # The next step runs on another machine, with nothing in common but the project.
            inside = {name: value for name, value in read.items() if not name.startswith(f"{FILE}/")}
            return Outcome(run.stage(stage.name).key, detail=detail, read=inside)
        log = f"mlops logs {run.id} --stage {stage.name}"
        raise StageFailed(gate_failure(stage, detail, list(tail), log), CONTINUE, detail)

    @contextmanager
    def _gate_variables(self, stage: Stage, run: Run) -> Iterator[dict[str, str]]:
        if "deploy" not in stage.inputs:
            source = run.stage(stage.inputs[0])
            folder = results.download(self.bucket, source.artifact, self._folder(source))
            yield {"MLOPS_DATA_DIR": str(folder)}
            return
        with relay(self.endpoint.ask, self.endpoint.live().digest) as url:
            yield {"MLOPS_ENDPOINT_URL": url, "MLOPS_MODEL_DIGEST": run.stage("deploy").output}

    def _folder(self, record: StageRun) -> Path:
        return self.project.artifacts / record.name / record.artifact.rstrip("/").rpartition("/")[2]

    def hand_over(self, name: str, document: Mapping[str, Any]) -> None:
        """Leave a file for the next action of this stage."""
        self.out.mkdir(parents=True, exist_ok=True)
        (self.out / name).write_text(json.dumps(document, indent=2, sort_keys=True) + "\n", encoding="utf-8")

    def hand_over_rest(self, stage: Stage, run: Run) -> None:
        """What the next action needs whether the stage was executed or not."""
        record = run.stage(stage.name)
        if stage.kind in LOG_GROUPS and record.status.settled:
            self.hand_over("request.json", REUSE)
        if stage.kind is Kind.APPROVAL:
            evidence = self.crew.appraisal(self.use_case).publish(run)
            if record.status is Status.WAITING:  # one that was decided about stays as it was asked
                record.detail = {**record.detail, SHORTFALLS: evidence.shortfalls}
        if stage.kind is Kind.DEPLOY:
            self._hand_over_deployment(run)
        self.hand_over("stage.json", asdict(record))

    def _hand_over_deployment(self, run: Run) -> None:
        """Kept, so that the stage after it can name the very same one; with the decision on record, in the report."""
        approval = run.stage("approval")
        configuration = self._configuration(run, approval.detail["package"], approval.output)
        self.bucket.put_json(key_of(run.id, DEPLOYMENT), configuration)
        self._hand_over_endpoint(configuration)
        self.crew.appraisal(self.use_case).publish_decision(replace(run, decision=self.crew.decisions.of(run)))

    def hand_over_verdict(self, run: Run) -> None:
        """What is to be live now, and whether the stage has failed: a deployment without changes takes no time."""
        target, deployed = self.target, self.bucket.get_json(key_of(run.id, DEPLOYMENT))
        self._hand_over_endpoint(self._configuration(run, target.package, target.digest) if target else deployed)
        self.hand_over("request.json", REFUSED if run.stage(LAST_GATE).status is Status.FAILED else REUSE)

    def _hand_over_endpoint(self, configuration: Mapping[str, Any]) -> None:
        self.hand_over(DEPLOYMENT, configuration)
        (self.out / TEMPLATE).write_bytes(self._template)

    def go_back(self, run: Run) -> bool:
        """Prepare the way back to the model before; False when there is none, or nothing to come back from."""
        self.target = retreat.begin(run, self.crew)
        return self.target is not None

    def _configuration(self, run: Run, package: str, digest: str) -> dict[str, dict[str, str]]:
        """An endpoint that has failed takes the same content only under another name."""
        machines, sample = self.use_case.machines.endpoint, self.use_case.sample
        given = deployment.parameters(self.site, machines, package, digest, sample)
        salt = run.id if self.endpoint.status("").state is EndpointState.FAILED else ""
        return deployment.configuration(self._template, given, self.crew.names.tags, salt)

    def conclude(self, stage: Stage, run: Run) -> None:
        """Take in what the actions after a stage's command step have made of it; StageFailed if it is not right."""
        record = run.stage(stage.name)
        if stage.kind is Kind.APPROVAL:
            outcome = self._decided(stage, run)
        else:
            outcome = self._deployed(run) if stage.kind is Kind.DEPLOY else self._made(stage, run)
        record.output, record.detail = outcome.output, {**record.detail, **outcome.detail}
        record.status = Status.DONE

    def _made(self, stage: Stage, run: Run) -> Outcome:
        record = run.stage(stage.name)
        outcome = results.outcome(stage, self.bucket, record.artifact, self._folder(record))
        if DATA not in stage.inputs:
            return outcome
        dataset = self._dataset()
        if dataset["sha256"] != record.ingredients["the data"]:
            raise StageFailed("The data was replaced while it was being prepared.", "Prepare it again: mlops run")
        facts = {name: dataset[name] for name in ("source", "rows", "synthetic")}
        return replace(outcome, detail={**outcome.detail, "dataset": facts})

    def _decided(self, stage: Stage, run: Run) -> Outcome:
        """Whoever approved this model in the run, here or in the AWS console, has approved its model package."""
        record, said = run.stage(stage.name), self.crew.decisions.of(run)
        if said is None or not said.approved:
            raise StageFailed("Nobody has approved the model of this run.", f"mlops approve --run-id {run.id}")
        if problem := objection(said, record):
            raise StageFailed(f"The approval {said.by} does not count: {problem}.", ASK_AGAIN)
        package = record.detail["package"]
        if said.forwarded_from:
            self.crew.decisions.require_origin(said)
        if (said.forwarded_from or said.is_rollback) and self.crew.registry.status(package) == REJECTED:
            raise StageFailed(f"The model {record.output[:12]} was rejected after it had been approved.", ASK_AGAIN)
        self.crew.registry.require_kept(package, record.output)
        run.decision = said
        self.crew.registry.decide(package, True, said.by)
        return Outcome(record.output)

    def _deployed(self, run: Run) -> Outcome:
        """What is live is what was approved, or the stage has failed after all."""
        approved, status = run.stage("approval").output, self.endpoint.status("")
        if (status.state, status.live_digest) != (EndpointState.IN_SERVICE, approved):
            raise StageFailed(
                f"The endpoint {status.name} is {status.state.value} and serves "
                f"{status.live_digest[:12] or 'nothing'}; approved is {approved[:12]}. {status.reason}".rstrip(),
                "Deploy again: mlops run --from deploy",
            )
        return Outcome(approved, detail={"endpoint": status.name, "url": status.url, "since": status.since})
