"""One CodeBuild step per stage, and the jobs it asks for."""
