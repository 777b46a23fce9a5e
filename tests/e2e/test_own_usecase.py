"""Projects of `mlops init`: the minimal one, and the rents (no text, no labels, a metric that is better if lower).

They differ only in scripts, columns and limits. test_drift.py runs the whole lifecycle of the rents and of the comments
on both targets.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from mlops_cli.frameworks import framework_named
from tests.conftest import USE_CASES, Cli, free_port

pytestmark = pytest.mark.slow

FLAT = {"district": "hill", "area": 50, "rooms": 2, "built": 1960}


@pytest.fixture
def churn(tmp_path: Path) -> Iterator[Cli]:
    yield from project(tmp_path / "churn")


@pytest.fixture
def rent(tmp_path: Path) -> Iterator[Cli]:
    yield from project(tmp_path / "rent", USE_CASES / "rent")


@pytest.fixture
def sklearn_churn(tmp_path: Path) -> Iterator[Cli]:
    """Provide a project whose commands need no import of TensorFlow."""
    yield from project(tmp_path / "churn", framework="sklearn")


def project(folder: Path, usecase: Path | None = None, framework: str = "tensorflow") -> Iterator[Cli]:
    """Provide a starter's project with another use case's files. Remove it and its endpoint at the end."""
    Cli(folder.parent)("init", folder.name, "--minimal", "--framework", framework)
    (folder / ".env").write_text(f"ENDPOINT_PORT={free_port()}\n")
    if usecase:
        shutil.copytree(usecase / "training", folder / "training", dirs_exist_ok=True)
        rows = subprocess.run([sys.executable, usecase / "make_data.py", "900"], stdout=subprocess.PIPE, check=True)
        (folder / "rent.csv").write_bytes(rows.stdout)
    cli = Cli(folder)
    yield cli
    assert "verified: no resources created by mlops remain" in cli("cleanup", "--yes")
    assert not (folder / ".mlops").exists()


def edit(cli: Cli, file: str, old: str, new: str) -> None:
    path = cli.folder / file
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))


def test_the_minimal_project_runs_at_once(churn: Cli) -> None:
    out = churn("quickstart", "--yes")
    assert "$ mlops download-data\n" in out
    assert "limits all metrics are within their limits" in " ".join(out.split())
    assert "months 2, tickets 6, price 85" in out
    model = churn.json("status")["endpoint"]["live_digest"]
    assert churn.json("quickstart", "--yes")["run"]["status"] == "done", "it is safe to repeat"
    forced = churn.json("run", "--force", "--from", "train")
    assert {stage["name"]: stage["output"] for stage in forced["stages"]}["train"] == model, "the same to the last bit"


@pytest.mark.parametrize(
    ("framework", "scripts_dir"),
    [("sklearn", "training"), ("xgboost", "src/ml"), ("pytorch", "training"), ("huggingface", "ml")],
)
def test_a_starter_of_another_framework_needs_no_tensorflow(tmp_path: Path, framework: str, scripts_dir: str) -> None:
    """The second one is in a repository whose training/ has other content.

    PyTorch has gigabytes; CI does not test it.
    """
    for module in framework_named(framework).modules:
        pytest.importorskip(module)
    (tmp_path / "hiding").mkdir()
    (tmp_path / "hiding" / "tensorflow.py").write_text("raise ImportError('TensorFlow is not for this project')\n")
    own = tmp_path / "churn" / "training" / "plan.md"
    if scripts_dir != "training":
        own.parent.mkdir(parents=True)
        own.write_text("Monday: swimming\n")
    Cli(tmp_path)("init", "churn", "--framework", framework, "--scripts-dir", scripts_dir)
    cli = Cli(tmp_path / "churn", {"PYTHONPATH": str(tmp_path / "hiding"), "ENDPOINT_PORT": str(free_port())})
    out = cli("quickstart", "--yes")
    status = Cli(cli.folder / scripts_dir / "tests", cli.environment).json("status")
    assert status["endpoint"]["state"] == "in-service", "the project is found from every folder of it"
    table = (cli.folder / "data.csv").read_text().splitlines(keepends=True)
    (cli.folder / "three.csv").write_text("".join(table[:4]))
    result = cli.json("test-endpoint", "--file", "three.csv")
    assert (len(result["probe"]["rows"]), result["gate"]["passed"], result["gate"]["failed"]) == (3, 2, 0)
    example = "the courier lost my parcel" if framework == "huggingface" else "months 2, tickets 6, price 85"
    assert example in out
    model = cli.json("status")["endpoint"]["live_digest"]
    forced = cli.json("run", "--force", "--from", "train")
    assert {stage["name"]: stage["output"] for stage in forced["stages"]}["train"] == model, "the same to the last bit"
    usecase = "training/usecase.toml" if scripts_dir == "training" else "usecase.toml"
    edit(cli, usecase, "[endpoint]", "[endpoint]\nbatching = true")
    assert re.search("deploy .*endpoint.batching is new", cli("run", "--explain"))
    assert cli.json("run")["changed"] is False
    (cli.folder / scripts_dir / "weights.json").write_text("{}")
    (cli.folder / scripts_dir / "tests" / "test_pretraining.py").open("a").write("# another rule\n")
    out = cli("run", "--explain")
    assert re.search(f"pre-training-tests .*{scripts_dir}/tests/test_pretraining.py changed", out)
    assert re.search(f"train .*{scripts_dir}/weights.json is new", out), "any file beside the scripts counts"
    assert "has read" not in out, "AWS has it, too"
    out = cli("cleanup", "--yes")
    assert f"{scripts_dir}/, .env" in out
    assert "verified: no resources created by mlops remain" in out
    assert scripts_dir == "training" or own.read_text() == "Monday: swimming\n"


def share_code(cli: Cli, scripts_dir: str = "training", src: str = "src") -> None:
    """Let a starter's scripts and handlers import and pack a package of the repository in ``src``."""
    package = cli.folder / src / "shop"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text('"""The code that models have in common."""\n')
    (package / "features.py").write_text(
        "def row(customer):\n    return [customer[name] for name in ('months', 'tickets', 'price')]\n"
    )
    if scripts_dir == "training":
        edit(cli, "training/usecase.toml", "[metrics]", f'[code]\npath = ["{src}"]\n\n[metrics]')
    else:
        edit(cli, "usecase.toml", "[code]\n", f'[code]\npath = ["{src}"]\n')
    for script, old in (
        ("train", "[instance[name] for name in FEATURES]"),
        ("inference", "[float(instance[name]) for name in FEATURES]"),
    ):
        edit(cli, f"{scripts_dir}/{script}.py", old, "row(instance)")
        edit(cli, f"{scripts_dir}/{script}.py", "FEATURES, TARGET", "from shop.features import row\n\nFEATURES, TARGET")
    edit(cli, f"{scripts_dir}/train.py", "pack_code()", 'pack_code("shop")')


@pytest.mark.parametrize("src", ["src", "../../src"])
def test_the_scripts_of_a_project_in_a_repository_import_its_code(tmp_path: Path, src: str) -> None:
    """The package is in the project's folder, or above it, for several use cases of the repository."""
    shop = tmp_path / "shop" if src == "src" else tmp_path / "models" / "churn"
    shop.mkdir(parents=True)
    (shop / "data.csv").write_text("mine\n")
    subprocess.run(["git", "init", "-q"], cwd=shop.parents[src.count("..")] if ".." in src else shop, check=True)
    cli = Cli(shop, {"ENDPOINT_PORT": str(free_port())})
    cli("init", ".", "--framework", "sklearn")
    share_code(cli, src=src)
    edit(cli, "training/usecase.toml", f'path = ["{src}"]', "path = []")
    _, err = cli.both("run", code=3)
    assert f'shop is in {src}/: name it in usecase.toml, under [code]: path = ["{src}"].' in " ".join(err.split())
    edit(cli, "training/usecase.toml", "path = []", f'path = ["{src}"]')
    assert "months 2, tickets 6, price 85" in cli("quickstart", "--yes")
    assert (shop / "data.csv").read_text() == "mine\n"
    edit(cli, f"{src}/shop/features.py", ", 'price')", ")")
    out = cli("run", "--explain")
    assert f" {src}/shop/features.py changed" in out
    assert "preprocess           reused" in out
    assert "has read" not in out, "AWS has it, too"
    assert "verified: no resources created by mlops remain" in cli("cleanup", "--yes")


OTHER_MODELS = """from functools import partial
import numpy
from sklearn.neighbors import KNeighborsClassifier
from sklearn.preprocessing import FunctionTransformer
"""


def test_an_unservable_model_fails_the_training_before_the_approval(tmp_path: Path) -> None:
    Cli(tmp_path)("init", "churn", "--framework", "sklearn")
    cli = Cli(tmp_path / "churn", {"ENDPOINT_PORT": "0"})
    cli("download-data")
    cli("deploy-infra")
    edit(cli, "training/inference.py", "def model_fn(", "def load_model(")
    _, err = cli.both("run", code=3)
    assert "The trained model cannot be served: ModelError: code/inference.py must define model_fn" in err
    edit(cli, "training/inference.py", "def load_model(", "def model_fn(")
    logistic = "LogisticRegression(C=arguments.strength, random_state=arguments.seed)"
    edit(cli, "training/train.py", "import LogisticRegression", "import LogisticRegression  # noqa: F401")
    edit(cli, "training/train.py", "import make_pipeline\n", "import make_pipeline\n" + OTHER_MODELS)
    edit(cli, "training/train.py", logistic, "KNeighborsClassifier()")
    edit(cli, "training/train.py", "StandardScaler()", "FunctionTransformer(partial(numpy.clip, a_min=0, a_max=99))")
    _, err = cli.both("run", code=3)
    trusted = "load_skops(..., trusted=['functools.partial', 'numpy.clip'])"
    assert f"name them in inference.py: {trusted}" in " ".join(err.split())
    edit(cli, "training/train.py", "FunctionTransformer(partial(numpy.clip, a_min=0, a_max=99))", "StandardScaler()")
    edit(cli, "training/usecase.toml", "{ months = 2, tickets = 6,", "{ tickets = 6,")
    _, err = cli.both("run", code=3)
    told = " ".join(err.split())
    assert 'it does not answer example 1 of [endpoint] in usecase.toml, {"tickets": 6, "price": 85}: KeyError: ' in told
    assert "KeyError: 'months' (code/inference.py, line " in told
    assert ", in input_fn)" in told
    assert {stage["name"]: stage["status"] for stage in cli.json("status")["run"]["stages"]}["train"] == "failed"
    assert "The training is kept: after a change of the examples or the handlers" in " ".join(err.split())
    edit(cli, "training/inference.py", "def model_fn(", "def load_model(")
    edit(cli, "training/usecase.toml", "{ tickets = 6,", "{ months = 2, tickets = 6,")
    cli("run", code=3)
    edit(cli, "training/inference.py", "def load_model(", "def model_fn(")
    run = cli.json("run")
    train = next(stage for stage in run["stages"] if stage["name"] == "train")
    assert (run["status"], train["reason"]) == ("waiting", f"trained in run {run['id']}, tried again")
    assert f"trained in run {run['id']}, tried again" in " ".join(cli("status").split())
    cli("cleanup", "--yes")
    assert not (cli.folder / ".mlops").exists()


def test_a_framework_without_a_starter_is_named(tmp_path: Path) -> None:
    _, err = Cli(tmp_path).both("init", "churn", "--framework", "sklern", code=2)
    assert (
        "There is no starter for 'sklern'; there are starters for tensorflow, sklearn, xgboost, pytorch, huggingface."
        in err
    )
    assert not (tmp_path / "churn").exists()


def test_a_gate_of_a_starter_fails_for_a_reason(sklearn_churn: Cli) -> None:
    data = sklearn_churn.folder / "data.csv"
    rows = data.read_text().splitlines()
    data.write_text("\n".join(row for row in rows if not row.endswith(",1")) + "\n")
    out = sklearn_churn("quickstart", "--yes", code=3)
    assert "0% of the train rows are customers who left, expected 10 % to 90 %" in out


def test_quickstart_approves_nothing_that_falls_short(sklearn_churn: Cli) -> None:
    edit(sklearn_churn, "training/usecase.toml", "accuracy = 0.", "accuracy = 1.")
    _, err = sklearn_churn.both("quickstart", "--yes", code=2)
    assert "The model has a shortfall (" in err
    assert "--comment 'WHY', or mlops approve" in err
    status = sklearn_churn.json("status")
    assert status["run"]["status"] == "waiting"
    assert status["endpoint"]["state"] == "absent"


def texts_about_rents(out: str) -> None:
    """Return the text that `quickstart` must show for a project of another kind, on both targets."""
    assert "dataset: rent.csv, 900 rows" in out
    assert "labels:" not in out
    assert "rmse max" in out
    assert "min  ✓" not in out
    assert "limits all metrics are within their limits" in " ".join(out.split())
    assert "district centre, area 120, rooms 4, built 2015  " in out


def examined(cli: Cli, *flats: dict, code: int = 0) -> dict:
    (cli.folder / "flats.json").write_text(json.dumps(flats))
    return cli.json("test-endpoint", "--file", "flats.json", code=code)


def test_a_model_over_its_maximum_needs_a_reason(rent: Cli) -> None:
    edit(rent, "training/usecase.toml", "rmse = 130", "rmse = 10")
    (rent.folder / "rent.csv").rename(rent.folder / "elsewhere.csv")
    assert "rent.csv" in rent.json("run", code=1)["error"]["message"], "a run gets the data that are declared"
    (rent.folder / "elsewhere.csv").rename(rent.folder / "rent.csv")
    out = rent("run")
    assert "dataset: rent.csv, 900 rows" in out
    run = rent.json("status")["run"]
    _, err = rent.both("approve", "--run-id", run["id"], "--yes", code=2)
    assert "The model has a shortfall (rent: rmse " in err
    assert "is over 10): its approval needs a reason" in err
    assert rent.json("approve", "--run-id", run["id"], "--yes", "--comment", "a start")["status"] == "done"
    error = examined(rent, {"district": "hill", "area": 50}, code=1)["error"]
    assert "must be an object with the keys ['area', 'built', 'district', 'rooms']" in error["message"]


def test_the_data_are_found_from_every_folder_of_the_project(rent: Cli) -> None:
    inside = Cli(rent.folder / "training")
    assert inside.json("download-data")["source"] == "rent.csv"
    assert rent.json("download-data")["changed"] is False
    out = rent("cleanup", "--dry-run")
    assert "rent.csv" in out


def test_data_that_do_not_fit_are_named_by_row_and_column(rent: Cli) -> None:
    edit(rent, "rent.csv", "\nf3,", "\nf2,")
    _, err = rent.both("download-data", code=1)
    assert 'line 5, column flat: "f2" duplicates line 4' in err
