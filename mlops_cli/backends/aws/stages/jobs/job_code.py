"""The code that a job's output depends on: in this checkout, and in the archive that another job has executed."""

from __future__ import annotations

import tempfile
from collections.abc import MutableMapping, Sequence
from pathlib import Path

from mlops_cli.backends.aws.stages.containers import output_digests
from mlops_cli.backends.aws.stages.jobs.job_requests import ARCHIVE, DIGESTS
from mlops_cli.caching.inputs import use_case_inputs
from mlops_cli.caching.key import source_inputs
from mlops_cli.caching.stage_files import file_inputs
from mlops_cli.core.runs import Run
from mlops_cli.core.stages import Stage
from mlops_cli.errors import MlopsError
from mlops_cli.files.hashing import digest_file
from mlops_cli.files.model_archive import unpack
from mlops_cli.project.scripts_dir import FILE
from mlops_cli.project.usecase.reader import load_use_case
from mlops_cli.project.usecase.use_case import UseCase


def inputs(
    stage: Stage,
    training: Path,
    names: Sequence[str],
    use_case: UseCase,
    imports: MutableMapping[str, list[str]],
    shared: Sequence[Path] = (),
    project: Path | None = None,
) -> dict[str, str]:
    """Return the digests of the files of ``training`` and of ``shared`` code that a job of the stage depends on.

    Their names are paths relative to ``project``, by default the folder above.
    """
    data_scripts = use_case.data_scripts
    files = file_inputs(stage, training, names, use_case.files, imports, digest_file, data_scripts, shared, project)
    return {**files, **source_inputs(training / stage.script, imports, stage.packs, shared, project)}


def digests_script() -> str:
    """Return the digest of mlops' own script in a processing job's archive."""
    return digest_file(Path(output_digests.__file__))


def is_same(
    stage: Stage, run: Run, archive: bytes, ours: Path, use_case: UseCase, shared: Sequence[str], project: Path
) -> bool:
    """Return True if the archive of another job has the same effect as the files in ``ours``.

    ``ours``, in ``project``, has all files that are packed for a job, at the same paths. ``shared``: the folders that
    usecase.toml names, relative to the project's.
    """
    with tempfile.TemporaryDirectory() as folder:
        # As many levels as the folders of shared code are above the project.
        root = Path(folder).joinpath(*["project"] * max((Path(path).parts.count("..") for path in shared), default=0))
        packed, unpacked = Path(folder) / ARCHIVE, root / ours.relative_to(project)
        packed.write_bytes(archive)
        root.mkdir(parents=True, exist_ok=True)
        for path in shared:
            (root / path).mkdir(parents=True, exist_ok=True)
        try:
            unpack(packed, unpacked)
            if digest_file(unpacked / DIGESTS) != digests_script():
                return False
            theirs = load_use_case(unpacked / FILE, root)
            return _counted(stage, run, unpacked, theirs, use_case) == _counted(stage, run, ours, use_case, use_case)
        except (MlopsError, OSError):  # this run's step would not have made such an archive
            return False


def _counted(stage: Stage, run: Run, folder: Path, settings: UseCase, use_case: UseCase) -> dict[str, str]:
    """Return the files that count for the stage by this run's use case, and the stage's part of ``settings``."""
    names = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    return {**inputs(stage, folder, names, use_case, {}), **use_case_inputs(stage, run, settings)}
