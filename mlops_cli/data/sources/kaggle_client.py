"""The files of a Kaggle competition or dataset, with the ``kaggle`` package; each kind of failure has a message."""

from __future__ import annotations

import contextlib
import io
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from mlops_cli.core.progress import Report
from mlops_cli.data.sources.http.client import CONNECT_SECONDS, READ_SECONDS
from mlops_cli.data.sources.http.download import MOST_BYTES, Download
from mlops_cli.data.sources.http.urls import Remote
from mlops_cli.errors import MlopsError
from mlops_cli.packaging.install_hint import install_command

if TYPE_CHECKING:
    import requests

_T = TypeVar("_T")
# The package has no types.
_KaggleApi = Any
_LISTED_FILES = 200
_SETTINGS = "https://www.kaggle.com/settings/api"
_CREDENTIALS_HINT = f"create a token at {_SETTINGS} and put it in KAGGLE_API_TOKEN or ~/.kaggle/access_token"


def download(reference: str, folder: Path, report: Report, most: int = MOST_BYTES) -> Path:
    """Return the archive of a competition, or of a dataset OWNER/NAME.

    Raise MlopsError for errors of Kaggle, the network or the credentials.
    """
    # The library prints help, warnings and (with -v) headers with the token, which must not reach our stdout.
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()), _time_limit():
        api = _authenticated(reference)
        response, remote = _translate_errors(api, reference)
    if remote is None:
        return _save(response, reference, folder, report, most)
    response.close()
    return Download(remote, folder, report, most).run()


def list_files(reference: str, seconds: float) -> list[list[Any]]:
    """Return the name, size and time of each file, with one request. Raise MlopsError."""
    try:
        from kagglesdk.kaggle_http_client import KaggleHttpClient
    except ImportError:
        raise MlopsError("Kaggle needs the kaggle package, which is not installed", install_command("kaggle")) from None
    # The package's client reads a token itself. It reads these only when it authenticates with another request.
    username, key = os.environ.get("KAGGLE_USERNAME"), os.environ.get("KAGGLE_KEY")
    with _time_limit(seconds), KaggleHttpClient(username=username, password=key) as client:
        files = _guarded(reference, lambda: _list(client, reference))
    return sorted([file.name, file.total_bytes, str(file.creation_date)] for file in files)


def is_dataset(reference: str) -> bool:
    """Return True for OWNER/DATASET. A competition's name has one part."""
    return "/" in reference


def subject(reference: str) -> str:
    return f"the Kaggle {'dataset' if is_dataset(reference) else 'competition'} {reference}"


def _list(client: Any, reference: str) -> list[Any]:
    if is_dataset(reference):
        from kagglesdk.datasets.services.dataset_api_service import DatasetApiClient
        from kagglesdk.datasets.types.dataset_api_service import ApiListDatasetFilesRequest

        of_dataset = ApiListDatasetFilesRequest()
        of_dataset.owner_slug, of_dataset.dataset_slug = reference.split("/", 1)
        of_dataset.page_size = _LISTED_FILES
        return list(DatasetApiClient(client).list_dataset_files(of_dataset).dataset_files or [])
    from kagglesdk.competitions.services.competition_api_service import CompetitionApiClient
    from kagglesdk.competitions.types.competition_api_service import ApiListDataFilesRequest

    of_competition = ApiListDataFilesRequest()
    of_competition.competition_name, of_competition.page_size = reference, _LISTED_FILES
    return list(CompetitionApiClient(client).list_data_files(of_competition).files or [])


def _api() -> type[_KaggleApi]:
    """Return the library's client class. Its import authenticates once, so the caller only has to silence it."""
    try:
        from kaggle.api.kaggle_api_extended import KaggleApi
    except ImportError as error:
        missing = error.name or "kaggle"
        raise MlopsError(
            "Kaggle needs the kaggle package, which is not installed"
            if missing.startswith("kaggle")
            else f"the kaggle package cannot be used: {missing} is not installed",
            f"{install_command('kaggle')} (it needs Python 3.11 or newer), or download the file by hand and "
            "name it: mlops download-data --source PATH",
        ) from None
    client: type[_KaggleApi] = KaggleApi
    return client


def _authenticated(reference: str) -> _KaggleApi:
    api = _guarded(reference, _api)()
    try:
        _guarded(reference, api.authenticate)
    except SystemExit:
        raise _no_credentials() from None
    return api


def _no_credentials() -> MlopsError:
    """Return the error for a missing or invalid token: the library exits in the same way for both."""
    from kagglesdk.kaggle_env import get_access_token_from_env

    token, location = get_access_token_from_env()
    if token:
        name = location if location.isupper() else "~/.kaggle/access_token"
        return _wrong_token(f"the token in {name}")
    return MlopsError("Kaggle needs credentials and there are none", _CREDENTIALS_HINT)


def _wrong_token(which: str) -> MlopsError:
    return MlopsError(f"Kaggle does not accept {which} (401)", f"create a new one at {_SETTINGS}")


def _translate_errors(api: _KaggleApi, reference: str) -> tuple[requests.Response, Remote | None]:
    """Return Kaggle's response, and the address of its redirect if it has one."""

    def ask() -> requests.Response:
        with api.build_kaggle_client() as client:
            answer: requests.Response = _ask(client, reference)
            return answer

    response = _guarded(reference, ask)
    if response.request.method != "GET":
        return response, None
    kept = {name: str(value) for name, value in response.request.headers.items() if name.lower() == "authorization"}
    return response, Remote(response.url, subject(reference), kept)


def _ask(client: Any, reference: str) -> Any:
    if is_dataset(reference):
        from kagglesdk.datasets.types.dataset_api_service import ApiDownloadDatasetRequest

        of_dataset = ApiDownloadDatasetRequest()
        of_dataset.owner_slug, of_dataset.dataset_slug = reference.split("/", 1)
        return client.datasets.dataset_api_client.download_dataset(of_dataset)
    from kagglesdk.competitions.types.competition_api_service import ApiDownloadDataFilesRequest

    of_competition = ApiDownloadDataFilesRequest()
    of_competition.competition_name = reference
    return client.competitions.competition_api_client.download_data_files(of_competition)


def _save(response: requests.Response, reference: str, folder: Path, report: Report, most: int) -> Path:
    """Save a response that is the archive itself. Such a download cannot be resumed."""
    from urllib3.exceptions import HTTPError

    folder.mkdir(parents=True, exist_ok=True)
    name = subject(reference)
    length = response.headers.get("Content-Length", "")
    total = int(length) if length.isdecimal() else None
    done = 0
    try:
        with response, (folder / "content").open("wb") as out:
            for chunk in response.raw.stream(1 << 18, decode_content=False):
                out.write(chunk)
                done += len(chunk)
                if done > most:
                    raise MlopsError(
                        f"{name} is refused: it has more than {most:,} bytes",
                        "if that is right, allow more: MAX_DOWNLOAD_GB=100 mlops download-data",
                    )
                report("download", done, total, "B")
    except HTTPError as error:
        raise _network_problem(error) from None
    if total is not None and done != total:
        raise MlopsError(f"the download of {name} stopped after {done:,} bytes", "repeat the command")
    return folder / "content"


def _guarded(reference: str, call: Callable[[], _T]) -> _T:
    """Call a function. Raise MlopsError instead of the exceptions of the library's HTTP client."""
    try:
        import requests
    except ImportError:  # then the kaggle package is missing, too, because it requires this one
        return call()
    try:
        return call()
    except requests.HTTPError as error:
        status = error.response.status_code if error.response is not None else 0
        raise _http_problem(reference, status) from None
    except requests.Timeout:
        raise MlopsError(
            f"Kaggle did not answer within {READ_SECONDS:.0f} seconds", "check the network, then repeat the command"
        ) from None
    except requests.RequestException as error:
        raise _network_problem(error) from None


def _http_problem(reference: str, status: int) -> MlopsError:
    if is_dataset(reference) and status in (403, 404):
        return MlopsError(
            f"Kaggle has no dataset {reference} for you ({status})",
            f"check its address, https://www.kaggle.com/datasets/{reference}, and whether it is private",
        )
    page = f"https://www.kaggle.com/competitions/{reference}"
    if status == 401:
        return _wrong_token("your token")
    if status == 403:
        return MlopsError(
            f"Kaggle refuses the data (403): the rules of the competition {reference} are not accepted yet",
            f"log in, accept them at {page}/rules, then repeat the command",
        )
    if status == 404:
        return MlopsError(f"Kaggle knows no competition {reference} (404)", "check [data] competition in usecase.toml")
    if status == 429:
        return MlopsError("Kaggle allows no more requests for now (429)", "wait a while, then repeat the command")
    return MlopsError(f"Kaggle answered with HTTP {status}", "repeat the command later")


def _network_problem(error: Exception) -> MlopsError:
    text = repr(error)
    if "NameResolution" in text or "getaddrinfo" in text:
        reason = "the name api.kaggle.com could not be resolved"
    elif "SSL" in text:
        reason = "its certificate could not be verified"
    elif "refused" in text:
        reason = "the connection was refused"
    else:
        reason = "the connection failed"
    return MlopsError(
        f"Kaggle cannot be reached: {reason}",
        "check the network, then repeat the command",
    )


@contextlib.contextmanager
def _time_limit(seconds: float | None = None) -> Iterator[None]:
    """Add a timeout to every request of the library, which sets none."""
    limits = (seconds or CONNECT_SECONDS, seconds or READ_SECONDS)
    try:
        from requests import Session
    except ImportError:
        yield
        return
    original = Session.send

    def send(self: Session, request: requests.PreparedRequest, **settings: Any) -> requests.Response:
        settings["timeout"] = settings.get("timeout") or limits
        return original(self, request, **settings)

    Session.send = send  # type: ignore[method-assign]
    try:
        yield
    finally:
        Session.send = original  # type: ignore[method-assign]
