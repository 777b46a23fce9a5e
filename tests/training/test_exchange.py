"""What instances tell each other, and that none waits for ever for one that is gone."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

import exchange
from exchange import Exchange, PeerGone
from workers import free_ports

SECONDS = 20.0
PLACE, HEADER = struct.pack("<q", 1), struct.pack("<qqQ", -1, 1, 4)


def ignore(bucket: int, order: int, frame: bytes) -> None: ...


def in_background(act: Any) -> threading.Thread:
    thread = threading.Thread(target=act, daemon=True)
    thread.start()
    return thread


@contextmanager
def peer(said: bytes) -> Iterator[Exchange]:
    """The first of two instances; the other one says so much and no more, and what it is sent is still taken."""
    ports, done = free_ports(2), threading.Event()
    hosts = [f"127.0.0.1:{port}" for port in ports]

    def other() -> None:
        with socket.create_server(("127.0.0.1", ports[1])) as listener:
            listener.settimeout(SECONDS)
            connection, _ = listener.accept()
            with connection:
                with socket.create_connection(("127.0.0.1", ports[0])) as to:
                    to.sendall(said)
                done.wait(SECONDS)

    thread = in_background(other)
    found = Exchange(hosts, hosts[0], ignore)
    try:
        yield found
    finally:
        done.set()
        found.close()
        thread.join(SECONDS)


@pytest.mark.parametrize(
    "said",
    [b"", PLACE[:3], PLACE, PLACE + HEADER[:10], PLACE + HEADER, PLACE + HEADER + b"nul"],
    ids=["nothing", "half a place", "its place", "10 of 24 bytes of a header", "a header", "half a value"],
)
def test_nobody_waits_for_one_that_is_gone(said: bytes) -> None:
    with peer(said) as found:
        ended: list[str] = []

        def gather() -> None:
            try:
                found.gather(None)
            except PeerGone as error:
                ended.append(str(error))

        thread = in_background(gather)
        thread.join(SECONDS)
        assert not thread.is_alive(), "it waits for ever"
        assert len(ended) == 1


def test_what_one_has_said_before_it_ended_counts() -> None:
    with peer(PLACE + HEADER + b"null") as found:
        with found._news:
            assert found._news.wait_for(lambda: 1 in found._gone, SECONDS)
        assert found.gather("all") == ["all", None]


def test_one_that_never_comes_is_missed_by_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exchange, "SECONDS", 0.2)
    first, second = free_ports(2)
    with (
        socket.create_server(("127.0.0.1", second)),  # it listens, and connects to nobody
        pytest.raises(PeerGone, match="1 of 2 instances have come"),
    ):
        Exchange([f"127.0.0.1:{first}", f"127.0.0.1:{second}"], f"127.0.0.1:{first}", ignore)
