"""The built-in sample: synthetic rows."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from mlops_cli.core.progress import Report
from mlops_cli.data.sources.sample import generator
from mlops_cli.data.sources.source import OpenedSource, Source

if TYPE_CHECKING:
    from mlops_cli.data.writer import Writer


class SampleSource(Source):
    kind = "sample"
    is_synthetic = True
    is_state_in_identity = True

    @staticmethod
    def accepts(name: str) -> bool:
        return name == "sample"

    @property
    def rows(self) -> int:
        return self.request.rows or generator.DEFAULT_ROWS

    def identity(self) -> list[object]:
        return [generator.VERSION, self.rows, self.request.seed]

    @property
    def shown(self) -> str:
        return f"sample (synthetic, {self.rows} rows, seed {self.request.seed})"

    def open(self, scratch: Path, report: Report) -> OpenedSource:  # noqa: ARG002 (there are no tables)
        return OpenedSource({"kind": self.kind, "shown": self.name})

    def add_to(self, writer: Writer, scratch: Path, report: Report) -> OpenedSource:
        blocks = generator.sample_blocks(self.request.schema.columns, self.rows, self.request.seed)
        writer.add_sample(blocks, self.rows, report)
        return self.open(scratch, report)
