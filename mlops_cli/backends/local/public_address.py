"""The warning that other machines can reach the endpoint."""

from __future__ import annotations

import ipaddress

LOOPBACK = "Set ENDPOINT_HOST=127.0.0.1, then: mlops run --from deploy"


def public_address_warning(host: str) -> str:
    """Return the warning for an address that other machines can reach, or ""."""
    try:
        is_loopback = host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:  # the deployment reports the problem
        return ""
    if is_loopback:
        return ""
    return f"The endpoint listens on {host}: every machine that reaches this address can use it, without a password."
