"""The preconditions of `drift`, with the same messages on every target."""

from __future__ import annotations

from mlops_cli.core.endpoint import Endpoint, EndpointState
from mlops_cli.core.jobs.script_environment import LIBRARY
from mlops_cli.errors import EXIT_STAGE_FAILED, EXIT_USAGE, MlopsError, NoEndpointError
from mlops_cli.monitoring.statistics import FILE, Reference, parse_references

TURN_ON = "set sample = 0.1 under [endpoint] in usecase.toml, then mlops run"


def check_statistics_available(endpoint: Endpoint, sample: float, configured: float) -> None:
    """Raise MlopsError unless the endpoint serves and measures. ``configured``: the share in usecase.toml."""
    if endpoint.state is EndpointState.ABSENT:
        raise NoEndpointError(endpoint.name)
    if not endpoint.live_digest:
        raise MlopsError(
            f"The endpoint {endpoint.name} is {endpoint.state.value}.", "Check: mlops status", EXIT_STAGE_FAILED
        )
    if not sample and configured:
        raise MlopsError(
            f"The endpoint {endpoint.name} does not measure its requests yet, though sample is {configured:g}.",
            "Deploy it again: mlops run",
        )
    if not sample:
        raise MlopsError(
            f"Sampling is off: no statistics of the requests to {endpoint.name}.",
            f"Turn it on: {TURN_ON}",
            EXIT_USAGE,
        )


def read_reference(content: bytes | None) -> dict[str, Reference]:
    """Return the live model's training reference. Raise MlopsError if it has none."""
    if content is None:
        raise MlopsError(
            f"The live model has nothing to measure: its training wrote no {FILE}.",
            "Call write_reference in train.py and offer of an Observer in inference.py: "
            f"the head of {LIBRARY / 'observation.py'} explains both.",
        )
    try:
        references = parse_references(content)
    except ValueError as error:
        raise MlopsError(f"{FILE} of the live model's training cannot be read: {error}.", "Fix train.py.") from None
    if not references:
        raise MlopsError(f"{FILE} of the live model's training names no measurement.", "Fix train.py.")
    return references
