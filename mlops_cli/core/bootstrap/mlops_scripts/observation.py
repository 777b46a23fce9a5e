"""Request statistics of the endpoint: features of a sample of requests, counted in bins. No request is stored.

This module does not depend on texts and needs only Python. It is copied into the model package beside inference.py, and
works the same in AWS's serving container and on the local server. A use case defines its features:

    train.py       write_reference([code_folder, output_folder], {"words": [12, 7, ...], ...}) on rows outside of the
                   training split: observed.json has the bins, and the counts of these rows
    inference.py   OBSERVER = Observer(folder, measure), and OBSERVER.offer(response, context) in output_handler;
                   measure(instances, predictions) returns the same names: {"words": [9], ...}

The environment variable MLOPS_SAMPLE is the share of requests that is measured; without it nothing is measured. The
counts go to the logger `mlops.observed` every few seconds. The local server handles them; elsewhere they are lines on
stdout.
"""

from __future__ import annotations

import atexit
import json
import logging
import math
import os
import queue
import random
import sys
import threading
import time
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

FILE = "observed.json"
# The first word of a log line; also the custom attribute of a test request.
LINE, UNOBSERVED = "mlops-observed", "mlops-unobserved"
SECONDS = 5.0
# The bins of a feature, and the least reference rows in each: with fewer rows, chance would hide a drift.
MOST_BINS, ROWS_PER_BIN = 10, 50
# The largest number of requests in the queue. Further requests are dropped.
WAITING_BYTES = 16 << 20

# By name, a value for each row. A value that is no number (a gap) is left out.
Measurements = Mapping[str, Sequence[Any]]
Pair = tuple[str | bytes, bytes]  # from a request and its response
Measure = Callable[[list[Any], list[Any]], Measurements]

log = logging.getLogger("mlops.observed")


class Request(Protocol):
    @property
    def body(self) -> str | bytes: ...


class Response(Protocol):
    """The part of `requests.Response` that is used here."""

    @property
    def content(self) -> bytes: ...
    @property
    def request(self) -> Request: ...


class Context(Protocol):
    @property
    def custom_attributes(self) -> str | None: ...


class Observer:
    """Measures a share of the requests in its own thread. A request costs one random number and one queue entry."""

    def __init__(self, folder: Path, measure: Measure) -> None:
        file = folder / FILE
        self._share = float(os.environ.get("MLOPS_SAMPLE") or 0) if file.is_file() else 0.0
        if self._share:
            self._measure = measure
            measures = json.loads(file.read_text(encoding="utf-8"))["measures"]
            self._tally = Tally({name: measure_spec["cuts"] for name, measure_spec in measures.items()})
            # Not a SimpleQueue: it would block the container's gevent workers, whose threads are patched.
            self._queue: queue.Queue[Pair] = queue.Queue()
            self._lock = threading.Lock()
            self._waiting = 0
            self._failed = False
            self._thread: threading.Thread | None = None
            _speak()

    def offer(self, response: Response, context: Context) -> None:
        """Put this request into the queue if it is in the sample."""
        if random.random() >= self._share or UNOBSERVED in (context.custom_attributes or ""):
            return
        self._put(response.request.body, response.content)

    def offer_rows(self, instances: Sequence[Any], predictions: Sequence[Any]) -> None:
        """Put a request into the queue if it is in the sample: for handlers without a response, such as predict_fn."""
        if random.random() < self._share:
            request_body = json.dumps({"instances": list(instances)})
            self._put(request_body, json.dumps({"predictions": list(predictions)}).encode())

    def _put(self, request_body: str | bytes, answered: bytes) -> None:
        with self._lock:
            if self._waiting + len(request_body) + len(answered) > WAITING_BYTES:
                return
            self._waiting += len(request_body) + len(answered)
            self._queue.put((request_body, answered))
            if self._thread is None:  # here and not at the import, because a server may fork after the import
                self._thread = threading.Thread(target=self._work, name="observer", daemon=True)
                self._thread.start()
                atexit.register(self.close)

    def close(self) -> None:
        """Measure the queued requests and log the counts."""
        while (item := self._next(0.0)) is not None:
            self._count(*item)
        self._tally.tell()

    def _work(self) -> None:
        while True:
            item: Pair | None = self._queue.get()
            until = time.monotonic() + SECONDS
            while item is not None:
                self._count(*item)
                item = self._next(until)
            self._tally.tell()

    def _next(self, until: float) -> Pair | None:
        """Return the next request; None at the time ``until``."""
        try:
            return self._queue.get(timeout=max(0.001, until - time.monotonic()))
        except queue.Empty:
            return None

    def _count(self, request_body: str | bytes, answered: bytes) -> None:
        """Measure a request. An error must neither end the thread nor log the request's text."""
        with self._lock:
            self._waiting -= len(request_body) + len(answered)
        try:
            instances, predictions = json.loads(request_body)["instances"], json.loads(answered)["predictions"]
            self._tally.add(len(instances), self._measure(instances, predictions))
        except Exception as error:  # noqa: BLE001 (of any error, only the kind may be logged)
            if not self._failed:
                logging.getLogger(__name__).error("requests cannot be measured: %s", type(error).__name__)
            self._failed = True


class Tally:
    """Counts since the last log line. ``cuts``: for each feature, the bounds between its bins."""

    def __init__(self, cuts: Mapping[str, Sequence[float]]) -> None:
        self._lock = threading.Lock()  # the thread and the process' exit handler share it
        self._cuts = cuts
        self._clear()

    def _clear(self) -> None:
        self._requests = self._rows = self._squares = 0
        self._counts: dict[str, Counter[int]] = {name: Counter() for name in self._cuts}
        self._sums = dict.fromkeys(self._cuts, 0.0)

    def add(self, rows: int, measured: Measurements) -> None:
        """Add one request. The squares estimate how dependent its rows are, because they come from one client."""
        values = {name: numbers(measured[name]) for name in self._cuts}
        with self._lock:
            self._requests += 1
            self._rows += rows
            self._squares += rows * rows
            for name, column in values.items():
                self._counts[name].update(bisect_right(self._cuts[name], value) for value in column)
                self._sums[name] += sum(column)

    def tell(self) -> None:
        with self._lock:
            if self._requests:
                log.info("%s %s", LINE, json.dumps(self._content(), separators=(",", ":")))
                self._clear()

    def _content(self) -> dict[str, Any]:
        return {
            "model": os.environ.get("MLOPS_MODEL_DIGEST", ""),
            "requests": self._requests,
            "rows": self._rows,
            "squares": self._squares,
            "measures": {name: {"sum": self._sums[name], "counts": counts} for name, counts in self._counts.items()},
        }


def write_reference(folders: Iterable[Path], measured: Measurements, weights: Sequence[float] | None = None) -> None:
    """Write the training reference into each folder. ``weights`` adapt the rows to the expected population."""
    content = {"measures": {name: _reference(values, weights) for name, values in measured.items()}}
    for folder in folders:
        folder.mkdir(parents=True, exist_ok=True)
        text = json.dumps(content, indent=1, allow_nan=False)
        (folder / FILE).write_text(text + "\n", encoding="utf-8")


def _reference(values: Sequence[Any], weights: Sequence[float] | None) -> dict[str, Any]:
    """Return a feature's reference. ``counts`` are scaled to the effective sample size (Kish)."""
    pairs = sorted(
        (float(value), float(weight))
        for value, weight in zip(values, weights if weights is not None else [1.0] * len(values), strict=True)
        if is_number(value)
    )
    total = sum(weight for _, weight in pairs)
    worth = total**2 / sum(weight**2 for _, weight in pairs) if total else 0.0
    cuts = _cuts(pairs, total, min(MOST_BINS, max(2, int(worth / ROWS_PER_BIN))))
    counts = [0.0] * (len(cuts) + 1)
    for value, weight in pairs:
        counts[bisect_right(cuts, value)] += weight * worth / total
    mean = sum(value * weight for value, weight in pairs) / total if total else 0.0
    return {"mean": mean, "cuts": cuts, "counts": [round(count, 3) for count in counts]}


def _cuts(pairs: list[tuple[float, float]], total: float, bins: int) -> list[float]:
    """Return bounds of bins that are equally full, if possible. A value that fills several bins gets its own bin."""
    bounds: list[float] = []
    passed = 0.0
    for value, weight in pairs:
        passed += weight
        while len(bounds) < bins - 1 and passed >= total * (len(bounds) + 1) / bins:
            bounds.append(value)
    alone = {math.nextafter(value, math.inf) for value, times in Counter(bounds).items() if times > 1}
    return sorted({*bounds, *alone})


def numbers(values: Sequence[Any]) -> list[float]:
    return [float(value) for value in values if is_number(value)]


def is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and math.isfinite(value)


def _speak() -> None:
    """Add a handler that writes lines to stdout, unless the logger has one."""
    if not log.handlers:
        log.addHandler(logging.StreamHandler(sys.stdout))
        log.propagate = False
    log.setLevel(logging.INFO)
