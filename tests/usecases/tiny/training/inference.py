import json
from pathlib import Path


def model_fn(model_dir):
    return int(Path(model_dir, "epochs.txt").read_text())


def input_fn(body, content_type):
    return json.loads(body)["instances"]


def predict_fn(texts, model):
    return [{"long": float(len(text))} for text in texts]


def output_fn(predictions, accept):
    return json.dumps({"predictions": predictions}), "application/json"
