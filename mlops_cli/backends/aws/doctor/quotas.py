"""Check that the account's quotas are enough for the use case's instances and the instances already running."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from mlops_cli.backends.aws.account import Client
from mlops_cli.backends.aws.doctor.context import CheckContext
from mlops_cli.backends.aws.doctor.running_instances import RunningInstances
from mlops_cli.core.checks import Finding, State, ok
from mlops_cli.core.stages import JOBS, Kind


@dataclass(frozen=True)
class InstanceDemand:
    """``count``: instances needed at once. ``most``: instances at peak. ``used``: instances already running."""

    quota: str
    count: int
    used: int
    purpose: str
    most: int
    when: str = ""


@dataclass(frozen=True)
class Quota:
    code: str
    value: float


def quotas(subject: CheckContext, fleet: RunningInstances) -> Iterator[Finding]:
    demands = list(instance_demand(subject, fleet))
    quotas_by_name = find_quotas(subject.account.client("service-quotas"), {demand.quota for demand in demands})
    for demand in demands:
        yield quota_finding(demand, quotas_by_name.get(demand.quota), subject.account.region)


def instance_demand(subject: CheckContext, fleet: RunningInstances) -> Iterator[InstanceDemand]:
    """Yield the needs of a run and its endpoint. A deployment briefly needs the old and the new instances."""
    machines = subject.machines
    counts: dict[tuple[str, str], int] = {}
    for stage in JOBS:  # they run one after the other
        machine = machines.of(stage)
        use = "spot training" if stage.kind is Kind.TRAINING and machine.spot else stage.kind.value
        key = (machine.instance_type, use)
        counts[key] = max(counts.get(key, 0), machine.instance_count)
    counts.setdefault((machines.trial.instance_type, Kind.PROCESSING.value), 1)
    for (kind, use), count in counts.items():
        used = fleet.instances_of_jobs(use, kind)
        yield InstanceDemand(f"{kind} for {use} job usage", count, used, f"the {use} job", count)
    hosting = machines.endpoint
    if not hosting.serverless:
        kind = hosting.instance_type
        used, own = fleet.instances(kind), fleet.instances(kind, subject.endpoint)
        most = max(2 * hosting.instance_count, hosting.max_instances)
        yield InstanceDemand(
            f"{kind} for endpoint usage",
            hosting.instance_count,
            used - own,
            "the endpoint",
            most,
            "During a deployment old and new instances run side by side; scaling adds more.",
        )


def find_quotas(client: Client, names: set[str]) -> dict[str, Quota]:
    """Return the quotas by name, their only known key. Quotas that were never changed may only have a default."""
    applied = _list_quotas(client, "list_service_quotas", names)
    return {**_list_quotas(client, "list_aws_default_service_quotas", names - applied.keys()), **applied}


def _list_quotas(client: Client, operation: str, names: set[str]) -> dict[str, Quota]:
    """Return the quotas with these names. There are thousands, a hundred per page: stop after the last needed one."""
    quotas: dict[str, Quota] = {}
    if not names:
        return quotas
    for entry in client.pages(operation, "Quotas", ServiceCode="sagemaker"):
        if entry["QuotaName"] in names:
            quotas[entry["QuotaName"]] = Quota(entry["QuotaCode"], entry["Value"])
        if quotas.keys() == names:
            break
    return quotas


def quota_finding(demand: InstanceDemand, quota: Quota | None, region: str) -> Finding:
    if quota is None:
        return Finding(
            "quota",
            State.WARNING,
            f"Service Quotas has no '{demand.quota}' in {region}.",
            f"SageMaker may not have this instance type there, for {demand.purpose}.",
            "Choose another in usecase.toml ([aws.*]), or another region: mlops --region ...",
        )
    in_use = f", {demand.used} of it in use" if demand.used else ""
    text = f"{demand.quota}: {quota.value:g}{in_use}, {demand.purpose} needs {demand.count}"
    raise_it = _raise(quota, max(demand.most + demand.used, 1), region)
    if quota.value < demand.count:
        why = "AWS would refuse it with ResourceLimitExceeded."
        return Finding("quota", State.FAILURE, f"{text}.", why, f"{raise_it}; or choose another instance type")
    if quota.value < demand.count + demand.used:
        why = "AWS would refuse it with ResourceLimitExceeded as long as the others run."
        return Finding("quota", State.WARNING, f"{text}.", why, f"Wait for them or end them, or {raise_it}")
    if quota.value < demand.most + demand.used:
        return Finding("quota", State.WARNING, f"{text}, and {demand.most} at times.", demand.when, raise_it)
    return ok("quota", text)


def _raise(quota: Quota, value: int, region: str) -> str:
    return (
        f"aws service-quotas request-service-quota-increase --service-code sagemaker --quota-code {quota.code} "
        f"--desired-value {value} --region {region}"
    )
