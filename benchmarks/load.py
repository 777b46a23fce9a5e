"""Send HTTP requests over a number of open connections, and measure how many are answered and how quickly."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from statistics import median


@dataclass(frozen=True)
class Load:
    answers: int
    seconds: float
    milliseconds: list[float]

    @property
    def rate(self) -> float:
        return self.answers / self.seconds

    @property
    def p50(self) -> float:
        return median(self.milliseconds)

    @property
    def p99(self) -> float:
        return sorted(self.milliseconds)[int(0.99 * len(self.milliseconds))]


def request(port: int, path: str, body: bytes) -> bytes:
    head = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Type: application/json\r\n"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


def measure(port: int, requests: list[bytes], connections: int, seconds: float) -> Load:
    """Measure. Raise RuntimeError for the first response that is not a 200."""
    return asyncio.run(_measure(port, requests, connections, seconds))


async def _measure(port: int, requests: list[bytes], connections: int, seconds: float) -> Load:
    start = time.perf_counter()
    lists = await asyncio.gather(
        *(_client(port, requests[n:] + requests[:n], start + seconds) for n in range(connections))
    )
    times = [milliseconds for times_of_client in lists for milliseconds in times_of_client]
    return Load(len(times), time.perf_counter() - start, times)


async def _client(port: int, requests: list[bytes], end: float) -> list[float]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    times = []
    while (start := time.perf_counter()) < end:
        writer.write(requests[len(times) % len(requests)])
        await _answer(reader)
        times.append(1000 * (time.perf_counter() - start))
    writer.close()
    return times


async def _answer(reader: asyncio.StreamReader) -> bytes:
    head = await reader.readuntil(b"\r\n\r\n")
    fields = dict(line.lower().split(b":", 1) for line in head.split(b"\r\n")[1:] if b":" in line)
    body = await (_chunks(reader) if b"chunked" in fields.get(b"transfer-encoding", b"") else _exactly(reader, fields))
    if not head.startswith(b"HTTP/1.1 200"):
        raise RuntimeError((head + body)[:500].decode("utf-8", "replace"))
    return body


async def _exactly(reader: asyncio.StreamReader, fields: dict[bytes, bytes]) -> bytes:
    return await reader.readexactly(int(fields[b"content-length"]))


async def _chunks(reader: asyncio.StreamReader) -> bytes:
    body = b""
    while size := int(await reader.readline(), 16):
        body += (await reader.readexactly(size + 2))[:-2]
    await reader.readline()
    return body
