"""Runs and decisions keep their order when the system's clock goes back."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from mlops_cli.backends.local.runs.store import RunStore
from mlops_cli.core import clock
from mlops_cli.core.models.model_versions import deployed_version, versions_of
from mlops_cli.core.runs import Run, Status, new_run

DAY = 86_400.0


@pytest.fixture
def system_clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Provide a system clock that a test can set. The clock of records is new, as in a new process."""
    present = [1_800_000_000.0]
    monkeypatch.setattr(time, "time", lambda: present[0])
    forget(monkeypatch)
    return present


def forget(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("_ahead", "_latest"):
        monkeypatch.setattr(clock, name, 0.0)


def test_it_is_the_systems_clock(system_clock: list[float]) -> None:
    assert clock.now() == system_clock[0]
    system_clock[0] += 5
    assert clock.now() == system_clock[0]


def test_it_never_goes_back_and_durations_stay_right(system_clock: list[float]) -> None:
    first = clock.now()
    system_clock[0] -= DAY
    started = clock.now()
    system_clock[0] += 60
    assert started > first
    assert clock.now() - started == pytest.approx(60)
    system_clock[0] += 2 * DAY
    assert clock.now() > started + DAY


def deployed_model(store: RunStore, digest: str, system_clock: list[float]) -> Run:
    run = new_run(digest * 8, {})
    for stage in run.stages:
        system_clock[0] += 10
        stage.status, stage.started_at, stage.finished_at = Status.DONE, clock.now(), clock.now()
        stage.output = digest * 64
    run.status = Status.DONE
    store.save(run)
    return run


@pytest.mark.parametrize("jump", [-DAY, -3600.0, 0.0, DAY])
def test_the_newest_model_has_the_highest_version(
    jump: float, tmp_path: Path, system_clock: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    store = RunStore(tmp_path / "state.db")
    deployed_model(store, "a", system_clock)
    store.close()
    system_clock[0] += jump
    forget(monkeypatch)  # the next command
    store = RunStore(tmp_path / "state.db")
    deployed_model(store, "b", system_clock)
    versions = versions_of(store.runs(), [])
    assert [(version.name, version.digest[0]) for version in versions] == [("v2", "b"), ("v1", "a")]
    deployed = deployed_version(versions)
    assert deployed is not None
    assert deployed.digest[0] == "b"
    assert versions[1].live[0].until is not None
