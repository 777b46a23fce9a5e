"""Logs in CloudWatch, read from a client in memory that answers as CloudWatch does: page by page."""

from __future__ import annotations

from typing import Any

from mlops_cli.backends.aws.clients.logs import Logs
from mlops_cli.backends.aws.errors import AwsError

GROUP = "/aws/sagemaker/TrainingJobs"


class CloudWatch:
    """Two events a page; the token of the last page comes back when nothing is new."""

    def __init__(self, **streams: list[str]) -> None:
        self.streams = streams

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
        start = int(nextToken) if startFromHead else max(0, len(lines) - limit)
        result = lines[start : start + limit]
        return {"events": [{"message": line} for line in result], "nextForwardToken": str(start + len(result))}


def logs(**streams: list[str]) -> tuple[Logs, CloudWatch]:
    client = CloudWatch(**streams)
    double: Any = client
    return Logs(double), client


def test_all_lines_of_all_machines_of_a_job_and_of_no_other() -> None:
    log_reader, _ = logs(job_2=["c"], job_1=["a", "b", "a2"], other=["x"])
    assert log_reader.new_lines(f"{GROUP}:job") == ["a", "b", "a2", "c"]


def test_asked_again_only_what_is_new() -> None:
    log_reader, client = logs(job=["a", "b", "c"])
    assert log_reader.new_lines(f"{GROUP}:job") == ["a", "b", "c"]
    assert log_reader.new_lines(f"{GROUP}:job") == []
    client.streams["job"] += ["d"]
    client.streams["job_2"] = ["e"]
    assert log_reader.new_lines(f"{GROUP}:job") == ["d", "e"]


def test_the_last_lines_that_say_something() -> None:
    log_reader, _ = logs(job=["a", "b", "", "c\n", "two\nlines"])
    assert log_reader.tail(f"{GROUP}:job", 4) == ["c", "two", "lines"]
    assert log_reader.tail(f"{GROUP}:job", 2) == ["two", "lines"], "a tail is not what is new"


def test_what_was_never_logged_is_no_line() -> None:
    log_reader, _ = logs()
    assert log_reader.new_lines("") == log_reader.new_lines("/no/group:x") == log_reader.tail("", 3) == []
