"""Step Functions runs SageMaker jobs: it waits for them, stops them, and reports why they failed."""

from __future__ import annotations

import json
from typing import Any

import pytest
from botocore.exceptions import ClientError

from aws_simulator.accounts import eventually, grant, reasons, role, stack, user
from aws_simulator.fixture import Aws
from aws_simulator.tests.sagemaker.job_account import Jobs

ARN = "arn:aws:sagemaker:us-east-1:123456789012:"
DEFINITION = {
    "QueryLanguage": "JSONata",
    "StartAt": "Kind",
    "States": {
        "Kind": {
            "Type": "Choice",
            "Choices": [
                {"Condition": "{% $states.input.kind = 'training' %}", "Next": "Training"},
                {"Condition": "{% $states.input.kind = 'processing' %}", "Next": "Processing"},
            ],
            "Default": "Reuse",
        },
        "Training": {
            "Type": "Task",
            "Resource": "arn:aws:states:::sagemaker:createTrainingJob.sync",
            "Arguments": "{% $states.input.request %}",
            "End": True,
        },
        "Processing": {
            "Type": "Task",
            "Resource": "arn:aws:states:::sagemaker:createProcessingJob.sync",
            "Arguments": "{% $states.input.request %}",
            "End": True,
        },
        "Reuse": {"Type": "Succeed"},
    },
}
JOBS = {
    "Action": [
        *("sagemaker:CreateTrainingJob", "sagemaker:DescribeTrainingJob", "sagemaker:StopTrainingJob"),
        *("sagemaker:CreateProcessingJob", "sagemaker:DescribeProcessingJob", "sagemaker:StopProcessingJob"),
    ],
    "Resource": [f"{ARN}training-job/*", f"{ARN}processing-job/*"],
}
TAGS = {"Action": ["sagemaker:AddTags", "sagemaker:ListTags"], "Resource": JOBS["Resource"]}
RULES = {
    "Action": ["events:PutTargets", "events:PutRule", "events:DescribeRule"],
    "Resource": [
        f"arn:aws:events:us-east-1:123456789012:rule/StepFunctionsGetEventsForSageMaker{kind}JobsRule"
        for kind in ("Training", "Processing")
    ],
}


def passing(arn: str) -> dict[str, Any]:
    condition = {"StringEquals": {"iam:PassedToService": "sagemaker.amazonaws.com"}}
    return {"Action": "iam:PassRole", "Resource": arn, "Condition": condition}


class Machine:
    def __init__(self, aws: Aws) -> None:
        self.aws = aws
        self.jobs = Jobs(aws)
        self.statements = [JOBS, TAGS, RULES, passing(self.jobs.role)]
        self.role = role(aws, "machine", "states.amazonaws.com", *self.statements)
        self.states = aws.client("stepfunctions")
        machine = self.states.create_state_machine(name="m", roleArn=self.role, definition=json.dumps(DEFINITION))
        self.arn = machine["stateMachineArn"]

    def start(self, kind: str, request: dict[str, Any] | None = None) -> str:
        execution_input = json.dumps({"kind": kind, "request": request})
        return str(self.states.start_execution(stateMachineArn=self.arn, input=execution_input)["executionArn"])

    def ended(self, execution: str) -> dict[str, Any]:
        def look() -> dict[str, Any] | None:
            description: dict[str, Any] = self.states.describe_execution(executionArn=execution)
            return description if description["status"] != "RUNNING" else None

        return dict(eventually(look))

    def lacking(self, *statements: dict[str, Any]) -> None:
        grant(self.aws, "machine", *(each for each in self.statements if each not in statements))


@pytest.fixture
def machine(aws: Aws) -> Machine:
    return Machine(aws)


def test_a_job_is_started_waited_for_and_described(aws: Aws, machine: Machine) -> None:
    script = "import os\nopen(os.environ['SM_MODEL_DIR'] + '/m', 'w').write('m')"
    request = machine.jobs.training("t1", script, hyperparameters={"epochs": "2"})
    request["Tags"] = [{"Key": "mlops:project", "Value": "x"}]
    execution = machine.ended(machine.start("training", request))
    assert execution["status"] == "SUCCEEDED", execution
    output = json.loads(execution["output"])
    assert (output["TrainingJobName"], output["TrainingJobStatus"]) == ("t1", "Completed")
    assert output["ModelArtifacts"]["S3ModelArtifacts"].endswith("/t1/output/model.tar.gz")
    assert isinstance(output["CreationTime"], int)
    tags = machine.jobs.sagemaker.list_tags(ResourceArn=f"{ARN}training-job/t1")["Tags"]
    assert tags == [*request["Tags"], {"Key": "MANAGED_BY_AWS", "Value": "STARTED_BY_STEP_FUNCTIONS"}]
    execution = machine.ended(machine.start("processing", machine.jobs.processing("p1", "true")))
    assert json.loads(execution["output"])["ProcessingJobStatus"] == "Completed"
    assert machine.ended(machine.start("reuse"))["status"] == "SUCCEEDED"
    assert aws.denials() == []
    unused = {entry["action"] for entry in aws.unused_permissions() if entry["role"] == "machine"}
    assert unused == {"sagemaker:StopTrainingJob", "sagemaker:StopProcessingJob"}


def test_a_failed_job_fails_the_execution_with_its_reason(machine: Machine) -> None:
    request = machine.jobs.training("t2", "raise ValueError('there are no rows')")
    execution = machine.ended(machine.start("training", request))
    assert (execution["status"], execution["error"]) == ("FAILED", "States.TaskFailed")
    cause = json.loads(execution["cause"])
    assert cause["TrainingJobStatus"] == "Failed"
    assert "there are no rows" in cause["FailureReason"]
    events = machine.states.get_execution_history(executionArn=execution["executionArn"])["events"]
    assert [event["type"] for event in events][-2:] == ["TaskFailed", "ExecutionFailed"]
    scheduled = next(event for event in events if event["type"] == "TaskScheduled")["taskScheduledEventDetails"]
    assert json.loads(scheduled.pop("parameters"))["TrainingJobName"] == "t2"
    resource = {"resourceType": "sagemaker", "resource": "createTrainingJob.sync"}
    assert scheduled == {**resource, "region": "us-east-1"}
    assert events[-2]["taskFailedEventDetails"].items() >= resource.items()
    execution = machine.ended(machine.start("processing", machine.jobs.processing("p2", "false")))
    assert "AlgorithmError" in json.loads(execution["cause"])["FailureReason"]


def test_a_request_that_sagemaker_refuses_fails_in_its_words(aws: Aws, machine: Machine) -> None:
    request = machine.jobs.training("t3", "pass")
    request["ResourceConfig"]["InstanceType"] = "ml.none.large"
    execution = machine.ended(machine.start("training", request))
    assert execution["error"] == "SageMaker.AmazonSageMakerException"
    assert "ml.none.large" in execution["cause"]
    assert (
        "(Service: AmazonSageMaker; Status Code: 400; Error Code: ValidationException; Request ID:"
        in execution["cause"]
    )
    aws.control("sagemaker-quota", quota="ml.m5.xlarge for training job usage", limit=0)
    execution = machine.ended(machine.start("training", machine.jobs.training("t3", "pass")))
    assert execution["error"] == "SageMaker.ResourceLimitExceededException"


@pytest.mark.parametrize("kind", ["training", "processing"])
def test_stopping_the_execution_stops_the_job(machine: Machine, kind: str) -> None:
    jobs = machine.jobs
    if kind == "training":
        request = jobs.training("long", "import time\ntime.sleep(60)")
    else:
        request = jobs.processing("long", "sleep", "60")
    execution = machine.start(kind, request)
    if kind == "training":
        eventually(lambda: jobs.sagemaker.list_training_jobs(StatusEquals="InProgress")["TrainingJobSummaries"])
        jobs.trained("long", "Training")
    else:
        eventually(lambda: jobs.sagemaker.list_processing_jobs(StatusEquals="InProgress")["ProcessingJobSummaries"])
    machine.states.stop_execution(executionArn=execution, error="Stopped", cause="by a person")
    if kind == "training":
        assert jobs.trained("long")["TrainingJobStatus"] == "Stopped"
    else:
        assert jobs.processed("long")["ProcessingJobStatus"] == "Stopped"
    description = machine.states.describe_execution(executionArn=execution)
    assert (description["status"], description["cause"]) == ("ABORTED", "by a person")
    events = machine.states.get_execution_history(executionArn=execution)["events"]
    assert events[-1]["type"] == "ExecutionAborted"


def test_a_job_that_another_caller_stops_fails_the_execution(machine: Machine) -> None:
    execution = machine.start("training", machine.jobs.training("t4", "import time\ntime.sleep(60)"))
    eventually(lambda: machine.jobs.sagemaker.list_training_jobs()["TrainingJobSummaries"])
    machine.jobs.sagemaker.stop_training_job(TrainingJobName="t4")
    ended = machine.ended(execution)
    assert ended["status"] == "FAILED"
    assert json.loads(ended["cause"])["TrainingJobStatus"] == "Stopped"


@pytest.mark.parametrize(
    ("statement", "lacking"),
    [(JOBS, "sagemaker:CreateTrainingJob"), (TAGS, "sagemaker:AddTags"), (None, "iam:PassRole")],
)
def test_a_missing_permission_of_the_machines_role_fails_the_task(
    aws: Aws, machine: Machine, statement: dict[str, Any] | None, lacking: str
) -> None:
    machine.lacking(statement or passing(machine.jobs.role))
    execution = machine.ended(machine.start("training", machine.jobs.training("t5", "pass")))
    assert execution["error"] == "SageMaker.AmazonSageMakerException"
    assert lacking in execution["cause"]
    assert {"role": "machine", "action": lacking}.items() <= aws.denials()[0].items()


def test_a_machine_needs_a_role_that_may_have_its_rules(aws: Aws, machine: Machine) -> None:
    machine.lacking(RULES)
    definition = json.dumps(DEFINITION)
    with pytest.raises(ClientError, match="is not authorized to create managed-rule"):
        machine.states.create_state_machine(name="n", roleArn=machine.role, definition=definition)
    with pytest.raises(ClientError, match="managed-rule"):
        machine.states.update_state_machine(stateMachineArn=machine.arn, roleArn=machine.role)
    neighbour = role(aws, "other", "lambda.amazonaws.com")
    with pytest.raises(ClientError, match="is authorized to assume the provided role"):
        machine.states.create_state_machine(name="n", roleArn=neighbour, definition=definition)
    maker = user(aws, "maker", {"Action": "states:*", "Resource": "*"})
    with pytest.raises(ClientError, match="iam:PassRole"):
        aws.client("stepfunctions", **maker).create_state_machine(name="n", roleArn=machine.role, definition=definition)
    resource = {
        "Type": "AWS::StepFunctions::StateMachine",
        "Properties": {"StateMachineName": "s", "RoleArn": machine.role, "Definition": DEFINITION},
    }
    assert stack(aws, "s", {"Machine": resource}) == "ROLLBACK_COMPLETE"
    assert "is not authorized to create managed-rule" in reasons(aws, "s")[0]


def test_retries_do_not_take_as_long_as_they_say(aws: Aws, machine: Machine) -> None:
    aws.control("states-scale", scale=0.001)
    retry = [{"ErrorEquals": ["SageMaker.AmazonSageMakerException"], "IntervalSeconds": 60, "MaxAttempts": 2}]
    states = {**DEFINITION["States"], "Training": {**DEFINITION["States"]["Training"], "Retry": retry}}
    definition = json.dumps({**DEFINITION, "States": states})
    machine.states.update_state_machine(stateMachineArn=machine.arn, definition=definition)
    execution = machine.ended(machine.start("training", {"TrainingJobName": "x"}))
    events = machine.states.get_execution_history(executionArn=execution["executionArn"])["events"]
    assert [event["type"] for event in events].count("TaskFailed") == 3
