"""The resource names of two projects or environments never collide, even if their own names are similar."""

from __future__ import annotations

from fnmatch import fnmatchcase
from itertools import combinations

from mlops_cli.backends.aws.resource_names import ResourceNames
from mlops_cli.backends.aws.stages.jobs.job_requests import NAME_LENGTH, job_name

NAMES = [
    *(ResourceNames("toxic-comments", stage) for stage in ("dev", "prod", "dev-eu", "dev-2")),
    *(ResourceNames("tiny", stage) for stage in ("dev", "prod", "dev-eu", "dev-pipeline")),
    *(ResourceNames("toxic-comments-of-ours", stage) for stage in ("dev", "eu")),
]


def test_the_artifacts_of_two_pipelines_in_one_bucket_lie_in_two_folders() -> None:
    """CodePipeline's folder is the first 20 characters of the pipeline's name."""
    for first, second in combinations(NAMES, 2):
        assert first.artifact_folder != second.artifact_folder
        assert first.pipeline != second.pipeline
    assert all(name.pipeline.startswith(name.artifact_folder) for name in NAMES)
    assert {len(name.artifact_folder) for name in NAMES if name.use_case != "tiny"} == {20}
    assert ResourceNames("tiny", "dev").pipeline == "mlops-tiny-dev-pipeline"


def test_a_pattern_of_an_endpoints_jobs_matches_no_job_of_another_endpoint() -> None:
    endpoints = [f"{name.use_case}-{name.environment}" for name in NAMES]
    for endpoint, second in combinations(endpoints, 2):
        for pattern, name in ((endpoint, second), (second, endpoint)):
            job = job_name(name, "train", "0a1b2c3d", "0f0f")
            assert fnmatchcase(job, f"{name}--*")
            assert not fnmatchcase(job, f"{pattern}--*"), (pattern, job)
    assert len(job_name("x" * 40, "preprocess", "0a1b2c3d", "0f0f")) <= NAME_LENGTH
    assert job_name("x" * 40, "preprocess", "0a1b2c3d", "0f0f").endswith("0f0f")
