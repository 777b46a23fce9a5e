"""Checks of the caller: valid credentials, their expiry, the region, and the clock."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from email.utils import parsedate_to_datetime
from typing import Any

from mlops_cli.backends.aws.account import Account
from mlops_cli.core.checks import Finding, State, ok
from mlops_cli.errors import MlopsError

# AWS refuses signatures whose time differs by more than five minutes from its clock.
REFUSED_SECONDS, TOLERATED_SECONDS = 300, 60
SOON_SECONDS = 15 * 60
NEEDED = "Every command of the aws target needs credentials and a region."
SET_CLOCK = "Set the clock by the network's: sudo timedatectl set-ntp true (macOS: sudo sntp -sS time.apple.com)"


class CallerIdentity:
    """The caller. ``known``: AWS has accepted its credentials."""

    def __init__(self, account: Account) -> None:
        self._account = account
        self._date = ""
        self._response_at = 0.0
        self.known = False

    def check(self) -> Iterator[Finding]:
        if missing := list(self._account.missing()):
            for problem, fix in missing:
                yield Finding("credentials", State.FAILURE, problem, NEEDED, fix)
            return
        try:
            identity = self._account.identity
        except MlopsError as error:
            self._save_clock(getattr(error.__cause__, "response", {}))
            yield Finding("credentials", State.FAILURE, error.message, NEEDED, error.hint)
            return
        self._save_clock(self._account.client("sts").get_caller_identity())
        self.known = True
        yield ok("credentials", str(identity))
        yield from expiry(self._expires_at(), time.time())

    def _save_clock(self, response: Mapping[str, Any]) -> None:
        """Save the time of AWS's clock and of this machine's."""
        self._date = response.get("ResponseMetadata", {}).get("HTTPHeaders", {}).get("date", "")
        self._response_at = time.time()

    def _expires_at(self) -> float | None:
        """Return the expiry in seconds since the epoch; None for credentials that are renewed or do not expire."""
        credentials = self._account.session.get_credentials()
        moment = getattr(credentials, "_expiry_time", None)
        return moment.timestamp() if moment and credentials.method == "env" else None

    def clock(self) -> Iterator[Finding]:
        if self._date:
            yield skew(self._response_at - parsedate_to_datetime(self._date).timestamp())


def expiry(expires_at: float | None, current_time: float) -> Iterator[Finding]:
    if expires_at is None or expires_at - current_time > SOON_SECONDS:
        return
    yield Finding(
        "credentials",
        State.WARNING,
        f"They expire in {max(0, expires_at - current_time) / 60:.0f} minutes.",
        "Work on AWS continues without them; commands that follow it end.",
        "Renew them, for example: aws sso login",
    )


def skew(ahead: float) -> Finding:
    """``ahead``: seconds by which this machine's clock is ahead of AWS's. AWS sends whole seconds only."""
    text = f"This machine's clock is {abs(ahead):,.0f} s {'ahead of' if ahead > 0 else 'behind'} AWS's"
    if abs(ahead) <= TOLERATED_SECONDS:
        return ok("clock", "agrees with AWS's" if abs(ahead) < 2 else text)
    refused = abs(ahead) > REFUSED_SECONDS
    return Finding(
        "clock",
        State.FAILURE if refused else State.WARNING,
        f"{text}.",
        f"AWS refuses requests whose signature is more than {REFUSED_SECONDS // 60} minutes off its own time.",
        SET_CLOCK,
    )
