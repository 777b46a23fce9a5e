"""The cleaning rules give the same text in preprocess.py and in TensorFlow, and when they are applied again."""

from __future__ import annotations

import random
import re

import polars as pl
import pytest

from common import cleaning
from tests.training.scripts import TRAINING

PIECES = [
    " ", "  ", "\n", "\t", "\r\n", "\x00", "\x1f", "\x7f", "\u00a0", "\u2003", "\u200b", "\u3000", "\ufeff", "\x85",
    "http://", "HTTPS://x.y/?a=b", "ftp://", "www.", "WwW.a", "w", "1", "12.34.56.78", "1.2.3.4", "1234.5.6.7", ".",
    "255", "url", "ipaddr", "é", "ſ", "K", "İ", "ß", "日本", "😀", "a", "Idiot", "!", "?!", "'", "\"", ",", "$", "\\1",
]  # fmt: skip


def cleaned_before_training(texts: list[str]) -> list[str]:
    return cleaning.clean(pl.Series(texts)).to_list()


@pytest.fixture(scope="module")
def odd_texts() -> list[str]:
    chance = random.Random(3)
    return ["".join(chance.choices(PIECES, k=chance.randint(0, 14))) for _ in range(4_000)]


@pytest.mark.parametrize(
    ("raw", "cleaned"),
    [
        ("  a\n\n b\t", "a b"),
        ("see http://a.b/c?d=e, please", "see url please"),
        ("WWW.example.org/x", "url"),
        ("from 89.205.38.27 again", "from ipaddr again"),
        ("1.2.3.4.5.6.7.8", "ipaddr.ipaddr"),
        ("version 1.2.3", "version 1.2.3"),
        ("\u00a0\ufeff", ""),
        ("Case stays", "Case stays"),
    ],
)
def test_the_cleaned_texts(raw: str, cleaned: str) -> None:
    assert cleaned_before_training([raw]) == [cleaned]


def test_no_other_engine_runs_a_regular_expression() -> None:
    pattern = re.compile(
        r"^\s*(?:import re\b|from re import)"
        r"|\.str\.(?:contains|count_matches|extract|extract_all|extract_groups|find|replace|replace_all)"
        r"\((?!.*literal=True)",
        re.M,
    )
    sources = {path.relative_to(TRAINING): path.read_text() for path in TRAINING.rglob("*.py")}
    assert len(sources) > 20
    assert [str(path) for path, source in sources.items() if pattern.search(source)] == []


def test_cleaning_twice_is_cleaning_once(odd_texts: list[str]) -> None:
    once = cleaned_before_training(odd_texts)
    assert once != odd_texts
    assert cleaned_before_training(once) == once


@pytest.mark.slow
def test_tensorflow_cleans_as_preprocessing_does(odd_texts: list[str]) -> None:
    import tensorflow as tf

    texts = tf.constant(odd_texts)
    for pattern, replacement in cleaning.RULES:
        texts = tf.strings.regex_replace(texts, pattern, replacement)
    assert [text.decode() for text in texts.numpy()] == cleaned_before_training(odd_texts)


@pytest.mark.slow
def test_the_model_sees_the_same_words_in_raw_and_in_cleaned_texts(odd_texts: list[str]) -> None:
    import tensorflow as tf

    from model.text import clean, split_words

    raw, cleaned = (
        split_words(clean(tf.constant(texts))).to_list() for texts in (odd_texts, cleaned_before_training(odd_texts))
    )
    assert raw == cleaned
