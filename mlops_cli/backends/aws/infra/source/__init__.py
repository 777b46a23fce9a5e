"""The project as the pipeline's source: the choice of its files, and their upload."""
