"""BentoML: MODEL=model.skops bentoml serve with_bentoml:Customers"""

import os

import bentoml
import skops.io

FEATURES, TARGET = ["months", "tickets", "price"], "left"


@bentoml.service
class Customers:
    def __init__(self) -> None:
        self.model = skops.io.load(os.environ["MODEL"])

    @bentoml.api
    def invocations(self, instances: list[dict[str, float]]) -> dict[str, list[dict[str, float]]]:
        rows = [[instance[name] for name in FEATURES] for instance in instances]
        return {"predictions": [{TARGET: chance} for chance in self.model.predict_proba(rows)[:, 1].tolist()]}
