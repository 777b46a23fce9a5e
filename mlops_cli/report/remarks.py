"""What somebody who knows models would point out before a decision: one rule, one sentence."""

from __future__ import annotations

from collections.abc import Iterator

from mlops_cli.comparison import Standing
from mlops_cli.measures.curves import calibration, calibration_error
from mlops_cli.measures.predictions import LABEL
from mlops_cli.report.drift import drifts
from mlops_cli.report.learning import series
from mlops_cli.report.material import Material
from mlops_cli.report.wording import count, escape, number, share, title
from mlops_cli.usecase import MACRO

FEW_POSITIVES = 50
POOR_CALIBRATION = 0.05
OVERFIT = 1.05
GAP = 0.02
MOST_DRIFTS = 4


def remarks(material: Material) -> list[str]:
    """Sentences as HTML, the weightiest first."""
    rules = (_synthetic, _unpredicted, _unfair, _worse_somewhere, _few, _gap, _overfit, _uncalibrated, _drift)
    return [remark for rule in rules for remark in rule(material)]


def _synthetic(material: Material) -> Iterator[str]:
    if material.evidence.data.get("synthetic"):
        yield "The data is <b>synthetic</b>: these figures say nothing about real input."


def _unpredicted(material: Material) -> Iterator[str]:
    if material.problem:
        yield f"There are no curves, intervals or mistakes to look at: {escape(material.problem)}."


def _unfair(material: Material) -> Iterator[str]:
    found = material.evidence.comparison
    if found is None or not material.evidence.has_rival:
        return
    if found.problem:
        yield f"Not compared with the live model: {escape(found.problem)}."
    elif found.learnt is None:
        yield "It is not known which rows the live model was trained on: if some are test rows now, it looks too good."
    elif found.rows < found.of / 2:
        yield (
            f"Only {found.rows:,} of {count(found.of, 'test row')} could be compared with the live model"
            + (f": it was trained on {found.learnt:,} of them." if found.learnt else ".")
        )


def _worse_somewhere(material: Material) -> Iterator[str]:
    found = material.evidence.comparison
    if found is None or not material.evidence.has_rival:
        return
    worse = [one for one in found.differences[:-1] if found.standing_of(one) is Standing.WORSE]
    if worse:
        names = ", ".join(title(one.name) for one in worse)
        yield f"Worse than the live model, beyond noise, on <b>{names}</b>."


def _few(material: Material) -> Iterator[str]:
    columns = material.predictions.columns if material.predictions else ()
    rare = [(int(one.truth.sum()), one.name) for one in columns if one.kind == LABEL]
    found = [f"{title(name)} ({positives:,})" for positives, name in sorted(rare) if positives < FEW_POSITIVES]
    if found:
        yield f"Few positives to test on, so the figures are rough: {', '.join(found)}."


def _gap(material: Material) -> Iterator[str]:
    """A model that was chosen on one split and does worse on another."""
    splits = material.facts.get("metrics")
    primary, split = material.evidence.primary, material.evidence.split
    values = {name: _overall(rows, primary) for name, rows in splits.items()} if isinstance(splits, dict) else {}
    mine = values.pop(split, None)
    for name, value in values.items():
        if mine is not None and value is not None and value - mine > GAP:
            yield f"{title(primary)} is {number(value)} on {escape(name)}, but {number(mine)} on {escape(split)}."


def _overall(rows: object, metric: str) -> float | None:
    row = rows.get(MACRO) if isinstance(rows, dict) else None
    value = row.get(metric) if isinstance(row, dict) else None
    return value if isinstance(value, float) else None


def _overfit(material: Material) -> Iterator[str]:
    for name, values in series(material.facts).items():
        if "val" in name and "loss" in name and len(values) > 1 and values[-1][1] > OVERFIT * min(y for _, y in values):
            yield f"{title(name)} rises towards the end of the training: the model may be learning by heart."


def _uncalibrated(material: Material) -> Iterator[str]:
    columns = material.predictions.columns if material.predictions else ()
    for column in columns:
        if column.kind == LABEL:
            error = calibration_error(calibration(column))
            if error > POOR_CALIBRATION:
                yield f"The probabilities of {title(column.name)} are off by {share(error)} on average."


def _drift(material: Material) -> Iterator[str]:
    found = drifts(material.profile, material.live_profile)
    if found:
        more = f" and {len(found) - MOST_DRIFTS} more" if len(found) > MOST_DRIFTS else ""
        listed = ", ".join(found[:MOST_DRIFTS])
        yield f"The data differs from what the live model was trained on: {listed}{more}."
