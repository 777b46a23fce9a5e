"""Parts of preprocess.py."""
