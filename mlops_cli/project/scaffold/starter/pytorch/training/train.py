"""Trains a model on SM_CHANNEL_TRAIN; writes it to SM_MODEL_DIR and its metrics to SM_OUTPUT_DATA_DIR."""

import argparse
import os
from pathlib import Path

import torch
from network import FEATURES, TARGET, network, table
from safetensors.torch import save_file

from mlops_scripts import label_metrics, labels, pack_code, read_rows, write_metrics, write_predictions

parser = argparse.ArgumentParser()
parser.add_argument("--epochs", type=int, required=True)
parser.add_argument("--seed", type=int, required=True)
arguments = parser.parse_args()
torch.manual_seed(arguments.seed)


def read(split: str) -> tuple[list[dict[str, float]], list[int]]:
    """The rows of a split as the endpoint takes them, and the target."""
    rows = read_rows(split)
    return [{name: float(row[name]) for name in FEATURES} for row in rows], [int(row[TARGET]) for row in rows]


instances, target = read("train")
model, inputs, goal = network(), table(instances), torch.tensor(target, dtype=torch.float32)
optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
history = []
for epoch in range(1, arguments.epochs + 1):
    for batch in torch.randperm(len(inputs)).tensor_split(max(1, len(inputs) // 64)):
        loss = torch.nn.functional.binary_cross_entropy_with_logits(model(inputs[batch]), goal[batch])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    history.append({"epoch": epoch, "loss": loss.item()})
    print(f"progress {epoch}/{arguments.epochs} loss {loss.item():.4f}", flush=True)

model.eval()
tests, truth = read("test")
with torch.no_grad():
    chance = model(table(tests)).sigmoid().tolist()
write_metrics({TARGET: label_metrics(truth, chance)}, history=history)
write_predictions({TARGET: labels(truth, chance, threshold=0.5)}, tests, trained_on=instances)
save_file(model.state_dict(), Path(os.environ["SM_MODEL_DIR"], "model.safetensors"))
pack_code("network.py")
