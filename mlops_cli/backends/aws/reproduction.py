"""A run made again on AWS beside everything else: the same jobs, in a folder of their own, nothing recorded.

The command starts the pipeline's own state machine, so that whoever runs it may start that, and need not be able to
make jobs or to pass roles. What the jobs take and leave lies below artifacts/reproduction/, the one place where their
role may write, and is removed in the end. The outputs of a killed one stay there until the next one, or cleanup.
"""

from __future__ import annotations

import tempfile
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from mlops_cli.backends.aws import results
from mlops_cli.backends.aws.bucket import Bucket
from mlops_cli.backends.aws.logs import Logs
from mlops_cli.backends.aws.orders import AGAIN, LOG_GROUPS
from mlops_cli.backends.aws.statemachine import RUNNING, SUCCEEDED, StateMachine
from mlops_cli.backends.aws.workbench import TAIL_LINES, AwsWorkbench
from mlops_cli.backends.follow import Pace
from mlops_cli.errors import EXIT_INTERRUPTED, MlopsError
from mlops_cli.jobs import progress_in
from mlops_cli.lifecycle import Outcome, RunView, StageFailed, settle
from mlops_cli.package import digest_contents
from mlops_cli.provenance import REPRODUCED, Reproduction, compare
from mlops_cli.runs import Run, StageRun, new_run
from mlops_cli.stages import STAGES, Stage, stage_named

SHORTEST, LONGEST = 0.5, 5.0
STOPPING_SECONDS = 60.0


def aside_of(run_id: str) -> str:
    return f"artifacts/reproduction/{run_id}/"


@dataclass
class Errand:
    """Carries one job out after the other, and shows how far it is."""

    machine: StateMachine
    logs: Logs
    endpoint: str

    def run(self, stage: Stage, name: str, document: dict[str, object], view: RunView) -> None:
        """Until the job has ended; raises StageFailed if it did not end well, and stops it on Ctrl-C."""
        execution = self.machine.start(name, document)
        try:
            status, reason = self._awaited(stage, name, execution, view)
        except BaseException:
            self.machine.stop(execution, "mlops reproduce was stopped")
            raise
        if status != SUCCEEDED:
            said = [f"  {line}" for line in self.logs.tail(_log(stage, name), TAIL_LINES)]
            message = "\n".join([f"{stage.script} failed: {reason or status}", *said])
            raise StageFailed(message, f"The whole log: {_log(stage, name)} in CloudWatch")

    def _awaited(self, stage: Stage, name: str, execution: str, view: RunView) -> tuple[str, str]:
        pace = Pace(SHORTEST, LONGEST)
        while (found := self.machine.look(execution))[0] == RUNNING:
            lines = self.logs.new_lines(_log(stage, name))
            told = [progress for line in lines if (progress := progress_in(line))]
            for progress in told:
                view.progress(stage.name, *progress)
            pace.wait(bool(told))
        return found

    def stop_left(self, run_id: str) -> None:
        """End what a killed reproduction of the same run has left running."""
        deadline = time.monotonic() + STOPPING_SECONDS
        while (left := list(self._left(run_id))) and time.monotonic() < deadline:
            for execution in left:
                self.machine.stop(execution, "mlops reproduce begins anew")
            time.sleep(SHORTEST)

    def _left(self, run_id: str) -> list[str]:
        begin, middle = f"{self.endpoint}-{AGAIN}", f"-{run_id[:6]}-"
        return [arn for name, arn in self.machine.running() if name.startswith(begin) and middle in name]


def _log(stage: Stage, job: str) -> str:
    return f"{LOG_GROUPS[stage.kind]}:{job}"


class RepeatingWorkbench(AwsWorkbench):
    """Executes every stage, compares its ingredients with those of the run that is repeated, records nothing."""

    original: Run
    errand: Errand
    scratch: Path

    def find(self, stage: Stage, key: str, run: Run) -> StageRun | None:  # noqa: ARG002
        return None

    def previous(self, stage: Stage) -> StageRun | None:
        return self.original.stage(stage.name)

    def save(self, run: Run) -> None:
        """The repetition is no run of the project."""

    def execute(self, stage: Stage, run: Run, view: RunView) -> Outcome:
        prepared = self.orders.prepare(stage, run)
        run.stage(stage.name).artifact = prepared.artifact
        self.errand.run(stage, prepared.name, prepared.document, view)
        made = self._made(stage, run)
        return replace(made, detail={**made.detail, "machine": asdict(prepared.machine)})

    def _folder(self, record: StageRun) -> Path:
        return self.scratch / record.name


def reproduce(original: Run, bench: RepeatingWorkbench, errand: Errand, view: RunView) -> Reproduction:
    """Run the jobs that make the model again, and compare; raises MlopsError on Ctrl-C, with the job stopped."""
    errand.stop_left(original.id)
    bench.bucket.delete(aside_of(original.id))
    run = new_run(original.id, original.overrides, REPRODUCED[0])
    with tempfile.TemporaryDirectory() as folder:
        bench.original, bench.errand, bench.scratch = original, errand, Path(folder)
        try:
            for name in REPRODUCED:
                settle(stage_named(name), run, bench, view, STAGES)
            pair = _by_contents(original, run, bench.bucket, bench.scratch)
            return compare(*pair, bench.use_case.metrics.split)
        except KeyboardInterrupt:
            raise MlopsError(
                "Stopped, and with it the job on AWS.", f"Begin anew: mlops reproduce {original.id}", EXIT_INTERRUPTED
            ) from None
        finally:
            bench.bucket.delete(aside_of(original.id))


def _by_contents(original: Run, again: Run, bucket: Bucket, scratch: Path) -> tuple[Run, Run]:
    """Both runs, with their models named by what is in them: SageMaker packs the time of packing, too."""
    old, new = original.stage("train"), again.stage("train")
    places = (f"{old.artifact}{results.MODEL}", f"models/{old.output}/model.tar.gz")
    kept = next((place for place in places if bucket.exists(place)), None)
    if old.output == new.output or kept is None:
        return original, again
    before = scratch / "before.tar.gz"
    bucket.download(kept, before)
    made = scratch / new.name / "model.tar.gz"
    return _named(original, digest_contents(before)), _named(again, digest_contents(made))


def _named(run: Run, digest: str) -> Run:
    return replace(run, stages=[replace(one, output=digest) if one.name == "train" else one for one in run.stages])
