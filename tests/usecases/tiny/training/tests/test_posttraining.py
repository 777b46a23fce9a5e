import json
import os
import urllib.request

from hold import hold


def test_the_endpoint_serves_what_was_approved() -> None:
    hold("post-training-tests")
    body = json.dumps({"instances": ["one", "three"]}).encode()
    request = urllib.request.Request(os.environ["MLOPS_ENDPOINT_URL"], body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request) as answer:
        predictions = json.load(answer)["predictions"]
        served = answer.headers["X-Amzn-SageMaker-Custom-Attributes"]
    assert [prediction["long"] for prediction in predictions] == [3.0, 5.0], f"unexpected predictions: {predictions}"
    approved = os.environ["MLOPS_MODEL_DIGEST"]
    assert served == f"model-digest={approved}", f"live is {served}, approved is {approved}"
