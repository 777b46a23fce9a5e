"""One command step of the pipeline: what came before is taken in, the stage is settled, the rest is handed over.

The steps in ``DECIDING`` run no code of the repository, under a role of their own: what they find written by the other
steps is a claim, which they check against what only they, CodePipeline and the model registry can say.
"""

from __future__ import annotations

import time
from collections.abc import Mapping

from mlops_cli.backends.aws.logs import build_log
from mlops_cli.backends.aws.records import Records
from mlops_cli.backends.aws.standing import ROLLBACK
from mlops_cli.backends.aws.variables import NO, NO_STAGE, decoded, encoded, start_of
from mlops_cli.backends.aws.workbench import AwsWorkbench
from mlops_cli.lifecycle import RunView, StageFailed, settle
from mlops_cli.registry import FIRST_STAGE, LAST_GATE, RETURNED
from mlops_cli.runs import Run, Status, copy_before, has_all_before, new_run, nothing_before
from mlops_cli.stages import STAGES, Kind, Stage, position, stage_named

DECIDING = ("approval", FIRST_STAGE, ROLLBACK)


def take_step(name: str, run_id: str, bench: AwsWorkbench, variables: Mapping[str, str], view: RunView) -> Run:
    """Bring one stage of a run as far as its command step can; raises StageFailed, with the run saved."""
    stage = stage_named(LAST_GATE if name == ROLLBACK else name)
    run = bench.records.load(run_id) or _begun(run_id, bench.records, variables)
    run.status = Status.RUNNING
    for before in STAGES[: position(stage.name)]:
        _conclude(before, run, bench)
    if name == ROLLBACK:
        return _rolled_back(run, bench, view)
    if not _taken_over(stage, run):
        run.stage(name).log = build_log(variables.get("CODEBUILD_BUILD_ID", ""))
        _settle(stage, run, bench, view)
    elif stage.kind is Kind.APPROVAL:
        _vouch(run, bench)
    bench.hand_over_rest(stage, run)
    bench.save(run)
    _remember(stage, run, bench)
    return run


def _settle(stage: Stage, run: Run, bench: AwsWorkbench, view: RunView) -> None:
    """As the engine does; but what follows when the last gate fails is decided by the stage's next action.

    Tried again after the model was rolled back, that stage does not test what has been given up.
    """
    if RETURNED in run.stage(stage.name).detail:
        return
    try:
        settle(stage, run, bench, view, STAGES)
    except StageFailed:  # on record, and said
        if stage.name != LAST_GATE:
            raise


def _rolled_back(run: Run, bench: AwsWorkbench, view: RunView) -> Run:
    """See to it that the model goes, if it has failed its gate and another one can come back."""
    if run.stage(LAST_GATE).status is Status.FAILED and bench.go_back(run):
        view.stage_changed(run, run.stage(LAST_GATE))
    bench.save(run)
    bench.hand_over_verdict(run)
    return run


def _vouch(run: Run, bench: AwsWorkbench) -> None:
    """The question that is taken over must have been asked: a step that runs the repository's code has copied it."""
    claimed = run.stage("approval")
    asked = next((one for one in bench.records.asked(claimed.output) if one.key == claimed.key), None)
    if asked is None or run.stage("train").output != claimed.output:
        message = f"No run has asked for a decision about the model {claimed.output[:12] or 'that is to be deployed'}."
        raise StageFailed(message, "Train and ask: mlops run")
    claimed.output, claimed.detail, claimed.artifact = asked.output, asked.detail, asked.artifact


def _begun(run_id: str, records: Records, variables: Mapping[str, str]) -> Run:
    """A run as the pipeline's variables ask for it."""
    start, source_id = start_of(variables.get("MLOPS_FROM", NO_STAGE))
    forced_from = STAGES[0].name if variables.get("MLOPS_FORCE", NO) != NO else ""
    run = new_run(run_id, decoded(variables.get("MLOPS_OVERRIDES", "") or encoded({})), forced_from)
    if not start:
        return run
    sources = [found] if source_id and (found := records.load(source_id)) else records.runs()
    source = next((one for one in sources if has_all_before(start, one)), None)
    if source is None:
        raise nothing_before(start)
    run.forced_from, run.overrides = start, {**source.overrides, **run.overrides}
    copy_before(start, run, source)
    return run


def _taken_over(stage: Stage, run: Run) -> bool:
    """Whether the stage is one of those before the run's first own one."""
    return bool(run.forced_from) and position(stage.name) < position(run.forced_from)


def _conclude(stage: Stage, run: Run, bench: AwsWorkbench) -> None:
    record = run.stage(stage.name)
    if record.status not in (Status.RUNNING, Status.WAITING, Status.FAILED):
        return
    try:
        bench.conclude(stage, run)
    except Exception as error:
        record.status, record.reason = Status.FAILED, str(error)
        bench.save(run)
        raise
    record.finished_at = time.time()
    _remember(stage, run, bench)
    bench.save(run)


def _remember(stage: Stage, run: Run, bench: AwsWorkbench) -> None:
    """Put what the stage has come to where later runs look for it."""
    record = run.stage(stage.name)
    if stage.kind is Kind.APPROVAL:
        bench.records.remember(run.stage("train"))  # which its own step may have reused, but may not note
        bench.records.note_asked(record)
    if record.status.settled:
        bench.records.remember(record)
