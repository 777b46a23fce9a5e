"""Web addresses: validation, display without secrets, and how private an IP address is."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from pathlib import PurePosixPath
from urllib.parse import SplitResult, unquote, urljoin, urlsplit, urlunsplit

from mlops_cli.errors import ConfigurationError, MlopsError

SCHEMES = ("http", "https")


def is_url(source: str) -> bool:
    return source.lower().startswith(("http://", "https://"))


def _split(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        parts.port  # noqa: B018 (read, to see whether it is a number)
    except ValueError as error:
        shown = url.rpartition("@")[2].partition("?")[0]
        raise ConfigurationError(
            f"The address {shown!r} is not valid: {error}.", "Check it, then repeat the command"
        ) from None
    return parts


def shown_url(url: str) -> str:
    """Return a URL without its user, password and query values, because each may be secret."""
    parts = _split(url)
    host = parts.netloc.rpartition("@")[2]
    return urlunsplit((parts.scheme, host, parts.path, "…" if parts.query else "", ""))


@dataclass(frozen=True)
class Remote:
    """The address of a download. ``name`` is for messages and never contains a secret."""

    url: str
    name: str
    headers: Mapping[str, str]

    @classmethod
    def from_url(cls, url: str) -> Remote:
        """Parse a user's URL. Its user:password@ becomes a header."""
        from urllib3.util import make_headers

        parts = _split(url)
        if not parts.hostname:
            raise ConfigurationError(
                f"{shown_url(url)} is not a web address", "write the whole address: https://HOST/FILE"
            )
        headers = {}
        if parts.username is not None:
            credentials = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
            headers = make_headers(basic_auth=credentials)
        return cls(_bare(parts), shown_url(url), headers)

    @property
    def file_name(self) -> str:
        return PurePosixPath(urlsplit(self.url).path).name or "download"


def _bare(parts: SplitResult) -> str:
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, parts.query, ""))


def redirected(url: str, location: str, name: str) -> str:
    """Return the address of a redirect. Raise MlopsError for a forbidden one."""
    try:
        parts = urlsplit(urljoin(url, location))
        port = parts.port
    except ValueError:
        raise MlopsError(f"{name} redirects to an address that is not valid", "check the address") from None
    if parts.scheme.lower() not in SCHEMES or not parts.hostname or port == 0:
        raise MlopsError(
            f"{name} redirects to {parts.scheme or 'no'} address, which is not followed", "check the address"
        )
    if urlsplit(url).scheme.lower() == "https" and parts.scheme.lower() == "http":
        raise MlopsError(
            f"{name} redirects from https to http, which is not followed", f"give the address itself, {shown_url(url)}"
        )
    return _bare(parts)


def is_same_site(url: str, other_url: str) -> bool:
    """True if both share credentials: the same host and port, or a change from http to https."""
    (host, port), (other_host, other_port) = _site(url), _site(other_url)
    return host == other_host and (port == other_port or (port, other_port) == (80, 443))


def _site(url: str) -> tuple[str | None, int]:
    parts = urlsplit(url)
    return parts.hostname, parts.port or (443 if parts.scheme.lower() == "https" else 80)


class AddressScope(IntEnum):
    """How private an address is; a higher value is more private."""

    PUBLIC = 0
    PRIVATE = 1
    LOOPBACK = 2
    METADATA = 3


# Metadata services with a machine's credentials at other addresses than the usual link-local one.
_METADATA = {ipaddress.ip_address(text) for text in ("fd00:ec2::254", "100.100.100.200", "168.63.129.16")}
_NAT64 = ipaddress.ip_network("64:ff9b::/96")


def address_scope(address: str) -> AddressScope:
    """Return the scope of an IP address. An IPv4 address inside an IPv6 one counts as IPv4."""
    ip = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv6Address):
        inner = ip.ipv4_mapped or ip.sixtofour
        if ip in _NAT64:
            inner = ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)
        if inner is not None:
            return address_scope(str(inner))
    if ip in _METADATA or ip.is_link_local:
        return AddressScope.METADATA
    if ip.is_loopback or ip.is_unspecified:
        return AddressScope.LOOPBACK
    return AddressScope.PUBLIC if ip.is_global else AddressScope.PRIVATE
