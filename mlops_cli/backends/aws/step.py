"""One command step of the pipeline: what came before is taken in, the stage is settled, the rest is handed over."""

from __future__ import annotations

import time
from collections.abc import Mapping

from mlops_cli.backends.aws.logs import build_log
from mlops_cli.backends.aws.records import Records
from mlops_cli.backends.aws.variables import NO, NO_STAGE, decoded, encoded, start_of
from mlops_cli.backends.aws.workbench import AwsWorkbench
from mlops_cli.lifecycle import RunView, StageFailed, settle
from mlops_cli.registry import LAST_GATE, RETURNED
from mlops_cli.runs import Run, Status, copy_before, has_all_before, new_run, nothing_before
from mlops_cli.stages import STAGES, Kind, Stage, position, stage_named


def take_step(name: str, run_id: str, bench: AwsWorkbench, variables: Mapping[str, str], view: RunView) -> Run:
    """Bring one stage of a run as far as its command step can; raises StageFailed, with the run saved."""
    stage = stage_named(name)
    run = bench.records.load(run_id) or _begun(run_id, bench.records, variables)
    run.status = Status.RUNNING
    for before in STAGES[: position(name)]:
        _conclude(before, run, bench)
    if not _taken_over(stage, variables):
        run.stage(name).log = build_log(variables.get("CODEBUILD_BUILD_ID", ""))
        _settle(stage, run, bench, view)
    bench.save(run)
    _remember(stage, run, bench)
    bench.hand_over_rest(stage, run)
    return run


def _settle(stage: Stage, run: Run, bench: AwsWorkbench, view: RunView) -> None:
    """As the engine does; but a model that fails its gate on the endpoint is taken back by the stage's next action.

    Tried again after that, the stage does not test what has been given up, but sees to it that it stays so.
    """
    if RETURNED in run.stage(stage.name).detail:
        if not bench.go_back(run):
            raise StageFailed("The model of this run failed its gate and was rolled back.", "Train another: mlops run")
        return
    try:
        settle(stage, run, bench, view, STAGES)
    except StageFailed:
        if stage.name != LAST_GATE or not bench.go_back(run):
            raise
        view.stage_changed(run, run.stage(stage.name))


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


def _taken_over(stage: Stage, variables: Mapping[str, str]) -> bool:
    """Whether the stage is one of those before the run's first own one."""
    start, _ = start_of(variables.get("MLOPS_FROM", NO_STAGE))
    return bool(start) and position(stage.name) < position(start)


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
    if record.status.settled:
        bench.records.remember(record)
    if stage.kind is Kind.APPROVAL:
        bench.records.note_asked(record)
