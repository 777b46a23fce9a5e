"""Who trains together: the devices of this machine and the hosts of the job, and what they exchange.

SageMaker names the hosts in SM_HOSTS and this one in SM_CURRENT_HOST; so does workers.py, where a host is an address
with a port. Every worker has the same weights and makes the same steps: of each batch it takes its share of the rows,
and the gradients of all are added up.
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
    """All devices of all workers; this worker is number ``place`` of ``size``."""

    place: int
    size: int
    strategy: tf.distribute.Strategy

    @property
    def leads(self) -> bool:
        """Whether this is the one that evaluates, saves and reports."""
        return self.place == 0

    @property
    def devices(self) -> int:
        return int(self.strategy.num_replicas_in_sync)

    @property
    def shares(self) -> range:
        """The numbers of this worker's devices."""
        local_devices = self.devices // self.size
        return range(self.place * local_devices, (self.place + 1) * local_devices)

    def distributed(self, values: Sequence[Any]) -> Any:
        """One value for each device here, as ``strategy.run`` takes it."""
        if len(values) == 1:
            return values[0]
        first = self.shares[0]
        return self.strategy.experimental_distribute_values_from_function(
            lambda context: values[context.replica_id_in_sync_group - first]
        )

    def first(self, values: Any) -> Any:
        """Of what ``strategy.run`` gave, the value of one device here."""
        return self.strategy.experimental_local_results(values)[0]

    def wait(self) -> None:
        """Until all are here: who leaves early looks like one that died."""
        if self.size > 1:
            self.strategy.run(tf.function(lambda: added_up([tf.ones([])])))


def assemble(hosts: list[str], current: str) -> Team:
    """The strategy for these hosts and the GPUs of this one. The first thing that is asked of TensorFlow."""
    if len(hosts) > 1:
        addresses = [host if ":" in host else f"{host}:{PORT}" for host in hosts]
        rank = hosts.index(current)
        task = {"type": "worker", "index": rank}
        os.environ["TF_CONFIG"] = json.dumps({"cluster": {"worker": addresses}, "task": task})
        return Team(rank, len(hosts), tf.distribute.MultiWorkerMirroredStrategy())
    several = len(tf.config.list_physical_devices("GPU")) > 1
    return Team(0, 1, tf.distribute.MirroredStrategy() if several else tf.distribute.get_strategy())


def hosts_of(environment: Mapping[str, str]) -> tuple[list[str], str]:
    """SageMaker's hosts and this one; by hand there is one without a name."""
    hosts: list[str] = json.loads(environment.get("SM_HOSTS", "[]")) or [""]
    return sorted(hosts), environment.get("SM_CURRENT_HOST", hosts[0])


def added_up(values: list[Any]) -> list[Any]:
    """The sum of each value over all devices of all workers; called by each device for itself."""
    context = tf.distribute.get_replica_context()
    if context.num_replicas_in_sync == 1:
        return values
    return list(context.all_reduce(tf.distribute.ReduceOp.SUM, values))
