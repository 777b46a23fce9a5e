"""A user of a rehearsal is first an administrator, then has exactly these permissions; its calls are recorded."""

from __future__ import annotations

import pytest

from aws_simulator.fixture import Aws


def test_a_user_is_limited_to_a_policy_and_refusals_are_on_record(aws: Aws) -> None:
    keys = aws.control("administrator", name="ann")
    aws.client("s3", **keys).create_bucket(Bucket="first")
    statement = {"Effect": "Allow", "Action": "s3:ListBucket", "Resource": "*"}
    aws.control("user-policy", name="ann", policy={"Version": "2012-10-17", "Statement": [statement]})
    client = aws.client("s3", **keys)
    client.list_objects_v2(Bucket="first")
    with pytest.raises(client.exceptions.ClientError, match="AccessDenied"):
        client.delete_bucket(Bucket="first")
    refused = [entry for entry in aws.control("people") if not entry["allowed"]]
    assert [(entry["user"], entry["action"]) for entry in refused] == [("ann", "s3:DeleteBucket")]
