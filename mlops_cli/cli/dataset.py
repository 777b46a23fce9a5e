"""The download of the dataset, for `download-data` and the commands that need data."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mlops_cli.backends.base import Data
    from mlops_cli.console import Console
    from mlops_cli.data.metadata import DatasetInfo
    from mlops_cli.data.request import DataRequest


def download(data: Data, console: Console, request: DataRequest) -> tuple[DatasetInfo, bool]:
    """Download the dataset and show it. The bool is True if it changed."""
    from mlops_cli.console.output import show_dataset

    with console.progress() as report:
        dataset, changed = data.download(request, report)
    show_dataset(console, dataset, changed)
    return dataset, changed
