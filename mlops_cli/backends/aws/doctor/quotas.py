"""Whether the account may have the machines that the use case names, beside those that it has already."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from mlops_cli.backends.aws.account import Client
from mlops_cli.backends.aws.doctor.fleet import Fleet
from mlops_cli.backends.aws.doctor.subject import Subject
from mlops_cli.doctor import Finding, State, ok


@dataclass(frozen=True)
class Wanted:
    """``count`` instances are needed at once, ``most`` now and then; ``used`` are taken by what runs already."""

    quota: str
    count: int
    used: int
    what: str
    most: int
    when: str = ""


@dataclass(frozen=True)
class Quota:
    code: str
    value: float


def quotas(subject: Subject, fleet: Fleet) -> Iterator[Finding]:
    wanted = list(machines(subject, fleet))
    known = found_quotas(subject.account.client("service-quotas"), {one.quota for one in wanted})
    for one in wanted:
        yield judged(one, known.get(one.quota), subject.account.region)


def machines(subject: Subject, fleet: Fleet) -> Iterator[Wanted]:
    """What a run and its endpoint take; a deployment holds the new instances and the old ones for a while."""
    machines = subject.machines
    spot = "spot training" if machines.train.spot else "training"
    for kind, use, machine in (
        (machines.preprocess.instance_type, "processing", machines.preprocess),
        (machines.train.instance_type, spot, machines.train),
    ):
        used = fleet.instances_of_jobs(use, kind)
        count = machine.instance_count
        yield Wanted(f"{kind} for {use} job usage", count, used, f"the {use} job", count)
    hosting = machines.endpoint
    if not hosting.serverless:
        kind = hosting.instance_type
        used, own = fleet.instances(kind), fleet.instances(kind, subject.endpoint)
        most = max(2 * hosting.instance_count, hosting.max_instances)
        yield Wanted(
            f"{kind} for endpoint usage",
            hosting.instance_count,
            used - own,
            "the endpoint",
            most,
            "A deployment holds the new instances and the old ones for a while, and scaling adds some.",
        )


def found_quotas(client: Client, names: set[str]) -> dict[str, Quota]:
    """By name, which is all that is known of them. What was never changed may have its default only."""
    found = _named(client, "list_service_quotas", names)
    return {**_named(client, "list_aws_default_service_quotas", names - found.keys()), **found}


def _named(client: Client, operation: str, names: set[str]) -> dict[str, Quota]:
    """There are thousands, a hundred at a time: the looking ends with the last one that is needed."""
    found: dict[str, Quota] = {}
    if not names:
        return found
    for one in client.pages(operation, "Quotas", ServiceCode="sagemaker"):
        if one["QuotaName"] in names:
            found[one["QuotaName"]] = Quota(one["QuotaCode"], one["Value"])
        if found.keys() == names:
            break
    return found


def judged(wanted: Wanted, quota: Quota | None, region: str) -> Finding:
    if quota is None:
        return Finding(
            "quota",
            State.WARNING,
            f"Service Quotas knows no '{wanted.quota}' in {region}.",
            f"SageMaker may not have this instance type there, for {wanted.what}.",
            "Choose another in training/usecase.toml ([aws.*]), or another region: mlops --region ...",
        )
    taken = f", {wanted.used} of it taken" if wanted.used else ""
    text = f"{wanted.quota}: {quota.value:g}{taken}, {wanted.what} needs {wanted.count}"
    raise_it = _raise(quota, max(wanted.most + wanted.used, 1), region)
    if quota.value < wanted.count:
        why = "AWS would refuse it with ResourceLimitExceeded."
        return Finding("quota", State.FAILURE, f"{text}.", why, f"{raise_it}; or choose another instance type")
    if quota.value < wanted.count + wanted.used:
        why = "AWS would refuse it with ResourceLimitExceeded as long as the others run."
        return Finding("quota", State.WARNING, f"{text}.", why, f"Wait or end them, or {raise_it}")
    if quota.value < wanted.most + wanted.used:
        return Finding("quota", State.WARNING, f"{text}, and {wanted.most} at times.", wanted.when, raise_it)
    return ok("quota", text)


def _raise(quota: Quota, value: int, region: str) -> str:
    return (
        f"aws service-quotas request-service-quota-increase --service-code sagemaker --quota-code {quota.code} "
        f"--desired-value {value} --region {region}"
    )
