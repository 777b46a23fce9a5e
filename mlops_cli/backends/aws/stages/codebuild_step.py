"""One step of the pipeline: collect earlier results, run the stage, write the next action's inputs.

A step reads its run's record in the version that the step before it has named. CodePipeline passes this version from
one step of a run to the next, and no other run can change it. The steps in ``DECIDING`` run no code of the repository
and have a role of their own. They do not trust the records of other steps: they verify each record with data that only
they, CodePipeline, SageMaker or the model registry can write.
"""

from __future__ import annotations

import time
from collections.abc import Mapping

from mlops_cli.backends.aws.clients.logs import build_log
from mlops_cli.backends.aws.runs.pipeline_variables import (
    NO,
    NO_ROLLBACK,
    NO_STAGE,
    RECORD,
    decode,
    decode_rollback,
    decode_start,
    encode,
)
from mlops_cli.backends.aws.runs.status import ROLLBACK
from mlops_cli.backends.aws.runs.store import S3RunStore, needs_verified
from mlops_cli.backends.aws.stages.deployment_order import wait_for_earlier_run
from mlops_cli.backends.aws.stages.executor import AwsStageExecutor
from mlops_cli.core.engine import RunView, StageFailed, run_or_reuse_stage
from mlops_cli.core.models.model_versions import ROLLED_BACK_TO
from mlops_cli.core.runs import (
    CONTINUE,
    HINT,
    Run,
    StageRun,
    Status,
    copy_earlier_stages,
    earlier_stages_missing_error,
    has_all_before,
    new_run,
)
from mlops_cli.core.secrets import without_secrets
from mlops_cli.core.stages import ENDPOINT_GATE, JOBS, STAGES, TRAINING, Kind, Stage, position, stage_named
from mlops_cli.errors import MlopsError


def run_stage_step(
    name: str, run_id: str, executor: AwsStageExecutor, variables: Mapping[str, str], view: RunView
) -> Run:
    """Run the step of one stage. Save the run and raise StageFailed if it fails."""
    stage = stage_named(ENDPOINT_GATE.name if name == ROLLBACK else name)
    run = executor.run_store.named(run_id, variables.get(RECORD, "")) or _new_run(run_id, executor.run_store, variables)
    run.status = Status.RUNNING
    if stage.kind is Kind.APPROVAL:
        _require_requested(run, _new_run(run_id, executor.run_store, variables), executor)
    executor.rollback_decision = decode_rollback(variables.get("MLOPS_ROLLBACK", NO_ROLLBACK))
    if stage.kind is Kind.DEPLOY:
        wait_for_earlier_run(run_id, executor.services.pipeline)
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
    executor.action_inputs.write_for(stage, run)
    executor.save(run)
    _save_result(stage, run, executor)
    return run


def _run_or_roll_back(stage: Stage, run: Run, executor: AwsStageExecutor, view: RunView) -> None:
    """Run the stage as the engine does. If the last gate fails, the next action of the stage decides what follows.

    After a rollback, a retry of the stage does not test the rejected model again.
    """
    if ROLLED_BACK_TO in run.stage(stage.name).detail:
        return
    try:
        run_or_reuse_stage(stage, run, executor, view, STAGES)
    except StageFailed:  # already recorded and shown
        if stage.name != ENDPOINT_GATE.name:
            raise


def _rolled_back(run: Run, executor: AwsStageExecutor, view: RunView) -> Run:
    """Roll back the model if it has failed its gate and a previous one is available."""
    if run.endpoint_gate.status is Status.FAILED and executor.prepare_rollback(run):
        view.stage_changed(run, run.endpoint_gate)
    executor.publish_outcome(run)
    executor.save(run)
    executor.action_inputs.write_result(run, executor.rollback_model)
    return run


def _require_requested(run: Run, requested: Run, executor: AwsStageExecutor) -> None:
    """Replace options and copied stages by the pipeline's variables, and the training's result by its job's output.

    The step that wrote the record runs the repository's code.
    """
    run.overrides, run.forced_from = requested.overrides, requested.forced_from
    for index, stage in enumerate(STAGES):
        if _is_copied(stage, run):
            run.stages[index] = requested.stages[index]
    trained = run.training
    if _is_copied(TRAINING, run) or not trained.status.has_output:
        return
    if trained.status is Status.REUSED:
        record = executor.run_store.find_stage(TRAINING.name, trained.key)
        if record is None or record.artifact != trained.artifact:
            raise StageFailed("The model that this run reuses is not on record.", "Train it again: mlops run --force")
        trained.output, trained.detail, trained.cache_inputs = record.output, record.detail, record.cache_inputs
    else:  # only a deciding step collects a model
        trained.status = Status.RUNNING


def _verify_provenance(run: Run, executor: AwsStageExecutor) -> None:
    """Raise StageFailed, with the run saved, if an output does not come from this run's own job."""
    provenance = executor.provenance(run)
    for stage in JOBS:
        try:
            provenance.verify(stage, _is_copied(stage, run))
        except StageFailed as error:
            _save_failure(run.stage(stage.name), run, executor, error)
            raise


def _save_failure(record: StageRun, run: Run, executor: AwsStageExecutor, error: Exception) -> None:
    """Save a stage's failure with its hint: `mlops status` reads only the record."""
    record.status, record.reason = Status.FAILED, without_secrets(str(error))
    if isinstance(error, MlopsError) and error.hint != CONTINUE:
        record.detail = {**record.detail, HINT: error.hint}
    executor.save(run)


def _verify_request(run: Run, executor: AwsStageExecutor) -> None:
    """Verify a copied approval request, because a step that runs the repository's code has copied it."""
    claimed = run.approval
    requests = executor.run_store.approval_requests(claimed.output)
    request = next((request for request in requests if request.key == claimed.key), None)
    if request is None or run.training.output != claimed.output:
        message = f"No run has asked for a decision about the model {claimed.output[:12] or 'that is to be deployed'}."
        raise StageFailed(message, "Train and ask: mlops run")
    claimed.output, claimed.detail, claimed.artifact = request.output, request.detail, request.artifact


def _new_run(run_id: str, records: S3RunStore, variables: Mapping[str, str]) -> Run:
    """Return a run with the options in the pipeline's variables."""
    start, source_id, version = decode_start(variables.get("MLOPS_FROM", NO_STAGE))
    forced_from = STAGES[0].name if variables.get("MLOPS_FORCE", NO) != NO else ""
    run = new_run(run_id, decode(variables.get("MLOPS_OVERRIDES", "") or encode({})), forced_from)
    if not start:
        return run
    if not source_id:
        raise StageFailed(
            f"The pipeline variable from is {variables['MLOPS_FROM']!r}: it must name the run to take stages from.",
            f"Start it by: mlops run --from {start}",
        )
    source = records.verified(source_id) if needs_verified(start) else records.named(source_id, version)
    if source is None or not has_all_before(start, source):
        raise earlier_stages_missing_error(start)
    run.forced_from, run.overrides = start, {**source.overrides, **run.overrides}
    copy_earlier_stages(start, run, source)
    return run


def _is_copied(stage: Stage, run: Run) -> bool:
    """Return True if the stage is before the first stage that this run executes."""
    return bool(run.forced_from) and position(stage.name) < position(run.forced_from)


def _collect_output(stage: Stage, run: Run, executor: AwsStageExecutor) -> None:
    record = run.stage(stage.name)
    if record.status not in (Status.RUNNING, Status.WAITING, Status.FAILED):
        return
    try:
        executor.collect_result(stage, run)
    except Exception as error:
        _save_failure(record, run, executor, error)
        raise
    record.finished_at = time.time()
    record.detail.pop(HINT, None)  # the result of a failed attempt
    # Save a trained model only after its provenance is verified, so that the decision is about the verified model.
    if stage.kind is Kind.TRAINING:
        return
    _save_result(stage, run, executor)
    executor.save(run)


def _save_result(stage: Stage, run: Run, executor: AwsStageExecutor) -> None:
    """Save the stage's result for later runs."""
    record = run.stage(stage.name)
    if stage.kind is Kind.APPROVAL:
        executor.run_store.save_stage(run.training)  # its own step may reuse it, but may not write the record
        executor.run_store.save_approval_request(record)
    if record.status.has_output:
        executor.run_store.save_stage(record)
