"""Training with several workers, devices and interruptions gives the same model."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scripts import TINY, TRAINING, job_variables, train

from fitting.local_workers import free_ports
from mlops_cli.files.model_archive import pack
from tests.conftest import LIMIT_SECONDS

pytestmark = pytest.mark.slow

# Without dropout and clipping the rows of a step may be dealt out in any way: the sum of their gradients stays.
EXACT = (*TINY, "--word_dropout", 0, "--spatial_dropout", 0, "--dropout", 0, "--clip_norm", 1000)


def start(dataset: Path, output: Path, *arguments: object, **environment: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        list(map(str, arguments)),
        cwd=TRAINING,
        env={"PATH": "/usr/bin:/bin", **job_variables(dataset, output), **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def report(output: Path) -> Any:
    return json.loads((output / "output" / "metrics.json").read_text())


def sharded(variables: dict[str, str], folder: Path, rank: int, size: int) -> dict[str, str]:
    """Give a host only its own files of the channel `train`, as SageMaker does."""
    own = folder / f"own-{rank}"
    own.mkdir()
    for path in sorted(Path(variables["SM_CHANNEL_TRAIN"]).iterdir())[rank::size]:
        (own / path.name).symlink_to(path)
    channels = {"train": {"S3DistributionType": "ShardedByS3Key"}}
    return {"SM_CHANNEL_TRAIN": str(own), "SM_INPUT_DATA_CONFIG": json.dumps(channels)}


def test_two_workers_with_rows_of_their_own_have_equal_weights_and_do_as_well_as_one(
    sample_dataset: Path, tmp_path: Path
) -> None:
    hosts = [f"127.0.0.1:{port}" for port in free_ports(2)]
    workers = [
        start(
            *(sample_dataset, tmp_path / "two", sys.executable, "train.py", *EXACT),
            SM_HOSTS=json.dumps(hosts),
            SM_CURRENT_HOST=host,
            **sharded(job_variables(sample_dataset, tmp_path), tmp_path, rank, 2),
        )
        for rank, host in enumerate(hosts)
    ]
    output = [worker.communicate(timeout=LIMIT_SECONDS)[0] for worker in workers]
    assert [worker.returncode for worker in workers] == [0, 0], output
    weights = [re.findall(r"^weights (\w{64})$", text, re.M) for text in output]
    assert weights[0] == weights[1] != []
    assert "progress" not in output[1]

    assert train(sample_dataset, tmp_path / "one", *EXACT).returncode == 0
    alone, together = (report(tmp_path / name) for name in ("one", "two"))
    assert {name: together[name] for name in ("rows", "words")} == {name: alone[name] for name in ("rows", "words")}
    assert together["history"][0]["loss"] == pytest.approx(alone["history"][0]["loss"], rel=0.2)
    assert together["metrics"]["test"]["macro"]["roc_auc"] == pytest.approx(
        alone["metrics"]["test"]["macro"]["roc_auc"], abs=0.05
    )
    names = [json.loads((tmp_path / name / "output" / "predictions.json").read_text()) for name in ("one", "two")]
    assert names[0]["trained_on"] == names[1]["trained_on"]


def test_when_a_worker_is_killed_all_end_and_the_next_start_continues(sample_dataset: Path, tmp_path: Path) -> None:
    command = (sys.executable, "train.py", *TINY, "--workers", 2, "--checkpoint_seconds", 0)
    environment = {"SM_CHECKPOINT_DIR": str(tmp_path / "checkpoints")}
    first = start(sample_dataset, tmp_path, *command, **environment)
    wait_for_step(first, 5)
    children = Path(f"/proc/{first.pid}/task/{first.pid}/children")
    if not children.exists():
        first.kill()
        pytest.skip("this system does not tell a process's children")
    last = children.read_text().split()[-1]
    subprocess.run(["kill", "-9", last], check=True)
    output, _ = first.communicate(timeout=LIMIT_SECONDS)
    assert first.returncode == 1, output
    assert re.search(r"worker \d of 2 ended with exit code", output), output

    repeated = start(sample_dataset, tmp_path, *command, **environment)
    output, _ = repeated.communicate(timeout=LIMIT_SECONDS)
    assert repeated.returncode == 0, output
    assert re.search(r"resumes after step [1-9]", output), output
    assert list((tmp_path / "checkpoints").iterdir()) == []


def test_a_killed_training_continues_to_the_very_weights_of_an_uninterrupted_one(
    tiny_training: Path, sample_dataset: Path, tmp_path: Path
) -> None:
    arguments = (sys.executable, "train.py", *TINY, "--checkpoint_seconds", 0)
    environment = {"SM_CHECKPOINT_DIR": str(tmp_path / "checkpoints")}
    killed = start(sample_dataset, tmp_path, *arguments, **environment)
    wait_for_step(killed, 8)
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    resumed = start(sample_dataset, tmp_path, *arguments, **environment)
    output, _ = resumed.communicate(timeout=LIMIT_SECONDS)
    assert resumed.returncode == 0, output
    assert re.search(r"resumes after step ([5-9]|1\d)", output), output
    packages = [pack(folder / "model", tmp_path / f"{n}.tar.gz") for n, folder in enumerate((tiny_training, tmp_path))]
    assert packages[0] == packages[1]
    assert report(tmp_path)["history"] == report(tiny_training)["history"]


def test_a_checkpoint_of_another_training_is_not_taken_up(tmp_path: Path) -> None:
    import tensorflow as tf

    from fitting.checkpoints import Checkpoints

    class Part(tf.Module):  # type: ignore[misc]
        def __init__(self, value: float) -> None:
            super().__init__()
            self.value = tf.Variable(value)

    Checkpoints(tmp_path, ["one"], part=Part(1.0)).save(3, {"step": 3})
    Checkpoints(tmp_path, ["one"], part=Part(2.0)).save(4, {"step": 4})
    part, other_part = Part(0.0), Part(0.0)
    assert Checkpoints(tmp_path, ["one"], part=part).restore() == {"step": 4}
    assert float(part.value) == 2.0
    assert Checkpoints(tmp_path, ["another"], part=other_part).restore() == {}
    assert float(other_part.value) == 0.0
    Checkpoints(tmp_path, ["another"], part=other_part).save(1, {})
    assert len(list(tmp_path.iterdir())) == 1
    assert Checkpoints(None, [], part=other_part).restore() == {}


def test_an_incomplete_checkpoint_is_ignored(tmp_path: Path) -> None:
    """A copy may be incomplete if it was made during a write."""
    import tensorflow as tf

    from fitting.checkpoints import Checkpoints

    class Part(tf.Module):  # type: ignore[misc]
        def __init__(self, value: float) -> None:
            super().__init__()
            self.value = tf.Variable(value)

    Checkpoints(tmp_path, ["one"], part=Part(1.0)).save(9, {"step": 9})
    earlier = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    Checkpoints(tmp_path, ["one"], part=Part(2.0)).save(10, {"step": 10})
    for path, content in earlier.items():
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)
    (tmp_path / "training-of-another" / "000000001").mkdir(parents=True)
    (path.parents[1] / "000000011" / "weights_temp").mkdir(parents=True)
    part = Part(0.0)
    assert Checkpoints(tmp_path, ["one"], part=part).restore() == {"step": 10}
    (data,) = tmp_path.rglob("*10/weights.data*")
    data.write_bytes(data.read_bytes()[:-1])
    assert Checkpoints(tmp_path, ["one"], part=part).restore() == {"step": 9}
    assert float(part.value) == 1.0
    for notes in tmp_path.rglob("*.json"):
        notes.unlink()
    assert Checkpoints(tmp_path, ["one"], part=part).restore() == {}
    Checkpoints(tmp_path, ["one"], part=part).save(11, {})
    assert len([path for path in tmp_path.rglob("*") if path.is_dir()]) == 2


def test_two_devices_of_one_machine_make_the_steps_of_one() -> None:
    """Two logical CPUs replace two GPUs. The test needs its own process, because TensorFlow creates devices first."""
    done = subprocess.run(
        [sys.executable, "-c", DEVICES], cwd=TRAINING, capture_output=True, text=True, env={"PATH": "/usr/bin:/bin"}
    )
    assert done.returncode == 0, done.stderr
    first, two = (np.array(json.loads(line)) for line in done.stdout.splitlines() if line.startswith("["))
    np.testing.assert_allclose(two, first, atol=1e-4)


DEVICES = """
import json, sys
sys.modules["keras"] = None  # its import takes as long as that of TensorFlow
import numpy as np, polars as pl, tensorflow as tf
from pathlib import Path
from tempfile import mkdtemp
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, 2 * [tf.config.LogicalDeviceConfiguration()])
from common.hyperparameters import Hyperparameters
from fitting.checkpoints import Checkpoints
from fitting.dataset import open_split
from fitting.distributed import DistributedContext
from fitting.trainer import Trainer
from model.features import Featurizer
from model.network import Network
from model.vocabulary import choose_words, count_words
folder = Path(mkdtemp())
texts = [f"you are kind {n % 7} words" for n in range(60)]
rows = pl.DataFrame({"text": texts, "kind": [n % 7 < 2 for n in range(60)]})
rows.cast({"kind": pl.UInt8}).write_parquet(folder / "part.parquet")
split = open_split(folder, "text", ["kind"])
featurizer = Featurizer(choose_words(*count_words(split.texts(), 100), 2, 100))
exact = {"word_dropout": 0, "spatial_dropout": 0, "dropout": 0, "clip_norm": 1000}
settings = Hyperparameters.of_use_case(epochs=2, batch_size=16, embedding_size=4, lstm_units=3, **exact)
rates = np.array([0.3])
for strategy in (tf.distribute.get_strategy(), tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])):
    context = DistributedContext(0, 1, strategy)
    with strategy.scope():
        network = Network(featurizer.words, rates, settings)
    trainer = Trainer(network, featurizer, settings, split, rates, context)
    for epoch in (1, 2):
        trainer.epoch(epoch, [], Checkpoints(None, [], network=network))
    print(json.dumps(trainer.predict(split).logits.tolist()), flush=True)
"""


def wait_for_step(process: subprocess.Popen[str], step: int) -> None:
    """Wait until the training has printed this number of steps."""
    assert process.stdout is not None
    seen = []
    for line in process.stdout:
        seen.append(line)
        match = re.match(r"progress (\d+)/", line)
        if match and int(match[1]) >= step:
            return
    raise AssertionError("".join(seen))
