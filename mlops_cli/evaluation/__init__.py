"""Evaluation of predictions, in numpy; imported only by the commands that need it."""
