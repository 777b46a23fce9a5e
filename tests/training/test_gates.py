"""Each gate passes on good input and fails with a plain message on bad input."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from scripts import HEADER

LABELS = HEADER[2:]
SetThreshold = Callable[[str, str], None]


def gate(training: Path, script: str, *only: str, **environment: str) -> tuple[int, str]:
    """Return pytest's exit code and output."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-c", os.devnull, "--rootdir", "."]
    selection = ["-k", " or ".join(only)] if only else []
    done = subprocess.run(
        [*command, *selection, f"tests/{script}"],
        cwd=training,
        env={
            "PATH": "/usr/bin:/bin",
            "PYTHONPATH": str(training),
            "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
            **environment,
        },
        capture_output=True,
        text=True,
    )
    return done.returncode, done.stdout


# The gate on the data.


@pytest.fixture
def dataset(sample_dataset: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(sample_dataset, tmp_path / "dataset"))


def pretraining(training: Path, dataset: Path, *only: str) -> tuple[int, str]:
    return gate(training, "test_pretraining.py", *only, MLOPS_DATA_DIR=str(dataset))


def read(dataset: Path, split: str) -> pl.DataFrame:
    return pl.concat([pl.read_parquet(path) for path in sorted((dataset / split).glob("*.parquet"))])


def change(dataset: Path, split: str, how: Callable[[pl.DataFrame], pl.DataFrame]) -> None:
    """Write the changed rows as the only part."""
    rows = read(dataset, split)
    for path in (dataset / split).glob("*.parquet"):
        path.unlink()
    how(rows).write_parquet(dataset / split / "part-00000.parquet")


def appended(dataset: Path, split: str, source: str, rows: int = 3) -> None:
    added = read(dataset, source).head(rows)
    change(dataset, split, lambda frame: pl.concat([frame, added]))


def test_good_data_passes(training_copy: Path, dataset: Path) -> None:
    code, output = pretraining(training_copy, dataset)
    assert code == 0, output
    assert re.search(r"\d\d passed", output)


def leak(dataset: Path) -> None:
    appended(dataset, "test", "train")


def repeat(dataset: Path) -> None:
    appended(dataset, "validation", "validation")


def spoil_a_label(dataset: Path) -> None:
    change(dataset, "train", lambda frame: frame.with_columns(threat=pl.lit(2, pl.UInt8)))


def lose_a_label(dataset: Path) -> None:
    change(dataset, "train", lambda frame: frame.with_columns(insult=pl.lit(None, pl.UInt8)))


def lose_a_class(dataset: Path) -> None:
    change(dataset, "train", lambda frame: frame.drop("obscene"))


def clear_positives(dataset: Path) -> None:
    change(dataset, "train", lambda frame: frame.with_columns(toxic=pl.lit(0, pl.UInt8)))


def enrich_the_test_split(dataset: Path) -> None:
    change(dataset, "test", lambda frame: frame.with_columns(insult=pl.lit(1, pl.UInt8)))


def keep_few_rows(dataset: Path) -> None:
    change(dataset, "train", lambda frame: frame.head(100))


def empty_a_split(dataset: Path) -> None:
    change(dataset, "validation", lambda frame: frame.clear())


def empty_a_text(dataset: Path) -> None:
    change(dataset, "test", lambda frame: frame.with_columns(comment_text=pl.lit(" ")).head(1))


def one_endless_text(dataset: Path) -> None:
    text = pl.when(pl.int_range(pl.len()) == 0).then(pl.lit("word " * 20_000)).otherwise("comment_text")
    change(dataset, "train", lambda frame: frame.with_columns(comment_text=text))


def shorten_every_text(dataset: Path) -> None:
    words = pl.col("id") + " " + pl.col("comment_text").str.split(" ").list.head(2).list.join(" ")
    change(dataset, "train", lambda frame: frame.with_columns(comment_text=words))


def same_words_everywhere(dataset: Path) -> None:
    change(
        dataset, "train", lambda frame: frame.with_columns(comment_text="the same words for every row " + pl.col("id"))
    )


@pytest.mark.parametrize(
    ("spoil", "test", "message"),
    [
        (leak, "in_two_splits", "3 texts of the test split are in the train split, too"),
        (repeat, "there_twice", "3 rows of the validation split repeat the text of another one"),
        (spoil_a_label, "zero_or_one", "train: threat is 2 in a row, expected 0 or 1"),
        (lose_a_label, "all_its_labels", r"texts, but labels for {'insult': 0} of them"),
        (lose_a_class, "as_many_classes", r"5 classes .*, \[data.columns\] names 6"),
        (clear_positives, "base_rate", "toxic: 0.00% of the training rows are positive, expected 2.00% to 60.00%"),
        (
            enrich_the_test_split,
            "stratified",
            "insult: its rate in the test split differs from that in train by 9",
        ),
        (keep_few_rows, "enough_rows", "the data has ... rows, expected at least 1,000"),
        (empty_a_split, "split_is_empty", "the validation split is empty"),
        (empty_a_text, "empty_or_endless", "1 texts of the test split are empty"),
        (one_endless_text, "empty_or_endless", "a text of the train split has 20,001 words, expected at most 10,000"),
        (shorten_every_text, "long_as_expected", "half of the texts have up to 3 words, expected 10 to 200"),
        (same_words_everywhere, "vocabulary", "the training texts repeat . different words, expected at least 500"),
    ],
    ids=lambda value: value.__name__ if callable(value) else None,
)
def test_bad_data_fails(
    training_copy: Path, dataset: Path, spoil: Callable[[Path], None], test: str, message: str
) -> None:
    spoil(dataset)
    code, output = pretraining(training_copy, dataset, test)
    assert code == 1, output
    assert re.search(f"AssertionError: .*{message}", output), output


# The gate on the endpoint.

DIGEST = "ab" * 32
INSULTS = ("idiot", "stupid", "moron", "loser")


class Endpoint:
    """An endpoint without faults; each attribute makes one fault."""

    def __init__(self) -> None:
        self.digest = DIGEST
        self.score: Callable[[str], float] = lambda text: 0.9 if any(word in text.lower() for word in INSULTS) else 0.1
        self.labels = LABELS
        self.batch_error = 0.0
        self.accepts_everything = False
        self.breaks = False
        self.seconds = 0.0

    def answer(self, content_type: str, body: bytes) -> tuple[int, dict[str, Any]]:
        time.sleep(self.seconds)
        if self.breaks:
            return 500, {"title": "broken"}
        try:
            texts = self.texts(content_type, body)
        except ValueError as error:
            return (200, {"predictions": []}) if self.accepts_everything else (400, {"title": str(error)})
        shift = self.batch_error if len(texts) > 1 else 0.0
        return 200, {"predictions": [dict.fromkeys(self.labels, self.score(text) + shift) for text in texts]}

    @staticmethod
    def texts(content_type: str, body: bytes) -> list[str]:
        text = body.decode()
        if content_type == "text/csv":
            if "," in text:
                raise ValueError("ragged")
            return [line.strip('"') for line in text.splitlines()]
        content = json.loads(text)
        if isinstance(content, dict):
            content = content["instances"] if "instances" in content else [content.get("text")]
        if not isinstance(content, list) or not content or not all(isinstance(text, str) and text for text in content):
            raise ValueError("not a list of texts")
        return content


@pytest.fixture
def endpoint() -> Endpoint:
    return Endpoint()


@pytest.fixture
def url(endpoint: Endpoint) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            status, document = endpoint.answer(self.headers["Content-Type"], body)
            content = json.dumps(document).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            self.send_header("X-Amzn-SageMaker-Custom-Attributes", f"model-digest={endpoint.digest}")
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *args: object) -> None:
            """Write nothing: the test's own output is enough."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/invocations"
    server.shutdown()
    thread.join()
    server.server_close()


def posttraining(training: Path, url: str, *only: str) -> tuple[int, str]:
    return gate(training, "test_posttraining.py", *only, MLOPS_ENDPOINT_URL=url, MLOPS_MODEL_DIGEST=DIGEST)


def test_a_good_endpoint_passes(training_copy: Path, url: str) -> None:
    code, output = posttraining(training_copy, url)
    assert code == 0, output
    assert re.search(r"\d\d passed", output)


@pytest.mark.parametrize(
    ("attribute", "value", "test", "message"),
    [
        ("digest", "cd" * 32, "approved_one", f"the endpoint serves the model {'cd' * 32}, but {DIGEST} is approved"),
        ("score", lambda _: 0.5, "known_positive", "'You are an idiot.': toxic with probability 0.500"),
        ("score", lambda _: 0.5, "known_negative", "'Thank you for your help.*: toxic with probability 0.500"),
        (
            "score",
            lambda text: 0.9 * text.isupper(),
            "does_not_matter",
            "letter case: .* changes a probability by 0.9000",
        ),
        ("score", lambda text: 0.9 * ("\n" in text), "does_not_matter", "white space around: .* changes a probability"),
        ("score", lambda text: 0.9 * ("https" in text), "does_not_matter", "another URL: .* changes a probability"),
        ("score", lambda _: 1.5, "probability_for_each", "no probabilities: {'toxic': 1.5"),
        ("labels", LABELS[::-1], "probability_for_each", r"the answer has \['identity_hate'"),
        ("batch_error", 0.01, "one_by_one", "in a batch differs by 0.0100 from the same text alone"),
        ("accepts_everything", True, "malformed", "was answered 200, expected a 4xx"),
        ("breaks", True, "malformed", "was answered 500, expected a 4xx"),
        ("breaks", True, "one_by_one", "the endpoint answered 500"),
    ],
    ids=lambda value: value if isinstance(value, str) and len(value) < 30 else "",
)
def test_a_bad_endpoint_fails(
    training_copy: Path, url: str, endpoint: Endpoint, attribute: str, value: object, test: str, message: str
) -> None:
    setattr(endpoint, attribute, value)
    code, output = posttraining(training_copy, url, test)
    assert code == 1, output
    assert re.search(f"AssertionError: .*{message}", output), output


def test_a_slow_endpoint_fails(training_copy: Path, url: str, endpoint: Endpoint, set_threshold: SetThreshold) -> None:
    set_threshold("\nrequests = 200", "\nrequests = 3")
    set_threshold("warm_up_requests = 20", "warm_up_requests = 0")
    set_threshold("max_p99_ms = 250", "max_p99_ms = 10")
    endpoint.seconds = 0.05
    code, output = posttraining(training_copy, url, "in_time")
    assert code == 1, output
    assert re.search(r"AssertionError: 1 % of 3 answers took \d+ ms or longer, expected at most 10 ms", output), output
