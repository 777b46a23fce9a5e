"""The checks of `mlops doctor` on AWS: credentials, permissions, quotas, leftovers, idle endpoints."""

from __future__ import annotations

from collections.abc import Iterator

from mlops_cli.backends.aws.doctor.company import company_checks, consistency
from mlops_cli.backends.aws.doctor.context import CheckContext
from mlops_cli.backends.aws.doctor.credentials import CallerIdentity
from mlops_cli.backends.aws.doctor.expiry import expiry
from mlops_cli.backends.aws.doctor.leftovers import failed_stacks, orphaned_resources, owner, records
from mlops_cli.backends.aws.doctor.own_images import model_images
from mlops_cli.backends.aws.doctor.permissions import permissions
from mlops_cli.backends.aws.doctor.quotas import quotas
from mlops_cli.backends.aws.doctor.requirements import gate_limits, requirements
from mlops_cli.backends.aws.doctor.running_instances import RunningInstances, idle
from mlops_cli.backends.aws.doctor.secrets import secrets, unchecked_secrets
from mlops_cli.backends.aws.doctor.undeployed import undeployed
from mlops_cli.backends.aws.errors import AwsError
from mlops_cli.backends.common_checks import dataset_check
from mlops_cli.core.checks import Check, Finding, State, run_checks

__all__ = ["CheckContext", "run_doctor"]


def run_doctor(subject: CheckContext) -> Iterator[Finding]:
    """Yield the findings. Without a known caller, check only the project's own files and settings."""
    caller = CallerIdentity(subject.account)
    yield from run_checks([Check("credentials", caller.check), Check("clock", caller.clock)])
    yield from run_checks(
        [
            Check("company", lambda: consistency(subject)),
            Check("time limits", lambda: gate_limits(subject)),
            Check("requirements", lambda: requirements(subject)),
        ]
    )
    if not caller.known:
        yield from run_checks([Check("secrets", lambda: unchecked_secrets(subject))])
        yield Finding(
            "aws",
            State.WARNING,
            "Permissions, quotas, stacks, leftovers and endpoints were not checked.",
            "AWS does not accept the credentials: see the check credentials.",
            "Fix the check credentials, then: mlops --target aws doctor",
        )
        return
    fleet = RunningInstances(subject)
    yield from run_checks(
        [
            Check("permissions", lambda: permissions(subject)),
            *company_checks(subject),
            Check("images", lambda: model_images(subject)),
            Check("settings", lambda: undeployed(subject)),
            Check("secrets", lambda: secrets(subject)),
            Check("quota", lambda: quotas(subject, fleet)),
            Check("dataset", lambda: dataset_check(subject.use_case, subject.settings, subject.dataset)),
            Check("stack", lambda: failed_stacks(subject)),
            Check("owner", lambda: owner(subject)),
            Check("expiry", lambda: expiry(subject)),
            Check("store", lambda: records(subject)),
            Check("leftovers", lambda: orphaned_resources(subject)),
            Check("endpoints", lambda: idle(subject, fleet)),
        ],
        stops_all=lambda error: isinstance(error, AwsError) and error.is_about_credentials,
    )
