"""Requests that share a call of the model get the same responses as single ones."""

from __future__ import annotations

import asyncio
import os
import select
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

import pytest

from mlops_cli.serving.control_files import Limits
from mlops_cli.serving.http.container_answer import container_answer
from mlops_cli.serving.http.frames import Frame, FrameReader, pack_frame
from mlops_cli.serving.worker.batch import Batch, Invocation
from mlops_cli.serving.worker.handlers import Context
from mlops_cli.serving.worker.lane import LARGE_BYTES, Engine, Lane, free_rows
from mlops_cli.serving.worker.progress_board import ProgressBoard, open_board_file
from tests.conftest import LIMIT_SECONDS


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


class Recorder:
    """An engine that records the batches. ``steps``: the actions for a request's body."""

    patience = 1

    def __init__(self, steps: dict[bytes, Callable[[], object]] | None = None) -> None:
        self.batches: list[list[bytes]] = []
        self._steps = steps or {}

    def run(self, batch: Batch) -> None:
        self.batches.append([invocation.body for invocation in batch.invocations])
        for invocation in batch.invocations:
            batch.attempt(self._answer, invocation)

    def _answer(self, invocation: Invocation) -> None:
        self._steps.get(invocation.body, bool)()
        invocation.answer = (invocation.body, "text/plain")


@dataclass
class Front:
    """The other end of a lane's socket."""

    channel: socket.socket
    board: ProgressBoard
    lane: Lane
    frames: FrameReader = field(default_factory=FrameReader)
    answers: dict[int, Frame] = field(default_factory=dict)

    def send(self, *bodies: bytes, alone: bool = False) -> None:
        """Send requests numbered from 1 on, all at once."""
        frames = [pack_frame(number, [alone], body) for number, body in enumerate(bodies, 1)]
        # In a thread: what does not fit into the socket is read when a thread of the lane is free.
        threading.Thread(target=self.channel.sendall, args=(b"".join(frames),), daemon=True).start()

    def receive(self, *numbers: int) -> list[tuple[int, bytes]]:
        """Return status and body of these requests' responses. Meanwhile watch the lane as the worker does."""
        for _ in range(500):
            if all(number in self.answers for number in numbers):
                break
            self.lane.look()
            if select.select([self.channel], [], [], 0.02)[0]:
                for frame in self.frames.feed(self.channel.recv(1 << 20)):
                    self.answers[frame.number] = frame
        return [(self.answers[number].fields[0], self.answers[number].body) for number in numbers]


@pytest.fixture
def start_lane() -> Iterator[Callable[..., Front]]:
    with ExitStack() as stack:

        def start(engine: Engine, threads: int = 1, **limits: Any) -> Front:
            near, far = socket.socketpair()
            stack.callback(end_threads, near, far)
            descriptor = open_board_file()
            stack.callback(os.close, descriptor)
            bounds = Limits(**{"takeover_seconds": 0.2, **limits})
            lane = Lane(far, engine, ProgressBoard(descriptor), bounds, invocation_of, threads, free_rows())
            return Front(near, ProgressBoard(descriptor), lane)

        yield start


def end_threads(near: socket.socket, far: socket.socket) -> None:
    near.close()
    for thread in threading.enumerate():
        if thread.name.startswith("lane-"):
            thread.join(LIMIT_SECONDS)
    far.close()


def invocation_of(frame: Frame) -> Invocation:
    return Invocation(
        frame.number,
        frame.body,
        Context("model", None, None, "", None, None, None, "", "", 0, 60.0),
        alone=frame.fields[0],
    )


def test_requests_that_wait_during_a_batch_are_the_next_batch(start_lane: Any) -> None:
    gate = threading.Event()
    engine = Recorder({b"0": gate.wait})
    front = start_lane(engine, takeover_seconds=60, batch_requests=4)
    front.send(*(str(number).encode() for number in range(9)))
    gate.set()
    assert front.receive(*range(1, 10)) == [(200, str(number).encode()) for number in range(9)]
    assert max(len(batch) for batch in engine.batches) == 4
    assert sum(len(batch) for batch in engine.batches) == 9


def test_a_request_that_was_given_up_is_not_computed(start_lane: Any) -> None:
    gate = threading.Event()
    engine = Recorder({b"first": gate.wait})
    front = start_lane(engine, takeover_seconds=60)
    front.send(b"first")
    front.channel.sendall(pack_frame(2, [False], b"gone") + pack_frame(3, [False], b"there") + pack_frame(2, None))
    gate.set()
    front.receive(1, 3)
    assert [b"gone"] not in engine.batches and all(b"gone" not in batch for batch in engine.batches)


ERRORS: dict[str, BaseException] = {
    "an exception": ValueError("mine"),
    "SystemExit": SystemExit(3),
    "KeyboardInterrupt": KeyboardInterrupt(),
    "CancelledError": asyncio.CancelledError(),
    "GeneratorExit": GeneratorExit(),
    "out of memory": MemoryError(),
    "recursion": RecursionError("too deep"),
}


@pytest.mark.parametrize("error", ERRORS.values(), ids=ERRORS)
def test_an_exception_of_a_request_is_its_own_response(start_lane: Any, error: BaseException) -> None:
    def fail() -> None:
        raise error

    front = start_lane(Recorder({b"bad": fail}))
    front.send(b"before", b"bad", b"after")
    assert [status for status, _ in front.receive(1, 2, 3)] == [200, 500, 200]


def test_an_engine_that_raises_fails_its_batch_and_not_the_next(start_lane: Any) -> None:
    class Broken(Recorder):
        def run(self, batch: Batch) -> None:
            if batch.invocations[0].body == b"bad":
                raise MemoryError("too much")
            super().run(batch)

    front = start_lane(Broken())
    front.channel.sendall(pack_frame(7, [False], b"bad"))
    assert front.receive(7)[0][0] == 500
    front.channel.sendall(pack_frame(8, [False], b"good"))
    assert front.receive(8) == [(200, b"good")]


@pytest.mark.parametrize("threads", [1, 16])
def test_requests_that_hang_keep_no_other_waiting(start_lane: Any, threads: int) -> None:
    never = threading.Event()
    hanging = 24
    front = start_lane(Recorder({b"hang": never.wait}), threads)
    front.send(*([b"hang"] * hanging), b"good", b"good")
    assert front.receive(hanging + 1, hanging + 2) == [(200, b"good")] * 2
    assert front.board.in_progress() == set(range(1, hanging + 1)), "the board names what hangs"
    never.set()
    front.receive(*range(1, hanging + 1))
    assert front.board.in_progress() == set()


def test_a_large_request_keeps_no_small_one_waiting_and_runs_alone(start_lane: Any) -> None:
    gate, large = threading.Event(), b"x" * (LARGE_BYTES + 1)
    engine = Recorder({large: gate.wait})
    front = start_lane(engine)
    front.send(large, large, large, b"small")
    assert front.receive(4) == [(200, b"small")]
    assert engine.batches.count([large]) == 1, "the other large ones wait for the first"
    gate.set()
    assert [status for status, _ in front.receive(1, 2, 3)] == [200] * 3


def test_a_finished_request_is_answered_before_a_long_batch_ends(start_lane: Any) -> None:
    gate, pause = threading.Event(), threading.Event()
    front = start_lane(Recorder({b"pause": lambda: pause.wait(0.05), b"hold": gate.wait}), takeover_seconds=60)
    front.send(b"pause", b"hold")
    assert front.receive(1) == [(200, b"pause")]
    gate.set()
    front.receive(2)


BAD_ANSWERS: list[Any] = [
    None,
    ("x", 5),
    (5, "text/plain"),
    ("x", "text/\r\nX-Evil: 1"),
    ("\ud800", "text/plain"),
    "text",
]


@pytest.mark.parametrize("answer", BAD_ANSWERS)
def test_an_answer_that_is_none_is_a_500(answer: Any) -> None:
    invocation = invocation_of(Frame(1, [False], b""))
    invocation.answer, invocation.error = answer, None if answer else ValueError("")
    assert container_answer(invocation).status == 500
