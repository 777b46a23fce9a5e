from __future__ import annotations

import csv
import io
import statistics
from collections import Counter

import pytest

from sample.generate import LABELS, sample_blocks, write_sample
from sample.phrases import KINDS, asserted, denied

BASE_RATES = {
    "toxic": 0.097,
    "severe_toxic": 0.011,
    "obscene": 0.054,
    "threat": 0.003,
    "insult": 0.051,
    "identity_hate": 0.009,
}


@pytest.fixture(scope="module")
def comments() -> list[list[str]]:
    return [row for block in sample_blocks(12_000, 42) for row in block]


def test_the_same_seed_gives_the_same_rows_and_another_one_others():
    first, repeated, different = (list(sample_blocks(1500, seed)) for seed in (1, 1, 2))
    assert first == repeated
    assert first != different
    assert [len(block) for block in first] == [1000, 500]


def test_labels_come_at_the_real_rates(comments):
    for position, label in enumerate(LABELS, start=2):
        rate = sum(row[position] == "1" for row in comments) / len(comments)
        assert rate == pytest.approx(BASE_RATES[label], rel=0.08), label


def test_rows_with_a_special_label_are_nearly_always_toxic(comments):
    special = [row for row in comments if "1" in row[3:]]
    assert sum(row[2] == "1" for row in special) / len(special) > 0.97


def test_lengths_and_vocabulary_have_long_tails(comments):
    lengths = sorted(len(row[1].split()) for row in comments)
    assert statistics.median(lengths) == pytest.approx(36, abs=8)
    assert statistics.mean(lengths) == pytest.approx(68, abs=8)
    assert 1_000 < lengths[-1] <= 1_500
    words = Counter(word for row in comments for word in row[1].lower().split())
    assert len(words) > 5_000
    assert sum(count < 3 for count in words.values()) / len(words) > 0.1


def test_texts_look_like_talk_pages(comments):
    texts = [row[1] for row in comments]
    for part in ("http://", "10.", '"', "\n", "==", "!", "?"):
        assert any(part in text for text in texts), part
    assert len(set(texts)) / len(texts) > 0.99
    assert comments[0][0] == "sample_0000001"


def test_the_csv_can_be_read_as_it_was_written(comments):
    out = io.StringIO(newline="")
    assert list(write_sample(out, rows=2500, seed=42)) == [1000, 2000, 2500]
    rows = list(csv.reader(io.StringIO(out.getvalue(), newline=""), strict=True))
    assert rows[0] == ["id", "comment_text", *LABELS]
    assert rows[1:] == comments[:2500]


def test_denied_phrases_have_the_words_of_asserted_phrases():
    for name, kind in KINDS.items():
        words = {word for phrase in kind.toxic for word in phrase.split()}
        for phrases in (asserted(name), denied(name)):
            assert words <= {word.strip(",") for phrase in phrases for word in phrase.split()}, name


@pytest.mark.slow
def test_single_words_predict_less_than_their_order(comments):
    pytest.importorskip("sklearn")
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import roc_auc_score

    texts, toxic = [row[1] for row in comments], [row[2] for row in comments]

    def quality(longest: int) -> float:
        vectorizer = TfidfVectorizer(sublinear_tf=True, ngram_range=(1, longest), min_df=2, token_pattern=r"\b\w+\b")
        learnt, held_out = vectorizer.fit_transform(texts[:6000]), vectorizer.transform(texts[9000:])
        model = LogisticRegression(C=4, max_iter=200).fit(learnt, toxic[:6000])
        return float(roc_auc_score(toxic[9000:], model.predict_proba(held_out)[:, 1]))

    assert quality(1) < 0.90
    assert quality(2) > 0.95
