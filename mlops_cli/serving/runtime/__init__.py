"""How models run: a SavedModel of TensorFlow, with TensorFlow Serving's JSON; all others by their scripts."""
