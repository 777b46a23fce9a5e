"""The project as a source of the pipeline: which files it gets, and their upload."""
