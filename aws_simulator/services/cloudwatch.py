"""CloudWatch: alarms that a test can set, evaluated on their own dimensions, with the role of their creator."""

from __future__ import annotations

import operator
import time
from typing import Any

from ministack.core.responses import get_account_id, get_region
from ministack.services import cloudwatch

from aws_simulator.permissions.roles import Caller
from aws_simulator.resources import Resource, guard_resource_type
from aws_simulator.simulator import Simulator

FORCED: set[str] = set()
COMPARISONS = {
    "GreaterThanOrEqualToThreshold": operator.ge,
    "GreaterThanThreshold": operator.gt,
    "LessThanThreshold": operator.lt,
    "LessThanOrEqualToThreshold": operator.le,
}


class Alarms:
    """The alarms in the account and region of the present request."""

    def state(self, name: str, caller: Caller) -> str:
        """Return OK, ALARM or INSUFFICIENT_DATA; empty for an unknown alarm. Raise unless ``caller`` may read it."""
        caller.require("cloudwatch:DescribeAlarms", alarm_arn(name))
        alarm = cloudwatch._alarms.get(name)
        return str(alarm["StateValue"]) if alarm else ""

    def force(self, name: str, state: str, reason: str = "forced by a test") -> None:
        """Set the state and keep it, whatever the metrics, until it is set again or released ("")."""
        if not state:
            FORCED.discard(name)
            return
        assert name in cloudwatch._alarms, f"there is no alarm {name}"
        FORCED.add(name)
        _move(name, state, reason)


def alarm_arn(name: str) -> str:
    return f"arn:aws:cloudwatch:{get_region()}:{get_account_id()}:alarm:{name}"


def record(metric: str, value: float, unit: str, **dimensions: str) -> None:
    """Record one data point of AWS/SageMaker, and evaluate its alarms at once."""
    cloudwatch.record_metric("AWS/SageMaker", metric, value, unit, dimensions)
    for alarm in list(cloudwatch._alarms.values()):
        if alarm.get("MetricName") == metric:
            evaluate(alarm)


def evaluate(alarm: dict[str, Any]) -> None:
    """Evaluate an alarm; ministack itself uses the points of all dimensions. Missing data changes nothing."""
    dimensions = cloudwatch._dims_key(cloudwatch._dims_from_list(alarm.get("Dimensions", [])))
    span = alarm.get("Period", 60) * alarm.get("EvaluationPeriods", 1)
    every = cloudwatch._metrics.get((alarm.get("Namespace"), alarm.get("MetricName"), dimensions)) or []
    points = [point for point in every if point["Timestamp"] >= time.time() - span]
    if alarm["AlarmName"] in FORCED or not points:
        return
    statistic = alarm.get("ExtendedStatistic") or alarm.get("Statistic", "Average")
    value = cloudwatch._stat_value(cloudwatch._calc_stats(points), statistic, points)
    comparison, threshold = alarm["ComparisonOperator"], alarm.get("Threshold", 0)
    state = "ALARM" if COMPARISONS[comparison](value, threshold) else "OK"
    if state != alarm["StateValue"]:
        _move(alarm["AlarmName"], state, f"Threshold Crossed: {statistic} {value} {comparison} {threshold}")


def _move(name: str, state: str, reason: str) -> None:
    fields = {"AlarmName": name, "StateValue": state, "StateReason": reason}
    cloudwatch._set_alarm_state({}, fields, False, True)


def _needed(*actions: str) -> Any:
    def needed(resource: Resource) -> list[tuple[str, str]]:
        name = resource.physical_id or resource.properties.get("AlarmName") or resource.generated_name(255)
        tagged = resource.properties.get("Tags") and "cloudwatch:PutMetricAlarm" in actions
        return [(action, alarm_arn(name)) for action in (*actions, *(["cloudwatch:TagResource"] if tagged else []))]

    return needed


def register(simulator: Simulator) -> None:
    cloudwatch._evaluate_alarm = evaluate
    alarms = Alarms()
    simulator.on_reset(FORCED.clear)
    simulator.add_control("alarm", lambda body: alarms.force(body["alarm"], body.get("state", "ALARM")))
    putting = _needed("cloudwatch:PutMetricAlarm", "cloudwatch:DescribeAlarms")
    deleting = _needed("cloudwatch:DeleteAlarms", "cloudwatch:DescribeAlarms")
    guard_resource_type("AWS::CloudWatch::Alarm", create=putting, update=putting, delete=deleting)
