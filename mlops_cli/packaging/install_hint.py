"""The install commands in hints, for the environment that runs mlops and no other."""

from __future__ import annotations

import json
import re
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

DISTRIBUTION = "mlops-cli"
# Files that the installers write into their own environments.
UV_RECEIPT, PIPX_RECEIPT = "uv-receipt.toml", "pipx_metadata.json"


def install_command(extra: str) -> str:
    """Return the command that adds an extra's packages to the environment of this process.

    It installs mlops from where it came from (PEP 610). If this is unknown, the command names only the packages,
    because mlops-cli on a package index is another project.
    """
    source = _source(_origin(), extra)
    if not source:
        return packages_command(*_requirements(extra))
    if runner := _runner():
        return f"{_joined(*runner, source[-1])} mlops ..."
    if _is_made_by(UV_RECEIPT):
        return _joined("uv", "tool", "install", "--force", *source)
    if _is_made_by(PIPX_RECEIPT):
        return _joined("pipx", "install", "--force", *(("--editable",) if source[0] == "-e" else ()), source[-1])
    return f"{pip_install()} {_joined(*source)}"


def packages_command(*requirements: str) -> str:
    """Return the command that adds packages to the environment of this process."""
    if _is_made_by(PIPX_RECEIPT):
        return _joined("pipx", "inject", DISTRIBUTION, *requirements)
    return f"{pip_install()} {_joined(*requirements)}"


def pip_install() -> str:
    """Return this environment's install command. An environment made by uv has no pip."""
    from importlib.util import find_spec

    if find_spec("pip") is None:
        return f"uv pip install --python {shlex.quote(sys.executable)}"
    # The system's own Python requires this option (PEP 668), with which mlops was installed, too.
    forced = " --break-system-packages" if _is_externally_managed() else ""
    return f"{shlex.quote(sys.executable)} -m pip install{forced}"


def install_arguments(extra: str) -> str:
    """Return the arguments with which ``pip`` installs the same mlops into another environment."""
    return _joined("install", *(_source(_origin(), extra) or _requirements(extra)))


def _joined(*words: str) -> str:
    return " ".join(map(shlex.quote, words))


def _runner() -> tuple[str, ...]:
    """Return the command, such as uvx or pipx run, that made this environment for one call only; () for any other."""
    parts = Path(sys.prefix).parts
    if "uv" in parts and any(part.startswith(("archive-v", "environments-v")) for part in parts):
        return ("uvx", "--from")
    return ("pipx", "run", "--spec") if "pipx" in parts and {".cache", "Caches"} & {*parts} else ()


def _is_externally_managed() -> bool:
    import sysconfig

    return sys.prefix == sys.base_prefix and Path(sysconfig.get_path("stdlib"), "EXTERNALLY-MANAGED").is_file()


def _is_made_by(receipt: str) -> bool:
    return (Path(sys.prefix) / receipt).is_file()


def _source(origin: dict[str, Any], extra: str) -> tuple[str, ...]:
    """Return the arguments that name this mlops with an extra; () if it came from an index or an unknown place."""
    address = origin.get("url", "")
    extras = ",".join(sorted({extra, *_extras_in_receipt()}))
    if not address:
        return ()
    if "dir_info" in origin:
        folder = f"{unquote(urlsplit(address).path)}[{extras}]"
        return ("-e", folder) if origin["dir_info"].get("editable") else (folder,)
    version_control = origin.get("vcs_info", {})
    if version_control:
        address = f"{version_control['vcs']}+{address}@{version_control['commit_id']}"
    sha256 = origin.get("archive_info", {}).get("hashes", {}).get("sha256", "")
    return (f"{DISTRIBUTION}[{extras}] @ {address}" + (f"#sha256={sha256}" if sha256 and "#" not in address else ""),)


def _extras_in_receipt() -> list[str]:
    """Return the extras in the receipt of uv or pipx: a reinstallation without them would remove them."""
    for receipt in (UV_RECEIPT, PIPX_RECEIPT):
        path = Path(sys.prefix) / receipt
        if path.is_file():
            text = path.read_text(encoding="utf-8", errors="replace")
            lists = re.findall(r'extras = \[([^\]]*)\]|"package_or_url": "[^"]*\[([^\]"]*)\][^"]*"', text)
            return re.findall(r"[\w-]+", " ".join(part for pair in lists for part in pair))
    return []


def _requirements(extra: str) -> list[str]:
    """Return the packages of an extra, with versions and markers, from the installed metadata."""
    from importlib.metadata import PackageNotFoundError, distribution

    try:
        lines = distribution(DISTRIBUTION).requires or []
    except PackageNotFoundError:
        return ["-e", f"{Path(__file__).parents[1]}[{extra}]"]
    return list(_of_extra(lines, extra))


def _of_extra(lines: list[str], extra: str) -> Iterator[str]:
    for line in lines:
        requirement, _, marker = line.partition(";")
        condition = re.sub(rf"""(\s*and\s*)?extra\s*==\s*['"]{re.escape(extra)}['"]""", "", marker).strip()
        if condition == marker.strip():
            continue
        # Hints name the packages of an extra: an installer would search the name mlops-cli on an index.
        own = re.fullmatch(rf"{DISTRIBUTION}\[([^\]]*)\]", requirement.strip())
        if own:
            for name in own[1].split(","):
                yield from _of_extra(lines, name.strip())
        else:
            yield f"{requirement.strip()}; {condition}" if condition else requirement.strip()


def _origin() -> dict[str, Any]:
    """Return pip's note on where mlops came from; {} for a package index or if mlops is not installed."""
    from importlib.metadata import PackageNotFoundError, distribution

    try:
        text = distribution(DISTRIBUTION).read_text("direct_url.json")
    except PackageNotFoundError:
        return {}
    origin: dict[str, Any] = json.loads(text) if text else {}
    return origin
