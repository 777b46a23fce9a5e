"""The gate on the live endpoint."""

from mlops_scripts import predict


def test_a_lost_parcel_is_about_the_delivery() -> None:
    (topics,) = predict("the parcel is late, where is the courier")
    assert max(topics, key=topics.get) == "delivery", f"it is {topics}"


def test_a_text_without_words_is_answered() -> None:
    (topics,) = predict("")
    assert abs(sum(topics.values()) - 1) < 0.001
