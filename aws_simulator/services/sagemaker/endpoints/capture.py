"""Data capture: requests and responses as JSON lines in S3, written with the credentials of the model's role."""

from __future__ import annotations

import base64
import json
import random
import uuid
from collections.abc import Mapping
from typing import Any

from botocore.exceptions import ClientError

from aws_simulator.service import Request
from aws_simulator.services.sagemaker import storage
from aws_simulator.services.sagemaker.common import now
from aws_simulator.services.sagemaker.endpoints.endpoint import Endpoint
from aws_simulator.services.sagemaker.endpoints.fleet import Answer, Fleet
from aws_simulator.simulator import Simulator


class Capture:
    def __init__(self, simulator: Simulator) -> None:
        self._simulator = simulator

    def keep(self, endpoint: Endpoint, fleet: Fleet, request: Request, answer: Answer) -> None:
        """Write one invocation's file if it is in the sample. On AWS, several share a later file."""
        config = fleet.config.capture
        if not config or random.uniform(0, 100) >= config["InitialSamplingPercentage"]:
            return
        modes = {option["CaptureMode"] for option in config["CaptureOptions"]}
        captured = {}
        if modes & {"Input", "InputAndOutput"}:
            captured["endpointInput"] = _side(config, "INPUT", request.get("ContentType", ""), request["Body"])
        if modes & {"Output", "InputAndOutput"}:
            captured["endpointOutput"] = _side(config, "OUTPUT", answer.content_type, answer.body)
        moment = now()
        metadata = {"eventId": str(uuid.uuid4()), "inferenceTime": moment.strftime("%Y-%m-%dT%H:%M:%SZ")}
        line = json.dumps({"captureData": captured, "eventMetadata": metadata, "eventVersion": "0"})
        name = f"{moment:%Y/%m/%d/%H/%M-%S}-{moment.microsecond // 1000:03d}-{uuid.uuid4()}.jsonl"
        uri = f"{config['DestinationS3Uri'].rstrip('/')}/{endpoint.name}/{fleet.name}/{name}"
        self._simulator.background(self._write, fleet, uri, line, config.get("KmsKeyId", ""))

    def _write(self, fleet: Fleet, uri: str, line: str, kms_key: str) -> None:
        """Write the captured data. If the role may not write, only the data are lost, as on AWS."""
        bucket, key = storage.split(uri)
        s3 = self._simulator.client("s3", fleet.role)
        try:
            s3.put_object(Bucket=bucket, Key=key, Body=f"{line}\n".encode(), **storage.encryption(kms_key))
        except ClientError as error:
            if error.response["Error"]["Code"] != "AccessDenied":
                raise


def _side(config: Mapping[str, Any], mode: str, content_type: str, body: bytes) -> dict[str, str]:
    types = config.get("CaptureContentTypeHeader", {})
    kind = content_type.partition(";")[0]
    encoding, data = "BASE64", base64.b64encode(body).decode()
    for name, member in (("CSV", "CsvContentTypes"), ("JSON", "JsonContentTypes")):
        if kind in types.get(member, []):
            encoding, data = name, body.decode()
    return {"observedContentType": content_type, "mode": mode, "data": data, "encoding": encoding}
