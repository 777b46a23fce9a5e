"""Runs of the tiny use case: stages that a test can hold, and a run up to its approval."""

from __future__ import annotations

from pathlib import Path

from tests.conftest import Cli


def hold(cli: Cli, stage: str) -> Path:
    file = cli.folder / "training" / f"hold-{stage}"
    file.touch()
    return file


def reached(cli: Cli, stage: str) -> Path:
    return cli.folder / "training" / f"reached-{stage}"


def statuses(run: dict) -> dict[str, str]:
    return {stage["name"]: stage["status"] for stage in run["stages"]}


def approved_run(cli: Cli) -> dict:
    run = cli.json("run")
    assert run["status"] == "waiting"
    return cli.json("approve", "--yes")
