"""Trains a transformer on SM_CHANNEL_TRAIN; writes it to SM_MODEL_DIR and its metrics to SM_OUTPUT_DATA_DIR."""

import argparse
import os

import torch
from tokenizer import tokenizer_of
from transformers import DistilBertConfig, DistilBertForSequenceClassification

from mlops_scripts import class_metrics, classes, pack_code, read_rows, write_metrics, write_predictions

parser = argparse.ArgumentParser()
parser.add_argument("--epochs", type=int, required=True)
parser.add_argument("--seed", type=int, required=True)
arguments = parser.parse_args()
torch.manual_seed(arguments.seed)

train, test = read_rows("train"), read_rows("test")
names = sorted({row["topic"] for row in train})
tokenizer = tokenizer_of([row["text"] for row in train])
config = DistilBertConfig(
    vocab_size=len(tokenizer),
    dim=32,
    hidden_dim=64,
    n_heads=2,
    n_layers=1,
    max_position_embeddings=64,
    id2label=dict(enumerate(names)),
    label2id={name: number for number, name in enumerate(names)},
)
device = "cuda" if torch.cuda.is_available() else "cpu"
model = DistilBertForSequenceClassification(config).to(device)


def tokens(texts: list[str]) -> dict[str, torch.Tensor]:
    encoded = tokenizer(texts, padding=True, truncation=True, max_length=64, return_tensors="pt")
    return {name: encoded[name].to(device) for name in ("input_ids", "attention_mask")}


optimizer = torch.optim.AdamW(model.parameters(), lr=0.005)
history = []
for epoch in range(1, arguments.epochs + 1):
    model.train()
    for batch in torch.randperm(len(train)).split(64):
        rows = [train[number] for number in batch]
        topics = torch.tensor([names.index(row["topic"]) for row in rows], device=device)
        loss = model(**tokens([row["text"] for row in rows]), labels=topics).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    history.append({"epoch": epoch, "loss": loss.item()})
    print(f"progress {epoch}/{arguments.epochs} loss {loss.item():.4f}", flush=True)

model.eval()
texts, truth = [row["text"] for row in test], [row["topic"] for row in test]
with torch.no_grad():
    chances = model(**tokens(texts)).logits.softmax(1).cpu()
write_metrics(**class_metrics(truth, [names[number] for number in chances.argmax(1)], names), history=history)
columns = classes(truth, dict(zip(names, chances.T.tolist(), strict=True)))
write_predictions(columns, texts, trained_on=[row["text"] for row in train], one_of=True)
model.save_pretrained(os.environ["SM_MODEL_DIR"])
tokenizer.save_pretrained(os.environ["SM_MODEL_DIR"])
pack_code()
