"""scikit-learn models as skops files: equal byte for byte, and loaded without the code of a stranger."""

from __future__ import annotations

import io
import os
import re
import zipfile
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from types import FunctionType
from typing import Any

# Without these, every class of scikit-learn is trusted: they read files, open connections, or replace other code.
NOT_TRUSTED = ("callback", "datasets", "externals", "tests", "_testing", "_mocking", "_build_utils", "_plot")
# A trusted function may be called with whatever the file says. Those of these packages only compute.
FUNCTIONS = ("sklearn.cluster.", "sklearn.feature_selection.", "sklearn.metrics.", "sklearn.preprocessing.")
# Of other packages, what models of scikit-learn keep. numpy as a whole is not trusted: it has functions that run texts.
OTHERS = (
    "numpy.dtype",
    "numpy.mean",
    "numpy.median",
    "scipy._lib.array_api_compat.numpy._aliases.asarray",
    "scipy.interpolate._bsplines.BSpline",
    "scipy.interpolate._interpolate.interp1d",
    *(f"scipy.sparse._{kind}.{kind}_{form}" for kind in ("bsr", "coo", "csc", "csr", "dia", "dok", "lil")
      for form in ("array", "matrix")),
)  # fmt: skip


def save_skops(model: Any, name: str = "model.skops") -> Path:
    """Write a scikit-learn model to SM_MODEL_DIR as data, not as a pickle. Equal models give equal files.

    skops records times and memory addresses, which differ between processes; this function removes them.
    """
    import skops.io

    with zipfile.ZipFile(io.BytesIO(skops.io.dumps(model))) as dumped:
        files = {entry: dumped.read(entry) for entry in dumped.namelist()}
    schema = files.pop("schema.json").decode()
    address = re.compile(r'(?<="__id__": )\d+|\d+(?=\.npy)')
    numbers: dict[str, str] = {}
    schema = address.sub(lambda match: numbers.setdefault(match[0], str(len(numbers))), schema)
    path = Path(os.environ["SM_MODEL_DIR"], name)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(zipfile.ZipInfo("schema.json"), schema)
        renamed = {address.sub(lambda match: numbers[match[0]], entry): content for entry, content in files.items()}
        for entry, content in sorted(renamed.items()):
            archive.writestr(zipfile.ZipInfo(entry), content)
    return path


def load_skops(path: str | Path, trusted: Sequence[str] = ()) -> Any:
    """Load a model that consists of types of scikit-learn, and of those in ``trusted``, by their full names.

    Raise skops' UntrustedTypesFoundException for any other type: no code of it has run.
    """
    import skops.io

    types = [name for name in skops.io.get_untrusted_types(file=path) if _is_of_sklearn(name)]
    return skops.io.load(path, trusted=[*trusted, *types])


def _is_of_sklearn(full_name: str) -> bool:
    """Return True for a class of scikit-learn and for the functions that its models keep."""
    if full_name in OTHERS:
        return True
    module, _, name = full_name.rpartition(".")
    if not module.startswith("sklearn.") or not {*module.split(".")}.isdisjoint(NOT_TRUSTED):
        return False
    try:
        value = getattr(import_module(module), name)
    except (ImportError, AttributeError):
        return False
    own = str(getattr(value, "__module__", ""))
    if not (own.startswith("sklearn.") or module.endswith(f".{own}")):  # a module imports others' functions, too
        return False
    return isinstance(value, type) or (isinstance(value, FunctionType) and own.startswith(FUNCTIONS))
