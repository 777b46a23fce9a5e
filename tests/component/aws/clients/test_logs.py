"""Logs in CloudWatch, read from a client in memory that returns pages as CloudWatch does."""

from __future__ import annotations

from typing import Any

import pytest

from mlops_cli.backends.aws.clients.logs import Logs
from mlops_cli.backends.aws.errors import AwsError

GROUP = "/aws/sagemaker/TrainingJobs"


class CloudWatch:
    """Returns two events a page. The last page's token returns if nothing is new.

    ``is_sparse``: backwards, every other page is empty, and each further page has one event.
    """

    def __init__(self, **streams: list[str]) -> None:
        self.streams = streams
        self.is_sparse = False

    def pages(self, operation: str, items: str, logGroupName: str, logStreamNamePrefix: str) -> Any:
        assert (operation, items) == ("describe_log_streams", "logStreams")
        if logGroupName != GROUP:
            raise AwsError("no group", "", "ResourceNotFoundException")
        names = [name for name in self.streams if name.startswith(logStreamNamePrefix)]
        yield from ({"logStreamName": name} for name in names)

    def get_log_events(
        self, logGroupName: str, logStreamName: str, startFromHead: bool, nextToken: str = "0", limit: int = 2
    ) -> dict[str, Any]:
        lines = self.streams[logStreamName]
        if not startFromHead:
            return self._backwards(lines, nextToken, limit)
        start = int(nextToken)
        result = lines[start : start + limit]
        return {"events": [{"message": line} for line in result], "nextForwardToken": str(start + len(result))}

    def _backwards(self, lines: list[str], token: str, limit: int) -> dict[str, Any]:
        """Return the page before the token: the number of its end, and b after an empty page or at the beginning."""
        end, state, _ = (f"{len(lines)}" if token == "0" else token).partition("b")
        if self.is_sparse and not state:
            return {"events": [], "nextBackwardToken": f"{end}b"}
        start = max(0, int(end) - (1 if self.is_sparse else limit))
        token = f"{start}b" if start == 0 else str(start)
        return {"events": [{"message": line} for line in lines[start : int(end)]], "nextBackwardToken": token}


def logs(**streams: list[str]) -> tuple[Logs, CloudWatch]:
    client = CloudWatch(**streams)
    double: Any = client
    return Logs(double), client


def test_all_lines_of_all_machines_of_a_job_and_of_no_other() -> None:
    log_reader, _ = logs(job_2=["c"], job_1=["a", "b", "a2"], other=["x"])
    assert log_reader.new_lines(f"{GROUP}:job") == ["a", "b", "a2", "c"]


def test_a_second_read_returns_only_new_lines() -> None:
    log_reader, client = logs(job=["a", "b", "c"])
    assert log_reader.new_lines(f"{GROUP}:job") == ["a", "b", "c"]
    assert log_reader.new_lines(f"{GROUP}:job") == []
    client.streams["job"] += ["d"]
    client.streams["job_2"] = ["e"]
    assert log_reader.new_lines(f"{GROUP}:job") == ["d", "e"]


def test_the_last_lines_are_without_empty_lines() -> None:
    log_reader, _ = logs(job=["a", "b", "", "c\n", "two\nlines"])
    assert log_reader.tail(f"{GROUP}:job", 4) == ["c", "two", "lines"]
    assert log_reader.tail(f"{GROUP}:job", 2) == ["two", "lines"], "a tail is not what is new"


@pytest.mark.parametrize("count", [1, 2, 3, 9])
def test_the_last_lines_come_from_as_many_pages_as_it_takes(count: int) -> None:
    log_reader, client = logs(job=["a", "b", "c"])
    client.is_sparse = True
    assert log_reader.tail(f"{GROUP}:job", count) == ["a", "b", "c"][-count:]


def test_a_missing_log_stream_has_no_lines() -> None:
    log_reader, _ = logs()
    assert log_reader.new_lines("") == log_reader.new_lines("/no/group:x") == log_reader.tail("", 3) == []
