"""One command step of the pipeline: collect earlier results, run the stage, write the next action's inputs.

The steps in ``DECIDING`` run no code of the repository, under their own role. Records by the other steps are claims to
them: they verify each with data that only they, CodePipeline and the model registry can write.
"""

from __future__ import annotations

import time
from collections.abc import Mapping

from mlops_cli.backends.aws.clients.logs import build_log
from mlops_cli.backends.aws.runs.pipeline_variables import (
    NO,
    NO_ROLLBACK,
    NO_STAGE,
    decode,
    decode_rollback,
    decode_start,
    encode,
)
from mlops_cli.backends.aws.runs.status import ROLLBACK
from mlops_cli.backends.aws.runs.store import S3RunStore
from mlops_cli.backends.aws.stages.executor import AwsStageExecutor
from mlops_cli.core.engine import RunView, StageFailed, run_or_reuse_stage
from mlops_cli.core.models.model_versions import ROLLED_BACK_TO
from mlops_cli.core.runs import (
    Run,
    Status,
    copy_earlier_stages,
    earlier_stages_missing_error,
    has_all_before,
    new_run,
)
from mlops_cli.core.secrets import without_secrets
from mlops_cli.core.stages import ENDPOINT_GATE, STAGES, Kind, Stage, position, stage_named


def run_stage_step(
    name: str, run_id: str, executor: AwsStageExecutor, variables: Mapping[str, str], view: RunView
) -> Run:
    """Run the command step of one stage; raise StageFailed, with the run saved."""
    stage = stage_named(ENDPOINT_GATE.name if name == ROLLBACK else name)
    run = executor.run_store.load(run_id) or _new_run(run_id, executor.run_store, variables)
    run.status = Status.RUNNING
    executor.rollback_decision = decode_rollback(variables.get("MLOPS_ROLLBACK", NO_ROLLBACK))
    for before in STAGES[: position(stage.name)]:
        _collect_output(before, run, executor)
    if name == ROLLBACK:
        return _rolled_back(run, executor, view)
    if not _is_copied(stage, run):
        run.stage(name).log = build_log(variables.get("CODEBUILD_BUILD_ID", ""))
        if stage.kind is Kind.APPROVAL:
            _verify_provenance(run, executor)
        _run_or_roll_back(stage, run, executor, view)
    elif stage.kind is Kind.APPROVAL:
        _verify_request(run, executor)
    executor.write_action_inputs(stage, run)
    executor.save(run)
    _save_result(stage, run, executor)
    return run


def _run_or_roll_back(stage: Stage, run: Run, executor: AwsStageExecutor, view: RunView) -> None:
    """Run the stage as the engine does; after a failed last gate, the stage's next action decides.

    Retried after a rollback, the stage does not test the rejected model.
    """
    if ROLLED_BACK_TO in run.stage(stage.name).detail:
        return
    try:
        run_or_reuse_stage(stage, run, executor, view, STAGES)
    except StageFailed:  # recorded and shown
        if stage.name != ENDPOINT_GATE.name:
            raise


def _rolled_back(run: Run, executor: AwsStageExecutor, view: RunView) -> Run:
    """Roll back the model if it has failed its gate and an earlier one is available."""
    if run.endpoint_gate.status is Status.FAILED and executor.prepare_rollback(run):
        view.stage_changed(run, run.endpoint_gate)
    executor.publish_outcome(run)
    executor.save(run)
    executor.write_result_inputs(run)
    return run


def _verify_provenance(run: Run, executor: AwsStageExecutor) -> None:
    try:
        executor.verify_provenance(run)
    except StageFailed as error:
        run.approval.status, run.approval.reason = Status.FAILED, without_secrets(str(error))
        executor.save(run)
        raise


def _verify_request(run: Run, executor: AwsStageExecutor) -> None:
    """Verify a copied approval request: a step that runs the repository's code has copied it."""
    claimed = run.approval
    requests = executor.run_store.approval_requests(claimed.output)
    request = next((request for request in requests if request.key == claimed.key), None)
    if request is None or run.training.output != claimed.output:
        message = f"No run has asked for a decision about the model {claimed.output[:12] or 'that is to be deployed'}."
        raise StageFailed(message, "Train and ask: mlops run")
    claimed.output, claimed.detail, claimed.artifact = request.output, request.detail, request.artifact


def _new_run(run_id: str, records: S3RunStore, variables: Mapping[str, str]) -> Run:
    """Return a run with the options in the pipeline's variables."""
    start, source_id = decode_start(variables.get("MLOPS_FROM", NO_STAGE))
    forced_from = STAGES[0].name if variables.get("MLOPS_FORCE", NO) != NO else ""
    run = new_run(run_id, decode(variables.get("MLOPS_OVERRIDES", "") or encode({})), forced_from)
    if not start:
        return run
    sources = [named] if source_id and (named := records.load(source_id)) else records.runs()
    source = next((candidate for candidate in sources if has_all_before(start, candidate)), None)
    if source is None:
        raise earlier_stages_missing_error(start)
    run.forced_from, run.overrides = start, {**source.overrides, **run.overrides}
    copy_earlier_stages(start, run, source)
    return run


def _is_copied(stage: Stage, run: Run) -> bool:
    """Return True if the stage is before the run's first own one."""
    return bool(run.forced_from) and position(stage.name) < position(run.forced_from)


def _collect_output(stage: Stage, run: Run, executor: AwsStageExecutor) -> None:
    record = run.stage(stage.name)
    if record.status not in (Status.RUNNING, Status.WAITING, Status.FAILED):
        return
    try:
        executor.collect_result(stage, run)
    except Exception as error:
        record.status, record.reason = Status.FAILED, without_secrets(str(error))
        executor.save(run)
        raise
    record.finished_at = time.time()
    _save_result(stage, run, executor)
    executor.save(run)


def _save_result(stage: Stage, run: Run, executor: AwsStageExecutor) -> None:
    """Save the stage's result for later runs."""
    record = run.stage(stage.name)
    if stage.kind is Kind.APPROVAL:
        executor.run_store.save_stage(run.training)  # its own step may reuse it, but not write the record
        executor.run_store.save_approval_request(record)
    if record.status.has_output:
        executor.run_store.save_stage(record)
