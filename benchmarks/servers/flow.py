"""MLflow's model from code; run as a program it saves the model to a folder for `mlflow models serve`."""

from __future__ import annotations

import sys
from pathlib import Path

import mlflow

sys.path.insert(0, str(Path(__file__).parent))


class Comments(mlflow.pyfunc.PythonModel):
    def load_context(self, context: object) -> None:
        from saved import Saved

        self.model = Saved()

    def predict(self, context: object, model_input: object, params: object = None) -> list[list[float]]:
        return self.model(list(model_input["text"]))


if __name__ == "__main__":
    script = Path(__file__)
    mlflow.pyfunc.save_model(sys.argv[1], python_model=str(script), code_paths=[str(script.with_name("saved.py"))])
else:
    mlflow.models.set_model(Comments())
