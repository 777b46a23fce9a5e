"""BentoML with adaptive batching and without its access log."""

from __future__ import annotations

import bentoml
from saved import Saved


@bentoml.service(workers=1, logging={"access": {"enabled": False}}, traffic={"timeout": 60})
class Comments:
    def __init__(self) -> None:
        self.model = Saved()

    @bentoml.api(batchable=True, max_batch_size=32, max_latency_ms=1000)
    def predict(self, texts: list[str]) -> list[list[float]]:
        return self.model(texts)
