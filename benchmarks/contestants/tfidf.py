"""TF-IDF of words and of 2 to 6 characters, with a logistic regression for each label."""

from __future__ import annotations

import numpy as np
from scipy.sparse import hstack
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression

from benchmarks.contestants.data import Report, Split, run


def train(rows: Split, held_out: Split, seed: int, report: Report) -> None:
    report.begin()
    words = TfidfVectorizer(sublinear_tf=True, strip_accents="unicode", token_pattern=r"\w+", max_features=10_000)
    characters = TfidfVectorizer(
        sublinear_tf=True, strip_accents="unicode", analyzer="char", ngram_range=(2, 6), max_features=50_000
    )
    inputs = hstack([words.fit_transform(rows.texts), characters.fit_transform(rows.texts)]).tocsr()
    report.prepared()
    models = [
        LogisticRegression(C=2.0, solver="liblinear", random_state=seed).fit(inputs, label) for label in rows.labels.T
    ]
    report.trained(len(rows.texts))
    tested = hstack([words.transform(held_out.texts), characters.transform(held_out.texts)]).tocsr()
    report.scores("TF-IDF + LR", np.stack([model.predict_proba(tested)[:, 1] for model in models], 1))


if __name__ == "__main__":
    run(train)
