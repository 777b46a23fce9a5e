"""A script runs in the same environment in SageMaker's toolkit, in the simulated SageMaker and in a local run.

SageMaker's TensorFlow image runs scripts with this toolkit (sagemaker-training). Here it runs as a plain process in a
virtual environment, and reads its code from the simulated S3.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from aws_simulator.fixture import Aws
from aws_simulator.services.sagemaker.jobs import scriptmode
from aws_simulator.tests.sagemaker.job_account import BUCKET, Jobs, untarred
from mlops_cli.backends.aws.stages.containers import launcher
from mlops_cli.backends.aws.stages.jobs.job_requests import LAUNCHER, JobSpec, training_request
from mlops_cli.core.jobs import script_mode
from mlops_cli.core.jobs.script_job import ScriptJob, command_line
from mlops_cli.core.stages import Kind
from mlops_cli.project.usecase.instances import JobInstances
from tests.conftest import LIMIT_SECONDS

# On one worker, which installs each version of the toolkit once.
pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("toolkit")]
# The first is what the lock of the TensorFlow 2.21 image names: it puts the command line through a shell.
TOOLKITS = ("5.1.1", "5.1.4")
MODULE = "tensorflow_entry_point:main"
# As the TensorFlow image's own entry point calls it.
ENTRY_POINT = """
from sagemaker_training import entry_point, environment

def main():
    env = environment.Environment()
    entry_point.run(env.module_dir, env.user_entry_point, env.to_cmd_args(), env.to_env_vars(), capture_error=True)
"""
SCRIPT = """
import json, os, sys
from pathlib import Path
model = Path(os.environ["SM_MODEL_DIR"])
root = model.parent
files = sorted(path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file())
variables = {name: value for name, value in os.environ.items() if name.startswith("SM_")}
config = {path.name: path.read_text() for path in (root / "input" / "config").iterdir()}
seen = {"argv": sys.argv, "cwd": os.getcwd(), "variables": variables, "files": files, "root": str(root)}
seen["config"] = config
Path(os.environ["SM_OUTPUT_DATA_DIR"], "seen.json").write_text(json.dumps(seen))
if "--fail" in sys.argv:
    raise ValueError("it was told to fail")
"""
# In quotes a value reaches the script letter by letter, as mlops sends them; without, the toolkit makes JSON of it.
QUOTED = {"epochs": '"3"', "learning_rate": '"1e-3"', "name": '"a b"', "flag": '"true"'}
BARE = {"bare": "3", "rate": "1e-3", "truth": "true", "table": '{"b": 1, "a": "x"}', "words": "plain text", "n": "7"}


# What a shell would split, expand, execute or drop.
HARMFUL = {
    "nothing": "",
    "blank": "a b",
    "quotes": 'it\'s "so"',
    "variable": "$HOME",
    "command": "a; echo b",
    "star": "*",
    "line": "a\nb",
    "letters": "ü→",
    "both": "a&b",
    "group": "(a)",
    "less": "<a",
    "back": "a\\b",
    "tilde": "~",
    "braces": "{a,b}",
    "comment": "#a",
    "tick": "`id`",
    "x": "1",
    "sagemaker_own": "1",
    "epochs": 3,
    "rate": 1e-05,
    "negative": -0.5,
    "truth": True,
    "number_as_text": "3",
}


@pytest.fixture(scope="session", params=TOOLKITS)
def toolkit(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Path:
    """Provide the toolkit's ``train`` in a virtual environment."""
    folder = tmp_path_factory.mktemp("toolkit") / request.param
    requirement = f"sagemaker-training=={request.param}"
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    # These two come as (pure Python) source; nothing is to be compiled.
    binaries = ["--only-binary", ":all:", "--no-binary", "sagemaker-training,inotify-simple"]
    command = [folder / "bin" / "python", "-m", "pip", "install", "-q", *binaries, requirement]
    installed = subprocess.run(command, capture_output=True, text=True, check=False)
    if installed.returncode:
        pytest.skip(f"{requirement} cannot be installed here: {installed.stderr[-300:]}")
    (folder / "tensorflow_entry_point.py").write_text(ENTRY_POINT)
    return folder


@pytest.fixture
def jobs(aws: Aws, toolkit: Path) -> Jobs:
    """Provide an account with the toolkit's version in its training image."""
    aws.control("sagemaker-toolkit", version=toolkit.name)
    return Jobs(aws)


def run_toolkit(toolkit: Path, folder: Path, request: Mapping[str, Any], aws: Aws) -> Path:
    """Run the request in the image. Return its /opt/ml."""
    root = folder / "opt" / "ml"
    for name in ("input/config", "input/data", "model", "output/data"):
        (root / name).mkdir(parents=True)
    for channel in request["InputDataConfig"]:
        data = root / "input" / "data" / channel["ChannelName"]
        data.mkdir()
        (data / "rows.csv").write_text(f"rows of {channel['ChannelName']}")
    host = scriptmode.Host("algo-1", ["algo-1"], root, "ml.m5.xlarge", os.cpu_count() or 1)
    files = {
        "hyperparameters": request["HyperParameters"],
        "resourceconfig": host.resource_config,
        "inputdataconfig": scriptmode.input_data_config(request),
    }
    for name, content in files.items():
        (root / "input" / "config" / f"{name}.json").write_text(json.dumps(content))
    environment = {
        **aws.environment,
        "S3_ENDPOINT_URL": aws.url,
        "SAGEMAKER_BASE_DIR": str(root),
        "SAGEMAKER_TRAINING_MODULE": MODULE,
        "SM_STUDIO_LOCAL_MODE": "true",
        "TRAINING_JOB_NAME": request["TrainingJobName"],
        "PYTHONPATH": str(toolkit),
        "PATH": f"{toolkit / 'bin'}:/usr/bin:/bin",
        "HOME": str(folder),
    }
    subprocess.run(
        [toolkit / "bin" / "train"], env=environment, capture_output=True, check=False, timeout=LIMIT_SECONDS
    )
    return root


def neutral(seen: dict[str, Any]) -> dict[str, Any]:
    """Return the environment that a script has reported, without the path of /opt/ml and the image's program."""
    text = json.dumps(seen).replace(seen["root"], "/opt/ml").replace(MODULE, scriptmode.TENSORFLOW)
    document: dict[str, Any] = json.loads(text)
    document["variables"].pop("SM_STUDIO_LOCAL_MODE", None)
    return document


def test_the_simulator_gives_a_script_the_toolkits_environment(
    aws: Aws, jobs: Jobs, toolkit: Path, tmp_path: Path
) -> None:
    channels = {name: f"s3://{BUCKET}/data/{name}/" for name in ("train", "validation")}
    request = jobs.training(
        "same", SCRIPT, hyperparameters={**QUOTED, **BARE, "sagemaker_job_name": '"same"'}, channels=channels
    )
    root = run_toolkit(toolkit, tmp_path, request, aws)
    theirs = neutral(json.loads((root / "output" / "data" / "seen.json").read_text()))
    jobs.sagemaker.create_training_job(**request)
    assert jobs.trained("same")["TrainingJobStatus"] == "Completed"
    ours = neutral(json.loads(untarred(jobs.get("out/same/output/output.tar.gz"))["seen.json"]))
    assert (root / "output" / "success").exists()
    assert ours["argv"] == theirs["argv"]
    assert ours["cwd"] == theirs["cwd"] == "/opt/ml/code"
    assert ours["files"] == theirs["files"]
    assert ours["config"] == theirs["config"], "byte by byte"
    assert ours["variables"].keys() == theirs["variables"].keys()
    assert json.loads(ours["variables"].pop("SM_TRAINING_ENV")) == json.loads(
        theirs["variables"].pop("SM_TRAINING_ENV")
    )
    assert ours["variables"] == theirs["variables"]


def test_a_local_run_gives_a_script_the_toolkits_environment(
    aws: Aws, jobs: Jobs, toolkit: Path, tmp_path: Path
) -> None:
    channels = {name: f"s3://{BUCKET}/data/{name}/" for name in ("train", "validation")}
    plain = {**QUOTED, "name": '"a-b"', "bare": "3", "rate": "0.001", "tiny": "1e-05", "truth": "true", "a": '"x"'}
    request = jobs.training("local", SCRIPT, hyperparameters=plain, channels=channels)
    root = run_toolkit(toolkit, tmp_path, request, aws)
    seen = json.loads((root / "output" / "data" / "seen.json").read_text())
    folders = {name: root / "input" / "data" / name for name in channels}
    arguments = {name: json.loads(value) for name, value in plain.items()}
    job = ScriptJob("local", Kind.TRAINING, root / "code" / "train.py", root, folders, arguments)
    assert command_line(job, "python3")[1:] == seen["argv"]
    in_the_service = seen["config"]
    own = {name: value for name, value in json.loads(in_the_service["hyperparameters.json"]).items() if name in plain}
    assert script_mode.config_files(job) == {
        "hyperparameters.json": json.dumps(own),
        "inputdataconfig.json": in_the_service["inputdataconfig.json"],
        "resourceconfig.json": in_the_service["resourceconfig.json"].replace("ml.m5.xlarge", script_mode.INSTANCE_TYPE),
    }
    theirs, ours = seen["variables"], script_mode.environment(job, os.cpu_count() or 1)
    theirs.pop("SM_STUDIO_LOCAL_MODE")
    assert ours.keys() == theirs.keys()
    # Here the output lies beside the model, there below output/; the code comes from S3 there, from a folder here; the
    # machine is another one.
    elsewhere = {"output_dir", "output_data_dir", "output_intermediate_dir", "module_dir", "framework_module"}
    elsewhere |= {"current_instance_type", "instance_groups_dict", "resource_config"}
    apart = {f"SM_{name.upper()}" for name in elsewhere} | {"SM_TRAINING_ENV"}
    assert {name: ours[name] for name in ours.keys() - apart} == {name: theirs[name] for name in ours.keys() - apart}
    our_facts, their_facts = json.loads(ours["SM_TRAINING_ENV"]), json.loads(theirs["SM_TRAINING_ENV"])
    assert our_facts.keys() == their_facts.keys()
    assert {name for name in our_facts if our_facts[name] != their_facts[name]} == elsewhere
    assert json.loads(ours["SM_RESOURCE_CONFIG"]).keys() == json.loads(theirs["SM_RESOURCE_CONFIG"]).keys()


def test_hyperparameters_reach_the_script_unchanged(aws: Aws, jobs: Jobs, toolkit: Path, tmp_path: Path) -> None:
    """The toolkit, the simulated SageMaker and a local run pass the same characters."""
    channels = {"train": f"s3://{BUCKET}/data/train/"}
    request = jobs.training("harmful", SCRIPT, channels=channels, files={LAUNCHER: Path(launcher.__file__).read_text()})
    code = request["HyperParameters"]["sagemaker_submit_directory"]
    spec = JobSpec(
        "harmful", "image", "role", "us-east-1", code, "s3://b/o", channels, "s3://b/c", JobInstances("ml.m5")
    )
    request["HyperParameters"] = training_request("train.py", HARMFUL, spec)["HyperParameters"]
    root = run_toolkit(toolkit, tmp_path, request, aws)
    jobs.sagemaker.create_training_job(**request)
    assert jobs.trained("harmful")["TrainingJobStatus"] == "Completed"
    job = ScriptJob("train", Kind.TRAINING, Path("train.py"), root, {}, HARMFUL)
    local = script_mode.environment(job, 1)
    names = [name for name in local if name.startswith(("SM_HP", "SM_USER_ARGS", "SM_MODULE_NAME"))]
    assert len(names) > len(HARMFUL)
    for text in (
        (root / "output" / "data" / "seen.json").read_text(),
        untarred(jobs.get("out/harmful/output/output.tar.gz"))["seen.json"],
    ):
        seen = json.loads(text)
        assert seen["argv"] == command_line(job, "python3")[1:]
        assert {name: _read(seen["variables"][name]) for name in names} == {name: _read(local[name]) for name in names}
        assert json.loads(seen["variables"]["SM_TRAINING_ENV"])["hyperparameters"] == HARMFUL
        assert seen["variables"]["SM_USER_ENTRY_POINT"] == "train.py"
        assert json.loads(seen["variables"]["SM_FRAMEWORK_PARAMS"]) == {}


def _read(value: str) -> Any:
    try:
        return json.loads(value)
    except ValueError:
        return value


def test_a_failed_script_has_the_same_message(aws: Aws, jobs: Jobs, toolkit: Path, tmp_path: Path) -> None:
    channels = {"train": f"s3://{BUCKET}/data/train/"}
    request = jobs.training("bad", SCRIPT, hyperparameters={"fail": "1"}, channels=channels)
    root = run_toolkit(toolkit, tmp_path, request, aws)
    written = (root / "output" / "failure").read_text()
    jobs.sagemaker.create_training_job(**request)
    reason = jobs.trained("bad")["FailureReason"]
    python = str(toolkit / "bin" / "python")
    assert reason.startswith("AlgorithmError: ")
    theirs = f"AlgorithmError: {written}, exit code: 1".replace(f'Command "{python}', 'Command "python').splitlines()
    ours = reason.replace('Command "python3', 'Command "python').splitlines()
    assert ours == theirs
