"""How the running mlops was installed: what a hint must say to add packages to it."""

from __future__ import annotations

import json
import shlex
from typing import Any
from urllib.parse import unquote, urlsplit

DISTRIBUTION = "mlops-cli"


def install_command(extra: str) -> str:
    """The pip command that adds an extra's packages, from wherever this installation came (PEP 610)."""
    origin = _origin()
    address = origin.get("url", "")
    if not address:
        return f"pip install {shlex.quote(f'{DISTRIBUTION}[{extra}]')}"
    if "dir_info" in origin:
        editable = "-e " if origin["dir_info"].get("editable") else ""
        return f"pip install {editable}{shlex.quote(f'{unquote(urlsplit(address).path)}[{extra}]')}"
    version_control = origin.get("vcs_info", {})
    if version_control:
        address = f"{version_control['vcs']}+{address}@{version_control['commit_id']}"
    return f"pip install {shlex.quote(f'{DISTRIBUTION}[{extra}] @ {address}')}"


def _origin() -> dict[str, Any]:
    """Nothing for an installation from a package index, or for none."""
    from importlib.metadata import PackageNotFoundError, distribution

    try:
        text = distribution(DISTRIBUTION).read_text("direct_url.json")
    except PackageNotFoundError:
        return {}
    found: dict[str, Any] = json.loads(text) if text else {}
    return found
