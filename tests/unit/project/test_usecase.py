"""The content of usecase.toml: accepted values and refused ones."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from mlops_cli.core.jobs.secret_addresses import address_of, addresses, arns, secret_name
from mlops_cli.core.runs import parse_overrides
from mlops_cli.errors import ConfigurationError
from mlops_cli.project.usecase.overrides import full_names
from mlops_cli.project.usecase.reader import load_use_case

FEWEST = """
name = "a"
[data]
source = "x.csv"
[data.columns]
a = "number"
b = "label"
[metrics]
primary = "auc"
"""


@pytest.fixture
def path(project_folder: Path) -> Path:
    return project_folder / "training" / "usecase.toml"


@pytest.mark.parametrize(
    ("right", "wrong", "problem"),
    [
        ('file = "train.csv"', 'fil = "train.csv"', "data.fil is not known; did you mean file?"),
        ('source = "kaggle"', 'src = "kaggle"', "data.src is not known; did you mean source?"),
        ("[data.columns]", "[data.column]", "data.column is not known; did you mean columns?"),
        ("must_beat_live = false", "must_beat = true", "metrics.must_beat is not known; did you mean must_beat_live?"),
        ("[metrics.minimum.macro]", "[metrics.minimun.macro]", "metrics.minimun is not known; did you mean minimum?"),
        ("[metrics.minimum.macro]", "[metrics.floor.macro]", "metrics.floor is not known; known are split, primary,"),
        ("examples = [", "exampels = [", "endpoint.exampels is not known; did you mean examples?"),
        (
            "[hyperparameters.train]",
            "[hyperparameters.trian]",
            "hyperparameters.trian is not known; did you mean train?",
        ),
        ("[endpoint]", "[endpoints]", "[endpoints] is not known; did you mean endpoint?"),
        ("description =", "descripton =", "[descripton] is not known; did you mean description?"),
    ],
)
def test_a_misspelt_key_is_named(path: Path, right: str, wrong: str, problem: str) -> None:
    text = path.read_text()
    assert right in text
    path.write_text(text.replace(right, wrong, 1))
    with pytest.raises(ConfigurationError) as caught:
        load_use_case(path)
    assert problem in caught.value.message


ONE_CAUSE = (
    ('source = "x.csv"', "source = 3", "data.source must be a text."),
    ('source = "x.csv"', 'sorce = "x.csv"', "data.sorce is not known; did you mean source?"),
    ('name = "a"', 'nam = "a"', "[nam] is not known; did you mean name?"),
    ('name = "a"', "", "name is missing; it must be a text."),
    ("[metrics]", "[metrcs]", "[metrcs] is not known; did you mean metrics?"),
    ('[metrics]\nprimary = "auc"', "", "metrics.primary is missing; it must be a text."),
    ('primary = "auc"', 'primry = "auc"', "metrics.primry is not known; did you mean primary?"),
    ("[metrics]", "[[metrics]]", "[metrics] must be a table."),
    ("[data.columns]", 'name = "a"\n[data.columns]', "data.name is not known; it belongs before the first [table]"),
    ("[metrics]", "[metrics]\nexamples = []", "metrics.examples is not known; it belongs in [endpoint]."),
    ("[metrics]", "[time_limits]\ntrain = 90000\n[metrics]", "time_limits.train must be a whole number of minutes"),
    ("[metrics]", "[time_limits]\ntrain = true\n[metrics]", "time_limits.train must be a whole number of minutes from"),
    ("[metrics]", '[secrets]\nnames = "A"\naws = {A = "/a"}\n[metrics]', "secrets.names must be a list of names, such"),
    ("[metrics]", "[aws.train]\nspot = 3\nmax_wait_minutes = 90\n[metrics]", "aws.train.spot must be true or false."),
    ("[metrics]", "[endpoint]\nbatching = 1\n[metrics]", "endpoint.batching must be true or false."),
    ("[metrics]", "[endpoint]\nbatching = true\n[metrics]", "endpoint.batching has no effect: TensorFlow computes"),
    ("[metrics]", "[data.scripts]\na = 3\n[metrics]", "[data.scripts.a] must be a table."),
    ("[metrics]", '[code]\npath = ["."]\n[metrics]', "move its modules into a folder, such as src/"),
    ("[metrics]", '[code]\npath = [".."]\n[metrics]', "has '..', which contains the whole project"),
    ("[metrics]", "[hyperparameters.train]\nrate = nan\n[metrics]", "train.rate is nan, expected a finite number."),
)


@pytest.mark.parametrize(("before", "after", "problem"), ONE_CAUSE)
def test_one_wrong_line_is_one_error(tmp_path: Path, before: str, after: str, problem: str) -> None:
    path = tmp_path / "usecase.toml"
    assert before in FEWEST
    path.write_text(FEWEST.replace(before, after))
    with pytest.raises(ConfigurationError) as caught:
        load_use_case(path)
    message, hint = caught.value.message, caught.value.hint
    assert problem in message
    assert "\n" not in message.removeprefix(f"{path}: ")
    assert "?." not in message
    assert hint == "Fix the file, then check it: mlops config"


def test_two_wrong_lines_are_two_errors_on_a_line_each(tmp_path: Path) -> None:
    path = tmp_path / "usecase.toml"
    path.write_text(FEWEST.replace("source", "sorce").replace('"label"', '"lable"'))
    with pytest.raises(ConfigurationError) as caught:
        load_use_case(path)
    nothing, first, second = caught.value.message.removeprefix(f"{path}:").split("\n")
    assert nothing == ""
    assert first == "  data.sorce is not known; did you mean source?"
    assert second.startswith("  data.columns.b is 'lable', expected one of id, text, label")


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("STAGE", "which is a setting of mlops itself; give the secret a name of its own, such as MY_STAGE"),
        ("KAGGLE_KEY", "which is a setting of mlops itself; give the secret a name of its own, such as MY_KAGGLE_KEY"),
        ("MLFLOW_TRACKING_TOKEN", "which is a setting of mlops itself"),
        ("AWS_REGION", "which AWS sets for a job: scripts work with the job's role; remove it, or give the secret"),
        ("AWS_SECRET_ACCESS_KEY", "which AWS sets for a job"),
        ("PATH", "which scripts get from the system without being named; remove it"),
        ("HOME", "which scripts get from the system without being named; remove it"),
        ("HTTPS_PROXY", "which scripts get from the system without being named; remove it"),
        ("PYTHONPATH", "which belongs to the system; give the secret a name of its own, such as MY_PYTHONPATH"),
        ("LD_PRELOAD", "which belongs to the system"),
        ("no_proxy", "which belongs to the system"),
        ("MLOPS_STAGE", "which mlops sets itself; choose another name"),
    ],
)
def test_a_secret_cannot_have_the_name_of_another_variable(tmp_path: Path, name: str, reason: str) -> None:
    path = tmp_path / "usecase.toml"
    path.write_text(f"{FEWEST}[secrets]\nnames = ['SHOP_TOKEN', '{name}']\n")
    with pytest.raises(ConfigurationError) as caught:
        load_use_case(path)
    assert f"has {name}, {reason}" in caught.value.message
    assert "\n" not in caught.value.message
    path.write_text(f"{FEWEST}[secrets]\nnames = ['SHOP_TOKEN', 'KERAS_API_KEY', 'HF_TOKEN', 'DB_PATH']\n")
    assert len(load_use_case(path).passed.secrets) == 4


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("layers = [64, 32]", "train.layers is a list: a script gets texts, so write layers = '[64, 32]' and parse it"),
        ("days = [2024-01-01]", "hyperparameters.train.days is a list"),
        ('optimizer = { name = "adam" }', "train.optimizer must be a text, a number or true/false"),
        ("start = 2024-01-01", "train.start must be a text, a number or true/false"),
        ('"1st" = 2', "has '1st', expected a name of letters, digits, _ and - that begins with a letter"),
        ('"--rate" = 2', "has '--rate', expected a name of letters"),
    ],
)
def test_a_hyperparameter_that_is_no_option_is_named(path: Path, line: str, problem: str) -> None:
    path.write_text(path.read_text().replace("[hyperparameters.train]\n", f"[hyperparameters.train]\n{line}\n"))
    with pytest.raises(ConfigurationError) as caught:
        load_use_case(path)
    assert problem in caught.value.message


def test_the_gates_are_free_to_have_keys_of_their_own(path: Path) -> None:
    path.write_text(path.read_text() + "\n[gates.post-training.more]\nanything = 1\n")
    assert load_use_case(path).name == "toxic-comments"


def test_a_byte_order_mark_is_accepted(path: Path) -> None:
    """Scripts and gates also read the file."""
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert load_use_case(path).name == "toxic-comments"
    script = "from common import usecase; print(usecase.gate('pre-training')['min_rows'])"
    done = subprocess.run([sys.executable, "-c", script], cwd=path.parent, capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("1000\n", "")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("\na = " + "[" * 100_000 + "]" * 100_000, "is not valid TOML: it nests too deeply"),
        ("\na = " + "{b = " * 100_000 + "1" + "}" * 100_000, "is not valid TOML: it nests too deeply"),
        ('\n[environment.set]\nMODE = "a\\u0000b"\n', "environment.set.MODE contains a NUL character"),
    ],
)
def test_a_value_that_no_command_line_can_hold_is_refused(path: Path, text: str, problem: str) -> None:
    path.write_text(path.read_text() + text)
    with pytest.raises(ConfigurationError) as caught:
        load_use_case(path)
    assert problem in caught.value.message


@pytest.mark.parametrize(
    "key", ["environment.set", "metrics.minimum.b", "hyperparameters.minimum.train", "secrets.aws", "data.scripts.x"]
)
def test_a_whole_number_that_toml_does_not_have_is_refused(tmp_path: Path, key: str) -> None:
    path = tmp_path / "usecase.toml"
    for number in ("1" * 400, "-" + "1" * 400, "0x" + "F" * 5000, "[[0x1" + "0" * 16 + "]]"):
        path.write_text(f"{FEWEST}\n[{key}]\na = {number}\n")
        with pytest.raises(ConfigurationError) as caught:
            load_use_case(path)
        assert caught.value.message == f"{path}: {key}.a is a whole number that does not fit into 64 bits."


BOUNDS = """
[hyperparameters.train]
epochs = 40
rate = 0.5
name = "adam"
flag = true
[hyperparameters.minimum.train]
epochs = 1
rate = 0.1
[hyperparameters.maximum]
train = { rate = 1 }
"""


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ("train.epochs=-1", "train.epochs is -1: expected 1 or more. usecase.toml has epochs = 40."),
        ("epochs=0", "train.epochs is 0: expected 1 or more."),
        ("epochs=1.5", "train.epochs is 1.5: expected a whole number."),
        ("epochs=1e3", "train.epochs is 1e3: expected a whole number."),
        ("epochs=", "train.epochs is empty: expected a whole number."),
        (f"epochs={'1' * 400}", f"train.epochs is {'1' * 400}: expected a whole number."),
        (f"epochs={'1' * 5000}", f"train.epochs is {'1' * 5000}: expected a whole number."),
        ("epochs=many", "train.epochs is many: expected a whole number."),
        ("rate=nan", "train.rate is nan: expected a number."),
        ("rate=inf", "train.rate is inf: expected a number."),
        ("rate=1.01", "train.rate is 1.01: expected 1 or less."),
        ("rate=0", "train.rate is 0: expected 0.1 or more."),
        ("flag=yes", "train.flag is yes: expected true or false."),
    ],
)
def test_a_value_that_the_file_rules_out_is_refused(tmp_path: Path, value: str, problem: str) -> None:
    path = tmp_path / "usecase.toml"
    path.write_text(FEWEST + BOUNDS)
    use_case = load_use_case(path)
    assert use_case.hyperparameters == {"train": {"epochs": "40", "rate": "0.5", "name": "adam", "flag": "True"}}
    with pytest.raises(ConfigurationError) as caught:
        full_names(use_case, parse_overrides([value]))
    assert caught.value.message.startswith(problem)
    good = ["epochs=1", "rate=1", "name=anything at all", "flag=false"]
    assert len(full_names(use_case, parse_overrides(good))) == 4


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("train.epoch", "'train.epoch' is unknown; did you mean train.epochs? Known are train.epochs, train.rate,"),
        ("epohcs", "'epohcs' is unknown; did you mean train.epochs?"),
        ("train.workers", "'train.workers' is unknown; known are train.epochs, train.rate,"),
    ],
)
def test_a_misspelt_hyperparameter_is_explained(tmp_path: Path, name: str, problem: str) -> None:
    path = tmp_path / "usecase.toml"
    path.write_text(FEWEST + BOUNDS)
    with pytest.raises(ConfigurationError, match=re.escape(problem)):
        full_names(load_use_case(path), {name: "1"})


@pytest.mark.parametrize(
    ("before", "after", "problem"),
    [
        ("epochs = 40", "epochs = 0", "hyperparameters.train.epochs is 0, expected 1 or more."),
        ("rate = 0.5", "rate = 2.0", "hyperparameters.train.rate is 2.0, expected 1 or less."),
        ("epochs = 1\n", 'epochs = "1"\n', "hyperparameters.minimum.train.epochs must be a number."),
        ("epochs = 1\n", "epoch = 1\n", "minimum.train.epoch is not known; did you mean train.epochs?"),
        ("epochs = 1\n", "name = 1\n", "hyperparameters.minimum.train.name is a bound of 'adam', which is no number."),
        (
            "train = { rate = 1 }",
            "rate = 1",
            "[hyperparameters.maximum.rate] must be a table, such as [hyperparameters",
        ),
    ],
)
def test_bounds_that_cannot_hold_are_one_error(tmp_path: Path, before: str, after: str, problem: str) -> None:
    path = tmp_path / "usecase.toml"
    assert before in BOUNDS
    path.write_text(FEWEST + BOUNDS.replace(before, after, 1))
    with pytest.raises(ConfigurationError) as caught:
        load_use_case(path)
    assert problem in caught.value.message
    assert "\n" not in caught.value.message


ARN = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:shop/db-AbC123"


TABLES = """
[data.tables.sales]
file = "sales/*.csv"
columns = { day = "date", amount = "number?" }
[data.tables.stores.columns]
store = ["a", "b"]
"""


@pytest.mark.parametrize(
    ("before", "after", "problem"),
    [
        ('amount = "number?"', 'amount = "money"', "data.tables.sales.columns.amount is 'money', expected one of"),
        ("columns = {", "colums = {", "data.tables.sales.colums is not known; did you mean columns?"),
        (
            'columns = { day = "date", amount = "number?" }',
            "columns = {}",
            "data.tables.sales.columns names no columns",
        ),
        ('file = "sales/*.csv"', "file = 3", "data.tables.sales.file must be a text"),
        ("[data.tables.sales]", '[data.tables."my sales"]', "data.tables has 'my sales', expected a name of letters"),
        (
            "[data.tables.sales]",
            "[data.columns]\nday = 'date'\n[data.tables.sales]",
            "data.columns cannot be used with data.tables",
        ),
    ],
)
def test_tables_have_columns_each(path: Path, before: str, after: str, problem: str) -> None:
    text = path.read_text()
    single = text[text.index("[data.columns]") : text.index("[hyperparameters.preprocess]")]
    path.write_text(text.replace(single, TABLES))
    use_case = load_use_case(path)
    assert {name: (table.file, table.schema.columns) for name, table in use_case.tables.items()} == {
        "sales": ("sales/*.csv", {"day": "date", "amount": "number?"}),
        "stores": ("stores.csv", {"store": '["a", "b"]'}),
    }
    path.write_text(path.read_text().replace(before, after))
    with pytest.raises(ConfigurationError, match=re.escape(problem)):
        load_use_case(path)


def test_secrets_are_names_with_an_address_on_aws(path: Path) -> None:
    path.write_text(
        f'{path.read_text()}\n[secrets]\nnames = ["FEED", "DB", "PIN"]\naws = {{ FEED = "/x/y", DB = "{ARN}" }}\n'
    )
    secrets = load_use_case(path).passed.secrets
    assert addresses(secrets, "shop-dev") == {"DB": ARN, "FEED": "/x/y", "PIN": "/mlops/shop-dev/PIN"}
    readable = arns(addresses(secrets, "shop-dev").values(), "aws", "us-east-1", "1")
    assert readable == [
        ARN,
        "arn:aws:ssm:us-east-1:1:parameter/mlops/shop-dev/PIN",
        "arn:aws:ssm:us-east-1:1:parameter/x/y",
    ]
    assert [address_of(arn) for arn in readable] == [ARN, "/mlops/shop-dev/PIN", "/x/y"]
    assert f":secret:{secret_name(ARN)}-" in ARN


@pytest.mark.parametrize(
    ("lines", "problem"),
    [
        ('names = "FEED"', "secrets.names must be a list of names"),
        ('FEED = "hunter2"', "secrets.FEED is not known; known are names, aws"),
        ('names = ["SM_FEED"]', "secrets has SM_FEED, which mlops sets itself"),
        ('names = ["A-B"]', "secrets has 'A-B', expected the name of a variable"),
        (
            'names = ["MODE"]\n[environment]\npass = ["MODE"]',
            "secrets.names.MODE is in [environment], too; remove one of them",
        ),
        ('names = ["FEED"]\naws = { FEDE = "/x" }', "secrets.aws.FEDE is not known; did you mean FEED?"),
        ('names = ["FEED"]\naws = { FEED = "hunter2" }', "secrets.aws.FEED must be a path of Parameter Store"),
        (f'names = ["FEED"]\naws = {{ FEED = "{ARN[:-7]}" }}', "secrets.aws.FEED must be a path of Parameter Store"),
        ('names = ["FEED"]\naws = { FEED = 3 }', "secrets.aws.FEED must be a path of Parameter Store"),
    ],
)
def test_a_wrong_secret_is_refused_and_no_value_is_shown(path: Path, lines: str, problem: str) -> None:
    path.write_text(f"{path.read_text()}\n[secrets]\n{lines}\n")
    with pytest.raises(ConfigurationError) as caught:
        load_use_case(path)
    assert problem in caught.value.message
    assert "hunter2" not in caught.value.message


def test_a_nul_character_in_a_hyperparameter_is_refused(path: Path) -> None:
    path.write_text(path.read_text().replace("[hyperparameters.train]", '[hyperparameters.train]\nnul = "a\\u0000b"'))
    with pytest.raises(ConfigurationError) as caught:
        load_use_case(path)
    assert "hyperparameters.train.nul contains a NUL character" in caught.value.message


@pytest.mark.parametrize(
    ("before", "after", "problem"),
    [
        ('source = "kaggle"', 'source = ["kaggle"]', "data.source must be a text"),
        ('file = "train.csv"', "file = 3", "data.file must be a text"),
        ("[data]", "[data]\n[data]", "Cannot declare 'data' twice"),
    ],
)
def test_values_that_are_no_text_and_duplicates_are_named(path: Path, before: str, after: str, problem: str) -> None:
    text = path.read_text()
    assert before in text
    path.write_text(text.replace(before, after))
    with pytest.raises(ConfigurationError, match=re.escape(problem)):
        load_use_case(path)


@pytest.mark.parametrize("content", ["name = 1\n# é".encode("latin-1"), "\nname = 1\n".encode("utf-16")])
def test_another_encoding_is_named(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    with pytest.raises(ConfigurationError, match="is not UTF-8") as caught:
        load_use_case(path)
    assert caught.value.hint == "Save the file as UTF-8."


@pytest.mark.parametrize("value", ["inf", "nan", "1e400", "true", '"0.5"', "[1]"])
def test_a_limit_that_is_no_number_is_refused(tmp_path: Path, value: str) -> None:
    path = tmp_path / "usecase.toml"
    path.write_text(FEWEST + f"[metrics.minimum.b]\nauc = {value}\n")
    with pytest.raises(ConfigurationError, match=r"metrics\.minimum\.b\.auc must be a number"):
        load_use_case(path)


def test_a_number_that_python_does_not_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "usecase.toml"
    path.write_text(FEWEST + f"[metrics.minimum.b]\nauc = {'9' * 5000}\n")
    with pytest.raises(ConfigurationError, match="is not valid TOML"):
        load_use_case(path)


def test_an_example_with_dates_is_a_request_in_json(path: Path) -> None:
    path.write_text(f"{FEWEST}[endpoint]\nexamples = [{{ day = 2025-06-02, at = [12:30:00, 2025-06-02T12:30:00Z] }}]")
    use_case = load_use_case(path)
    assert use_case.examples == ({"day": "2025-06-02", "at": ["12:30:00", "2025-06-02T12:30:00+00:00"]},)
    assert json.loads(use_case.example_request)["instances"] == list(use_case.examples)


@pytest.mark.parametrize("number", ["nan", "-inf"])
def test_an_example_with_a_number_that_json_has_not_is_refused(path: Path, number: str) -> None:
    path.write_text(f"{FEWEST}[endpoint]\nexamples = [{{ a = [{number}] }}]")
    with pytest.raises(ConfigurationError, match=f"endpoint.examples has the number {number}"):
        load_use_case(path)


IMAGE = "210987654321.dkr.ecr.eu-west-1.amazonaws.com/ours/tiny"


@pytest.mark.parametrize("key", ["training_image", "serving_image"])
@pytest.mark.parametrize(
    "address", [f"'{IMAGE}'", "'ours/tiny:7'", f"'https://{IMAGE}:7'", f"'{IMAGE}:7 '", "7", f"'{IMAGE}@sha256:12'"]
)
def test_an_image_of_one_s_own_is_an_address_in_ecr_with_a_tag(tmp_path: Path, key: str, address: str) -> None:
    path = tmp_path / "usecase.toml"
    path.write_text(f"{FEWEST}[model]\n{key} = '{IMAGE}:7'\n")
    assert getattr(load_use_case(path), key) == f"{IMAGE}:7"
    path.write_text(f"{FEWEST}[model]\n{key} = {address}\n")
    with pytest.raises(ConfigurationError, match=f"model.{key} must be the address of an image in ECR"):
        load_use_case(path)
