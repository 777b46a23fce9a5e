import json
import os
import urllib.request

FLAT = {"district": "hill", "area": 70, "rooms": 3, "built": 1990}


def rents(*flats):
    body = json.dumps({"instances": flats}).encode()
    request = urllib.request.Request(os.environ["MLOPS_ENDPOINT_URL"], body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request) as answer:
        served = answer.headers["X-Amzn-SageMaker-Custom-Attributes"]
        assert served == f"model-digest={os.environ['MLOPS_MODEL_DIGEST']}", f"live is {served}"
        return [prediction["rent"] for prediction in json.load(answer)["predictions"]]


def test_a_larger_flat_costs_more():
    small, large = rents({**FLAT, "area": 40}, {**FLAT, "area": 110})
    assert small + 100 < large, f"40 m² cost {small}, 110 m² {large}"


def test_the_centre_costs_more_than_the_works():
    centre, works = rents({**FLAT, "district": "centre"}, {**FLAT, "district": "works"})
    assert works < centre, f"the works cost {works}, the centre {centre}"
