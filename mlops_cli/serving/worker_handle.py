"""A worker process as the supervisor sees it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import signal
import socket
import sys
from dataclasses import asdict

from mlops_cli.serving.control_files import Deployment, EndpointDirectory

log = logging.getLogger("mlops.server")


class DeploymentError(Exception):
    """The new worker cannot serve; the deployment in service before stays."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


class Worker:
    """A worker process and the messages on its pipe."""

    def __init__(self, process: asyncio.subprocess.Process, life: int) -> None:
        self.process = process
        self._news = asyncio.StreamReader()
        self._pipe: asyncio.BaseTransport | None = None
        self._life = life

    @classmethod
    async def start(cls, folder: EndpointDirectory, deployment: Deployment, listener: socket.socket) -> Worker:
        """Start the process; raise OSError if there is no process, memory or file left for it."""
        news_end, news = os.pipe()
        life_end, life = os.pipe()
        task = {"listener": listener.fileno(), "news": news, "life": life_end, "folder": str(folder.root)}
        command = json.dumps({**task, "deployment": asdict(deployment)})
        try:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "mlops_cli.serving.worker", command),
                pass_fds=(listener.fileno(), news, life_end),
            )
        except OSError:
            os.close(news_end)
            os.close(life)
            raise
        finally:
            os.close(news)
            os.close(life_end)
        worker = cls(process, life)
        await worker._listen(news_end)
        return worker

    async def _listen(self, descriptor: int) -> None:
        loop = asyncio.get_running_loop()
        self._pipe, _ = await loop.connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(self._news), os.fdopen(descriptor, "rb")
        )

    async def wait_for_message(self, expected: str, seconds: float) -> None:
        """Wait for the next message to be ``expected``; raise DeploymentError."""
        try:
            line = (await asyncio.wait_for(self._news.readline(), seconds)).decode().strip()
        except asyncio.TimeoutError:
            raise DeploymentError(f"The new server was not ready after {seconds:g} s.") from None
        if line == expected:
            return
        if line.startswith("failed "):
            raise DeploymentError(f"The model cannot be served: {line.removeprefix('failed ')}")
        raise DeploymentError(f"The new server ended before it was ready ({self.ending(await self.process.wait())}).")

    async def end(self, sign: signal.Signals, seconds: float) -> None:
        """Signal the worker to leave; kill it after ``seconds``."""
        with contextlib.suppress(ProcessLookupError):
            self.process.send_signal(sign)
        try:
            await asyncio.wait_for(self.process.wait(), seconds)
        except asyncio.TimeoutError:
            log.warning("worker %d did not leave within %g s and is killed", self.process.pid, seconds)
            with contextlib.suppress(ProcessLookupError):
                self.process.kill()
            await self.process.wait()
        self.close()

    def close(self) -> None:
        """Close the pipes: a running worker sees the end of one and leaves at once."""
        if self._pipe is not None:
            self._pipe.close()
        if self._life >= 0:
            os.close(self._life)
            self._life = -1

    @staticmethod
    def ending(code: int) -> str:
        return f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
