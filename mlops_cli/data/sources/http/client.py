"""HTTP requests to untrusted servers: each redirect is checked before it is followed."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any

from mlops_cli.data.sources.http.urls import AddressScope, Remote, address_scope, is_same_site, redirected
from mlops_cli.errors import MlopsError

if TYPE_CHECKING:
    import urllib3

CONNECT_SECONDS = 15.0
READ_SECONDS = 60.0
_MOST_REDIRECTS = 10
_REDIRECTS = (301, 302, 303, 307, 308)
# Ranges, lengths and validators refer to the encoded bytes, so request no encoding.
_HEADERS = {"Accept-Encoding": "identity", "User-Agent": "mlops-cli"}


class RedirectGuard:
    """Keep redirects from reaching a more private network than the user's own address.

    A public server must not make this machine call its own services, its neighbours or its cloud's metadata.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._limit: AddressScope | None = None
        self._first: AddressScope = AddressScope.PUBLIC

    def follow(self) -> None:
        """Make the first address the limit for redirects."""
        if self._limit is None:
            self._limit = self._first

    def check_name(self, host: str, port: int) -> None:
        if self._limit is not None:
            for *_, address in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM):
                self._check(str(address[0]))

    def check_peer(self, address: str) -> None:
        """Check the address of the connection, because a name may resolve to another address the second time."""
        if self._limit is None:
            self._first = address_scope(address)
        else:
            self._check(address)

    def _check(self, address: str) -> None:
        if self._limit is not None and address_scope(address) > self._limit:
            raise MlopsError(
                f"{self._name} redirects to {address}, which is nearer to this machine than the server: not followed",
                "check the address; if it is right, give the redirected address",
            )


class Client:
    """Requests to one source, as a context manager. ``address``: the address of the last response."""

    def __init__(self, remote: Remote, connect: float | None = None, read: float | None = None) -> None:
        import urllib3

        self._remote = remote
        self._guard = RedirectGuard(remote.name)
        self.address = remote.url
        self._pool = urllib3.PoolManager(
            timeout=urllib3.Timeout(connect=connect or CONNECT_SECONDS, read=read or READ_SECONDS),
            retries=urllib3.Retry(connect=1, read=1, redirect=0, status=2, status_forcelist=(429, 502, 503, 504),
                                  backoff_factor=0.3, raise_on_status=False, respect_retry_after_header=False)
            if connect is None else False,
        )  # fmt: skip
        self._pool.pool_classes_by_scheme = _guarded_pools(self._guard)

    def __enter__(self) -> Client:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._pool.clear()

    def request(self, method: str, headers: Mapping[str, str]) -> urllib3.BaseHTTPResponse:
        """Return the response's head, with any status. The caller reads its body and closes it.

        Raise MlopsError if no server answers or a redirect is forbidden.
        """
        url, credentials = self._remote.url, dict(self._remote.headers)
        for _ in range(_MOST_REDIRECTS + 1):
            response = self._send(method, url, {**_HEADERS, **credentials, **headers})
            location = response.headers.get("Location") if response.status in _REDIRECTS else None
            if not location:
                self.address = url
                return response
            response.close()
            target = redirected(url, location, self._remote.name)
            if not is_same_site(url, target):
                credentials = {}
            self._guard.follow()
            url = target
        raise _unreachable(self._remote.name, "too many redirects")

    def _send(self, method: str, url: str, headers: Mapping[str, str]) -> urllib3.BaseHTTPResponse:
        from urllib3.exceptions import HTTPError

        try:
            # The reader checks the length after it has written the received bytes.
            return self._pool.request(
                method, url, headers=headers, redirect=False, preload_content=False, enforce_content_length=False
            )
        except (HTTPError, OSError) as error:
            raise _unreachable(self._remote.name, network_reason(error)) from None


def _guarded_pools(guard: RedirectGuard) -> dict[str, Any]:
    """Return urllib3's pools. Their connections call the guard before and after they are made."""
    from urllib3 import HTTPConnectionPool, HTTPSConnectionPool

    def guarded(pool: Any) -> Any:
        base = pool.ConnectionCls

        class Connection(base):  # type: ignore[misc, valid-type]
            def _new_conn(self) -> Any:
                guard.check_name(self.host, self.port)
                connected = super()._new_conn()
                guard.check_peer(connected.getpeername()[0])
                return connected

        return type(f"Guarded{pool.__name__}", (pool,), {"ConnectionCls": Connection})

    return {"http": guarded(HTTPConnectionPool), "https": guarded(HTTPSConnectionPool)}


def network_reason(error: Exception) -> str:
    text = repr(error)
    if any(part in text for part in ("NameResolution", "getaddrinfo", "Name or service", "gaierror")):
        return "the name of the server could not be resolved"
    if "Timeout" in text or "timed out" in text:
        return "the server did not answer in time"
    if "CERTIFICATE" in text or "SSL" in text:
        return "its certificate could not be verified"
    if "refused" in text:
        return "the connection was refused"
    return "the connection was lost"


def _unreachable(name: str, reason: str) -> MlopsError:
    return MlopsError(
        f"{name} cannot be reached: {reason}", "check the address and the network, then repeat the command"
    )


_STATUS_REASONS = {
    401: ("it asks for a user name and a password", "give them in the address, as https://user:password@host/..."),
    403: ("access is not allowed", "check that you may read it"),
    404: ("there is no such file", "check the address"),
    410: ("it is no longer there", "check the address"),
    429: ("too many requests", "wait a while, then repeat the command"),
}


def refused(name: str, status: int) -> MlopsError:
    default = (
        ("the server has a problem", "repeat the command later")
        if status >= 500
        else ("the server refuses", "check it")
    )
    reason, hint = _STATUS_REASONS.get(status, default)
    return MlopsError(f"{name} cannot be downloaded: HTTP {status}, {reason}", hint)
