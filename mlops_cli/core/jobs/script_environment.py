"""The environment variables of scripts and gates: a short list, and the use case's additions. No IO.

PYTHON* is not on the list: these variables switch assertions off, load other modules or hide the scripts' folder.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import translate
from functools import cache
from pathlib import Path

from mlops_cli.files.hashing import digest_bytes

# Every script gets these on every target.
STEADY = {"PYTHONUNBUFFERED": "1", "PYTHONHASHSEED": "0", "PYTHONDONTWRITEBYTECODE": "1"}
# Their addresses may contain a password. Scripts get them nevertheless, the endpoint does not.
PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy")
# Locations and network access: they differ between terminals, so they are not cache inputs.
LOCATIONS = (
    "PATH", "HOME", "USER", "LOGNAME", "TMPDIR", "TMP", "TEMP", *PROXIES, "SSL_CERT_FILE", "SSL_CERT_DIR",
    "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "TF_CPP_MIN_LOG_LEVEL",
)  # fmt: skip
# Variables that can change a result: cache inputs by the digest of their value.
BEHAVIOUR = (
    "LANG", "LANGUAGE", "LC_*", "TZ", "LD_LIBRARY_PATH", "DYLD_*", "CUDA_*", "NVIDIA_*", "ROCR_*", "HIP_*", "OMP_*",
    "KMP_*", "MKL_*", "OPENBLAS_*", "BLIS_*", "VECLIB_*", "NUMEXPR_*", "TF_*", "XLA_*", "KERAS_*",
)  # fmt: skip
# mlops itself sets these for scripts and gates, or they can make a gate's assertions void.
OWN = ("SM_*", "MLOPS_*", "PYTEST_*", "PYTHONOPTIMIZE", "PYTHONHASHSEED", "PYTHONUNBUFFERED", "PYTHONDONTWRITEBYTECODE")
LOOPBACK = "127.0.0.1,localhost,::1"
# Python loads this module when it starts scripts, gates and their Python subprocesses.
BOOTSTRAP = Path(__file__).parents[1] / "bootstrap"
# The package that scripts may import on every target.
LIBRARY = BOOTSTRAP / "mlops_scripts"


@dataclass(frozen=True)
class PassedVariables:
    """The additions of usecase.toml: names to pass on, variables with values, and code folders for Python's path.

    ``secrets``: the names of secrets, with their address on AWS or nothing.
    """

    names: tuple[str, ...] = ()
    fixed: Mapping[str, str] = field(default_factory=dict)
    code: tuple[Path, ...] = ()
    secrets: Mapping[str, str] = field(default_factory=dict)


def is_own(name: str) -> bool:
    return _matches(name, OWN)


def is_inherited(name: str) -> bool:
    """Return True for a variable that every script gets from its caller."""
    return _matches(name, (*LOCATIONS, *BEHAVIOUR))


def script_environment(environ: Mapping[str, str], passed: PassedVariables) -> dict[str, str]:
    """Return the part of ``environ`` for scripts, and the use case's own variables."""
    listed = {name: environ[name] for name in passed.names if name in environ}
    return {**inherited_environment(environ), **listed, **passed.fixed, **STEADY}


def inherited_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the variables of the short list. Requests to this machine use no proxy."""
    inherited = {name: value for name, value in environ.items() if is_inherited(name)}
    without_proxy = _hosts_without_proxy(environ)
    return {**inherited, "NO_PROXY": without_proxy, "no_proxy": without_proxy}


def _hosts_without_proxy(environ: Mapping[str, str]) -> str:
    """Return the user's own list and this machine. "*" stands alone."""
    own = (environ.get("no_proxy") or environ.get("NO_PROXY") or "").strip(" ,")
    return own if own == "*" else ",".join((own, LOOPBACK)) if own else LOOPBACK


def with_paths(environment: Mapping[str, str], training: Path, code: Sequence[Path] = ()) -> dict[str, str]:
    """Return the environment with the scripts' folder and ``code`` on Python's path, however a script is started."""
    listed = environment.get("PYTHONPATH")
    folders = [str(BOOTSTRAP), str(training), *map(str, code), *([listed] if listed else [])]
    return {**environment, "PYTHONPATH": os.pathsep.join(folders)}


def environment_inputs(environ: Mapping[str, str], passed: PassedVariables) -> dict[str, str]:
    """Return the variables that can change a result, by the digest of their values, which may be secret.

    A secret counts only by its name, because a new password is no reason to train again.
    """
    counted = {name: value for name, value in environ.items() if _matches(name, BEHAVIOUR) and name not in LOCATIONS}
    listed = {name: environ[name] for name in passed.names if name in environ}
    values = {**counted, **listed, **passed.fixed}
    digests = {name: digest_bytes(value.encode(errors="surrogateescape")) for name, value in values.items()}
    return {
        **{f"variable {name}": digest for name, digest in digests.items()},
        **{f"secret {name}": "by its name" for name in passed.secrets},
    }


def _matches(name: str, patterns: tuple[str, ...]) -> bool:
    return _alternatives(patterns).fullmatch(name) is not None


@cache
def _alternatives(patterns: tuple[str, ...]) -> re.Pattern[str]:
    return re.compile("|".join(map(translate, patterns)))
