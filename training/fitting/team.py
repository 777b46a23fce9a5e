"""Distributed training: the devices of this machine, the hosts of the job, and their communication.

SageMaker names the hosts in SM_HOSTS and this one in SM_CURRENT_HOST; so does workers.py, with an address and a port as
a host. Every worker has the same weights and makes the same steps: it takes its share of the rows of each batch, and
the gradients of all are summed.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import tensorflow as tf

PORT = 2222


@dataclass(frozen=True)
class Team:
    """All devices of all workers; this worker is ``rank`` of ``size``."""

    rank: int
    size: int
    strategy: tf.distribute.Strategy

    @property
    def is_chief(self) -> bool:
        """True for the chief: it evaluates, saves and reports."""
        return self.rank == 0

    @property
    def devices(self) -> int:
        return int(self.strategy.num_replicas_in_sync)

    @property
    def shares(self) -> range:
        """The indices of this worker's devices."""
        local_devices = self.devices // self.size
        return range(self.rank * local_devices, (self.rank + 1) * local_devices)

    def distributed(self, values: Sequence[Any]) -> Any:
        """Return one value for each device here, for ``strategy.run``."""
        if len(values) == 1:
            return values[0]
        first = self.shares[0]
        return self.strategy.experimental_distribute_values_from_function(
            lambda context: values[context.replica_id_in_sync_group - first]
        )

    def first(self, values: Any) -> Any:
        """Return the value of one device here from a result of ``strategy.run``."""
        return self.strategy.experimental_local_results(values)[0]

    def wait(self) -> None:
        """Wait for all workers: one that leaves early looks like a failed one."""
        if self.size > 1:
            self.strategy.run(tf.function(lambda: all_reduce_sum([tf.ones([])])))


def assemble(hosts: list[str], current: str) -> Team:
    """Return the strategy for these hosts and the GPUs of this one. Must be the first call of TensorFlow."""
    if len(hosts) > 1:
        addresses = [host if ":" in host else f"{host}:{PORT}" for host in hosts]
        rank = hosts.index(current)
        task = {"type": "worker", "index": rank}
        os.environ["TF_CONFIG"] = json.dumps({"cluster": {"worker": addresses}, "task": task})
        return Team(rank, len(hosts), tf.distribute.MultiWorkerMirroredStrategy())
    several = len(tf.config.list_physical_devices("GPU")) > 1
    return Team(0, 1, tf.distribute.MirroredStrategy() if several else tf.distribute.get_strategy())


def hosts_of(environment: Mapping[str, str]) -> tuple[list[str], str]:
    """Return SageMaker's hosts and this one; outside of SageMaker one host without a name."""
    hosts: list[str] = json.loads(environment.get("SM_HOSTS", "[]")) or [""]
    return sorted(hosts), environment.get("SM_CURRENT_HOST", hosts[0])


def all_reduce_sum(values: list[Any]) -> list[Any]:
    """Return the sum of each value over all devices of all workers; every device must call it."""
    context = tf.distribute.get_replica_context()
    if context.num_replicas_in_sync == 1:
        return values
    return list(context.all_reduce(tf.distribute.ReduceOp.SUM, values))
