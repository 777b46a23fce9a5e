"""MLflow: python with_mlflow.py model.skops FOLDER, then mlflow models serve -m FOLDER --env-manager local."""

import sys

import mlflow.pyfunc
import skops.io

FEATURES, TARGET = ["months", "tickets", "price"], "left"


class Customers(mlflow.pyfunc.PythonModel):
    def load_context(self, context):
        self.model = skops.io.load(context.artifacts["model"])

    def predict(self, context, model_input, params=None):
        rows = model_input[FEATURES].astype(float).to_numpy()
        return [{TARGET: chance} for chance in self.model.predict_proba(rows)[:, 1].tolist()]


if __name__ == "__main__":
    mlflow.pyfunc.save_model(
        sys.argv[2],
        python_model=Customers(),
        artifacts={"model": sys.argv[1]},
        pip_requirements=["scikit-learn", "skops"],
    )
