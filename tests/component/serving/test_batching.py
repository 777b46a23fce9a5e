"""Requests that share a call of the model are answered as if each had been alone."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from mlops_cli.serving.batching import Batcher, QueueFullError
from mlops_cli.serving.control_files import Limits


def test_concurrent_requests_get_their_own_answers(running: Any, connect: Any, client: Any) -> None:
    texts = [f"comment number {number}" for number in range(240)]
    alone = {text: client.predict(text)[0] for text in texts}

    def ask(part: list[str]) -> list[tuple[str, Any]]:
        own = connect(running)
        return [(text, own.predict(text)[0]) for text in part]

    with ThreadPoolExecutor(12) as pool:
        answers = [pair for part in pool.map(ask, [texts[i::12] for i in range(12)]) for pair in part]
    assert len(answers) == 240
    for text, row in answers:
        assert row == pytest.approx(alone[text], abs=1e-6)


def test_more_rows_than_a_batch_holds_equal_the_same_rows_alone(client: Any) -> None:
    texts = [f"text {number}" for number in range(150)]
    together = client.predict(*texts)
    assert len(together) == 150
    for position in (0, 63, 64, 127, 128, 149):
        assert together[position] == pytest.approx(client.predict(texts[position])[0], abs=1e-6)


def test_a_bad_request_does_not_spoil_its_batch(running: Any, connect: Any) -> None:
    def ask(number: int) -> int:
        text = ("fail", "bug", "good")[number % 3]
        return int(connect(running).ask("POST", "/invocations", {"instances": [text]}).status)

    with ThreadPoolExecutor(12) as pool:
        statuses = list(pool.map(ask, range(90)))
    assert statuses == [(400, 500, 200)[number % 3] for number in range(90)]


class Job:
    """A job that remembers in whose company it ran."""

    error: Exception | None = None
    size = 10

    def __init__(self, cancelled: bool = False) -> None:
        self.batch: list[Job] = []
        self._cancelled = cancelled

    def is_cancelled(self) -> bool:
        return self._cancelled


def run_all(batcher_limits: Limits, jobs: list[Job], hold: threading.Event | None = None) -> list[Any]:
    """Submit the jobs at once; returns each one's None or exception."""

    def run(batch: list[Job]) -> None:
        if hold is not None:
            hold.wait(10)
        for job in batch:
            job.batch = batch

    async def main() -> list[Any]:
        batcher: Batcher[Job] = Batcher(run, batcher_limits)
        tasks = [asyncio.create_task(batcher.submit(job)) for job in jobs]
        await asyncio.sleep(0)
        if hold is not None:
            asyncio.get_running_loop().call_later(0.1, hold.set)
        return await asyncio.gather(*tasks, return_exceptions=True)

    return asyncio.run(main())


def test_what_waits_during_a_batch_is_the_next_batch() -> None:
    jobs = [Job() for _ in range(9)]
    assert run_all(Limits(batch_requests=4), jobs, threading.Event()) == [None] * 9
    sizes = [len(job.batch) for job in jobs]
    assert max(sizes) == 4
    assert all(job in job.batch for job in jobs)


def test_a_full_queue_refuses_by_count_and_by_bytes() -> None:
    by_count = run_all(Limits(waiting_requests=3), [Job() for _ in range(5)], threading.Event())
    assert [type(result) for result in by_count] == [type(None)] * 3 + [QueueFullError] * 2
    by_bytes = run_all(Limits(waiting_bytes=25), [Job() for _ in range(4)], threading.Event())
    assert [type(result) for result in by_bytes] == [type(None)] * 2 + [QueueFullError] * 2


def test_a_cancelled_request_is_not_computed() -> None:
    gone, there = Job(cancelled=True), Job()
    run_all(Limits(), [gone, there])
    assert gone.batch == []
    assert there.batch == [there]


def test_a_runner_that_raises_fails_its_batch_and_not_the_next() -> None:
    async def main() -> tuple[Any, Any]:
        def run(batch: list[Job]) -> None:
            if bad in batch:
                raise MemoryError("too much")
            good.batch = batch

        bad, good = Job(), Job()
        batcher: Batcher[Job] = Batcher(run, Limits())
        first = await asyncio.gather(batcher.submit(bad), return_exceptions=True)
        await batcher.submit(good)
        return first[0], good.batch == [good]

    failed, went_on = asyncio.run(main())
    assert isinstance(failed, MemoryError)
    assert went_on


def test_a_jobs_error_is_raised_to_its_submitter_only() -> None:
    bad, good = Job(), Job()
    bad.error = ValueError("mine")
    results = run_all(Limits(), [bad, good])
    assert isinstance(results[0], ValueError)
    assert results[1] is None
