"""Model versions: every trained model with its origin, its decision, and the times when it was live.

They are computed from the recorded runs and decisions; nothing else is stored. No IO.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mlops_cli.core.cache_inputs import THE_DATA, code_files, digest_cache_inputs
from mlops_cli.core.models.decision import Decision, NamedModel
from mlops_cli.core.runs import Run, StageRun, Status, has_all_before
from mlops_cli.core.stages import DEPLOYMENT, ENDPOINT_GATE
from mlops_cli.errors import ConfigurationError, MlopsError

# A key in the detail of a failed gate: version and digest of the model that its own stage has restored.
ROLLED_BACK_TO = "returned"
# Another one: the gate's requests did not reach the model, so that its failure is no reason for a rollback.
UNTESTED = "untested"
# A key in the detail of a refused deployment of a rollback: the digest of the model that was deployed since its start.
OVERTAKEN = "overtaken"


@dataclass(frozen=True)
class Interval:
    """A time span in which a model was live, in seconds since the epoch. ``until``: None if it is still live."""

    since: float
    until: float | None


@dataclass(frozen=True)
class ModelVersion:
    """``version``: counts from 1 in the order of training. ``decision``: the last one about this model.

    ``failed_in``: the run in which the gate on the endpoint failed after the model's last deployment.
    """

    version: int
    digest: str
    run_id: str
    trained_at: float
    data_digest: str
    code_digest: str
    hyperparameters: Mapping[str, str]
    metrics: Mapping[str, Any]
    decision: Decision | None
    live: tuple[Interval, ...]
    failed_in: str = ""

    @property
    def approved(self) -> bool:
        return self.decision is not None and self.decision.approved

    @property
    def is_deployed(self) -> bool:
        """True for the model that the endpoint should serve by the run store, even if its process has died."""
        return bool(self.live) and self.live[-1].until is None

    @property
    def objection(self) -> str:
        """The reason why the model should not be live; "" for an approved model that has failed no gate."""
        if self.decision is None:
            return "was never approved"
        if not self.decision.approved:
            return f"was rejected {self.decision.by}"
        return f"has failed the gate {ENDPOINT_GATE.name} in run {self.failed_in}" if self.failed_in else ""

    @property
    def name(self) -> str:
        return f"v{self.version}"

    @property
    def named(self) -> NamedModel:
        return NamedModel(self.name, self.digest)


def versions_of(runs: Sequence[Run], decisions: Iterable[Decision], served: str = "") -> list[ModelVersion]:
    """Return the models that the runs have trained, the newest first. ``decisions``: the newest first.

    ``served``: the digest by the endpoint, if it answers. A deployment whose command was killed may have completed.
    """
    oldest_first = sorted(runs, key=lambda run: run.created_at)
    last_decisions = {decision.model_digest: decision for decision in reversed(list(decisions))}
    intervals = _intervals(oldest_first, served)
    trained: dict[str, tuple[Run, StageRun]] = {}
    for run in oldest_first:
        stage = run.training
        if stage.status is Status.DONE and stage.output:
            trained.setdefault(stage.output, (run, stage))
    return [
        _version(number, run, stage, last_decisions.get(digest), intervals.get(digest, ()), oldest_first)
        for number, (digest, (run, stage)) in enumerate(trained.items(), 1)
    ][::-1]


def _version(
    number: int,
    run: Run,
    stage: StageRun,
    decision: Decision | None,
    live: Sequence[Interval],
    runs: Sequence[Run],
) -> ModelVersion:
    return ModelVersion(
        version=number,
        digest=stage.output,
        run_id=run.id,
        trained_at=stage.finished_at or run.created_at,
        data_digest=run.preparation.cache_inputs.get(THE_DATA, ""),
        code_digest=digest_cache_inputs(code_files(stage.cache_inputs)),
        hyperparameters={name: value for name, value in stage.cache_inputs.items() if _is_hyperparameter(name)},
        metrics=stage.detail.get("metrics", {}),
        decision=decision,
        live=tuple(live),
        failed_in=_failed_in(stage.output, live[-1].since, runs) if live else "",
    )


def _failed_in(digest: str, since: float, runs: Sequence[Run]) -> str:
    """Return the run in which the model's last gate has failed since then; "" if the last gate has passed."""
    tested = [
        (gate.finished_at, run.id, gate.status)
        for run in runs
        for gate in (run.endpoint_gate,)
        if run.deployment.output == digest
        and gate.finished_at is not None
        and gate.finished_at >= since
        and gate.status in (Status.DONE, Status.REUSED, Status.FAILED)
    ]
    _, run_id, status = max(tested, default=(0.0, "", Status.DONE))
    return run_id if status is Status.FAILED else ""


def _is_hyperparameter(name: str) -> bool:
    return re.fullmatch(r"[\w-]+", name) is not None and name != "interpreter"


def _intervals(runs: Sequence[Run], served: str) -> dict[str, list[Interval]]:
    """Return the intervals of each live model: from its deployment or rollback to the next model's."""
    deployed = sorted(change for run in runs for change in _deployments(run, served))
    intervals: dict[str, list[Interval]] = {}
    changes = [change for number, change in enumerate(deployed) if not number or deployed[number - 1][1] != change[1]]
    for number, (since, digest) in enumerate(changes):
        until = changes[number + 1][0] if number + 1 < len(changes) else None
        intervals.setdefault(digest, []).append(Interval(since, until))
    return intervals


def _deployments(run: Run, served: str) -> Iterator[tuple[float, str]]:
    """Yield the deployments of a run: its own model's, and that of an automatic rollback."""
    stage, gate = run.deployment, run.endpoint_gate
    if stage.status.has_output and stage.finished_at:
        yield stage.finished_at, stage.output
    elif not stage.status.has_output and stage.started_at and served and run.approval.output == served:
        yield stage.started_at, served
    if ROLLED_BACK_TO in gate.detail and gate.finished_at:
        yield gate.finished_at, gate.detail[ROLLED_BACK_TO]["digest"]


def find_version(versions: Sequence[ModelVersion], name: str) -> ModelVersion:
    """Return the version with this number (``3`` or ``v3``), or with a digest that begins with this prefix."""
    number = re.fullmatch(r"v?([0-9]{1,6})", name)
    if number:
        matches = [version for version in versions if version.version == int(number[1])]
    else:
        matches = [version for version in versions if len(name) >= 4 and version.digest.startswith(name)]
    if len(matches) != 1:
        problem = "is ambiguous" if matches else "does not exist"
        raise ConfigurationError(f"The model version {name!r} {problem}.", "List the versions: mlops models")
    return matches[0]


def deployed_version(versions: Sequence[ModelVersion]) -> ModelVersion | None:
    """Return the deployed model, even if the endpoint does not answer; None before the first deployment."""
    return next((version for version in versions if version.is_deployed), None)


def earlier_version(versions: Sequence[ModelVersion], deployed_digest: str) -> ModelVersion | None:
    """Return the approved model that was live before the deployed one; None if there is none."""
    return next(iter(previously_live(versions, deployed_digest)), None)


def previously_live(versions: Sequence[ModelVersion], deployed_digest: str) -> list[ModelVersion]:
    """Return the models that were live before and may be live again, the last one first."""
    served = [
        version for version in versions if version.live and not version.objection and version.digest != deployed_digest
    ]
    return sorted(served, key=lambda version: version.live[-1].since, reverse=True)


def rollback_target(versions: Sequence[ModelVersion], deployed_digest: str, name: str = "") -> ModelVersion:
    """Return the version for a rollback. Raise MlopsError with the reason if there is none."""
    if not name:
        earlier = earlier_version(versions, deployed_digest)
        if earlier is None:
            raise MlopsError("There is no earlier approved model to roll back to.", "List the versions: mlops models")
        return earlier
    version = find_version(versions, name)
    if version.digest == deployed_digest:
        raise MlopsError(
            f"{version.name} is deployed already.",
            "List the versions: mlops models. If the endpoint does not answer: mlops run --from deploy",
        )
    if not version.approved:
        decision = version.decision
        state = f"was rejected by {decision.actor.name}" if decision else "was never approved"
        way_out = "List the versions: mlops models" if decision else f"mlops approve {version.run_id}"
        raise MlopsError(f"{version.name} {state}: only an approved model is deployed.", way_out)
    return version


def named_model(versions: Sequence[ModelVersion], digest: str) -> NamedModel | None:
    """Return the version with this digest. It has no number if no recorded run has trained it."""
    version = next((candidate.name for candidate in versions if candidate.digest == digest), digest[:12])
    return NamedModel(version, digest) if digest else None


def rollback_message(version: str, digest: str) -> str:
    """Return the message of an automatic rollback."""
    return f"Rolled back: the endpoint serves the approved {version} ({digest[:12]}) again."


def needs_rollback(run: Run) -> bool:
    """True if the run has deployed a model that then failed its gate. A rollback is not rolled back itself."""
    gate = run.endpoint_gate
    failed = gate.status is Status.FAILED and not gate.detail.get(UNTESTED)
    return failed and run.deployment.status is Status.DONE and not run.is_rollback


def approved_run(runs: Sequence[Run], digest: str) -> Run:
    """Return the newest run that can deploy the model again. ``runs``: the newest first."""
    for run in runs:
        if has_all_before(DEPLOYMENT.name, run) and run.approval.output == digest:
            return run
    raise MlopsError(f"No run contains the approved model {digest[:12]}.", "Train it again: mlops run")
