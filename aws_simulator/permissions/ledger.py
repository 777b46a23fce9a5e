"""The used and the denied permissions of each role and of each user."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

from ministack.core import iam_evaluator
from ministack.core.iam_evaluator import fnmatch_iam
from ministack.core.responses import get_account_id
from ministack.services import iam, sts


class Ledger:
    """Every decision about a role by the services of ministack or of this package."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._entries: dict[tuple[str, str, str, bool], int] = {}
        self._people: dict[tuple[str, str, str, bool], int] = {}

    def install(self) -> None:
        """Listen to ministack's evaluator."""
        decide: Callable[..., Any] = iam_evaluator.enforce

        def enforce(
            access_key_id: str,
            iam_action: str,
            service: str,
            region: str,
            resource_arn: str = "*",
            service_context: Any = None,
        ) -> Any:
            decision = decide(access_key_id, iam_action, service, region, resource_arn, service_context)
            session = sts._sessions.get(access_key_id)
            if session and ":assumed-role/" in session["Arn"]:
                self._note(self._entries, session["Arn"].split("/")[1], iam_action, resource_arn, decision is None)
            elif user := iam._access_keys.get_scoped(get_account_id(), None, access_key_id):
                self._note(self._people, str(user["UserName"]), iam_action, resource_arn, decision is None)
            return decision

        iam_evaluator.enforce = enforce

    def _note(
        self, entries: dict[tuple[str, str, str, bool], int], principal: str, action: str, resource: str, allowed: bool
    ) -> None:
        with self._lock:
            key = (principal, action, resource, allowed)
            entries[key] = entries.get(key, 0) + 1

    def clear(self) -> None:
        with self._lock:
            self._entries.clear()
            self._people.clear()

    def people(self) -> list[dict[str, Any]]:
        """Return the requests of users with their own access keys: user, action, resource and allowed."""
        with self._lock:
            return [dict(zip(("user", "action", "resource", "allowed"), key, strict=True)) for key in self._people]

    def entries(self, allowed: bool | None = None) -> list[dict[str, Any]]:
        """Return role, action, resource, allowed and count, in a stable order."""
        with self._lock:
            entries = sorted(self._entries.items())
        names = ("role", "action", "resource", "allowed")
        return [
            {**dict(zip(names, key, strict=True)), "times": times}
            for key, times in entries
            if allowed in (None, key[3])
        ]

    def unused(self) -> list[dict[str, str]]:
        """Return the action patterns in the roles' policies that no allowed request of the role has used."""
        used = {(entry["role"], entry["action"]) for entry in self.entries(allowed=True)}
        roles = {role for role, _ in used}
        return [
            {"role": role, "action": pattern}
            for role in sorted(roles)
            for pattern in sorted(set(_granted(role)))
            if not any(fnmatch_iam(action, pattern) for name, action in used if name == role)
        ]


def _granted(role: str) -> Iterator[str]:
    for statements in iam_evaluator._gather_role_policies(role, get_account_id()):
        for statement in statements:
            if statement.effect == "Allow":
                yield from statement.actions
