"""Try a model package in its serving container: start the container's own server, and send it the examples.

It runs in a processing job in the serving image, beside the examples; it imports nothing of mlops and needs Python 3.8.
SageMaker keeps its message with the job: the answer, the reason of a failure, or why nothing could be tried.
"""

from __future__ import annotations

import http.client
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import threading
import time
from pathlib import Path

EXAMPLES, PACKAGE = "examples.json", "model.tar.gz"
# SageMaker starts a serving container with the argument `serve`, and a processing job replaces the image's entry point.
# This file is the entry point of the images of PyTorch and Hugging Face; the other images have a program `serve`.
ENTRY_POINT, PROGRAM = "/usr/local/bin/dockerd-entrypoint.py", "serve"
READY_SECONDS, ANSWER_SECONDS, LOG_SECONDS, LOOK_SECONDS = 480.0, 60.0, 5.0, 0.1
# SageMaker keeps 1,024 bytes of a message.
MESSAGE_BYTES, KEPT_LINES, EXAMPLE_CHARACTERS = 1000, 2000, 80
# The beginnings of the messages.
ANSWERED, NOT_TRIED = "answer: ", "not tried: "
NO_SERVER = f"the serving image has no program `{PROGRAM}`, with which SageMaker starts its own images"
ERROR = re.compile(r"(?:^|[\s.])([A-Za-z_]\w*(?:Error|Exception)): (.*)")
FRAME = re.compile(r'File "([^"]+\.py)", line (\d+)(?:, in ([A-Za-z_]\w*))?')


class UnservableModelError(Exception):
    """The server does not start, or does not answer the examples."""


class Server:
    """The container's server as a process, and the last lines of its output; ``modules``: files of the package."""

    def __init__(self, command: list[str], modules: list[str]) -> None:
        self._modules = modules
        self._lines: list[str] = []
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        for line in self._process.stdout or ():
            text = line.decode("utf-8", "replace").rstrip()
            print(text, flush=True)  # noqa: T201 (the job's log)
            self._lines = [*self._lines[-KEPT_LINES:], text]

    def wait_until_ready(self) -> None:
        """Raise UnservableModelError if the server ends, or is not healthy in time."""
        deadline, health = time.monotonic() + READY_SECONDS, ""
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                self._reader.join(LOG_SECONDS)
                raise UnservableModelError(self._error() or self._end())
            try:
                status, _ = _request("GET", "/ping", b"", LOG_SECONDS)
            except OSError as error:
                health = str(error)
            else:
                if status == http.client.OK:
                    return
                health = f"status {status}"
            time.sleep(LOOK_SECONDS)
        raise UnservableModelError(self._error() or f"it was not ready within {READY_SECONDS:g} s: {health}")

    def answer(self, examples: bytes) -> str:
        """Return the answer; raise UnservableModelError with the first example that has none alone."""
        answer, reason = self._send(examples)
        if not reason:
            return answer
        for number, example in enumerate(json.loads(examples)["instances"], 1):
            _, own = self._send(json.dumps({"instances": [example]}).encode())
            if own:
                shown = _clipped(json.dumps(example))
                message = f"it does not answer example {number} of [endpoint] in usecase.toml, {shown}: {own}"
                raise UnservableModelError(message)
        raise UnservableModelError(f"it does not answer the examples of [endpoint] in usecase.toml together: {reason}")

    def _send(self, body: bytes) -> tuple[str, str]:
        """Return the answer to a request, and why there is none."""
        self._lines = []
        try:
            status, answer = _request("POST", "/invocations", body, ANSWER_SECONDS)
        except OSError as error:
            return "", self._error() or str(error)
        if status == http.client.OK:
            return answer.decode("utf-8", "replace"), ""
        deadline = time.monotonic() + LOG_SECONDS  # the server's output may come later than its answer
        while status >= http.client.INTERNAL_SERVER_ERROR and not self._error() and time.monotonic() < deadline:
            time.sleep(LOOK_SECONDS)
        return "", self._error() or _text_of(status, answer)

    def _end(self) -> str:
        last = next((line for line in reversed(self._lines) if line), "it printed nothing")
        return f"its server ended with {self._process.returncode}: {last}"

    def _error(self) -> str:
        return last_error(self._lines, self._modules)

    def end(self) -> None:
        """End the server; the container ends with this process, and everything else in it."""
        self._process.terminate()
        try:
            self._process.wait(LOG_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()


def last_error(lines: list[str], modules: list[str]) -> str:
    """Return the last exception in the lines with its place in the package; empty without one.

    A server may report an exception again, without its traceback.
    """
    matches = ((number, ERROR.search(line)) for number, line in enumerate(lines))
    errors = [(number, " ".join(f"{match[1]}: {match[2]}".split())) for number, match in matches if match]
    code_lines = [_code_line(lines[:number], modules) for number, error in errors if error == errors[-1][1]]
    return errors[-1][1] + next((line for line in reversed(code_lines) if line), "") if errors else ""


def _code_line(before: list[str], modules: list[str]) -> str:
    """Return the last line and function of the package's own code in the traceback that ends here."""
    last, function = "", ""
    for line in reversed(before):
        frame = FRAME.search(line)
        module = next((name for name in modules if frame and Path(name).name == Path(frame[1]).name), "")
        if frame and module:
            last, function = last or f"{module}, line {frame[2]}", function or f", in {frame[3]}" if frame[3] else ""
        if function or "Traceback (most recent call last)" in line:
            break
    return f" ({last}{function})" if last else ""


def _clipped(text: str) -> str:
    return text if len(text) <= EXAMPLE_CHARACTERS else f"{text[:EXAMPLE_CHARACTERS]}… ({len(text):,} characters)"


def _text_of(status: int, body: bytes) -> str:
    """Return an error's text: title and description, where the answer has these."""
    text = body.decode("utf-8", "replace").strip()
    try:
        document = json.loads(text)
    except ValueError:
        return f"{status} {text}"
    if isinstance(document, dict) and "title" in document:
        return f"{document['title']} {document.get('description', '')}".strip()
    return f"{status} {text}"


def _request(method: str, path: str, body: bytes, seconds: float) -> tuple[int, bytes]:
    """Return status and body of the answer; raise OSError without one."""
    port = int(os.environ.get("SAGEMAKER_BIND_TO_PORT", "8080"))
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=seconds)
    try:
        connection.request(method, path, body, {"Content-Type": "application/json", "Accept": "application/json"})
        answer = connection.getresponse()
        return answer.status, answer.read()
    except http.client.HTTPException as error:
        raise OSError(f"{type(error).__name__}: {error}") from error
    finally:
        connection.close()


def command() -> list[str]:
    """Return the command line of the container's server; empty if the image has none that is known."""
    if Path(ENTRY_POINT).is_file():
        return [sys.executable, ENTRY_POINT, PROGRAM]
    program = shutil.which(PROGRAM)
    return [program] if program else []


def try_model(root: Path) -> str:
    """Return the message of the trial; raise UnservableModelError if the model cannot be served."""
    server_command = command()
    if not server_command:
        return f"{NOT_TRIED}{NO_SERVER}"
    inputs, model = root / "processing" / "input", root / "model"
    model.mkdir(parents=True, exist_ok=True)
    with tarfile.open(str(inputs / "model" / PACKAGE)) as archive:
        archive.extractall(str(model))  # noqa: S202 (as SageMaker unpacks it)
    examples = (inputs / "code" / EXAMPLES).read_bytes()
    server = Server(server_command, [f"code/{path.name}" for path in sorted((model / "code").glob("*.py"))])
    try:
        server.wait_until_ready()
        answer = server.answer(examples) if examples else ""
    finally:
        server.end()
    return f"{ANSWERED}{answer}"


def main() -> int:
    root, code = Path(sys.argv[1]), 0
    try:
        message = try_model(root)
    except UnservableModelError as error:
        message, code = str(error).replace(f"{root}/model/", ""), 1
    text = " ".join(message.split())
    print(text, flush=True)  # noqa: T201 (the job's log)
    (root / "output").mkdir(parents=True, exist_ok=True)
    kept = text.encode()[:MESSAGE_BYTES].decode("utf-8", "ignore")
    (root / "output" / "message").write_text(kept, encoding="utf-8")
    return code


if __name__ == "__main__":
    sys.exit(main())
