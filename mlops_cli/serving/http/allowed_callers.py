"""Refuse requests that a web page of another origin has sent, directly or through DNS rebinding."""

from __future__ import annotations

import ipaddress
import re
import socket
from functools import lru_cache
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from mlops_cli.serving.http.routes import Request

HOST = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[^:\[\]/@?#,\s]+)(?::\d{1,5})?")
# Names for which no other site's name server answers.
LOCAL_SUFFIXES = (".localhost", ".local", ".internal")


def objection(request: Request, bound: str, names: tuple[str, ...]) -> str:
    """Return why the request is refused, or "".

    ``bound``: the address on which the endpoint listens. ``names``: the host names that the owner allows.
    """
    host = request.header(b"host")
    is_allowed = host is not None and _name(host) in names
    if host is not None and not is_allowed and not is_own_name(host, bound):
        return f"The endpoint does not answer to the name {host!r:.80}: use its address, or set ENDPOINT_HOSTS."
    origin = request.header(b"origin")
    if origin is not None and not _is_own_origin(origin, host, is_allowed):
        return "The endpoint does not answer to web pages."
    site = request.header(b"sec-fetch-site")
    if site is not None and site.strip().lower() not in ("same-origin", "none"):
        return "The endpoint does not answer to web pages."
    return ""


@lru_cache(1024)
def is_own_name(host: str, bound: str) -> bool:
    """Return True if a Host header names this machine in a way that no foreign name server can forge."""
    name = _name(host)
    address = _address(name)
    if address is not None:
        listening = _address(bound)
        only_loopback = bound == "localhost" or (listening is not None and listening.is_loopback)
        return address.is_loopback or not only_loopback
    # A name without a dot does not exist in the public name system.
    is_local = bool(name) and ("." not in name or name.endswith(LOCAL_SUFFIXES))
    return is_local or name in (bound.lower(), socket.gethostname().lower())


def _is_own_origin(origin: str, host: str | None, is_allowed: bool) -> bool:
    """Return True for a page of this endpoint at an IP address, localhost or an allowed name.

    Any other name proves nothing.
    """
    if host is None or urlsplit(origin.strip()).netloc.lower() != host.strip().lower():
        return False
    return is_allowed or _name(host) == "localhost" or _address(_name(host)) is not None


def _name(host: str) -> str:
    """Return the name or address in a Host header without its port; "" if it is invalid."""
    match = HOST.fullmatch(host.strip())
    return match[1].strip("[]").rstrip(".").lower() if match else ""


def _address(name: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(name)
    except ValueError:
        return None
