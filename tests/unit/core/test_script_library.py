"""The package `mlops_scripts`: its metrics equal those of scikit-learn, and mlops reads the files that it writes."""

from __future__ import annotations

import functools
import json
import random
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from sklearn import metrics as sklearn_metrics

from mlops_cli.core.jobs.script_environment import LIBRARY
from mlops_cli.evaluation.bootstrap import AT_THRESHOLD, OF_NUMBERS, PLAIN
from mlops_cli.evaluation.predictions import read_predictions

sys.path.append(str(LIBRARY.parent))

import mlops_scripts
from mlops_scripts.row_metrics import BUILT_IN

CHANCE = random.Random(1)
TRUTH = [int(CHANCE.random() < 0.3) for _ in range(300)]
SCORES = [round(min(max(CHANCE.gauss(0.3 + 0.3 * true, 0.2), 0), 1), 2) for true in TRUTH]
CLASSES = ["billing", "delivery", "other"]
TOPICS = [CHANCE.choice(CLASSES) for _ in range(300)]
GUESSES = [topic if CHANCE.random() < 0.7 else CHANCE.choice(CLASSES) for topic in TOPICS]


@pytest.fixture
def output(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SM_OUTPUT_DATA_DIR", str(tmp_path / "output"))
    monkeypatch.setenv("SM_MODEL_DIR", str(tmp_path / "model"))
    (tmp_path / "model").mkdir()
    return tmp_path / "output"


def test_the_metrics_of_a_label_are_those_of_scikit_learn() -> None:
    predicted = [score >= 0.5 for score in SCORES]
    assert mlops_scripts.label_metrics(TRUTH, SCORES) == {
        "accuracy": pytest.approx(sklearn_metrics.accuracy_score(TRUTH, predicted)),
        "precision": pytest.approx(sklearn_metrics.precision_score(TRUTH, predicted)),
        "recall": pytest.approx(sklearn_metrics.recall_score(TRUTH, predicted)),
        "f1": pytest.approx(sklearn_metrics.f1_score(TRUTH, predicted)),
        "roc_auc": pytest.approx(sklearn_metrics.roc_auc_score(TRUTH, SCORES)),
        "rows": 300,
    }


@pytest.mark.parametrize(("truth", "scores"), [([0, 0], [0.1, 0.9]), ([1], [0.2]), ([], [])])
def test_a_metric_that_is_undefined_for_the_rows_is_no_number(truth: list[int], scores: list[float]) -> None:
    assert mlops_scripts.label_metrics(truth, scores)["roc_auc"] is None


def test_the_metrics_of_a_number_are_those_of_scikit_learn() -> None:
    truth, predicted = [1.0, 2.0, 4.0, 8.0], [1.5, 1.0, 4.0, 9.0]
    assert mlops_scripts.number_metrics(truth, predicted) == {
        "rmse": pytest.approx(sklearn_metrics.root_mean_squared_error(truth, predicted)),
        "mae": pytest.approx(sklearn_metrics.mean_absolute_error(truth, predicted)),
        "mape": pytest.approx(sklearn_metrics.mean_absolute_percentage_error(truth, predicted)),
        "r2": pytest.approx(sklearn_metrics.r2_score(truth, predicted)),
        "rows": 4,
    }
    assert mlops_scripts.number_metrics([0.0, 1.0], [1.0, 1.0])["mape"] is None
    assert mlops_scripts.number_metrics([3.0, 3.0], [1.0, 1.0])["r2"] is None


@pytest.mark.parametrize("names", [CLASSES, ["other", "never", "billing", "delivery"]])
def test_the_metrics_of_classes_are_those_of_scikit_learn(names: list[str]) -> None:
    result = mlops_scripts.class_metrics(TOPICS, GUESSES, names)
    options = {"labels": names, "zero_division": 0}
    for metric in ("precision", "recall", "f1"):
        score = getattr(sklearn_metrics, f"{metric}_score")
        expected = score(TOPICS, GUESSES, average=None, **options).tolist()
        assert [result["rows"][name][metric] or 0.0 for name in names] == pytest.approx(expected)
        assert result["rows"]["macro"][metric] == pytest.approx(score(TOPICS, GUESSES, average="macro", **options))
    assert result["rows"]["macro"]["accuracy"] == pytest.approx(sklearn_metrics.accuracy_score(TOPICS, GUESSES))
    matrix = sklearn_metrics.confusion_matrix(TOPICS, GUESSES, labels=names).tolist()
    assert result["confusion"] == {"classes": names, "counts": matrix}


def test_a_class_that_is_not_named_is_refused() -> None:
    with pytest.raises(ValueError, match="not among the classes: billing"):
        mlops_scripts.class_metrics(["billing"], ["other"], ["other", "delivery"])


def test_written_predictions_can_be_read(output: Path) -> None:
    instances = [{"row": row, "text": "ä"} for row in range(300)]
    chances = {name: [float(guess == name) for guess in GUESSES] for name in CLASSES}
    mlops_scripts.write_predictions(
        mlops_scripts.classes(TOPICS, chances), instances, trained_on=[{"row": 7, "text": "ä"}], one_of=True
    )
    predicted = read_predictions((output / "predictions.json").read_bytes())
    written = json.loads((output / "instances.json").read_text())
    assert (predicted.one_of, predicted.test_rows, len(written)) == (True, 300, 300)
    order = [instance["row"] for instance in written]
    assert [column.truth.tolist() for column in predicted.columns] == [
        [float(TOPICS[row] == name) for row in order] for name in CLASSES
    ]
    learnt = predicted.is_training_row(predicted.rows)
    assert [row for row, is_known in zip(order, learnt, strict=True) if is_known] == [7]


def test_equal_rows_have_equal_names_for_any_order_of_columns(output: Path) -> None:
    rows = []
    for instances in ([{"a": 1, "b": 2}, "text"], [{"b": 2, "a": 1}, "text"]):
        mlops_scripts.write_predictions({"x": mlops_scripts.numbers([1, 2], [1, 2])}, instances)
        rows.append(json.loads((output / "predictions.json").read_text())["rows"])
    assert rows[0] == rows[1]


def test_numbers_of_numpy_are_written_as_numbers(output: Path) -> None:
    numpy = pytest.importorskip("numpy")
    row = mlops_scripts.label_metrics(numpy.array(TRUTH), numpy.array(SCORES, "float32"))
    mlops_scripts.write_metrics({"left": {**row, "share": numpy.float32(0.5), "count": numpy.int64(3)}})
    metrics = json.loads((output / "metrics.json").read_text())["metrics"]["test"]["left"]
    assert (metrics["share"], metrics["count"]) == (0.5, 3)


def test_the_package_goes_with_handlers_that_import_it(
    output: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    training = tmp_path / "training"
    (training / "shop" / "__pycache__").mkdir(parents=True)
    (training / "shop" / "__pycache__" / "x.pyc").write_bytes(b"")
    (training / "shop" / "features.py").write_text("X = 1\n")
    (training / "inference.py").write_text("import shop.features\n")
    monkeypatch.setattr(sys, "argv", [str(training / "train.py")])

    def packed() -> set[str]:
        code = mlops_scripts.pack_code("shop")
        names = {path.relative_to(code).as_posix() for path in code.rglob("*") if path.is_file()}
        subprocess.run(["rm", "-r", code], check=True)
        return names

    assert packed() == {"inference.py", "shop/features.py"}
    (training / "inference.py").write_text("from mlops_scripts.observation import Observer\n")
    (training / "requirements.txt").write_text("skops\n")
    own = {f"mlops_scripts/{path.name}" for path in LIBRARY.glob("*.py")}
    assert packed() == {"inference.py", "requirements.txt", "shop/features.py"} | own


def test_the_library_needs_only_python() -> None:
    script = "import sys; sys.path.insert(0, sys.argv[1]); import mlops_scripts, mlops_scripts.observation"
    subprocess.run([sys.executable, "-I", "-S", "-c", script, str(LIBRARY.parent)], check=True)


def cost(truth: int, predicted: float) -> float:
    return 5.0 if truth and predicted < 0.3 else float(predicted >= 0.3)


def test_a_custom_metric_is_kept_with_the_predictions(output: Path) -> None:
    columns = {"left": mlops_scripts.labels(TRUTH, SCORES)}
    expected = [cost(*pair) for pair in zip(TRUTH, SCORES, strict=True)]
    assert mlops_scripts.row_metric(cost, columns) == pytest.approx(sum(expected) / 300)
    rows = [str(row) for row in range(300)]
    mlops_scripts.write_predictions(columns, rows, row_metrics={"cost": cost})
    predictions = read_predictions((output / "predictions.json").read_bytes())
    assert sorted(predictions.row_metrics["cost"].values) == sorted(expected)
    column = predictions.columns[0]
    assert [cost(*pair) for pair in zip(column.truth, column.predicted, strict=True)] == [
        *predictions.row_metrics["cost"].values
    ]


def test_a_metric_of_several_columns_gets_them_by_name(output: Path) -> None:
    columns = mlops_scripts.classes(TOPICS, {name: [float(name == guess) for guess in GUESSES] for name in CLASSES})

    def lost(truth: dict[str, int], predicted: dict[str, float]) -> int:
        return int(truth["billing"] and predicted["billing"] < 0.5)

    pairs = zip(TOPICS, GUESSES, strict=True)
    expected = sum(topic == "billing" and guess != "billing" for topic, guess in pairs) / 300
    assert mlops_scripts.row_metric(lost, columns) == pytest.approx(expected)
    with pytest.raises(ValueError, match="returned nan"):
        mlops_scripts.row_metric(lambda truth, predicted: float("nan"), columns)


def test_a_metric_without_a_text_of_its_own_is_refused_by_name(output: Path) -> None:
    columns, rows = {"left": mlops_scripts.labels(TRUTH, SCORES)}, [str(row) for row in range(300)]
    with pytest.raises(ValueError, match="cost must be a function that is written in a file of the project"):
        mlops_scripts.write_predictions(columns, rows, row_metrics={"cost": functools.partial(max, 0.0)})
    assert not (output / "predictions.json").exists()


def fixed_cost(truth: float, predicted: float) -> object:
    return RETURNED["value"]


RETURNED: dict[str, object] = {}


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, "None (NoneType)"),
        ("0.5", "'0.5' (str)"),
        ([0.5], "[0.5] (list)"),
        (float("inf"), "inf (float)"),
        ({"cost": 1}, "{'cost': 1} (dict)"),
        (np.array([0.5, 0.5]), "array([0.5, 0.5]) (ndarray)"),
        (np.float32("nan"), "(float32)"),
        (1j, "1j (complex)"),
    ],
)
def test_a_custom_metric_that_returns_no_number_is_named_with_its_place(
    output: Path, monkeypatch: pytest.MonkeyPatch, value: object, shown: str
) -> None:
    monkeypatch.setitem(RETURNED, "value", value)
    monkeypatch.setattr(sys, "argv", [__file__])
    columns = {"left": mlops_scripts.labels([1, 0], [0.9, 0.1])}
    place = rf"fixed_cost\(\) in {Path(__file__).name}, line {fixed_cost.__code__.co_firstlineno}"
    row = r"in row \d \(truth \d, prediction 0\.\d\); expected one finite number"
    message = rf"the metric dear, {place}, returned .*{re.escape(shown)} {row}"
    with pytest.raises(ValueError, match=message):
        mlops_scripts.write_predictions(columns, ["a", "b"], row_metrics={"dear": fixed_cost})
    with pytest.raises(ValueError, match=rf"the metric fixed_cost, {place}, returned"):
        mlops_scripts.row_metric(fixed_cost, columns)
    assert not output.exists()


@pytest.mark.parametrize("value", [True, 3, 0.5, np.float32(0.5), np.array(0.5)])
def test_numbers_of_any_kind_are_a_metrics_value(monkeypatch: pytest.MonkeyPatch, value: object) -> None:
    monkeypatch.setitem(RETURNED, "value", value)
    assert mlops_scripts.row_metric(fixed_cost, {"left": mlops_scripts.labels([1, 0], [0.9, 0.1])}) == float(value)  # type: ignore[arg-type]


def test_a_custom_metric_that_raises_or_has_other_parameters_is_named() -> None:
    columns = {"left": mlops_scripts.labels([1], [0.9])}
    with pytest.raises(
        ValueError, match=r"the metric <lambda>, .* in row 0 .*: TypeError: .*takes 1 positional argument"
    ):
        mlops_scripts.row_metric(lambda truth: truth, columns)  # type: ignore[arg-type,misc]
    with pytest.raises(ValueError, match=r"failed in row 0 \(truth 1, prediction 0\.9\): ZeroDivisionError"):
        mlops_scripts.row_metric(lambda truth, predicted: truth / 0, columns)
    with pytest.raises(ValueError, match=r"failed in row 0 \(truth 1, prediction 0\.9\): SystemExit: 0"):
        mlops_scripts.row_metric(lambda truth, predicted: sys.exit(0), columns)


@pytest.mark.parametrize("name", ["f1", "rmse", "accuracy"])
def test_a_custom_metric_cannot_have_the_name_of_a_known_one(output: Path, name: str) -> None:
    columns = {"left": mlops_scripts.labels([1, 0], [0.9, 0.1])}
    with pytest.raises(
        ValueError, match=f"row_metrics has {name}, a metric that mlops computes itself; give yours another"
    ):
        mlops_scripts.write_predictions(columns, ["a", "b"], row_metrics={name: fixed_cost})
    with pytest.raises(ValueError, match=r"row_metrics is <function fixed_cost .*expected functions by name"):
        mlops_scripts.write_predictions(columns, ["a", "b"], row_metrics=fixed_cost)  # type: ignore[arg-type]


def test_a_misspelt_custom_metric_is_explained(output: Path) -> None:
    columns = {"left": mlops_scripts.labels([1, 0], [0.9, 0.1])}
    mlops_scripts.write_metrics({"left": {"cost": 0.5, "f1": 0.5}})
    message = "row_metrics has csot, and metrics.json does not; did you mean cost?"
    with pytest.raises(ValueError, match=re.escape(message)):
        mlops_scripts.write_predictions(columns, ["a", "b"], row_metrics={"csot": truth_itself})
    for name in ("cost", "something_else"):
        mlops_scripts.write_predictions(columns, ["a", "b"], row_metrics={name: truth_itself})


def truth_itself(truth: float, predicted: float) -> float:
    return truth


def spread(truths: list[int], predictions: list[float]) -> float:
    predictions.sort()
    truths.reverse()
    return predictions[-1] - predictions[0]


def test_a_metric_of_the_whole_table_is_kept_with_its_resamples(output: Path) -> None:
    columns = {"left": mlops_scripts.labels(TRUTH, SCORES)}
    rows = [str(row) for row in range(300)]
    mlops_scripts.write_predictions(columns, rows, table_metrics={"spread": spread})
    assert columns == {"left": mlops_scripts.labels(TRUTH, SCORES)}, "the function sorts lists of its own"
    (metric,) = read_predictions((output / "predictions.json").read_bytes()).table_metrics.values()
    assert metric.value == mlops_scripts.table_metric(spread, columns)
    assert len(metric.resamples) == 200
    assert metric.resamples.max() <= metric.value
    assert metric.resamples.min() < metric.value, "a resample lacks some rows"


def test_a_metric_of_the_whole_table_gets_several_columns_by_name(output: Path) -> None:
    columns = mlops_scripts.classes(TOPICS, {name: [float(name == guess) for guess in GUESSES] for name in CLASSES})

    def missed(truths: dict[str, list[int]], predictions: dict[str, list[float]]) -> float:
        return sum(truths["billing"]) - sum(predictions["billing"])

    assert mlops_scripts.table_metric(missed, columns) == TOPICS.count("billing") - GUESSES.count("billing")


def test_where_a_metric_is_not_defined_in_a_resample_there_is_none(output: Path) -> None:
    def precision_above(truths: list[int], predictions: list[float]) -> float:
        chosen = [truth for truth, predicted in zip(truths, predictions, strict=True) if predicted > 0.9]
        return sum(chosen) / len(chosen)

    columns = {"left": mlops_scripts.labels([1, 0, 0, 1], [0.95, 0.2, 0.3, 0.4])}
    mlops_scripts.write_predictions(columns, list("abcd"), table_metrics={"precise": precision_above})
    (metric,) = read_predictions((output / "predictions.json").read_bytes()).table_metrics.values()
    assert metric.value == 1.0
    assert 0 < np.isnan(metric.resamples).sum() < 200
    for error in (IndexError, KeyError, RuntimeError):

        def of_all_rows(truths: list[int], predictions: list[float], error: type[Exception] = error) -> float:
            if len(set(predictions)) < 4:
                raise error
            return 2.0

        mlops_scripts.write_predictions(columns, list("abcd"), table_metrics={"precise": of_all_rows})
        (metric,) = read_predictions((output / "predictions.json").read_bytes()).table_metrics.values()
        assert metric.value == 2.0
        assert np.isnan(metric.resamples).any(), "a resample lacks some rows"


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (
            lambda truths, predictions: None,
            r"the metric x, <lambda>\(\) in .*, returned None .* for 2 rows; expected one",
        ),
        (lambda truths, predictions: predictions, r"returned \[.*\] \(list\) for 2 rows"),
        (lambda truths, predictions: float("nan"), "returned nan"),
        (lambda truths, predictions: 10**400, "returned 10*… .* for 2 rows"),
        (lambda truths, predictions: 10**5000, "returned a value that cannot be shown .* for 2 rows"),
        (lambda truths: 1.0, r"<lambda>\(\) in .*, failed for 2 rows: TypeError: .*takes 1 positional argument"),
        (lambda truths, predictions: 1 / 0, "failed for 2 rows: ZeroDivisionError"),
        (functools.partial(max, 0.0), "x must be a function that is written in a file of the project"),
    ],
)
def test_a_metric_of_the_whole_table_that_gives_no_number_is_named(
    output: Path, function: Callable[..., object], message: str
) -> None:
    columns = {"left": mlops_scripts.labels([1, 0], [0.9, 0.1])}
    with pytest.raises(ValueError, match=message):
        mlops_scripts.write_predictions(columns, ["a", "b"], table_metrics={"x": function})
    assert not (output / "predictions.json").exists()


def test_names_and_rows_of_metrics_of_the_whole_table_are_checked(output: Path) -> None:
    columns = {"left": mlops_scripts.labels([1, 0], [0.9, 0.1])}
    with pytest.raises(ValueError, match="table_metrics has f1, a metric that mlops computes itself"):
        mlops_scripts.write_predictions(columns, ["a", "b"], table_metrics={"f1": spread})
    with pytest.raises(ValueError, match=r"table_metrics is <function spread .*expected functions by name"):
        mlops_scripts.write_predictions(columns, ["a", "b"], table_metrics=spread)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="row_metrics and table_metrics both have cost"):
        mlops_scripts.write_predictions(columns, ["a", "b"], row_metrics={"cost": cost}, table_metrics={"cost": spread})
    with pytest.raises(ValueError, match="there are no rows"):
        mlops_scripts.table_metric(spread, {"left": mlops_scripts.labels([], [])})


def test_the_library_knows_every_metric_that_mlops_computes() -> None:
    assert {*OF_NUMBERS, *PLAIN, *AT_THRESHOLD} == {*BUILT_IN}


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: mlops_scripts.labels([1, 0], np.ones((2, 2))),
            r"labels: probability has the shape \(2, 2\), expected one",
        ),
        (
            lambda: mlops_scripts.labels([1, 0], [0.5]),
            "labels: truth has 2 rows and probability has 1 rows, expected the",
        ),
        (lambda: mlops_scripts.labels([2, 0], [0.5, 0.5]), "labels: truth is 2 in row 0, expected 0 or 1"),
        (
            lambda: mlops_scripts.labels([1, 0], [0.5, None]),
            r"probability is None \(NoneType\) in row 1, expected a finite",
        ),
        (lambda: mlops_scripts.labels(1, [0.5]), r"labels: truth is 1 \(int\), expected one number for each row"),
        (
            lambda: mlops_scripts.numbers([1.0], [float("nan")]),
            r"numbers: predicted is nan \(float\) in row 0, expected",
        ),
        (lambda: mlops_scripts.number_metrics(["x"], [1]), r"number_metrics: truth is 'x' \(str\) in row 0"),
        (lambda: mlops_scripts.label_metrics([1], [0.5, 0.5]), "label_metrics: truth has 1 rows and probability has 2"),
        (lambda: mlops_scripts.class_metrics(["a"], []), "class_metrics: truth has 1 rows and predicted has 0 rows"),
        (lambda: mlops_scripts.classes(["a"], np.ones((1, 2))), "classes: probabilities is .* expected each class's"),
        (
            lambda: mlops_scripts.write_metrics({"f1": 0.5}),
            r"write_metrics: f1 is 0.5 \(float\), expected the metrics of a row",
        ),
        (
            lambda: mlops_scripts.write_metrics({"a": {"f1": np.float32("nan")}}),
            "metrics.json: metrics.test.a.f1 is nan",
        ),
        (
            lambda: mlops_scripts.write_metrics({}, history=[{"loss": float("inf")}]),
            r"metrics.json: history\[0\].loss is inf",
        ),
        (
            lambda: mlops_scripts.write_predictions({"a": mlops_scripts.numbers([1], [1])}, ["x", "y"]),
            "write_predictions: instances has 2 rows and the column a has 1 rows, expected the same rows",
        ),
    ],
)
def test_values_of_another_form_are_named(output: Path, call: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()
    assert not output.exists()


def test_a_column_of_numbers_is_one_number_for_each_row() -> None:
    assert mlops_scripts.labels(np.array([[1], [0]]), np.array([[0.5], [0.25]]))["predicted"] == [0.5, 0.25]


def test_a_split_that_is_not_there_is_named_with_those_that_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "train").mkdir()
    (tmp_path / "train" / "data.csv").write_text("a\n1\n")
    (tmp_path / "test").mkdir()
    monkeypatch.setenv("MLOPS_DATA_DIR", str(tmp_path))
    assert mlops_scripts.read_rows("train") == [{"a": "1"}]
    with pytest.raises(ValueError, match=r"no split 'valid'; preprocess\.py wrote test, train"):
        mlops_scripts.read_rows("valid")
    with pytest.raises(FileNotFoundError, match=r"read_rows: preprocess\.py wrote no test/data\.csv"):
        mlops_scripts.read_rows("test")
    monkeypatch.delenv("MLOPS_DATA_DIR")
    monkeypatch.setenv("SM_CHANNEL_TRAIN", str(tmp_path / "train"))
    assert mlops_scripts.read_rows("train") == [{"a": "1"}]
    with pytest.raises(ValueError, match=r"no split 'valid'; preprocess\.py wrote train"):
        mlops_scripts.read_rows("valid")


@pytest.mark.parametrize("share", [0, 1, 2, -0.1])
def test_a_share_that_leaves_a_part_empty_is_refused(share: float) -> None:
    with pytest.raises(ValueError, match=r"split_csv: test is .*, expected a share between 0 and 1"):
        mlops_scripts.split_csv(test=share)
