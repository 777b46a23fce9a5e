"""The tables and keys of usecase.toml."""

from __future__ import annotations

from mlops_cli.core.stages import DOWNLOAD, STAGES, Kind
from mlops_cli.project.scripts_dir import KEY

MINIMUM, MAXIMUM = "minimum", "maximum"
TABLES = (
    "name",
    "description",
    "model",
    "data",
    "hyperparameters",
    "environment",
    "secrets",
    "code",
    "files",
    "metrics",
    "gates",
    "endpoint",
    "time_limits",
    "aws",
)


# The keys of the tables that mlops reads; [gates] belongs to the use case's own tests.
KEYS = {
    "data": ("source", "quickstart", "competition", "file", "columns", "tables", "scripts"),
    "model": ("framework", "version", "training_image", "serving_image"),
    "metrics": ("split", "primary", "minimum", "maximum", "direction", "must_beat_live"),
    "endpoint": ("examples", "sample", "batching"),
    "environment": ("pass", "set"),
    "secrets": ("names", "aws"),
    "time_limits": (DOWNLOAD, *(stage.name for stage in STAGES if stage.script or stage.kind is Kind.DEPLOY)),
    "code": ("path", KEY),
    "hyperparameters": (
        *(stage.name for stage in STAGES if stage.kind in (Kind.PROCESSING, Kind.TRAINING)),
        MINIMUM,
        MAXIMUM,
    ),
}
