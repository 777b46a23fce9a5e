"""Distributed training: the devices of this machine, the hosts of the job, and their communication.

SageMaker names the hosts in SM_HOSTS and this host in SM_CURRENT_HOST. local_workers.py does the same, with an address
and a port for each host. Every worker has the same weights and makes the same steps. Each reads its own parts of the
training data, and the gradients of all are summed.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import tensorflow as tf

PORT = 2222


@dataclass(frozen=True)
class DistributedContext:
    """All devices of all workers. This worker is ``rank`` of ``world_size``."""

    rank: int
    world_size: int
    strategy: tf.distribute.Strategy

    @property
    def is_chief(self) -> bool:
        """True for the chief, which evaluates, saves and reports."""
        return self.rank == 0

    @property
    def devices(self) -> int:
        return int(self.strategy.num_replicas_in_sync)

    @property
    def local_devices(self) -> int:
        return self.devices // self.world_size

    def distribute(self, values: Sequence[Any]) -> Any:
        """Return one value for each local device, for ``strategy.run``."""
        if len(values) == 1:
            return values[0]
        first = self.rank * self.local_devices
        return self.strategy.experimental_distribute_values_from_function(
            lambda context: values[context.replica_id_in_sync_group - first]
        )

    def local_result(self, values: Any) -> Any:
        """Return the value of one local device from a result of ``strategy.run``."""
        return self.strategy.experimental_local_results(values)[0]

    def gather(self, values: np.ndarray) -> np.ndarray:
        """Return the integers [n] of all workers in their order. ``n`` may differ between workers."""
        if self.world_size == 1:
            return values
        return np.asarray(self.local_result(self.strategy.run(self._gather, (tf.constant(values, tf.int64),))))

    @cached_property
    def _gather(self) -> Any:
        def gather(values: tf.Tensor) -> tf.Tensor:
            context = tf.distribute.get_replica_context()
            # The devices of a worker have the same values, so one of them is enough.
            is_first = tf.equal(context.replica_id_in_sync_group % self.local_devices, 0)
            return context.all_gather(values[: tf.where(is_first, tf.size(values), 0)], 0)

        return tf.function(gather, input_signature=[tf.TensorSpec([None], tf.int64)])

    def sum(self, values: np.ndarray) -> np.ndarray:
        """Return the sum of integers [n] over all workers."""
        return np.asarray(self.gather(values).reshape(-1, len(values)).sum(axis=0))

    def wait(self) -> None:
        """Wait for all workers: to the others, a worker that leaves early seems to have failed."""
        self.sum(np.zeros(1, np.int64))


def connect(hosts: list[str], current: str) -> DistributedContext:
    """Return the context of these hosts and of this host's GPUs. This must be the first use of TensorFlow."""
    # TensorFlow keeps the memory of a step for the next one. Else the system clears and maps new pages in each step.
    os.environ.setdefault("TF_CPU_ALLOCATOR_USE_BFC", "1")
    if len(hosts) > 1:
        addresses = [host if ":" in host else f"{host}:{PORT}" for host in hosts]
        rank = hosts.index(current)
        task = {"type": "worker", "index": rank}
        os.environ["TF_CONFIG"] = json.dumps({"cluster": {"worker": addresses}, "task": task})
        return DistributedContext(rank, len(hosts), tf.distribute.MultiWorkerMirroredStrategy())
    several = len(tf.config.list_physical_devices("GPU")) > 1
    return DistributedContext(0, 1, tf.distribute.MirroredStrategy() if several else tf.distribute.get_strategy())


def read_hosts(environment: Mapping[str, str]) -> tuple[list[str], str]:
    """Return SageMaker's hosts and this host; outside of SageMaker, one host without a name."""
    hosts: list[str] = json.loads(environment.get("SM_HOSTS", "[]")) or [""]
    return sorted(hosts), environment.get("SM_CURRENT_HOST", hosts[0])


def is_sharded(environment: Mapping[str, str], channel: str) -> bool:
    """Return True if SageMaker has given this host only its own files of a channel."""
    channels = json.loads(environment.get("SM_INPUT_DATA_CONFIG", "{}"))
    return bool(channels.get(channel, {}).get("S3DistributionType") == "ShardedByS3Key")


def all_reduce_sum(values: list[Any]) -> list[Any]:
    """Return the sum of each value over all devices of all workers. Every device must call it."""
    context = tf.distribute.get_replica_context()
    if context.num_replicas_in_sync == 1:
        return values
    return list(context.all_reduce(tf.distribute.ReduceOp.SUM, values))
