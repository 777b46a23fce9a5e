"""Run models: TensorFlow's SavedModel with TensorFlow Serving's JSON; all other models with their scripts."""
