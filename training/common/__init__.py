"""Modules of both preprocess.py and train.py: a change here runs both again."""
