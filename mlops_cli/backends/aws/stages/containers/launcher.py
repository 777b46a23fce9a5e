"""Start a training script in SageMaker's container with unchanged hyperparameters.

The container's toolkit (sagemaker-training before 5.1.3) passes the command line through a shell. There an empty value
disappears, and other values are split, expanded or executed. Values named sagemaker_* are not on the command line at
all. This file is packed beside the script and started instead of it; it executes the script with all values as they
were sent. It imports nothing of mlops.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

SCRIPT = "sagemaker_mlops_script"
VALUE = "sagemaker_mlops_value_"
# The toolkit's own hyperparameters, which no script gets.
OWN = "sagemaker_"
# Packages from an index whose credential the toolkit cannot read.
INSTALL = ("mlops_packages.py", "mlops_requirements.txt")


def hyperparameters(sent: dict[str, Any]) -> dict[str, Any]:
    """Return the script's hyperparameters, from those with which the job was created."""
    prefixed = {name.removeprefix(VALUE): value for name, value in sent.items() if name.startswith(VALUE)}
    return dict(
        sorted({**{name: value for name, value in sent.items() if not name.startswith(OWN)}, **prefixed}.items())
    )


def variables(script: str, values: dict[str, Any], arguments: list[str], before: dict[str, str]) -> dict[str, str]:
    """Return the toolkit's variables for the script, as if the toolkit had started the script itself."""
    entry_point = {"user_entry_point": script, "module_name": script.removesuffix(".py")}
    extra = {name: value for name, value in _json(before, "SM_FRAMEWORK_PARAMS").items() if not _is_ours(name)}
    whole = {**_json(before, "SM_TRAINING_ENV"), **entry_point, "hyperparameters": values}
    return {
        **{f"SM_{name.upper()}": value for name, value in entry_point.items()},
        **{f"SM_HP_{name.upper()}": _text(value) for name, value in values.items()},
        "SM_HPS": _text(values),
        "SM_USER_ARGS": _text(arguments),
        "SM_FRAMEWORK_PARAMS": _text(extra),
        "SM_TRAINING_ENV": _text({**whole, "additional_framework_parameters": extra}),
    }


def _is_ours(name: str) -> bool:
    return name == SCRIPT or name.startswith(VALUE)


def _option(name: str) -> str:
    return f"--{name}" if len(name) > 1 else f"-{name}"


def _json(variables: dict[str, str], name: str) -> dict[str, Any]:
    return dict(json.loads(variables.get(name) or "{}"))


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, sort_keys=True, separators=(",", ":"))


def main() -> None:
    sent = json.loads(Path(os.environ["SM_INPUT_CONFIG_DIR"], "hyperparameters.json").read_text(encoding="utf-8"))
    decoded = {name: json.loads(text) for name, text in sent.items()}
    script, values = decoded[SCRIPT], hyperparameters(decoded)
    arguments = [part for name, value in values.items() for part in (_option(name), str(value))]
    os.environ.update(variables(script, values, arguments, dict(os.environ)))
    if Path(INSTALL[1]).is_file() and (code := subprocess.run([sys.executable, *INSTALL]).returncode):
        sys.exit(code)
    command = [sys.executable, script, *arguments]
    if any(name.startswith("MLOPS_SECRET_") for name in os.environ):
        command = [sys.executable, "mlops_secrets.py", *command]
    os.execv(sys.executable, command)  # noqa: S606 (no shell is the purpose)


if __name__ == "__main__":
    main()
