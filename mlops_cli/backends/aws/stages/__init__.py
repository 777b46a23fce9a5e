"""One CodeBuild step per stage, and the jobs that it requests."""
