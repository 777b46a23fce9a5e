from __future__ import annotations

import socket
import sys

import pytest

from mlops_cli.core.progress import no_report
from mlops_cli.data.dataset import download
from mlops_cli.errors import MlopsError
from mlops_cli.packaging.install_hint import install_command


def failure(request_for, tmp_path, capfd) -> MlopsError:
    with pytest.raises(MlopsError) as caught:
        download(request_for("kaggle"), tmp_path / "data", no_report)
    assert capfd.readouterr() == ("", "")
    assert "s3cret" not in caught.value.message + caught.value.hint
    assert not (tmp_path / "data" / "dataset.csv").exists()
    return caught.value


def test_takes_the_training_file_out_of_nested_archives(kaggle, request_for, tmp_path, csv_bytes, zipped, capfd):
    inner = {name: zipped({name: csv_bytes(3)}) for name in ("test.csv", "sample_submission.csv")}
    inner["train.csv"] = zipped({"train.csv": csv_bytes(40)})
    kaggle.archive = zipped({f"{name}.zip": content for name, content in inner.items()})
    dataset, new = download(request_for("kaggle"), tmp_path / "data", no_report)
    assert (dataset.rows, new, dataset.source, dataset.synthetic) == (40, True, "kaggle toxic", False)
    assert capfd.readouterr() == ("", "")
    assert sorted(path.name for path in (tmp_path / "data").iterdir()) == ["dataset.csv", "dataset.json"]


def test_the_same_data_is_not_downloaded_again(kaggle, request_for, tmp_path, csv_bytes, zipped):
    kaggle.archive = zipped({"train.csv": csv_bytes()})
    first, _ = download(request_for("kaggle"), tmp_path, no_report)
    assert download(request_for("kaggle"), tmp_path, no_report) == (first, False)
    assert kaggle.downloads == 2  # the library opens the archive's address before we do


def test_a_broken_connection_is_resumed(kaggle, request_for, tmp_path, csv_bytes, zipped):
    kaggle.archive = zipped({"train.csv": csv_bytes(5000)})
    kaggle.close_after = [100, 1000]
    assert download(request_for("kaggle"), tmp_path, no_report)[0].rows == 5000


@pytest.mark.parametrize(
    ("status", "words", "hint"),
    [
        (401, "does not accept", "https://www.kaggle.com/settings/api"),
        (403, "rules of the competition toxic", "https://www.kaggle.com/competitions/toxic/rules"),
        (404, "no competition toxic", "usecase.toml"),
        (429, "no more requests", "wait"),
        (500, "HTTP 500", "later"),
    ],
)
def test_an_error_of_kaggle_is_named(kaggle, request_for, tmp_path, capfd, status, words, hint):
    kaggle.status = status
    error = failure(request_for, tmp_path, capfd)
    assert words in error.message
    assert hint in error.hint


def test_an_unknown_token_is_not_called_a_missing_one(kaggle, request_for, tmp_path, capfd):
    kaggle.token_known = False
    assert "the token in KAGGLE_API_TOKEN (401)" in failure(request_for, tmp_path, capfd).message


def test_a_wrong_user_name_and_key(kaggle, request_for, tmp_path, capfd, monkeypatch):
    monkeypatch.delenv("KAGGLE_API_TOKEN")
    monkeypatch.setenv("KAGGLE_USERNAME", "someone")
    monkeypatch.setenv("KAGGLE_KEY", "s3cret-key")
    kaggle.status = 401
    assert "401" in failure(request_for, tmp_path, capfd).message


def test_no_credentials(kaggle, request_for, tmp_path, capfd, monkeypatch):
    monkeypatch.delenv("KAGGLE_API_TOKEN")
    error = failure(request_for, tmp_path, capfd)
    assert "needs credentials" in error.message
    assert "KAGGLE_API_TOKEN" in error.hint


def test_no_network(kaggle, request_for, tmp_path, capfd, monkeypatch):
    from kagglesdk import kaggle_env

    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        endpoint = f"http://127.0.0.1:{unused.getsockname()[1]}"
        monkeypatch.setitem(kaggle_env._env_to_endpoint, kaggle_env.KaggleEnv.PROD, endpoint)
        error = failure(request_for, tmp_path, capfd)
    assert "cannot be reached: the connection was refused" in error.message
    assert "network" in error.hint


def test_a_server_name_that_does_not_resolve(kaggle, request_for, tmp_path, capfd, monkeypatch):
    from kagglesdk import kaggle_env

    def unresolved(*_: object, **__: object) -> None:
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setitem(kaggle_env._env_to_endpoint, kaggle_env.KaggleEnv.PROD, "http://api.kaggle.invalid")
    monkeypatch.setattr(socket, "getaddrinfo", unresolved)
    assert "could not be resolved" in failure(request_for, tmp_path, capfd).message


def test_a_server_that_does_not_answer(kaggle, request_for, tmp_path, capfd, monkeypatch):
    from kagglesdk import kaggle_env

    monkeypatch.setattr("mlops_cli.data.sources.kaggle_client.READ_SECONDS", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent_server:
        endpoint = f"http://127.0.0.1:{silent_server.getsockname()[1]}"
        monkeypatch.setitem(kaggle_env._env_to_endpoint, kaggle_env.KaggleEnv.PROD, endpoint)
        assert "did not answer" in failure(request_for, tmp_path, capfd).message


def test_the_package_is_not_installed(kaggle_home, request_for, tmp_path, capfd, monkeypatch):
    for name in [name for name in sys.modules if name.partition(".")[0] == "kaggle"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "kaggle", None)
    error = failure(request_for, tmp_path, capfd)
    assert "not installed" in error.message
    assert error.hint.startswith(install_command("kaggle"))
