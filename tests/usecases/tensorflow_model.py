"""Writes the tiny use case's model: python build_model.py FOLDER. Its answer to a text is the text's length."""

import shutil
import sys
from pathlib import Path

import tensorflow as tf

folder = Path(sys.argv[1])


class Length(tf.Module):
    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="text")])
    def serve(self, text):
        return {"length": tf.cast(tf.strings.length(text), tf.float32)[:, None]}


model = Length()
tf.saved_model.save(model, str(folder / "1"), signatures={"serving_default": model.serve})
(folder / "code").mkdir()
shutil.copy(Path(__file__).parent / "training" / "inference.py", folder / "code")
