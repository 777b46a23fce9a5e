"""One CodeBuild step for each stage, and the jobs that it requests."""
