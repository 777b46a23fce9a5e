"""Endpoints: the real model behind SageMaker's states, errors, updates and rollbacks."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from botocore.exceptions import ClientError

from aws_simulator.accounts import eventually, grant, user
from aws_simulator.fixture import Aws
from aws_simulator.tests.sagemaker.endpoint_account import ALARMS, BUCKET, CAPTURE, ENOUGH, READ, Models
from aws_simulator.tests.sagemaker.endpoint_account import _pack as pack
from aws_simulator.tests.sagemaker.job_account import LOGS, PULL

pytestmark = pytest.mark.slow
BAKED = {
    "BlueGreenUpdatePolicy": {
        "TrafficRoutingConfiguration": {"Type": "ALL_AT_ONCE", "WaitIntervalInSeconds": 0},
        "TerminationWaitInSeconds": 300,
    },
    "AutoRollbackConfiguration": {"Alarms": [{"AlarmName": "errors"}]},
}


@pytest.fixture
def models(aws: Aws, tiny_model: Path, tmp_path: Path) -> Models:
    return Models(aws, tiny_model, tmp_path)


def make_alarm(aws: Aws, name: str = "errors", endpoint: str = "e", config: str = "") -> None:
    fleet = [{"Name": "EndpointConfigName", "Value": config}] if config else []
    variant = [{"Name": "EndpointName", "Value": endpoint}, {"Name": "VariantName", "Value": "AllTraffic"}]
    aws.client("cloudwatch").put_metric_alarm(
        AlarmName=name,
        Namespace="AWS/SageMaker",
        MetricName="Invocation5XXErrors",
        Dimensions=[*variant, *fleet],
        Statistic="Sum",
        Period=60,
        EvaluationPeriods=1,
        Threshold=1,
        ComparisonOperator="GreaterThanOrEqualToThreshold",
    )


def test_the_real_model_answers_and_is_described_down_to_its_package(aws: Aws, models: Models) -> None:
    package = models.register()
    models.model("m1", package)
    models.config("c1", "m1")
    models.sagemaker.create_endpoint(EndpointName="e", EndpointConfigName="c1")
    assert models.sagemaker.describe_endpoint(EndpointName="e")["EndpointStatus"] == "Creating"
    endpoint = models.settled("e")
    assert endpoint["EndpointStatus"] == "InService", endpoint
    assert models.ask("e", "one", "three") == [3.0, 5.0]
    (variant,) = endpoint["ProductionVariants"]
    assert (variant["VariantName"], variant["CurrentInstanceCount"]) == ("AllTraffic", 1)
    (config,) = models.sagemaker.describe_endpoint_config(EndpointConfigName="c1")["ProductionVariants"]
    model = models.sagemaker.describe_model(ModelName=config["ModelName"])
    assert model["PrimaryContainer"]["ModelPackageName"] == package
    assert model["ExecutionRoleArn"] == models.role
    group = "/aws/sagemaker/Endpoints/e"
    streams = eventually(lambda: aws.client("logs").describe_log_streams(logGroupName=group)["logStreams"])
    assert streams[0]["logStreamName"].startswith("AllTraffic/i-")
    models.sagemaker.delete_endpoint(EndpointName="e")
    eventually(lambda: models.sagemaker.list_endpoints()["Endpoints"] == [])
    with pytest.raises(ClientError, match=r"ValidationException.*Could not find endpoint"):
        models.sagemaker.describe_endpoint(EndpointName="e")
    assert aws.denials() == []
    assert aws.unused_permissions() == []


def test_only_an_approved_package_with_its_data_in_place_becomes_a_model(aws: Aws, models: Models) -> None:
    for status in ("PendingManualApproval", "Rejected"):
        with pytest.raises(ClientError, match=rf"approval status is {status}, not Approved"):
            models.model("m", models.register(status))
    with pytest.raises(ClientError, match=r"ModelPackage .*ours/99 does not exist"):
        models.model("m", "arn:aws:sagemaker:us-east-1:123456789012:model-package/ours/99")
    with pytest.raises(ClientError, match=r"Could not (find|access) model data at s3://models/models/none.tar.gz"):
        models.model("m", models.register(url=f"s3://{BUCKET}/models/none.tar.gz"))
    grant(aws, "model", LOGS)
    with pytest.raises(ClientError, match=r'Could not access model data .*"s3:GetObject" permissions'):
        models.model("m")
    model = "arn:aws:sagemaker:us-east-1:123456789012:model/*"
    maker = aws.client("sagemaker", **user(aws, "maker", {"Action": "sagemaker:CreateModel", "Resource": model}))
    container = {"ModelPackageName": models.register()}
    with pytest.raises(ClientError, match=r"sagemaker:CreateModel on resource: .*model-package/ours/"):
        maker.create_model(ModelName="m", PrimaryContainer=container, ExecutionRoleArn=models.role)


def test_a_failed_creation_has_a_reason(aws: Aws, models: Models, tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    (broken / "code").mkdir(parents=True)
    (broken / "code" / "inference.py").write_text("")
    pack(broken, tmp_path / "broken.tar.gz")
    url = models.put("models/broken.tar.gz", (tmp_path / "broken.tar.gz").read_bytes())
    models.model("broken", models.register(url=url))
    models.config("broken", "broken")
    failed = models.endpoint("broken", "broken")
    assert failed["EndpointStatus"] == "Failed"
    assert "AllTraffic did not pass the ping health check" in failed["FailureReason"]
    with pytest.raises(ClientError, match="can only be deleted"):
        models.sagemaker.update_endpoint(EndpointName="broken", EndpointConfigName="broken")
    models.config("good")
    grant(aws, "model", LOGS, PULL)
    assert "does not have BatchGetImage" in models.endpoint("unpulled", "good")["FailureReason"]
    grant(aws, "model", *(statement for statement in ENOUGH if statement is not READ))
    assert "Failed to download model data" in models.endpoint("unread", "good")["FailureReason"]
    aws.control("sagemaker-quota", quota="ml.m5.large for endpoint usage", limit=0)
    with pytest.raises(ClientError, match="ResourceLimitExceeded"):
        models.sagemaker.create_endpoint(EndpointName="more", EndpointConfigName="good")


def test_an_update_changes_the_model_and_answers_all_the_while(aws: Aws, models: Models) -> None:
    models.config("c1")
    models.config("c2")
    models.endpoint("e", "c1")
    models.sagemaker.update_endpoint(EndpointName="e", EndpointConfigName="c2")
    pending = models.sagemaker.describe_endpoint(EndpointName="e")
    assert (pending["EndpointStatus"], pending["EndpointConfigName"]) == ("Updating", "c1")
    assert pending["PendingDeploymentSummary"]["EndpointConfigName"] == "c2"
    with pytest.raises(ClientError, match="Cannot update in-progress endpoint"):
        models.sagemaker.update_endpoint(EndpointName="e", EndpointConfigName="c2")
    requests = 0
    while models.sagemaker.describe_endpoint(EndpointName="e")["EndpointStatus"] == "Updating":
        assert models.ask("e", "four") == [4.0]
        requests += 1
    assert requests > 3
    endpoint = models.settled("e")
    assert endpoint["EndpointConfigName"] == "c2"
    assert "PendingDeploymentSummary" not in endpoint


def test_an_alarm_rolls_an_update_back(aws: Aws, models: Models) -> None:
    models.config("c1")
    models.config("c2")
    models.endpoint("e", "c1")
    with pytest.raises(ClientError, match="cloudwatch:DescribeAlarms"):
        models.sagemaker.update_endpoint(EndpointName="e", EndpointConfigName="c2", DeploymentConfig=BAKED)
    grant(aws, "model", *ENOUGH, ALARMS)
    with pytest.raises(ClientError, match="alarm errors of AutoRollbackConfiguration does not exist"):
        models.sagemaker.update_endpoint(EndpointName="e", EndpointConfigName="c2", DeploymentConfig=BAKED)
    make_alarm(aws)
    aws.control("sagemaker-fire", endpoint="e")
    aws.control("sagemaker-pace", seconds=0.3)
    models.sagemaker.update_endpoint(EndpointName="e", EndpointConfigName="c2", DeploymentConfig=BAKED)
    looks = [models.sagemaker.describe_endpoint(EndpointName="e")]
    while looks[-1]["EndpointStatus"] != "InService":
        looks.append(models.sagemaker.describe_endpoint(EndpointName="e"))
    assert list(dict.fromkeys(look["EndpointStatus"] for look in looks)) == ["Updating", "RollingBack", "InService"]
    endpoint = looks[-1]
    assert endpoint["EndpointConfigName"] == "c1"
    assert "rolled back: One or more alarms" in endpoint["FailureReason"]
    assert models.ask("e", "four") == [4.0]
    aws.control("alarm", alarm="errors", state="OK")
    models.sagemaker.update_endpoint(EndpointName="e", EndpointConfigName="c2", DeploymentConfig=BAKED)
    endpoint = models.settled("e")
    assert endpoint["EndpointConfigName"] == "c2"
    assert endpoint["LastDeploymentConfig"] == BAKED
    assert "FailureReason" not in endpoint


@pytest.mark.parametrize(("config", "expected"), [("", "c1"), ("c2", "c2")], ids=["both fleets", "the new fleet"])
def test_errors_of_the_old_fleet_end_an_update_unless_its_alarm_watches_the_new_one(
    aws: Aws, models: Models, config: str, expected: str
) -> None:
    grant(aws, "model", *ENOUGH, ALARMS)
    models.config("c1")
    models.config("c2")
    models.endpoint("e", "c1")
    make_alarm(aws, config=config)
    aws.control("sagemaker-pace", invocation=0)
    with pytest.raises(ClientError, match="timed out"):
        models.ask("e", "x")
    models.sagemaker.update_endpoint(EndpointName="e", EndpointConfigName="c2", DeploymentConfig=BAKED)
    assert models.settled("e")["EndpointConfigName"] == expected


def test_without_a_baking_time_the_alarm_is_ignored(aws: Aws, models: Models) -> None:
    grant(aws, "model", *ENOUGH, ALARMS)
    models.config("c1")
    models.config("c2")
    models.endpoint("e", "c1")
    make_alarm(aws)
    aws.control("sagemaker-fire", endpoint="e")
    policy = {**BAKED["BlueGreenUpdatePolicy"], "TerminationWaitInSeconds": 0}
    policy["TrafficRoutingConfiguration"] = {"Type": "ALL_AT_ONCE", "WaitIntervalInSeconds": 300}
    unwatched = {**BAKED, "BlueGreenUpdatePolicy": policy}
    models.sagemaker.update_endpoint(EndpointName="e", EndpointConfigName="c2", DeploymentConfig=unwatched)
    assert models.settled("e")["EndpointConfigName"] == "c2"


def test_an_update_to_a_broken_model_rolls_back(models: Models, tmp_path: Path) -> None:
    models.config("c1")
    models.endpoint("e", "c1")
    url = models.put("models/nothing.tar.gz", "no archive")
    models.model("bad", models.register(url=url))
    models.config("c2", "bad")
    models.sagemaker.update_endpoint(EndpointName="e", EndpointConfigName="c2")
    endpoint = models.settled("e")
    assert (endpoint["EndpointStatus"], endpoint["EndpointConfigName"]) == ("InService", "c1")
    assert "ping health check" in endpoint["FailureReason"]
    assert models.ask("e", "four") == [4.0]


def test_the_models_errors_are_model_errors_and_the_runtimes_its_own(aws: Aws, models: Models) -> None:
    models.config("c1")
    models.endpoint("e", "c1")
    runtime = aws.client("sagemaker-runtime")
    with pytest.raises(ClientError, match="ModelError") as refused:
        runtime.invoke_endpoint(EndpointName="e", Body=b"no json", ContentType="application/json")
    response = refused.value.response
    assert response["ResponseMetadata"]["HTTPStatusCode"] == 424
    assert response["OriginalStatusCode"] == 400
    assert "Received client error (400) from primary with message" in response["Error"]["Message"]
    assert response["LogStreamArn"].endswith("/aws/sagemaker/Endpoints/e")
    with pytest.raises(ClientError, match=r"ValidationError.*Endpoint none of account 123456789012 not found"):
        runtime.invoke_endpoint(EndpointName="none", Body=b"{}")
    with pytest.raises(ClientError, match="Variant Other"):
        runtime.invoke_endpoint(EndpointName="e", Body=b"{}", TargetVariant="Other")
    with pytest.raises(ClientError, match=r"ValidationError.*less than or equal to 6291456"):
        runtime.invoke_endpoint(EndpointName="e", Body=b"x" * 6_291_457)
    aws.control("sagemaker-pace", invocation=0)
    with pytest.raises(ClientError, match=r"ModelError.*timed out") as late:
        models.ask("e", "x")
    assert late.value.response["OriginalStatusCode"] == 0
    ours = "arn:aws:sagemaker:us-east-1:123456789012:endpoint/ours"
    stranger = user(aws, "stranger", {"Action": "sagemaker:InvokeEndpoint", "Resource": ours})
    with pytest.raises(ClientError, match=r"sagemaker:InvokeEndpoint on resource: .*endpoint/e"):
        aws.client("sagemaker-runtime", **stranger).invoke_endpoint(EndpointName="e", Body=b"{}")


def test_a_response_has_only_the_containers_headers(aws: Aws, models: Models) -> None:
    """The container knows no digest. Clients must not depend on the header that the local endpoint adds."""
    models.config("c1")
    models.endpoint("e", "c1")
    request = {"EndpointName": "e", "ContentType": "application/json", "Body": b'{"instances": ["x"]}'}
    answer = aws.client("sagemaker-runtime").invoke_endpoint(**request)
    assert answer["ContentType"] == "application/json"
    assert answer["InvokedProductionVariant"] == "AllTraffic"
    assert "CustomAttributes" not in answer


def test_invocations_are_counted_and_an_alarm_sees_the_errors_of_its_endpoint_only(aws: Aws, models: Models) -> None:
    import datetime

    models.config("c1")
    models.endpoint("e", "c1")
    make_alarm(aws)
    make_alarm(aws, "others", "other")
    models.ask("e", "x")
    cloudwatch = aws.client("cloudwatch")
    moment = datetime.datetime.now(datetime.timezone.utc)
    hour = datetime.timedelta(hours=1)
    (point,) = cloudwatch.get_metric_statistics(
        Namespace="AWS/SageMaker",
        MetricName="Invocations",
        Dimensions=[{"Name": "EndpointName", "Value": "e"}, {"Name": "VariantName", "Value": "AllTraffic"}],
        StartTime=moment - hour,
        EndTime=moment + hour,
        Period=86400,
        Statistics=["Sum"],
    )["Datapoints"]
    assert point["Sum"] == 1.0
    aws.control("sagemaker-pace", invocation=0)
    with pytest.raises(ClientError, match="timed out"):
        models.ask("e", "x")
    states = {alarm["AlarmName"]: alarm["StateValue"] for alarm in cloudwatch.describe_alarms()["MetricAlarms"]}
    assert states == {"errors": "ALARM", "others": "INSUFFICIENT_DATA"}


def test_captured_requests_lie_in_the_bucket(aws: Aws, models: Models) -> None:
    grant(aws, "model", *ENOUGH, CAPTURE)
    capture = {
        "EnableCapture": True,
        "InitialSamplingPercentage": 100,
        "DestinationS3Uri": f"s3://{BUCKET}/captured",
        "CaptureOptions": [{"CaptureMode": "Input"}, {"CaptureMode": "Output"}],
        "CaptureContentTypeHeader": {"JsonContentTypes": ["application/json"]},
    }
    models.config("c1", DataCaptureConfig=capture)
    endpoint = models.endpoint("e", "c1")
    assert endpoint["DataCaptureConfig"]["CaptureStatus"] == "Started"
    models.ask("e", "one")
    prefix = "captured/e/AllTraffic/"
    (entry,) = eventually(lambda: models.s3.list_objects_v2(Bucket=BUCKET, Prefix=prefix).get("Contents"))
    line = json.loads(models.s3.get_object(Bucket=BUCKET, Key=entry["Key"])["Body"].read())
    assert json.loads(line["captureData"]["endpointInput"]["data"]) == {"instances": ["one"]}
    assert json.loads(line["captureData"]["endpointOutput"]["data"]) == {"predictions": [{"long": 3.0}]}
    assert line["captureData"]["endpointInput"]["encoding"] == "JSON"


def test_a_serverless_variant_answers_and_has_serverless_restrictions(models: Models) -> None:
    serverless = {"ServerlessConfig": {"MemorySizeInMB": 2048, "MaxConcurrency": 5}}
    models.config("c1", variant=serverless)
    (variant,) = models.endpoint("e", "c1")["ProductionVariants"]
    assert variant["CurrentServerlessConfig"]["MemorySizeInMB"] == 2048
    assert "CurrentInstanceCount" not in variant
    assert models.ask("e", "x") == [1.0]
    models.model("isolated", EnableNetworkIsolation=True)
    with pytest.raises(ClientError, match="Network isolation is not supported for serverless"):
        models.config("c2", "isolated", variant=serverless)
    with pytest.raises(ClientError, match="InstanceType and InitialInstanceCount are required"):
        models.config("c3", variant={})
