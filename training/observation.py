"""What is known of the endpoint's requests without keeping any of them: measurements of a sample, counted in bins.

Nothing here knows of texts, and nothing needs more than Python itself: this file lies in the model package beside
inference.py and works in AWS's serving container as it does on the local server. A use case says what it measures:

    train.py       write_reference([code_folder, output_folder], {"words": [12, 7, ...], ...}) on rows that the model
                   has not learnt from: observed.json has the bins, and how these rows fill them
    inference.py   OBSERVER = Observer(folder, measure), and OBSERVER.offer(response, context) in output_handler;
                   measure(instances, predictions) gives the same names: {"words": [9], ...}

MLOPS_SAMPLE in the environment is the share of requests that is measured; without it nothing is. The counts are told
to the logger `mlops.observed` every few seconds: the local server listens to it, elsewhere they are lines on stdout.
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
# The first word of a line, and the custom attribute of a request that is only a test.
LINE, UNOBSERVED = "mlops-observed", "mlops-unobserved"
SECONDS = 5.0
# Bins of a measurement, and how many rows of the reference each must have: with fewer, chance would hide a drift.
MOST_BINS, ROWS_PER_BIN = 10, 50
# So much of requests waits at most to be measured; what comes then is not.
WAITING_BYTES = 16 << 20

# By name, a value for each row. What is no number (a gap) is left out.
Measurements = Mapping[str, Sequence[Any]]
Pair = tuple[str | bytes, bytes]  # of a request and its answer
Measure = Callable[[list[Any], list[Any]], Measurements]

log = logging.getLogger("mlops.observed")


class Request(Protocol):
    @property
    def body(self) -> str | bytes: ...


class Response(Protocol):
    """The model's answer, of which `requests.Response` has more."""

    @property
    def content(self) -> bytes: ...
    @property
    def request(self) -> Request: ...


class Context(Protocol):
    @property
    def custom_attributes(self) -> str | None: ...


class Observer:
    """Measures a share of the requests on a thread of its own: a request costs one random number, and a queue's put."""

    def __init__(self, folder: Path, measure: Measure) -> None:
        file = folder / FILE
        self._share = float(os.environ.get("MLOPS_SAMPLE") or 0) if file.is_file() else 0.0
        if self._share:
            self._measure = measure
            measures = json.loads(file.read_text(encoding="utf-8"))["measures"]
            self._tally = Tally({name: measure_spec["cuts"] for name, measure_spec in measures.items()})
            # No SimpleQueue: it would block the container's gevent workers, for which threads are replaced.
            self._queue: queue.Queue[Pair] = queue.Queue()
            self._lock = threading.Lock()
            self._waiting = 0
            self._failed = False
            self._thread: threading.Thread | None = None
            _speak()

    def offer(self, response: Response, context: Context) -> None:
        """Measure this request if it is one of the sample."""
        if random.random() >= self._share or UNOBSERVED in (context.custom_attributes or ""):
            return
        request_body, answered = response.request.body, response.content
        with self._lock:
            if self._waiting + len(request_body) + len(answered) > WAITING_BYTES:
                return
            self._waiting += len(request_body) + len(answered)
            self._queue.put((request_body, answered))
            if self._thread is None:  # here, not before: a server may fork after it has imported this
                self._thread = threading.Thread(target=self._work, name="observer", daemon=True)
                self._thread.start()
                atexit.register(self.close)

    def close(self) -> None:
        """Measure what waits, and tell."""
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
        """The next request that comes until then."""
        try:
            return self._queue.get(timeout=max(0.001, until - time.monotonic()))
        except queue.Empty:
            return None

    def _count(self, request_body: str | bytes, answered: bytes) -> None:
        """A request that cannot be measured must neither end the thread nor show its text in a log."""
        with self._lock:
            self._waiting -= len(request_body) + len(answered)
        try:
            instances, predictions = json.loads(request_body)["instances"], json.loads(answered)["predictions"]
            self._tally.add(len(instances), self._measure(instances, predictions))
        except Exception as error:  # noqa: BLE001 (whatever it is: only its kind may be told)
            if not self._failed:
                logging.getLogger(__name__).error("requests cannot be measured: %s", type(error).__name__)
            self._failed = True


class Tally:
    """Counts since the last line; ``cuts`` are each measurement's bounds between its bins."""

    def __init__(self, cuts: Mapping[str, Sequence[float]]) -> None:
        self._lock = threading.Lock()  # the thread's and the one of the process' end
        self._cuts = cuts
        self._clear()

    def _clear(self) -> None:
        self._requests = self._rows = self._squares = 0
        self._counts: dict[str, Counter[int]] = {name: Counter() for name in self._cuts}
        self._sums = dict.fromkeys(self._cuts, 0.0)

    def add(self, rows: int, measured: Measurements) -> None:
        """One request. The squares say how alike its rows may be to one another: they come from one client."""
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
    """What the requests are compared with, into each folder. ``weights`` make the rows what is expected in use."""
    content = {"measures": {name: _reference(values, weights) for name, values in measured.items()}}
    for folder in folders:
        folder.mkdir(parents=True, exist_ok=True)
        text = json.dumps(content, indent=1, allow_nan=False)
        (folder / FILE).write_text(text + "\n", encoding="utf-8")


def _reference(values: Sequence[Any], weights: Sequence[float] | None) -> dict[str, Any]:
    """``counts`` are of as many rows as the weighted ones are worth (Kish's effective sample size)."""
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
    """Bounds of bins that are equally full, as far as that can be: a value that fills several has one of its own."""
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
    """Lines on stdout, unless somebody listens already."""
    if not log.handlers:
        log.addHandler(logging.StreamHandler(sys.stdout))
        log.propagate = False
    log.setLevel(logging.INFO)
