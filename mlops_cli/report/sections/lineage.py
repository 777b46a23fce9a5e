"""The model's origin: gates, digests, hyperparameters, code, packages, durations of stages."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mlops_cli.core.cache_inputs import code_files
from mlops_cli.core.runs import StageRun, Status
from mlops_cli.core.stages import APPROVAL, TRAINING, position
from mlops_cli.frameworks.package_check import TRIAL_ANSWER
from mlops_cli.report.context import ReportContext
from mlops_cli.report.formatting import duration, escape, number, short, title
from mlops_cli.report.sections.distribution_shift import is_number

PACKAGE = "package "


def lineage(context: ReportContext) -> str:
    return f"""<section id="origin"><h2>Gates</h2>{_gates(context)}</section>
<section><h2>Origin</h2>{_properties_table(_identity(context))}{_stages(context)}
<details><summary>Hyperparameters and training metrics</summary>
{_properties_table(_hyperparameters(context))}{_properties_table(_further_numbers(context))}</details>
<details><summary>Code and packages</summary>{_properties_table(_code(context))}</details></section>"""


def _gates(context: ReportContext) -> str:
    gates = context.evidence.gates
    return _properties_table({escape(gate.name): _gate(context.run.stage(gate.name)) for gate in gates})


def _gate(stage: StageRun) -> str:
    """Return a gate's summary with every failed assertion."""
    passed, failed = stage.detail.get("passed", 0), stage.detail.get("failed", 0)
    failures = stage.detail.get("failures", [])
    mark = "✗" if failed else "✓" if passed else "·"
    kind = "bad" if failed else "good" if passed else "soft"
    words = f"{passed:,} passed, {failed:,} failed" if passed or failed else _not_run(stage)
    listed = "".join(f"<br>{escape(failure)}" for failure in failures) if isinstance(failures, list) else ""
    return f'<span class="mark {kind}">{mark}</span> {words}{listed}'


def _not_run(stage: StageRun) -> str:
    """Return why a stage has no result. The page shows the moment of the decision and does not change later."""
    comes_later = position(stage.name) > position(APPROVAL.name) and stage.status is Status.PENDING
    return "after the decision" if comes_later else "not run yet"


def _properties_table(rows: Mapping[str, str]) -> str:
    """Return a table of names and values, both given as HTML."""
    body = "".join(f"<tr><th>{name}</th><td>{value}</td></tr>" for name, value in rows.items())
    return f'<table class="properties"><tbody>{body}</tbody></table>' if body else ""


def _identity(context: ReportContext) -> dict[str, str]:
    evidence, answer = context.evidence, context.run.training.detail.get(TRIAL_ANSWER)
    return {
        "model, sha256": _digest(evidence.model_digest),
        "data, sha256": _digest(evidence.data_digest),
        "live model, sha256": _digest(evidence.live_digest) if evidence.live_digest else "no live model",
        "use case": f"{escape(context.use_case.name)}: {escape(context.use_case.description)}",
        "interpreter": escape(context.run.training.cache_inputs.get("interpreter", "–")),
        **({"answer to the examples": f'<span class="mono">{escape(str(answer))}</span>'} if answer else {}),
    }


def _digest(digest: str) -> str:
    return f'<span class="mono">{escape(digest) or "–"}</span>'


def _stages(context: ReportContext) -> str:
    body = "".join(_stage(stage) for stage in context.run.stages)
    head = '<th>stage</th><th></th><th class="num">time</th><th>output</th><th>why</th>'
    return f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def _stage(stage: StageRun) -> str:
    took = duration(stage.seconds) if stage.status is Status.DONE else "–"
    status = _not_run(stage) if stage.status is Status.PENDING else stage.status.value
    return (
        f'<tr><th scope="row">{escape(stage.name)}</th><td>{status}</td><td class="num">{took}</td>'
        f'<td class="mono">{short(stage.output)}</td><td>{escape(stage.reason)}</td></tr>'
    )


def _hyperparameters(context: ReportContext) -> dict[str, str]:
    """Return the hyperparameters that the training reported, and the run's overrides."""
    reported = context.metrics.get("hyperparameters")
    used = reported if isinstance(reported, dict) else context.use_case.hyperparameters.get(TRAINING.name, {})
    overrides = {f"--set {name}": value for name, value in context.run.overrides.items()}
    return {title(str(name)): escape(value) for name, value in {**used, **overrides}.items()}


def _further_numbers(context: ReportContext) -> dict[str, str]:
    """Return the other numbers in metrics.json, including those in tables."""
    rows: dict[str, Any] = {}
    for name, value in context.metrics.items():
        if is_number(value):
            rows[name] = value
        elif (
            isinstance(value, dict)
            and name != "hyperparameters"
            and all(is_number(number_value) for number_value in value.values())
        ):
            rows.update({f"{name}: {key}": number_value for key, number_value in value.items()})
    return {title(name): number(value) for name, value in rows.items()}


def _code(context: ReportContext) -> dict[str, str]:
    names = context.run.training.cache_inputs
    packages = {name.removeprefix(PACKAGE): value for name, value in names.items() if name.startswith(PACKAGE)}
    return {
        **{title(name): escape(value) for name, value in packages.items()},
        **{title(name): f'<span class="mono">{short(value)}</span>' for name, value in code_files(names).items()},
    }
