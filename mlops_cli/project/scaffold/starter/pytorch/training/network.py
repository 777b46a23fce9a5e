"""The network, for the training and the endpoint: two layers behind the table's columns."""

import torch

FEATURES, TARGET = ["months", "tickets", "price"], "left"


def network() -> torch.nn.Sequential:
    """Return a new network; its result is the logit of the chance that a customer leaves, for each row."""
    return torch.nn.Sequential(
        torch.nn.BatchNorm1d(len(FEATURES)),
        torch.nn.Linear(len(FEATURES), 16),
        torch.nn.ReLU(),
        torch.nn.Linear(16, 1),
        torch.nn.Flatten(0),
    )


def table(instances: list[dict[str, float]]) -> torch.Tensor:
    return torch.tensor([[float(instance[name]) for name in FEATURES] for instance in instances])
