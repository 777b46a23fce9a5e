"""Between the client and the model: {"instances": ["a text"]} to {"predictions": [{"billing": 0.93, ...}]}."""

import json
from typing import Any

import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer


def model_fn(model_dir: str) -> Any:
    return AutoModelForSequenceClassification.from_pretrained(model_dir), AutoTokenizer.from_pretrained(model_dir)


def input_fn(body: str | bytes, content_type: str) -> list[str]:
    return [str(instance) for instance in json.loads(body)["instances"]]


def predict_fn(texts: list[str], model: Any) -> list[dict[str, float]]:
    network, tokenizer = model
    encoded = tokenizer(texts, padding=True, truncation=True, max_length=64, return_tensors="pt")
    with torch.no_grad():
        chances = network(encoded["input_ids"], attention_mask=encoded["attention_mask"]).logits.softmax(1)
    return [{network.config.id2label[number]: chance for number, chance in enumerate(row)} for row in chances.tolist()]


def output_fn(predictions: list[dict[str, float]], accept: str) -> tuple[str, str]:
    return json.dumps({"predictions": predictions}), "application/json"
