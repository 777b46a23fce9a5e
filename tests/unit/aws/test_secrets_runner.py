"""The runner of a script with secrets in SageMaker's container: the script's environment and its output."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from mlops_cli.backends.aws.stages.containers import secrets_runner
from mlops_cli.core import secrets

ARN = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:shop/db-AbC123"
VALUES = {"FEED": "wxy-4711", "KEY": "first line=1\nsecond/line"}
BOTO3 = f"""
class Client:
    def get_parameter(self, Name, WithDecryption):
        if (Name, WithDecryption) == ("/shop/pin", True):
            return {{"Parameter": {{"Value": "47"}}}}
        if (Name, WithDecryption) != ("/shop/feed", True):
            raise LookupError("ParameterNotFound")
        return {{"Parameter": {{"Value": {VALUES["FEED"]!r}}}}}

    def get_secret_value(self, SecretId):
        return {{"SecretString": {VALUES["KEY"]!r}}}

def client(service, region_name=None):
    assert (service, region_name) in (("ssm", None), ("secretsmanager", "eu-west-1"))
    return Client()
"""


def started(folder: Path, script: str, addresses: Mapping[str, str]) -> subprocess.Popen[bytes]:
    (folder / "boto3.py").write_text(BOTO3)
    (folder / "script.py").write_text(script)
    runner = (folder / "mlops_secrets.py").resolve()
    runner.write_text(Path(secrets_runner.__file__).read_text())
    located = {f"MLOPS_SECRET_{name}": address for name, address in addresses.items()}
    command = [sys.executable, str(runner), sys.executable, "script.py", "--epochs", "3"]
    environment = {"PATH": os.environ["PATH"], **located}
    return subprocess.Popen(command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def test_a_script_gets_the_values_and_its_output_goes_on_without_them(tmp_path: Path) -> None:
    script = """
import os, sys
print(sys.argv[1:], sorted(name for name in os.environ if name.startswith("MLOPS_")))
print("feed", os.environ["FEED"], "and", "second%2Fline")
print(os.environ["KEY"], file=sys.stderr)
raise SystemExit(7)
"""
    with started(tmp_path, script, {"FEED": "/shop/feed", "KEY": ARN}) as process:
        out, err = process.communicate(timeout=60)
    assert process.returncode == 7
    assert out.decode().splitlines() == ["['--epochs', '3'] []", "feed … and …"]
    assert err.decode().splitlines() == ["…", "…"]


def test_a_secret_too_short_to_be_hidden_is_named(tmp_path: Path) -> None:
    with started(tmp_path, "print('done')", {"FEED": "/shop/pin", "KEY": ARN}) as process:
        out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (0, b"done\n")
    assert err.decode() == "warning: The secret FEED has fewer than 4 characters: it is not hidden in output.\n"


def test_a_missing_secret_ends_the_job_with_its_name_and_address(tmp_path: Path) -> None:
    with started(tmp_path, "print('not reached')", {"FEED": "/shop/gone"}) as process:
        out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (1, b"")
    assert err.decode() == "The secret FEED cannot be read from /shop/gone: ParameterNotFound\n"


def test_a_signal_to_end_reaches_the_script(tmp_path: Path) -> None:
    script = """
import os, signal, time
def end(number, frame):
    os.write(1, b"ended softly\\n")
    os._exit(3)
signal.signal(signal.SIGTERM, end)
print("ready", flush=True)
while True:
    time.sleep(0.05)
"""
    with started(tmp_path, script, {"FEED": "/shop/feed"}) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=60)
    assert (process.returncode, out, err) == (3, b"ended softly\n", b"")


def test_it_hides_what_a_local_run_hides(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(secrets, "_known", [])
    values = [*VALUES.values(), "abc", "pin4"]
    secrets.add_known_secrets(values)
    assert [form.encode() for form in secrets._known] == secrets_runner.hidden_forms(values)
