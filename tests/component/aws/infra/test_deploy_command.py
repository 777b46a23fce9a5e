"""deploy-infra and download-data in the terminal: output, questions, errors."""

from __future__ import annotations

import os
import pty
import re

from tests.component.aws.conftest import Scenario
from tests.component.aws.infra.test_deploy import PIPELINE, rows
from tests.conftest import Cli


def test_the_command_shows_account_region_and_plan_and_asks(scenario: Scenario) -> None:
    cli = scenario.cli()
    _, err = cli.both("deploy-infra", code=2)
    assert "there is no terminal" in err
    assert "--yes" in err
    assert scenario.stacks() == {}
    out = cli("deploy-infra", "--dry-run")
    first = out.splitlines()[0]
    assert first == "account 123456789012, region us-east-1, credentials from env, as arn:aws:iam::123456789012:root"
    assert "AWS::S3::Bucket Bucket" in out
    assert "dry run: nothing was changed" in out
    assert scenario.stacks() == {}
    out = cli("deploy-infra", "--yes")
    assert f"{PIPELINE}  CREATE_COMPLETE" in out
    assert out.splitlines()[-2:] == ["done", "next: mlops run"]
    document = cli.json("deploy-infra", "--yes")
    assert document["changed"] is False
    assert document["place"] == first
    assert {change["action"] for change in document["plan"]} == {"keep"}


def test_the_commands_error_is_the_first_cause_and_the_next_step(scenario: Scenario) -> None:
    scenario.aws.client("s3").create_bucket(
        Bucket="far-away", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"}
    )
    _, err = scenario.cli(BUCKET_NAME="far-away").both("deploy-infra", "--yes", code=1)
    assert err == (
        "error: The bucket far-away is in eu-west-1, but everything else would be created in us-east-1.\n"
        "hint: mlops --region eu-west-1 deploy-infra, or set another BUCKET_NAME.\n"
    )


def test_a_missing_permission_is_named(scenario: Scenario) -> None:
    iam = scenario.aws.client("iam")
    iam.create_user(UserName="eve")
    key = iam.create_access_key(UserName="eve")["AccessKey"]
    cli = scenario.cli(AWS_ACCESS_KEY_ID=key["AccessKeyId"], AWS_SECRET_ACCESS_KEY=key["SecretAccessKey"])
    _, err = cli.both("deploy-infra", "--yes", code=1)
    assert "may not cloudformation:DescribeStacks" in err
    assert "Get the permission cloudformation:DescribeStacks" in err


def test_expired_and_wrong_credentials_are_distinguished_from_missing_ones(scenario: Scenario) -> None:
    _, err = scenario.cli(AWS_ACCESS_KEY_ID="AKIANOBODY", AWS_SECRET_ACCESS_KEY="x").both(
        "deploy-infra", "--yes", code=1
    )
    assert "does not accept your credentials" in err
    cli = scenario.cli()
    cli.environment = {**cli.environment, "AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""}
    _, err = cli.both("deploy-infra", "--yes", code=2)
    assert "There are no AWS credentials" in err


def test_data_are_sent_by_the_command(scenario: Scenario) -> None:
    rows(scenario, 9)
    cli = scenario.cli()
    out = cli("download-data", "--source", "tiny.csv")
    assert "account 123456789012, region us-east-1" in out
    assert "upload:" in out
    assert out.splitlines()[-1] == "next: mlops deploy-infra"
    assert cli.json("download-data", "--source", "tiny.csv")["changed"] is False


def test_on_a_terminal_it_asks_and_draws_a_tree(scenario: Scenario) -> None:
    output = typed(scenario.cli(TERM="xterm", CI=""), "n\n")
    assert "Make these changes? [y/N]" in output
    assert "Nothing was changed" in output
    assert scenario.stacks() == {}
    output = typed(scenario.cli(TERM="xterm", CI=""), "y\n")
    assert re.search(r"── ✓ Pipeline AWS::CodePipeline::Pipeline CREATE_COMPLETE", plain(output)), output
    assert scenario.stacks()[PIPELINE] == "CREATE_COMPLETE"


def typed(cli: Cli, answer: str) -> str:
    """Return the output of deploy-infra on a terminal with this answer."""
    leader, follower = pty.openpty()
    written = b""
    with cli.start("deploy-infra", stdin=follower, stdout=follower, stderr=follower):
        os.close(follower)
        os.write(leader, answer.encode())
        while block := read(leader):
            written += block
    os.close(leader)
    return written.decode()


def read(descriptor: int) -> bytes:
    try:
        return os.read(descriptor, 65536)
    except OSError:  # the other side has closed the terminal
        return b""


def plain(text: str) -> str:
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text)
