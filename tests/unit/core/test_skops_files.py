"""`load_skops` loads every model of scikit-learn, and refuses every file that could run other code."""

from __future__ import annotations

import operator
import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import skops.io
from sklearn.cluster import KMeans
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import StackingClassifier, VotingClassifier
from sklearn.feature_selection import SelectKBest, f_classif
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.model_selection import RandomizedSearchCV
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler, scale
from sklearn.tree import DecisionTreeClassifier
from sklearn.utils import all_estimators
from skops.io.exceptions import UnsupportedTypeException, UntrustedTypesFoundException

from mlops_cli.core.jobs.script_environment import LIBRARY

sys.path.append(str(LIBRARY.parent))

from mlops_scripts import load_skops, save_skops
from mlops_scripts.skops_files import _is_of_sklearn

CHANCE = np.random.default_rng(0)
ROWS = np.abs(CHANCE.normal(size=(40, 4)))
CLASSES = np.tile([0, 1], 20)
MODELS = {"a": LogisticRegression(), "b": DecisionTreeClassifier(max_depth=2)}
# The first that an estimator's class takes.
ARGUMENTS: list[dict[str, Any]] = [
    {},
    {"estimator": LogisticRegression()},
    {"estimators": list(MODELS.items())},
    {"transformers": [("a", "passthrough", [0])]},
    {"transformer_list": [("a", StandardScaler())]},
    {"steps": [("a", LogisticRegression())]},
    {"estimator": LogisticRegression(), "param_grid": {"C": [1, 2]}},
    {"estimator": LogisticRegression(), "param_distributions": {"C": [1, 2]}, "n_iter": 2},
    {"dictionary": np.eye(4)},
]
OTHER_ARGUMENTS: dict[str, dict[str, Any]] = {
    "FrozenEstimator": {"estimator": LogisticRegression().fit(ROWS, CLASSES)},
    "GaussianRandomProjection": {"n_components": 2},
    "RegressorChain": {"estimator": LinearRegression()},
    "SelfTrainingClassifier": {"estimator": LogisticRegression()},
    "SparseRandomProjection": {"n_components": 2},
    "StackingRegressor": {"estimators": [("a", LinearRegression())]},
    "TSNE": {"max_iter": 250},
    "VotingRegressor": {"estimators": [("a", LinearRegression())]},
}
# Numbers, several targets, one feature, a target of more than zero, texts, dictionaries, nothing but targets, sets.
DATA: list[tuple[Any, ...]] = [
    (ROWS, CLASSES),
    (ROWS, np.c_[CLASSES, 1 - CLASSES]),
    (ROWS[:, 0], CLASSES + 0.5),
    (ROWS, CLASSES + 0.5),
    (["red car", "blue car"] * 20, CLASSES),
    ([{"a": 1}, {"b": 2}] * 20, CLASSES),
    (CLASSES,),
    ([{0}, {1, 2}] * 20,),
    (np.eye(40),),
]


def fitted(name: str, estimator: type) -> Any:
    """Return the estimator, fitted with the first arguments and data that it accepts; None if it accepts none."""
    for arguments in [OTHER_ARGUMENTS[name]] if name in OTHER_ARGUMENTS else ARGUMENTS:
        try:
            model = estimator(**arguments)
        except TypeError:
            continue
        for data in DATA:
            with suppress(Exception):  # each estimator refuses others, in its own way
                return model.fit(*data)
        return None
    return None


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("SM_MODEL_DIR", str(tmp_path))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield tmp_path


# With models that keep a private type. ALL_ESTIMATORS=1 tests all two hundred, which takes a minute.
ESTIMATORS = frozenset(
    """
    AdaBoostClassifier Birch BisectingKMeans CalibratedClassifierCV CountVectorizer FeatureAgglomeration GaussianNB
    GaussianProcessClassifier GenericUnivariateSelect GridSearchCV HistGradientBoostingRegressor Isomap
    IsotonicRegression KBinsDiscretizer KNeighborsClassifier MLPRegressor OutputCodeClassifier SVC SpectralEmbedding
    SplineTransformer TunedThresholdClassifierCV TweedieRegressor
    """.split()  # noqa: SIM905 (a list of words)
)


def test_every_estimator_of_scikit_learn_is_loaded(folder: Path) -> None:
    chosen = [each for each in all_estimators() if "ALL_ESTIMATORS" in os.environ or each[0] in ESTIMATORS]
    models = {name: fitted(name, estimator) for name, estimator in chosen}
    assert len(models) >= len(ESTIMATORS)
    assert not [name for name, model in models.items() if model is None], "fitted"
    refused = {}
    for name, model in models.items():
        try:
            load_skops(save_skops(model))
        except (UnsupportedTypeException, UntrustedTypesFoundException) as error:
            refused[name] = str(error)
    assert refused.keys() == {"Birch"}, refused
    assert "not supported" in refused["Birch"], "skops cannot save it"


@pytest.mark.parametrize(
    "model",
    [
        make_pipeline(
            ColumnTransformer(
                [("log", FunctionTransformer(np.log1p), [0, 1]), ("scale", FunctionTransformer(scale), [2])]
            ),
            SelectKBest(f_classif, k=2),
            KNeighborsClassifier(3),
        ),
        StackingClassifier(list(MODELS.items()), cv=2),
        VotingClassifier(list(MODELS.items()), voting="soft"),
        RandomizedSearchCV(KNeighborsClassifier(), {"n_neighbors": [1, 3]}, n_iter=2, cv=2, random_state=1),
        make_pipeline(KMeans(2, random_state=1, n_init=1), LogisticRegression()),
    ],
)
def test_a_combined_model_answers_as_before(folder: Path, model: Any) -> None:
    model.fit(ROWS, CLASSES)
    assert (load_skops(save_skops(model)).predict_proba(ROWS) == model.predict_proba(ROWS)).all()


def own(rows: Any) -> Any:
    return rows


@pytest.mark.parametrize(
    ("function", "refused"),
    [
        (own, f"{own.__module__}.own"),
        (partial(np.clip, a_min=0, a_max=9), "functools.partial"),
        (operator.methodcaller("copy"), "operator.methodcaller"),
        (StandardScaler().fit(ROWS).transform, "sklearn.preprocessing._data.StandardScaler.transform"),
        (np.load, "numpy.load"),
        (eval, "builtins.eval"),
    ],
)
def test_another_function_must_be_named(folder: Path, function: Any, refused: str) -> None:
    path = save_skops(FunctionTransformer(function))
    with pytest.raises(UntrustedTypesFoundException, match=refused):
        load_skops(path)
    types = skops.io.get_untrusted_types(file=path)
    assert isinstance(load_skops(path, trusted=types), FunctionTransformer)


@pytest.mark.parametrize(
    "name",
    [
        "os.system",
        "numpy.testing._private.utils.runstring",  # runs a text
        "numpy.lib._datasource.DataSource",  # removes a folder when it is deleted
        "scipy.stats._distn_infrastructure.rv_frozen",  # its distribution runs a text when it is loaded
        "sklearn.datasets._base.load_files",
        "sklearn.utils._testing.TempMemmap",
        "sklearn.utils.discovery.all_estimators",
        "sklearn.metrics._scorer.partial",  # an import of scikit-learn's, and nothing of its own
        "sklearn.metrics._scorer.np",
        "sklearn.linear_model.LogisticRegression.predict",
        "sklearn.missing.Model",
        "sklearn",
        "",
        "sklearnish.Model",
    ],
)
def test_a_file_that_could_run_other_code_is_refused(name: str) -> None:
    assert not _is_of_sklearn(name)
