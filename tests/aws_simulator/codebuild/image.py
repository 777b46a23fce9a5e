"""What stands for a build image: a virtual environment that sees the packages of the tests' own, and no index.

The packages are seen through links, all but this project's own: a build must install the CLI that it was given.
"""

from __future__ import annotations

import shutil
import site
import sys
import threading
import venv
from pathlib import Path

import pip

from . import installer, s3_copy

MAKING = threading.Lock()
OWN = ("mlops_cli", "mlops-cli", "_editable", "__editable__")


def packages(folder: Path) -> Path:
    """A folder of links to every installed package but our own, with an installer around pip's; made once."""
    with MAKING:
        if not folder.exists():
            partial = folder.with_name(f"{folder.name}.partial")
            partial.mkdir(parents=True)
            for entry in Path(site.getsitepackages()[0]).iterdir():
                if not entry.name.startswith((*OWN, "pip-")) and entry.name != "pip" and entry.suffix != ".pth":
                    (partial / entry.name).symlink_to(entry)
            (partial / "pip").mkdir()
            shutil.copy(installer.__file__, partial / "pip" / "__main__.py")
            installer.real(folder).mkdir()
            (installer.real(folder) / "pip").symlink_to(Path(pip.__file__).parent)
            partial.rename(folder)
    return folder


def make(folder: Path, linked: Path) -> Path:
    """A fresh environment; gives its folder of commands."""
    venv.EnvBuilder(symlinks=True, with_pip=False).create(folder)
    library = folder / "lib" / f"python{sys.version_info[0]}.{sys.version_info[1]}" / "site-packages"
    (library / "image.pth").write_text(f"{linked}\n")
    command = folder / "bin" / "aws"
    command.write_text(f"#!{folder / 'bin' / 'python'}\n{Path(s3_copy.__file__).read_text()}")
    command.chmod(0o755)
    return folder / "bin"
