"""Check that the images that settings name in a company's registry exist."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from mlops_cli.backends.aws.doctor.context import CheckContext
from mlops_cli.backends.aws.errors import or_none
from mlops_cli.backends.aws.infra.image_registry import ADDRESS, image_id, in_registry
from mlops_cli.backends.aws.infra.stack_parameters import image_addresses
from mlops_cli.core.checks import Finding, State, ok

NAME = "images"


def framework_images(subject: CheckContext) -> tuple[str, str]:
    """Return the first image that the registry lacks, and the commands that copy it; empty if it lacks none."""
    originals = image_addresses(subject.settings, subject.use_case, subject.account.region)
    registry = subject.settings["IMAGE_REGISTRY"]
    for original in dict.fromkeys(originals.values()):
        own = in_registry(original, registry)
        if problem := _problem(subject, own):
            return problem, f"docker pull {original} && docker tag {original} {own} && docker push {own}"
    return "", ""


def build_image(subject: CheckContext) -> tuple[str, str]:
    image = subject.settings["BUILD_IMAGE"]
    problem = _problem(subject, image) if ADDRESS.fullmatch(image) else ""
    return problem, "Push it, or correct BUILD_IMAGE: mlops config"


def model_images(subject: CheckContext) -> Iterator[Finding]:
    """Check that the images of [model] in usecase.toml exist in ECR. Do nothing if it names none."""
    own = {"training_image": subject.use_case.training_image, "serving_image": subject.use_case.serving_image}
    for key, address in own.items():
        if not address:
            continue
        if problem := _problem(subject, address):
            breaks = "mlops run would fail."
            yield Finding(NAME, State.FAILURE, f"[model] {key}: {problem}", breaks, f"Push it: docker push {address}")
        else:
            yield ok(NAME, f"[model] {key} {address}")


def _problem(subject: CheckContext, address: str) -> str:
    match = ADDRESS.fullmatch(address)
    assert match is not None, address
    if match["region"] != subject.account.region:
        return f"{address} is in {match['region']}, and everything else in {subject.account.region}."
    names: Mapping[str, str] = {"registryId": match["account"], "repositoryName": match["name"]}
    described = or_none(subject.account.client("ecr").describe_images, **names, imageIds=[image_id(address)])
    return "" if described else f"there is no image {address}."
