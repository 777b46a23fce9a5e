"""Writes a model for TensorFlow Serving: python tensorflow_model.py FOLDER. Its answer to a text is its length."""

import os
import sys
from pathlib import Path

os.environ["TF_USE_LEGACY_KERAS"] = "1"  # spares the import of Keras

import tensorflow as tf

folder = Path(sys.argv[1])
HANDLERS = """import json


def input_handler(data, context):
    return data.read()


def output_handler(response, context):
    rows = json.loads(response.content)["predictions"]
    answer = {"predictions": [{"long": row[0] if isinstance(row, list) else row} for row in rows]}
    return json.dumps(answer), "application/json"
"""


class Length(tf.Module):
    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="text")])
    def serve(self, text):
        return {"length": tf.cast(tf.strings.length(text), tf.float32)[:, None]}


model = Length()
tf.saved_model.save(model, str(folder / "1"), signatures={"serving_default": model.serve})
(folder / "code").mkdir()
(folder / "code" / "inference.py").write_text(HANDLERS)
