"""What stands for a build image: a virtual environment that sees the packages of the tests' own, and no index.

The packages are seen through links, all but this project's own: a build must install the CLI that it was given.
"""

from __future__ import annotations

import site
import sys
import venv
from pathlib import Path

OWN = ("mlops_cli", "mlops-cli", "_editable", "__editable__")

AWS = """#!{python}
import sys
from pathlib import Path
from urllib.parse import urlsplit

import boto3

quiet = ("--only-show-errors", "--quiet", "--no-progress")
arguments = [argument for argument in sys.argv[1:] if argument not in quiet]
if arguments[:2] != ["s3", "cp"] or len(arguments) != 4:
    sys.exit(f"the simulated image knows `aws s3 cp SOURCE TARGET` only, not: {{' '.join(arguments)}}")
source, target = arguments[2:]
s3 = boto3.client("s3")
if source.startswith("s3://"):
    address, name = urlsplit(source), source.rpartition("/")[2]
    path = Path(target) / name if target.endswith("/") or Path(target).is_dir() else Path(target)
    path.parent.mkdir(parents=True, exist_ok=True)
    s3.download_file(address.netloc, address.path[1:], str(path))
else:
    address = urlsplit(target)
    key = address.path[1:] + (Path(source).name if target.endswith("/") else "")
    s3.upload_file(source, address.netloc, key)
"""


def packages(folder: Path) -> Path:
    """A folder of links to every installed package but our own; made once."""
    if not folder.exists():
        folder.mkdir(parents=True)
        for entry in Path(site.getsitepackages()[0]).iterdir():
            if not entry.name.startswith(OWN) and entry.suffix != ".pth":
                (folder / entry.name).symlink_to(entry)
    return folder


def make(folder: Path, linked: Path) -> Path:
    """A fresh environment; gives its folder of commands."""
    venv.EnvBuilder(symlinks=True, with_pip=False).create(folder)
    library = folder / "lib" / f"python{sys.version_info[0]}.{sys.version_info[1]}" / "site-packages"
    (library / "image.pth").write_text(f"{linked}\n")
    command = folder / "bin" / "aws"
    command.write_text(AWS.format(python=folder / "bin" / "python"))
    command.chmod(0o755)
    return folder / "bin"
