"""The gate on the data, before anything is trained."""

from collections import Counter

from mlops_scripts import read_rows


def test_no_class_is_missing_or_rare() -> None:
    topics = Counter(row["topic"] for row in read_rows("train"))
    assert len(topics) == 3 and min(topics.values()) >= 100, f"the classes have {dict(topics)} rows"
