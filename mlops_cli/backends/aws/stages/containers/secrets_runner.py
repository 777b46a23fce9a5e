"""Run a script in SageMaker's container with its secrets, which must not be in the job's definition.

The definition has the addresses (MLOPS_SECRET_NAME); the job's role reads the values. The values are removed from each
line of the script's output. This file is packed beside the script and imports nothing of mlops.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import IO, Any
from urllib.parse import quote

ADDRESS = "MLOPS_SECRET_"  # the prefix of the secret's name; a variable of a job has at most 256 characters
HIDDEN, LEAST = "…", 4
GRACE_SECONDS = 5
Client = Callable[..., Any]


def read(address: str, client: Client) -> str:
    """Return the value at a path of Parameter Store, or at the ARN of a secret in Secrets Manager."""
    if address.startswith("/"):
        answer = client("ssm").get_parameter(Name=address, WithDecryption=True)
        return str(answer["Parameter"]["Value"])
    answer = client("secretsmanager", region_name=address.split(":")[3]).get_secret_value(SecretId=address)
    if "SecretString" not in answer:
        raise ValueError("it is binary, expected a text")
    return str(answer["SecretString"])


def hidden_forms(values: Iterable[str]) -> list[bytes]:
    """Return the texts to remove from the output: each line of a value, also as it is encoded in a URL."""
    lines = {line.strip() for value in values for line in (value, *value.splitlines())}
    forms = {form for line in lines if len(line) >= LEAST for form in (line, quote(line, safe=""))}
    return [form.encode() for form in sorted(forms, key=len, reverse=True)]


def run(command: Sequence[str], values: Mapping[str, str], secrets: Iterable[str] = ()) -> int:
    """Run the command with the values in its environment. Return its exit code. Pass on a signal to end.

    Remove the ``secrets`` from the output; if none are named, remove all values.
    """
    environment = {**{name: text for name, text in os.environ.items() if not name.startswith(ADDRESS)}, **values}
    forms = hidden_forms(secrets or values.values())
    early: list[int] = []  # signals that arrive while the process is started
    signal.signal(signal.SIGTERM, lambda number, _: early.append(number))
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    signal.signal(signal.SIGTERM, lambda number, _: process.send_signal(number))
    for number in early:
        process.send_signal(number)
    pipes = ((process.stdout, sys.stdout.buffer), (process.stderr, sys.stderr.buffer))
    threads = [threading.Thread(target=_pass_on, args=(*pair, forms), daemon=True) for pair in pipes]
    for thread in threads:
        thread.start()
    code = process.wait()
    for thread in threads:
        thread.join(GRACE_SECONDS)  # a remaining process of the script may keep the pipe open
    return code if code >= 0 else 128 - code


def _pass_on(source: IO[bytes], target: IO[bytes], forms: Sequence[bytes]) -> None:
    for line in source:
        for form in forms:
            line = line.replace(form, HIDDEN.encode())
        target.write(line)
        target.flush()


def main() -> int | str:
    import boto3

    values = {}
    for variable, address in os.environ.items():
        if variable.startswith(ADDRESS):
            name = variable.removeprefix(ADDRESS)
            try:
                values[name] = read(address, boto3.client)
            except Exception as error:  # noqa: BLE001 (whatever it is, the script cannot run)
                return f"The secret {name} cannot be read from {address}: {error}"
            if len(values[name].strip()) < LEAST:
                warning = f"The secret {name} has fewer than {LEAST} characters: it is not hidden in output."
                print(f"warning: {warning}", file=sys.stderr, flush=True)  # noqa: T201
    return run(sys.argv[1:], values)


if __name__ == "__main__":
    sys.exit(main())
