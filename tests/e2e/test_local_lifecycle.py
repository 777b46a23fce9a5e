"""The whole local lifecycle through the CLI, with a use case of stages that take no time."""

from __future__ import annotations

import base64
import json
import re
import shutil
import subprocess
import urllib.request
from pathlib import Path

import pytest

from tests.conftest import Cli, wait_for
from tests.harness.lifecycle import approved_run, statuses

pytestmark = pytest.mark.slow


def test_from_run_to_cleanup(tiny: Cli) -> None:
    out = tiny("run")
    run_id = tiny.json("status")["run"]["id"]
    assert f"next: mlops approve {run_id}" in out
    assert "Evidence for run" in out
    assert tiny.json("status")["endpoint"]["state"] == "absent"

    done = tiny.json("approve", run_id[:4], "--comment", "fine", "--yes")
    assert f"run {run_id} was approved already by" in tiny("approve", "--yes"), "safe to repeat, without an id too"
    assert tiny.json("models", "list") == tiny.json("models")
    assert done["status"] == "done"
    assert set(statuses(done).values()) == {"done"}
    assert done["decision"]["comment"] == "fine"
    assert done["evidence"]["metrics"]["long"]["roc_auc"] == pytest.approx(0.6)

    result = tiny.json("test-endpoint", "--text", "hello", "--text", "you")
    assert [scores["long"] for _, scores in result["probe"]["rows"]] == [5.0, 3.0]
    assert result["endpoint"]["is_what_was_approved"] is True
    assert result["gate"] == {"passed": 1, "failed": 0, "failures": [], "unfinished": ""}

    assert "test_there_are_rows PASSED" in tiny("logs", "--stage", "pre-training-tests", "--follow")
    second_run = tiny.json("run")
    assert (second_run["id"], second_run["changed"]) == (run_id, False)
    the_endpoint_survives_the_cli_and_answers_plain_http(tiny)
    a_gate_that_stops_half_way_is_no_success(tiny)
    without_examples_it_says_what_can_be_sent(tiny)

    dry = tiny.json("cleanup", "--dry-run")
    assert {change["resource"] for change in dry["plan"]} >= {
        ".mlops/artifacts",
        ".mlops/data/dataset.csv",
        "endpoint tiny-dev",
    }
    assert (tiny.folder / ".mlops" / "state.db").exists()
    removed = tiny("cleanup", "--yes")
    assert "verified: no resources created by mlops remain" in removed
    assert not (tiny.folder / ".mlops").exists()
    assert (tiny.folder / "tiny.csv").exists(), "the user's own data file is never touched"
    assert "nothing to remove" in tiny("cleanup", "--yes")


def the_endpoint_survives_the_cli_and_answers_plain_http(tiny: Cli) -> None:
    url = tiny.json("status")["endpoint"]["url"]
    request = urllib.request.Request(
        f"{url}/endpoints/tiny-dev/invocations", b'{"instances": ["four"]}', {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request) as answer:
        assert json.load(answer) == {"predictions": [{"long": 4.0}]}


def a_gate_that_stops_half_way_is_no_success(tiny: Cli) -> None:
    path = tiny.folder / "training" / "tests" / "test_posttraining.py"
    path.write_text(path.read_text() + "\ndef test_z():\n    import pytest\n    pytest.exit('stop', 3)\n")
    out = tiny("test-endpoint", code=3)
    assert "test_z: it did not run" in out


def without_examples_it_says_what_can_be_sent(tiny: Cli) -> None:
    path = tiny.folder / "training" / "usecase.toml"
    path.write_text(re.sub(r"(?m)^examples = .*$", "", path.read_text()))
    _, err = tiny.both("test-endpoint", code=2)
    assert "usecase.toml has no examples under [endpoint]" in err
    assert "mlops test-endpoint --text TEXT" in err


def test_a_second_model_replaces_the_first_and_the_evidence_compares_them(tiny: Cli) -> None:
    first = approved_run(tiny)
    url = tiny.json("status")["endpoint"]["url"]
    second = tiny.json("run", "--set", "epochs=2")
    assert statuses(second)["preprocess"] == "reused"
    assert second["id"] != first["id"]
    shown = tiny("approve", "--run-id", second["id"], "--yes")
    assert f"of run {first['id']}" in shown
    endpoint = tiny.json("status")["endpoint"]
    assert endpoint["url"] == url, "a redeploy keeps the address"
    assert endpoint["live_digest"] == trained(second)

    third = tiny.json("run", "--set", "epochs=1")
    assert third["id"] not in (first["id"], second["id"]), "back to earlier hyperparameters is a change"
    live = tiny.json("status")["endpoint"]["live_digest"]
    assert live == trained(first), "approved before, so nobody is asked again"
    why_a_stage_ran(tiny)


def trained(run: dict) -> str:
    return str({stage["name"]: stage["output"] for stage in run["stages"]}["train"])


def why_a_stage_ran(tiny: Cli) -> None:
    tiny.edit("hold.py", "0.02", "0.01")
    out = tiny("run", "--explain")
    assert "training/hold.py changed" in out
    assert "not detected: files outside of the scripts' folder that another program or native code" in out
    (tiny.folder / "training" / "inference.py").open("a").write("\n# another answer\n")
    out = tiny("run", "--explain")
    assert "training/inference.py changed" in out
    out = tiny("run", "--explain", "--set", "epochs=3")
    assert "epochs 1 → 3" in out
    assert "unchanged since run" in out


def test_a_script_that_fails_shows_its_last_lines(tiny: Cli) -> None:
    tiny.edit("train.py", "model = Path", "raise SystemExit('no luck today')\nmodel = Path")
    _, err = tiny.both("run", code=3)
    assert "no luck today" in err
    assert "train.py ended with exit code 1" in err
    assert "Traceback" not in err
    assert list((tiny.folder / ".mlops" / "artifacts" / "train").glob("[!.]*")) == [], "a failed stage leaves no output"


def test_a_secret_is_neither_kept_nor_shown(tiny: Cli) -> None:
    secrets = ("correct-horse-battery", "hunter2", "s3cretpw", "abc123def456")
    text = f"{secrets[0]} refused, password={secrets[1]} postgres://app:{secrets[2]}@db Bearer {secrets[3]}"
    with (tiny.folder / ".env").open("a") as settings:
        settings.write(f"DB_PASSWORD={secrets[0]}\n")
    encoded = base64.b64encode(text.encode()).decode()  # so that no copy of the script holds them
    reveal = f"import base64\nsecrets = base64.b64decode('{encoded}').decode()\n"
    tiny.edit("train.py", "model = Path", f"{reveal}print(secrets)\nmodel = Path")
    run_id = tiny.json("run")["id"]
    outputs = ["".join(tiny.both("approve", "--run-id", run_id, "--yes", "--reject", "--comment", text))]
    outputs += ["".join(tiny.both("report", run_id))]
    tiny.edit("train.py", "print(secrets)", "raise SystemExit(secrets)")
    outputs += ["".join(tiny.both("run", *options, code=3)) for options in ((), ("--json",))]
    commands = [(name, *options) for name in ("status", "logs", "runs") for options in ((), ("--json",))]
    outputs += ["".join(tiny.both(*command)) for command in commands]
    files = [path for path in (tiny.folder / ".mlops").rglob("*") if path.is_file()]
    outputs += [path.read_bytes().decode("latin-1") for path in files]
    assert sum("refused, password=" in output for output in outputs) >= 9, "they are there, but for the secrets"
    assert [secret for secret in secrets for output in outputs if secret in output] == []


def test_scripts_and_gates_get_the_secrets_that_the_use_case_names(tiny: Cli) -> None:
    keys = ("wxy-4711", "quiet-otter")
    tiny.edit("usecase.toml", "[metrics]\n", '[secrets]\nnames = ["FEED", "SHOP_LOGIN"]\n\n[metrics]\n')
    for script in ("preprocess.py", "train.py", "tests/test_pretraining.py"):
        path = tiny.folder / "training" / script
        path.write_text("import os\nprint(os.environ['FEED'], os.environ['SHOP_LOGIN'])\n" + path.read_text())
    _, err = tiny.both("run", code=2)
    assert "The secrets FEED, SHOP_LOGIN of usecase.toml are not set." in err
    assert tiny.json("runs") == []
    assert "as an environment variable or in .env: FEED=..." in err
    assert "The secrets FEED, SHOP_LOGIN of usecase.toml are not set." in tiny("doctor", code=1)

    short = Cli(tiny.folder, {**tiny.environment, "FEED": "47 "})
    warning = "The secret FEED has fewer than 4 characters: it is not hidden in output."
    assert f"warning: {warning}\n" in short.both("run", code=2)[0]
    assert f"! warning secrets {warning}" in " ".join(short("doctor", code=1).split())
    with (tiny.folder / ".env").open("a") as settings:
        settings.write(f"FEED={keys[0]}\nSHOP_LOGIN={keys[1]}\n")
    assert "secrets that scripts and gates get: FEED (.env), SHOP_LOGIN (.env)" in tiny("config")
    run = tiny.json("run")
    assert run["status"] == "waiting"
    logs = tiny("logs", run["id"], "--stage", "train")
    files = [path.read_bytes() for path in (tiny.folder / ".mlops").rglob("*") if path.is_file()]
    assert "… …" in logs
    assert [key for key in keys if key in logs or any(key.encode() in content for content in files)] == []
    repeated = Cli(tiny.folder, {**tiny.environment, "FEED": "another-key"})
    assert repeated.json("run")["changed"] is False, "another value is no reason to train again"
    settings_text = (tiny.folder / ".env").read_text()
    without = settings_text.replace(f"FEED={keys[0]}\n", "")
    (tiny.folder / ".env").write_text(without)
    for command in (["approve", "--yes"], ["reproduce"]):
        assert "The secret FEED of usecase.toml is not set." in tiny.both(*command, code=2)[1]
    (tiny.folder / ".env").write_text(settings_text)
    tiny("approve", "--yes")
    (tiny.folder / ".env").write_text(without)
    assert "The secret FEED of usecase.toml is not set." in tiny.both("test-endpoint", code=2)[1]
    (tiny.folder / ".env").write_text(settings_text)
    tiny.edit("usecase.toml", ', "SHOP_LOGIN"', "")
    out, err = tiny.both("run", "--explain", code=3)
    assert "secret SHOP_LOGIN" in out
    assert "KeyError: 'SHOP_LOGIN'" in err


def test_a_model_under_its_minimum_needs_a_reason(tiny: Cli) -> None:
    tiny.edit("usecase.toml", "roc_auc = 0.5", "roc_auc = 0.9")
    run_id = tiny.json("run")["id"]
    _, err = tiny.both("approve", "--run-id", run_id, "--yes", code=2)
    assert "macro: roc_auc 0.600 is under 0.9" in err
    assert tiny.json("status")["run"]["decision"] is None
    assert tiny.json("approve", "--run-id", run_id, "--yes", "--comment", "a start")["status"] == "done"


def test_a_metric_that_is_not_a_number_is_under_its_minimum(tiny: Cli) -> None:
    tiny.edit("train.py", "quality = min(0.4 + 0.2 * arguments.epochs, 0.99)", "quality = float('nan')")
    run_id = tiny.json("run")["id"]
    _, err = tiny.both("approve", "--run-id", run_id, "--yes", code=2)
    assert "macro: roc_auc is not a number: NaN" in err


def test_a_script_that_python_cannot_read_is_named_and_no_stage_is_blamed(tiny: Cli) -> None:
    run = tiny.json("run")
    tiny.edit("train.py", "import argparse", "import argparse (")
    _, err = tiny.both("run", code=2)
    assert re.search(
        r"training/train\.py is not valid Python: invalid syntax \(train\.py, line \d+\)", " ".join(err.split())
    )
    assert tiny.json("approve", run["id"], "--yes")["status"] == "done", "of the approved model nothing is invalid"
    assert tiny.json("status")["run"]["id"] == run["id"]


def test_the_evidence_shows_the_data_of_the_run_not_of_today(tiny: Cli) -> None:
    run_id = tiny.json("run")["id"]
    (tiny.folder / "other.csv").write_text("id,text,long\n" + "".join(f"{n},other {n},1\n" for n in range(7)))
    tiny("download-data", "--source", "other.csv")
    shown = tiny.json("approve", "--run-id", run_id, "--yes")["evidence"]["data"]
    assert (shown["source"], shown["rows"]) == ("tiny.csv", 20)


def test_a_forced_run_leaves_the_approved_model_where_it_was(tiny: Cli) -> None:
    tiny.edit("train.py", "model = Path", "import time\nmodel = Path")
    tiny.edit("train.py", "str(arguments.epochs)", "str(time.time_ns())")
    approved_run(tiny)
    live = tiny.json("status")["endpoint"]["live_digest"]
    forced = tiny.json("run", "--force")
    assert {stage["name"]: stage["output"] for stage in forced["stages"]}["train"] != live
    subprocess.run(["pkill", "-9", "-f", f"mlops_cli.serving.*{tiny.folder}"], check=True)
    tiny("run", "--from", "deploy")
    assert tiny.json("status")["endpoint"]["live_digest"] == live


def test_a_model_that_was_rejected_later_is_not_brought_back(tiny: Cli) -> None:
    approved_run(tiny)
    forced = tiny.json("run", "--force")
    tiny("approve", "--run-id", forced["id"], "--reject", "--yes")
    _, err = tiny.both("run", "--from", "deploy", code=4)
    assert "was rejected after it had been approved" in err


def test_a_decided_run_is_not_continued_with_another_model(tiny: Cli) -> None:
    tiny.edit("tests/test_posttraining.py", "== [3.0, 5.0]", "== [0.0, 0.0]")
    run_id = tiny.json("run")["id"]
    tiny("approve", "--run-id", run_id, "--yes", code=3)
    other_run = tiny.json("run", "--set", "epochs=2")
    assert (other_run["id"] != run_id, other_run["status"]) == (True, "waiting")
    tiny.edit("tests/test_posttraining.py", "== [0.0, 0.0]", "== [3.0, 5.0]")
    assert tiny.json("status", run_id)["run"]["decision"]["approved"] is True


def test_a_renamed_endpoint_and_back(tiny: Cli) -> None:
    approved_run(tiny)
    for name in ("tinyb", "tiny"):
        text = (tiny.folder / "training" / "usecase.toml").read_text().splitlines()
        (tiny.folder / "training" / "usecase.toml").write_text("\n".join([f'name = "{name}"', *text[1:]]) + "\n")
        assert tiny.json("run")["status"] == "done"
        assert tiny.json("status")["endpoint"]["name"] == f"{name}-dev"


def test_a_dead_endpoint_is_seen_and_brought_back(tiny: Cli) -> None:
    approved_run(tiny)
    endpoint = tiny.json("status")["endpoint"]
    subprocess.run(["pkill", "-9", "-f", f"mlops_cli.serving.*{tiny.folder}"], check=True)
    out = tiny("status")
    assert "FAILED" in out
    assert [line for line in out.splitlines() if line.startswith("next: ")] == ["next: mlops run --from deploy"]
    _, err = tiny.both("test-endpoint", code=3)
    assert "hint: Bring it back: mlops run --from deploy" in err
    tiny.edit("train.py", "import argparse", "import argparse  # half-way through an edit")
    run = tiny.json("run", "--from", "deploy")
    assert statuses(run)["train"] == "reused", "bringing back does not train"
    back = tiny.json("status")["endpoint"]
    assert (back["state"], back["url"], back["live_digest"]) == ("in-service", endpoint["url"], endpoint["live_digest"])


def test_the_live_model_is_compared_with_the_approved_one(tiny: Cli) -> None:
    """`test-endpoint` finds a model that was deployed without the approval."""
    from mlops_cli.backends.local.server_processes import LocalServerProcesses
    from mlops_cli.files.model_archive import pack
    from mlops_cli.serving.control import LocalEndpoint

    approved_run(tiny)
    other_folder = tiny.folder / "other"
    (other_folder / "code").mkdir(parents=True)
    shutil.copy(tiny.folder / "training" / "inference.py", other_folder / "code")
    (other_folder / "epochs.txt").write_text("9")
    digest = pack(other_folder, tiny.folder / "other.tar.gz")
    folder = tiny.folder / ".mlops" / "endpoint"
    endpoint = LocalEndpoint(folder, "tiny-dev", LocalServerProcesses(folder))
    endpoint.deploy(tiny.folder / "other.tar.gz", digest, 60, "sklearn")
    out = tiny("test-endpoint", code=3)
    assert "is approved" in out
    assert f"live is model-digest={digest}" in out


def test_an_output_that_was_tampered_with_is_not_reused(tiny: Cli) -> None:
    tiny("run")
    (data,) = (tiny.folder / ".mlops" / "artifacts" / "preprocess").glob("*/train/dataset.csv")
    data.write_text(data.read_text() + "99,more,1\n")
    run = tiny.json("run", "--explain")
    assert run["changed"] is True
    assert statuses(run)["preprocess"] == "done"


def test_cleanup_keeps_data_and_strangers(tiny: Cli) -> None:
    state = tiny.folder / ".mlops"
    (state / "notes.txt").write_text("mine")
    out = tiny("cleanup", "--keep-data", "--yes")
    assert "notes.txt" in out
    assert visible_names(state) == ["data", "lock", "notes.txt", "project.json"]
    assert ".mlops/data, .mlops/lock" in out.splitlines()[-1]
    tiny("deploy-infra")
    assert tiny.json("run")["status"] == "waiting"
    (state / "data" / "backup.csv").write_text("mine, too")
    out = tiny("cleanup", "--yes")
    assert visible_names(state) == ["data", "lock", "notes.txt", "project.json"]
    assert [path.name for path in (state / "data").iterdir()] == ["backup.csv"]
    ours = ".mlops/lock, .mlops/.gitignore, .mlops/project.json"
    assert out.splitlines()[-1] == f"verified: of everything that mlops created, only {ours} remain"
    tiny("deploy-infra")
    (state / "notes.txt").unlink()
    (state / "data" / "backup.csv").unlink()
    assert tiny("cleanup", "--yes").splitlines()[-1] == "verified: no resources created by mlops remain"
    assert not state.exists()


def visible_names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if not path.name.startswith("."))


def test_cleanup_continues_after_it_was_killed(tiny: Cli) -> None:
    approved_run(tiny)
    with tiny.start("cleanup", "--yes") as process:
        wait_for(lambda: not (tiny.folder / ".mlops" / "runs").exists() or process.poll() is not None)
        process.kill()
        process.communicate()
    tiny("cleanup", "--yes")
    assert not (tiny.folder / ".mlops").exists()
