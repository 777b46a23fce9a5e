"""The page as text: its parts and its conclusion. No text in it can run code or load a file."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from typing import Any

import pytest

from mlops_cli.core.models.comparison import Comparison
from mlops_cli.core.models.decision import Actor, Decision
from mlops_cli.core.models.metric_bounds import Metrics
from mlops_cli.core.models.outcome import with_outcome
from mlops_cli.core.runs import StageRun, Status
from mlops_cli.report import ReportContext, report_html
from tests.component.report.materials import LABELS, figures, make, numbers, predictions, profile, use_case

VOID = {"meta", "br", "wbr", "img"}
TAGS = {
    "html", "head", "meta", "title", "style", "body", "header", "main", "footer", "nav", "section", "article", "div",
    "span", "p", "h1", "h2", "h3", "a", "b", "q", "br", "wbr", "small", "code", "ul", "li", "table", "thead", "tbody",
    "tr", "th", "td", "figure", "figcaption", "details", "summary",
    "svg", "line", "polyline", "polygon", "circle", "rect", "text",
}  # fmt: skip
# In every place where a person or the data could put it.
HOSTILE = (
    "</script></style></title><img src=x onerror=alert(1)>\"'&\u202ereversed\x00\ud800"
    + "z\u0301\u0302\u0303\u0304\u0305\u0306" * 3
)


class Page(HTMLParser):
    """Reads a page strictly: each element is closed in its place. Keeps tags, attributes, ids and text."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.tags: Counter[str] = Counter()
        self.attributes: list[tuple[str, str, str]] = []
        self.said: list[str] = []
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1
        self.attributes += [(tag, name, value or "") for name, value in attributes]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1
        self.attributes += [(tag, name, value or "") for name, value in attributes]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag, f"</{tag}> closes another element"

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.said.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.said).split())

    def values(self, name: str) -> list[str]:
        return [value for _, its_name, value in self.attributes if its_name == name]


def page(material: Any) -> Page:
    return Page(report_html(material))


def test_it_begins_with_the_conclusion_and_the_figures_that_decide() -> None:
    text = page(make()).text
    start = text[:700]
    assert "It meets every limit; it is better than the live model, beyond noise." in start
    assert "macro roc_ auc, test" in start
    assert "✓ 0.900" in start
    assert "minimum 0.800" in start
    assert "on the same 600 test rows" in start
    assert "✓ 55 none failed" in start
    assert "mlops approve ab12cd34" in text


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"rival": None}, "It meets every limit; it would be the first model to go live."),
        ({"rival": predictions(LABELS, quality=0.9, noise=9)}, "but it is worse than the live model, beyond noise."),
        ({"rival": predictions(LABELS, noise=60)}, "it is not better than the live model, beyond noise."),
        ({"comparison": Comparison("roc_auc", problem="no rows")}, "it could not be compared with the live model."),
        ({"metrics": figures(LABELS, 0.75)}, "This model does not meet its limits."),
        ({"metrics": figures(LABELS, 0.75)}, "macro: roc_auc 0.750 is under 0.8"),
        ({"metrics": figures(LABELS, 0.75)}, "--comment 'WHY' no"),
        ({"case": use_case(metrics=Metrics("test", "roc_auc"))}, "No limit is set; it is better"),
    ],
)
def test_the_conclusion_fits_the_evidence(changes: dict[str, Any], sentence: str) -> None:
    assert sentence in page(make(**changes)).text


def test_it_has_every_section_and_every_link_leads_to_one() -> None:
    html = page(make(live_data=profile(LABELS)))
    sections = [value for tag, name, value in html.attributes if (tag, name) == ("section", "id")]
    assert sections == ["labels", "live", "curves", "mistakes", "training", "data", "origin"]
    assert html.values("href") == [f"#{name}" for name in sections]


def test_each_label_has_its_curves_and_its_confusion() -> None:
    html = page(make())
    described = html.values("aria-label")
    for label in LABELS:
        for title in ("ROC curve of", "precision and recall of", "calibration of"):
            assert f"{title} {label}" in described
        assert f"precision and recall of {label} by threshold" in described
    assert html.text.count("false positives") == len(LABELS)


def test_the_live_model_is_drawn_beside_the_labels_only_if_all_rows_were_compared() -> None:
    whole = make()
    compared = whole.evidence.comparison
    assert compared is not None
    part = replace(whole, evidence=replace(whole.evidence, comparison=replace(compared, rows=500)))
    assert "the live model on the same rows" in page(whole).text
    assert "the live model on the same rows" not in page(part).text


def test_mistakes_are_behind_a_click() -> None:
    html = report_html(make())
    before, _, after = html.partition('<section id="mistakes">')
    inside, _, after_section = after.partition("</section>")
    assert "You are kind" not in before + after_section
    assert inside.index("<details>") < inside.index("You are kind")
    assert "<details open" not in html


def hostile_everywhere() -> ReportContext:
    """Return a model with hostile labels, hyperparameters, code, gates, decisions, texts and profile."""
    labels = (HOSTILE + "1", HOSTILE + "2")
    metrics = figures(labels)
    metrics["metrics"]["test"][labels[0]][HOSTILE] = 0.5
    metrics["history"] = [{HOSTILE: 1.0, "loss": 2.0}, {HOSTILE: 0.5, "loss": 1.0}]
    metrics["hyperparameters"], metrics[HOSTILE] = {HOSTILE: HOSTILE}, 3
    about = profile(labels)
    about[HOSTILE], about["dataset"]["source"] = 7, HOSTILE
    about[f"{HOSTILE}_histogram"], about[HOSTILE + "q"] = {"1": 2, "5": 3}, {"median": 1, HOSTILE: 2}
    about["splits"][HOSTILE], about["words"][HOSTILE] = about["splits"]["test"], 1
    decision = Decision("r", False, Actor(HOSTILE), HOSTILE, 1.0, "", "")
    case = use_case(name=HOSTILE, description=HOSTILE, metrics=Metrics("test", "roc_auc", {"label": {"roc_auc": 0.99}}))
    material = make(
        labels, metrics=metrics, about_data=about, live_data=about, case=case, texts=HOSTILE, decision=decision,
        earlier=replace(decision, comment="before"),
    )  # fmt: skip
    material.run.overrides = {HOSTILE: HOSTILE}
    for stage in material.run.stages:
        stage.reason, stage.output = HOSTILE, HOSTILE
        stage.cache_inputs = {f"package {HOSTILE}": HOSTILE, f"training/{HOSTILE}": HOSTILE, "interpreter": HOSTILE}
    material.run.stage("pre-training-tests").detail = {"passed": 0, "failed": 1, "failures": [HOSTILE]}
    return material


def hostile_names() -> ReportContext:
    """Return a model with a hostile split, metric, run, digests and names of rows, and warnings with hostile data."""
    labels = (HOSTILE,)
    content = json.loads(predictions(labels, rows=60))
    content.update(split=HOSTILE, rows=[f"{index}{HOSTILE}" for index in range(60)], trained_on=None)
    metrics = figures(labels)
    row = {HOSTILE: 0.5}
    metrics["metrics"] = {HOSTILE: {HOSTILE: row, "macro": row}, HOSTILE + "2": {"macro": {HOSTILE: 0.9}}}
    metrics["history"] = [{f"val {HOSTILE} loss": value} for value in (1.0, 0.5, 0.9)]
    about, before = profile(labels), profile(labels, rate=0.5)
    about[f"{HOSTILE}_histogram"], before[f"{HOSTILE}_histogram"] = {"1": 2, "5": 30}, {"1": 30, "5": 3}
    before[HOSTILE], about[HOSTILE] = {"median": 1}, {"median": 2, HOSTILE: 3}
    case = use_case(metrics=Metrics(HOSTILE, HOSTILE))
    material = make(
        labels, content=json.dumps(content).encode(), metrics=metrics, about_data=about, live_data=before, case=case
    )
    material.run.id = HOSTILE
    gates = tuple(replace(gate, passed=0) for gate in material.evidence.gates)
    return replace(
        material,
        evidence=replace(
            material.evidence,
            live_digest=HOSTILE,
            live_run=HOSTILE,
            model_digest=HOSTILE + "x",
            data_digest=HOSTILE,
            gates=gates,
        ),
    )


def hostile_comparison() -> ReportContext:
    """Return a model that is worse than the live one, with hostile names of a label and a metric."""
    labels = (HOSTILE, "b", "c")
    content, rival = json.loads(predictions(labels)), json.loads(predictions(labels, quality=0.2, noise=40))
    column = content["columns"][HOSTILE]
    content["columns"][HOSTILE], rival["columns"][HOSTILE] = rival["columns"][HOSTILE], column
    material = make(labels, content=json.dumps(content).encode(), rival=json.dumps(rival).encode())
    compared = material.evidence.comparison
    assert compared is not None
    return replace(material, evidence=replace(material.evidence, comparison=replace(compared, metric=HOSTILE)))


def hostile_problem() -> ReportContext:
    case = use_case(metrics=Metrics("test", HOSTILE))
    material = make(
        content=json.dumps({"columns": {"a": {"kind": HOSTILE}}}).encode(), rival=None, instances=None, case=case
    )
    return replace(
        material, evidence=replace(material.evidence, live_digest="c" * 64, comparison=Comparison("m", problem=HOSTILE))
    )


@pytest.mark.parametrize("make_material", [hostile_everywhere, hostile_names, hostile_comparison, hostile_problem])
def test_nothing_that_data_or_people_say_becomes_markup(make_material: Callable[[], ReportContext]) -> None:
    html = report_html(make_material())
    result = Page(html)
    assert set(result.tags) <= TAGS
    assert [name for _, name, _ in result.attributes if name.startswith("on") or name in ("src", "style")] == []
    assert "onerror=alert(1)>" in result.text, "the text itself is shown"
    assert [character for character in "\u202e\x00\ud800" if character in html] == []
    assert html.encode()
    assert "\u0306" not in html, "marks do not pile up over other lines"


def test_it_loads_nothing() -> None:
    html = report_html(make())
    for loader in ("http:", "https:", "//", "url(", "@import", "src=", "<script", "<link", "<img", "<iframe", "data:"):
        assert loader not in html.replace("<!doctype html>", ""), loader
    assert "default-src 'none'" in html


PNG = b"\x89PNG\r\n\x1a\n\x00"
SVG = b'<svg xmlns="http://www.w3.org/2000/svg" onload="alert(1)"><script>alert(2)</script></svg>'


def test_plots_of_the_training_are_part_of_the_page_and_nothing_in_them_runs() -> None:
    files = {"a.png": PNG, "b/plot.svg": SVG, HOSTILE: b"text", "page.png": b"<html>", "big.npy": None}
    context = replace(make(), files=files)
    html = report_html(context)
    assert html.count("<img ") == html.count('src="data:image/') == 2
    assert "default-src 'none'" in html
    assert "img-src data:" in html
    assert "alert(2)" not in html, "an SVG is only data"
    assert HOSTILE not in html
    assert "big.npy, too large to be shown" in page(context).text
    assert "page.png, 6 bytes" in page(context).text


def test_a_matrix_shows_which_classes_are_confused() -> None:
    confusion = {"classes": ["billing", "delivery", HOSTILE], "counts": [[8, 2, 0], [1, 9, 0], [0, 0, 5]]}
    context = make(metrics={**figures(LABELS), "confusion": confusion})
    text = " ".join(page(context).text.split())
    assert "3 rows of 25 (12.0%) are predicted as another class" in text
    assert HOSTILE not in report_html(context)
    html = report_html(context)
    assert '<td class="right">8<small>80.0%</small></td><td>2<small>20.0%</small></td>' in html


@pytest.mark.parametrize(
    "confusion",
    [None, [], {"classes": ["a"]}, {"classes": ["a"], "counts": [[-1]]}, {"classes": ["a"], "counts": [[1, 2]]}],
)
def test_a_matrix_of_another_form_is_left_out(confusion: Any) -> None:
    assert 'id="confusion"' not in report_html(make(metrics={**figures(LABELS), "confusion": confusion}))


def test_of_classes_no_threshold_is_shown_and_the_matrix_comes_from_the_predictions() -> None:
    content = json.loads(predictions(LABELS, rows=60))
    for position, name in enumerate(LABELS):
        content["columns"][name]["truth"] = [int(row % len(LABELS) == position) for row in range(60)]
        content["columns"][name].pop("threshold")
    context = make(LABELS, content=json.dumps({**content, "one_of": True}).encode(), rival=None)
    html, text = report_html(context), page(context).text
    assert "are predicted as another class" in text
    assert "threshold" not in html[html.index('id="curves"') : html.index('id="mistakes"')].lower()
    assert f"Show the curves of {len(LABELS)} classes" in text


def test_the_report_of_a_finished_run_names_the_deployment_once() -> None:
    context = make()
    html, run = report_html(context), context.run
    assert with_outcome(html, run).count("went <b>live</b> on") == 1
    for stage in (run.deployment, run.endpoint_gate):
        run.stages[run.stages.index(stage)] = StageRun(stage.name)
    before = report_html(context)
    assert before.count("after the decision") == 3, "of both stages, and of the gate: the page stays as it is"
    assert "pending" not in before
    assert "not run yet" not in before
    run = make().run
    run.deployment.finished_at, run.endpoint_gate.detail = None, {"passed": 3, "failed": 0}
    assert with_outcome(html, run) == html
    run.deployment.finished_at = 1_700_000_000.0
    finished = with_outcome(html, run)
    assert "on 2023-11-14 22:13 UTC; the endpoint has passed its tests: 3" in finished
    assert with_outcome(finished, run) == finished
    run.endpoint_gate.status = Status.FAILED
    assert with_outcome(html, run) == html


def test_nothing_is_reported_by_colour_alone() -> None:
    """Every result has a word or a mark, and no element has an inline style."""
    text = page(make(metrics=figures(LABELS, 0.75))).text
    assert "✗ under 0.700" not in text
    assert "✗ under 0.800" in text
    assert "▲ better" in text


LIMITED = Metrics("test", "mae", {"price": {"mae": 1.0, "r2": 0.5}}, {"price": {"mae": 9.0, "rmse": 5.0}})


@pytest.mark.parametrize(
    ("row", "marks"),
    [
        ({"mae": 8.0, "r2": 0.9, "rmse": 2.0}, ["✓ 1.000 to 9.000"]),
        ({"mae": 10.0, "r2": 0.9, "rmse": 2.0}, ["✗ over 9.000"]),
        ({"mae": 0.5, "r2": 0.4, "rmse": 6.0}, ["✗ under 1.000", "0.400 ✗ under", "6.000 ✗ over"]),
        ({"r2": None}, ["– ✗ missing 1.000 to 9.000", "– ✗ missing", "– ✗ missing"]),
        ({"mae": "low", "r2": True, "rmse": 2.0}, ["low ✗ not a number 1.000 to 9.000", "true ✗ not a number"]),
    ],
)
def test_each_violated_limit_is_marked_with_how(row: dict[str, Any], marks: list[str]) -> None:
    metrics = {"metrics": {"test": {"price": row}}}
    parts = make(content=None, instances=None, rival=None, metrics=metrics, case=use_case(metrics=LIMITED))
    text = " ".join(page(parts).text.split())
    text = text[text.index("Quality, row by row") :]
    assert [mark for mark in marks if mark not in text] == []
    assert text.count("✗") == sum("✗" in mark for mark in marks)


def test_a_training_that_wrote_only_metrics_still_has_a_report() -> None:
    html = page(make(content=None, instances=None, rival=None))
    assert (
        "The report has no curves, intervals and worst predictions: the training wrote no predictions.json."
        in html.text
    )
    assert [value for value in html.values("id") if value in ("curves", "mistakes")] == []
    assert "severe_ toxic" in html.text


def test_a_regression_has_plots_of_its_own() -> None:
    case = use_case(metrics=Metrics("test", "mae", maximum={"label": {"mae": 50_000.0}}))
    metrics = {"metrics": {"test": {"price": {"mae": 8000.0, "r2": 0.9}}}}
    instances = json.dumps([{"area": index} for index in range(300)]).encode()
    material = make(
        content=numbers(), rival=numbers(noise=0.3), instances=instances, metrics=metrics, case=case, about_data={}
    )
    html = page(material)
    assert {"price: predicted against true", "errors of price"} <= set(html.values("aria-label"))
    assert "less is better" in html.text
    assert '{"area": ' in html.text
    assert "macro" not in html.text


def test_a_larger_error_is_worse_by_default() -> None:
    case = use_case(metrics=Metrics("test", "mae"))
    metrics = {"metrics": {"test": {"price": {"mae": 9.0}}}}
    content, rival = numbers(noise=0.3), numbers(noise=0.1)
    material = make(content=content, rival=rival, instances=None, metrics=metrics, case=case, about_data={})
    assert "but it is worse than the live model, beyond noise." in page(material).text


@pytest.mark.parametrize(
    "metrics",
    [{}, {"metrics": None}, {"metrics": {"test": []}}, {"metrics": {"test": {"a": 1}}}, {"history": "x"},
     {"history": [1, None, {"loss": "x"}]}, {"metrics": {"test": {"macro": {"roc_auc": float("nan")}}}},
     {"hyperparameters": 3, "rows": {"a": "b"}}],
)  # fmt: skip
@pytest.mark.parametrize(
    "about_data",
    [{}, {"splits": 3}, {"splits": {"train": None}}, {"splits": {"train": {"rows": "x", "label_rates": [1]}}},
     {"words_histogram": {"x": 1}}, {"words_histogram": {"1": None}},
     {"words_histogram": {}, "words": {"median": "x"}}],
)  # fmt: skip
def test_metrics_of_any_form_make_a_page(metrics: Any, about_data: Any) -> None:
    html = page(make(metrics=metrics, about_data=about_data, live_data=profile(LABELS)))
    assert "run ab12cd34" in html.text


@pytest.mark.parametrize("content", [b"{", b"[]", b'{"rows": 3}'])
def test_malformed_predictions_are_reported_and_the_rest_is_shown(content: bytes) -> None:
    text = page(make(content=content, instances=None, rival=None)).text
    assert "predictions.json is not valid" in text
    assert "Quality, row by row" in text


@pytest.mark.parametrize("instances", [b"{", b"[1]", b"3", None])
def test_instances_that_do_not_fit_hide_the_mistakes_only(instances: bytes | None) -> None:
    html = page(make(instances=instances))
    assert "mistakes" not in html.values("id")
    assert "curves" in html.values("id")


def test_predictions_of_another_split_are_not_shown_as_this_one() -> None:
    content = predictions(LABELS).replace(b'"split": "test"', b'"split": "holdout"')
    text = page(make(content=content, rival=None)).text
    assert "predictions.json is of the split holdout, the reported metrics are of test" in text


@pytest.mark.parametrize("labels", [6, 60])
def test_it_stays_under_a_megabyte(labels: int) -> None:
    names = tuple(f"label_{index}" for index in range(labels))
    rows = 20_000 if labels == 6 else 2_000
    html = report_html(make(names, content=predictions(names, rows), rival=None, texts="word " * 400))
    assert len(html.encode()) < 1_000_000


# What somebody who knows models would point out.


def test_worse_on_one_label_is_pointed_out() -> None:
    content, rival = json.loads(predictions(LABELS)), json.loads(predictions(LABELS, quality=0.2, noise=40))
    content["columns"]["toxic"], rival["columns"]["toxic"] = rival["columns"]["toxic"], content["columns"]["toxic"]
    text = page(make(content=json.dumps(content).encode(), rival=json.dumps(rival).encode())).text
    assert "Worse than the live model, beyond noise, on toxic" in text


def test_synthetic_data_is_pointed_out() -> None:
    about = profile(LABELS)
    about["dataset"]["synthetic"] = True
    assert "The data is synthetic" in page(make(about_data=about)).text


def test_few_positives_are_pointed_out() -> None:
    content = predictions(("common", "rare"), rows=150)
    assert (
        "Few positives in the test rows, so the metrics are imprecise: rare ("
        in page(make(content=content, rival=None)).text
    )


def test_a_comparison_on_few_of_the_rows_is_pointed_out() -> None:
    material = make()
    compared = material.evidence.comparison
    assert compared is not None
    few = replace(compared, rows=100, trained_on=500)
    text = page(replace(material, evidence=replace(material.evidence, comparison=few))).text
    assert "Only 100 of 600 test rows could be compared with the live model: it was trained on 500 of them." in text


def test_a_gap_between_the_splits_is_pointed_out() -> None:
    metrics = figures(LABELS)
    metrics["metrics"]["validation"] = {"macro": {"roc_auc": 0.97}}
    assert "roc_ auc is 0.970 on validation, but 0.900 on test" in page(make(metrics=metrics)).text


def test_a_validation_loss_that_rises_is_pointed_out() -> None:
    metrics = figures(LABELS)
    metrics["history"] = [
        {"epoch": n, "loss": 1 / n, "validation_loss": value} for n, value in enumerate((1, 0.5, 0.9), 1)
    ]
    assert "the model may be overfitting" in page(make(metrics=metrics)).text


def test_probabilities_that_are_off_are_pointed_out() -> None:
    assert "The probabilities of toxic are off by" in page(make()).text


def test_drift_is_pointed_out_and_its_absence_is_not() -> None:
    moved = page(make(live_data=profile(LABELS, rate=0.02, median=8))).text
    assert "The data differs from the live model's training data: the distribution of words" in moved
    assert "toxic 2.00% → 10.0% positive" in moved
    assert "10.0%" in moved
    assert "The data differs" not in page(make(live_data=profile(LABELS, rate=0.101))).text


def test_without_a_warning_there_is_no_section_of_warnings() -> None:
    random_but_calibrated = json.loads(predictions(("toxic",)))
    column = random_but_calibrated["columns"]["toxic"]
    column["predicted"] = [0.98 if true else 0.02 for true in column["truth"]]
    content = json.dumps(random_but_calibrated).encode()
    assert "Before you decide" not in page(make(("toxic",), content=content, rival=None)).text


def test_a_decision_is_in_the_report_and_the_commands_are_gone() -> None:
    decision = Decision("ab12cd34", True, Actor("ada"), "better on threat", 1_700_000_100.0, "", "")
    text = page(make(decision=decision)).text
    assert "This run was approved by ada, 2023-11-14 22:15 UTC: better on threat" in text
    assert "mlops approve" not in text


def test_files_that_may_run_code_are_pointed_out() -> None:
    assert "may run code" not in page(make()).text
    text = page(make(metrics={**figures(LABELS), "unsafe_files": ["model.joblib", "<b>.pkl"]})).text
    assert "The model package has files that may run code when they are loaded: model.joblib" in text
    assert "<b>.pkl" in text


def test_a_report_of_numbers_has_no_threshold_and_no_hidden_texts() -> None:
    rows = [{"area": 50, "rooms": 2} for _ in json.loads(numbers())["rows"]]
    case = use_case(metrics=Metrics("test", "mae", maximum={"price": {"mae": 50_000.0}}))
    metrics = {"metrics": {"test": {"price": {"mae": 8000.0}}}}
    instances = json.dumps(rows).encode()
    context = make(
        content=numbers(), rival=numbers(noise=0.3), instances=instances, metrics=metrics, case=case, about_data={}
    )
    text = page(context).text
    assert "the model at its threshold" not in text
    assert "offensive" not in text
    assert "Show them: they quote the data" in text
    assert "offensive" in page(make()).text
