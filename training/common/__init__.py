"""Used by preprocess.py and by train.py: a change here runs both again."""
