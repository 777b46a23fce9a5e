"""What `mlops doctor` looks at on AWS: who asks and what he may do, quotas, left-overs, endpoints that nobody asks."""

from __future__ import annotations

from collections.abc import Iterator

from mlops_cli.backends.aws.doctor.caller import Caller
from mlops_cli.backends.aws.doctor.fleet import Fleet, idle
from mlops_cli.backends.aws.doctor.leftovers import left_overs, stacks_in_trouble
from mlops_cli.backends.aws.doctor.permissions import permissions
from mlops_cli.backends.aws.doctor.quotas import quotas
from mlops_cli.backends.aws.doctor.requirements import requirements
from mlops_cli.backends.aws.doctor.subject import Subject
from mlops_cli.backends.aws.doctor.undeployed import undeployed
from mlops_cli.backends.checkup import data_in_place
from mlops_cli.doctor import Check, Finding, State, examined

__all__ = ["Subject", "examine"]


def examine(subject: Subject) -> Iterator[Finding]:
    """Without credentials that AWS takes, nothing else can be looked at, and one finding says so."""
    caller = Caller(subject.account)
    yield from examined([Check("credentials", caller.look), Check("clock", caller.clock)])
    if not caller.known:
        yield Finding(
            "aws",
            State.WARNING,
            "Permissions, quotas, stacks, left-overs and endpoints could not be looked at.",
            "AWS answers only to credentials that it accepts.",
            "mlops doctor, once the credentials are right",
        )
        return
    fleet = Fleet(subject)
    yield from examined(
        [
            Check("permissions", lambda: permissions(subject)),
            Check("requirements", lambda: requirements(subject)),
            Check("settings", lambda: undeployed(subject)),
            Check("quota", lambda: quotas(subject, fleet)),
            Check("dataset", lambda: data_in_place(subject.use_case, subject.settings, subject.dataset)),
            Check("stack", lambda: stacks_in_trouble(subject)),
            Check("left-overs", lambda: left_overs(subject)),
            Check("endpoints", lambda: idle(subject, fleet)),
        ]
    )
