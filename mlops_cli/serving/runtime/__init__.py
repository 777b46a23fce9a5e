"""The TensorFlow runtime: load a SavedModel, run it, speak TensorFlow Serving's JSON."""
