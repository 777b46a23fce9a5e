import json


def input_handler(data, context):
    return data.read()


def output_handler(response, context):
    predictions = [{"rent": round(row[0], 2)} for row in json.loads(response.content)["predictions"]]
    return json.dumps({"predictions": predictions}), "application/json"
