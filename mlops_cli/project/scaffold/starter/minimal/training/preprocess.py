"""Splits the data: --input-dir holds dataset.csv; each folder made in --output-dir is an input of train.py."""

from mlops_scripts import split_csv

split_csv(test=0.2, seed=42)
