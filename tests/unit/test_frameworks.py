"""A framework is one file in mlops_cli/frameworks and one entry in FRAMEWORKS. All its images exist."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from mlops_cli.backends.aws.infra import images
from mlops_cli.core.jobs.script_environment import BOOTSTRAP
from mlops_cli.core.stages import TRAINING
from mlops_cli.errors import MlopsError
from mlops_cli.frameworks import FRAMEWORKS, framework_named
from mlops_cli.frameworks.base import Framework
from mlops_cli.project.scaffold.project_files import STARTER, Kind, script_files, starters
from mlops_cli.project.usecase.reader import load_use_case
from tests.conftest import ROOT
from tests.e2e.test_guide import blocks

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

each_framework = pytest.mark.parametrize("framework", FRAMEWORKS, ids=lambda framework: framework.name)


def test_every_file_that_defines_a_framework_is_listed() -> None:
    files = (ROOT / "mlops_cli" / "frameworks").glob("*.py")
    defined = {file.stem for file in files if "FRAMEWORK = Framework(" in file.read_text()}
    assert defined == {framework.name for framework in FRAMEWORKS}


def test_no_other_file_knows_a_framework_by_its_name_or_package() -> None:
    """Every difference between frameworks is a field of Framework. A new one is a file and a line in __init__.py."""
    words = {word for each in FRAMEWORKS for word in (each.name, each.package, *each.unnamed_packages)}
    quoted = re.compile("|".join(rf"[\"']{re.escape(word)}[\"']" for word in words - {"tensorflow", "tensorflow-cpu"}))
    folder = ROOT / "mlops_cli"
    files = [
        path for path in folder.rglob("*.py") if not {"frameworks", "starter"} & set(path.relative_to(folder).parts)
    ]
    assert len(files) > 200
    naming = [path.name for path in files if quoted.search(path.read_text())]
    assert naming == ["images.py"], "only the list of packages that an image has under another name"
    lists = [path.name for path in files if sum(each.name in path.read_text() for each in FRAMEWORKS) > 3]
    assert lists == [], "a list of all frameworks is made of FRAMEWORKS"


def test_the_last_framework_was_the_diff_that_is_shown() -> None:
    diff = (ROOT / "CONTRIBUTING.md").read_text().split("```diff\n")[1].split("```")[0]
    parts = re.split(r"^--- .*\n\+\+\+ b/(.*)\n", diff, flags=re.M)[1:]
    added = {
        name: [line[1:] for line in text.splitlines() if line.startswith("+")]
        for name, text in zip(parts[::2], parts[1::2], strict=True)
    }
    assert set(added) == {"mlops_cli/frameworks/huggingface.py", "mlops_cli/frameworks/__init__.py", "pyproject.toml"}
    texts = {name: (ROOT / name).read_text().splitlines() for name in added}
    assert added["mlops_cli/frameworks/huggingface.py"] == texts["mlops_cli/frameworks/huggingface.py"]
    for name, lines in added.items():
        assert set(lines) <= set(texts[name]), name


@each_framework
def test_a_framework_has_an_extra(framework: Framework) -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert framework.extra in extras
    assert framework.name in extras


def test_a_starter_says_its_framework() -> None:
    for name in starters()[1:]:
        text = (STARTER / name / "training" / "usecase.toml").read_text()
        assert tomllib.loads(text)["model"] == {"framework": name}


def test_every_framework_has_a_starter() -> None:
    assert starters() == [framework.name for framework in FRAMEWORKS]


@pytest.mark.parametrize("name", ["pytorch", "huggingface"])
def test_the_starter_of_a_large_framework_is_correct_without_its_packages(tmp_path: Path, name: str) -> None:
    """Check its settings, data, split and data gate. The rest runs where the framework is installed."""
    files = script_files(Kind("mine", minimal=True, framework=name))
    for path, content in files.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_bytes(content)
        if path.endswith(".py"):
            compile(content, path, "exec")
    training = tmp_path / "training"
    use_case = load_use_case(training / "usecase.toml")
    assert use_case.framework.has_cpu_training or use_case.machines.of(TRAINING).instance_type.startswith("ml.g5")
    options = dict(re.findall(r'add_argument\("--(\w+)", type=(\w+)', files["training/train.py"].decode()))
    assert use_case.hyperparameters["train"].keys() == options.keys()
    environment = {"PYTHONPATH": str(BOOTSTRAP), "MLOPS_DATA_DIR": str(tmp_path / "out")}
    (tmp_path / "in").mkdir()
    dataset = (tmp_path / "data.csv").rename(tmp_path / "in" / "dataset.csv")
    assert dataset.read_text().splitlines()[0].split(",") == list(use_case.columns)
    command = ["preprocess.py", "--input-dir", str(tmp_path / "in"), "--output-dir", str(tmp_path / "out")]
    subprocess.run([sys.executable, *command], cwd=training, check=True, env=environment)
    gate = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/test_pretraining.py"]
    done = subprocess.run(gate, cwd=training, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_the_starter_of_hugging_face_is_the_guides_project() -> None:
    """The guide is executed where transformers is installed."""
    own = script_files(Kind("tickets", minimal=True, framework="huggingface"))
    shown = {
        name: text for name, _, text in blocks("guides/text.md") if name.startswith("training/")
    }  # the last one counts
    names = [f"training/{name}" for name in ("train.py", "inference.py", "tokenizer.py")]
    gates = [name for name in shown if name.startswith("training/tests/")]
    assert len(gates) == 2
    assert {name: own[name].decode() for name in names + gates} == {name: shown[name] for name in names + gates}


@each_framework
@pytest.mark.parametrize("region", ["us-east-1", "eu-west-1", "ap-southeast-2"])
def test_sagemaker_has_the_images(framework: Framework, region: str) -> None:
    machine = "ml.m5.large" if framework.has_cpu_training else "ml.g5.xlarge"
    training = images.training_image(framework, "", region, machine)
    serving = images.serving_image(framework, "", region, "ml.m5.large")
    assert f".dkr.ecr.{region}.amazonaws.com/" in training
    assert framework.serves_with(serving)
    assert [framework.name for framework in FRAMEWORKS if framework.serves_with(serving)] == [framework.name]


def test_a_chosen_version_is_that_of_both_images() -> None:
    sklearn = framework_named("sklearn")
    assert images.training_image(sklearn, "1.2-1", "eu-west-1", "ml.m5.large").endswith(":1.2-1-cpu-py3")
    assert images.serving_image(sklearn, "1.2-1", "eu-west-1", "ml.m5.large").endswith(":1.2-1-cpu-py3")
    with pytest.raises(MlopsError, match=r"SageMaker has no scikit-learn 99 training image for ml\.m5\.large"):
        images.training_image(sklearn, "99", "eu-west-1", "ml.m5.large")


def test_an_image_that_is_not_for_the_instance_is_an_error_before_anything_is_created() -> None:
    with pytest.raises(MlopsError, match=r"SageMaker has no Hugging Face 5\.3\.0 training image for ml\.m5\.large"):
        images.training_image(framework_named("huggingface"), "", "eu-west-1", "ml.m5.large")
    with pytest.raises(MlopsError, match="SageMaker has no scikit-learn"):
        images.serving_image(framework_named("sklearn"), "", "eu-west-1", "ml.g5.xlarge")
