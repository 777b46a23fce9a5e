"""A local run that is killed, interrupted, followed or ended by another process, through the CLI."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from mlops_cli.core.stages import STAGES
from tests.conftest import LIMIT_SECONDS, Cli, is_alive, wait_for
from tests.harness.lifecycle import hold, reached, statuses

pytestmark = pytest.mark.slow


def processes_of(cli: Cli) -> dict[int, str]:
    """Return the processes of this project with their working folders, without the endpoint's."""
    folders = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            line = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            folder_of = str((folder / "cwd").readlink())
        except OSError:
            continue
        if folder_of.startswith(str(cli.folder)) and "mlops_cli.serving" not in line:
            folders[int(folder.name)] = folder_of
    return folders


def kill_script(cli: Cli) -> None:
    (script,) = [pid for pid, folder in processes_of(cli).items() if folder == str(cli.folder / "training")]
    os.kill(script, signal.SIGKILL)


@pytest.mark.parametrize("stage", [stage.name for stage in STAGES if stage.script])
@pytest.mark.parametrize("victim", ["mlops", "script"])
def test_kill_9_in_a_stage_then_run_continues(tiny: Cli, stage: str, victim: str) -> None:
    later = stage == "post-training-tests"
    if later:
        run_id = tiny.json("run")["id"]
    held = hold(tiny, stage)
    command = ["approve", "--run-id", run_id, "--yes"] if later else ["run"]
    with tiny.start(*command, start_new_session=True) as process:
        wait_for(reached(tiny, stage).exists)
        if victim == "mlops":
            os.kill(process.pid, signal.SIGKILL)
        else:
            kill_script(tiny)
        process.communicate()
    wait_for(lambda: processes_of(tiny) == {})
    assert process.returncode == (-9 if victim == "mlops" else 3)

    shown = tiny.json("status")["run"]
    assert shown["status"] == ("interrupted" if victim == "mlops" else "failed")
    assert "running" not in statuses(shown).values(), "nobody runs, so nothing is shown as running"
    held.unlink()
    continued = tiny.json("run")
    assert continued["id"] == shown["id"]
    assert continued["status"] == ("done" if later else "waiting")
    executed_before = [name for name, status in statuses(shown).items() if status == "done"]
    before = {stage["name"]: stage["seconds"] for stage in shown["stages"]}
    after = {stage["name"]: stage["seconds"] for stage in continued["stages"]}
    assert {name: after[name] for name in executed_before} == {name: before[name] for name in executed_before}


def test_kill_9_while_deploying_then_run_continues(tiny: Cli) -> None:
    run_id = tiny.json("run")["id"]
    with tiny.start("approve", "--run-id", run_id, "--yes") as process:
        wait_for(lambda: statuses(tiny.json("status")["run"])["deploy"] == "running")
        os.kill(process.pid, signal.SIGKILL)
        process.communicate()
    assert tiny.json("status")["run"]["status"] == "interrupted"
    assert tiny.json("run")["status"] == "done", "the approval is on record: nobody is asked again"
    assert tiny.json("test-endpoint")["endpoint"]["is_what_was_approved"] is True


STUCK_REPORT = """
import signal, sys
from pathlib import Path
from mlops_cli.backends.local.stages.approval_evidence import ApprovalEvidence
from mlops_cli.__main__ import main

def write_report(self, run, tell=None):
    Path("report-begun").touch()
    signal.pause()

ApprovalEvidence.write_report = write_report
main()
"""


def kill_in_report(cli: Cli, *arguments: str) -> None:
    command = [sys.executable, "-c", STUCK_REPORT, *arguments, "--yes"]
    pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    with subprocess.Popen(command, cwd=cli.folder, **pipes) as process:
        wait_for((cli.folder / "report-begun").exists)
        process.kill()


def test_kill_9_while_an_approval_is_put_into_the_report(tiny: Cli) -> None:
    run_id = tiny.json("run", "--set", "epochs=2")["id"]
    kill_in_report(tiny, "approve", "--run-id", run_id)
    shown = tiny.json("status")["run"]
    assert (shown["status"], statuses(shown)["approval"]) == ("interrupted", "done")
    _, err = tiny.both("approve", "--run-id", run_id, "--yes", "--reject", code=1)
    assert "It has not finished: mlops run continues it." in err
    done = tiny.json("run")
    assert (done["id"], done["status"], done["overrides"]) == (run_id, "done", {"train.epochs": "2"})


def test_kill_9_while_a_rejection_is_put_into_the_report(tiny: Cli) -> None:
    run_id = tiny.json("run")["id"]
    kill_in_report(tiny, "approve", "--run-id", run_id, "--reject", "--comment", "too rude")
    assert tiny.json("status")["run"]["status"] == "rejected"
    _, err = tiny.both("approve", "--run-id", run_id, "--yes", code=4)
    assert "too rude" in err


def test_a_report_that_cannot_be_written_does_not_keep_a_model_from_going_live(tiny: Cli) -> None:
    run_id = tiny.json("run")["id"]
    report = tiny.folder / ".mlops" / "runs" / run_id / "report.html"
    report.unlink()
    report.mkdir()
    out, err = tiny.both("approve", "--run-id", run_id, "--yes")
    assert f"The report of run {run_id} could not be written: [Errno 21] Is a directory" in err
    assert "post-training-tests  done" in out


HELPER = """import subprocess
helper = subprocess.Popen(["sleep", "600"], start_new_session=True, stdout=subprocess.DEVNULL)
Path(__file__).with_name("helper").write_text(str(helper.pid))
parser = argparse"""


@pytest.mark.parametrize("sign", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_to_the_command_ends_the_stage_and_names_the_command_to_continue(
    tiny: Cli, sign: signal.Signals
) -> None:
    tiny.edit("train.py", "parser = argparse", HELPER)
    hold(tiny, "train")
    with tiny.start("run") as process:
        wait_for(reached(tiny, "train").exists)
        process.send_signal(sign)
        _, err = process.communicate(timeout=LIMIT_SECONDS)
    assert process.returncode == 128 + sign
    helper = int((tiny.folder / "training" / "helper").read_text())
    assert not is_alive(helper)
    assert not list(tiny.folder.glob(".mlops/children/*"))
    assert "hint: Continue: mlops run" in err
    assert "Traceback" not in err
    assert processes_of(tiny) == {}
    assert tiny.json("status")["run"]["status"] == "interrupted"


LEARNING = """import os
saved = Path(os.environ["SM_CHECKPOINT_DIR"], "learnt-by")
print("learnt before by", saved.read_text() if saved.is_file() else "nobody", flush=True)
saved.parent.mkdir(parents=True, exist_ok=True)
saved.write_text("the first code")

model = Path"""


def kill_training(cli: Cli, *arguments: str) -> None:
    """Kill the training after it has saved a checkpoint."""
    held = hold(cli, "train")
    reached(cli, "train").unlink(missing_ok=True)
    with cli.start("run", *arguments) as process:
        wait_for(reached(cli, "train").exists)
        process.kill()
        process.communicate()
    wait_for(lambda: processes_of(cli) == {})
    held.unlink()


@pytest.mark.parametrize(
    ("old", "arguments", "begins_with"),
    [("no change", (), "the first code"), ("the first code", (), "nobody"), ("no change", ("--force",), "nobody")],
    ids=["the same code", "other code", "forced"],
)
def test_a_training_continues_only_from_a_checkpoint_of_the_same_code(
    tiny: Cli, old: str, arguments: tuple[str, ...], begins_with: str
) -> None:
    tiny.edit("train.py", "model = Path", f"# no change\n{LEARNING}")
    kill_training(tiny)
    tiny.edit("train.py", old, old.replace("first", "second"))
    assert tiny.json("run", *arguments)["status"] == "waiting"
    assert f"learnt before by {begins_with}\n" in tiny("logs", "--stage", "train")
    assert not (tiny.folder / ".mlops" / "artifacts" / "train" / ".checkpoints").exists(), "nothing piles up"


def test_a_forced_training_continues_from_its_own(tiny: Cli) -> None:
    tiny.edit("train.py", "model = Path", LEARNING)
    kill_training(tiny, "--force")
    assert tiny.json("run")["status"] == "waiting"
    assert "learnt before by the first code\n" in tiny("logs", "--stage", "train")


def test_two_at_once(tiny: Cli) -> None:
    held = hold(tiny, "train")
    with tiny.start("run") as process:
        wait_for(reached(tiny, "train").exists)
        _, err = tiny.both("run", code=1)
        assert f"`mlops run` (process {process.pid}" in err
        live = tiny.json("status")["run"]
        assert (live["status"], statuses(live)["train"]) == ("running", "running")
        held.unlink()
        process.communicate()
    assert process.returncode == 0


def test_detached_and_followed(tiny: Cli) -> None:
    """Without a stage the follower goes from the running stage to the next ones, until the run waits."""
    held = hold(tiny, "pre-training-tests")
    out = tiny("run", "--detach")
    run_id = tiny.json("runs")[0]["id"]
    assert f"run {run_id} continues in the background" in out
    wait_for(reached(tiny, "pre-training-tests").exists)
    with tiny.start("logs", "--follow") as follower:
        assert follower.stdout is not None
        wait_for(lambda: "test session starts" in follower.stdout.readline())
        held.unlink()
        lines, _ = follower.communicate(timeout=LIMIT_SECONDS)
    gate, _, training = lines.partition("\ntrain:\n")
    assert "test_there_are_rows PASSED" in gate
    assert "progress 1/1 epoch 1" in training
    assert tiny.json("status")["run"]["status"] == "waiting"


def test_a_detached_run_is_watched_from_elsewhere(tiny: Cli) -> None:
    held = hold(tiny, "train")
    tiny("run", "--detach")
    wait_for(reached(tiny, "train").exists)
    with tiny.start("status", "--follow") as watcher:
        assert watcher.stdout is not None
        wait_for(lambda: "1/1 epoch 1" in watcher.stdout.readline())
        held.unlink()
        out, _ = watcher.communicate(timeout=LIMIT_SECONDS)
    assert watcher.returncode == 0
    assert "train                done" in out
    assert "next: mlops approve " in out
    tiny("run", "--set", "epochs=2", "--detach")
    assert tiny.json("status", "--follow")["run"]["status"] == "waiting"


def test_a_detached_run_that_dies_leaves_a_log_that_status_names(tiny: Cli) -> None:
    held = hold(tiny, "train")
    run_id = tiny.json("run", "--detach")["id"]
    wait_for(reached(tiny, "train").exists)
    (run,) = [pid for pid, folder in processes_of(tiny).items() if folder == str(tiny.folder)]
    os.kill(run, signal.SIGKILL)
    wait_for(lambda: processes_of(tiny) == {})
    log = tiny.folder / ".mlops" / "runs" / run_id / "run.log"
    assert f"the command that ran it died, see {log}" in tiny("status", "--json")
    held.unlink()


FAULTY = """
from mlops_cli.backends.local.runs.execution import RunExecution
from mlops_cli.__main__ import main

def run_stages(self, run, view, start):
    raise ZeroDivisionError("a fault in mlops itself")

RunExecution.run_stages = run_stages
main()
"""


def test_a_detached_run_that_ends_by_a_fault_has_it_in_its_log(tiny: Cli) -> None:
    command = [sys.executable, "-c", FAULTY, "run", "--detach"]
    subprocess.run(command, cwd=tiny.folder, check=True, capture_output=True, timeout=LIMIT_SECONDS)
    wait_for(lambda: processes_of(tiny) == {})
    run_id = tiny.json("runs")[0]["id"]
    output = (tiny.folder / ".mlops" / "runs" / run_id / "run.log").read_text()
    assert output.startswith("Traceback")
    assert output.endswith("ZeroDivisionError: a fault in mlops itself\n")


def test_watching_a_run_that_fails_ends_as_the_run_does(tiny: Cli) -> None:
    tiny.edit("train.py", "model = Path", "raise SystemExit('no luck today')\nmodel = Path")
    tiny("run", "--detach")
    assert "no luck today" in tiny("status", "--follow", code=3)


def test_a_run_that_continues_is_ended_from_elsewhere(tiny: Cli) -> None:
    held = hold(tiny, "train")
    tiny("run", "--detach")
    wait_for(reached(tiny, "train").exists)
    out = tiny("stop")
    assert "is interrupted" in out
    assert "next: mlops run" in out
    assert processes_of(tiny) == {}
    assert "nothing of it is running" in tiny("stop")
    held.unlink()
    run = tiny.json("run")
    assert (run["status"], statuses(run)["preprocess"]) == ("waiting", "done")


def test_what_a_killed_run_has_left_is_removed_by_a_stop(tiny: Cli) -> None:
    hold(tiny, "train")
    with tiny.start("run", start_new_session=True) as process:
        wait_for(reached(tiny, "train").exists)
        os.kill(process.pid, signal.SIGKILL)
        process.communicate()
    drafts = tiny.folder / ".mlops" / "artifacts" / "train"
    assert len(list(drafts.glob(".tmp-*"))) == 1
    assert "is interrupted: nothing of it is running" in tiny("stop")
    assert not list(drafts.glob(".tmp-*"))
    assert processes_of(tiny) == {}
    assert not (tiny.folder / ".mlops" / "children").exists()


def test_a_single_stage_is_a_command(tiny: Cli) -> None:
    run_id = tiny.json("run", "--set", "epochs=2")["id"]
    tiny.edit("train.py", "import argparse", "import argparse  # changed")
    run = tiny.json("stage", "train", "--run-id", run_id)
    assert statuses(run)["train"] == "done"
    assert "comes after approval, which is waiting" in tiny("stage", "deploy", "--run-id", run_id, code=1)
    assert "There is no stage 'nope'" in tiny("stage", "nope", "--run-id", run_id, code=2)
    assert tiny.json("approve", "--run-id", run_id, "--yes")["status"] == "done"


def test_cleanup_stops_a_detached_run(tiny: Cli) -> None:
    hold(tiny, "train")
    tiny("run", "--detach")
    wait_for(reached(tiny, "train").exists)
    out = tiny("cleanup", "--yes")
    assert "mlops run --detach" in out
    assert processes_of(tiny) == {}
    assert not (tiny.folder / ".mlops").exists()
