"""Corrections of ministack 1.5.33 where it differs visibly from AWS. Each has a test."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aws_simulator.repairs import (
    bucket_keys,
    buckets,
    changesets,
    checksums,
    conditions,
    existing,
    log_arns,
    log_keys,
    names,
    roles,
    schemas,
    simulation,
    stack_events,
    topic_keys,
)

if TYPE_CHECKING:
    from aws_simulator.simulator import Simulator


def register(simulator: Simulator) -> None:
    schemas.install()
    names.install()
    buckets.install(simulator)
    existing.install()
    checksums.install()
    bucket_keys.install()
    roles.install(simulator)
    conditions.install()
    log_arns.install()
    log_keys.install()
    topic_keys.install()
    changesets.install()
    stack_events.install()
    simulation.install()
