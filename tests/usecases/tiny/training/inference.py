import json


def input_handler(data, context):
    return data.read()


def output_handler(response, context):
    rows = json.loads(response.content)["predictions"]
    answer = {"predictions": [{"long": row[0] if isinstance(row, list) else row} for row in rows]}
    return json.dumps(answer), "application/json"
