from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from mlops_cli.core.jobs.script_environment import PassedVariables, inherited_environment
from mlops_cli.errors import ConfigurationError
from mlops_cli.project.environment import job_environment, job_environment_inputs
from mlops_cli.project.settings.catalog import COMMON_WORDS, SETTINGS
from mlops_cli.project.settings.dotenv_file import misspelled_names, misspelled_variables, repeated_names
from mlops_cli.project.settings.values import load_settings, resolve

ROOT = Path(__file__).resolve().parents[3]


def test_a_flag_beats_the_environment_beats_dotenv_beats_the_default() -> None:
    dotenv = {"STAGE": "from-file", "ENDPOINT_PORT": "1", "MLOPS_TARGET": "aws"}
    environ = {"MLOPS_STAGE": "from-environment", "MLOPS_TARGET": "aws"}
    settings = resolve({"MLOPS_TARGET": "local"}, environ, dotenv)
    origins = {name: settings.values[name].origin for name in ("MLOPS_TARGET", "STAGE", "ENDPOINT_PORT", "INSTANCE")}
    assert origins == {
        "MLOPS_TARGET": "option",
        "STAGE": "environment variable (MLOPS_STAGE)",
        "ENDPOINT_PORT": ".env",
        "INSTANCE": "default",
    }
    assert (settings.target, settings["STAGE"], settings["ENDPOINT_PORT"]) == (
        "local",
        "from-environment",
        "1",
    )


@pytest.mark.parametrize("name", COMMON_WORDS)
def test_a_name_that_ci_systems_set_is_read_from_the_environment_only_on_aws(name: str) -> None:
    environ = {name: "!not a value of mlops!", f"MLOPS_{name}": "s3"}
    assert resolve({}, {name: environ[name]}, {}).problems == []
    assert resolve({}, {}, {name: "s3"}).values[name].origin == ".env"
    assert resolve({"MLOPS_TARGET": "aws"}, {name: "s3"}, {}).values[name].origin == "environment variable"
    for target in ("local", "aws"):
        value = resolve({"MLOPS_TARGET": target}, environ, {name: "prod"}).values[name]
        assert (value.text, value.origin) == ("s3", f"environment variable (MLOPS_{name})")


def test_the_target_of_dotenv_decides_which_names_are_read() -> None:
    assert resolve({}, {"STAGE": "prod"}, {"MLOPS_TARGET": "aws"})["STAGE"] == "prod"
    assert resolve({"MLOPS_TARGET": "local"}, {"STAGE": "prod"}, {"MLOPS_TARGET": "aws"})["STAGE"] == "dev"


def test_both_names_of_the_region_are_read() -> None:
    assert resolve({}, {"AWS_DEFAULT_REGION": "eu-west-1"}, {})["AWS_REGION"] == "eu-west-1"
    both = resolve({}, {"AWS_DEFAULT_REGION": "eu-west-1", "AWS_REGION": "us-east-1"}, {})
    assert both["AWS_REGION"] == "us-east-1"


def test_the_seeds_settings_and_the_profiles_two_names_are_read() -> None:
    environ = {"AWS_DEFAULT_PROFILE": "work"}
    dotenv = {
        "BUCKET_NAME": "my-bucket",
        "STAGE": "prod",
        "REPOSITORY_NAME": "my-repo",
        "AWS_REGION": "eu-west-1",
        "INSTANCE": "ml.g5.xlarge",
    }
    settings = resolve({}, environ, dotenv)
    assert settings.problems == []
    assert {name: settings[name] for name in dotenv} == dotenv
    assert settings["AWS_PROFILE"] == "work"


@pytest.mark.parametrize(
    ("name", "good", "bad"),
    [
        ("SOURCE", "connection", "github"),
        ("BRANCH", "release/1.0", "two words"),
        ("CONNECTION_ARN", "arn:aws:codestar-connections:eu-west-1:123456789012:connection/1a-2b", "arn:aws:s3:::b"),
        ("FULL_REPOSITORY_ID", "me/my.repo", "my repo"),
        ("NOTIFICATION_EMAIL", "ann@example.org", "ann"),
        ("AWS_REGION", "eusc-de-east-1", "europe"),
        ("INSTANCE", "ml.c7i.12xlarge", "c7i.12xlarge"),
        ("BUCKET_NAME", "my.bucket-1", "My_Bucket"),
    ],
)
def test_each_aws_setting_is_checked(name: str, good: str, bad: str) -> None:
    assert resolve({name: good}, {}, {}).problems == []
    assert resolve({name: ""}, {}, {}).problems == [] or name == "SOURCE"
    (problem,) = resolve({name: bad}, {}, {}).problems
    assert problem.startswith(f"{name} is {bad!r} (from option)")


def test_aws_keys_in_dotenv_are_neither_used_nor_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".env").write_text("AWS_ACCESS_KEY_ID=AKIASECRET\nAWS_SECRET_ACCESS_KEY=verysecret\n")
    shown = str(load_settings(tmp_path / ".env", {}).to_dict())
    assert "AKIASECRET" not in shown
    assert "verysecret" not in shown
    assert "AWS_ACCESS_KEY_ID" not in os.environ


def test_a_tag_that_stands_twice_is_named() -> None:
    assert resolve({"RESOURCE_TAGS": "team=ml,teams=ml,env=a=b"}, {}, {}).problems == []
    for value in ("team=ml,env=a,team=web", "team=ml,Team=ml"):
        (problem,) = resolve({"RESOURCE_TAGS": value}, {}, {}).problems
        assert problem.endswith("(from option), the tag team occurs twice; write one value for it")


def test_all_problems_are_named_at_once() -> None:
    settings = resolve({}, {"MLOPS_TARGET": "azure", "ENDPOINT_PORT": "99999", "MLOPS_BUCKET_NAME": "No_Good"}, {})
    with pytest.raises(ConfigurationError) as caught:
        settings.validated()
    for word in ("azure", "99999", "No_Good", "environment"):
        assert word in caught.value.message


@pytest.mark.parametrize(
    ("name", "value"),
    [("ENDPOINT_PORT", "\u0668\u0660\u0668\u0660"), ("MAX_RUN_COST", "\uff15"), ("MAX_DOWNLOAD_GB", "\u0665")],
)
def test_digits_of_other_scripts_are_no_numbers(name: str, value: str) -> None:
    (problem,) = resolve({}, {name: value}, {}).problems
    assert name in problem


def test_the_defaults_have_no_problem() -> None:
    assert resolve({}, {}, {}).problems == []


def test_secrets_are_never_shown() -> None:
    settings = resolve({}, {"KAGGLE_KEY": "s3cr3t", "KAGGLE_API_TOKEN": "t0k3n"}, {})
    assert "s3cr3t" not in str(settings.to_dict())
    assert "t0k3n" not in str(settings.to_dict())
    assert settings.to_dict()["KAGGLE_KEY"]["value"] == "(set, not shown)"


def test_dotenv_is_read_without_interpolation(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("STAGE=prod\nKAGGLE_KEY='a${HOME}b'\n")
    settings = load_settings(tmp_path / ".env", {})
    assert settings["STAGE"] == "prod"
    assert settings["KAGGLE_KEY"] == "a${HOME}b"


def test_dotenv_that_is_not_text_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / ".env").write_bytes(b"STAGE=\xff\xfe\n")
    with pytest.raises(ConfigurationError, match=r"\.env is not UTF-8"):
        load_settings(tmp_path / ".env", {})


def test_dotenv_in_utf_16_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / ".env").write_bytes("STAGE=prod\n".encode("utf-16-le"))
    with pytest.raises(ConfigurationError, match="holds NUL characters; it may be UTF-16"):
        load_settings(tmp_path / ".env", {})


def test_a_line_in_another_encoding_is_named(tmp_path: Path) -> None:
    (tmp_path / ".env").write_bytes(b"STAGE=dev\nOWNER=Ren\xe9\n")
    with pytest.raises(ConfigurationError, match=r"\.env is not UTF-8 \(line 2\)\.$"):
        load_settings(tmp_path / ".env", {})


def test_a_misspelled_name_is_noticed(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("STGAE=prod\nENDPOINT_PROT=1\nDATABASE_URL=x\nOTHER_TOOL=1\nstage=prod\n")
    near = {"STGAE": "STAGE", "ENDPOINT_PROT": "ENDPOINT_PORT", "stage": "STAGE"}
    assert misspelled_names(tmp_path / ".env") == near


def test_a_misspelled_variable_is_noticed_but_none_of_a_step_on_aws() -> None:
    near = {"MLOPS_TARGT": "MLOPS_TARGET", "MLOPS_STGE": "MLOPS_STAGE", "MLOPS_ONWER": "MLOPS_OWNER"}
    scripts = [path.read_text() for path in (ROOT / "mlops_cli").rglob("*.py")]
    templates = [path.read_text() for path in (ROOT / "templates").glob("*.y*ml")]
    of_steps = set(re.findall(r"\bMLOPS_[A-Z_]+\b", "".join((*scripts, *templates))))
    assert len(of_steps) > 30
    assert misspelled_variables([*near, *of_steps, "STGE", "MLOPS_TARGET"]) == near


def test_a_name_with_several_values_is_noticed(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("STAGE=dev\nOWNER=me\nSTAGE='prod'\nOWNER=me\nexport SOURCE=s3\nSOURCE=\n")
    assert repeated_names(tmp_path / ".env") == ["STAGE"]
    assert load_settings(tmp_path / ".env", {})["STAGE"] == "prod"
    assert repeated_names(tmp_path / "no file") == []


def test_a_byte_order_mark_hides_no_setting(tmp_path: Path) -> None:
    (tmp_path / ".env").write_bytes(b"\xef\xbb\xbfSTAGE=prod\r\nSOURCE='s3'\r\n")
    settings = load_settings(tmp_path / ".env", {})
    assert (settings["STAGE"], settings["SOURCE"]) == ("prod", "s3")


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("STAGE: prod\n", 1),
        ('SOURCE=s3\n\n# a note\n\nSTAGE="prod\nBRANCH=main\n', 5),
        ("SOURCE=s3\r\nSTAGE='prod\r\n", 2),
        ("SOURCE=s3\nset STAGE prod\n", 2),
        ("- STAGE=prod\n", 1),
        ("=prod\n", 1),
        ("SOURCE=s3\nSTAGE\n", 2),
        ("export STAGE\n", 1),
    ],
)
def test_a_line_of_dotenv_that_cannot_be_read_is_named(tmp_path: Path, text: str, line: int) -> None:
    (tmp_path / ".env").write_text(text, newline="")
    with pytest.raises(ConfigurationError, match=rf"\.env, line {line}, is not of the form NAME=VALUE"):
        load_settings(tmp_path / ".env", {})


def test_jobs_get_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    secret = (
        "AWS_SECRET_ACCESS_KEY",
        "AWS_SESSION_TOKEN",
        "KAGGLE_KEY",
        "KAGGLE_API_TOKEN",
        "DB_PASSWORD",
        "API_KEY",
    )
    for name in secret:
        monkeypatch.setenv(name, "s3cr3t")
    environment = job_environment({"SM_MODEL_DIR": "/m"}, Path("/training"), PassedVariables())
    assert "s3cr3t" not in environment.values()
    assert environment["SM_MODEL_DIR"] == "/m"


def test_scripts_get_a_short_list_of_variables_and_those_of_usecase_toml(monkeypatch: pytest.MonkeyPatch) -> None:
    unlisted = ("HARMLESS", "PYTHONOPTIMIZE", "PYTHONSAFEPATH", "PYTHONWARNINGS", "PYTHONPATH", "SM_X", "PYTEST_X")
    for name in (*unlisted, "LC_TIME", "OMP_NUM_THREADS", "NAMED", "NAMED_KEY"):
        monkeypatch.setenv(name, "given")
    plain = job_environment({}, Path("/training"), PassedVariables())
    assert {name for name, value in plain.items() if value == "given"} == {"LC_TIME", "OMP_NUM_THREADS"}
    assert plain["PYTHONPATH"].endswith(":/training")
    more = job_environment(
        {}, Path("/training"), PassedVariables(("NAMED", "NAMED_KEY", "PYTHONPATH", "UNSET"), {"MODE": "a"})
    )
    assert more.keys() - plain.keys() == {"NAMED", "NAMED_KEY", "MODE"}
    assert more["PYTHONPATH"].endswith(":/training:given")


def test_folders_of_shared_code_are_on_the_path_of_scripts() -> None:
    passed = PassedVariables(code=(Path("/project/src"), Path("/project/lib")))
    assert job_environment({}, Path("/training"), passed)["PYTHONPATH"].endswith(":/training:/project/src:/project/lib")


def test_a_variable_counts_by_its_digest_if_it_can_change_a_result(monkeypatch: pytest.MonkeyPatch) -> None:
    passed = PassedVariables(("NAMED",), {"MODE": "a"})
    monkeypatch.setenv("NAMED", "s3cr3t")
    before = job_environment_inputs(passed)
    assert {"variable NAMED", "variable MODE"} <= before.keys()
    assert all(len(value) == 64 for value in before.values())
    monkeypatch.setenv("PATH", "/elsewhere")
    monkeypatch.setenv("HARMLESS", "1")
    assert job_environment_inputs(passed) == before
    for name in ("NAMED", "TZ", "LANG", "OMP_NUM_THREADS"):
        monkeypatch.setenv(name, "another")
        after = job_environment_inputs(passed)
        assert after != before
        before = after


def test_every_setting_is_explained_in_the_example_file() -> None:
    text = (ROOT / ".env.example").read_text()
    missing = [setting.name for setting in SETTINGS if f"{setting.name}=" not in text]
    assert missing == []
    unknown = [
        line.split("=")[0].lstrip("# ") for line in text.splitlines() if "=" in line and not line.startswith("# ")
    ]
    names = {setting.name for setting in SETTINGS}
    assert [name for name in unknown if name not in names] == []


def test_a_folder_in_the_place_of_dotenv_is_named(tmp_path: Path) -> None:
    (tmp_path / ".env").mkdir()
    with pytest.raises(ConfigurationError, match="is a folder"):
        load_settings(tmp_path / ".env", {})


LOOPBACK = "127.0.0.1,localhost,::1"


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, LOOPBACK),
        ({"HTTP_PROXY": "http://proxy:3128"}, LOOPBACK),
        ({"NO_PROXY": "intern.example,10.0.0.0/8"}, f"intern.example,10.0.0.0/8,{LOOPBACK}"),
        ({"no_proxy": "intern.example, "}, f"intern.example,{LOOPBACK}"),
        ({"no_proxy": "a", "NO_PROXY": "b"}, f"a,{LOOPBACK}"),
        ({"NO_PROXY": "*"}, "*"),
    ],
)
def test_a_script_reaches_this_machine_and_the_users_own_hosts_without_a_proxy(
    given: dict[str, str], expected: str
) -> None:
    environment = inherited_environment(given)
    assert {environment["NO_PROXY"], environment["no_proxy"]} == {expected}
    assert environment.get("HTTP_PROXY") == given.get("HTTP_PROXY")
