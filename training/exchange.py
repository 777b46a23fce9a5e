"""Messages between the instances of one Processing job: frames for buckets, and small values.

Each instance connects to every other one and sends length-prefixed messages, which arrive in order. So a value from all
instances implies that all earlier frames have arrived.
"""

from __future__ import annotations

import contextlib
import io
import json
import socket
import struct
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

PORT = 7341
SECONDS = 300.0  # instances start at different times
_HEADER = struct.Struct("<qqQ")  # bucket or _VALUE; the frame's order or the value's round; the length in bytes
_VALUE = -1
_UNKNOWN = -1  # the rank of a host that connected and ended without a message

Receive = Callable[[int, int, bytes], None]


class PeerGone(OSError):
    """Another instance has ended before its time."""


def read_hosts(config: Path) -> tuple[list[str], str]:
    """Return all hosts in order, and this one, from SageMaker's file; without the file this is the only one."""
    if not config.is_file():
        return [""], ""
    content = json.loads(config.read_text(encoding="utf-8"))
    return sorted(content["hosts"]), content["current_host"]


class Exchange:
    """All hosts; this one is ``rank`` of ``size``. ``receive`` gets (bucket, order, frame), in any thread."""

    def __init__(self, hosts: list[str], current: str, receive: Receive) -> None:
        self.rank, self.size = hosts.index(current), len(hosts)
        self._receive = receive
        self._values: dict[int, dict[int, Any]] = defaultdict(dict)
        self._news, self._round = threading.Condition(), 0
        self._gone: set[int] = set()
        self._come = 0
        self._peers: dict[int, socket.socket] = {}
        if self.size > 1:
            self._meet([_address(host) for host in hosts])

    def send(self, host: int, bucket: int, order: int, frame: bytes) -> None:
        if host == self.rank:
            self._receive(bucket, order, frame)
        else:
            self._write(host, bucket, order, frame)

    def gather(self, value: Any) -> list[Any]:
        """Return every host's value, in the order of the hosts. Raise PeerGone."""
        self._round += 1
        content = json.dumps(value).encode()
        for host in self._peers:
            self._write(host, _VALUE, self._round, content)
        with self._news:
            self._values[self._round][self.rank] = json.loads(content)
            while missing := set(range(self.size)) - self._values[self._round].keys():
                if missing & self._gone or _UNKNOWN in self._gone:
                    raise PeerGone("another instance has ended too early")
                self._news.wait()
            values = self._values.pop(self._round)
        return [values[host] for host in range(self.size)]

    def close(self) -> None:
        for peer in self._peers.values():
            peer.close()

    def _meet(self, addresses: list[tuple[str, int]]) -> None:
        """Open one connection for each direction: own ones for writing, accepted ones for reading."""
        host, port = addresses[self.rank]
        with socket.create_server((host if host.startswith("127.") else "", port), backlog=self.size) as listener:
            listener.settimeout(SECONDS)
            accepting = threading.Thread(target=self._accept, args=(listener,), daemon=True)
            accepting.start()
            for host_index, address in enumerate(addresses):
                if host_index != self.rank:
                    self._peers[host_index] = _connected(address)
                    self._peers[host_index].sendall(struct.pack("<q", self.rank))
            accepting.join(SECONDS)
        if self._come < self.size - 1:
            raise PeerGone(f"{self._come + 1} of {self.size} instances have come within {SECONDS:.0f} s")

    def _accept(self, listener: socket.socket) -> None:
        with contextlib.suppress(OSError):  # a timeout, or the end of the listener: some hosts are missing
            for _ in range(self.size - 1):
                connection, _ = listener.accept()
                threading.Thread(target=self._read, args=(connection,), daemon=True).start()
                self._come += 1

    def _read(self, connection: socket.socket) -> None:
        """Read until the other host ends, for any reason: without a record of its end this one would wait forever."""
        host = _UNKNOWN
        try:
            with contextlib.suppress(ConnectionError, PeerGone), connection, connection.makefile("rb") as stream:
                (host,) = struct.unpack("<q", _whole(stream, 8))
                while stream.peek(1):
                    self._take(host, stream)
        finally:
            with self._news:
                self._gone.add(host)
                self._news.notify_all()

    def _take(self, host: int, stream: io.BufferedReader) -> None:
        """Read one message. Raise PeerGone if it breaks off."""
        bucket, order, size = _HEADER.unpack(_whole(stream, _HEADER.size))
        content = _whole(stream, size)
        if bucket != _VALUE:
            self._receive(bucket, order, content)
            return
        with self._news:
            self._values[order][host] = json.loads(content)
            self._news.notify_all()

    def _write(self, host: int, bucket: int, order: int, content: bytes) -> None:
        try:
            self._peers[host].sendall(_HEADER.pack(bucket, order, len(content)) + content)
        except OSError as error:
            raise PeerGone(f"instance {host + 1} of {self.size} cannot be reached: {error}") from error


def _whole(stream: io.BufferedReader, size: int) -> bytes:
    content = stream.read(size)
    if len(content) < size:
        raise PeerGone("a message broke off")
    return content


def _address(host: str) -> tuple[str, int]:
    name, _, port = host.partition(":")
    return name, int(port or PORT)


def _connected(address: tuple[str, int]) -> socket.socket:
    deadline = time.monotonic() + SECONDS
    while True:
        try:
            return socket.create_connection(address, timeout=None)
        except OSError as error:
            if time.monotonic() > deadline:
                raise PeerGone(f"{address[0]} cannot be reached: {error}") from error
            time.sleep(0.1)
