"""A loopback HTTP server in front of the endpoint, so that a gate uses plain HTTP on AWS, too.

It answers as the local endpoint does, with the model's digest in a header, which SageMaker does not send.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from mlops_cli.backends.aws.errors import AwsError
from mlops_cli.core.endpoint import InvocationResponse
from mlops_cli.errors import MlopsError
from mlops_cli.monitoring.statistics import CUSTOM_ATTRIBUTES

Ask = Callable[[bytes, str], tuple[InvocationResponse, str]]


@dataclass
class EndpointProxy:
    """``caller_error``: the first error about the caller: a gate that fails with it says nothing about the model."""

    url: str = ""
    caller_error: AwsError | None = None


@contextmanager
def endpoint_proxy(ask: Ask, digest: str) -> Iterator[EndpointProxy]:
    """Provide a URL that answers with the results of ``ask``, during the block."""
    proxy = EndpointProxy()
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(ask, digest, proxy))
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        proxy.url = f"http://127.0.0.1:{server.server_port}/invocations"
        yield proxy
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _handler(ask: Ask, digest: str, proxy: EndpointProxy) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        # A response is written in two parts. The second must not wait for the acknowledgement of the first.
        disable_nagle_algorithm = True

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            try:
                answer, content_type = ask(body, self.headers.get("Content-Type", "application/json"))
            except MlopsError as error:
                if isinstance(error, AwsError) and error.is_about_caller:
                    proxy.caller_error = proxy.caller_error or error
                answer, content_type = InvocationResponse(502, error.message.encode(), 0.0), "text/plain"
            self.send_response(answer.status)
            self.send_header("Content-Type", content_type)
            self.send_header("Content-Length", str(len(answer.body)))
            self.send_header(CUSTOM_ATTRIBUTES, f"model-digest={digest}")
            self.end_headers()
            self.wfile.write(answer.body)

        def log_message(self, format: str, *args: object) -> None:
            """Log nothing: the gate's report has the results."""

    return Handler
