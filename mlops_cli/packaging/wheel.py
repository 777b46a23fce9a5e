"""Build a wheel of the running mlops from its installed files, so that AWS and CI run exactly this version."""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import shlex
import zipfile
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

import mlops_cli
from mlops_cli.errors import MlopsError
from mlops_cli.packaging.install_hint import DISTRIBUTION, pip_install

# The earliest time in a zip; real times would change the bytes.
EPOCH = (1980, 1, 1, 0, 0, 0)
WHEEL = "Wheel-Version: 1.0\nGenerator: mlops-cli\nRoot-Is-Purelib: true\nTag: py3-none-any\n"


def build(folder: Path) -> Path:
    """Write the wheel into ``folder`` and return its path. Raise MlopsError if mlops is not installed."""
    name, content = wheel_bytes()
    path = folder / name
    path.write_bytes(content)
    return path


def wheel_bytes() -> tuple[str, bytes]:
    """Return the wheel's name and content. Equal files give equal bytes. Raise MlopsError if mlops is not installed."""
    try:
        installed = distribution(DISTRIBUTION)
    except PackageNotFoundError:
        checkout = str(Path(mlops_cli.__file__).parents[1])
        hint = f"Install it: {pip_install()} -e {shlex.quote(checkout)}"
        raise MlopsError("mlops runs without being installed.", hint) from None
    stem = f"{DISTRIBUTION.replace('-', '_')}-{installed.version}"
    files = {**_package(), **_metadata(installed, f"{stem}.dist-info")}
    record = f"{stem}.dist-info/RECORD"
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in (*sorted(files.items()), (record, _record(files, record))):
            entry = zipfile.ZipInfo(name, EPOCH)
            entry.create_system = 3
            entry.external_attr = 0o100644 << 16
            archive.writestr(entry, data, zipfile.ZIP_DEFLATED)
    return f"{stem}-py3-none-any.whl", content.getvalue()


def _package() -> dict[str, bytes]:
    root = Path(mlops_cli.__file__).parent
    paths = [path for path in root.rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    return {path.relative_to(root.parent).as_posix(): path.read_bytes() for path in paths}


def _metadata(installed: Distribution, folder: str) -> dict[str, bytes]:
    names = ("METADATA", "entry_points.txt")
    texts = {name: text for name in names if (text := installed.read_text(name))}
    return {f"{folder}/{name}": text.encode() for name, text in {**texts, "WHEEL": WHEEL}.items()}


def _record(files: dict[str, bytes], record: str) -> bytes:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    for name, content in sorted(files.items()):
        digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
        writer.writerow((name, f"sha256={digest}", len(content)))
    writer.writerow((record, "", ""))
    return out.getvalue().encode()
