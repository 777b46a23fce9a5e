"""The socket on which the server listens."""

from __future__ import annotations

import contextlib
import errno
import socket

from mlops_cli.serving.control_files import Deployment
from mlops_cli.serving.supervision.worker_handle import DeploymentError

FIRST_PORT, LAST_PORT = 8080, 8179


class _TakenError(DeploymentError):
    pass


def bind(deployment: Deployment, known_port: int) -> socket.socket:
    """Bind the deployment's port, or else ``known_port`` (0: none), or else the first free port from 8080 on.

    Raise DeploymentError.
    """
    if deployment.port:
        return _bind_socket(deployment.host, deployment.port)
    for port in (known_port, *range(FIRST_PORT, LAST_PORT + 1)):
        with contextlib.suppress(_TakenError):
            if port:
                return _bind_socket(deployment.host, port)
    message = f"All ports from {FIRST_PORT} to {LAST_PORT} are taken."
    raise DeploymentError(message, "Choose a free one: ENDPOINT_PORT=...")


def _bind_socket(host: str, port: int) -> socket.socket:
    listener = _open_socket(host, port)
    try:
        listener.listen(2048)
    except OSError as error:
        listener.close()
        raise _error(host, port, error) from None
    return listener


def _open_socket(host: str, port: int) -> socket.socket:
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except OSError as error:
        message = f"There is no address {host} (ENDPOINT_HOST): {error.strerror}."
        raise DeploymentError(message, "Check ENDPOINT_HOST.") from None
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
    except OSError as error:
        listener.close()
        raise _error(host, port, error) from None
    return listener


def _error(host: str, port: int, error: OSError) -> DeploymentError:
    if error.errno == errno.EADDRINUSE:
        return _TakenError(
            f"Port {port} of {host} (ENDPOINT_PORT) is taken: another program listens there.",
            "End that program, or choose another port: ENDPOINT_PORT=0 takes the first free one.",
        )
    message = f"Cannot listen on {host}:{port} (ENDPOINT_HOST, ENDPOINT_PORT): {error.strerror}."
    return DeploymentError(message, "Check ENDPOINT_HOST and ENDPOINT_PORT.")
