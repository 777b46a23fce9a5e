"""The model servers of the simulated AWS end with it, even after a kill."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from aws_simulator.processes import bearers
from mlops_cli.files.model_archive import pack
from tests.conftest import wait_for

SIMULATOR = """
import os, signal, sys
from pathlib import Path

from aws_simulator.endpoint_server import Container
from aws_simulator.processes import TOKEN, Processes
from mlops_cli.frameworks import framework_named
from mlops_cli.rehearsal.model_server import ModelServer

folder = Path(sys.argv[1])
os.environ[TOKEN] = Processes(folder).token
image = "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-scikit-learn:1.9-0-cpu-py3"
container = Container(image, framework_named("sklearn").environment, False)
ModelServer(folder / "server", "tiny", container).start(folder / "model.tar.gz", 60.0)
print(os.environ[TOKEN], flush=True)
os.kill(os.getpid(), signal.SIGSTOP)
"""
HANDLERS = """
def model_fn(folder):
    return 1

def predict_fn(rows, model):
    return rows
"""


def test_a_killed_simulator_leaves_no_model_server(tmp_path: Path) -> None:
    code = tmp_path / "package" / "code"
    code.mkdir(parents=True)
    (code / "inference.py").write_text(HANDLERS)
    pack(tmp_path / "package", tmp_path / "model.tar.gz")
    command = [sys.executable, "-c", SIMULATOR, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as simulator:
        assert simulator.stdout is not None
        token = simulator.stdout.readline().strip()
        servers = set(bearers(token)) - {simulator.pid}
        simulator.kill()
    assert servers
    wait_for(lambda: bearers(token) == [])
